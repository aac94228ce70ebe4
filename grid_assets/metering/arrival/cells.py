"""What every file format is read into: one entry per reading, its words kept once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RAW_TEXT_LENGTH = 500
LONGEST_ROW = 1_000_000
"""Bytes. A longer row is no row: it is quarantined by its beginning, and never copied whole."""
SAMPLE = 10_000


class FileRefused(ValueError):
    """The file can be read but not be understood: a column is missing."""


class FileUnreadable(ValueError):
    """The file is damaged: a truncated Parquet or gzip file."""


class FileEmpty(ValueError):
    """The file holds no rows."""


@dataclass(frozen=True)
class BrokenRow:
    """A row of which no reading can be made."""

    source_row: int
    reason: str
    text: str
    rule: str = "parse"


@dataclass(frozen=True)
class Coded:
    """A column of words: each distinct one once, and for every row which it is."""

    codes: np.ndarray
    """int32, one per row; an empty cell is the word ""."""
    words: pa.Array
    """Distinct words, or instants where a file types them."""

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, values: pa.Array | pa.ChunkedArray | Sequence) -> Coded:
        """Codes a column. Runs of equal cells, as files sorted by time or meter have them, are looked up once."""
        if not isinstance(values, pa.Array | pa.ChunkedArray):
            values = pa.array(values)
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        if pa.types.is_dictionary(values.type):
            whole = pa.chunked_array(chunks, values.type).unify_dictionaries().combine_chunks()
            whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks else whole
            return cls._with_empty(whole, values.type.value_type)
        made = [_runs(one) for one in chunks if len(one)]
        coded = pa.chunked_array([values for values, _ in made], values.type).dictionary_encode()
        if not made:
            return cls(np.zeros(0, np.int32), pa.array([], values.type))
        parts, words = [], coded.chunk(coded.num_chunks - 1).dictionary
        for chunk, (_, lengths) in zip(coded.chunks, made, strict=True):
            codes = chunk.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
            parts.append(codes if lengths is None else np.repeat(codes, lengths))
        return cls(np.concatenate(parts), _closed(words, coded.null_count))

    @classmethod
    def repeated(cls, word: str, rows: int) -> Coded:
        return cls(np.zeros(rows, np.int32), pa.array([word]))

    @classmethod
    def _with_empty(cls, whole: pa.DictionaryArray, kind: pa.DataType) -> Coded:
        words = whole.dictionary.cast(kind)
        codes = whole.indices.fill_null(len(words)) if whole.indices.null_count else whole.indices
        return cls(codes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False), _closed(words, whole.indices.null_count))

    def take(self, rows: np.ndarray) -> Coded:
        return Coded(self.codes[rows], self.words)

    def mapped(self, change: Callable[[str], str]) -> Coded:
        """The same rows with other words; words that become equal become one."""
        again = pa.array([change(one) for one in self.words.to_pylist()], pa.string()).dictionary_encode()
        return Coded(again.indices.to_numpy(zero_copy_only=False).astype(np.int32)[self.codes], again.dictionary)

    def text(self, i: int) -> str:
        value = self.words[int(self.codes[i])].as_py()
        return "" if value is None else str(value)[:60]


def _closed(words: pa.Array, nulls: int) -> pa.Array:
    """The words, with one for empty cells behind them where there are any."""
    if not nulls:
        return words
    return pa.concat_arrays([words, pa.array([""] if pa.types.is_string(words.type) else [None], words.type)])


def _runs(values: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """The first cell of every run and the runs' lengths; the cells themselves and None where they do not come in runs."""
    sample = values.slice(0, SAMPLE)
    if len(sample) < SAMPLE or pc.sum(_changes(sample)).as_py() * 4 > SAMPLE:
        return values, None
    starts = np.concatenate([[0], np.flatnonzero(_changes(values).to_numpy(zero_copy_only=False)) + 1])
    return values.take(pa.array(starts)), np.diff(np.append(starts, len(values)))


def _changes(values: pa.Array) -> pa.Array:
    before, after = values.slice(0, len(values) - 1), values.slice(1)
    return pc.fill_null(pc.not_equal(before, after), True)


@dataclass
class Cells:
    """The cells of a file, one entry per reading."""

    source_row: np.ndarray
    subject: Coded
    """Meter or device."""
    time: Coded
    """Text, or instants where the file types them."""
    value: pa.Array | pa.ChunkedArray
    """float64, or text."""
    unit: Coded | None
    kind: Coded | None
    raw_text: Callable[[int], str]
    """From a source_row to the row as it was, cut."""
    quantity: Coded | None = None
    length_s: np.ndarray | None = None
    """Length of each reading's interval, where the file tells it; -1 where not."""
    broken: list[BrokenRow] = field(default_factory=list)
    """Rows that are not even cells."""
    detected: list[str] = field(default_factory=list)
    """What was told from the file, not by the site file."""
    unit_detected: str | None = None
    """The unit that the file as a whole tells, for readings that name none."""
    decimal: str = "."
    starts: bool = False
    """Whether the format itself stamps intervals by their start, whatever the site file says."""

    def __len__(self) -> int:
        return len(self.source_row)
