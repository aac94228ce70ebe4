"""The published sets of system load and weather, as histories for the ensemble and as plain frames for its peers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from grid_assets.definitions import PROJECT
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays
from grid_assets.forecasting.ensemble.histories import hourly_grid, hours_of, node_history
from grid_assets.forecasting.ensemble.node_models import NodeHistory
from grid_assets.forecasting.ensemble.stations import choose_stations
from grid_assets.foundation.calendar import SiteCalendar

SHARED = Path(os.environ.get("GRID_ASSETS_SHARED", PROJECT.parent / "shared")) / "data"
ISSUE_HOUR = 9
NEW_YORK, MELBOURNE, LONDON = "America/New_York", "Australia/Melbourne", "Europe/London"


@dataclass(frozen=True)
class LoadSet:
    """A series of load with its weather; ``first``..``last`` are the days that are forecast."""

    name: str
    zone: str
    country: str
    region: str | None
    load_kw: pd.Series
    stations_degc: pd.DataFrame
    """A column a station."""
    first: date
    last: date
    forecasts_degc: pd.DataFrame | None = None
    """The temperatures as they were forecast a day ahead; None: none were kept, and the observed ones stand in."""

    def history(self) -> NodeHistory:
        """With the mean of the stations that the days before ``first`` speak for."""
        clock = SiteCalendar(ZoneInfo(self.zone), 60, self.first, None, ISSUE_HOUR, 1)
        stations = list(self.stations_degc)
        if len(stations) > 1:
            blind = node_history(self.load_kw, None, clock, self.last, country=self.country, region=self.region)
            grid = hourly_grid(clock, blind.days[0], blind.days[-1])
            observed = {one: hours_of(grid, self.stations_degc[one]) for one in stations}
            stations = list(choose_stations(blind, observed, blind.days.index(self.first) - 1))
        forecasts = None if self.forecasts_degc is None else self.forecasts_degc[stations].mean(axis=1)
        return node_history(
            self.load_kw, self.stations_degc[stations].mean(axis=1), clock, self.last, country=self.country, region=self.region,
            forecasts_degc=forecasts,
        )  # fmt: skip

    def positions(self, history: NodeHistory) -> np.ndarray:
        """Positions of the forecast days among the days of the history."""
        return np.arange(history.days.index(self.first), history.days.index(self.last) + 1)

    def holidays(self) -> PublicHolidays:
        return PublicHolidays.of(self.country, self.region, self.first, self.last)


def _series(frame: pd.DataFrame, column: str, factor: float = 1.0) -> pd.Series:
    return pd.Series(frame[column].to_numpy(float) * factor, pd.DatetimeIndex(frame["timestamp_utc"]))


def _stations(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(frame[columns].to_numpy(float), pd.DatetimeIndex(frame["timestamp_utc"]), columns)


def gefcom2014e(first: date = date(2013, 1, 1), last: date = date(2013, 12, 31)) -> LoadSet:
    frame = pd.read_parquet(SHARED / "gefcom2014e" / "load_temperature.parquet")
    load = _series(frame, "load_mw", 1000.0).dropna()  # the weather begins two years before the load
    return LoadSet("gefcom2014e", NEW_YORK, "US", None, load, _stations(frame, ["temperature_c"]), first, last)


def vic_elec(first: date = date(2014, 1, 1), last: date = date(2014, 12, 31)) -> LoadSet:
    frame = pd.read_parquet(SHARED / "vic_elec" / "demand_temperature.parquet")
    return LoadSet(
        "vic_elec", MELBOURNE, "AU", "VIC", _series(frame, "demand_mw", 1000.0), _stations(frame, ["temperature_c"]), first, last
    )


def bigdeal2022(utility: int, first: date = date(2018, 1, 1), last: date = date(2018, 10, 31)) -> LoadSet:
    """One utility; six stations as observed, and in 2018 as forecast."""
    frame = pd.read_parquet(SHARED / "bigdeal2022" / "load_temperature.parquet")
    observed, coming = (_stations(frame, [f"temperature_{n}_{what}" for n in range(1, 7)]) for what in ("c", "forecast_c"))
    coming = coming.set_axis(observed.columns, axis=1).dropna(how="all")
    load = _series(frame, f"ldc{utility}_load_mw", 1000.0).dropna()
    return LoadSet(f"bigdeal2022 LDC{utility}", NEW_YORK, "US", None, load, observed, first, last, coming)


def gefcom2012(first: date = date(2007, 7, 1), last: date = date(2008, 6, 29)) -> list[LoadSet]:
    """The zones; which of the eleven stations are theirs is for the days before to tell."""
    folder = SHARED / "gefcom2012_load"
    weather = pd.read_parquet(folder / "temperature.parquet")
    stations = _stations(weather, list(weather.filter(like="temperature")))
    made = []
    for zone, frame in pd.read_parquet(folder / "load_by_zone.parquet").groupby("zone_id"):
        made.append(LoadSet(f"gefcom2012 zone {zone}", NEW_YORK, "US", None, _series(frame, "load_kw"), stations, first, last))
    return made


def wpd_pod(first: date = date(2019, 1, 1), last: date = date(2019, 12, 30)) -> LoadSet:
    """A British substation; half-hours of (nearly) no demand are switching and count as unknown."""
    folder = SHARED / "wpd_pod"
    frame = pd.read_parquet(folder / "demand_pv.parquet")
    weather = pd.read_parquet(folder / "weather.parquet")
    weather["temperature"] = weather.filter(like="temperature").mean(axis=1)  # six points of one grid, kilometres apart
    load = _series(frame, "demand_mw", 1000.0)
    return LoadSet(
        "wpd_pod demand", LONDON, "GB", "ENG", load.where(load > 50.0).dropna(), _stations(weather, ["temperature"]), first, last
    )


FEEDERS = 8


def edrp_feeders() -> pd.DataFrame:
    """560 British households dealt out to eight feeders, and all of them: metering/node_loads' columns that forecasts read."""
    feed = pd.read_parquet(SHARED / "edrp_meters" / "interval_30min.parquet").astype({"energy_kwh": float})
    feed["start_utc"] = feed["timestamp_utc"].dt.as_unit("us")
    feed["node_id"] = "feeder " + (feed["meter_id"].astype(str).str[-4:].astype(int) % FEEDERS).astype(str)
    energy = feed.groupby(["node_id", "start_utc"], as_index=False)["energy_kwh"].sum()
    whole = energy.groupby("start_utc", as_index=False)["energy_kwh"].sum().assign(node_id="system")
    return pd.concat([energy, whole], ignore_index=True).assign(published_pct=100.0)
