"""How the lake writes and reads one Parquet file, whose rows are sorted by their keys."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

ROW_GROUP = 122_880


def encoded(rows: pa.Table, declared: pa.Schema) -> pa.Buffer:
    """A Parquet file that reads as the declared schema, though its text may be dictionary-coded in memory."""
    sink = pa.BufferOutputStream()
    words = [one.name for one in rows.schema if pa.types.is_dictionary(one.type) or pa.types.is_string(one.type)]  # numbers seldom repeat
    with pq.ParquetWriter(sink, rows.schema, compression="zstd", use_dictionary=words, store_schema=False) as writer:
        writer.write_table(rows, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata({"ARROW:schema": base64.b64encode(declared.serialize().to_pybytes()).decode()})
    return sink.getvalue()


def read(fs: pafs.FileSystem, path: str, columns: Sequence[str] | None, coded: Sequence[str] = ()) -> pa.Table:
    """The rows of a file. ``coded``: text columns that come dictionary-coded, which is cheaper where values repeat."""
    return pq.read_table(
        path, columns=list(columns) if columns else None, filesystem=fs, partitioning=None, read_dictionary=list(coded) or None,
    )  # fmt: skip


def read_range(
    fs: pafs.FileSystem, path: str, bounds: tuple[str, str | None, str | None], columns: Sequence[str] | None, coded: Sequence[str]
) -> pa.Table:
    """The rows of a file whose first key lies in [lower, upper); ``bounds``: that key's name, lower, upper; None: no bound.

    Whole row groups by their statistics, cut where the values stand, for a file is sorted by its keys. Comparing every row
    costs seven times as much.
    """
    key, lower, upper = bounds
    if lower is None and upper is None:
        return read(fs, path, columns, coded)
    with pq.ParquetFile(path, filesystem=fs, read_dictionary=list(coded) or None) as file:
        names = list(columns) if columns else file.schema_arrow.names
        at = file.schema_arrow.names.index(key)
        groups = [n for n in range(file.num_row_groups) if _may_hold(file.metadata.row_group(n).column(at).statistics, lower, upper)]
        rows = file.read_row_groups(groups, columns=list(dict.fromkeys([*names, key])))
    keys = _Values(rows[key])
    begin = 0 if lower is None else bisect_left(keys, lower)
    end = len(keys) if upper is None else bisect_left(keys, upper)
    return rows.slice(begin, max(end - begin, 0)).select(names)


class _Values(Sequence):
    """A column's values, one at a time, for a binary search."""

    def __init__(self, column: pa.ChunkedArray):
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, at):
        return self._column[at].as_py()


def _may_hold(statistics: pq.Statistics | None, lower: str | None, upper: str | None) -> bool:
    """Whether a row group with these statistics of the key can hold a value in [lower, upper)."""
    if statistics is None or not statistics.has_min_max:
        return True
    return (lower is None or statistics.max >= lower) and (upper is None or statistics.min < upper)
