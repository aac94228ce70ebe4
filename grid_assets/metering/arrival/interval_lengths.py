"""Whether a meter's readings have the site's interval: energy of another one would be taken for too much or too little."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

MINUTE = 60_000_000
HOUR = 60 * MINUTE
ENOUGH = 12
"""So many readings of a meter in a file tell its interval."""
STEADY = 0.8


def told_lengths(lengths_s: np.ndarray, interval: int) -> np.ndarray:
    """Whether each reading's own length (s; -1: not told) is another one than the site's (microseconds)."""
    return (lengths_s >= 0) & (lengths_s * 1_000_000 != interval)


def other_lengths(
    meter: np.ndarray, stamp: np.ndarray, instants: np.ndarray, slots: np.ndarray, off_grid: np.ndarray, interval: int
) -> dict[int, int]:
    """The meters whose readings stand another time apart than the site's interval -> that time in microseconds.

    ``meter`` and ``stamp``: codes of each reading. Of each stamp ``instants``: when it is, ``slots``: how many intervals after
    midnight, ``off_grid``: whether it lies between two. Longer: all readings lie on every second, third or fifth slot only;
    shorter: a third or more of them lie off the grid; and in both cases nearly all stand the same time apart.
    """
    if not len(meter):
        return {}
    count = np.bincount(meter)
    suspects = np.zeros(len(count), dtype=bool)
    if off_grid.any():
        suspects |= np.bincount(meter, weights=off_grid[stamp], minlength=len(count)) * 3 >= count
    for step in (one for one in (2, 3, 5) if HOUR % (interval * one) == 0 or one == 2):
        residues = np.bincount(meter * np.int32(step) + (slots % step).astype(np.int32)[stamp], minlength=len(count) * step)
        suspects |= residues.reshape(-1, step).max(axis=1) == count
    suspects &= count >= ENOUGH
    found = {}
    if suspects.any():
        rows = np.flatnonzero(suspects[meter])
        whose, read = meter[rows], instants[stamp[rows]]
        order = np.lexsort((read, whose))
        whose, read = whose[order], read[order]
        bounds = np.flatnonzero(np.diff(whose, prepend=-1, append=-1))
        for begin, end in pairwise(bounds.tolist()):
            usual = _usual_step(read[begin:end])
            if usual and usual != interval:
                found[int(whose[begin])] = usual
    return found


def _usual_step(instants: np.ndarray) -> int:
    """The time that stands between most sorted instants, 0 where there is no such; repeated instants count once."""
    steps = np.diff(np.unique(instants))
    if len(steps) < ENOUGH - 1:
        return 0
    values, counts = np.unique(steps, return_counts=True)
    best = int(np.argmax(counts))
    return int(values[best]) if counts[best] >= STEADY * len(steps) else 0


def shown_minutes(step: int) -> str:
    """A length for people: ``60 minutes``, ``30 s``."""
    return f"{step // MINUTE} minutes" if step % MINUTE == 0 else f"{step / 1e6:g} s"
