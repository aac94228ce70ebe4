"""The pictures of docs/forecasting.md, drawn anew by `bench forecasting`."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.definitions import PROJECT
from grid_assets.figures import style
from grid_assets.figures.backtests import error_map

IMAGES = PROJECT / "docs" / "images"
SHOWN = (date(2014, 1, 11), date(2014, 1, 19))


def draw_heat_wave(scored: Any, plain: np.ndarray) -> None:
    """Victoria's heat wave: what came, the forecasts of the mornings before with their bands, and plain LightGBM."""
    days = scored.history.days
    here = np.array([position for position in scored.positions if SHOWN[0] <= days[position] <= SHOWN[1]])
    hours = pd.date_range(pd.Timestamp(days[here[0]]), periods=24 * len(here), freq="h")
    gigawatts = lambda values: values[here].reshape(-1) / 1e6  # noqa: E731
    bands = scored.made.quantiles
    made, axes = style.figure(9.0, 3.8)
    axes[0].fill_between(hours, gigawatts(bands[0]), gigawatts(bands[-1]), color=style.BLUE, alpha=0.18, linewidth=0, label="90 % band")
    axes[0].plot(hours, gigawatts(scored.history.load), color=style.DEMAND, linewidth=1.6, label="what came")
    axes[0].plot(hours, gigawatts(scored.made.mean), color=style.BLUE, linewidth=1.6, label="forecast of the morning before")
    axes[0].plot(hours, gigawatts(plain), color=style.ORANGE, linewidth=1.2, linestyle="--", label="plain LightGBM (peer)")
    style.heading(axes[0], "Victoria's heat wave of January 2014, which no training day resembles", "GW")
    style.clock_axis(axes[0], "UTC")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.18 * (high - low))
    style.legend(axes[0])
    (IMAGES / "forecasting_heat_wave.png").write_bytes(style.png(made))


def draw_error_map(scored: Any, naive: np.ndarray) -> None:
    """A year's errors by day and hour."""
    days = scored.history.days
    here = scored.positions
    hours = pd.date_range(pd.Timestamp(days[here[0]]), periods=24 * len(here), freq="h", tz="UTC")
    rows = {"node_id": scored.name, "start_utc": hours}
    for name, values in (("mean_kw", scored.made.mean), ("actual_kw", scored.history.load), ("naive_kw", naive)):
        rows[name] = values[here].reshape(-1)
    compared = pd.DataFrame(rows).dropna()
    (IMAGES / "forecasting_error_map.png").write_bytes(error_map(compared, scored.name, "UTC", "A year's day-ahead forecasts"))
