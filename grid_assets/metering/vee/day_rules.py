"""The rules over a day: which values fail which, what is valid then, and what the day as a whole is flagged for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.vee import validation
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.day_in_making import DayFlags, Matrices
from grid_assets.metering.vee.day_profiles import row_sums
from grid_assets.metering.vee.editing import ACCEPT, REJECT, REPLACE, Corrections, Supply
from grid_assets.metering.vee.meter_limits import either_way
from grid_assets.metering.vee.register_reads import register_day, register_mismatch
from grid_assets.metering.vee.scale_test import doubtful_days
from grid_assets.metering.vee.validation import BITS


def usual_of(past: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known values of the like days, per meter."""
    total, count = np.zeros(shape[0]), np.zeros(shape[0], dtype=np.int64)
    for one in past:
        sums, known = row_sums(one)
        total, count = total + sums, count + known
    return np.where(count > 0, total, np.nan), count


def rule_failures(
    grid: DayGrid, arrived: np.ndarray, rules: ValidationSection, past: Sequence[np.ndarray], usual_kwh: np.ndarray,
    supply: Supply | None, night: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Bits of the rules that each value fails. A value that cannot be (negative, above the rating) is no evidence for the others."""
    rating = grid.meters["rating_kw"].to_numpy(dtype=float)
    generates = (grid.meters["kind"] == "generation").to_numpy()
    negative = validation.negative(arrived, either_way(grid))
    above = validation.above_rating(arrived, rating, grid.hours)
    doubtful = doubtful_days(arrived, past, rating * grid.hours)
    above[doubtful] = ~np.isnan(arrived[doubtful])
    impossible = negative | above
    possible = np.where(impossible, np.nan, arrived) if impossible.any() else arrived
    found = {"negative": negative, "above_rating": above}
    found["spike"] = validation.spike(possible, rules.spike_ratio, rating, grid.hours, rules.spike_floor_share, past, generates)
    found["stuck"] = validation.stuck(possible, rules.stuck_intervals, np.where(generates, rating * grid.hours, np.nan), past)
    found["zero_run"] = validation.zero_run(
        possible,
        past,
        rules.zero_run_usual_kw * grid.hours,
        rules.zero_run_intervals,
        generates,
        None if supply is None else supply.touched,
    )
    if rules.near_zero_share > 0:
        is_load = (grid.meters["kind"] == "load").to_numpy()
        found["near_zero"] = validation.near_zero(possible, usual_kwh, rules.near_zero_share, rules.near_zero_intervals, is_load)
    if night is not None:
        solar = grid.column("photovoltaic", False).to_numpy(dtype=bool)
        found["pv_at_night"] = validation.pv_at_night(possible, night, solar, rules.night_share * rating * grid.hours)
    failures = np.zeros(grid.shape, dtype=np.uint16)
    for rule, where in found.items():
        failures.ravel()[np.flatnonzero(where)] |= BITS[rule]  # they are few: faster than a mask
    return failures


def judge(day: Matrices, edits: Corrections | None) -> None:
    """What is valid: arrived values that failed nothing, and what analysts say."""
    day.valid = np.where(day.failures == 0, day.arrived, np.nan)
    if edits is None:
        return
    valid, failures, arrived = day.valid.ravel(), day.failures.ravel(), day.arrived.ravel()
    accept, reject, replaced = (edits.cell[edits.of(one)] for one in (ACCEPT, REJECT, REPLACE))
    valid[accept] = arrived[accept]
    valid[reject] = np.nan
    failures[reject[~np.isnan(arrived[reject])]] |= BITS["correction"]
    valid[replaced] = edits.kwh[edits.of(REPLACE)]


def day_flags(grid: DayGrid, day: Matrices, rules: ValidationSection, usual_kwh: np.ndarray, usual_count: np.ndarray) -> DayFlags:
    """The tests of the day as a whole: scale, sum check and usage. They refuse nothing; people look at them."""
    meters, intervals = grid.shape
    bits = np.bitwise_or.reduce(day.failures.astype(np.uint32), axis=1)
    bits[day.scaled] |= BITS["scaled_wh"]
    bits[day.exchanged_meters] |= BITS["meter_exchange"]
    by_register = np.where(day.both, register_day(day.spans, meters, intervals), np.nan)
    finest = np.zeros(meters)
    np.maximum.at(finest, day.spans.row, day.spans.resolution_kwh)
    bits[register_mismatch(day.valid, by_register, rules.register_tolerance_pct, finest)] |= BITS["register_mismatch"]
    sums, count = row_sums(day.valid)
    enough = 2 * usual_count >= intervals
    usual = np.where(enough, usual_kwh / np.maximum(usual_count, 1) * intervals, np.nan)
    own = np.where(5 * count >= 4 * intervals, sums / np.maximum(count, 1) * intervals, np.nan)
    judged = (grid.meters["kind"] == "load").to_numpy() & ~grid.meters["net_metered"].to_numpy(dtype=bool)
    high, low = validation.unusual_usage(own, usual, rules.usage_ratio, judged)
    bits[high] |= BITS["high_usage"]
    bits[low] |= BITS["low_usage"]
    return DayFlags(bits, usual, by_register)
