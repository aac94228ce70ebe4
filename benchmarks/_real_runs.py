"""A real set through the platform: landing, raw readings, readings, and what became of every row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from benchmarks._real_sets import RealSet
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, NODES, PLANTS, read_register
from grid_assets.foundation.site import Site
from grid_assets.metering import raw_days, shards
from grid_assets.metering import tables as metering
from grid_assets.metering.arrival import landing
from grid_assets.metering.quality import copied_days, unmeasured_days


@dataclass(frozen=True)
class RealRun:
    """A set after its run, its tables in a lake of its own."""

    source: pd.DataFrame
    """The file's readings: meter_id, start_utc, kwh."""
    site: Site
    lake: Lake
    days: list[date]
    seconds: float
    processor_seconds: float


def run_set(one: RealSet, folder: Path, say: Callable[[str], None] = lambda text: None, days: list[date] | None = None) -> RealRun:
    """Runs the set's whole calendar, or only ``days`` of it, with the functions that the doors call."""
    site, source = one.site(folder), one.source()
    lake = Lake(site.lake_root)
    assert site.clock.last_day is not None
    days = days or days_between(site.clock.first_day, site.clock.last_day)
    for table in (METERS, NODES, PLANTS):
        lake.write(table, read_register(site.registers.folder, table))
    began, processor = time.perf_counter(), time.process_time()
    say(f"{one.name}: landing")
    for made in landing.land_days(site, lake, lake.read(METERS), days):
        landing.write_landing(lake, made)
    landed = raw_days.rows_of_files(lake, min(days) - timedelta(days=1))
    for day in days:
        say(f"{one.name}: {day}")
        shards.make_raw_day(site, lake, day, landed.loc[landed["day"] == day, "file_id"].tolist())
        shards.make_reading_day(site, lake, day)
    return RealRun(source, site, lake, days, time.perf_counter() - began, time.process_time() - processor)


# -- what became of the rows ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    rows: int
    """Of the file, on days of the calendar or without a readable time."""
    refused: pd.Series
    """On arrival: rule -> rows."""
    superseded: int
    failed: pd.Series
    """In validation: rules -> values."""
    published: int
    qualities: pd.Series
    """quality -> intervals."""
    methods: pd.Series
    """method -> intervals."""
    flagged_days: pd.Series
    """flag -> meter days."""
    staged: int
    """Rows that landing took over for the days."""
    as_landed: bool
    """Whether every file's rows of every day are the rows that landed of it, and each became one of three things."""

    @property
    def accounted(self) -> int:
        return int(self.refused.sum()) + self.superseded + int(self.failed.sum()) + self.published


def outcome_of(run: RealRun) -> Outcome:
    lake = run.lake
    files = lake.read(metering.FILE_DAYS)
    landed = raw_days.rows_of_files(lake)
    landed = landed[landed["day"].isin(set(run.days))]
    meter_days = lake.read(metering.METER_DAYS, columns=["flags"])
    readings = lake.read(metering.READINGS, columns=["quality", "method"])
    flags = meter_days["flags"].dropna().str.split().explode()
    local = run.source["start_utc"].dt.tz_convert(run.site.time_zone).dt.date
    return Outcome(
        rows=int(local.isin(set(run.days)).sum()),
        refused=lake.read(metering.REJECTED_READINGS)["rule"].value_counts().sort_index(),
        superseded=int(files["superseded"].sum()),
        failed=lake.read(metering.FAILED_READINGS)["rules"].value_counts().sort_index(),
        published=int(files["published"].sum()),
        qualities=readings["quality"].astype(str).value_counts(),
        methods=readings["method"].dropna().astype(str).value_counts().sort_index(),
        flagged_days=flags.value_counts().sort_index(),
        staged=int(landed["rows"].sum()),
        as_landed=_as_landed(files, landed),
    )


def _as_landed(files: pd.DataFrame, landed: pd.DataFrame) -> bool:
    became = files["published"] + files["rejected"] + files["superseded"]
    expected = landed[landed["rows"] > 0].groupby("file_id")["rows"].sum()
    return bool((became == files["rows"]).all()) and files.groupby("file_id")["rows"].sum().equals(expected)


def unmeasured_of(run: RealRun, say: Callable[[str], None] = lambda text: None) -> pd.DataFrame:
    """Copied days and filled stretches of all days: day, meter_id, pattern, evidence, explanation.

    As unmeasured_days.evidence_of_day for each day, with the days' totals read only once.
    """
    columns = [*unmeasured_days.COLUMNS, "day"]
    totals = dict(iter(run.lake.read(metering.METER_DAYS, columns=columns).groupby("day")))
    profiles = unmeasured_days.published_profiles(run.site, run.lake)
    parts = []
    for day in run.days:
        say(f"{run.site.name}: copied and filled readings of {day}")
        before = [(one, totals[one]) for one in run.site.clock.history(day, unmeasured_days.HISTORY_DAYS) if one in totals]
        copies = copied_days.copied_days(day, totals[day], before, profiles)
        found = [copied_days.copy_evidence(copies), unmeasured_days.fills_of_day(run.site, run.lake, day)]
        parts += [one.assign(day=day) for one in found if len(one)]
    return pd.concat(parts, ignore_index=True) if parts else copied_days.copy_evidence(pd.DataFrame()).assign(day=None)
