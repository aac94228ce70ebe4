"""What the buses drew in past intervals, from the loads of nodes that were measured then."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.network.injections import Injections, drawn_from, place_loads, place_plants
from grid_assets.network.study_day import StudyDay
from grid_assets.network.study_frames import StudyFrames

PUBLISHED_PCT = 95.0
"""Of an interval in which fewer meters have a value the sum would be too small."""


def net_load(node_loads: pd.DataFrame, nodes: pd.DataFrame) -> pd.Series:
    """Load less generation of all nodes without a parent, kWh by interval: of those that each has a value for from nearly all of its meters."""
    tops = nodes.loc[nodes["parent_id"].isna(), "node_id"]
    rows = node_loads[node_loads["node_id"].isin(tops) & (node_loads["published_pct"] >= PUBLISHED_PCT)]
    net = (rows["energy_kwh"] - rows["generation_kwh"]).groupby(rows["start_utc"]).agg(["sum", "count"])
    return net.loc[net["count"] == len(tops), "sum"].sort_index()


def whole_intervals(node_loads: pd.DataFrame, nodes: pd.DataFrame) -> pd.DatetimeIndex:
    """Those intervals."""
    return pd.DatetimeIndex(net_load(node_loads, nodes).index)


def loads_at(
    instants: pd.DatetimeIndex, node_loads: pd.DataFrame, frames: StudyFrames, studied: StudyDay, power_factor: float, interval_hours: float
) -> Injections:
    """What the buses drew in these intervals: each node's energy on its meters' buses, its generation on its plants', by rating."""
    rows = node_loads[node_loads["start_utc"].isin(instants)]
    consumed, made = (
        {str(node): series.to_numpy(float) for node, series in (
            rows.pivot(index="start_utc", columns="node_id", values=column).reindex(instants).fillna(0.0) / interval_hours).items()}
        for column in ("energy_kwh", "generation_kwh")
    )  # fmt: skip
    admitted = studied.versions[0].admitted
    placement = place_loads(admitted, studied.meters, frames.meter_days, power_factor)
    consumed = {node: consumed.get(node, np.zeros(len(instants))) for node in {*consumed, *placement.active}}
    shares = place_plants(admitted, frames.plants)
    feeding = np.zeros((len(instants), len(admitted.net.bus)))
    for node, plants in frames.plants.groupby("node_id", sort=True):
        own = _less_below(made, str(node), frames.nodes)
        rated = plants["rating_kw"].sum()
        for plant in plants.itertuples():
            feeding += np.outer(own / 1000 * plant.rating_kw / rated, shares[plant.plant_id])
    return drawn_from(instants, consumed, frames.nodes, placement, feeding)


def _less_below(made: dict[str, np.ndarray], node: str, nodes: pd.DataFrame) -> np.ndarray:
    """A node's generation that none of the nodes right below it counts."""
    below = [child for child in nodes.loc[nodes["parent_id"] == node, "node_id"] if child in made]
    return np.maximum(made.get(node, 0.0) - sum((made[child] for child in below), np.zeros(1)), 0.0)
