"""Corrections by people: who changed which readings of a meter, when and why. They are added to files and never altered.

The files lie in the folder [metering] corrections; the published readings are made from them again and again, so that a
correction survives every materialisation. Of two corrections of an interval the one entered later counts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
from filelock import FileLock

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, read_register
from grid_assets.foundation.site import Site
from grid_assets.metering.entries.entry_files import NO_TIME, Entry, RefusedEntry, entered_time, read_entries
from grid_assets.metering.tables import CORRECTIONS

COLUMNS = ("correction_id", "meter_id", "start_utc", "end_utc", "action", "energy_kwh", "author", "entered_utc", "reason")
ACTIONS = ("replace", "reject", "accept")
OWN_FILE = "entered.csv"
"""The file that `grid-assets correct` and the job `correct_readings` add to; people may keep others beside it."""


class CorrectionError(ValueError):
    """A correction that cannot be entered: what is wrong, what was expected."""


@dataclass
class Corrections:
    """The corrections that count, as rows of CORRECTIONS, and the lines that do not."""

    rows: pd.DataFrame
    refused: list[RefusedEntry] = field(default_factory=list)

    def of_day(self, clock: SiteCalendar, day: date) -> pd.DataFrame:
        """The corrections that touch a site day; one over several days is in each of them."""
        start, end = clock.bounds(day)
        return self.rows[(self.rows["start_utc"] < pd.Timestamp(end)) & (self.rows["end_utc"] > pd.Timestamp(start))]


@dataclass(frozen=True)
class Correction:
    """A correction as an analyst enters it. Times are aware; energy in kWh of each interval, for replace only."""

    meter_id: str
    start_utc: datetime
    end_utc: datetime
    action: str
    author: str
    reason: str
    entered_utc: datetime
    energy_kwh: float | None = None

    @property
    def correction_id(self) -> str:
        """A hash of what is said, by whom and when: the same correction entered twice at the same instant is one."""
        told = [self.meter_id, *(_utc_text(one) for one in (self.start_utc, self.end_utc, self.entered_utc))]
        told += [self.action, repr(self.energy_kwh), self.author, self.reason]
        return f"c-{hashlib.sha256('|'.join(told).encode()).hexdigest()[:12]}"

    def values(self) -> dict[str, str]:
        """The texts of its row in a file."""
        return {
            "correction_id": self.correction_id, "meter_id": self.meter_id, "start_utc": _utc_text(self.start_utc),
            "end_utc": _utc_text(self.end_utc), "action": self.action, "energy_kwh": "" if self.energy_kwh is None else repr(self.energy_kwh),
            "author": self.author, "entered_utc": _utc_text(self.entered_utc), "reason": self.reason,
        }  # fmt: skip


def read_corrections(folder: Path | None, clock: SiteCalendar, meters: Collection[str] | None = None) -> Corrections:
    """The corrections of a folder's CSV files, by time of entry; none for None, and before the first one makes the folder.

    ``meters``: the ids that the register knows; None: any is taken. A row that cannot be used is refused, the rest counts.
    """
    found = read_entries(folder if folder and folder.exists() else None, COLUMNS)
    rows, refused, places = [], list(found.refused), {}
    for entry in found.entries:
        faults = _faults(entry.values, clock, meters)
        identity = entry.values["correction_id"]
        if not faults and identity in places:
            faults = [
                f"correction_id = {identity!r} is already in {places[identity]}; expected each once, what was entered is never altered"
            ]
        if faults:
            refused.append(entry.refused("; ".join(faults)))
        else:
            places[identity] = f"{entry.file}, line {entry.line}"
            rows.append(_row(entry))
    frame = pd.DataFrame(rows, columns=CORRECTIONS.columns).sort_values(["entered_utc", "correction_id"], ignore_index=True)
    times = {name: pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]") for name in ("start_utc", "end_utc", "entered_utc")}
    return Corrections(frame.assign(**times, energy_kwh=frame["energy_kwh"].astype(float)), refused)


def corrections_of(site: Site, lake: Lake) -> Corrections:
    """The corrections of a site's folder, held against its register of meters."""
    return read_corrections(site.metering.corrections, site.clock, set(lake.read(METERS, columns=["meter_id"])["meter_id"]))


def correction_of(
    clock: SiteCalendar,
    *,
    meter_id: str,
    start: str,
    end: str,
    action: str,
    author: str,
    reason: str,
    now: datetime,
    energy_kwh: float | None = None,
) -> Correction:
    """A correction from what a person typed. A time without an offset is one of the site's clock.

    Raises CorrectionError for a time that is none, or that the autumn change repeats.
    """
    moments = [_typed_time(name, text, clock) for name, text in (("start", start), ("end", end))]
    return Correction(meter_id.strip(), *moments, action, author.strip(), reason.strip(), now, energy_kwh)


def _typed_time(name: str, text: str, clock: SiteCalendar) -> datetime:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise CorrectionError(f"{name} = {text!r}: expected a time such as 2016-05-24T15:00, with or without an offset") from error
    if when.tzinfo is None:
        first, second = (when.replace(tzinfo=clock.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first != second:
            raise CorrectionError(f"{name} = {text!r}: the clocks change there; give the offset, such as {text.strip()}+01:00")
        when = first
    return when.astimezone(UTC)


def enter_for_site(site: Site, lake: Lake, correction: Correction) -> list[date]:
    """Adds a correction to a site's folder, its meter held against the register; returns the site days that it touches."""
    if site.metering.corrections is None:
        raise CorrectionError(f"site {site.name} takes no corrections; name their folder in the site file: [metering] corrections")
    meters = set(lake.read(METERS, columns=["meter_id"])["meter_id"]) or set(
        read_register(site.registers.folder, METERS)["meter_id"].to_pylist()
    )
    return enter_correction(site.metering.corrections, correction, site.clock, meters)


def enter_correction(folder: Path, correction: Correction, clock: SiteCalendar, meters: Collection[str] | None = None) -> list[date]:
    """Adds a correction to the folder's own file and returns the site days that it touches.

    One writer at a time; the file is replaced whole, so that a reader or a lost machine sees it with the row or without.
    Raises CorrectionError for what cannot be entered, with every fault.
    """
    values = correction.values()
    faults = _faults(values, clock, meters)
    faults += [f"{name} holds a line break; a row stands on one line" for name in COLUMNS if len(values[name].splitlines()) > 1]
    if faults:
        raise CorrectionError("; ".join(faults))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / OWN_FILE
    with FileLock(folder / ".lock"):
        before = path.read_bytes() if path.exists() else _csv_line(COLUMNS)
        header = [line for line in before.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip() and not line.startswith(b"#")][:1]
        if header != [_csv_line(COLUMNS).rstrip()]:
            raise CorrectionError(f"{path}: its header is not {','.join(COLUMNS)}; keep your own files under another name")
        known = {one.values["correction_id"] for one in read_entries(folder, COLUMNS).entries}
        if values["correction_id"] in known:
            raise CorrectionError(f"this very correction was entered already: {values['correction_id']}")
        put_atomically(path, before + (b"" if before.endswith(b"\n") else b"\n") + _csv_line([values[name] for name in COLUMNS]))
    last = correction.end_utc - timedelta(microseconds=1)
    return days_between(clock.day_of(correction.start_utc), clock.day_of(last))


def _faults(values, clock: SiteCalendar, meters: Collection[str] | None) -> list[str]:
    """Everything that keeps a row from counting."""
    faults = [f"{name} is empty" for name in ("correction_id", "meter_id", "author", "reason") if not values[name].strip()]
    if values["meter_id"] and meters is not None and values["meter_id"] not in meters:
        faults.append(f"meter {values['meter_id']!r} is not in the register meters.csv")
    times = {name: entered_time(values[name]) for name in ("start_utc", "end_utc", "entered_utc")}
    faults += [f"{name} = {values[name]!r}: {NO_TIME}" for name, time in times.items() if time is None]
    start, end = times["start_utc"], times["end_utc"]
    if start and end and end <= start:
        faults.append(f"end_utc = {values['end_utc']!r}: expected a time after start_utc")
    for name in ("start_utc", "end_utc"):
        moment = times[name]
        if moment and (moment - clock.midnight(clock.day_of(moment))) % clock.interval:
            faults.append(f"{name} = {values[name]!r}: expected the edge of an interval of {clock.interval_minutes} minutes")
    return faults + _faults_of_action(values["action"], values["energy_kwh"])


def _faults_of_action(action: str, energy: str) -> list[str]:
    if action not in ACTIONS:
        return [f"action = {action!r}: expected one of {', '.join(ACTIONS)}"]
    if action != "replace":
        return [f"energy_kwh = {energy!r}: only replace takes an energy"] if energy else []
    try:
        return [] if math.isfinite(float(energy)) else [f"energy_kwh = {energy!r}: expected a finite number"]
    except ValueError:
        return [f"energy_kwh = {energy!r}: expected the energy of each interval in kWh, such as 0.25"]


def _row(entry: Entry) -> dict:
    times = {name: entered_time(entry.values[name]) for name in ("start_utc", "end_utc", "entered_utc")}
    energy = float(entry.values["energy_kwh"]) if entry.values["energy_kwh"] else math.nan
    return {**entry.values, **times, "energy_kwh": energy, "source_file": entry.file, "source_row": entry.row}


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _csv_line(values) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue().encode()
