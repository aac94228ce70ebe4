"""What the last days say beyond calendar and weather: by how much each hour missed the static regression."""

from __future__ import annotations

import warnings

import numpy as np

HOURS = 24
RECENT_DAYS, LONG_DAYS, SAME_WEEKDAYS = 6, 27, 4
WEEK = 7


def surprise_terms(surprises: np.ndarray, unfinished: np.ndarray, offset: int, known_hours: int) -> np.ndarray:
    """Terms [days, hours, terms] of each target day from what was known at its issue time; 0 where nothing was.

    ``surprises`` [days, hours]: actual less static regression, of whole days. ``unfinished`` [days, hours]: the same by what
    was known of a day at its own issue time: its maximum was still a forecast then. The issue day lies ``offset`` days
    before the target (0: the same day), and of it the first ``known_hours`` hours are known; of the days before it all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN, and NaN becomes 0
        return np.nan_to_num(np.stack(_terms(surprises, unfinished, offset, known_hours), axis=-1))


def _terms(surprises: np.ndarray, unfinished: np.ndarray, offset: int, known_hours: int) -> list[np.ndarray]:
    def before(days: int) -> np.ndarray:
        return shifted(surprises, days)

    def all_day(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[:, None], HOURS, axis=1)

    def mean(days: list[int]) -> np.ndarray:
        return np.nanmean(np.stack([before(one) for one in days]), axis=0)

    today, yesterday = shifted(unfinished, offset)[:, :known_hours], before(offset + 1)
    latest = np.concatenate([yesterday, today], axis=1)
    same_hour = yesterday.copy()
    same_hour[:, :known_hours] = today
    weeks = [one for one in range(WEEK, WEEK * (SAME_WEEKDAYS + 2), WEEK) if one > offset][:SAME_WEEKDAYS]
    recent = mean([offset + 1 + n for n in range(RECENT_DAYS)])
    long = mean([offset + 1 + n for n in range(LONG_DAYS)])
    return [
        all_day(latest[:, -1]),
        all_day(np.nanmean(latest[:, -3:], axis=1)),
        all_day(np.nanmean(today, axis=1) if known_hours else np.nanmean(yesterday, axis=1)),
        same_hour,
        yesterday,
        all_day(np.nanmean(yesterday, axis=1)),
        all_day(np.nanmean(yesterday[:, known_hours:] if known_hours < HOURS else yesterday, axis=1)),
        all_day(np.nanmean(yesterday[:, -3:], axis=1)),
        before(offset + 2),
        before(weeks[0]),
        before(weeks[1]),
        all_day(np.nanmean(before(weeks[0]), axis=1)),
        recent,
        all_day(np.nanmean(recent, axis=1)),
        long,
        all_day(np.nanmean(long, axis=1)),
        mean(weeks),
    ]


def shifted(values: np.ndarray, days: int) -> np.ndarray:
    """The values of so many days earlier [days, ..]; NaN before the first."""
    made = np.full(values.shape, np.nan)
    made[days:] = values[: len(values) - days] if days else values
    return made
