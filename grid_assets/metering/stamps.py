"""Time stamps of meter files brought to UTC interval starts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_TIME = np.iinfo(np.int64).min
"""Stands for a stamp that is no instant; the reason is told beside it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def instants_of(stamps: pa.Array, meter_ids: pa.Array, zone: ZoneInfo) -> tuple[np.ndarray, dict[int, str]]:
    """The UTC microseconds of stamps (text in ISO 8601, or typed), and per failed position the reason.

    Stamps without an offset are times of ``zone``. One that the spring change skips is no time; one that the autumn
    change repeats is the first of the two, and the second where the meter gave it before in the file.
    """
    if pa.types.is_timestamp(stamps.type) and stamps.type.tz is not None:
        return _typed(stamps)
    if pa.types.is_timestamp(stamps.type):
        stamps = stamps.cast(pa.timestamp("us"), safe=False)
    coded = stamps.dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy().astype(np.int64)
    parsed = [_parse(text, zone) for text in coded.dictionary.to_pylist()]
    first = np.array([one[0] for one in parsed] + [NO_TIME], dtype=np.int64)
    second = np.array([one[1] for one in parsed] + [NO_TIME], dtype=np.int64)
    made = first[codes]
    repeated = np.flatnonzero(made != second[codes])
    if len(repeated):
        again = _seen_before(codes[repeated], meter_ids.take(pa.array(repeated)).to_pylist())
        made[repeated[again]] = second[codes[repeated[again]]]
    bad = np.flatnonzero(made == NO_TIME)
    return made, {int(i): parsed[codes[i]][2] if codes[i] >= 0 else "the time is empty" for i in bad}


def _typed(stamps: pa.Array) -> tuple[np.ndarray, dict[int, str]]:
    made = stamps.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
    empty = np.flatnonzero(made.is_null().to_numpy(zero_copy_only=False))
    return pc.fill_null(made, NO_TIME).to_numpy().copy(), {int(i): "the time is empty" for i in empty}


def _seen_before(codes: np.ndarray, ids: list[str | None]) -> np.ndarray:
    """Whether the same stamp of the same meter occurred earlier in the file."""
    seen: set[tuple[int, str | None]] = set()
    again = np.zeros(len(codes), dtype=bool)
    for n, key in enumerate(zip(codes.tolist(), ids, strict=True)):
        again[n] = key in seen
        seen.add(key)
    return again


def _parse(stamp: str | datetime, zone: ZoneInfo) -> tuple[int, int, str]:
    """First and second meaning of a stamp in microseconds (equal but for an hour that occurs twice), and the fault."""
    if isinstance(stamp, str):
        stamp = stamp.strip()
        if len(stamp) < 12 or not stamp.isascii():
            return NO_TIME, NO_TIME, f"{stamp[:40]!r} is no time; expected ISO 8601 such as 2016-05-25T13:30:00Z"
        try:
            when = datetime.fromisoformat(stamp)
        except ValueError:
            return NO_TIME, NO_TIME, f"{stamp[:40]!r} is no time; expected ISO 8601 such as 2016-05-25T13:30:00Z"
    else:
        when = stamp
    try:
        if when.tzinfo is not None:
            return microseconds(when), microseconds(when), ""
        first, second = (when.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return NO_TIME, NO_TIME, f"{stamp!s:.40} is beyond the calendar"
    if first.astimezone(zone).replace(tzinfo=None) != when:
        return (
            NO_TIME,
            NO_TIME,
            f"{when.isoformat()} does not exist on the clock of {zone.key}: the clocks went forward; declare the input's clock",
        )
    return microseconds(first), microseconds(second), ""


def instant_of(text: str) -> datetime:
    """An aware time from ISO 8601 text; ValueError for anything else, and for a time without an offset."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; expected a time such as 2016-05-26T07:00:00Z")
    return when.astimezone(UTC)
