"""CSV meter files as cells, block by block: lines of any length, headers that change, bytes that are no text."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.arrived_numbers import COMMA_NUMBER
from grid_assets.metering.arrival.cells import LONGEST_ROW, RAW_TEXT_LENGTH, BrokenRow, Cells, Coded, FileEmpty, FileRefused
from grid_assets.metering.arrival.layouts import WELL_KNOWN, Layout, cells_of, layout_of
from grid_assets.metering.arrival.text_encodings import as_utf8, broken_encoding, shown

BLOCK = 1 << 24
DELIMITERS = (",", ";", "\t", "|")
KNOWN_NAMES = frozenset(name for names in WELL_KNOWN.values() for name in names)


@dataclass
class _Block:
    """Lines that one header governs."""

    begin: int
    end: int
    first_row: int
    """Position of its first line among the file's non-empty ones."""


@dataclass
class _Table:
    """What has been read of a file."""

    parts: dict[str, list[pa.Array]]
    numbers: list[np.ndarray] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)
    detected: list[str] = field(default_factory=list)


def csv_cells(data: bytes, source: ReadingsInput, name: str) -> Cells:
    """The readings of a CSV file. Raises FileEmpty where it has no rows, FileRefused where a needed column is missing."""
    data, detected = as_utf8(data, source, name)
    begin = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in (b"\r", b"\n") else 0
    end = _line_end(data, begin)
    if end - begin > LONGEST_ROW:
        raise FileRefused(f"{name}: its first line has {end - begin} bytes; expected a header that names the columns")
    first = data[begin:end].decode("utf-8", "replace").rstrip("\r\n")
    if not first.strip("\ufeff \t\0"):
        raise FileEmpty(f"{name}: the file holds nothing but white space")
    delimiter = source.delimiter or _delimiter(first, source, name)
    if source.delimiter is None and delimiter != ",":
        detected.append(f"delimiter {delimiter!r}")
    header = _split(first, delimiter)
    layout = layout_of(header, source, name)
    reader = _Reader(data, delimiter, header, layout, source, name)
    reader.read(end)
    table = reader.table
    if not table.broken and not any(len(one) for one in table.numbers):
        raise FileEmpty(f"{name}: the file has a header but no rows")
    return _cells(table, layout, source, _RawText(data, table.blocks), [*detected, *table.detected])


def _cells(table: _Table, layout: Layout, source: ReadingsInput, lines: _RawText, detected: list[str]) -> Cells:
    columns: dict[str, pa.ChunkedArray | Coded] = {}
    quotes = lines.has_quotes()
    values = set(layout.wide) or {layout.long["value"]}
    for column, chunks in table.parts.items():
        text = pa.chunked_array(chunks, pa.string())
        table.parts[column] = []
        if column in values:
            columns[column] = _bare_values(text) if quotes else text
        else:
            coded = Coded.of(text)
            columns[column] = coded.mapped(_bare) if quotes or _is_padded(coded.words) else coded
    numbers = np.concatenate(table.numbers) if table.numbers else np.zeros(0, np.int64)
    cells = cells_of(columns, numbers, layout, source, lines.raw_text)
    cells.broken = table.broken
    cells.decimal = source.decimal or _decimal(cells.value)
    if source.decimal is None and cells.decimal == ",":
        detected.append("decimal comma")
    cells.detected = [*detected, *cells.detected]
    return cells


def _delimiter(first: str, source: ReadingsInput, name: str) -> str:
    """The first delimiter by which the header names every needed column; else the one that makes the most columns."""
    for one in DELIMITERS:
        try:
            layout_of(_split(first, one), source, name)
            return one
        except FileRefused:
            continue
    return max(DELIMITERS, key=first.count)


def _decimal(values: pa.ChunkedArray) -> str:
    """The decimal mark of the cells that are numbers: a comma where some have one and none has a point."""
    comma = values.filter(pc.match_substring(values, ","))
    if not pc.any(pc.match_substring_regex(comma, COMMA_NUMBER)).as_py():
        return "."
    point = values.filter(pc.match_substring(values, "."))
    return "." if pc.any(pc.match_substring_regex(point, r"^\s*[+-]?\d*\.\d+\s*$")).as_py() else ","


class _Reader:
    """Reads the blocks of a file one after another."""

    def __init__(self, data: bytes, delimiter: str, header: list[str], layout: Layout, source: ReadingsInput, name: str):
        self.data, self.delimiter, self.header, self.layout = data, delimiter, header, layout
        self.source, self.name = source, name
        self.wanted = layout.columns
        self.table = _Table({column: [] for column in self.wanted})
        self.row = 0  # non-empty lines read so far
        self.repeats: list[int] = []  # rows that are the header again
        self._headers_ahead = np.zeros(0, dtype=np.int64)  # where other headers begin that a block has shown

    def read(self, begin: int) -> None:
        while begin < len(self.data):
            end = self._block_end(begin)
            if end - begin > LONGEST_ROW and self._is_one_line(begin, end):
                self._too_long(begin, end)
            else:
                end = self._read_block(begin, end)
            begin = end
        if self.repeats:
            others = f", and {len(self.repeats) - 1} rows after it do" if len(self.repeats) > 1 else ""
            self.table.detected.append(f"row {self.repeats[0]} repeats the header{others}")

    def _block_end(self, begin: int) -> int:
        """The end of the last whole line within a block's length, or of the one line that is longer than a block; where a header
        is known to stand ahead the block ends there, so that no row is read more than twice on its account."""
        if (ahead := self._next_header(begin)) is not None:
            return ahead
        if begin + BLOCK >= len(self.data):
            last = self.data.rfind(b"\n", begin) + 1
            tail = len(self.data) - max(last, begin)
            return last if last > begin and tail > LONGEST_ROW else len(self.data)
        end = self.data.rfind(b"\n", begin, begin + BLOCK) + 1
        return end or _line_end(self.data, begin)

    def _next_header(self, begin: int) -> int | None:
        """Where the next header begins that a block has shown."""
        place = int(np.searchsorted(self._headers_ahead, begin, side="right"))
        return int(self._headers_ahead[place]) if place < len(self._headers_ahead) else None

    def _is_one_line(self, begin: int, end: int) -> bool:
        return self.data.find(b"\n", begin, end - 1) < 0

    def _too_long(self, begin: int, end: int) -> None:
        self.row += 1
        reason = f"the row has {end - begin} bytes; expected less than {LONGEST_ROW}; is a line end missing?"
        self.table.broken.append(BrokenRow(self.row, reason, shown(self.data[begin : begin + RAW_TEXT_LENGTH])))

    def _read_block(self, begin: int, end: int) -> int:
        """Takes the block's rows; up to a new header where there is one. Returns where to go on."""
        block, faults = broken_encoding(self.data, begin, end)
        skipped: list[tuple[int, str]] = []
        made = _parsed(block, self.header, self.wanted, self.delimiter, skipped)
        places = self._header_rows(made, skipped, faults)
        if places:
            offsets = begin + _line_begins(np.frombuffer(self.data, np.uint8)[begin:end])[np.array(places) - 1]
            other = np.array([self._header_at(one) != self.header for one in offsets.tolist()])
            if other.any():
                if self._next_header(begin) is None:
                    self._headers_ahead = offsets
                at = int(offsets[other][0])
                return self._change_header(begin) if at == begin else self._read_block(begin, at)
        self._take(made, skipped, faults, begin, end, places)
        return end

    def _header_at(self, begin: int) -> list[str]:
        line = self.data[begin : _line_end(self.data, begin)]
        return _split(line.decode("utf-8", "replace").rstrip("\r\n"), self.delimiter)

    def _take(
        self, made: pa.Table, skipped: list[tuple[int, str]], faults: dict[int, tuple[str, str]], begin: int, end: int, repeats: list[int]
    ) -> None:
        lines = made.num_rows + len(skipped)
        self.table.blocks.append(_Block(begin, end, self.row + 1))
        numbers = np.arange(1, lines + 1, dtype=np.int64)
        numbers = np.delete(numbers, np.array([number for number, _ in skipped], dtype=np.int64) - 1) if skipped else numbers
        if repeats:  # the header again is no row
            self.repeats += [self.row + number for number in repeats]
            kept = ~np.isin(numbers, repeats)
            made, numbers = made.filter(pa.array(kept)), numbers[kept]
            skipped = [one for one in skipped if one[0] not in set(repeats)]
        self.table.broken += [
            BrokenRow(self.row + number, reason, line.rstrip("\r")[:RAW_TEXT_LENGTH], "encoding")
            for number, (reason, line) in faults.items()
        ]
        made, numbers = self._with_rescued(made, numbers, [one for one in skipped if one[0] not in faults])
        for column in self.wanted:
            self.table.parts[column] += made[column].chunks
        self.table.numbers.append(numbers + self.row)
        self.row += lines

    def _with_rescued(self, made: pa.Table, numbers: np.ndarray, skipped: list[tuple[int, str]]) -> tuple[pa.Table, np.ndarray]:
        """Adds the rows whose surplus delimiters stand inside quotes; the others are broken."""
        rescued, rescued_numbers = [], []
        for number, line in skipped:
            cells = _split(line, self.delimiter) if '"' in line and len(line) < 10_000 else []
            if len(cells) == len(self.header):
                rescued.append({column: cells[self.header.index(column)] for column in self.wanted})
                rescued_numbers.append(number)
            else:
                reason = f"the row has {line.count(self.delimiter) + 1} cells, the header {len(self.header)}"
                self.table.broken.append(BrokenRow(self.row + number, reason, line[:RAW_TEXT_LENGTH]))
        if not rescued:
            return made, numbers
        made = pa.concat_tables([made, pa.Table.from_pylist(rescued, schema=made.schema)])
        numbers = np.concatenate([numbers, np.asarray(rescued_numbers, dtype=np.int64)])
        order = np.argsort(numbers)
        return made.take(pa.array(order)), numbers[order]

    # -- a header in the middle -----------------------------------------------------------------------------------

    def _header_rows(self, made: pa.Table, skipped: list[tuple[int, str]], faults: dict[int, tuple[str, str]]) -> list[int]:
        """Positions in the block, 1 the first, of the lines that are headers: they have no time, and name columns."""
        found = [number for number, line in skipped if number not in faults and self._is_header(line)]
        times = Coded.of(made[self.layout.time])
        wordy = [n for n, word in enumerate(times.words.to_pylist()) if _bare(word) == self.layout.time or _is_wordy(word)]
        rows = np.flatnonzero(np.isin(times.codes, wordy)) if wordy else np.zeros(0, dtype=np.int64)
        if len(rows):
            numbers = np.delete(np.arange(1, made.num_rows + len(skipped) + 1), np.array([one for one, _ in skipped], dtype=np.int64) - 1)
            cells = made.take(pa.array(rows)).to_pydict()
            lines = zip(*(cells[column] for column in self.wanted), strict=True)
            named: dict[tuple[str, ...], bool] = {}  # the same line many times over is judged once
            for number, line in zip(numbers[rows].tolist(), lines, strict=True):
                if line not in named:
                    named[line] = self._names_columns([_bare(one) for one in line])
                if named[line]:
                    found.append(number)
        return sorted(found)

    def _is_header(self, line: str) -> bool:
        return len(line) < 10_000 and self._names_columns(_split(line, self.delimiter))

    def _names_columns(self, cells: list[str]) -> bool:
        """Whether cells read like a header: at least two, and half of them, are names of columns; none is a number. At least
        one is a name that this file uses, or all are well known."""
        words = [one for one in cells if one]
        own = sum(one in self.header or one in self.wanted for one in words)
        known = sum(one in self.header or one in self.wanted or one.strip().lower() in KNOWN_NAMES for one in words)
        named = known >= 2 and 2 * known >= len(words) and (own >= 1 or known == len(words) >= 3)
        return named and not any(_is_number(one) for one in words)

    def _change_header(self, begin: int) -> int:
        """Goes over to the header that stands at ``begin``; what it cannot tell is quarantined up to one that can."""
        end = _line_end(self.data, begin)
        header = _split(self.data[begin:end].decode("utf-8", "replace").rstrip("\r\n"), self.delimiter)
        self.row += 1
        missing = [one for one in self.wanted if header.count(one) != 1]
        if not missing:
            if header == self.header:
                self.repeats.append(self.row)
            else:
                self.table.detected.append(f"from row {self.row + 1} on another header: {', '.join(header)[:200]}")
            self.header = header
            return end
        self.table.detected.append(f"row {self.row} is a header without {', '.join(missing)[:200]}: the rows under it are refused")
        reason = f"the header changes at row {self.row} and names no column {missing[0]!r}; ask for the rows again in a file of their own"
        return self._refuse_until_header(end, reason)

    def _refuse_until_header(self, begin: int, reason: str) -> int:
        start = begin
        first = self.row + 1
        while begin < len(self.data):
            end = _line_end(self.data, begin)
            line = shown(self.data[begin : min(end, begin + 10_000)]).rstrip("\r\n")
            if self._is_header(line):
                break
            if line:
                self.row += 1
                self.table.broken.append(BrokenRow(self.row, reason, line[:RAW_TEXT_LENGTH], "columns"))
            begin = end
        self.table.blocks.append(_Block(start, begin, first))
        return self._change_header(begin) if begin < len(self.data) else begin


def _parsed(block: pa.Buffer, header: list[str], wanted: list[str], delimiter: str, skipped: list[tuple[int, str]]) -> pa.Table:
    """The block's rows as text. ``skipped`` is given the number and the text of rows with another count of cells."""

    def skip(row) -> str:
        skipped.append((row.number, row.text))
        return "skip"

    names = [one if header.index(one) == n else f"{one}\0{n}" for n, one in enumerate(header)]
    return pa.csv.read_csv(
        pa.BufferReader(block),
        # one thread, so that skipped rows know their numbers; one block, so that a line may be of any length
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=block.size + 1, column_names=names),
        # quotes are taken off later: a quote left open would otherwise swallow the rows after it
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False, check_utf8=False
        ),
    )


class _RawText:
    """The lines of a file by number; looked for only where a row is refused."""

    def __init__(self, data: bytes, blocks: list[_Block]):
        self._data, self._blocks = data, blocks
        self._firsts = [one.first_row for one in blocks]
        self._held: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=np.int64))

    def has_quotes(self) -> bool:
        return bool(self._blocks) and self._data.find(b'"', self._blocks[0].begin) >= 0

    def raw_text(self, source_row: int) -> str:
        at = int(np.searchsorted(self._firsts, source_row, side="right")) - 1
        block = self._blocks[at]
        if self._held[0] != at:
            self._held = (at, _line_begins(np.frombuffer(self._data, np.uint8)[block.begin : block.end]))
        begin = block.begin + int(self._held[1][source_row - block.first_row])
        end = min(_line_end(self._data, begin), begin + 4 * RAW_TEXT_LENGTH)
        return shown(self._data[begin:end].rstrip(b"\r\n"))[:RAW_TEXT_LENGTH]


def _line_begins(block: np.ndarray) -> np.ndarray:
    """Where the non-empty lines of a block begin."""
    ends = np.flatnonzero(block == ord("\n"))
    begins, ends = np.concatenate([[0], ends + 1]), np.append(ends, len(block))
    length = ends - begins
    alone = length == 1
    length[alone] -= block[begins[alone]] == ord("\r")
    return begins[length > 0]


def _line_end(data: bytes, begin: int) -> int:
    return data.find(b"\n", begin) + 1 or len(data)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [_bare(cell) for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return [_bare(cell) for cell in line.split(delimiter)]


def _bare(cell: str) -> str:
    cell = cell.strip().removeprefix("\ufeff").strip()  # files joined end to end keep their byte order marks
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _is_padded(words: pa.Array) -> bool:
    """Whether blanks or a byte order mark stand around any of the words."""
    return bool(pc.any(pc.not_equal(words, pc.utf8_trim(words, characters=" \t\u00a0\u202f\ufeff"))).as_py())


def _is_wordy(cell: str) -> bool:
    return bool(cell.strip()) and len(cell) < 200 and not any(one.isdigit() for one in cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _bare_values(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without the quotes around them."""
    quoted = pc.starts_with(pc.utf8_trim_whitespace(values), '"')
    if not pc.any(quoted).as_py():
        return values
    return pc.if_else(quoted, pc.replace_substring_regex(values, r'^\s*"(.*)"\s*$', r"\1"), values)
