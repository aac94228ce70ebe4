"""The doors of node loads, balances, usage and alerts: a range of days, an outage over midnight, late data, an acknowledgement."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.alerts import AlertStore
from grid_assets.foundation.dagster.partitions import partitions_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES
from grid_assets.metering import assets, checks
from grid_assets.metering.quality.alert_inputs import qualities_of, worst_meters
from grid_assets.metering.tables import (
    ALERTS,
    MEASUREMENTS,
    METER_DAYS,
    NODE_BALANCES,
    NODE_LOAD_VERSIONS,
    NODE_LOADS,
    READING_VERSIONS,
    READINGS,
    USAGE_ANOMALIES,
    USAGE_SHAPES,
)
from grid_assets_tests.metering.conftest import FIRST, MadeSite

SECOND = FIRST + timedelta(days=1)
MADE = (NODE_LOADS, NODE_BALANCES, NODE_LOAD_VERSIONS, READING_VERSIONS, USAGE_SHAPES, USAGE_ANOMALIES, ALERTS)
NOW = datetime(2021, 4, 1, tzinfo=UTC)
OF_F1 = [f"a{n}" for n in range(8)]


def register() -> pd.DataFrame:
    rows = [(one, "load", "f1") for one in OF_F1] + [(f"b{n}", "load", "f2") for n in range(8)] + [("main", "boundary", "f2")]
    frame = pd.DataFrame(rows, columns=["meter_id", "kind", "node_id"])
    return frame.assign(
        bus_id=None, customer_class="residential", rating_kw=10.0, power_factor=None, net_metered=False,
        valid_from_utc=pd.Timestamp("2020-01-01", tz="UTC"), valid_to_utc=pd.NaT, register_modulus_kwh=None,
    )  # fmt: skip


def write_readings(made: MadeSite, day: date, silent: dict[str, tuple[int, int]], boundary_kwh: float = 8.4):
    """A day on which the loads use 1 kWh an interval in the mean; ``silent``: the intervals [first, last) in which a meter says nothing."""
    meters, starts = register(), made.site.clock.intervals(day)
    size = len(starts)
    noise = np.random.default_rng(day.toordinal()).uniform(-0.4, 0.4, (2, 8, size))  # constant readings would be told as filled
    noise = (noise - noise.mean(axis=1, keepdims=True)).reshape(16, size)  # a feeder's sum is 8 kWh all the same
    energy = np.vstack([1.0 + noise, boundary_kwh + np.random.default_rng(day.toordinal()).permutation(np.linspace(-0.1, 0.1, size))])
    quality = np.full(energy.shape, "measured", object)
    for meter, (first, last) in silent.items():
        quality[meters["meter_id"].tolist().index(meter), first:last] = "missing"
    energy[quality == "missing"] = np.nan
    ids = np.repeat(meters["meter_id"].to_numpy(), size)
    frame = pd.DataFrame(
        {"meter_id": ids, "start_utc": np.tile(starts, len(meters)), "energy_kwh": energy.ravel(), "quality": quality.ravel()}
    )
    frame["start_utc"] = starts[np.tile(np.arange(size), len(meters))]
    made.lake.write(READINGS, frame.assign(method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None), day)
    valid = (quality == "measured").sum(axis=1)
    days = pd.DataFrame(dict.fromkeys(METER_DAYS.columns), index=meters.index).assign(
        meter_id=meters["meter_id"], day=day, kind=meters["kind"], node_id=meters["node_id"], expected_intervals=size, valid_intervals=valid,
        valid_pct=100.0 * valid / size, estimated_intervals=0, missing_intervals=size - valid, energy_kwh=np.nansum(energy, axis=1),
        offline_longest_s=0.0, edited_intervals=0,
    )  # fmt: skip
    made.lake.write(METER_DAYS, days, day)


def run(made: MadeSite, first: date, last: date) -> dg.ExecuteInProcessResult:
    doors = dg.load_definitions_from_modules([assets, checks])
    placed = doors.map_asset_specs(
        func=lambda spec: spec.replace_attributes(partitions_def=partitions_of(spec.metadata.get("partition", "none"), made.site))
    )
    job = dg.define_asset_job("alerts_only", selection=dg.AssetSelection.assets(*(table.key for table in MADE)))
    rest = dg.Definitions(jobs=[job], resources={"platform": Platform(site_file=str(made.site_file))}, executor=dg.in_process_executor)
    tags = {"dagster/asset_partition_range_start": first.isoformat(), "dagster/asset_partition_range_end": last.isoformat()}
    tags = {"dagster/partition": first.isoformat()} if first == last else tags
    return dg.Definitions.merge(placed, rest).get_repository_def().get_job("alerts_only").execute_in_process(tags=tags)


@pytest.fixture
def troubled(made: MadeSite) -> MadeSite:
    """Feeder f1 is silent from 22:00 of the first day to 02:00 of the second."""
    made.lake.write(METERS, register())
    made.lake.write(NODES, made.nodes)
    made.lake.write(DEVICES, DEVICES.empty())
    write_readings(made, FIRST, dict.fromkeys(OF_F1, (44, 48)))
    write_readings(made, SECOND, dict.fromkeys(OF_F1, (0, 4)))
    return made


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are composed but not drawn: they are most of a run's time here."""
    monkeypatch.setattr("grid_assets.figures.style.png", lambda made: b"undrawn")


def store(made: MadeSite) -> AlertStore:
    return AlertStore(made.site.ledger_url)


def outage(frame: pd.DataFrame) -> list[tuple]:
    rows = frame[frame["kind"] == "area_outage"]
    return [(one.subject, one.opened_utc.isoformat()[:16], None if pd.isna(one.closed_utc) else one.closed_utc.isoformat()[:16]) for one in rows.itertuples()]  # fmt: skip


def test_a_range_of_days_makes_all_tables_and_the_store_tells_the_same(troubled):
    result = run(troubled, FIRST, SECOND)
    assert result.success
    shown = {event.asset_key.path[-1]: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert all("image/png" in shown[name]["picture"].value for name in ("node_loads", "node_balances", "alerts"))
    assert "image/png" in shown["node_loads"]["quality"].value
    lake = troubled.lake
    assert outage(lake.read(ALERTS, FIRST)) == [("f1", "2021-03-27T22:15", None)]
    assert outage(lake.read(ALERTS, SECOND)) == [("f1", "2021-03-27T22:15", "2021-03-28T02:15")]
    assert outage(store(troubled).read()) == [("f1", "2021-03-27T22:15", "2021-03-28T02:15")]
    assert set(lake.read(USAGE_SHAPES, FIRST)["meter_id"]) == set(register()["meter_id"]) - {"main"}
    balanced = lake.read(NODE_BALANCES, SECOND)
    assert set(balanced["node_id"]) == {"f2"}
    assert balanced["residual_kwh"].mean() == pytest.approx(0.4)
    assert lake.read(NODE_LOADS, FIRST).query("node_id == 'system' and valid_pct == 100")["energy_kwh"].to_numpy() == pytest.approx(16)


@pytest.mark.slow
def test_each_day_again_changes_nothing_and_an_acknowledgement_stays(troubled, undrawn):
    run(troubled, FIRST, SECOND)
    hashes = {(table, day): troubled.lake.content_hash(table, day) for table in MADE for day in (FIRST, SECOND)}
    before = store(troubled).read()
    (alert,) = before.loc[before["kind"] == "area_outage", "alert_id"]
    store(troubled).acknowledge(alert, "Ana", NOW)
    for day in (SECOND, FIRST):
        run(troubled, day, day)
    assert {(table, day): troubled.lake.content_hash(table, day) for table, day in hashes} == hashes
    after = store(troubled).read()
    assert after.drop(columns=["acknowledged_by", "acknowledged_utc"]).equals(before.drop(columns=["acknowledged_by", "acknowledged_utc"]))
    assert after.set_index("alert_id").loc[alert, "acknowledged_by"] == "Ana"


@pytest.mark.slow
def test_late_readings_withdraw_what_never_was(troubled, undrawn):
    run(troubled, FIRST, SECOND)
    (alert,) = store(troubled).read().query("kind == 'area_outage'")["alert_id"]
    store(troubled).acknowledge(alert, "Ana", NOW)
    write_readings(troubled, FIRST, {})
    write_readings(troubled, SECOND, {})
    run(troubled, FIRST, SECOND)
    assert troubled.lake.read(ALERTS, [FIRST, SECOND]).empty
    row = store(troubled).read().set_index("alert_id").loc[alert]
    assert (pd.notna(row["withdrawn_utc"]), row["acknowledged_by"]) == (True, "Ana")
    assert store(troubled).read(only_open=True).empty


def test_a_node_out_of_balance_is_warned_of_and_blocks_nothing(troubled, undrawn):
    write_readings(troubled, FIRST, {}, boundary_kwh=12.0)
    result = run(troubled, FIRST, FIRST)
    assert result.success
    (verdict,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "balanced"]
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "f2: +192.0 kWh are not accounted for, +33.3 %" in verdict.description
    assert not troubled.lake.read(ALERTS, FIRST).shape[0]


def test_a_silent_device_is_told_and_a_site_without_measurements_closes_nothing(troubled, undrawn):
    devices = pd.DataFrame({"device_id": ["d1"], "kind": ["grid_sensor"], "node_id": ["f1"], "unit_id": [None], "reporting_s": [60.0],
                            "valid_from_utc": [pd.Timestamp("2020-01-01", tz="UTC")], "valid_to_utc": [pd.NaT], "bus_id": [None], "branch_id": [None]})  # fmt: skip
    troubled.lake.write(DEVICES, devices)
    times = pd.date_range("2021-03-27T00:00Z", "2021-03-27T12:00Z", freq="60s")
    reports = pd.DataFrame({"device_id": "d1", "quantity": "voltage", "read_utc": times, "value": 230.0, "unit": "V", "quality": "measured",
                            "quality_code": "3.0.0", "rule_failures": None, "arrived_value": 230.0})  # fmt: skip
    troubled.lake.write(MEASUREMENTS, reports, FIRST)
    run(troubled, FIRST, SECOND)
    for day in (FIRST, SECOND):  # of the second day there are no measurements at all
        (row,) = troubled.lake.read(ALERTS, day).query("subject == 'd1'").itertuples()
        assert (row.kind, row.opened_utc) == ("device_offline", pd.Timestamp("2021-03-27T12:05Z"))
        assert pd.isna(row.closed_utc)


def test_the_worst_meters_and_their_qualities(troubled):
    worst = worst_meters(troubled.lake.read(METER_DAYS, FIRST), 3)
    assert worst["meter_id"].tolist() == ["a0", "a1", "a2"]
    qualities = qualities_of(troubled.lake, FIRST, ["a0", "b0", "unknown"], troubled.site.clock.intervals(FIRST))
    assert (qualities == "missing").sum(axis=1).tolist() == [4, 0, 48]
