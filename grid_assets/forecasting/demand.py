"""Demand forecasts of all nodes for one issue time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.champion import CALENDAR_WEATHER, ENSEMBLE, PARENTS_SHARE, TRAINING_DAYS, WEEKLY_NAIVE
from grid_assets.forecasting.day_cubes import DayGrid, NoHistoryError, WeatherCubes, day_grid, first_day, known_cube, load_kw, weather_cubes
from grid_assets.forecasting.ensemble.candidates import candidates
from grid_assets.forecasting.ensemble.node_models import MINIMUM_TRAINING_DAYS, Fitted, NodeHistory
from grid_assets.forecasting.ensemble.trees import unavailable
from grid_assets.forecasting.like_days import DEMAND
from grid_assets.forecasting.odd_input import remarks
from grid_assets.forecasting.parents_share import with_parents_shares
from grid_assets.forecasting.promotions import held
from grid_assets.foundation.calendar import SiteCalendar

LONGEST_HISTORY = 400
"""Days that the like-day model looks at, at most."""
ENSEMBLE_HISTORY = 5 * 366
"""Days that the ensemble looks at."""


@dataclass(frozen=True)
class ForecastMade:
    """What one forecast run made."""

    forecasts: pd.DataFrame
    models: pd.DataFrame
    messages: tuple[str, ...]
    """What an analyst should know: nodes without data, too short a history."""


@dataclass(frozen=True)
class RolledDemand:
    """All candidates' forecasts of one issue time and of the days before, and which of them is published."""

    grid: DayGrid
    nodes: list[str]
    """Those of which anything is known."""
    power: np.ndarray
    """What is known of them, kW [nodes, days, slots]."""
    weather: WeatherCubes | None
    rolls: list[champion.Rolled]
    verdict: champion.Contest
    messages: tuple[str, ...]

    def model_names(self) -> list[str]:
        return [str(name) for name in self.verdict.chosen]

    def versions(self, *more: np.ndarray) -> list[str]:
        """Each node's model_version; ``more``: what else its forecast was made from."""
        seen = champion.weather_digest(self.weather)
        return [champion.model_version(self.grid, name, self.power[n], seen, *more) for n, name in enumerate(self.model_names())]


def forecast_demand(
    node_loads: pd.DataFrame,
    features: pd.DataFrame | None,
    nodes: Sequence[str],
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    region: str | None = None,
    known_until: datetime | None = None,
    recent_days: int = LONGEST_HISTORY,
    fitted_of: Callable[[str, NodeHistory, Sequence[int]], Fitted] | None = None,
    champions: Mapping[str, str] | None = None,
    parents: Mapping[str, str | None] | None = None,
    refits: Mapping[str, Sequence[date]] | None = None,
) -> ForecastMade:
    """Forecasts each node from the issue time of ``day`` to the end of its horizon.

    ``node_loads``: rows of metering/node_loads of the history and ``day``. ``features``: rows of weather/features with a
    column ``day``, the partition each row comes from; None or empty for a site without weather. ``known_until`` (default:
    the issue time): nothing later is looked at, nor anything after ``day``. ``region``: of the country, for its holidays.
    ``recent_days``: how many of the days the like-day model looks at; the ensemble looks at all, up to five years.
    ``fitted_of``: where the ensemble's models of a node are kept; None: they are fitted anew. ``champions``: each node's model of the
    run before, which stays until it is clearly beaten; ``parents``: node -> the node above, of whose forecast it may be a share; ``refits``: the days from which on a node's ensemble is fitted anew. Returns rows of
    forecasting/demand_forecasts and forecasting/models. Raises NoHistoryError when no node has a known value.
    """
    rolled = roll_demand(
        node_loads, features, nodes, clock, day, country=country, region=region, known_until=known_until, recent_days=recent_days,
        fitted_of=fitted_of, champions=champions, parents=parents, refits=refits,
    )  # fmt: skip
    return published(rolled)


def published(rolled: RolledDemand) -> ForecastMade:
    """The winners' forecasts as rows, and why they won."""
    mean, bands = champion.published(rolled.grid, rolled.power, rolled.rolls, rolled.verdict.chosen)
    model, versions = rolled.model_names(), rolled.versions()
    forecasts = champion.forecast_rows(rolled.grid, "node_id", rolled.nodes, mean, bands, model, versions)
    models = model_rows(rolled.grid, rolled.nodes, model, versions, rolled.verdict)
    return ForecastMade(forecasts, models, (*rolled.messages, *_lost_to_naive(rolled, models)))


def roll_demand(
    node_loads: pd.DataFrame,
    features: pd.DataFrame | None,
    nodes: Sequence[str],
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    region: str | None = None,
    known_until: datetime | None = None,
    recent_days: int = LONGEST_HISTORY,
    fitted_of: Callable[[str, NodeHistory, Sequence[int]], Fitted] | None = None,
    champions: Mapping[str, str] | None = None,
    parents: Mapping[str, str | None] | None = None,
    refits: Mapping[str, Sequence[date]] | None = None,
) -> RolledDemand:
    """What ``forecast_demand`` publishes from; its arguments and errors."""
    until = known_until or clock.issue_time(day)
    whole = day_grid(clock, first_day(node_loads, clock, day, ENSEMBLE_HISTORY), day, country, clock.horizon_day(day))
    loads = node_loads[["node_id", "start_utc"]].assign(kw=load_kw(node_loads, clock.interval_hours))
    power = known_cube(whole, loads, "node_id", "kw", nodes, until)
    grid = whole.since(max(whole.days[0], day - timedelta(days=recent_days)))
    known = np.isfinite(power[:, -len(grid.days) :]).any(axis=(1, 2))
    if not known.any():
        raise NoHistoryError(
            f"no load is known of {', '.join(nodes) or 'any node'} on {grid.days[0]}..{day} before {until.isoformat()}; "
            "expected at least one day of metering/node_loads: run metering for the days before"
        )
    kept = [node for node, has in zip(nodes, known, strict=True) if has]
    recent = power[known][:, -len(grid.days) :]
    weather = weather_cubes(grid, features, until)
    rolls = champion.roll(grid, recent, weather, DEMAND, WEEKLY_NAIVE)
    before = len(whole.days) - len(grid.days)
    found = candidates(
        whole, kept, power[known], features, until, {one.lead: one.targets + before for one in rolls},
        country=country, region=region, fitted_of=fitted_of, refits=refits,
    )  # fmt: skip
    if found:
        rolls = [one.with_model(ENSEMBLE, own.mean, own.quantiles) for one, own in zip(rolls, found, strict=True)]
    rolls, verdict = with_parents_shares(
        grid, recent, rolls, [kept.index(parent) if (parent := (parents or {}).get(node)) in kept else -1 for node in kept],
        lambda made: held(champion.contest(grid, recent, made), [(champions or {}).get(node) for node in kept]),
    )  # fmt: skip
    odd = remarks(node_loads, features, grid, kept, recent, until, country=country, region=region)
    return RolledDemand(grid, kept, recent, weather, rolls, verdict, (*_messages(whole, nodes, known), *odd))


def model_rows(grid: DayGrid, subjects: Sequence[str], model: list[str], versions: list[str], verdict: champion.Contest) -> pd.DataFrame:
    """Which model was chosen for each subject, and why."""
    return pd.DataFrame(
        {
            "subject_id": list(subjects),
            "model": model,
            "model_version": versions,
            "trained_from_utc": pd.Timestamp(grid.clock.midnight(grid.days[0])),
            "trained_to_utc": pd.Timestamp(grid.clock.bounds(grid.day)[1]),
            "backtest_mae_kw": verdict.error_of_chosen(),
            "naive_mae_kw": next(iter(verdict.errors.values())),
            **{f"{name}_mae_kw": verdict.errors.get(name, np.nan) for name in (ENSEMBLE, CALENDAR_WEATHER, PARENTS_SHARE)},
            "beats_naive": verdict.beats_naive(),
        }
    )


def _messages(grid: DayGrid, nodes: Sequence[str], known: np.ndarray) -> list[str]:
    # whether a node would have an ensemble is told by the length of its history; only then it matters that there can be none
    said = [reason] if grid.known >= MINIMUM_TRAINING_DAYS and (reason := unavailable()) else []
    said += [
        f"{node}: nothing known on {grid.days[0]}..{grid.day}, not forecast" for node, has in zip(nodes, known, strict=True) if not has
    ]
    if grid.known < TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS:
        said.append(
            f"only {grid.known} days of history: the weekly naive is published with wide quantiles; "
            f"the model needs {TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS} days"
        )
    return said


def _lost_to_naive(rolled: RolledDemand, models: pd.DataFrame) -> list[str]:
    if rolled.grid.known < TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS:
        return []
    return [f"{row.subject_id}: the weekly naive did better and is published" for row in models[~models["beats_naive"]].itertuples()]
