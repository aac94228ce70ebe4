"""Balances: what a node's own boundary meters measured against what the meters below it say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.metering.quality.aggregation import NodeSums
from grid_assets.metering.tables import NODE_BALANCES

NEXT_TO_NOTHING = 0.02
"""An interval whose measured energy is below this share of the day's mean size has no residual in per cent."""


def node_balances(sums: NodeSums, loads: pd.DataFrame) -> pd.DataFrame:
    """The balance of every node that has boundary meters, and interval (NODE_BALANCES); empty where no node has one.

    ``loads``: NODE_LOADS of the same sums. Residual = measured - load + generation: losses, theft, unmetered supply and
    errors. Source: energy balance of a metered area, as in non-technical-loss practice.
    """
    nodes = np.flatnonzero(sums.boundary_meters)
    size = len(sums.starts)
    rows = (nodes[:, None] * size + np.arange(size)).ravel()
    below = loads.iloc[rows].reset_index(drop=True)
    measured = sums.boundary_kwh[nodes].ravel()
    residual = measured - below["energy_kwh"].to_numpy() + below["generation_kwh"].to_numpy()
    known = ~np.isnan(measured)
    sizes = np.abs(measured.reshape(len(nodes), size))
    usual = np.where(np.isnan(sizes), 0, sizes).sum(axis=1) / np.maximum((~np.isnan(sizes)).sum(axis=1), 1)
    told = known & (np.abs(measured) > np.maximum(NEXT_TO_NOTHING * np.repeat(usual, size), 1e-9))
    return pd.DataFrame(
        {
            "node_id": below["node_id"], "start_utc": below["start_utc"], "measured_kwh": measured, "load_kwh": below["energy_kwh"],
            "generation_kwh": below["generation_kwh"], "residual_kwh": residual,
            "residual_pct": np.where(told, 100.0 * residual / np.where(told, np.abs(measured), 1.0), np.nan),
            "published_pct": below["published_pct"],
        },
        columns=NODE_BALANCES.columns,
    )  # fmt: skip


def day_balances(balances: pd.DataFrame) -> pd.DataFrame:
    """The day of each node as a whole, the largest residual first: node_id, intervals (with a measurement), measured_kwh,
    residual_kwh, residual_pct (of the summed size of the measured energy; empty where that is nothing).
    """
    known = balances.dropna(subset=["measured_kwh"])
    sums = (
        known.assign(size_kwh=known["measured_kwh"].abs(), intervals=1)
        .groupby("node_id", as_index=False)[["intervals", "measured_kwh", "residual_kwh", "size_kwh"]]
        .sum()
    )
    size = sums.pop("size_kwh")
    sums["residual_pct"] = 100.0 * sums["residual_kwh"] / size.where(size > 0)
    return sums.sort_values("residual_pct", key=lambda one: one.abs(), ascending=False, ignore_index=True)


def faults(balances: pd.DataFrame, tolerance_pct: float) -> list[str]:
    """Which nodes' days do not balance within ``tolerance_pct`` of what was measured, and which could not be judged."""
    days = day_balances(balances)
    found = [
        f"{one.node_id}: {one.residual_kwh:+.1f} kWh are not accounted for, {one.residual_pct:+.1f} % of the measured energy"
        for one in days.itertuples()
        if abs(one.residual_pct) > tolerance_pct
    ]
    silent = sorted(set(balances["node_id"]) - set(days["node_id"]))
    return found + [f"{node}: no interval with a value of all its boundary meters" for node in silent]


def summary(balances: pd.DataFrame) -> dict[str, float | str]:
    """Key figures of a day's balances."""
    if not len(balances):
        return {"balanced_nodes": 0, "balances": "no node has a boundary meter in force on this day"}
    days = day_balances(balances)
    told: dict[str, float | str] = {"balanced_nodes": int(balances["node_id"].nunique())}
    if len(days):
        worst = days.iloc[0]
        told |= {"largest_residual_pct": float(worst["residual_pct"]), "largest_residual_node": str(worst["node_id"])}
    return told
