"""Demand forecasts of all nodes for one issue time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.champion import CALENDAR_WEATHER, TRAINING_DAYS
from grid_assets.forecasting.day_cubes import DayGrid, NoHistoryError, WeatherCubes, day_grid, first_day, known_cube, load_kw, weather_cubes
from grid_assets.forecasting.like_days import DEMAND, weekly_naive
from grid_assets.foundation.calendar import SiteCalendar

WEEKLY_NAIVE = "weekly_naive"
LONGEST_HISTORY = 400


@dataclass(frozen=True)
class ForecastMade:
    """What one forecast run made."""

    forecasts: pd.DataFrame
    models: pd.DataFrame
    messages: tuple[str, ...]
    """What an analyst should know: nodes without data, too short a history."""


def forecast_demand(
    node_loads: pd.DataFrame,
    features: pd.DataFrame | None,
    nodes: Sequence[str],
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    known_until: datetime | None = None,
) -> ForecastMade:
    """Forecasts each node from the issue time of ``day`` to the end of its study day.

    ``node_loads``: rows of metering/node_loads of the history and ``day``. ``features``: rows of weather/features with a
    column ``day``, the partition each row comes from; None or empty for a site without weather. ``known_until`` (default:
    the issue time): nothing later is looked at, nor anything after ``day``. Returns rows of forecasting/demand_forecasts
    and forecasting/models. Raises NoHistoryError when no node has a known value.
    """
    until = known_until or clock.issue_time(day)
    grid = day_grid(clock, first_day(node_loads, clock, day, LONGEST_HISTORY), day, country)
    loads = node_loads[["node_id", "start_utc"]].assign(kw=load_kw(node_loads, clock.interval_hours))
    power = known_cube(grid, loads, "node_id", "kw", nodes, until)
    known = np.isfinite(power).any(axis=(1, 2))
    if not known.any():
        raise NoHistoryError(
            f"no load is known of {', '.join(nodes) or 'any node'} on {grid.days[0]}..{day} before {until.isoformat()}; "
            "expected at least one day of metering/node_loads: run metering for the days before"
        )
    kept = [node for node, has in zip(nodes, known, strict=True) if has]
    made = forecast_cube(grid, kept, power[known], weather_cubes(grid, features, until))
    return ForecastMade(made.forecasts, made.models, tuple(_messages(grid, nodes, known, made.models)))


def forecast_cube(grid: DayGrid, nodes: Sequence[str], power: np.ndarray, weather: WeatherCubes | None) -> ForecastMade:
    """The same from power [nodes, days, slots] and weather that hold nothing but what was known."""
    rolls = champion.roll(grid, power, weather, DEMAND, weekly_naive)
    verdict = champion.contest(grid, power, rolls)
    mean, bands = champion.published(grid, power, rolls, verdict.keeps_model)
    model = [CALENDAR_WEATHER if keeps else WEEKLY_NAIVE for keeps in verdict.keeps_model]
    seen = champion.weather_digest(weather)
    versions = [champion.model_version(grid, name, power[n], seen) for n, name in enumerate(model)]
    forecasts = champion.forecast_rows(grid, "node_id", list(nodes), mean, bands, model, versions)
    return ForecastMade(forecasts, model_rows(grid, nodes, model, versions, verdict), ())


def model_rows(grid: DayGrid, subjects: Sequence[str], model: list[str], versions: list[str], verdict: champion.Contest) -> pd.DataFrame:
    """Which model was chosen for each subject, and why."""
    return pd.DataFrame(
        {
            "subject_id": list(subjects),
            "model": model,
            "model_version": versions,
            "trained_from_utc": pd.Timestamp(grid.clock.midnight(grid.days[0])),
            "trained_to_utc": pd.Timestamp(grid.clock.bounds(grid.day)[1]),
            "backtest_mae_kw": verdict.model_mae,
            "naive_mae_kw": verdict.naive_mae,
            "beats_naive": verdict.keeps_model,
        }
    )


def _messages(grid: DayGrid, nodes: Sequence[str], known: np.ndarray, models: pd.DataFrame) -> list[str]:
    said = [f"{node}: nothing known on {grid.days[0]}..{grid.day}, not forecast" for node, has in zip(nodes, known, strict=True) if not has]
    if grid.known < TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS:
        said.append(
            f"only {grid.known} days of history: the weekly naive is published with wide quantiles; "
            f"the model needs {TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS} days"
        )
    else:
        said += [f"{row.subject_id}: the weekly naive did better and is published" for row in models[~models["beats_naive"]].itertuples()]
    return said
