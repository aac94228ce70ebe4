"""Earlier days on another day's axes: what the meters and classes usually use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import CLASS_PROFILES, READINGS
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.estimation import ClassProfiles
from grid_assets.metering.vee.newest_arrivals import encoded, rows_of
from grid_assets.metering.vee.quality_codes import POWER_FAIL, UNCONFIRMED

PAST_COLUMNS = ("meter_id", "energy_kwh", "quality", "quality_code")
"""The columns of READINGS that history needs."""


class HistoryError(ValueError):
    """Readings that are not dense: a row per meter and interval, in this order."""


def like_days_of(day: date, weeks: int) -> list[date]:
    """The same weekday of the ``weeks`` weeks before: never the day before, so that two days that run at once cannot
    disturb each other.
    """
    return [day - timedelta(days=7 * back) for back in range(1, weeks + 1)]


def past_matrix(readings: pa.Table, past_starts: pd.DatetimeIndex, grid: DayGrid) -> np.ndarray:
    """A past day's measured and edited energy on the axes of ``grid``, kWh; NaN where there is none.

    ``readings``: PAST_COLUMNS of READINGS, sorted and dense, of any meters; ``past_starts``: that day's intervals. A zero of a
    known outage is left out: it is no usual use; so is a day that the scale test changed without a past. Times are matched by the site's clock; the hour that autumn repeats counts
    once, the one that spring leaves out is unknown. Raises HistoryError where the rows are not dense.
    """
    size = len(past_starts)
    if not readings.num_rows:
        return np.full(grid.shape, np.nan)
    if readings.num_rows % size:
        raise HistoryError(
            f"{readings.num_rows} readings of a day of {size} intervals: expected a row per meter and interval; materialise that day again"
        )
    firsts = readings["meter_id"].take(pa.array(np.arange(0, readings.num_rows, size)))
    codes, ids = encoded(firsts)
    there = rows_of(grid.ids, ids.take(pa.array(codes)))
    values = np.array(readings["energy_kwh"].to_numpy())
    unknown = ~_words(readings["quality"], ("measured", "edited"))
    if "quality_code" in readings.column_names:
        unknown |= _words(readings["quality_code"], (POWER_FAIL, UNCONFIRMED))
    values[unknown] = np.nan
    values = values.reshape(-1, size)
    columns = _columns(past_starts, grid)
    if columns is not None:
        values = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)[:, columns]
    if len(there) == len(values) and (there == np.arange(len(there))).all():
        return values
    made = values[np.clip(there, 0, None)]
    made[there < 0] = np.nan
    return made


def _words(column: pa.ChunkedArray, wanted: Sequence[str]) -> np.ndarray:
    codes, words = encoded(column)
    found = np.array([word in wanted for word in words.to_pylist()], dtype=bool)
    return found[codes] if found.any() else np.zeros(len(codes), dtype=bool)


def _columns(past_starts: pd.DatetimeIndex, grid: DayGrid) -> np.ndarray | None:
    """For each interval of the grid the past day's interval at the same time on the clock, its number of intervals where
    there is none; None where the days are alike.
    """
    theirs, ours = minutes_of_day(past_starts, grid.zone), minutes_of_day(grid.starts, grid.zone)
    if np.array_equal(theirs, ours):
        return None
    at = {int(minute): n for n, minute in reversed(list(enumerate(theirs)))}
    return np.array([at.get(int(minute), len(theirs)) for minute in ours])


def minutes_of_day(starts: pd.DatetimeIndex, zone: ZoneInfo) -> np.ndarray:
    """Minutes since midnight on the site's clock."""
    local = starts.tz_convert(zone)
    return np.asarray(local.hour * 60 + local.minute)


def class_profiles_on(grid: DayGrid, past: pd.DataFrame) -> ClassProfiles:
    """Rows of CLASS_PROFILES of like days on the axes of ``grid``: their mean and deviation, days weighted by their meters.

    A load meter without generation behind it is a member of its class; all others of none, for they must not be scaled.
    """
    meters = grid.meters
    plain = (meters["kind"] == "load").to_numpy() & ~meters["net_metered"].to_numpy(dtype=bool)
    names = sorted(past["customer_class"].unique()) if len(past) else []
    member = np.where(plain, pd.Index(names).get_indexer(pd.Index(grid.column("customer_class", ""))), -1)
    if not names:
        return ClassProfiles(np.full(len(meters), -1))
    known = past[past["meters"] > 0]
    minute = minutes_of_day(pd.DatetimeIndex(known["start_utc"]), grid.zone)
    weight = known["meters"].to_numpy(dtype=float)
    sums = (
        pd.DataFrame(
            {"class": known["customer_class"].to_numpy(), "minute": minute, "weight": weight,
             "mean": weight * known["mean_kwh"].to_numpy(dtype=float), "variance": weight * known["deviation_kwh"].to_numpy(dtype=float) ** 2}
        )
        .groupby(["class", "minute"])
        .sum()
    )  # fmt: skip
    cells = pd.MultiIndex.from_product([names, minutes_of_day(grid.starts, grid.zone)])
    on_axes = sums.reindex(cells)
    shape = (len(names), grid.shape[1])
    mean = (on_axes["mean"] / on_axes["weight"]).to_numpy().reshape(shape)
    deviation = np.sqrt(on_axes["variance"] / on_axes["weight"]).to_numpy().reshape(shape)
    return ClassProfiles(member, mean, deviation)


class History:
    """Published readings of earlier days, read from the lake once, on a day's axes."""

    def __init__(self, lake: Lake, clock: SiteCalendar):
        self._lake, self._clock = lake, clock
        self._days: dict[date, pa.Table] = {}

    def like_days(self, grid: DayGrid, weeks: int) -> list[np.ndarray]:
        """The like days that have readings, as matrices of kWh on the axes of ``grid``."""
        found = []
        for day in like_days_of(grid.day, weeks):
            if day not in self._days:
                self._days[day] = self._lake.read_arrow(READINGS, day, PAST_COLUMNS)
            if self._days[day].num_rows:
                found.append(past_matrix(self._days[day], self._clock.intervals(day), grid))
        return found

    def classes(self, grid: DayGrid, weeks: int) -> pd.DataFrame:
        """Rows of CLASS_PROFILES of the like days."""
        return self._lake.read(CLASS_PROFILES, like_days_of(grid.day, weeks))
