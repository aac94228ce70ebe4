"""Site-local days: 23, 24 and 25 hours, issue times, arrival days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.calendar import CalendarError, SiteCalendar, days_between, runs_of_days

ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
days = st.dates(date(2009, 1, 2), date(2026, 12, 30))


def clock(zone: str = "Europe/Berlin", minutes: int = 15, last: date | None = date(2030, 1, 1)) -> SiteCalendar:
    return SiteCalendar(ZoneInfo(zone), minutes, date(2000, 1, 1), last, 9, 2)


@pytest.mark.parametrize(
    ("zone", "day", "minutes", "expected"),
    [
        ("Europe/Berlin", date(2016, 3, 27), 15, 92),
        ("Europe/Berlin", date(2016, 10, 30), 15, 100),
        ("Europe/Berlin", date(2016, 5, 24), 15, 96),
        ("Europe/London", date(2009, 3, 29), 30, 46),
        ("America/New_York", date(2016, 11, 6), 60, 25),
        ("Australia/Lord_Howe", date(2016, 4, 3), 30, 49),  # half an hour more
    ],
)
def test_intervals_of_clock_change_days(zone: str, day: date, minutes: int, expected: int):
    assert len(clock(zone, minutes).intervals(day)) == expected


@given(day=days, zone=st.sampled_from(ZONES))
def test_days_join_without_gap_or_overlap(day: date, zone: str):
    here = clock(zone, 30)
    assert here.bounds(day)[1] == here.bounds(day + timedelta(days=1))[0]
    both = here.intervals(day).append(here.intervals(day + timedelta(days=1)))
    assert both.equals(here.intervals(day, day + timedelta(days=1)))


@given(instant=st.datetimes(datetime(2009, 1, 2), datetime(2026, 1, 1), timezones=st.just(UTC)), zone=st.sampled_from(ZONES))  # noqa: DTZ001
def test_what_arrives_belongs_to_the_run_that_sees_it_first(instant: datetime, zone: str):
    here = clock(zone)
    day = here.arrival_day(instant)
    assert here.issue_time(day - timedelta(days=1)) < instant <= here.issue_time(day)


def test_issue_time_is_nine_on_the_next_local_morning():
    assert clock().issue_time(date(2016, 5, 24)) == datetime(2016, 5, 25, 7, tzinfo=UTC)
    assert clock().issue_time(date(2016, 3, 26)) == datetime(2016, 3, 27, 7, tzinfo=UTC)  # already summer time
    assert clock().issue_time(date(2016, 3, 25)) == datetime(2016, 3, 26, 8, tzinfo=UTC)


def test_days_of_are_local():
    instants = pd.Series(pd.to_datetime(["2016-05-24T21:59:00Z", "2016-05-24T22:00:00Z"]))
    assert list(clock().days_of(instants)) == [date(2016, 5, 24), date(2016, 5, 25)]


@pytest.mark.parametrize(
    ("key", "said"), [("2016-5-24x", "is not a day"), ("1999-12-31", "outside the site's calendar"), ("2031-01-01", "outside")]
)
def test_a_day_that_the_calendar_does_not_have(key: str, said: str):
    with pytest.raises(CalendarError, match=said):
        clock().day(key)


def test_history_stops_at_the_first_day():
    assert clock().history(date(2000, 1, 3), 60) == [date(2000, 1, 1), date(2000, 1, 2)]


@given(st.lists(days, max_size=30))
def test_runs_of_days_cover_each_day_once(chosen: list[date]):
    covered = [day for first, last in runs_of_days(chosen) for day in days_between(first, last)]
    assert covered == sorted(set(chosen))
    firsts = [first for first, _ in runs_of_days(chosen)]
    assert all(first - timedelta(days=1) not in covered for first in firsts)
