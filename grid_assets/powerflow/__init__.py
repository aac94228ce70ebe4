"""Engine: networks and AC power flow over batches of injections. Pure: no tables, no Dagster."""
