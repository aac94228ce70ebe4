"""Landing: which files came on a day, what each holds, which rows are taken over and which are refused, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake, Written
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.registers import DEVICES
from grid_assets.foundation.site import Site
from grid_assets.metering.arrival.arrival_rules import MEASUREMENT, JudgedRows, Rules, SiteDays, judge
from grid_assets.metering.arrival.arrivals import Arrival, archive_files, arrival_day, arrived_files, name_pattern, outside_calendar
from grid_assets.metering.arrival.cells import BrokenRow, FileEmpty, FileRefused, FileUnreadable
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.arrival.landed_before import EarlierLanding
from grid_assets.metering.arrival.staging import energy_rows, measurement_rows, rejected_row, rejected_rows
from grid_assets.metering.arrival.stamps import EPOCH, NO_TIME, microseconds
from grid_assets.metering.engines import ahead
from grid_assets.metering.tables import LANDED_FILES, LANDED_MEASUREMENTS, LANDED_ROWS, REJECTED_READINGS

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
    rejected: list[pa.Table] = field(default_factory=list)
    """Rows of REJECTED_READINGS, a table per file."""
    staged: dict[str, pa.Table] = field(default_factory=dict)
    """file_id -> rows of LANDED_ROWS."""
    measured: dict[str, pa.Table] = field(default_factory=dict)
    """file_id -> rows of LANDED_MEASUREMENTS."""
    ignored: list[str] = field(default_factory=list)
    """Names in the landing folders that tell no time of arrival."""
    lake: Lake | None = None
    """Where the rows of a file are staged as soon as it is taken over, for a day's rows take gigabytes; None: they are kept here."""

    def add(self, other: DayLanding) -> None:
        """Takes a file over that was read alone."""
        self.files += other.files
        self.rejected += other.rejected
        if self.lake is None:
            self.staged |= other.staged
            self.measured |= other.measured
        else:
            _stage(self.lake, other)


def files_frame(files: list[dict]) -> pd.DataFrame:
    """Rows of LANDED_FILES as a frame."""
    return pd.DataFrame(files, columns=LANDED_FILES.columns)


def rejected_table(rejected: Sequence[pa.Table]) -> pa.Table:
    """Rows of REJECTED_READINGS as one table."""
    return pa.concat_tables(rejected).unify_dictionaries() if rejected else REJECTED_READINGS.empty()


def rejected_frame(rejected: Sequence[pa.Table], most: int | None = None) -> pd.DataFrame:
    """Rows of REJECTED_READINGS as a frame, the first ``most`` of them."""
    return rejected_table(rejected).slice(0, most).cast(REJECTED_READINGS.schema).to_pandas()


def summary(files: list[dict], rejected: Sequence[pa.Table]) -> dict[str, int]:
    """Key figures of a landing: files by status, rows by what became of them, refusals by rule."""
    frame, rules = files_frame(files), pc.value_counts(rejected_table(rejected)["rule"].cast(pa.string())).to_pylist()
    made = {f"files_{status}": int(count) for status, count in frame["status"].value_counts().sort_index().items()}
    made |= {name: int(frame[name].sum()) for name in ("rows", "rows_staged", "rows_rejected", "rows_superseded")}
    return made | {f"rejected_{one['values']}": int(one["counts"]) for one in sorted(rules, key=lambda one: one["values"])}


def faults_of_files(files: pd.DataFrame) -> str:
    """The files (LANDED_FILES) that could not be read, and those of which no row could be taken over, as ones of another year."""
    wrong = files[files["status"].isin(["unreadable", "refused"])]
    none = files[(files["status"] == "landed") & (files["rows"] > 0) & (files["rows_staged"] == 0)]
    told = [f"{row.status}: {row.reason}" for row in wrong.itertuples()]
    return "; ".join(
        [*told, *(f"{row.file_name}: none of its {row.rows} rows could be taken over; see rejected_readings" for row in none.itertuples())]
    )


def rows_by_day_and_outcome(files: list[dict]) -> pd.DataFrame:
    """Rows landed, by day of arrival on the clock of UTC, and by what became of them."""
    frame = files_frame(files)
    day = pd.to_datetime(frame["received_utc"], utc=True).dt.date
    return frame.groupby(day)[["rows_staged", "rows_rejected", "rows_superseded"]].sum()


def land_days(
    site: Site, lake: Lake, meters: pd.DataFrame, days: Sequence[date], devices: pd.DataFrame | None = None, stage: bool = False
) -> Iterator[DayLanding]:
    """Lands the arrivals of some days, each day's when it is asked for; every file is read once. With ``stage`` the rows of each file
    are written at once and not kept, else ``write_landing`` does; either way it lists the files.

    ``meters`` and ``devices`` are the registers; devices that are not given are those of the lake. ``lake`` is asked which contents landed before, when a file is no longer in its folder.
    What landed before stays landed when its file was moved away or overwritten since; see EarlierLanding.
    Raises ArrivalError where a landing folder or an archive is not there, EmptyRegister where no meter is known.
    """
    if meters.empty:
        raise EmptyRegister("the meters register is empty: materialise the registers job first")
    devices = lake.read(DEVICES) if devices is None else devices
    calendar = SiteDays.of(site.clock, max(days) + timedelta(days=1))
    rules = Rules(site.clock, calendar, KnownSubjects.of(meters, "meter_id"), KnownSubjects.of(devices, "device_id"))
    archives = []
    for source in site.readings:
        if source.arrival == "archive":
            archives += [_Archive(path, source, rules) for path in archive_files(source)]
    folders = [_Folder(source, site, lake) for source in site.readings if source.arrival == "file_name"]
    in_place = {(one.source.name, one.name) for one in archives}
    in_place |= {(folder.source.name, arrival.name) for folder in folders for arrival in folder.arrivals}
    for day in days:
        landing = DayLanding(day, lake=lake if stage else None)  # let go once it is landed: a range of days must not stay in memory
        earlier = EarlierLanding(lake, day, {source.name for source in site.readings})
        for archive in archives:
            archive.land(landing, earlier)
        for folder in folders:
            folder.land(landing, rules, earlier)
        earlier.keep(landing, in_place)
        yield landing


def files_of_no_day(site: Site, lake: Lake) -> list[str]:
    """The files in the landing folders that no landed day lists because they arrived outside the site's calendar."""
    first = lake.read(LANDED_FILES, site.clock.first_day, ["input_name", "file_name"])
    return outside_calendar(site, set(first.itertuples(index=False, name=None)))


def files_without_arrival(site: Site) -> list[str]:
    """The files in the landing folders whose names tell no time of arrival, so that no run lands them, and the names expected."""
    found = []
    for source in site.readings:
        sharing = [name_pattern(one) for one in site.readings if one is not source and one.folder == source.folder]
        for name in arrived_files(source, site.clock)[1] if source.arrival == "file_name" else ():
            if not any(one.fullmatch(name) for one in sharing):
                expected = f"expected {source.pattern!r} with {{received}} as 20160526T070000Z or 2016-05-26; rename the file"
                found.append(f"{source.name}: {name} ({expected})")
    return found


def write_landing(lake: Lake, landing: DayLanding) -> tuple[Written, Written]:
    """Stages the rows first and names the files last, so that no file is listed whose rows are not there."""
    _stage(lake, landing)
    rejected = lake.write(REJECTED_READINGS, rejected_table(landing.rejected), landing.day)
    return lake.write(LANDED_FILES, files_frame(landing.files), landing.day), rejected


def _stage(lake: Lake, landing: DayLanding) -> None:
    for table, files in ((LANDED_ROWS, landing.staged), (LANDED_MEASUREMENTS, landing.measured)):
        for file_id, rows in files.items():
            lake.write(table, rows, file_id)


@contextmanager
def _faults_told(name: str) -> Iterator[None]:
    """What nobody foresaw in a file is a fault of that file: the other files land all the same."""
    try:
        yield
    except (*STATUS_OF_FAULT, MemoryError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:300].encode("utf-8", "backslashreplace").decode()
        raise FileUnreadable(f"{name}: its reader failed ({said}); report this, with the file") from error


# -- files that tell their arrival ------------------------------------------------------------------------------


@dataclass
class _ReadFile:
    """A file that was read and judged."""

    arrival: Arrival
    alone: DayLanding
    """What it would land were it the only file; one row of files."""
    digest: str
    own_id: str
    days: set[str] = field(default_factory=set)
    """The days of which its rows speak; none of a file that could not be read."""
    original: tuple[pd.Timestamp, str] | None = None
    """Arrival and name of an earlier file with the same content."""


class _Folder:
    """The landing folder of one input: its files, and which of them repeat another."""

    def __init__(self, source: ReadingsInput, site: Site, lake: Lake):
        self.source, self.site, self.lake = source, site, lake
        self.arrivals, self.ignored = arrived_files(source, site.clock)
        sizes: dict[int, list[Arrival]] = {}
        for one in self.arrivals:
            sizes.setdefault(one.path.stat().st_size, []).append(one)
        self._twins = {one.name: [other for other in group if other < one] for group in sizes.values() for one in group}
        wanted = ["file_id", "file_name", "received_utc", "status", "days_touched", "measurement_days"]
        landed = lake.read(LANDED_FILES, columns=wanted) if self.arrivals else LANDED_FILES.empty().to_pandas()[wanted]
        self._landed_before: dict[str, list[tuple[pd.Timestamp, str]]] = {}
        """Content -> when it landed, and under which name."""
        self._days: dict[str, set[str]] = {}
        """Name -> the days of which its rows speak; only of what has landed."""
        landed = landed[(landed["status"] == "landed") & landed["file_id"].str.split("+").str[0].str.endswith(f".{source.name}")]
        for row in landed.fillna("").itertuples():
            self._landed_before.setdefault(row.file_id, []).append((row.received_utc, row.file_name))
            self._days.setdefault(row.file_name, set()).update(row.days_touched.split(), row.measurement_days.split())

    def land(self, landing: DayLanding, rules: Rules, earlier: EarlierLanding) -> None:
        landing.ignored += [f"{self.source.name}: {name}" for name in self.ignored]
        of_day = [one for one in self.arrivals if arrival_day(one.received_utc, self.site.clock) == landing.day]
        # files are read and judged beside each other, and taken over in their order: one may repeat an earlier one
        for read in ahead(lambda arrival: self._read(arrival, landing.day, rules, earlier), of_day, self.site.metering.threads):
            self._take_over(read, landing)

    def _read(self, arrival: Arrival, day: date, rules: Rules, earlier: EarlierLanding) -> _ReadFile:
        """What a file alone would land."""
        data, alone = arrival.path.read_bytes(), DayLanding(day)
        digest = content_id(data, self.source)
        own_id = f"{digest}+{hashlib.sha256(arrival.name.encode()).hexdigest()[:8]}"
        try:
            with _faults_told(arrival.name):
                cells = read_cells(data, self.source, arrival.name)
                original = self._original(arrival, data, digest)
                file_id = own_id if original else digest
                received = arrival.received_utc + earlier.delay(self.source, arrival.name, file_id)
                judged = judge(cells, self.source, rules, microseconds(received))
                days = {rules.days.days[n].isoformat() for n in np.unique(judged.day_of_place) if 0 <= n < len(rules.days.days)}
                _add_rows(alone, file_id, self.source, arrival.name, received, rules, judged, np.arange(len(cells)), cells.broken)
        except tuple(STATUS_OF_FAULT) as fault:
            alone = DayLanding(day)
            _add_faulty_file(alone, own_id, self.source, arrival.name, arrival.received_utc, fault)
            return _ReadFile(arrival, alone, digest, own_id)
        return _ReadFile(arrival, alone, digest, own_id, days, original)

    def _take_over(self, read: _ReadFile, landing: DayLanding) -> None:
        original, name = read.original, read.arrival.name
        if original and not self._others_between(original, read.arrival, read.digest, read.days):
            rows = read.alone.files[0]["rows"]
            reason = f"repeats the content of {original[1]}; its rows are not taken over a second time"
            landing.files.append(
                _file_row(
                    read.own_id, self.source, name, read.arrival.received_utc, "duplicate", reason, rows=rows, rows_superseded=rows,
                    duplicate_of=read.digest,
                )
            )  # fmt: skip
            return
        if original:
            said = f"repeats the content of {original[1]}, but others of these days came between: as the newest it counts again"
            read.alone.files[0] |= {"reason": said, "duplicate_of": read.digest}
        landing.add(read.alone)
        if read.alone.files[0]["status"] == "landed":
            self._days[name] = read.days

    def _original(self, arrival: Arrival, data: bytes, digest: str) -> tuple[pd.Timestamp, str] | None:
        """Arrival and name of the earliest earlier file with the same content, in the folder or landed before."""
        here = (pd.Timestamp(arrival.received_utc), arrival.name)
        for other in self._twins[arrival.name]:
            if other.path.read_bytes() == data:
                return pd.Timestamp(other.received_utc), other.name
        return min((one for one in self._landed_before.get(digest, []) if one < here), default=None)

    def _others_between(self, original: tuple[pd.Timestamp, str], arrival: Arrival, digest: str, days: set[str]) -> bool:
        """Whether files of another content came between the original and this one and speak of its days, or may do so."""
        here, same = (pd.Timestamp(arrival.received_utc), arrival.name), self._twins[arrival.name]
        between = {one.name: one for one in self.arrivals if original < (pd.Timestamp(one.received_utc), one.name) < here}
        data = arrival.path.read_bytes()
        twins = {one.name for one in same if one.name in between and one.path.read_bytes() == data}
        gone = {
            name
            for content, landed in self._landed_before.items()
            for received, name in landed
            if content.split("+")[0] != digest and name not in between and original < (received, name) < here
        }
        return any(days & self._days.get(name, days) for name in (between.keys() - twins) | gone)


# -- archives ---------------------------------------------------------------------------------------------------


class _Archive:
    """A file that holds a past period, read and judged once, landed slice by slice."""

    def __init__(self, path: Path, source: ReadingsInput, rules: Rules):
        self.name, self.source, self.rules = path.name, source, rules
        calendar = rules.days
        data = path.read_bytes()
        self.digest = content_id(data, source)
        self.fault: Exception | None = None
        try:
            with _faults_told(path.name):
                self.cells = read_cells(data, source, path.name)
                self.judged = judge(self.cells, source, rules, None)
        except tuple(STATUS_OF_FAULT) as fault:
            self.fault = fault
            return
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

    def land(self, landing: DayLanding, earlier: EarlierLanding) -> None:
        slice_id = f"{self.digest}@{landing.day.isoformat()}"
        at_issue = self.rules.clock.issue_time(landing.day)
        if self.fault is not None:
            own_id = f"{slice_id}+{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
            _add_faulty_file(landing, own_id, self.source, self.name, at_issue, self.fault)
            return
        index = (landing.day - self.rules.days.days[0]).days
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
        alone = DayLanding(landing.day)
        _add_rows(alone, slice_id, self.source, self.name, received + delay, self.rules, judged, chosen, broken)
        if index == 0 and self.rows_of_other_days:
            alone.files[-1]["reason"] = (
                f"{self.rows_of_other_days} rows of the archive speak of days that the site's calendar does not have and stay in it"
            )
        landing.add(alone)


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
        "days_touched": "", "rows_of_days": "", "measurement_days": "", "rows_of_measurement_days": "", "detected": None,
    }  # fmt: skip
    return row | counts


def _add_faulty_file(landing: DayLanding, file_id: str, source: ReadingsInput, name: str, received: datetime, fault: Exception) -> None:
    """A file of which no row could be taken; its place in the quarantine is row 0, the file as a whole."""
    status = STATUS_OF_FAULT[type(fault)]
    landing.files.append(_file_row(file_id, source, name, received, status, str(fault)))
    if status in RULE_OF_STATUS:
        landing.rejected.append(rejected_row(file_id, name, 0, RULE_OF_STATUS[status], str(fault), "", received))


def _add_rows(
    landing: DayLanding, file_id: str, source: ReadingsInput, name: str, received: datetime,
    rules: Rules, judged: JudgedRows, chosen: np.ndarray, broken: list[BrokenRow],
) -> None:  # fmt: skip
    """Splits the chosen readings of a file into staged and refused ones, and lists the file."""
    refused = judged.refusals.among(chosen)
    good = np.setdiff1d(chosen, refused, assume_unique=True) if len(refused) else chosen
    rejected = [rejected_rows(file_id, name, judged, refused, broken, received)] if len(refused) or broken else []
    measured = judged.route[good] == MEASUREMENT
    energy, other = (good[~measured], good[measured]) if measured.any() else (good, good[:0])
    staged = {file_id: energy_rows(file_id, name, judged, energy, rules)} if len(energy) else {}
    landing.measured |= {file_id: measurement_rows(file_id, name, judged, other, rules)} if len(other) else {}
    landing.staged |= staged  # nothing of a file that fails above is kept
    landing.rejected += rejected
    days, rows_of_days = _told_per_day(judged, energy, rules)
    measurement_days, rows_of_measurement_days = _told_per_day(judged, other, rules)
    landing.files.append(
        _file_row(
            file_id, source, name, received, "landed", rows=len(chosen) + len(broken), rows_staged=len(good),
            rows_rejected=len(refused) + len(broken), days_touched=days, rows_of_days=rows_of_days, measurement_days=measurement_days,
            rows_of_measurement_days=rows_of_measurement_days, detected="; ".join(judged.detected)[:1000] or None,
        )
    )  # fmt: skip


def _told_per_day(judged: JudgedRows, rows: np.ndarray, rules: Rules) -> tuple[str, str]:
    """The days that rows speak of, and how many of each, as text."""
    per_place = np.bincount(judged.place[rows], minlength=len(judged.day_of_place))
    at = np.flatnonzero(per_place)
    per_day = np.bincount(judged.day_of_place[at], weights=per_place[at], minlength=len(rules.days.days)).astype(int)
    touched = np.flatnonzero(per_day)
    return " ".join(rules.days.days[n].isoformat() for n in touched), " ".join(str(per_day[n]) for n in touched)
