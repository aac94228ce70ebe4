"""One model over all meters: weekly habits are found, nothing later is seen, odd meters are forecast too."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.forecasting.meters.global_model import (
    HORIZON_DAYS,
    HOURS,
    LEVELS,
    fit,
    forecast_meters,
    predict,
)

DAYS, METERS = 56, 60
KINDS = np.array([(2 if day % 7 == 6 else 1 if day % 7 == 5 else 0) for day in range(DAYS + HORIZON_DAYS)])


@cache
def world(seed: int = 0) -> np.ndarray:
    """[meters, days, hours], kW: households of different sizes, busy evenings, more at weekends, and noise."""
    random = np.random.default_rng(seed)
    size = random.lognormal(-0.5, 0.6, (METERS, 1, 1))
    phase = random.integers(-2, 3, METERS)
    evening = np.stack([np.roll(np.exp(-0.5 * ((np.arange(HOURS) - 19) / 2.5) ** 2), shift) for shift in phase])
    shape = 0.3 + 1.5 * evening[:, None] * (1 + 0.5 * (KINDS > 0)[None, :, None])
    return (size * shape * random.lognormal(0, 0.15, (METERS, DAYS + HORIZON_DAYS, HOURS))).astype(np.float32)


def wape(made: np.ndarray, actual: np.ndarray) -> float:
    return float(np.abs(made - actual).sum() / actual.sum())


def test_habits_are_found_and_the_noise_is_left():
    load = world()
    made = forecast_meters(load[:, :DAYS], KINDS)
    actual = load[:, DAYS:]
    assert made.mean.shape == (METERS, HORIZON_DAYS, HOURS)
    assert wape(made.mean, actual) < 0.75 * wape(load[:, DAYS - 7 : DAYS], actual)
    assert wape(made.mean, actual) < 0.17  # the noise alone is 0.12
    inside = (actual >= made.quantiles[0]) & (actual <= made.quantiles[-1])
    assert 0.84 < inside.mean() < 0.96
    assert made.quantiles.shape[0] == len(LEVELS)
    assert (np.diff(made.quantiles, axis=0) >= 0).all()
    assert (made.mean >= 0).all()
    told = np.sqrt(made.variance) / np.sqrt(((made.mean - actual) ** 2).mean(axis=(1, 2)))
    assert 0.6 < np.median(told) < 1.6


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([0.0, -3.0, 40.0, np.nan]), st.integers(0, 6))
def test_nothing_after_the_issue_is_seen(factor, later):
    load = world()
    changed = load.copy()
    changed[:, DAYS + later :] *= factor
    changed = changed[:, : DAYS + later + 1]
    issue = DAYS - 1
    whole, part = fit(load[:, :DAYS], KINDS, None, issue, 0), fit(changed, KINDS, None, issue, 0)
    np.testing.assert_array_equal(predict(whole, load[:, :DAYS], KINDS, None, issue), predict(part, changed, KINDS, None, issue))


def test_the_same_seed_gives_the_same_numbers_and_blocks_of_meters_do_not_matter():
    load = world()[:, :DAYS]
    one, other = forecast_meters(load, KINDS), forecast_meters(load, KINDS)
    np.testing.assert_array_equal(one.mean, other.mean)
    booster = fit(load, KINDS, None, DAYS - 1, 0)
    np.testing.assert_array_equal(predict(booster, load, KINDS, None, DAYS - 1), predict(booster, load, KINDS, None, DAYS - 1, most=7))


def test_odd_meters_are_forecast_too():
    load = world()[:, :DAYS].copy()
    load[0] = 2.5  # constant
    load[1] = 0.0  # empty
    load[2] -= 3.0  # behind its own PV
    load[3] = np.nan  # never heard of
    load[4, :-9] = np.nan  # nine days old
    load[5, 20:30] = np.nan  # a gap
    load[6, 10, 3] = 5000.0  # a spike
    made = forecast_meters(load, KINDS)
    heard = np.arange(METERS) != 3
    assert np.isfinite(made.mean[heard]).all()
    assert np.isnan(made.mean[3]).all()
    np.testing.assert_allclose(made.mean[0], 2.5, rtol=0.25)
    assert made.mean[1].max() < 1e-3
    assert made.mean[2].min() < -1.0
    assert (made.mean[heard & (np.arange(METERS) != 2)] >= 0).all()
    assert wape(made.mean[4], world()[4, DAYS:]) < 0.35
    others = forecast_meters(world()[7:, :DAYS], KINDS).mean
    assert wape(made.mean[7:], world()[7:, DAYS:]) < 1.15 * wape(others, world()[7:, DAYS:])
    assert (made.variance > 0).all()


def test_weather_that_matters_is_used():
    random = np.random.default_rng(3)
    degrees = (10 + 6 * random.standard_normal((DAYS + HORIZON_DAYS, 1)) + np.zeros((1, HOURS))).astype(np.float32)
    load = world() * (1 + 0.08 * np.maximum(0, 15 - degrees))[None]
    actual = load[:, DAYS:]
    with_weather = forecast_meters(load[:, :DAYS], KINDS, degrees).mean
    without = forecast_meters(load[:, :DAYS], KINDS).mean
    assert wape(with_weather, actual) < 0.8 * wape(without, actual)


@pytest.mark.parametrize("days", [8, 12, 20])
def test_little_history_still_gives_a_week(days):
    load = world()
    made = forecast_meters(load[:, DAYS - days : DAYS], KINDS[DAYS - days :])
    assert np.isfinite(made.mean).all()
    assert np.isfinite(made.quantiles).all()
    assert wape(made.mean, load[:, DAYS:]) < 0.5


def test_a_week_is_not_enough():
    with pytest.raises(ValueError, match="7 days of readings; expected more than 7"):
        forecast_meters(world()[:, :7], KINDS)
