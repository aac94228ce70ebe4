"""grid_assets: the analytics of a power grid as Dagster assets, from raw meter files to settlements."""
