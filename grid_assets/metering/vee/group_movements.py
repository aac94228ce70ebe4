"""How meters with generation behind them departed from their usual days together: the sun of the day, told by a sample of them.

The sample is a few fixed ranges of meter ids, so that the estimates do not depend on how a day is cut into shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.like_days import Movements, sizes

SAMPLE_RANGES, RANGE_METERS = 4, 320
"""A site of up to SAMPLE_RANGES * RANGE_METERS meters is its own sample; of a larger one so many ranges of so many ids."""
LEAST_MEMBERS = 8
"""So many meters of a group must be known at a time to speak of what all did."""


@dataclass(frozen=True)
class Departures:
    """Of the sampled meters that may follow a group: how far they were from their like-day means, in units of their sizes."""

    group: list[str]
    today: np.ndarray
    """(meters, intervals); NaN where not known."""
    past: list[np.ndarray]
    """The same of each like day, in the order of the history."""


@dataclass(frozen=True)
class GroupMovements:
    """What each group did, by name: (intervals,) of today, and of each like day."""

    today: dict[str, np.ndarray]
    past: dict[str, list[np.ndarray]]

    def on(self, grid: DayGrid) -> Movements | None:
        """The movements of the groups that the meters of ``grid`` belong to; None where there are none."""
        names = sorted(self.today)
        member = np.array([names.index(one) if one in self.today else -1 for one in groups_of(grid)], dtype=np.int64)
        if not (member >= 0).any():
            return None
        past = zip(*(self.past[name] for name in names), strict=True)
        return Movements(member, np.stack([self.today[name] for name in names]), [np.stack(one) for one in past])


def groups_of(grid: DayGrid) -> list[str]:
    """The name of each meter's group: net-metered loads by customer class, generation by class and whether it is PV; "" for others."""
    meters = grid.meters
    solar = grid.column("photovoltaic", False).to_numpy(dtype=bool)
    rows = zip(meters["kind"], meters["net_metered"].astype(bool), grid.column("customer_class", ""), solar, strict=True)
    kinds = {"load": "net-metered {}", "generation": "generation {}"}
    return [
        kinds[kind].format(name) + (" pv" if pv else "") if kind == "generation" or (kind == "load" and net) else ""
        for kind, net, name, pv in rows
    ]


def sample_ranges(meter_ids: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Ranges [lower, upper) of ids whose meters tell what all do, evenly spread over the sorted ids."""
    ids = sorted(set(meter_ids))
    if len(ids) <= SAMPLE_RANGES * RANGE_METERS:
        return [(None, None)]
    first = [len(ids) * n // SAMPLE_RANGES for n in range(SAMPLE_RANGES)]
    return [(ids[begin], ids[begin + RANGE_METERS] if begin + RANGE_METERS < len(ids) else None) for begin in first]


def departures(grid: DayGrid, valid: np.ndarray, past: Sequence[np.ndarray]) -> Departures:
    """What the sampled meters that may follow a group tell. ``valid``, ``past``: (meters, intervals) kWh, NaN where not known."""
    names = groups_of(grid)
    rows = np.array([n for n, name in enumerate(names) if name], dtype=np.int64)
    days = np.stack([day[rows] for day in past]) if past else np.empty((0, len(rows), grid.shape[1]))
    known = ~np.isnan(days)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = sizes(days)
        mean = np.where(known.all(axis=0), days.sum(axis=0, where=known) / known.sum(axis=0), np.nan)  # of other days, other departures
        told = size > 0
        scale = size[told, None]
        today, each = (valid[rows][told] - mean[told]) / scale, [(day[told] - mean[told]) / scale for day in days]
    return Departures([names[row] for row in rows[told]], today, each)


def movements_of(parts: Sequence[Departures]) -> GroupMovements:
    """The median departure of each group at each time, where at least LEAST_MEMBERS are known: an outage of some, or one whose
    size is nearly nothing, moves no median. The like days' are brought to a mean of zero, as each meter's own are.
    """
    today: dict[str, np.ndarray] = {}
    past: dict[str, list[np.ndarray]] = {}
    names = np.array([name for one in parts for name in one.group])
    for name in sorted(set(names.tolist())):
        rows = names == name
        moved = _median(np.concatenate([one.today for one in parts])[rows])
        if np.isnan(moved).all():
            continue
        each = [_median(np.concatenate([one.past[n] for one in parts])[rows]) for n in range(len(parts[0].past))]
        known = ~np.isnan(np.stack(each))
        mean = np.nan_to_num(np.stack(each)).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        today[name], past[name] = moved, [one - mean for one in each]
    return GroupMovements(today, past)


def _median(departed: np.ndarray) -> np.ndarray:
    enough = np.count_nonzero(~np.isnan(departed), axis=0) >= LEAST_MEMBERS
    made = np.full(departed.shape[1], np.nan)
    made[enough] = np.nanmedian(departed[:, enough], axis=0)
    return made
