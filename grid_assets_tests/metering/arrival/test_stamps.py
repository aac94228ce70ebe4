from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.metering.arrival.cells import Coded
from grid_assets.metering.arrival.stamps import NO_TIME, instant_of, microseconds, stamps_of

LONDON = ZoneInfo("Europe/London")
NAIVE_YEARS = (pd.Timestamp("1990-01-01").to_pydatetime(), pd.Timestamp("2037-01-01").to_pydatetime())


def instants_of(stamps, ids, zone):
    """The instant of each stamp, and why some are none."""
    made = stamps_of(Coded.of(stamps), Coded.of(ids).codes, zone)
    instants = made.instants[made.codes]
    return instants, {i: made.reasons[made.codes[i]] for i in np.flatnonzero(instants == NO_TIME).tolist()}


def told(stamps, ids=None, zone=LONDON):
    made, faults = instants_of(pa.array(stamps), pa.array(ids or ["m"] * len(stamps)), zone)
    shown = [None if one == NO_TIME else str(np.datetime64(int(one), "us").astype("datetime64[m]")) for one in made]
    return shown, faults


def test_the_hour_that_occurs_twice_is_first_then_second_per_meter():
    stamps = ["2021-10-31 00:30", "2021-10-31 01:00", "2021-10-31 01:30", "2021-10-31 01:00", "2021-10-31 01:30", "2021-10-31 02:00"]
    shown, _ = told(stamps)
    assert [one[-5:] for one in shown] == ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]
    shown, _ = told([one for one in stamps for _ in "ab"], ["a", "b"] * 6)
    assert [one[-5:] for one in shown[::2]] == [one[-5:] for one in shown[1::2]] == ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]


H0, H1, H1_30, H2 = "00:30", "01:00", "01:30", "02:00"


@pytest.mark.parametrize(
    ("clock", "values", "latest", "expected"),
    [
        ([H1, H1_30], [1.1, 1.2], "00:31", ["00:00", "00:30"]),  # sent before the second hour had come to pass
        ([H1, H1_30, H2], [2.1, 2.2, 2.3], None, ["01:00", "01:30", "02:00"]),  # the second hour in a file of its own
        ([H0, H1, H1_30], [1, 2, 3], None, ["23:30", "00:00", "00:30"]),
        ([H2, H1_30, H1, H1_30, H1, H0], range(6), None, ["02:00", "01:30", "01:00", "00:30", "00:00", "23:30"]),
        ([H2, H1_30, H1], range(3), None, ["02:00", "01:30", "01:00"]),
        ([H0, H1, H1, H1_30], [1, 2, 2, 3], None, ["23:30", "00:00", "00:00", "00:30"]),  # a row sent twice
        (["00:00", H1, H1, H2], [0, 0, 0, 0], None, ["23:00", "00:00", "01:00", "02:00"]),  # two hours of the same value
        ([H0, H1, H1_30, H2] * 2, range(8), None, ["23:30", None, None, "02:00"] * 2),  # one of the hours is not there
        ([H0, H1, H1_30, H1, H1_30, H2] * 2, range(12), None, ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"] * 2),  # two versions
        ([H1], [1], None, [None]),
        ([H1, H1], [1, 2], None, [None, None]),
        ([H1_30, H0, H1, H2, H1, "03:00", H1_30], range(7), None, [None, "23:30", None, "02:00", None, "03:00", None]),  # in no order
    ],
)
def test_of_the_hour_that_occurs_twice_neighbours_and_arrival_tell_which_or_nothing_does(clock, values, latest, expected):
    bound = latest and microseconds(datetime.fromisoformat(f"2021-10-31T{latest}:00+00:00"))
    times = Coded.of([f"2021-10-31 {one}" for one in clock])
    made = stamps_of(times, np.zeros(len(clock), dtype=np.int64), LONDON, None, np.array(values, dtype=float), bound)
    found = made.instants[made.codes]
    assert [None if one == NO_TIME else str(np.datetime64(int(one), "us"))[11:16] for one in found] == expected
    reasons = {made.reasons[code] for code, one in zip(made.codes, found, strict=True) if one == NO_TIME}
    assert all("occurs twice on the clock of Europe/London" in one for one in reasons)
    assert all(code >= made.undecided_from for code, one in zip(made.codes, found, strict=True) if one == NO_TIME)


def test_a_hundred_thousand_meters_of_a_repeated_hour_take_no_time():
    stamps = [f"2021-10-31 {one}" for one in (H0, H1, H1_30, H1, H1_30, H2)]
    times = Coded(np.tile(Coded.of(stamps).codes, 100_000), Coded.of(stamps).words)
    begun = perf_counter()
    made = stamps_of(times, np.repeat(np.arange(100_000), 6), LONDON, None, np.random.default_rng(1).random(600_000))
    assert perf_counter() - begun < 5
    assert (np.diff(made.instants[made.codes].reshape(-1, 6), axis=1) == 1_800_000_000).all()


def test_a_time_that_the_spring_change_skips_is_no_time():
    shown, faults = told(["2021-03-28T01:30", "2021-03-28T02:00", "2021-03-28T00:30"])
    assert shown == [None, "2021-03-28T01:00", "2021-03-28T00:30"]
    assert "does not exist" in faults[0]


@pytest.mark.parametrize(
    "stamp", ["2021-03-27", "12:30", "", "27/03/2021 10:00", "2021-03-27T25:00Z", "9999-99-99T00:00", "٢٠٢١-03-27T10:00Z"]
)
def test_what_is_no_time_is_told(stamp):
    shown, faults = told([stamp])
    assert shown == [None]
    assert "no time" in faults[0]


@pytest.mark.parametrize(
    ("stamp", "time_format", "expected"),
    [
        ("2021-03-27 24:00", None, "2021-03-28T00:00"),
        ("2021-12-31T24:00:00Z", None, "2022-01-01T00:00"),
        ("2021-06-30T24:00:00.000+02:00", None, "2021-06-30T22:00"),
        ("2021-03-28 24:00", None, "2021-03-28T23:00"),  # the end of the day of the spring change
        ("27.03.2021 24:00", "%d.%m.%Y %H:%M", "2021-03-28T00:00"),
        ("2021-03-27 24:30", None, None),
        ("2021-03-27 24:00:01", None, None),
        ("2021-03-27 10:24:00", None, "2021-03-27T10:24"),
        ("2021-03-27 10:61+24:00", None, None),
        ("2021-02-30 24:00", None, None),
        ("9999-12-31 24:00", None, None),
    ],
)
def test_a_day_may_end_at_24_hours(stamp, time_format, expected):
    made = stamps_of(Coded.of([stamp]), np.zeros(1, dtype=np.int64), LONDON, time_format)
    assert (None if made.instants[0] == NO_TIME else str(np.datetime64(int(made.instants[0]), "us"))[:16]) == expected
    assert bool(made.reasons[0]) == (expected is None)


def test_empty_stamps_are_told():
    assert told(pa.array([None, "2021-03-27T10:00Z"]))[0] == [None, "2021-03-27T10:00"]
    made, faults = instants_of(pa.array([None, 1_000_000_000], pa.timestamp("ns", tz="UTC")), pa.array(["m", "m"]), LONDON)
    assert made.tolist() == [NO_TIME, 1_000_000]
    assert list(faults) == [0]


def test_naive_typed_stamps_are_of_the_zone():
    made, _ = instants_of(pa.array([pd.Timestamp("2021-06-01 12:00").to_pydatetime()], pa.timestamp("ns")), pa.array(["m"]), LONDON)
    assert made.tolist() == [microseconds(datetime(2021, 6, 1, 11, tzinfo=UTC))]


@given(
    st.datetimes(*NAIVE_YEARS),
    st.sampled_from(["Europe/London", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]),
)
def test_an_instant_written_with_its_offset_is_read_as_itself(naive, zone):
    when = naive.replace(tzinfo=UTC)
    written = [when.isoformat(), when.isoformat().replace("+00:00", "Z"), when.astimezone(ZoneInfo(zone)).isoformat()]
    made, faults = instants_of(pa.array(written), pa.array(["m"] * 3), LONDON)
    assert made.tolist() == [pd.Timestamp(when).value // 1000] * 3
    assert faults == {}


def test_a_known_until_needs_an_offset():
    assert instant_of("2021-03-27T10:00:00+01:00") == datetime(2021, 3, 27, 9, tzinfo=UTC)
    with pytest.raises(ValueError, match="has no offset"):
        instant_of("2021-03-27T10:00:00")
