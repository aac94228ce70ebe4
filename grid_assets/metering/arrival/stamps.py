"""Time stamps of meter files brought to UTC instants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.metering.arrival.cells import Coded
from grid_assets.metering.arrival.repeated_hours import FIRST, HOUR, NEAR, UNDECIDED, NearStamps, meanings_of_repeated

NO_TIME = np.iinfo(np.int64).min
"""Stands for a stamp that is no instant; the reason is told beside it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_DAY = re.compile(r"(?<![-+:.\d])24(?::00){1,2}(?:\.0+)?(?![:.\d])")
EXPECTED = "expected ISO 8601 such as 2016-05-25T13:30:00Z"


@dataclass(frozen=True)
class Stamps:
    """The distinct stamps of a file. One of the hour that occurs twice stands here three times: first meaning, second, undecided."""

    codes: np.ndarray
    """int32, for every reading which stamp it has."""
    instants: np.ndarray
    """UTC microseconds; NO_TIME where it is none."""
    reasons: list[str]
    """Why a stamp is no time; "" where it is one."""
    naive: bool
    """Whether some stamps carry no offset, so that the input's clock decided."""
    undecided_from: int
    """From this stamp on they are ones of a repeated hour that nothing decides."""


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def stamps_of(
    times: Coded,
    series: np.ndarray,
    zone: ZoneInfo,
    time_format: str | None = None,
    values: np.ndarray | None = None,
    latest: int | None = None,
) -> Stamps:
    """The instants of a file's stamps: text in ISO 8601 (or ``time_format``), or typed.

    ``series`` numbers what each reading belongs to, a meter and quantity; ``values`` are the readings. Stamps without an
    offset are times of ``zone``. One that the spring change skips is no time; which of two one means that the autumn
    change repeats is told by its neighbours, and by ``latest``, the last stamp that can have been sent (UTC microseconds).
    """
    words = times.words
    if pa.types.is_timestamp(words.type) and words.type.tz is not None:
        made = words.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
        empty = made.is_null().to_numpy(zero_copy_only=False)
        reasons = ["the time is empty" if one else "" for one in empty]
        return Stamps(times.codes, pc.fill_null(made, NO_TIME).to_numpy(), reasons, False, len(reasons))
    if pa.types.is_timestamp(words.type):
        words = words.cast(pa.timestamp("us"), safe=False)
    parsed = [_parse(one, zone, time_format) for one in words.to_pylist()]
    first = np.array([one[0] for one in parsed], dtype=np.int64)
    second = np.array([one[1] for one in parsed], dtype=np.int64)
    made = Stamps(times.codes, first, [one[2] for one in parsed], any(one[3] for one in parsed), len(parsed))
    if (first == second).all():
        return made
    return _with_repeated_hours(made, second, series, zone, np.full(len(series), np.nan) if values is None else values, latest)


def _with_repeated_hours(
    stamps: Stamps, second: np.ndarray, series: np.ndarray, zone: ZoneInfo, values: np.ndarray, latest: int | None
) -> Stamps:
    """The stamps with those of repeated hours three times: the first meaning, the second, and no time where undecided."""
    first, codes = stamps.instants, stamps.codes.copy()
    twice = np.flatnonzero(first != second)
    copies = np.full(len(first), -1, dtype=np.int32)
    copies[twice] = len(first) + np.arange(len(twice), dtype=np.int32)
    sent = np.ones(len(first), dtype=bool) if latest is None else second <= latest
    for begin, end in _changes(np.sort(first[twice])):
        near = (first >= begin - NEAR) & (second <= end + HOUR + NEAR) & (first != NO_TIME)
        wall = first.copy()
        wall[near] = [_on_the_wall(int(one), zone) for one in first[near]]
        rows, meaning = meanings_of_repeated(NearStamps(near, wall, first, second, sent), series, stamps.codes, values)
        codes[rows] = np.where(meaning == FIRST, codes[rows], copies[codes[rows]] + len(twice) * (meaning == UNDECIDED))
    instants = np.concatenate([first, second[twice], np.full(len(twice), NO_TIME)])
    undecided = [
        f"{(EPOCH + timedelta(microseconds=_on_the_wall(int(first[one]), zone))).replace(tzinfo=None).isoformat()} occurs twice on the clock of "
        f"{zone.key}, and nothing beside the row tells which is meant; ask for times with an offset, or the whole night in order"
        for one in twice
    ]
    return Stamps(codes, instants, [*stamps.reasons, *[""] * len(twice), *undecided], stamps.naive, len(first) + len(twice))


def _changes(repeated: np.ndarray) -> list[tuple[int, int]]:
    """The stretches of stamps (sorted) that each belong to one autumn change."""
    parts = np.split(repeated, np.flatnonzero(np.diff(repeated) > 24 * HOUR) + 1)
    return [(int(one[0]), int(one[-1])) for one in parts]


def _on_the_wall(instant: int, zone: ZoneInfo) -> int:
    """Microseconds since 1970 as the zone's clock shows them."""
    return microseconds((EPOCH + timedelta(microseconds=instant)).astimezone(zone).replace(tzinfo=UTC))


def _parse(stamp: str | datetime | None, zone: ZoneInfo, time_format: str | None) -> tuple[int, int, str, bool]:
    """First and second meaning of a stamp in microseconds (equal but for an hour that occurs twice), the fault, and
    whether the zone was needed."""
    if stamp is None:
        return NO_TIME, NO_TIME, "the time is empty", False
    if isinstance(stamp, str):
        stamp = stamp.strip()
        try:
            when = _read(stamp, time_format)
        except (ValueError, OverflowError):
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
    """The time of a text; 24:00 is the midnight that ends the day. ValueError where it is none."""
    try:
        return _read_as_it_is(stamp, time_format)
    except ValueError:
        midnight, found = END_OF_DAY.subn(lambda one: "00" + one[0][2:], stamp[:100])
        if found != 1:
            raise
        return _read_as_it_is(midnight, time_format) + timedelta(days=1)


def _read_as_it_is(stamp: str, time_format: str | None) -> datetime:
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
