"""Days that were sent in Wh are found, and nothing else is: spikes, empty houses that wake up, and large customers stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.metering.vee.scale_test import scaled_days

NAN = np.nan
RATIO, LIMIT = 250.0, 2.5


def usual_days(seed: int, days: int = 3, slots: int = 96) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [0.1 * rng.lognormal(0, 0.8, (1, slots)) for _ in range(days)]


def found(kwh: np.ndarray, past: list[np.ndarray], limit: float = LIMIT, class_kwh: float = NAN, ratio: float = RATIO) -> bool:
    return bool(scaled_days(kwh, past, np.array([limit]), np.array([class_kwh]), ratio)[0])


@given(st.integers(0, 10_000), st.floats(0.3, 3.0))
@settings(max_examples=80, deadline=None)
def test_a_day_in_wh_is_found_and_the_day_in_kwh_is_not(seed, level):
    *past, day = usual_days(seed, 4)
    assert found(1000 * level * day, past)
    assert not found(level * day, past)


def test_the_bounds_lie_evenly_about_a_thousand():
    past = [np.full((1, 96), 0.1)] * 3
    for times, expected in ((251, True), (249, False), (3999, True), (4001, False)):
        assert found(past[0] * times, past, limit=1e9) == expected
    assert found(past[0] * 249, past, limit=1e9, ratio=200.0)


def test_gaps_zeros_and_a_few_sound_values_do_not_hide_it():
    *past, day = usual_days(1, 4)
    day = 1000 * day
    day[0, 20:50] = NAN
    day[0, 50:60] = 0.0
    assert found(day, past)
    day[0, 60:] = NAN
    day[0, 5:20] = NAN
    assert not found(day, past)  # five values tell nothing


def test_spikes_and_a_house_that_wakes_up_are_no_change_of_unit():
    past = [np.full((1, 96), 0.002)] * 3
    awake = np.full((1, 96), 0.01)
    awake[0, 30:90] = 2.0  # a thousand times its usual standby, for most of the day; at night it is at rest
    assert not found(awake, past)
    *usual, day = usual_days(2, 4)
    day[0, ::20] = 400.0
    assert not found(day, usual)


def test_a_net_meter_is_judged_by_its_size_in_either_direction():
    rng = np.random.default_rng(3)
    past = [0.3 * rng.normal(size=(1, 96)) for _ in range(3)]
    assert found(300 * rng.normal(size=(1, 96)), past)
    assert not found(0.3 * rng.normal(size=(1, 96)), past)


def test_without_a_past_the_service_limit_tells():
    day = usual_days(4, 1)[0]
    assert found(1000 * day, [])
    assert not found(day, [])
    assert not found(1000 * day, [], limit=1e9)
    assert not found(1e5 * np.full((1, 96), LIMIT), [])  # a thousandth is above the limit too
    some = np.full((1, 96), 2.0)
    some[0, :47] = 20 * LIMIT
    assert not found(some, [])
    some[0, :49] = 20 * LIMIT
    assert found(some, [])


@given(st.floats(1.0, 3.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_load_that_is_larger_than_its_rating_is_no_change_of_unit(times, seed):
    """The rating in the register is wrong: the values are refused by it, and not divided."""
    day = times * LIMIT * np.random.default_rng(seed).uniform(0.9, 1.1, (1, 96))
    assert not found(day, [])
    assert not found(day, [], class_kwh=0.1)


def test_without_a_past_the_class_tells_where_only_some_values_are_above_the_limit():
    day = np.full((1, 96), 1.0)
    day[0, :10] = 3.0
    assert not found(day, [])
    assert found(day, [], class_kwh=0.001)
    assert not found(day, [], class_kwh=0.1)
    assert not found(np.full((1, 96), 1.0), [], class_kwh=0.001)  # none is above the limit: a large customer of its class


@pytest.mark.parametrize("seed", range(3))
def test_clean_days_of_many_meters_are_left_alone(seed):
    rng = np.random.default_rng(seed)
    level = 0.1 * rng.lognormal(0, 1.5, (5000, 1))
    days = [level * rng.lognormal(0, 1.0, (5000, 96)) for _ in range(4)]
    assert not scaled_days(days[0], days[1:], np.full(5000, 1e9), np.full(5000, NAN), RATIO).any()
    assert scaled_days(1000 * days[0], days[1:], np.full(5000, 1e9), np.full(5000, NAN), RATIO).mean() > 0.999


def test_a_quiet_day_in_wh_is_found_by_the_service_limit():
    *past, day = usual_days(5, 4)
    quiet = 1000 * day / 12
    assert not found(quiet, past, limit=1e9)
    assert found(quiet, past, limit=np.percentile(quiet, 74))
    assert not found(quiet, past, limit=np.percentile(quiet, 76))
    large = [1000 * one for one in past]
    assert not found(quiet, large, limit=2.0)  # the register's rating is wrong, the day is as usual
