"""Copied days and filled stretches: what must be found, and what is ordinary life."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.metering.quality import copied_days
from grid_assets.metering.quality.copied_days import equal_days, filled_stretches, repetition_bits

TODAY = date(2021, 3, 20)
SEEDS = st.integers(0, 2**32 - 1)


def household(seed: int, intervals: int = 48, meters: int = 1) -> np.ndarray:
    """Wh of a home in kWh: a base, a refrigerator, some appliances."""
    drawn = np.random.default_rng(seed)
    made = (
        30
        + 25 * (drawn.random((meters, intervals)) < 0.4)
        + drawn.gamma(0.4, 200, (meters, intervals))
        + drawn.integers(0, 6, (meters, intervals))
    )
    return np.rint(made) / 1000


def days_frame(days: dict[date, np.ndarray], ids: list[str]) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame({"meter_id": ids, "day": day, "energy_kwh": np.nansum(kwh, axis=1), "expected_intervals": kwh.shape[1],
                      "valid_intervals": (~np.isnan(kwh)).sum(axis=1)})
        for day, kwh in days.items()
    )  # fmt: skip


def found_copies(days: dict[date, np.ndarray], ids: list[str]) -> pd.DataFrame:
    frames = {day: days_frame({day: kwh}, ids) for day, kwh in days.items()}
    asked = lambda day, wanted: days[day][[ids.index(one) for one in wanted]]  # noqa: E731
    return copied_days.copied_days(TODAY, frames[TODAY], [one for one in frames.items() if one[0] < TODAY], asked)


# -- copied days ------------------------------------------------------------------------------------------------


@given(seed=SEEDS, back=st.integers(1, 28), intervals=st.sampled_from([24, 48, 96, 100]))
@settings(max_examples=15, deadline=None)
def test_a_copied_day_is_found_wherever_it_was_copied_from(seed, back, intervals):
    ids = ["a", "b", "c"]
    days = {TODAY - timedelta(days=n): household(seed + n, intervals, 3) for n in range(29)}
    days[TODAY][1] = days[TODAY - timedelta(days=back)][1]
    made = found_copies(days, ids)
    assert made["meter_id"].tolist() == ["b"]
    assert made["copied_from"].tolist() == [TODAY - timedelta(days=back)]


def test_of_several_equal_days_the_latest_is_named():
    days = {TODAY - timedelta(days=n): household(5) for n in (0, 1, 7)}
    assert found_copies(days, ["a"])["copied_from"].tolist() == [TODAY - timedelta(days=1)]


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_equal_energy_alone_is_no_copy(seed):
    ordered, mixed = household(seed), household(seed)
    mixed = mixed[:, ::-1].copy()
    days = {TODAY: ordered, TODAY - timedelta(days=1): mixed}
    assert equal_days(*(days_frame({day: kwh}, ["a"]) for day, kwh in days.items())) == ["a"]
    assert found_copies(days, ["a"]).empty


def test_what_chance_makes_equal_is_no_copy():
    empty = np.zeros((1, 48))
    standby = np.full((1, 48), 0.004)
    ticking = np.zeros((1, 48))
    ticking[0, 30] = 0.001
    for home in (empty, standby, ticking):
        assert found_copies({TODAY: home, TODAY - timedelta(days=1): home}, ["a"]).empty


def test_estimated_and_shorter_days_are_never_copies():
    home = household(3)
    gappy = home.copy()
    gappy[0, 5] = np.nan
    assert found_copies({TODAY: gappy, TODAY - timedelta(days=1): gappy}, ["a"]).empty
    assert found_copies({TODAY: np.append(home, [[0.0, 0.0]], axis=1), TODAY - timedelta(days=1): home}, ["a"]).empty


def test_wh_and_kwh_of_the_same_day_are_equal():
    home = household(8)
    assert len(found_copies({TODAY: home * 1000 * 0.001, TODAY - timedelta(days=1): home}, ["a"])) == 1


def test_bits_count_what_a_day_tells():
    quiet, lively = np.full((1, 48), 0.2), household(1)
    two = np.tile([0.1, 0.2, 0.1, 0.1], (1, 12))
    bits = [repetition_bits(one)[0] for one in (quiet, two, lively)]
    assert bits[0] == 0 < bits[1] < bits[2] <= 47 * np.log2(47)
    np.testing.assert_allclose(repetition_bits(np.array([[0.0, 1.0, 0.0, 1.0, 0.0]])), [4.0])  # two changes, equally often: 1 bit each
    assert repetition_bits(np.empty((0, 48))).shape == (0,)


# -- filled stretches -------------------------------------------------------------------------------------------


def only(found: pd.DataFrame) -> dict:
    assert len(found) == 1, found
    return found.iloc[0].to_dict()


@given(seed=SEEDS, first=st.integers(0, 20), length=st.integers(40, 76))
@settings(max_examples=15, deadline=None)
def test_a_mean_in_whole_wh_is_found_to_its_ends(seed, first, length):
    kwh = household(seed, 96, 2)
    kwh[1, first : first + length] = np.resize([0.081, 0.083, 0.081, 0.084], length)
    made = only(filled_stretches(kwh))
    assert (made["row"], made["kind"], made["period"]) == (1, "pattern", 4)
    assert made["first"] <= first
    assert made["first"] + made["intervals"] >= first + length
    assert made["intervals"] <= length + 2  # a neighbour may go on by chance
    assert made["mean_kwh"] == pytest.approx(0.08225, abs=0.002)


@given(seed=SEEDS, first=st.integers(1, 60), length=st.integers(12, 30), rise=st.integers(-60, 60))
@settings(max_examples=15, deadline=None)
def test_a_straight_line_in_whole_wh_is_found(seed, first, length, rise):
    kwh = household(seed, 96)
    rise = rise + 3 * np.sign(rise) if rise else 5
    start = 300.0 if rise > 0 else 300.0 - rise * (length - 1)
    kwh[0, first : first + length] = np.rint(start + rise * np.arange(length)) / 1000
    made = only(filled_stretches(kwh))
    assert made["kind"] == "ramp"
    assert abs(made["first"] - first) <= 1
    assert abs(made["intervals"] - length) <= 2


def test_a_constant_stretch_is_found_and_zero_is_not():
    kwh = household(11, 96)
    kwh[0, 20:40] = 0.25
    kwh[0, 60:80] = 0.0
    made = only(filled_stretches(kwh))
    assert (made["first"], made["intervals"], made["kind"]) == (20, 20, "constant")


@given(seed=SEEDS, first=st.integers(0, 40), length=st.integers(20, 56))
@settings(max_examples=15, deadline=None)
def test_a_mean_in_steps_of_no_period_is_found(seed, first, length):
    kwh = household(seed, 96, 2)
    kwh[0, first : first + length] = np.diff(np.rint(np.linspace(0, 412.37 * length, length + 1))) / 1000  # 412 and 413 Wh, above the base
    made = only(filled_stretches(kwh))
    assert (made["row"], made["kind"]) == (0, "constant")
    assert abs(made["first"] - first) <= 1
    assert abs(made["intervals"] - length) <= 2


def test_a_steady_night_is_a_home_at_rest():
    kwh = household(9, 96) + 0.1
    kwh[0, 4:24] = np.resize([0.065, 0.066, 0.065], 20)
    assert filled_stretches(kwh).empty


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_an_ordinary_day_is_not_called_filled(seed):
    assert filled_stretches(household(seed, 96, 20)).empty


def test_rhythm_of_a_refrigerator_is_not_called_filled():
    beat = np.resize([0.04, 0.04, 0.07], 16)
    kwh = household(2, 96)
    kwh[0, :16] = beat  # four hours of night
    assert filled_stretches(kwh).empty


def test_a_refrigerator_in_an_empty_home_is_not_called_filled():
    assert filled_stretches(np.resize([0.007, 0.007, 0.007, 0.014], (1, 96))).empty
    assert filled_stretches(np.resize([0.006, 0.007], (1, 96))).empty


def test_a_gap_never_belongs_to_a_stretch():
    kwh = household(4, 96)
    kwh[0, 10:60] = np.nan
    assert filled_stretches(kwh).empty
    assert filled_stretches(np.full((3, 96), np.nan)).empty
    assert filled_stretches(np.empty((0, 96))).empty


# -- as evidence ------------------------------------------------------------------------------------------------


def test_evidence_names_the_day_the_hours_and_how_unlikely():
    home = household(6, 96)
    copies = found_copies({TODAY: home, TODAY - timedelta(days=3): home}, ["a"])
    told = only(copied_days.copy_evidence(copies))
    assert told["pattern"] == "copied_day"
    assert "2021-03-17" in told["explanation"]
    assert told["evidence"] > 6
    home[0, 8:80] = np.resize([0.081, 0.083, 0.081, 0.084], 72)
    starts = pd.date_range("2021-03-20", periods=96, freq="15min", tz="Europe/Amsterdam").tz_convert("UTC")
    told = only(copied_days.fill_evidence(filled_stretches(home), ["a"], starts, "Europe/Amsterdam"))
    assert (told["meter_id"], told["pattern"]) == ("a", "filled")
    assert told["explanation"] == "72 readings from 02:00 are 4 values over and over, 0.08225 kWh in the mean"
    assert copied_days.copy_evidence(copies.iloc[:0]).empty
    assert copied_days.fill_evidence(filled_stretches(household(6)), ["a"], starts, "UTC").empty
