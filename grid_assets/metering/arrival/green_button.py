"""Green Button (NAESB ESPI) XML as cells. No document type, no entities, no network: what declares any is refused."""

from __future__ import annotations

import xml.parsers.expat as expat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.cells import RAW_TEXT_LENGTH, Cells, Coded, FileEmpty, FileRefused, FileUnreadable

DEEPEST, LONGEST_TEXT = 40, 10_000
UNITS = {
    72: "Wh", 38: "W", 63: "var", 73: "varh", 61: "VA", 29: "V", 5: "A", 33: "Hz", 23: "degC", 6: "K", 65: "-", 9: "degree",
}  # fmt: skip
"""UnitSymbolKind of ESPI -> our unit; 65 is the cosine of phi."""
PREFIXES = {-3: "m", 0: "", 3: "k", 6: "M"}
REGISTERS = (1, 2, 3)
"""AccumulationKind: bulk quantity, continuous cumulative, cumulative: the standing of a counter."""
REVERSE = 19
ACCUMULATION, FLOW, LENGTH, MULTIPLIER, UOM = "accumulationBehaviour", "flowDirection", "intervalLength", "powerOfTenMultiplier", "uom"
WANTED = (ACCUMULATION, FLOW, LENGTH, MULTIPLIER, UOM)


class _Forbidden(ValueError):
    pass


@dataclass
class _Entry:
    """An Atom entry: what it is, and what it is tied to."""

    self_link: str = ""
    links: list[str] = field(default_factory=list)
    kind: str = ""
    numbers: dict[str, str] = field(default_factory=dict)
    begin: str = ""
    """Of an interval block: its start, for readings that have no time of their own."""
    readings: list[tuple[str, str, str, int]] = field(default_factory=list)
    """start, duration, value and position in the file of each reading."""


class _Feed:
    """Listens to the parser; keeps only what readings need."""

    def __init__(self):
        self.path: list[str] = []
        self.text: list[str] = []
        self.entry = _Entry()
        self.entries: list[_Entry] = []
        self.reading: dict[str, str] = {}
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.path) >= DEEPEST:
            raise _Forbidden(f"elements nest deeper than {DEEPEST}")
        tag = name.rsplit("|", 1)[-1]
        self.path.append(tag)
        self.text = []
        if tag == "entry":
            self.entry = _Entry()
        elif tag == "link" and attributes.get("rel") == "self":
            self.entry.self_link = attributes.get("href", "")
        elif tag == "link" and attributes.get("rel") == "related":
            self.entry.links.append(attributes.get("href", ""))
        elif len(self.path) > 1 and self.path[-2] == "content":
            self.entry.kind = tag
        elif tag == "IntervalReading":
            self.reading = {}

    def end(self, name: str) -> None:
        tag = self.path.pop()
        within = self.path[-1] if self.path else ""
        text = "".join(self.text).strip()
        self.text = []
        if tag == "entry":
            self.entries.append(self.entry)
        elif tag == "IntervalReading":
            self.count += 1
            self.entry.readings.append(
                (self.reading.get("start", ""), self.reading.get("duration", ""), self.reading.get("value", ""), self.count)
            )
        elif within == "timePeriod" or (within == "IntervalReading" and tag == "value"):
            self.reading[tag] = text
        elif within == "interval" and tag == "start":
            self.entry.begin = text
        elif within == "ReadingType" and tag in WANTED:
            self.entry.numbers[tag] = text

    def characters(self, text: str) -> None:
        if sum(map(len, self.text)) < LONGEST_TEXT:
            self.text.append(text)


def _entries(data: bytes, name: str) -> list[_Entry]:
    feed = _Feed()
    parser = expat.ParserCreate(namespace_separator="|")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = feed.start, feed.end, feed.characters
    parser.StartDoctypeDeclHandler = _no_document_type
    parser.EntityDeclHandler = _no_document_type
    parser.ExternalEntityRefHandler = _no_document_type
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FileUnreadable(f"{name}: not whole XML ({error}); ask for it again") from error
    except _Forbidden as error:
        raise FileRefused(f"{name}: {error}; such a file is not read") from error
    return feed.entries


def _no_document_type(*declared: object) -> int:
    raise _Forbidden(f"it declares a document type or an entity ({str(declared[0])[:60]!r})")


def espi_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The interval readings of a Green Button feed, as energy or as what its reading types say.

    Times are seconds since 1970 in UTC, stamped at the interval's start. Raises FileUnreadable, FileRefused or FileEmpty.
    """
    entries = _entries(data, name)
    types = {one.self_link: one.numbers for one in entries if one.kind == "ReadingType"}
    if not types and any(one.readings for one in entries):
        raise FileRefused(f"{name}: it has readings but no ReadingType says what they are; ask for the whole feed")
    meter_readings = {one.self_link: one for one in entries if one.kind == "MeterReading"}
    rows: list[tuple[int, str, str, str, str, str, int]] = []
    texts: dict[int, str] = {}
    notes: dict[str, None] = {}
    for block in entries:
        if block.readings:
            above = next((one for link, one in meter_readings.items() if link and block.self_link.startswith(link + "/")), None)
            tied = (types[link] for link in (above.links if above else []) if link in types)
            numbers = next(tied, next(iter(types.values())) if len(types) == 1 else {})
            rows += _rows_of_block(block, numbers, source, texts, notes)
    if not rows:
        raise FileEmpty(f"{name}: the feed holds no interval readings")
    rows.sort()
    columns = list(zip(*rows, strict=True))
    local = " with LocalTimeParameters, which only show them" if any(one.kind == "LocalTimeParameters" for one in entries) else ""
    return Cells(
        np.array(columns[0], dtype=np.int64), *(Coded.of(pa.array(columns[n], pa.string())) for n in (1, 2)),
        pa.array(columns[3], pa.string()), *(Coded.of(pa.array(columns[n], pa.string())) for n in (4, 5)), lambda row: texts[row],
        length_s=np.array(columns[6], dtype=np.int64), detected=[f"times in UTC{local}", *notes], starts=True,
    )  # fmt: skip


def _rows_of_block(
    block: _Entry, numbers: dict[str, str], source: ReadingsInput, texts: dict[int, str], notes: dict[str, None]
) -> Iterator[tuple[int, str, str, str, str, str, int]]:  # fmt: skip
    """source_row, meter, time, value, unit, kind and length of a block's readings."""
    point = _usage_point(block.self_link)
    reverse = _whole(numbers.get(FLOW)) == REVERSE
    subject = f"{point}/reverse" if reverse else point
    meter = source.espi_meters.get(subject, subject)
    unit, scale = _unit(numbers)
    kind = "register" if _whole(numbers.get(ACCUMULATION)) in REGISTERS else "interval"
    usual = _whole(numbers.get(LENGTH), -1)
    notes[f"{subject} is {meter}: {unit or 'unknown unit'}, {kind}, {usual} s"] = None
    expected = _whole(block.begin, -1)
    for start, duration, value, row in block.readings:
        begin, length = _whole(start, expected), _whole(duration, usual)
        texts[row] = f"UsagePoint {subject}, start {start}, duration {duration}, value {value}"[:RAW_TEXT_LENGTH]
        at = begin + max(length, 0) if kind == "register" and begin >= 0 else begin
        expected = begin + length if begin >= 0 and length > 0 else -1
        yield row, meter, _shown(at), _scaled(value, scale), unit, kind, length if kind == "interval" else -1


def _usage_point(link: str) -> str:
    parts = link.split("/")
    return parts[parts.index("UsagePoint") + 1] if "UsagePoint" in parts[:-1] else ""


def _unit(numbers: dict[str, str]) -> tuple[str, int]:
    """Our unit, and the power of ten by which values are multiplied to be in it."""
    code, power = _whole(numbers.get(UOM), -1), _whole(numbers.get(MULTIPLIER), 0)
    unit = UNITS.get(code)
    if unit is None:
        return f"uom {code}", 0
    if (power in (3, 6) and unit in ("Wh", "W", "var", "varh", "VA")) or (power in (-3, 3) and unit in ("V", "A")):
        return PREFIXES[power] + unit, 0
    return unit, power


def _scaled(value: str, power: int) -> str:
    return f"{value}e{power}" if power and value.lstrip("+-").isdigit() else value


def _whole(text: str | None, otherwise: int = -1) -> int:
    try:
        return int(text) if text is not None and len(text) < 20 else otherwise
    except ValueError:
        return otherwise


def _shown(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds >= 0 else ""
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s since 1970"
