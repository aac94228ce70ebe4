"""Engine: storage scheduling as mathematical programmes. Pure: no tables, no Dagster."""
