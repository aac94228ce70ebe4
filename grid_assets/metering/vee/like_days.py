"""Estimates from like days: what the meter usually uses at that time, moved by what is known of the day itself.

A mean of three days is a rough guide: a kettle in one of them stays in it, the sun of today is in none. So the mean is smoothed
as far as it is chance, meters with generation behind them follow what the others of their kind did today, and the day's other
readings are heard, those beside the gap most. No net meter is scaled: its mean is near zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MINIMUM_OVERLAP = 1 / 8
"""Share of the day's intervals that must be valid before an estimate is judged, or a class profile scaled, by them."""
NEAR_HOURS = 1.0
"""The spread of like days at a time of day is taken from the times this far around it; the mean is smoothed as far."""
UNHEARD_OF = 1e6
"""So many times the expected squared errors say that the like days expected none."""
OWN_SHARE = 2 / 3
"""How far a meter's own like days decide how strongly it moves with its group; the rest is that it moves as the group does."""
DAY_SHARE = 0.6
"""How far the day's own readings, all of them known, decide its level; the rest is that the day is as usual."""
EDGE_SHARE, EDGE_HOURS = 0.5, 1.5
"""This part of what the readings beside a gap depart from the estimate goes on into it, and fades so fast: measured on Zonnedael
and EDRP, docs/metering.md."""


@dataclass(frozen=True)
class Movements:
    """How groups of meters departed from their own like-day means, in units of each meter's size (``sizes``)."""

    member: np.ndarray
    """(meters,): the row of a meter's group; -1: it follows none."""
    today: np.ndarray
    """(groups, intervals): on the day; NaN where unknown."""
    past: Sequence[np.ndarray]
    """The same of each like day, in the order of the history."""

    def of(self, rows: np.ndarray) -> Movements:
        return Movements(self.member[rows], self.today, self.past)


def like_days(
    kwh: np.ndarray, history: Sequence[np.ndarray], near: int, movements: Movements | None = None, one_way: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The usual energy of the same time of day on like days, moved by what is known of today, and its standard error; NaN where
    no like day is known. (meters, intervals) each, kWh.

    ``kwh``: the day, NaN where not valid; ``history``: like days in the same shape; ``near``: intervals in NEAR_HOURS;
    ``one_way`` (meters,): whether energy flows one way only, so that the level of the day is a factor; of others, of all where it
    is None, it is added.
    Sources: the mean of three like days is ERCOT's matrix of estimation practice; how far it is smoothed is the positive-part
    estimator of James and Stein (1961), between the mean and its moving average; the rest is ours, measured in docs/metering.md.
    Neither the day's level nor the readings beside a gap move an estimate by more than the usual spread.
    The error of a mean of n days as a forecast of another is s * sqrt(1 + 1/n), s their spread around that time; where the
    day has enough valid values it is brought to what the same estimate misses there, so that an unusual day says so. Of a single
    like day and an empty day it is the spread over the day's hours.
    """
    days = np.stack(history)
    known = ~np.isnan(days)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, days.sum(axis=0, where=known) / count, np.nan)
        departures = days - mean
        moved = np.zeros(kwh.shape)
        if movements is not None:
            moved = _follow(departures, sizes(days), movements)
        squares = np.where(count > 1, (departures**2).sum(axis=0, where=known), 0.0)
        freedom = np.where(count > 1, count - 1.0, 0.0)
        variance = around(squares, near) / around(freedom, near)
        smoothed, window = _smoothed(mean, near)
        chance = (variance / count * (1.0 - 1.0 / window)).sum(axis=1, where=~np.isnan(variance) & (count > 0))
        apart = ((smoothed - mean) ** 2).sum(axis=1, where=count > 0)
        share = np.where(apart > 0, np.minimum(chance / apart, 1.0), 0.0)[:, None]
        made = mean + share * (smoothed - mean) + moved
        spread = np.sqrt(np.nan_to_num(variance))
        level = _level_of_day(kwh - made, made, np.zeros(len(kwh), dtype=bool) if one_way is None else one_way)
        made += np.clip(level, -spread, spread)
        expected = variance * (1.0 + (1.0 - share) / count + share / (count * window))
    error = np.sqrt(_as_missed_today(kwh, made, expected))
    return made + _from_the_edges(kwh - made, spread, near), error


def sizes(days: np.ndarray) -> np.ndarray:
    """(meters,): the root mean square of each meter's known values on its like days, (days, meters, intervals)."""
    known = ~np.isnan(days)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((days**2).sum(axis=2, where=known).sum(axis=0) / known.sum(axis=(0, 2)))  # in one order for any number of meters


def _follow(departures: np.ndarray, size: np.ndarray, movements: Movements) -> np.ndarray:
    """What today's movement of its group means for each meter, kWh; the group's part is taken off the ``departures``.

    How strongly a meter moves with its group is the slope of its departures over the group's on the like days, drawn
    towards 1: a ridge regression. A meter that knows only some of the like days departs from their mean, so the group's movements
    are taken from their mean over the same days.
    """
    rows = np.flatnonzero((movements.member >= 0) & (size > 0))
    group, scale = movements.member[rows], size[rows, None]
    known = [~np.isnan(own[rows]) for own in departures]
    theirs = [np.nan_to_num(one)[group] for one in movements.past]
    total = sum((one**2).sum(axis=1) for one in theirs)
    usual = sum(one * there for one, there in zip(theirs, known, strict=True)) / np.maximum(sum(known), 1)
    theirs = [(one - usual) * there for one, there in zip(theirs, known, strict=True)]
    along = sum((np.nan_to_num(own[rows]) / scale * one).sum(axis=1) for own, one in zip(departures, theirs, strict=True))
    told = sum((one**2).sum(axis=1) for one in theirs)
    rest = (1.0 - OWN_SHARE) / OWN_SHARE * total
    slope = np.where(told + rest > 0, (along + rest) / (told + rest), 1.0)[:, None]
    for own, one in zip(departures, theirs, strict=True):
        own[rows] -= slope * scale * one
    moved = np.zeros(departures.shape[1:])
    today = movements.today[group]
    moved[rows] = slope * scale * np.where(np.isnan(today), 0.0, today - usual)
    return moved


def _smoothed(mean: np.ndarray, near: int) -> tuple[np.ndarray, np.ndarray]:
    """The moving average over ``near`` intervals on both sides, and of how many values it is.

    At the day's edges it is of fewer, as many on either side: the average of one side of a slope is no value of its middle.
    """
    at = np.arange(mean.shape[1])
    reach = np.minimum(near, np.minimum(at, at[::-1]))
    window = _sums(~np.isnan(mean), at - reach, at + reach + 1)
    return _sums(np.nan_to_num(mean), at - reach, at + reach + 1) / window, window


def _level_of_day(residual: np.ndarray, made: np.ndarray, one_way: np.ndarray) -> np.ndarray:
    """What all known readings of the day say of its level: a factor of the estimate where energy flows one way, else a constant.

    The slope of the ``residual`` over the estimate (over 1), drawn towards nothing the more of the day is unknown: a ridge
    regression. A net meter's estimate crosses zero, so it is never scaled.
    """
    shape = np.where(one_way[:, None], made, 1.0)
    known = ~np.isnan(residual)
    told = (residual * shape).sum(axis=1, where=known)
    weight = (shape**2).sum(axis=1, where=known)
    prior = (1.0 - DAY_SHARE) / DAY_SHARE * (shape**2).sum(axis=1, where=~np.isnan(made))
    slope = np.where(weight + prior > 0, told / (weight + prior), 0.0)
    return np.maximum(slope, np.where(one_way, -1.0, -np.inf))[:, None] * shape


def _from_the_edges(residual: np.ndarray, spread: np.ndarray, near: int) -> np.ndarray:
    """What the hour before and the hour after a gap departed from the estimate, fading into it; never more than ``spread``.

    ``residual``: valid values less their estimates, NaN in the gap; what meters depart by goes on for a while.
    """
    known = ~np.isnan(residual)
    columns = residual.shape[1]
    at = np.arange(columns)
    before = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, at, columns)[:, ::-1], axis=1)[:, ::-1]
    sums = np.concatenate([np.zeros((len(residual), 1)), np.cumsum(np.nan_to_num(residual), axis=1)], axis=1)
    counts = np.concatenate([np.zeros((len(residual), 1)), np.cumsum(known, axis=1)], axis=1)
    fade, found = EDGE_HOURS / NEAR_HOURS * near, np.zeros(residual.shape)
    for first, last, distance in ((before + 1 - near, before + 1, at - before), (after, after + near, after - at)):
        first, last = np.clip(first, 0, columns), np.clip(last, 0, columns)
        count = np.take_along_axis(counts, last, axis=1) - np.take_along_axis(counts, first, axis=1)
        total = np.take_along_axis(sums, last, axis=1) - np.take_along_axis(sums, first, axis=1)
        found += np.where(count > 0, total / np.maximum(count, 1), 0.0) * np.exp(-distance / fade)
    return np.clip(EDGE_SHARE * found, -spread, spread)


def around(values: np.ndarray, near: int) -> np.ndarray:
    """Sums over the ``near`` columns before and after each and itself; fewer at the edges."""
    at = np.arange(values.shape[1])
    return _sums(values, np.maximum(at - near, 0), np.minimum(at + near + 1, values.shape[1]))


def _sums(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Sums over the columns from ``first`` to before ``stop``, (columns,) each."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1, dtype=float)], axis=1)
    return sums[:, stop] - sums[:, first]


def _as_missed_today(kwh: np.ndarray, made: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The expected squared errors, brought to those that the day's valid values show; (meters, intervals).

    Where like days that never differ expect nothing and the day shows something, what it shows holds for all of it.
    """
    columns = kwh.shape[1]
    missed = (kwh - made) ** 2
    both = ~np.isnan(missed) & ~np.isnan(expected)
    seen = ~np.isnan(missed)
    enough = max(columns * MINIMUM_OVERLAP, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = expected.sum(axis=1, where=both)
        factor = missed.sum(axis=1, where=both) / wanted
        factor = np.where((both.sum(axis=1) >= enough) & (wanted > 0), factor, 1.0)
        plain = missed.sum(axis=1, where=seen) / seen.sum(axis=1)
        plain = np.where(seen.sum(axis=1) >= enough, plain, np.nanvar(np.where(np.isnan(made), 0.0, made), axis=1))
        unheard_of = (seen.sum(axis=1) >= enough) & (missed.sum(axis=1, where=both) > UNHEARD_OF * wanted)
    return np.where(np.isnan(expected) | unheard_of[:, None], plain[:, None], expected * factor[:, None])
