"""Estimates fill gaps and nothing else, say how they were made, and how far they may be off."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grid_assets.metering.vee.estimation import ClassProfiles, class_profile, estimate, linear
from grid_assets.metering.vee.quality_codes import AS_ARRIVED, CLASS_PROFILE, LIKE_DAYS, LINEAR

NAN = np.nan


def test_linear_bridges_short_gaps_between_neighbours_only():
    kwh = np.array([[NAN, 1.0, NAN, NAN, 4.0, NAN, NAN, NAN, 8.0, NAN]])
    made, error = linear(kwh, 2)
    assert made[0, 2:4].tolist() == [2.0, 3.0]
    assert np.isnan(np.delete(made[0], [2, 3])).all()
    assert (np.isnan(error) == np.isnan(made)).all()


def test_a_long_gap_is_filled_from_like_days_within_the_meters_bounds():
    history = [np.array([[1.0, 4.0, NAN]]), np.array([[3.0, 5.0, NAN]])]
    made = estimate(np.array([[2.0, NAN, NAN]]), 0, history, near=1)
    assert 4.0 < made.energy[0, 1] < 5.0
    assert np.isnan(made.energy[0, 2])
    assert made.method.tolist() == [[AS_ARRIVED, LIKE_DAYS, AS_ARRIVED]]
    bounds = np.array([0.0]), np.array([1.5])
    assert estimate(np.array([[2.0, NAN, NAN]]), 0, history, near=1, bounds=bounds).energy[0, :2].tolist() == [2.0, 1.5]


@pytest.mark.parametrize("limit", [0, 3])
def test_what_was_valid_is_never_changed(limit):
    kwh = np.array([[1.0, NAN, 2.0, NAN, NAN, 9.0]])
    made = estimate(kwh, limit, [np.full((1, 6), 7.0)])
    known = ~np.isnan(kwh)
    assert (made.energy[known] == kwh[known]).all()
    assert (made.method[known] == AS_ARRIVED).all()
    assert np.isnan(made.error[known]).all()
    assert not np.isnan(made.energy).any()
    assert not np.isnan(made.error[~known]).any()


VALUES = st.floats(-5, 5, allow_nan=False) | st.just(NAN)


@given(arrays(float, (3, 16), elements=VALUES), arrays(float, (2, 3, 16), elements=VALUES), st.integers(0, 6))
def test_every_estimate_has_a_method_and_an_error_and_the_order_of_meters_does_not_matter(kwh, past, limit):
    made = estimate(kwh, limit, list(past))
    estimated = np.isnan(kwh) & ~np.isnan(made.energy)
    assert (estimated == (made.method != AS_ARRIVED)).all()
    assert (estimated == ~np.isnan(made.error)).all()
    assert (made.error[estimated] >= 0).all()
    anywhere = ~np.isnan(past).all(axis=0)
    assert (~np.isnan(made.energy[anywhere & np.isnan(kwh)])).all()
    turned = estimate(kwh[::-1], limit, list(past[:, ::-1]))
    np.testing.assert_array_equal(turned.energy[::-1], made.energy)
    np.testing.assert_array_equal(turned.error[::-1], made.error)


@given(arrays(float, 20, elements=VALUES), st.integers(0, 8))
def test_linear_finds_exactly_what_a_loop_finds(values, limit):
    expected = np.full(20, NAN)
    known = np.flatnonzero(~np.isnan(values))
    for left, right in itertools.pairwise(known):
        if 1 < right - left <= limit + 1:
            for at in range(left + 1, right):
                expected[at] = values[left] + (at - left) / (right - left) * (values[right] - values[left])
    np.testing.assert_allclose(linear(values[None], limit)[0][0], expected, atol=1e-12)


def wandering(rng: np.random.Generator, meters: int) -> np.ndarray:
    """A curve that keeps its level for some hours: gaps of one interval are easy, longer ones are not."""
    steps = rng.normal(size=(meters, 96))
    made = np.empty_like(steps)
    made[:, 0] = steps[:, 0]
    for n in range(1, 96):
        made[:, n] = 0.9 * made[:, n - 1] + np.sqrt(1 - 0.81) * steps[:, n]
    return made


@pytest.mark.parametrize("gap", [1, 3, 8])
def test_two_of_three_lines_are_right_within_their_error(gap):
    rng = np.random.default_rng(11)
    truth = wandering(rng, 2000)
    kwh = truth.copy()
    first = rng.integers(2, 90 - gap, 2000)
    for row, at in enumerate(first):
        kwh[row, at : at + gap] = NAN
    made, error = linear(kwh, 8)
    where = np.isnan(kwh)
    within = np.abs(made - truth)[where] <= error[where]
    assert 0.62 < within.mean() < 0.74


def test_the_error_of_a_line_grows_with_its_gap():
    rng = np.random.default_rng(12)
    truth = wandering(rng, 400)
    errors = []
    for gap in (1, 2, 4, 8):
        kwh = truth.copy()
        kwh[:, 40 : 40 + gap] = NAN
        errors.append(np.nanmean(linear(kwh, 8)[1]))
    assert all(later > 1.15 * earlier for earlier, later in itertools.pairwise(errors))


def test_a_class_profile_is_brought_to_the_meters_own_level():
    mean, deviation = np.array([[1.0, 2.0, 3.0, 2.0] * 4]), np.full((1, 16), 0.5)
    kwh = 3.0 * mean
    kwh[0, 8:] = NAN
    made, error = class_profile(kwh, mean, deviation)
    np.testing.assert_allclose(made, 3.0 * mean)
    assert (error[0] < 1e-9).all()  # the profile misses nothing of the day
    kwh[0, :8] += np.array([0.2, -0.2] * 4)
    made, error = class_profile(kwh, mean, deviation)
    np.testing.assert_allclose(made, 3.0 * mean)
    np.testing.assert_allclose(error, 0.2)


def test_a_class_profile_is_not_used_where_it_is_not_safe():
    mean, deviation = np.full((1, 16), 1.0), np.full((1, 16), 0.5)
    short = np.full((1, 16), NAN)
    short[0, 0] = 2.0
    assert np.isnan(class_profile(short, mean, deviation)[0]).all()  # too little of the day
    short[0, 1] = 2.0
    assert not np.isnan(class_profile(short, mean, deviation)[0]).any()
    far = np.where(np.isnan(short), NAN, 60.0)
    assert np.isnan(class_profile(far, mean, deviation)[0]).all()
    near_nothing = np.where(np.isnan(short), NAN, [[5.0, -4.99, *[NAN] * 14]])
    assert np.isnan(class_profile(near_nothing, mean, deviation)[0]).all()


def test_only_members_of_a_class_take_its_profile_and_after_everything_else():
    kwh = np.full((2, 16), 2.0)
    kwh[:, 6:] = NAN
    profiles = ClassProfiles(np.array([0, -1]), np.full((1, 16), 1.0), np.full((1, 16), 0.1))
    made = estimate(kwh, 0, [], profiles)
    assert (made.method[0, 6:] == CLASS_PROFILE).all()
    assert (made.energy[0, 6:] == 2.0).all()
    assert np.isnan(made.energy[1, 6:]).all()
    history = [np.full((2, 16), 7.0)]
    assert (estimate(kwh, 0, history, profiles).method[:, 6:] == LIKE_DAYS).all()
    kwh[:, 15] = 2.0
    assert (estimate(kwh, 9, history, profiles).method[:, 6:15] == LINEAR).all()
