"""Forecasts of meters and of the nodes above them made to add up, each moved the less the surer it is.

Weighted least squares over the tree (Hyndman, Ahmed, Athanasopoulos, Shang 2011; with error variances as weights it is MinT of a
diagonal covariance, Wickramasuriya, Athanasopoulos, Hyndman 2019), solved exactly by one pass up and one down the tree instead of a
matrix; not below zero where a meter cannot be (Wickramasuriya, Turlach, Hyndman 2020) by an active set, which only grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Hierarchy:
    """Leaves (meters) below nodes below nodes."""

    node_of: np.ndarray
    """[leaves]: position of the node that each hangs on."""
    parent: np.ndarray
    """[nodes]: position of the node above; -1: none."""

    def levels(self) -> list[np.ndarray]:
        """Positions of the nodes by depth, the roots first. Raises ValueError for a loop."""
        depth = np.zeros(len(self.parent), int)
        here = self.parent.copy()
        for _ in range(len(self.parent)):
            inside = here >= 0
            if not inside.any():
                return [np.flatnonzero(depth == level) for level in range(depth.max(initial=-1) + 1)]
            depth[inside] += 1
            here[inside] = self.parent[here[inside]]
        raise ValueError("the nodes lie in a loop; expected a tree")

    def summed(self, leaves: np.ndarray) -> np.ndarray:
        """Of each node the sum of what hangs below it; ``leaves`` [leaves]."""
        made = np.zeros(len(self.parent))
        np.add.at(made, self.node_of, leaves)
        for level in reversed(self.levels()[1:]):
            np.add.at(made, self.parent[level], made[level])
        return made


def reconciled(
    leaves: np.ndarray,
    leaf_variance: np.ndarray,
    nodes: np.ndarray,
    node_variance: np.ndarray,
    tree: Hierarchy,
    signed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Coherent forecasts (leaves, nodes) of the same shapes: every node is the sum of the leaves below it.

    ``leaves`` [leaves, times], ``nodes`` [nodes, times] (NaN: it has no forecast of its own), and the variances of their errors
    [leaves], [nodes], above 0. ``signed`` [leaves]: those that may be negative; None: none may. Minimises the squared
    changes over their variances. Raises ValueError for a loop in the tree.
    """
    levels = tree.levels()
    variance = np.repeat(np.asarray(leaf_variance, float)[:, None], leaves.shape[1], axis=1)
    free = np.zeros(leaves.shape, bool) if signed is None else np.repeat(np.asarray(signed, bool)[:, None], leaves.shape[1], axis=1)
    fixed = np.zeros(leaves.shape, bool)
    # What is held at zero is never let go, so each round holds more leaves and there is a last one. For the matrix of the squares is
    # ultrametric (two leaves share the nodes above both), hence its inverse an M-matrix (Martinez, Michon, San Martin 1994): to raise
    # a leaf to zero pushes all others down, and those held at zero further against it.
    while True:
        made = _solved(np.where(fixed, 0.0, leaves), np.where(fixed, 0.0, variance), nodes, node_variance, tree, levels)
        negative = ~fixed & ~free & (made < -TOLERANCE)
        if not negative.any():
            break
        fixed |= negative
    made = np.where(free, made, np.maximum(made, 0.0))
    return made, node_sums(made, tree, levels)


def node_sums(leaves: np.ndarray, tree: Hierarchy, levels: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """[nodes, times]: the sum of the leaves below each node."""
    total = np.zeros((len(tree.parent), leaves.shape[1]))
    np.add.at(total, tree.node_of, leaves)
    for level in reversed(tree.levels() if levels is None else levels):
        above = tree.parent[level]
        np.add.at(total, above[above >= 0], total[level[above >= 0]])
    return total


def _solved(
    mean: np.ndarray, variance: np.ndarray, nodes: np.ndarray, node_variance: np.ndarray, tree: Hierarchy, levels: Sequence[np.ndarray]
) -> np.ndarray:
    """Least squares without bounds [leaves, times]: what children say of their sum meets what is said of it, going up; what was decided goes down."""
    size = (len(tree.parent), mean.shape[1])
    said, unsure = np.zeros(size), np.zeros(size)
    np.add.at(said, tree.node_of, mean)
    np.add.at(unsure, tree.node_of, variance)
    summed, spread = said.copy(), unsure.copy()
    for level in reversed(levels):
        summed[level], spread[level] = said[level], unsure[level]  # before its own forecast counts
        own, doubt = nodes[level], np.asarray(node_variance, float)[level][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(np.isfinite(own), unsure[level] / (unsure[level] + doubt), 0.0)
        said[level] += share * (np.nan_to_num(own) - said[level])
        unsure[level] *= 1.0 - share
        above = tree.parent[level]
        inner = level[above >= 0]
        np.add.at(said, above[above >= 0], said[inner])
        np.add.at(unsure, above[above >= 0], unsure[inner])
    decided = np.zeros(size)
    for level in levels:
        above = tree.parent[level]
        outer, inner = level[above < 0], level[above >= 0]
        decided[outer] = said[outer]
        up = tree.parent[inner]
        decided[inner] = said[inner] + _part(unsure[inner], spread[up]) * (decided[up] - summed[up])
    here = tree.node_of
    return mean + _part(variance, spread[here]) * (decided - summed)[here]


def _part(one: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Its share of the variance; 0 where nothing can be moved."""
    return np.where(whole > 0, one / np.where(whole > 0, whole, 1.0), 0.0)
