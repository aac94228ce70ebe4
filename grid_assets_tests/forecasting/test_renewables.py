"""Plants: physical bounds, night, kinds, the choice against persistence."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting import faults
from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.renewables import forecast_renewables, totals_by_kind
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, RENEWABLE_FORECASTS, RENEWABLE_MODELS
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=45)
CLOCK = worlds.clock_of(30)
PLANTS = pd.DataFrame(
    [("pv 1", "pv", "m1", 100.0), ("pv 2", "pv", "m2", 50.0), ("wind 1", "wind", "m3", 200.0), ("bio 1", "biomass", "m4", 80.0)],
    columns=["plant_id", "kind", "meter_id", "rating_kw"],
).assign(node_id="system", bus_id=None)
FEATURES = worlds.features(CLOCK, FIRST, DAY + timedelta(days=2), cloudy=True)
KNOWN = FEATURES[FEATURES["day"] <= DAY]


def generation(last: date = DAY) -> pd.DataFrame:
    seen = FEATURES[(FEATURES["basis"] == "observed") & (FEATURES["day"] <= last)]
    sun = 0.9 * seen["ghi_w_m2"] / 1000
    wind = np.clip(seen["wind_speed_m_s"] / 12, 0, 1) ** 3
    noise = np.random.default_rng(2).normal(0, 0.01, len(seen))
    power = {"m1": 100 * sun, "m2": 50 * sun * (1 + noise), "m3": 200 * wind, "m4": 60 + 80 * noise}
    rows = [pd.DataFrame({"meter_id": meter, "start_utc": seen["start_utc"], "energy_kwh": kw / 2}) for meter, kw in power.items()]
    return pd.concat(rows, ignore_index=True)


def run(given=None, plants=PLANTS, features=KNOWN, **more):
    return forecast_renewables(generation() if given is None else given, plants, features, CLOCK, DAY, country="DE", **more)


def test_every_plant_within_its_rating_and_dark_at_night():
    made = run()
    assert RENEWABLE_FORECASTS.conform(made.forecasts.assign(readings_version="r")).num_rows == 4 * 78
    assert RENEWABLE_MODELS.conform(made.models.assign(readings_version="r")).num_rows == 3
    assert faults.gaps(made.forecasts, "plant_id", PLANTS["plant_id"], CLOCK, DAY) == ""
    both = made.forecasts.merge(PLANTS, on="plant_id")
    numbers = both[["mean_kw", *QUANTILE_COLUMNS]].to_numpy()
    assert (numbers >= 0).all()
    assert (numbers <= both["rating_kw"].to_numpy()[:, None]).all()
    local = CLOCK.local(pd.DatetimeIndex(both["start_utc"]))
    night = ((local.hour < 5) | (local.hour >= 19)) & (both["kind"] == "pv").to_numpy()
    assert night.sum()
    assert (numbers[night] == 0).all()


def test_sun_and_wind_follow_the_weather_forecast():
    made = run()
    truth = generation(DAY + timedelta(days=2)).merge(PLANTS, on="meter_id")
    both = made.forecasts.merge(truth, on=["plant_id", "start_utc"])
    error = (both["mean_kw"] - 2 * both["energy_kwh"]).abs().groupby(both["plant_id"]).mean()
    assert error["pv 1"] < 3.0
    assert error["wind 1"] < 12.0
    models = made.models.set_index("subject_id")
    assert models.loc["pv", "beats_naive"]
    assert models.loc["wind", "beats_naive"]
    assert models.loc["pv", "backtest_mae_kw"] < 0.4 * models.loc["pv", "naive_mae_kw"]


def test_weather_forecast_that_knows_nothing_gives_persistence():
    broken = KNOWN.copy()
    generator = np.random.default_rng(4)
    days = broken["day"].map({day: generator.uniform(0, 2) for day in broken["day"].unique()}).to_numpy(float)
    ahead = (broken["basis"] == "forecast").to_numpy()
    broken.loc[ahead, "ghi_w_m2"] = (broken["clear_sky_ghi_w_m2"] * days)[ahead]
    steady = generation()
    hour = CLOCK.local(pd.DatetimeIndex(steady["start_utc"])).hour
    steady["energy_kwh"] = np.where((hour > 8) & (hour < 16), 20.0, 0.0)
    made = run(steady, PLANTS[PLANTS["kind"] == "pv"], broken)
    assert made.models["model"].tolist() == ["persistence"]
    lit = made.forecasts["mean_kw"] > 0
    np.testing.assert_allclose(made.forecasts.loc[lit, "mean_kw"], 40.0)


def test_without_weather_there_is_still_a_forecast():
    made = run(features=None)
    assert faults.gaps(made.forecasts, "plant_id", PLANTS["plant_id"], CLOCK, DAY) == ""
    local = CLOCK.local(pd.DatetimeIndex(made.forecasts["start_utc"]))
    night = (local.hour < 5) & made.forecasts["plant_id"].str.startswith("pv").to_numpy()
    assert (made.forecasts.loc[night, "p95_kw"] == 0).all()


def test_nothing_after_the_issue_time_matters():
    later = generation(DAY + timedelta(days=2))
    late = later["start_utc"] >= pd.Timestamp(CLOCK.bounds(DAY)[1])
    later.loc[late, "energy_kwh"] = 77.0
    pd.testing.assert_frame_equal(run().forecasts, run(later, features=FEATURES).forecasts)


def test_no_plants_and_no_generation():
    assert run(plants=PLANTS.iloc[:0]).forecasts.empty
    with pytest.raises(NoHistoryError, match="4 plants"):
        run(generation().iloc[:0])
    one = run(generation()[lambda rows: rows["meter_id"] != "m3"])
    assert any("wind 1" in said for said in one.messages)
    assert "wind 1" not in set(one.forecasts["plant_id"])


def test_totals_by_kind_add_up():
    made = run().forecasts
    total = totals_by_kind(made, PLANTS)
    one = total[total["kind"] == "pv"].set_index("start_utc")["p75_kw"]
    expected = made[made["plant_id"].isin(["pv 1", "pv 2"])].groupby("start_utc")["p75_kw"].sum()
    np.testing.assert_allclose(one, expected)
