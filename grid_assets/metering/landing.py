"""Landing: which files came on a day, what each holds, which rows are taken over and which are refused, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake, Written
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import ReadingsInput
from grid_assets.metering.arrival_rules import JudgedRows, SiteDays, judge
from grid_assets.metering.arrivals import Arrival, archive_files, arrival_day, arrived_files, outside_calendar
from grid_assets.metering.file_formats import BrokenRow, Cells, FileEmpty, FileRefused, FileUnreadable, read_cells
from grid_assets.metering.stamps import EPOCH, NO_TIME, microseconds
from grid_assets.metering.tables import LANDED_FILES, LANDED_ROWS, REJECTED_READINGS

STATUS_OF_FAULT = {FileEmpty: "empty", FileRefused: "refused", FileUnreadable: "unreadable"}
RULE_OF_STATUS = {"refused": "columns", "unreadable": "unreadable"}


class EmptyRegister(RuntimeError):
    """The meters register holds no meter: every row would be refused as one of an unknown meter."""


@dataclass
class DayLanding:
    """What landed on one arrival day."""

    day: date
    files: list[dict] = field(default_factory=list)
    """Rows of LANDED_FILES."""
    rejected: list[dict] = field(default_factory=list)
    """Rows of REJECTED_READINGS."""
    staged: dict[str, pa.Table] = field(default_factory=dict)
    """file_id -> rows of LANDED_ROWS."""
    ignored: list[str] = field(default_factory=list)
    """Names in the landing folders that tell no time of arrival."""


def files_frame(files: list[dict]) -> pd.DataFrame:
    """Rows of LANDED_FILES as a frame."""
    return pd.DataFrame(files, columns=LANDED_FILES.columns)


def rejected_frame(rejected: list[dict]) -> pd.DataFrame:
    """Rows of REJECTED_READINGS as a frame."""
    frame = pd.DataFrame(rejected, columns=REJECTED_READINGS.columns)
    return frame.assign(received_utc=pd.to_datetime(frame["received_utc"], utc=True))


def summary(files: list[dict], rejected: list[dict]) -> dict[str, int]:
    """Key figures of a landing: files by status, rows by what became of them, refusals by rule."""
    frame, refused = files_frame(files), rejected_frame(rejected)
    made = {f"files_{status}": int(count) for status, count in frame["status"].value_counts().sort_index().items()}
    made |= {name: int(frame[name].sum()) for name in ("rows", "rows_staged", "rows_rejected", "rows_superseded")}
    return made | {f"rejected_{rule}": int(count) for rule, count in refused["rule"].value_counts().sort_index().items()}


def rows_by_day_and_outcome(files: list[dict]) -> pd.DataFrame:
    """Rows landed, by day of arrival on the clock of UTC, and by what became of them."""
    frame = files_frame(files)
    day = pd.to_datetime(frame["received_utc"], utc=True).dt.date
    return frame.groupby(day)[["rows_staged", "rows_rejected", "rows_superseded"]].sum()


def land_days(site: Site, lake: Lake, meters: pd.DataFrame, days: Sequence[date]) -> Iterator[DayLanding]:
    """Lands the arrivals of some days, each day's when it is asked for; every file is read once.

    ``meters`` is the register. ``lake`` is asked which contents landed before, when a file is no longer in its folder.
    What landed before stays landed when its file was moved away or overwritten since; see _Earlier.
    Raises ArrivalError where a landing folder or an archive is not there, EmptyRegister where no meter is known.
    """
    if meters.empty:
        raise EmptyRegister("the meters register is empty: materialise the registers job first")
    calendar = SiteDays.of(site.clock, max(days) + timedelta(days=1))
    landings = {day: DayLanding(day) for day in days}
    archives = []
    for source in site.readings:
        if source.arrival == "archive":
            archives += [_Archive(path, source, site, calendar, meters) for path in archive_files(source)]
    folders = [_Folder(source, site, lake) for source in site.readings if source.arrival == "file_name"]
    in_place = {(one.source.name, one.name) for one in archives}
    in_place |= {(folder.source.name, arrival.name) for folder in folders for arrival in folder.arrivals}
    for landing in landings.values():
        earlier = _Earlier(lake, landing.day, {source.name for source in site.readings})
        for archive in archives:
            archive.land(landing, earlier)
        for folder in folders:
            folder.land(landing, calendar, meters, earlier)
        earlier.keep(landing, in_place)
        yield landing


def files_of_no_day(site: Site, lake: Lake) -> list[str]:
    """The files in the landing folders that no landed day lists because they arrived outside the site's calendar."""
    first = lake.read(LANDED_FILES, site.clock.first_day, ["input_name", "file_name"])
    return outside_calendar(site, set(first.itertuples(index=False, name=None)))


def write_landing(lake: Lake, landing: DayLanding) -> tuple[Written, Written]:
    """Stages the rows first and names the files last, so that no file is listed whose rows are not there."""
    for file_id, rows in landing.staged.items():
        lake.write(LANDED_ROWS, rows, file_id)
    rejected = lake.write(REJECTED_READINGS, rejected_frame(landing.rejected), landing.day)
    return lake.write(LANDED_FILES, files_frame(landing.files), landing.day), rejected


# -- what landed before ----------------------------------------------------------------------------------------


class _Earlier:
    """What landed on a day before. Rows that were taken over once are never lost because their file went or was overwritten.

    A file that was moved away stays listed. Of a file that was overwritten, every version that landed stays listed: rows
    that only an earlier version holds still count, and where versions disagree the later one counts, because each version
    is received a microsecond after the one before (names and archives tell whole seconds). A version that is unreadable,
    refused or empty takes nothing away.
    """

    def __init__(self, lake: Lake, day: date, inputs: set[str]):
        self._lake, self._day = lake, day
        files = lake.read(LANDED_FILES, day)
        self._files = files[files["input_name"].isin(inputs)]

    def delay(self, source: ReadingsInput, name: str, file_id: str) -> timedelta:
        """How much later than its name tells this version of a file counts as received; the last version stays what it was."""
        known = self._versions(source.name, name)
        delays = dict(zip(known["file_id"], known["received_utc"].dt.microsecond, strict=True))
        if not delays:
            return timedelta()
        newest = max(delays.values())
        return timedelta(microseconds=int(newest if delays.get(file_id) == newest else newest + 1))

    def keep(self, landing: DayLanding, in_place: set[tuple[str, str]]) -> None:
        """Adds to a day's landing what landed before and is not in it now. ``in_place``: input and name of the files still there."""
        made = {row["file_id"] for row in landing.files} | {row["duplicate_of"] for row in landing.files}
        now = {(row["input_name"], row["file_name"]): row for row in landing.files}
        kept = []
        for row in self._files[~self._files["file_id"].isin(made)].to_dict("records"):
            place = row["input_name"], row["file_name"]
            if place not in in_place:
                kept.append(row)
            elif row["status"] == "landed":
                kept.append(row | {"reason": _told_of_versions(row, now.get(place))})
        if kept:
            refused = self._lake.read(REJECTED_READINGS, self._day)
            landing.files += kept
            landing.rejected += refused[refused["file_id"].isin([row["file_id"] for row in kept])].to_dict("records")

    def _versions(self, input_name: str, file_name: str) -> pd.DataFrame:
        same = (self._files["input_name"] == input_name) & (self._files["file_name"] == file_name)
        return self._files[same & (self._files["status"] == "landed")]


def _told_of_versions(earlier: dict, now: dict | None) -> str:
    """The reason of a version that was overwritten; what came in its place is told as well when it could not be taken."""
    if now is None:
        return "its file is there under the same name, but its arrival belongs to another day now; its rows stay"
    if now["status"] in STATUS_OF_FAULT.values():
        said = f"the {earlier['rows_staged']} rows of the version that landed before ({earlier['file_id']}) stay"
        now["reason"] = f"{now['reason']}; {said}"
    return (
        f"overwritten since by a version that is {now['status']}; its rows stay, and where both hold a reading the later version's counts"
    )


# -- files that tell their arrival ------------------------------------------------------------------------------


class _Folder:
    """The landing folder of one input: its files, and which of them repeat another."""

    def __init__(self, source: ReadingsInput, site: Site, lake: Lake):
        self.source, self.site, self.lake = source, site, lake
        self.arrivals, self.ignored = arrived_files(source, site.clock)
        sizes: dict[int, list[Arrival]] = {}
        for one in self.arrivals:
            sizes.setdefault(one.path.stat().st_size, []).append(one)
        self._twins = {one.name: [other for other in group if other < one] for group in sizes.values() for one in group}
        landed = (
            lake.read(LANDED_FILES, columns=["file_id", "file_name", "received_utc", "status"])
            if self.arrivals
            else LANDED_FILES.empty().to_pandas()
        )
        self._landed_before: dict[str, list[tuple[pd.Timestamp, str]]] = {}
        for row in landed[landed["status"] == "landed"].itertuples():
            self._landed_before.setdefault(row.file_id, []).append((row.received_utc, row.file_name))

    def land(self, landing: DayLanding, calendar: SiteDays, meters: pd.DataFrame, earlier: _Earlier) -> None:
        landing.ignored += [f"{self.source.name}: {name}" for name in self.ignored]
        for arrival in self.arrivals:
            if arrival_day(arrival.received_utc, self.site.clock) == landing.day:
                self._land_file(arrival, landing, calendar, meters, earlier)

    def _land_file(
        self, arrival: Arrival, landing: DayLanding, calendar: SiteDays, meters: pd.DataFrame, earlier: _Earlier
    ) -> None:  # fmt: skip
        data = arrival.path.read_bytes()
        digest = content_id(data, self.source)
        own_id = f"{digest}+{hashlib.sha256(arrival.name.encode()).hexdigest()[:8]}"
        try:
            cells = read_cells(data, self.source, arrival.name)
        except tuple(STATUS_OF_FAULT) as fault:
            _add_faulty_file(landing, own_id, self.source, arrival.name, arrival.received_utc, fault)
            return
        original = self._original(arrival, data, digest)
        if original:
            rows = len(cells) + len(cells.broken)
            reason = f"repeats the content of {original}; its rows are not taken over a second time"
            landing.files.append(
                _file_row(
                    own_id,
                    self.source,
                    arrival.name,
                    arrival.received_utc,
                    "duplicate",
                    reason,
                    rows=rows,
                    rows_superseded=rows,
                    duplicate_of=digest,
                )
            )
            return
        received = arrival.received_utc + earlier.delay(self.source, arrival.name, digest)
        judged = judge(cells, self.source, self.site.clock, calendar, meters, microseconds(received))
        chosen = np.arange(len(cells))
        _add_rows(landing, digest, self.source, arrival.name, received, calendar, judged, chosen, cells.broken, cells)

    def _original(self, arrival: Arrival, data: bytes, digest: str) -> str | None:
        """The name of the earliest earlier file with the same content, in the folder or landed before."""
        for other in self._twins[arrival.name]:
            if other.path.read_bytes() == data:
                return other.name
        earlier = [one for one in self._landed_before.get(digest, []) if one < (pd.Timestamp(arrival.received_utc), arrival.name)]
        if earlier:
            return min(earlier)[1]
        return None


# -- archives ---------------------------------------------------------------------------------------------------


class _Archive:
    """A file that holds a past period, read and judged once, landed slice by slice."""

    def __init__(self, path: Path, source: ReadingsInput, site: Site, calendar: SiteDays, meters: pd.DataFrame):
        self.name, self.source, self.calendar, self.clock = path.name, source, calendar, site.clock
        data = path.read_bytes()
        self.digest = content_id(data, source)
        self.fault: Exception | None = None
        try:
            self.cells = read_cells(data, source, path.name)
        except tuple(STATUS_OF_FAULT) as fault:
            self.fault = fault
            return
        self.judged = judge(self.cells, source, site.clock, calendar, meters, None)
        inside = (self.judged.day_index >= 0) & (self.judged.day_index < len(calendar.days))
        inside |= self.judged.read == NO_TIME
        if not inside.any() and not self.cells.broken:
            first, last = calendar.days[0], calendar.days[-1]
            self.fault = FileRefused(
                f"{path.name}: none of its {len(self.cells)} rows speaks of a day from {first} to {last}; see [calendar] in the site file"
            )
            return
        # delivered once a day, when the day is complete: no slice holds the first hours of the day after
        slices = np.maximum(calendar.arrival_index_of(self.judged.received), self.judged.day_index)
        self._order = np.argsort(slices, kind="stable")
        self._order = self._order[inside[self._order]]
        self._slices = slices[self._order]
        self.rows_of_other_days = int((~inside).sum())

    def land(self, landing: DayLanding, earlier: _Earlier) -> None:
        slice_id = f"{self.digest}@{landing.day.isoformat()}"
        at_issue = self.clock.issue_time(landing.day)
        if self.fault is not None:
            own_id = f"{slice_id}+{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
            _add_faulty_file(landing, own_id, self.source, self.name, at_issue, self.fault)
            return
        index = (landing.day - self.calendar.days[0]).days
        begin, end = np.searchsorted(self._slices, [index, index + 1])
        chosen = np.sort(self._order[begin:end])
        broken = self.cells.broken if index == 0 else []
        if not len(chosen) and not broken:
            landing.files.append(
                _file_row(slice_id, self.source, self.name, at_issue, "empty", "the archive has no rows that arrived on this day")
            )
            return
        delay = earlier.delay(self.source, self.name, slice_id)
        received = EPOCH + timedelta(microseconds=int(self.judged.received[chosen].max())) if len(chosen) else at_issue
        judged = replace(self.judged, received=self.judged.received + delay.microseconds) if delay else self.judged
        _add_rows(landing, slice_id, self.source, self.name, received + delay, self.calendar, judged, chosen, broken, self.cells)
        if index == 0 and self.rows_of_other_days:
            landing.files[-1]["reason"] = (
                f"{self.rows_of_other_days} rows of the archive speak of days that the site's calendar does not have and stay in it"
            )


# -- rows of the tables -----------------------------------------------------------------------------------------


def content_id(data: bytes, source: ReadingsInput) -> str:
    """The first 20 hex digits of the SHA-256 of a file's bytes, and the input that reads them its way."""
    return f"{hashlib.sha256(data).hexdigest()[:20]}.{source.name}"


def _file_row(
    file_id: str, source: ReadingsInput, name: str, received: datetime, status: str, reason: str | None = None, **counts: object
) -> dict:
    row = {
        "file_id": file_id, "input_name": source.name, "file_name": name, "received_utc": pd.Timestamp(received), "status": status,
        "reason": reason, "duplicate_of": None, "rows": 0, "rows_staged": 0, "rows_rejected": 0, "rows_superseded": 0,
        "days_touched": "", "rows_of_days": "", "measurement_days": "", "rows_of_measurement_days": "",
    }  # fmt: skip
    return row | counts


def _add_faulty_file(landing: DayLanding, file_id: str, source: ReadingsInput, name: str, received: datetime, fault: Exception) -> None:
    """A file of which no row could be taken; its place in the quarantine is row 0, the file as a whole."""
    status = STATUS_OF_FAULT[type(fault)]
    landing.files.append(_file_row(file_id, source, name, received, status, str(fault)))
    if status in RULE_OF_STATUS:
        landing.rejected.append(_rejected_row(file_id, name, 0, RULE_OF_STATUS[status], str(fault), "", pd.Timestamp(received)))


def _rejected_row(file_id: str, name: str, row: int, rule: str, reason: str, text: str, received: pd.Timestamp, cell: int = 0) -> dict:
    return {"file_id": file_id, "source_file": name, "source_row": row, "source_cell": cell, "rule": rule, "reason": reason,
            "raw_text": text, "received_utc": received}  # fmt: skip


def _add_rows(
    landing: DayLanding, file_id: str, source: ReadingsInput, name: str, received: datetime,
    calendar: SiteDays, judged: JudgedRows, chosen: np.ndarray, broken: list[BrokenRow], cells: Cells,
) -> None:  # fmt: skip
    """Splits the chosen readings of a file into staged and refused ones, and lists the file."""
    refused = [i for i in chosen.tolist() if i in judged.refused] if judged.refused else []
    good = np.setdiff1d(chosen, np.asarray(refused, dtype=np.int64), assume_unique=True) if refused else chosen
    seen: dict[tuple[int, str], int] = {}
    for i in refused:
        rule, reason = judged.refused[i]
        row = int(judged.source_row[i])
        cell = seen[row, rule] = seen.get((row, rule), 0) + 1
        arrived = pd.Timestamp(int(judged.received[i]), unit="us", tz="UTC")
        landing.rejected.append(_rejected_row(file_id, name, row, rule, reason, cells.raw_text(row), arrived, cell))
    for one in broken:
        landing.rejected.append(_rejected_row(file_id, name, one.source_row, "parse", one.reason, one.text, pd.Timestamp(received), 1))
    per_day = np.bincount(judged.day_index[good], minlength=len(calendar.days)) if len(good) else np.zeros(0, dtype=int)
    touched = np.flatnonzero(per_day)
    if len(good):
        landing.staged[file_id] = _staged(file_id, name, calendar, judged, good)
    landing.files.append(
        _file_row(
            file_id, source, name, received, "landed",
            rows=len(chosen) + len(broken), rows_staged=len(good), rows_rejected=len(refused) + len(broken),
            days_touched=" ".join(calendar.days[n].isoformat() for n in touched), rows_of_days=" ".join(str(per_day[n]) for n in touched),
        )
    )  # fmt: skip


def _staged(file_id: str, name: str, calendar: SiteDays, judged: JudgedRows, good: np.ndarray) -> pa.Table:
    taken = pa.array(good)
    days = pa.array(calendar.days, pa.date32()).take(pa.array(judged.day_index[good]))
    columns = {
        "file_id": pa.repeat(pa.scalar(file_id), len(good)), "source_file": pa.repeat(pa.scalar(name), len(good)),
        "source_row": pa.array(judged.source_row[good]), "day": days, "meter_id": judged.meter_id.take(taken),
        "read_utc": pa.array(judged.read[good]).cast(pa.timestamp("us", tz="UTC")), "value": pa.array(judged.value[good]),
        "unit": judged.unit.take(taken), "kind": pa.repeat(pa.scalar("interval"), len(good)),
        "received_utc": pa.array(judged.received[good]).cast(pa.timestamp("us", tz="UTC")),
    }  # fmt: skip
    return pa.table({column: pa.chunked_array([columns[column]]) for column in LANDED_ROWS.columns})
