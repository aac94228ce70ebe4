"""A made system whose load answers to calendar and temperature, for the tests of the ensemble."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays
from grid_assets.forecasting.ensemble.node_models import NodeHistory
from grid_assets.forecasting.ensemble.temperature_paths import as_observed, temperature_paths

FIRST = date(2018, 1, 1)
ISSUE_HOUR = 9


def days_of(count: int, first: date = FIRST) -> tuple[date, ...]:
    return tuple(first + timedelta(days=n) for n in range(count))


def temperatures(days: tuple[date, ...], seed: int = 0) -> np.ndarray:
    """[days, hours], degC: seasons, nights and weather that lasts some days."""
    random = np.random.default_rng(seed)
    year = np.array([day.timetuple().tm_yday for day in days]) * 2 * np.pi / 365.25
    weather = np.zeros(len(days))
    for n in range(1, len(days)):
        weather[n] = 0.8 * weather[n - 1] + random.normal(0, 2.0)
    hour = 4.0 * np.sin((np.arange(24) - 9) * 2 * np.pi / 24)
    return 12.0 - 10.0 * np.cos(year)[:, None] + weather[:, None] + hour + random.normal(0, 0.3, (len(days), 24))


def loads(days: tuple[date, ...], temperature: np.ndarray, holidays: PublicHolidays, noise: float = 0.01, seed: int = 1) -> np.ndarray:
    """[days, hours], kW: around 1000, less on free days, more in cold and heat, with errors that last for days."""
    random = np.random.default_rng(seed)
    free = np.array([day.weekday() >= 5 or day in holidays.names for day in days])
    shape = 1.0 + 0.25 * np.sin((np.arange(24) - 8) * 2 * np.pi / 24)
    answer = 0.012 * np.maximum(0, 15 - temperature) + 0.02 * np.maximum(0, temperature - 20)
    mood = np.zeros(len(days))
    for n in range(1, len(days)):
        mood[n] = 0.7 * mood[n - 1] + random.normal(0, noise)
    return (
        1000.0 * shape * (1 + answer) * np.where(free, 0.8, 1.0)[:, None] * np.exp(mood[:, None] + random.normal(0, noise, (len(days), 24)))
    )


def world(
    count: int = 420, offsets: int = 3, known_hours: int = ISSUE_HOUR, with_temperature: bool = True, noise: float = 0.01
) -> NodeHistory:
    """So many days whose weather forecasts are perfect."""
    days = days_of(count)
    holidays = PublicHolidays.of("US", None, days[0], days[-1])
    degrees = temperatures(days)
    paths = temperature_paths(degrees, as_observed(degrees, offsets), ISSUE_HOUR) if with_temperature else None
    return NodeHistory(days, loads(days, degrees, holidays, noise), paths, holidays, known_hours)
