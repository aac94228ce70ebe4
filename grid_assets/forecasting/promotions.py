"""Which model is in use: yesterday's stays until another one has been clearly better over the days forecast again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting.champion import WEEKLY_NAIVE, Contest
from grid_assets.forecasting.tables import PROMOTIONS

MARGIN = 0.02
"""A challenger must have missed by so much less than the model in use: two models that are as good do not take turns."""


def held(verdict: Contest, champions: Sequence[str | None]) -> Contest:
    """The verdict where the models in use stay unless they are beaten by MARGIN; one without errors of its own does not stay.

    ``champions``: each subject's model of the run before, None where there is none.
    """
    names, errors = list(verdict.errors), np.stack(list(verdict.errors.values()))
    subjects = np.arange(errors.shape[1])
    best = np.array([names.index(name) for name in verdict.chosen], int)
    before = np.array([names.index(name) if name in names else -1 for name in champions], int)
    with np.errstate(invalid="ignore"):
        stays = (before >= 0) & (errors[best, subjects] > (1 - MARGIN) * errors[before, subjects])
    return replace(verdict, chosen=np.array(names)[np.where(stays, before, best)])


def promotions(models: pd.DataFrame, before: Mapping[str, str], decided: datetime) -> pd.DataFrame:
    """Rows of PROMOTIONS (without readings_version): the subjects whose model is another than in the run before.

    ``models``: rows of forecasting/models; ``before``: subject -> model of the run before.
    """
    rows = []
    for one in models.itertuples():
        earlier = before.get(str(one.subject_id))
        if earlier == one.model:
            continue
        now, then = (_error_of(one, name) for name in (str(one.model), str(earlier)))
        rows.append(
            {
                "subject_id": one.subject_id, "decided_utc": pd.Timestamp(decided), "from_model": earlier, "to_model": one.model,
                "from_mae_kw": then, "to_mae_kw": now, "improvement_pct": 100.0 * (then - now) / then if then > 0 else np.nan,
                "why": _why(earlier, str(one.model), then, now),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=PROMOTIONS.columns)


def _error_of(row, model: str) -> float:
    return float(getattr(row, "naive_mae_kw" if model == WEEKLY_NAIVE else f"{model}_mae_kw", np.nan))


def _why(earlier: str | None, model: str, then: float, now: float) -> str:
    if earlier is None:
        return f"the first choice: {model}" + (f" missed by {now:.4g} kW on the days forecast again" if np.isfinite(now) else "")
    if not np.isfinite(then):
        return f"{earlier} cannot be made any more; {model} missed by {now:.4g} kW on the days forecast again"
    if not np.isfinite(now):
        return f"too few days for {earlier} to be judged"
    return f"on the days forecast again {model} missed by {now:.4g} kW, {earlier} by {then:.4g} kW: {100 * (then - now) / then:.1f} % less"
