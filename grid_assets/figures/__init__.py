"""Engine: pictures and pages in one set of colours. Pure: no tables, no Dagster."""
