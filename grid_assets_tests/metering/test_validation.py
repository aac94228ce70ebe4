"""Each rule finds its fault and leaves what is right alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.metering import validation as rules

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
    assert marks(rules.stuck(np.array([[2.0, 2.0, NAN, 2.0, 2.0]]), 3)) == []
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
    expected, n = [], 0
    while n < len(values):
        end = n
        while end + 1 < len(values) and values[end + 1] == values[n]:
            end += 1
        if values[n] > 0 and end - n + 1 >= least:
            expected += range(n, end + 1)
        n = end + 1
    assert marks(rules.stuck(np.array([values]), least)) == expected
