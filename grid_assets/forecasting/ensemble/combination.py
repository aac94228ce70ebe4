"""The two models together: guarded against each other, weighted by how they did, and corrected by the last days' errors."""

from __future__ import annotations

import numpy as np

GUARD = 0.30
"""The regression may leave the trees by this share of their forecast: what goes further extrapolates."""
TREES_SHARE, LARGEST_SHARE = 0.25, 0.6
WEIGHED_DAYS = 90
PRIOR_DAYS = 15.0
"""So many days of errors weigh as much as the usual share."""
BIAS_MEMORY, BIAS_SHARE = 0.15, 0.3
"""Each day's weight in the mean of past errors of an hour, and how much of that mean is taken for lasting."""
LARGEST_ERROR = 0.5
SMALLEST_UNIT = 0.3


def combined(regression: np.ndarray, trees: np.ndarray, actual: np.ndarray, offset: int) -> np.ndarray:
    """The node's forecast [days, hours], kW, by target day; each from errors of target days before its issue day only.

    All [days, hours], kW: both models' forecasts of one offset and what came. The weight of the trees minimises the squared
    error of the last 90 days, drawn to a quarter (Bates and Granger 1969); the bias is an exponential mean of the errors.
    """
    reach = GUARD * unit_of(trees)
    guarded = trees + np.clip(regression - trees, -reach, reach)
    share = _trees_share(guarded, trees, actual, offset)[:, None]
    mixed = (1 - share) * guarded + share * trees
    return mixed + unit_of(mixed) * _lasting_error(mixed, actual, offset)


def unit_of(forecast: np.ndarray) -> np.ndarray:
    """What errors are measured by [days, hours], kW: the forecast's size, or a share of the day's where it is near zero (behind PV)."""
    size = np.abs(forecast)
    return np.maximum(np.maximum(size, SMALLEST_UNIT * size.mean(axis=-1, keepdims=True)), 1e-9)


def _trees_share(regression: np.ndarray, trees: np.ndarray, actual: np.ndarray, offset: int) -> np.ndarray:
    """Weight of the trees by target day [days]."""
    difference = trees - regression
    missed = actual - regression
    known = np.isfinite(difference) & np.isfinite(missed)
    daily = [np.where(known, difference * missed, 0.0).sum(1), np.where(known, difference**2, 0.0).sum(1), known.any(1).astype(float)]
    end = np.maximum(np.arange(len(actual)) - offset, 0)
    begin = np.maximum(end - WEIGHED_DAYS, 0)
    agreement, distance, days = (total[end] - total[begin] for total in (np.concatenate([[0.0], np.cumsum(one)]) for one in daily))
    prior = PRIOR_DAYS * distance / np.maximum(days, 1.0)
    share = (agreement + prior * TREES_SHARE) / np.maximum(distance + prior, 1e-12)
    return np.where(distance > 0, np.clip(share, 0.0, LARGEST_SHARE), TREES_SHARE)


def _lasting_error(forecast: np.ndarray, actual: np.ndarray, offset: int) -> np.ndarray:
    """The share of the unit that lately was missing, by target day and hour [days, hours]."""
    error = np.clip((actual - forecast) / unit_of(forecast), -LARGEST_ERROR, LARGEST_ERROR)
    memory, made = np.zeros(forecast.shape[1]), np.zeros(forecast.shape)
    for target in range(len(forecast)):
        newest = target - offset - 1
        if newest >= 0:
            known = np.isfinite(error[newest])
            memory = np.where(known, (1 - BIAS_MEMORY) * memory + BIAS_MEMORY * np.where(known, error[newest], 0.0), memory)
        made[target] = BIAS_SHARE * memory
    return made
