"""Models against the naive: back-test, choice, and the published forecast with its quantiles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

import numpy as np
import pandas as pd

from grid_assets.forecasting.conformal import error_quantiles
from grid_assets.forecasting.day_cubes import DayGrid, WeatherCubes
from grid_assets.forecasting.like_days import Recipe, daily_naive, design, weekly_naive
from grid_assets.forecasting.rolling_ridge import rolling_predictions
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, QUANTILES

BACKTEST_DAYS = 28
TRAINING_DAYS = 14
MINIMUM_BACKTEST_DAYS = 4
TRUSTED_ERROR_DAYS = 14
CONFIGURATION = "calendar_weather 1: like-day differences, hourly ridge, conformal 28 days; ensemble 1; parents_share 1"
WEEKLY_NAIVE, PERSISTENCE, CALENDAR_WEATHER, PARENTS_SHARE, ENSEMBLE = (
    "weekly_naive", "persistence", "calendar_weather", "parents_share", "ensemble",
)  # fmt: skip
NAIVES = {WEEKLY_NAIVE: weekly_naive, PERSISTENCE: daily_naive}


@dataclass(frozen=True)
class Rolled:
    """Forecasts of one lead: of the back-test days and, last, of the horizon's day."""

    lead: int
    targets: np.ndarray
    level: np.ndarray
    """[subjects, targets], kW"""
    forecasts: Mapping[str, np.ndarray]
    """By model, the naive first [subjects, targets, slots], kW; NaN for subjects that it cannot be made for."""
    quantiles: Mapping[str, np.ndarray]
    """Of the horizon's day by a model's own lights [levels, subjects, slots], kW; the bands of others come from their errors."""

    def chosen(self, models: Sequence[str]) -> np.ndarray:
        """Each subject's forecasts by the model that is named for it; the naive's where that has none."""
        made = next(iter(self.forecasts.values())).copy()
        for name, values in self.forecasts.items():
            rows = np.flatnonzero(np.asarray(models) == name)
            made[rows] = np.where(np.isfinite(values[rows]), values[rows], made[rows])
        return made

    def with_model(self, name: str, forecasts: np.ndarray, quantiles: np.ndarray | None = None) -> Rolled:
        own = self.quantiles if quantiles is None else {**self.quantiles, name: quantiles}
        return replace(self, forecasts={**self.forecasts, name: forecasts}, quantiles=own)


@dataclass(frozen=True)
class Contest:
    """How the models did on the back-test days, per subject, and which is published."""

    chosen: np.ndarray
    """Names of models [subjects]."""
    errors: Mapping[str, np.ndarray]
    """Mean absolute error by model, the naive first [subjects], kW; NaN where it cannot be made."""
    backtest_days: int

    def error_of_chosen(self) -> np.ndarray:
        """What the published model missed; where that is the naive, what the best of the others did."""
        naive, *others = self.errors
        best = np.fmin.reduce([self.errors[name] for name in others]) if others else self.errors[naive]
        made = best.copy()
        for name in others:
            made = np.where(self.chosen == name, self.errors[name], made)
        return made

    def beats_naive(self) -> np.ndarray:
        return self.chosen != next(iter(self.errors))


def roll(
    grid: DayGrid, power: np.ndarray, weather: WeatherCubes | None, recipe: Recipe, naive: str, rating: np.ndarray | None = None
) -> list[Rolled]:
    """The like-day model's and a naive's (one of NAIVES) forecast of every lead and its back-test, each day from what was known at its
    own issue time.
    """
    made = []
    for lead in range(1, len(grid.days) - grid.known + 1):
        horizon = grid.known - 1 + lead
        first = max(lead, horizon - lead - backtest_days(grid) + 1)
        targets = np.array([*range(first, grid.known), horizon])
        plan = design(grid, power, weather, lead, recipe, rating)
        simple = np.stack([NAIVES[naive](power, int(target), lead) for target in targets], axis=1)
        model = rolling_predictions(plan, power, lead, targets)
        made.append(Rolled(lead, targets, plan.level[:, targets], {naive: simple, CALENDAR_WEATHER: model}, {}))
    return made


def backtest_days(grid: DayGrid) -> int:
    """How many of the last days are forecast again: 28, fewer where less than that lies behind the training days."""
    return min(BACKTEST_DAYS, max(grid.known - TRAINING_DAYS, min(grid.known - 1, 7)))


def errors_of(rolled: Rolled, forecast: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Actual less forecast on the back-test days, kW."""
    return power[:, rolled.targets[:-1]] - forecast[:, :-1]


def contest(grid: DayGrid, power: np.ndarray, rolls: list[Rolled]) -> Contest:
    """Compares mean absolute errors over the hours up to the study day, of all back-test days; without enough of them the naive stays.

    A subject's models are judged on the hours for which all of them have a forecast; of equal ones the first stays.
    """
    issue_slot, names = grid.clock.issue_hour * 60 // grid.clock.interval_minutes, list(rolls[0].forecasts)
    judged = [one for one in rolls if one.lead <= grid.clock.study_day_offset]
    missed = np.stack([
        np.concatenate([errors_of(one, one.forecasts[name], power)[..., issue_slot if one.lead == 1 else 0 :].reshape(len(power), -1)
                        for one in judged], axis=1)
        for name in names
    ])  # fmt: skip
    known = np.isfinite(missed)
    there = known.any(axis=2)
    common = (known | ~there[..., None]).all(axis=0)
    count = common.sum(axis=1)
    sums = np.where(common & known, np.abs(missed), 0.0).sum(axis=2)
    errors = np.where(there & (count > 0), sums / np.where(count, count, 1), np.nan)
    days = grid.known - TRAINING_DAYS
    best = np.argmin(np.where(np.isnan(errors), np.inf, errors), axis=0) if days >= MINIMUM_BACKTEST_DAYS else np.zeros(len(power), int)
    if PARENTS_SHARE in names:  # a few days tell a share; a model of the node's own that was judged on one or two of them was lucky
        judged_days = np.isfinite(power[:, rolls[0].targets[:-1]]).any(axis=2).sum(axis=1)
        borrows = np.isfinite(rolls[0].forecasts[PARENTS_SHARE][:, -1]).any(axis=1)
        best = np.where((judged_days < MINIMUM_BACKTEST_DAYS) & borrows, names.index(PARENTS_SHARE), best)
    return Contest(np.array(names)[best], dict(zip(names, errors, strict=True)), min(BACKTEST_DAYS, max(days, 0)))


def published(grid: DayGrid, power: np.ndarray, rolls: list[Rolled], models: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean [subjects, intervals] and quantiles [levels, subjects, intervals] of the horizon by each subject's model, kW; not below zero
    where ``power`` never was.
    """
    day, slot = grid.positions(grid.horizon)
    mean = np.full((len(power), len(day)), np.nan)
    bands = np.full((len(QUANTILES), len(power), len(day)), np.nan)
    hour = slot * 24 // grid.slots
    for one in rolls:
        chosen = one.chosen(models)
        here = np.flatnonzero(day == one.targets[-1])
        mean[:, here] = chosen[:, -1][:, slot[here]]
        spread = spread_of(one, chosen, power, QUANTILES)
        bands[:, :, here] = mean[:, here] + spread[:, :, hour[here]]
        for name, quantiles in one.quantiles.items():
            own, theirs = quantiles[:, :, slot[here]], (np.asarray(models) == name)[None, :, None]
            bands[:, :, here] = np.where(theirs & np.isfinite(own), own, bands[:, :, here])
    low = floor(power)[:, None]
    return np.maximum(mean, low), np.maximum(np.maximum.accumulate(bands, axis=0), low)


def floor(power: np.ndarray) -> np.ndarray:
    """The least that may be expected of each subject [subjects], kW: 0, or minus infinity for one that has fed back."""
    return np.where(np.fmin.reduce(power.reshape(len(power), -1), axis=1) < 0, -np.inf, 0.0)


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
