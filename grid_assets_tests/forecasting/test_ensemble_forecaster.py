"""The ensemble behind sktime's interface: the same numbers, for one series."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.forecasts import forecast
from grid_assets.forecasting.ensemble.histories import node_history
from grid_assets_tests.forecasting import worlds

DAY = date(2017, 3, 15)
CLOCK = worlds.clock_of(30)
LEVELS = (0.05, 0.5, 0.95)


@pytest.fixture(scope="module")
def series():
    """Half-hours until 09:00 of DAY, and the weather to the end of the day after it."""
    loads = worlds.node_loads(CLOCK, DAY - timedelta(days=430), DAY)
    power = (loads.set_index("start_utc")["energy_kwh"] / CLOCK.interval_hours).asfreq("30min")
    starts = CLOCK.intervals(DAY - timedelta(days=430), DAY + timedelta(days=1))
    weather = pd.DataFrame({"temperature_degc": worlds.temperature(starts)}, starts).asfreq("30min")
    end = pd.Timestamp(CLOCK.midnight(DAY)) + pd.Timedelta(hours=9)
    return power[power.index < end], weather[weather.index < end], weather[weather.index >= end]


@pytest.fixture
def model(series, monkeypatch):
    from grid_assets.forecasting.forecaster import EnsembleForecaster

    monkeypatch.setattr(trees, "ROUNDS", 20)
    return EnsembleForecaster(zone="Europe/Berlin", country="DE").fit(series[0], X=series[1])


def horizon(starts):
    from sktime.forecasting.base import ForecastingHorizon

    return ForecastingHorizon(pd.DatetimeIndex(starts), is_relative=False)


def test_its_hours_are_the_ensembles_forecast_issued_where_the_series_ends(series, model):
    power, past, ahead = series
    mean = model.predict(horizon(ahead.index), X=ahead)
    bands = model.predict_quantiles(horizon(ahead.index), X=ahead, alpha=list(LEVELS))
    history = node_history(
        power, past["temperature_degc"], CLOCK, DAY + timedelta(days=1), country="DE", forecasts_degc={DAY: ahead["temperature_degc"]}
    )
    issued = history.days.index(DAY)
    made = forecast(history, [issued], (0, 1), LEVELS)
    hours = mean.groupby(mean.index.floor("h")).mean().to_numpy()
    np.testing.assert_allclose(hours, [*made[0].mean[issued, 9:], *made[1].mean[issued + 1]])
    assert (bands.to_numpy()[:, 0] < mean.to_numpy()).all()
    assert (mean.to_numpy() < bands.to_numpy()[:, 2]).all()
    truth = worlds.node_loads(CLOCK, DAY, DAY + timedelta(days=1), noise=0.0).set_index("start_utc")["energy_kwh"] / 0.5
    assert np.abs(mean / truth.reindex(mean.index) - 1).mean() < 0.03


def test_another_horizon_is_another_model_and_a_far_one_is_refused(series, model):
    power, _, ahead = series
    tomorrow = ahead.index[ahead.index >= pd.Timestamp(CLOCK.midnight(DAY + timedelta(days=1)))]
    assert model.predict(horizon(ahead.index[:4]), X=ahead).notna().all()
    assert model.predict(horizon(tomorrow), X=ahead).notna().all()
    with pytest.raises(ValueError, match="expected seven at most"):
        model.predict(horizon(power.index[-1:] + pd.Timedelta(days=9)), X=ahead)


def test_less_than_a_year_is_refused_with_what_to_take(series):
    from grid_assets.forecasting.forecaster import EnsembleForecaster

    power, past, _ = series
    with pytest.raises(NoHistoryError, match="CalendarWeatherForecaster"):
        EnsembleForecaster(zone="Europe/Berlin", country="DE").fit(power[-200 * 48 :], X=past[-200 * 48 :])
