"""Days that should be made again: what they were made from has changed since, or they are half replaced.

A day's readings are made from landed rows, the register reads that open it (the day before's last ones), corrections,
outage events, its like days and the site's rules; its alerts from those that the day before left open. What a day was made
from is noted beside it, so that a change of any of them shows, whatever made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.content_hashes import content_hash
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table
from grid_assets.metering.entries.corrections import Corrections, corrections_of
from grid_assets.metering.entries.outages import Outages, outages_of
from grid_assets.metering.raw_days import is_finished, measurement_rows_of_files, rows_of_files
from grid_assets.metering.tables import (
    ALERTS,
    CLOSING_REGISTERS,
    CORRECTIONS,
    FILE_DAYS,
    FINISHED_DAYS,
    MEASUREMENT_FILE_DAYS,
    OUTAGE_EVENTS,
    RAW_READINGS,
    READING_INPUTS,
    READINGS,
)
from grid_assets.metering.vee.history import PAST_COLUMNS, like_days_of

UP_TO_DATE = "up_to_date"
"""Name of the check on the readings that lists the stale days of the lake."""
SHOWN_FILES = 5


# -- what a day is made from ------------------------------------------------------------------------------------


def inputs_of_day(lake: Lake, day: date, site: Site) -> dict[str, str]:
    """What a day's readings are made from, as the lake and the site file have it now: a hash of each. Ask before reading any of it."""
    return {
        "raw_hash": lake.content_hash(RAW_READINGS, day) or "", "opening_hash": _hash_in_lake(lake, CLOSING_REGISTERS, day - timedelta(days=1)),
        "corrections_hash": _hash_in_lake(lake, CORRECTIONS, day), "outages_hash": _hash_in_lake(lake, OUTAGE_EVENTS, day),
        "like_days_hash": _hash_of_like_days(day, site, lambda one: _noted(lake, one)), "rules_hash": _validation_rules(site),
    }  # fmt: skip


def inputs_of_alerts(lake: Lake, day: date, site: Site) -> dict[str, str]:
    """What a day's alerts are made from beside its own tables, likewise."""
    return {"open_alerts_hash": _hash_of_open_alerts(lake, day), "rules_hash": _alert_rules(site)}


def _hash_of_like_days(day: date, site: Site, noted: Callable[[date], Mapping | None]) -> str:
    told = [(noted(one) or {}).get("history_hash") or "" for one in like_days_of(day, site.validation.like_day_weeks)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:20]


def _validation_rules(site: Site) -> str:
    return hashlib.sha256(site.validation.model_dump_json(exclude={"minimum_valid_pct"}).encode()).hexdigest()[:20]


def _alert_rules(site: Site) -> str:
    return hashlib.sha256(site.alerts.model_dump_json().encode()).hexdigest()[:20]


def _hash_of_open_alerts(lake: Lake, day: date) -> str:
    left = lake.read_arrow(ALERTS, day - timedelta(days=1))
    left = left.filter(pc.is_null(left["closed_utc"]))
    return content_hash(left) if left.num_rows else ""


def _history_hash(lake: Lake, day: date) -> str:
    """A hash of what later days take from a day's readings, so that a changed estimate does not make them again."""
    parts = []
    for rows in lake.read_shards(READINGS, day, ["start_utc", *PAST_COLUMNS], coded=("meter_id", "quality", "quality_code")):
        measured = pc.is_in(rows["quality"].cast(pa.string()), pa.array(["measured", "edited"]))
        parts.append(content_hash(rows.filter(measured)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def note_inputs(lake: Lake, day: date, inputs: Mapping[str, str]) -> None:
    """Notes what a day's readings were made from (``inputs_of_day``). Call it when all tables of the readings are written."""
    row = {"day": day, "readings_hash": lake.content_hash(READINGS, day) or "", "history_hash": _history_hash(lake, day), **inputs}
    lake.write(READING_INPUTS, pd.DataFrame([row]), day)


def _hash_in_lake(lake: Lake, table: Table, day: date) -> str:
    pointer = lake.pointer(table, day)
    return pointer["content_hash"] if pointer and pointer["rows"] else ""


def _hash_of_rows(table: Table, rows: pd.DataFrame) -> str:
    return content_hash(table.stored_form(rows)) if len(rows) else ""


def _noted(lake: Lake, day: date) -> dict | None:
    rows = lake.read_arrow(READING_INPUTS, day).to_pylist()
    return rows[0] if rows else None


# -- days that changed since ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StaleDay:
    """A day to be made again."""

    day: date
    reasons: tuple[str, ...]
    mark: str
    """Changes with everything that the day is made from and with what there is of it: names this request to make it."""

    def __str__(self) -> str:
        return f"{self.day}: {'; '.join(self.reasons)}"


def stale(lake: Lake, since: date | None = None, site: Site | None = None) -> list[StaleDay]:
    """The days that were made and should be made again, with the reasons; ``since`` leaves older days out.

    With ``site`` its folders of corrections and outages are looked at too, else only what the lake has of them.
    """
    look = _Look.at(lake, since, site)
    made = [date.fromisoformat(key) for key in lake.partitions(FILE_DAYS)]
    found = []
    for day in sorted(made):
        if since is None or day >= since:
            reasons = tuple(look.reasons(day))
            if reasons:
                found.append(StaleDay(day, reasons, look.mark(day, reasons)))
    return found


def stale_days(lake: Lake, since: date | None = None, site: Site | None = None) -> list[date]:
    """The days of ``stale``."""
    return [one.day for one in stale(lake, since, site)]


def days_to_make(lake: Lake, first: date, last: date, site: Site | None = None) -> list[StaleDay]:
    """Days from first to last that are stale, or that landed files speak of and that were never made."""
    look = _Look.at(lake, first, site)
    made = {date.fromisoformat(key) for key in lake.partitions(FILE_DAYS)}
    unmade = (look.landed.keys() | look.measured.keys()) - made
    found = [StaleDay(day, ("it was never made",), look.mark(day, ())) for day in unmade] + stale(lake, first, site)
    return [one for one in sorted(found, key=lambda each: each.day) if first <= one.day <= last]


@dataclass(frozen=True)
class _Look:
    """What has landed and what was entered, against which every day is held."""

    lake: Lake
    landed: Mapping[date, dict[str, int]]
    measured: Mapping[date, dict[str, int]]
    names: Mapping[str, str]
    site: Site | None
    corrections: Corrections | None
    outages: Outages | None
    notes: dict[date, dict | None] = field(default_factory=dict)
    """READING_INPUTS of the days that were looked at: a day is a like day of several."""

    @classmethod
    def at(cls, lake: Lake, since: date | None, site: Site | None) -> _Look:
        landed, measured = rows_of_files(lake, since), measurement_rows_of_files(lake, since)
        names = dict(zip(landed["file_id"], landed["file_name"], strict=True))
        names |= dict(zip(measured["file_id"], measured["file_name"], strict=True))
        return cls(
            lake, _by_day(landed), _by_day(measured), names, site,
            corrections_of(site, lake) if site else None,
            outages_of(site, lake) if site else None,
        )  # fmt: skip

    def reasons(self, day: date) -> Iterator[str]:
        """Why a day that was made should be made again."""
        made = self._rows_in_lake(FILE_DAYS, day)
        yield from self._changed_files("landed rows", self.landed.get(day, {}), made)
        measured = self._rows_in_lake(MEASUREMENT_FILE_DAYS, day)
        yield from self._changed_files("landed measurements", self.measured.get(day, {}), measured)
        noted = self._noted(day)
        if noted is None or noted["readings_hash"] != (self.lake.content_hash(READINGS, day) or ""):
            yield "it is not noted what its readings were made from: a run did not end, or an older release made them"
        else:
            yield from self._changed_inputs(day, noted)
        if not is_finished(self.lake, day):
            yield "its node loads, usage or alerts were not made from the readings that it has"
        else:
            yield from self._changed_inputs_of_alerts(day)

    def _noted(self, day: date) -> dict | None:
        if day not in self.notes:
            self.notes[day] = _noted(self.lake, day)
        return self.notes[day]

    def _changed_inputs_of_alerts(self, day: date) -> Iterator[str]:
        (noted,) = self.lake.read_arrow(FINISHED_DAYS, day).to_pylist()
        if noted.get("open_alerts_hash", "") != _hash_of_open_alerts(self.lake, day):
            yield f"the alerts that {day - timedelta(days=1)} left open changed"
        if self.site and noted.get("rules_hash") != _alert_rules(self.site):
            yield "[alerts] of the site file changed"

    def _changed_inputs(self, day: date, noted: Mapping[str, str]) -> Iterator[str]:
        if noted["raw_hash"] != (self.lake.content_hash(RAW_READINGS, day) or ""):
            yield "its raw readings are newer than its readings"
        before = day - timedelta(days=1)
        if noted["opening_hash"] != _hash_in_lake(self.lake, CLOSING_REGISTERS, before):
            yield f"the register reads of {before}, which open it, changed"
        if self.site and noted.get("like_days_hash") != _hash_of_like_days(day, self.site, self._noted):
            yield f"readings of its like days changed, the same weekday of the {self.site.validation.like_day_weeks} weeks before"
        if self.site and noted.get("rules_hash") != _validation_rules(self.site):
            yield "[validation] of the site file changed"
        for table, key, entered in ((CORRECTIONS, "corrections_hash", self.corrections), (OUTAGE_EVENTS, "outages_hash", self.outages)):
            in_lake = _hash_in_lake(self.lake, table, day)
            now = _hash_of_rows(table, entered.of_day(self.site.clock, day)) if entered and self.site else in_lake
            if noted[key] != now or in_lake != now:
                files = f" ({self._files_of_change(table, entered, day)})" if entered and in_lake != now else ""
                yield f"its {table.name.replace('_', ' ')} changed{files}"

    def _files_of_change(self, table: Table, entered: Corrections | Outages, day: date) -> str:
        """The files whose rows the lake does not have, or has and should not."""
        assert self.site is not None  # noqa: S101 - entries come with a site
        now = table.conform(entered.of_day(self.site.clock, day)).to_pylist()
        there = self.lake.read_arrow(table, day).to_pylist()
        changed = [row for row in now if row not in there] + [row for row in there if row not in now]
        return ", ".join(sorted({row["source_file"] for row in changed}))

    def _rows_in_lake(self, table: Table, day: date) -> dict[str, int]:
        here = self.lake.read_arrow(table, day, ["file_id", "rows"]).to_pydict()  # many small reads: Arrow's own way is twice as fast
        return dict(zip(here["file_id"], here["rows"], strict=True))

    def _changed_files(self, what: str, landed: Mapping[str, int], made: Mapping[str, int]) -> Iterator[str]:
        late = [self.names.get(one, one) for one, rows in landed.items() if made.get(one) != rows]
        gone = [self.names.get(one, one) for one in made if one not in landed]
        if late:
            yield f"{what} are not in it: {_some(late)}"
        if gone:
            yield f"{what} that it was made from are gone: {_some(gone)}"

    def mark(self, day: date, reasons: tuple[str, ...]) -> str:
        """A hash of which files hold how many rows, of the inputs and of the readings that there are."""
        told = [f"{one}:{rows}" for rows_of in (self.landed, self.measured) for one, rows in sorted(rows_of.get(day, {}).items())]
        told += [self.lake.content_hash(table, day) or "" for table in (READINGS, RAW_READINGS, CORRECTIONS, OUTAGE_EVENTS, READING_INPUTS)]
        told += [_hash_in_lake(self.lake, CLOSING_REGISTERS, day - timedelta(days=1)), _hash_of_open_alerts(self.lake, day)]
        if self.site:
            told += [_hash_of_like_days(day, self.site, self._noted), _validation_rules(self.site), _alert_rules(self.site)]
        for table, entered in ((CORRECTIONS, self.corrections), (OUTAGE_EVENTS, self.outages)):
            if entered and self.site:
                told.append(_hash_of_rows(table, entered.of_day(self.site.clock, day)))
        return hashlib.sha256("\n".join([*told, *reasons]).encode()).hexdigest()[:12]


def _by_day(rows: pd.DataFrame) -> dict[date, dict[str, int]]:
    return {day: dict(zip(of_day["file_id"], of_day["rows"], strict=True)) for day, of_day in rows.groupby("day")}


def _some(names: list[str]) -> str:
    shown = sorted(set(names))
    more = f" and {len(shown) - SHOWN_FILES} more" if len(shown) > SHOWN_FILES else ""
    return ", ".join(shown[:SHOWN_FILES]) + more


def told(days: list[StaleDay]) -> str:
    """All stale days with their reasons, in words."""
    return "\n".join(f"- {one}" for one in days) or "no day is stale"


def summary(days: list[StaleDay]) -> str:
    """One line: how many days are stale, and the first of them."""
    if not days:
        return "no day is stale"
    more = f"; and {len(days) - 3} more" if len(days) > 3 else ""
    return f"{len(days)} days are stale and should be made again: {'; '.join(str(one) for one in days[:3])}{more}"
