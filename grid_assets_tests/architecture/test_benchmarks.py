"""The benchmarks can be run, and compare like with like. What they measure is no test."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from benchmarks import _plain_checks, _plain_day, platform
from benchmarks._processes import CommandFailed, measured
from grid_assets import jobs
from grid_assets.definitions import build_definitions
from grid_assets.metering import staleness
from grid_assets_tests.conftest import PROJECT, SITES, site_in

COLUMNS = {"name", "value", "unit", "reference", "target", "met"}
AREAS = sorted(path.stem for path in (PROJECT / "benchmarks").glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("area", AREAS)
def test_every_benchmark_runs_with_a_console(area: str):
    assert list(inspect.signature(importlib.import_module(f"benchmarks.{area}").run).parameters) == ["console"]


def test_the_definitions_load_nothing_heavy_and_the_rows_say_so():
    rows = platform.import_rows(repetitions=1)
    assert all(set(row) == COLUMNS and row["met"] in (True, False, None) for row in rows)
    heavy, seconds, ratio = rows
    assert (heavy["value"], heavy["met"]) == (0, True), heavy["reference"]
    assert seconds["value"] > 0
    assert ratio["value"] > 0


def test_a_heavy_library_is_noticed():
    assert {"scipy", "pulp"} <= set(platform._load("import scipy, pulp")[1].split(","))


def test_a_day_that_is_too_slow_or_too_large_misses_its_target():
    time, memory = platform.warm_day_rows(platform.Usage(60.5, 70.0, 2000.0, 900.0))
    assert (time["met"], memory["met"]) == (False, True)
    time, memory = platform.warm_day_rows(platform.Usage(59.5, 70.0, 2049.0, 900.0))
    assert (time["met"], memory["met"]) == (True, False)


def test_the_comparison_notices_other_content_and_other_verdicts():
    def timed(seconds, content, held):
        return platform.Timed(seconds, seconds, 0.1, {"a/x": "1", "a/y": content}, {("a/x", "schema"): held})

    rows = {row["name"]: row for row in platform._compared([timed(9, "2", True), timed(3, "2", True)], [timed(9, "2", True), timed(1, "3", False)])}  # fmt: skip
    assert (rows["Dagster's overhead"]["value"], rows["Dagster's overhead"]["met"]) == (3.0, False)
    assert (rows["identical tables"]["value"], rows["identical tables"]["met"]) == ("1 of 2", False)
    assert (rows["identical verdicts of checks"]["value"], rows["identical verdicts of checks"]["met"]) == ("0 of 1", False)


def test_memory_of_children_counts_and_a_failed_command_is_no_measurement(tmp_path: Path):
    child = "import time; held = bytearray(b'x' * 80_000_000); time.sleep(0.6)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    used = measured([sys.executable, "-c", parent], os.environ, tmp_path)
    assert 80_000_000 / 2**20 < used.largest_mib < used.peak_mib < 400
    assert 0.6 < used.seconds < 30
    with pytest.raises(CommandFailed, match="no such thing"):
        measured([sys.executable, "-c", "raise SystemExit('no such thing')"], os.environ, tmp_path)


def test_the_plain_day_writes_every_table_of_the_day_job(tmp_path: Path):
    job = build_definitions(SITES / "demo.toml", site_in(tmp_path, "demo")).resolve_job_def(jobs.DAY)
    assert {dg.AssetKey(table.key) for table in _plain_day.TABLES} == set(job.asset_layer.executable_asset_keys)


def test_the_plain_checks_judge_what_the_day_job_judges(tmp_path: Path):
    job = build_definitions(SITES / "demo.toml", site_in(tmp_path, "demo")).resolve_job_def(jobs.DAY)
    keys = job.asset_layer.asset_graph.asset_check_keys
    wanted = {(one.asset_key.path[-1].upper(), one.name) for one in keys if one.name != "schema"}
    source = inspect.getsource(_plain_checks).replace("staleness.UP_TO_DATE", f'"{staleness.UP_TO_DATE}"')
    judged = set(re.findall(r"yield \(?\s*(?:\w+\.)?([A-Z_]+),\s*\"(\w+)\"", source))
    assert judged == wanted


def test_a_plain_day_that_leaves_a_table_out_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    works = [
        name for name, one in vars(_plain_day).items() if inspect.isfunction(one) and list(inspect.signature(one).parameters) == ["run"]
    ]
    for name in works:
        monkeypatch.setattr(_plain_day, name, lambda run: run.hashes.update(dict.fromkeys(_plain_day.TABLES, "")))
    site, day = site_in(tmp_path, "demo"), date(2016, 5, 22)
    assert _plain_day.run_day(site, day).hashes.keys() == _plain_day.TABLES
    for name in works:
        monkeypatch.setattr(_plain_day, name, lambda run: run.hashes.update(dict.fromkeys(list(_plain_day.TABLES)[1:], "")))
    with pytest.raises(_plain_day.DayIncomplete):
        _plain_day.run_day(site, day)
