"""A day's weather and what is expected of the next ones."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures import style

NINE_IN_TEN = 1.645
"""Standard deviations on both sides that hold nine in ten values of a normal distribution."""


def weather_picture(features: pd.DataFrame, zone: str, title: str) -> bytes:
    """Temperature above irradiance: the observed day solid, the forecast dashed and within nine in ten errors shaded, the
    cloudless sky as a shade.

    ``features``: basis, start_utc, temperature_degc, temperature_deviation_degc, ghi_w_m2, clear_sky_ghi_w_m2.
    """
    made, (warmth, light) = style.figure(height=4.6, rows=2)
    for basis, line in (("observed", "-"), ("forecast", "--")):
        rows = features[features["basis"] == basis].sort_values("start_utc")
        light.fill_between(rows["start_utc"], rows["clear_sky_ghi_w_m2"].astype(float), color=style.SOLAR, alpha=0.12, linewidth=0,
                           label="cloudless sky" if basis == "observed" else None)  # fmt: skip
        off = NINE_IN_TEN * rows["temperature_deviation_degc"].astype(float)
        if off.notna().any():
            middle = rows["temperature_degc"].astype(float)
            warmth.fill_between(rows["start_utc"], middle - off, middle + off, color=style.ORANGE, alpha=0.12, linewidth=0, label="9 in 10")
        warmth.plot(rows["start_utc"], rows["temperature_degc"].astype(float), line, color=style.ORANGE, linewidth=1.6, label=basis)
        light.plot(rows["start_utc"], rows["ghi_w_m2"].astype(float), line, color=style.SOLAR, linewidth=1.6, label=basis)
    style.heading(warmth, f"Air temperature, {title}"[:110], "°C")
    style.heading(light, "Global irradiance", "W/m²")
    for axis in (warmth, light):
        style.clock_axis(axis, zone)
        axis.set_ylim(top=axis.get_ylim()[1] + 0.25 * (axis.get_ylim()[1] - axis.get_ylim()[0]))
        style.legend(axis, 4)
    light.set_ylim(bottom=0)
    return style.png(made)
