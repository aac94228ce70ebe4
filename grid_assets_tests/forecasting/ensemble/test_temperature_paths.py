import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.forecasting.ensemble.temperature_paths import (
    EXTRAPOLATED_DEGC,
    PAST_DAYS,
    TemperatureSpline,
    as_observed,
    temperature_paths,
)
from grid_assets_tests.forecasting.ensemble.worlds import days_of, temperatures

DAYS, OFFSETS, ISSUE_HOUR = 20, 3, 9
OBSERVED = temperatures(days_of(DAYS))


def test_features_are_what_pandas_says_of_the_same_hours():
    paths = temperature_paths(OBSERVED, as_observed(OBSERVED, OFFSETS), ISSUE_HOUR)
    hours = pd.Series(OBSERVED.reshape(-1))
    issued, offset = 12, 1
    made = paths.features(offset, np.array([issued]))
    here = slice((issued + offset) * 24, (issued + offset + 1) * 24)
    np.testing.assert_allclose(made["mean_24h"][0], hours.rolling(24).mean()[here])
    np.testing.assert_allclose(made["mean_168h"][0], hours.rolling(168).mean()[here])
    np.testing.assert_allclose(made["lag_6h"][0], hours.shift(6)[here])
    np.testing.assert_allclose(made["mean_3h"][0], hours.shift(1).rolling(3).mean()[here])
    assert made["day_maximum"][0] == pytest.approx(OBSERVED[issued + offset].max())
    since = hours[(issued - PAST_DAYS) * 24 :]  # a memory begins with the mean of the path's first day
    memory = since[:24].mean()
    for value in since[: (PAST_DAYS + offset) * 24 + 1]:
        memory += (value - memory) * (1 - np.exp(-1 / 48))
    assert made["memory_48h"][0][0] == pytest.approx(memory)


def test_with_a_perfect_forecast_issue_time_features_are_the_observed_ones():
    paths = temperature_paths(OBSERVED, as_observed(OBSERVED, OFFSETS), ISSUE_HOUR)
    late = np.arange(PAST_DAYS + 1, DAYS - OFFSETS)
    for name, values in paths.observed_features().items():
        if not name.startswith("memory"):  # which begin a day later there
            np.testing.assert_allclose(paths.features(1, late)[name], values[late + 1], err_msg=name)


@settings(max_examples=40)
@given(st.integers(1, DAYS - 1), st.floats(-80, 80), st.booleans(), st.integers(0, 30))
def test_nothing_observed_after_an_issue_time_enters_its_path(issued, value, gone, gap):
    """Not even into a gap that begins before it."""
    started = OBSERVED.reshape(-1).copy()
    end = issued * 24 + ISSUE_HOUR
    started[max(end - gap, 0) : end] = np.nan
    started = started.reshape(OBSERVED.shape)
    changed = started.copy()
    changed[issued, ISSUE_HOUR:] = np.nan if gone else value
    changed[issued + 1 :] = np.nan if gone else value
    expected = as_observed(OBSERVED, OFFSETS)
    before, after = (temperature_paths(one, expected, ISSUE_HOUR).known[issued] for one in (started, changed))
    if np.isfinite(started[: issued + 1].reshape(-1)[:end]).any():
        np.testing.assert_array_equal(before, after)


def test_without_a_forecast_the_last_three_days_stand_in_at_the_same_hour():
    none = np.full((DAYS, OFFSETS, 24), np.nan)
    path = temperature_paths(OBSERVED, none, ISSUE_HOUR).known[10]
    usual = OBSERVED[7:10].mean(0)
    np.testing.assert_allclose(path[PAST_DAYS * 24 : PAST_DAYS * 24 + ISSUE_HOUR], OBSERVED[10, :ISSUE_HOUR])
    np.testing.assert_allclose(path[PAST_DAYS * 24 + ISSUE_HOUR : (PAST_DAYS + 1) * 24], usual[ISSUE_HOUR:])
    np.testing.assert_allclose(path[(PAST_DAYS + 1) * 24 :], np.tile(usual, OFFSETS - 1))


def test_gaps_repeat_the_day_before_and_a_series_without_a_value_is_no_fault():
    holed = OBSERVED.copy()
    holed[5, 3:9] = np.nan
    holed[6, 4] = np.nan
    filled = temperature_paths(holed, as_observed(holed, OFFSETS), ISSUE_HOUR).observed
    np.testing.assert_allclose(filled[5, 3:9], OBSERVED[4, 3:9])
    assert filled[6, 4] == OBSERVED[4, 4]
    nothing = np.full(OBSERVED.shape, np.nan)
    assert np.isfinite(temperature_paths(nothing, as_observed(nothing, OFFSETS), ISSUE_HOUR).known).all()


def test_beyond_what_was_seen_heat_counts_for_three_degrees_more_only():
    paths = temperature_paths(OBSERVED, as_observed(OBSERVED, OFFSETS), ISSUE_HOUR)
    features = paths.observed_features()
    spline = TemperatureSpline.of(features, np.ones(DAYS, bool))
    hot, hotter = ({name: np.full((1, 24), values.max() + more) for name, values in features.items()} for more in (EXTRAPOLATED_DEGC, 40.0))
    none, zero = np.zeros((1, 2)), np.zeros(1)
    np.testing.assert_array_equal(spline.terms(hot, none, zero), spline.terms(hotter, none, zero))
    warm = {name: values[:1] for name, values in features.items()}
    assert not np.array_equal(spline.terms(warm, none, zero), spline.terms(hot, none, zero))
