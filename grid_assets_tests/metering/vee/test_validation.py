"""Each rule finds its fault and leaves what is right alone."""

from __future__ import annotations

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
    assert marks(rules.stuck(np.array([[1.0, 1.0, 2.0, 2.0, 2.0]]), 3)) == [2, 3, 4]  # two runs side by side
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


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, NAN]), min_size=1, max_size=40), st.integers(2, 6))
def test_stuck_finds_exactly_the_runs_that_a_loop_finds(values, least):
    at = [n for n, value in enumerate(values) if value == value]
    given_values, values = values, [values[n] for n in at]
    expected, n = [], 0
    while n < len(values):
        end = n
        while end + 1 < len(values) and values[end + 1] == values[n]:
            end += 1
        if values[n] > 0 and end - n + 1 >= least:
            expected += [at[one] for one in range(n, end + 1)]
        n = end + 1
    found = marks(rules.stuck(np.array([given_values]), least))
    assert set(found) <= set(expected)
    if len(at) == len(given_values):
        assert found == expected


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
    day[0, 7] = 1.1
    rating = np.array([10.0])
    assert marks(rules.spike(day, 1.8, rating, 0.5)) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=usual)) == [7]
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[2 * one for one in usual])) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[NAN * one for one in usual])) == []
    assert marks(rules.spike(day, 1.8, rating, 0.5, past=[0 * one for one in usual])) == [7]
    assert marks(rules.spike(day / 1.6, 1.8, rating, 0.5, past=[0 * one for one in usual])) == []  # little for its service


def test_a_run_within_one_step_of_the_resolution_is_rounding():
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
    past[1][0, 40:45] = 0.012  # 5 of 288
    assert marks(rules.stuck(day, 8, past=past)) == list(range(10, 30))
    past[2][0, 3:6] = 0.012  # 8 of 288
    past[0][0, 50:] = NAN
    assert marks(rules.stuck(day, 8, past=past)) == []


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
