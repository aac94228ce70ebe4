"""The section of a site file that declares a source of readings: where its files land and how they are read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from grid_assets.foundation.site_sections import Section, ZoneName
from grid_assets.foundation.units import (
    ACTIVE_ENERGY,
    KNOWN_UNITS,
    POWER_TO_KW,
    QUANTITY_UNITS,
    READING_UNITS,
    base_quantity,
    spelled_quantity,
    spelled_unit,
    unit_in_name,
)


def _known_unit(unit: str) -> str:
    spelled = spelled_unit(unit)
    if spelled is None:
        raise ValueError(f"unknown unit {unit!r}; known are {', '.join(KNOWN_UNITS)}")
    return spelled


def _known_quantity(quantity: str) -> str:
    spelled = spelled_quantity(quantity)
    if spelled is None:
        raise ValueError(f"unknown quantity {quantity!r}; known are {', '.join(QUANTITY_UNITS)}")
    return spelled


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ValueError(f"unknown encoding {name!r}; expected a name such as utf-8, cp1252 or utf-16") from error


KnownUnit = Annotated[str, AfterValidator(_known_unit)]
Quantity = Annotated[str, AfterValidator(_known_quantity)]
EncodingName = Annotated[str, AfterValidator(_known_encoding)]


class ReadingColumns(Section):
    """How a long file names its columns: one row per meter or device, time and quantity."""

    meter_id: str
    """The column of the meter's, or the device's, id."""
    read_utc: str
    value: str
    unit: str | None = None
    kind: str | None = None
    quantity: str | None = None


class WideColumn(Section):
    """What a column of a wide file holds, where it is not energy of a meter in the input's unit."""

    id: str
    """The meter or device."""
    quantity: Quantity | None = None
    unit: KnownUnit | None = None


class ReadingsInput(Section):
    """One source of meter or sensor files: where they land and how to read them. What is left open is told from the files."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    folder: Path
    pattern: str
    """File name; ``{received}`` stands for the time of arrival as 20160525T020000Z or 2016-05-25."""
    format: Literal["csv", "parquet", "espi", "json_lines"] | None = None
    """None: told from each file's first bytes. espi: Green Button XML; json_lines: what devices send."""
    arrival: Literal["file_name", "archive"] = "file_name"
    """archive: the file holds a past period and each row counts as received arrival_delay_minutes after its interval."""
    arrival_delay_minutes: int = Field(30, ge=0)
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    decimal: Literal[".", ","] | None = None
    encoding: EncodingName | None = None
    clock: ZoneName = "UTC"
    """The time zone of stamps that carry none."""
    time_format: str | None = None
    """Of stamps that are not ISO 8601, as strptime reads them: %d.%m.%Y %H:%M."""
    stamp: Literal["start", "end"] = "start"
    """Whether an interval's stamp is its start or its end; registers and measurements are stamped when they were read."""
    interval_minutes: int | None = Field(None, ge=1, le=1440)
    """Length of the readings' interval; another one than the site's is refused. None: told from the stamps."""
    kind: Literal["interval", "register"] = "interval"
    """Of energy where no column tells it."""
    quantity: Quantity | None = None
    """Of every value; None: what a column, a key or the unit tells."""
    unit: KnownUnit | None = None
    power_is: Literal["interval_mean"] | None = None
    """interval_mean: active power of a meter is its mean over the interval and so counts as energy; None: a measurement."""
    columns: ReadingColumns | None = None
    """For a long file: one row per meter and time."""
    time_column: str | None = None
    wide: dict[str, str | WideColumn] | None = None
    """For a wide file: column -> meter_id, or id, quantity and unit."""
    measurement_units: dict[str, KnownUnit] = {}
    """For JSON lines: key of the measurements -> unit, where the lines do not tell it."""
    espi_meters: dict[str, str] = {}
    """For Green Button: UsagePoint -> meter_id; ``UsagePoint/reverse`` for energy fed in. Left out: the UsagePoint is the meter's id."""
    ignore: tuple[str, ...] = ()
    """Columns of a wide file, or keys of the measurements, that are not taken."""

    @model_validator(mode="after")
    def _one_layout(self) -> ReadingsInput:
        if self.columns is not None and self.wide is not None:
            raise ValueError("give either columns (a long file) or wide and time_column (a column per meter)")
        if self.wide is not None and self.time_column is None:
            raise ValueError("a wide file needs time_column")
        if self.format == "parquet" and self.columns is None and self.time_column is None:
            raise ValueError("a Parquet file needs columns (a long file) or time_column and wide (a column per meter)")
        if self.unit is None and self.columns is not None and self.columns.unit is None and unit_in_name(self.columns.value) is None:
            raise ValueError("the unit is not declared: give unit, or columns.unit where each row names its own")
        if self.arrival == "file_name" and "{received}" not in self.pattern:
            raise ValueError(
                "pattern has no {received}: the time of arrival comes from the file's name, never from the disk's clock; or set arrival = 'archive'"
            )
        found = [*self._faults_of_units(), *self._faults_of_keys()]
        if found:
            raise ValueError("\n".join(found))
        return self

    def _faults_of_units(self) -> Iterator[str]:
        targets = [one for one in (self.wide or {}).values() if isinstance(one, WideColumn)]
        for quantity, unit in [(self.quantity, self.unit), *((one.quantity or self.quantity, one.unit or self.unit) for one in targets)]:
            if quantity and unit:
                known = (*QUANTITY_UNITS[base_quantity(quantity)], *(READING_UNITS if quantity == ACTIVE_ENERGY else ()))
                if unit not in known:
                    yield f"unit = {unit!r}: no unit of {quantity}; known are {', '.join(dict.fromkeys(known))}"
        if self.kind == "register" and self.unit in POWER_TO_KW:
            yield f"unit = {self.unit!r}: a register counts energy; expected Wh, kWh or MWh"

    def _faults_of_keys(self) -> Iterator[str]:
        held: dict[tuple[str, str | None], str] = {}
        for column, target in (self.wide or {}).items():
            declared = self.unit or (None if isinstance(target, str) else target.unit)
            if declared is None and unit_in_name(column) is None:
                yield f"wide.{column} = {target!r}: the unit is not declared: give unit, or {{ id = .., unit = .. }}"
            what = (target, self.quantity) if isinstance(target, str) else (target.id, target.quantity or self.quantity)
            if what in held:
                yield f"wide.{column} = {what[0]!r}: the column {held[what]!r} stands for it already"
            held[what] = column
        if self.time_format is not None and "%" not in self.time_format:
            yield f"time_format = {self.time_format!r}: expected codes such as %d.%m.%Y %H:%M"
        if self.delimiter is not None and self.delimiter == self.decimal:
            yield f"decimal = {self.decimal!r}: is the delimiter already"
