"""Parquet meter files as cells: dictionary pages are taken over as they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.cells import RAW_TEXT_LENGTH, Cells, Coded, FileEmpty, FileUnreadable
from grid_assets.metering.arrival.layouts import cells_of, layout_of


def parquet_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The readings of a Parquet file. Raises FileEmpty, FileUnreadable or FileRefused."""
    try:
        schema = pq.ParquetFile(pa.BufferReader(data)).schema_arrow
        layout = layout_of(list(schema.names), source, name)
        values = set(layout.wide) or {layout.long["value"]}
        words = [one for one in layout.columns if one not in values and _is_text(schema.field(one).type)]
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=words, page_checksum_verification=True).read(columns=layout.columns)
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileUnreadable(f"{name}: not a whole Parquet file ({str(error)[:200]}); ask for it again") from error
    if not table.num_rows:
        raise FileEmpty(f"{name}: the file has a header but no rows")
    columns = {column: _values(table[column]) if column in values else _words(table[column]) for column in layout.columns}
    shown = table.select(layout.columns)

    def raw_text(source_row: int) -> str:
        cells = (shown[column][source_row - 1].as_py() for column in shown.column_names)
        return ",".join("" if cell is None else str(cell) for cell in cells)[:RAW_TEXT_LENGTH]

    return cells_of(columns, np.arange(1, table.num_rows + 1, dtype=np.int64), layout, source, raw_text)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _words(column: pa.ChunkedArray) -> Coded:
    """Text and times coded; ids that are typed as numbers become text."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(kind):
        return Coded.of(column.cast(kind))
    if not pa.types.is_dictionary(column.type) and not _is_text(kind):
        column = column.cast(pa.float64(), safe=False) if pa.types.is_decimal(kind) else column
    coded = Coded.of(column)
    if _is_text(coded.words.type):
        return Coded(coded.codes, coded.words.cast(pa.string()))
    words = coded.words
    if pa.types.is_floating(words.type):
        whole = [None if one is None else str(int(one)) if float(one).is_integer() else str(one) for one in words.to_pylist()]
        return Coded(coded.codes, pa.array(["" if one is None else one for one in whole], pa.string()))
    return Coded(coded.codes, words.cast(pa.string()).fill_null(""))


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64, everything else as text."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(kind).cast(pa.float64(), safe=False)
    return column.cast(pa.string())
