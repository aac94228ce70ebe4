import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.forecasting.ensemble.surprises import shifted, surprise_terms

DAYS = 60
SURPRISES = np.random.default_rng(5).normal(0, 1, (DAYS, 24))


@given(st.integers(0, 7), st.integers(0, 24), st.integers(40, DAYS - 1), st.sampled_from([np.nan, 1e9]))
def test_what_comes_after_the_issue_time_changes_nothing(offset, known_hours, target, value):
    issued = target - offset
    changed = SURPRISES.copy()
    changed[issued, known_hours:] = value
    changed[issued + 1 :] = value
    before, after = (surprise_terms(one, one, offset, known_hours)[target] for one in (SURPRISES, changed))
    np.testing.assert_array_equal(before, after)


def test_terms_tell_the_last_known_hour_the_day_before_and_the_week_before():
    made = surprise_terms(SURPRISES, SURPRISES, 1, 9)[50]
    assert made[5, 0] == SURPRISES[49, 8]
    np.testing.assert_allclose(made[:, 1], SURPRISES[49, 6:9].mean())
    np.testing.assert_allclose(made[:9, 3], SURPRISES[49, :9])
    np.testing.assert_allclose(made[9:, 3], SURPRISES[48, 9:])
    np.testing.assert_allclose(made[:, 4], SURPRISES[48])
    np.testing.assert_allclose(made[:, 9], SURPRISES[43])
    np.testing.assert_allclose(made[:, -1], SURPRISES[[43, 36, 29, 22]].mean(0))


def test_a_week_ahead_looks_two_weeks_back():
    made = surprise_terms(SURPRISES, SURPRISES, 7, 9)[50]
    np.testing.assert_allclose(made[:, 9], SURPRISES[36])


def test_without_a_known_hour_of_the_issue_day_the_day_before_stands_in():
    made = surprise_terms(SURPRISES, SURPRISES, 1, 0)[50]
    assert made[5, 0] == SURPRISES[48, 23]
    np.testing.assert_allclose(made[:, 2], SURPRISES[48].mean())
    np.testing.assert_allclose(made[:, 3], SURPRISES[48])


def test_what_is_unknown_counts_as_no_surprise():
    nothing = np.full(SURPRISES.shape, np.nan)
    assert (surprise_terms(nothing, nothing, 1, 9) == 0).all()


@pytest.mark.parametrize("days", [0, 1, 7])
def test_shifted(days):
    made = shifted(SURPRISES, days)
    assert np.isnan(made[:days]).all()
    np.testing.assert_array_equal(made[days:], SURPRISES[: DAYS - days])
