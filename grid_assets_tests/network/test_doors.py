"""The doors in a real Dagster run: tables written, checks recorded, pictures there, the same again the second time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES, PLANTS
from grid_assets.metering.tables import METER_DAYS
from grid_assets.network import assets, checks
from grid_assets.network.tables import (
    BRANCH_LOADINGS,
    BRANCHES,
    BUS_VOLTAGES,
    BUSES,
    CONSTRAINT_VIOLATIONS,
    CONTINGENCY_RESULTS,
    FLOW_CERTIFICATES,
    TOPOLOGIES,
)
from grid_assets.powerflow.networks import load_network
from grid_assets_tests.network import frames

DAY = date(2016, 5, 24)


def seeded(tmp_path: Path, peak_kw: float) -> Platform:
    path, _ = frames.trial_site(tmp_path, minutes=60)
    platform = Platform(site_file=str(path))
    fill(platform, peak_kw)
    return platform


def fill(platform: Platform, peak_kw: float) -> None:
    """What a study reads: one large load spread over the network, a plant, and their forecasts."""
    site = platform.site
    nodes = frames.nodes_frame({"system": None, "primary": "system"})
    plants = frames.plants_frame([("solar", "Bus 7")])
    shape = peak_kw * (0.6 + 0.4 * np.sin(np.linspace(0, 2 * np.pi, 24)))
    for table, frame, key in (
        (METERS, frames.meters_frame([("demand", "primary", None, 40000.0)]), None),
        (NODES, nodes, None),
        (PLANTS, plants, None),
        (METER_DAYS, frames.meter_days_frame({"demand": 9.0e4}, DAY), DAY),
        (DEMAND_FORECASTS, frames.forecast_frame("node_id", {"primary": shape, "system": shape}, site.clock, DAY), DAY),
        (RENEWABLE_FORECASTS, frames.forecast_frame("plant_id", {"solar": 900.0}, site.clock, DAY), DAY),
    ):
        platform.lake.write(table, frame[table.columns], key)


def proof_of(table: str) -> dg.AssetChecksDefinition:
    """The check ``proved`` of one of the network's tables."""
    return next(one for one in checks.proofs if table in {key.asset_key.path[-1] for key in one.check_keys})


def test_every_outage_of_the_day_is_studied_and_told(tmp_path: Path):
    platform = seeded(tmp_path, 30_000.0)
    days = dg.DailyPartitionsDefinition(start_date="2016-03-01", end_date="2016-11-21", timezone="Europe/London")
    outages = assets.contingency_results.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=days))

    def once() -> dg.ExecuteInProcessResult:
        given = {"partition_key": DAY.isoformat(), "resources": {"platform": platform}}
        return dg.materialize([outages, checks.rest_carries_on, proof_of("contingency_results")], **given)

    done = once()
    rows = platform.lake.read(CONTINGENCY_RESULTS, DAY)
    assert len(rows) == len(rows["outage_id"].unique()) > 12
    assert rows["converged"].all()
    told = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert told["rest_carries_on"].passed == (rows["new_violations"] == 0).all()
    assert told["proved"].passed
    assert told["proved"].blocking
    metadata = done.get_asset_materialization_events()[0].materialization.metadata
    assert "outages" in str(metadata["in_words"].value)
    assert "data:image/png" in str(metadata["picture"].value)
    before = platform.lake.content_hash(CONTINGENCY_RESULTS, DAY)
    once()
    assert platform.lake.content_hash(CONTINGENCY_RESULTS, DAY) == before


def run(platform: Platform) -> dg.ExecuteInProcessResult:
    days = dg.DailyPartitionsDefinition(start_date="2016-03-01", end_date="2016-11-21", timezone="Europe/London")
    study = assets.flow_study.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=days))
    topology = dg.materialize([assets.network_topology], resources={"platform": platform})
    assert topology.success
    return dg.materialize(
        [study, checks.certificate, checks.within_limits],
        partition_key=DAY.isoformat(),
        resources={"platform": platform},
        raise_on_error=False,
    )


@pytest.mark.slow
def test_a_day_is_studied_checked_and_pictured(tmp_path: Path):
    platform = seeded(tmp_path, 30_000.0)
    done = run(platform)
    assert done.success
    lake = platform.lake
    voltages, loadings = lake.read(BUS_VOLTAGES, DAY), lake.read(BRANCH_LOADINGS, DAY)
    times = platform.site.clock.intervals(date(2016, 5, 26))
    assert len(voltages) == 15 * 24
    assert set(voltages["start_utc"]) == set(times)
    assert len(loadings) == 17 * 24
    proof = lake.read(FLOW_CERTIFICATES, DAY).iloc[0]
    assert proof["failed_steps"] == 0
    assert proof["residual_max_mva"] < 1e-6
    assert proof["topology_hash"] == lake.read(TOPOLOGIES)["topology_hash"].iloc[0]
    assert proof["minimum_vm_pu"] == voltages["vm_pu"].min()
    assert len(lake.read(BUSES)) == 15
    assert len(lake.read(BRANCHES)) == 17
    said = {one.asset_key.path[-1]: one.metadata for one in done.asset_materializations_for_node("flow_study")}
    assert "data:image/png" in said["bus_voltages"]["picture"].value
    assert "data:image/png" in said["branch_loadings"]["picture"].value
    assert said["flow_certificates"]["violations"].value == len(lake.read(CONSTRAINT_VIOLATIONS, DAY))
    kept = platform.check_results.read([DAY.isoformat()]).set_index("check_name")
    assert kept.loc["certificate", "passed"]
    before = lake.content_hash(BUS_VOLTAGES, DAY), lake.content_hash(FLOW_CERTIFICATES, DAY)
    assert run(platform).success
    assert before == (lake.content_hash(BUS_VOLTAGES, DAY), lake.content_hash(FLOW_CERTIFICATES, DAY))


def test_violations_warn_and_do_not_block(tmp_path: Path):
    platform = seeded(tmp_path, 60_000.0)
    done = run(platform)
    assert done.success
    found = platform.lake.read(CONSTRAINT_VIOLATIONS, DAY)
    assert len(found)
    (warned,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "within_limits"]
    assert not warned.passed
    assert warned.severity == dg.AssetCheckSeverity.WARN
    assert "worst" in (warned.description or "")


@pytest.mark.slow
def test_a_day_that_cannot_converge_fails_and_keeps_what_was_published(tmp_path: Path):
    platform = seeded(tmp_path, 30_000.0)
    assert run(platform).success
    before = platform.lake.content_hash(BUS_VOLTAGES, DAY)
    forecasts = platform.lake.read(DEMAND_FORECASTS, DAY)
    platform.lake.write(DEMAND_FORECASTS, forecasts.assign(mean_kw=forecasts["mean_kw"] * 100), DAY)
    assert not run(platform).success
    assert platform.lake.content_hash(BUS_VOLTAGES, DAY) == before


def test_an_interval_that_does_not_converge_blocks_what_comes_after(tmp_path: Path):
    platform = seeded(tmp_path, 30_000.0)
    forecasts = platform.lake.read(DEMAND_FORECASTS, DAY)
    odd = forecasts["start_utc"] == forecasts["start_utc"].min()
    platform.lake.write(DEMAND_FORECASTS, forecasts.assign(mean_kw=forecasts["mean_kw"].where(~odd, 5e6)), DAY)
    done = run(platform)
    (proof,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "certificate"]
    assert not proof.passed
    assert "1 of 24 intervals did not converge" in (proof.description or "")
    assert len(platform.lake.read(BUS_VOLTAGES, DAY)) == 15 * 23


def test_a_broken_network_file_is_named(tmp_path: Path):
    file = tmp_path / "network.json"
    file.write_text("{not json")
    from grid_assets.powerflow.gate import NetworkError

    with pytest.raises(NetworkError, match=r"network\.json"):
        load_network("file", file)


def test_the_operating_day_is_estimated_told_and_pictured(tmp_path: Path):
    from grid_assets.foundation.registers import DEVICES
    from grid_assets.metering.tables import MEASUREMENTS, READINGS
    from grid_assets.network.tables import ANOMALIES, STATE_ESTIMATES
    from grid_assets_tests.network.measured_day import MeasuredDay

    made = MeasuredDay(tmp_path)
    platform = Platform(site_file=str(made.path))
    given = made.given()
    given["measurements"].loc[given["measurements"]["device_id"] == "V11", "value"] *= 0.95
    for table, name, key in (
        (METERS, "meters", None), (NODES, "nodes", None), (PLANTS, "plants", None), (DEVICES, "devices", None), (READINGS, "readings", DAY),
        (MEASUREMENTS, "measurements", DAY),
    ):  # fmt: skip
        platform.lake.write(table, given[name][table.columns], key)
    days = dg.DailyPartitionsDefinition(start_date="2016-03-01", end_date="2016-11-21", timezone="Europe/London")
    states = assets.state_estimation.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=days))

    def once() -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [states, checks.estimated, checks.measurements_fit], partition_key=DAY.isoformat(), resources={"platform": platform}
        )

    done = once()
    assert done.success
    assert len(platform.lake.read(STATE_ESTIMATES, DAY)) == 24 * 15
    found = platform.lake.read(ANOMALIES, DAY)
    assert (found[found["bad_data"]]["source_id"] == "V11").sum() == 24
    judged = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert judged["estimated"].passed
    assert not judged["measurements_fit"].passed
    assert judged["measurements_fit"].severity == dg.AssetCheckSeverity.WARN
    assert "V11 voltage at Bus 11 in 24 intervals" in (judged["measurements_fit"].description or "")
    said = {one.asset_key.path[-1]: one.metadata for one in done.asset_materializations_for_node("state_estimation")}
    assert all("data:image/png" in said[name]["picture"].value for name in ("state_estimates", "anomalies"))
    assert said["anomalies"]["bad_data"].value >= 24
    before = platform.lake.content_hash(ANOMALIES, DAY)
    assert once().success
    assert platform.lake.content_hash(ANOMALIES, DAY) == before
