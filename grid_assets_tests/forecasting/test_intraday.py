"""The morning's forecast corrected in the course of the day: nothing later is seen, misses that last are followed, others are not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.forecasting import faults, inputs
from grid_assets.forecasting.day_cubes import load_kw
from grid_assets.forecasting.demand import RolledDemand, forecast_demand, roll_demand
from grid_assets.forecasting.intraday import LATEST_HOURS, reissue
from grid_assets_tests.forecasting import real_feeds, worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=45)
CLOCK = worlds.clock_of(60)
NODES = ["system", "a"]
NOON = datetime(2016, 5, 26, 10, tzinfo=CLOCK.zone)


@cache
def world() -> pd.DataFrame:
    """Loads whose days are too high or too low as a whole, so that a morning's miss lasts."""
    loads = worlds.node_loads(CLOCK, FIRST, DAY + timedelta(days=2), NODES, noise=0.005)
    days = CLOCK.days_of(loads["start_utc"])
    swing = days.map({day: 1 + 0.1 * np.random.default_rng(day.toordinal()).standard_normal() for day in days.unique()})
    return loads.assign(energy_kwh=loads["energy_kwh"] * swing.to_numpy(float))


@cache
def morning() -> RolledDemand:
    loads = world()
    known = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(DAY)[1])]
    return roll_demand(known, None, NODES, CLOCK, DAY, country="DE")


def since(loads: pd.DataFrame) -> pd.DataFrame:
    return loads.assign(kw=load_kw(loads, CLOCK.interval_hours))[["node_id", "start_utc", "kw"]]


def first_forecast() -> pd.DataFrame:
    loads = world()
    known = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(DAY)[1])]
    return forecast_demand(known, None, NODES, CLOCK, DAY, country="DE").forecasts


def test_covers_the_rest_of_the_horizon():
    made = reissue(morning(), since(world()), NOON).forecasts
    assert set(made["issued_utc"]) == {pd.Timestamp(NOON)}
    assert made["start_utc"].min() == pd.Timestamp(NOON)
    assert faults.gaps(made, "node_id", NODES, CLOCK, DAY, issued=pd.Timestamp(NOON)) == ""


def test_a_miss_that_lasts_all_day_is_followed():
    loads, before = world(), first_forecast()
    truth = since(loads)
    again = reissue(morning(), truth, NOON).forecasts
    both = again.merge(before, on=["node_id", "start_utc"], suffixes=("", "_before")).merge(truth, on=["node_id", "start_utc"])
    today = both[both["start_utc"] < pd.Timestamp(CLOCK.bounds(DAY + timedelta(days=1))[1])]
    now, then = (np.abs(today[name] - today["kw"]).mean() for name in ("mean_kw", "mean_kw_before"))
    assert now < 0.5 * then
    width = (today["p95_kw"] - today["p05_kw"]) / (today["p95_kw_before"] - today["p05_kw_before"])
    assert width.max() < 0.9
    tomorrow = both[both["start_utc"] >= pd.Timestamp(CLOCK.bounds(DAY + timedelta(days=1))[1])]
    assert np.abs(tomorrow["mean_kw"] / tomorrow["mean_kw_before"] - 1).max() < 0.05  # another day's swing is another


@settings(max_examples=12, deadline=None)
@given(hours=st.integers(9, 30), factor=st.sampled_from([0.0, -4.0, 9.0, np.nan]), drop=st.booleans())
def test_nothing_that_arrives_later_is_seen(hours, factor, drop):
    now = CLOCK.midnight(DAY + timedelta(days=1)) + timedelta(hours=hours)
    loads = since(world())
    late = loads["start_utc"] + CLOCK.interval > pd.Timestamp(now)
    changed = loads[~late] if drop else loads.assign(kw=loads["kw"].where(~late, loads["kw"] * factor))
    one, other = reissue(morning(), loads, now), reissue(morning(), changed, now)
    pd.testing.assert_frame_equal(one.forecasts, other.forecasts)
    assert one.missed == other.missed


def test_without_news_the_mornings_forecast_stays():
    made = reissue(morning(), since(world()).iloc[:0], NOON)
    before = first_forecast()
    both = made.forecasts.merge(before, on=["node_id", "start_utc"], suffixes=("", "_before"))
    assert len(both) == len(made.forecasts)
    for name in ("mean_kw", "p05_kw", "p95_kw"):
        np.testing.assert_allclose(both[name], both[f"{name}_before"], rtol=1e-12)
    assert not made.missed


def test_a_load_of_long_ago_says_nothing_of_the_present():
    """A node that fell silent keeps the morning's forecast from the moment on at which its last load is six hours old; others do not."""
    loads, before = since(world()), first_forecast()
    end = pd.Timestamp(NOON)  # the last load of "a" begins an hour before it
    silent = loads.assign(kw=loads["kw"].where((loads["node_id"] == "system") | (loads["start_utc"] < end)))

    def moved(now: pd.Timestamp) -> pd.Series:
        both = reissue(morning(), silent, now.to_pydatetime()).forecasts.merge(
            before, on=["node_id", "start_utc"], suffixes=("", "_before")
        )
        width = (both["p95_kw"] - both["p05_kw"]) - (both["p95_kw_before"] - both["p05_kw_before"])
        apart = np.abs(both["mean_kw"] - both["mean_kw_before"]) + np.abs(width)
        return apart.groupby(both["node_id"]).max()

    still, late = moved(end + pd.Timedelta(hours=LATEST_HOURS - 1)), moved(end + pd.Timedelta(hours=LATEST_HOURS))
    assert (still > 1.0).all()
    assert late["a"] == pytest.approx(0.0, abs=1e-9)
    assert late["system"] > 1.0


def test_a_bad_miss_is_told_of_its_node_only():
    loads = since(world())
    today = loads["start_utc"] >= pd.Timestamp(CLOCK.bounds(DAY)[1])
    broken = loads.assign(kw=loads["kw"].where(~(today & (loads["node_id"] == "a")), 0.2 * loads["kw"]))
    quiet = first_forecast().rename(columns={"mean_kw": "kw"})[["node_id", "start_utc", "kw"]]
    fine = pd.concat([quiet[quiet["node_id"] == "system"], broken[broken["node_id"] == "a"]])
    made = reissue(morning(), fine, NOON + timedelta(hours=2))
    assert made.missed == {"a"}


def test_weather_that_was_forecast_since_the_morning_moves_the_coming_hours():
    loads, features = world(), worlds.features(CLOCK, FIRST, DAY)
    known = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(DAY)[1])]
    of_run = features[(features["day"] == DAY) & (features["basis"] == "forecast")]
    degrees = [name for name in features if name.startswith("temperature")]
    colder = of_run.drop(columns="day").assign(**{name: of_run[name] - 4.0 for name in degrees})

    def issued(weather: pd.DataFrame) -> pd.DataFrame:
        rolled = roll_demand(known, weather, NODES, CLOCK, DAY, country="DE")
        return reissue(rolled, since(loads).iloc[:0], NOON).forecasts

    morning_weather, newest = issued(features), issued(inputs.brought_up_to_date(features, colder, DAY))
    assert (newest["mean_kw"] / morning_weather["mean_kw"] - 1)[:24].mean() > 0.02  # electric heating
    same = inputs.brought_up_to_date(features, colder.iloc[:0], DAY)
    pd.testing.assert_frame_equal(issued(same), morning_weather)


def test_a_miss_is_told_by_the_forecast_that_was_issued():
    truth, before = since(world()), first_forecast()
    low, high = before.assign(p05_kw=1e6, p95_kw=2e6), before.assign(p05_kw=-1e6, p95_kw=1e6)
    assert reissue(morning(), truth, NOON, low).missed == {"system", "a"}
    assert not reissue(morning(), truth, NOON, high).missed
    assert reissue(morning(), truth, NOON, before.iloc[:0]).missed == reissue(morning(), truth, NOON).missed


def test_a_history_too_short_to_learn_from_corrects_nothing():
    loads = world()
    begin, end = (pd.Timestamp(CLOCK.midnight(one)) for one in (DAY - timedelta(days=8), DAY + timedelta(days=1)))
    short = loads[(loads["start_utc"] >= begin) & (loads["start_utc"] < end)]
    rolled = roll_demand(short, None, NODES, CLOCK, DAY, country="DE")
    made = reissue(rolled, since(loads), NOON).forecasts
    before = forecast_demand(short, None, NODES, CLOCK, DAY, country="DE").forecasts
    both = made.merge(before, on=["node_id", "start_utc"], suffixes=("", "_before"))
    np.testing.assert_allclose(both["mean_kw"], both["mean_kw_before"])


@pytest.mark.parametrize("hours", [-5, 24 * 9])
def test_an_instant_outside_the_horizon_is_refused(hours):
    with pytest.raises(ValueError, match="is not between the issue time"):
        reissue(morning(), since(world()), NOON + timedelta(hours=hours))


def test_the_next_hours_of_a_real_substation_are_told_better_than_in_the_morning(shared_data):
    loads = real_feeds.substation(shared_data)
    clock = real_feeds.clock_of(date(2019, 1, 1), date(2019, 12, 30))
    errors = []
    for n in range(6):
        day = date(2019, 5, 1) + timedelta(days=23 * n)
        begin, end = (pd.Timestamp(clock.midnight(one)) for one in (day - timedelta(days=60), day + timedelta(days=1)))
        near = loads[(loads["start_utc"] >= begin) & (loads["start_utc"] < end)]
        rolled = roll_demand(near, None, ["system"], clock, day, country="GB")
        truth = loads.assign(kw=load_kw(loads, clock.interval_hours))[["node_id", "start_utc", "kw"]]
        before = forecast_demand(near, None, ["system"], clock, day, country="GB").forecasts
        for hour in (12, 18):
            now = clock.midnight(day + timedelta(days=1)) + timedelta(hours=hour)
            again = reissue(rolled, truth, now).forecasts
            soon = again[again["start_utc"] < pd.Timestamp(now) + pd.Timedelta(hours=2)]
            both = soon.merge(before, on=["node_id", "start_utc"], suffixes=("", "_before")).merge(truth, on=["node_id", "start_utc"])
            errors.append([np.abs(both[name] - both["kw"]).mean() for name in ("mean_kw", "mean_kw_before")])
    now, then = np.mean(errors, axis=0)
    assert now < 0.85 * then
