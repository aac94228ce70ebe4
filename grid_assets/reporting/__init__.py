"""Published marts: dbt models over the lake, one DuckDB file and Parquet."""
