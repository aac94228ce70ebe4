"""What is connected to a supply, by array: which solved buses go dark when branches open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from grid_assets.powerflow.compiled import CompiledNetwork


@dataclass(frozen=True)
class SupplyGraph:
    """A walk through the network from its supplies, depth first, and which branches everything behind them hangs on."""

    order: np.ndarray
    """[solved]: position of each bus in the walk; -1 where it never comes."""
    behind: np.ndarray
    """[branches, 2]: of a branch without which buses go dark, their positions from..to (to excluded); empty ranges for the others."""

    def dark(self, branch: int) -> np.ndarray:
        """Which solved buses lose their supply when this branch opens [solved]."""
        first, end = self.behind[branch]
        return (self.order >= first) & (self.order < end)


def supply_graph(network: CompiledNetwork) -> SupplyGraph:
    """Bridges by lowest reachable positions (Tarjan 1974), with one root above all supplies; takes time in proportion to the network."""
    around = neighbours(network)
    count = len(network.start)
    order, lowest, size = np.full(count, -1), np.zeros(count, int), np.ones(count, int)
    behind = np.zeros((len(network.ends), 2), int)
    position = 0
    supplies = set(network.reference.tolist())
    for root in network.reference.tolist():
        if order[root] >= 0:
            continue
        order[root], lowest[root] = position, 0  # every supply reaches the one root above them
        position += 1
        stack = [(root, -1, iter(around[root]))]
        while stack:
            bus, came_by, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[bus])
                    size[above] += size[bus]
                    if lowest[bus] > order[above]:
                        behind[came_by] = order[bus], order[bus] + size[bus]
                continue
            other, branch = step
            if branch == came_by:
                continue
            if order[other] >= 0:
                lowest[bus] = min(lowest[bus], order[other])
                continue
            order[other] = position
            lowest[other] = 0 if other in supplies else position
            position += 1
            stack.append((other, branch, iter(around[other])))
    return SupplyGraph(order, behind)


def neighbours(network: CompiledNetwork) -> list[list[tuple[int, int]]]:
    """For each solved bus: (bus at the other end, branch) of its branches in service."""
    around: list[list[tuple[int, int]]] = [[] for _ in range(len(network.start))]
    for branch, (one, other) in enumerate(network.ends.tolist()):
        if one >= 0 and one != other:
            around[one].append((other, branch))
            around[other].append((one, branch))
    return around


def dark_without(network: CompiledNetwork, branches: Sequence[int]) -> np.ndarray:
    """Which solved buses have no supply when all of these branches are open [solved]."""
    kept = np.ones(len(network.ends), bool)
    kept[list(branches)] = False
    ends = network.ends[kept & (network.ends[:, 0] >= 0)]
    count = len(network.start)
    _, part = connected_components(sp.coo_matrix((np.ones(len(ends)), ends.T), (count, count)), directed=False)
    return ~np.isin(part, part[network.reference])
