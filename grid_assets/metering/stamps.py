"""Time stamps of meter files brought to UTC instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.metering.cells import Coded

NO_TIME = np.iinfo(np.int64).min
"""Stands for a stamp that is no instant; the reason is told beside it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXPECTED = "expected ISO 8601 such as 2016-05-25T13:30:00Z"


@dataclass(frozen=True)
class Stamps:
    """The distinct stamps of a file. A stamp of the hour that occurs twice stands here twice, the second meaning further back."""

    codes: np.ndarray
    """int32, for every reading which stamp it has."""
    instants: np.ndarray
    """UTC microseconds; NO_TIME where it is none."""
    reasons: list[str]
    """Why a stamp is no time; "" where it is one."""
    naive: bool
    """Whether some stamps carry no offset, so that the input's clock decided."""


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def stamps_of(times: Coded, series: np.ndarray, zone: ZoneInfo, time_format: str | None = None) -> Stamps:
    """The instants of a file's stamps: text in ISO 8601 (or ``time_format``), or typed.

    ``series`` numbers what each reading belongs to, a meter and quantity. Stamps without an offset are times of ``zone``. One
    that the spring change skips is no time; one that the autumn change repeats is the first of the two, and the second
    where the series had it before in the file.
    """
    words = times.words
    if pa.types.is_timestamp(words.type) and words.type.tz is not None:
        made = words.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
        empty = made.is_null().to_numpy(zero_copy_only=False)
        return Stamps(times.codes, pc.fill_null(made, NO_TIME).to_numpy(), ["the time is empty" if one else "" for one in empty], False)
    if pa.types.is_timestamp(words.type):
        words = words.cast(pa.timestamp("us"), safe=False)
    parsed = [_parse(one, zone, time_format) for one in words.to_pylist()]
    first = np.array([one[0] for one in parsed], dtype=np.int64)
    second = np.array([one[1] for one in parsed], dtype=np.int64)
    codes, naive = times.codes, any(one[3] for one in parsed)
    twice = first != second
    if twice.any():
        rows = np.flatnonzero(twice[codes])
        again = rows[_seen_before(series[rows], codes[rows])]
        place = np.full(len(first), -1, dtype=np.int32)
        place[twice] = len(first) + np.arange(int(twice.sum()), dtype=np.int32)
        codes = codes.copy()
        codes[again] = place[codes[again]]
        first = np.concatenate([first, second[twice]])
    return Stamps(codes, first, [one[2] for one in parsed] + [""] * (len(first) - len(parsed)), naive)


def _seen_before(series: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Whether the same stamp of the same series occurred earlier in the file."""
    keys = series.astype(np.int64) * (int(codes.max(initial=0)) + 1) + codes
    found, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first[which] != np.arange(len(keys)) if len(found) else np.zeros(0, dtype=bool)


def _parse(stamp: str | datetime | None, zone: ZoneInfo, time_format: str | None) -> tuple[int, int, str, bool]:
    """First and second meaning of a stamp in microseconds (equal but for an hour that occurs twice), the fault, and
    whether the zone was needed."""
    if stamp is None:
        return NO_TIME, NO_TIME, "the time is empty", False
    if isinstance(stamp, str):
        stamp = stamp.strip()
        try:
            when = _read(stamp, time_format)
        except ValueError:
            expected = f"expected a time as {time_format}" if time_format else EXPECTED
            return NO_TIME, NO_TIME, f"{stamp[:40]!r} is no time; {expected}", False
    else:
        when = stamp
    try:
        if when.tzinfo is not None:
            return microseconds(when), microseconds(when), "", False
        first, second = (when.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return NO_TIME, NO_TIME, f"{stamp!s:.40} is beyond the calendar", False
    if first.astimezone(zone).replace(tzinfo=None) != when:
        said = f"{when.isoformat()} does not exist on the clock of {zone.key}: the clocks went forward; declare the input's clock"
        return NO_TIME, NO_TIME, said, True
    return microseconds(first), microseconds(second), "", True


def _read(stamp: str, time_format: str | None) -> datetime:
    if time_format is not None:
        return datetime.strptime(stamp[:100], time_format)  # noqa: DTZ007 - the input's clock is put on where there is no zone
    if len(stamp) < 12 or not stamp.isascii():
        raise ValueError(stamp)
    return datetime.fromisoformat(stamp)


def instant_of(text: str) -> datetime:
    """An aware time from ISO 8601 text; ValueError for anything else, and for a time without an offset."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; expected a time such as 2016-05-26T07:00:00Z")
    return when.astimezone(UTC)
