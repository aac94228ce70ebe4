"""A head-end's daily files with the faults that real ones have, and the truth behind each reading.

Faults of a day depend on the seed and that day alone, so any file can be made again on its own. Rates are shares of the
day's readings where nothing else is said.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

DUPLICATES, CONFLICTS, LATE = 0.005, 0.001, 0.01
SHORT_GAPS, LONG_GAPS, OFFLINE_METER_DAYS = 0.01, 0.005, 0.001
NEGATIVES, SPIKES, STUCK_METER_DAYS = 0.0002, 0.0002, 0.003
METERS_IN_WH, UNKNOWN, CORRUPT = 0.005, 0.0005, 0.0002
SHORT_LENGTHS, LONG_LENGTHS, STUCK_LENGTHS = (1, 5), (12, 48), (12, 40)
LATEST_DAYS = 3
COLUMNS = ("meter", "read_at", "value", "unit")
INTERVAL_HOURS = 0.25


@dataclass(frozen=True)
class FeedMeters:
    """The meters that report, and which of them count in Wh."""

    meter_id: np.ndarray
    rating_kw: np.ndarray
    in_wh: np.ndarray

    @classmethod
    def of(cls, meters: pd.DataFrame, seed: int) -> FeedMeters:
        chosen = np.random.default_rng([seed, 2]).choice(len(meters), max(1, round(METERS_IN_WH * len(meters))), replace=False)
        return cls(meters["meter_id"].to_numpy(object), meters["rating_kw"].to_numpy(float), np.isin(np.arange(len(meters)), chosen))


@dataclass(frozen=True)
class FeedDay:
    """The readings of a day, before they are spread over the files that carry them. Arrays are intervals x meters."""

    start_utc: pd.DatetimeIndex
    clean_kwh: np.ndarray
    sent_kwh: np.ndarray
    fault: np.ndarray
    """What happened to each reading: empty, gap, offline, stuck, spike or negative."""
    delay_days: np.ndarray
    """0: in the day's own file; 1 to 3: in the file of so many days later; -1: never."""
    extra: np.ndarray
    """0, 1: sent twice, 2: sent again with another value."""
    corrupt: np.ndarray


def feed_day(day: date, start_utc: pd.DatetimeIndex, clean_kwh: np.ndarray, meters: FeedMeters, seed: int) -> FeedDay:
    """The day's readings with their faults, from ``np.random.default_rng([seed, day.toordinal()])``."""
    rng = np.random.default_rng([seed, day.toordinal()])
    shape = clean_kwh.shape
    sent, fault = clean_kwh.copy(), np.full(shape, "", dtype=object)
    _hold(rng, sent, fault)
    spikes, negatives = rng.random(shape) < SPIKES, rng.random(shape) < NEGATIVES
    beyond = np.broadcast_to(meters.rating_kw * INTERVAL_HOURS, shape) * rng.uniform(2.5, 6.0, shape)
    sent[spikes], fault[spikes] = beyond[spikes], "spike"
    sent[negatives], fault[negatives] = -np.maximum(sent[negatives], 0.05), "negative"
    missing = _runs(rng, shape, SHORT_GAPS, SHORT_LENGTHS) | _runs(rng, shape, LONG_GAPS, LONG_LENGTHS)
    fault[missing] = "gap"
    offline = rng.random(shape[1]) < OFFLINE_METER_DAYS
    fault[:, offline] = "offline"
    delay = np.where(rng.random(shape) < LATE, rng.integers(1, LATEST_DAYS + 1, shape), 0)
    delay[missing] = -1
    delay[:, offline] = -1
    draw = rng.random(shape)
    extra = np.where(draw < CONFLICTS, 2, np.where(draw < CONFLICTS + DUPLICATES, 1, 0))
    return FeedDay(start_utc, clean_kwh, sent, fault, delay, extra, rng.random(shape) < CORRUPT)


def _hold(rng: np.random.Generator, sent: np.ndarray, fault: np.ndarray) -> None:
    """Stuck registers: a value that is sent again and again."""
    for meter in np.flatnonzero(rng.random(sent.shape[1]) < STUCK_METER_DAYS):
        length = int(rng.integers(*STUCK_LENGTHS))
        begin = int(rng.integers(0, len(sent) - length))
        sent[begin : begin + length, meter] = sent[begin, meter]
        fault[begin + 1 : begin + length, meter] = "stuck"


def _runs(rng: np.random.Generator, shape: tuple[int, int], share: float, lengths: tuple[int, int]) -> np.ndarray:
    """Runs of intervals that cover about ``share`` of all readings."""
    found = np.zeros(shape, bool)
    count = rng.poisson(share * shape[0] * shape[1] / np.mean([lengths[0], lengths[1] - 1]))
    begins, columns = rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)
    for begin, column, length in zip(begins, columns, rng.integers(*lengths, count), strict=True):
        found[begin : begin + length, column] = True
    return found


def feed_file(day: date, arriving: Sequence[FeedDay], meters: FeedMeters, seed: int) -> bytes:
    """The file that arrives after ``day``, as gzipped CSV: its readings in time, and the late ones of three days before.

    ``arriving``: the readings of the day, of the day before and so on, as far back as there are any.
    """
    rng = np.random.default_rng([seed, day.toordinal(), 1])
    parts = [_rows(one, meters, delay) for delay, one in enumerate(arriving)]
    rows = pa.concat_tables([*parts, *([_unknown(rng, parts[0])] if parts[0].num_rows else [])])
    sink = io.BytesIO()
    pacsv.write_csv(rows, sink, pacsv.WriteOptions(include_header=True, quoting_style="none"))
    return gzip.compress(sink.getvalue(), compresslevel=1, mtime=0)


def _rows(one: FeedDay, meters: FeedMeters, delay: int) -> pa.Table:
    """The rows of a day that travel in the file of ``delay`` days later, sent-again rows last."""
    interval, meter = np.nonzero(one.delay_days == delay)
    again_interval, again_meter = np.nonzero((one.delay_days == delay) & (one.extra > 0))
    other = one.extra[again_interval, again_meter] == 2
    kwh = np.concatenate(
        [one.sent_kwh[interval, meter], one.sent_kwh[again_interval, again_meter] * np.where(other, 1.07, 1) + 0.01 * other]
    )
    broken = np.concatenate([one.corrupt[interval, meter], np.zeros(len(again_interval), bool)])
    interval, meter = np.concatenate([interval, again_interval]), np.concatenate([meter, again_meter])
    stamps = one.start_utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy(object)
    in_wh = meters.in_wh[meter]
    value = pa.array(np.round(kwh * np.where(in_wh, 1000, 1), 6)).cast(pa.string()).to_numpy(zero_copy_only=False)
    value[broken] = "#ERR"
    return pa.table(
        [
            pa.array(meters.meter_id[meter]),
            pa.array(stamps[interval]),
            pa.array(value),
            pa.array(np.where(in_wh, "Wh", "kWh").astype(object)),
        ],
        names=list(COLUMNS),
    )


def _unknown(rng: np.random.Generator, rows: pa.Table) -> pa.Table:
    """Readings of meters that no register has."""
    chosen = rows.take(rng.integers(0, rows.num_rows, max(1, round(UNKNOWN * rows.num_rows))))
    strange = pa.array([f"X{number:04d}" for number in rng.integers(0, 10_000, chosen.num_rows)])
    return chosen.set_column(0, "meter", strange)


def truth(one: FeedDay, meters: FeedMeters) -> pa.Table:
    """What was really used, what was sent, and what happened in between: a row per meter and interval."""
    intervals, count = one.clean_kwh.shape
    return pa.table({
        "meter_id": pa.array(np.repeat(meters.meter_id, intervals)).dictionary_encode(),
        "start_utc": pa.array(np.tile(one.start_utc.as_unit("us").to_numpy(), count)).cast(pa.timestamp("us", tz="UTC")),
        "clean_kwh": one.clean_kwh.T.ravel(),
        "sent_kwh": pa.array(one.sent_kwh.T.ravel(), mask=(one.delay_days < 0).T.ravel()),
        "fault": pa.array(one.fault.T.ravel()).dictionary_encode(),
        "delay_days": one.delay_days.T.ravel().astype(np.int8),
        "resent": one.extra.T.ravel().astype(np.int8),
        "corrupt": one.corrupt.T.ravel(),
    })  # fmt: skip
