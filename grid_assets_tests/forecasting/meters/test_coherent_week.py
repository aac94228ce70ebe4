"""Readings in, a week of meters and nodes that add up out: on the site's clock, from the issue time on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.figures.forecasts import coherent_picture
from grid_assets.forecasting import faults, inputs
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.meters.coherent_week import CoherentWeek, coherent_week, hourly_loads, hourly_temperature
from grid_assets.forecasting.tables import COHERENT_FORECASTS, DEMAND_FORECASTS, METER_FORECASTS, MODELS
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import READING_VERSIONS, READINGS
from grid_assets_tests.forecasting import worlds

CLOCK = replace(worlds.clock_of(30), horizon_days=7)
DAY = date(2016, 3, 24)  # the clock goes forward on the 27th
DAYS = days_between(DAY - timedelta(days=34), DAY)
NODES = pd.DataFrame({"node_id": ["system", "f1", "f2", "empty"], "parent_id": [None, "system", "system", "system"]})
METERS = pd.DataFrame({"meter_id": [f"m{n:02}" for n in range(30)], "node_id": ["f1", "f2"] * 15, "net_metered": [False] * 29 + [True]})


def readings(day: date, seed: int = 0) -> pa.Table:
    starts = CLOCK.intervals(day)
    hour = CLOCK.local(starts).hour.to_numpy() + CLOCK.local(starts).minute.to_numpy() / 60
    random = np.random.default_rng([day.toordinal(), seed])
    rows = []
    for n, meter in enumerate(METERS["meter_id"]):
        kw = (0.2 + 0.05 * n) * (1 + np.exp(-0.5 * ((hour - 19) / 3) ** 2)) * random.lognormal(0, 0.2, len(starts)) - 2.0 * (n == 29)
        rows.append(pd.DataFrame({"meter_id": meter, "start_utc": starts, "energy_kwh": kw / 2, "quality": "measured"}))
    return pa.Table.from_pandas(pd.concat(rows, ignore_index=True), preserve_index=False)


@cache
def load() -> np.ndarray:
    return hourly_loads([(day, readings(day)) for day in DAYS], len(DAYS), pd.Index(METERS["meter_id"]), CLOCK)


@cache
def node_forecasts() -> pd.DataFrame:
    parts = []
    for day in DAYS:
        rows = readings(day).to_pandas().merge(METERS, on="meter_id")
        feeders = rows.groupby(["node_id", "start_utc"], as_index=False)["energy_kwh"].sum()
        parts += [feeders, feeders.groupby("start_utc", as_index=False)["energy_kwh"].sum().assign(node_id="system")]
    loads = pd.concat(parts, ignore_index=True).assign(published_pct=100.0)
    return forecast_demand(loads, None, ["system", "f1", "f2"], CLOCK, DAY, country="DE").forecasts


def made(matrix: np.ndarray | None = None) -> CoherentWeek:
    errors = pd.Series({"system": 0.5, "f1": 0.4, "f2": np.nan})
    return coherent_week(
        load() if matrix is None else matrix, METERS, NODES, node_forecasts(), errors, None, CLOCK, DAY, country="DE", seed=1
    )


def test_hours_are_means_on_the_sites_clock_and_estimates_do_not_count():
    day = date(2016, 3, 27)
    rows = readings(day).to_pandas()
    rows.loc[rows["meter_id"] == "m01", "quality"] = "estimated"
    found = hourly_loads([(day, pa.Table.from_pandas(rows, preserve_index=False))], 1, pd.Index(METERS["meter_id"]), CLOCK)[:, 0]
    assert np.isnan(found[1]).all()
    assert np.isnan(found[0]).tolist() == [hour == 2 for hour in range(24)]  # the hour that does not occur
    first = rows[rows["meter_id"] == "m00"].sort_values("start_utc")["energy_kwh"].to_numpy()
    np.testing.assert_allclose(found[0, :2], [first[:2].sum(), first[2:4].sum()], rtol=1e-6)


def test_the_week_begins_at_the_issue_time_and_all_adds_up():
    week = made()
    meters, nodes = METER_FORECASTS.conform(week.meters).to_pandas(), COHERENT_FORECASTS.conform(week.nodes).to_pandas()
    hours = 7 * 24 - 9 - 1  # of seven days, from nine on, one hour left out by the clock
    assert len(meters) == 30 * hours
    assert len(nodes) == 4 * hours
    assert meters["start_utc"].min() == pd.Timestamp(CLOCK.issue_time(DAY))
    at = METERS.set_index("meter_id")["node_id"]
    assert faults.does_not_add_up(meters, nodes, at, NODES) == ""
    assert (nodes.loc[nodes["node_id"] == "empty", "mean_kw"] == 0).all()
    ordered = meters[["p05_kw", "p50_kw", "p95_kw"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= -1e-9).all()
    assert (meters.loc[meters["meter_id"] != "m29", "mean_kw"] >= 0).all()
    assert meters.loc[meters["meter_id"] == "m29", "mean_kw"].min() < 0
    assert not week.messages


def test_nodes_meet_their_own_forecast_by_how_sure_it_is():
    nodes = made().nodes
    system = nodes[nodes["node_id"] == "system"]
    assert np.abs(system["mean_kw"] / system["forecast_kw"] - 1).mean() < 0.05
    assert nodes.loc[nodes["node_id"] == "f2", "forecast_kw"].isna().all()  # nobody knows how sure: it does not count


def test_the_bands_of_a_node_are_those_of_its_forecast_about_the_sum():
    nodes = made().nodes
    assert (nodes["p05_kw"] <= nodes["p50_kw"]).all()
    assert (nodes["p50_kw"] <= nodes["p95_kw"]).all()
    own = node_forecasts()
    system = own[own["node_id"] == "system"].assign(start_utc=own["start_utc"].dt.floor("h"))
    hourly = system.groupby("start_utc")[["mean_kw", "p05_kw", "p95_kw"]].mean()
    here = nodes[nodes["node_id"] == "system"].set_index("start_utc").loc[hourly.index[:24]]
    for name in ("p05_kw", "p95_kw"):
        np.testing.assert_allclose(here[name] - here["mean_kw"], (hourly[name] - hourly["mean_kw"]).iloc[:24], atol=1e-6)
    f2 = nodes[nodes["node_id"] == "f2"]  # whose own forecast does not count: as wide as its meters' errors add up to
    assert ((f2["p95_kw"] - f2["p05_kw"]) > 0).all()
    assert (nodes.loc[nodes["node_id"] == "empty", ["p05_kw", "p95_kw"]] == 0).all().all()


def test_a_meter_never_heard_of_takes_the_mean_of_the_others_and_is_named():
    silent = load().copy()
    silent[4] = np.nan
    week = made(silent)
    assert "nothing is known of m04" in week.messages[0]
    assert np.isfinite(week.meters["mean_kw"]).all()


def test_too_few_days_give_nothing_and_say_so():
    week = made(load()[:, -6:])
    assert week.meters.empty
    assert week.nodes.empty
    assert "6 days of known readings of 30 load meters" in week.messages[0]
    assert faults.does_not_add_up(week.meters, week.nodes, pd.Series(dtype=object), NODES) == ""


def test_readings_of_which_none_is_known_give_nothing_and_say_so():
    week = made(np.full_like(load(), np.nan))
    assert week.meters.empty
    assert "0 days of known readings of 30 load meters" in week.messages[0]


def test_a_site_without_load_meters_has_no_such_forecasts_and_no_error(tmp_path):
    site = SimpleNamespace(clock=CLOCK, country="DE", seed=1, forecasting=SimpleNamespace(holiday_region=None))
    features = worlds.features(replace(CLOCK, study_day_offset=7), DAYS[0], DAY)
    week = inputs.meter_week(
        Lake(tmp_path), site, DAY, METERS.iloc[:0], NODES, (READINGS, READING_VERSIONS, DEMAND_FORECASTS, MODELS), features
    )
    assert week.meters.empty
    assert week.nodes.empty
    assert "0 load meters" in week.messages[0]


def test_a_node_counts_by_the_error_of_the_model_that_is_published(tmp_path):
    """Where the naive is, by the naive's: the model that lost to it says nothing of the forecast."""
    lake, site = Lake(tmp_path), SimpleNamespace(clock=CLOCK, country="DE", seed=1, forecasting=SimpleNamespace(holiday_region=None))
    for day in DAYS:
        rows = readings(day).to_pandas().assign(method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None)
        lake.write(READINGS, rows, day)
    lake.write(DEMAND_FORECASTS, node_forecasts().assign(readings_version="made"), DAY)

    def week_of(**errors) -> CoherentWeek:
        row = {name: 0.4 for name in MODELS.columns if name.endswith("_kw")} | {"subject_id": "system", "model": "m", "model_version": "v"}
        row |= {"trained_from_utc": pd.Timestamp(DAY, tz="UTC"), "trained_to_utc": pd.Timestamp(DAY, tz="UTC"), "readings_version": "r"}
        lake.write(MODELS, pd.DataFrame([row | errors]), DAY)
        return inputs.meter_week(lake, site, DAY, METERS, NODES, (READINGS, READING_VERSIONS, DEMAND_FORECASTS, MODELS), None)

    sure = week_of(beats_naive=True, backtest_mae_kw=0.1, naive_mae_kw=5.0)
    lost = week_of(beats_naive=False, backtest_mae_kw=5.0, naive_mae_kw=0.1)
    pd.testing.assert_frame_equal(sure.nodes, lost.nodes)
    unsure = week_of(beats_naive=False, backtest_mae_kw=0.1, naive_mae_kw=5.0)
    apart = [(one.nodes["mean_kw"] - one.nodes["forecast_kw"]).abs().mean() for one in (sure, unsure)]
    assert apart[0] < 0.5 * apart[1]


def test_a_sum_that_is_none_is_told():
    week = made()
    nodes = week.nodes.assign(mean_kw=week.nodes["mean_kw"] + (week.nodes["node_id"] == "f1") * 0.1)
    assert faults.does_not_add_up(week.meters, nodes, METERS.set_index("meter_id")["node_id"], NODES).startswith(
        "f1: its meters add up to 0.1 kW"
    )


def far_features() -> pd.DataFrame:
    """Weather whose forecast reaches the end of the week."""
    return worlds.features(replace(CLOCK, study_day_offset=7), DAYS[0], DAY)


def temperature_of(features: pd.DataFrame | None) -> np.ndarray:
    found, said = hourly_temperature(features, CLOCK, DAY, DAYS)
    assert said == ""
    assert found is not None
    return found


def test_temperature_is_what_was_observed_and_then_what_was_forecast():
    whole = far_features()
    found = temperature_of(whole)
    assert found.shape == (len(DAYS) + 7, 24)
    changed = whole.assign(temperature_degc=whole["temperature_degc"].where(whole["day"] <= DAY, 99.0))
    np.testing.assert_array_equal(temperature_of(changed), found)
    assert hourly_temperature(None, CLOCK, DAY, DAYS) == (None, "")
    assert hourly_temperature(whole.iloc[:0], CLOCK, DAY, DAYS) == (None, "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -999.0, 1e6])
def test_short_gaps_of_the_temperature_are_bridged_and_what_cannot_be_is_a_gap(value):
    """The same hour of two days that follow each other; six hours at a stretch, over midnight."""
    whole = far_features()
    local = CLOCK.local(pd.DatetimeIndex(whole["start_utc"]))
    number = (local.normalize().tz_localize(None) - pd.Timestamp(DAYS[0])).days.to_numpy()
    hour = local.hour.to_numpy()
    gone = (np.isin(number, [10, 11]) & (hour == 4)) | ((number == 20) & (hour >= 21)) | ((number == 21) & (hour < 3))
    found, usual = temperature_of(whole.assign(temperature_degc=whole["temperature_degc"].mask(gone, value))), temperature_of(whole)
    np.testing.assert_allclose(found[10, 4], (usual[10, 3] + usual[10, 5]) / 2, rtol=1e-5)
    np.testing.assert_allclose(found[11, 4], (usual[11, 3] + usual[11, 5]) / 2, rtol=1e-5)
    line = np.linspace(usual[20, 20], usual[21, 3], 8)[1:-1]
    np.testing.assert_allclose([*found[20, 21:], *found[21, :3]], line, rtol=1e-5)
    changed = np.abs(found - usual) > 1e-6
    assert changed.sum() <= 8
    seventh = gone | ((number == 21) & (hour == 3))  # too long for a line: the day before
    found = temperature_of(whole.assign(temperature_degc=whole["temperature_degc"].mask(seventh, value)))
    np.testing.assert_allclose([*found[20, 21:], *found[21, :4]], [*usual[19, 21:], *usual[20, :4]])


def test_weather_that_cannot_be_used_is_said_in_the_weeks_messages(tmp_path):
    near = worlds.features(CLOCK, DAYS[0], DAY)  # it reaches the study day only
    found, said = hourly_temperature(near, CLOCK, DAY, DAYS)
    assert found is None
    assert said == "weather: 96 of 1008 hours have no temperature, the first 2016-03-28 00:00: single meters are forecast without weather"
    assert hourly_temperature(near.assign(temperature_degc=np.inf), CLOCK, DAY, DAYS)[0] is None
    errors = pd.Series({"system": 0.5, "f1": 0.4, "f2": np.nan})
    week = coherent_week(
        load(), METERS, NODES, node_forecasts(), errors, found, CLOCK, DAY, country="DE", seed=1, without_weather=said
    )  # fmt: skip
    assert week.messages == (said,)
    lake, site = Lake(tmp_path), SimpleNamespace(clock=CLOCK, country="DE", seed=1, forecasting=SimpleNamespace(holiday_region=None))
    for day in DAYS:
        lake.write(READINGS, readings(day).to_pandas().assign(method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None), day)
    lake.write(DEMAND_FORECASTS, node_forecasts().assign(readings_version="made"), DAY)
    tables = (READINGS, READING_VERSIONS, DEMAND_FORECASTS, MODELS)
    assert inputs.meter_week(lake, site, DAY, METERS, NODES, tables, near).messages == (said,)
    assert inputs.meter_week(lake, site, DAY, METERS, NODES, tables, far_features()).messages == ()


def test_the_picture_is_one():
    png = coherent_picture(made().nodes, CLOCK, "A made site")
    assert png.startswith(b"\x89PNG")
