"""Gradient-boosted trees over the same facts: unlike the regression they never leave the range of what they have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grid_assets.forecasting.ensemble.surprises import shifted
from grid_assets.forecasting.like_days import mean_of

HOURS = 24
LEVEL_DAYS = 28
HALF_LIFE_DAYS = 700.0
ROUNDS = 350
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "num_threads": 1,  # the same numbers everywhere; and on a busy machine LightGBM's threads wait for each other
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbose": -1,
}
TEMPERATURES = (
    "now", "lag_1h", "lag_2h", "lag_3h", "lag_6h", "lag_12h", "lag_24h", "mean_3h", "mean_24h", "memory_12h", "memory_48h",
    "memory_120h", "mean_168h", "day_maximum", "day_minimum", "day_mean",
)  # fmt: skip


def unavailable() -> str:
    """Why trees cannot be grown on this machine, and what to do; "" where they can."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError) as error:  # an OSError where the OpenMP runtime is absent, which its package does not bring
        return f"no ensemble: LightGBM cannot be loaded ({error}); on Debian install libgomp1"
    return ""


@dataclass(frozen=True)
class Trees:
    booster: Any
    """A lightgbm.Booster."""

    def predict(self, facts: np.ndarray) -> np.ndarray:
        """``facts`` [days, hours, facts] -> [days, hours], relative to the level."""
        return self.booster.predict(facts.reshape(-1, facts.shape[-1])).reshape(facts.shape[:2])


def fit_trees(facts: Sequence[np.ndarray], answers: Sequence[np.ndarray], ages: np.ndarray) -> Trees:
    """LightGBM (Ke and others 2017) on the rows of all offsets; ``facts``: a [days, hours, facts] each, ``answers`` [days, hours].

    ``ages`` [days]: days before the fit, by which rows count less; rows whose answer is NaN do not count.
    """
    import lightgbm

    kept = [np.isfinite(answer) for answer in answers]
    rows = np.concatenate([fact[good] for fact, good in zip(facts, kept, strict=True)])
    answer = np.concatenate([one[good] for one, good in zip(answers, kept, strict=True)])
    weight = np.concatenate([np.repeat(0.5 ** (ages / HALF_LIFE_DAYS), good.sum(1)) for good in kept])
    return Trees(lightgbm.train(PARAMETERS, lightgbm.Dataset(rows, answer, weight=weight, free_raw_data=True), ROUNDS))


def level(load: np.ndarray, offset: int) -> np.ndarray:
    """Mean of the 28 days that ended before the issue day, by target day [days]; of what there is where it is less."""
    daily = mean_of(load, 1)
    known = np.isfinite(daily)
    sums, counts = (np.concatenate([[0.0], np.cumsum(one)]) for one in (np.where(known, daily, 0.0), known.astype(float)))
    end = np.maximum(np.arange(len(load)) - offset, 0)
    begin = np.maximum(end - LEVEL_DAYS, 0)
    with np.errstate(invalid="ignore"):
        return (sums[end] - sums[begin]) / np.where(counts[end] > counts[begin], counts[end] - counts[begin], np.nan)


def tree_facts(
    load: np.ndarray,
    calendar: Mapping[str, np.ndarray],
    temperatures: Mapping[str, np.ndarray] | None,
    observed: Mapping[str, np.ndarray] | None,
    offset: int,
    known_hours: int,
) -> np.ndarray:
    """Facts [days, hours, facts] of each target day from what was known ``offset`` days before at the issue time.

    ``load`` [days, hours] in the ensemble's scale. ``calendar``: name -> [days], among them ``free``: weekends' like, holidays.
    ``temperatures``: features of the target days as known at the issue time; ``observed``: of all days as measured, of which
    the first ``known_hours`` hours of the issue day and the days before it are looked at.
    """
    here = level(load, offset)[:, None]
    weeks = [days for days in (7, 14, 21) if days > offset][:2]

    def before(days: int) -> np.ndarray:
        return shifted(load, days) - here

    def latest(values: np.ndarray, days: int = 0) -> np.ndarray:
        """The known hours of the issue day, or all of the day before where none is known; and as many of earlier days."""
        return shifted(values, offset + days)[:, :known_hours] if known_hours else shifted(values, offset + 1 + days)

    yesterday, morning, free = before(offset + 1), latest(load) - here, calendar["free"].astype(float)
    facts = [np.tile(np.arange(HOURS, dtype=float), (len(load), 1)), np.full(load.shape, float(offset))]
    facts += [_all_day(values) for values in calendar.values()]
    facts += [_all_day(shifted(free, days)) for days in (offset + 1, *weeks)]
    facts += [yesterday, *(before(days) for days in weeks), _all_day(mean_of(yesterday, 1))]
    facts += [_all_day(morning[:, -1]), _all_day(mean_of(morning, 1))]
    facts += [_all_day(mean_of(latest(load), 1) - mean_of(latest(load, days), 1)) for days in (1, 7)]
    facts.append(mean_of(np.stack([before(offset + 1 + n) for n in range(7)]), 0))
    if temperatures is not None and observed is not None:
        facts += [temperatures[name] for name in TEMPERATURES]
        for days in (offset + 1, *weeks):
            facts += [temperatures[name] - shifted(observed[name], days) for name in ("now", "mean_24h")]
        facts.append(_all_day(mean_of(latest(observed["now"]), 1) - mean_of(latest(observed["now"], 1), 1)))
    return np.stack(facts, axis=-1)


def _all_day(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values, float)[:, None], HOURS, axis=1)
