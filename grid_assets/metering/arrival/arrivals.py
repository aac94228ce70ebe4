"""Which meter files have come, and when: from their names, never from the disk's clock."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.site import Site

RECEIVED = r"(?P<received>\d{8}T\d{6}Z|\d{4}-\d{2}-\d{2})"
UNFINISHED = (".tmp", ".part")


class ArrivalError(RuntimeError):
    """A landing folder or an archive file that the site file names is not there."""


@dataclass(frozen=True, order=True)
class Arrival:
    """A file in a landing folder; the earlier one, then the one first by name, is the original of equal contents."""

    received_utc: datetime
    name: str
    path: Path


def name_pattern(source: ReadingsInput) -> re.Pattern[str]:
    """The regular expression that the input's file names match; ``*`` stands for anything, text files may be gzipped."""
    parts = re.split(r"(\{received\}|\*)", source.pattern)
    made = "".join(RECEIVED if part == "{received}" else ".*" if part == "*" else re.escape(part) for part in parts)
    gzipped = r"(\.gz)?" if source.format != "parquet" and not source.pattern.endswith(".gz") else ""
    return re.compile(made + gzipped)


def received_utc(text: str, clock: SiteCalendar) -> datetime | None:
    """The instant that a file name tells; a mere date stands for the site's issue hour on that date. None: no such time."""
    try:
        if "T" in text:
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return clock.issue_time(date.fromisoformat(text) - timedelta(days=1))
    except ValueError:
        return None


def arrived_files(source: ReadingsInput, clock: SiteCalendar) -> tuple[list[Arrival], list[str]]:
    """The input's files in the order of their arrival, and the names in its folder that tell no time of arrival.

    Files still being written (.tmp, .part, hidden) are left alone. Raises ArrivalError where the folder is absent.
    """
    found, strangers = [], []
    pattern = name_pattern(source)
    for path in sorted(landing_folder(source).iterdir()):
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(UNFINISHED):
            continue
        match = pattern.fullmatch(path.name)
        received = received_utc(match["received"], clock) if match else None
        if received is None:
            strangers.append(path.name)
        else:
            found.append(Arrival(received, path.name, path))
    return sorted(found), strangers


def outside_calendar(site: Site, landed: Collection[tuple[str, str]] = ()) -> list[str]:
    """The files whose names tell an arrival outside the site's calendar, and what becomes of each.

    One that came before the first day lands with that day; it is not named any more when it is in ``landed`` (input name,
    file name). One that came after the last day is landed by no run.
    """
    clock, told = site.clock, []
    for source in site.readings:
        if source.arrival != "file_name":
            continue
        for one in arrived_files(source, clock)[0]:
            day = clock.arrival_day(one.received_utc)
            if clock.last_day is not None and day > clock.last_day:
                told.append(f"{source.name}: {one.name} arrived after the last day, {clock.last_day}: no run lands it; see [calendar]")
            elif day < clock.first_day and (source.name, one.name) not in landed:
                told.append(f"{source.name}: {one.name} arrived before the first day, {clock.first_day}: it lands with that day only")
    return told


def archive_files(source: ReadingsInput) -> list[Path]:
    """The files of an archive input, by name. Raises ArrivalError where there is none."""
    pattern = name_pattern(source)
    found = [path for path in sorted(landing_folder(source).iterdir()) if path.is_file() and pattern.fullmatch(path.name)]
    if not found:
        raise ArrivalError(
            f"{source.folder}: no file is named {source.pattern!r}; see [[readings]] {source.name}, key pattern, in the site file"
        )
    return found


def landing_folder(source: ReadingsInput) -> Path:
    if not source.folder.is_dir():
        raise ArrivalError(
            f"{source.folder}: the landing folder does not exist; see [[readings]] {source.name}, key folder, in the site file "
            "(a ${VARIABLE} in it may point elsewhere)"
        )
    return source.folder


def arrival_day(received: datetime, clock: SiteCalendar) -> date:
    """The day whose run lands what was received then; what came before the site's first day belongs to that."""
    return max(clock.arrival_day(received), clock.first_day)
