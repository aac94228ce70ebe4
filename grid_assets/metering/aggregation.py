"""Energy of feeders, substations and the system: readings summed up the tree of nodes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.metering.tables import NODE_LOADS


def node_loads(
    readings: pd.DataFrame, meters: pd.DataFrame, nodes: pd.DataFrame, starts: pd.DatetimeIndex, readings_version: str
) -> pd.DataFrame:
    """Every node and interval of a day (NODE_LOADS).

    ``readings``: the day's published readings, kWh; ``meters``: the register in force that day; ``nodes``: the tree;
    ``starts``: the day's intervals. A missing reading adds nothing and lowers the percentages; a node without load
    meters lacks none, so it has 100 %.
    """
    ids = pd.Index(meters["meter_id"])
    row, column = ids.get_indexer(readings["meter_id"]), starts.get_indexer(pd.DatetimeIndex(readings["start_utc"]))
    here = (row >= 0) & (column >= 0)
    energy = np.full((len(ids), len(starts)), np.nan)
    energy[row[here], column[here]] = readings["energy_kwh"].to_numpy(dtype=float)[here]
    measured = np.zeros(energy.shape)
    measured[row[here], column[here]] = (readings["quality"] == "measured").to_numpy()[here]
    below = meters_below(meters, nodes)
    is_load = (meters["kind"] == "load").to_numpy()
    loads = below * is_load
    filled, known = np.nan_to_num(energy), ~np.isnan(energy)
    count = loads.sum(axis=1)
    per_meter = np.maximum(count, 1)[:, None]
    complete = (count == 0)[:, None]
    size = len(starts)
    return pd.DataFrame(
        {
            "node_id": np.repeat(nodes["node_id"].to_numpy(dtype=object), size),
            "level": np.repeat(nodes["level"].to_numpy(dtype=object), size),
            "start_utc": starts[np.tile(np.arange(size), len(nodes))],
            "energy_kwh": (loads @ filled).ravel(),
            "generation_kwh": ((below * ~is_load) @ filled).ravel(),
            "meters": np.repeat(count.astype(int), size),
            "valid_pct": np.where(complete, 100.0, 100.0 * (loads @ measured) / per_meter).ravel(),
            "published_pct": np.where(complete, 100.0, 100.0 * (loads @ known) / per_meter).ravel(),
            "readings_version": readings_version,
        },
        columns=NODE_LOADS.columns,
    )


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


def meters_below(meters: pd.DataFrame, nodes: pd.DataFrame) -> np.ndarray:
    """(nodes, meters): 1 where the meter hangs on the node or on a node below it."""
    parents = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True))
    at = {node: n for n, node in enumerate(nodes["node_id"])}
    below = np.zeros((len(nodes), len(meters)))
    for m, node in enumerate(meters["node_id"]):
        here, seen = node, set()
        while here in at and here not in seen:
            below[at[here], m] = 1.0
            seen.add(here)
            here = parents[here]
    return below
