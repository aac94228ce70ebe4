"""Two days ahead: what the evening's load and the day's PV power of the POD storage challenge may be, from what was known at the end of D-2.

Positions count local days; a target day t looks at no reading and no weather after day t - LEAD, nor does a model that forecasts it.
Nearly two thirds of the variance of the evening's shape that remains is one tilt, early against late, that follows the clouds of the day itself;
boosted trees, kernel regression, the project's ensemble and its residuals on all lagged weather found nothing more in what is known two days before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from grid_assets.forecasting.day_cubes import DayGrid, day_grid
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays, season
from grid_assets.forecasting.ensemble.hourly_ridge import fit_hourly_ridge
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.weather.solar import Sun

ZONE, COUNTRY, REGION = ZoneInfo("Europe/London"), "GB", "ENG"
LATITUDE, LONGITUDE, ALTITUDE_M = 50.4, -4.1, 50.0
LEAD = 2
CHARGING, EVENING = slice(0, 31), slice(31, 42)
WEEK = range(LEAD, LEAD + 7)
"""The last known days, as days before the target."""
WEATHER_BEGINS = date(2015, 1, 1)
NORMAL_DAYS = 10
"""Normal weather: of earlier years, so many days around."""
LEAST_SHARE, MOST_APART = 0.2, 0.35
"""Of the usual evening: a day with a smaller reading, or with a mean evening further away, was switched and teaches nothing."""
FIRST_TAUGHT = 30
REFIT_DAYS = 7
LEVEL_PENALTY, SHAPE_PENALTY = 60.0, 20.0
"""In days, as ``fit_hourly_ridge`` has it."""
TWILIGHT = 0.06
"""Sine of the sun's elevation over which lamps go on."""
MOST_ERRORS = 300
PV_DAYS, PV_LAST_YEAR_DAYS = 40, 15
LEAST_PV_MWH = 0.15
SUN_OFFSET, SUN_RANGE = 0.02, (0.4, 2.5)


@dataclass(frozen=True)
class PodDays:
    """What the challenge's files say by local day and half-hour [days, 48]; NaN where nothing is known."""

    days: tuple[date, ...]
    kinds: np.ndarray
    """Workday, Saturday, Sunday or holiday [days]."""
    load_mw: np.ndarray
    pv_mw: np.ndarray
    temperature_degc: np.ndarray
    irradiance_w_m2: np.ndarray
    normal_temperature_degc: np.ndarray
    normal_irradiance_w_m2: np.ndarray
    sun: np.ndarray
    """Sine of the sun's elevation in the middle of the half-hour, below 0 at night."""
    whole: np.ndarray
    """Days with 48 half-hours, all of load and PV known [days]."""


def pod_days(readings: pd.DataFrame, weather: pd.DataFrame) -> PodDays:
    """``readings``: timestamp_utc, demand_mw, pv_power_mw; ``weather``: timestamp_utc, temperature_<n>_c and solar_irradiance_<n>_w_m2, hourly."""
    starts = pd.DatetimeIndex(readings["timestamp_utc"])
    first, last = (instant.tz_convert(ZONE).date() for instant in (starts.min(), starts.max()))
    clock = SiteCalendar(ZONE, 30, WEATHER_BEGINS, None, 0, LEAD)
    grid = day_grid(clock, first, last, COUNTRY, last, REGION)
    long = day_grid(clock, min(WEATHER_BEGINS, first), last, COUNTRY, last, REGION)
    every = clock.intervals(long.days[0], last)
    load, pv = grid.cube(readings[["demand_mw", "pv_power_mw"]].to_numpy(float).T, starts)
    known = readings[["demand_mw", "pv_power_mw"]].notna().all(axis=1).to_numpy()
    count = np.bincount(grid.positions(starts)[0][known], minlength=len(grid.days))
    own = len(long.days) - len(grid.days)
    temperature, irradiance = (_laid_out(long, every, weather, name) for name in ("temperature", "solar_irradiance"))
    sky = Sun.over(clock.intervals(first, last), clock.interval, LATITUDE, LONGITUDE, ALTITUDE_M).table
    elevation = grid.cube(sky["solar_elevation_degree"].to_numpy()[None], pd.DatetimeIndex(sky.index))[0]
    normals = (_normal(long.days, values)[own:] for values in (temperature, irradiance))
    sun = np.sin(np.radians(np.nan_to_num(elevation, nan=-90.0)))  # where clocks skip an hour it is night
    whole = (count == 48) & np.array([len(clock.intervals(day)) == 48 for day in grid.days])
    return PodDays(grid.days, grid.kinds, load, pv, temperature[own:], irradiance[own:], *normals, sun, whole)


def _laid_out(grid: DayGrid, every: pd.DatetimeIndex, weather: pd.DataFrame, name: str) -> np.ndarray:
    """Mean of the stations, each half-hour with the value of its hour; gaps keep the last value, never a later one."""
    mean = weather[[column for column in weather if column.startswith(f"{name}_")]].mean(axis=1)
    hourly = pd.Series(mean.to_numpy(float), pd.DatetimeIndex(weather["timestamp_utc"])).ffill()
    return grid.cube(hourly.reindex(every.floor("h")).ffill().to_numpy()[None], every)[0]


def _normal(days: tuple[date, ...], values: np.ndarray) -> np.ndarray:
    """Mean of the same time of year in all earlier years [days, 48]; NaN in the first."""
    year, of_year = (np.array([part(day) for day in days]) for part in (lambda day: day.year, lambda day: day.timetuple().tm_yday))
    apart = np.abs(of_year[:, None] - of_year)
    near = (np.minimum(apart, 365 - apart) <= NORMAL_DAYS) & (year < year[:, None])
    filled = np.nan_to_num(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (near @ filled) / (near @ np.isfinite(values).astype(float))


# -- the load -----------------------------------------------------------------------------------------------------


def load_forecasts(pod: PodDays, first: int, own_weather: bool = False) -> np.ndarray:
    """Expected evening loads [days, 11], MW, of the days from position ``first`` on; NaN before.

    The mean of two ridge regressions per half-hour, fitted anew every week: one of the load in units of the last week's evenings, with
    lagged weather, and one of the evening's shape (its share of the evening's mean), which has less to learn. ``own_weather``: with the
    weather of the day itself, as if it were known.
    """
    evening = taught_evenings(pod.load_mw)
    level = before(evening.mean(1, keepdims=True), WEEK)
    day = _calendar(pod)
    sun = _sun_terms(pod)
    coming = _coming_weather(pod) if own_weather else []
    like, like_longer = (mean_of_like(evening, pod.kinds, count) for count in (5, 10))
    base = [before(evening, WEEK) / level, like / level, like_longer / level, mean_of_like(evening, pod.kinds, 4, 7) / level]
    seasons = season(pod.days)[:, :4]
    seasonal = [*seasons.T, *(seasons[:, :2] * (pod.kinds > 0)[:, None]).T]
    terms = [*base, *sun, *_past_weather(pod), *day, *(_all_evening(one) for one in seasonal), *coming]
    by_level = rolling_ridge(terms, evening / level, first, LEVEL_PENALTY) * level
    shape = evening / evening.mean(1, keepdims=True)
    terms = [before(shape, WEEK), *(mean_of_like(shape, pod.kinds, count) for count in (5, 10)), *sun, *day, *coming]
    by_shape = rolling_ridge(terms, shape, first, SHAPE_PENALTY)
    return (by_level + by_shape * by_level.mean(1, keepdims=True)) / 2


def load_scenarios(pod: PodDays, forecasts: np.ndarray, target: int) -> np.ndarray:
    """Evenings [scenarios, 11], MW: the target's forecast with the relative errors of whole past evenings, up to 300 of the last ones."""
    errors = (taught_evenings(pod.load_mw) / forecasts - 1)[: target - LEAD + 1]
    known = errors[np.isfinite(errors).all(1)][-MOST_ERRORS:]
    return forecasts[target] * (1 + known) if len(known) else forecasts[target][None]


def taught_evenings(load_mw: np.ndarray) -> np.ndarray:
    """Evenings [days, 11] of days that the network was as it is; NaN on others, judged by the day itself and the four weeks before it."""
    evening = load_mw[:, EVENING]
    usual = pd.Series(evening.mean(1)).rolling(28, min_periods=3).median().shift(1).to_numpy()
    with np.errstate(invalid="ignore"):
        odd = (_quiet(np.nanmin, load_mw, 1) < LEAST_SHARE * usual) | (np.abs(evening.mean(1) / usual - 1) > MOST_APART)
    return np.where(odd[:, None], np.nan, evening)


def rolling_ridge(terms: list[np.ndarray], answers: np.ndarray, first: int, penalty: float) -> np.ndarray:
    """Predictions [days, intervals] from position ``first`` on, each week's by a regression on the days up to LEAD before it."""
    rows = np.nan_to_num(np.stack(terms, -1))
    made = np.full(answers.shape, np.nan)
    weights = (np.isfinite(answers).all(1) & (np.arange(len(answers)) >= FIRST_TAUGHT)).astype(float)
    for begin in range(first, len(answers), REFIT_DAYS):
        past, week = slice(0, begin - LEAD + 1), slice(begin, begin + REFIT_DAYS)
        made[week] = fit_hourly_ridge(rows[past], answers[past], weights[past], penalty).predict(rows[week])
    return made


def before(values: np.ndarray, lags: range | tuple[int, ...]) -> np.ndarray:
    """Mean of what was so many days before [days, ...], of those that are known."""
    return _quiet(np.nanmean, np.stack([_lagged(values, lag) for lag in lags]), 0)


def mean_of_like(values: np.ndarray, kinds: np.ndarray, count: int, every: int = 1) -> np.ndarray:
    """Mean of the last ``count`` known days of the same kind [days, intervals], of the last nine weeks.

    ``every`` 7: of the same weekday, where there is one.
    """
    known = np.isfinite(values).all(1)
    made = np.full(values.shape, np.nan)
    for day in range(LEAD, len(values)):
        for step, nearest in ((every, max(every, LEAD)), (1, LEAD)):
            past = np.arange(day - nearest, max(day - 64, -1), -step)
            past = past[known[past] & (kinds[past] == kinds[day])][:count]
            if len(past):
                made[day] = values[past].mean(0)
                break
    return made


def _sun_terms(pod: PodDays) -> list[np.ndarray]:
    """Where the sun stands and how dark it is, now and by how much more than on the days that the forecast starts from."""
    sun = pod.sun[:, EVENING]
    dark = 1 / (1 + np.exp(sun / TWILIGHT))
    starts = (partial(before, lags=WEEK), partial(mean_of_like, kinds=pod.kinds, count=5))
    return [sun, dark, *(values - start(values) for start in starts for values in (sun, dark))]


def _past_weather(pod: PodDays) -> list[np.ndarray]:
    """How the weather of the days that the forecast starts from was unlike what is normal on the target day."""
    terms = []
    for values, normal, unit in _weather(pod):
        terms += [
            (normal - before(values, WEEK)) / unit,
            (before(values, WEEK) - mean_of_like(values, pod.kinds, 5)) / unit,
            _lagged(values - normal, LEAD) / unit,
        ]
    return terms


def _coming_weather(pod: PodDays) -> list[np.ndarray]:
    """How the weather of the target day is unlike that of the days that the forecast starts from: nothing that can be known."""
    terms = []
    for values, normal, unit in _weather(pod):
        like = mean_of_like(values, pod.kinds, 5)
        terms += [(values - before(values, WEEK)) / unit, (values - like) / unit, (values - normal) / unit]
    return terms


def _weather(pod: PodDays) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Values, what is normal, and a unit that makes both moderate numbers."""
    of_sun = (pod.irradiance_w_m2[:, EVENING], pod.normal_irradiance_w_m2[:, EVENING], 300.0)
    return [of_sun, (pod.temperature_degc[:, EVENING], pod.normal_temperature_degc[:, EVENING], 10.0)]


def _calendar(pod: PodDays) -> list[np.ndarray]:
    """Weekdays, holidays and the days beside them, the Christmas season, all [days, 11]."""
    holidays = PublicHolidays.of(COUNTRY, REGION, pod.days[0], pod.days[-1])
    free, eve, after = (holidays.on([day + timedelta(days=step) for day in pod.days]) for step in (0, 1, -1))
    weekday = np.array([day.weekday() for day in pod.days])
    in_year = np.array([100 * day.month + day.day for day in pod.days])
    terms = [(weekday == n) & ~free for n in range(7)] + [free, eve, after, (in_year >= 1223) | (in_year <= 101), in_year == 1225]
    return [_all_evening(term) for term in terms]


def _all_evening(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values, float)[:, None], EVENING.stop - EVENING.start, axis=1)


def _lagged(values: np.ndarray, days: int) -> np.ndarray:
    made = np.full(values.shape, np.nan)
    made[days:] = values[:-days]
    return made


def _quiet(statistic: Callable, values: np.ndarray, axis: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing known gives NaN, as it should
        return statistic(values, axis=axis)


# -- PV power -----------------------------------------------------------------------------------------------------


def pv_scenarios(pod: PodDays, target: int) -> np.ndarray:
    """PV power [scenarios, 31], MW: the last 40 known days and those of a month around the day a year ago, each as the sun stands on the target.

    Days without power are outages. No scenario is above what the site ever gave.
    """
    newest = target - LEAD + 1
    a_year_ago = np.arange(target - 365 - PV_LAST_YEAR_DAYS, min(target - 365 + PV_LAST_YEAR_DAYS + 1, newest))
    chosen = np.concatenate([a_year_ago[a_year_ago >= 0], np.arange(max(newest - PV_DAYS, 0), newest)])
    power = pod.pv_mw[chosen]
    chosen = chosen[np.isfinite(power).all(1) & (np.nan_to_num(power).sum(1) / 2 > LEAST_PV_MWH)]
    sun = np.maximum(pod.sun[:, CHARGING], 0.0) + SUN_OFFSET
    scaled = pod.pv_mw[chosen, CHARGING] * np.clip(sun[target] / sun[chosen], *SUN_RANGE)
    return np.minimum(scaled, np.nanmax(pod.pv_mw[:newest]))


def mean_pv(pod: PodDays, target: int) -> np.ndarray:
    """Mean PV power of D-2 to D-8 as a single scenario [1, 31], MW."""
    return before(pod.pv_mw[: target + 1, CHARGING], WEEK)[target:]
