"""What a back-test looks like: where the forecast was too high or too low, hour by hour and day by day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures import style

LARGEST_PCT = 15.0


def error_map(compared: pd.DataFrame, node: str, zone: str, title: str) -> bytes:
    """Errors of a node by day and local hour (share of its mean actual load), and the days' mean errors beside the naive's, as PNG.

    ``compared``: node_id, start_utc, mean_kw, actual_kw, naive_kw.
    """
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    rows = compared[compared["node_id"] == node]
    local = rows["start_utc"].dt.tz_convert(zone).dt.tz_localize(None)
    level = max(float(rows["actual_kw"].abs().mean()), 1e-9)
    error = 100.0 * (rows["mean_kw"] - rows["actual_kw"]) / level
    cells = pd.DataFrame({"day": local.dt.normalize(), "hour": local.dt.hour, "error": error}).pivot_table(
        index="hour", columns="day", values="error"
    )
    cells = cells.reindex(index=range(24), columns=pd.date_range(cells.columns.min(), cells.columns.max(), freq="D"))
    made, axes = style.figure(9.0, 5.2, rows=2)
    colours = LinearSegmentedColormap.from_list("errors", [style.BLUE, style.PAPER, style.RED])
    edges = pd.date_range(cells.columns[0], periods=len(cells.columns) + 1, freq="D")
    drawn = axes[0].pcolormesh(edges, np.arange(25), cells.to_numpy(), cmap=colours, norm=Normalize(-LARGEST_PCT, LARGEST_PCT))
    axes[0].grid(False)
    axes[0].set_facecolor(style.GRID)
    axes[0].set_yticks([0, 6, 12, 18, 24])
    style.heading(axes[0], f"{title}: errors of {node}", "local hour")
    made.colorbar(drawn, ax=axes[0], pad=0.01, extend="both").set_label(
        "forecast less actual, % of the mean load", size=8, color=style.MUTED
    )
    daily = pd.DataFrame(
        {
            "day": local.dt.normalize(),
            "forecast": (rows["mean_kw"] - rows["actual_kw"]).abs(),
            "weekly naive": (rows["naive_kw"] - rows["actual_kw"]).abs(),
        }
    )
    means = 100.0 * daily.groupby("day").mean() / level
    noon = means.index + pd.Timedelta(hours=12)
    axes[1].plot(noon, means["weekly naive"], color=style.MUTED, linewidth=1.0, label="weekly naive")
    axes[1].plot(noon, means["forecast"], color=style.BLUE, linewidth=1.6, label="forecast")
    axes[1].set_xlim(edges[0], edges[-1])
    axes[1].set_ylim(bottom=0)
    style.heading(axes[1], "Mean absolute error of each day", "% of the mean load")
    style.legend(axes[1])
    for axis in axes:
        style.clock_axis(axis, "UTC")
    return style.png(made)
