"""What sensors remember: which files of the landing folders have settled, which of them and which stale days were asked for already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.metering.arrival.arrivals import arrival_day, arrived_files
from grid_assets.metering.arrival.day_landings import content_id
from grid_assets.metering.staleness import StaleDay
from grid_assets.metering.tables import LANDED_FILES

QUIET_SECONDS = 10
"""A file younger than this may still be being written."""
RETRY_TICKS = 20
"""Looks after which a file that was asked for and is still not in the lake is asked for again: five minutes."""
MOST_ATTEMPTS = 4
"""How often a file or a day is asked for. One whose run failed each time needs a person: it is named, and left alone until it changes."""
DAY_RETRY_TICKS = 60
"""Looks after which a day that was asked for and is still stale is asked for again: half an hour."""


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


def settled(
    files: list[SeenFile], cursor: str | None, now_ns: int, is_landed: Callable[[SeenFile], bool]
) -> tuple[list[tuple[SeenFile, str]], str]:
    """The files to land now, each with the key of its run; and the next cursor.

    A file is asked for when it was the same at the last look and is not fresh. It is done when ``is_landed`` says that
    the lake lists this content of it; if that is not so after RETRY_TICKS looks, its run failed and it is asked for again
    under another key, MOST_ATTEMPTS times in all. The cursor holds size, time, looks since it was asked for (-1: done) and how often it was asked for.
    """
    remembered: dict[str, list] = json.loads(cursor) if cursor else {}
    before = {key: known for key, known in remembered.items() if len(known) == 4}  # older releases remembered three things
    ready, after = [], {}
    for one in files:
        size, mtime_ns, waited, attempts = before.get(one.key, (None, None, 0, 0))
        unchanged = (size, mtime_ns) == (one.size, one.mtime_ns)
        if not unchanged:
            waited, attempts = 0, 0
        elif attempts and waited >= 0:
            waited = -1 if is_landed(one) else min(waited + 1, RETRY_TICKS)
        due = attempts == 0 or (waited >= RETRY_TICKS and attempts < MOST_ATTEMPTS)
        if unchanged and due and now_ns - one.mtime_ns >= QUIET_SECONDS * 1_000_000_000:
            ready.append((one, f"{one.version}:{attempts}" if attempts else one.version))
            waited, attempts = 0, attempts + 1
        after[one.key] = (one.size, one.mtime_ns, waited, attempts)
    return ready, json.dumps(after, sort_keys=True)


def by_arrival_day(ready: list[tuple[SeenFile, str]]) -> list[tuple[date, str, list[str]]]:
    """The files to land by the day whose run lands them all: day, key of the run, files. ``ready``: as ``settled`` gives it."""
    days: dict[date, list[tuple[str, str]]] = {}
    for one, run_key in ready:
        days.setdefault(one.arrival_day, []).append((run_key, one.key))
    made = []
    for day, files in sorted(days.items()):
        keys = sorted(key for key, _ in files)
        digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:20]
        made.append((day, keys[0] if len(keys) == 1 else f"{day}:{digest}", sorted(name for _, name in files)))
    return made


def given_up(files: list[SeenFile], cursor: str) -> list[str]:
    """The files that are not asked for any more, each with what to do; ``cursor`` is the one that ``settled`` gave."""
    known = json.loads(cursor)
    return [
        f"{one.key}: its landing failed {MOST_ATTEMPTS} times; see the runs with the tag grid_assets/file, put the file right (a changed "
        f"file is asked for again) or materialise metering/landed_files of {one.arrival_day}"
        for one in files
        if known[one.key][2] >= RETRY_TICKS and known[one.key][3] >= MOST_ATTEMPTS
    ]


def days_to_ask(stale: Sequence[StaleDay], cursor: str | None, most: int) -> tuple[list[tuple[StaleDay, str]], str]:
    """The stale days to make now, each with the key of its run; and the next cursor.

    At most ``most`` days are under way. A day that is still stale DAY_RETRY_TICKS looks after it was asked for failed: it leaves
    its place to days that were not asked for yet, and is asked for again under another key, MOST_ATTEMPTS times in all, until
    what it is made from changes. The cursor holds a day's mark, looks since it was asked for and how often it was asked for.
    """
    before: dict[str, list] = json.loads(cursor) if cursor else {}
    after: dict[str, list] = {}
    for one in stale:
        mark, waited, attempts = before.get(one.day.isoformat(), ("", 0, 0))
        after[one.day.isoformat()] = [one.mark, min(waited + 1, DAY_RETRY_TICKS), attempts] if mark == one.mark else [one.mark, 0, 0]
    under_way = sum(attempts > 0 and waited < DAY_RETRY_TICKS for _, waited, attempts in after.values())
    due = [one for one in stale if _is_due(*after[one.day.isoformat()])]
    due.sort(key=lambda one: (after[one.day.isoformat()][2], one.day))
    asked = []
    for one in due[: max(most - under_way, 0)]:
        attempts = after[one.day.isoformat()][2]
        asked.append((one, f"{one.day}:{one.mark}:{attempts}" if attempts else f"{one.day}:{one.mark}"))
        after[one.day.isoformat()][1:] = [0, attempts + 1]
    return asked, json.dumps(after, sort_keys=True)


def _is_due(_: str, waited: int, attempts: int) -> bool:
    return attempts == 0 or (waited >= DAY_RETRY_TICKS and attempts < MOST_ATTEMPTS)


def given_up_days(cursor: str) -> list[str]:
    """The stale days that are not asked for any more, each with what to do; ``cursor`` is the one that ``days_to_ask`` gave."""
    return [
        f"{day}: its runs failed {MOST_ATTEMPTS} times; see the runs of this partition with the tag grid_assets/stale, and materialise the day's "
        "metering assets when the cause is put right"
        for day, (_, waited, attempts) in json.loads(cursor).items()
        if waited >= DAY_RETRY_TICKS and attempts >= MOST_ATTEMPTS
    ]


def listed_in(site: Site, lake: Lake) -> Callable[[SeenFile], bool]:
    """Tells whether the lake lists the content that a file has now: landed, a duplicate or refused, but seen."""
    sources = {source.name: source for source in site.readings}

    def is_landed(one: SeenFile) -> bool:
        input_name, name = one.key.split("/", 1)
        source = sources[input_name]
        listed = lake.read(LANDED_FILES, one.arrival_day, ["file_id", "file_name"])
        try:
            digest = content_id((source.folder / name).read_bytes(), source)
        except FileNotFoundError:
            return False
        return bool(((listed["file_name"] == name) & (listed["file_id"].str.split("+").str[0] == digest)).any())

    return is_landed
