"""How the forecasts of single meters did, over all of them: one row beside those of the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.forecasting.accuracy import DAY_AHEAD, pinball
from grid_assets.forecasting.meters.coherent_week import hourly_loads
from grid_assets.forecasting.meters.global_model import HOURS, LEVELS
from grid_assets.forecasting.tables import FORECAST_ACCURACY
from grid_assets.foundation.calendar import SiteCalendar

METERS = "meters"
WEEK = timedelta(days=7)
BANDS = ("p05_kw", "p50_kw", "p95_kw")


def meter_accuracy(forecasts: pd.DataFrame, readings: Mapping[date, pa.Table], clock: SiteCalendar, day: date) -> pd.DataFrame:
    """The row of forecast_accuracy whose subject is ``meters``: each hour of each meter on ``day`` counts once.

    ``forecasts``: rows of METER_FORECASTS of the run whose study day is ``day``; ``readings``: READINGS of ``day`` and of the day a week
    before, which is the naive. Measured and edited hours for which both are known are judged; no row where there is none. The
    quantiles are LEVELS; a meter's hour may be zero, so that there is no MAPE.
    """
    parts = [(one, readings[one]) for one in (day - WEEK, day) if one in readings]
    if forecasts.empty or len(parts) < 2:
        return FORECAST_ACCURACY.empty().to_pandas()
    meters = pd.Index(forecasts["meter_id"].unique())
    naive, actual = np.moveaxis(hourly_loads(parts, len(parts), meters, clock), 1, 0).astype(float)
    hours = replace(clock, interval_minutes=60).intervals(day)
    place = hours.get_indexer(pd.DatetimeIndex(forecasts["start_utc"]))
    rows, row = forecasts[place >= 0], meters.get_indexer(pd.Index(forecasts["meter_id"]))[place >= 0]
    hour = clock.local(hours).hour.to_numpy()[place[place >= 0]]
    told = {}
    for name in ("mean_kw", *BANDS):
        told[name] = np.full((len(meters), HOURS), np.nan)
        told[name][row, hour] = rows[name]
    judged = np.isfinite(actual) & np.isfinite(naive) & np.isfinite(told["mean_kw"])
    if not judged.any():
        return FORECAST_ACCURACY.empty().to_pandas()
    came, before = actual[judged], naive[judged]
    mean, low, high = (told[name][judged] for name in ("mean_kw", BANDS[0], BANDS[-1]))
    losses = [pinball(came, told[name][judged], level) for name, level in zip(BANDS, LEVELS, strict=True)]
    error, level = mean - came, came.mean()
    scores = {
        "subject_id": METERS, "horizon_class": DAY_AHEAD, "day": day, "model": forecasts["model"].iloc[0], "intervals": int(judged.sum()),
        "mape_pct": np.nan, "rmse_kw": np.sqrt(np.mean(error**2)), "mae_kw": np.abs(error).mean(), "pinball_kw": np.mean(losses),
        "coverage_90_pct": 100.0 * ((came >= low) & (came <= high)).mean(), "bias_pct": 100.0 * error.mean() / level if abs(level) > 1e-9 else np.nan,
        "naive_mape_pct": np.nan, "naive_mae_kw": np.abs(before - came).mean(),
    }  # fmt: skip
    return pd.DataFrame([scores], columns=FORECAST_ACCURACY.columns)
