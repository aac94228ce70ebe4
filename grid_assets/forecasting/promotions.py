"""Which model is in use: yesterday's stays until another one has been clearly better over the days forecast again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting.champion import CALENDAR_WEATHER, ENSEMBLE, Contest
from grid_assets.forecasting.tables import PROMOTIONS

WEEKLY_NAIVE = "weekly_naive"
LADDER = (WEEKLY_NAIVE, CALENDAR_WEATHER, ENSEMBLE)
MARGIN = 0.02
"""A challenger must have missed by so much less than the model in use: two models that are as good do not take turns."""


def held(verdict: Contest, champions: Sequence[str | None]) -> Contest:
    """The verdict where the models in use stay unless they are beaten by MARGIN; one without errors of its own does not stay.

    ``champions``: each subject's model of the run before, None where there is none.
    """
    errors = np.stack([verdict.naive_mae, verdict.model_mae, verdict.ensemble_mae])
    subjects = np.arange(errors.shape[1])
    best = np.where(verdict.keeps_ensemble, 2, np.where(verdict.keeps_model, 1, 0))
    before = np.array([LADDER.index(name) if name in LADDER else -1 for name in champions])
    with np.errstate(invalid="ignore"):
        stays = (before >= 0) & (errors[best, subjects] > (1 - MARGIN) * errors[before, subjects])
    chosen = np.where(stays, before, best)
    return replace(verdict, keeps_model=chosen == 1, keeps_ensemble=chosen == 2)


def promotions(models: pd.DataFrame, before: Mapping[str, str], decided: datetime) -> pd.DataFrame:
    """Rows of PROMOTIONS (without readings_version): the subjects whose model is another than in the run before.

    ``models``: rows of forecasting/models; ``before``: subject -> model of the run before.
    """
    rows = []
    for one in models.itertuples():
        earlier = before.get(str(one.subject_id))
        if earlier == one.model:
            continue
        errors = {WEEKLY_NAIVE: one.naive_mae_kw, CALENDAR_WEATHER: one.calendar_weather_mae_kw, ENSEMBLE: one.ensemble_mae_kw}
        now, then = errors[str(one.model)], errors.get(str(earlier), np.nan)
        rows.append(
            {
                "subject_id": one.subject_id, "decided_utc": pd.Timestamp(decided), "from_model": earlier, "to_model": one.model,
                "from_mae_kw": then, "to_mae_kw": now, "improvement_pct": 100.0 * (then - now) / then if then > 0 else np.nan,
                "why": _why(earlier, str(one.model), then, now),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=PROMOTIONS.columns)


def _why(earlier: str | None, model: str, then: float, now: float) -> str:
    if earlier is None:
        return f"the first choice: {model}" + (f" missed by {now:.4g} kW on the days forecast again" if np.isfinite(now) else "")
    if not np.isfinite(then):
        return f"{earlier} cannot be made any more; {model} missed by {now:.4g} kW on the days forecast again"
    if not np.isfinite(now):
        return f"too few days for {earlier} to be judged"
    return f"on the days forecast again {model} missed by {now:.4g} kW, {earlier} by {then:.4g} kW: {100 * (then - now) / then:.1f} % less"
