"""How far the forecasts' daily misses have run to one side."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from grid_assets.figures import style

MOST_SUBJECTS = 4


def drift_picture(accuracy: pd.DataFrame, drift: pd.DataFrame, day: date, title: str) -> bytes:
    """The daily mean misses of the subjects nearest to an alarm, and their coverage below, as PNG.

    ``accuracy``: rows of forecast_accuracy up to ``day``; ``drift``: rows of drift of ``day``.
    """
    near = drift.assign(most=np.fmax(drift["cusum_up"].astype(float), drift["cusum_down"].astype(float)).fillna(-1.0))
    names = near.sort_values(["most", "subject_id"], ascending=[False, True])["subject_id"].head(MOST_SUBJECTS).tolist()
    made, axes = style.figure(9.0, 4.4, rows=2)
    known = accuracy[(accuracy["horizon_class"] == "day_ahead") & (accuracy["day"] <= day)]
    for name, colour in zip(names, style.SERIES, strict=False):
        rows = known[known["subject_id"] == name].sort_values("day")
        label = f"{name} ({near.loc[near['subject_id'] == name, 'alarm'].iloc[0]})".replace("_", " ")
        axes[0].plot(pd.to_datetime(rows["day"]), -rows["bias_pct"], color=colour, linewidth=1.4, marker="o", markersize=3, label=label)
        axes[1].plot(pd.to_datetime(rows["day"]), rows["coverage_90_pct"], color=colour, linewidth=1.4, marker="o", markersize=3)
    axes[0].axhline(0.0, color=style.MUTED, linewidth=0.8)
    axes[1].axhline(90.0, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes[1].set_ylim(0, 105)
    style.heading(axes[0], f"Load above its day-ahead forecast, mean of the day: {title}", "%")
    style.heading(axes[1], "Inside the 90 % band", "%")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.3 * (high - low))
    style.legend(axes[0])
    for axis in axes:
        style.clock_axis(axis, "UTC")
    return style.png(made)
