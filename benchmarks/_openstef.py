"""OpenSTEF 3.4 in an environment of its own: its pins (pandas 2.2, scikit-learn below 1.6) do not go with ours."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._own_environment import run_apart
from grid_assets.forecasting.ensemble.node_models import NodeHistory

ENVIRONMENT = ("openstef==3.4.93", "xgboost", "pyarrow")  # it imports xgboost and does not ask for it; Parquet brings it the days
SCRIPT = Path(__file__).with_name("_openstef_days.py")


@dataclass(frozen=True)
class PeerForecasts:
    mean: np.ndarray
    """[days, hours], kW"""
    seconds_per_forecast: float
    """With the model loaded, features included."""


def openstef_forecasts(history: NodeHistory, zone: str, positions: Sequence[int]) -> PeerForecasts | str:
    """Day-ahead forecasts of these days (positions), each from what was known at 09:00 of the day before; or why there are none.

    Two years of hourly load and temperature, models refitted every quarter; holidays and features are its own.
    """
    with tempfile.TemporaryDirectory(prefix="grid_assets_bench_") as folder:
        asked, told = Path(folder) / "asked.parquet", Path(folder) / "told.parquet"
        _hourly(history, zone).to_parquet(asked)
        days = Path(folder) / "days.json"
        days.write_text(json.dumps({"zone": zone, "days": [history.days[one].isoformat() for one in positions]}))
        if failed := run_apart(ENVIRONMENT, SCRIPT, [asked, days, told], Path(folder)):
            return failed
        found = pd.read_parquet(told)
        return PeerForecasts(found.drop(columns="seconds").to_numpy(float), float(found["seconds"].median()))


def _hourly(history: NodeHistory, zone: str) -> pd.DataFrame:
    """Load, kW, and temperature by local hour; hours that the clock skips or repeats are left out, as is what is unknown."""
    stamps = pd.DatetimeIndex(np.concatenate([pd.date_range(day, periods=24, freq="h") for day in map(pd.Timestamp, history.days)]))
    local = stamps.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    degrees = history.temperature.observed.reshape(-1) if history.temperature else np.nan
    frame = pd.DataFrame({"load": history.load.reshape(-1), "temp": degrees}, index=local)
    return frame[frame.index.notna()].tz_convert("UTC").rename_axis("start_utc")
