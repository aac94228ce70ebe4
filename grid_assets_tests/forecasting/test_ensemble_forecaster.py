"""The ensemble behind sktime's interface: the same numbers, for one series."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.ensemble import node_models, trees
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


@pytest.mark.parametrize("update_params", [False, True])
def test_a_week_of_daily_updates_is_the_forecast_of_a_fit_on_all_data(series, monkeypatch, update_params):
    """Over the end of a month; without new parameters nothing but that month's regression is fitted."""
    from grid_assets.forecasting.forecaster import EnsembleForecaster

    monkeypatch.setattr(trees, "ROUNDS", 20)
    power, weather = series[0], pd.concat([series[1], series[2]])
    ends = [pd.Timestamp("2017-02-26 08:00", tz="UTC") + pd.Timedelta(days=n) for n in range(8)]
    fits = []
    for kind in ("fit_regression", "fit_node_trees"):
        whole = getattr(node_models, kind)
        monkeypatch.setattr(node_models, kind, lambda *given, kind=kind, whole=whole: fits.append(kind) or whole(*given))

    def told(begin: pd.Timestamp, end: pd.Timestamp) -> tuple[pd.Series, pd.DataFrame]:
        return power[(power.index >= begin) & (power.index < end)], weather[(weather.index >= begin) & (weather.index < end)]

    def forecasts(model, end: pd.Timestamp) -> np.ndarray:
        ahead = weather[(weather.index >= end) & (weather.index < end + pd.Timedelta(days=1))]
        return model.predict_quantiles(horizon(ahead.index), X=ahead, alpha=list(LEVELS)).to_numpy()

    def fitted_on(end: pd.Timestamp) -> EnsembleForecaster:
        known, past = told(power.index[0], end)
        return EnsembleForecaster(zone="Europe/Berlin", country="DE").fit(known, X=past)

    updated = fitted_on(ends[0])
    forecasts(updated, ends[0])
    fits.clear()
    made = []
    for begin, end in pairwise(ends):
        new, observed = told(begin, end)
        updated.update(new, X=observed, update_params=update_params)
        if update_params and end != ends[-1]:  # each would fit all that there is
            continue
        made.append((end, forecasts(updated, end)))
    assert update_params or fits == ["fit_regression"]
    for end, one in (made[0], made[-1]):
        np.testing.assert_array_equal(one, forecasts(fitted_on(end), end))


def test_an_update_to_another_hour_of_the_day_is_that_of_a_fit(series, model, monkeypatch):
    """The hours that are known of the day of issue are part of a model."""
    power, past, ahead = series
    begin, end = power.index[-1] + pd.Timedelta(minutes=30), power.index[-1] + pd.Timedelta(hours=4, minutes=30)
    new = pd.Series(power.iloc[-8:].to_numpy() * 1.1, pd.date_range(begin, periods=8, freq="30min"))
    later = ahead[ahead.index >= end]
    model.predict(horizon(later.index), X=later)
    model.update(new, X=ahead[ahead.index < end], update_params=False)
    fresh = model.clone().fit(pd.concat([power, new]).asfreq("30min"), X=pd.concat([past, ahead[ahead.index < end]]).asfreq("30min"))
    np.testing.assert_array_equal(model.predict(horizon(later.index), X=later), fresh.predict(horizon(later.index), X=later))
