"""Demand forecasts of all nodes for one issue time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.champion import CALENDAR_WEATHER, ENSEMBLE, PARENTS_SHARE, TRAINING_DAYS, WEEKLY_NAIVE
from grid_assets.forecasting.day_cubes import (
    DayGrid,
    NoHistoryError,
    WeatherCubes,
    day_grid,
    features_as_of,
    first_day,
    first_of_year_before,
    known_cube,
    load_kw,
    weather_cubes,
)
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
"""Days that the ensemble looks at, from the first of January before them on."""


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
    until: datetime
    """Nothing later was looked at."""
    begins: date
    """The first day that the ensemble looked at."""
    histories: list[np.ndarray] | None
    """A hash of what each node's ensemble was told; None where nobody has one."""
    above: list[int]
    """Each node's parent (position), -1 for none."""

    def model_names(self) -> list[str]:
        return [str(name) for name in self.verdict.chosen]

    def versions(self, *more: np.ndarray) -> list[str]:
        """Each node's model_version; ``more``: what else its forecast was made from."""
        seen, names = champion.weather_digest(self.weather), self.model_names()

        def told(node: int) -> tuple[np.ndarray, ...]:
            own = self.histories[node] if names[node] == ENSEMBLE and self.histories else self.power[node]
            return (own, *told(self.above[node])) if names[node] == PARENTS_SHARE and self.above[node] >= 0 else (own,)

        return [champion.model_version(self.grid, name, *told(n), seen, *more) for n, name in enumerate(names)]


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
    forecasts["issued_utc"] = pd.Timestamp(rolled.until).tz_convert("UTC")
    models = model_rows(rolled.grid, rolled.nodes, model, versions, rolled.verdict)
    first = pd.Timestamp(rolled.grid.clock.midnight(rolled.begins))
    models["trained_from_utc"] = models["trained_from_utc"].where(models["model"] != ENSEMBLE, first)
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
    features = features_as_of(features, clock, day, until)
    begin = max(first_day(node_loads, clock, day, 2 * ENSEMBLE_HISTORY), first_of_year_before(day, ENSEMBLE_HISTORY))
    whole = day_grid(clock, begin, day, country, clock.horizon_day(day), region)
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
    above = [kept.index(parent) if (parent := (parents or {}).get(node)) in kept else -1 for node in kept]
    rolls, verdict = with_parents_shares(
        grid, recent, rolls, above,
        lambda made: held(champion.contest(grid, recent, made), [(champions or {}).get(node) for node in kept]),
    )  # fmt: skip
    odd = remarks(node_loads, features, grid, kept, recent, until, country=country, region=region)
    said = (*_messages(whole, nodes, known), *_young(kept, recent, verdict), *odd)
    seen = _histories_seen(whole, kept, power[known], features, until, region, refits) if found else None
    return RolledDemand(grid, kept, recent, weather, rolls, verdict, said, until, whole.days[0], seen, above)


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


def _young(nodes: Sequence[str], power: np.ndarray, verdict: champion.Contest) -> list[str]:
    """Nodes of which too little is known for a model of their own, where others have one."""
    days, least = np.isfinite(power).any(axis=2).sum(axis=1), TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS
    return [
        f"{node}: only {count} days of it are known; {model} is published until there are {least}"
        for node, count, model in zip(nodes, days, verdict.chosen, strict=True)
        if count < least <= days.max()
    ]


def _histories_seen(
    grid: DayGrid, nodes: Sequence[str], power: np.ndarray, features: pd.DataFrame | None, until: datetime,
    region: str | None, refits: Mapping[str, Sequence[date]] | None,
) -> list[np.ndarray]:  # fmt: skip
    """A hash of what each node's ensemble was told: its whole history, the temperatures, the region, when it was fitted anew."""
    told = pd.DataFrame()
    if features is not None and len(features):
        seen = (features["day"] <= grid.day) & ((features["basis"] == "forecast") | (features["start_utc"] < pd.Timestamp(until)))
        told = features.loc[seen, ["start_utc", "day", "basis", "temperature_degc"]].astype({"day": str})
    weather = pd.util.hash_pandas_object(told, index=False).to_numpy() if len(told) else np.empty(0, np.uint64)
    shared = hashlib.sha256(f"{grid.days[0]};{region}".encode() + np.sort(weather).tobytes())
    made = []
    for node, load in zip(nodes, power, strict=True):
        digest = shared.copy()
        digest.update(repr(sorted((refits or {}).get(node, ()))).encode() + np.ascontiguousarray(load).tobytes())
        made.append(np.frombuffer(digest.digest(), np.uint8))
    return made


def _lost_to_naive(rolled: RolledDemand, models: pd.DataFrame) -> list[str]:
    if rolled.grid.known < TRAINING_DAYS + champion.MINIMUM_BACKTEST_DAYS:
        return []
    return [f"{row.subject_id}: the weekly naive did better and is published" for row in models[~models["beats_naive"]].itertuples()]
