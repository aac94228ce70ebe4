"""Estimates for intervals without a valid value. No estimate is ever scaled: net meters have means near zero."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def linear(kwh: np.ndarray, limit: int) -> np.ndarray:
    """Straight lines across gaps of at most ``limit`` intervals that have a valid neighbour on both sides.

    ``kwh``: (meters, intervals), NaN where no valid value is. Returns the estimates, NaN where there is none.
    Source: gaps of up to two hours are interpolated in the VEE rules of California and EEI.
    """
    made = np.full(kwh.shape, np.nan)
    for row in np.flatnonzero(np.isnan(kwh).any(axis=1)):
        known = np.flatnonzero(~np.isnan(kwh[row]))
        for left, right in pairwise(known):
            gap = right - left - 1
            if 0 < gap <= limit:
                steps = np.arange(1, gap + 1) / (gap + 1)
                made[row, left + 1 : right] = kwh[row, left] + steps * (kwh[row, right] - kwh[row, left])
    return made


def like_days(history: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The mean of the same time of day on like days; ``history`` are matrices of measured values, NaN where none.

    Source: the mean of three like days, as in ERCOT's matrix of estimation practice.
    """
    total, count = np.zeros(shape), np.zeros(shape)
    for day in history:
        known = ~np.isnan(day)
        total += np.where(known, day, 0.0)
        count += known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)


def estimate(kwh: np.ndarray, limit: int, history: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Fills what is NaN: short gaps linearly, the rest from like days where there are any.

    Returns the filled matrix (NaN where nothing can be said) and the method of every cell: "", "linear" or "like_days".
    """
    method = np.full(kwh.shape, "", dtype=object)
    gaps = np.isnan(kwh)
    filled = kwh.copy()
    for name, values in (("linear", linear(kwh, limit)), ("like_days", like_days(history, kwh.shape))):
        use = gaps & np.isnan(filled) & ~np.isnan(values)
        filled[use] = values[use]
        method[use] = name
    return filled, method
