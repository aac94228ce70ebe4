"""The hour that the autumn change repeats, on clocks that tell no offset: which of the two each reading means, from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

HOUR = 3_600_000_000
NEAR = 3 * HOUR
FIRST, SECOND, UNDECIDED = 0, 1, 2
IRREGULAR = 2
"""What a step counts that is not of the usual length; one to the same time with the same value, a row sent twice, counts nothing."""
NEVER = 1_000_000


@dataclass(frozen=True)
class NearStamps:
    """The distinct stamps around one autumn change. All arrays have one entry per stamp of the file; times in microseconds."""

    near: np.ndarray
    """Whether the stamp lies within a few hours of the repeated hour."""
    wall: np.ndarray
    """Time on the clock's face."""
    first: np.ndarray
    second: np.ndarray
    """UTC instants; equal but for stamps of the repeated hour."""
    may_be_second: np.ndarray
    """Whether the second meaning had come to pass when the file arrived."""


def meanings_of_repeated(stamps: NearStamps, series: np.ndarray, codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose stamp is of the repeated hour, and FIRST, SECOND or UNDECIDED of each.

    ``series`` (whose reading), ``codes`` (its stamp) and ``values`` have one entry per row, in the order of the file. Of all
    ways to read a series' stamps the one with the fewest irregular steps counts, up or down in time; where several are
    equally good and differ, the row is undecided, and so is every row of a series in no order of time.
    """
    rows = np.flatnonzero(stamps.near[codes])
    rows = rows[np.argsort(series[rows], kind="stable")]
    code = codes[rows].astype(np.int32)
    begins = np.flatnonzero(np.diff(series[rows], prepend=series[rows][:1] - 1)) if len(rows) else np.zeros(0, dtype=np.int64)
    again = np.zeros(len(rows), dtype=np.int32)
    again[1:] = (code[1:] == code[:-1]) & (values[rows][1:] == values[rows][:-1])
    again[begins] = 0
    shape = np.stack([code, again], axis=1)  # meters are read alike: each way of being read is judged once
    decided, meaning = {}, np.empty(len(rows), dtype=np.int8)
    for begin, end in pairwise([*begins.tolist(), len(rows)]):
        key = shape[begin:end].tobytes()
        if key not in decided:
            decided[key] = _decide(stamps, code[begin:end], again[begin:end])
        meaning[begin:end] = decided[key]
    repeated = stamps.first[code] != stamps.second[code]
    return rows[repeated], meaning[repeated]


def _decide(stamps: NearStamps, code: np.ndarray, again: np.ndarray) -> np.ndarray:
    """The meaning of every row of one series."""
    repeated = stamps.first[code] != stamps.second[code]
    if not repeated.any():
        return np.zeros(len(code), dtype=np.int8)
    steps = np.abs(np.diff(stamps.wall[code]))
    lengths, counts = np.unique(steps[steps > 0], return_counts=True)
    usual = int(lengths[counts.argmax()]) if len(lengths) else 0
    instants = np.stack([stamps.first[code], stamps.second[code]], axis=1)
    allowed = np.stack([np.ones(len(code), dtype=bool), repeated & stamps.may_be_second[code]], axis=1)
    costs = np.minimum(*(_costs(instants, allowed, again, step) for step in (usual, -usual)))
    best = costs.min()
    if best > IRREGULAR * max(1.0, len(steps) / 3) and allowed[:, 1].any():
        return np.where(allowed[:, 1], UNDECIDED, FIRST).astype(np.int8)
    return np.where((costs == best).all(axis=1), UNDECIDED, costs.argmin(axis=1)).astype(np.int8)


def _costs(instants: np.ndarray, allowed: np.ndarray, again: np.ndarray, usual: int) -> np.ndarray:
    """Of every row (rows x meanings) what the best reading of the whole series costs in which the row has that meaning."""
    there = np.where(allowed, 0, NEVER)
    back = there.copy()
    between = [_step(instants[i - 1], instants[i], bool(again[i]), usual) for i in range(1, len(instants))]
    for i, step in enumerate(between, 1):
        there[i] += (there[i - 1][:, None] + step).min(axis=0)
    for i in range(len(between) - 1, -1, -1):
        back[i] += (between[i] + back[i + 1][None, :]).min(axis=1)
    return there + back


def _step(before: np.ndarray, after: np.ndarray, again: bool, usual: int) -> np.ndarray:
    """What going from each meaning of a row to each of the next costs."""
    length = after[None, :] - before[:, None]
    regular = (length == usual) & (usual != 0)
    return np.where(regular | ((length == 0) & again), 0, IRREGULAR)
