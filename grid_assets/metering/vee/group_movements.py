"""What a sample of meters tells of a day: how those with generation behind them departed from their usual days together, the sun of
the day, and whether the system lost hours that single meters seem to lack.

The sample is a few fixed ranges of meter ids, so that the estimates do not depend on how a day is cut into shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grid_assets.metering.vee.clock_test import hours_lost
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.like_days import Movements, sizes

WHOLE_SITE = 1280
"""A site of up to so many meters is its own sample."""
GROUP_METERS, RANGE_METERS = 50, 640
"""Of a larger one two stretches of so many meters of every group, each over no more ids than that."""
LEAST_MEMBERS = 8
"""So many meters of a group must be known at a time to speak of what all did."""


@dataclass(frozen=True)
class SamplePart:
    """Of the sampled meters that may follow a group: how far they were from their like-day means, in units of their sizes."""

    group: list[str]
    today: np.ndarray
    """(meters, intervals); NaN where not known."""
    past: list[np.ndarray]
    """The same of each like day, in the order of the history."""
    lacking: int = 0
    """Of all sampled meters those that lack just the hours by which the site's clock is off UTC (clock_test)."""
    heard: int = 0
    """And those of which anything arrived."""


@dataclass(frozen=True)
class DaySample:
    """What a sample tells of the day: what each group did, by name, (intervals,) of today and of each like day."""

    today: dict[str, np.ndarray]
    past: dict[str, list[np.ndarray]]
    hours_lost: bool = False
    """Whether the system lost the hours that a meter on the wrong clock lacks."""

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


def sample_ranges(meters: pa.Table) -> list[tuple[str | None, str | None]]:
    """Ranges [lower, upper) of ids whose meters tell what all do, apart from each other.

    ``meters``: meter_id, kind, net_metered and customer_class. Of every group two stretches of GROUP_METERS of its meters in the order of
    ids, none over more than RANGE_METERS of all; where there is no group, two of all meters.
    """
    register = meters.to_pandas().drop_duplicates("meter_id").sort_values("meter_id", ignore_index=True)
    if len(register) <= WHOLE_SITE:
        return [(None, None)] if len(register) else []
    follows = register["net_metered"].to_numpy(dtype=bool) | (register["kind"] == "generation").to_numpy()
    groups = [part.index.to_numpy() for _, part in register[follows].groupby(["kind", "customer_class"], dropna=False)]
    stretches: list[tuple[int, int]] = []
    for places in groups or [np.arange(len(register))]:
        for first in (len(places) // 4, 3 * len(places) // 4):
            begin, last = int(places[first]), int(places[min(first + GROUP_METERS, len(places)) - 1])
            stretches.append((begin, min(last + 1, begin + RANGE_METERS)))
    ids = [*register["meter_id"], None]
    return [(ids[begin], ids[end]) for begin, end in _joined(sorted(stretches))]


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted stretches, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in stretches:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def departures(grid: DayGrid, valid: np.ndarray, past: Sequence[np.ndarray], lacking: int = 0, heard: int = 0) -> SamplePart:
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
    return SamplePart([names[row] for row in rows[told]], today, each, lacking, heard)


def day_sample(parts: Sequence[SamplePart]) -> DaySample:
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
    lost = hours_lost(sum(one.lacking for one in parts), sum(one.heard for one in parts))
    return DaySample(today, past, lost)


def _median(departed: np.ndarray) -> np.ndarray:
    enough = np.count_nonzero(~np.isnan(departed), axis=0) >= LEAST_MEMBERS
    made = np.full(departed.shape[1], np.nan)
    made[enough] = np.nanmedian(departed[:, enough], axis=0)
    return made
