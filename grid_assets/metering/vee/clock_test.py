"""The meter-day clock test: days whose stamps are the site's local time, said to be UTC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from grid_assets.metering.vee.like_days import around, sizes

SMALL = 0.1
"""Sizes above this part of a meter's usual ones count by their logarithm, or a kettle would decide."""
FLAT = 1e-6
"""A course that varies by less is one value and the computer's rounding."""
NEAR_HOURS = 0.5
"""The usual course of the day is smoothed over so much on both sides."""
LEAST_VALUES, LEAST_SHARE = 8, 0.25
"""So many values, and this share of the day, must be there at both clocks to be compared."""
LEAST_EVIDENCE = -3.0
"""A meter that lacks exactly its zone's hours is believed to be on time only where its course says so by this much: one day of a
home tells little."""
LEAST_COURSE = 0.05
"""And whose late course explains less than this of the day's variance has none that could be late."""
COMMON_SHARE, COMMON_METERS = 0.02, 3
"""Where so many meters lack the same hours it is the system that lost them."""


def offset_intervals(starts: pd.DatetimeIndex, hours: float) -> int:
    """By how many intervals stamps of the site's clock are late when they are read as UTC; negative west of it, 0 where they are
    right or off the grid. ``starts``: the day's intervals on the site's clock; on a day that changes the clock, at its middle.
    """
    offset = starts[len(starts) // 2].utcoffset() if len(starts) else None
    intervals = (offset.total_seconds() if offset else 0.0) / (3600.0 * hours)
    return round(intervals) if abs(intervals - round(intervals)) < 1e-9 else 0


def shifted_days(heard: np.ndarray, kwh: np.ndarray, past: Sequence[np.ndarray], offset: int, hours: float) -> np.ndarray:
    """Which meter days were stamped ``offset`` intervals late; (meters,) bool.

    ``heard`` (meters, intervals): whether anything arrived; ``kwh``: valid values, NaN elsewhere; ``past``: like days.
    Such a day lacks exactly the first ``offset`` intervals (before zero: the last), whose rows went to the day beside it, and its
    course follows its like days late. Gaps of chance are as long once in a thousand days, and half of a meter's days have no clear
    course, so both are asked for. Only the first day of a wrong clock is found: after it the hours are filled by the day before.
    Where many meters lack these intervals (``hours_lost``) do not ask.
    Source: that a wrong zone leaves a gap at one edge of the day and moves the profile is practice of meter data teams; the test is ours.
    """
    found = np.zeros(len(heard), dtype=bool)
    if not past or not 0 < abs(offset) < heard.shape[1]:
        return found
    rows = np.flatnonzero(lacking_hours(heard, offset))
    evidence, explained = lag_evidence(kwh[rows], [day[rows] for day in past], offset, max(1, round(NEAR_HOURS / hours)))
    found[rows] = (evidence > LEAST_EVIDENCE) & (explained >= LEAST_COURSE)  # NaN is neither
    return found


def lacking_hours(heard: np.ndarray, offset: int) -> np.ndarray:
    """Which meters lack exactly the intervals at the edge of the day that a clock ``offset`` intervals off leaves empty; (meters,)."""
    if not 0 < abs(offset) < heard.shape[1]:
        return np.zeros(len(heard), dtype=bool)
    silent = ~heard if offset > 0 else ~heard[:, ::-1]
    return silent[:, : abs(offset)].all(axis=1) & ~silent[:, abs(offset)]


def hours_lost(lacking: int, heard: int) -> bool:
    """Whether so many of the meters that were heard lack the same hours that the system lost them."""
    return lacking >= COMMON_METERS and lacking > COMMON_SHARE * heard


def lag_evidence(kwh: np.ndarray, past: Sequence[np.ndarray], lag: int, near: int) -> tuple[np.ndarray, np.ndarray]:
    """By how much, in logarithms of likelihood, a day follows the mean of its like days better ``lag`` intervals late than on time,
    and how much of its variance they explain late; (meters,) each, NaN where too little is known.

    Source: the profile likelihood of a straight line with normal errors, n / 2 * log(1 - r^2), on both clocks for the same values.
    Errors of neighbouring intervals are not independent, so it says too much, either way.
    """
    days = np.stack(past)
    known = ~np.isnan(days)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = SMALL * sizes(days)
        scale = np.where(scale > 0, scale, np.nan)[:, None]
        day, before = np.arcsinh(kwh / scale), np.arcsinh(days / scale)
        count = known.sum(axis=0)
        mean = np.where(count > 0, before.sum(axis=0, where=known) / count, np.nan)
        usual = around(np.nan_to_num(mean), near) / around((~np.isnan(mean)).astype(float), near)
    late = np.full(usual.shape, np.nan)
    if lag > 0:
        late[:, lag:] = usual[:, :-lag]
    else:
        late[:, :lag] = usual[:, -lag:]
    both = ~np.isnan(day) & ~np.isnan(usual) & ~np.isnan(late)
    values = both.sum(axis=1)
    on_time, shifted = _unexplained(day, usual, both), _unexplained(day, late, both)
    with np.errstate(invalid="ignore", divide="ignore"):
        evidence = values / 2 * np.log(on_time / shifted)
    enough = values >= max(LEAST_VALUES, LEAST_SHARE * kwh.shape[1])
    return np.where(enough, evidence, np.nan), np.where(enough, 1.0 - shifted, np.nan)


def _unexplained(day: np.ndarray, usual: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The share of the day's variance that no rising line of the usual course explains; (meters,), NaN where one of them is flat."""
    with np.errstate(invalid="ignore", divide="ignore"):
        count = both.sum(axis=1)
        own = np.where(both, day - (day.sum(axis=1, where=both) / count)[:, None], 0.0)
        other = np.where(both, usual - (usual.sum(axis=1, where=both) / count)[:, None], 0.0)
        flat = (own.std(axis=1) < FLAT) | (other.std(axis=1) < FLAT)
        correlation = np.where(flat, np.nan, (own * other).sum(axis=1) / np.sqrt((own**2).sum(axis=1) * (other**2).sum(axis=1)))
    return 1.0 - np.clip(correlation, 0.0, 1.0 - 1e-9) ** 2
