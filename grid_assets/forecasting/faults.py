"""What can be wrong with a published forecast, in words; "" where nothing is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.forecasting.tables import QUANTILE_COLUMNS
from grid_assets.foundation.calendar import SiteCalendar

LOWEST_COVERAGE_PCT = 70.0
TOLERANCE_KW = 1e-9


def gaps(
    forecasts: pd.DataFrame,
    subject: str,
    expected: Iterable[str],
    clock: SiteCalendar,
    day: date,
    last: date | None = None,
    issued: pd.Timestamp | None = None,
) -> str:
    """Subjects without every interval from the issue time of ``day`` (or ``issued``) to the end of the horizon (or of the day
    ``last``), missing numbers, crossing quantiles.
    """
    starts = clock.intervals(day, last or clock.horizon_day(day))
    starts = starts[starts >= (issued or pd.Timestamp(clock.issue_time(day)))]
    said = [f"{name} is not forecast" for name in sorted(set(expected) - set(forecasts[subject]))]
    for name, rows in forecasts.groupby(subject):
        missing = starts.difference(pd.DatetimeIndex(rows["start_utc"]))
        said += [f"{name}: {len(missing)} of {len(starts)} intervals missing, first {missing[0].isoformat()}"] if len(missing) else []
    numbers = forecasts[["mean_kw", *QUANTILE_COLUMNS]].to_numpy(float)
    empty = int((~np.isfinite(numbers)).any(axis=1).sum())
    said += [f"{empty} rows with a missing number"] if empty else []
    crossing = (np.diff(numbers[:, 1:], axis=1) < -TOLERANCE_KW).any(axis=1)
    said += (
        [f"{int(crossing.sum())} rows whose quantiles cross, first of {forecasts[subject].iloc[int(crossing.argmax())]}"]
        if crossing.any()
        else []
    )
    return "; ".join(said[:8])


def loses_to_naive(models: pd.DataFrame, subject: str | None) -> str:
    """Says so when the model of a subject (the system) was not kept; any subject for None."""
    rows = models if subject is None else models[models["subject_id"] == subject]
    lost = rows[~rows["beats_naive"].astype(bool)]
    return "; ".join(
        f"{row.subject_id}: {row.model} is published; on the last days the model missed by {row.backtest_mae_kw:.4g} kW, "
        f"the naive by {row.naive_mae_kw:.4g} kW"
        for row in list(lost.itertuples())[:5]
    )


def low_coverage(accuracy: pd.DataFrame) -> str:
    """Subjects of which the 90 % band held far too little of the day."""
    low = accuracy[(accuracy["coverage_90_pct"] < LOWEST_COVERAGE_PCT) & (accuracy["horizon_class"] == "day_ahead")]
    return "; ".join(f"{row.subject_id}: {row.coverage_90_pct:.0f} % of the day inside the 90 % band" for row in list(low.itertuples())[:8])


def drifted(drift: pd.DataFrame) -> str:
    """Subjects whose forecasts no longer do as they used to, and what was seen."""
    alarms = drift[~drift["alarm"].isin(["none", "learning"])]
    return "; ".join(f"{row.subject_id}: {row.evidence}" for row in list(alarms.itertuples())[:8])
