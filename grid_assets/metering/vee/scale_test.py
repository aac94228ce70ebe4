"""The meter-day scale test: days that were sent in Wh and said kWh, found before any other mean is taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WH_PER_KWH = 1000.0
QUARTILES = (25, 50, 75)
UPPER = 75
FAR_ABOVE = 20.0
"""Without a past so many times the service's limit must be the median: a wrong rating in the register is not so far off."""
MINIMUM_VALUES = 8
"""So many values other than zero a day needs to be judged."""
DOUBTFUL = 3.0
"""A median so many times the limit is no wrong rating any more."""


def scaled_days(
    kwh: np.ndarray, past: Sequence[np.ndarray], limit_kwh: np.ndarray, class_kwh: np.ndarray, ratio: float
) -> np.ndarray:  # fmt: skip
    """Which meter days stand near 1000 times what they should be; (meters,) bool.

    ``kwh``: (meters, intervals) as arrived; ``past``: like days in the same shape; ``limit_kwh`` (meters,): the most that the
    service can carry in an interval; ``class_kwh`` (meters,): median of the class profile, NaN where there is none.
    With a past: all three quartiles of the day's sizes, zeros left out, lie between ``ratio`` and 1000^2 / ``ratio`` times
    those of the past, so that neither a spike nor a house that wakes up counts; or the day is far above the past, and a quarter
    of its values is above the service's limit, but not a thousandth of them: a day in Wh on which hardly anything was used.
    Without a past: the median is FAR_ABOVE times the limit; or some values are above it, and the median is so many times the
    class's. What is nearer stays as it is, refused as above the rating.
    Source: kW read as kWh and Wh as kWh are known faults of meter feeds; the test is ours.
    """
    found = np.zeros(len(kwh), dtype=bool)
    size = _mean_size([kwh])
    usual = _mean_size(past) if past else np.full(len(kwh), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        compared = np.flatnonzero(size > np.sqrt(ratio) * usual)
        alone = np.flatnonzero(np.isnan(usual) & (np.fmax.reduce(np.abs(kwh), axis=1) > limit_kwh))
    for row in compared:
        usual_values = np.concatenate([day[row] for day in past])
        found[row] = _stands_above(kwh[row], usual_values, ratio) or _impossible(kwh[row], limit_kwh[row])
    for row in alone:
        found[row] = _far_above(kwh[row], limit_kwh[row]) or _above_class(kwh[row], limit_kwh[row], class_kwh[row], ratio)
    return found


def _mean_size(days: Sequence[np.ndarray]) -> np.ndarray:
    """Mean size of each meter's values; NaN where there are none."""
    total, count = np.zeros(len(days[0])), np.zeros(len(days[0]))
    for day in days:
        known = ~np.isnan(day)
        total += np.abs(day).sum(axis=1, where=known)
        count += np.count_nonzero(known, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _sizes(values: np.ndarray) -> np.ndarray:
    sizes = np.abs(values)
    return sizes[sizes > 0]  # NaN is not


def _stands_above(values: np.ndarray, past: np.ndarray, ratio: float) -> bool:
    own, usual = _sizes(values), _sizes(past)
    if len(own) < MINIMUM_VALUES or len(usual) < MINIMUM_VALUES:
        return False
    times = np.percentile(own, QUARTILES) / np.percentile(usual, QUARTILES)
    return bool((times >= ratio).all() and (times <= WH_PER_KWH**2 / ratio).all())


def doubtful_days(kwh: np.ndarray, past: Sequence[np.ndarray], limit_kwh: np.ndarray) -> np.ndarray:
    """Rows of days that nothing confirms and that are far too large for the service: in which unit their small values are
    nobody knows. ``kwh``: after the scale test.
    """
    with np.errstate(invalid="ignore"):
        large = np.flatnonzero(np.fmax.reduce(np.abs(kwh), axis=1) > DOUBTFUL * limit_kwh)
    large = large[without_past(past, large)]
    medians = np.array([np.median(_sizes(kwh[row])) for row in large])
    return large[medians > DOUBTFUL * limit_kwh[large]]


def without_past(past: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Which of the rows no past value confirms."""
    return np.isnan(_mean_size([day[rows] for day in past])) if past else np.ones(len(rows), dtype=bool)


def _impossible(values: np.ndarray, limit_kwh: float) -> bool:
    """Whether a quarter of the values is above the service's limit, and a thousandth of the median is not."""
    own = _sizes(values)
    return bool(len(own) >= MINIMUM_VALUES and np.percentile(own, UPPER) > limit_kwh and np.median(own) / WH_PER_KWH <= limit_kwh)


def _far_above(values: np.ndarray, limit_kwh: float) -> bool:
    own = _sizes(values)
    return bool(len(own) >= MINIMUM_VALUES and FAR_ABOVE * limit_kwh <= np.median(own) <= WH_PER_KWH * limit_kwh)


def _above_class(values: np.ndarray, limit_kwh: float, class_kwh: float, ratio: float) -> bool:
    own = _sizes(values)
    if len(own) < MINIMUM_VALUES:
        return False
    median = np.median(own)
    return bool(median / WH_PER_KWH <= limit_kwh and ratio <= median / class_kwh <= WH_PER_KWH**2 / ratio)
