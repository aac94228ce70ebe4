"""Weighted ridge regressions, one for each hour of the day, solved together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOURS = 24
SMALLEST = 1e-9


@dataclass(frozen=True)
class HourlyRidge:
    """Coefficients [hours, terms] and intercepts [hours]."""

    coefficients: np.ndarray
    intercepts: np.ndarray

    def predict(self, terms: np.ndarray) -> np.ndarray:
        """``terms`` [days, hours, terms] -> [days, hours], in the unit of what it was fitted to."""
        return np.einsum("dhp,hp->dh", terms, self.coefficients, optimize=True) + self.intercepts


def fit_hourly_ridge(terms: np.ndarray, answers: np.ndarray, weights: np.ndarray, penalty: float) -> HourlyRidge:
    """Ridge (Hoerl and Kennard 1970) of ``answers`` [days, hours] on ``terms`` [days, hours, terms], per hour.

    ``weights`` [days]; days of weight 0 and answers that are NaN do not count. Terms are standardised per hour, so that
    ``penalty`` is in days: a term that holds for fewer days than that is shrunk by more than half. The intercept is free.
    A term that never varies has the coefficient 0. Without any answer in an hour its regression is 0 throughout.
    """
    by_hour = np.ascontiguousarray(terms.transpose(1, 0, 2))
    known = np.isfinite(answers)
    weight = (weights[:, None] * known).T
    total = np.maximum(weight.sum(1), SMALLEST)
    centre = np.einsum("hd,hdp->hp", weight, by_hour, optimize=True) / total[:, None]
    filled = np.where(known, answers, 0.0).T
    middle = (weight * filled).sum(1) / total
    root = np.sqrt(weight)
    deviation = (by_hour - centre[:, None]) * root[..., None]
    gram = deviation.transpose(0, 2, 1) @ deviation
    moment = (deviation.transpose(0, 2, 1) @ ((filled - middle[:, None]) * root)[..., None])[..., 0]
    spread = np.sqrt(np.einsum("hpp->hp", gram) / total[:, None])
    scale = np.where(spread > SMALLEST, spread, np.inf)
    standard = gram / scale[:, :, None] / scale[:, None, :] + penalty * np.eye(gram.shape[-1])
    coefficients = np.linalg.solve(standard, (moment / scale)[..., None])[..., 0] / scale
    return HourlyRidge(coefficients, middle - (centre * coefficients).sum(1))
