"""What a row must pass on arrival: readable, of a known unit, of a meter in force, of a day of the site, not of the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import ReadingsInput
from grid_assets.foundation.units import READING_UNITS
from grid_assets.metering.file_formats import Cells
from grid_assets.metering.stamps import NO_TIME, instants_of, microseconds

SECOND = 1_000_000
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class SiteDays:
    """The site's days as arrays of UTC microseconds, for many rows at once."""

    days: tuple[date, ...]
    midnights: np.ndarray
    """First instant of every day, and of the day after the last: one more than days."""
    issue_times: np.ndarray
    interval: int

    @classmethod
    def of(cls, clock: SiteCalendar, last: date) -> SiteDays:
        """The days from the calendar's first to ``last``, or to the calendar's own last day."""
        last = clock.last_day or max(last, clock.first_day)
        days = tuple(clock.first_day + timedelta(days=n) for n in range((last - clock.first_day).days + 1))
        midnights = [microseconds(clock.midnight(day)) for day in (*days, last + timedelta(days=1))]
        issued = [microseconds(clock.issue_time(day)) for day in days]
        return cls(days, np.array(midnights), np.array(issued), clock.interval_minutes * 60 * SECOND)

    def index_of(self, instants: np.ndarray) -> np.ndarray:
        """Position of each instant's day; -1 before the first day and len(days) after the last."""
        return np.searchsorted(self.midnights, instants, side="right") - 1

    def arrival_index_of(self, received: np.ndarray) -> np.ndarray:
        """Position of the day whose run first sees what was received then; len(days) after the last run."""
        return np.searchsorted(self.issue_times, received, side="left")


@dataclass
class JudgedRows:
    """A file's readings after the rules of arrival. All arrays have one entry per reading of the file."""

    source_row: np.ndarray
    meter_id: pa.Array
    read: np.ndarray
    """Interval start, UTC microseconds; NO_TIME where unreadable."""
    value: np.ndarray
    unit: pa.Array
    day_index: np.ndarray
    received: np.ndarray
    refused: dict[int, tuple[str, str]]
    """Position -> rule, reason."""


class _Refusals:
    """The first rule that each row fails."""

    def __init__(self, rows: int):
        self.failed = np.zeros(rows, dtype=bool)
        self.found: dict[int, tuple[str, str]] = {}

    def add(self, rule: str, wrong: np.ndarray, reason: Callable[[int], str]) -> None:
        for i in np.flatnonzero(wrong & ~self.failed).tolist():
            self.found[i] = (rule, reason(i))
        self.failed |= wrong


def judge(
    cells: Cells, source: ReadingsInput, clock: SiteCalendar, days: SiteDays, meters: pd.DataFrame, received: int | None
) -> JudgedRows:
    """Judges every reading of a file.

    ``received`` is the file's arrival in UTC microseconds; None for an archive, where each row arrives
    ``arrival_delay_minutes`` after its interval's end.
    """
    refusals = _Refusals(len(cells))
    value = _numbers(cells, refusals)
    read = _times(cells, source, days, refusals)
    _check_kind(cells, refusals)
    unit = _units(cells, source, refusals)
    day_index = days.index_of(read)
    in_calendar = (day_index >= 0) & (day_index < len(days.days))
    if received is None:
        delay = source.arrival_delay_minutes * 60 * SECOND
        arrived = np.where(read == NO_TIME, days.issue_times[0], read + days.interval + delay)
    else:
        arrived = np.full(len(cells), received, dtype=np.int64)
    day_start = days.midnights[np.clip(day_index, 0, len(days.days))]
    _check_meters(cells.meter_id, day_start, meters, in_calendar, refusals)
    late = (read != NO_TIME) & (read + days.interval > arrived)
    refusals.add(
        "clock",
        late,
        lambda i: (
            f"the interval from {_shown(read[i])} ends after the arrival at {_shown(arrived[i])}; is the meter's clock or the input's time zone right?"
        ),
    )
    shown = f"{days.days[0]} to {days.days[-1]}"
    refusals.add(
        "calendar", ~in_calendar, lambda i: f"{_shown(read[i])} is outside the site's days, {shown}; see [calendar] in the site file"
    )
    off_grid = (read - day_start) % days.interval != 0
    refusals.add(
        "clock",
        off_grid,
        lambda i: (
            f"{_shown(read[i])} is not on the site's grid of {clock.interval_minutes} minutes from midnight; see interval_minutes and the input's stamp"
        ),
    )
    return JudgedRows(cells.source_row, cells.meter_id, read, value, unit, day_index, arrived, refusals.found)


def _numbers(cells: Cells, refusals: _Refusals) -> np.ndarray:
    """The values as float64; what is no finite number is refused."""
    if pa.types.is_floating(cells.value.type):
        made = pc.fill_null(cells.value, np.nan).to_numpy()
    else:
        trimmed = pc.utf8_trim_whitespace(pc.fill_null(cells.value.cast(pa.string()), ""))
        number = pc.match_substring_regex(trimmed, NUMBER)
        made = pc.cast(pc.if_else(number, trimmed, "nan"), pa.float64()).to_numpy()
    refusals.add("parse", ~np.isfinite(made), lambda i: f"the value {_text(cells.value, i)!r} is no finite number")
    return made


def _times(cells: Cells, source: ReadingsInput, days: SiteDays, refusals: _Refusals) -> np.ndarray:
    from zoneinfo import ZoneInfo

    read, reasons = instants_of(cells.time, cells.meter_id, ZoneInfo(source.clock))
    refusals.add("parse", read == NO_TIME, lambda i: reasons[i])
    if source.stamp == "end":
        read = np.where(read == NO_TIME, NO_TIME, read - days.interval)
    return read


def _check_kind(cells: Cells, refusals: _Refusals) -> None:
    if cells.kind is None:
        return
    kind = pc.utf8_trim_whitespace(pc.fill_null(cells.kind.cast(pa.string()), ""))
    other = pc.invert(pc.is_in(kind, pa.array(["interval", ""]))).to_numpy(zero_copy_only=False)
    refusals.add("parse", other, lambda i: f"kind {_text(kind, i)!r}: only interval readings can be taken, register reads not yet")


def _units(cells: Cells, source: ReadingsInput, refusals: _Refusals) -> pa.Array:
    if cells.unit is None:
        return pa.repeat(pa.scalar(source.unit), len(cells))
    unit = pc.utf8_trim_whitespace(pc.fill_null(cells.unit.cast(pa.string()), ""))
    if source.unit is not None:
        unit = pc.if_else(pc.equal(unit, ""), source.unit, unit)
    unknown = pc.invert(pc.is_in(unit, pa.array(READING_UNITS))).to_numpy(zero_copy_only=False)
    refusals.add("unit", unknown, lambda i: f"unknown unit {_text(unit, i)!r}; known are {', '.join(READING_UNITS)}")
    return unit


def _check_meters(ids: pa.Array, day_start: np.ndarray, meters: pd.DataFrame, in_calendar: np.ndarray, refusals: _Refusals) -> None:
    """Refuses rows of meters that the register does not know, or that are not in force when the row's day begins."""
    position = {meter: n for n, meter in enumerate(dict.fromkeys(meters["meter_id"]))}
    coded = pc.dictionary_encode(pc.fill_null(ids, ""))
    known = np.array([position.get(one, -1) for one in coded.dictionary.to_pylist()] or [-1], dtype=np.int64)
    codes = known[coded.indices.to_numpy()]
    refusals.add(
        "unknown_meter",
        codes < 0,
        lambda i: f"meter {_text(ids, i)!r} is not in the register meters.csv; add it there, or correct the file",
    )
    in_force = np.zeros(len(codes), dtype=bool)
    period = meters.groupby("meter_id", sort=False).cumcount()
    for _, layer in meters.groupby(period, sort=True):
        begins = np.full(len(position), np.iinfo(np.int64).max)
        ends = np.full(len(position), np.iinfo(np.int64).max)
        at = layer["meter_id"].map(position).to_numpy()
        begins[at] = _microseconds(layer["valid_from_utc"])
        ended = layer["valid_to_utc"].notna().to_numpy()
        ends[at[ended]] = _microseconds(layer["valid_to_utc"][ended])
        in_force |= (begins[codes] <= day_start) & (day_start < ends[codes])
    outside = in_calendar & (codes >= 0) & ~in_force
    refusals.add(
        "unknown_meter",
        outside,
        lambda i: (
            f"meter {_text(ids, i)!r} is not in force when the day begins at {_shown(day_start[i])}; see valid_from_utc and valid_to_utc in meters.csv"
        ),
    )


def _microseconds(times: pd.Series) -> np.ndarray:
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64)


def _shown(instant: int) -> str:
    return "an unknown time" if instant == NO_TIME else f"{np.datetime64(int(instant), 'us').astype('datetime64[s]')}Z"


def _text(values: pa.Array, i: int) -> str:
    value = values[i].as_py()
    return "" if value is None else str(value)[:60]
