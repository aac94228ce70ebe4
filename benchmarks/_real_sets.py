"""The real meter data sets of `bench metering_real`: each as a site, and what plain pandas finds in its file before the platform looks.

Two come as sites with the project (edrp, plymouth); the other two are declared here. What is declared follows from the files
themselves: Zonnedael was published on the Dutch wall clock with 96 rows every day, but its Parquet file is in UTC: the spring day
has 92 rows and no gap, and the morning's rise is an hour earlier in UTC from 31 March 2013 on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.definitions import PROJECT, site_file_named
from grid_assets.foundation.site import Site, load_site

SHARED = Path(os.environ.get("GRID_ASSETS_SHARED") or PROJECT.parent / "shared").absolute()
PATTERN_INTERVALS = 24
"""Truth by brute force: so many readings that repeat those a few intervals before."""

ZONNEDAEL = """name = "zonnedael"
title = "47 Dutch households (Liander, 2013)"
time_zone = "Europe/Amsterdam"
country = "NL"
currency = "EUR"
interval_minutes = 15
state = "state"
[calendar]
mode = "replay"
first_day = 2013-01-01
last_day = 2013-06-30
default_day = 2013-06-30
[registers]
folder = "registers"
[[readings]]
name = "households"
folder = "{data}/zonnedael_meters"
pattern = "interval_15min.parquet"
format = "parquet"
arrival = "archive"
clock = "UTC"
stamp = "start"
unit = "Wh"
columns = {{ meter_id = "meter_id", read_utc = "timestamp_utc", value = "energy_wh" }}
"""
LONDON = """name = "london"
title = "Two London households (Low Carbon London, 2012 to 2013)"
time_zone = "Europe/London"
country = "GB"
currency = "GBP"
interval_minutes = 30
state = "state"
[calendar]
mode = "replay"
first_day = 2012-10-17
last_day = 2013-12-31
default_day = 2013-12-31
[registers]
folder = "registers"
[[readings]]
name = "households"
folder = "{data}/lcl_dtou"
pattern = "two_households_30min.parquet"
format = "parquet"
arrival = "archive"
clock = "UTC"
stamp = "start"
unit = "kWh"
columns = {{ meter_id = "meter_id", read_utc = "timestamp_utc", value = "energy_kwh" }}
"""
NODES = """node_id,level,parent_id,title,import_limit_kw,export_limit_kw
system,system,,All households,,
substation,substation,system,Invented substation,,
feeder,feeder,substation,Invented feeder,,
"""
METER_COLUMNS = "meter_id,kind,node_id,customer_class,rating_kw,net_metered,valid_from_utc,valid_to_utc"
LONDON_METERS = {
    # from the first local day with a reading to the last whole one: the last two readings of MAC003718 fall on the next day
    "MAC000033": ("2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z"),
    "MAC003718": ("2012-10-16T23:00:00Z", "2013-10-15T23:00:00Z"),
}


@dataclass(frozen=True)
class RealSet:
    name: str
    file: str
    """Below the folder of the shared data."""
    readings: Callable[[pd.DataFrame], pd.DataFrame]
    """The file's frame -> meter_id, start_utc, kwh, a row per reading that it holds; NaN where a row has no value."""
    site_text: str | None = None
    """None: a site that comes with the project under this name."""

    def source(self) -> pd.DataFrame:
        return self.readings(pd.read_parquet(SHARED / "data" / self.file))

    def site(self, folder: Path) -> Site:
        """Writes what the site needs below ``folder`` and loads it."""
        environment = {"GRID_ASSETS_STATE": str(folder), "GRID_ASSETS_SHARED": str(SHARED)}
        if self.site_text is None:
            return load_site(site_file_named(self.name), environment)
        registers = folder / "registers"
        registers.mkdir(parents=True, exist_ok=True)
        (registers / "nodes.csv").write_text(NODES)
        (registers / "meters.csv").write_text("\n".join([METER_COLUMNS, *self._meter_lines()]) + "\n")
        path = folder / f"{self.name}.toml"
        path.write_text(self.site_text.format(data=(SHARED / "data").as_posix()))
        return load_site(path, environment)

    def _meter_lines(self) -> list[str]:
        if self.name == "london":
            return [f"{one},load,feeder,household,23,false,{begin},{end}" for one, (begin, end) in LONDON_METERS.items()]
        ids = sorted(self.source()["meter_id"].unique())
        return [f"{one},load,feeder,household,17.25,false,2012-12-31T23:00:00Z," for one in ids]  # 3 x 25 A at 230 V


def _long(value: str, kwh_per_unit: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def readings(frame: pd.DataFrame) -> pd.DataFrame:
        kwh = frame[value].astype(float) * kwh_per_unit
        return pd.DataFrame({"meter_id": frame["meter_id"].astype(str), "start_utc": frame["timestamp_utc"], "kwh": kwh})

    return readings


def _substation(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {"demand_mw": "plymouth-demand", "pv_power_mw": "plymouth-pv"}
    made = frame.rename(columns=columns).melt("timestamp_utc", list(columns.values()), "meter_id", "mw")
    rows = pd.DataFrame({"meter_id": made["meter_id"], "start_utc": made["timestamp_utc"], "kwh": made["mw"].astype(float) * 500.0})
    return rows.dropna(ignore_index=True)  # an empty cell of a wide file is no reading


SETS = (
    RealSet("zonnedael", "zonnedael_meters/interval_15min.parquet", _long("energy_wh", 0.001), ZONNEDAEL),
    RealSet("edrp", "edrp_meters/interval_30min.parquet", _long("energy_kwh", 1.0)),
    RealSet("london", "lcl_dtou/two_households_30min.parquet", _long("energy_kwh", 1.0), LONDON),
    RealSet("plymouth", "wpd_pod/demand_pv.parquet", _substation),
)


# -- what is there, by brute force ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What plain pandas finds in a set, without any of the platform's functions."""

    duplicates: int
    """Rows whose meter and stamp were there before."""
    without_value: int
    off_grid: int
    """Rows whose stamp is no interval's start."""
    absent: int
    """Intervals between a meter's first and last reading that no row speaks of."""
    copied_days: int
    """Days that repeat one of the meter's last 28 days value by value and have at least ten different values."""
    filled_days: int
    """Days with PATTERN_INTERVALS readings in a row that each repeat the one 2 to 8 before and are not all equal."""


def known_of(source: pd.DataFrame, site: Site) -> Known:
    interval = pd.Timedelta(minutes=site.interval_minutes)
    on_grid = source["start_utc"].dt.floor(interval) == source["start_utc"]
    first = source[on_grid].drop_duplicates(["meter_id", "start_utc"])
    absent, copied, filled = 0, 0, 0
    for _, own in first.groupby("meter_id", observed=True):
        series = own.set_index("start_utc")["kwh"].sort_index().asfreq(interval)
        absent += len(series) - len(own)
        days = {day: values.to_numpy() for day, values in series.groupby(series.index.tz_convert(site.time_zone).date)}
        copied += sum(_repeats(days, day) for day in days)
        filled += sum(_has_pattern(values) for values in days.values())
    duplicated = source.duplicated(["meter_id", "start_utc"])
    return Known(int(duplicated.sum()), int(source["kwh"].isna().sum()), int((~on_grid).sum()), absent, copied, filled)


def _repeats(days: dict[date, np.ndarray], day: date) -> bool:
    own = days[day]
    earlier = (days.get(day - timedelta(days=back)) for back in range(1, 29))
    return any(other is not None and np.array_equal(other, own) for other in earlier) and len(np.unique(own)) >= 10


def _has_pattern(values: np.ndarray) -> bool:
    for period in range(2, 9):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], values[period:] == values[:-period], [False]])))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if end - begin >= PATTERN_INTERVALS and np.ptp(values[begin : end + period]) > 0:
                return True
    return False
