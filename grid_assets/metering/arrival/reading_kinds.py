"""What a value is: energy of a meter, or a measurement of another quantity; by its quantity, its unit and whose it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.units import (
    ACTIVE_ENERGY,
    ACTIVE_POWER,
    ENERGY_TO_KWH,
    POWER_TO_KW,
    QUANTITY_UNITS,
    READING_UNITS,
    base_quantity,
    quantity_of_unit,
    spelled_quantity,
    spelled_unit,
)
from grid_assets.metering.arrival.cells import Cells
from grid_assets.metering.arrival.refusals import Refusals

KIND_WORDS = {
    "interval": "interval", "delta": "interval", "i": "interval", "register": "register", "cumulative": "register", "index": "register",
    "standing": "register", "counter": "register", "r": "register",
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """What a quantity and a unit, as written, mean together."""

    quantity: str
    """Of a measurement."""
    unit: str
    is_energy: bool
    """Whether a meter's value counts as its energy, not as a measurement."""
    rule: str = ""
    reason: str = ""
    """Why such values are refused; "" where they are not."""


@dataclass(frozen=True)
class Meanings:
    """What the values of a file mean."""

    codes: np.ndarray
    """For every reading which meaning it has."""
    meanings: list[Meaning]

    def each(self, attribute: str) -> np.ndarray:
        """An attribute of every meaning."""
        return np.array([getattr(one, attribute) for one in self.meanings])

    def words(self, attribute: str) -> pa.Array:
        return pa.array([getattr(one, attribute) for one in self.meanings], pa.string())


def meanings_of(cells: Cells, source: ReadingsInput) -> Meanings:
    """The meanings of a file's readings."""
    rows = len(cells)
    unit_words = ["" if one is None else one for one in cells.unit.words.to_pylist()] if cells.unit else [""]
    quantity_words = ["" if one is None else one for one in cells.quantity.words.to_pylist()] if cells.quantity else [""]
    codes = np.zeros(rows, dtype=np.int32)
    if cells.unit:
        codes = cells.unit.codes
    if cells.quantity:
        codes = cells.quantity.codes * len(unit_words) + codes
    default = source.unit or cells.unit_detected or ""
    made = [_meaning(quantity, unit, default, source) for quantity in quantity_words for unit in unit_words]
    return Meanings(codes, made)


def _meaning(quantity_word: str, unit_word: str, default_unit: str, source: ReadingsInput) -> Meaning:
    unit_word, quantity_word = unit_word.strip() or default_unit, quantity_word.strip()
    unit = spelled_unit(unit_word)
    declared = spelled_quantity(quantity_word) if quantity_word else source.quantity
    if quantity_word and declared is None:
        known = ", ".join(QUANTITY_UNITS)
        said = f"unknown quantity {quantity_word[:60]!r}; known are {known}; list it under ignore in the site file if it is not wanted"
        return Meaning("", unit or "", False, "quantity", said)
    if unit is None:
        known = ", ".join(QUANTITY_UNITS[base_quantity(declared)] if declared else READING_UNITS)
        return Meaning(declared or "", "", False, "unit", f"unknown unit {unit_word[:60]!r}; known are {known}")
    if declared is None:
        return _by_unit(unit)
    if declared == ACTIVE_ENERGY and unit in READING_UNITS:
        return Meaning(ACTIVE_POWER if unit in POWER_TO_KW else ACTIVE_ENERGY, unit, True)
    known = QUANTITY_UNITS[base_quantity(declared)]
    if unit not in known:
        return Meaning(declared, unit, False, "unit", f"{unit!r} is no unit of {declared}; known are {', '.join(known)}")
    return Meaning(declared, unit, declared == ACTIVE_POWER and source.power_is == "interval_mean")


def _by_unit(unit: str) -> Meaning:
    quantity = quantity_of_unit(unit)
    if quantity is None:
        return Meaning(
            "", unit, False, "quantity", f"the unit {unit} does not tell what was measured; declare quantity, or columns.quantity"
        )
    return Meaning(quantity, unit, unit in READING_UNITS)


def registers_of(cells: Cells, source: ReadingsInput, refusals: Refusals) -> np.ndarray | bool:
    """Whether each reading is a register's standing: a mask, or one answer for all."""
    declared = source.kind == "register"
    if cells.kind is None:
        return declared
    words = [("" if one is None else one).strip().lower() for one in cells.kind.words.to_pylist()]
    kinds = [KIND_WORDS.get(one) if one else source.kind for one in words]
    codes = cells.kind.codes
    unknown = np.array([one is None for one in kinds])
    if unknown.any():
        refusals.add("parse", unknown[codes], codes, lambda code: f"kind {words[code][:60]!r}: expected interval or register")
    registers = np.array([one == "register" for one in kinds])
    return bool(registers[0]) if len(set(registers.tolist())) == 1 else registers[codes]


def refuse_registers_of_power(meanings: Meanings, register: np.ndarray, refusals: Refusals) -> None:
    """A register counts energy, never power. ``register``: whether each reading is an energy register's."""
    units = meanings.each("unit")
    power = ~np.isin(units, list(ENERGY_TO_KWH))
    if power.any():
        refusals.add(
            "unit", register & power[meanings.codes], meanings.codes,
            lambda code: f"a register in {units[code]}: expected {', '.join(ENERGY_TO_KWH)}",
        )  # fmt: skip
