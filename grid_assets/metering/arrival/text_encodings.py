"""The bytes of a text file as UTF-8, and the lines whose bytes are no text."""

from __future__ import annotations

import codecs

import numpy as np
import pyarrow as pa

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.cells import FileUnreadable

REPLACED = "\ufffd".encode()
NO_ROW = b"\x01"
"""Stands for a line that is no text: one cell, so that it is a row of no table."""


def as_utf8(data: bytes, source: ReadingsInput, name: str) -> tuple[bytes, list[str]]:
    """A file's bytes in UTF-8 without a byte order mark, and what was detected. Undecodable bytes become U+FFFD, or stay.

    Raises FileUnreadable where the declared encoding cannot be that of the file at all.
    """
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            told = [f"encoding {encoding} by its byte order mark"]
            return _line_ends(data[3:] if encoding == "utf-8" else data.decode("utf-16", "replace").encode()), told
    if source.encoding in (None, "utf-8", "ascii", "utf-8-sig"):
        first = data[: data.find(b"\n") + 1 or len(data)][:10_000]
        if source.encoding is None and _undecodable(first):
            return _line_ends(data.decode("cp1252", "replace").encode()), ["encoding cp1252: the header is not UTF-8"]
        return _line_ends(data), []
    try:
        return _line_ends(data.decode(source.encoding, "replace").encode()), []
    except (UnicodeError, LookupError) as error:
        raise FileUnreadable(f"{name}: cannot be read as {source.encoding} ({error}); correct the key encoding in the site file") from error


def _line_ends(data: bytes) -> bytes:
    """A carriage return alone ends a line as well: old machines write so, and every reader must count the same lines."""
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _undecodable(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def broken_encoding(data: bytes, begin: int, end: int) -> tuple[pa.Buffer, dict[int, tuple[str, str]]]:
    """A block of a file without the lines that are no text; why, and the line, by its position among the non-empty lines, 1 the first.

    In their place stands NO_ROW, so that the other lines keep their positions.
    """
    block = pa.py_buffer(data).slice(begin, end - begin)
    # one byte is looked for many times faster than three
    replaced = data.find(REPLACED[:1], begin, end) >= 0 and data.find(REPLACED, begin, end) >= 0
    if data.find(b"\0", begin, end) < 0 and not replaced and _is_text(block):
        return block, {}
    lines, faults, row = data[begin:end].split(b"\n"), {}, 0
    for n, one in enumerate(lines):
        if not one.rstrip(b"\r"):
            continue
        row += 1
        if b"\0" in one:
            faults[row] = "the row holds a byte of zero; was the file written only in part?", shown(one[:2000])
        elif REPLACED in one or _undecodable(one):
            said = "the row holds bytes that are no text in the file's encoding; see the key encoding in the site file"
            faults[row] = said, shown(one[:2000])
        if row in faults:
            lines[n] = NO_ROW
    return pa.py_buffer(b"\n".join(lines)), faults


def _is_text(block: pa.Buffer) -> bool:
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, block.size])), block])
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def shown(line: bytes) -> str:
    """A line for people: bytes that are no text as \\xff."""
    return line.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
