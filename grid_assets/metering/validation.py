"""Validation rules: each a function over a day's matrix of arrived energy, telling which values fail.

Matrices are (meters, intervals) of kWh; NaN where nothing arrived. A rule never marks a NaN. The rules and their
defaults follow the practice of meter data management; the sources are named at each rule.
"""

from __future__ import annotations

import numpy as np

RULES = ("negative", "above_rating", "spike", "stuck", "near_zero")
"""The order in which failures are told; ``not_in_force`` is found before, when the matrix is filled."""


def negative(kwh: np.ndarray, net_metered: np.ndarray) -> np.ndarray:
    """Energy below zero where nothing behind the meter can feed in.

    ``net_metered`` (meters,): bool. Source: reason code 3.5.259 (reasonability) of IEC 61968-9.
    """
    return (kwh < 0) & ~net_metered[:, None]


def above_rating(kwh: np.ndarray, rating_kw: np.ndarray, interval_hours: float) -> np.ndarray:
    """More energy, in either direction, than the service can carry: rating_kw (meters,) times the interval's length.

    Source: the demand limit check of Itron IEE; a unit sent wrongly (Wh as kWh) is found here too.
    """
    return np.abs(kwh) > rating_kw[:, None] * interval_hours * (1 + 1e-9)


def spike(kwh: np.ndarray, ratio: float, rating_kw: np.ndarray, interval_hours: float, floor_share: float = 0.5) -> np.ndarray:
    """The day's highest value where it is more than ``ratio`` times the third-highest and over half of the rating.

    Source: the interval spike check of Oracle Utilities Meter Data Management (highest against third-highest); the
    threshold of 180 % is California's VEE standard. The floor is ours: one hour of cooking in an empty house is more
    than 180 % of its third-highest interval, and no fault.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    if kwh.shape[1] < 3 or not len(kwh):
        return found
    known = np.where(np.isnan(kwh), -np.inf, kwh)
    top = np.sort(known, axis=1)[:, -3:]
    third, first = top[:, 0], top[:, 2]
    wrong = np.isfinite(third) & (first > 0) & (first > ratio * np.maximum(third, 0)) & (first > floor_share * rating_kw * interval_hours)
    rows = np.flatnonzero(wrong)
    found[rows, known[rows].argmax(axis=1)] = True
    return found


def stuck(kwh: np.ndarray, intervals: int) -> np.ndarray:
    """Runs of at least ``intervals`` equal values that are not zero.

    Source: practice of meter data teams; runs of zero are an outage or an empty house (ERCOT's matrix counts zero as
    valid with an outage flag) and are left alone.
    """
    same = np.zeros(kwh.shape, dtype=bool)
    same[:, 1:] = (kwh[:, 1:] == kwh[:, :-1]) & (kwh[:, 1:] != 0)
    # a run of n equal values has n-1 marks in a row; give its first value one too
    marked = same.copy()
    marked[:, :-1] |= same[:, 1:]
    starts = marked & ~same
    return _long_runs(marked, starts, intervals)


def near_zero(kwh: np.ndarray, usual_kwh: np.ndarray, share: float, intervals: int, is_load: np.ndarray) -> np.ndarray:
    """Runs of at least ``intervals`` values of a load under ``share`` of its usual mean, ``usual_kwh`` (meters,).

    A feeder or substation never rests: such a run is a switched measurement or a dead transducer, as in Western
    Power Distribution's Plymouth data on 8 and 9 May 2018. Off for share = 0 and where the usual mean is unknown (NaN).
    """
    low = np.zeros(kwh.shape, dtype=bool)
    if share > 0:
        with np.errstate(invalid="ignore"):
            low = (kwh < share * usual_kwh[:, None]) & (usual_kwh[:, None] > 0) & is_load[:, None]
    return _long_runs(low, None, intervals)


def _long_runs(marked: np.ndarray, starts: np.ndarray | None, intervals: int) -> np.ndarray:
    """The marks that belong to runs of at least ``intervals``; a mark in ``starts`` begins a new run."""
    rows, columns = marked.shape
    begin = marked.copy()
    begin[:, 1:] &= ~marked[:, :-1] if starts is None else (~marked[:, :-1] | starts[:, 1:])
    run = np.cumsum(begin.ravel()) * marked.ravel()
    lengths = np.bincount(run, minlength=1)
    lengths[0] = 0
    return (lengths[run] >= intervals).reshape(rows, columns)


def longest_run(marked: np.ndarray) -> np.ndarray:
    """The length of the longest run of marks in each row."""
    longest = np.zeros(marked.shape[0], dtype=np.int64)
    running = np.zeros(marked.shape[0], dtype=np.int64)
    for column in marked.T:
        running = np.where(column, running + 1, 0)
        longest = np.maximum(longest, running)
    return longest
