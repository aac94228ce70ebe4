"""What each forecast starts from: the mean of the last like days, and what tells how the coming day will differ from it.

Everything here is direct: a target day and a lead (days since the last known day) use only days that were known then.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from grid_assets.forecasting.day_cubes import DayGrid, WeatherCubes

LOOK_BACK = 35
WEEK = 7
Term = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How the forecasts of one kind of subject are made."""

    like_days: int
    """How many of the last like days are averaged."""
    by_day_type: bool
    """Whether like days have the same day type (demand) or are simply the last ones (generation)."""
    weather_terms: Mapping[str, Term]
    """Functions of the weather whose difference to that of the like days explains the difference of the power."""


def hinge(name: str, knot: float, sign: float) -> Term:
    """Degrees above (sign 1) or below (sign -1) a knot."""
    return lambda weather: np.maximum(0.0, sign * (weather[name] - knot))


DEMAND = Recipe(
    5,
    True,
    {
        "cold_below_10": hinge("temperature_degc", 10.0, -1.0),
        "cold_below_16": hinge("temperature_degc", 16.0, -1.0),
        "hot_above_20": hinge("temperature_degc", 20.0, 1.0),
        "mean_24h": lambda weather: weather["temperature_mean_24h_degc"],
        "mean_72h": lambda weather: weather["temperature_mean_72h_degc"],
        "irradiance": lambda weather: weather["ghi_w_m2"] / 100.0,
        "clear_sky": lambda weather: weather["clear_sky_ghi_w_m2"] / 100.0,
        "wind": lambda weather: weather["wind_speed_m_s"],
    },
)
PV = Recipe(
    7,
    False,
    {
        "irradiance": lambda weather: weather["ghi_w_m2"] / 1000.0,
        "clear_sky": lambda weather: weather["clear_sky_ghi_w_m2"] / 1000.0,
        "irradiance_in_heat": lambda weather: weather["ghi_w_m2"] / 1000.0 * (weather["temperature_degc"] - 25.0) / 25.0,
    },
)
WIND = Recipe(
    7,
    False,
    {
        "speed": lambda weather: weather["wind_speed_m_s"] / 10.0,
        "cube_to_rated": lambda weather: np.clip(weather["wind_speed_m_s"] / 12.0, 0.0, 1.0) ** 3,
        "above_8": hinge("wind_speed_m_s", 8.0, 1.0),
    },
)
PERSISTENT = Recipe(7, False, {})


def mean_of(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is there; NaN, without a warning, where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def like_days_of(grid: DayGrid, target: int, lead: int, recipe: Recipe) -> np.ndarray:
    """Indices of the like days known ``lead`` days before the target, the latest first; any last days where none is like."""
    last = target - lead
    recent = np.arange(last, max(-1, last - LOOK_BACK), -1)
    like = recent[grid.kinds[recent] == grid.kinds[target]] if recipe.by_day_type else recent
    return (like if len(like) else recent)[: recipe.like_days]


def baseline(power: np.ndarray, days: np.ndarray, last: int) -> np.ndarray:
    """Mean of the like days [subjects, slots]; empty slots take the mean of all recent days, then the subject's mean."""
    made = mean_of(power[:, days], 1) if len(days) else np.full(power[:, 0].shape, np.nan)
    recent = power[:, max(0, last - LOOK_BACK + 1) : last + 1]
    if recent.shape[1] and np.isnan(made).any():
        made = np.where(np.isnan(made), mean_of(recent, 1), made)
        made = np.where(np.isnan(made), mean_of(recent.reshape(len(power), -1), 1)[:, None], made)
    return made


def weekly_naive(power: np.ndarray, target: int, lead: int) -> np.ndarray:
    """The value of the last like weekday and slot [subjects, slots]; weeks further back, then recent days fill gaps."""
    last = target - lead
    made = np.full(power[:, 0].shape, np.nan)
    for back in range(WEEK, LOOK_BACK + 1, WEEK):
        if 0 <= target - back <= last:
            made = np.where(np.isnan(made), power[:, target - back], made)
    return _filled(made, power, last)


def daily_naive(power: np.ndarray, target: int, lead: int) -> np.ndarray:
    """Persistence: the value of the last known day that has the slot [subjects, slots]."""
    last = target - lead
    made = np.full(power[:, 0].shape, np.nan)
    for day in range(last, max(-1, last - WEEK), -1):
        made = np.where(np.isnan(made), power[:, day], made)
    return _filled(made, power, last)


def _filled(made: np.ndarray, power: np.ndarray, last: int) -> np.ndarray:
    rest = baseline(power, np.arange(0), last) if last >= 0 else made
    return np.where(np.isnan(made), rest, made)


@dataclass(frozen=True)
class Design:
    """One lead's regression: rows are subject, target day and slot."""

    base: np.ndarray
    """Mean of the like days, kW [subjects, days, slots]."""
    regressors: np.ndarray
    """[subjects, days, slots, terms], the first the intercept; powers in units of the level."""
    level: np.ndarray
    """The subject's recent mean absolute power, or its rating, kW [subjects, days]."""


def design(
    grid: DayGrid, power: np.ndarray, weather: WeatherCubes | None, lead: int, recipe: Recipe, rating: np.ndarray | None = None
) -> Design:
    """The regression of one lead over all target days of the grid; target days without known days before them are NaN."""
    subjects, days, slots = power.shape
    base = np.full((subjects, days, slots), np.nan)
    level = np.full((subjects, days), np.nan)
    rows = np.zeros((subjects, days, slots, 6 + (4 if recipe.by_day_type else 0) + (len(recipe.weather_terms) if weather else 0)))
    surprise = _surprises(grid, power, recipe)
    observed = {name: term(weather.observed) for name, term in recipe.weather_terms.items()} if weather else {}
    for target in range(lead, min(days, grid.known + lead)):
        last = target - lead
        like = like_days_of(grid, target, lead, recipe)
        base[:, target] = baseline(power, like, last)
        level[:, target] = _level(power, last) if rating is None else rating
        scale = level[:, target][:, None]
        terms = [np.ones((subjects, slots))]
        terms += [part / scale for part in _load_terms(power, surprise, base[:, target], target, last)]
        terms += [np.full((subjects, slots), flag) for flag in (_day_flags(grid, target) if recipe.by_day_type else ())]
        if weather:
            terms += [np.tile(part, (subjects, 1)) for part in _weather_terms(weather, observed, recipe, like, last, target)]
        rows[:, target] = np.stack(terms, axis=-1)
    return Design(base, np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0), level)


def _surprises(grid: DayGrid, power: np.ndarray, recipe: Recipe) -> np.ndarray:
    """How far each known day was from the like days before it, kW [subjects, days, slots]."""
    made = np.full(power.shape, np.nan)
    for target in range(1, min(power.shape[1], grid.known)):
        made[:, target] = power[:, target] - baseline(power, like_days_of(grid, target, 1, recipe), target - 1)
    return made


def _level(power: np.ndarray, last: int) -> np.ndarray:
    recent = power[:, max(0, last - 27) : last + 1].reshape(len(power), -1)
    level = mean_of(np.abs(recent), 1)
    return np.where(np.isfinite(level) & (level > 1e-9), level, 1.0)


def _load_terms(power: np.ndarray, surprise: np.ndarray, base: np.ndarray, target: int, last: int) -> list[np.ndarray]:
    """The last day's surprise by slot and as a whole, that of the last three days, and the like weekdays against the base."""
    recent = surprise[:, max(0, last - 2) : last + 1]
    weeks = [back for back in range(WEEK, 4 * WEEK + 1, WEEK) if 0 <= target - back <= last]
    week_ago = power[:, target - WEEK] if WEEK in weeks else base
    same_weekday = mean_of(power[:, [target - back for back in weeks]], 1) if weeks else base
    return [
        surprise[:, last],
        np.tile(mean_of(surprise[:, last], 1)[:, None], (1, base.shape[1])),
        mean_of(recent, 1),
        week_ago - base,
        same_weekday - base,
    ]


def _day_flags(grid: DayGrid, target: int) -> tuple[float, float, float, float]:
    """Monday, Friday, a holiday within the week, the day after a holiday."""
    weekday = grid.days[target].weekday()
    holiday = weekday != 6 and grid.kinds[target] == 2
    after = target > 0 and grid.kinds[target - 1] == 2 and grid.days[target - 1].weekday() != 6
    return float(weekday == 0), float(weekday == 4), float(holiday), float(after)


def _weather_terms(
    weather: WeatherCubes, observed: Mapping[str, np.ndarray], recipe: Recipe, like: np.ndarray, last: int, target: int
) -> list[np.ndarray]:
    """Each weather term as expected for the target day, less its mean on the like days; kept within what was ever seen."""
    expected = {name: weather.expected(name, last, target) for name in weather.observed}
    made = []
    for name, term in recipe.weather_terms.items():
        past = observed[name][: last + 1]
        coming = term(expected)
        if np.isfinite(past).any():
            low, high = np.nanmin(past), np.nanmax(past)
            coming = np.clip(coming, low - 0.1 * (high - low), high + 0.1 * (high - low))
        made.append(coming - mean_of(observed[name][like], 0))
    return made
