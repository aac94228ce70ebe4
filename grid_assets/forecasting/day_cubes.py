"""Power and weather laid out by local day and slot of the day, which is how forecasts look at them.

A slot is a wall-clock interval: slot 0 begins at local midnight on every day. On the day that clocks go back an hour
occurs twice and its slots hold the mean of both; on the day they go forward the slots that do not occur are empty (NaN).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar, days_between

MINIMUM_PUBLISHED_PCT = 50.0
WEATHER_COLUMNS = (
    "temperature_degc",
    "temperature_mean_24h_degc",
    "temperature_mean_72h_degc",
    "wind_speed_m_s",
    "ghi_w_m2",
    "clear_sky_ghi_w_m2",
    "solar_elevation_degree",
)
PLAUSIBLE = {
    "temperature_degc": (-60.0, 60.0),
    "temperature_mean_24h_degc": (-60.0, 60.0),
    "temperature_mean_72h_degc": (-60.0, 60.0),
    "wind_speed_m_s": (0.0, 75.0),
    "ghi_w_m2": (0.0, 1500.0),
    "clear_sky_ghi_w_m2": (0.0, 1500.0),
    "solar_elevation_degree": (-90.0, 90.0),
}
WORKDAY, SATURDAY, SUNDAY_OR_HOLIDAY = 0, 1, 2


class NoHistoryError(ValueError):
    """Nothing can be forecast: no subject has a single known value. The message names subjects and day."""


@dataclass(frozen=True)
class DayGrid:
    """The local days of one forecast: history up to and including ``day``, then the horizon."""

    clock: SiteCalendar
    day: date
    days: tuple[date, ...]
    kinds: np.ndarray
    """Day type of each day: WORKDAY, SATURDAY or SUNDAY_OR_HOLIDAY."""

    @property
    def slots(self) -> int:
        return 24 * 60 // self.clock.interval_minutes

    @property
    def known(self) -> int:
        """Number of days of history; the day with this index is the first of the horizon."""
        return (self.day - self.days[0]).days + 1

    @property
    def horizon(self) -> pd.DatetimeIndex:
        """All intervals from the issue time to the end of the last day."""
        starts = self.clock.intervals(self.days[self.known], self.days[-1])
        return starts[starts >= pd.Timestamp(self.clock.issue_time(self.day))]

    def since(self, first: date) -> DayGrid:
        """The same from a later first day on."""
        cut = (first - self.days[0]).days
        return DayGrid(self.clock, self.day, self.days[cut:], self.kinds[cut:])

    def positions(self, starts: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
        """Day index and slot of each interval start; days outside the grid have indices outside it."""
        local = starts.tz_convert(self.clock.zone).tz_localize(None)
        day = (local.normalize() - pd.Timestamp(self.days[0])).days.to_numpy()
        slot = (local.hour * 60 + local.minute).to_numpy() // self.clock.interval_minutes
        return day, slot

    def cube(self, values: np.ndarray, starts: pd.DatetimeIndex) -> np.ndarray:
        """``values`` [subjects, intervals] as [subjects, days, slots]; NaN where nothing is known."""
        return self.laid_out(values, *self.positions(starts))

    def laid_out(self, values: np.ndarray, day: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """The same from day indices and slots."""
        inside = (day >= 0) & (day < len(self.days))
        place, width = day[inside] * self.slots + slot[inside], len(self.days) * self.slots
        taken = values[:, inside]
        good = np.isfinite(taken)
        sums, counts = np.zeros((len(values), width)), np.zeros((len(values), width))
        for row in range(len(values)):
            sums[row] = np.bincount(place, weights=np.where(good[row], taken[row], 0.0), minlength=width)
            counts[row] = np.bincount(place, weights=good[row].astype(float), minlength=width)
        with np.errstate(invalid="ignore"):
            return (sums / np.where(counts, counts, np.nan)).reshape(len(values), len(self.days), self.slots)

    def at(self, cube: np.ndarray, starts: pd.DatetimeIndex) -> np.ndarray:
        """The values of a cube [..., days, slots] at interval starts [..., intervals]."""
        day, slot = self.positions(starts)
        return cube[..., day, slot]


def day_grid(clock: SiteCalendar, first: date, day: date, country: str, last: date | None = None, region: str | None = None) -> DayGrid:
    """The grid from the first day of history to ``last``, the study day of ``day`` where none is named."""
    days = tuple(days_between(min(first, day), last or clock.study_day(day)))
    return DayGrid(clock, day, days, day_kinds(days, country, region))


def day_kinds(days: Sequence[date], country: str, region: str | None = None) -> np.ndarray:
    """Type of each day; public holidays of the country (ISO code) and region count as Sundays. Unknown countries have none, an unknown
    region has the country's.
    """
    import holidays

    public, years = {}, sorted({day.year for day in days})
    for one in (region, None):
        try:
            public = holidays.country_holidays(country, subdiv=one, years=years)
            break
        except NotImplementedError:
            continue
    return np.array([2 if day in public or day.weekday() == 6 else 1 if day.weekday() == 5 else 0 for day in days])


def known_cube(grid: DayGrid, frame: pd.DataFrame, subject: str, value: str, subjects: Sequence[str], known_until: datetime) -> np.ndarray:
    """Mean power [subjects, days, slots] of what was known: nothing after ``day``, and nothing after ``known_until``.

    ``frame`` has ``subject``, ``start_utc`` and ``value`` (kW).
    """
    end = min(pd.Timestamp(known_until), pd.Timestamp(grid.clock.bounds(grid.day)[1]))
    taken = frame[(frame["start_utc"] + grid.clock.interval <= end) & frame[subject].isin(list(subjects))]
    if taken.empty:
        return np.full((len(subjects), len(grid.days), grid.slots), np.nan)
    wide = taken.pivot_table(index=subject, columns="start_utc", values=value, aggfunc="mean", sort=True).reindex(list(subjects))
    return grid.cube(wide.to_numpy(float), pd.DatetimeIndex(wide.columns))


def load_kw(node_loads: pd.DataFrame, interval_hours: float) -> pd.Series:
    """Mean load of each row in kW, scaled up to all meters where a few have no value; NaN where less than half have one."""
    share = node_loads["published_pct"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        kw = node_loads["energy_kwh"].to_numpy(float) / interval_hours * 100.0 / share
    return pd.Series(np.where(share >= MINIMUM_PUBLISHED_PCT, kw, np.nan), index=node_loads.index)


@dataclass(frozen=True)
class WeatherCubes:
    """Weather by local day and slot: as observed, and as forecast on each issue day (days after it only)."""

    observed: Mapping[str, np.ndarray]
    forecast: Mapping[int, Mapping[str, np.ndarray]]

    def expected(self, name: str, issue: int, target: int) -> np.ndarray:
        """What was expected on day ``issue`` for day ``target`` [slots].

        Where no forecast is kept the observed value stands in, as far as there is one: never for the horizon, whose
        observations are not known yet.
        """
        kept, seen = self.forecast.get(issue), self.observed[name][target]
        return seen if kept is None else np.where(np.isnan(kept[name][target]), seen, kept[name][target])


def weather_cubes(grid: DayGrid, features: pd.DataFrame | None, known_until: datetime) -> WeatherCubes | None:
    """Weather features as cubes, or None for a site without weather.

    ``features`` are rows of weather/features with one more column ``day``: the partition that they come from. Rows of
    later partitions, observations after ``known_until`` and values that cannot be are left out.
    """
    if features is None or features.empty:
        return None
    kept = features[features["day"] <= grid.day]
    kept = kept[kept["station_id"] == kept["station_id"].min()]
    seen = kept[(kept["basis"] == "observed") & (kept["start_utc"] < pd.Timestamp(known_until))]
    expected = kept[kept["basis"] == "forecast"]
    values, (at_day, slot) = _plausible(expected), grid.positions(pd.DatetimeIndex(expected["start_utc"]))
    forecast = {}
    for issued, rows in expected.groupby("day").indices.items():
        if issued >= grid.days[0]:
            cubes = grid.laid_out(values[:, rows], at_day[rows], slot[rows])
            forecast[(issued - grid.days[0]).days] = dict(zip(WEATHER_COLUMNS, cubes, strict=True))
    return WeatherCubes(_weather(grid, seen), forecast)


def features_as_of(features: pd.DataFrame | None, clock: SiteCalendar, day: date, until: datetime) -> pd.DataFrame | None:
    """weather/features as a run of ``day`` may see them at ``until``: where that lies before the run's issue time, the forecast of the last run
    that had been issued by then stands for its own.
    """
    if features is None or features.empty or until >= clock.issue_time(day):
        return features
    expected = features["basis"] == "forecast"
    runs = sorted({one for one in features.loc[expected, "day"] if one < day and clock.issue_time(one) <= until})
    latest = features[expected & (features["day"] == runs[-1])].assign(day=day) if runs else features.iloc[:0]
    kept = features[~expected | features["day"].isin(runs)]
    return pd.concat([kept, latest[latest["start_utc"] >= pd.Timestamp(until)]], ignore_index=True) if len(latest) else kept


def single_forecast(grid: DayGrid, observed: pd.DataFrame, expected: pd.DataFrame) -> WeatherCubes:
    """Weather of a script: one frame as observed, one as expected for the horizon; both with ``start_utc``."""
    return WeatherCubes(_weather(grid, observed), {grid.known - 1: _weather(grid, expected)})


def _weather(grid: DayGrid, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return dict(zip(WEATHER_COLUMNS, grid.cube(_plausible(rows), pd.DatetimeIndex(rows["start_utc"])), strict=True))


def _plausible(rows: pd.DataFrame) -> np.ndarray:
    """The weather columns [columns, rows], NaN where absent or where no weather can be so."""
    values = np.full((len(WEATHER_COLUMNS), len(rows)), np.nan)
    for n, name in enumerate(WEATHER_COLUMNS):
        if name in rows:
            column, (low, high) = pd.to_numeric(rows[name], errors="coerce").to_numpy(float), PLAUSIBLE[name]
            values[n] = np.where((column >= low) & (column <= high), column, np.nan)
    return values


def first_of_year_before(day: date, days: int) -> date:
    """Where a long history begins: on the first of January of the year that lies so many days back, so that it moves once a year and kept models
    of the same data stay the same.
    """
    return date((day - timedelta(days=days)).year, 1, 1)


def first_day(frame: pd.DataFrame, clock: SiteCalendar, day: date, longest: int) -> date:
    """The first local day that a frame speaks of, at most ``longest`` days before ``day``."""
    earliest = day - timedelta(days=longest)
    return max(earliest, clock.day_of(frame["start_utc"].min())) if len(frame) else earliest
