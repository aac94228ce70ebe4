"""A picture of between which values flows lie over the samples of the demand."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import BLUE, GREEN, LIMIT, ORANGE, clock_axis, figure, heading, legend, png


def band_picture(quantiles: pd.DataFrame, limits: tuple[float, float, float], zone: str) -> bytes:
    """PNG: 5 to 95 % and the median of the branch that may be loaded most and of the buses that may have the lowest and the highest voltage.

    ``quantiles``: rows of FLOW_QUANTILES; ``limits``: lowest and highest voltage, p.u., and highest loading, %.
    """
    made, (upper, lower) = figure(8.6, 4.8, rows=2)
    loads, volts = (quantiles[quantiles["quantity"] == quantity] for quantity in ("loading_pct", "vm_pu"))
    if len(loads):
        _band(upper, loads, loads["element_id"][loads["p95_value"].idxmax()], BLUE)
    upper.axhline(limits[2], color=LIMIT, linewidth=1, linestyle="--", label="limit")
    upper.set_ylim(0, max(upper.get_ylim()[1], limits[2]) * 1.2)
    heading(upper, "The branch that may be loaded most: 5 to 95 % of the samples, and the median", "% of rating")
    names = dict.fromkeys((volts["element_id"][volts["p05_value"].idxmin()], volts["element_id"][volts["p95_value"].idxmax()]))
    for name, colour in zip(names, (GREEN, ORANGE), strict=False):
        _band(lower, volts, name, colour)
    for n, limit in enumerate(limits[:2]):
        lower.axhline(limit, color=LIMIT, linewidth=1, linestyle="--", label="limits" if n == 0 else None)
    least, most = min(limits[0], volts["p05_value"].min()), max(limits[1], volts["p95_value"].max())
    lower.set_ylim(least - 0.06 * (most - least), most + 0.3 * (most - least))
    heading(lower, "The buses that may have the lowest and the highest voltage", "p.u.")
    for axis in (upper, lower):
        legend(axis)
        clock_axis(axis, zone)
        axis.margins(x=0)
    return png(made)


def _band(axis, quantiles: pd.DataFrame, name: str, colour: str) -> None:
    rows = quantiles[quantiles["element_id"] == name].sort_values("start_utc")
    axis.fill_between(rows["start_utc"], rows["p05_value"], rows["p95_value"], color=colour, alpha=0.25, linewidth=0)
    axis.plot(rows["start_utc"], rows["p50_value"], color=colour, linewidth=1.8, label=name)
