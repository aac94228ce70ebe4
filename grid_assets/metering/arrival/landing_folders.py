"""Landing from a folder whose files tell in their names when they arrived, and from which of them repeat another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.site import Site
from grid_assets.metering.arrival.arrival_rules import Rules, judge
from grid_assets.metering.arrival.arrivals import Arrival, arrival_day, arrived_files
from grid_assets.metering.arrival.day_landings import (
    STATUS_OF_FAULT,
    DayLanding,
    add_faulty_file,
    add_rows,
    content_id,
    faults_told,
    file_row,
)
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.landed_before import EarlierLanding
from grid_assets.metering.arrival.stamps import microseconds
from grid_assets.metering.engines import ahead
from grid_assets.metering.tables import LANDED_FILES


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


class LandingFolder:
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
            with faults_told(arrival.name):
                cells = read_cells(data, self.source, arrival.name)
                original = self._original(arrival, data, digest)
                file_id = own_id if original else digest
                received = arrival.received_utc + earlier.delay(self.source, arrival.name, file_id)
                judged = judge(cells, self.source, rules, microseconds(received))
                days = {rules.days.days[n].isoformat() for n in np.unique(judged.day_of_place) if 0 <= n < len(rules.days.days)}
                add_rows(alone, file_id, self.source, arrival.name, received, rules, judged, np.arange(len(cells)), cells.broken)
        except tuple(STATUS_OF_FAULT) as fault:
            alone = DayLanding(day)
            add_faulty_file(alone, own_id, self.source, arrival.name, arrival.received_utc, fault)
            return _ReadFile(arrival, alone, digest, own_id)
        return _ReadFile(arrival, alone, digest, own_id, days, original)

    def _take_over(self, read: _ReadFile, landing: DayLanding) -> None:
        original, name = read.original, read.arrival.name
        if original and not self._others_between(original, read.arrival, read.digest, read.days):
            rows = read.alone.files[0]["rows"]
            reason = f"repeats the content of {original[1]}; its rows are not taken over a second time"
            landing.files.append(
                file_row(
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
