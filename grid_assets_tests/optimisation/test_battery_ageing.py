"""Cycles by rainflow and the ageing model, against values worked out by hand and properties that every cell has."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grid_assets.optimisation.battery_ageing import (
    calendar_resistance,
    calendar_square,
    cycle_resistance,
    cycle_square,
    held,
    rainflow_cycles,
    remaining_years,
    speaking_hours,
    throughput_kwh,
)

YEAR_S = 365.25 * 86400
series = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=40).map(np.array)
shares, rates, warmths = st.floats(0, 1), st.floats(0, 1), st.floats(-20, 60)


def test_the_example_of_the_standard():
    """ASTM E1049 figure 6: A to I; ranges 3, 4, 8, 9, 8, 6 as halves, E to F as a whole cycle of 4."""
    found = rainflow_cycles(np.array([-2, 1, -3, 5, -1, 3, -4, 4, -2]))
    assert found.depth.tolist() == [3, 4, 4, 8, 9, 8, 6]
    assert found.count.tolist() == [0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5]
    assert list(zip(found.begin, found.end, strict=True))[2] == (4, 5)
    assert list(zip(found.begin, found.end, strict=True))[4] == (3, 6)


@pytest.mark.parametrize(
    ("values", "depths"), [([], []), ([0.4], []), ([0.4, 0.4, 0.4], []), ([0.2, 0.9], [0.7]), ([0.2, 0.2, 0.9, 0.9], [0.7])]
)
def test_series_that_hardly_turn(values, depths):
    found = rainflow_cycles(np.array(values))
    assert found.depth.tolist() == pytest.approx(depths)
    assert found.count.tolist() == [0.5] * len(depths)
    assert all(abs(values[end] - values[begin]) == pytest.approx(0.7) for begin, end in zip(found.begin, found.end, strict=True))


@given(series)
@example(np.array([0.5, 1e-200, 0.0, 1e-300, 1.0, 0.5]))
def test_cycles_use_the_whole_way_and_stand_where_they_say(values):
    found = rainflow_cycles(values)
    assert (found.depth * found.count).sum() == pytest.approx(np.abs(np.diff(values)).sum() / 2, abs=1e-9)
    assert np.abs(values[found.end] - values[found.begin]) == pytest.approx(found.depth, abs=1e-11)


@given(series, st.integers(0, 40), st.floats(0, 0.1))
def test_a_series_cut_in_two_has_the_same_throughput(values, cut, play):
    whole = held(values, play)
    first, second = whole[:cut], values[cut:]
    second = np.insert(held(second, play, first[-1]), 0, first[-1]) if len(first) else held(second, play)
    assert throughput_kwh(first, 50.0) + throughput_kwh(second, 50.0) == pytest.approx(throughput_kwh(whole, 50.0), abs=1e-9)


def test_noise_is_held_back_and_swings_pass():
    noisy = 0.5 + 0.004 * np.array([1, -1, 1, -1, 0, 1])
    assert np.ptp(held(noisy, 0.005)) < 0.0041  # 0.504 is the first value: 0.496 + 0.005 is as far as it follows
    assert throughput_kwh(held(noisy, 0.005), 100.0) < 0.4
    assert held(np.array([0.2, 0.9, 0.2]), 0.005).tolist() == pytest.approx([0.2, 0.895, 0.205])
    assert throughput_kwh(np.array([0.2, 0.9, 0.2]), 100.0) == pytest.approx(140.0)


def test_capacity_lost_by_hand():
    """A year at 25 degC and 50 %: 1.2571e-5 x 0.60225 x sqrt(31557600 s) = 4.253 %. 100 cycles of 60 % at 1C: 0.1601 x 1.0923 x 10 = 1.749 %."""
    assert np.sqrt(calendar_square(25.0, 0.5, YEAR_S)) == pytest.approx(0.042530, rel=1e-4)
    assert np.sqrt(cycle_square(0.6, 1.0, 100.0)) == pytest.approx(0.0174877, rel=1e-5)
    # 45 degC: exp(17126 / 8.3145 x (1/298.15 - 1/318.15)) = exp(2059.77 x 2.10852e-4) = 1.5439; full: 2.8575 / 8 + 0.60225 = 0.95944
    assert np.sqrt(calendar_square(45.0, 1.0, YEAR_S)) == pytest.approx(1.2571e-5 * 1.5439 * 0.95944 * 5617.62, rel=1e-4)


def test_resistance_by_hand():
    """A year: 3.4194e-10 x 1.5604 x 31557600 = 1.684 %. 1000 cycles of 50 % at C/2: 0.0011 x 0.9182 x 10 = 1.010 %. Beyond 1.05C nothing is added."""
    assert calendar_resistance(25.0, 0.5, YEAR_S) == pytest.approx(0.016838, rel=1e-4)
    assert cycle_resistance(0.5, 0.5, 1000.0) == pytest.approx(0.0101002, rel=1e-5)
    assert cycle_resistance(0.5, 2.0, 1000.0) == 0.0


@given(warmths, warmths, shares, shares)
def test_warmer_and_fuller_cells_never_keep_more(one, other, full, less_full):
    (cool, warm), (low, high) = sorted((one, other)), sorted((full, less_full))
    assert calendar_square(cool, low, 3600.0) <= calendar_square(warm, high, 3600.0) * (1 + 1e-12)
    assert calendar_resistance(cool, low, 3600.0) <= calendar_resistance(warm, low, 3600.0) * (1 + 1e-12)


@given(shares, shares, rates, rates, st.floats(0, 10), st.floats(0, 10))
def test_deeper_faster_and_more_cycles_never_keep_more(depth, other, rate, faster, full, more):
    (shallow, deep), (slow, quick), (few, many) = sorted((depth, other)), sorted((rate, faster)), sorted((full, more))
    assert cycle_square(shallow, slow, few) <= cycle_square(deep, quick, many) * (1 + 1e-12)
    assert 0 <= cycle_resistance(shallow, quick, few) <= cycle_resistance(deep, quick, many) * (1 + 1e-12)


def test_conditions_may_change_in_any_order():
    """Half a year cool and half a year warm lose the same either way round, between a cool year's and a warm year's loss."""
    cool, warm = (calendar_square(degc, 0.5, YEAR_S / 2) for degc in (15.0, 35.0))
    assert np.sqrt(2 * cool) < np.sqrt(cool + warm) == np.sqrt(warm + cool) < np.sqrt(2 * warm)


def test_the_remaining_life_by_hand():
    """By time alone 4.253 % x sqrt(years) = 20 % after 22.11 years; of them one is over."""
    day = calendar_square(25.0, 0.5, 86400.0)
    assert remaining_years(0.0, 0.0, day, 0.0, 0.2) == pytest.approx((0.2 / 0.042530317) ** 2, rel=1e-6)
    assert remaining_years(365.25 * day, 0.0, day, 0.0, 0.2) == pytest.approx((0.2 / 0.042530317) ** 2 - 1, rel=1e-6)
    assert remaining_years(0.01, 0.01, day, day, 0.2) == 0.0  # 10 % and 10 %
    assert np.isinf(remaining_years(0.0, 0.0, 0.0, 0.0, 0.2))


@settings(max_examples=50)
@given(st.floats(0, 0.005), st.floats(0, 0.005), st.floats(1e-8, 1e-4), st.floats(0, 1e-4))
def test_at_the_end_of_the_remaining_life_so_much_is_lost(calendar, cycle, by_time, by_use):
    days = remaining_years(calendar, cycle, by_time, by_use, 0.2) * 365.25
    assert np.sqrt(calendar + by_time * days) + np.sqrt(cycle + by_use * days) == pytest.approx(0.2, rel=1e-6)


def test_values_speak_until_the_next_one_and_not_for_ever():
    times = np.array(["2016-05-24T00:00", "2016-05-24T00:15", "2016-05-24T06:00"], "datetime64[us]")
    assert speaking_hours(times, np.datetime64("2016-05-24T06:30"), timedelta(hours=1)).tolist() == [0.25, 1.0, 0.5]
