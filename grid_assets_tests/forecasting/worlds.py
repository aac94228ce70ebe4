"""Made-up loads, weather and plants whose truth the tests know."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar, days_between


def clock_of(minutes: int = 60, zone: str = "Europe/Berlin") -> SiteCalendar:
    return SiteCalendar(ZoneInfo(zone), minutes, date(2016, 1, 1), date(2016, 12, 31), 9, 2)


def temperature(starts: pd.DatetimeIndex) -> np.ndarray:
    """A year, a day and a few irregular weeks."""
    hours = (starts - pd.Timestamp("2016-01-01", tz="UTC")).total_seconds().to_numpy() / 3600
    return 9 - 9 * np.cos(2 * np.pi * hours / 8766) - 4 * np.cos(2 * np.pi * hours / 24) + 4 * np.sin(2 * np.pi * hours / 131)


def node_loads(clock: SiteCalendar, first: date, last: date, nodes=("system",), seed: int = 1, noise: float = 0.02) -> pd.DataFrame:
    """A weekly and daily shape with electric heating below 14 degC, and noise."""
    starts = clock.intervals(first, last)
    local = clock.local(starts)
    hour, weekend = (local.hour + local.minute / 60).to_numpy(), (local.dayofweek >= 5)
    shape = 100 + 40 * np.sin(2 * np.pi * (hour - 7) / 24) - 15 * weekend + 3.0 * np.maximum(0, 14 - temperature(starts))
    made = []
    for n, node in enumerate(nodes):
        generator = np.random.default_rng([seed, n])
        kw = (n + 1) * shape * (1 + noise * generator.standard_normal(len(starts)))
        rows = {"node_id": node, "level": "system" if n == 0 else "feeder", "start_utc": starts, "energy_kwh": kw * clock.interval_hours}
        made.append(
            pd.DataFrame(
                rows | {"generation_kwh": 0.0, "meters": 10, "valid_pct": 100.0, "published_pct": 100.0, "readings_version": "made"}
            )
        )
    return pd.concat(made, ignore_index=True)


def weather(clock: SiteCalendar, starts: pd.DatetimeIndex, cloud: float | np.ndarray = 0.3) -> pd.DataFrame:
    degrees = pd.Series(temperature(starts))
    hour = (clock.local(starts).hour + clock.local(starts).minute / 60).to_numpy()
    elevation = 50 * np.sin(np.pi * (hour - 6) / 12)
    clear = np.maximum(0.0, 900 * np.sin(np.pi * (hour - 6) / 12))
    per_day = round(24 / clock.interval_hours)
    return pd.DataFrame(
        {
            "station_id": "here", "start_utc": starts, "temperature_degc": degrees.to_numpy(),
            "temperature_mean_24h_degc": degrees.rolling(per_day, min_periods=1).mean().to_numpy(),
            "temperature_mean_72h_degc": degrees.rolling(3 * per_day, min_periods=1).mean().to_numpy(),
            "heating_degc": np.maximum(0, 15.5 - degrees.to_numpy()), "cooling_degc": np.maximum(0, degrees.to_numpy() - 22),
            "humidity_pct": 70.0, "wind_speed_m_s": 6 + 4 * np.sin(np.arange(len(starts)) / 17.0),
            "ghi_w_m2": clear * (1 - cloud), "clear_sky_ghi_w_m2": clear, "clear_sky_index": 1.0,
            "solar_elevation_degree": elevation, "holiday": False,
        }
    )  # fmt: skip


def features(clock: SiteCalendar, first: date, last: date, cloudy: bool = False) -> pd.DataFrame:
    """weather/features of the days first..last: observed, and a perfect forecast, with the column ``day``."""
    whole = clock.intervals(first, last + timedelta(days=clock.study_day_offset))
    days = pd.Series(clock.local(whole).date)
    cover = days.map({day: 0.5 + 0.4 * np.sin(n * 2.1) for n, day in enumerate(days.unique())}).to_numpy(float) if cloudy else 0.3
    every = weather(clock, whole, cover)
    parts = []
    for day in days_between(first, last):
        start, end = clock.bounds(day)
        parts.append(every[(every["start_utc"] >= start) & (every["start_utc"] < end)].assign(basis="observed", day=day))
        ahead = (every["start_utc"] >= clock.issue_time(day)) & (every["start_utc"] < clock.bounds(clock.study_day(day))[1])
        parts.append(every[ahead].assign(basis="forecast", day=day))
    return pd.concat(parts, ignore_index=True)
