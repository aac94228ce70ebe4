"""Scores against hand-computed values."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting import accuracy
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.tables import FORECAST_ACCURACY, QUANTILE_COLUMNS
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=45)
CLOCK = worlds.clock_of(60)


def scored(stored=None, loads=None, features=None):
    loads = worlds.node_loads(CLOCK, FIRST, DAY) if loads is None else loads
    empty = pd.DataFrame()
    return accuracy.day_accuracy(
        (empty if stored is None else stored, empty), loads, empty, pd.DataFrame({"plant_id": []}), features, CLOCK, DAY, country="DE"
    )


def test_pinball_by_hand():
    np.testing.assert_allclose(accuracy.pinball(np.array([10.0, 10.0]), np.array([8.0, 14.0]), 0.9), [1.8, 0.4])


def test_score_by_hand():
    rows = pd.DataFrame({"actual_kw": [100.0, 200.0], "naive_kw": [90.0, 240.0], "mean_kw": [110.0, 180.0], "model": "m"})
    rows = rows.assign(**dict.fromkeys(QUANTILE_COLUMNS, rows["mean_kw"])).assign(p05_kw=[90.0, 170.0], p95_kw=[120.0, 190.0])
    made = accuracy.score("a", DAY, rows)
    assert made["mape_pct"] == pytest.approx(10.0)
    assert made["rmse_kw"] == pytest.approx(np.sqrt(250.0))
    assert made["mae_kw"] == pytest.approx(15.0)
    assert made["coverage_90_pct"] == 50.0
    assert made["bias_pct"] == pytest.approx(-5.0 / 150.0 * 100.0)
    assert made["naive_mape_pct"] == pytest.approx(15.0)
    assert made["naive_mae_kw"] == pytest.approx(25.0)
    # p05: 0.5, 1.5; the five between at the mean: over by 10 -> 10 (1 - q), short by 20 -> 20 q; p95: 1.0, 9.5
    middle = sum(10 * (1 - q) + 20 * q for q in (0.1, 0.25, 0.5, 0.75, 0.9))
    assert made["pinball_kw"] == pytest.approx((0.5 + 1.5 + middle + 1.0 + 9.5) / 14)


def test_zero_actual_leaves_mape_empty():
    rows = pd.DataFrame({"actual_kw": [0.0, 0.0], "naive_kw": 1.0, "mean_kw": 1.0, "model": "m"})
    made = accuracy.score("a", DAY, rows.assign(**dict.fromkeys(QUANTILE_COLUMNS, 1.0)))
    assert np.isnan(made["mape_pct"])
    assert np.isnan(made["bias_pct"])
    assert made["mae_kw"] == 1.0
    assert FORECAST_ACCURACY.conform(pd.DataFrame([made | {"readings_version": "r"}])).num_rows == 1


def test_published_and_made_again_forecast_score_the_same():
    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    issued = DAY - timedelta(days=2)
    stored = forecast_demand(loads, features, ["system"], CLOCK, issued, country="DE").forecasts
    published, again = scored(stored, loads, features), scored(None, loads, features)
    pd.testing.assert_frame_equal(published.scores, again.scores)
    assert published.demand_from.startswith("the published")
    assert again.demand_from.startswith("made again")
    assert published.scores["intervals"].tolist() == [24]


def test_naive_is_the_week_before_as_known_then():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    row = scored(loads=loads).scores.iloc[0]
    kw = loads.set_index("start_utc")["energy_kwh"]
    starts = CLOCK.intervals(DAY)
    week_before = kw.reindex(starts - pd.Timedelta(days=7)).to_numpy()
    assert row["naive_mae_kw"] == pytest.approx(np.abs(kw.reindex(starts).to_numpy() - week_before).mean())


def test_nothing_to_score_gives_no_rows_and_says_why():
    made = scored(loads=worlds.node_loads(CLOCK, DAY, DAY))
    assert FORECAST_ACCURACY.conform(made.scores).num_rows == 0
    assert made.demand_from.startswith("none: no load is known")


def test_plants_are_scored_by_kind():
    starts = CLOCK.intervals(FIRST, DAY)
    plants = pd.DataFrame({"plant_id": ["a", "b"], "kind": "hydro", "meter_id": ["m", "n"], "rating_kw": 10.0})
    flow = [pd.DataFrame({"meter_id": meter, "start_utc": starts, "energy_kwh": kw}) for meter, kw in (("m", 4.0), ("n", 8.0))]
    generation = pd.concat(flow, ignore_index=True)
    last = generation["start_utc"] >= CLOCK.bounds(DAY)[0]
    generation.loc[last & (generation["meter_id"] == "n"), "energy_kwh"] = 6.0
    empty = pd.DataFrame()
    loads = worlds.node_loads(CLOCK, DAY, DAY).iloc[:0]
    made = accuracy.day_accuracy((empty, empty), loads, generation, plants, None, CLOCK, DAY, country="DE").scores
    row = made[made["subject_id"] == "hydro"].iloc[0]
    assert row["mae_kw"] == pytest.approx(1.0)
    assert row["naive_mae_kw"] == pytest.approx(1.0)
    assert row["intervals"] == 48
    assert row["mape_pct"] == pytest.approx(100 / 6)


def test_classes_of_horizon_have_the_naive_of_their_own_horizon():
    clock = replace(CLOCK, horizon_days=7)
    loads = worlds.node_loads(clock, FIRST, DAY)
    kw = loads.set_index("start_utc")["energy_kwh"]
    runs = [DAY - timedelta(days=back) for back in (2, 3, 4, 6, 8)]
    issued = {}
    for run in runs:
        known = loads[loads["start_utc"] < pd.Timestamp(clock.bounds(run)[1])]
        issued[run] = forecast_demand(known, None, ["system"], clock, run, country="DE").forecasts
    made = accuracy.later_accuracy(issued, loads, clock, DAY, country="DE").set_index("horizon_class")
    assert made["intervals"].to_dict() == {"days_2_3": 48, "days_4_7": 48}  # two runs each; the day-ahead one is not among them
    starts = clock.intervals(DAY)
    actual = kw.reindex(starts).to_numpy()
    week, two = (np.abs(kw.reindex(starts - pd.Timedelta(days=back)).to_numpy() - actual).mean() for back in (7, 14))
    assert made.loc["days_2_3", "naive_mae_kw"] == pytest.approx(week)
    # the run of eight days before knew the load up to that day's end: a week before the target is the day after it
    assert made.loc["days_4_7", "naive_mae_kw"] == pytest.approx((week + two) / 2)
    own = issued[DAY - timedelta(days=6)].set_index("start_utc")["mean_kw"].reindex(starts).to_numpy()
    far = issued[DAY - timedelta(days=8)].set_index("start_utc")["mean_kw"].reindex(starts).to_numpy()
    assert made.loc["days_4_7", "mae_kw"] == pytest.approx(np.mean([np.abs(own - actual).mean(), np.abs(far - actual).mean()]))


def test_where_the_study_day_is_the_day_of_issue_the_morning_before_is_still_the_day_ahead():
    clock = replace(CLOCK, horizon_days=7, study_day_offset=1)
    loads = worlds.node_loads(clock, FIRST, DAY)
    runs = accuracy.earlier_runs(clock, DAY)
    assert DAY - timedelta(days=2) in runs
    assert DAY - timedelta(days=1) not in runs
    run = DAY - timedelta(days=2)
    known = loads[loads["start_utc"] < pd.Timestamp(clock.bounds(run)[1])]
    issued = {run: forecast_demand(known, None, ["system"], clock, run, country="DE").forecasts}
    assert accuracy.later_accuracy(issued, loads, clock, DAY, country="DE")["horizon_class"].tolist() == ["day_ahead"]
    empty, nothing = pd.DataFrame(), pd.DataFrame({"plant_id": []})
    own = accuracy.day_accuracy((empty, empty), loads, empty, nothing, None, clock, DAY, country="DE").scores
    assert own["horizon_class"].tolist() == ["same_day"]


def test_a_forecast_made_again_sees_what_was_known_then():
    loads = worlds.node_loads(CLOCK, FIRST, DAY)
    known = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(DAY - timedelta(days=3))[1])]
    empty = pd.DataFrame()
    nothing = pd.DataFrame({"plant_id": []})
    told = accuracy.day_accuracy((empty, empty), loads, empty, nothing, None, CLOCK, DAY, country="DE", known=lambda: (known, empty)).scores
    assert told["mae_kw"].iloc[0] != scored(loads=loads).scores["mae_kw"].iloc[0]
