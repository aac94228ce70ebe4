"""How customers are expected to answer prices: substitution between intervals, and the day's energy.

The constant-elasticity-of-substitution model with a daily-use equation, as price pilots have estimated it (Faruqui and
George, Quantifying Customer Response to Dynamic Pricing, The Electricity Journal 18(4), 2005). With q load, p price
under the base, primes under the candidate, s the substitution elasticity and e the own-price elasticity of the day:

    q'_t / q'_u = (q_t / q_u) [(p'_t / p_t) / (p'_u / p_u)]^-s            for any two intervals t, u of the day
    sum q' = sum q (P' / P)^e,    P = sum p q / sum q,   P' = sum p' q / sum q   (prices weighted by the base load)

Hence q'_t = k q_t (p'_t / p_t)^-s with one k for the day. Energy moves and, but for e, none is lost; load keeps its sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_LOAD_KW = 1e-12
"""Summed over the day: below this there is nothing that could answer."""


class PriceResponseError(ValueError):
    """Loads, prices or elasticities that the response is not defined for."""


@dataclass(frozen=True)
class Elasticities:
    """What is assumed of customers, and where it comes from."""

    own_price: float
    """Change of a day's energy per change of its mean price, both relative; 0 or below."""
    substitution: float
    """Change of the ratio of two intervals' loads per change of the ratio of their prices, turned positive; 0 or above."""
    source: str

    def __post_init__(self) -> None:
        if not (np.isfinite(self.own_price) and self.own_price <= 0):
            raise PriceResponseError(f"own_price is {self.own_price}; expected 0 or below: dearer energy is not used more")
        if not (np.isfinite(self.substitution) and self.substitution >= 0):
            raise PriceResponseError(f"substitution is {self.substitution}; expected 0 or above: load moves to cheaper intervals")

    def scaled(self, factor: float) -> Elasticities:
        """The same assumptions, weaker or stronger."""
        return Elasticities(self.own_price * factor, self.substitution * factor, self.source)


def respond(load_kw: np.ndarray, base_price: np.ndarray, candidate_price: np.ndarray, elasticities: Elasticities) -> np.ndarray:
    """The load expected under the candidate prices.

    ``load_kw`` is (intervals,) or (intervals, customers), the load under the base prices; prices are (intervals,) per
    kWh and above 0. What feeds in (a net load below 0) does not answer prices and stays. Returns kW in the shape of
    ``load_kw``. Raises PriceResponseError for prices of 0 or below and for values that are no numbers.
    """
    load = np.asarray(load_kw, float)
    base, candidate = np.asarray(base_price, float), np.asarray(candidate_price, float)
    if base.shape != candidate.shape or base.shape != load.shape[:1]:
        raise PriceResponseError(f"{load.shape[0]} intervals of load against {base.shape} and {candidate.shape} prices; expected as many")
    if not (np.isfinite(base).all() and np.isfinite(candidate).all() and base.min() > 0 and candidate.min() > 0):
        raise PriceResponseError("constant elasticities need prices above 0 in every interval, under both tariffs")
    if not np.isfinite(load).all():
        raise PriceResponseError(f"interval {int(np.argwhere(~np.isfinite(load))[0][0])}: the load is no number")
    table = load if load.ndim == 2 else load[:, None]
    consumed = np.maximum(table, 0.0)
    moved = consumed * ((candidate / base) ** -elasticities.substitution)[:, None]
    energy = consumed.sum(axis=0)
    idle = energy < NO_LOAD_KW
    mean_base, mean_candidate = base @ consumed, candidate @ consumed  # both times energy: only their ratio counts
    target = energy * np.where(idle, 1.0, mean_candidate / np.where(idle, 1.0, mean_base)) ** elasticities.own_price
    answered = moved * (target / np.where(idle, 1.0, moved.sum(axis=0))) + np.minimum(table, 0.0)
    return np.where(idle, table, answered).reshape(load.shape)
