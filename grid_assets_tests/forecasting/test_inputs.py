"""What the forecasts read from the lake."""

from __future__ import annotations

from datetime import date

import pandas as pd

from grid_assets.forecasting.inputs import of_meters, with_day
from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import READING_VERSIONS, READINGS

DAYS = [date(2016, 5, 20), date(2016, 5, 21)]


def stored(lake: Lake, day: date) -> None:
    starts = pd.date_range(day.isoformat(), periods=2, freq="15min", tz="UTC")
    rows = [(meter, start, 1.0 + n, "measured", None, None, "3.0.0", None) for n, meter in enumerate(("a", "b", "c")) for start in starts]
    lake.write(READINGS, pd.DataFrame(rows, columns=READINGS.columns), day)


def test_rows_say_which_partition_they_came_from(lake: Lake):
    stored(lake, DAYS[1])
    read = with_day(lake, READINGS, DAYS)
    assert len(read) == 6
    assert set(read["day"]) == {DAYS[1]}
    none = with_day(lake, READINGS, DAYS[:1])
    assert none.empty
    assert "day" in none.columns


def test_only_the_meters_asked_for_are_read(lake: Lake):
    for day in DAYS:
        stored(lake, day)
    read = of_meters(lake, (READINGS, READING_VERSIONS), DAYS, ["a", "c"])
    assert read.groupby("meter_id").size().to_dict() == {"a": 4, "c": 4}
    assert read.groupby("meter_id")["energy_kwh"].sum().to_dict() == {"a": 4.0, "c": 12.0}
    assert of_meters(lake, (READINGS, READING_VERSIONS), DAYS, []).empty
