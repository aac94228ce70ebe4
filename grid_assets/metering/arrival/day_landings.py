"""What landed on a day, and how a file adds to it: its rows staged or refused, and its line in the list of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.arrival_rules import MEASUREMENT, JudgedRows, Rules
from grid_assets.metering.arrival.cells import BrokenRow, FileEmpty, FileRefused, FileUnreadable
from grid_assets.metering.arrival.staging import energy_rows, measurement_rows, rejected_row, rejected_rows
from grid_assets.metering.tables import LANDED_MEASUREMENTS, LANDED_ROWS

STATUS_OF_FAULT = {FileEmpty: "empty", FileRefused: "refused", FileUnreadable: "unreadable"}
RULE_OF_STATUS = {"refused": "columns", "unreadable": "unreadable"}


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
            stage_rows(self.lake, other)


def stage_rows(lake: Lake, landing: DayLanding) -> None:
    for table, files in ((LANDED_ROWS, landing.staged), (LANDED_MEASUREMENTS, landing.measured)):
        for file_id, rows in files.items():
            lake.write(table, rows, file_id)


@contextmanager
def faults_told(name: str) -> Iterator[None]:
    """What nobody foresaw in a file is a fault of that file: the other files land all the same."""
    try:
        yield
    except (*STATUS_OF_FAULT, MemoryError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:300].encode("utf-8", "backslashreplace").decode()
        raise FileUnreadable(f"{name}: its reader failed ({said}); report this, with the file") from error


def content_id(data: bytes, source: ReadingsInput) -> str:
    """The first 20 hex digits of the SHA-256 of a file's bytes, and the input that reads them its way."""
    return f"{hashlib.sha256(data).hexdigest()[:20]}.{source.name}"


def file_row(
    file_id: str, source: ReadingsInput, name: str, received: datetime, status: str, reason: str | None = None, **counts: object
) -> dict:
    row = {
        "file_id": file_id, "input_name": source.name, "file_name": name, "received_utc": pd.Timestamp(received), "status": status,
        "reason": reason, "duplicate_of": None, "rows": 0, "rows_staged": 0, "rows_rejected": 0, "rows_superseded": 0,
        "days_touched": "", "rows_of_days": "", "measurement_days": "", "rows_of_measurement_days": "", "detected": None,
    }  # fmt: skip
    return row | counts


def add_faulty_file(landing: DayLanding, file_id: str, source: ReadingsInput, name: str, received: datetime, fault: Exception) -> None:
    """A file of which no row could be taken; its place in the quarantine is row 0, the file as a whole."""
    status = STATUS_OF_FAULT[type(fault)]
    landing.files.append(file_row(file_id, source, name, received, status, str(fault)))
    if status in RULE_OF_STATUS:
        landing.rejected.append(rejected_row(file_id, name, 0, RULE_OF_STATUS[status], str(fault), "", received))


def add_rows(
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
        file_row(
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
