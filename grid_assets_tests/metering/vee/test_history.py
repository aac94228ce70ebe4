"""Past days on another day's axes."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.history import HistoryError, class_profiles_on, like_days_of, past_matrix

CLOCK = SiteCalendar(ZoneInfo("Europe/London"), 30, date(2021, 1, 1), None, 9, 2)
PLAIN, SPRING, AUTUMN = date(2021, 3, 21), date(2021, 3, 28), date(2021, 10, 31)


def grid(day: date, meters: list[str]) -> DayGrid:
    frame = pd.DataFrame({"meter_id": meters, "kind": "load", "net_metered": False, "customer_class": "home"})
    return DayGrid(day, frame, CLOCK.intervals(day), 0.5, CLOCK.zone)


def readings(day: date, meters: list[str], quality: str = "measured", code: str = "3.0.0") -> pa.Table:
    """Every meter's value is 100 times its place plus the hour on the clock, half-hours as .5."""
    starts = CLOCK.intervals(day)
    local = CLOCK.local(starts)
    hour = np.asarray(local.hour + local.minute / 60)
    return pa.table(
        {
            "meter_id": np.repeat(np.array(meters, dtype=object), len(starts)),
            "energy_kwh": np.concatenate([100 * n + hour for n in range(len(meters))]),
            "quality": [quality] * (len(meters) * len(starts)),
            "quality_code": [code] * (len(meters) * len(starts)),
        }
    )


def test_meters_are_found_by_id_and_absent_ones_are_unknown():
    made = past_matrix(readings(PLAIN, ["a", "b", "d"]), CLOCK.intervals(PLAIN), grid(date(2021, 3, 14), ["b", "c", "d"]))
    assert made.shape == (3, 48)
    assert made[0].tolist() == [100 + n / 2 for n in range(48)]
    assert np.isnan(made[1]).all()
    assert made[2, 3] == 201.5


@pytest.mark.parametrize("coded", [False, True])
def test_only_measured_and_edited_values_count_and_no_zero_of_an_outage(coded):
    for quality, code, known in (
        ("measured", "3.0.0", True), ("edited", "3.7.0", True), ("edited", "3.7.1", False), ("estimated", "3.8.1", False), ("measured", "1.2.32", False),
    ):  # fmt: skip
        table = readings(PLAIN, ["a"], quality, code)
        if coded:
            for name in ("meter_id", "quality", "quality_code"):
                table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
        made = past_matrix(table, CLOCK.intervals(PLAIN), grid(date(2021, 3, 14), ["a"]))
        assert (~np.isnan(made)).all() == known
        assert np.isnan(made).all() != known


@pytest.mark.parametrize(("past", "day"), [(PLAIN, SPRING), (SPRING, PLAIN), (PLAIN, AUTUMN), (AUTUMN, PLAIN), (AUTUMN, SPRING)])
def test_times_are_matched_by_the_sites_clock(past, day):
    made = past_matrix(readings(past, ["a"]), CLOCK.intervals(past), grid(day, ["a"]))
    local = CLOCK.local(CLOCK.intervals(day))
    hour = np.asarray(local.hour + local.minute / 60)
    known = ~np.isnan(made[0])
    assert (made[0][known] == hour[known]).all()
    assert (~known).sum() == (2 if past == SPRING else 0)  # the half-hours from one to two were not


def test_the_repeated_hour_counts_once():
    table = readings(AUTUMN, ["a"])
    values = table["energy_kwh"].to_numpy().copy()
    values[4:6] = 77.0  # the second time that the clock shows one
    table = table.set_column(1, "energy_kwh", pa.array(values))
    assert 77.0 not in past_matrix(table, CLOCK.intervals(AUTUMN), grid(PLAIN, ["a"]))


def test_rows_that_are_not_dense_are_refused_and_none_are_unknown():
    table = readings(PLAIN, ["a"])
    with pytest.raises(HistoryError, match="47 readings"):
        past_matrix(table.slice(1), CLOCK.intervals(PLAIN), grid(SPRING, ["a"]))
    assert np.isnan(past_matrix(table.slice(0, 0), CLOCK.intervals(PLAIN), grid(SPRING, ["a"]))).all()


def test_like_days_are_the_same_weekday_never_the_day_before():
    assert like_days_of(SPRING, 3) == [date(2021, 3, 21), date(2021, 3, 14), date(2021, 3, 7)]


def profiles(day: date, name: str, meters: int, mean: float, deviation: float) -> pd.DataFrame:
    starts = CLOCK.intervals(day)
    return pd.DataFrame({"customer_class": name, "start_utc": starts, "meters": meters, "mean_kwh": mean, "deviation_kwh": deviation})


def test_class_profiles_are_weighted_by_their_meters():
    past = pd.concat([profiles(PLAIN, "home", 30, 1.0, 0.5), profiles(date(2021, 3, 14), "home", 10, 2.0, 0.1)])
    made = class_profiles_on(grid(date(2021, 4, 4), ["a"]), past)
    np.testing.assert_allclose(made.mean, 1.25)
    np.testing.assert_allclose(made.deviation, np.sqrt((30 * 0.25 + 10 * 0.01) / 40))
    assert made.member.tolist() == [0]


def test_only_plain_loads_are_members_of_their_class():
    frame = pd.DataFrame(
        {
            "meter_id": list("abcde"), "kind": ["load", "load", "generation", "boundary", "load"],
            "net_metered": [False, True, False, False, False], "customer_class": ["home", "home", "home", "home", "other"],
        }
    )  # fmt: skip
    one = DayGrid(PLAIN, frame, CLOCK.intervals(PLAIN), 0.5, CLOCK.zone)
    assert class_profiles_on(one, profiles(date(2021, 3, 14), "home", 3, 1.0, 0.1)).member.tolist() == [0, -1, -1, -1, -1]
    assert class_profiles_on(one, profiles(PLAIN, "home", 3, 1.0, 0.1).iloc[:0]).member.tolist() == [-1] * 5


def test_an_hour_that_the_past_did_not_have_is_unknown_in_a_class_profile():
    made = class_profiles_on(grid(PLAIN, ["a"]), profiles(SPRING, "home", 3, 1.0, 0.1))
    assert np.flatnonzero(np.isnan(made.mean[0])).tolist() == [2, 3]
