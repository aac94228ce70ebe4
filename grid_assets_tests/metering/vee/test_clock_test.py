"""Days that were stamped on the site's clock and called UTC are told, and days with a gap of chance are not."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.tables import METER_DAYS, RAW_READINGS
from grid_assets.metering.vee.clock_test import hours_lost, lacking_hours, lag_evidence, offset_intervals, shifted_days
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.reading_days import ShardInputs, reading_day

DAYS = 4


def days_of(meters: int, seed: int = 3) -> list[np.ndarray]:
    """A day and three like days of homes that rise in the morning and come home in the evening, 48 half-hours."""
    rng = np.random.default_rng(seed)
    hour = np.arange(48) / 2
    course = 0.2 + np.exp(-(((hour - 7.5) / 1.5) ** 2)) + 1.5 * np.exp(-(((hour - 19) / 2) ** 2))
    return [rng.lognormal(0, 0.2, (meters, 1)) * course * rng.standard_gamma(8, (meters, 48)) / 8 for _ in range(DAYS)]


def late(kwh: np.ndarray, offset: int) -> np.ndarray:
    """The day as it is seen where its stamps are ``offset`` intervals late."""
    moved = np.full_like(kwh, np.nan)
    if offset > 0:
        moved[:, offset:] = kwh[:, :-offset]
    else:
        moved[:, :offset] = kwh[:, -offset:]
    return moved


def told(day: np.ndarray, past: list[np.ndarray], offset: int) -> np.ndarray:
    return shifted_days(~np.isnan(day), day, past, offset, 0.5)


@pytest.mark.parametrize("offset", [2, 4, 11, -2, -10, -16])
def test_a_day_on_the_local_clock_is_told_east_and_west(offset):
    day, *past = days_of(200)
    wrong = np.arange(200) % 100 == 7
    day = np.where(wrong[:, None], late(day, offset), day)
    assert told(day, past, offset).tolist() == wrong.tolist()
    assert not told(day, past, -offset).any()


def test_the_same_gap_on_time_is_a_gap():
    day, *past = days_of(1000)
    day[::100, :2] = np.nan
    assert told(day, past, 2).sum() <= 1
    day[50::100] = late(day[50::100], 2)
    assert told(day, past, 2)[50::100].sum() >= 9


@pytest.mark.parametrize("gap", [1, 3, 5])
def test_a_gap_of_another_length_is_none_of_the_zones(gap):
    day, *past = days_of(100)
    day[:1] = late(day[:1], 2)
    day[:1, :gap] = np.nan
    assert told(day, past, 2).any() == (gap == 1)  # the second interval is gone too
    whole, *_ = days_of(100)
    whole[:1] = late(whole[:1], 2)
    whole[:1, 0] = 0.2
    assert not told(whole, past, 2).any()


def test_where_many_lack_the_same_hours_it_is_the_system():
    day, *past = days_of(100)
    lacking = np.count_nonzero(lacking_hours(~np.isnan(late(day, 2)), 2))
    assert lacking == 100
    assert hours_lost(lacking, 100)
    few = np.where(np.arange(100)[:, None] < 2, late(day, 2), day)
    assert told(few, past, 2).sum() == 2
    assert not hours_lost(np.count_nonzero(lacking_hours(~np.isnan(few), 2)), 100)
    assert not hours_lost(3, 150)
    assert hours_lost(3, 149)
    assert not hours_lost(2, 2)


def test_nothing_is_said_without_a_past_a_zone_or_a_course():
    day, *past = days_of(1)
    day = late(day, 2)
    assert told(day, past, 2).all()
    assert not told(day, [], 2).any()
    assert not told(day, [np.full_like(day, np.nan)] * 3, 2).any()
    assert not told(day, [np.zeros_like(day)] * 3, 2).any()
    assert not told(day, past, 0).any()
    assert not told(day, past, 48).any()
    flat = np.where(np.isnan(day), np.nan, 0.5)
    assert not told(flat, [np.full_like(day, 0.5)] * 3, 2).any()
    assert not told(np.where(np.arange(48) < 9, day, np.nan), past, 2).any()  # seven values


@given(st.integers(0, 999), st.sampled_from([-6, -2, 2, 5]), st.floats(1e-3, 1e3))
def test_evidence_has_no_unit_and_turns_with_the_clock(seed, lag, factor):
    day, *past = days_of(3, seed)
    told_of_day = lag_evidence(day, past, lag, 1)
    np.testing.assert_allclose(lag_evidence(day * factor, [one * factor for one in past], lag, 1), told_of_day, rtol=1e-6, atol=1e-9)
    mirrored = lag_evidence(day[:, ::-1], [one[:, ::-1] for one in past], -lag, 1)
    np.testing.assert_allclose(mirrored, told_of_day, rtol=1e-6, atol=1e-9)


def test_a_net_meter_is_told_by_the_sun_of_two_days():
    hour = np.arange(48) / 2
    sun = np.clip(np.cos((hour - 12) / 5 * np.pi / 2), 0, None) * (np.abs(hour - 12) < 5)
    past = [(0.2 - clouds * sun)[None] for clouds in (1.0, 0.4, 0.7)]
    day = (0.3 - 0.5 * sun)[None]
    (on_time,), _ = lag_evidence(day, past, 2, 1)
    (two_late,), (explained,) = lag_evidence(late(day, 2), past, 2, 1)
    assert on_time < -15
    assert two_late > 15
    assert explained > 0.9


@pytest.mark.parametrize(
    ("zone", "day", "intervals"),
    [("Europe/Berlin", "2016-11-20", 4), ("Europe/Berlin", "2016-06-20", 8), ("America/New_York", "2016-11-20", -20),
     ("Europe/London", "2016-11-20", 0), ("Asia/Kathmandu", "2016-11-20", 23), ("Europe/Berlin", "2016-03-27", 8),
     ("Europe/Berlin", "2016-10-30", 4), ("UTC", "2016-11-20", 0)],
)  # fmt: skip
def test_the_offset_is_the_zones_on_that_day(zone, day, intervals):
    begin = pd.Timestamp(day, tz=zone)
    starts = pd.date_range(begin, begin + pd.DateOffset(days=1), freq="15min", inclusive="left")
    assert offset_intervals(starts, 0.25) == intervals
    hourly = intervals / 4 if intervals % 4 == 0 else 0  # stamps off the grid are refused on arrival
    assert offset_intervals(starts[::4], 1.0) == hourly


def test_the_day_is_flagged_and_its_readings_stay():
    begin = pd.Timestamp("2021-01-20", tz="Europe/Berlin")
    starts = pd.date_range(begin, periods=48, freq="30min").tz_convert("UTC").as_unit("us")
    meters = pd.DataFrame({"meter_id": ["a", "b"], "kind": "load", "node_id": "f", "rating_kw": 20.0, "net_metered": False})
    grid = DayGrid(date(2021, 1, 20), meters, starts, 0.5, begin.tz)
    day, *past = days_of(2)
    rows = [("a", starts[n], day[0, n]) for n in range(48)]
    rows += [("b", starts[n] + pd.Timedelta(hours=1), day[1, n]) for n in range(46)]
    raw = pd.DataFrame(rows, columns=["meter_id", "read_utc", "value"]).assign(
        kind="interval",
        unit="kWh",
        file_id="f",
        source_file="f.csv",
        source_row=range(1, 95),
        received_utc=starts[-1] + pd.Timedelta(hours=3),
    )
    inputs = ShardInputs(pa.Table.from_pandas(raw[RAW_READINGS.columns], RAW_READINGS.schema, preserve_index=False), past=past)
    made = reading_day(grid, inputs, ValidationSection())  # type: ignore[call-arg]
    assert made.frame(METER_DAYS)["flags"].fillna("").tolist() == ["", "shifted_clock"]
    of_b = made.readings[made.readings["meter_id"] == "b"]
    assert of_b["quality"].tolist() == ["estimated"] * 2 + ["measured"] * 46
