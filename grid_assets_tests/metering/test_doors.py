"""The doors in Dagster: a range of days, checks, data docs; on the small made site."""

from __future__ import annotations

import os
import sys
from subprocess import run

import dagster as dg
import pandas as pd
import pyarrow.compute as pc
import pytest
from filelock import FileLock, Timeout

from grid_assets.foundation.lake import Lake
from grid_assets.metering import assets, checks
from grid_assets.metering.arrival import landing
from grid_assets.metering.quality.quality_suite import docs_page, judge_profiles
from grid_assets.metering.staleness import stale_days
from grid_assets.metering.tables import (
    ALERTS,
    FILE_DAYS,
    LANDED_FILES,
    NODE_LOADS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READING_INPUTS,
    READINGS,
    REJECTED_READINGS,
)
from grid_assets_tests.metering.conftest import CHANGE, FIRST, LAST, as_csv, day_rows
from grid_assets_tests.metering.doors import LANDING, LATE_DATA, checks_of, executed, repository, tick, without_docs


@pytest.mark.slow
def test_a_range_runs_in_one_call_and_a_day_again_changes_nothing(fed):
    result = executed(fed, FIRST, LAST)
    assert result.success
    assert checks_of(result) == dict.fromkeys(
        ("landed_files.rows_accounted", "landed_files.files_readable", "readings.rows_accounted", "readings.up_to_date",
         "measurements.rows_accounted", "corrections.entries_readable", "outage_events.entries_readable",
         "meter_days.valid_share", "quality_profiles.quality_suite", "node_balances.balanced"), True,
    )  # fmt: skip
    assert [len(fed.lake.read(READINGS, day)) for day in (FIRST, CHANGE, LAST)] == [240, 230, 240]
    assert len(fed.lake.read(NODE_LOADS)) == 4 * (48 + 46 + 48)
    materialised = {event.asset_key.path[-1]: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert materialised["readings"]["measured_pct"].value == 100.0
    assert "image/png" in materialised["node_loads"]["picture"].value
    assert docs_page(fed.site.artefacts).is_file()
    assert materialised["quality_profiles"]["data_docs"].value.endswith("/data_docs/index.html")
    hashes = {table: fed.lake.content_hash(table, CHANGE) for table in (LANDED_FILES, RAW_READINGS, READINGS, FILE_DAYS, NODE_LOADS)}
    assert executed(fed, CHANGE, CHANGE).success
    assert {table: fed.lake.content_hash(table, CHANGE) for table in hashes} == hashes


@pytest.mark.slow
def test_warnings_do_not_block_and_say_what_is_wrong(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST, ("m1", "m2"))))
    made.drop("reads_20210328T051000Z.csv", b"a,b\n1,2\n")
    result = executed(made, FIRST, FIRST)
    assert result.success
    assert {name for name, passed in checks_of(result).items() if not passed} == {
        "landed_files.files_readable", "meter_days.valid_share", "quality_profiles.quality_suite",
    }  # fmt: skip
    said = {one.check_name: one.description for one in result.get_asset_check_evaluations()}
    assert "valid_pct: expect_column_values_to_be_between fails at f2" in said["quality_suite"]
    assert len(made.lake.read(NODE_LOADS, FIRST)) == 4 * 48


def test_lost_rows_stop_the_run_before_the_node_loads(fed, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(fed))
    honest = assets.shards.reading_day

    def forgetful(*arguments):
        day = honest(*arguments)
        part = day.parts[FILE_DAYS]
        at = part.column_names.index("published")
        day.parts[FILE_DAYS] = part.set_column(at, "published", pc.subtract(part["published"], 1))
        return day

    monkeypatch.setattr(assets.shards, "reading_day", forgetful)
    result = executed(fed, FIRST, FIRST)
    assert not result.success
    assert checks_of(result)["readings.rows_accounted"] is False
    assert fed.lake.pointer(NODE_LOADS, FIRST) is None


def test_files_outside_the_calendar_are_told_by_every_landing_run(fed, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(fed))
    late = "reads_20210402T050000Z.csv"
    fed.drop(late, as_csv(day_rows(fed.site, LAST, ("m1",))))
    fed.drop("reads_20210328T050000.csv", as_csv(day_rows(fed.site, FIRST, ("m1",))))  # no Z: it tells no instant
    result = executed(fed, FIRST, FIRST)
    assert result.success
    (told,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "files_readable"]
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert late in told.description
    assert "reads_20210328T050000.csv (expected 'reads_{received}.csv' with {received} as 20160526T070000Z" in told.description
    landed = {event.asset_key.path[-1]: event.materialization.metadata for event in result.get_asset_materialization_events()}[
        "landed_files"
    ]
    assert landed["files_outside_calendar"].value == 1
    assert landed["ids_in_both_registers"].value == "none"
    assert late in landed["names_outside_calendar"].value


class Killed(RuntimeError):
    """Stands for the end of the process at this point: nothing of the run goes on."""


@pytest.mark.slow
@pytest.mark.parametrize("before", [FILE_DAYS, READING_INPUTS, ALERTS])
def test_a_run_that_dies_between_two_tables_leaves_the_day_stale_and_the_next_run_repairs_it(fed, monkeypatch, before):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(fed))
    fed.land(FIRST)
    fed.make(FIRST)
    assert stale_days(fed.lake) == []
    late = day_rows(fed.site, FIRST, ("m1",))
    fed.drop("reads_20210328T060000Z.csv", as_csv(late.assign(value=late["value"] * 1.1)))
    write, point_at = Lake.write, Lake.point_at

    def dying(honest, lake, table, *arguments):
        if table is before:
            raise Killed
        return honest(lake, table, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "write", lambda lake, *rest: dying(write, lake, *rest))
        patched.setattr(Lake, "point_at", lambda lake, *rest: dying(point_at, lake, *rest))
        assert not executed(fed, FIRST, FIRST).success
    assert stale_days(fed.lake) == [FIRST]
    (asked,) = tick(fed, LATE_DATA).run_requests
    assert asked.partition_key == FIRST.isoformat()
    assert executed(fed, FIRST, FIRST).success
    assert stale_days(fed.lake) == []
    loads = fed.lake.read(NODE_LOADS, FIRST)
    readings = fed.lake.read(READINGS, FIRST)
    assert loads.loc[loads["level"] == "system", "energy_kwh"].sum() == pytest.approx(
        readings.loc[readings["meter_id"] != "g1", "energy_kwh"].sum()
    )


def test_other_readings_from_the_same_rows_make_a_half_replaced_day_stale_too(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    readings = made.lake.read(READINGS, FIRST)
    made.lake.write(READINGS, readings.assign(energy_kwh=readings["energy_kwh"] + 1), FIRST)
    assert stale_days(made.lake) == [FIRST]


def test_a_day_whose_landed_rows_are_gone_is_stale(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    made.lake.write(LANDED_FILES, made.lake.read(LANDED_FILES, FIRST).iloc[:0], FIRST)
    assert stale_days(made.lake) == [FIRST]
    assert [one.partition_key for one in tick(made, LATE_DATA).run_requests] == [FIRST.isoformat()]
    made.make(FIRST)
    assert stale_days(made.lake) == []


def test_a_back_test_is_told_by_configuration(fed, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(fed))
    config = {"ops": {"metering__raw_readings": {"config": {"known_until": "2021-03-28T04:00:00Z"}}}}
    assert executed(fed, FIRST, FIRST, config).success
    assert fed.lake.read(RAW_READINGS, FIRST).empty
    assert set(fed.lake.read(READINGS, FIRST)["quality"]) == {"missing"}


def test_the_suite_names_the_day_and_node_at_fault(made, tmp_path):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    profiles = made.make(FIRST).quality_profiles
    other = profiles.assign(day=CHANGE)
    other.loc[0, ["minimum_kwh", "maximum_of_rating_pct"]] = [-1.0, 140.0]
    verdict = judge_profiles(pd.concat([profiles, other], ignore_index=True), 95.0, tmp_path)
    assert not verdict.passed
    assert verdict.faults[FIRST.isoformat()] == ""
    assert "minimum_kwh" in verdict.faults[CHANGE.isoformat()]
    assert "maximum_of_rating_pct" in verdict.faults[CHANGE.isoformat()]
    assert "f1" in verdict.faults[CHANGE.isoformat()]
    assert verdict.page.is_file()
    assert QUALITY_PROFILES.conform(profiles).num_rows == 3


def test_the_doors_import_nothing_heavy():
    heavy = ("great_expectations", "matplotlib", "scipy", "sklearn", "duckdb", "pandapower")
    code = f"import sys, grid_assets.metering.assets, grid_assets.metering.checks, grid_assets.metering.sensors; print([m for m in {heavy!r} if m in sys.modules])"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_files_of_one_arrival_day_are_landed_by_one_run(made):
    for name in ("reads_20210328T050000Z.csv", "reads_20210328T060000Z.csv", "reads_20210329T050000Z.csv"):
        path = made.drop(name, as_csv(day_rows(made.site, FIRST)))
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 60_000_000_000))
    asked = tick(made, LANDING, tick(made, LANDING).cursor).run_requests
    assert [one.partition_key for one in asked] == [FIRST.isoformat(), CHANGE.isoformat()]
    assert asked[0].tags["grid_assets/file"] == "feed/reads_20210328T050000Z.csv, feed/reads_20210328T060000Z.csv"
    assert len({one.run_key for one in asked}) == 2


def test_one_landing_at_a_time_reads_what_landed_before_and_writes(fed, monkeypatch):
    held = []

    def free() -> bool:
        try:
            with FileLock(f"{fed.lake.root}/metering/landed_files/.lock", timeout=0):
                return True
        except Timeout:
            return False

    for name in ("land_days", "write_landing"):
        honest = getattr(landing, name)
        monkeypatch.setattr(landing, name, lambda *given, honest=honest, **named: (held.append(not free()), honest(*given, **named))[1])
    assert free()
    with dg.DagsterInstance.ephemeral() as instance:
        job = repository(fed).get_job("all_metering")
        chosen = [dg.AssetKey(key) for key in (LANDED_FILES.key, REJECTED_READINGS.key)]
        tags = {"dagster/partition": FIRST.isoformat()}
        assert job.execute_in_process(tags=tags, asset_selection=chosen, instance=instance).success
    assert held == [True, True]
    assert free()
    assert assets.landed.op.pool == "landing"
