"""Joint samples of what all nodes may draw: each as likely as its forecast says, together as they went together, and adding up.

Schaake shuffle (Clark and others 2004; as empirical copula coupling in Schefzik, Thorarinsdottir, Gneiting 2013): each member takes
the ranks that one past day's errors had among those of the other days, at all nodes and intervals at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.demand import RolledDemand
from grid_assets.forecasting.past_errors import past_errors
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, QUANTILES, SCENARIOS

MINIMUM_MEMBERS = 5
LEAST_KNOWN_SHARE = 0.8
"""A past day counts whose errors are known at so many nodes and intervals."""
TAIL_SHARE = 0.5
"""Beyond the outer quantiles a sample goes on by at most this part of the step from the 10 % to the 5 % quantile (and 90 to 95)."""


def scenarios(
    rolled: RolledDemand, forecasts: pd.DataFrame, parents: Mapping[str, str | None], metered: Collection[str], members: int, seed: int
) -> pd.DataFrame:
    """Rows of SCENARIOS from the issue time to the end of the study day; empty where fewer than five past days tell of errors.

    ``rolled``: all nodes' forecasts of the last days; ``forecasts``: rows of DEMAND_FORECASTS of the run; ``parents``: node -> the node
    above; ``metered``: nodes with load meters of their own. At most as many members as there are past days. A child's samples are moved so that children add up to
    their parent, in proportion to the squared width of their bands (weighted least squares, Hyndman and others 2011), and
    not below zero where a node never was; unless the parent has meters of its own.
    """
    grid = rolled.grid
    starts = grid.horizon[grid.horizon < pd.Timestamp(grid.clock.bounds(grid.clock.study_day(grid.day))[1])]
    day, slot = grid.positions(starts)
    place = (day - grid.known) * grid.slots + slot
    errors, _ = past_errors(rolled)
    errors = errors[:, :, place]
    whole = np.flatnonzero(np.isfinite(errors).mean(axis=(0, 2)) >= LEAST_KNOWN_SHARE)[-members:]
    if len(whole) < MINIMUM_MEMBERS:
        return SCENARIOS.empty().to_pandas()
    ranks = _ranks(np.nan_to_num(errors[:, whole]), seed)  # of a node that was not heard of then: as if it had been right
    quantiles = _quantiles(forecasts, rolled.nodes, starts)
    samples = np.stack([sampled(quantiles[n], (ranks[n] + 0.5) / len(whole)) for n in range(len(rolled.nodes))])
    width = quantiles[:, -1] - quantiles[:, 0]
    position = {node: n for n, node in enumerate(rolled.nodes)}
    children = {position[node]: [position[one] for one in below] for node, below in sums(parents, metered, rolled.nodes).items()}
    low = champion.floor(rolled.power)
    samples = coherent(np.maximum(samples, low[:, None, None]), np.maximum(width, 1e-9) ** 2, children, low)
    count, size = len(whole), len(starts)
    return pd.DataFrame(
        {
            "member": np.tile(np.repeat(np.arange(1, count + 1), size), len(rolled.nodes)),
            "node_id": np.repeat(rolled.nodes, count * size),
            "issued_utc": pd.Timestamp(rolled.until).tz_convert("UTC"),
            "start_utc": starts[np.tile(np.arange(size), len(rolled.nodes) * count)],
            "value_kw": samples.reshape(-1),
        }
    )


def _ranks(errors: np.ndarray, seed: int) -> np.ndarray:
    """Ranks from 0 along axis 1 of errors [nodes, days, intervals]; equal errors are put in an order by chance."""
    noise = np.random.default_rng(seed).permutation(errors.shape[1])[None, :, None]
    order = np.lexsort((np.broadcast_to(noise, errors.shape), errors), axis=1)
    ranks = np.empty(errors.shape, int)
    np.put_along_axis(ranks, order, np.arange(errors.shape[1])[None, :, None], axis=1)
    return ranks


def _quantiles(forecasts: pd.DataFrame, nodes: Sequence[str], starts: pd.DatetimeIndex) -> np.ndarray:
    """[nodes, levels, intervals], kW."""
    kept = forecasts[forecasts["start_utc"].isin(starts)].set_index(["node_id", "start_utc"]).sort_index()
    whole = kept.reindex(pd.MultiIndex.from_product([list(nodes), starts], names=["node_id", "start_utc"]))
    values = whole[list(QUANTILE_COLUMNS)].to_numpy(float)
    return np.moveaxis(values.reshape(len(nodes), len(starts), len(QUANTILES)), 2, 1)


def sampled(quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Values at probabilities ``levels`` [members, intervals] of quantile functions [levels, intervals], straight between the quantiles.

    Beyond them the line goes on from the last two, and ends TAIL_SHARE of their step further out.
    """
    known = np.asarray(QUANTILES)
    low, high = quantiles[0] - TAIL_SHARE * (quantiles[1] - quantiles[0]), quantiles[-1] + TAIL_SHARE * (quantiles[-1] - quantiles[-2])
    knots = np.concatenate([[0.0], known, [1.0]])
    values = np.concatenate([low[None], quantiles, high[None]])
    at = np.clip(np.searchsorted(knots, levels, side="right") - 1, 0, len(knots) - 2)
    share = (levels - knots[at]) / (knots[at + 1] - knots[at])
    columns = np.broadcast_to(np.arange(levels.shape[1]), levels.shape)
    return values[at, columns] + share * (values[at + 1, columns] - values[at, columns])


def sums(parents: Mapping[str, str | None], metered: Collection[str], nodes: Sequence[str]) -> dict[str, list[str]]:
    """Each node that is nothing but its children -> theirs, from the top down.

    ``metered``: nodes with load meters of their own; ``nodes``: those that are forecast. A node of which one child is not is left out.
    """
    below: dict[str, list[str]] = {}
    for node, above in parents.items():
        if above is not None:
            below.setdefault(above, []).append(node)
    known = set(nodes)
    found = {node: children for node, children in below.items() if node in known and node not in metered and known.issuperset(children)}
    return dict(sorted(found.items(), key=lambda one: (_depth(one[0], parents), one[0])))


def _depth(node: str, parents: Mapping[str, str | None]) -> int:
    seen: list[str] = []
    here: str | None = node
    while here and here not in seen:
        seen.append(here)
        here = parents.get(here)
    return len(seen)


def coherent(samples: np.ndarray, variance: np.ndarray, children: Mapping[int, Sequence[int]], floor: np.ndarray) -> np.ndarray:
    """Samples [nodes, members, intervals] whose children add up to their parents, which are kept.

    ``variance`` [nodes, intervals]: in proportion to which children are moved; ``children`` from the top down. ``floor`` [nodes]: no
    child is moved below it (0, or minus infinity for one that may feed back) as long as its siblings can take the rest.
    """
    made = samples.copy()
    for parent, below in children.items():
        at = list(below)
        moved, weight = made[at], np.broadcast_to(variance[at][:, None], made[at].shape)
        low = np.minimum(floor[at][:, None, None], moved)  # one that lies below by itself is not lifted
        free = np.ones(moved.shape, bool)
        for _ in at:
            lacking = made[parent] - moved.sum(axis=0)
            shares = np.where(free, weight, 0.0)
            total = shares.sum(axis=0)
            moved = moved + np.divide(shares, total, out=np.zeros_like(shares), where=total > 0) * lacking
            under = moved < low
            if not under.any():
                break
            moved, free = np.maximum(moved, low), free & ~under
        made[at] = moved + weight / weight.sum(axis=0) * (made[parent] - moved.sum(axis=0))
    return made
