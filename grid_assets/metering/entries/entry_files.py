"""What people enter by hand: CSV files that are only added to, read row by row, so that one bad row costs no good one.

A file has a header line, one row a line and may have comment lines that begin with #. Files count in the order of their
names. A row that cannot be used is refused with file, line and reason, and the rest counts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class RefusedEntry:
    """A line of an entry file that does not count."""

    file: str
    line: int
    """Line in the file, 1 the first; 0: the file or folder as a whole."""
    reason: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Entry:
    """A row of an entry file: the text of each column, stripped; "" where it is empty or the file lacks the column."""

    file: str
    line: int
    row: int
    """Position among the file's rows, 1 the first after the header."""
    values: Mapping[str, str]
    text: str

    def refused(self, reason: str) -> RefusedEntry:
        return RefusedEntry(self.file, self.line, reason, self.text[:SHOWN_CHARACTERS])


@dataclass
class EntryFiles:
    """All rows of a folder that could be split into columns, and the lines that could not."""

    entries: list[Entry] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)


def read_entries(folder: Path | None, columns: Sequence[str], optional: Sequence[str] = ()) -> EntryFiles:
    """The rows of all CSV files of ``folder``, by file name and line; nothing for None.

    ``columns``: those that a header must have; ``optional`` ones may be missing; a header with other ones is refused. A
    folder that is not there is one refusal, for a misspelt path would lose all entries in silence.
    """
    found = EntryFiles()
    if folder is None:
        return found
    if not folder.is_dir():
        found.refused.append(
            RefusedEntry(folder.name, 0, "the folder that the site file names does not exist; make it, or correct [metering]")
        )
        return found
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() == ".csv":
            _read_file(path, columns, optional, found)
        else:
            found.refused.append(RefusedEntry(path.name, 0, "is not named .csv; no row of this file counts"))
    return found


def _read_file(path: Path, columns: Sequence[str], optional: Sequence[str], found: EntryFiles) -> None:
    header: list[str] = []
    row = 0
    for line, text in _lines(path, found):
        cells = _cells(text)
        if header:
            row += 1
        if cells is None:
            found.refused.append(RefusedEntry(path.name, line, "not CSV: a quotation mark is left open; a row stands on one line", text[:SHOWN_CHARACTERS]))  # fmt: skip
        elif not header:
            header = cells
            fault = _fault_of_header(header, columns, optional)
            if fault:
                found.refused.append(RefusedEntry(path.name, line, f"{fault}; no row of this file counts", text[:SHOWN_CHARACTERS]))
                return
        elif len(cells) != len(header):
            reason = (
                f"{len(cells)} values where the header names {len(header)} columns; was the line cut off, or does a value hold a comma?"
            )
            found.refused.append(RefusedEntry(path.name, line, reason, text[:SHOWN_CHARACTERS]))
        else:
            values = dict.fromkeys((*columns, *optional), "") | dict(zip(header, cells, strict=True))
            found.entries.append(Entry(path.name, line, row, values, text))


def _lines(path: Path, found: EntryFiles) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, without comments and empty ones; one that is not UTF-8 is refused alone."""
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        found.refused.append(RefusedEntry(path.name, 0, f"cannot be read ({error.strerror}); its rows do not count"))
        return
    for number, line in enumerate(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            said = f"not UTF-8 (byte {line[error.start]:#04x}); save the file as UTF-8"
            found.refused.append(RefusedEntry(path.name, number, said, line[:SHOWN_CHARACTERS].decode("latin-1")))
            continue
        if text.strip() and not text.startswith("#"):
            yield number, text


def _cells(text: str) -> list[str] | None:
    try:
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error:
        return None


def _fault_of_header(header: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> str:
    missing = [name for name in columns if name not in header]
    unknown = [name for name in header if name not in (*columns, *optional)]
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    faults = [f"column {name} is missing" for name in missing]
    faults += [f"column {name!r} is unknown; known are {', '.join((*columns, *optional))}" for name in unknown]
    faults += [f"column {name} is there twice" for name in twice]
    return "; ".join(faults)


def entered_time(text: str) -> datetime | None:
    """An instant with its offset, from 1970 to 2199, as aware UTC; None for anything else."""
    try:
        when = datetime.fromisoformat(text)
        made = when.astimezone(UTC) if when.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return made if made and 1970 <= made.year < 2200 else None


NO_TIME = "expected a time with its offset, such as 2016-05-24T15:00:00Z"
