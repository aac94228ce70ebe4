"""The ensemble's forecasts with their quantiles: what the daily job publishes and what back-tests score, by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from grid_assets.forecasting.conformal import error_quantiles
from grid_assets.forecasting.ensemble.combination import combined, unit_of
from grid_assets.forecasting.ensemble.node_models import HOURS, Fitted, NodeHistory, Rolled, roll
from grid_assets.forecasting.like_days import mean_of

ERROR_DAYS = 90
"""Days of past errors that weights, bias and quantiles look at."""
RECENT_DAYS = 14
"""Days whose misses say whether the bands are too narrow or too wide at present."""
WARM_UP_DAYS = 2 * ERROR_DAYS + 2 * RECENT_DAYS
"""Days that are forecast again before the first asked one: the errors of the last 90 come from weights of the 90 before them."""
MINIMUM_ERROR_DAYS = 10
EASE = 3.0
"""A day on which the models disagree as they usually do counts 1 + EASE, one on which they disagree twice as much 2 + EASE."""
MOST_DISAGREEMENT = 5.0
"""More than so many times the usual disagreement says no more: the models then merely extrapolate in their own ways."""
WATCHED = (0.05, 0.5, 0.95)
WIDTH_SHARE, NARROWEST, WIDEST = 0.7, 0.7, 3.0
"""How much of a recent misfit (as an exponent) the bands follow, and how far."""


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
    refits: Sequence[date] = (),
) -> dict[int, EnsembleForecast]:
    """Forecasts issued on each of these days (positions in ``history.days``) for each of these ``offsets`` after it.

    Quantiles are the mean and the quantiles of its own relative errors at that hour and the two beside it on the last 90
    days that were known at the issue time (split conformal prediction), wider where the two models disagree and while the
    bands of the last days held too little. Where fewer than ten days of errors are known they are NaN.
    The days before the first asked one are forecast again for their errors, unless ``past`` has them already (from an earlier
    call over the same days); ``fitted`` keeps the models; ``refits``: days from which on they are fitted anew.
    """
    issued = sorted(issue_days)
    warm = () if past is not None else range(max(issued[0] - WARM_UP_DAYS, 0), issued[0])
    rolled = roll(history, [*warm, *issued], offsets, fitted, refits)
    if past is not None:
        rolled = {offset: _joined(past[offset], rolled[offset]) for offset in offsets}
    return {offset: _with_quantiles(history, one, issued, levels) for offset, one in rolled.items()}


def _joined(past: Rolled, new: Rolled) -> Rolled:
    models = ((past.regression, new.regression), (past.trees, new.trees))
    return Rolled(new.offset, *(np.where(np.isfinite(later), later, earlier) for earlier, later in models))


def _with_quantiles(history: NodeHistory, rolled: Rolled, issued: Sequence[int], levels: Sequence[float]) -> EnsembleForecast:
    begin = max(issued[0] - WARM_UP_DAYS, 0)
    regression, trees, load = rolled.regression[begin:], rolled.trees[begin:], history.load[begin:]
    mean = combined(regression, trees, load, rolled.offset)
    targets = [day + rolled.offset - begin for day in issued if day + rolled.offset < len(history.load)]
    unit = unit_of(mean) * difficulty(regression, trees, rolled.offset)
    bands = conformal_quantiles(mean, unit, load, rolled.offset, targets, levels)
    asked = np.zeros(len(mean), bool)
    asked[targets] = True
    whole = np.full(history.load.shape, np.nan)
    whole[begin:] = np.where(asked[:, None], mean, np.nan)
    quantiles = np.full((len(levels), *history.load.shape), np.nan)
    quantiles[:, begin:] = bands
    return EnsembleForecast(rolled.offset, whole, quantiles, rolled)


def difficulty(regression: np.ndarray, trees: np.ndarray, offset: int) -> np.ndarray:
    """How hard each hour is to forecast [days, hours]: by how far the two models lie apart, against the 90 days before the issue day.

    All [days, hours], kW. 1 + EASE is usual; so is what cannot be told.
    """
    apart = np.abs(regression - trees) / unit_of(trees)
    around = (apart + np.roll(apart, 1, axis=1) + np.roll(apart, -1, axis=1)) / 3
    daily = mean_of(apart, 1)
    made = np.full(apart.shape, 1.0 + EASE)
    for day in range(len(apart)):
        before = daily[max(day - offset - ERROR_DAYS, 0) : max(day - offset, 0)]
        if np.isfinite(before).sum() >= MINIMUM_ERROR_DAYS:
            made[day] = EASE + np.minimum(around[day] / max(float(np.nanmean(before)), 1e-9), MOST_DISAGREEMENT)
    return made


def conformal_quantiles(
    mean: np.ndarray, unit: np.ndarray, actual: np.ndarray, offset: int, targets: Sequence[int], levels: Sequence[float]
) -> np.ndarray:
    """Quantiles [levels, days, hours], kW, of these target days; each from errors of target days before its issue day.

    Errors are measured in ``unit`` [days, hours], kW (normalised conformal prediction, Papadopoulos and others 2008). The
    bands' width follows how the last 14 days' own bands held, as adaptive conformal inference does (Gibbs, Candes 2021), but
    from a window, so that no day's band depends on when the watching began.
    """
    errors = (actual - mean) / unit
    watched = sorted(
        {day for target in targets for day in range(max(target - offset - RECENT_DAYS, 0), max(target - offset, 0))} | set(targets)
    )
    all_levels = (*WATCHED, *levels)
    spreads = np.full((len(all_levels), *mean.shape), np.nan)
    for day in watched:
        newest = max(day - offset, 0)
        past = errors[max(newest - ERROR_DAYS, 0) : newest]
        if np.isfinite(past).any(1).sum() >= MINIMUM_ERROR_DAYS:
            spreads[:, day] = error_quantiles(past[None], all_levels)[:, 0] * unit[day]
    low, middle, high = spreads[: len(WATCHED)]
    missed = actual - mean - middle
    with np.errstate(divide="ignore", invalid="ignore"):
        misfit = np.where(missed > 0, missed / (high - middle), missed / (low - middle))
    made = np.full((len(levels), *mean.shape), np.nan)
    for target in targets:
        recent = misfit[max(target - offset - RECENT_DAYS, 0) : max(target - offset, 0)]
        spread = middle[target] + (spreads[len(WATCHED) :, target] - middle[target]) * _width(recent[np.isfinite(recent)])
        made[:, target] = np.maximum.accumulate(mean[target] + spread, axis=0)
    return made


def _width(misfit: np.ndarray) -> float:
    """By what the bands are multiplied: such that nine in ten of the last misses would have lain inside, and not all the way."""
    if len(misfit) < RECENT_DAYS * HOURS / 2:
        return 1.0
    return float(np.clip(np.quantile(misfit, WATCHED[-1] - WATCHED[0]) ** WIDTH_SHARE, NARROWEST, WIDEST))
