"""What a sensor remembers of the landing folders: which files have settled, which of them were asked for already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date

import pandas as pd

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.metering.arrivals import arrival_day, arrived_files
from grid_assets.metering.raw_days import rows_of_files, stale_days
from grid_assets.metering.tables import FILE_DAYS, READINGS

QUIET_SECONDS = 10
"""A file younger than this may still be being written."""


@dataclass(frozen=True)
class SeenFile:
    """A file of a landing folder at one look."""

    key: str
    """input name/file name"""
    size: int
    mtime_ns: int
    arrival_day: date

    @property
    def version(self) -> str:
        """Names this content of this file: the same file twice is the same version."""
        return f"{self.key}:{self.size}:{self.mtime_ns}"


def look(site: Site) -> list[SeenFile]:
    """The files that lie in the folders of inputs whose files tell their arrival, on days that the calendar has."""
    found = []
    for source in site.readings:
        if source.arrival == "file_name":
            for one in arrived_files(source, site.clock)[0]:
                stat = one.path.stat()
                found.append(
                    SeenFile(f"{source.name}/{one.name}", stat.st_size, stat.st_mtime_ns, arrival_day(one.received_utc, site.clock))
                )
    return found


def settled(files: list[SeenFile], cursor: str | None, now_ns: int) -> tuple[list[SeenFile], str]:
    """The files that were the same at the last look, are not fresh and were not returned before; and the next cursor."""
    before: dict[str, list] = json.loads(cursor) if cursor else {}
    ready, after = [], {}
    for one in files:
        size, mtime_ns, requested = before.get(one.key, (None, None, False))
        unchanged = (size, mtime_ns) == (one.size, one.mtime_ns)
        old_enough = now_ns - one.mtime_ns >= QUIET_SECONDS * 1_000_000_000
        done = bool(unchanged and requested)
        if unchanged and old_enough and not requested:
            ready.append(one)
            done = True
        after[one.key] = (one.size, one.mtime_ns, done)
    return ready, json.dumps(after, sort_keys=True)


def days_to_make(lake: Lake, first: date, last: date) -> dict[date, str]:
    """Days from first to last whose readings are not made from exactly the landed rows, or that are half replaced, with
    a fingerprint of rows and readings.

    A day that was never made counts when landed files speak of it.
    """
    landed = rows_of_files(lake, first)
    made = {date.fromisoformat(key) for key in lake.partitions(FILE_DAYS)}
    wanted = set(stale_days(lake, first)) | (set(landed["day"]) - made)
    return {
        day: fingerprint(landed[landed["day"] == day], lake.content_hash(READINGS, day))
        for day in sorted(wanted)
        if first <= day <= last
    }  # fmt: skip


def fingerprint(rows: pd.DataFrame, readings_hash: str | None = None) -> str:
    """A hash of which files hold how many rows, and of the readings there are: a run that died after it had written
    readings may be asked for again. The order of the files does not matter.
    """
    told = [readings_hash or "", *sorted(f"{row.file_id}:{row.rows}" for row in rows.itertuples())]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
