"""The bound: what one DuckDB process needs to read files, sort their rows by meter and time, and write them, nothing else.

Usage: python -m benchmarks._metering_bound PARTS.json FIGURES.json OUT_FOLDER; parts: a list of [name, files, columns to sort by].
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

THREADS = 2


def copy_sorted(parts: list[tuple[str, list[str], list[str]]], out: Path) -> dict[str, dict[str, float]]:
    """Name -> seconds of wall and processor, and rows, of each part: all its columns, sorted, as zstd Parquet."""
    import duckdb

    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}; SET preserve_insertion_order = false; SET temp_directory = '{out}'")
        for name, files, order in parts:
            began, processor = time.perf_counter(), time.process_time()
            rows = connection.execute(
                f"COPY (SELECT * FROM read_parquet(?) ORDER BY {', '.join(order)}) TO '{out / name}.parquet' (FORMAT parquet, COMPRESSION zstd)", [files],
            ).fetchone()  # fmt: skip
            found[name] = {
                "seconds": time.perf_counter() - began,
                "processor_seconds": time.process_time() - processor,
                "rows": rows[0] if rows else 0,
            }
    return found


if __name__ == "__main__":
    parts = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(copy_sorted(parts, Path(sys.argv[3]))))
