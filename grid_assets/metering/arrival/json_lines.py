"""JSON lines as devices send them: an envelope with device, time and several measurements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.units import ACTIVE_ENERGY, ACTIVE_POWER, base_quantity, quantity_unit, spelled_quantity, spelled_unit
from grid_assets.metering.arrival.cells import LONGEST_ROW, RAW_TEXT_LENGTH, BrokenRow, Cells, Coded, FileEmpty
from grid_assets.metering.arrival.text_encodings import as_utf8, shown

DEVICE_KEYS = ("device_id", "meter_id", "device", "id")
TIME_KEYS = ("timestamp", "time", "ts", "read_utc")
ENVELOPE = (*DEVICE_KEYS, *TIME_KEYS, "measurements", "data_format", "units")
TELL_THEIR_UNIT = ("voltage", "current", "frequency", "power_factor", "temperature", "soc", "soh", "humidity", "occupancy")
"""Quantities that devices send in one unit only unless they say otherwise. Power and energy come in W and in kW."""
HALF = re.compile(rb"\\u[dD][89a-fA-F]")
REGISTER_KEYS = ("energy_register", "energy_total", "register", "total_energy")


class _Fault(ValueError):
    pass


@dataclass
class _Found:
    """The readings of a file, a list per column."""

    row: list[int] = field(default_factory=list)
    device: list[str] = field(default_factory=list)
    time: list[str] = field(default_factory=list)
    value: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    quantity: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    assumed: dict[str, str] = field(default_factory=dict)
    unused: dict[str, None] = field(default_factory=dict)
    formats: dict[str, None] = field(default_factory=dict)
    epochs: bool = False


def json_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The readings of a file of JSON lines: every key of ``measurements`` is one. Raises FileEmpty where there is none."""
    data, detected = as_utf8(data, source, name)
    lines, found = _Lines(data), _Found()
    for row, (begin, end) in enumerate(lines.places, 1):
        try:
            if end - begin > LONGEST_ROW:
                raise _Fault(f"the line has {end - begin} bytes; expected less than {LONGEST_ROW}")
            _add_line(data[begin:end], row, source, found)
        except _Fault as fault:
            rule = "encoding" if "no text" in str(fault) else "parse"
            found.broken.append(BrokenRow(row, str(fault), lines.raw_text(row), rule))
    if not found.row and not found.broken:
        raise FileEmpty(f"{name}: the file holds no line with a measurement")
    return Cells(
        np.array(found.row, dtype=np.int64), Coded.of(pa.array(found.device, pa.string())), Coded.of(pa.array(found.time, pa.string())),
        pa.array(found.value, pa.string()), Coded.of(pa.array(found.unit, pa.string())), Coded.of(pa.array(found.kind, pa.string())),
        lines.raw_text, Coded.of(pa.array(found.quantity, pa.string())), broken=found.broken, detected=[*detected, *_told(found)],
    )  # fmt: skip


def _told(found: _Found) -> Iterator[str]:
    if found.assumed:
        yield "units by their quantity: " + ", ".join(f"{key} {unit}" for key, unit in sorted(found.assumed.items()))
    if found.formats:
        yield "data_format " + ", ".join(list(found.formats)[:5])
    if found.unused:
        yield "keys not used: " + ", ".join(list(found.unused)[:10])
    if found.epochs:
        yield "times in seconds or milliseconds since 1970"


class _Lines:
    """Where the non-empty lines of a file lie."""

    def __init__(self, data: bytes):
        self._data = data
        self.places: list[tuple[int, int]] = []
        begin = 0
        while begin < len(data):
            end = data.find(b"\n", begin)
            end = len(data) if end < 0 else end
            if data[begin : min(end, begin + 100)].strip() or end - begin > 100:
                self.places.append((begin, end))
            begin = end + 1

    def raw_text(self, source_row: int) -> str:
        begin, end = self.places[source_row - 1]
        return shown(self._data[begin : min(end, begin + 4 * RAW_TEXT_LENGTH)]).rstrip("\r")[:RAW_TEXT_LENGTH]


def _add_line(line: bytes, row: int, source: ReadingsInput, found: _Found) -> None:
    """Adds the readings of one line. Raises _Fault where it is none."""
    sent = _object(line)
    device = next((sent[key] for key in DEVICE_KEYS if key in sent), None)
    if not isinstance(device, str | int) or isinstance(device, bool) or device == "":
        raise _Fault(f"the line names no device; expected the key {DEVICE_KEYS[0]!r}")
    time = _time(next((sent[key] for key in TIME_KEYS if key in sent), None), found)
    measurements = sent.get("measurements")
    if not isinstance(measurements, dict) or not measurements:
        raise _Fault('the line has no measurements; expected an object such as {"voltage": 230.1}')
    found.unused.update(dict.fromkeys(key[:60] for key in sent if key not in ENVELOPE))
    units = _units(sent, found)
    held: set[tuple[str, str]] = set()
    for key, value in _flat(measurements):
        if key in source.ignore or value is None:
            continue
        quantity, kind = _quantity(key, source)
        if isinstance(value, dict):
            unit, value = str(value.get("unit") or ""), value.get("value")
        else:
            unit = ""
        unit = unit or units.get(key, "") or source.measurement_units.get(key, "") or _unit(key, quantity, source, found)
        if (quantity, kind) in held:
            quantity = f"{key} (its quantity is given twice)"
        held.add((quantity, kind))
        found.row.append(row)
        found.device.append(str(device))
        found.time.append(time)
        found.value.append(value if isinstance(value, str) else json.dumps(value)[:RAW_TEXT_LENGTH])
        found.unit.append(unit)
        found.quantity.append(quantity)
        found.kind.append(kind)


def _object(line: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise _Fault(f"the line holds bytes that are no text in UTF-8 (at byte {error.start + 1})") from error
    except RecursionError as error:
        raise _Fault("the line nests deeper than can be read") from error
    except ValueError as error:
        raise _Fault(f"the line is no JSON ({error}); was it cut off?") from error
    if not isinstance(sent, dict):
        raise _Fault("the line is no JSON object; expected device_id, timestamp and measurements")
    if HALF.search(line):  # JSON may write half of a character, which no text can hold
        try:
            json.dumps(sent, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _Fault("the line escapes half of a character (\\ud800 to \\udfff without its other half)") from error
    return sent


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return made


def _time(value: object, found: _Found) -> str:
    """The time as text; numbers are seconds, or milliseconds, since 1970."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Fault(f"the line has no time; expected the key {TIME_KEYS[0]!r}")
    try:
        seconds = value / 1000 if abs(value) > 1e11 else value
        made = datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError) as error:
        raise _Fault(f"the time {value!r:.40} is beyond the calendar") from error
    found.epochs = True
    return made


def _units(sent: Mapping[str, Any], found: _Found) -> dict[str, str]:
    """The units that the line itself tells: ``units``, or ``data_format`` as an object with units."""
    told = sent.get("data_format")
    if isinstance(told, str | int):
        found.formats[str(told)[:60]] = None
    units = sent.get("units", told.get("units") if isinstance(told, dict) else None)
    return {str(key): str(unit) for key, unit in units.items()} if isinstance(units, dict) else {}


def _flat(measurements: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The measurements, those of phases ({"voltage": {"l1": 230}}) one by one."""
    for key, value in measurements.items():
        if isinstance(value, dict) and value and "value" not in value:
            yield from ((f"{key}_{inner}", one) for inner, one in value.items())
        else:
            yield key, value


def _quantity(key: str, source: ReadingsInput) -> tuple[str, str]:
    """Quantity and kind of a key. Unknown keys stay what they are: they are refused one by one."""
    if key.lower() in REGISTER_KEYS:
        return ACTIVE_ENERGY, "register"
    return spelled_quantity(key) or key[:100], ""


def _unit(key: str, quantity: str, source: ReadingsInput, found: _Found) -> str:
    base = base_quantity(quantity)
    if quantity in (ACTIVE_POWER, ACTIVE_ENERGY) and source.unit:
        return source.unit
    if base not in TELL_THEIR_UNIT:
        return ""
    found.assumed[quantity] = quantity_unit(base)
    return spelled_unit(quantity_unit(base)) or ""
