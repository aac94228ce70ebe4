"""Weather features: what load and generation respond to."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

HEATING_BASE_DEGC = 15.5  # British degree-day base (CIBSE TM41)
COOLING_BASE_DEGC = 22.0
LOWEST_SUN_DEGREE = 5.0
"""Below it, dividing by a cloudless sky's irradiance says more about the model than about clouds."""


def solar_position(intervals: pd.DatetimeIndex, latitude: float, longitude: float, altitude_m: float) -> pd.DataFrame:
    """Elevation of the sun and irradiance of a cloudless sky at the middle of each interval.

    The position is pvlib's NREL algorithm; the cloudless sky is Haurwitz's, which needs the zenith only (Haurwitz, Journal of
    Meteorology 2, 1945; in Reno et al., SAND2012-2389, the best of the models without atmospheric input).
    Returns: solar_elevation_degree and clear_sky_ghi_w_m2, indexed by ``intervals``.
    """
    from pvlib.clearsky import haurwitz
    from pvlib.solarposition import get_solarposition

    half = (intervals[1] - intervals[0]) / 2 if len(intervals) > 1 else pd.Timedelta(0)
    position = get_solarposition(intervals + half, latitude, longitude, altitude=altitude_m)
    clear = haurwitz(position["apparent_zenith"])["ghi"]
    made = pd.DataFrame(
        {"solar_elevation_degree": position["elevation"].to_numpy(), "clear_sky_ghi_w_m2": clear.to_numpy()}, index=intervals
    )
    return made.assign(clear_sky_ghi_w_m2=lambda frame: frame["clear_sky_ghi_w_m2"].clip(lower=0.0))


def weather_features(weather: pd.DataFrame, sun: pd.DataFrame, holidays: set[date], zone: str) -> pd.DataFrame:
    """The features of each interval, from weather up to that interval.

    Parameters: ``weather`` and ``sun`` share a regular UTC index; rolling means look back only, so the first 72 hours of
    ``weather`` serve as run-up. ``holidays``: local days.
    Returns: the columns of weather/features except station_id and basis, indexed as ``weather``.
    """
    temperature = weather["temperature_degc"]
    step_hours = (weather.index[1] - weather.index[0]) / pd.Timedelta(hours=1) if len(weather) > 1 else 1.0
    clear = sun["clear_sky_ghi_w_m2"]
    high_enough = (sun["solar_elevation_degree"] >= LOWEST_SUN_DEGREE) & (clear > 0)
    local_days = pd.Series(weather.index.tz_convert(zone).date, index=weather.index)
    return pd.DataFrame(
        {
            "temperature_degc": temperature,
            "temperature_mean_24h_degc": _rolling(temperature, 24 / step_hours),
            "temperature_mean_72h_degc": _rolling(temperature, 72 / step_hours),
            "heating_degc": (HEATING_BASE_DEGC - temperature).clip(lower=0.0),
            "cooling_degc": (temperature - COOLING_BASE_DEGC).clip(lower=0.0),
            "humidity_pct": weather["humidity_pct"],
            "wind_speed_m_s": weather["wind_speed_m_s"],
            "ghi_w_m2": weather["ghi_w_m2"],
            "clear_sky_ghi_w_m2": clear,
            "clear_sky_index": np.where(
                high_enough, weather["ghi_w_m2"] / clear.where(high_enough), np.where(weather["ghi_w_m2"].notna(), 0.0, np.nan)
            ),
            "solar_elevation_degree": sun["solar_elevation_degree"],
            "holiday": local_days.isin(holidays),
        },
        index=weather.index,
    )


def public_holidays(country: str, first: date, last: date) -> set[date]:
    """The public holidays of a country (ISO code) between two days; none for a country that the library does not know."""
    import holidays

    if country not in holidays.list_supported_countries():
        return set()
    known = holidays.country_holidays(country, years=range(first.year, last.year + 1))
    return {day for day in known if first <= day <= last}


def _rolling(values: pd.Series, intervals: float) -> pd.Series:
    """Mean over the intervals up to each one; empty until three quarters of them are known."""
    window = max(1, round(intervals))
    return values.rolling(window, min_periods=max(1, round(0.75 * window))).mean()
