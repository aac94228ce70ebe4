"""Pictures of an estimated day: voltages with what was measured of them, and how far measurements lie off."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures.style import BLUE, GREEN, INK, LIMIT, MUTED, RED, SERIES, clock_axis, figure, heading, legend, png

MOST_SENSORS = 6
SUSPICIOUS = 3.0
"""Normalised residuals beyond this are drawn outside of the band."""


def voltage_picture(state_estimates: pd.DataFrame, voltages: pd.DataFrame, limits: tuple[float, float], zone: str) -> bytes:
    """PNG of the day: the band of all estimated voltages, and measured ones (source_id, start_utc, vm_pu, estimate_pu, bad_data) on it.

    Bad data far outside of the limits are drawn at the edge.
    """
    made, (axis,) = figure(8.6, 4.0)
    volts = state_estimates.groupby("start_utc")["vm_pu"]
    lowest, middle, highest = volts.min(), volts.median(), volts.max()
    axis.fill_between(lowest.index, lowest, highest, color=GREEN, alpha=0.2, linewidth=0, label="estimated, all buses")
    axis.plot(middle.index, middle, color=GREEN, linewidth=1.4, label="median bus")
    low, high = min(limits[0], lowest.min()), max(limits[1], highest.max())
    edge = 0.03 * (high - low)
    for number, (source, rows) in enumerate(voltages.groupby("source_id", sort=True)):
        if number == MOST_SENSORS:
            break
        good, colour = rows[~rows["bad_data"].astype(bool)], SERIES[(number + 1) % len(SERIES)]
        axis.plot(rows["start_utc"], rows["estimate_pu"], color=colour, linewidth=1, alpha=0.8)
        axis.plot(
            good["start_utc"], good["vm_pu"], ".", color=colour, markersize=4, label=f"{source} measured, at {rows['element_id'].iloc[0]}"
        )
    bad = voltages[voltages["bad_data"].astype(bool)]
    if len(bad):
        shown = bad["vm_pu"].clip(low - edge, high + edge)
        axis.plot(bad["start_utc"], shown, "x", color=RED, markersize=5, markeredgewidth=1.4, label=f"bad data ({len(bad)})")
    for number, limit in enumerate(limits):
        axis.axhline(limit, color=LIMIT, linewidth=1, linestyle="--", label="limits" if number == 0 else None)
    axis.set_ylim(low - 2 * edge, high + 0.4 * (high - low))
    heading(axis, "Estimated voltage, and what was measured", "p.u.")
    legend(axis, 3)
    clock_axis(axis, zone)
    axis.margins(x=0)
    return png(made)


def residual_picture(residuals: pd.DataFrame, zone: str) -> bytes:
    """PNG of the normalised residuals (source_id, quantity, start_utc, normalised, bad_data) of every sensor over the day, on a scale that
    is linear up to 3 and logarithmic beyond."""
    made, (axis,) = figure(8.6, 3.4)
    axis.axhspan(-SUSPICIOUS, SUSPICIOUS, color=GREEN, alpha=0.12, linewidth=0)
    if residuals.empty:
        axis.text(
            0.5,
            0.5,
            "no redundant measurement: nothing tests the estimate",
            ha="center",
            va="center",
            color=MUTED,
            transform=axis.transAxes,
        )
        axis.set_ylim(-4, 4)
        axis.set_xticks([])
    else:
        good, bad = residuals[~residuals["bad_data"].astype(bool)], residuals[residuals["bad_data"].astype(bool)]
        axis.plot(good["start_utc"], good["normalised"], ".", color=BLUE, markersize=3, alpha=0.6, label=f"kept ({len(good)})")
        for number, ((source, quantity), rows) in enumerate(sorted(bad.groupby(["source_id", "quantity"]), key=lambda one: -len(one[1]))):
            label = f"{source} {quantity} ({len(rows)})" if number < MOST_SENSORS else None
            axis.plot(rows["start_utc"], rows["normalised"], "x", color=SERIES[(number + 1) % len(SERIES)], markersize=5, label=label)
        axis.set_yscale("symlog", linthresh=SUSPICIOUS, linscale=1.5)
        largest = max(6.0, float(np.nanmax(np.abs(residuals["normalised"]))))
        axis.set_ylim(-2 * largest, 8 * largest)
        legend(axis, 4)
        clock_axis(axis, zone)
    axis.axhline(0, color=INK, linewidth=0.8)
    heading(axis, "Normalised residuals; crosses were taken out as bad data", "standard deviations")
    axis.margins(x=0)
    return png(made)
