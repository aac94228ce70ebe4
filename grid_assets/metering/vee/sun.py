"""Where the sun stands: when a photovoltaic meter cannot generate."""

from __future__ import annotations

import numpy as np
import pandas as pd

NIGHT_PARTS = 3
"""An interval is night when the sun is down at its beginning, its middle and its end."""


def solar_elevation(latitude: float, longitude: float, instants: pd.DatetimeIndex) -> np.ndarray:
    """Elevation of the sun's centre above the horizon in degrees, without refraction; degrees north and east, UTC instants.

    Source: the low-precision formulas of the Astronomical Almanac as given by Michalsky, Solar Energy 40 (1988), good to
    about 0.01 degrees from 1950 to 2050.
    """
    days = (instants.tz_convert("UTC") - pd.Timestamp("2000-01-01T12:00Z")) / pd.Timedelta("1D")
    since = np.asarray(days, dtype=float)
    anomaly = np.radians(357.528 + 0.9856003 * since)
    ecliptic = np.radians(280.460 + 0.9856474 * since + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 0.0000004 * since)
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    hours_utc = (since + 0.5) % 1.0 * 24.0
    sidereal = np.radians((6.697375 + 0.0657098242 * since + hours_utc) * 15.0 + longitude)
    north = np.radians(latitude)
    sine = np.sin(declination) * np.sin(north) + np.cos(declination) * np.cos(north) * np.cos(sidereal - ascension)
    return np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))


def night_intervals(latitude: float, longitude: float, starts: pd.DatetimeIndex, hours: float, below_degrees: float) -> np.ndarray:
    """Which intervals, ``hours`` long, lie wholly in the night: the sun lower than ``below_degrees`` throughout; bool."""
    length = pd.Timedelta(hours=hours)
    down = [solar_elevation(latitude, longitude, starts + length * n / (NIGHT_PARTS - 1)) < below_degrees for n in range(NIGHT_PARTS)]
    return np.logical_and.reduce(down)
