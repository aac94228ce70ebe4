"""A small made site: five meters on two feeders of one substation, half-hours, London's clock, three days at the spring change."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, NODES, read_register
from grid_assets.foundation.site import Site, load_site
from grid_assets.metering import raw_days, staleness
from grid_assets.metering.arrival import landing
from grid_assets.metering.arrival.day_landings import DayLanding
from grid_assets.metering.quality import aggregation
from grid_assets.metering.tables import NODE_LOADS, RAW_READINGS
from grid_assets.metering.vee import reading_days

METERS_CSV = """meter_id,kind,node_id,bus_id,customer_class,rating_kw,power_factor,net_metered,valid_from_utc,valid_to_utc
m1,load,f1,,residential,10,,false,2020-01-01T00:00:00Z,
m2,load,f1,,residential,10,,false,2020-01-01T00:00:00Z,
m3,load,f2,,residential,10,,true,2020-01-01T00:00:00Z,
m4,load,f2,,commercial,100,,false,2020-01-01T00:00:00Z,
g1,generation,f2,,plant,50,,false,2020-01-01T00:00:00Z,
old,load,f1,,residential,10,,false,2020-01-01T00:00:00Z,2021-01-01T00:00:00Z
"""
NODES_CSV = """node_id,level,parent_id,title,import_limit_kw,export_limit_kw
system,system,,System,,
s1,substation,system,Substation,,
f1,feeder,s1,Feeder 1,,
f2,feeder,s1,Feeder 2,,
"""
SITE = """name = "made"
title = "A made site"
time_zone = "{zone}"
country = "GB"
currency = "GBP"
interval_minutes = 30
state = "state"
[calendar]
mode = "replay"
first_day = {first}
last_day = {last}
default_day = {first}
issue_hour = 9
[registers]
folder = "registers"
[validation]
{validation}
{readings}
"""
FEED = """[[readings]]
name = "feed"
folder = "landing"
pattern = "reads_{received}.csv"
columns = { meter_id = "meter", read_utc = "read_at", value = "value", unit = "unit" }
"""
FIRST, LAST = date(2021, 3, 27), date(2021, 3, 29)
CHANGE = date(2021, 3, 28)
"""The day that the clock goes forward."""
FOLDERS = '[metering]\ncorrections = "corrections"\noutages = "outages"\n'
LIVE_METERS = ("m1", "m2", "m3", "m4", "g1")


@dataclass
class MadeSite:
    site_file: Path
    site: Site
    lake: Lake

    @property
    def folder(self) -> Path:
        return self.site_file.parent / "landing"

    @property
    def register(self) -> pd.DataFrame:
        return read_register(self.site.registers.folder, METERS).to_pandas()

    @property
    def nodes(self) -> pd.DataFrame:
        return read_register(self.site.registers.folder, NODES).to_pandas()

    def drop(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def land(self, *days: date) -> dict[date, DayLanding]:
        made = {}
        for one in landing.land_days(self.site, self.lake, self.register, days or (FIRST,)):
            landing.write_landing(self.lake, one)
            made[one.day] = one
        return made

    def make(self, day: date) -> reading_days.ReadingDay:
        """The day's tables from what has landed, written to the lake."""
        files = raw_days.rows_of_files(self.lake, day)
        rows = raw_days.raw_readings(self.lake, files.loc[files["day"] == day, "file_id"].tolist(), day)
        self.lake.write(RAW_READINGS, rows, day)
        made_from = staleness.inputs_of_day(self.lake, day, self.site)
        grid = reading_days.day_grid(self.site.clock, self.register, day)
        history, weeks = reading_days.History(self.lake, self.site.clock), self.site.validation.like_day_weeks
        inputs = reading_days.ShardInputs(
            self.lake.read_arrow(RAW_READINGS, day), past=history.like_days(grid, weeks), class_past=history.classes(grid, weeks)
        )
        made = reading_days.reading_day(grid, inputs, self.site.validation)
        for table, frame in made.tables().items():
            self.lake.write(table, frame, day)
        self.lake.write(NODE_LOADS, aggregation.node_loads(made.readings, grid.meters, self.nodes, grid.starts, "v"), day)
        staleness.note_inputs(self.lake, day, made_from)
        raw_days.finish_day(self.lake, day, staleness.inputs_of_alerts(self.lake, day, self.site))
        return made


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., MadeSite]:
    def make(readings: str = FEED, validation: str = "", zone: str = "Europe/London", first: date = FIRST, last: date = LAST) -> MadeSite:
        (tmp_path / "registers").mkdir()
        (tmp_path / "landing").mkdir()
        (tmp_path / "registers" / "meters.csv").write_text(METERS_CSV)
        (tmp_path / "registers" / "nodes.csv").write_text(NODES_CSV)
        path = tmp_path / "made.toml"
        path.write_text(SITE.format(readings=readings, validation=validation, zone=zone, first=first, last=last))
        site = load_site(path, {})
        return MadeSite(path, site, Lake(site.lake_root))

    return make


@pytest.fixture
def made(make_site) -> MadeSite:
    return make_site()


def day_rows(site: Site, day: date, meters: tuple[str, ...] = LIVE_METERS, unit: str = "kWh", factor: float = 1.0) -> pd.DataFrame:
    """A reading of every meter and interval of a day: changing values that break no rule."""
    rows = []
    for m, meter in enumerate(meters):
        for n, start in enumerate(site.clock.intervals(day)):
            value = round((1 + m + 0.5 * np.sin(n / 7 + m) + 0.001 * n) * factor, 9)
            rows.append((meter, start.strftime("%Y-%m-%dT%H:%M:%SZ"), value, unit))
    return pd.DataFrame(rows, columns=["meter", "read_at", "value", "unit"])


def as_csv(rows: pd.DataFrame, zipped: bool = False) -> bytes:
    data = rows.to_csv(index=False).encode()
    return gzip.compress(data, mtime=0) if zipped else data


@pytest.fixture
def fed(made: MadeSite) -> MadeSite:
    for day, received in ((FIRST, "20210328"), (CHANGE, "20210329"), (LAST, "20210330")):
        made.drop(f"reads_{received}T050000Z.csv", as_csv(day_rows(made.site, day)))
    return made


@pytest.fixture
def entered(make_site) -> MadeSite:
    """The small site with folders for corrections and outages, its first day made."""
    made = make_site(readings=FEED + FOLDERS)
    for folder in ("corrections", "outages"):
        (made.site_file.parent / folder).mkdir()
    made.lake.write(METERS, made.register)
    made.lake.write(NODES, made.nodes)
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    return made
