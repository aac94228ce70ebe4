"""A day's published readings as matrices (meters x intervals), shard by shard, so that memory stays small at any number of meters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import READINGS

COLUMNS = ("meter_id", "start_utc", "energy_kwh", "quality", "rule_failures")
CODED = ("meter_id", "quality", "rule_failures")
QUALITIES = ("absent", "missing", "estimated", "edited", "measured")
"""In the order of their codes; absent: the table has no row of that meter and interval."""
ZERO_RUN = "zero_run"


@dataclass(frozen=True)
class DayMatrices:
    """Readings of some meters: rows are ``meters`` (the register in force that day), columns the day's intervals."""

    meters: pd.DataFrame
    energy_kwh: np.ndarray
    """NaN where there is no value."""
    quality: np.ndarray
    """Positions in QUALITIES, uint8."""
    arrived: np.ndarray
    """Whether a value had come, a refused one included."""
    at_zero: np.ndarray
    """Whether that value is zero; the zeros of a run that was refused count too."""

    def is_quality(self, name: str) -> np.ndarray:
        return self.quality == QUALITIES.index(name)


def day_matrices(readings: pa.Table | pd.DataFrame, meters: pd.DataFrame, starts: pd.DatetimeIndex) -> DayMatrices:
    """The matrices of the rows (READINGS; rule_failures may be left out) that are of ``meters`` and within ``starts``."""
    table = readings if isinstance(readings, pa.Table) else pa.Table.from_pandas(readings, preserve_index=False)
    return _matrices(table, _codes(table["meter_id"], pd.Index(meters["meter_id"]), np.int32), meters, starts)


def _matrices(table: pa.Table, row: np.ndarray, meters: pd.DataFrame, starts: pd.DatetimeIndex) -> DayMatrices:
    """``row``: the line of each row of the table, -1 for none."""
    shape = len(meters), len(starts)
    energy, quality = np.full(shape, np.nan), np.zeros(shape, np.uint8)
    refused, zero_run = np.zeros(shape, bool), np.zeros(shape, bool)
    place = _places(table, row, starts)
    place.put(energy, table["energy_kwh"].cast(pa.float64()).to_numpy())
    place.put(quality, _codes(table["quality"], QUALITIES, np.uint8, missing=0))
    if "rule_failures" in table.column_names and table["rule_failures"].null_count < table.num_rows:
        told = _distinct(table["rule_failures"])
        failed = _codes(table["rule_failures"], told)
        place.put(refused, failed >= 0)
        place.put(zero_run, np.append([ZERO_RUN in text.split() for text in told], False)[failed])
    arrived = refused | (quality == QUALITIES.index("measured")) | (quality == QUALITIES.index("edited"))
    return DayMatrices(meters, energy, quality, arrived, (arrived & (energy == 0)) | zero_run)


@dataclass(frozen=True)
class _Places:
    """Where rows of a table go in a matrix: line by line where every meter's intervals are all there, else cell by cell."""

    rows: np.ndarray
    """Of lines: the line of each meter in the table; of cells: their positions in the flat matrix. -1: nowhere."""
    width: int
    """Intervals of a line; 0: cells."""

    def put(self, matrix: np.ndarray, values: np.ndarray) -> None:
        here = self.rows >= 0
        values, target = (values.reshape(-1, self.width), matrix) if self.width else (values, matrix.reshape(-1))
        target[self.rows[here]] = values if here.all() else values[here]


def _places(table: pa.Table, row: np.ndarray, starts: pd.DatetimeIndex) -> _Places:
    size, since = len(starts), _microseconds(table["start_utc"])
    if size and len(row) and len(row) % size == 0:
        lines, expected = row.reshape(-1, size), starts.as_unit("us").asi8
        if (lines == lines[:, :1]).all() and (since.reshape(-1, size) == expected).all():
            return _Places(lines[:, 0].copy(), size)
    column = _positions(since, starts)
    return _Places(np.where((row >= 0) & (column >= 0), row.astype(np.int64) * size + column, -1), 0)


def shards_of_day(lake: Lake, day: date, meters: pd.DataFrame, starts: pd.DatetimeIndex) -> Iterator[DayMatrices]:
    """The day's published readings from the lake, a file (a range of meters) at a time; every meter comes once, those that no
    file has at the end.

    ``meters``: the register in force that day, a row a meter. Raises ValueError for a meter that lies in two files.
    """
    left = np.ones(len(meters), bool)
    index = pd.Index(meters["meter_id"])
    for rows in lake.read_shards(READINGS, day, COLUMNS, CODED):
        place = _codes(rows["meter_id"], index, np.int32)
        here = np.zeros(len(meters) + 1, bool)
        here[place] = True  # the last for rows of no meter in force
        line = np.append(np.cumsum(here[:-1], dtype=np.int32) - 1, np.int32(-1))
        here = here[:-1]
        if (here & ~left).any():
            raise ValueError(
                f"{READINGS}, {day}: meter {index[here & ~left][0]!r} lies in two files; expected files of whole meters: "
                "materialise the day's readings again"
            )
        left &= ~here
        yield _matrices(rows, line[place], meters[here].reset_index(drop=True), starts)
    if left.any():
        yield day_matrices(READINGS.empty(), meters[left].reset_index(drop=True), starts)


def day_curve(shards: Iterable[DayMatrices], starts: pd.DatetimeIndex) -> pd.DataFrame:
    """A day in a few rows, for pictures: start_utc, quality, readings (of all meters), energy_kwh (of load meters)."""
    counts, energy = (np.zeros((len(QUALITIES), len(starts))) for _ in range(2))
    for shard in shards:
        load = (shard.meters["kind"] == "load").to_numpy()[:, None]
        used = np.where(load & ~np.isnan(shard.energy_kwh), shard.energy_kwh, 0.0)
        for code in range(len(QUALITIES)):
            here = shard.quality == code
            counts[code] += here.sum(axis=0)
            energy[code] += (used * here).sum(axis=0)
    names = np.repeat(["missing" if name == "absent" else name for name in QUALITIES], len(starts))
    at = starts[np.tile(np.arange(len(starts)), len(QUALITIES))]
    made = pd.DataFrame({"start_utc": at, "quality": names, "readings": counts.ravel(), "energy_kwh": energy.ravel()})
    return made.groupby(["start_utc", "quality"], as_index=False).sum()


def _chunks(values: pa.ChunkedArray) -> Iterator[pa.DictionaryArray]:
    for chunk in values.chunks:
        yield chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()


def _distinct(values: pa.ChunkedArray) -> list[str]:
    return sorted({text for chunk in _chunks(values) for text in chunk.dictionary.to_pylist() if text})


def _codes(values: pa.ChunkedArray, known, kind: type = np.int64, missing: int = -1) -> np.ndarray:
    """The position of each text in ``known``, ``missing`` where it is none of them. Each distinct text of a chunk is looked up once."""
    index, parts = known if isinstance(known, pd.Index) else pd.Index(known), [np.empty(0, kind)]
    for chunk in _chunks(values):
        found = index.get_indexer(pd.Index(chunk.dictionary.to_numpy(zero_copy_only=False)))
        place = np.append(np.where(found >= 0, found, missing), missing).astype(kind)  # the last for nulls
        at = pc.fill_null(chunk.indices.cast(pa.int32()), len(found)) if chunk.null_count else chunk.indices
        parts.append(place[at.to_numpy(zero_copy_only=False)])
    return np.concatenate(parts)


def _microseconds(instants: pa.ChunkedArray) -> np.ndarray:
    """Microseconds since 1970, -1 for none."""
    counted = instants.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return (pc.fill_null(counted, -1) if counted.null_count else counted).to_numpy()


def _positions(instants: np.ndarray, starts: pd.DatetimeIndex) -> np.ndarray:
    """The interval that begins at each instant (microseconds), -1 where none does."""
    if not len(starts) or not len(instants):
        return np.full(len(instants), -1)
    begins = starts.as_unit("us").asi8
    step = int(begins[1] - begins[0]) if len(begins) > 1 else 1
    since = instants - begins[0]
    position = since // step
    return np.where((since == position * step) & (position >= 0) & (position < len(begins)), position, -1)
