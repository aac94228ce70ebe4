"""Pictures of flows over a range of days."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures import style
from grid_assets.foundation.site_sections import NetworkSection

MOST_ELEMENTS = 60


def year_picture(intervals: pd.DataFrame, zone: str) -> bytes:
    """PNG: the highest loading and the lowest voltage of each interval, by day and time of day on the site's clock.

    ``intervals``: start_utc, maximum_loading_pct, minimum_vm_pu. Where the clock is put back, the hour's values are averaged.
    """
    local = intervals["start_utc"].dt.tz_convert(zone).dt.tz_localize(None)
    frame = intervals.assign(day=local.dt.normalize(), hour=local.dt.hour + local.dt.minute / 60)
    made, axes = style.figure(9.0, 5.6, rows=2)
    shown = (
        ("maximum_loading_pct", "Highest loading of any branch", "%", "YlOrRd"),
        ("minimum_vm_pu", "Lowest voltage at any bus", "p.u.", "viridis"),
    )
    for axis, (column, title, unit, colours) in zip(axes, shown, strict=True):
        cells = frame.pivot_table(index="hour", columns="day", values=column)
        cells = cells.reindex(columns=pd.date_range(cells.columns.min(), cells.columns.max(), freq="D"))
        step = 24.0 / max(len(cells.index), 1)
        edges = pd.date_range(cells.columns[0], periods=len(cells.columns) + 1, freq="D")
        drawn = axis.pcolormesh(edges, np.append(cells.index.to_numpy(), cells.index[-1] + step), cells.to_numpy(), cmap=colours)
        axis.grid(False)
        axis.set_facecolor(style.GRID)
        axis.set_yticks([0, 6, 12, 18, 24])
        axis.set_ylim(24, 0)
        style.heading(axis, title, "local hour")
        style.clock_axis(axis, "UTC")
        scale = made.colorbar(drawn, ax=axis, pad=0.01)
        scale.set_label(unit, size=8, color=style.MUTED)
        scale.ax.tick_params(colors=style.MUTED, labelsize=8)
    return style.png(made)


def duration_picture(elements: pd.DataFrame, section: NetworkSection) -> bytes:
    """PNG: of the branches with the highest loadings and the buses with the lowest voltages, extremes, 5 to 95 % and the median."""
    made, axes = style.figure(9.0, 5.6, rows=2)
    shown = (
        ("loading_pct", "maximum", False, "Loadings of the most loaded branches", "%", (section.maximum_loading_pct,)),
        ("vm_pu", "minimum", True, "Voltages at the buses with the lowest", "p.u.", (section.minimum_vm_pu, section.maximum_vm_pu)),
    )
    for axis, (quantity, by, ascending, title, unit, limits) in zip(axes, shown, strict=True):
        every = elements[elements["quantity"] == quantity]
        rows = every.sort_values([by, "element_id"], ascending=[ascending, True]).head(MOST_ELEMENTS)
        place = np.arange(len(rows))
        axis.vlines(place, rows["minimum"], rows["maximum"], color="#b9c7d6", linewidth=4, label="least to most")
        axis.vlines(place, rows["quantile_5"], rows["quantile_95"], color=style.BLUE, linewidth=4, label="5 to 95 % of the time")
        axis.plot(
            place,
            rows["quantile_50"],
            "o",
            color=style.PAPER,
            markeredgecolor=style.INK,
            markersize=3.5,
            markeredgewidth=0.6,
            label="median",
        )
        seen = rows["minimum"].min(), rows["maximum"].max()
        for limit in limits:
            if seen[0] - 0.5 * (seen[1] - seen[0]) <= limit <= seen[1] + 0.5 * (seen[1] - seen[0]):  # one far away would flatten all else
                axis.axhline(limit, color=style.LIMIT, linewidth=0.9, linestyle=":")
        axis.set_xticks([])
        axis.margins(x=0.01)
        style.heading(axis, f"{title} ({len(rows)} of {len(every)})", unit)
        axis.legend(
            fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, labelcolor=style.INK
        )
    return style.png(made)
