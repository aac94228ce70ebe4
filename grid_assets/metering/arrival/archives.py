"""Landing from an archive: one file that holds a past period."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.arrival_rules import Rules, judge
from grid_assets.metering.arrival.cells import FileRefused
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
from grid_assets.metering.arrival.stamps import EPOCH, NO_TIME


class Archive:
    """A file that holds a past period, read and judged once, landed slice by slice."""

    def __init__(self, path: Path, source: ReadingsInput, rules: Rules):
        self.name, self.source, self.rules = path.name, source, rules
        calendar = rules.days
        data = path.read_bytes()
        self.digest = content_id(data, source)
        self.fault: Exception | None = None
        try:
            with faults_told(path.name):
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
            add_faulty_file(landing, own_id, self.source, self.name, at_issue, self.fault)
            return
        index = (landing.day - self.rules.days.days[0]).days
        begin, end = np.searchsorted(self._slices, [index, index + 1])
        chosen = np.sort(self._order[begin:end])
        broken = self.cells.broken if index == 0 else []
        if not len(chosen) and not broken:
            landing.files.append(
                file_row(slice_id, self.source, self.name, at_issue, "empty", "the archive has no rows that arrived on this day")
            )
            return
        delay = earlier.delay(self.source, self.name, slice_id)
        received = EPOCH + timedelta(microseconds=int(self.judged.received[chosen].max())) if len(chosen) else at_issue
        judged = replace(self.judged, received=self.judged.received + delay.microseconds) if delay else self.judged
        alone = DayLanding(landing.day)
        add_rows(alone, slice_id, self.source, self.name, received + delay, self.rules, judged, chosen, broken)
        if index == 0 and self.rows_of_other_days:
            alone.files[-1]["reason"] = (
                f"{self.rows_of_other_days} rows of the archive speak of days that the site's calendar does not have and stay in it"
            )
        landing.add(alone)
