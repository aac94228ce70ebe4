"""Estimates from like days: smoothed as far as they are chance, moved by what is known of the day, with an honest error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grid_assets.metering.vee.like_days import DAY_SHARE, EDGE_SHARE, Movements, around, like_days, sizes

NAN = np.nan


def noisy(rng: np.random.Generator, level: np.ndarray, spread: float, days: int) -> list[np.ndarray]:
    return [level * (1 + spread * rng.normal(size=level.shape)) for _ in range(days)]


def test_of_an_empty_day_the_estimate_is_the_mean_of_the_like_days_never_scaled():
    history = [np.array([[1.0, 5.0, NAN]]), np.array([[1.0, 5.0, NAN]])]
    made, _ = like_days(np.full((1, 3), NAN), history, 1)
    assert made.tolist()[0][:2] == [1.0, 5.0]  # equal days are no chance: nothing is smoothed
    assert np.isnan(made[0, 2])


def test_a_mean_of_chance_is_smoothed_and_a_steady_curve_is_not():
    rng = np.random.default_rng(1)
    flat = np.full((200, 96), 2.0)
    days = noisy(rng, flat, 0.5, 3)
    made, _ = like_days(np.full(flat.shape, NAN), days, 4)
    mean = np.mean(days, axis=0)
    assert np.sqrt(np.mean((made - 2.0) ** 2)) < 0.45 * np.sqrt(np.mean((mean - 2.0) ** 2))
    steps = np.tile(np.where(np.arange(96) % 8 < 4, 1.0, 5.0), (200, 1))  # a feeder's switched load
    made, _ = like_days(np.full(steps.shape, NAN), noisy(rng, steps, 0.01, 3), 4)
    assert np.abs(made / steps - 1).max() < 0.05


def test_smoothing_does_not_bend_a_slope_at_the_edges_of_the_day():
    rng = np.random.default_rng(7)
    slope = np.tile(np.linspace(5.0, 1.0, 96), (300, 1))
    made, _ = like_days(np.full(slope.shape, NAN), noisy(rng, slope, 0.1, 3), 4)
    off = (made - slope).mean(axis=0)
    assert np.abs(off[[0, -1]]).max() < 0.05  # the mean of one side only is 0.08 off


@pytest.fixture
def uneven_days() -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [1.0 + 0.3 * rng.normal(size=(1, 96)) for _ in range(3)]


def test_what_the_hour_beside_a_gap_departs_by_fades_into_it(uneven_days):
    plain, _ = like_days(np.full((1, 96), NAN), uneven_days, 4)
    kwh = plain.copy()
    kwh[0, 36:40] += 0.1
    kwh[0, 60:64] += 0.2
    kwh[0, 40:60] = NAN
    made, _ = like_days(kwh, uneven_days, 4)
    level = 4 * (0.1 + 0.2) / (76 + 96 * 2 / 3)
    more = (made - plain)[0] - level
    assert more[40] == pytest.approx(EDGE_SHARE * np.exp(-1 / 6) * (0.1 - level), abs=0.01)
    assert more[59] == pytest.approx(EDGE_SHARE * np.exp(-1 / 6) * (0.2 - level), abs=0.01)
    assert (np.diff(more[40:46]) < 0).all()
    assert (np.diff(more[53:60]) > 0).all()


@pytest.mark.parametrize("one_way", [False, True])
def test_the_level_of_a_day_is_heard_by_the_known_part_of_it(uneven_days, one_way):
    plain, _ = like_days(np.full((1, 96), NAN), uneven_days, 4)
    gone = np.zeros((1, 96), dtype=bool)
    gone[0, 30:54] = True  # a quarter of the day: the level is told by 3/4 / (3/4 + 2/3)
    more = 0.1 * plain if one_way else 0.1
    made, _ = like_days(np.where(gone, NAN, plain + more), uneven_days, 4, one_way=np.array([one_way]))
    middle = ((made - plain) / (plain if one_way else 1.0))[0, 40:44] / 0.1
    np.testing.assert_allclose(middle, 0.75 / (0.75 + (1 - DAY_SHARE) / DAY_SHARE), atol=0.1)


def test_no_estimate_moves_by_more_than_the_usual_spread(uneven_days):
    plain, _ = like_days(np.full((1, 96), NAN), uneven_days, 4)
    squares = ((np.stack(uneven_days) - np.mean(uneven_days, axis=0)) ** 2).sum(axis=0)
    spread = np.sqrt(around(squares, 4) / around(np.full((1, 96), 2.0), 4))[0]
    kwh = plain + 50.0  # something unheard of
    kwh[0, 40:60] = NAN
    made, _ = like_days(kwh, uneven_days, 4)
    assert ((made - plain)[0, 40:60] <= 2 * spread[40:60] + 1e-9).all()
    sun = np.clip(np.sin((np.arange(96) - 24) / 48 * np.pi), 0, None)[None]
    for one_way in (True, False):  # where like days never differ nothing is said of the day
        dark = np.where(np.arange(96) >= 60, NAN, 0.5 * sun)
        made, _ = like_days(dark, [sun, sun, sun], 4, one_way=np.array([one_way]))
        np.testing.assert_allclose(made, sun, atol=1e-12)


def group_of(rng: np.random.Generator, meters: int):
    """Meters that follow one sky by a strength of their own, and their like days; the last of the days is today."""
    strength, noise = rng.uniform(0.5, 5.0, (meters, 1)), 0.05
    skies = [np.clip(np.sin((np.arange(96) - 24) / 48 * np.pi), 0, None) * cloud for cloud in (1.0, 0.6, 0.8, 0.1)]
    days = [0.5 - strength * sky + noise * strength * rng.normal(size=(meters, 96)) for sky in skies]
    return days[-1], days[:-1], skies


def movements_of(past: list[np.ndarray], today: np.ndarray) -> Movements:
    mean, size = np.mean(past, axis=0), sizes(np.stack(past))[:, None]
    each = [np.median((day - mean) / size, axis=0)[None] for day in past]
    centre = np.mean(each, axis=0)
    return Movements(np.zeros(len(today), dtype=int), np.median((today - mean) / size, axis=0)[None], [one - centre for one in each])


def test_meters_with_generation_follow_what_their_group_did_today_each_by_its_own_strength():
    truth, past, _ = group_of(np.random.default_rng(3), 300)
    hidden = np.full(truth.shape, NAN)
    alone, _ = like_days(hidden, past, 4)
    told, error = like_days(hidden, past, 4, movements_of(past, truth))
    assert np.abs(told - truth).mean() < 0.25 * np.abs(alone - truth).mean()
    better = np.abs(told - truth).mean(axis=1) < 0.5 * np.abs(alone - truth).mean(axis=1)
    assert better.mean() > 0.95  # small and large ones alike
    assert 0.5 < (np.abs(told - truth) <= error).mean() < 0.9


def test_a_meter_that_never_moved_with_its_group_follows_it_by_a_third_only():
    truth, past, _ = group_of(np.random.default_rng(4), 50)
    moved = movements_of(past, truth)
    steady = [np.full((1, 96), 2.0)] * 3
    one = Movements(np.zeros(1, dtype=int), moved.today, moved.past)
    made, _ = like_days(np.full((1, 96), NAN), steady, 4, one)
    np.testing.assert_allclose(made - 2.0, 2.0 * moved.today / 3, atol=1e-9)


def test_a_meter_of_no_group_or_of_no_size_follows_none():
    truth, past, _ = group_of(np.random.default_rng(5), 20)
    moved = movements_of(past, truth)
    none = Movements(np.full(20, -1), moved.today, moved.past)
    hidden = np.full(truth.shape, NAN)
    np.testing.assert_array_equal(like_days(hidden, past, 4, none)[0], like_days(hidden, past, 4)[0])
    zero = [np.zeros((1, 96))] * 3
    made, _ = like_days(np.full((1, 96), NAN), zero, 4, Movements(np.zeros(1, dtype=int), moved.today, moved.past))
    assert (made == 0).all()


@pytest.mark.parametrize("known", [(0, 1, 2), (1,), (2,), (1, 2), (0, 1)])
def test_a_meter_that_knows_some_like_days_only_gets_the_movement_from_those(known):
    group = [np.full((1, 96), move) for move in (-0.9, 0.45, 0.45)]
    days = [np.full((1, 96), 1.0 + move if n in known else NAN) for n, move in enumerate((-0.9, 0.45, 0.45))]
    made, _ = like_days(np.full((1, 96), NAN), days, 4, Movements(np.zeros(1, dtype=int), np.full((1, 96), 0.45), group))
    np.testing.assert_allclose(made, 1.45, atol=0.3)  # the meter's size is told by its days, so not exactly


def test_a_meter_that_knows_a_dark_day_only_is_brought_towards_the_sun():
    group = [np.full((1, 96), move) for move in (-0.9, 0.45, 0.45)]
    days = [np.full((1, 96), 0.1), np.full((1, 96), NAN), np.full((1, 96), NAN)]
    made, _ = like_days(np.full((1, 96), NAN), days, 4, Movements(np.zeros(1, dtype=int), np.full((1, 96), 0.45), group))
    assert ((made > 0.1) & (made < 1.45)).all()  # its size is that of a dark day


def test_a_day_that_like_days_without_any_difference_do_not_know_tells_its_error():
    for level in (0.0, 0.2):
        kwh = np.full((1, 96), level + 0.5)
        kwh[0, 40:60] = NAN
        made, error = like_days(kwh, [np.full((1, 96), level)] * 3, 4)
        assert (np.abs(made[0, 40:60] - level - 0.5) <= error[0, 40:60] * 1.01).all()
    dark = np.where(np.arange(96) < 40, 0.0, 1.0)[None]
    assert (like_days(np.where(np.arange(96) < 80, dark, NAN), [dark] * 3, 4)[1] == 0).all()  # as usual: nothing is missed


VALUES = st.floats(-5, 5, allow_nan=False) | st.just(NAN)


@given(arrays(float, (3, 12), elements=VALUES), arrays(float, (2, 3, 12), elements=VALUES), arrays(float, (3, 12), elements=VALUES))
def test_movements_make_no_estimate_unknown_and_change_no_other_meter(kwh, past, moved):
    movements = Movements(np.array([0, -1, 0]), moved[:1], [moved[1:2], moved[2:3]])
    made, error = like_days(kwh, list(past), 2, movements)
    plain, plain_error = like_days(kwh, list(past), 2)
    assert (np.isnan(made) == np.isnan(plain)).all()
    np.testing.assert_array_equal(made[1], plain[1])
    np.testing.assert_array_equal(error[1], plain_error[1])


def test_sums_around_a_time_are_those_of_its_neighbours():
    values = np.arange(1.0, 8.0)[None]
    assert around(values, 1)[0].tolist() == [3, 6, 9, 12, 15, 18, 13]
    assert around(values, 0)[0].tolist() == values[0].tolist()


@pytest.mark.parametrize("weeks", [1, 2, 3, 6])
@pytest.mark.parametrize("unusual", [1.0, 3.0])
def test_two_of_three_like_day_means_are_right_within_their_error(weeks, unusual):
    """Days that differ from their own kind by noise that is larger in the evening; on an unusual day more than usual."""
    rng = np.random.default_rng(13)
    spread = 0.1 + 0.3 * np.sin(np.linspace(0, np.pi, 96)) ** 2
    days = [2.0 + spread * rng.normal(size=(1500, 96)) for _ in range(weeks)]
    truth = 2.0 + unusual * spread * rng.normal(size=(1500, 96))
    kwh = truth.copy()
    kwh[:, 30:60] = NAN
    mean, error = like_days(kwh, days, 4)
    within = np.abs(mean - truth)[:, 30:60] <= error[:, 30:60]
    low, high = (0.58, 0.8) if weeks > 1 else (0.4, 0.9)  # a single like day tells no spread by the hour
    assert low < within.mean() < high


def test_of_an_empty_day_the_error_is_that_of_a_mean_as_a_forecast():
    _, error = like_days(np.full((1, 4), NAN), [np.full((1, 4), 1.0), np.full((1, 4), 3.0)], 1)
    np.testing.assert_allclose(error, np.sqrt(2.0 * 1.5))  # a spread of 2, a mean of two
    rng = np.random.default_rng(14)
    days = [rng.normal(size=(2000, 96)) for _ in range(3)]
    mean, error = like_days(np.full((2000, 96), NAN), days, 4)
    within = np.abs(mean - rng.normal(size=mean.shape)) <= error
    assert 0.64 < within.mean() < 0.70


def test_an_empty_day_with_a_single_like_day_takes_the_days_spread():
    mean, error = like_days(np.full((1, 4), NAN), [np.array([[1.0, 3.0, 1.0, 3.0]])], 1)
    assert mean.tolist() == [[1.0, 3.0, 1.0, 3.0]]
    assert error.tolist() == [[1.0, 1.0, 1.0, 1.0]]
