"""Quantiles from the errors that the same forecasts made on the days before (split conformal prediction, rolling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HOURS = 24


def error_quantiles(errors: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of past errors for each hour of the day, the hours beside it included.

    ``errors`` [subjects, days, slots], actual less forecast, NaN where unknown. Returns [levels, subjects, hours]; NaN
    where no error is known. Finite-sample correction as for exchangeable errors: of n errors the share
    (n + 1) q / n lies below the upper quantiles; the lower ones mirror it (Vovk, Gammerman, Shafer 2005).
    """
    subjects, days, slots = errors.shape
    by_hour = errors.reshape(subjects, days, HOURS, slots // HOURS)
    pooled = np.concatenate([np.roll(by_hour, shift, axis=2) for shift in (-1, 0, 1)], axis=3)
    flat = np.sort(np.moveaxis(pooled, 2, 1).reshape(subjects, HOURS, -1), axis=-1)  # NaN are sorted to the end
    count = np.isfinite(flat).sum(axis=-1)
    made = np.full((len(levels), subjects, HOURS), np.nan)
    for n, level in enumerate(levels):
        corrected = corrected_level(level, count)
        place = np.clip(corrected * (count - 1), 0, None)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        below = np.take_along_axis(flat, low[..., None], -1)[..., 0]
        above = np.take_along_axis(flat, high[..., None], -1)[..., 0]
        made[n] = np.where(count > 0, below + (above - below) * (place - low), np.nan)
    return made


def corrected_level(level: float, count: np.ndarray) -> np.ndarray:
    """The share of past errors that must lie below, so that a coming one does with probability ``level``."""
    count = np.maximum(count, 1.0)
    if level > 0.5:
        return np.minimum(1.0, level * (count + 1) / count)
    if level < 0.5:
        return np.maximum(0.0, 1.0 - (1.0 - level) * (count + 1) / count)
    return np.full(np.shape(count), 0.5)
