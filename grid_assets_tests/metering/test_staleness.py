"""Days that should be made again: why, where it shows, and how they become fresh; corrections by command and job."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from grid_assets.cli import main
from grid_assets.definitions import build_definitions
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES
from grid_assets.jobs import correct_readings
from grid_assets.metering import accounting, checks, measurements, sensors, staleness
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.tables import (
    ALERTS,
    CLASS_PROFILES,
    CLOSING_REGISTERS,
    CORRECTIONS,
    DEVICE_DAYS,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    LANDED_FILES,
    LANDED_MEASUREMENTS,
    MEASUREMENT_FILE_DAYS,
    MEASUREMENTS,
    METER_DAYS,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READING_INPUTS,
    READINGS,
    REJECTED_READINGS,
)
from grid_assets.reporting.publish import ensure_manifest
from grid_assets_tests.metering.conftest import FEED, FIRST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.test_doors import LATE_DATA, _no_docs, repository, tick

CHANGE = date(2021, 3, 28)
FOLDERS = '[metering]\ncorrections = "corrections"\noutages = "outages"\n'
ROW = "c1,m1,2021-03-27T10:00:00Z,2021-03-27T11:00:00Z,replace,0.25,ann,2021-03-29T08:00:00Z,read on site\n"
HEADER = "correction_id,meter_id,start_utc,end_utc,action,energy_kwh,author,entered_utc,reason\n"
DEVICE_FEED = '[[readings]]\nname = "devices"\nfolder = "devices"\npattern = "d_{received}.jsonl"\nformat = "json_lines"\n'
READING_TABLES = (READINGS, FAILED_READINGS, EDITED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES, CLASS_PROFILES)
OUTAGE = "outage_id,meter_id,node_id,start_utc,end_utc,cause\no1,,f1,2021-03-27T10:00:00Z,2021-03-27T12:00:00Z,storm\n"


@pytest.fixture
def entered(make_site) -> MadeSite:
    """The small site with folders for corrections and outages, its first day made."""
    made = make_site(readings=FEED + FOLDERS)
    for folder in ("corrections", "outages"):
        (made.site_file.parent / folder).mkdir()
    made.lake.write(METERS, made.register)
    made.lake.write(NODES, made.nodes)
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    return made


def why(made: MadeSite) -> dict[date, tuple[str, ...]]:
    return {one.day: one.reasons for one in staleness.stale(made.lake, site=made.site)}


def write_entries(made: MadeSite, folder: str, text: str) -> None:
    (made.site_file.parent / folder / "by_hand.csv").write_text(text)


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


# -- measurements -----------------------------------------------------------------------------------------------


def land_measurements(made: MadeSite, name: str, values: dict[str, float]) -> None:
    """Stages a file of voltages as landing does: instant -> value."""
    rows = pd.DataFrame({"read_utc": pd.to_datetime(list(values)), "value": list(values.values())}).assign(
        file_id=name, source_file=f"{name}.jsonl", source_row=range(1, len(values) + 1), day=FIRST, device_id="m1", quantity="voltage",
        unit="V", received_utc=pd.Timestamp("2021-03-28T05:00:00Z"),
    )  # fmt: skip
    made.lake.write(LANDED_MEASUREMENTS, rows, name)
    text = {field.name: None if field.nullable else "" for field in LANDED_FILES.fields}
    listed = {**text, "file_id": name, "input_name": "feed", "file_name": f"{name}.jsonl", "status": "landed",
              "received_utc": pd.Timestamp("2021-03-28T05:00:00Z"), "rows": len(rows), "rows_staged": len(rows), "rows_rejected": 0,
              "rows_superseded": 0, "measurement_days": FIRST.isoformat(), "rows_of_measurement_days": str(len(rows))}  # fmt: skip
    both = pd.DataFrame([*made.lake.read(LANDED_FILES, FIRST).to_dict("records"), listed])
    made.lake.write(LANDED_FILES, both, FIRST)


def run_assets(made: MadeSite, instance: dg.DagsterInstance, day: date, keys, config: dict | None = None) -> dg.ExecuteInProcessResult:
    job = repository(made).get_job("all_metering")
    chosen = [dg.AssetKey(key) for key in keys]
    tags = {"dagster/partition": day.isoformat()}
    return job.execute_in_process(tags=tags, asset_selection=chosen, instance=instance, run_config=config, raise_on_error=False)


def test_measurements_through_the_doors(entered: MadeSite):
    entered.lake.write(DEVICES, DEVICES.empty())
    land_measurements(entered, "v1", {"2021-03-27T10:00:00Z": 230.0, "2021-03-27T10:30:00Z": -5.0})
    assert why(entered) == {FIRST: ("landed measurements are not in it: v1.jsonl",)}
    keys = [table.key for table in (MEASUREMENTS, DEVICE_DAYS, MEASUREMENT_FILE_DAYS)]
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(entered, instance, FIRST, keys)
        assert result.success
        told = {event.asset_key.path[-1]: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert {name: told["measurements"][name].value for name in ("rows", "published", "rejected", "rejected_limits")} == {
        "rows": 2, "published": 1, "rejected": 1, "rejected_limits": 1,
    }  # fmt: skip
    evaluated = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert evaluated == {"rows_accounted": True}
    assert why(entered) == {}
    assert entered.lake.read(MEASUREMENTS, FIRST)["value"].tolist()[0] == 230.0
    land_measurements(entered, "v2", {"2021-03-27T10:00:00Z": 231.0})
    assert why(entered) == {FIRST: ("landed measurements are not in it: v2.jsonl",)}
    assert accounting.measurement_faults(entered.lake, FIRST) == ""  # it landed after the day was made


def test_what_devices_send_lands_and_is_validated(make_site):
    made = make_site(readings=FEED + DEVICE_FEED)
    (made.site_file.parent / "devices").mkdir()
    begin = pd.Timestamp("2020-01-01", tz="UTC")
    battery = {
        "device_id": "b1",
        "kind": "battery_monitor",
        "node_id": "f1",
        "unit_id": None,
        "reporting_s": 900.0,
        "valid_from_utc": begin,
        "valid_to_utc": None,
    }
    made.lake.write(DEVICES, pd.DataFrame([battery]).assign(valid_to_utc=pd.to_datetime(pd.Series([None]), utc=True)))
    made.lake.write(METERS, made.register)
    lines = [
        {"device_id": "b1", "timestamp": f"2021-03-27T10:{minute:02d}:00Z", "measurements": {"soc": soc, "voltage": 0.8}, "units": {"voltage": "kV"}}
        for minute, soc in ((0, 50), (15, 101), (30, 51))
    ]  # fmt: skip
    (made.site_file.parent / "devices" / "d_20210328T050000Z.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    keys = [table.key for table in (LANDED_FILES, REJECTED_READINGS, MEASUREMENTS, DEVICE_DAYS, MEASUREMENT_FILE_DAYS)]
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(made, instance, FIRST, keys)
    assert result.success
    assert all(one.passed for one in result.get_asset_check_evaluations() if one.check_name == "rows_accounted")
    table = made.lake.read(MEASUREMENTS, FIRST)
    assert table.loc[table["quantity"] == "voltage", ["value", "unit"]].drop_duplicates().to_numpy().tolist() == [[800.0, "V"]]
    assert table.loc[table["quantity"] == "soc", "rule_failures"].tolist() == [None, "limits", None]
    days = made.lake.read(DEVICE_DAYS, FIRST).set_index("quantity")
    assert days.loc["soc", ["kind", "values", "expected_values"]].tolist() == ["battery_monitor", 3, 96]
    assert days.loc["soc", "offline_longest_s"] == (13 * 60 + 15) * 60.0


def test_lost_measurements_are_a_fault(entered: MadeSite, monkeypatch):
    entered.lake.write(DEVICES, DEVICES.empty())
    land_measurements(entered, "v1", {"2021-03-27T10:00:00Z": 230.0})
    honest = measurements.measurement_day

    def forgetful(*arguments):
        day = honest(*arguments)
        day.file_days["published"] -= 1
        return day

    monkeypatch.setattr(measurements, "measurement_day", forgetful)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(entered, instance, FIRST, [table.key for table in (MEASUREMENTS, DEVICE_DAYS, MEASUREMENT_FILE_DAYS)])
    (verdict,) = result.get_asset_check_evaluations()
    assert (verdict.passed, verdict.severity, verdict.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)


def test_files_of_energy_and_measurements_are_accounted_together(entered: MadeSite):
    land_measurements(entered, "v1", {"2021-03-27T10:00:00Z": 230.0})
    files, refused = entered.lake.read(LANDED_FILES, FIRST), entered.lake.read(REJECTED_READINGS, FIRST)
    assert accounting.faults_of_landing(files, refused) == ""
    files.loc[files["file_id"] == "v1", "rows_of_measurement_days"] = "2"
    assert "1 rows staged, but its days hold 2" in accounting.faults_of_landing(files, refused)


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
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: _no_docs(entered))
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


# -- corrections by people --------------------------------------------------------------------------------------


def test_a_correction_by_command_is_kept_and_makes_its_days_stale(entered: MadeSite):
    def run(*words: str):
        return CliRunner().invoke(main, ["correct", "--site", str(entered.site_file), *words])

    said = ("--author", "ann", "--reason", "read on site")
    done = run("m1", "2021-03-27T10:00", "2021-03-27T11:00", "--replace", "0.25", *said)
    assert done.exit_code == 0, done.output
    assert "replace m1 from 2021-03-27T10:00Z to 2021-03-27T11:00Z" in done.output
    assert "2021-03-27; the next `grid-assets daily`" in done.output
    assert why(entered) == {FIRST: ("its corrections changed (entered.csv)",)}
    assert "give one of" in run("m1", "2021-03-27T10:00", "2021-03-27T11:00", "--reject", "--accept", *said).output
    assert "the clocks change there" in run("m1", "2021-03-28T01:30", "2021-03-28T03:00", "--reject", *said).output
    assert "is not in the register" in run("m8", "2021-03-27T10:00", "2021-03-27T11:00", "--reject", *said).output
    assert len(corrections_of(entered.site, entered.lake).rows) == 1


@pytest.mark.slow
def test_a_correction_survives_every_materialisation_and_the_later_one_counts(entered: MadeSite, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: _no_docs(entered))
    first = ROW.replace("c1", "c0").replace("0.25", "0.75").replace("2021-03-29T08", "2021-03-29T07")
    write_entries(entered, "corrections", HEADER + ROW + first + "c2,m1,soon,later,reject,,ann,2021-03-29T08:00:00Z,bad row\n")
    keys = [table.key for table in (CORRECTIONS, OUTAGE_EVENTS, RAW_READINGS, *READING_TABLES)]
    contents = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            result = run_assets(entered, instance, FIRST, keys)
            assert result.success
            contents.append([entered.lake.content_hash(table, FIRST) for table in READING_TABLES])
            refused = next(
                one
                for one in result.get_asset_check_evaluations()
                if one.asset_key.path[-1] == "corrections" and one.check_name != "schema"
            )
            assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.WARN)
            assert "by_hand.csv, line 4: start_utc = 'soon'" in refused.description
    assert contents[0] == contents[1]
    rows = entered.lake.read(READINGS, FIRST).query("meter_id == 'm1' and quality == 'edited'")
    assert rows["start_utc"].dt.strftime("%H:%M").tolist() == ["10:00", "10:30"]
    assert (rows["energy_kwh"].tolist(), rows["method"].tolist()) == ([0.25, 0.25], ["correction", "correction"])
    edited = entered.lake.read(EDITED_READINGS, FIRST)
    assert edited[["correction_id", "author", "reason"]].drop_duplicates().to_numpy().tolist() == [["c1", "ann", "replace: read on site"]]
    assert edited["replaced_kwh"].tolist() == pytest.approx(day_rows(entered.site, FIRST, ("m1",))["value"][20:22].tolist())


def test_a_site_without_a_folder_takes_no_corrections(made: MadeSite):
    words = [
        "correct",
        "--site",
        str(made.site_file),
        "m1",
        "2021-03-27T10:00",
        "2021-03-27T11:00",
        "--reject",
        "--author",
        "a",
        "--reason",
        "b",
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "name their folder in the site file: [metering] corrections" in done.output


def test_a_correction_by_job_says_which_days_to_materialise(entered: MadeSite):
    told = {
        "meter_id": "m1",
        "start": "2021-03-27T23:00:00+00:00",
        "end": "2021-03-28T01:00:00+00:00",
        "action": "reject",
        "author": "ann",
        "reason": "swapped",
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = correct_readings.execute_in_process(
            run_config={"ops": {"enter_correction": {"config": told}}},
            resources={"platform": Platform(site_file=str(entered.site_file))},
            instance=instance,
        )
        (output,) = [one for one in result.all_events if one.is_successful_output]
    assert output.step_output_data.metadata["days_to_materialise"].value == "2021-03-27, 2021-03-28"
    (row,) = corrections_of(entered.site, entered.lake).rows.to_dict("records")
    assert (row["action"], row["author"], row["reason"]) == ("reject", "ann", "swapped")
    assert row["entered_utc"] <= datetime.now(UTC)


def test_an_outage_that_is_open_for_too_long_warns_with_the_days_run(entered: MadeSite):
    write_entries(entered, "outages", "outage_id,node_id,start_utc\no1,f1,2021-03-01T10:00:00Z\n")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(entered, instance, FIRST, [OUTAGE_EVENTS.key])
    assert result.success
    (told,) = (one for one in result.get_asset_check_evaluations() if one.check_name == "entries_readable")
    assert not told.passed
    assert "o1 of f1 has no end" in str(told.description) + str(told.metadata)
