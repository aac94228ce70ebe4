"""Forecast loads and generation of a study day, as the market needs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site import Site


class MarketInputError(ValueError):
    """Forecasts or settings that a price study cannot be made from: what is missing, where, what to do."""


@dataclass(frozen=True)
class StudyLoads:
    """Mean forecasts of the study day: a column per node that load meters hang on, and the generation of all plants."""

    starts: pd.DatetimeIndex
    leaves: pd.DataFrame
    """(intervals, nodes) in kW, of the node's own meters; their sum is the system's load."""
    generation_kw: np.ndarray | None
    """Of all plants; None where the site has none."""
    interval_hours: float


def study_loads(
    site: Site,
    day: date,
    demand_forecasts: pd.DataFrame,
    renewable_forecasts: pd.DataFrame,
    nodes: pd.DataFrame,
    meters: pd.DataFrame,
    plants: pd.DataFrame,
) -> StudyLoads:
    """The loads of the study day of ``day``, from that day's forecast partitions. Raises MarketInputError."""
    clock = site.clock
    starts = clock.intervals(clock.study_day(day))
    here = in_force(meters, starts[0], starts[-1])
    consuming = sorted(set(here.loc[here["kind"] == "load", "node_id"]))
    if not consuming:
        raise MarketInputError(f"no load meter of the register is in force on {clock.study_day(day)}; nobody would pay the price")
    means = _complete(_means(demand_forecasts, "node_id", starts), consuming, "node", starts)
    own = {}
    for node in consuming:
        below = [means[child] for child in _metered_below(node, nodes, set(consuming))]
        own[node] = (means[node] - sum(below)).clip(lower=0.0) if below else means[node]
    generation = None
    if len(plants):
        made = _complete(_means(renewable_forecasts, "plant_id", starts), plants["plant_id"].tolist(), "plant", starts)
        generation = made.clip(lower=0.0).to_numpy().sum(axis=1)
    return StudyLoads(starts, pd.DataFrame(own), generation, clock.interval_hours)


def _metered_below(node: str, nodes: pd.DataFrame, consuming: set[str]) -> list[str]:
    """The nearest nodes below that have meters: what a forecast holds beyond the node's own meters."""
    found = []
    for child in nodes.loc[nodes["parent_id"] == node, "node_id"]:
        found += [child] if child in consuming else _metered_below(child, nodes, consuming)
    return found


def _means(forecasts: pd.DataFrame, name: str, starts: pd.DatetimeIndex) -> pd.DataFrame:
    """Mean forecasts, a column per node or plant; of several issues the latest."""
    wanted = forecasts[forecasts["start_utc"].isin(starts)].sort_values("issued_utc")
    latest = wanted.drop_duplicates([name, "start_utc"], keep="last")
    return latest.pivot(index="start_utc", columns=name, values="mean_kw").reindex(starts)


def _complete(means: pd.DataFrame, names: list[str], kind: str, starts: pd.DatetimeIndex) -> pd.DataFrame:
    for name in names:
        if name not in means:
            raise MarketInputError(f"{kind} {name}: has no forecast of {starts[0]} to {starts[-1]}; materialise the forecasts first")
        gaps = means[name].isna()
        if gaps.any():
            raise MarketInputError(f"{kind} {name}: {int(gaps.sum())} intervals have no forecast, the first at {gaps.idxmax()}")
    return means[names]
