"""Judged readings as rows of the tables: staged energy, staged measurements, and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.metering.arrival_rules import REGISTER, JudgedRows, Rules
from grid_assets.metering.cells import BrokenRow
from grid_assets.metering.tables import LANDED_MEASUREMENTS, LANDED_ROWS

TIMESTAMP = pa.timestamp("us", tz="UTC")


def energy_rows(file_id: str, name: str, judged: JudgedRows, good: np.ndarray, rules: Rules) -> pa.Table:
    """LANDED_ROWS of the readings at ``good`` (positions in the file's order), sorted by meter, time and row.

    Words that repeat are dictionaries: a file of ten million rows holds its own name once.
    """
    order = _order([judged.meter[good], _rank(judged.instants)[judged.place[good]]], good)
    kinds = pa.array(["interval", "register"])
    columns = _common(file_id, name, judged, order, rules) | {
        "meter_id": pa.DictionaryArray.from_arrays(pa.array(judged.meter[order]), rules.meters.ids),
        "kind": pa.DictionaryArray.from_arrays(pa.array((judged.route[order] == REGISTER).astype(np.int8)), kinds),
    }
    return pa.table({column: columns[column] for column in LANDED_ROWS.columns})


def measurement_rows(file_id: str, name: str, judged: JudgedRows, good: np.ndarray, rules: Rules) -> pa.Table:
    """LANDED_MEASUREMENTS of the readings at ``good``, sorted by device, quantity, time and row."""
    subject, meanings = judged.cells.subject, judged.meanings
    quantities = meanings.each("quantity")
    keys = [
        _rank(np.array(subject.words.to_pylist(), dtype=object))[subject.codes[good]], _rank(quantities)[meanings.codes[good]],
        _rank(judged.instants)[judged.place[good]],
    ]  # fmt: skip
    order = _order(keys, good)
    columns = _common(file_id, name, judged, order, rules) | {
        "device_id": pa.DictionaryArray.from_arrays(pa.array(subject.codes[order]), subject.words),
        "quantity": pa.DictionaryArray.from_arrays(pa.array(meanings.codes[order]), meanings.words("quantity")),
    }
    return pa.table({column: columns[column] for column in LANDED_MEASUREMENTS.columns})


def _common(file_id: str, name: str, judged: JudgedRows, order: np.ndarray, rules: Rules) -> dict[str, pa.Array]:
    days = pa.array(rules.days.days, pa.date32())
    received = judged.received if isinstance(judged.received, np.ndarray) else np.array([judged.received])
    return {
        "file_id": _one_word(file_id, len(order)), "source_file": _one_word(name, len(order)),
        "source_row": pa.array(judged.cells.source_row[order]), "day": days.take(pa.array(judged.day_index[order])),
        "read_utc": pa.array(judged.instants[judged.place[order]]).cast(TIMESTAMP), "value": pa.array(judged.value[order]),
        "unit": pa.DictionaryArray.from_arrays(pa.array(judged.meanings.codes[order]), judged.meanings.words("unit")),
        "received_utc": pa.array(received[order] if len(received) > 1 else np.full(len(order), received[0])).cast(TIMESTAMP),
    }  # fmt: skip


def _one_word(word: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([word]))


def _rank(words: np.ndarray) -> np.ndarray:
    """The place of each word among the distinct ones, sorted."""
    return np.unique(words, return_inverse=True)[1].astype(np.int64)


def _order(keys: Sequence[np.ndarray], good: np.ndarray) -> np.ndarray:
    """``good``, sorted by small whole numbers and then by itself: one sort of packed integers where they fit."""
    packed = keys[0].astype(np.int64)
    size = int(packed.max(initial=0)) + 1
    for key in [*keys[1:], good]:
        width = int(key.max(initial=0)) + 1
        size *= width
        if size >= 2**63:
            return good[np.lexsort([good, *reversed(keys)])]
        packed = packed * width + key
    if len(packed) < 2 or bool((packed[1:] > packed[:-1]).all()):
        return good
    return np.sort(packed) % (int(good.max(initial=0)) + 1)


def rejected_rows(
    file_id: str, name: str, judged: JudgedRows, refused: np.ndarray, broken: Sequence[BrokenRow], received: datetime
) -> list[dict]:
    """REJECTED_READINGS of the refused readings and of the rows that are not even cells."""
    made, seen = [], {}
    arrived = {}
    for i in refused.tolist():
        rule, reason = judged.refusals.of(i)
        row, at = int(judged.cells.source_row[i]), judged.received_at(i)
        cell = seen[row, rule] = seen.get((row, rule), 0) + 1
        if at not in arrived:
            arrived[at] = pd.Timestamp(at, unit="us", tz="UTC")
        made.append(rejected_row(file_id, name, row, rule, reason, judged.cells.raw_text(row), arrived[at], cell))
    when = pd.Timestamp(received)
    for one in broken:
        cell = seen[one.source_row, one.rule] = seen.get((one.source_row, one.rule), 0) + 1
        made.append(rejected_row(file_id, name, one.source_row, one.rule, one.reason, one.text, when, cell))
    return made


def rejected_row(file_id: str, name: str, row: int, rule: str, reason: str, text: str, received: pd.Timestamp, cell: int = 0) -> dict:
    """A row of REJECTED_READINGS."""
    return {"file_id": file_id, "source_file": name, "source_row": row, "source_cell": cell, "rule": rule, "reason": reason,
            "raw_text": text, "received_utc": received}  # fmt: skip
