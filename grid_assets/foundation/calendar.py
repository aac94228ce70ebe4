"""Site-local days and what belongs to them.

An operating day is a day on the site's clock and has 23, 24 or 25 hours. The run with key D speaks of the day D, the
last complete one, and happens on the morning of D+1 at the site's issue hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pandas as pd


class CalendarError(ValueError):
    """A day that the site's calendar does not have."""


@dataclass(frozen=True)
class SiteCalendar:
    zone: ZoneInfo
    interval_minutes: int
    first_day: date
    last_day: date | None
    """None for a live calendar: the last complete day follows the clock."""
    issue_hour: int
    study_day_offset: int
    horizon_days: int = 0
    """How many days after the day of issue are forecast; at least up to the study day."""

    @property
    def interval(self) -> timedelta:
        return timedelta(minutes=self.interval_minutes)

    @property
    def interval_hours(self) -> float:
        return self.interval_minutes / 60

    def midnight(self, day: date) -> datetime:
        """The first instant of a site-local day, in UTC."""
        return datetime.combine(day, time(), tzinfo=self.zone).astimezone(UTC)

    def bounds(self, day: date) -> tuple[datetime, datetime]:
        """The day's first instant and the next day's, in UTC (left-closed)."""
        return self.midnight(day), self.midnight(day + timedelta(days=1))

    def intervals(self, first: date, last: date | None = None) -> pd.DatetimeIndex:
        """The UTC starts of all intervals of a day, or of the days first..last: 92, 96 or 100 quarter-hours a day."""
        start, end = self.midnight(first), self.midnight((last or first) + timedelta(days=1))
        return pd.date_range(start, end, freq=self.interval, inclusive="left", name="start_utc").as_unit("us")

    def local(self, instants: pd.DatetimeIndex) -> pd.DatetimeIndex:
        return instants.tz_convert(self.zone)

    def day_of(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def days_of(self, instants: pd.Series) -> pd.Series:
        """The site-local day of each instant, as dates; NaT gives NaT."""
        return instants.dt.tz_convert(self.zone).dt.date

    def issue_time(self, day: date) -> datetime:
        """When the run of ``day`` happens: the issue hour of the next local day, in UTC."""
        following = day + timedelta(days=1)
        return datetime.combine(following, time(self.issue_hour), tzinfo=self.zone).astimezone(UTC)

    def arrival_day(self, received: datetime) -> date:
        """The day whose run is the first to see what was received then: D for (issue time of D-1, issue time of D]."""
        day = self.day_of(received)
        return day - timedelta(days=1) if received <= self.issue_time(day - timedelta(days=1)) else day

    def study_day(self, day: date) -> date:
        """The day that the run of ``day`` studies and plans for."""
        return day + timedelta(days=self.study_day_offset)

    def horizon_day(self, day: date) -> date:
        """The last day that the run of ``day`` forecasts: so many days after its day of issue, and never before the study day."""
        return day + timedelta(days=max(1 + self.horizon_days, self.study_day_offset))

    def issued_in_the_course_of(self, instant: datetime) -> date:
        """The day whose run was the last to issue forecasts by an instant: its intraday forecasts correct those of that run."""
        day = self.day_of(instant) - timedelta(days=1)
        return day if self.issue_time(day) <= instant else day - timedelta(days=1)

    def last_complete_day(self, now: datetime) -> date:
        yesterday = self.day_of(now) - timedelta(days=1)
        return yesterday if self.last_day is None else min(yesterday, self.last_day)

    def day(self, key: str) -> date:
        """The day that a partition key names. Raises CalendarError for a key that is no day of this calendar."""
        try:
            day = date.fromisoformat(key)
        except ValueError as error:
            raise CalendarError(f"{key!r} is not a day; expected YYYY-MM-DD") from error
        if day < self.first_day or (self.last_day is not None and day > self.last_day):
            last = self.last_day or "yesterday"
            raise CalendarError(f"{key} is outside the site's calendar, {self.first_day} to {last}; see [calendar] in the site file")
        return day

    def history(self, day: date, days: int) -> list[date]:
        """The ``days`` days before ``day`` that the calendar has, oldest first."""
        return [one for one in days_between(day - timedelta(days=days), day - timedelta(days=1)) if one >= self.first_day]


def days_between(first: date, last: date) -> list[date]:
    """All days from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def runs_of_days(days: Sequence[date]) -> list[tuple[date, date]]:
    """Consecutive days gathered into (first, last) pairs, for ranged runs."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found
