"""Energy of feeders, substations and the system: readings summed by the node that each meter hangs on, then up the tree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake
from grid_assets.metering.quality.day_matrices import DayMatrices, day_matrices, shards_of_day
from grid_assets.metering.tables import NODE_LOADS


class NodeSums:
    """Sums of a day's readings per node and interval, taken up shard by shard: memory grows with nodes, not with meters.

    Meters of kind boundary are in none of the sums but their own, ``boundary_kwh``.
    """

    def __init__(self, nodes: pd.DataFrame, starts: pd.DatetimeIndex):
        self.nodes, self.starts = nodes, starts
        self._tree = Tree(nodes)
        shape = len(nodes), len(starts)
        self._load, self._generation, self._measured, self._known = (np.zeros(shape) for _ in range(4))
        self._loads = np.zeros(len(nodes))
        self.boundary_kwh = np.zeros(shape)
        """Net energy into the node by its own boundary meters; NaN where one of them has no valid value."""
        self.boundary_meters = np.zeros(len(nodes), int)

    def add(self, shard: DayMatrices) -> None:
        """Takes up a shard; each meter must come once."""
        kinds, at = shard.meters["kind"].to_numpy(), self._tree.positions(shard.meters["node_id"])
        loads, generation, boundary = (np.where(kinds == kind, at, -1) for kind in ("load", "generation", "boundary"))
        known = ~np.isnan(shard.energy_kwh)
        filled = shard.energy_kwh if known.all() else np.where(known, shard.energy_kwh, 0.0)
        valid = shard.is_quality("measured") | shard.is_quality("edited")
        grouped = Grouped(loads)
        grouped.add_to(self._load, filled)
        grouped.add_to(self._measured, valid)
        grouped.add_to(self._known, known)
        np.add.at(self._loads, loads[loads >= 0], 1)
        Grouped(generation).add_to(self._generation, filled)
        own = np.flatnonzero(boundary >= 0)
        # an estimate of a boundary says nothing against its meters
        Grouped(boundary[own]).add_to(self.boundary_kwh, np.where(valid[own], shard.energy_kwh[own], np.nan))
        np.add.at(self.boundary_meters, boundary[boundary >= 0], 1)

    def node_loads(self, readings_version: str) -> pd.DataFrame:
        """Every node and interval (NODE_LOADS). A missing reading adds nothing and lowers the percentages; a node without
        load meters lacks none, so it has 100 %.
        """
        size, count = len(self.starts), self._tree.summed(self._loads)
        per_meter, complete = np.maximum(count, 1)[:, None], (count == 0)[:, None]

        def share(own: np.ndarray) -> np.ndarray:
            return np.where(complete, 100.0, 100.0 * self._tree.summed(own) / per_meter).ravel()

        return pd.DataFrame(
            {
                "node_id": np.repeat(self.nodes["node_id"].to_numpy(dtype=object), size),
                "level": np.repeat(self.nodes["level"].to_numpy(dtype=object), size),
                "start_utc": self.starts[np.tile(np.arange(size), len(self.nodes))],
                "energy_kwh": self._tree.summed(self._load).ravel(),
                "generation_kwh": self._tree.summed(self._generation).ravel(),
                "meters": np.repeat(count.astype(int), size),
                "valid_pct": share(self._measured),
                "published_pct": share(self._known),
                "readings_version": readings_version,
            },
            columns=NODE_LOADS.columns,
        )


class Tree:
    """The nodes and which of them lie above which. Loops are cut where they close; the register's check refuses them."""

    def __init__(self, nodes: pd.DataFrame):
        self._index = pd.Index(nodes["node_id"])
        parents = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True))
        at = {node: n for n, node in enumerate(nodes["node_id"])}
        above, below = [], []
        for n, node in enumerate(nodes["node_id"]):
            here, seen = node, set()
            while here in at and here not in seen:
                above.append(at[here])
                below.append(n)
                seen.add(here)
                here = parents[here]
        self._above, self._below = np.array(above, int), np.array(below, int)
        self.parent = np.array([at.get(parents[node], -1) for node in nodes["node_id"]], int)
        """Position of the node above, -1 where there is none."""

    def positions(self, node_ids: Iterable[str]) -> np.ndarray:
        """Positions of nodes by their id, -1 for one that the tree does not have."""
        return self._index.get_indexer(pd.Index(node_ids))

    def summed(self, own: np.ndarray) -> np.ndarray:
        """(nodes, ...): what belongs to a node itself and to all nodes below it, from what belongs to each itself."""
        total = np.zeros(own.shape)
        np.add.at(total, self._above, own[self._below])
        return total


class Grouped:
    """Rows gathered by the node that they belong to (``at``; -1: none), to be summed together."""

    def __init__(self, at: np.ndarray):
        self._order = np.argsort(at, kind="stable")
        self._order = self._order[at[self._order] >= 0]
        placed = at[self._order]
        self._begins = np.flatnonzero(np.append(True, placed[1:] != placed[:-1])) if len(placed) else np.empty(0, int)
        self._nodes = placed[self._begins]

    def add_to(self, sums: np.ndarray, rows: np.ndarray) -> None:
        """Adds each node's rows to its line of ``sums`` (nodes, intervals)."""
        if len(self._begins):
            kind = np.int32 if rows.dtype == bool else float  # counting flags as integers is several times quicker
            sums[self._nodes] += np.add.reduceat(rows[self._order], self._begins, axis=0, dtype=kind)


def sums_of_day(lake: Lake, day: date, meters: pd.DataFrame, nodes: pd.DataFrame, starts: pd.DatetimeIndex) -> NodeSums:
    """The day's published readings of the lake, summed through the register in force that day."""
    made = NodeSums(nodes, starts)
    for shard in shards_of_day(lake, day, meters, starts):
        made.add(shard)
    return made


def node_loads(
    readings: pd.DataFrame | pa.Table, meters: pd.DataFrame, nodes: pd.DataFrame, starts: pd.DatetimeIndex, readings_version: str
) -> pd.DataFrame:
    """Every node and interval of a day (NODE_LOADS) from readings that are in memory as a whole.

    ``readings``: the day's published readings, kWh; ``meters``: the register in force that day; ``nodes``: the tree;
    ``starts``: the day's intervals.
    """
    made = NodeSums(nodes, starts)
    made.add(day_matrices(readings, meters, starts))
    return made.node_loads(readings_version)


def summary(loads: pd.DataFrame, interval_hours: float) -> dict[str, float]:
    """Key figures of a day's system load, from NODE_LOADS."""
    system = loads[loads["level"] == "system"]
    if not len(system):
        return {"nodes": loads["node_id"].nunique()}
    return {
        "nodes": int(loads["node_id"].nunique()),
        "intervals": len(system),
        "energy_kwh": float(system["energy_kwh"].sum()),
        "generation_kwh": float(system["generation_kwh"].sum()),
        "peak_kw": float(system["energy_kwh"].max() / interval_hours),
        "lowest_valid_pct": float(system["valid_pct"].min()),
    }


def valid_shares(meter_days: pd.DataFrame) -> pd.DataFrame:
    """The share of valid readings of each node's own meters over the day, the worst first: node_id, meters, valid_pct."""
    sums = meter_days.groupby("node_id").agg(
        meters=("expected_intervals", "size"), valid=("valid_intervals", "sum"), expected=("expected_intervals", "sum")
    )
    sums["valid_pct"] = 100.0 * sums.pop("valid") / sums.pop("expected").clip(lower=1)
    return sums.reset_index().sort_values(["valid_pct", "node_id"], kind="stable", ignore_index=True)
