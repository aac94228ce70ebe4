"""Energy from register reads: differences, rollovers, exchanges, totals over missing reads and the sum check."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.metering.vee.register_reads import Spans, difference, register_day, register_mismatch, spans_of, to_totals

MODULUS = 1000.0
NO_OPENING = pd.DataFrame({"row": np.empty(0, dtype=np.int64), "before": np.empty(0, dtype=np.int64), "standing_kwh": np.empty(0)})


def one(change: float, limit: float, either_way: bool = False) -> tuple[float, bool]:
    kwh, exchanged = difference(np.array([change]), np.array([limit]), np.array([MODULUS]), np.array([either_way]))
    return float(kwh[0]), bool(exchanged[0])


def test_a_step_back_is_a_rollover_where_the_energy_is_possible_and_an_exchange_where_not():
    assert one(3.0, 5.0) == (3.0, False)
    assert one(-997.0, 5.0) == (3.0, False)
    assert one(-994.0, 5.0) == (-994.0, True)  # 6 kWh are more than the service carries
    assert one(-400.0, 5.0) == (-400.0, True)
    assert one(-1200.0, 5.0) == (-1200.0, True)  # no standing is above the modulus
    assert one(50.0, 5.0) == (50.0, False)  # the rating rule tells it


def test_a_net_meters_register_may_run_back_and_roll_over_backwards():
    assert one(-3.0, 5.0, True) == (-3.0, False)
    assert one(-6.0, 5.0, True) == (-6.0, True)
    assert one(-997.0, 5.0, True) == (3.0, False)
    assert one(998.0, 5.0, True) == (-2.0, False)
    assert one(500.0, 5.0, True) == (500.0, True)


def spans(reads: list[tuple[int, int, float]], opening: list[tuple[int, int, float]] = (), limit: float = 5.0, net: bool = False) -> Spans:  # type: ignore[assignment]
    """From (meter, closed interval, standing) and (meter, intervals before the day, standing)."""
    row, column, standing = (np.array(part) for part in zip(*reads, strict=True))
    begin = pd.DataFrame(list(opening), columns=["row", "before", "standing_kwh"]) if opening else NO_OPENING
    meters = 3
    return spans_of(
        row.astype(np.int64), column.astype(np.int64), standing.astype(float), begin, np.full(meters, limit), np.full(meters, MODULUS),
        np.full(meters, net),
    )  # fmt: skip


def test_stretches_lie_between_the_reads_of_one_meter_whatever_their_order():
    made = spans([(1, 3, 14.0), (0, 1, 7.0), (1, 0, 11.0), (0, 0, 6.0)], [(1, 0, 10.0), (0, 2, 3.0)])
    assert made.row.tolist() == [0, 0, 1, 1]
    assert made.begin.tolist() == [-2, 1, 0, 1]
    assert made.end.tolist() == [1, 2, 1, 4]
    assert made.kwh.tolist() == [3.0, 1.0, 1.0, 3.0]
    assert not made.exchanged.any()


def test_without_an_opening_the_first_read_only_opens_the_next():
    made = spans([(0, 0, 6.0), (0, 1, 7.0)])
    assert (made.begin.tolist(), made.end.tolist()) == ([1], [2])


def test_more_than_the_service_carries_is_told_over_several_intervals_only():
    made = spans([(0, 0, 1.0), (0, 1, 7.0), (0, 3, 18.0)])
    assert made.too_much(np.full(3, 5.0)).tolist() == [False, True]
    assert not made.too_much(np.full(3, 5.6)).any()
    assert made.kwh.tolist() == [6.0, 11.0]
    assert not made.exchanged.any()


@given(st.lists(st.floats(0, 5), min_size=2, max_size=40), st.floats(0, MODULUS - 0.01))
def test_a_register_that_rolls_over_tells_the_energy_that_flowed(kwh, first):
    standing = (first + np.cumsum(kwh)) % MODULUS
    made = spans([(0, n, value) for n, value in enumerate(standing)], [(0, 0, first)], limit=5.000001)
    np.testing.assert_allclose(made.kwh, kwh, atol=1e-9)
    assert not made.exchanged.any()
    assert register_day(made, 3, len(kwh))[0] == pytest.approx(sum(kwh), abs=1e-7)


def test_the_day_by_register_needs_all_of_it():
    reads = [(0, n, float(n)) for n in range(4)]
    assert register_day(spans(reads, [(0, 0, -1.0)]), 3, 4)[0] == 4.0
    assert np.isnan(register_day(spans(reads), 3, 4)).all()
    assert np.isnan(register_day(spans(reads, [(0, 1, -1.0)]), 3, 4)[0])  # begins before the day
    assert np.isnan(register_day(spans(reads[:3], [(0, 1, -1.0)]), 3, 4)[0])  # four intervals, but not the day's
    assert np.isnan(register_day(spans(reads[:3], [(0, 0, -1.0)]), 3, 4)[0])
    assert np.isnan(register_day(spans([*reads[:2], (0, 2, 900.0), (0, 3, 1.0)], [(0, 0, -1.0)], limit=1.0), 3, 4)[0])


def test_the_sum_check_allows_its_tolerance_and_the_registers_resolution():
    valid = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, np.nan], [1.0, 1.0]])
    register = np.array([2.0, 2.03, 2.05, 9.0, np.nan])
    assert register_mismatch(valid, register, 2.0, np.zeros(5)).tolist() == [False, False, True, False, False]
    assert not register_mismatch(valid, register, 2.0, np.full(5, 0.01)).any()
    assert register_mismatch(valid, register, 1.0, np.zeros(5)).tolist() == [False, True, True, False, False]


def test_standings_in_whole_kwh_are_told_by_their_resolution():
    made = spans([(0, 0, 10.0), (0, 1, 12.0), (1, 0, 10.1), (1, 1, 12.0), (2, 0, 1.2345678), (2, 1, 2.0)])
    assert made.resolution_kwh.tolist() == [1.0, 1.0, 1.0]
    made = spans([(0, 0, 10.25), (0, 1, 12.75), (1, 0, 10.1), (1, 1, 12.3), (2, 0, 1.23456789), (2, 1, 2.3456789)])
    assert made.resolution_kwh.tolist() == [0.01, 0.1, 0.0]


# -- totals -------------------------------------------------------------------------------------------------------


def brought(energy: list[float], unknown: list[int], stretch: Spans, even_up_to: int, net: bool = False, limit: float = np.inf):
    values, known = np.array([energy], dtype=float), np.ones((1, len(energy)), dtype=bool)
    known[0, unknown] = False
    error = np.where(known, np.nan, 0.4)
    even = to_totals(values, error, known, stretch, even_up_to, np.array([net]), np.array([limit]))
    return values[0], error[0], even[0] > 0


def stretch(begin: int, end: int, kwh: float, exchanged: bool = False) -> Spans:
    return Spans(np.array([0]), np.array([begin]), np.array([end]), np.array([kwh]), np.array([exchanged]), np.zeros(1))


def test_short_stretches_are_shared_evenly_and_long_ones_in_the_shape_of_the_estimates():
    energy, _, even = brought([1, 5, 7, 1], [1, 2], stretch(1, 3, 6.0), 2)
    assert energy.tolist() == [1, 3, 3, 1]
    assert even.tolist() == [False, True, True, False]
    energy, error, even = brought([1, 5, 10, 1], [1, 2], stretch(1, 3, 6.0), 1)
    assert energy.tolist() == [1, 2, 4, 1]
    assert not even.any()
    assert error[1] < 0.4  # the total is known


def test_what_intervals_between_the_reads_tell_is_taken_off_the_total():
    energy, error, _ = brought([2, 9, 3, 1], [1], stretch(0, 4, 10.0), 2)
    assert energy.tolist() == [2, 4, 3, 1]
    assert error[1] < 1e-9


def test_an_exchanged_register_and_a_total_below_the_intervals_change_nothing():
    assert brought([1, 5, 7, 1], [1, 2], stretch(1, 3, 6.0, exchanged=True), 2)[0].tolist() == [1, 5, 7, 1]
    assert brought([2, 9, 3, 1], [1], stretch(0, 4, 5.0), 2)[0].tolist() == [2, 9, 3, 1]


def test_a_scaling_that_is_not_safe_is_even_and_a_net_meter_is_never_scaled():
    energy, _, even = brought([1, 0.1, 0.2, 1], [1, 2], stretch(1, 3, 6.0), 1)  # 20 times the estimates
    assert energy.tolist() == [1, 3, 3, 1]
    assert even[1:3].all()
    energy, _, even = brought([1, -1, 1.1, 1], [1, 2], stretch(1, 3, 2.1), 1, net=True)
    np.testing.assert_allclose(energy, [1, 0, 2.1, 1])
    assert not even.any()


def test_a_stretch_that_began_the_day_before_is_shared_only_where_it_is_short():
    energy, _, even = brought([5, 5, 1, 1], [0, 1], stretch(-1, 2, 6.0), 3)
    assert energy.tolist() == [2, 2, 1, 1]
    assert even[:2].all()
    assert brought([5, 5, 1, 1], [0, 1], stretch(-2, 2, 6.0), 3)[0].tolist() == [5, 5, 1, 1]


@given(st.lists(st.floats(0, 10) | st.just(float("nan")), min_size=2, max_size=12), st.floats(0, 100), st.integers(0, 4), st.booleans())
def test_the_estimates_between_two_reads_always_sum_to_the_register(estimates, total, even_up_to, net):
    energy, error, _ = brought(estimates, list(range(len(estimates))), stretch(0, len(estimates), total), even_up_to, net)
    assert energy.sum() == pytest.approx(total, abs=1e-6)
    assert not np.isnan(error).any()
    if not net:
        assert (energy >= 0).all()


def test_no_interval_gets_more_than_it_can_hold():
    made, _, _ = brought([1.0, 1.0, 1.0, 1.0], [1, 2], stretch(0, 4, 13.0), 2, limit=5.0)
    assert made.tolist() == [1.0, 1.0, 1.0, 1.0]
    made, _, _ = brought([1.0, 0.1, 4.0, 1.0], [1, 2], stretch(0, 4, 10.0), 1, limit=5.0)
    assert made.tolist() == [1.0, 4.0, 4.0, 1.0]  # in their shape the second would hold 7.8
