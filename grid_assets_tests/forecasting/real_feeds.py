"""Real load and weather from the shared data, as the tables that the forecasts read; and scores of forecasts over many days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from grid_assets.forecasting import accuracy
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.foundation.calendar import SiteCalendar, days_between

FEATURES_24H, FEATURES_72H = 48, 144


def clock_of(first: date, last: date) -> SiteCalendar:
    return SiteCalendar(ZoneInfo("Europe/London"), 30, first, last, 9, 2)


def substation(shared: Path) -> pd.DataFrame:
    """The demand of a British substation as node loads."""
    feed = pd.read_parquet(shared / "wpd_pod" / "demand_pv.parquet", columns=["timestamp_utc", "demand_mw"])
    rows = {"node_id": "system", "start_utc": feed["timestamp_utc"].dt.as_unit("us"), "energy_kwh": feed["demand_mw"].astype(float) * 500}
    return pd.DataFrame(rows | {"published_pct": np.where(feed["demand_mw"].notna(), 100.0, 0.0)})


def households(shared: Path) -> pd.DataFrame:
    """560 households on eight feeders, and all of them."""
    feed = pd.read_parquet(shared / "edrp_meters" / "interval_30min.parquet")
    feed["start_utc"] = feed["timestamp_utc"].dt.as_unit("us")
    feed["node_id"] = "feeder " + (feed["meter_id"].astype(str).str[-4:].astype(int) % 8).astype(str)
    energy = feed.astype({"energy_kwh": float}).groupby(["node_id", "start_utc"], as_index=False)["energy_kwh"].sum()
    system = energy.groupby("start_utc", as_index=False)["energy_kwh"].sum().assign(node_id="system")
    return pd.concat([energy, system], ignore_index=True).assign(published_pct=100.0)


def substation_weather(shared: Path, clock: SiteCalendar, first: date, last: date, foresight: str) -> pd.DataFrame:
    """weather/features of the days first..last; ``foresight``: observed (a perfect forecast) or persistence of the day's."""
    grid = pd.read_parquet(shared / "wpd_pod" / "weather.parquet").set_index("timestamp_utc")
    degrees = grid.filter(like="temperature").mean(axis=1).resample("30min").interpolate()
    sun = grid.filter(like="solar").mean(axis=1).resample("30min").interpolate()
    every = pd.DataFrame({"temperature_degc": degrees, "ghi_w_m2": sun})
    every["temperature_mean_24h_degc"] = degrees.rolling(FEATURES_24H).mean()
    every["temperature_mean_72h_degc"] = degrees.rolling(FEATURES_72H).mean()
    every.index = pd.DatetimeIndex(every.index).as_unit("us").rename("start_utc")
    parts = []
    for day in days_between(first, last):
        seen = every.reindex(clock.intervals(day))
        ahead = clock.intervals(day + timedelta(days=1), clock.study_day(day))
        ahead = ahead[ahead >= pd.Timestamp(clock.issue_time(day))]
        source = (
            ahead if foresight == "observed" else ahead - pd.to_timedelta(np.where(ahead - seen.index[0] < pd.Timedelta(days=2), 1, 2), "D")
        )
        expected = every.reindex(source).set_axis(ahead.rename("start_utc"))
        parts += [seen.reset_index().assign(basis="observed", day=day), expected.reset_index().assign(basis="forecast", day=day)]
    return pd.concat(parts, ignore_index=True).assign(station_id="grid")


def scores(loads: pd.DataFrame, features: pd.DataFrame | None, clock: SiteCalendar, days: list[date], history: int = 60) -> pd.DataFrame:
    """Forecast accuracy of each of ``days``, forecast two runs before as the daily job does."""
    nodes = sorted(loads["node_id"].unique())
    made = []
    for day in days:
        issued = day - timedelta(days=2)
        start, end = (pd.Timestamp(clock.midnight(one)) for one in (issued - timedelta(days=history), day + timedelta(days=1)))
        near = loads[(loads["start_utc"] >= start) & (loads["start_utc"] < end)]
        known = (
            features[(features["day"] >= issued - timedelta(days=history)) & (features["day"] <= issued)] if features is not None else None
        )
        forecasts = forecast_demand(near, known, nodes, clock, issued, country="GB").forecasts
        made.append(accuracy.demand_accuracy(forecasts, near, clock, day, country="GB"))
    return pd.concat(made, ignore_index=True)
