"""The work that `bench metering` measures, each piece in a process of its own; what it did and how long goes to a file.

Usage: python -m benchmarks._metering_day site FOLDER METERS SEED DAY.. | run SITE_FILE FIGURES.json STAGE,.. DAY..
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

STAGES = ("registers", "landing", "raw", "readings", "checks")


def write_site(folder: Path, meters: int, seed: int, days: list[date], metering: str = "") -> None:
    from grid_assets.simulation.synthetic_site import write_site as written

    written(folder, meters, days, seed, metering)


def run_stages(site_file: Path, stages: list[str], days: list[date]) -> dict[str, Any]:
    """Runs the stages in their order, all days in each. Returns stage -> seconds of wall and processor, and verdicts of the checks."""
    from grid_assets.foundation.lake import Lake
    from grid_assets.foundation.site import load_site

    site = load_site(site_file, os.environ)
    lake = Lake(site.lake_root)
    work = {"registers": _registers, "landing": _landing, "raw": _raw, "readings": _readings, "checks": _checks}
    found: dict[str, Any] = {}
    for stage in stages:
        began, processor = time.perf_counter(), time.process_time()
        said = work[stage](site, lake, days)
        found[stage] = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - processor, "said": said}
    return found


def _registers(site, lake, days: list[date]) -> None:
    from grid_assets.foundation.registers import METERS, NODES, PLANTS, read_register

    for table in (METERS, NODES, PLANTS):
        lake.write(table, read_register(site.registers.folder, table))


def _landing(site, lake, days: list[date]) -> dict[str, int]:
    from grid_assets.foundation.registers import METERS
    from grid_assets.metering.arrival import landing

    files, rejected = [], []
    for made in landing.land_days(site, lake, lake.read(METERS), days, stage=True):
        landing.write_landing(lake, made)
        files, rejected = [*files, *made.files], [*rejected, *made.rejected]
    return landing.summary(files, rejected)


def _raw(site, lake, days: list[date]) -> None:
    """The raw readings of the days, and of the days before for the registers' openings."""
    from grid_assets.metering import raw_days, shards

    landed = raw_days.rows_of_files(lake, min(days) - timedelta(days=1))
    for day in sorted({*days, *(day - timedelta(days=1) for day in days)}):
        files = landed.loc[landed["day"] == day, "file_id"].tolist()
        if files:
            shards.make_raw_day(site, lake, day, files)


def _readings(site, lake, days: list[date]) -> None:
    from grid_assets.metering import shards
    from grid_assets.metering.entries.outages import outages_of
    from grid_assets.metering.tables import OUTAGE_EVENTS

    outages = outages_of(site, lake)
    for day in days:
        lake.write(OUTAGE_EVENTS, outages.of_day(site.clock, day), day)
        shards.make_reading_day(site, lake, day)


def _checks(site, lake, days: list[date]) -> dict[str, str]:
    """What the checks of the readings' assets compute, without their bookkeeping. Returns check -> what is wrong."""
    from grid_assets.metering import accounting
    from grid_assets.metering import tables as metering
    from grid_assets.metering.quality.quality_suite import judge_profiles

    wrong = {}
    for day in days:
        wrong["landed rows"] = accounting.landing_faults(lake, day)
        wrong["rows"] = accounting.day_faults(lake, day)
        made = (
            metering.RAW_READINGS,
            metering.READINGS,
            metering.FAILED_READINGS,
            metering.METER_DAYS,
            metering.QUALITY_PROFILES,
            metering.FILE_DAYS,
        )
        for table in made:
            wrong[f"schema of {table.name}"] = "; ".join(lake.faults(table, day))
        profiles = lake.read(metering.QUALITY_PROFILES, day)
        judge_profiles(profiles, site.validation.minimum_valid_pct, site.artefacts)
    return {name: fault for name, fault in wrong.items() if fault}


def run_peer(readings: Callable, prepared: Callable, site_file: Path, day: str, out: Path) -> None:
    """A peer's whole day: read, validate, estimate, write."""
    import pyarrow.parquet as pq

    from grid_assets.foundation.site import load_site

    pq.write_table(readings(prepared(load_site(site_file, os.environ), date.fromisoformat(day))), out, compression="zstd")


if __name__ == "__main__":
    if sys.argv[1] == "site":
        write_site(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), [date.fromisoformat(one) for one in sys.argv[5:]])
    else:
        figures = run_stages(Path(sys.argv[2]), sys.argv[4].split(","), [date.fromisoformat(one) for one in sys.argv[5:]])
        Path(sys.argv[3]).write_text(json.dumps(figures))
