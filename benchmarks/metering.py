"""What a day of 100,000 meters costs, from raw text rows to published readings, and what validation finds of the faults in it.

Everything runs in this run, on made-up meters, one process after the other: the bound (DuckDB reads, sorts and writes the files that
the day needs), the platform, pandas, polars, and Spark where it is installed. GRID_ASSETS_BENCH_METERS sets another size.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._metering_rows import Row, bound_rows, day_rows, detection_rows, peer_rows, row
from benchmarks._processes import Usage, compile_libraries, measured
from benchmarks._quiet_faults import quiet_rows
from grid_assets.definitions import PROJECT
from grid_assets.simulation.fault_rates import BENCH_SEED

METERS = 100_000
DAY = date(2016, 11, 20)
"""A Sunday; the one three weeks before, which its estimates look back to, has 25 hours."""
HISTORY = tuple(DAY - timedelta(days=7 * weeks) for weeks in (3, 2, 1))
CAPPED = "shard_meters = 10000\nthreads = 2"
"""[metering] of the run that may not take more than 1 GB."""
SPARING = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Its environment: memory goes back to the system between the stages."""
STAGES = "landing,raw,readings"
KEPT_ENVIRONMENT = {"OMP_NUM_THREADS": "2"}


def run(console: Console) -> list[Row]:
    """Measures everything; ten minutes or so at the default size."""
    meters = int(os.environ.get("GRID_ASSETS_BENCH_METERS", METERS))
    with tempfile.TemporaryDirectory(prefix="grid_assets_bench_") as folder, console.status("") as status:
        status.update("byte code of the libraries ...")
        compile_libraries(PROJECT)
        return measure(Path(folder), meters, status.update)


def measure(folder: Path, meters: int, say: Callable[[str], None]) -> list[Row]:
    """All rows, on a site of ``meters`` meters that is written below ``folder``."""
    bench = Bench(folder, say)
    rows = [
        row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it"),
        row("meters", meters, "meters"),
    ]
    bench.write_site(meters)
    first = [bench.run_days("synthetic.toml", f"registers,{STAGES}" if n == 0 else STAGES, [day]) for n, day in enumerate(HISTORY)]
    for other in ("capped", "spark"):
        shutil.copytree(folder / "state", folder / other)
    bounds = [bench.bound()]
    made = bench.run_days("synthetic.toml", STAGES, [DAY])
    checked = bench.run_days("synthetic.toml", "checks", [DAY])
    bounds.append(bench.bound())
    rows += bound_rows(bounds) + day_rows(bounds, made, checked)
    rows += bench.capped_rows(made)
    rows += bench.spark_rows()
    rows += bench.four_days_rows([*first, made])
    rows += detection_rows(folder, [*HISTORY, DAY])
    rows += quiet_rows(meters, DAY, HISTORY[::-1], BENCH_SEED)
    return rows + peer_rows(folder, HISTORY[0], bounds, first[0], bench.peers())


@dataclass(frozen=True)
class Measured:
    """A measured process, and what it told of its stages."""

    used: Usage
    stages: dict[str, Any]


class Bench:
    """The site's folder, and the processes that are measured on it."""

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.say = folder, say

    def write_site(self, meters: int) -> None:
        self.say(f"writing {meters} meters' files of four days ...")
        days = [one.isoformat() for one in (*HISTORY, DAY)]
        self._python("benchmarks._metering_day", "site", str(self.folder), str(meters), str(BENCH_SEED), *days)
        text = (self.folder / "synthetic.toml").read_text()
        capped = text.replace('state = "state"', 'state = "capped"') + CAPPED + "\n"
        (self.folder / "capped.toml").write_text(capped)
        (self.folder / "together.toml").write_text(text.replace('state = "state"', 'state = "together"'))
        (self.folder / "spark.toml").write_text(text.replace('state = "state"', 'state = "spark"') + 'engine = "spark"\n')

    def run_days(self, site: str, stages: str, days: list[date] | tuple[date, ...], environment: dict[str, str] | None = None) -> Measured:
        self.say(f"{stages} of {', '.join(map(str, days))} ({site}) ...")
        told = self.folder / "figures.json"
        used = self._python(
            "benchmarks._metering_day", "run", str(self.folder / site), str(told), stages, *(one.isoformat() for one in days)
        )
        return Measured(used, json.loads(told.read_text()))

    def bound(self) -> Measured:
        """The files that the day needs: its raw text rows, and the published readings of its like days."""
        from grid_assets.foundation.lake import Lake
        from grid_assets.metering.tables import READINGS

        self.say("the bound: DuckDB reads, sorts, writes ...")
        received = (DAY + timedelta(days=1)).strftime("%Y%m%d")
        raw = sorted(str(one) for one in (self.folder / "landing").glob(f"reads_{received}*"))
        history = Lake(str(self.folder / "state" / "lake")).files(READINGS, HISTORY)
        parts = [["day", raw, ["meter", "read_at"]], ["history", history, ["meter_id", "start_utc"]]]
        (self.folder / "bound").mkdir(exist_ok=True)
        (self.folder / "parts.json").write_text(json.dumps(parts))
        told = self.folder / "figures.json"
        used = self._python("benchmarks._metering_bound", str(self.folder / "parts.json"), str(told), str(self.folder / "bound"))
        return Measured(used, json.loads(told.read_text()))

    def capped_rows(self, made: Measured) -> list[Row]:
        capped = self.run_days("capped.toml", STAGES, [DAY], SPARING)
        ratio, said = (
            capped.used.seconds / made.used.seconds,
            f"{capped.used.seconds:.1f} s with {', '.join(CAPPED.splitlines())}, Arrow's system allocator",
        )
        return [
            row("under a cap of 1 GB: time", ratio, "x", said, "<= 1.2", ratio <= 1.2),
            row(
                "under a cap of 1 GB: memory",
                capped.used.peak_mib,
                "MiB",
                "resident, the highest sample",
                "<= 1024",
                capped.used.peak_mib <= 1024,
            ),
        ]

    def spark_rows(self) -> list[Row]:
        """The same day by the same functions on local Spark, where PySpark and Java are there; its tables must be the same."""
        if not (importlib.util.find_spec("pyspark") and shutil.which("java")):
            return [row("the same day on Spark", "-", "", "PySpark (extra spark) or Java is not installed")]
        from grid_assets.foundation.lake import Lake
        from grid_assets.metering import tables

        used = self.run_days("spark.toml", STAGES, [DAY]).used
        here, there = (Lake(str(self.folder / name / "lake")) for name in ("state", "spark"))
        made = (tables.RAW_READINGS, tables.READINGS, tables.FAILED_READINGS, tables.EDITED_READINGS, tables.METER_DAYS, tables.FILE_DAYS)
        other = [table.name for table in made if here.content_hash(table, DAY) != there.content_hash(table, DAY)]
        return [
            row(
                "the same day on Spark: time",
                used.seconds,
                "s",
                f"local[2]; {used.peak_mib:.0f} MiB, {used.processor_seconds:.1f} s of processor",
            ),
            row(
                "tables that Spark makes otherwise",
                len(other),
                "tables",
                ", ".join(other) or f"content hashes of {len(made)}",
                "0",
                not other,
            ),
        ]

    def four_days_rows(self, singly: list[Measured]) -> list[Row]:
        together = self.run_days("together.toml", f"registers,{STAGES}", [*HISTORY, DAY])
        shutil.rmtree(self.folder / "together")
        one = sum(each.used.seconds for each in singly) / len(singly)
        ratio, said = together.used.seconds / one, f"{together.used.seconds:.1f} s against {one:.1f} s for one by one, on average"
        return [row("four days in one process", ratio, "x of a day", said, "<= 4.4", ratio <= 4.4)]

    def peers(self) -> dict[str, Usage]:
        """The first day, which has no history, by the peers that are installed."""
        found = {}
        for name in ("pandas", "polars"):
            if importlib.util.find_spec(name):
                self.say(f"the base rules in {name} ...")
                out = str(self.folder / f"{name}.parquet")
                found[name] = self._python(f"benchmarks._vee_{name}", str(self.folder / "synthetic.toml"), HISTORY[0].isoformat(), out)
        return found

    def _python(self, module: str, *arguments: str, **environment: str) -> Usage:
        return measured([sys.executable, "-m", module, *arguments], {**os.environ, **KEPT_ENVIRONMENT, **environment}, PROJECT)
