"""Measurements through the doors: landed, validated, accounted for."""

from __future__ import annotations

import json

import dagster as dg
import pandas as pd

from grid_assets.foundation.registers import DEVICES, METERS
from grid_assets.metering import accounting, measurements
from grid_assets.metering.tables import (
    DEVICE_DAYS,
    LANDED_FILES,
    MEASUREMENT_FILE_DAYS,
    MEASUREMENTS,
    REJECTED_READINGS,
)
from grid_assets_tests.metering.conftest import FEED, FIRST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.doors import (
    DEVICE_FEED,
    land_measurements,
    run_assets,
    why,
)


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
    made.lake.write(
        DEVICES, pd.DataFrame([battery]).assign(valid_to_utc=pd.to_datetime(pd.Series([None]), utc=True), bus_id=None, branch_id=None)
    )
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
