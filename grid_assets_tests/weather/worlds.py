"""Weather made up for the tests: hours of Berlin's spring of 2016, a site, its observations, issues of a provider."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.site import Site
from grid_assets.weather.features import sun_over
from grid_assets.weather.observations import IMPOSSIBLE, observed_rows, to_intervals
from grid_assets.weather.tables import OBSERVATIONS

DAY = date(2016, 3, 27)
"""Of 23 hours."""
HOURS = pd.date_range("2016-03-20", "2016-04-08", freq="h", tz="UTC", inclusive="left").as_unit("us")


def hourly(seed: int = 0, hours: pd.DatetimeIndex = HOURS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    count = len(hours)
    return pd.DataFrame({
        "start_utc": hours, "temperature_degc": rng.normal(8, 5, count), "humidity_pct": rng.uniform(30, 90, count),
        "wind_speed_m_s": rng.uniform(0, 12, count), "ghi_w_m2": rng.uniform(0, 400, count), "cloud_cover_pct": rng.uniform(0, 100, count),
        IMPOSSIBLE: 0,
    })  # fmt: skip


def observed(site: Site, rows: pd.DataFrame, first: date = date(2016, 3, 21), last: date = date(2016, 4, 3)) -> pd.DataFrame:
    days = days_between(first, last)
    every = site.clock.intervals(days[0], days[-1])
    values = to_intervals(rows, every, pd.Timedelta(site.clock.interval), sun_over(site, days[0], days[-1]))
    return OBSERVATIONS.conform(observed_rows(site, values, every)).to_pandas()


def issues(rows: pd.DataFrame, starts: pd.DatetimeIndex, hours: int = 60, error: float = 0.0, growth: float = 0.0) -> pd.DataFrame:
    """What a provider issued at each of ``starts`` for the ``hours`` from then on: ``rows`` and an error that grows by the hour."""
    parts = []
    for one in starts:
        part = rows[(rows["start_utc"] >= one) & (rows["start_utc"] < one + pd.Timedelta(hours=hours))].assign(issued_utc=one)
        lead = (part["start_utc"] - one) / pd.Timedelta("1h")
        parts.append(part.assign(temperature_degc=part["temperature_degc"] + error + growth * lead))
    return pd.concat(parts, ignore_index=True)
