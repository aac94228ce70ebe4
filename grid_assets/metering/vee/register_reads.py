"""Energy from register reads: differences of a counter's standings, with rollover and meter exchange, and the sum check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

TOTAL_RATIO = 10.0
"""Estimates are scaled to a known total by at most this factor, up or down; beyond it they say nothing of the shape."""
DECIMALS = 9
"""Differences are rounded so, that equal ones are equal."""


@dataclass
class Spans:
    """Stretches between two register reads of a meter in a row, an array element each, ordered by meter and time."""

    row: np.ndarray
    begin: np.ndarray
    """First interval; negative where the read before lies before the day's beginning."""
    end: np.ndarray
    """Interval after the last."""
    kwh: np.ndarray
    exchanged: np.ndarray
    """Whether the difference cannot be: another register was read."""
    resolution_kwh: np.ndarray

    @property
    def intervals(self) -> np.ndarray:
        return self.end - self.begin

    def too_much(self, limit_kwh: np.ndarray) -> np.ndarray:
        """Stretches of several intervals with more energy than the service carries, ``limit_kwh`` (meters,) an interval.

        Of a single interval the rating rule tells it; over several there is no such value to fail.
        """
        return (self.intervals > 1) & (np.abs(self.kwh) > limit_kwh[self.row] * self.intervals * (1 + 1e-9))


def spans_of(
    row: np.ndarray, column: np.ndarray, standing_kwh: np.ndarray, opening: pd.DataFrame, limit_kwh: np.ndarray, modulus_kwh: np.ndarray,
    either_way: np.ndarray,
) -> Spans:  # fmt: skip
    """The day's stretches between register reads.

    ``row``, ``column``, ``standing_kwh``: the meter, the interval that the read closes and the register's standing of every
    read; ``opening``: row, before, standing_kwh of the newest read before the day. Per meter: ``limit_kwh``, the most that an
    interval can hold, ``modulus_kwh``, where the register starts again, and ``either_way``, whether it may count backwards.
    """
    rows = np.concatenate([opening["row"].to_numpy(dtype=np.int64), row])
    edges = np.concatenate([-opening["before"].to_numpy(dtype=np.int64), column + 1])
    standing = np.concatenate([opening["standing_kwh"].to_numpy(dtype=float), standing_kwh])
    order = np.lexsort((edges, rows))
    rows, edges, standing = rows[order], edges[order], standing[order]
    pair = np.flatnonzero(rows[1:] == rows[:-1])
    meter, begin, end = rows[pair], edges[pair], edges[pair + 1]
    limit = limit_kwh[meter] * (end - begin) * (1 + 1e-9)
    kwh, exchanged = difference(standing[pair + 1] - standing[pair], limit, modulus_kwh[meter], either_way[meter])
    finest = np.maximum(_resolution(standing[pair]), _resolution(standing[pair + 1]))
    return Spans(meter, begin, end, np.round(kwh, DECIMALS), exchanged, finest)


def difference(change: np.ndarray, limit: np.ndarray, modulus: np.ndarray, either_way: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The energy between two standings of a register, kWh, and where it cannot be told because the register was exchanged.

    ``change``: later minus earlier standing; ``limit``: the most energy that the service can carry meanwhile. A step back is
    a rollover where the energy up to and from ``modulus`` is possible, else an exchange. A register that counts ``either_way``
    (a net meter's) may run back, and roll over backwards. Source: practice of meter data management, as in the register
    validation of meter data systems; the limit is the service rating's.
    """
    rolled = np.where(change < 0, change + modulus, change - modulus)
    possible = np.where(either_way, np.abs(change) <= limit, change >= 0)
    rollover = ~possible & np.where(either_way, np.abs(rolled) <= limit, (change < 0) & (rolled >= 0) & (rolled <= limit))
    return np.where(rollover, rolled, change), ~possible & ~rollover


def _resolution(standing: np.ndarray) -> np.ndarray:
    """The place of the last decimal of each standing, 1 for whole kWh; 0 where it is finer than a Wh."""
    made = np.zeros(len(standing))
    for step in (0.001, 0.01, 0.1, 1.0):
        scaled = standing / step
        made[np.abs(scaled - np.round(scaled)) < 1e-6] = step
    return made


def register_day(spans: Spans, meters: int, intervals: int) -> np.ndarray:
    """Energy of the day by each meter's register; NaN unless its reads tell the whole day from edge to edge."""
    inside = (spans.begin >= 0) & ~spans.exchanged
    row = spans.row[inside]
    covered = np.bincount(row, weights=spans.intervals[inside], minlength=meters)
    kwh = np.bincount(row, weights=spans.kwh[inside], minlength=meters)
    return np.where(covered == intervals, kwh, np.nan)


def register_mismatch(valid: np.ndarray, register_kwh: np.ndarray, tolerance_pct: float, resolution_kwh: np.ndarray) -> np.ndarray:
    """Days whose intervals do not sum to their register's difference, within ``tolerance_pct`` of it and its resolution.

    ``valid``: (meters, intervals) of kWh, NaN where not valid; a day with such a gap is not judged. Source: the sum check
    of California's VEE standard.
    """
    found = np.zeros(len(valid), dtype=bool)
    rows = np.flatnonzero(~np.isnan(register_kwh))
    apart = np.abs(valid[rows].sum(axis=1) - register_kwh[rows])  # NaN for a gap: not more than any bound
    with np.errstate(invalid="ignore"):
        found[rows] = apart > tolerance_pct / 100.0 * np.abs(register_kwh[rows]) + resolution_kwh[rows] + 1e-9
    return found


def to_totals(
    energy: np.ndarray, error: np.ndarray, known: np.ndarray, spans: Spans, even_up_to: int, either_way: np.ndarray, limit_kwh: np.ndarray
) -> np.ndarray:
    """Brings the estimates between two register reads to the total that the register tells; changes ``energy`` and ``error``.

    ``known`` cells are not touched. What is left of the total after them goes to the others: evenly where they are at most
    ``even_up_to`` intervals (a straight line of the register's standing), else in the shape of the estimates, scaled; evenly
    again where the scaling is not safe, and for a meter that counts ``either_way`` the difference is added instead: its
    estimates may sum to nearly nothing. A total that would take an interval over ``limit_kwh`` (meters,), the most that it can
    hold, is not followed. Returns how many cells share evenly
    with each cell that was made so, 0 elsewhere. Source: the linear and the profile
    estimation between two register reads of Oracle Utilities Meter Data Management, in outline; the bounds are ours.
    """
    even = np.zeros(energy.shape, dtype=np.int32)
    for span in np.flatnonzero(~spans.exchanged & _with_gaps(known, spans)):
        row, begin, end = spans.row[span], spans.begin[span], spans.end[span]
        ahead = max(0, -int(begin))
        own = slice(max(0, int(begin)), int(end))
        gaps = np.flatnonzero(~known[row, own]) + own.start
        if not len(gaps) or (ahead and len(gaps) + ahead > max(even_up_to, 1)):
            continue  # how much of the total was before midnight cannot be told
        rest = spans.kwh[span] - energy[row, own][known[row, own]].sum()
        if rest < -max(spans.resolution_kwh[span], 1e-9) and not either_way[row]:
            continue  # the intervals say more than the register: it is flagged, not followed
        shape, size = energy[row, gaps], len(gaps) + ahead
        if abs(rest) > limit_kwh[row] * size * (1 + 1e-9):
            continue  # no service carries it
        spread = _spread(shape, rest if either_way[row] else max(rest, 0.0), size, size <= even_up_to, bool(either_way[row]))
        if spread is not None and (np.abs(spread) > limit_kwh[row]).any():
            spread = None  # in this shape an interval would hold more than it can
        if spread is None:
            even[row, gaps] = size
            energy[row, gaps] = (rest if either_way[row] else max(rest, 0.0)) / size
            error[row, gaps] = _even_error(shape, energy[row, gaps], error[row, gaps])
        else:
            energy[row, gaps] = spread
            error[row, gaps] *= np.sqrt(1.0 - 1.0 / size) if size > 1 else 0.0  # the sum is known: one freedom less
        if size == 1:
            error[row, gaps] = spans.resolution_kwh[span] / np.sqrt(12.0)
    return even


def told_again(spans: Spans, refused_kwh: np.ndarray, rejected: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Stretches that only tell again what was refused: an estimate from them would be the refused value.

    ``refused_kwh``: (meters, intervals), what arrived and was refused, NaN elsewhere; ``rejected``: cells that an analyst
    refused and that only registers tell; ``missing``: cells without a valid value.
    """
    intervals = refused_kwh.shape[1]
    closing = spans.row * intervals + spans.end - 1
    with np.errstate(invalid="ignore"):
        same = np.abs(refused_kwh.ravel()[closing] - spans.kwh) <= spans.resolution_kwh + 1e-9
    found = same & (spans.intervals == 1)
    if rejected.any():
        found |= _with_gaps(~rejected, spans) & ~_with_gaps(rejected | ~missing, spans)
    return found


def without_energy(silent: np.ndarray, kwh: np.ndarray, spans: Spans, limit_kwh: np.ndarray) -> np.ndarray:
    """The ``silent`` cells of an outage that no register contradicts: where more flowed between two reads than the other cells
    without a value (NaN in ``kwh``) can hold, ``limit_kwh`` (meters,) each, the silent ones take their share.
    """
    believed = silent.copy()
    inside = ~spans.exchanged & (spans.begin >= 0)
    for span in np.flatnonzero(inside & _with_gaps(~silent, spans)):
        row, own = spans.row[span], slice(int(spans.begin[span]), int(spans.end[span]))
        rest = spans.kwh[span] - np.nansum(kwh[row, own])
        others = np.count_nonzero(np.isnan(kwh[row, own]) & ~silent[row, own])
        most = limit_kwh[row] * others * (1 + 1e-9) if others else max(spans.resolution_kwh[span], 1e-9)
        if abs(rest) > most:
            believed[row, own] = False
    return believed


def _with_gaps(known: np.ndarray, spans: Spans) -> np.ndarray:
    """Which stretches hold a cell that is not known."""
    rows, at = np.unique(spans.row, return_inverse=True)
    before = np.concatenate([np.zeros((len(rows), 1), dtype=np.int64), np.cumsum(~known[rows], axis=1)], axis=1)
    return before[at, spans.end] > before[at, np.maximum(spans.begin, 0)]


def _spread(shape: np.ndarray, total: float, size: int, short: bool, either_way: bool) -> np.ndarray | None:
    """``total`` in the shape of the estimates; None where it has to be even."""
    if short or size != len(shape) or np.isnan(shape).any():
        return None
    if either_way:
        return shape + (total - shape.sum()) / size
    known = shape.sum()
    if known <= 0 or (shape < 0).any() or not known / TOTAL_RATIO <= total <= known * TOTAL_RATIO:
        return None
    return shape * (total / known)


def _even_error(shape: np.ndarray, made: np.ndarray, error: np.ndarray) -> np.ndarray:
    """An even share is wrong by what the curve does within the stretch; where nothing tells it, by half of its size."""
    return np.where(np.isnan(error), 0.5 * np.abs(made), error)
