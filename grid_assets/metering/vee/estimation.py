"""Estimates for intervals without a valid value, each with its standard error. No net meter is ever scaled: its mean is near zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from grid_assets.metering.vee.quality_codes import AS_ARRIVED, CLASS_PROFILE, LIKE_DAYS, LINEAR

MINIMUM_WINDOWS = 8
"""So many places of the day must be interpolated on trial before their error is believed."""
MINIMUM_OVERLAP = 1 / 8
"""Share of the day's intervals that must be valid before a class profile is scaled by them."""
CLASS_RATIOS = (0.02, 50.0)
"""A meter further from its class than this has another profile than its class."""
NEAR_HOURS = 1.0
"""The spread of like days at a time of day is taken from the times this far around it."""


@dataclass
class Estimates:
    """A day's matrices of (meters, intervals)."""

    energy: np.ndarray
    """Valid values and estimates, kWh; NaN where nothing can be said."""
    method: np.ndarray
    """How each estimate was made: a code of quality_codes, AS_ARRIVED elsewhere."""
    error: np.ndarray
    """Standard error of each estimate, kWh; NaN elsewhere."""


@dataclass
class ClassProfiles:
    """What is known of the meters' classes on like days, on the day's intervals."""

    member: np.ndarray
    """(meters,): the row of a meter's class; -1: it has none, or may not be scaled."""
    mean: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """(classes, intervals): kWh; NaN where unknown."""
    deviation: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


def estimate(kwh: np.ndarray, limit: int, history: Sequence[np.ndarray], classes: ClassProfiles | None = None, near: int = 4) -> Estimates:
    """Fills what is NaN: gaps of up to ``limit`` intervals by straight lines, the rest from like days, then from the class.

    ``history``: like days in the same shape, NaN where not measured; ``near``: intervals around one that share its spread.
    """
    made = Estimates(kwh.copy(), np.full(kwh.shape, AS_ARRIVED, dtype=np.int8), np.full(kwh.shape, np.nan))
    rows = np.flatnonzero(np.isnan(kwh).any(axis=1))
    if not len(rows):
        return made
    _fill(made, rows, LINEAR, *linear(kwh[rows], limit))
    rows = rows[np.isnan(made.energy[rows]).any(axis=1)]
    if len(rows) and history:
        _fill(made, rows, LIKE_DAYS, *like_days(kwh[rows], [day[rows] for day in history], near))
        rows = rows[np.isnan(made.energy[rows]).any(axis=1)]
    rows = rows[classes.member[rows] >= 0] if classes is not None else rows[:0]
    if classes is not None and len(rows):
        member = classes.member[rows]
        _fill(made, rows, CLASS_PROFILE, *class_profile(kwh[rows], classes.mean[member], classes.deviation[member]))
    return made


def _fill(made: Estimates, rows: np.ndarray, method: int, values: np.ndarray, errors: np.ndarray) -> None:
    at, column = np.nonzero(np.isnan(made.energy[rows]) & ~np.isnan(values))
    cells = rows[at], column
    made.energy[cells], made.error[cells], made.method[cells] = values[at, column], errors[at, column], method


def linear(kwh: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Straight lines across gaps of at most ``limit`` intervals with a valid neighbour on both sides, and their errors.

    Source: gaps of up to two hours are interpolated in the VEE rules of California and EEI. The error at a place in a gap is
    the root mean square of what the same line misses on the meter's own day, wherever all it needs is valid; so it grows with
    the gap as the meter's own curve says. Of a day with few such places it is half of the rise, at least a quarter of the size.
    """
    made, error = np.full(kwh.shape, np.nan), np.full(kwh.shape, np.nan)
    left, right = _neighbours(kwh)
    row, column = np.nonzero(np.isnan(kwh))
    before, after = left[row, column], right[row, column]
    within = (before >= 0) & (after < kwh.shape[1]) & (after - before - 1 <= limit)
    row, column, before, after = row[within], column[within], before[within], after[within]
    first, last, length = kwh[row, before], kwh[row, after], after - before
    step = column - before
    value = first + step / length * (last - first)
    made[row, column] = value
    misses = np.full(len(row), np.nan)
    for gap, place in {(int(n), int(k)) for n, k in zip(length, step, strict=True)}:
        cells = (length == gap) & (step == place)
        misses[cells] = _missed_by_lines(kwh, row[cells], gap, place)
    plain = np.maximum(0.5 * np.abs(last - first), 0.25 * np.abs(value))
    error[row, column] = np.where(np.isnan(misses), plain, misses)
    return made, error


def _neighbours(kwh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The column of the valid value before and after each cell; -1 and the number of columns where there is none."""
    columns = np.arange(kwh.shape[1])
    known = ~np.isnan(kwh)
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, kwh.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return left, right


def _missed_by_lines(kwh: np.ndarray, rows: np.ndarray, length: int, step: int) -> np.ndarray:
    """Root mean square over the day of what a line over ``length`` intervals misses after ``step`` of them, for each row."""
    each, back = np.unique(rows, return_inverse=True)
    values, end = kwh[each], kwh.shape[1] - length
    first, last, there = values[:, :end], values[:, length:], values[:, step : step + end]
    squares = (first + step / length * (last - first) - there) ** 2
    known = ~np.isnan(squares)
    count = np.count_nonzero(known, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(squares.sum(axis=1, where=known) / count)
    return np.where(count >= MINIMUM_WINDOWS, root, np.nan)[back]


def like_days(kwh: np.ndarray, history: Sequence[np.ndarray], near: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the same time of day on like days, never scaled, and its error; NaN where no like day is known.

    ``kwh``: the day, NaN where not valid; ``history``: like days in the same shape. Source: the mean of three like days, as in
    ERCOT's matrix of estimation practice. The error of a mean of n days as a forecast of another is s * sqrt(1 + 1/n), s their
    spread at the times ``near`` each; where the day itself has enough valid values it is brought to what the same mean misses
    there, so that an unusual day says so. Of a single like day and an empty day it is the spread over the day's hours.
    """
    days = np.stack(history)
    known = ~np.isnan(days)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, days.sum(axis=0, where=known) / count, np.nan)
        squares = ((days - mean) ** 2).sum(axis=0, where=known)
        freedom = np.where(count > 1, count - 1, 0)
        variance = around(np.where(count > 1, squares, 0.0), near) / around(freedom.astype(float), near)
        expected = variance * (1.0 + 1.0 / count)
    return mean, np.sqrt(_as_missed_today(kwh, mean, expected))


def around(values: np.ndarray, near: int) -> np.ndarray:
    """Sums over the ``near`` columns before and after each and itself; fewer at the edges."""
    columns = values.shape[1]
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    at = np.arange(columns)
    return sums[:, np.minimum(at + near + 1, columns)] - sums[:, np.maximum(at - near, 0)]


def _as_missed_today(kwh: np.ndarray, mean: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The expected squared errors, brought to those that the day's valid values show; (meters, intervals)."""
    columns = kwh.shape[1]
    missed = (kwh - mean) ** 2
    both = ~np.isnan(missed) & ~np.isnan(expected)
    seen = ~np.isnan(missed)
    enough = max(columns * MINIMUM_OVERLAP, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = expected.sum(axis=1, where=both)
        factor = missed.sum(axis=1, where=both) / wanted
        factor = np.where((both.sum(axis=1) >= enough) & (wanted > 0), factor, 1.0)
        plain = missed.sum(axis=1, where=seen) / seen.sum(axis=1)
        plain = np.where(seen.sum(axis=1) >= enough, plain, np.nanvar(np.where(np.isnan(mean), 0.0, mean), axis=1))
    return np.where(np.isnan(expected), plain[:, None], expected * factor[:, None])


def class_profile(kwh: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class's profile, brought to the meter's own level by its valid values of the day, and its error.

    ``mean``, ``deviation``: of each meter's class, kWh, in the day's shape. Only for meters whose energy is far from zero: the
    caller leaves out net meters, for which scaling is measured to be wrong 50-fold. NaN where less than MINIMUM_OVERLAP of the
    day is valid or the ratio is out of CLASS_RATIOS. The error has the class's deviation as its shape and what the scaled
    profile misses on the day's valid values as its level. Source: profile scaling of Itron IEE and Oracle, in outline.
    """
    both = ~np.isnan(kwh) & ~np.isnan(mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = kwh.sum(axis=1, where=both) / mean.sum(axis=1, where=both)
        safe = (both.sum(axis=1) >= MINIMUM_OVERLAP * kwh.shape[1]) & (ratio >= CLASS_RATIOS[0]) & (ratio <= CLASS_RATIOS[1])
        made = np.where(safe[:, None], mean * ratio[:, None], np.nan)
        missed = ((kwh - made) ** 2).sum(axis=1, where=both)
        level = missed / (deviation**2).sum(axis=1, where=both)
        flat = missed / both.sum(axis=1)
        error = np.where(np.isfinite(level)[:, None], deviation * np.sqrt(level)[:, None], np.sqrt(flat)[:, None])
    return made, np.where(np.isnan(error), np.sqrt(np.where(safe, flat, np.nan))[:, None], error)
