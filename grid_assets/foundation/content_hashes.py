"""Hashes of what tables hold, whatever wrote, sorted, coded, compressed or split them."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

SEEDS_AND_FACTORS = (
    (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(0xD1B54A32D192ED03), np.uint64(0x94D049BB133111EB)),
)
_NULL = np.uint64(0xA0761D6478BD642F)
BLOCK = 1 << 15
"""Rows that are hashed at a time: their columns stay in the processor's cache."""


def content_hash(rows: pa.Table) -> str:
    """A hash of the rows of a table: the same rows give the same hash whatever wrote, sorted, coded, compressed or split them."""
    return hash_of_sums(rows.schema, rows.num_rows, row_sums(rows))


def hash_of_sums(schema: pa.Schema, rows: int, sums: tuple[int, int]) -> str:
    kinds = [one.type.value_type if pa.types.is_dictionary(one.type) else one.type for one in schema]
    told = [f"{one.name}:{kind};" for one, kind in zip(schema, kinds, strict=True)]
    return hashlib.blake2b("".join([*told, f"{rows}:{sums[0]}:{sums[1]}"]).encode(), digest_size=10).hexdigest()


def row_sums(rows: pa.Table) -> tuple[int, int]:
    """Two sums of all rows' hashes, modulo 2^64: they add up over the parts of a table, and the order of rows is nothing to them.

    Good against chance (a row changes each sum by a number that looks random), not against somebody who looks for another
    table with the same sums: what must withstand that is chained in the ledger.
    """
    columns = [_value_codes(rows[name]) for name in rows.column_names]
    sums = [np.uint64(0), np.uint64(0)]
    for first in range(0, rows.num_rows, BLOCK):
        block = [codes[first : first + BLOCK] for codes in columns]
        with np.errstate(over="ignore"):
            for n, (seed, factor) in enumerate(SEEDS_AND_FACTORS):
                sums[n] += _mixed(block, min(BLOCK, rows.num_rows - first), seed, factor).sum(dtype=np.uint64)
    return int(sums[0]), int(sums[1])


def _mixed(columns: list[np.ndarray], rows: int, seed: np.uint64, factor: np.uint64) -> np.ndarray:
    """A hash of every row, with the finalizer of MurmurHash3."""
    made = np.full(rows, seed)
    for codes in columns:
        made ^= codes
        made *= factor
        made ^= made >> np.uint64(32)
    made *= np.uint64(0xFF51AFD7ED558CCD)
    made ^= made >> np.uint64(33)
    return made


def _value_codes(values: pa.ChunkedArray) -> np.ndarray:
    """64 bits for every value: the bits of a number, a hash of a text, a constant for null."""
    kind = values.type
    if pa.types.is_null(kind):  # a column of which nothing is known, as a frame without rows may have
        return np.full(len(values), _NULL)
    if pa.types.is_decimal(kind):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type):
        values = values.dictionary_encode()
    if pa.types.is_dictionary(values.type):
        return _text_codes(values)
    if pa.types.is_date32(kind):
        values = values.cast(pa.int32())
    elif pa.types.is_temporal(kind):
        values = values.cast(pa.int64())
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    plain = pc.fill_null(values, 0) if values.null_count else values
    numbers = plain.to_numpy()
    codes = numbers.view(np.uint64) if numbers.dtype.itemsize == 8 else numbers.astype(np.int64).view(np.uint64)
    return np.where(values.is_null().to_numpy(), _NULL, codes) if values.null_count else codes


def _text_codes(values: pa.ChunkedArray) -> np.ndarray:
    array = values.unify_dictionaries().combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    texts = array.dictionary.cast(pa.string())
    hashes = pd.util.hash_array(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), categorize=False)
    hashes = np.append(np.where(texts.is_null().to_numpy(zero_copy_only=False), _NULL, hashes), _NULL)
    return hashes[pc.fill_null(array.indices, len(texts)).to_numpy(zero_copy_only=False)]
