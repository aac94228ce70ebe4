"""Ridge regressions that are fitted anew for every issue day at the cost of one, because Gram matrices add up over days."""

from __future__ import annotations

import numpy as np

from grid_assets.forecasting.like_days import Design

HOURS = 24
SHRINKAGE_DAYS = 12.0
NEIGHBOUR_WEIGHT = 0.5
GUARD = 0.25


def rolling_predictions(design: Design, power: np.ndarray, lead: int, targets: np.ndarray) -> np.ndarray:
    """Predicted power [subjects, targets, slots], kW: for each target day from a regression on the days known ``lead`` before.

    One regression a subject and local hour; the hours beside it count half. The response is the difference to the like
    days in units of the level, so that shrinking leads back to the mean of the like days. Ridge: Hoerl and Kennard (1970).
    """
    subjects, days, slots, _ = design.regressors.shape
    per_hour = slots // HOURS
    response = (power - design.base) / design.level[..., None]
    good = np.isfinite(response)
    weighted = np.where(good[..., None], design.regressors, 0.0)
    response = np.where(good, response, 0.0)
    by_hour = weighted.reshape(subjects, days, HOURS, per_hour, -1)
    answers = response.reshape(subjects, days, HOURS, per_hour, 1)
    issued = targets - lead
    gram = _pooled(np.cumsum(by_hour.swapaxes(-1, -2) @ by_hour, axis=1)[:, issued])
    moment = _pooled(np.cumsum(by_hour.swapaxes(-1, -2) @ answers, axis=1)[:, issued])
    coefficients = _solved(gram, moment, per_hour)
    rows = design.regressors[:, targets].reshape(subjects, len(targets), HOURS, per_hour, -1)
    difference = (rows @ coefficients).reshape(subjects, len(targets), slots)
    predicted = design.base[:, targets] + difference * design.level[:, targets][..., None]
    return _guarded(predicted, power, issued)


def _pooled(sums: np.ndarray) -> np.ndarray:
    """Sums per hour with those of the hours before and after, around the clock."""
    around = NEIGHBOUR_WEIGHT * sums
    made = sums.copy()
    made[:, :, 1:] += around[:, :, :-1]
    made[:, :, :-1] += around[:, :, 1:]
    made[:, :, 0] += around[:, :, -1]
    made[:, :, -1] += around[:, :, 0]
    return made


def _solved(gram: np.ndarray, moment: np.ndarray, per_hour: int) -> np.ndarray:
    """Coefficients [..., terms, 1]; each term is penalised by its variance, as if all were standardised first.

    Adds the penalty to ``gram`` in place.
    """
    count = np.maximum(gram[..., 0, 0], 1.0)[..., None]
    squares = np.einsum("...ii->...i", gram)
    variance = np.maximum(squares / count - (gram[..., 0, :] / count) ** 2, 0.0)
    variance[..., 0] = 1.0
    penalty = SHRINKAGE_DAYS * per_hour * (1 + 2 * NEIGHBOUR_WEIGHT) * variance + 1e-8 * (1.0 + squares)
    diagonal = np.arange(gram.shape[-1])
    gram[..., diagonal, diagonal] += penalty
    return np.linalg.solve(gram, moment)


def _guarded(predicted: np.ndarray, power: np.ndarray, issued: np.ndarray) -> np.ndarray:
    """Predictions kept within what the subject ever did until then, widened by a quarter of that span."""
    flat = np.where(np.isfinite(power), power, np.nan)
    low = np.fmin.accumulate(np.fmin.reduce(flat, axis=2), axis=1)[:, issued][..., None]
    high = np.fmax.accumulate(np.fmax.reduce(flat, axis=2), axis=1)[:, issued][..., None]
    margin = GUARD * (high - low)
    return np.where(np.isfinite(low), np.clip(predicted, low - margin, high + margin), predicted)
