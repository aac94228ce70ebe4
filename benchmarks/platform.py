"""What the platform costs: a first run, a warm day, Dagster's share of it, and what loading the definitions loads.

Everything is measured in this run, on the demo site, in a state folder of its own that is removed afterwards.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._processes import Usage, compile_libraries, measured
from grid_assets.definitions import PROJECT, site_file_named
from grid_assets.foundation.site import Site, load_site

SITE_FILE = site_file_named("demo")
REPETITIONS = 3
WARM_SECONDS, WARM_MIB, OVERHEAD = 60.0, 2048.0, 1.5
HEAVY = ("pandapower", "simbench", "sktime", "sklearn", "scipy", "lightgbm", "great_expectations", "pulp", "highspy", "matplotlib",
         "pvlib", "duckdb")  # fmt: skip
LOAD_DEFINITIONS = f"""
import os
from pathlib import Path
from grid_assets.definitions import build_definitions
from grid_assets.foundation.site import load_site
build_definitions(Path({str(SITE_FILE)!r}), load_site(Path({str(SITE_FILE)!r}), os.environ))
"""
LOAD_FRAMEWORK = "import dagster, dagster_dbt, pandas, pyarrow"

Row = dict[str, Any]


def run(console: Console) -> list[Row]:
    """Measures everything; takes some minutes."""
    with tempfile.TemporaryDirectory(prefix="grid_assets_bench_") as folder:
        state = Path(folder) / "state"
        day = _site(state).calendar.default_day
        assert day is not None
        following = day + timedelta(days=1)
        rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
        with console.status("first run with back-fill: grid-assets daily ...") as status:
            compile_libraries(PROJECT)
            rows += first_run_rows(_daily(state))
            status.update("warm day: grid-assets daily --day ...")
            rows += warm_day_rows(_daily(state, following))
            status.update("importing the definitions ...")
            rows += import_rows()
            rows += overhead_rows(state, following + timedelta(days=1), status.update)
        return rows


def row(name: str, value: Any, unit: str, reference: str = "", target: str = "", met: bool | None = None) -> Row:
    value = value.item() if hasattr(value, "item") else value  # NumPy's numbers are none to JSON
    return {"name": name, "value": value, "unit": unit, "reference": reference, "target": target, "met": met if met is None else bool(met)}


# -- the command ------------------------------------------------------------------------------------------------


def _daily(state: Path, day: date | None = None) -> Usage:
    command = [sys.executable, "-m", "grid_assets.cli", "daily", "--site", "demo", *(["--day", day.isoformat()] if day else [])]
    return measured(command, {**os.environ, "GRID_ASSETS_STATE": str(state)}, PROJECT)


def first_run_rows(used: Usage) -> list[Row]:
    return [
        row("first run with back-fill: time", used.seconds, "s", f"{used.processor_seconds:.0f} s of processor time"),
        row("first run with back-fill: memory", used.peak_mib, "MiB", _memory_said(used)),
    ]


def warm_day_rows(used: Usage) -> list[Row]:
    said = f"{used.processor_seconds:.0f} s of processor time"
    return [
        row("warm day: time", used.seconds, "s", said, f"<= {WARM_SECONDS:g}", used.seconds <= WARM_SECONDS),
        row("warm day: memory", used.peak_mib, "MiB", _memory_said(used), f"<= {WARM_MIB:g}", used.peak_mib <= WARM_MIB),
    ]


def _memory_said(used: Usage) -> str:
    return f"sum over all processes, sampled; largest one {used.largest_mib:.0f} MiB"


# -- loading ----------------------------------------------------------------------------------------------------


def import_rows(repetitions: int = REPETITIONS) -> list[Row]:
    """Which heavy libraries the definitions load, and how long they take beside the framework's own imports."""
    from grid_assets.reporting.publish import ensure_manifest

    ensure_manifest(PROJECT / "dbt_project")
    framework, definitions, heavy = [], [], ""
    for _ in range(repetitions):
        framework.append(_load(LOAD_FRAMEWORK)[0])
        seconds, heavy = _load(LOAD_DEFINITIONS)
        definitions.append(seconds)
    ours, theirs = statistics.median(definitions), statistics.median(framework)
    loaded = heavy.split(",") if heavy else []
    return [
        row("definitions: heavy libraries loaded", len(loaded), "libraries", heavy or f"none of {len(HEAVY)}", "0", not loaded),
        row("definitions: time to load", ours, "s", _each(definitions)),
        row("definitions: against Dagster, dbt and pandas", ours / theirs, "x", f"{theirs:.2f} s for: {LOAD_FRAMEWORK}"),
    ]


def _load(script: str) -> tuple[float, str]:
    """Seconds that a script takes in a fresh interpreter, and the heavy libraries it has loaded then."""
    ending = f"print(time.perf_counter() - began, ','.join(name for name in {HEAVY!r} if name in sys.modules), sep=';')"
    program = f"import sys, time\nbegan = time.perf_counter()\n{script}\n{ending}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    seconds, _, heavy = done.stdout.strip().splitlines()[-1].partition(";")
    return float(seconds), heavy


def _each(seconds: list[float]) -> str:
    return f"median of {', '.join(f'{one:.2f}' for one in seconds)}"


# -- Dagster's share --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    seconds: float
    processor_seconds: float
    check_seconds: float
    hashes: dict[str, str]
    """Table -> content hash of what the day left in the lake."""
    verdicts: dict[tuple[str, str], bool]
    """(table, check) -> whether it held."""


def overhead_rows(state: Path, day: date, say=lambda text: None, repetitions: int = REPETITIONS) -> list[Row]:
    """The job `day` in process against the same work in a plain script. Each run begins with the same state, in which ``day`` has
    not been run, so that both write everything."""
    before = state.parent / "before"
    shutil.copytree(state, before)
    by_dagster, plainly = [], []
    with _environment(GRID_ASSETS_STATE=str(state)):
        for n in range(repetitions + 1):
            say(f"the day job and a plain script in turn: {n} of {repetitions}" if n else "the same once before, to load what both need")
            turns = ((_plain_script, plainly), (_day_job, by_dagster))
            for work, kept in turns if n % 2 else reversed(turns):
                shutil.rmtree(state)
                shutil.copytree(before, state)
                kept.append(work(_site(state), day))
    return _compared(by_dagster, plainly)


def _plain_script(site: Site, day: date) -> Timed:
    from benchmarks import _plain_checks, _plain_day

    began, began_processor = time.perf_counter(), time.process_time()
    done = _plain_day.run_day(load_site(SITE_FILE, os.environ), day)
    checking = time.perf_counter()
    _plain_checks.check_day(done)
    ended = time.perf_counter()
    return Timed(ended - began, time.process_time() - began_processor, ended - checking, *_left_behind(site, day))


def _day_job(site: Site, day: date) -> Timed:
    from grid_assets import jobs
    from grid_assets.daily import SiteRuns
    from grid_assets.instance import open_instance

    with open_instance(site) as instance:
        runs = SiteRuns(SITE_FILE, site, instance)
        began, began_processor = time.perf_counter(), time.process_time()
        report = runs.run("day", jobs.DAY, partition=day.isoformat())
        seconds, processor_seconds = time.perf_counter() - began, time.process_time() - began_processor
    if not report.succeeded:
        raise RuntimeError(f"the day job failed: {'; '.join(report.failures)}")
    return Timed(seconds, processor_seconds, 0.0, *_left_behind(site, day))


def _left_behind(site: Site, day: date) -> tuple[dict[str, str], dict[tuple[str, str], bool]]:
    from grid_assets.definitions import public_tables
    from grid_assets.foundation.check_results import CheckResults
    from grid_assets.foundation.lake import Lake

    lake, ledger = Lake(site.lake_root), CheckResults(site.ledger_url)
    days = [table for table in public_tables(site) if table.partition in ("site_day", "arrival_day")]
    hashes = {str(table): content for table in days if (content := lake.content_hash(table, day))}
    results = ledger.read([day.isoformat()])
    ledger.close()
    return hashes, {(one.table_key, one.check_name): bool(one.passed) for one in results.itertuples()}


def _compared(by_dagster: list[Timed], plainly: list[Timed]) -> list[Row]:
    """The first of each only loaded libraries: it counts for the content, not for the time."""
    everything = [*by_dagster, *plainly]
    tables, checks = ({key for one in everything for key in getattr(one, name)} for name in ("hashes", "verdicts"))
    other_tables = sorted(key for key in tables if len({one.hashes.get(key) for one in everything}) > 1)
    other_checks = sorted(" ".join(key) for key in checks if len({one.verdicts.get(key) for one in everything}) > 1)
    same, agreed = len(tables) - len(other_tables), len(checks) - len(other_checks)
    dagster, plain = [one.seconds for one in by_dagster[1:]], [one.seconds for one in plainly[1:]]
    ratio = statistics.median(dagster) / statistics.median(plain)
    processor = [statistics.median(one.processor_seconds for one in side[1:]) for side in (by_dagster, plainly)]
    checking = statistics.median(one.check_seconds for one in plainly[1:])
    return [
        row("day job in Dagster, in process", statistics.median(dagster), "s", _each(dagster)),
        row("the same in a plain script", statistics.median(plain), "s", f"{_each(plain)}; of it {checking:.2f} s are checks"),
        row("Dagster's overhead", ratio, "x", "time of the wall, libraries loaded", f"<= {OVERHEAD:g}", ratio <= OVERHEAD),
        row("Dagster's overhead: processor time", processor[0] / processor[1], "x", f"{processor[0]:.2f} s and {processor[1]:.2f} s"),
        row(
            "identical tables",
            f"{same} of {len(tables)}",
            "tables",
            _but("content hashes, every run of both", other_tables),
            "all",
            same == len(tables),
        ),
        row(
            "identical verdicts of checks",
            f"{agreed} of {len(checks)}",
            "checks",
            _but("every run of both", other_checks),
            "all",
            agreed == len(checks),
        ),
    ]


def _but(told: str, others: list[str]) -> str:
    return f"{told}; not {', '.join(others)}" if others else told


def _site(state: Path) -> Site:
    return load_site(SITE_FILE, {**os.environ, "GRID_ASSETS_STATE": str(state)})


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for a while; DAGSTER_HOME, which opening an instance sets, is put back too."""
    kept = {name: os.environ.get(name) for name in (*values, "DAGSTER_HOME")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
