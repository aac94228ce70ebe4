"""The doors in a real Dagster run over a lake with 40 days of history."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting import assets, checks, inputs
from grid_assets.forecasting.tables import (
    DEMAND_FORECASTS,
    FORECAST_ACCURACY,
    INTRADAY_FORECASTS,
    METER_FORECASTS,
    MODELS,
    RENEWABLE_FORECASTS,
    RENEWABLE_MODELS,
)
from grid_assets.foundation.dagster.partitions import site_days
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import NODES, PLANTS
from grid_assets.metering.tables import LOADS_UNDER_WAY, NODE_LOAD_VERSIONS, NODE_LOADS, READING_VERSIONS, READINGS
from grid_assets_tests.conftest import SHARED, SITES
from grid_assets_tests.forecasting import worlds

DAY = date(2009, 4, 20)
HISTORY = 40


@pytest.fixture
def platform(tmp_path, monkeypatch) -> Platform:
    """The edrp site (no weather), with made-up loads and one water wheel in its lake."""
    monkeypatch.setenv("GRID_ASSETS_STATE", str(tmp_path))
    monkeypatch.setenv("GRID_ASSETS_SHARED", str(SHARED))
    made = Platform(site_file=str(SITES / "edrp.toml"))
    clock, lake = made.site.clock, made.lake
    first = DAY - timedelta(days=HISTORY)
    loads = worlds.node_loads(clock, first, DAY, ("system", "feeder"))
    for day, rows in loads.groupby(clock.days_of(loads["start_utc"])):
        lake.write(NODE_LOADS, rows, day)
        starts = clock.intervals(day)
        wheel = pd.DataFrame({"meter_id": "wheel", "start_utc": starts, "energy_kwh": 2.0 + 0.1 * np.cos(np.arange(len(starts)))})
        lake.write(READINGS, wheel.assign(quality="measured", method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None), day)
    nodes = pd.DataFrame({"node_id": ["system", "feeder"], "level": ["system", "feeder"], "parent_id": [None, "system"]})
    lake.write(NODES, nodes.assign(title="t", import_limit_kw=None, export_limit_kw=None))
    plant = {"plant_id": "wheel", "kind": "hydro", "meter_id": "wheel", "node_id": "feeder", "bus_id": None, "rating_kw": 5.0}
    lake.write(PLANTS, pd.DataFrame([plant]))
    return made


def materialise(platform: Platform, config: dict | None = None) -> dg.ExecuteInProcessResult:
    days = site_days(platform.site)
    loaded = dg.load_definitions_from_modules([assets, checks])
    placed = loaded.map_asset_specs(func=lambda spec: spec.replace_attributes(partitions_def=days))
    definitions = dg.Definitions.merge(
        placed, dg.Definitions(jobs=[dg.define_asset_job("run", partitions_def=days)], resources={"platform": platform})
    )
    job = definitions.resolve_job_def("run")
    run_config = {"ops": {"demand_forecasts": {"config": config}}} if config else None
    return job.execute_in_process(partition_key=DAY.isoformat(), run_config=run_config)


def test_day_run_publishes_all_tables_with_checks_and_pictures(platform):
    result = materialise(platform)
    assert result.success
    demand = platform.lake.read(DEMAND_FORECASTS, DAY)
    assert len(demand) == 2 * (30 + 7 * 48)  # from nine on the day of issue, and seven days after it
    assert set(demand["node_id"]) == {"system", "feeder"}
    assert platform.lake.read(MODELS, DAY)["beats_naive"].all()
    assert len(platform.lake.read(RENEWABLE_FORECASTS, DAY)) == 78
    assert platform.lake.read(RENEWABLE_MODELS, DAY)["subject_id"].tolist() == ["hydro"]
    assert set(demand["readings_version"]) == set(platform.lake.read(MODELS, DAY)["readings_version"])
    assert demand["readings_version"].nunique() == 1
    renewable = set(platform.lake.read(RENEWABLE_FORECASTS, DAY)["readings_version"])
    assert set(platform.lake.read(RENEWABLE_MODELS, DAY)["readings_version"]) == renewable
    assert len(renewable) == 1
    scores = platform.lake.read(FORECAST_ACCURACY, DAY).set_index("subject_id")
    assert set(scores.index) == {"system", "feeder", "hydro"}
    assert scores.loc["system", "mae_kw"] < 1.2 * scores.loc["system", "naive_mae_kw"]
    found = {(one.asset_key.path[-1], one.check_name): one.passed for one in result.get_asset_check_evaluations()}
    assert found[("demand_forecasts", "no_gap")]
    assert found[("models", "beats_naive")]
    assert found[("renewable_forecasts", "all_plants")]
    reports = {one.asset_key.path[-1]: one.metadata for one in result.get_asset_materialization_events() for one in [one.materialization]}
    assert "data:image/png" in reports["demand_forecasts"]["picture"].value
    assert "system" in reports["demand_forecasts"]["coverage_of_the_last_28_days"].value
    mean = scores.loc[["system", "feeder"], "coverage_90_pct"].mean()
    assert reports["demand_forecasts"]["mean_coverage_pct"].value == pytest.approx(mean, abs=0.06)
    assert str(reports["forecast_accuracy"]["demand_forecast_from"].value).startswith("made again")


def test_again_is_the_same_and_known_until_is_another(platform):
    tables = (DEMAND_FORECASTS, MODELS, RENEWABLE_FORECASTS, FORECAST_ACCURACY)
    materialise(platform)
    before = [platform.lake.content_hash(table, DAY) for table in tables]
    materialise(platform)
    assert [platform.lake.content_hash(table, DAY) for table in tables] == before
    early = (platform.site.clock.midnight(DAY) - timedelta(hours=5)).isoformat()
    assert materialise(platform, {"known_until": early}).success
    assert platform.lake.content_hash(DEMAND_FORECASTS, DAY) != before[0]


def test_a_forecast_says_which_version_of_the_loads_it_was_made_from(platform):
    materialise(platform)
    version = platform.lake.read(DEMAND_FORECASTS, DAY)["readings_version"].iloc[0]
    before = DAY - timedelta(days=1)
    loads = platform.lake.read(NODE_LOADS, before)
    platform.lake.write(NODE_LOADS, loads.assign(energy_kwh=1.01 * loads["energy_kwh"]), before)
    materialise(platform)
    assert platform.lake.read(DEMAND_FORECASTS, DAY)["readings_version"].iloc[0] != version


def test_loads_that_arrive_after_the_issue_time_change_nothing_of_a_forecast_made_again(platform):
    lake, issued = platform.lake, pd.Timestamp(platform.site.clock.issue_time(DAY))
    kept = {}
    for day in inputs.history_of(platform.site, DAY):
        loads = lake.read(NODE_LOADS, day)
        rows = loads[["node_id", "start_utc", "energy_kwh"]].assign(known_pct=loads["published_pct"])
        kept[day] = rows.assign(known_utc=issued - pd.Timedelta(hours=1))
        lake.write(NODE_LOAD_VERSIONS, kept[day], day)
    materialise(platform)
    made = {table: lake.content_hash(table, DAY) for table in (DEMAND_FORECASTS, MODELS)}
    for day, rows in kept.items():
        later = rows.assign(energy_kwh=3.0 * rows["energy_kwh"], known_utc=issued + pd.Timedelta(minutes=30))
        lake.write(NODE_LOAD_VERSIONS, pd.concat([rows, later]), day)
    materialise(platform)
    assert {table: lake.content_hash(table, DAY) for table in made} == made
    later = {"known_until": (issued + pd.Timedelta(minutes=30)).isoformat()}
    materialise(platform, later)
    assert lake.content_hash(DEMAND_FORECASTS, DAY) != made[DEMAND_FORECASTS]


def test_generation_that_arrives_after_the_issue_time_changes_nothing_of_a_forecast_made_again(platform):
    lake, clock, tables = platform.lake, platform.site.clock, (RENEWABLE_FORECASTS, RENEWABLE_MODELS, METER_FORECASTS)
    yesterday, issued = DAY - timedelta(days=1), pd.Timestamp(clock.issue_time(DAY))
    rows = lake.read(READINGS, yesterday)
    half = rows["start_utc"] < rows["start_utc"].iloc[24]
    lake.write(READINGS, rows.assign(energy_kwh=rows["energy_kwh"].mask(half), quality=rows["quality"].mask(half, "missing")), yesterday)
    materialise(platform)
    made = {table: lake.content_hash(table, DAY) for table in tables}
    late = rows[half].assign(energy_kwh=7.0)
    lake.write(READINGS, pd.concat([late, rows[~half]]), yesterday)  # half a day came an hour late
    late = late[["meter_id", "start_utc", "energy_kwh"]].assign(known_utc=issued + pd.Timedelta(hours=1))
    lake.write(READING_VERSIONS, late, yesterday)
    materialise(platform)
    assert {table: lake.content_hash(table, DAY) for table in tables} == made
    lake.write(READING_VERSIONS, late.assign(known_utc=issued - pd.Timedelta(hours=1)), yesterday)
    materialise(platform)
    assert lake.content_hash(RENEWABLE_FORECASTS, DAY) != made[RENEWABLE_FORECASTS]


def test_a_gap_stops_what_comes_after(platform):
    materialise(platform)
    loads = platform.lake.read(NODE_LOADS, DAY)
    ghost = loads[loads["node_id"] == "feeder"].assign(node_id="ghost")
    forecasts = platform.lake.read(DEMAND_FORECASTS, DAY)
    platform.lake.write(NODE_LOADS, pd.concat([loads, ghost]), DAY)
    clock = platform.site.clock
    from grid_assets.forecasting import faults

    said = faults.gaps(forecasts.iloc[1:].assign(p05_kw=1e9), "node_id", ["system", "feeder", "ghost"], clock, DAY)
    assert "ghost is not forecast" in said
    assert "1 of 366 intervals missing" in said
    assert "quantiles cross" in said
    assert "2 rows with" not in said
    assert faults.gaps(forecasts, "node_id", ["system", "feeder"], clock, DAY) == ""


def test_warnings_are_said_in_words():
    from grid_assets.forecasting import faults

    models = pd.DataFrame({"subject_id": ["a", "b"], "model": ["weekly_naive", "calendar_weather"], "beats_naive": [False, True]})
    models = models.assign(backtest_mae_kw=3.0, naive_mae_kw=2.0)
    assert faults.loses_to_naive(models, "a").startswith("a: weekly_naive is published")
    assert faults.loses_to_naive(models, "b") == ""
    assert faults.loses_to_naive(models, None).count("published") == 1
    scores = pd.DataFrame({"subject_id": ["a", "b"], "coverage_90_pct": [69.0, 70.0], "horizon_class": "day_ahead"})
    assert faults.low_coverage(scores) == "a: 69 % of the day inside the 90 % band"


def test_known_until_needs_a_time_zone(platform):
    with pytest.raises(ValueError, match="time zone"):
        assets.ForecastConfig(known_until="2009-04-20T08:00:00").instant(platform, DAY)


def reissued(platform: Platform, **config) -> dg.ExecuteInProcessResult:
    days = site_days(platform.site)
    loaded = dg.load_definitions_from_modules([assets, checks])
    placed = loaded.map_asset_specs(func=lambda spec: spec.replace_attributes(partitions_def=days))
    job = dg.define_asset_job("again", selection=dg.AssetSelection.assets(INTRADAY_FORECASTS.key), partitions_def=days)
    definitions = dg.Definitions.merge(placed, dg.Definitions(jobs=[job], resources={"platform": platform}))
    run_config = {"ops": {"forecasting__intraday_forecasts": {"config": config}}}
    return definitions.resolve_job_def("again").execute_in_process(partition_key=DAY.isoformat(), run_config=run_config)


def test_issues_of_a_day_are_kept_beside_each_other_and_made_again_alike(platform):
    materialise(platform)
    clock, lake = platform.site.clock, platform.lake
    today = DAY + timedelta(days=1)
    loads = worlds.node_loads(clock, today, today, ("system", "feeder"))
    rows = loads[["node_id", "start_utc", "energy_kwh"]].assign(known_pct=100.0, known_utc=loads["start_utc"] + clock.interval)
    lake.write(LOADS_UNDER_WAY, rows, DAY)
    result = reissued(platform, until="2009-04-21T12:00:00+01:00")
    assert {one.check_name: one.passed for one in result.get_asset_check_evaluations()}["no_gap"]
    first = lake.content_hash(INTRADAY_FORECASTS, DAY)
    reissued(platform, until="2009-04-21T15:00:00+01:00")
    issues = lake.read(INTRADAY_FORECASTS, DAY)
    assert sorted(set(issues["issued_utc"])) == [pd.Timestamp("2009-04-21T11:00Z"), pd.Timestamp("2009-04-21T14:00Z")]
    assert (issues.groupby("issued_utc")["start_utc"].min() == issues.groupby("issued_utc")["start_utc"].first().index).all()
    reissued(platform, until="2009-04-21T15:00:00+01:00")
    assert len(lake.read(INTRADAY_FORECASTS, DAY)) == len(issues)
    assert lake.content_hash(INTRADAY_FORECASTS, DAY) != first
    # nothing new is issued where nothing was missed, if that is asked
    quiet = lake.content_hash(INTRADAY_FORECASTS, DAY)
    forecast = lake.read(DEMAND_FORECASTS, DAY)
    told = forecast[["node_id", "start_utc"]].assign(energy_kwh=forecast["mean_kw"] * clock.interval_hours)
    told = told.assign(known_pct=100.0, known_utc=told["start_utc"] + clock.interval)
    lake.write(LOADS_UNDER_WAY, told, DAY)
    reissued(platform, until="2009-04-21T16:00:00+01:00", only_after_a_miss=True)
    assert lake.content_hash(INTRADAY_FORECASTS, DAY) == quiet
    lake.write(LOADS_UNDER_WAY, told.assign(energy_kwh=3 * told["energy_kwh"]), DAY)
    reissued(platform, until="2009-04-21T16:00:00+01:00", only_after_a_miss=True)
    newest = lake.read(INTRADAY_FORECASTS, DAY).query("issued_utc == '2009-04-21T15:00Z'")
    assert set(newest["reason"]) == {"missed"}


def test_an_issue_in_the_day_corrects_the_mornings_forecast_by_what_the_morning_knew(platform):
    """What arrived of yesterday between the morning and the issue is no part of the morning's forecast."""
    lake, clock = platform.lake, platform.site.clock
    issued = pd.Timestamp(clock.issue_time(DAY))
    for day in inputs.history_of(platform.site, DAY):
        loads = lake.read(NODE_LOADS, day)
        rows = loads[["node_id", "start_utc", "energy_kwh"]].assign(
            known_pct=loads["published_pct"], known_utc=issued - pd.Timedelta(hours=1)
        )
        later = rows.assign(energy_kwh=3.0 * rows["energy_kwh"], known_utc=issued + pd.Timedelta(minutes=30))
        lake.write(NODE_LOAD_VERSIONS, rows, day)
        if day == DAY:
            after = pd.concat([rows, later])
    materialise(platform)
    lake.write(LOADS_UNDER_WAY, LOADS_UNDER_WAY.empty().to_pandas(), DAY)
    reissued(platform, until="2009-04-21T12:00:00+01:00")
    before = lake.content_hash(INTRADAY_FORECASTS, DAY)
    lake.write(NODE_LOAD_VERSIONS, after, DAY)
    reissued(platform, until="2009-04-21T12:00:00+01:00")
    assert lake.content_hash(INTRADAY_FORECASTS, DAY) == before


def test_the_verdict_on_the_day_ahead_error_says_why_it_does_not_apply():
    from grid_assets.forecasting import faults
    from grid_assets.foundation.site_sections import ForecastingSection

    scores = pd.DataFrame({"subject_id": "s", "horizon_class": ["day_ahead", "day_ahead", "days_4_7"], "mape_pct": [4.0, 5.0, 90.0],
                           "naive_mape_pct": 9.0, "bias_pct": 0.1})  # fmt: skip
    loads = pd.DataFrame({"node_id": ["s", "a"], "energy_kwh": [60_000.0, 1.0]})

    def verdict(frame=scores, system: str | None = "s", loads=loads, **section):
        return faults.day_ahead_verdict(frame, loads, system, 0.5, ForecastingSection(**section))

    assert verdict() == faults.Verdict("s: MAPE 4.50 % over 2 days (weekly naive 9.00 %), mean load 120 MW: within 5 %", "")
    assert verdict(mape_target_pct=4.4).fault.endswith("more than 4.4 %")
    assert verdict(mape_judged_from_mw=200.0).said.endswith("not judged, for 5 % is asked of systems of 200 MW and more")
    assert verdict(mape_judged_from_mw=200.0, mape_target_pct=1.0).fault == ""
    assert verdict(system=None).said == "not judged: no system node was forecast"
    assert "means nothing" in verdict(scores.assign(mape_pct=np.nan)).said
    for unknown in (loads.iloc[:0], loads.iloc[1:], loads.assign(energy_kwh=np.nan)):
        told = verdict(loads=unknown, mape_target_pct=1.0)  # the newest day has no load: not even the size of the system is known
        assert (told.fault, "nan" in told.said) == ("", False)
        assert told.said.endswith("not judged, for the load of the newest day, by which its size is told, is not known")
    days = pd.DataFrame({"subject_id": "s", "horizon_class": "day_ahead", "bias_pct": np.tile([3.0, 4.0], 10)})
    assert faults.biased(days) == "s: +3.5 % in the mean of 20 days"
    assert faults.biased(days.assign(bias_pct=np.tile([13.0, -12.0], 10))) == ""
    assert faults.biased(days.iloc[:10]) == ""
