"""The ensemble in the daily job: chosen where it is better, at the site's interval, from what was known."""

import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting import faults
from grid_assets.forecasting.day_cubes import day_grid
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.candidates import at_interval, temperatures
from grid_assets.forecasting.ensemble.temperature_paths import PAST_DAYS
from grid_assets.forecasting.tables import QUANTILE_COLUMNS
from grid_assets_tests.forecasting import worlds

DAY = date(2017, 3, 15)
FIRST = DAY - timedelta(days=430)
CLOCK = worlds.clock_of(30)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 40)


@pytest.fixture(scope="module")
def world():
    last = DAY + timedelta(days=3)
    return worlds.node_loads(CLOCK, FIRST, last, ("system", "a")), worlds.features(CLOCK, FIRST, last)


def run(loads, features, day=DAY, **more):
    kept = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(day)[1])]
    return forecast_demand(kept, features[features["day"] <= day], ["system", "a"], CLOCK, day, country="DE", recent_days=60, **more)


def test_a_node_with_a_year_of_history_is_forecast_by_the_ensemble_and_its_hours_are_its_hours(world):
    loads, features = world
    made = run(loads, features)
    assert made.models["model"].tolist() == ["ensemble", "ensemble"]
    assert (made.models["ensemble_mae_kw"] < made.models["calendar_weather_mae_kw"]).all()
    assert made.models["beats_naive"].all()
    assert faults.gaps(made.forecasts, "node_id", ["system", "a"], CLOCK, DAY) == ""
    truth = worlds.node_loads(CLOCK, DAY + timedelta(days=2), DAY + timedelta(days=2), ("system", "a"), noise=0.0)
    both = made.forecasts.merge(truth, on=["node_id", "start_utc"])
    assert np.abs(both["mean_kw"] / (both["energy_kwh"] / CLOCK.interval_hours) - 1).mean() < 0.02
    inside = (both["p05_kw"] < both["energy_kwh"] / 0.5) & (both["energy_kwh"] / 0.5 < both["p95_kw"])
    assert inside.mean() > 0.8


def test_what_comes_after_the_issue_time_changes_nothing(world):
    loads, features = world
    before = run(loads, features)
    later = features.copy()
    issued = pd.Timestamp(CLOCK.issue_time(DAY))
    later.loc[(later["basis"] == "observed") & (later["start_utc"] >= issued), "temperature_degc"] = 44.0
    later.loc[later["day"] > DAY, "temperature_degc"] = -44.0
    changed = loads.copy()
    changed.loc[changed["start_utc"] >= pd.Timestamp(CLOCK.bounds(DAY)[1]), "energy_kwh"] = 1e9
    after = forecast_demand(changed, later, ["system", "a"], CLOCK, DAY, country="DE", recent_days=60)
    pd.testing.assert_frame_equal(before.forecasts, after.forecasts)


def test_less_than_a_year_leaves_it_to_the_like_days(world):
    loads, features = world
    since = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=200)))
    made = run(loads[loads["start_utc"] >= since], features[features["day"] >= DAY - timedelta(days=200)])
    assert made.models["model"].tolist() == ["calendar_weather", "calendar_weather"]
    assert made.models["ensemble_mae_kw"].isna().all()


def test_the_version_of_an_ensemble_tells_all_that_it_was_made_from(world):
    loads, features = world
    made = run(loads, features).models.set_index("subject_id")
    old = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=300)))
    changed = loads.assign(energy_kwh=np.where((loads["node_id"] == "a") & (loads["start_utc"] == old), 5.0, loads["energy_kwh"]))
    other = run(changed, features).models.set_index("subject_id")
    assert made.loc["a", "model_version"] != other.loc["a", "model_version"]
    assert made.loc["system", "model_version"] == other.loc["system", "model_version"]
    assert set(made["trained_from_utc"]) == {pd.Timestamp(CLOCK.midnight(FIRST))}
    for more in ({"region": "BY"}, {"refits": {"system": [DAY - timedelta(days=5)], "a": [DAY - timedelta(days=5)]}}):
        assert (run(loads, features, **more).models.set_index("subject_id")["model_version"] != made["model_version"]).all()
    warmer = features.assign(temperature_degc=features["temperature_degc"] + (features["day"] == DAY - timedelta(days=300)))
    assert (run(loads, warmer).models.set_index("subject_id")["model_version"] != made["model_version"]).all()


def test_the_version_of_a_share_tells_its_parents(world):
    loads, features = world
    young = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=14)))
    known = loads[(loads["node_id"] == "system") | (loads["start_utc"] >= young)]
    made = run(known, features, parents={"a": "system"}).models.set_index("subject_id")
    assert made["model"].to_dict() == {"system": "ensemble", "a": "parents_share"}
    old = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=300)))
    changed = known.assign(energy_kwh=np.where(known["start_utc"] == old, 5.0, known["energy_kwh"]))
    other = run(changed, features, parents={"a": "system"}).models.set_index("subject_id")
    assert (made["model_version"] != other["model_version"]).all()


def test_a_node_that_began_late_does_not_hold_the_others_back(world):
    loads, features = world
    since = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=50)))
    made = run(loads[(loads["node_id"] == "system") | (loads["start_utc"] >= since)], features)
    assert made.models.set_index("subject_id")["model"].to_dict() == {"system": "ensemble", "a": "calendar_weather"}


def test_without_weather_or_with_absurd_weather_a_forecast_still_comes(world):
    loads, features = world
    assert len(run(loads, features.iloc[:0]).forecasts)
    absurd = features.assign(temperature_degc=np.where(np.arange(len(features)) % 2, np.inf, 900.0))
    made = run(loads, absurd)
    assert np.isfinite(made.forecasts[["mean_kw", *QUANTILE_COLUMNS]].to_numpy()).all()


def test_intervals_follow_the_usual_course_within_the_hour_and_keep_its_mean():
    clock = worlds.clock_of(15)
    grid = day_grid(clock, DAY - timedelta(days=40), DAY, "DE")
    course = np.tile([-3.0, -1.0, 1.0, 3.0], 24)
    power = np.full((len(grid.days), 96), 100.0) + course
    hours = np.linspace(50, 80, 24)
    made = at_interval(hours, grid, power, grid.known, 1)
    np.testing.assert_allclose(made.reshape(24, 4).mean(1), hours)
    np.testing.assert_allclose(made - np.repeat(hours, 4), course)
    without = at_interval(hours, grid, np.full(power.shape, np.nan), grid.known, 1)
    np.testing.assert_allclose(without, np.repeat(hours, 4))


def test_each_runs_forecast_is_what_its_issue_day_knew_and_an_early_morning_is_bridged():
    clock = worlds.clock_of(30)
    grid = day_grid(clock, DAY - timedelta(days=12), DAY, "DE")
    features = worlds.features(clock, DAY - timedelta(days=12), DAY)
    forecast = features["basis"] == "forecast"
    features.loc[forecast & (features["day"] == DAY), "temperature_degc"] = 30.0
    paths = temperatures(grid, features, clock.issue_time(DAY), 2)
    issued = grid.known
    path = paths.known[issued]
    hour = clock.issue_hour
    assert (path[PAST_DAYS * 24 + hour :] == 30.0).all()
    early = path[PAST_DAYS * 24 - 1 : PAST_DAYS * 24 + hour + 1]
    assert (np.diff(early) > 0).mean() > 0.8  # from last night's degrees up to the forecast
    assert not (paths.known[issued - 1] == 30.0).any()


def test_where_lightgbm_cannot_be_loaded_the_like_days_stay_and_it_is_said(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # an import of it fails
    loads, features = world
    made = run(loads, features)
    assert made.models["model"].tolist() == ["calendar_weather", "calendar_weather"]
    assert "install libgomp1" in "\n".join(made.messages)
