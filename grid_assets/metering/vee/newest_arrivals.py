"""Which arrived row counts: every row of a day placed in the matrix of meters and intervals, the newest of each cell found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.tables import TIMESTAMP
from grid_assets.foundation.units import ENERGY_TO_KWH, kwh_per_unit

if TYPE_CHECKING:
    from grid_assets.metering.vee.day_axes import DayGrid

REGISTER = "register"
SUPERSEDED, PUBLISHED, REJECTED = 0, 1, 2
"""What became of a raw row."""


@dataclass
class Arrivals:
    """A day's raw rows, an array element each."""

    row: np.ndarray
    """The meter's row in the grid; -1: no meter in force."""
    kwh: np.ndarray
    """Energy of the interval; of a register read its standing."""
    is_register: np.ndarray
    newest: np.ndarray
    """Whether it is the newest of its meter, time and kind; of rows without a cell, of its meter and time."""

    cell: np.ndarray
    """The place in the flat matrix of meters and intervals, of a register read of the interval that it closes; -1 where the
    meter is not in force or the instant is the edge of no interval.
    """

    @cached_property
    def placed(self) -> np.ndarray:
        return self.cell >= 0

    @cached_property
    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """The newest placed interval rows: their positions among the raw rows, and their cells."""
        at = np.flatnonzero(self.newest & self.placed & ~self.is_register)
        return at, self.cell[at]

    @cached_property
    def registers(self) -> tuple[np.ndarray, np.ndarray]:
        """The newest placed register reads, likewise."""
        at = np.flatnonzero(self.newest & self.placed & self.is_register)
        return at, self.cell[at]


def encoded(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, pa.Array]:
    """A text column as integer codes and the values that they stand for; a dictionary column is taken as it is."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 0:
            return np.empty(0, dtype=np.int32), pa.array([], pa.string())
        column = column.unify_dictionaries().combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return column.indices.to_numpy(zero_copy_only=False), column.dictionary.cast(pa.string())


def microseconds(column: pa.ChunkedArray) -> np.ndarray:
    """Instants as microseconds since 1970."""
    return column.cast(TIMESTAMP).cast(pa.int64()).to_numpy()


def rows_of(ids: pa.Array, known: pa.Array) -> np.ndarray:
    """The place of each of ``ids`` among ``known``; -1 where it is none of them."""
    return pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy(zero_copy_only=False).astype(np.int64)


def place(grid: DayGrid, raw: pa.Table) -> Arrivals:
    """Every raw row's meter, interval and energy, and which are the newest. Raises UnitError for an unknown unit.

    A register read closes the interval that ends when it is read. Of arrivals at one instant the last by file name, file
    and row counts. Source: practice of meter data management; the newest arrival is the correction.
    """
    codes, ids = encoded(raw["meter_id"])
    row = rows_of(ids, grid.ids).astype(np.int32)[codes] if len(codes) else np.empty(0, dtype=np.int32)
    is_register = _equal(raw["kind"], REGISTER)
    read = microseconds(raw["read_utc"])
    cell = _columns(grid, read, is_register)
    kwh = _energy(raw, grid.hours, is_register)
    nowhere = (row < 0) | (cell < 0)
    if is_register.any():
        nowhere |= is_register & np.isnan(kwh)  # a register that counts no energy has no difference
    cell += np.multiply(row, grid.shape[1], dtype=np.int64)
    cell[nowhere] = -1
    made = Arrivals(row, kwh, is_register, np.ones(len(row), dtype=bool), cell)
    placed = made.placed
    registers = np.flatnonzero(placed & is_register)
    for subset, groups in (
        (_several(cell, placed & ~is_register, grid.shape[0] * grid.shape[1]), (cell,)),
        (registers[_repeated(cell[registers])], (cell,)),
        (np.flatnonzero(nowhere), (codes, read)),
    ):
        if len(subset):
            made.newest[subset] = False
            made.newest[newest_of(raw, subset, groups)] = True
    return made


def newest_of(raw: pa.Table, subset: np.ndarray, groups: tuple[np.ndarray, ...]) -> np.ndarray:
    """The newest of ``subset`` (positions among the raw rows) within each group, as positions."""
    rows = raw.select(["received_utc", "source_file", "file_id", "source_row"]).take(pa.array(subset))
    keys = [group[subset] for group in groups]
    order = np.lexsort(
        (rows["source_row"].to_numpy(), _ranks(rows["file_id"]), _ranks(rows["source_file"]), microseconds(rows["received_utc"]), *keys)
    )
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in keys])
    return subset[order[last]]


def _several(cell: np.ndarray, which: np.ndarray, cells: int) -> np.ndarray:
    """Positions of the rows whose cell other rows claim too."""
    mine = cell if which.all() else cell[which]
    counts = np.bincount(mine, minlength=cells)
    found = np.zeros(cells + 1, dtype=bool)  # one more, for the rows that have no cell
    found[:-1] = counts > 1
    return np.flatnonzero(found[cell] & which)


def _repeated(cell: np.ndarray) -> np.ndarray:
    """Which of a few cells are there more than once."""
    ordered = np.sort(cell)
    return np.isin(cell, ordered[1:][ordered[1:] == ordered[:-1]])


def _columns(grid: DayGrid, read: np.ndarray, is_register: np.ndarray) -> np.ndarray:
    step = round(grid.hours * 3_600_000_000)
    offset = read - grid.first_microsecond
    column = offset // step
    offset -= column * step
    if is_register.any():
        column -= is_register
    column[(offset != 0) | (column < 0) | (column >= grid.shape[1])] = -1
    return column


def _energy(raw: pa.Table, hours: float, is_register: np.ndarray) -> np.ndarray:
    """kWh of every row; NaN for a register in a unit of power."""
    values = raw["value"].to_numpy()
    codes, units = encoded(raw["unit"])
    if not len(codes):
        return values
    if len(units) == 1 and not is_register.any():
        factor = kwh_per_unit(units[0].as_py(), hours)
        return values if factor == 1.0 else values * factor
    factors = np.array([kwh_per_unit(unit, hours) for unit in units.to_pylist()])
    kwh = values * (factors[codes] if len(factors) > 1 else factors[0])
    if is_register.any():
        counts = np.array([ENERGY_TO_KWH.get(unit, np.nan) for unit in units.to_pylist()])
        kwh = np.where(is_register, values * counts[codes], kwh)
    return kwh


def _equal(column: pa.ChunkedArray, word: str) -> np.ndarray:
    codes, words = encoded(column)
    said = np.array([one == word for one in words.to_pylist()], dtype=bool)
    return said[codes] if said.any() else np.zeros(len(codes), dtype=bool)


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers in the order of the texts."""
    codes, texts = encoded(column)
    order = np.argsort(np.array(texts.to_pylist(), dtype=object), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes]


def last_of_day_before(grid: DayGrid, opening: pa.Table) -> pd.DataFrame:
    """The newest register read before the day per meter: row (in the grid), before (intervals before the day), standing_kwh.

    A read between the edges of two intervals opens none and is left out.
    """
    arrivals = place(grid, opening)
    read = microseconds(opening["read_utc"])
    step = round(grid.hours * 3_600_000_000)
    ahead = grid.first_microsecond - read
    usable = arrivals.is_register & (arrivals.row >= 0) & ~np.isnan(arrivals.kwh) & (ahead >= 0) & (ahead % step == 0)
    at = np.flatnonzero(usable)
    if len(at):
        at = newest_of(opening, at, (read, arrivals.row))
        last = np.ones(len(at), dtype=bool)
        last[:-1] = arrivals.row[at][1:] != arrivals.row[at][:-1]
        at = at[last]
    return pd.DataFrame({"row": arrivals.row[at], "before": ahead[at] // step, "standing_kwh": arrivals.kwh[at]})
