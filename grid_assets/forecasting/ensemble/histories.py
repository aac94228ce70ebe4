"""A node's history for the ensemble from rows: hours on the site's clock, and the temperature as each issue time knew it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.forecasting.day_cubes import PLAUSIBLE, DayGrid
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays
from grid_assets.forecasting.ensemble.node_models import NodeHistory
from grid_assets.forecasting.ensemble.temperature_paths import as_observed, temperature_paths
from grid_assets.foundation.calendar import SiteCalendar, days_between

TEMPERATURE = "temperature_degc"


class UnusableHistory(ValueError):
    """Rows that no history can be made of. The message says what was expected."""


def hourly_grid(clock: SiteCalendar, first: date, last: date) -> DayGrid:
    """The local days first..last in slots of an hour."""
    days = tuple(days_between(first, last))
    return DayGrid(replace(clock, interval_minutes=60), last, days, np.zeros(len(days), int))


def node_history(
    load_kw: pd.Series,
    temperature_degc: pd.Series | None,
    clock: SiteCalendar,
    last: date,
    *,
    holidays: PublicHolidays | None = None,
    country: str = "",
    region: str | None = None,
    offsets: int = 2,
    forecasts_degc: Mapping[date, pd.Series] | pd.Series | None = None,
    known_hours: int | None = None,
) -> NodeHistory:
    """Load and temperature of one node by local day and hour, up to the day ``last``, the end of the horizon.

    ``load_kw``, ``temperature_degc``: series by UTC interval start; values of an hour are averaged. Infinite loads and
    temperatures that cannot be count as unknown. ``forecasts_degc``: the temperature as forecast, by issue day (a series of
    the hours from its issue time on), or one series that holds the latest forecast of every hour (a published day-ahead
    forecast). Where none was kept, what was observed stands in, as far as it goes, and a back-test is optimistic. ``known_hours``: hours of
    an issue day whose load is known; None: up to the site's issue hour. Raises UnusableHistory.
    """
    if not isinstance(load_kw.index, pd.DatetimeIndex) or load_kw.index.tz is None:
        raise UnusableHistory("load_kw has no index of instants with a time zone; expected UTC interval starts")
    if load_kw.empty:
        raise UnusableHistory("load_kw is empty; expected at least one value")
    first = clock.day_of(load_kw.index.min().to_pydatetime())
    grid = hourly_grid(clock, first, max(last, first + timedelta(days=1)))
    hours = clock.issue_hour if known_hours is None else known_hours
    calendar = holidays or PublicHolidays.of(country, region, grid.days[0], grid.days[-1])
    temperature = None
    if temperature_degc is not None and np.isfinite(temperature_degc.to_numpy(float)).any():
        observed = hours_of(grid, _plausible(temperature_degc))
        temperature = temperature_paths(observed, _expected(grid, observed, forecasts_degc, offsets), clock.issue_hour)
    return NodeHistory(grid.days, hours_of(grid, load_kw.replace([np.inf, -np.inf], np.nan)), temperature, calendar, hours)


def hours_of(grid: DayGrid, values: pd.Series) -> np.ndarray:
    """A series by UTC interval start as means of local hours [days, hours]; NaN where nothing is known."""
    return grid.cube(values.to_numpy(float)[None], pd.DatetimeIndex(values.index))[0]


def _plausible(temperature: pd.Series) -> pd.Series:
    low, high = PLAUSIBLE[TEMPERATURE]
    return temperature.where((temperature >= low) & (temperature <= high))


def _expected(grid: DayGrid, observed: np.ndarray, forecasts: Mapping[date, pd.Series] | pd.Series | None, offsets: int) -> np.ndarray:
    """The temperature as forecast on each issue day [days, offsets, hours]."""
    if forecasts is None:
        return as_observed(observed, offsets)
    if isinstance(forecasts, pd.Series):
        made = as_observed(hours_of(grid, _plausible(forecasts)), offsets)
        return np.where(np.isfinite(made), made, as_observed(observed, offsets))
    made = as_observed(observed, offsets)
    for issued, values in forecasts.items():
        position = (issued - grid.days[0]).days
        if 0 <= position < len(grid.days):
            made[position] = np.nan
            coming = hours_of(grid, _plausible(values))[position : position + offsets]
            made[position, : len(coming)] = coming
    return made
