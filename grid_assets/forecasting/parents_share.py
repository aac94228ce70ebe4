"""A node as its share of what is expected of the node above: the parent knows the season and the weather, the node its own shape.

A few days tell a share well: for a node with two weeks of history this is the better forecast, and often for others too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from grid_assets.forecasting.champion import PARENTS_SHARE, Contest, Rolled
from grid_assets.forecasting.day_cubes import WORKDAY, DayGrid

HOURS = 24
SHARE_DAYS = 28
"""Known days that a share is told from, at most."""
PRIOR_HOURS, PRIOR_LIKE_HOURS = 5.0, 10.0
"""So many hours' evidence draws an hour's share to that of all hours, and the share on like days to that of all days."""


def with_parents_shares(
    grid: DayGrid, power: np.ndarray, rolls: list[Rolled], parents: Sequence[int], judge: Callable[[list[Rolled]], Contest]
) -> tuple[list[Rolled], Contest]:
    """The rolls with the model PARENTS_SHARE, and the verdict of ``judge`` on them; both as they are where no node has a parent.

    ``power`` [nodes, days, slots], kW; ``parents``: each node's parent (position), -1 for none. From the top of the tree down, so that
    each parent's published model is known.
    """
    above = np.asarray(parents, int)
    verdict, shares = judge(rolls), hourly_shares(grid, power, above) if (above >= 0).any() else None
    if shares is None:
        return rolls, verdict
    depth = depths(above)
    made = [np.full(next(iter(one.forecasts.values())).shape, np.nan) for one in rolls]
    for level in range(1, depth.max() + 1):
        nodes = np.flatnonzero(depth == level)
        for one, forecasts in zip(rolls, made, strict=True):
            expected = one.chosen(verdict.chosen) if level == 1 else one.with_model(PARENTS_SHARE, forecasts).chosen(verdict.chosen)
            share = np.repeat(shares(one.targets, one.lead)[nodes], grid.slots // HOURS, axis=2)
            forecasts[nodes] = expected[above[nodes]] * share
        verdict = judge([one.with_model(PARENTS_SHARE, forecasts) for one, forecasts in zip(rolls, made, strict=True)])
    return [one.with_model(PARENTS_SHARE, forecasts) for one, forecasts in zip(rolls, made, strict=True)], verdict


def depths(parents: np.ndarray) -> np.ndarray:
    """How many nodes lie above each; a circle counts as deep as there are nodes, which no tree is."""
    made, at = np.zeros(len(parents), int), parents.copy()
    for _ in range(len(parents)):
        made += at >= 0
        at = np.where(at >= 0, parents[at], -1)
    return made


def hourly_shares(grid: DayGrid, power: np.ndarray, parents: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """Each node's share of its parent's power by local hour, for target days and a lead [nodes, targets, hours].

    Told from the last SHARE_DAYS days known ``lead`` days before the target: those of its kind (working days; all others), the hours
    beside it counted too, drawn to the hour's share on all days, and that to the share of all hours. NaN without a parent, without a
    common known day, and where the parent's sum is not above 0.
    """
    nodes, days, slots = power.shape
    above = np.where((parents >= 0)[:, None, None], power[parents], np.nan)
    both = np.isfinite(power) & np.isfinite(above)
    own, whole, count = (
        np.where(both, values, 0.0).reshape(nodes, days, HOURS, -1).sum(axis=3) for values in (power, above, np.ones_like(power))
    )
    own, whole, count = (np.stack([values, values * (grid.kinds[:days] == WORKDAY)[:, None]]) for values in (own, whole, count))
    # sums over the days before each day [all or working days, nodes, days + 1, hours]
    totals = [np.concatenate([np.zeros((2, nodes, 1, HOURS)), np.cumsum(values, axis=2)], axis=2) for values in (own, whole, count)]

    def shares(targets: np.ndarray, lead: int) -> np.ndarray:
        end = np.clip(targets - lead + 1, 0, days)
        begin = np.maximum(end - SHARE_DAYS, 0)
        every, working = (list(one) for one in zip(*((total[:, :, end] - total[:, :, begin]) for total in totals), strict=True))
        like = [np.where((grid.kinds[targets] == WORKDAY)[:, None], some, all_ - some) for all_, some in zip(every, working, strict=True)]
        own_, whole_, count_ = every
        sums, known = whole_.sum(axis=2, keepdims=True), count_.sum(axis=2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            usual = np.where(sums > 0, sums / known, np.nan)  # kW an interval
            overall = own_.sum(axis=2, keepdims=True) / np.where(sums > 0, sums, np.nan)
            prior = PRIOR_HOURS * slots / HOURS * usual
            hourly = (own_ + prior * overall) / np.where(whole_ + prior > 0, whole_ + prior, np.nan)
            prior = PRIOR_LIKE_HOURS * slots / HOURS * usual
            near = _around(like[1]) + prior
            return (_around(like[0]) + prior * hourly) / np.where(near > 0, near, np.nan)

    return shares


def _around(sums: np.ndarray) -> np.ndarray:
    """Sums of each hour and the two beside it, around the clock."""
    return sums + np.roll(sums, 1, axis=-1) + np.roll(sums, -1, axis=-1)
