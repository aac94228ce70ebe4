"""Estimates for intervals without a valid value, each with its standard error. No net meter is ever scaled: its mean is near zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from grid_assets.metering.vee.like_days import MINIMUM_OVERLAP, Movements, like_days
from grid_assets.metering.vee.quality_codes import AS_ARRIVED, CLASS_PROFILE, LIKE_DAYS, LINEAR

MINIMUM_WINDOWS = 8
"""So many places of the day must be interpolated on trial before their error is believed."""
CLASS_RATIOS = (0.02, 50.0)
"""A meter further from its class than this has another profile than its class."""


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


def estimate(
    kwh: np.ndarray, limit: int, history: Sequence[np.ndarray], classes: ClassProfiles | None = None, near: int = 4,
    movements: Movements | None = None, bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> Estimates:  # fmt: skip
    """Fills what is NaN: gaps of up to ``limit`` intervals by straight lines, the rest from like days, then from the class.

    ``history``: like days in the same shape, NaN where not measured; ``near``: intervals in an hour; ``bounds``: the least and
    the most energy of an interval, (meters,) each, that no estimate from like days leaves.
    """
    made = Estimates(kwh.copy(), np.full(kwh.shape, AS_ARRIVED, dtype=np.int8), np.full(kwh.shape, np.nan))
    rows = np.flatnonzero(np.isnan(kwh).any(axis=1))
    if not len(rows):
        return made
    _fill(made, rows, LINEAR, *linear(kwh[rows], limit))
    rows = rows[np.isnan(made.energy[rows]).any(axis=1)]
    if len(rows) and history:
        one_way = None if bounds is None else bounds[0][rows] >= 0
        values, errors = like_days(kwh[rows], [day[rows] for day in history], near, movements.of(rows) if movements else None, one_way)
        if bounds is not None:
            values = np.clip(values, bounds[0][rows, None], bounds[1][rows, None])
        _fill(made, rows, LIKE_DAYS, values, errors)
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
