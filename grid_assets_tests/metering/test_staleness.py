"""Days that should be made again: why, where it shows, and how they become fresh."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.definitions import build_definitions
from grid_assets.foundation.registers import DEVICES, METERS
from grid_assets.metering import checks, sensors, staleness
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.tables import (
    ALERTS,
    CLOSING_REGISTERS,
    CORRECTIONS,
    LANDED_FILES,
    READING_INPUTS,
    READINGS,
    REJECTED_READINGS,
)
from grid_assets.reporting.publish import ensure_manifest
from grid_assets_tests.metering.conftest import CHANGE, FIRST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.doors import HEADER, LATE_DATA, OUTAGE, ROW, repository, run_assets, tick, why, without_docs, write_entries


def test_a_day_is_fresh_until_a_correction_or_an_outage_touches_it(entered: MadeSite):
    assert why(entered) == {}
    write_entries(entered, "corrections", HEADER + ROW.replace("2021-03-27", "2021-03-29"))
    assert why(entered) == {}  # of another day
    write_entries(entered, "corrections", HEADER + ROW)
    assert why(entered) == {FIRST: ("its corrections changed (by_hand.csv)",)}
    assert staleness.stale(entered.lake) == []  # without the site its folders are not looked at
    write_entries(entered, "outages", OUTAGE)
    assert why(entered)[FIRST] == ("its corrections changed (by_hand.csv)", "its outage events changed (by_hand.csv)")
    write_entries(entered, "outages", OUTAGE.replace("f1", "f77"))  # refused: no such node
    assert why(entered) == {FIRST: ("its corrections changed (by_hand.csv)",)}
    entered.lake.write(CORRECTIONS, corrections_of(entered.site, entered.lake).of_day(entered.site.clock, FIRST), FIRST)
    assert why(entered) == {FIRST: ("its corrections changed",)}  # in the lake, but the readings are older
    entered.make(FIRST)
    assert why(entered) == {}
    write_entries(entered, "corrections", HEADER)
    assert why(entered) == {FIRST: ("its corrections changed (by_hand.csv)",)}  # a withdrawn one counts as well


def test_register_reads_of_the_day_before_make_a_day_stale(entered: MadeSite):
    read = pd.Timestamp("2021-03-27T00:00:00Z")
    row = {"meter_id": "m1", "read_utc": read, "value": 7.0, "unit": "kWh", "kind": "register", "file_id": "f", "source_file": "f.csv",
           "source_row": 1, "received_utc": read}  # fmt: skip
    entered.lake.write(CLOSING_REGISTERS, pd.DataFrame([row]), FIRST - timedelta(days=1))
    assert why(entered) == {FIRST: ("the register reads of 2021-03-26, which open it, changed",)}
    entered.make(FIRST)
    assert why(entered) == {}


def test_late_rows_are_named_by_their_file_and_the_mark_changes_with_them(entered: MadeSite):
    late = day_rows(entered.site, FIRST, ("m1",))
    entered.drop("reads_20210329T050000Z.csv", as_csv(late.head(3)))
    entered.land(CHANGE)
    (one,) = staleness.stale(entered.lake, site=entered.site)
    assert str(one) == "2021-03-27: landed rows are not in it: reads_20210329T050000Z.csv"
    assert staleness.stale(entered.lake, site=entered.site) == [one]
    assert staleness.stale(entered.lake, since=CHANGE) == []
    entered.drop("reads_20210329T060000Z.csv", as_csv(late.tail(3)))
    entered.land(CHANGE)
    (other,) = staleness.stale(entered.lake, site=entered.site)
    assert other.mark != one.mark
    assert "reads_20210329T060000Z.csv" in str(other)


def test_a_day_is_stale_when_what_a_like_day_measured_changed(make_site):
    made = make_site(last=FIRST + timedelta(days=30))
    first, second, third = (FIRST + timedelta(days=n) for n in (7, 14, 21))
    made.lake.write(METERS, made.register)
    for day in (first, second, third):
        rows = day_rows(made.site, day)
        kept = rows[(rows["meter"] != "m1") | (np.arange(len(rows)) > 40)] if day == second else rows
        made.drop(f"reads_{day + timedelta(days=1):%Y%m%d}T050000Z.csv", as_csv(kept))
        made.land(day)
        made.make(day)
    assert why(made) == {}
    rows = day_rows(made.site, first, ("m1",))
    made.drop(f"reads_{first + timedelta(days=1):%Y%m%d}T060000Z.csv", as_csv(rows.assign(value=rows["value"] * 1.5)))
    made.land(first)
    assert list(why(made)) == [first]  # in the order of days: its like days are made from what it has then
    estimated = made.lake.read(READINGS, second)["energy_kwh"].tolist()
    made.make(first)
    reason = ("readings of its like days changed, the same weekday of the 3 weeks before",)
    assert why(made) == {second: reason, third: reason}
    assert staleness.stale(made.lake) == []  # without the site it is not known which days are alike
    made.make(second)
    assert made.lake.read(READINGS, second)["energy_kwh"].tolist() != estimated
    assert why(made) == {third: reason}  # by the first day; another estimate of the second would not do
    made.make(third)
    assert why(made) == {}


def test_changed_rules_and_alerts_left_open_make_a_day_stale(entered: MadeSite):
    def with_rules(site, section: str, **keys):
        return site.model_copy(update={section: getattr(site, section).model_copy(update=keys)})

    def reasons(site) -> list[tuple[str, ...]]:
        return [one.reasons for one in staleness.stale(entered.lake, site=site)]

    site = entered.site
    assert reasons(with_rules(site, "validation", minimum_valid_pct=12.0)) == []  # no table is made from it
    assert reasons(with_rules(site, "validation", stuck_intervals=99)) == [("[validation] of the site file changed",)]
    assert reasons(with_rules(site, "alerts", meter_offline_minutes=999)) == [("[alerts] of the site file changed",)]
    begin = pd.Timestamp("2021-03-26T10:00:00Z")
    texts = {one.name: "x" for one in ALERTS.fields if pa.types.is_string(one.type)}
    numbers = {one.name: 1.0 for one in ALERTS.fields if pa.types.is_floating(one.type)}
    alert = texts | numbers | {"opened_utc": begin}
    closed = pd.DataFrame([alert | {"closed_utc": begin + pd.Timedelta("1h")}])
    entered.lake.write(ALERTS, closed, FIRST - timedelta(days=1))
    assert reasons(site) == []
    entered.lake.write(ALERTS, closed.assign(closed_utc=pd.to_datetime(pd.Series([None]), utc=True)), FIRST - timedelta(days=1))
    assert reasons(site) == [("the alerts that 2021-03-26 left open changed",)]
    entered.make(FIRST)
    assert reasons(site) == []


def test_readings_without_a_note_of_their_inputs_are_stale(entered: MadeSite):
    entered.lake.write(READING_INPUTS, READING_INPUTS.empty(), FIRST)
    ((reason,),) = why(entered).values()
    assert reason.startswith("it is not noted what its readings were made from")


# -- where it shows ---------------------------------------------------------------------------------------------


def shown(instance: dg.DagsterInstance) -> tuple[bool, str]:
    """What the UI shows of the check up_to_date: whether it passed, and its words."""
    key = dg.AssetCheckKey(dg.AssetKey(READINGS.key), staleness.UP_TO_DATE)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    verdict = record.event.dagster_event.asset_check_evaluation_data
    assert verdict.severity == dg.AssetCheckSeverity.WARN
    return verdict.passed, verdict.description


@pytest.mark.slow
def test_late_rows_show_in_the_ui_and_the_sensors_run_makes_the_day_fresh(entered: MadeSite, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(entered))
    entered.lake.write(DEVICES, DEVICES.empty())
    late = day_rows(entered.site, FIRST, ("m1",))
    entered.drop("reads_20210329T050000Z.csv", as_csv(late.assign(value=late["value"] * 1.1)))
    with dg.DagsterInstance.ephemeral() as instance:
        landed = run_assets(entered, instance, CHANGE, [LANDED_FILES.key, REJECTED_READINGS.key])
        assert landed.success
        said = "2021-03-27: landed rows are not in it: reads_20210329T050000Z.csv"
        assert shown(instance) == (False, f"1 days are stale and should be made again: {said}")
        files = next(one for one in landed.get_asset_materialization_events() if one.asset_key.path[-1] == "landed_files")
        assert said in files.materialization.metadata["stale_days_and_why"].value
        (asked,) = tick(entered, LATE_DATA).run_requests
        assert asked.partition_key == FIRST.isoformat()
        day = sensors.DAY.resolve(repository(entered).asset_graph)
        assert dg.AssetKey(LANDED_FILES.key) not in day
        result = run_assets(entered, instance, FIRST, [key.path for key in day])
        assert result.success
        assert shown(instance) == (True, "as expected")
    assert why(entered) == {}
    assert tick(entered, LATE_DATA).run_requests == []
    m1 = entered.lake.read(READINGS, FIRST).query("meter_id == 'm1'")["energy_kwh"]
    assert m1.tolist() == pytest.approx((late["value"] * 1.1).tolist())


@pytest.mark.parametrize(("mode", "status"), [("replay", "STOPPED"), ("live", "RUNNING")])
def test_the_late_data_sensor_runs_from_the_start_on_live_sites(entered: MadeSite, mode: str, status: str):
    calendar = entered.site.calendar.model_copy(update={"mode": mode})
    found = {one.name: one.default_status.name for one in sensors.sensors_of(entered.site.model_copy(update={"calendar": calendar}))}
    assert found == {"landing_sensor": "STOPPED", "late_data_sensor": status}


@pytest.mark.slow
def test_the_sensor_and_the_job_are_part_of_a_sites_definitions(entered: MadeSite):
    ensure_manifest()
    definitions = build_definitions(entered.site_file, entered.site)
    repo = definitions.get_repository_def()
    assert {"landing_sensor", "late_data_sensor"} <= {one.name for one in repo.sensor_defs}
    asked = {key.path[-1] for key in sensors.DAY.resolve(repo.asset_graph)}
    assert {"raw_readings", "readings", "measurements", "corrections", "outage_events", "node_loads"} <= asked
    assert "landed_files" not in asked
    assert repo.has_job("correct_readings")
