"""The recurrent network: it learns, forgets nothing it may not know, and says plainly when its extra is absent."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.challengers import WEEKLY_NAIVE, challenge, scores
from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets_tests.forecasting import worlds

LAST = date(2016, 12, 20)
FIRST = LAST - timedelta(days=330)
CLOCK = worlds.clock_of(60)
ISSUED = pd.Timestamp(CLOCK.issue_time(LAST - timedelta(days=2)))
LEVELS = [0.05, 0.5, 0.95]
pytestmark = pytest.mark.filterwarnings("ignore:Converting to Period")  # sktime on time zones

needs_neural = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "equinox", "optax"))), reason="JAX is absent: uv run --extra neural pytest -m neural"
)


def neural(test):
    return pytest.mark.neural(needs_neural(test))


def test_an_extra_that_is_not_there_is_told(monkeypatch):
    for name in ("neural", "neural_network"):
        monkeypatch.delitem(sys.modules, f"grid_assets.forecasting.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(
        ImportError, match=r"needs equinox, which is not installed: `uv sync --extra neural`, or install grid_assets\[neural\]"
    ):
        importlib.import_module("grid_assets.forecasting.neural")


@pytest.fixture(autouse=True, scope="module")
def narrow():
    """A quarter of the width, for speed."""
    if importlib.util.find_spec("jax"):
        from grid_assets.forecasting import neural_network

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(neural_network, "WIDTH", 16)
            yield
    else:
        yield


@pytest.fixture(scope="module")
def series() -> tuple[pd.Series, pd.DataFrame]:
    rows = worlds.node_loads(CLOCK, FIRST, LAST)
    load = rows.set_index("start_utc")["energy_kwh"].asfreq("h")
    return load, pd.DataFrame({"temperature_degc": worlds.temperature(load.index)}, load.index)


def small(**keys):
    from grid_assets.forecasting.neural import LstmForecaster

    return LstmForecaster(**{"zone": "Europe/Berlin", "country": "DE", "horizon_hours": 40, "steps": 200, "members": 1} | keys)


@pytest.fixture(scope="module")
def fitted(series):
    """Trained on all before the issue of the last day."""
    load, weather = series
    past = load.index < ISSUED
    return small().fit(load[past], X=weather[past])


def horizon(hours):
    from sktime.forecasting.base import ForecastingHorizon

    return ForecastingHorizon(pd.DatetimeIndex(hours), is_relative=False)


@neural
def test_it_learns_what_the_weekly_naive_does_not_know(fitted, series):
    load, weather = series
    found = challenge({"lstm": small()}, load, CLOCK, LAST, LAST, observed=weather)
    told = scores(found).set_index("model")
    assert told.loc["lstm", "mae_kw"] < 0.8 * told.loc[WEEKLY_NAIVE, "mae_kw"]
    assert told.loc["lstm", "mape_pct"] < 4.0
    assert told.loc["lstm", "coverage_90_pct"] > 50.0
    said = fitted.predict(horizon(found.loc[found["model"] == "lstm", "start_utc"]), X=weather)  # and it is what it says by itself
    np.testing.assert_allclose(found.loc[found["model"] == "lstm", "mean_kw"], said, rtol=1e-5)


@neural
def test_mean_and_quantiles_by_sktimes_interface(fitted, series):
    _, weather = series
    ahead = weather[weather.index >= ISSUED]
    mean = fitted.predict(horizon(ahead.index[:30]), X=ahead)
    bands = fitted.predict_quantiles(horizon(ahead.index[:30]), X=ahead, alpha=LEVELS)
    assert list(mean.index) == list(ahead.index[:30])
    np.testing.assert_allclose(bands.to_numpy()[:, 1], mean)
    assert (np.diff(bands.to_numpy(), axis=1) > 0).all()
    np.testing.assert_allclose(fitted.predict([3, 30], X=ahead), mean.iloc[[2, 29]], rtol=1e-6)
    finer = fitted.predict_quantiles(horizon(ahead.index[:2]), X=ahead, alpha=[0.05, 0.07, 0.5]).to_numpy()
    assert (np.diff(finer, axis=1) > 0).all()


@neural
def test_nothing_after_the_issue_time_is_seen(fitted, series):
    load, weather = series
    hours = load.index[load.index >= ISSUED][:30]
    before = fitted.predict_quantiles(horizon(hours), X=weather, alpha=LEVELS)
    changed = weather.copy()
    changed.loc[hours[0] + pd.Timedelta(hours=40) :] = 50.0  # beyond the horizon
    pd.testing.assert_frame_equal(before, fitted.predict_quantiles(horizon(hours), X=changed, alpha=LEVELS))
    # measured weather after the issue time that fit was given does not stand in for the forecast
    plain, measured = fitted.predict(horizon(hours)), fitted._degrees
    fitted._degrees = pd.concat([measured, weather.loc[load.index >= ISSUED, "temperature_degc"] + 20.0])
    pd.testing.assert_series_equal(fitted.predict(horizon(hours)), plain)
    fitted._degrees = measured


@neural
def test_the_same_seed_gives_the_same_numbers_and_another_others(series):
    load, weather = series
    past, hours = load.index < ISSUED, load.index[load.index >= ISSUED][:24]
    once, again, other = (
        small(steps=10, members=2, seed=seed).fit(load[past], X=weather[past]).predict(horizon(hours), X=weather) for seed in (1, 1, 2)
    )
    pd.testing.assert_series_equal(once, again)
    assert not np.allclose(once, other)


@neural
def test_update_moves_the_issue_time_and_trains_further_only_when_asked(fitted, series):
    load, weather = series
    first = load.index < ISSUED - pd.Timedelta(days=3)
    then = (load.index < ISSUED) & ~first
    hours = horizon(load.index[load.index >= ISSUED][:24])
    model = small(steps=10, update_steps=5).fit(load[first], X=weather[first])
    weights = np.asarray(model._networks[0].encoder.weight_hh)
    moved = copy.copy(model).update(load[then], X=weather[then], update_params=False)
    np.testing.assert_array_equal(moved._networks[0].encoder.weight_hh, weights)
    assert moved.cutoff[0] == ISSUED - pd.Timedelta(hours=1)
    assert np.isfinite(moved.predict(hours, X=weather)).all()
    further = model.update(load[then], X=weather[then], update_params=True)
    assert not np.allclose(further._networks[0].encoder.weight_hh, weights)
    assert not np.allclose(further.predict(hours, X=weather), moved.predict(hours, X=weather))


@neural
def test_odd_input_still_gives_a_forecast(series):
    load, weather = series
    past, hours = load.index < ISSUED, load.index[load.index >= ISSUED][:24]
    odd, air = load[past].copy(), weather[past].copy()
    odd.iloc[300:400], odd.iloc[-5:], odd.iloc[50] = np.nan, np.nan, np.inf
    air.iloc[100:200], air.iloc[7] = np.nan, 1e9
    odd = odd.drop(odd.index[500:520])  # rows that are missing, not only values
    with pytest.warns(UserWarning, match="values of temperature_degc are infinite or lie outside"):
        made = small(steps=10).fit(odd, X=air.reindex(odd.index))
    relative = made.predict([1, 24], X=weather)
    np.testing.assert_allclose(relative, made.predict(horizon(hours), X=weather).iloc[[0, 23]], rtol=1e-6)
    assert np.isfinite(made.predict(horizon(hours), X=weather)).all()
    assert np.isfinite(made.predict(horizon(hours))).all()  # no weather forecast: the last day's goes on
    with pytest.warns(UserWarning, match="XX"):
        assert np.isfinite(small(steps=10, country="XX").fit(odd).predict(horizon(hours))).all()
    assert np.isfinite(small(steps=10).fit(odd, X=air.reindex(odd.index) * np.nan).predict(horizon(hours), X=weather)).all()
    solar = small(steps=10).fit(odd - load.mean())  # negative behind PV
    assert np.isfinite(solar.predict(horizon(hours))).all()
    flat = small(steps=10).fit(0 * odd + 5.0)
    assert np.isfinite(flat.predict(horizon(hours))).all()


@neural
def test_hours_that_were_filled_in_are_not_learned_from(fitted):
    from grid_assets.forecasting import neural_network

    hours = fitted._hours(fitted._power.index)
    load, known, facts = neural_network._arrays(hours)
    starts, levels = np.arange(400, 440), np.array(LEVELS)

    def loss(load, known):
        network = neural_network.Network(facts.shape[1], len(LEVELS), neural_network.jax.random.key(0))
        return float(neural_network._loss(network, (load, known, facts), starts, levels, 40))

    half = known.at[::2].set(0.0).at[: 400 + 40].set(known[: 400 + 40])
    assert loss(load, 0 * known) == 0.0
    assert loss(load, known) != loss(load, half)
    assert loss(load.at[480].set(9.0), known.at[480:].set(0.0)) == pytest.approx(loss(load, known.at[480:].set(0.0)))


@neural
def test_what_it_cannot_do_is_refused(fitted, series):
    load, _ = series
    with pytest.raises(ValueError, match="ends 41 hours after the last known one; expected 40 at most"):
        fitted.predict([41])
    with pytest.raises(ValueError, match="levels between"):
        fitted.predict_quantiles([1], alpha=[0.01])
    with pytest.raises(NoHistoryError, match="56 at least"):
        small().fit(load[: 24 * 50])
    with pytest.raises(ValueError, match="expected an hour"):
        small().fit(load.resample("30min").ffill())
    with pytest.raises(ValueError, match="horizon_hours = 200"):
        small(horizon_hours=200).fit(load)
