"""Model against naive: back-test, choice, and the published forecast with its quantiles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import numpy as np
import pandas as pd

from grid_assets.forecasting.conformal import error_quantiles
from grid_assets.forecasting.day_cubes import DayGrid, WeatherCubes
from grid_assets.forecasting.like_days import Recipe, design
from grid_assets.forecasting.rolling_ridge import rolling_predictions
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, QUANTILES

BACKTEST_DAYS = 28
TRAINING_DAYS = 14
MINIMUM_BACKTEST_DAYS = 4
TRUSTED_ERROR_DAYS = 14
CONFIGURATION = "calendar_weather 1: like-day differences, hourly ridge, conformal 28 days; ensemble 1"
CALENDAR_WEATHER, ENSEMBLE = "calendar_weather", "ensemble"
Naive = Callable[[np.ndarray, int, int], np.ndarray]


@dataclass(frozen=True)
class Rolled:
    """Forecasts of one lead [subjects, targets, slots], kW: of the back-test days and, last, of the horizon's day."""

    lead: int
    targets: np.ndarray
    model: np.ndarray
    naive: np.ndarray
    level: np.ndarray
    """[subjects, targets]"""
    ensemble: np.ndarray | None = None
    """NaN for subjects that have none; None: nobody has one."""
    ensemble_quantiles: np.ndarray | None = None
    """Of the horizon's day [levels, subjects, slots]."""

    def chosen(self, contest: Contest) -> np.ndarray:
        """The winner's forecasts."""
        kept = np.where(contest.keeps_model[:, None, None], self.model, self.naive)
        if self.ensemble is None:
            return kept
        return np.where(contest.keeps_ensemble[:, None, None] & np.isfinite(self.ensemble), self.ensemble, kept)


@dataclass(frozen=True)
class Contest:
    """Who won, per subject, on the back-test days."""

    keeps_model: np.ndarray
    model_mae: np.ndarray
    naive_mae: np.ndarray
    backtest_days: int
    keeps_ensemble: np.ndarray
    """Where it does, ``keeps_model`` is False."""
    ensemble_mae: np.ndarray
    """NaN where there is none."""

    def for_all(self, subjects: int) -> Contest:
        """A verdict over a whole group, for each of its subjects."""
        each = (
            np.repeat(one, subjects) for one in (self.keeps_model, self.model_mae, self.naive_mae, self.keeps_ensemble, self.ensemble_mae)
        )
        keeps_model, model_mae, naive_mae, keeps_ensemble, ensemble_mae = each
        return Contest(keeps_model, model_mae, naive_mae, self.backtest_days, keeps_ensemble, ensemble_mae)


def roll(
    grid: DayGrid, power: np.ndarray, weather: WeatherCubes | None, recipe: Recipe, naive: Naive, rating: np.ndarray | None = None
) -> list[Rolled]:
    """The forecast of every lead and its back-test, each day from what was known at its own issue time."""
    made = []
    for lead in range(1, len(grid.days) - grid.known + 1):
        horizon = grid.known - 1 + lead
        first = max(lead, horizon - lead - backtest_days(grid) + 1)
        targets = np.array([*range(first, grid.known), horizon])
        plan = design(grid, power, weather, lead, recipe, rating)
        simple = np.stack([naive(power, int(target), lead) for target in targets], axis=1)
        model = rolling_predictions(plan, power, lead, targets)
        made.append(Rolled(lead, targets, model, simple, plan.level[:, targets]))
    return made


def backtest_days(grid: DayGrid) -> int:
    """How many of the last days are forecast again: 28, fewer where less than that lies behind the training days."""
    return min(BACKTEST_DAYS, max(grid.known - TRAINING_DAYS, min(grid.known - 1, 7)))


def errors_of(rolled: Rolled, forecast: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Actual less forecast on the back-test days, kW."""
    return power[:, rolled.targets[:-1]] - forecast[:, :-1]


def contest(grid: DayGrid, power: np.ndarray, rolls: list[Rolled]) -> Contest:
    """Compares mean absolute errors over the hours up to the study day, of all back-test days; without enough of them the naive stays."""
    issue_slot = grid.clock.issue_hour * 60 // grid.clock.interval_minutes

    def mean_error(forecasts_of: Callable[[Rolled], np.ndarray | None]) -> np.ndarray:
        made = [(one, forecasts_of(one)) for one in rolls if one.lead <= grid.clock.study_day_offset]
        errors = [
            errors_of(one, forecasts, power)[..., issue_slot if one.lead == 1 else 0 :].reshape(len(power), -1)
            for one, forecasts in made
            if forecasts is not None
        ]
        return _mean_absolute(np.concatenate(errors, 1)) if errors else np.full(len(power), np.nan)

    model, naive, ensemble = mean_error(lambda one: one.model), mean_error(lambda one: one.naive), mean_error(lambda one: one.ensemble)
    days = grid.known - TRAINING_DAYS
    enough = days >= MINIMUM_BACKTEST_DAYS
    best = np.fmin(model, naive)
    keeps_ensemble = (ensemble < best) & enough
    return Contest((model < naive) & enough & ~keeps_ensemble, model, naive, min(BACKTEST_DAYS, max(days, 0)), keeps_ensemble, ensemble)


def _mean_absolute(errors: np.ndarray) -> np.ndarray:
    good = np.isfinite(errors)
    return np.where(good, np.abs(errors), 0.0).sum(1) / np.where(good.any(1), good.sum(1), np.nan)


def published(grid: DayGrid, power: np.ndarray, rolls: list[Rolled], contest: Contest) -> tuple[np.ndarray, np.ndarray]:
    """Mean [subjects, intervals] and quantiles [levels, subjects, intervals] of the horizon, kW."""
    day, slot = grid.positions(grid.horizon)
    mean = np.full((len(power), len(day)), np.nan)
    bands = np.full((len(QUANTILES), len(power), len(day)), np.nan)
    hour = slot * 24 // grid.slots
    for one in rolls:
        chosen = one.chosen(contest)
        here = np.flatnonzero(day == one.targets[-1])
        mean[:, here] = chosen[:, -1][:, slot[here]]
        spread = spread_of(one, chosen, power, QUANTILES)
        bands[:, :, here] = mean[:, here] + spread[:, :, hour[here]]
        if one.ensemble_quantiles is not None:
            own = one.ensemble_quantiles[:, :, slot[here]]
            bands[:, :, here] = np.where(contest.keeps_ensemble[None, :, None] & np.isfinite(own), own, bands[:, :, here])
    return mean, np.maximum.accumulate(bands, axis=0)


def spread_of(one: Rolled, chosen: np.ndarray, power: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of the error to expect on the horizon's day [levels, subjects, hours], kW, in step with the subject's level.

    Errors of less than a fortnight tell little: they are stretched, up to twofold. Without a single one the band is as wide
    as all that the subject did so far, or its level.
    """
    now = one.level[:, -1]
    known = power.reshape(len(power), -1)
    span = np.fmax(np.fmax.reduce(known, axis=1) - np.fmin.reduce(known, axis=1), now)
    widest = np.array([2 * share - 1 for share in levels])[:, None, None] * np.repeat(span[None, :, None], 24, axis=2)
    errors = errors_of(one, chosen, power)
    if not errors.shape[1]:
        return widest
    days = np.isfinite(errors).any(axis=2).sum(axis=1)
    stretch = 1.0 + np.maximum(0, TRUSTED_ERROR_DAYS - days) / TRUSTED_ERROR_DAYS
    spread = error_quantiles(errors / one.level[:, :-1, None], levels) * (now * stretch)[None, :, None]
    return np.where(np.isnan(spread), widest, spread)


def forecast_rows(
    grid: DayGrid, subject: str, names: list[str], mean: np.ndarray, bands: np.ndarray, model: list[str], version_: list[str]
) -> pd.DataFrame:
    """Mean and quantiles as rows of a forecast table."""
    starts, count = grid.horizon, len(grid.horizon)
    columns = {subject: np.repeat(names, count), "issued_utc": pd.Timestamp(grid.clock.issue_time(grid.day))}
    columns |= {"start_utc": np.tile(starts, len(names)), "mean_kw": mean.reshape(-1)}
    columns |= {name: bands[n].reshape(-1) for n, name in enumerate(QUANTILE_COLUMNS)}
    columns |= {"model": np.repeat(model, count), "model_version": np.repeat(version_, count)}
    frame = pd.DataFrame(columns)
    frame["start_utc"] = pd.DatetimeIndex(frame["start_utc"]).tz_localize("UTC") if frame["start_utc"].dt.tz is None else frame["start_utc"]
    return frame


def model_version(grid: DayGrid, model: str, *data: np.ndarray) -> str:
    """A hash of the configuration, the data that the model was trained on and the versions of what computes it."""
    digest = hashlib.sha256(f"{CONFIGURATION};{model};{grid.days[0]};{grid.day};{library_versions()}".encode())
    for array in data:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


@cache
def library_versions() -> str:
    return ";".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "holidays", "lightgbm"))


def weather_digest(weather: WeatherCubes | None) -> np.ndarray:
    """A hash of all weather that a model saw, for its version."""
    digest = hashlib.sha256()
    if weather is not None:
        for cubes in (weather.observed, *(weather.forecast[issue] for issue in sorted(weather.forecast))):
            for cube in cubes.values():
                digest.update(np.ascontiguousarray(cube).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
