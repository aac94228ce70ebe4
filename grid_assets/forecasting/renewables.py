"""Forecasts of every plant's generation for one issue time."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.champion import PERSISTENCE
from grid_assets.forecasting.day_cubes import (
    DayGrid,
    NoHistoryError,
    WeatherCubes,
    day_grid,
    features_as_of,
    first_day,
    known_cube,
    weather_cubes,
)
from grid_assets.forecasting.demand import LONGEST_HISTORY, ForecastMade, model_rows
from grid_assets.forecasting.like_days import PERSISTENT, PV, WIND, Recipe
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, RENEWABLE_FORECASTS, RENEWABLE_MODELS
from grid_assets.foundation.calendar import SiteCalendar

RECIPES: dict[str, Recipe] = {"pv": PV, "wind": WIND}
SUN_BELOW_HORIZON_DEGREE = -3.0
"""Below this, at the middle of an interval, no part of a quarter or half hour sees the sun."""


def forecast_renewables(
    generation: pd.DataFrame,
    plants: pd.DataFrame,
    features: pd.DataFrame | None,
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    known_until: datetime | None = None,
) -> ForecastMade:
    """Forecasts each plant from the issue time of ``day`` to the end of its study day.

    ``generation``: meter_id, start_utc, energy_kwh of the plants' meters, history and ``day``. ``plants``: the register.
    ``features``, ``known_until``: as for forecast_demand. The regression over weather is chosen per kind of plant and only
    where it beats persistence (the last known day) in the back-test; biomass and hydro have like-day means against it.
    Returns rows of forecasting/renewable_forecasts and forecasting/renewable_models; no rows for a site without plants.
    Raises NoHistoryError when there are plants but no known generation at all.
    """
    if plants.empty:
        return ForecastMade(RENEWABLE_FORECASTS.empty().to_pandas(), RENEWABLE_MODELS.empty().to_pandas(), ("the site has no plants",))
    until = known_until or clock.issue_time(day)
    grid = day_grid(clock, first_day(generation, clock, day, LONGEST_HISTORY), day, country)
    measured = generation[["meter_id", "start_utc"]].assign(kw=generation["energy_kwh"].astype(float) / clock.interval_hours)
    ordered = plants.sort_values("plant_id", ignore_index=True)
    power = known_cube(grid, measured, "meter_id", "kw", ordered["meter_id"].tolist(), until)
    known = np.isfinite(power).any(axis=(1, 2))
    if not known.any():
        raise NoHistoryError(
            f"no generation is known of any of {len(plants)} plants on {grid.days[0]}..{day} before {until.isoformat()}; "
            "expected readings of the meters that the plant register names"
        )
    messages = [
        f"{plant}: nothing known on {grid.days[0]}..{day}, not forecast"
        for plant, has in zip(ordered["plant_id"], known, strict=True)
        if not has
    ]
    weather = weather_cubes(grid, features_as_of(features, clock, day, until), until)
    made = [_kind(grid, str(kind), rows, power[rows.index.to_numpy()], weather) for kind, rows in ordered[known].groupby("kind", sort=True)]
    forecasts = pd.concat([one.forecasts for one in made], ignore_index=True).assign(issued_utc=pd.Timestamp(until).tz_convert("UTC"))
    models = pd.concat([one.models for one in made], ignore_index=True)
    messages += [f"{row.subject_id}: persistence did better and is published" for row in models[~models["beats_naive"]].itertuples()]
    return ForecastMade(forecasts, models, tuple(messages))


def _kind(grid: DayGrid, kind: str, plants: pd.DataFrame, power: np.ndarray, weather: WeatherCubes | None) -> ForecastMade:
    rating = plants["rating_kw"].to_numpy(float)
    rolls = champion.roll(grid, power, weather, RECIPES.get(kind, PERSISTENT), PERSISTENCE, rating)
    verdict = _verdict_of_kind(champion.contest(grid, power, rolls))
    model = str(verdict.chosen[0])
    mean, bands = champion.published(grid, power, rolls, [model] * len(plants))
    mean, bands = _possible(mean, rating), _possible(bands, rating)
    if kind == "pv":
        lit = _daylight(grid, power, weather)
        mean, bands = mean * lit, bands * lit
    version = champion.model_version(grid, f"{kind} {model}", power, champion.weather_digest(weather))
    names = plants["plant_id"].tolist()
    forecasts = champion.forecast_rows(grid, "plant_id", names, mean, bands, [model] * len(names), [version] * len(names))
    return ForecastMade(forecasts, model_rows(grid, [kind], [model], [version], verdict), ())


def _verdict_of_kind(contest: champion.Contest) -> champion.Contest:
    """One choice for all plants of a kind: by the sum of their errors."""
    errors = {name: np.array([np.nansum(each)]) for name, each in contest.errors.items()}
    enough = contest.backtest_days >= champion.MINIMUM_BACKTEST_DAYS
    best = min(errors, key=lambda name: errors[name][0]) if enough else next(iter(errors))
    return champion.Contest(np.array([best]), errors, contest.backtest_days)


def _possible(power: np.ndarray, rating: np.ndarray) -> np.ndarray:
    """Between nothing and the rating; ``power`` [..., plants, intervals]."""
    return np.clip(power, 0.0, rating[:, None])


def _daylight(grid: DayGrid, power: np.ndarray, weather: WeatherCubes | None) -> np.ndarray:
    """1 where the sun may be up, 0 at night [intervals]; without weather: where any plant ever generated at that time of day."""
    issue = grid.known - 1
    day, slot = grid.positions(grid.horizon)
    ever = np.nan_to_num(np.fmax.reduce(power, axis=(0, 1)))[slot] > 0
    if weather is None:
        return ever.astype(float)
    expected = [weather.expected("solar_elevation_degree", issue, target) for target in range(grid.known, len(grid.days))]
    elevation = np.array(expected)[day - grid.known, slot]
    return np.where(np.isnan(elevation), ever, elevation > SUN_BELOW_HORIZON_DEGREE).astype(float)


def totals_by_kind(forecasts: pd.DataFrame, plants: pd.DataFrame) -> pd.DataFrame:
    """Forecasts summed over the plants of a kind, for pictures: quantiles add up as if all plants erred together."""
    kinds = forecasts[["plant_id"]].merge(plants[["plant_id", "kind"]], on="plant_id", how="left")["kind"].to_numpy()
    return forecasts.assign(kind=kinds).groupby(["kind", "start_utc"], as_index=False)[["mean_kw", *QUANTILE_COLUMNS]].sum()
