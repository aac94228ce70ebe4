import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.forecasting.ensemble.combination import GUARD, LARGEST_SHARE, TREES_SHARE, combined, unit_of

DAYS = 120
RANDOM = np.random.default_rng(8)
ACTUAL = 1000.0 + 200.0 * np.sin(np.arange(24) / 4) + RANDOM.normal(0, 20, (DAYS, 24))


def noisy(spread, seed):
    return ACTUAL + np.random.default_rng(seed).normal(0, spread, ACTUAL.shape)


def error(forecast):
    return np.abs(forecast - ACTUAL)[40:].mean()


def test_two_unlike_models_are_better_together_and_the_better_one_counts_more():
    good, fair = noisy(20, 1), noisy(30, 2)
    assert error(combined(good, fair, ACTUAL, 1)) < error(good)
    assert error(combined(fair, good, ACTUAL, 1)) < error(fair)
    poor = noisy(120, 3)
    assert error(combined(good, poor, ACTUAL, 1)) < 1.15 * error(good)


def test_a_regression_that_runs_away_is_held_near_the_trees():
    wild = ACTUAL.copy()
    wild[100] *= 4.0
    made = combined(wild, ACTUAL, ACTUAL, 1)
    assert (made[100] <= ACTUAL[100] * (1 + GUARD) * (1 + 0.2)).all()


def test_what_lately_was_missing_every_day_is_added():
    low = ACTUAL * 0.95
    made = combined(low, low, ACTUAL, 1)
    assert error(made) < 0.8 * error(low)
    assert np.array_equal(made[:2], low[:2])  # nothing was known yet


@given(st.integers(0, 7), st.integers(20, DAYS - 8), st.sampled_from([np.nan, 1e7, -5.0]))
def test_actuals_from_the_issue_day_on_change_nothing(offset, target, value):
    one, other = noisy(20, 1), noisy(30, 2)
    later = ACTUAL.copy()
    later[target - offset :] = value
    before, after = (combined(one, other, actual, offset)[target] for actual in (ACTUAL, later))
    np.testing.assert_array_equal(before, after)


def test_without_history_the_trees_have_their_usual_share():
    nothing = np.full(ACTUAL.shape, np.nan)
    made = combined(ACTUAL, ACTUAL * 1.1, nothing, 1)
    np.testing.assert_allclose(made, ACTUAL * (1 + 0.1 * TREES_SHARE))
    assert TREES_SHARE < LARGEST_SHARE


def test_errors_near_zero_are_measured_by_a_share_of_the_day():
    day = np.array([[0.0, 1000.0] * 12])
    np.testing.assert_allclose(unit_of(day)[0, :2], [150.0, 1000.0])
    assert unit_of(np.zeros((1, 24))) == pytest.approx(1e-9)
