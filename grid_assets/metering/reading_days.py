"""One day of readings: the newest arrival of every interval, validated, its gaps estimated, every row accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.foundation.tables import Table
from grid_assets.foundation.units import kwh_per_unit
from grid_assets.metering import validation
from grid_assets.metering.day_profiles import meter_days, quality_profiles
from grid_assets.metering.estimation import estimate, like_days
from grid_assets.metering.tables import FAILED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES, READINGS

NOT_IN_FORCE = "not_in_force"


@dataclass
class DayGrid:
    """The meters in force and the intervals of a day: the axes of its matrices."""

    day: date
    meters: pd.DataFrame
    starts: pd.DatetimeIndex
    hours: float

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.meters), len(self.starts)


@dataclass
class ReadingDay:
    """A day's tables."""

    readings: pd.DataFrame
    failed: pd.DataFrame
    file_days: pd.DataFrame
    meter_days: pd.DataFrame
    quality_profiles: pd.DataFrame

    def tables(self) -> dict[Table, pd.DataFrame]:
        """In the order in which they are to be written: file_days, which tells what the day was made from, is the last."""
        return {READINGS: self.readings, FAILED_READINGS: self.failed, METER_DAYS: self.meter_days,
                QUALITY_PROFILES: self.quality_profiles, FILE_DAYS: self.file_days}  # fmt: skip

    def figures(self) -> dict[str, float]:
        """What an analyst wants to know of the day first."""
        quality = self.readings["quality"].value_counts()
        cells = max(len(self.readings), 1)
        loads = self.meter_days[self.meter_days["kind"] == "load"]
        return {
            "energy_kwh": float(loads["energy_kwh"].sum()),
            "measured_pct": 100.0 * int(quality.get("measured", 0)) / cells,
            "estimated": int(quality.get("estimated", 0)),
            "missing": int(quality.get("missing", 0)),
            "failed_readings": len(self.failed),
            "meters": len(self.meter_days),
        }


def day_grid(clock: SiteCalendar, register: pd.DataFrame, day: date) -> DayGrid:
    start, end = (pd.Timestamp(one) for one in clock.bounds(day))
    meters = in_force(register, start, end).sort_values("meter_id", ignore_index=True)
    return DayGrid(day, meters, clock.intervals(day), clock.interval_hours)


class History:
    """Published readings of earlier days, as matrices of measured values on another day's axes; read from the lake once."""

    def __init__(self, lake: Lake, clock: SiteCalendar):
        self._lake, self._clock = lake, clock
        self._days: dict[date, tuple[pd.Index, pd.DatetimeIndex, np.ndarray] | None] = {}

    def like_days(self, grid: DayGrid, weeks: int) -> list[np.ndarray]:
        """The same weekday of the ``weeks`` weeks before, at the same times on the clock: never the day before, so that
        two days that run at once cannot disturb each other.
        """
        found = []
        for back in range(1, weeks + 1):
            there = self._day(grid.day - timedelta(days=7 * back))
            if there is not None:
                found.append(_on_axes(grid, self._clock, *there))
        return found

    def _day(self, day: date) -> tuple[pd.Index, pd.DatetimeIndex, np.ndarray] | None:
        if day not in self._days:
            rows = self._lake.read(READINGS, day, ["meter_id", "start_utc", "energy_kwh", "quality"])
            starts = self._clock.intervals(day)
            self._days[day] = None
            if len(rows):  # sorted by meter and interval, every interval of every meter is there
                measured = rows["energy_kwh"].where(rows["quality"] == "measured").to_numpy(dtype=float)
                ids = pd.Index(rows["meter_id"].to_numpy()[:: len(starts)])
                self._days[day] = ids, starts, measured.reshape(len(ids), len(starts))
        return self._days[day]


def _on_axes(grid: DayGrid, clock: SiteCalendar, ids: pd.Index, starts: pd.DatetimeIndex, measured: np.ndarray) -> np.ndarray:
    rows = ids.get_indexer(grid.meters["meter_id"])
    clock_time = clock.local(starts).strftime("%H:%M")
    first = ~clock_time.duplicated()  # the hour that autumn repeats counts once
    columns = np.flatnonzero(first)[np.clip(clock_time[first].get_indexer(clock.local(grid.starts).strftime("%H:%M")), 0, None)]
    absent = ~np.isin(clock.local(grid.starts).strftime("%H:%M"), clock_time)
    made = measured[np.clip(rows, 0, None)][:, columns]
    made[rows < 0] = np.nan
    made[:, absent] = np.nan
    return made


def reading_day(grid: DayGrid, raw: pd.DataFrame, history: History, rules: ValidationSection, interval_minutes: int) -> ReadingDay:
    """Validates and estimates a day from its raw readings (rows of RAW_READINGS); nothing is dropped."""
    chosen = _newest(grid, raw)
    arrived = _matrix(grid, chosen)
    past = history.like_days(grid, rules.like_day_weeks) if rules.near_zero_share > 0 or np.isnan(arrived).any() else []
    failures = rule_failures(grid, arrived, rules, past)
    failed = np.logical_or.reduce(list(failures.values()))
    valid = np.where(failed, np.nan, arrived)
    if not past and np.isnan(valid).any():
        past = history.like_days(grid, rules.like_day_weeks)
    energy, method = estimate(valid, rules.linear_gap_minutes // interval_minutes, past)
    told = _told(failures, grid.shape)
    outcome = _outcome(chosen, failed)
    readings = _readings_frame(grid, valid, energy, method, told)
    days = meter_days(grid, arrived, valid, energy, told)
    return ReadingDay(
        readings, _failed_frame(chosen, outcome, told), _file_days_frame(raw, chosen, outcome), days, quality_profiles(grid, valid, energy)
    )


def rule_failures(grid: DayGrid, arrived: np.ndarray, rules: ValidationSection, past: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Which values fail which rule. A value that cannot be (negative, above the rating) is no evidence for the others."""
    rating = grid.meters["rating_kw"].to_numpy(dtype=float)
    is_load = (grid.meters["kind"] == "load").to_numpy()
    found = {
        "negative": validation.negative(arrived, grid.meters["net_metered"].to_numpy(dtype=bool)),
        "above_rating": validation.above_rating(arrived, rating, grid.hours),
    }
    possible = np.where(found["negative"] | found["above_rating"], np.nan, arrived)
    found["spike"] = validation.spike(possible, rules.spike_ratio, rating, grid.hours)
    found["stuck"] = validation.stuck(possible, rules.stuck_intervals)
    usual = _row_means(like_days(past, grid.shape))
    found["near_zero"] = validation.near_zero(possible, usual, rules.near_zero_share, rules.near_zero_intervals, is_load)
    return found


def _row_means(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(axis=1), np.where(known, values, 0).sum(axis=1) / known.sum(axis=1), np.nan)


def _newest(grid: DayGrid, raw: pd.DataFrame) -> pd.DataFrame:
    """The newest arrival of every meter and interval, with its energy and place in the matrix (row -1: no meter in force).

    Of arrivals at one instant the last by file name and row counts. Source: practice; the newest is the correction.
    """
    row = pd.Index(grid.meters["meter_id"]).get_indexer(raw["meter_id"])
    column = grid.starts.get_indexer(pd.DatetimeIndex(raw["read_utc"]))
    factor = {unit: kwh_per_unit(unit, grid.hours) for unit in raw["unit"].unique()}
    kwh = raw["value"].to_numpy(dtype=float) * raw["unit"].map(factor).to_numpy(dtype=float)
    made = raw.assign(row=row, column=column, arrived_kwh=kwh)
    made = made.sort_values(["received_utc", "source_file", "file_id", "source_row"], kind="stable")
    return made.drop_duplicates(["meter_id", "read_utc"], keep="last")


def _matrix(grid: DayGrid, chosen: pd.DataFrame) -> np.ndarray:
    made = np.full(grid.shape, np.nan)
    placed = chosen[(chosen["row"] >= 0) & (chosen["column"] >= 0)]
    made[placed["row"], placed["column"]] = placed["arrived_kwh"]
    return made


def _told(failures: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The names of the failed rules of every cell, separated by spaces; None where none failed."""
    told = np.full(shape, None, dtype=object)
    for rule in validation.RULES:
        for at in zip(*np.nonzero(failures[rule]), strict=True):
            told[at] = f"{told[at]} {rule}" if told[at] else rule
    return told


def _outcome(chosen: pd.DataFrame, failed: np.ndarray) -> np.ndarray:
    """Published or rejected, for each of the newest arrivals."""
    row, column = chosen["row"].to_numpy(), chosen["column"].to_numpy()
    placed = (row >= 0) & (column >= 0)
    made = np.full(len(chosen), "rejected", dtype=object)
    made[placed] = np.where(failed[row[placed], column[placed]], "rejected", "published")
    return made


def _readings_frame(grid: DayGrid, valid: np.ndarray, energy: np.ndarray, method: np.ndarray, told: np.ndarray) -> pd.DataFrame:
    quality = np.where(~np.isnan(valid), "measured", np.where(~np.isnan(energy), "estimated", "missing"))
    meters, intervals = grid.shape
    return pd.DataFrame(
        {
            "meter_id": np.repeat(grid.meters["meter_id"].to_numpy(dtype=object), intervals),
            "start_utc": grid.starts[np.tile(np.arange(intervals), meters)],
            "energy_kwh": energy.ravel(),
            "quality": quality.ravel(),
            "method": np.where(method == "", None, method).ravel(),
            "rule_failures": told.ravel(),
            "quality_code": np.select([quality.ravel() == "measured", quality.ravel() == "estimated"], ["3.0.0", "3.8.0"], "2.5.259"),
            "error_kwh": None,
        },
        columns=READINGS.columns,
    )


def _failed_frame(chosen: pd.DataFrame, outcome: np.ndarray, told: np.ndarray) -> pd.DataFrame:
    rejected = chosen[outcome == "rejected"]
    inside = (rejected["row"] >= 0) & (rejected["column"] >= 0)
    rules = [told[row, column] if ok else NOT_IN_FORCE for row, column, ok in zip(rejected["row"], rejected["column"], inside, strict=True)]
    made = rejected.rename(columns={"read_utc": "start_utc"}).assign(rules=rules)
    return made[FAILED_READINGS.columns]


def _file_days_frame(raw: pd.DataFrame, chosen: pd.DataFrame, outcome: np.ndarray) -> pd.DataFrame:
    """Rows = published + rejected + superseded, per file."""
    totals = raw.groupby("file_id", sort=True).agg(source_file=("source_file", "first"), rows=("source_row", "size"))
    kept = pd.crosstab(chosen["file_id"], outcome).reindex(index=totals.index, columns=["published", "rejected"], fill_value=0)
    made = totals.join(kept)
    made["superseded"] = made["rows"] - made["published"] - made["rejected"]
    return made.reset_index()[FILE_DAYS.columns]
