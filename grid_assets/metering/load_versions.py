"""How each node's load became known: as rows arrive, resend and correct, so that a forecast or its back-test can look at a day as it
stood at any instant.

Estimates of gaps are not among what is known: they were made from all that ever arrived. What lacks is stood in for by the usual
energy of the meters that lack (a ratio estimate, Cochran 1977, chapter 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import NODES
from grid_assets.foundation.site import Site
from grid_assets.metering.quality.aggregation import Tree
from grid_assets.metering.shards import CODED, landed_part, shard_grid, tasks_of
from grid_assets.metering.tables import EDITED_READINGS, METER_DAYS, NODE_LOAD_VERSIONS, RAW_READINGS, READING_VERSIONS, READINGS
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.history import past_matrix
from grid_assets.metering.vee.meter_limits import bounds_kwh
from grid_assets.metering.vee.newest_arrivals import microseconds, place

LEAST_WEIGHT = 1e-3
"""Of the mean usual energy: a meter that usually uses nothing still counts a little."""
SCALED, SCALE_TOLERANCE = 1e-3, 0.02
"""A published value that is a thousandth of the arrived one was sent in Wh; so was what it replaced."""


@dataclass(frozen=True)
class Changes:
    """What each arrival changed, an array element each."""

    cell: np.ndarray
    """Place in the flat matrix of meters and intervals."""
    known: np.ndarray
    """When, in microseconds since 1970."""
    kwh: np.ndarray
    meters: np.ndarray
    """1: the cell became known; 0: its value changed; -1: it was refused."""


@dataclass(frozen=True)
class Corrected:
    """Cells that an analyst corrected: when, and the value that had arrived before (NaN: none)."""

    cell: np.ndarray
    entered: np.ndarray
    replaced_kwh: np.ndarray


NO_CORRECTIONS = Corrected(np.empty(0, int), np.empty(0, int), np.empty(0))


def changes(grid: DayGrid, raw: pa.Table, valid_kwh: np.ndarray | None, corrected: Corrected = NO_CORRECTIONS) -> Changes:
    """Every change of what was known of the meters' energy.

    ``raw``: RAW_READINGS of these meters. ``valid_kwh`` [meters, intervals]: the published measured and edited values, NaN
    elsewhere, so that a refused value never counts; None where nobody has validated yet: what lies within the service's
    rating counts. A value that a later resend replaced counts until then, within the rating. Raises UnitError.
    """
    arrivals = place(grid, raw)
    cells, low, high = grid.shape[0] * grid.shape[1], *(np.repeat(one, grid.shape[1]) for one in bounds_kwh(grid))
    by_interval = np.zeros(cells, bool)
    by_interval[arrivals.cell[arrivals.placed & ~arrivals.is_register]] = True
    kept = np.flatnonzero(arrivals.placed)
    kept = kept[~(arrivals.is_register[kept] & by_interval[arrivals.cell[kept]])]
    cell, known, kwh = arrivals.cell[kept], microseconds(raw["received_utc"])[kept], arrivals.kwh[kept]
    if len(cell) and not ((cell[1:] > cell[:-1]) | ((cell[1:] == cell[:-1]) & (known[1:] >= known[:-1]))).all():
        order = np.lexsort((arrivals.newest[kept], known, cell))
        cell, known, kwh, kept = cell[order], known[order], kwh[order], kept[order]
    newest = np.append(cell[1:] != cell[:-1], True) if len(cell) else np.empty(0, bool)
    final = None if valid_kwh is None else _before_corrections(valid_kwh, corrected)
    value = np.where((kwh >= low[cell]) & (kwh <= high[cell]), kwh, np.nan)
    value[arrivals.is_register[kept]] = np.nan  # a standing is no energy; what it comes to is known when it is validated
    if final is not None:
        scale = _scale(final, cell[newest], kwh[newest], cells)[cell]
        shrunk = kwh * scale
        value = np.where((scale != 1.0) & (shrunk >= low[cell]) & (shrunk <= high[cell]), shrunk, value)
        value[newest] = final[cell[newest]]
    before = np.append(np.nan, value[:-1])
    before[np.append(True, newest[:-1])[: len(before)]] = np.nan
    made = Changes(cell, known, *_difference(before[: len(value)], value))
    return _with_corrections(made, valid_kwh, final, corrected) if len(corrected.cell) else made


def _difference(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nan_to_num(after) - np.nan_to_num(before), np.isfinite(after).astype(int) - np.isfinite(before).astype(int)


def _before_corrections(valid_kwh: np.ndarray, corrected: Corrected) -> np.ndarray:
    final = valid_kwh.ravel().copy()
    final[corrected.cell] = corrected.replaced_kwh
    return final


def _scale(final: np.ndarray, cell: np.ndarray, kwh: np.ndarray, cells: int) -> np.ndarray:
    """By what each cell's arrived values are multiplied: a thousandth where the newest was sent in Wh unsaid."""
    made = np.ones(cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        made[cell[np.abs(final[cell] / kwh / SCALED - 1.0) < SCALE_TOLERANCE]] = SCALED
    return made


def _with_corrections(arrived: Changes, valid_kwh: np.ndarray | None, before: np.ndarray | None, corrected: Corrected) -> Changes:
    """Adds each correction from when it was entered, or from the last arrival of its cell where that came later."""
    if valid_kwh is None or before is None:
        raise ValueError("corrections need the published values")
    cell, entered = corrected.cell, corrected.entered
    last = np.full(valid_kwh.size, np.iinfo(np.int64).min)
    np.maximum.at(last, arrived.cell, arrived.known)
    never = last[cell] == np.iinfo(np.int64).min  # what was replaced without having arrived was no knowledge
    kwh, meters = _difference(np.where(never, np.nan, before[cell]), valid_kwh.ravel()[cell])
    parts = (arrived.cell, cell), (arrived.known, np.maximum(entered, last[cell])), (arrived.kwh, kwh), (arrived.meters, meters)
    return Changes(*(np.concatenate(one) for one in parts))


class NodeChanges:
    """Changes of a day gathered per node, interval and instant, taken up shard by shard."""

    def __init__(self, nodes: pd.DataFrame, starts: pd.DatetimeIndex, interval: pd.Timedelta):
        self.nodes, self.starts = nodes, starts
        self._tree, self._step = Tree(nodes), interval.value // 1000
        self._weight = np.zeros(len(nodes))
        self._parts: list[pd.DataFrame] = []

    def add(self, grid: DayGrid, found: Changes, usual_kwh: np.ndarray) -> None:
        """``usual_kwh`` (meters,): the energy of a usual day of each, above 0; each meter must come once."""
        at = self._tree.positions(grid.meters["node_id"])
        load = (grid.meters["kind"] == "load").to_numpy() & (at >= 0)
        np.add.at(self._weight, at[load], usual_kwh[load])
        row, slot = np.divmod(found.cell, max(grid.shape[1], 1))
        changed = load[row] & ((found.kwh != 0) | (found.meters != 0))
        known = -(-found.known[changed] // self._step) * self._step
        rows = pd.DataFrame(
            {
                "node": at[row[changed]], "slot": slot[changed], "known": known, "kwh": found.kwh[changed],
                "weight": found.meters[changed] * usual_kwh[row[changed]],
            }
        )  # fmt: skip
        self._parts.append(rows.groupby(["node", "slot", "known"], sort=True, as_index=False).sum())

    def versions(self) -> pd.DataFrame:
        """Rows of NODE_LOAD_VERSIONS. A node without load meters lacks none: it is known, as 0, with the day's first arrival."""
        rows = (
            pd.concat(self._parts, ignore_index=True) if self._parts else pd.DataFrame(columns=["node", "slot", "known", "kwh", "weight"])
        )
        if rows.empty:
            return NODE_LOAD_VERSIONS.empty().to_pandas()
        moments = rows[["slot", "known"]].drop_duplicates().sort_values(["slot", "known"], ignore_index=True)
        column = pd.MultiIndex.from_frame(moments).get_indexer(pd.MultiIndex.from_frame(rows[["slot", "known"]]))
        place = rows["node"].to_numpy(int) * len(moments) + column
        shape, size = (len(self.nodes), len(moments)), len(self.nodes) * len(moments)
        touched, kwh, weight = (
            self._tree.summed(np.bincount(place, values, size).reshape(shape))
            for values in (np.ones(len(rows)), rows["kwh"].to_numpy(float), rows["weight"].to_numpy(float))
        )
        empty = self._tree.summed(self._weight) == 0
        slot, known = moments["slot"].to_numpy(int), moments["known"].to_numpy("int64")
        first = np.append(True, slot[1:] != slot[:-1])
        touched[np.ix_(empty, first)] = 1
        node, moment = np.nonzero(touched > 0)
        made = pd.DataFrame(
            {
                "node_id": self.nodes["node_id"].to_numpy(dtype=object)[node],
                "start_utc": self.starts[slot[moment]],
                "known_utc": pd.to_datetime(known[moment], unit="us", utc=True).as_unit("us"),
                "energy_kwh": kwh[node, moment],
                "known_pct": 100.0 * weight[node, moment] / np.where(empty, 1.0, self._tree.summed(self._weight))[node],
            }
        )
        made[["energy_kwh", "known_pct"]] = made.groupby(["node_id", "start_utc"], sort=False)[["energy_kwh", "known_pct"]].cumsum()
        made.loc[empty[node], "known_pct"] = 100.0
        made["known_pct"] = made["known_pct"].clip(0.0, 100.0)
        return made[NODE_LOAD_VERSIONS.columns]


def reading_versions(grid: DayGrid, found: Changes, since: datetime) -> pd.DataFrame:
    """Rows of READING_VERSIONS: all versions of the cells of which something became known, or changed, after ``since``."""
    changed = (found.kwh != 0) | (found.meters != 0)
    cell, known, kwh, meters = (values[changed] for values in (found.cell, found.known, found.kwh, found.meters))
    late = np.zeros(grid.shape[0] * grid.shape[1], bool)
    late[cell[known > pd.Timestamp(since).value // 1000]] = True
    here = np.flatnonzero(late[cell])
    here = here[np.lexsort((known[here], cell[here]))]
    rows = pd.DataFrame({"cell": cell[here], "known": known[here], "kwh": kwh[here], "meters": meters[here]})
    rows = rows.groupby(["cell", "known"], as_index=False).sum()
    total = rows.groupby("cell")[["kwh", "meters"]].cumsum()
    meter, slot = np.divmod(rows["cell"].to_numpy(int), max(grid.shape[1], 1))
    return pd.DataFrame(
        {
            "meter_id": grid.ids.to_numpy(zero_copy_only=False)[meter],
            "start_utc": grid.starts[slot],
            "known_utc": pd.to_datetime(rows["known"].to_numpy("int64"), unit="us", utc=True).as_unit("us"),
            "energy_kwh": total["kwh"].where(total["meters"] > 0),
        }
    )


@dataclass(frozen=True)
class DayVersions:
    """How a day became known."""

    nodes: pd.DataFrame
    """Rows of NODE_LOAD_VERSIONS."""
    readings: pd.DataFrame
    """Rows of READING_VERSIONS."""


def versions_of_day(site: Site, lake: Lake, day: date) -> DayVersions:
    """Of a day whose readings are made, from its raw rows and what was published of them."""
    nodes, late = NodeChanges(lake.read(NODES), site.clock.intervals(day), pd.Timedelta(site.clock.interval)), []
    usual = usual_energy(lake.read(METER_DAYS, day, ["meter_id", "usual_kwh"]))
    edited = lake.read(EDITED_READINGS, day)
    for task in tasks_of(site, lake, day):
        grid = shard_grid(task, lake)
        raw = lake.read_between(RAW_READINGS, day, task.lower, task.upper, coded=CODED)
        rows = lake.read_between(READINGS, day, task.lower, task.upper, ["meter_id", "energy_kwh", "quality"], ("meter_id", "quality"))
        found = changes(grid, raw, past_matrix(rows, grid.starts, grid), corrections_in(grid, edited))
        nodes.add(grid, found, _of(grid, usual))
        late.append(reading_versions(grid, found, site.clock.issue_time(day)))
    late = [one for one in late if len(one)]
    return DayVersions(nodes.versions(), pd.concat(late, ignore_index=True) if late else READING_VERSIONS.empty().to_pandas())


def provisional_versions(site: Site, lake: Lake, day: date, files: Sequence[str], until: datetime, usual_of: date) -> pd.DataFrame:
    """The same of a day that is under way, from the rows of the landed ``files`` that had arrived by ``until``: nobody has validated
    them yet, so that what lies within the service's rating counts. ``usual_of``: the last day with METER_DAYS.
    """
    found = NodeChanges(lake.read(NODES), site.clock.intervals(day), pd.Timedelta(site.clock.interval))
    usual = usual_energy(lake.read(METER_DAYS, usual_of, ["meter_id", "usual_kwh"]))
    for task in tasks_of(site, lake, day, files, until):
        grid = shard_grid(task, lake)
        found.add(grid, changes(grid, landed_part(task, lake), None), _of(grid, usual))
    return found.versions()


def usual_energy(meter_days: pd.DataFrame) -> pd.Series:
    """The energy of a usual day by meter id, kWh, above 0: from like days, which lie weeks back; the mean of all where there are none."""
    usual = meter_days.set_index("meter_id")["usual_kwh"].astype(float).abs()
    mean = usual.mean() if usual.gt(0).any() else 1.0
    return usual.fillna(mean) + LEAST_WEIGHT * mean


def _of(grid: DayGrid, usual: pd.Series) -> np.ndarray:
    return usual.reindex(grid.meters["meter_id"]).fillna(usual.mean() if len(usual) else 1.0).to_numpy(float)


def corrections_in(grid: DayGrid, edited: pd.DataFrame) -> Corrected:
    """The analysts' corrections among EDITED_READINGS that are of these meters."""
    rows = edited[edited["correction_id"].notna()]
    row, slot = (
        grid.ids.to_pandas().pipe(pd.Index).get_indexer(rows["meter_id"]),
        grid.starts.get_indexer(pd.DatetimeIndex(rows["start_utc"])),
    )
    here = (row >= 0) & (slot >= 0)
    entered = pd.DatetimeIndex(rows["entered_utc"]).as_unit("us").asi8
    replaced = rows["replaced_kwh"].to_numpy(float)
    return Corrected((row * grid.shape[1] + slot)[here], entered[here], replaced[here])
