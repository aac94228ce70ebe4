"""Pictures of weather."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import BLUE, MUTED, RED, SOLAR, clock_axis, figure, heading, legend, png


def weather_day(features: pd.DataFrame, zone: str, label: str) -> bytes:
    """Temperature and irradiance of a day as observed and of the horizon as forecast. Columns as in weather/features."""
    made, (above, below) = figure(height=4.6, rows=2)
    for basis, style, name in (("observed", "-", "observed"), ("forecast", "--", "forecast")):
        rows = features[features["basis"] == basis].sort_values("start_utc")
        above.plot(rows["start_utc"], rows["temperature_degc"], style, color=RED, linewidth=1.8, label=name)
        below.plot(rows["start_utc"], rows["ghi_w_m2"], style, color=SOLAR, linewidth=1.8, label=name)
    cloudless = features.sort_values("start_utc")
    below.fill_between(cloudless["start_utc"], cloudless["clear_sky_ghi_w_m2"], color=BLUE, alpha=0.08, label="cloudless sky")
    heading(above, "Temperature", "degC")
    heading(below, "Global horizontal irradiance", "W/m2")
    for axis in (above, below):
        clock_axis(axis, zone)
        axis.margins(y=0.25)
        legend(axis)
    below.set_ylim(bottom=0)
    made.text(0.995, 0.003, label, ha="right", va="bottom", fontsize=6.5, color=MUTED)
    return png(made)
