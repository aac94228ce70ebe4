"""The declaration of a public table: one Arrow schema with a unit and a meaning on every field.

From this one place come the Parquet schema, Dagster's column metadata, the blocking schema check and dbt's contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TIMESTAMP = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(18, 2)

Partition = Literal[
    "none",
    "site_day",
    "arrival_day",
    "intraday",
    "dr_event",
    "constraint_event",
    "study",
    "scenario",
    "network_range",
    "topology",
    "landing",
]

UNIT_BY_SUFFIX = {
    "_utc": "UTC", "_kwh": "kWh", "_kw": "kW", "_mwh": "MWh", "_mw": "MW", "_kvar": "kvar", "_mvar": "Mvar", "_mva": "MVA",
    "_pu": "p.u.", "_pct": "%", "_degc": "degC", "_m_s": "m/s", "_w_m2": "W/m2", "_s": "s", "_ka": "kA", "_kv": "kV",
    "_degree": "degree", "_degrees": "degree", "_per_mwh": "currency/MWh", "_per_kwh": "currency/kWh", "_per_kw": "currency/kW", "_kg": "kg",
    "_km": "km", "_minutes": "min", "_hours": "h",
}  # fmt: skip


class TableError(ValueError):
    """A frame does not fit the table it is meant for. The message lists every fault found."""


def column(name: str, type: pa.DataType, meaning: str, *, unit: str | None = None, nullable: bool = False) -> pa.Field:
    """A field of a public table.

    The unit defaults to the one that the name's last part stands for (``energy_kwh`` -> kWh); ``-`` means none.
    """
    if unit is None:
        endings = [suffix for suffix in UNIT_BY_SUFFIX if name.endswith(suffix)]
        unit = UNIT_BY_SUFFIX[max(endings, key=len)] if endings else "-"
    return pa.field(name, type, nullable=nullable, metadata={"unit": unit, "meaning": meaning})


def text(name: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return column(name, pa.string(), meaning, nullable=nullable)


def number(name: str, meaning: str, *, unit: str | None = None, nullable: bool = False) -> pa.Field:
    return column(name, pa.float64(), meaning, unit=unit, nullable=nullable)


def count(name: str, meaning: str, *, unit: str | None = None, nullable: bool = False) -> pa.Field:
    return column(name, pa.int64(), meaning, unit=unit, nullable=nullable)


def instant(name: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return column(name, TIMESTAMP, meaning, nullable=nullable)


def calendar_day(name: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return column(name, pa.date32(), meaning, nullable=nullable)


def flag(name: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return column(name, pa.bool_(), meaning, nullable=nullable)


def money(name: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return column(name, MONEY, meaning, unit="currency", nullable=nullable)


@dataclass(frozen=True)
class Table:
    """A public table. ``key`` is its Dagster asset key, its folder in the lake, its dbt source and its name in BI."""

    area: str
    name: str
    grain: str
    """What one row is, in words."""
    partition: Partition
    keys: tuple[str, ...]
    """The columns that identify a row; rows are stored in this order."""
    fields: Sequence[pa.Field] = field(repr=False)

    def __post_init__(self) -> None:
        missing = [key for key in self.keys if key not in self.schema.names]
        if missing:
            raise TableError(f"{self}: key columns {missing} are not among its fields")

    def __str__(self) -> str:
        return f"{self.area}/{self.name}"

    @property
    def key(self) -> list[str]:
        return [self.area, self.name]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(self.fields), metadata={"table": str(self), "grain": self.grain})

    @property
    def columns(self) -> list[str]:
        return [one.name for one in self.fields]

    def unit(self, name: str) -> str:
        return _note(self.schema.field(name), "unit")

    def meaning(self, name: str) -> str:
        return _note(self.schema.field(name), "meaning")

    def empty(self) -> pa.Table:
        return self.schema.empty_table()

    def conform(self, frame: pd.DataFrame | pa.Table) -> pa.Table:
        """The rows of ``frame`` as this table: columns in order, cast, NaN as null, sorted by the keys.

        Raises TableError naming every missing or unexpected column, every value that does not fit its type, every
        null where none may be, and the first duplicated keys.
        """
        rows = self.stored_form(frame)
        return rows if rows.schema.equals(self.schema) else rows.cast(self.schema)

    def stored_form(self, frame: pd.DataFrame | pa.Table) -> pa.Table:
        """The same as ``conform``, for writing: text that comes dictionary-coded stays so, which saves most of the time of
        writing and hashing a large table.
        """
        names = list(frame.columns) if isinstance(frame, pd.DataFrame) else frame.column_names
        faults = [f"column {name} is missing" for name in self.columns if name not in names]
        faults += [f"column {name} is not declared" for name in names if name not in self.columns]
        if faults:
            raise TableError(f"{self}: {'; '.join(faults)}; declared are {', '.join(self.columns)}")
        arrays = []
        for declared in self.fields:
            try:
                arrays.append(_one_chunk(_cast(frame, declared)))
            except (pa.ArrowException, ValueError, TypeError) as error:
                faults.append(f"column {declared.name} does not fit {declared.type}: {error}")
        if faults:
            raise TableError(f"{self}: {'; '.join(faults)}")
        fields = [declared.with_type(array.type) for declared, array in zip(self.fields, arrays, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=self.schema.metadata))
        table, repeated = _sorted_rows(table, self.keys)
        faults = self._faults_of_values(table) + repeated
        if faults:
            raise TableError(f"{self}: {'; '.join(faults)}")
        return table

    def faults(self, table: pa.Table) -> list[str]:
        """Everything wrong with an Arrow table that claims to be this one; empty when it fits."""
        return self.faults_of_schema(table.schema) or self.faults_of_rows(table)

    def faults_of_schema(self, schema: pa.Schema) -> list[str]:
        """Which columns are stored otherwise than declared."""
        if schema.equals(self.schema):
            return []
        here = {one.name: one.type for one in schema}
        wanted = {one.name: one.type for one in self.schema}
        return [
            f"column {name}: stored as {here.get(name, 'nothing')}, declared as {wanted.get(name, 'nothing')}"
            for name in sorted(here.keys() | wanted.keys())
            if here.get(name) != wanted.get(name)
        ] or ["column order or nullability differs from the declaration"]

    def faults_of_rows(self, table: pa.Table) -> list[str]:
        """Nulls where none may be, numbers that are none, repeated keys. Text may be dictionary-coded."""
        return self._faults_of_values(table) + _sorted_rows(table, self.keys)[1]

    def _faults_of_values(self, table: pa.Table) -> list[str]:
        found = []
        for declared in self.fields:
            nulls = table[declared.name].null_count
            if nulls and not declared.nullable:
                found.append(f"column {declared.name} has {nulls} nulls where none may be")
            if pa.types.is_floating(declared.type):
                values = pc.drop_null(table[declared.name])
                odd = len(values) - (pc.sum(pc.is_finite(values)).as_py() or 0)
                if odd:
                    found.append(f"column {declared.name} has {odd} values that are infinite or not a number")
        return found


def tables_of(module: object) -> list[Table]:
    """The tables that a ``tables.py`` declares, in the order of their declaration."""
    return [value for value in vars(module).values() if isinstance(value, Table)]


def _note(declared: pa.Field, name: str) -> str:
    notes: Mapping[bytes, bytes] = declared.metadata or {}
    return notes.get(name.encode(), b"").decode()


def order_codes(values: pa.ChunkedArray) -> np.ndarray:
    """Integers that order and compare as the values do: text by its bytes, times and days by their count, nulls last."""
    array = _one_chunk(values)
    if pa.types.is_string(array.type):
        array = array.dictionary_encode()
    if pa.types.is_dictionary(array.type):
        rank = np.empty(len(array.dictionary), dtype=np.int64)
        rank[pc.sort_indices(array.dictionary).to_numpy()] = np.arange(len(rank))
        codes = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False)
        made = rank[codes] if len(rank) else np.zeros(len(array), dtype=np.int64)
    else:
        if pa.types.is_date32(array.type):
            array = array.cast(pa.int32())
        made = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    if array.null_count:
        made = np.where(array.is_null().to_numpy(zero_copy_only=False), np.iinfo(np.int64).max, made)
    return made


def _sorted_rows(table: pa.Table, keys: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """The rows in the order of their keys, and a fault where keys repeat. Rows that are in order already are not moved."""
    if not keys or table.num_rows < 2:
        return table, []
    codes = [order_codes(table[key]) for key in keys]
    rising, equal = _neighbours(codes)
    if not (rising | equal).all():
        order = np.lexsort(codes[::-1])
        table = table.take(pa.array(order)).combine_chunks()
        equal = _neighbours([one[order] for one in codes])[1]
    if not equal.any():
        return table, []
    again = np.flatnonzero(equal) + 1
    repeated = again[~equal[again - 2] | (again == 1)]  # the first repetition of each key
    example = {key: str(table[key][int(repeated[0])].as_py()) for key in keys}
    return table, [f"{len(repeated)} keys occur more than once, first {example}"]


def _neighbours(codes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of every row but the first: whether its key is larger than the row's before, and whether it is the same."""
    rising, equal = np.zeros(len(codes[0]) - 1, dtype=bool), np.ones(len(codes[0]) - 1, dtype=bool)
    for one in codes:
        rising |= equal & (one[1:] > one[:-1])
        equal &= one[1:] == one[:-1]
    return rising, equal


def _one_chunk(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _cast(frame: pd.DataFrame | pa.Table, declared: pa.Field) -> pa.ChunkedArray:
    values = frame[declared.name]
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_dictionary(values.type) and values.type.value_type == declared.type:
            return values.unify_dictionaries()
        return values.cast(declared.type)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pa.types.is_timestamp(declared.type):
        zone = getattr(values.dtype, "tz", None)
        if zone is None and len(values) and not values.isna().all():
            raise ValueError("times carry no time zone; expected aware UTC times")
    if pa.types.is_integer(declared.type) and pd.api.types.is_float_dtype(values.dtype):
        array = pa.array(values, from_pandas=True)
        return pa.chunked_array([array.cast(declared.type)])  # a fraction raises: an integer column never rounds
    array = pa.array(values, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        return array.cast(declared.type)
    return pa.chunked_array([array.cast(declared.type)])
