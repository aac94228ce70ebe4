"""Analysts' corrections and known outages, brought onto a day's matrix of meters and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from grid_assets.metering.vee.day_axes import DayGrid

REPLACE, REJECT, ACCEPT = 1, 2, 3
ACTIONS = {"replace": REPLACE, "reject": REJECT, "accept": ACCEPT}


class CorrectionError(ValueError):
    """A correction that cannot be followed: an unknown action, or a replacement without its energy."""


@dataclass
class Corrections:
    """The last correction of every corrected cell, an array element each, ordered by cell."""

    cell: np.ndarray
    """Place in the flat matrix."""
    action: np.ndarray
    kwh: np.ndarray
    source: np.ndarray
    """The correction's position in ``rows``."""
    rows: pd.DataFrame

    def of(self, action: int) -> np.ndarray:
        """Positions of the cells with this action."""
        return np.flatnonzero(self.action == action)


def corrections_on(grid: DayGrid, corrections: pd.DataFrame) -> Corrections:
    """Rows of CORRECTIONS on the day's matrix; of two corrections of an interval the one that was entered later counts.

    An interval belongs to a correction when it begins within it. Meters not in force are passed over: nothing of theirs is
    published. Raises CorrectionError for an unknown action or a replacement without energy.
    """
    rows = corrections.sort_values(["entered_utc", "correction_id"], kind="stable", ignore_index=True)
    at = pd.Index(grid.meters["meter_id"]).get_indexer(pd.Index(rows["meter_id"]))
    chosen = np.full(grid.shape, -1, dtype=np.int32)
    for n, (meter, start, end) in enumerate(zip(at, rows["start_utc"], rows["end_utc"], strict=True)):
        first, last = grid.starts.searchsorted(pd.Timestamp(start)), grid.starts.searchsorted(pd.Timestamp(end))
        if meter >= 0:
            chosen[meter, first:last] = n
    cell = np.flatnonzero(chosen.ravel() >= 0)
    source = chosen.ravel()[cell]
    action = rows["action"].map(ACTIONS)
    wrong = rows[action.isna() | ((action == REPLACE) & pd.to_numeric(rows["energy_kwh"]).isna())]
    if len(wrong):
        first_wrong = wrong.iloc[0]
        raise CorrectionError(
            f"correction {first_wrong['correction_id']}: action {first_wrong['action']!r} with energy {first_wrong['energy_kwh']}; "
            f"expected one of {', '.join(ACTIONS)}, and energy_kwh for replace"
        )
    kwh = pd.to_numeric(rows["energy_kwh"]).to_numpy(dtype=float)
    return Corrections(cell, action.to_numpy(dtype=np.int8)[source], kwh[source], source, rows)


@dataclass
class Supply:
    """Intervals without supply, (meters, intervals) bool each."""

    touched: np.ndarray
    """An outage touches them."""
    covered: np.ndarray
    """An outage covers them whole."""
    unended: np.ndarray
    """Covered by an outage of which no end is known: what is zero there may be none."""


def without_supply(grid: DayGrid, outages: pd.DataFrame, arrived: np.ndarray) -> Supply | None:
    """What outages touch and cover; None without outages.

    ``outages``: rows of OUTAGE_EVENTS, one of a node counts for all meters below. One without an end lasts for each meter until
    energy of it arrives (``arrived``: (meters, intervals) of kWh, NaN where nothing did), else to the day's end.
    """
    if not len(outages):
        return None
    touched, covered, unended = (np.zeros(grid.shape, dtype=bool) for _ in range(3))
    ids, length = pd.Index(grid.meters["meter_id"]), pd.Timedelta(hours=grid.hours)
    ends = grid.starts + length
    for one in outages.itertuples():
        start, open_end = pd.Timestamp(one.start_utc), pd.isna(one.end_utc)
        end = ends[-1] if open_end else pd.Timestamp(one.end_utc)
        meters = grid.meters_below(one.node_id) if isinstance(one.node_id, str) and one.node_id else np.zeros(len(ids), dtype=bool)
        if isinstance(one.meter_id, str) and one.meter_id in ids:
            meters = meters.copy()
            meters[ids.get_loc(one.meter_id)] = True
        rows = np.flatnonzero(meters)
        dark = np.ones((len(rows), len(ends)), dtype=bool)
        if open_end:
            back = (np.nan_to_num(arrived[rows]) != 0) & (grid.starts >= start)
            dark = ~np.maximum.accumulate(back, axis=1)
        whole = dark & ((grid.starts >= start) & (ends <= end))
        touched[rows] |= dark & ((grid.starts < end) & (ends > start))
        covered[rows] |= whole
        if open_end:
            unended[rows] |= whole
        else:
            unended[rows] &= ~whole
    return Supply(touched, covered, unended)
