"""What models use of the weather: past hours, heat memory, heating and cooling degrees, how it feels, sun, holidays."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.site import Site
from grid_assets.weather.comfort import dew_point_degc, heat_index_degc, wind_chill_degc
from grid_assets.weather.solar import Sun
from grid_assets.weather.tables import FEATURES

HEATING_BASE_DEGC, COOLING_BASE_DEGC = 15.5, 22.0
LONGEST_MEAN_DAYS = 8
"""As far back as a memory of 120 hours has a fifth of its weight."""
LAG_HOURS, MEAN_HOURS, MEMORY_HOURS = (1, 3, 24), (3, 24, 72), (48, 120)
LEAST_SHARE = 0.5
"""A mean of past hours needs half of them."""
LEAST_CLEAR_SKY_W_M2 = 20.0
MOST_INDEX = 2.0


def sun_over(site: Site, first: date, last: date) -> Sun:
    """The sun for the observed days first..last and the horizons of their forecasts."""
    if site.weather is None:
        raise ValueError(f"{site.name}: the site file has no [weather]")
    start_utc = site.clock.intervals(first, site.clock.horizon_day(last))
    place = site.weather
    return Sun.over(start_utc, pd.Timedelta(site.clock.interval), place.latitude, place.longitude, place.altitude_m)


def feature_rows(
    site: Site, day: date, observed: pd.DataFrame, forecast: pd.DataFrame, sun: Sun, holidays: frozenset[date]
) -> pd.DataFrame:
    """Rows of FEATURES for the run of ``day``: its observed intervals, and the horizon as forecast at its issue time.

    ``observed``: rows of OBSERVATIONS, of which only those up to ``day`` are used; ``forecast``: rows of FORECASTS of ``day``.
    The hours between midnight and the issue time, which neither table has, enter the means on a straight line.
    """
    begin, end = site.clock.midnight(day - timedelta(days=LONGEST_MEAN_DAYS)), site.clock.bounds(day)[1]
    past = observed[(observed["start_utc"] >= begin) & (observed["start_utc"] < end)]
    series = pd.concat([past, forecast], ignore_index=True).set_index("start_utc").sort_index()
    every = site.clock.intervals(day - timedelta(days=LONGEST_MEAN_DAYS), site.clock.horizon_day(day))
    temperature = series["temperature_degc"].reindex(every).astype(float)
    bridged = temperature.interpolate(limit_area="inside", limit=round(12 / site.clock.interval_hours))
    before = recency(bridged, site.clock.interval_hours)
    made = [_based(site, "observed", past[past["start_utc"] >= site.clock.midnight(day)], before, sun, holidays),
            _based(site, "forecast", forecast, before, sun, holidays)]  # fmt: skip
    return pd.concat([one for one in made if len(one)], ignore_index=True) if any(map(len, made)) else FEATURES.empty().to_pandas()


def recency(temperature_degc: pd.Series, interval_hours: float) -> pd.DataFrame:
    """Lags, means and memories of a temperature, degC, by interval without gaps in its index; nothing looks ahead.

    Means and memories include the interval itself. A memory is an exponential mean whose weights add up to one from the
    first value on (Wang, Liu, Hong 2016, recency effect); it goes on over a gap of the values, where it is null itself.
    """
    made = {}
    for hours in LAG_HOURS:
        made[f"temperature_lag_{hours}h_degc"] = temperature_degc.shift(round(hours / interval_hours))
    for hours in MEAN_HOURS:
        made[f"temperature_mean_{hours}h_degc"] = _trailing_mean(temperature_degc, round(hours / interval_hours))
    for hours in MEMORY_HOURS:
        memory = temperature_degc.ewm(alpha=1.0 - np.exp(-interval_hours / hours)).mean()
        made[f"temperature_memory_{hours}h_degc"] = memory.where(temperature_degc.notna())
    return pd.DataFrame(made)


def _based(site: Site, basis: str, rows: pd.DataFrame, before: pd.DataFrame, sun: Sun, holidays: frozenset[date]) -> pd.DataFrame:
    start_utc = pd.DatetimeIndex(rows["start_utc"])
    light = sun.rows(start_utc).reset_index(drop=True)
    kept = rows[["station_id", "start_utc", "temperature_degc", "humidity_pct", "wind_speed_m_s", "ghi_w_m2"]].reset_index(drop=True)
    warmth, humidity, wind = (kept[name].astype(float) for name in ("temperature_degc", "humidity_pct", "wind_speed_m_s"))
    deviation = rows["temperature_deviation_degc"].to_numpy(float) if "temperature_deviation_degc" in rows else np.nan
    return kept.assign(
        basis=basis,
        temperature_deviation_degc=deviation,
        **{name: values.to_numpy() for name, values in before.reindex(start_utc).items()},
        heat_index_degc=heat_index_degc(warmth, humidity),
        wind_chill_degc=wind_chill_degc(warmth, wind),
        dew_point_degc=dew_point_degc(warmth, humidity),
        heating_degc=(HEATING_BASE_DEGC - warmth).clip(lower=0),
        cooling_degc=(warmth - COOLING_BASE_DEGC).clip(lower=0),
        clear_sky_ghi_w_m2=light["clear_sky_ghi_w_m2"],
        clear_sky_index=clear_sky_index(kept["ghi_w_m2"].astype(float), light["clear_sky_ghi_w_m2"]),
        solar_elevation_degree=light["solar_elevation_degree"],
        solar_azimuth_degree=light["solar_azimuth_degree"],
        holiday=[one in holidays for one in site.clock.local(start_utc).date],
    )


def clear_sky_index(ghi_w_m2: pd.Series, clear_w_m2: pd.Series) -> pd.Series:
    """Irradiance against that of a cloudless sky, 2 at most; 0 where a cloudless sky gives under 20 W/m2, null without irradiance."""
    index = (ghi_w_m2 / clear_w_m2.clip(lower=LEAST_CLEAR_SKY_W_M2)).clip(upper=MOST_INDEX)
    return index.where((clear_w_m2 >= LEAST_CLEAR_SKY_W_M2) | ghi_w_m2.isna(), 0.0)


def _trailing_mean(values: pd.Series, intervals: int) -> pd.Series:
    return values.rolling(intervals, min_periods=max(1, round(LEAST_SHARE * intervals))).mean()


def holidays_of(site: Site, first: date, last: date) -> frozenset[date]:
    """The public holidays of the site's country (nationwide ones) among the days and their horizons."""
    import holidays

    span = days_between(first, site.clock.horizon_day(last))
    found = holidays.country_holidays(site.country, years=range(span[0].year, span[-1].year + 1))
    return frozenset(one for one in span if one in found)


def missing_share(rows: pd.DataFrame, names: list[str]) -> float:
    """The share of values that are null among these columns."""
    return float(np.mean(rows[names].isna().to_numpy())) if len(rows) else 1.0
