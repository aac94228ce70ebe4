"""Meter files as cells: CSV (plain or gzipped) and Parquet, long and wide, with every row's position kept."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from grid_assets.foundation.site_sections import ReadingsInput

GZIP_MAGIC = b"\x1f\x8b"
RAW_TEXT_LENGTH = 500


class FileRefused(ValueError):
    """The file can be read but not be understood: a column is missing."""


class FileUnreadable(ValueError):
    """The file is damaged: a truncated Parquet or gzip file."""


class FileEmpty(ValueError):
    """The file holds no rows."""


@dataclass(frozen=True)
class BrokenRow:
    source_row: int
    reason: str
    text: str


@dataclass
class Cells:
    """The cells of a file, one entry per reading. Times and values are text, or typed where a Parquet file types them."""

    source_row: np.ndarray
    meter_id: pa.Array
    time: pa.Array
    value: pa.Array
    unit: pa.Array | None
    kind: pa.Array | None
    raw_text: Callable[[int], str]
    """From a source_row to the row as it was, cut."""
    broken: list[BrokenRow] = field(default_factory=list)
    """Rows that are not even cells."""

    def __len__(self) -> int:
        return len(self.source_row)


def read_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The cells of a file's bytes, by the layout that the site file declares.

    Raises FileEmpty, FileUnreadable or FileRefused, each saying what was found and what was expected.
    """
    if not data:
        raise FileEmpty(f"{name}: the file has no bytes")
    table, numbers, broken, raw_text = _parquet_rows(data, source, name) if source.format == "parquet" else _csv_rows(data, source, name)
    if not len(numbers) and not broken:
        raise FileEmpty(f"{name}: the file has a header but no rows")
    cells = _wide(table, numbers, source, raw_text) if source.wide is not None else _long(table, numbers, source, raw_text)
    cells.broken = broken
    return cells


def _columns_needed(source: ReadingsInput) -> dict[str, str]:
    """Column of the file -> key of the site file that names it."""
    if source.wide is not None:
        return {str(source.time_column): "time_column", **{column: f"wide.{column}" for column in source.wide}}
    named = source.columns.model_dump() if source.columns else {}
    return {column: f"columns.{key}" for key, column in named.items() if column is not None}


def _refuse_unless_present(header: list[str], source: ReadingsInput, name: str) -> list[str]:
    needed = _columns_needed(source)
    missing = [
        f"column {column!r} (site file: [[readings]] {source.name}, key {key})" for column, key in needed.items() if column not in header
    ]
    twice = [f"column {column!r} occurs {header.count(column)} times" for column in needed if header.count(column) > 1]
    if missing or twice:
        said = [f"missing {one}" for one in missing] + twice
        found = ", ".join(repr(one)[:60] for one in header[:40])
        raise FileRefused(f"{name}: {'; '.join(said)}; found are {found}; correct the site file or ask for the file again")
    return list(needed)


# -- CSV --------------------------------------------------------------------------------------------------------


def _csv_rows(data: bytes, source: ReadingsInput, name: str):
    data = _unpacked(data, name)
    text = data.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    if not text.strip():
        raise FileEmpty(f"{name}: the file holds nothing but white space")
    first_line = text.split("\n", 1)[0].rstrip("\r")
    header = [_bare(cell) for cell in next(csv.reader([first_line]), [])]
    wanted = _refuse_unless_present(header, source, name)
    skipped: list[tuple[int, str]] = []
    table = _arrow_csv(text.encode(), header, wanted, skipped)
    numbers = _numbers_without(table.num_rows, [number for number, _ in skipped])
    table, numbers, broken = _with_rescued(table, numbers, skipped, header, wanted)
    lines = _Lines(text)
    return _bare_cells(table) if '"' in text else table, numbers, broken, lines.raw_text


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise FileUnreadable(f"{name}: the gzip file is damaged or cut off ({error}); ask for it again") from error


def _arrow_csv(data: bytes, header: list[str], wanted: list[str], skipped: list[tuple[int, str]]) -> pa.Table:
    def skip(row) -> str:
        skipped.append((row.number - 1, row.text))
        return "skip"

    table = pa.csv.read_csv(
        pa.py_buffer(data),
        # one block and one thread: a line may be of any length, and skipped rows know their numbers
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=header, skip_rows=1),
        # quotes are taken off below: a quote left open would otherwise swallow the rows after it
        parse_options=pa.csv.ParseOptions(quote_char=False, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
        ),
    )
    return pa.table({column: table[column].cast(pa.string()).combine_chunks() for column in wanted})


def _numbers_without(count: int, skipped: list[int]) -> np.ndarray:
    """The positions of ``count`` good rows among all rows, when the rows at ``skipped`` (1-based) are no good."""
    numbers = np.arange(1, count + len(skipped) + 1, dtype=np.int64)
    return np.delete(numbers, np.asarray(skipped, dtype=np.int64) - 1)


def _with_rescued(table: pa.Table, numbers: np.ndarray, skipped: list[tuple[int, str]], header: list[str], wanted: list[str]):
    """Adds the rows whose surplus commas stand inside quotes; the others are broken."""
    rescued, rescued_numbers, broken = [], [], []
    for number, line in skipped:
        cells = next(csv.reader([line]), []) if '"' in line and len(line) < 10_000 else []
        if len(cells) == len(header):
            rescued.append({column: cells[header.index(column)] for column in wanted})
            rescued_numbers.append(number)
        else:
            reason = f"the row has {line.count(',') + 1} cells, the header {len(header)}"
            broken.append(BrokenRow(number, reason, line[:RAW_TEXT_LENGTH]))
    if not rescued:
        return table, numbers, broken
    table = pa.concat_tables([table, pa.Table.from_pylist(rescued, schema=table.schema)])
    numbers = np.concatenate([numbers, np.asarray(rescued_numbers, dtype=np.int64)])
    order = np.argsort(numbers)
    return table.take(pa.array(order)), numbers[order], broken


def _bare(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _bare_cells(table: pa.Table) -> pa.Table:
    """Cells without the quotes around them."""
    bare = {}
    for column in table.column_names:
        coded = table[column].combine_chunks().dictionary_encode()
        names = pa.array([_bare(one) for one in coded.dictionary.to_pylist()], pa.string())
        bare[column] = names.take(coded.indices)
    return pa.table(bare)


class _Lines:
    """The non-blank lines of a text by number, split only when a row is refused."""

    def __init__(self, text: str):
        self._text = text

    @cached_property
    def _split(self) -> list[str]:
        return [line for line in self._text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]

    def raw_text(self, source_row: int) -> str:
        return self._split[source_row][:RAW_TEXT_LENGTH]


# -- Parquet ----------------------------------------------------------------------------------------------------


def _parquet_rows(data: bytes, source: ReadingsInput, name: str):
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        wanted = _refuse_unless_present(list(file.schema_arrow.names), source, name)
        table = file.read(columns=wanted).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise FileUnreadable(f"{name}: not a whole Parquet file ({str(error)[:200]}); ask for it again") from error
    columns = {column: _plain(table[column]) for column in wanted}
    table = pa.table(columns)

    def raw_text(source_row: int) -> str:
        cells = (table[column][source_row - 1].as_py() for column in wanted)
        return ",".join("" if cell is None else str(cell) for cell in cells)[:RAW_TEXT_LENGTH]

    return table, np.arange(1, table.num_rows + 1, dtype=np.int64), [], raw_text


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Text as string, numbers as float64, times as they are."""
    values = column.combine_chunks()
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_timestamp(kind):
        return values.cast(kind)
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return values.cast(kind).cast(pa.float64(), safe=False)
    return values.cast(pa.string())


# -- layouts ----------------------------------------------------------------------------------------------------


def _long(table: pa.Table, numbers: np.ndarray, source: ReadingsInput, raw_text: Callable[[int], str]) -> Cells:
    named = source.columns
    assert named is not None  # noqa: S101 - the site file's validation saw to it
    ids = _array(table, named.meter_id)
    if pa.types.is_floating(ids.type):  # ids of digits only, typed as numbers
        ids = ids.cast(pa.int64(), safe=False).cast(pa.string())
    return Cells(
        numbers, ids, _array(table, named.read_utc), _array(table, named.value),
        _array(table, named.unit) if named.unit else None, _array(table, named.kind) if named.kind else None, raw_text,
    )  # fmt: skip


def _wide(table: pa.Table, numbers: np.ndarray, source: ReadingsInput, raw_text: Callable[[int], str]) -> Cells:
    """A cell of each meter's column becomes a reading; an empty cell is no reading."""
    rows, ids, times, values = [], [], [], []
    time = _array(table, str(source.time_column))
    for column, meter_id in (source.wide or {}).items():
        cells = _array(table, column)
        if pa.types.is_floating(cells.type):
            filled = pc.and_(pc.is_valid(cells), pc.invert(pc.fill_null(pc.is_nan(cells), True)))
        else:
            filled = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(cells, "")), "")
        rows.append(numbers[filled.to_numpy(zero_copy_only=False)])
        values.append(cells.filter(filled))
        times.append(time.filter(filled))
        ids.append(pa.repeat(pa.scalar(meter_id), len(values[-1])))
    kinds = {one.type for one in values}
    if len(kinds) > 1:
        values = [one.cast(pa.string()) for one in values]
    return Cells(np.concatenate(rows), pa.concat_arrays(ids), pa.concat_arrays(times), pa.concat_arrays(values), None, None, raw_text)


def _array(table: pa.Table, column: str) -> pa.Array:
    values = table[column]
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
