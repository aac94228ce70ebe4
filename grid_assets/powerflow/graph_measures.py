"""How a switching state hangs together: whether it is radial, how far each bus is from its supply, on which branches others depend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import networkx as nx
import pandas as pd

from grid_assets.powerflow.topology import Topology, upstream_of

ABOVE_ALL = ""
"""One root above all supplies; no bus has an empty name."""


@dataclass(frozen=True)
class GraphMeasures:
    radial: bool
    """One way only from the supplies to each bus that has one."""
    buses: pd.DataFrame
    """bus_id, steps_to_supply (branches on a shortest way), upstream_branch (the first of them); missing without a supply."""
    branches: pd.DataFrame
    """branch_id, critical (buses lose their supply without it), buses_behind (how many)."""


def graph_measures(topology: Topology) -> GraphMeasures:
    """Measures of a switching state. Critical branches are the bridges of the graph below one root above all supplies."""
    edges = [*topology.edges(), *((ABOVE_ALL, source, None) for source in topology.sources)]
    before = upstream_of(edges, [ABOVE_ALL])
    live = [edge for edge in edges if edge[0] in before and edge[0] != edge[1]]
    steps, first = _ways(before)
    sizes = _sizes(before)
    times = Counter(frozenset(edge[:2]) for edge in live)
    graph = nx.Graph([edge[:2] for edge in live])
    bridges = {frozenset(pair) for pair in nx.bridges(graph)} if live else set()
    behind = {
        branch: min(sizes[one], sizes[other])
        for one, other, branch in live
        if branch is not None and times[frozenset((one, other))] == 1 and frozenset((one, other)) in bridges
    }
    buses, branches = topology.buses[["bus_id"]].copy(), topology.branches[["branch_id"]].copy()
    buses["steps_to_supply"] = buses["bus_id"].map(steps).astype("Int64")
    buses["upstream_branch"] = buses["bus_id"].map(first).astype(object)
    branches["critical"] = branches["branch_id"].isin(behind)
    branches["buses_behind"] = branches["branch_id"].map(behind).fillna(0).astype("int64")
    return GraphMeasures(len(live) == len(before) - 1, buses, branches)


def _ways(before: dict[str, tuple[str | None, str | None]]) -> tuple[dict[str, int], dict[str, str | None]]:
    steps: dict[str, int] = {ABOVE_ALL: 0}
    first: dict[str, str | None] = {ABOVE_ALL: None}
    for bus, (above, branch) in before.items():  # in the order they were reached: what is above comes first
        if above is not None:
            steps[bus] = steps[above] + (branch is not None)
            first[bus] = branch if branch is not None else first[above]
    return steps, first


def _sizes(before: dict[str, tuple[str | None, str | None]]) -> dict[str, int]:
    """How many buses hang on each, itself included."""
    sizes = dict.fromkeys(before, 1)
    for bus, (above, _) in reversed(before.items()):
        if above is not None:
            sizes[above] += sizes[bus]
    return sizes
