"""Demand forecasts: nothing from the future, odd days, odd data."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid_assets.forecasting import faults
from grid_assets.forecasting.day_cubes import NoHistoryError, features_as_of
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.tables import DEMAND_FORECASTS, MODELS, QUANTILE_COLUMNS
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=45)
CLOCK = worlds.clock_of(60)


def run(loads, features=None, nodes=("system",), clock=CLOCK, day=DAY, **more):
    return forecast_demand(loads, features, list(nodes), clock, day, country="DE", **more)


def test_covers_issue_time_to_end_of_study_day_and_fits_the_tables():
    made = run(worlds.node_loads(CLOCK, FIRST, DAY, ("system", "a")), worlds.features(CLOCK, FIRST, DAY), ("system", "a"))
    rows = made.forecasts[made.forecasts["node_id"] == "a"]
    assert rows["start_utc"].min() == pd.Timestamp("2016-05-26 07:00", tz="UTC")
    assert rows["start_utc"].max() == pd.Timestamp("2016-05-27 21:00", tz="UTC")
    assert len(rows) == 39
    assert set(rows["issued_utc"]) == {pd.Timestamp("2016-05-26 07:00", tz="UTC")}
    assert DEMAND_FORECASTS.conform(made.forecasts.assign(readings_version="r")).num_rows == 78
    assert MODELS.conform(made.models.assign(readings_version="r")).num_rows == 2
    assert faults.gaps(made.forecasts, "node_id", ["system", "a"], CLOCK, DAY) == ""


def test_finds_the_truth_and_beats_the_naive_by_a_wide_margin():
    made = run(worlds.node_loads(CLOCK, FIRST, DAY, noise=0.01), worlds.features(CLOCK, FIRST, DAY))
    truth = worlds.node_loads(CLOCK, DAY + timedelta(days=2), DAY + timedelta(days=2), noise=0.0)
    both = made.forecasts.merge(truth, on=["node_id", "start_utc"])
    assert len(both) == 24
    assert np.abs(both["mean_kw"] / both["energy_kwh"] - 1).mean() < 0.04
    row = made.models.iloc[0]
    assert row["beats_naive"]
    assert row["model"] == "calendar_weather"
    assert row["backtest_mae_kw"] < 0.6 * row["naive_mae_kw"]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(factor=st.sampled_from([0.0, -3.0, 50.0, np.nan]), degrees=st.sampled_from([-55.0, 45.0, np.inf]))
def test_nothing_after_the_issue_time_changes_the_forecast(factor, degrees):
    last = DAY + timedelta(days=4)
    loads, features = worlds.node_loads(CLOCK, FIRST, last), worlds.features(CLOCK, FIRST, last)
    end, issued = pd.Timestamp(CLOCK.bounds(DAY)[1]), pd.Timestamp(CLOCK.issue_time(DAY))
    before = run(loads[loads["start_utc"] < end], features[features["day"] <= DAY])
    loads.loc[loads["start_utc"] >= end, "energy_kwh"] *= factor
    late = (features["day"] > DAY) | ((features["basis"] == "observed") & (features["start_utc"] >= issued))
    features.loc[late, ["temperature_degc", "ghi_w_m2", "temperature_mean_24h_degc"]] = degrees
    after = run(loads, features)
    pd.testing.assert_frame_equal(before.forecasts, after.forecasts)
    pd.testing.assert_frame_equal(before.models, after.models)


def test_known_until_hides_what_came_later():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    until = CLOCK.bounds(DAY)[0] - timedelta(hours=6)
    hidden = run(loads, known_until=until)
    changed = loads.copy()
    changed.loc[changed["start_utc"] >= pd.Timestamp(until), "energy_kwh"] = 1e4
    pd.testing.assert_frame_equal(hidden.forecasts, run(changed, known_until=until).forecasts)
    assert not hidden.forecasts["mean_kw"].equals(run(changed).forecasts["mean_kw"])


def test_the_back_test_uses_the_forecast_of_its_own_day():
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    wrong = features.copy()
    past = (wrong["basis"] == "forecast") & (wrong["day"] < DAY)
    generator = np.random.default_rng(3)
    wrong.loc[past, "temperature_degc"] += 10 * generator.standard_normal(int(past.sum()))
    honest, misled = run(loads, features).models.iloc[0], run(loads, wrong).models.iloc[0]
    assert misled["backtest_mae_kw"] > 1.1 * honest["backtest_mae_kw"]


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2016, 3, 25), 15 + 23), (date(2016, 3, 26), 14 + 1 + 24), (date(2016, 10, 28), 15 + 25), (date(2016, 10, 29), 39)],
)
def test_days_on_which_the_clocks_change(day, hours):
    first = day - timedelta(days=30)
    made = run(worlds.node_loads(CLOCK, first, day), worlds.features(CLOCK, first, day), day=day)
    assert len(made.forecasts) == hours
    assert faults.gaps(made.forecasts, "node_id", ["system"], CLOCK, day) == ""
    truth = worlds.node_loads(CLOCK, day + timedelta(days=1), day + timedelta(days=2), noise=0.0)
    both = made.forecasts.merge(truth, on=["node_id", "start_utc"])
    assert np.abs(both["mean_kw"] / both["energy_kwh"] - 1).mean() < 0.08  # the local shape was not shifted by an hour


def test_missing_rows_and_unpublished_intervals():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    generator = np.random.default_rng(5)
    dark = loads["start_utc"].dt.dayofyear == 130
    loads.loc[dark, ["energy_kwh", "published_pct"]] = [0.0, 0.0]
    holed = loads[generator.random(len(loads)) > 0.15]
    made = run(holed, worlds.features(CLOCK, FIRST, DAY))
    whole = run(worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY))
    assert faults.gaps(made.forecasts, "node_id", ["system"], CLOCK, DAY) == ""
    assert np.abs(made.forecasts["mean_kw"] / whole.forecasts["mean_kw"] - 1).mean() < 0.04


def test_partly_published_load_is_scaled_to_all_meters():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    partly = loads.assign(energy_kwh=loads["energy_kwh"] * 0.8, published_pct=80.0)
    np.testing.assert_allclose(run(partly).forecasts["mean_kw"], run(loads).forecasts["mean_kw"], rtol=1e-9)


def test_constant_series_is_forecast_exactly():
    loads = worlds.node_loads(CLOCK, FIRST, DAY).assign(energy_kwh=42.0)
    made = run(loads, worlds.features(CLOCK, FIRST, DAY))
    numbers = made.forecasts[["mean_kw", *QUANTILE_COLUMNS]].to_numpy()
    np.testing.assert_allclose(numbers, 42.0, atol=1e-6)
    assert made.models["model"].tolist() == ["weekly_naive"]  # a tie is no win


def test_zero_and_negative_load():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    shifted = run(loads.assign(energy_kwh=loads["energy_kwh"] - 110))
    assert shifted.forecasts["mean_kw"].min() < 0 < shifted.forecasts["mean_kw"].max()
    assert faults.gaps(shifted.forecasts, "node_id", ["system"], CLOCK, DAY) == ""
    zero = run(loads.assign(energy_kwh=0.0))
    np.testing.assert_allclose(zero.forecasts["mean_kw"], 0.0, atol=1e-9)


def test_two_weeks_of_history_fall_back_to_the_last_week_and_say_so():
    first = DAY - timedelta(days=13)
    loads = worlds.node_loads(CLOCK, first, DAY)
    made = run(loads, worlds.features(CLOCK, first, DAY))
    assert made.models["model"].tolist() == ["weekly_naive"]
    assert "only 14 days of history" in made.messages[0]
    week_before = loads.assign(start_utc=loads["start_utc"] + pd.Timedelta(days=7))
    both = made.forecasts.merge(week_before, on=["node_id", "start_utc"])
    np.testing.assert_allclose(both["mean_kw"], both["energy_kwh"])
    assert len(both) == 39


def test_one_day_of_history_gives_that_day_and_wide_quantiles():
    loads = worlds.node_loads(CLOCK, DAY, DAY)
    made = run(loads)
    assert faults.gaps(made.forecasts, "node_id", ["system"], CLOCK, DAY) == ""
    width = made.forecasts["p95_kw"] - made.forecasts["p05_kw"]
    assert width.min() >= 0.9 * (loads["energy_kwh"].max() - loads["energy_kwh"].min())


@pytest.mark.parametrize("degrees", [np.inf, -np.inf, np.nan, 1e9, -273.0])
def test_absurd_weather_forecast_still_gives_a_sober_forecast(degrees):
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    calm = run(loads, features).forecasts["mean_kw"].to_numpy()
    features.loc[(features["basis"] == "forecast") & (features["day"] == DAY), "temperature_degc"] = degrees
    odd = run(loads, features).forecasts
    assert faults.gaps(odd, "node_id", ["system"], CLOCK, DAY) == ""
    assert np.abs(odd["mean_kw"].to_numpy() / calm - 1).max() < 0.5


def test_a_heat_that_was_never_seen_is_cut_to_what_was():
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    seen = (features["basis"] == "forecast") & (features["day"] == DAY)
    features.loc[seen, "temperature_degc"] = -50.0
    made = run(loads, features).forecasts["mean_kw"]
    highest, lowest = loads["energy_kwh"].max(), loads["energy_kwh"].min()
    assert made.max() <= highest + 0.25 * (highest - lowest) + 1e-9


def test_node_without_data_is_named_and_the_others_are_forecast():
    made = run(worlds.node_loads(CLOCK, FIRST, DAY), nodes=("system", "ghost"))
    assert set(made.forecasts["node_id"]) == {"system"}
    assert any("ghost" in said for said in made.messages)
    assert "ghost is not forecast" in faults.gaps(made.forecasts, "node_id", ["system", "ghost"], CLOCK, DAY)


def test_nothing_known_at_all_is_an_error_with_node_and_day():
    with pytest.raises(NoHistoryError, match=r"system.*2016-05-25"):
        run(worlds.node_loads(CLOCK, FIRST, DAY).iloc[:0])


def test_same_input_gives_the_same_bytes_and_other_input_another_version():
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    one, two = run(loads, features), run(loads.sample(frac=1, random_state=1), features)
    pd.testing.assert_frame_equal(one.forecasts, two.forecasts, check_exact=True)
    loads.loc[100, "energy_kwh"] += 1e-6
    assert run(loads, features).models["model_version"].iloc[0] != one.models["model_version"].iloc[0]


def test_bands_hold_the_share_they_promise():
    inside, total = 0, 0
    for seed in range(8):
        last = DAY + timedelta(days=2)
        loads = worlds.node_loads(CLOCK, FIRST, last, seed=seed, noise=0.05)
        made = run(loads, worlds.features(CLOCK, FIRST, last))
        both = made.forecasts.merge(loads, on=["node_id", "start_utc"])
        inside += int(((both["energy_kwh"] >= both["p05_kw"]) & (both["energy_kwh"] <= both["p95_kw"])).sum())
        total += len(both)
    assert 0.84 <= inside / total <= 0.96


def test_weather_forecast_that_was_issued_after_known_until_is_not_seen():
    """Twenty hours before the issue time the run before had been issued: its weather stands."""
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(replace(CLOCK, study_day_offset=4), FIRST, DAY)
    until = CLOCK.issue_time(DAY) - timedelta(hours=20)
    degrees = [name for name in features if name.startswith("temperature")]

    def colder(of: date, by: float = 10.0) -> pd.DataFrame:
        here = (features["day"] == of) & (features["basis"] == "forecast")
        return features.assign(**{name: features[name] - by * here for name in degrees})

    before = run(loads, features, known_until=until).forecasts
    pd.testing.assert_frame_equal(run(loads, colder(DAY), known_until=until).forecasts, before)
    moved = run(loads, colder(DAY - timedelta(days=1)), known_until=until).forecasts
    assert (moved["mean_kw"] - before["mean_kw"]).abs().max() > 1.0
    assert features_as_of(features, CLOCK, DAY, CLOCK.issue_time(DAY)) is features
    early = features_as_of(features[features["day"] == DAY], CLOCK, DAY, until)
    assert set(early["basis"]) == {"observed"}


@pytest.mark.parametrize("hours", [-20, 3])
def test_a_forecast_says_until_when_it_looked(hours):
    until = CLOCK.issue_time(DAY) + timedelta(hours=hours)
    made = run(worlds.node_loads(CLOCK, FIRST, DAY), known_until=until).forecasts
    assert set(made["issued_utc"]) == {pd.Timestamp(until)}


def test_a_regional_holiday_is_a_holiday_of_every_model():
    """Corpus Christi, 26 May 2016: a holiday in Bavaria, not in Berlin."""
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    there, elsewhere = (run(loads, region=one).forecasts for one in ("BY", "BE"))
    holiday = there["start_utc"] < pd.Timestamp(CLOCK.bounds(date(2016, 5, 26))[1])
    assert not np.allclose(there.loc[holiday, "mean_kw"], elsewhere.loc[holiday, "mean_kw"])
    unknown = run(loads, region="nowhere").forecasts
    np.testing.assert_array_equal(unknown["mean_kw"], elsewhere["mean_kw"])


def test_a_young_node_among_others_is_told():
    loads = worlds.node_loads(CLOCK, FIRST, DAY, ("system", "a"))
    born = pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=1)))
    young = loads[(loads["node_id"] == "system") | (loads["start_utc"] >= born)]
    made = run(young, nodes=("system", "a"), parents={"a": "system"})
    assert made.models.set_index("subject_id").loc["a", "model"] == "parents_share"
    assert any(one.startswith("a: only 2 days of it are known; parents_share") for one in made.messages)


def test_a_small_load_is_never_forecast_below_zero_and_one_that_feeds_back_may_be():
    random = np.random.default_rng(4)
    loads = worlds.node_loads(CLOCK, FIRST, DAY, ("system", "a"))
    bursts = random.random(len(loads)) < 0.15
    small = loads.assign(energy_kwh=np.where(bursts, 30.0 * random.random(len(loads)), 0.01))
    made = forecast_demand(small, None, ["system", "a"], CLOCK, DAY, country="DE").forecasts
    assert made[["mean_kw", "p05_kw", "p50_kw", "p95_kw"]].to_numpy().min() >= 0
    sun = small.assign(energy_kwh=small["energy_kwh"] - 5.0 * (small["node_id"] == "a"))
    net = forecast_demand(sun, None, ["system", "a"], CLOCK, DAY, country="DE").forecasts
    assert net.loc[net["node_id"] == "a", "mean_kw"].median() < 0
    assert net.loc[net["node_id"] == "system", "p05_kw"].min() >= 0
