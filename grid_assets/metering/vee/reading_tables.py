"""A day's matrices as the tables that are published. Text is dictionary-encoded: a day of 20,000 meters has two million cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.tables import TIMESTAMP
from grid_assets.metering.tables import EDITED_READINGS, FAILED_READINGS, METER_DAYS
from grid_assets.metering.vee import quality_codes as codes
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.day_in_making import DayFlags, Matrices
from grid_assets.metering.vee.day_profiles import row_sums
from grid_assets.metering.vee.editing import ACCEPT, ACTIONS, REJECT, REPLACE, Corrections
from grid_assets.metering.vee.estimation import Estimates
from grid_assets.metering.vee.newest_arrivals import PUBLISHED, REJECTED, SUPERSEDED, Arrivals, encoded
from grid_assets.metering.vee.validation import BITS, UNREASONABLE, longest_run

SCALE_REASON = "the day's values stand near 1000 times the usual: sent in Wh, said to be kWh"
SCALE_TEST = "scale test"


@dataclass
class Words:
    """Codes of each cell's words, (meters, intervals) each."""

    quality: np.ndarray
    method: np.ndarray
    code: np.ndarray
    """Place in quality_codes.CODES."""


def outcomes(arrivals: Arrivals, day: Matrices, edits: Corrections | None) -> np.ndarray:
    """What became of every raw row. A register read is refused with the interval that only it tells; read for a check, for the
    next difference or for a total it is published. A value that a correction replaced is superseded.
    """
    made = np.full(len(arrivals.row), SUPERSEDED, dtype=np.int8)
    made[arrivals.newest & ~arrivals.placed] = REJECTED
    at, cell = arrivals.intervals
    made[at] = _outcome_of(cell, day, edits)
    at, cell = arrivals.registers
    if len(at):
        told = np.isin(cell, np.concatenate([day.by_register, day.exchanged]))
        made[at] = np.where(told, _outcome_of(cell, day, edits), PUBLISHED)
    return made


def _outcome_of(cell: np.ndarray, day: Matrices, edits: Corrections | None) -> np.ndarray:
    """What becomes of the rows that tell these cells."""
    refused = day.failures != 0
    if edits is None:
        return np.where(refused.ravel()[cell], np.int8(REJECTED), np.int8(PUBLISHED))
    accepted = edits.cell[edits.of(ACCEPT)]
    refused.ravel()[accepted[~np.isnan(day.arrived.ravel()[accepted])]] = False  # of an exchange there is no value to accept
    replaced = np.zeros(refused.size, dtype=bool)
    replaced[edits.cell[edits.of(REPLACE)]] = True
    kept = np.where(replaced[cell], np.int8(SUPERSEDED), np.int8(PUBLISHED))
    return np.where(refused.ravel()[cell], np.int8(REJECTED), kept)


def published_words(day: Matrices, made: Estimates, edits: Corrections | None, touched: np.ndarray | None) -> Words:
    """Quality, method and IEC code of every cell; ``touched``: the cells that an outage touches."""
    known = ~np.isnan(day.valid)
    quality = np.where(known, codes.MEASURED, np.where(np.isnan(made.energy), codes.MISSING, codes.ESTIMATED)).astype(np.int8)
    method = made.method
    told = day.by_register[known.ravel()[day.by_register]]
    method.ravel()[told] = codes.REGISTER
    for row in day.scaled:
        quality[row, known[row]], method[row, known[row]] = codes.EDITED, codes.SCALED_WH
    if edits is not None:
        cells = np.concatenate([edits.cell[edits.of(REPLACE)], _accepted(day, edits)[1]])
        quality.ravel()[cells], method.ravel()[cells] = codes.EDITED, codes.CORRECTION
    code = _code(quality, method, day.failures, (day.arrived == 0) & touched if touched is not None else None)
    for row in day.unconfirmed:
        code[row, method[row] == codes.SCALED_WH] = codes.CODES.index(codes.UNCONFIRMED)
    return Words(quality, method, code)


def _accepted(day: Matrices, edits: Corrections) -> tuple[np.ndarray, np.ndarray]:
    """Accepted values that would have been refused or scaled: their positions among the edits, and their cells."""
    at = edits.of(ACCEPT)
    cell = edits.cell[at]
    needed = (day.failures.ravel()[cell] != 0) | np.isin(cell // day.arrived.shape[1], day.scaled)
    needed &= ~np.isnan(day.arrived.ravel()[cell])
    return at[needed], cell[needed]


def _code(quality: np.ndarray, method: np.ndarray, failures: np.ndarray, power_failed: np.ndarray | None) -> np.ndarray:
    place = {code: n for n, code in enumerate(codes.CODES)}
    look_up = np.zeros((len(codes.QUALITIES), len(codes.METHODS)), dtype=np.int8)
    for one in range(len(codes.QUALITIES)):
        for how in codes.ESTIMATED_CODES if one == codes.ESTIMATED else range(len(codes.METHODS)):
            look_up[one, how] = place[codes.code_of(one, how)]
    made = look_up.ravel()[quality * np.int8(len(codes.METHODS)) + method]
    refused = np.nonzero((quality == codes.MISSING) & (failures != 0))
    unreasonable = (failures[refused] & UNREASONABLE) != 0
    told = [place[codes.code_of(codes.MISSING, codes.AS_ARRIVED, refused=one)] for one in (codes.FAILED, codes.REASONABILITY)]
    made[refused] = np.where(unreasonable, told[1], told[0])
    if power_failed is not None:
        made[power_failed & (quality == codes.MEASURED)] = place[codes.POWER_FAIL]
    return made


def worded(values: np.ndarray, words: Sequence[str | None]) -> pa.DictionaryArray:
    """Codes as their words; a code whose word is None is null."""
    absent = np.array([word is None for word in words])
    mask = absent[values] if absent.any() else None
    return pa.DictionaryArray.from_arrays(pa.array(values, mask=mask), pa.array([word or "" for word in words], pa.string()))


def rules_text(bits: np.ndarray) -> pa.DictionaryArray:
    """The names of the rules in each mask, in the order of validation.RULES; null where there are none."""
    place = np.zeros(1 << len(BITS), dtype=np.int16)
    distinct = np.flatnonzero(np.bincount(bits, minlength=1))
    place[distinct] = np.arange(len(distinct))
    told = [" ".join(rule for rule, bit in BITS.items() if mask & bit) or None for mask in distinct.tolist()]
    return worded(place[bits], told)


def readings(grid: DayGrid, day: Matrices, made: Estimates, words: Words) -> pa.Table:
    """READINGS: a row per meter and interval, sorted."""
    meters, intervals = grid.shape
    bits = day.failures.ravel()
    return pa.table(
        {
            "meter_id": pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(meters, dtype=np.int32), intervals)), grid.ids),
            "start_utc": pa.array(np.tile(_microseconds(grid), meters)).cast(TIMESTAMP),
            "energy_kwh": pa.array(made.energy.ravel(), from_pandas=True),
            "quality": worded(words.quality.ravel(), codes.QUALITIES),
            "method": worded(words.method.ravel(), codes.METHODS),
            "rule_failures": rules_text(bits),
            "quality_code": worded(words.code.ravel(), codes.CODES),
            "error_kwh": pa.array(made.error.ravel(), from_pandas=True),
        }
    )


def _microseconds(grid: DayGrid) -> np.ndarray:
    return grid.first_microsecond + np.arange(grid.shape[1]) * round(grid.hours * 3_600_000_000)


def failed(grid: DayGrid, raw: pa.Table, arrivals: Arrivals, day: Matrices, outcome: np.ndarray) -> pa.Table:
    """FAILED_READINGS, sorted: the newest rows that were refused. A register read that has no interval is told an instant early,
    at its interval's end.
    """
    intervals = grid.shape[1]
    at = np.flatnonzero(outcome == REJECTED)
    rows = raw.select(["meter_id", "read_utc", "value", "file_id", "source_file", "source_row"]).take(pa.array(at))
    placed = arrivals.placed[at]
    cell = np.where(placed, arrivals.cell[at], 0)
    start = rows["read_utc"].cast(TIMESTAMP).cast(pa.int64()).to_numpy() - arrivals.is_register[at]
    kwh = np.where(np.isnan(arrivals.kwh[at]), rows["value"].to_numpy(), arrivals.kwh[at])
    bits = np.where(arrivals.row[at] < 0, BITS["not_in_force"], BITS["off_interval"]).astype(np.uint16)
    if placed.any():
        start = np.where(placed, grid.first_microsecond + cell % intervals * round(grid.hours * 3_600_000_000), start)
        kwh = np.where(placed, _claimed(day, arrivals, at, cell), kwh)
        bits = np.where(placed, day.failures.ravel()[cell], bits)
    made = {
        "meter_id": rows["meter_id"], "start_utc": pa.array(start).cast(TIMESTAMP), "arrived_kwh": kwh, "rules": rules_text(bits),
        "file_id": rows["file_id"], "source_file": rows["source_file"], "source_row": rows["source_row"],
    }  # fmt: skip
    return FAILED_READINGS.conform(pa.table(made))


def _claimed(day: Matrices, arrivals: Arrivals, at: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The energy that refused rows stood for, before any scaling: of a register read the difference."""
    kwh = day.arrived.ravel()[cell]
    kwh = np.where(np.isin(cell // day.arrived.shape[1], day.scaled), kwh * 1000.0, kwh)
    kwh = np.where(arrivals.is_register[at], kwh, arrivals.kwh[at])
    order = np.argsort(day.exchanged)
    if len(order):
        there = np.clip(np.searchsorted(day.exchanged[order], cell), 0, len(order) - 1)
        matches = (day.exchanged[order][there] == cell) & arrivals.is_register[at]
        kwh = np.where(matches, day.exchanged_kwh[order][there], kwh)
    return kwh


def file_days(raw: pa.Table, outcome: np.ndarray) -> pa.Table:
    """FILE_DAYS of the shard: rows = published + rejected + superseded, per file."""
    file, ids = encoded(raw["file_id"])
    counts = np.bincount(file * 3 + outcome, minlength=3 * len(ids)).reshape(-1, 3)
    first = np.zeros(len(ids), dtype=np.int32)
    first[file] = np.arange(len(file), dtype=np.int32)  # any row of the file will do
    held = np.flatnonzero(counts.sum(axis=1))
    made = {
        "file_id": ids.take(pa.array(held)), "source_file": pc.cast(raw["source_file"].take(pa.array(first[held])), pa.string()),
        "rows": counts[held].sum(axis=1), "published": counts[held, PUBLISHED], "rejected": counts[held, REJECTED],
        "superseded": counts[held, SUPERSEDED],
    }  # fmt: skip
    return pa.table(made)


def edited(grid: DayGrid, day: Matrices, made: Estimates, words: Words, edits: Corrections | None) -> pa.Table:
    """EDITED_READINGS, sorted: what the scale test and the analysts changed."""
    intervals = grid.shape[1]
    frames = [_scaled(grid, day, words)]
    if edits is not None and len(edits.cell):
        arrived = day.arrived.ravel()
        at = np.concatenate(
            [edits.of(REPLACE), _accepted(day, edits)[0], edits.of(REJECT)[~np.isnan(arrived[edits.cell[edits.of(REJECT)]])]]
        )
        cell, rows = edits.cell[at], edits.rows.iloc[edits.source[at]]
        said = {code: action for action, code in ACTIONS.items()}
        frames.append(
            pd.DataFrame(
                {
                    "cell": cell, "replaced_kwh": _before_scaling(day, cell), "energy_kwh": made.energy.ravel()[cell],
                    "method": codes.METHODS[codes.CORRECTION], "correction_id": rows["correction_id"].to_numpy(),
                    "author": rows["author"].to_numpy(), "entered_utc": rows["entered_utc"].to_numpy(),
                    "reason": [f"{said[action]}: {reason}" for action, reason in zip(edits.action[at].tolist(), rows["reason"], strict=True)],
                }
            )
        )  # fmt: skip
    whole = pd.concat([one for one in frames if len(one)], ignore_index=True) if any(map(len, frames)) else pd.DataFrame()
    if not len(whole):
        return EDITED_READINGS.empty()
    cells = whole.pop("cell").to_numpy()
    whole["meter_id"] = grid.meters["meter_id"].to_numpy()[cells // intervals]
    whole["start_utc"] = grid.starts[cells % intervals]
    whole["entered_utc"] = pd.to_datetime(whole["entered_utc"], utc=True)
    return EDITED_READINGS.conform(whole)


def _scaled(grid: DayGrid, day: Matrices, words: Words) -> pd.DataFrame:
    row, column = np.nonzero(words.method[day.scaled] == codes.SCALED_WH)
    cell = day.scaled[row] * grid.shape[1] + column
    return pd.DataFrame(
        {
            "cell": cell, "replaced_kwh": day.original[row, column], "energy_kwh": day.valid.ravel()[cell],
            "method": codes.METHODS[codes.SCALED_WH], "correction_id": None, "author": SCALE_TEST, "entered_utc": pd.NaT,
            "reason": SCALE_REASON,
        }
    )  # fmt: skip


def _before_scaling(day: Matrices, cell: np.ndarray) -> np.ndarray:
    """What arrived in these cells, kWh as they said."""
    kwh = day.arrived.ravel()[cell].copy()
    for n, (row, column) in enumerate(zip(*np.divmod(cell, day.arrived.shape[1]), strict=True)):
        at = np.searchsorted(day.scaled, row)
        if at < len(day.scaled) and day.scaled[at] == row:
            kwh[n] = day.original[at, column]
    return kwh


def meter_days(grid: DayGrid, day: Matrices, made: Estimates, words: Words, told: DayFlags) -> pa.Table:
    """METER_DAYS: a row per meter in force."""
    expected = grid.shape[1]
    valid = np.count_nonzero(~np.isnan(day.valid), axis=1)
    energy, published = row_sums(made.energy)
    meters = grid.meters
    return METER_DAYS.conform(
        pa.table(
            {
                "meter_id": grid.ids, "day": pa.array([grid.day] * len(meters), pa.date32()), "kind": pa.array(meters["kind"], pa.string()),
                "node_id": pa.array(meters["node_id"], pa.string()), "expected_intervals": np.full(len(meters), expected),
                "valid_intervals": valid, "valid_pct": 100.0 * valid / expected, "estimated_intervals": published - valid,
                "missing_intervals": expected - published, "energy_kwh": energy,
                "offline_longest_s": longest_run(~day.heard) * grid.hours * 3600.0, "flags": rules_text(told.bits),
                "edited_intervals": np.count_nonzero(words.quality == codes.EDITED, axis=1),
                "usual_kwh": pa.array(told.usual_kwh, from_pandas=True), "register_kwh": pa.array(told.register_kwh, from_pandas=True),
            }
        )
    )  # fmt: skip
