"""Judged readings as rows of the tables: staged energy, staged measurements, and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.metering.arrival.arrival_rules import REGISTER, JudgedRows, Rules
from grid_assets.metering.arrival.cells import BrokenRow, Coded
from grid_assets.metering.tables import LANDED_MEASUREMENTS, LANDED_ROWS, REJECTED_READINGS

TIMESTAMP = pa.timestamp("us", tz="UTC")
CHUNK = 500_000


def energy_rows(file_id: str, name: str, judged: JudgedRows, good: np.ndarray, rules: Rules) -> pa.Table:
    """LANDED_ROWS of the readings at ``good`` (positions in the file's order), sorted by meter, time and row.

    Words that repeat are dictionaries: a file of ten million rows holds its own name once.
    """
    order, meter, place = _sorted_by_meter_and_time(judged, good)
    registers = judged.route.any()
    kind = (judged.route[order] == REGISTER).astype(np.int8) if registers else np.zeros(len(order), dtype=np.int8)
    columns = _common(file_id, name, judged, order, place, rules) | {
        "meter_id": pa.DictionaryArray.from_arrays(pa.array(meter), rules.meters.ids),
        "kind": pa.DictionaryArray.from_arrays(pa.array(kind), pa.array(["interval", "register"])),
    }
    return pa.table({column: columns[column] for column in LANDED_ROWS.columns})


def _sorted_by_meter_and_time(judged: JudgedRows, good: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``good`` sorted by meter, time and itself, with the meter and the place in time of each.

    The three are packed into one integer, so that one sort does and the sorted meters need not be gathered.
    """
    meter, place = judged.meter[good], judged.place[good]
    times, rank = np.unique(judged.instants, return_inverse=True)  # an instant may be written in two ways
    time_bits, row_bits = len(times).bit_length(), int(good.max(initial=0)).bit_length()
    if int(meter.max(initial=0)).bit_length() + time_bits + row_bits > 62:
        order = good[np.lexsort((good, rank[place], meter))]
        return order, judged.meter[order], judged.place[order]
    packed = meter.astype(np.int64)
    packed <<= time_bits
    packed |= rank[place]
    packed <<= row_bits
    packed |= good
    packed.sort()
    order = packed & ((1 << row_bits) - 1)
    packed >>= row_bits
    if len(times) == len(judged.instants):
        place = np.argsort(judged.instants).astype(np.int32)[packed & ((1 << time_bits) - 1)]
    else:
        place = judged.place[order]
    packed >>= time_bits
    return order, packed.astype(np.int32), place


def measurement_rows(file_id: str, name: str, judged: JudgedRows, good: np.ndarray, rules: Rules) -> pa.Table:
    """LANDED_MEASUREMENTS of the readings at ``good``, sorted by device, quantity, time and row."""
    subject, meanings = judged.cells.subject, judged.meanings
    quantities = meanings.each("quantity")
    by = (good, _rank(judged.instants)[judged.place[good]], _rank(quantities)[meanings.codes[good]], _rank_of_words(subject)[good])
    order = good[np.lexsort(by)]
    columns = _common(file_id, name, judged, order, judged.place[order], rules) | {
        "device_id": pa.DictionaryArray.from_arrays(pa.array(subject.codes[order]), subject.words),
        "quantity": pa.DictionaryArray.from_arrays(pa.array(meanings.codes[order]), meanings.words("quantity")),
    }
    return pa.table({column: columns[column] for column in LANDED_MEASUREMENTS.columns})


def _common(file_id: str, name: str, judged: JudgedRows, order: np.ndarray, place: np.ndarray, rules: Rules) -> dict[str, pa.Array]:
    days = pa.DictionaryArray.from_arrays(pa.array(judged.day_of_place.astype(np.int32)[place]), pa.array(rules.days.days, pa.date32()))
    received = judged.received[order] if isinstance(judged.received, np.ndarray) else np.full(len(order), judged.received, dtype=np.int64)
    units = judged.meanings.words("unit")
    codes = judged.meanings.codes[order] if len(units) > 1 else np.zeros(len(order), dtype=np.int8)
    return {
        "file_id": _one_word(file_id, len(order)), "source_file": _one_word(name, len(order)),
        "source_row": pa.array(judged.cells.source_row[order]), "day": days.dictionary_decode(),
        "read_utc": pa.array(judged.instants[place]).cast(TIMESTAMP), "value": pa.array(judged.value[order]),
        "unit": pa.DictionaryArray.from_arrays(pa.array(codes), units), "received_utc": pa.array(received).cast(TIMESTAMP),
    }  # fmt: skip


def _one_word(word: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([word]))


def _rank(words: np.ndarray) -> np.ndarray:
    """The place of each word among the distinct ones, sorted."""
    return np.unique(words, return_inverse=True)[1]


def _rank_of_words(column: Coded) -> np.ndarray:
    return _rank(np.array(column.words.to_pylist(), dtype=object))[column.codes]


def rejected_rows(
    file_id: str, name: str, judged: JudgedRows, refused: np.ndarray, broken: Sequence[BrokenRow], received: datetime
) -> pa.Table:
    """REJECTED_READINGS of the refused readings and of the rows that are not even cells."""
    rows = judged.cells.source_row[refused]
    rules, reasons, codes = judged.refusals.told(refused)
    arrived = (
        judged.received[refused] if isinstance(judged.received, np.ndarray) else np.full(len(refused), judged.received, dtype=np.int64)
    )
    cells = pd.Series(codes).groupby([rows, np.array(rules, dtype=object)[codes] if rules else codes]).cumcount().to_numpy() + 1
    texts = [pa.array([judged.cells.raw_text(int(row)) for row in rows[at : at + CHUNK]], pa.string()) for at in range(0, len(rows), CHUNK)]
    refusals = {
        "source_row": pa.array(rows), "source_cell": pa.array(cells), "rule": _by_code(codes, rules), "reason": _by_code(codes, reasons),
        "raw_text": pa.chunked_array(texts, pa.string()), "received_utc": pa.array(arrived).cast(TIMESTAMP),
    }  # fmt: skip
    whole = [rejected_row(file_id, name, one.source_row, one.rule, one.reason, one.text, received, 1) for one in broken]
    table = coded_rejections({"file_id": _one_word(file_id, len(rows)), "source_file": _one_word(name, len(rows)), **refusals})
    return pa.concat_tables([table, *whole]) if whole else table


def rejected_row(file_id: str, name: str, row: int, rule: str, reason: str, text: str, received: datetime, cell: int = 0) -> pa.Table:
    """A row of REJECTED_READINGS; row 0 is the file as a whole."""
    values = {"file_id": file_id, "source_file": name, "source_row": row, "source_cell": cell, "rule": rule, "reason": reason,
              "raw_text": text, "received_utc": pd.Timestamp(received)}  # fmt: skip
    return coded_rejections({key: pa.array([value]) for key, value in values.items()})


def coded_rejections(columns: pa.Table | dict[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """REJECTED_READINGS with its words as dictionaries, so that a file of millions of refused rows holds its reasons once."""
    made = []
    for declared in REJECTED_READINGS.fields:
        coded = pa.types.is_string(declared.type) and declared.name != "raw_text"
        made.append(columns[declared.name].cast(pa.dictionary(pa.int32(), pa.string()) if coded else declared.type))
    return pa.table(made, names=REJECTED_READINGS.columns)


def _by_code(codes: np.ndarray, words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words, pa.string()))
