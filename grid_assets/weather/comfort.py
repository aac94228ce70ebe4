"""How weather feels and what the air holds: heat index, wind chill, dew point. Arrays of degC, %, m/s; NaN where one is unknown."""

from __future__ import annotations

import numpy as np

COLDEST_HEAT_INDEX_DEGF = 80.0
WARMEST_CHILL_DEGC, CALMEST_CHILL_KM_H = 10.0, 4.8
MAGNUS_A, MAGNUS_B_DEGC = 17.625, 243.04


def heat_index_degc(temperature_degc: np.ndarray, humidity_pct: np.ndarray) -> np.ndarray:
    """The heat index of the US National Weather Service.

    The regression of Rothfusz (NWS Technical Attachment SR 90-23, 1990) with its two adjustments where it gives 80 degF
    or more, else the simple formula after Steadman (1979), as https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml
    says. The simple formula stands for cool air too, where the index is of little use.
    """
    t, r = np.asarray(temperature_degc, float) * 1.8 + 32.0, np.asarray(humidity_pct, float)
    simple = 0.5 * (t + 61.0 + (t - 68.0) * 1.2 + r * 0.094)
    full = (
        -42.379 + 2.04901523 * t + 10.14333127 * r - 0.22475541 * t * r - 6.83783e-3 * t**2 - 5.481717e-2 * r**2
        + 1.22874e-3 * t**2 * r + 8.5282e-4 * t * r**2 - 1.99e-6 * t**2 * r**2
    )  # fmt: skip
    dry = (13.0 - r) / 4.0 * np.sqrt(np.maximum(17.0 - np.abs(t - 95.0), 0.0) / 17.0)
    damp = (r - 85.0) / 10.0 * (87.0 - t) / 5.0
    full = full - np.where((r < 13.0) & (t >= 80.0) & (t <= 112.0), dry, 0.0)
    full = full + np.where((r > 85.0) & (t >= 80.0) & (t <= 87.0), damp, 0.0)
    return (np.where(simple >= COLDEST_HEAT_INDEX_DEGF, full, simple) - 32.0) / 1.8


def wind_chill_degc(temperature_degc: np.ndarray, wind_speed_m_s: np.ndarray) -> np.ndarray:
    """The wind chill index of 2001 of Environment Canada and the US National Weather Service (Osczevski, Bluestein 2005).

    Of the wind at 10 m. It is made for 10 degC and less and winds from 4.8 km/h on; elsewhere the temperature stands.
    """
    t, v = np.asarray(temperature_degc, float), np.asarray(wind_speed_m_s, float) * 3.6
    power = np.maximum(v, CALMEST_CHILL_KM_H) ** 0.16
    chill = 13.12 + 0.6215 * t - 11.37 * power + 0.3965 * t * power
    return np.where(np.isnan(v), np.nan, np.where((t <= WARMEST_CHILL_DEGC) & (v >= CALMEST_CHILL_KM_H), chill, t))


def dew_point_degc(temperature_degc: np.ndarray, humidity_pct: np.ndarray) -> np.ndarray:
    """The dew point over water by the Magnus formula (Alduchov, Eskridge 1996); humidity under 1 % counts as 1 %."""
    t, r = np.asarray(temperature_degc, float), np.asarray(humidity_pct, float)
    gamma = np.log(np.maximum(r, 1.0) / 100.0) + MAGNUS_A * t / (MAGNUS_B_DEGC + t)
    return MAGNUS_B_DEGC * gamma / (MAGNUS_A - gamma)
