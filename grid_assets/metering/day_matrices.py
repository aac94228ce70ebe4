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
    shape = len(meters), len(starts)
    energy, quality = np.full(shape, np.nan), np.zeros(shape, np.uint8)
    refused, zero_run = np.zeros(shape, bool), np.zeros(shape, bool)
    row, column = _codes(table["meter_id"], meters["meter_id"]), _positions(table["start_utc"], starts)
    here = (row >= 0) & (column >= 0)
    at = row[here] * shape[1] + column[here]
    values = table["energy_kwh"].cast(pa.float64()).to_numpy().astype(float)
    energy.ravel()[at] = values[here]
    quality.ravel()[at] = np.maximum(_codes(table["quality"], QUALITIES), 0)[here].astype(np.uint8)
    if "rule_failures" in table.column_names:
        rules = table["rule_failures"].cast(pa.string()) if pa.types.is_null(table["rule_failures"].type) else table["rule_failures"]
        told = [text for text in _distinct(rules) if text]
        failed = _codes(rules, told)[here]
        refused.ravel()[at] = failed >= 0
        zero_run.ravel()[at] = np.append([ZERO_RUN in text.split() for text in told], False)[failed]
    arrived = refused | (quality == QUALITIES.index("measured")) | (quality == QUALITIES.index("edited"))
    return DayMatrices(meters, energy, quality, arrived, (arrived & (energy == 0)) | zero_run)


def shards_of_day(lake: Lake, day: date, meters: pd.DataFrame, starts: pd.DatetimeIndex) -> Iterator[DayMatrices]:
    """The day's published readings from the lake, a file (a range of meters) at a time; every meter comes once, those that no
    file has at the end.

    ``meters``: the register in force that day, a row a meter. Raises ValueError for a meter that lies in two files.
    """
    left = np.ones(len(meters), bool)
    index = pd.Index(meters["meter_id"])
    for rows in lake.read_shards(READINGS, day, COLUMNS, CODED):
        here = np.zeros(len(meters), bool)
        found = index.get_indexer(_distinct(rows["meter_id"]))
        here[found[found >= 0]] = True
        if (here & ~left).any():
            raise ValueError(
                f"{READINGS}, {day}: meter {index[here & ~left][0]!r} lies in two files; expected files of whole meters: "
                "materialise the day's readings again"
            )
        left &= ~here
        yield day_matrices(rows, meters[here].reset_index(drop=True), starts)
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


def _distinct(values: pa.ChunkedArray) -> pd.Index:
    parts = [chunk.dictionary.to_numpy(zero_copy_only=False) for chunk in _chunks(values)]
    return pd.Index(np.concatenate(parts) if parts else np.empty(0, object)).unique()


def _codes(values: pa.ChunkedArray, known) -> np.ndarray:
    """The position of each text in ``known``, -1 where it is none of them. Each distinct text of a chunk is looked up once."""
    index, parts = pd.Index(known), [np.empty(0, np.int64)]
    for chunk in _chunks(values):
        place = np.append(index.get_indexer(pd.Index(chunk.dictionary.to_numpy(zero_copy_only=False))), -1)  # the last for nulls
        parts.append(place[pc.fill_null(chunk.indices.cast(pa.int64()), len(place) - 1).to_numpy(zero_copy_only=False)])
    return np.concatenate(parts)


def _positions(instants: pa.ChunkedArray, starts: pd.DatetimeIndex) -> np.ndarray:
    """The interval that begins at each instant, -1 where none does."""
    if not len(starts) or not len(instants):
        return np.full(len(instants), -1)
    kind = pa.timestamp("us", tz="UTC")
    begins = starts.as_unit("us").asi8
    step = int(begins[1] - begins[0]) if len(begins) > 1 else 1
    since = pc.fill_null(instants.cast(kind).cast(pa.int64()), -1).to_numpy() - begins[0]
    position = since // step
    return np.where((since % step == 0) & (position >= 0) & (position < len(begins)), position, -1)
