"""Each rule finds its fault and leaves what is right alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.metering.vee import validation as rules

NAN = np.nan
FALSE = np.array([False])


def marks(found: np.ndarray) -> list[int]:
    return np.flatnonzero(found[0]).tolist()


def test_negative_energy_fails_unless_net_metered():
    kwh = np.array([[1.0, -0.1, NAN, 0.0]] * 2)
    found = rules.negative(kwh, np.array([False, True]))
    assert found.tolist() == [[False, True, False, False], [False] * 4]


def test_above_rating_counts_the_intervals_length_and_both_directions():
    kwh = np.array([[5.0, 5.01, -5.01, NAN]])
    assert marks(rules.above_rating(kwh, np.array([10.0]), 0.5)) == [1, 2]
    assert marks(rules.above_rating(kwh, np.array([10.0]), 1.0)) == []


def test_a_spike_stands_against_the_third_highest_and_half_the_rating():
    kwh = np.array([[1.0, 2.0, 2.0, 8.0, NAN, 1.0]])
    assert marks(rules.spike(kwh, 1.8, np.array([20.0]), 0.5)) == [3]
    assert marks(rules.spike(kwh, 4.0, np.array([20.0]), 0.5)) == []  # 8 is not more than 4 x 2
    assert marks(rules.spike(kwh, 1.8, np.array([40.0]), 0.5)) == []  # under half of the rating
    two_high = np.array([[1.0, 7.0, 8.0, 6.0]])
    assert marks(rules.spike(two_high, 1.8, np.array([10.0]), 0.5)) == []
    assert marks(rules.spike(np.array([[NAN, NAN, 9.0]]), 1.8, np.array([10.0]), 0.5)) == []


def test_stuck_needs_the_whole_run_and_spares_zeros():
    assert marks(rules.stuck(np.array([[1.0, 2.0, 2.0, 2.0, 3.0]]), 3)) == [1, 2, 3]
    assert marks(rules.stuck(np.array([[1.0, 2.0, 2.0, 3.0]]), 3)) == []
    assert marks(rules.stuck(np.array([[0.0] * 9]), 3)) == []
    assert marks(rules.stuck(np.array([[2.0, 2.0, NAN, 2.0, 1.0]]), 3)) == [0, 1, 3]  # what did not arrive ends no run
    assert marks(rules.stuck(np.array([[2.0, 2.0, NAN, NAN, 1.0]]), 3)) == []
    assert marks(rules.stuck(np.array([[1.0, 1.0, *[2.0] * 9]]), 3)) == list(range(2, 11))  # two runs side by side
    assert rules.stuck(np.array([[1.0, 2.0, 2.0], [2.0, 1.0, 1.0]]), 3).sum() == 0  # a run does not reach into the next meter


def test_near_zero_is_for_loads_with_a_known_mean_only():
    kwh = np.array([[5.0, 0.1, 0.0, 0.2, 5.0]])
    assert marks(rules.near_zero(kwh, np.array([5.0]), 0.1, 3, ~FALSE)) == [1, 2, 3]
    assert marks(rules.near_zero(kwh, np.array([5.0]), 0.1, 4, ~FALSE)) == []
    assert marks(rules.near_zero(kwh, np.array([5.0]), 0.0, 3, ~FALSE)) == []
    assert marks(rules.near_zero(kwh, np.array([5.0]), 0.1, 3, FALSE)) == []
    assert marks(rules.near_zero(kwh, np.array([NAN]), 0.1, 3, ~FALSE)) == []


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_longest_run_is_the_longest(cells):
    longest = max(len(part) for part in "".join("x" if cell else " " for cell in cells).split(" "))
    assert rules.longest_run(np.array([cells])).tolist() == [longest]


@given(st.lists(st.integers(-2, 99).map(float) | st.just(NAN), min_size=1, max_size=60), st.data())
def test_stuck_finds_exactly_the_runs_that_a_loop_finds(values, data):
    """Held values, zeros and gaps among values that hardly repeat, and a like day."""
    for _ in range(data.draw(st.integers(0, 3))):
        begin, length = data.draw(st.integers(0, len(values) - 1)), data.draw(st.integers(1, 14))
        values[begin : begin + length] = [values[begin] if other == other else other for other in values[begin : begin + length]]
    past = data.draw(st.lists(st.sampled_from([3.0, 50.0, 50.0, 52.0, NAN]), min_size=len(values), max_size=len(values)))
    least = data.draw(st.integers(3, 8))
    assert marks(rules.stuck(np.array([values]), least, past=[np.array([past])])) == stuck_by_loop(values, past, least)
    assert marks(rules.stuck(np.array([values]), least)) == stuck_by_loop(values, [], least)


def stuck_by_loop(values: list[float], past: list[float], least: int) -> list[int]:
    if sum(a == b != 0 for a, b in pairwise(values)) < (least - 1) // 2:
        return []  # so many gaps are not looked through
    at, runs, n = [n for n, value in enumerate(values) if value == value], [], 0
    while n < len(at):
        end, level = n, values[at[n]]
        while end + 1 < len(at) and values[at[end + 1]] == level:
            end += 1
        if values[at[n]] != 0 and end + 1 - n >= least:
            runs.append(at[n : end + 1])
        n = end + 1
    habits_known = bool(past) and sum(value == value for value in past) >= 0.5 * len(values)
    found = []
    for run in runs:
        level, left_out = values[run[0]], runs if habits_known else [run]
        steps = [k for k in range(len(values) - 1) if not any(k in one and k + 1 in one for one in left_out)]
        changes = [(a, b) for a, b in [*((values[k], values[k + 1]) for k in steps), *pairwise(past)] if a == a and b == b and a != 0]
        usual = min(sum(abs(a / level) for a, b in changes if a == b) / (len(changes) + 20), 0.95)
        near = [a == b for a, b in changes if abs(a - level) <= 0.1 * abs(level)]
        if ((sum(near) + 20 * usual) / (len(near) + 20)) ** (len(run) - 1) < 1e-7:
            found += run
    return found


@pytest.mark.parametrize(("length", "runs"), [(8, 2), (8, 4), (12, 3), (12, 6), (20, 4)])
def test_a_meter_that_sticks_again_and_again_is_stuck_each_time(length, runs):
    rng = np.random.default_rng(3)
    day, *past = rng.gamma(6, 0.05, (4, 1, 96)).round(5)
    cells = [first + n for first in range(4, 4 + runs * (length + 1), length + 1) for n in range(length)]
    day[0, cells] = day[0, cells[0]]
    assert marks(rules.stuck(day, 8, past=past)) == cells


def zeros(
    past: list[float], *, zero_from: int = 2, zero_to: int = 8, may_rest: bool = False, excused: list[int] | None = None, run: int = 4
):
    kwh = np.full((1, 10), 1.0)
    kwh[0, zero_from:zero_to] = 0.0
    cover = None
    if excused is not None:
        cover = np.zeros((1, 10), dtype=bool)
        cover[0, excused] = True
    days = [np.full((1, 10), level) if np.isscalar(level) else np.array([level]) for level in past]
    return marks(rules.zero_run(kwh, days, 0.02, run, np.array([may_rest]), cover))


def test_zeros_of_a_meter_that_never_rests_are_faults():
    assert zeros([1.0]) == [2, 3, 4, 5, 6, 7]
    assert zeros([1.0], run=6) == [2, 3, 4, 5, 6, 7]
    assert zeros([1.0], run=7) == []
    assert zeros([1.0], may_rest=True) == []


def test_zeros_are_believed_where_the_past_has_such_runs_or_is_unknown():
    resting = [1.0, 1.0, 0.01, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert zeros([1.0, resting]) == []
    one_low = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert zeros([1.0, one_low]) == [2, 3, 4, 5, 6, 7]
    assert zeros([]) == []
    assert zeros([NAN]) == []
    half = [1.0] * 5 + [NAN] * 5
    assert zeros([half]) == [2, 3, 4, 5, 6, 7]
    assert zeros([[1.0] * 4 + [NAN] * 6]) == []


def test_an_outage_excuses_its_zeros_and_no_more():
    assert zeros([1.0], excused=[2, 3, 4, 5, 6, 7]) == []
    assert zeros([1.0], excused=[2, 3]) == [4, 5, 6, 7]
    assert zeros([1.0], excused=[2, 3, 4]) == []  # three zeros are no run


def test_a_net_meters_zeros_are_judged_though_its_values_pass_through_zero():
    crossing = [1.0, 0.5, 0.01, -0.5, -1.0, -0.5, 0.01, 0.5, 1.0, 1.0]
    assert zeros([crossing]) == [2, 3, 4, 5, 6, 7]


def test_generation_at_night_is_for_photovoltaic_meters_only():
    kwh = np.array([[0.2, 0.2, 0.0, NAN], [0.2, 0.2, 0.0, 0.0], [-0.2, 0.05, 0.2, 0.2]])
    night = np.array([True, True, False, True])
    found = rules.pv_at_night(kwh, night, np.array([True, False, True]), np.array([0.1, 0.1, 0.1]))
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1], [2, 0], [2, 3]]
    assert not rules.pv_at_night(kwh, np.zeros(4, dtype=bool), np.ones(3, dtype=bool), np.zeros(3)).any()


def test_days_of_unusual_energy_are_told_of_judged_meters_only():
    day = np.array([41.0, 40.0, 2.4, 2.5, 99.0, NAN, 0.0])
    usual = np.array([10.0, 10.0, 10.0, 10.0, 10.0, 10.0, NAN])
    judged = np.array([True, True, True, True, False, True, True])
    high, low = rules.unusual_usage(day, usual, 4.0, judged)
    assert np.flatnonzero(high).tolist() == [0]
    assert np.flatnonzero(low).tolist() == [2]


def test_every_rule_has_its_own_bit_within_the_masks():
    assert len(set(rules.BITS.values())) == len(rules.RULES) + len(rules.DAY_FLAGS)
    assert max(rules.BITS[rule] for rule in rules.RULES) < 1 << 16
    assert max(rules.BITS.values()) < 1 << 32


@given(st.lists(st.floats(0, 20) | st.just(NAN), min_size=3, max_size=30))
def test_a_spike_is_exactly_what_sorting_finds(values):
    found = marks(rules.spike(np.array([values]), 1.8, np.array([20.0]), 0.5))
    expected, left = [], list(values)
    for _ in range(2):
        known = sorted((value for value in left if value == value), reverse=True)
        if len(known) >= 3 and known[0] > 1.8 * known[2] and known[0] > 5.0:
            expected.append(left.index(known[0]))
            left[expected[-1]] = NAN
        else:
            break
    assert found == sorted(expected)


def test_of_two_equal_spikes_none_is_published():
    day = np.full((1, 48), 0.5)
    day[0, [7, 30]] = 4.5
    assert marks(rules.spike(day, 1.8, np.array([10.0]), 0.5)) == [7, 30]


def test_a_spike_below_the_rating_stands_against_the_meters_own_past():
    day, usual = np.full((1, 48), 0.2), [np.full((1, 48), 0.25)] * 3
    day[0, 7] = 1.6
    rating = np.array([10.0])
    assert marks(rules.spike(day, 1.8, rating, 0.5)) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=usual)) == [7]
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[2 * one for one in usual])) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[NAN * one for one in usual])) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[0 * one for one in usual])) == [7]
    assert marks(rules.spike(day / 1.7, 1.8, rating, 0.5, past=[0 * one for one in usual])) == []  # little for its service


def test_what_a_meter_nearly_did_on_its_like_days_is_no_spike():
    day, past = np.full((1, 48), 0.2), [np.full((1, 48), 0.25) for _ in range(3)]
    day[0, 7] = 3.0
    rating = np.array([10.0])
    past[1][0, 30] = 1.9
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=past)) == [7]
    past[2][0, 3] = 2.1
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=past)) == []
    past[0][:], past[1][:] = NAN, NAN
    past[2][0, 40:] = NAN  # less than a day is known
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=past)) == [7]


def test_the_sun_between_clouds_is_no_spike_of_a_plant():
    day = np.full((2, 48), 0.4)
    day[:, 20] = 4.5
    assert np.argwhere(rules.spike(day, 1.8, np.full(2, 10.0), 0.5, plants=np.array([True, False]))).tolist() == [[1, 20]]


def test_a_run_among_values_that_often_repeat_is_rounding():
    rng = np.random.default_rng(1)
    night = np.round(0.02 + 0.004 * rng.random((1, 96)).cumsum(axis=1) % 0.006, 2)
    night[0, 60:] = np.round(rng.uniform(0.05, 0.5, 36), 2)
    night[0, 10:22] = 0.02
    night[0, 22:24] = 0.03
    assert (night[0, 10:22] == 0.02).all()
    assert marks(rules.stuck(night, 8)) == []
    fine = rng.uniform(0.05, 0.5, (1, 96)).round(5)
    fine[0, 10:22] = fine[0, 9]
    assert marks(rules.stuck(fine, 8)) == list(range(9, 22))
    coarse = fine.round(2)
    coarse[0, [8, 22]] = coarse[0, 9] + 0.2
    assert set(range(9, 22)) <= set(marks(rules.stuck(coarse, 8)))
    assert len(marks(rules.stuck(np.full((1, 96), 0.3), 8))) == 96


def test_runs_are_judged_alike_in_blocks_and_at_once(monkeypatch):
    rng = np.random.default_rng(4)
    kwh = rng.gamma(2, 0.03, (40, 96)).round(2)
    kwh[::3, 20:40] = kwh[::3, [20]]
    past = [rng.gamma(2, 0.03, (40, 96)).round(2)]
    whole = rules.stuck(kwh, 8, past=past)
    monkeypatch.setattr(rules, "RUNS_AT_ONCE", 3)
    assert whole.any()
    assert (rules.stuck(kwh, 8, past=past) == whole).all()


def test_a_plant_at_its_limit_is_not_stuck():
    day, plant = np.clip(1.4 * np.sin(np.linspace(0, np.pi, 96)), 0, 1.0)[None], np.array([1.3])
    assert marks(rules.stuck(day, 8))
    assert marks(rules.stuck(day, 8, np.array([NAN])))  # no plant
    assert marks(rules.stuck(day, 8, plant)) == []
    assert marks(rules.stuck(day, 8, 2 * plant))  # its service carries more than twice as much: no limit
    day[0, 40] = 1.3
    assert marks(rules.stuck(day, 8, plant))  # it can do more
    assert len(marks(rules.stuck(np.full((1, 96), 1.0), 8, plant))) == 96


def test_a_level_where_the_meter_rests_on_its_like_days_is_not_stuck():
    rng = np.random.default_rng(2)
    days = rng.uniform(0.05, 0.5, (4, 1, 96)).round(3)
    day, past = days[0], list(days[1:])
    day[0, 10:30] = 0.012
    assert marks(rules.stuck(day, 8, past=past)) == list(range(10, 30))
    past[1][0, 40:45] = 0.012
    assert marks(rules.stuck(day, 8, past=past)) == list(range(10, 30))  # never so long
    past[2][0, 10:35] = 0.011
    past[0][0, 10:35] = 0.012
    past[0][0, 50:] = NAN
    assert marks(rules.stuck(day, 8, past=past)) == []
    day[0, 10:30] = 0.3
    assert marks(rules.stuck(day, 8, past=past)) == list(range(10, 30))  # that it rests low is no habit of standing high


def test_a_constant_load_is_right_where_it_was_constant_before():
    day = np.full((1, 96), 0.25)
    assert marks(rules.stuck(day, 8, past=[day] * 3)) == []
    assert len(marks(rules.stuck(day, 8, past=[NAN * day] * 3))) == 96
    assert len(marks(rules.stuck(2 * day, 8, past=[day] * 3))) == 96


@pytest.mark.parametrize(("step", "refused"), [(1, False), (2, True), (3, True), (4, False)])
def test_values_of_a_longer_interval_are_told_by_their_distance(step, refused):
    day = np.full((1, 48), NAN)
    day[0, 1::step] = 1.0
    day[0, 1 + 3 * step] = NAN
    found = rules.interval_length(day)
    assert found.any() == refused
    assert not found[np.isnan(day)].any()
    day[0, [10, 11]] = 1.0
    assert not rules.interval_length(day).any()
    few = np.full((1, 48), NAN)
    few[0, [1, 3, 5, 7, 9, 11, 13]] = 1.0
    assert not rules.interval_length(few).any()
