"""The sktime interface gives the daily job's numbers and behaves as sktime's forecasters do."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.demand import forecast_demand
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=45)
CLOCK = worlds.clock_of(60)
COLUMNS = ["temperature_degc", "temperature_mean_24h_degc", "temperature_mean_72h_degc", "wind_speed_m_s", "ghi_w_m2", "clear_sky_ghi_w_m2"]


@pytest.fixture(scope="module")
def fitted():
    from grid_assets.forecasting.forecaster import CalendarWeatherForecaster

    loads, features = worlds.node_loads(CLOCK, FIRST, DAY), worlds.features(CLOCK, FIRST, DAY)
    y = loads.set_index("start_utc")["energy_kwh"].asfreq("h")
    past = features[features["basis"] == "observed"].set_index("start_utc")[COLUMNS].asfreq("h")
    ahead = features[(features["basis"] == "forecast") & (features["day"] == DAY)]
    model = CalendarWeatherForecaster(zone="Europe/Berlin", country="DE").fit(y, X=past)
    kept = features[(features["basis"] == "observed") | (features["day"] == DAY)]
    daily = forecast_demand(loads, kept, ["system"], CLOCK, DAY, country="DE").forecasts
    return model, y, past, ahead.set_index("start_utc")[COLUMNS].asfreq("h"), daily


def horizon(daily):
    from sktime.forecasting.base import ForecastingHorizon

    return ForecastingHorizon(pd.DatetimeIndex(daily["start_utc"]), is_relative=False)


def test_same_numbers_as_the_daily_job(fitted):
    model, _, _, ahead, daily = fitted
    mean = model.predict(horizon(daily), X=ahead)
    np.testing.assert_allclose(mean.to_numpy(), daily["mean_kw"], rtol=1e-9)
    assert list(mean.index) == list(daily["start_utc"])
    bands = model.predict_quantiles(horizon(daily), X=ahead, alpha=[0.05, 0.5, 0.95])
    np.testing.assert_allclose(bands.to_numpy(), daily[["p05_kw", "p50_kw", "p95_kw"]].to_numpy(), rtol=1e-9)
    assert bands.columns.get_level_values(1).tolist() == [0.05, 0.5, 0.95]


def test_relative_horizon_and_interval(fitted):
    model, _, _, ahead, daily = fitted
    both = model.predict([10, 33], X=ahead)
    assert both.index[0] == model.cutoff[0] + pd.Timedelta(hours=10)
    np.testing.assert_allclose(both.to_numpy(), model.predict(horizon(daily), X=ahead).reindex(both.index))
    band = model.predict_interval([10], X=ahead, coverage=0.9).to_numpy()[0]
    assert band[0] < both.iloc[0] < band[1]


def test_clone_and_parameters(fitted):
    model, y, past, ahead, daily = fitted
    assert model.get_params() == {"zone": "Europe/Berlin", "country": "DE", "issue_hour": 9, "naive": False}
    fresh = model.clone()
    assert not fresh.is_fitted
    again = fresh.fit(y, X=past).predict(horizon(daily), X=ahead)
    np.testing.assert_array_equal(again, model.predict(horizon(daily), X=ahead))


def test_naive_without_weather_and_missing_values(fitted):
    model, y, _, _, daily = fitted
    holed = y.copy()
    holed.iloc[200:260] = np.nan
    naive = model.clone().set_params(naive=True).fit(holed).predict(horizon(daily))
    week_before = y.shift(7, freq="D").reindex(naive.index)
    np.testing.assert_allclose(naive.to_numpy(), week_before.to_numpy())
    bare = model.clone().fit(holed).predict(horizon(daily))
    assert np.isfinite(bare.to_numpy()).all()


def test_what_cannot_be_forecast_is_refused(fitted):
    model, y, *_ = fitted
    with pytest.raises(ValueError, match="seven at most"):
        model.clone().fit(y).predict([24 * 9])
    with pytest.raises(NoHistoryError):
        model.clone().fit(y * np.nan)
    with pytest.raises(ValueError, match="divides an hour"):
        model.clone().fit(y.resample("3h").sum())


@pytest.mark.parametrize("update_params", [False, True])
@pytest.mark.parametrize("weather", [False, True])
def test_a_week_of_daily_updates_is_the_forecast_of_a_fit_on_all_data(fitted, update_params, weather):
    model, y, past, ahead, _ = fitted
    steps = list(range(1, 34))

    def forecasts(one) -> np.ndarray:
        X = ahead.combine_first(past) if weather else None  # what the forecast of the last day expected, and before it what came
        return one.predict_quantiles(steps, X=X, alpha=[0.05, 0.5, 0.95]).to_numpy()

    def until(end: pd.Timestamp, begin: pd.Timestamp = y.index[0]):
        new = (y.index >= begin) & (y.index < end)
        return y[new], past[(past.index >= begin) & (past.index < end)] if weather else None

    ends = [y.index[-1] + pd.Timedelta(hours=1) - pd.Timedelta(days=7 - n) for n in range(8)]
    first_y, first_weather = until(ends[0])
    updated = model.clone().fit(first_y, X=first_weather)
    before = forecasts(updated)
    for begin, end in pairwise(ends):
        new_y, new_weather = until(end, begin)
        updated.update(new_y, X=new_weather, update_params=update_params)
        whole_y, whole_weather = until(end)
        assert updated.cutoff[0] == whole_y.index[-1]
        np.testing.assert_array_equal(forecasts(updated), forecasts(model.clone().fit(whole_y, X=whole_weather)))
    assert np.abs(forecasts(updated) - before).max() > 0.5


def test_an_update_may_be_a_single_value_or_one_again(fitted):
    model, y, *_ = fitted
    updated = model.clone().fit(y[:-30])
    for n in range(30, 0, -1):
        updated.update(y.iloc[-n : len(y) - n + 1], update_params=False)
    np.testing.assert_array_equal(updated.predict([5, 20]), model.clone().fit(y).predict([5, 20]))
    updated.update(2 * y[-48:], update_params=False)  # readings that were corrected
    corrected = y.where(y.index < y.index[-48], 2 * y)
    np.testing.assert_array_equal(updated.predict([5, 20]), model.clone().fit(corrected).predict([5, 20]))
