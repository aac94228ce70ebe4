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
from grid_assets.forecasting.ensemble.histories import node_history
from grid_assets.forecasting.ensemble.node_models import NodeHistory
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
    temperature_degc: pd.Series
    first: date
    last: date
    forecast_degc: pd.Series | None = None
    """The temperature as it was forecast a day ahead; None: none was kept, and the observed one stands in."""

    def history(self) -> NodeHistory:
        clock = SiteCalendar(ZoneInfo(self.zone), 60, self.first, None, ISSUE_HOUR, 1)
        return node_history(
            self.load_kw, self.temperature_degc, clock, self.last, country=self.country, region=self.region, forecasts_degc=self.forecast_degc
        )

    def positions(self, history: NodeHistory) -> np.ndarray:
        """Positions of the forecast days among the days of the history."""
        return np.arange(history.days.index(self.first), history.days.index(self.last) + 1)

    def holidays(self) -> PublicHolidays:
        return PublicHolidays.of(self.country, self.region, self.first, self.last)


def _series(frame: pd.DataFrame, column: str, factor: float = 1.0) -> pd.Series:
    return pd.Series(frame[column].to_numpy(float) * factor, pd.DatetimeIndex(frame["timestamp_utc"]))


def gefcom2014e(first: date = date(2013, 1, 1), last: date = date(2013, 12, 31)) -> LoadSet:
    frame = pd.read_parquet(SHARED / "gefcom2014e" / "load_temperature.parquet")
    load = _series(frame, "load_mw", 1000.0).dropna()  # the weather begins two years before the load
    return LoadSet("gefcom2014e", NEW_YORK, "US", None, load, _series(frame, "temperature_c"), first, last)


def vic_elec(first: date = date(2014, 1, 1), last: date = date(2014, 12, 31)) -> LoadSet:
    frame = pd.read_parquet(SHARED / "vic_elec" / "demand_temperature.parquet")
    return LoadSet("vic_elec", MELBOURNE, "AU", "VIC", _series(frame, "demand_mw", 1000.0), _series(frame, "temperature_c"), first, last)


def bigdeal2022(utility: int, first: date = date(2018, 1, 1), last: date = date(2018, 10, 31)) -> LoadSet:
    """One utility; the mean of the six stations, as observed, and in 2018 as forecast."""
    frame = pd.read_parquet(SHARED / "bigdeal2022" / "load_temperature.parquet")
    frame["observed"] = frame[[f"temperature_{n}_c" for n in range(1, 7)]].mean(axis=1)
    frame["forecast"] = frame[[f"temperature_{n}_forecast_c" for n in range(1, 7)]].mean(axis=1)
    load = _series(frame, f"ldc{utility}_load_mw", 1000.0).dropna()
    return LoadSet(
        f"bigdeal2022 LDC{utility}", NEW_YORK, "US", None, load, _series(frame, "observed"), first, last, _series(frame, "forecast").dropna()
    )


def gefcom2012(first: date = date(2007, 7, 1), last: date = date(2008, 6, 29)) -> list[LoadSet]:
    """The zones, each with the mean of all stations; hours that only the competition's solution holds are left out of no day."""
    folder = SHARED / "gefcom2012_load"
    weather = pd.read_parquet(folder / "temperature.parquet")
    weather["observed"] = weather.filter(like="temperature").mean(axis=1)
    temperature = _series(weather, "observed")
    made = []
    for zone, frame in pd.read_parquet(folder / "load_by_zone.parquet").groupby("zone_id"):
        made.append(LoadSet(f"gefcom2012 zone {zone}", NEW_YORK, "US", None, _series(frame, "load_kw"), temperature, first, last))
    return made


def wpd_pod(first: date = date(2019, 1, 1), last: date = date(2019, 12, 30)) -> LoadSet:
    """A British substation; half-hours of (nearly) no demand are switching and count as unknown."""
    folder = SHARED / "wpd_pod"
    frame = pd.read_parquet(folder / "demand_pv.parquet")
    weather = pd.read_parquet(folder / "weather.parquet")
    weather["observed"] = weather.filter(like="temperature").mean(axis=1)
    load = _series(frame, "demand_mw", 1000.0)
    return LoadSet("wpd_pod demand", LONDON, "GB", "ENG", load.where(load > 50.0).dropna(), _series(weather, "observed"), first, last)
