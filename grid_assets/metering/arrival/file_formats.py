"""Meter and sensor files as cells: the format that the site file names, or the one that a file's first bytes show."""

from __future__ import annotations

import zlib

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.cells import Cells, FileEmpty, FileUnreadable
from grid_assets.metering.arrival.csv_files import csv_cells
from grid_assets.metering.arrival.green_button import espi_cells
from grid_assets.metering.arrival.json_lines import json_cells
from grid_assets.metering.arrival.parquet_files import parquet_cells

GZIP_MAGIC = b"\x1f\x8b"
LARGEST = 1 << 33
"""Bytes of an unpacked file: a small file may unpack to more than any memory holds."""
READERS = {"csv": csv_cells, "parquet": parquet_cells, "espi": espi_cells, "json_lines": json_cells}


def read_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The cells of a file's bytes.

    Raises FileEmpty, FileUnreadable or FileRefused, each saying what was found and what was expected.
    """
    if not data:
        raise FileEmpty(f"{name}: the file has no bytes")
    data = _unpacked(data, name)
    if not data.strip(b"\r\n\t \0\xef\xbb\xbf") if len(data) < 100_000 else False:
        raise FileEmpty(f"{name}: the file holds nothing but white space")
    chosen = source.format or _format(data)
    cells = READERS[chosen](data, source, name)
    if source.format is None:
        cells.detected.insert(0, f"format {chosen}")
    return cells


def _format(data: bytes) -> str:
    first = data[:1000].lstrip(b"\xef\xbb\xbf\r\n\t ")
    if data.startswith(b"PAR1"):
        return "parquet"
    if first.startswith(b"<"):
        return "espi"
    return "json_lines" if first.startswith(b"{") else "csv"


def _unpacked(data: bytes, name: str) -> bytes:
    """The content of a gzip file, of all its members; other bytes as they are."""
    if not data.startswith(GZIP_MAGIC):
        return data
    members, rest, room = [], data, LARGEST
    while rest.strip(b"\0") if len(rest) < 1000 else rest:
        unpacking = zlib.decompressobj(wbits=31)
        try:
            members.append(unpacking.decompress(rest, room))
        except zlib.error as error:
            raise FileUnreadable(f"{name}: the gzip file is damaged or cut off ({error}); ask for it again") from error
        room -= len(members[-1])
        if unpacking.unconsumed_tail or room < 1:
            raise FileUnreadable(f"{name}: the gzip file unpacks to more than {LARGEST >> 30} GB; ask for it in parts")
        if not unpacking.eof:
            raise FileUnreadable(f"{name}: the gzip file is damaged or cut off (it has no end); ask for it again")
        rest = unpacking.unused_data
    return members[0] if len(members) == 1 else b"".join(members)
