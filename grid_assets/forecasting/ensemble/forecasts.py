"""The ensemble's forecasts with their quantiles: what the daily job publishes and what back-tests score, by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grid_assets.forecasting.conformal import error_quantiles
from grid_assets.forecasting.ensemble.combination import combined, unit_of
from grid_assets.forecasting.ensemble.node_models import Fitted, NodeHistory, Rolled, roll

ERROR_DAYS = 90
"""Days of past errors that weights, bias and quantiles look at."""
WARM_UP_DAYS = 2 * ERROR_DAYS
"""Days that are forecast again before the first asked one: the errors of the last 90 come from weights of the 90 before them."""
MINIMUM_ERROR_DAYS = 10


@dataclass(frozen=True)
class EnsembleForecast:
    """Forecasts of one offset by target day, kW; NaN on days that were not asked for and where no model could be had."""

    offset: int
    mean: np.ndarray
    """[days, hours]"""
    quantiles: np.ndarray
    """[levels, days, hours], not crossing"""
    rolled: Rolled


def forecast(
    history: NodeHistory,
    issue_days: Sequence[int],
    offsets: Sequence[int],
    levels: Sequence[float],
    fitted: Fitted | None = None,
    past: Mapping[int, Rolled] | None = None,
) -> dict[int, EnsembleForecast]:
    """Forecasts issued on each of these days (positions in ``history.days``) for each of these ``offsets`` after it.

    Quantiles are the mean and the quantiles of its own relative errors at that hour and the two beside it on the last 90
    days that were known at the issue time (split conformal prediction). Where fewer than ten such days are known they are NaN.
    The days before the first asked one are forecast again for their errors, unless ``past`` has them already (from an earlier
    call over the same days); ``fitted`` keeps the models.
    """
    issued = sorted(issue_days)
    warm = () if past is not None else range(max(issued[0] - WARM_UP_DAYS, 0), issued[0])
    rolled = roll(history, [*warm, *issued], offsets, fitted)
    if past is not None:
        rolled = {offset: _joined(past[offset], rolled[offset]) for offset in offsets}
    return {offset: _with_quantiles(history, one, issued, levels) for offset, one in rolled.items()}


def _joined(past: Rolled, new: Rolled) -> Rolled:
    models = ((past.regression, new.regression), (past.trees, new.trees))
    return Rolled(new.offset, *(np.where(np.isfinite(later), later, earlier) for earlier, later in models))


def _with_quantiles(history: NodeHistory, rolled: Rolled, issued: Sequence[int], levels: Sequence[float]) -> EnsembleForecast:
    begin = max(issued[0] - WARM_UP_DAYS, 0)
    mean = np.full(history.load.shape, np.nan)
    mean[begin:] = combined(rolled.regression[begin:], rolled.trees[begin:], history.load[begin:], rolled.offset)
    targets = [day + rolled.offset for day in issued if day + rolled.offset < len(mean)]
    quantiles = conformal_quantiles(mean, history.load, rolled.offset, targets, levels)
    asked = np.zeros(len(mean), bool)
    asked[targets] = True
    return EnsembleForecast(rolled.offset, np.where(asked[:, None], mean, np.nan), quantiles, rolled)


def conformal_quantiles(mean: np.ndarray, actual: np.ndarray, offset: int, targets: Sequence[int], levels: Sequence[float]) -> np.ndarray:
    """Quantiles [levels, days, hours], kW, of these target days; each from errors of target days before its issue day."""
    made = np.full((len(levels), *mean.shape), np.nan)
    unit = unit_of(mean)
    errors = (actual - mean) / unit
    for target in targets:
        newest = target - offset
        past = errors[max(newest - ERROR_DAYS, 0) : max(newest, 0)]
        if np.isfinite(past).any(1).sum() >= MINIMUM_ERROR_DAYS:
            made[:, target] = mean[target] + error_quantiles(past[None], levels)[:, 0] * unit[target]
    made[:, targets] = np.maximum.accumulate(made[:, targets], axis=0)
    return made
