"""Values as files write them, brought to floats: millions of text cells at once, odd ones one by one."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
COMMA_NUMBER = r"^\s*[+-]?\d*,\d+\s*$"
_USUAL = np.ones(256, dtype=bool)
_USUAL[[ord(one) for one in "0123456789.-eE"]] = False
_ONE = re.compile(NUMBER, re.ASCII)


def numbers_of(values: pa.Array | pa.ChunkedArray, decimal: str = ".") -> np.ndarray:
    """The values as float64; what is no number, and what is infinite, is NaN."""
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    made = [_numbers_of_chunk(one, decimal) for one in chunks if len(one)]
    return np.concatenate(made) if made else np.zeros(0)


def why_no_number(text: str, decimal: str) -> str:
    """Why a value is refused; where the other decimal mark would make it a number, the key that declares it."""
    said = f"the value {text!r} is no finite number"
    if decimal == "." and re.match(COMMA_NUMBER, text):
        return (
            f"{said}; was a decimal comma meant? Then write decimal = ',' in the site file (not told by the file: points stand in it too)"
        )
    if decimal == "," and re.match(NUMBER, text):
        return f"{said}; its decimal mark is a point, the file's a comma: see the key decimal in the site file"
    return said


def _numbers_of_chunk(values: pa.Array, decimal: str) -> np.ndarray:
    if pa.types.is_floating(values.type):
        made = pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(made), made, np.nan) if not np.isfinite(made).all() else made
    text = pc.fill_null(values.cast(pa.string()), "")
    if decimal == ",":
        text = pc.replace_substring(text, ".", "!")  # a point is none of its thousands marks
        text = pc.replace_substring(text, ",", ".")
    odd = _odd(text)
    if len(odd) * 4 > len(text):  # as regular as odd: look at all of them
        return _all_by_pattern(text)
    singles = [_one(one) for one in text.take(pa.array(odd)).to_pylist()]
    if len(odd):
        mask = np.zeros(len(text), dtype=bool)
        mask[odd] = True
        text = pc.if_else(pa.array(mask), "nan", text)
    try:
        made = pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # digits and signs in an order that is no number
        made = _all_by_pattern(text)
    made = made.copy()
    made[odd] = singles
    made[~np.isfinite(made)] = np.nan
    return made


def _odd(text: pa.Array) -> np.ndarray:
    """Positions of cells that are empty or hold another character than digits, point, minus and e."""
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    empty = np.flatnonzero(offsets[1:] == offsets[:-1])
    if text.buffers()[2] is None:
        return empty
    strange = np.flatnonzero(_USUAL[np.frombuffer(text.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]]) + offsets[0]
    at = np.searchsorted(offsets, strange, side="right") - 1
    return np.union1d(empty, at)


def _one(text: str) -> float:
    bare = text[:400].strip()
    return float(bare) if len(text) <= 400 and _ONE.match(bare) else np.nan


def _all_by_pattern(text: pa.Array) -> np.ndarray:
    bare = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), characters="+")
    number = pc.and_(pc.match_substring_regex(bare, NUMBER), pc.less(pc.count_substring_regex(text, r"\+[+\-]"), 1))
    made = pc.cast(pc.if_else(number, bare, "nan"), pa.float64()).to_numpy(zero_copy_only=False).copy()
    made[~np.isfinite(made)] = np.nan
    return made
