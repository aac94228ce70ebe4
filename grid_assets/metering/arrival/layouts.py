"""Long and wide tables: which column holds what, from the site file or from well-known names, and the readings in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.readings_input import ReadingsInput, WideColumn
from grid_assets.foundation.units import quantity_of_unit, spelled_quantity, unit_in_name
from grid_assets.metering.arrival.cells import Cells, Coded, FileRefused

WELL_KNOWN = {
    "meter_id": ("meter_id", "meter", "meterid", "meter_no", "meter_number", "device_id", "device", "deviceid", "mpan", "mpxn", "nmi", "ean",
                 "malo", "melo", "usage_point", "usagepoint", "serial_number", "id"),
    "read_utc": ("read_utc", "read_at", "timestamp", "timestamp_utc", "time", "datetime", "date_time", "start_utc", "start", "interval_start",
                 "time_utc", "ts", "zeit", "zeitstempel", "datum"),
    "value": ("value", "reading", "energy", "energy_kwh", "energy_wh", "kwh", "wh", "consumption", "consumption_kwh", "usage", "usage_kwh",
              "wert", "messwert", "power_kw", "kw"),
    "unit": ("unit", "uom", "units", "einheit"),
    "kind": ("kind", "reading_type", "read_type"),
    "quantity": ("quantity", "measurement", "measurand", "messgroesse"),
}  # fmt: skip
"""Names by which a column is known where the site file names none."""


@dataclass(frozen=True)
class Layout:
    """Which column of a file holds what."""

    time: str
    long: Mapping[str, str] = field(default_factory=dict)
    """meter_id, value and, where there are any, unit, kind and quantity -> column."""
    wide: Mapping[str, WideColumn] = field(default_factory=dict)
    detected: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that are read, the time first."""
        return list(dict.fromkeys([self.time, *self.long.values(), *self.wide]))


def layout_of(header: list[str], source: ReadingsInput, name: str) -> Layout:
    """The layout of a file with this header. Raises FileRefused where a needed column is missing or there twice."""
    declared = source.wide is not None or source.columns is not None
    layout = _declared(source) if declared else _detected(header, source, name)
    missing = [
        f"column {column!r} (site file: [[readings]] {source.name}, key {_key_of(column, source)})"
        for column in layout.columns
        if column not in header
    ]
    twice = [f"column {column!r} occurs {header.count(column)} times" for column in layout.columns if header.count(column) > 1]
    if missing or twice:
        said = [f"missing {one}" for one in missing] + twice
        raise FileRefused(f"{name}: {'; '.join(said)}; found are {_shown(header)}; correct the site file or ask for the file again")
    return layout


def _shown(header: list[str]) -> str:
    return ", ".join(repr(one)[:60] for one in header[:40])


def _declared(source: ReadingsInput) -> Layout:
    if source.wide is not None:
        targets = {column: WideColumn(id=one) if isinstance(one, str) else one for column, one in source.wide.items()}
        return Layout(str(source.time_column), wide=targets)
    named = {key: column for key, column in source.columns.model_dump().items() if column is not None} if source.columns else {}
    return Layout(named.pop("read_utc"), long=named)


def _key_of(column: str, source: ReadingsInput) -> str:
    if source.wide is not None:
        return "time_column" if column == source.time_column else f"wide.{column}"
    named = source.columns.model_dump() if source.columns else {}
    return next((f"columns.{key}" for key, one in named.items() if one == column), "columns")


def _detected(header: list[str], source: ReadingsInput, name: str) -> Layout:
    """By well-known names: long where there are an id, a time and a value; wide where there is a time and no id."""
    lowered = {column.strip().lower().replace(" ", "_"): column for column in reversed(header)}
    found = {key: next((lowered[one] for one in names if one in lowered), None) for key, names in WELL_KNOWN.items()}
    if found["value"] is None:
        found["value"] = next((one for one in header if unit_in_name(one) and one not in found.values()), None)
    time = source.time_column or found["read_utc"]
    if time and found["meter_id"] and found["value"]:
        long = {key: column for key, column in found.items() if column is not None and key != "read_utc"}
        told = ", ".join(f"{key} = {column!r}" for key, column in (long | {"read_utc": time}).items())
        return Layout(time, long=long, detected=(f"long layout by the names of its columns: {told}",))
    others = [one for one in header if one != time and one and one not in source.ignore]
    if time and not found["meter_id"] and others:
        told = f"wide layout: {len(others)} columns beside {time!r}, each taken for a meter"
        return Layout(time, wide={column: WideColumn(id=column) for column in others}, detected=(told,))
    raise FileRefused(
        f"{name}: its columns cannot be told: no column is known as a time or as a value; found are {_shown(header)}; "
        f"name them in the site file: [[readings]] {source.name}, columns = {{ meter_id = .., read_utc = .., value = .. }}"
    )


def cells_of(
    columns: Mapping[str, pa.Array | pa.ChunkedArray | Coded], numbers: np.ndarray, layout: Layout, source: ReadingsInput,
    raw_text: Callable[[int], str],
) -> Cells:  # fmt: skip
    """The readings of a table: ``columns`` are the layout's, ``numbers`` the position of each row in the file."""
    cells = _wide(columns, numbers, layout, source, raw_text) if layout.wide else _long(columns, numbers, layout, source, raw_text)
    cells.detected = [*layout.detected, *cells.detected]
    return cells


def _long(columns, numbers: np.ndarray, layout: Layout, source: ReadingsInput, raw_text: Callable[[int], str]) -> Cells:
    coded = {key: _coded(columns[layout.long[key]]) for key in ("meter_id", "unit", "kind", "quantity") if key in layout.long}
    value = columns[layout.long["value"]]
    cells = Cells(
        numbers, coded["meter_id"], _coded(columns[layout.time]), _plain_values(value), coded.get("unit"), coded.get("kind"), raw_text,
        coded.get("quantity"),
    )  # fmt: skip
    if source.unit is None:
        cells.unit_detected = unit_in_name(layout.long["value"])
        if cells.unit_detected:
            cells.detected.append(f"unit {cells.unit_detected} from the column {layout.long['value']!r}")
    return cells


def _coded(values: pa.Array | pa.ChunkedArray | Coded) -> Coded:
    return values if isinstance(values, Coded) else Coded.of(values)


def _plain_values(values: pa.Array | pa.ChunkedArray | Coded) -> pa.Array | pa.ChunkedArray:
    return values.words.take(pa.array(values.codes)) if isinstance(values, Coded) else values


def _wide(columns, numbers: np.ndarray, layout: Layout, source: ReadingsInput, raw_text: Callable[[int], str]) -> Cells:
    """A cell of each meter's column becomes a reading; an empty cell is no reading."""
    time = _coded(columns[layout.time])
    kept, values = [], []
    for column in layout.wide:
        cells = _plain_values(columns[column])
        filled = _filled(cells)
        kept.append(np.flatnonzero(filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(zero_copy_only=False)))
        values.append(cells.filter(filled))
    if len({one.type for one in values}) > 1:
        values = [one.cast(pa.string()) for one in values]
    chunks = [chunk for one in values for chunk in (one.chunks if isinstance(one, pa.ChunkedArray) else [one])]
    of_column = np.repeat(np.arange(len(kept), dtype=np.int32), [len(one) for one in kept])
    rows = np.concatenate(kept)
    targets = list(layout.wide.items())
    units = [source.unit or one.unit or unit_in_name(column) or "" if one.unit is None else one.unit for column, one in targets]
    quantities = [_quantity_of_column(column, one, unit, source) for (column, one), unit in zip(targets, units, strict=True)]
    told = {f"{unit} ({column!r})" for (column, one), unit in zip(targets, units, strict=True) if unit and not (one.unit or source.unit)}
    return Cells(
        numbers[rows], _by_column([one.id for _, one in targets], of_column), time.take(rows),
        pa.chunked_array(chunks, values[0].type) if values else pa.array([], pa.string()), _by_column(units, of_column), None, raw_text,
        _by_column(quantities, of_column) if any(quantities) else None,
        detected=[f"units from the names of columns: {', '.join(sorted(told)[:10])}"] if told else [],
    )  # fmt: skip


def _quantity_of_column(column: str, target: WideColumn, unit: str, source: ReadingsInput) -> str:
    declared = target.quantity or source.quantity
    if declared or quantity_of_unit(unit):
        return declared or ""
    return spelled_quantity(column.removesuffix(f"_{unit}")) or ""


def _by_column(words: list[str], of_column: np.ndarray) -> Coded:
    coded = pa.array(words, pa.string()).dictionary_encode()
    return Coded(coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)[of_column], coded.dictionary)


def _filled(cells: pa.Array | pa.ChunkedArray):
    if pa.types.is_floating(cells.type):
        return pc.and_(pc.is_valid(cells), pc.invert(pc.fill_null(pc.is_nan(cells), True)))
    return pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(cells, "")), "")
