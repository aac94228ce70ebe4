"""Outages that the utility knows of: CSV files in the folder [metering] outages, from its outage management or by hand.

An outage may be told before it has ended and again when it has: of rows with one outage_id the last counts (files by
name, then by line). It is of one meter, or of a node with everything below it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import FOREVER, METERS, NODES
from grid_assets.foundation.site import Site
from grid_assets.metering.entries.entry_files import NO_TIME, Entry, RefusedEntry, entered_time, read_entries
from grid_assets.metering.tables import OUTAGE_EVENTS

COLUMNS = ("outage_id", "start_utc")
OPTIONAL = ("meter_id", "node_id", "end_utc", "cause")


@dataclass
class Outages:
    """The outages that count, as rows of OUTAGE_EVENTS, and the lines that do not."""

    rows: pd.DataFrame
    refused: list[RefusedEntry] = field(default_factory=list)
    replaced: int = 0
    """Rows that a later row of the same outage replaced."""

    def of_day(self, clock: SiteCalendar, day: date) -> pd.DataFrame:
        """The outages that touch a site day; one that has not ended touches every day from its start on."""
        start, end = clock.bounds(day)
        until = self.rows["end_utc"].fillna(FOREVER)
        return self.rows[(self.rows["start_utc"] < pd.Timestamp(end)) & (until > pd.Timestamp(start))]

    def open_for_long(self, clock: SiteCalendar, day: date, most_days: int) -> list[str]:
        """The outages without an end that began more than ``most_days`` days before the end of a site day: somebody forgot them."""
        until = pd.Timestamp(clock.bounds(day)[1])
        rows = self.rows[self.rows["end_utc"].isna() & (until - self.rows["start_utc"] > pd.Timedelta(days=most_days))]
        return [
            f"{row.source_file}, row {row.source_row}: {row.outage_id} of {row.meter_id or row.node_id} has no end, open for "
            f"{(until - row.start_utc).days} days; add a row of this outage with its end_utc"
            for row in rows.itertuples()
        ]


def read_outages(folder: Path | None, meters: Collection[str] | None = None, nodes: Collection[str] | None = None) -> Outages:
    """The outages of a folder's CSV files, by id; none for None.

    ``meters`` and ``nodes``: the ids that the registers know; None: any is taken. A row that cannot be used is refused.
    """
    found = read_entries(folder, COLUMNS, OPTIONAL)
    rows: dict[str, dict] = {}
    refused, good = list(found.refused), 0
    for entry in found.entries:
        faults = _faults(entry.values, meters, nodes)
        if faults:
            refused.append(entry.refused("; ".join(faults)))
        else:
            good += 1
            rows[entry.values["outage_id"]] = _row(entry)
    frame = pd.DataFrame([rows[key] for key in sorted(rows)], columns=OUTAGE_EVENTS.columns)
    times = {name: pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]") for name in ("start_utc", "end_utc")}
    return Outages(frame.assign(**times), refused, good - len(rows))


def outages_of(site: Site, lake: Lake) -> Outages:
    """The outages of a site's folder, held against its registers."""
    meters, nodes = lake.read(METERS, columns=["meter_id"])["meter_id"], lake.read(NODES, columns=["node_id"])["node_id"]
    return read_outages(site.metering.outages, set(meters), set(nodes))


def _faults(values: Mapping[str, str], meters: Collection[str] | None, nodes: Collection[str] | None) -> list[str]:
    faults = [] if values["outage_id"] else ["outage_id is empty"]
    if bool(values["meter_id"]) == bool(values["node_id"]):
        faults.append("expected either a meter_id or a node_id")
    for name, known, register in (("meter_id", meters, "meters.csv"), ("node_id", nodes, "nodes.csv")):
        if values[name] and known is not None and values[name] not in known:
            faults.append(f"{name} = {values[name]!r} is not in the register {register}")
    start, end = entered_time(values["start_utc"]), entered_time(values["end_utc"])
    if start is None:
        faults.append(f"start_utc = {values['start_utc']!r}: {NO_TIME}")
    if values["end_utc"] and end is None:
        faults.append(f"end_utc = {values['end_utc']!r}: {NO_TIME}, or nothing: not yet")
    if start and end and end <= start:
        faults.append(f"end_utc = {values['end_utc']!r}: expected a time after start_utc")
    return faults


def _row(entry: Entry) -> dict:
    made = {name: entry.values[name] or None for name in ("outage_id", "meter_id", "node_id", "cause")}
    times = {name: entered_time(entry.values[name]) for name in ("start_utc", "end_utc")}
    return {**made, **times, "source_file": entry.file, "source_row": entry.row}
