"""The ensemble as one of the daily job's candidates: all nodes with a long enough history, at the site's interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting.day_cubes import PLAUSIBLE, DayGrid
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays
from grid_assets.forecasting.ensemble.forecasts import forecast
from grid_assets.forecasting.ensemble.node_models import MINIMUM_TRAINING_DAYS, Fitted, NodeHistory
from grid_assets.forecasting.ensemble.temperature_paths import TemperaturePaths, as_observed, temperature_paths
from grid_assets.forecasting.ensemble.trees import unavailable
from grid_assets.forecasting.like_days import mean_of
from grid_assets.forecasting.tables import QUANTILES

HOURS = 24
SHAPE_DAYS = 28
"""Days whose course within the hour is averaged."""
ISSUED_BEFORE = 1
"""The issue day follows the last known day."""


@dataclass(frozen=True)
class Candidate:
    """Forecasts of one lead (days since the last known one), kW; NaN for nodes whose history is too short."""

    lead: int
    mean: np.ndarray
    """[nodes, targets, slots]"""
    quantiles: np.ndarray
    """[levels, nodes, slots] of the last target"""


def candidates(
    grid: DayGrid,
    nodes: Sequence[str],
    power: np.ndarray,
    features: pd.DataFrame | None,
    until: datetime,
    targets: Mapping[int, np.ndarray],
    *,
    country: str,
    region: str | None,
    fitted_of: Callable[[str, NodeHistory, Sequence[int]], Fitted] | None = None,
    refits: Mapping[str, Sequence[date]] | None = None,
) -> list[Candidate]:
    """The ensemble's forecasts of each lead's ``targets`` (positions in ``grid.days``, the last one of the horizon).

    ``power`` [nodes, days, slots], kW, holds nothing but what was known on ``grid.day``; ``features``: rows of weather/features
    with their partition in ``day``, or None. ``fitted_of`` gives the kept models of a node, ``refits`` the days from which on they are fitted anew. Empty where no node has enough
    history, and where LightGBM cannot be loaded (``trees.unavailable`` says why).
    """
    by_hour = mean_of(power.reshape(*power.shape[:2], HOURS, -1), 3)
    month_before = grid.days[grid.known - 1].day  # the first days of a month are forecast by models without that month
    enough = np.isfinite(by_hour[:, : max(grid.known - month_before, 0)]).any(2).sum(1) >= MINIMUM_TRAINING_DAYS
    if not enough.any() or unavailable():
        return []
    temperature = temperatures(grid, features, until, max(targets))
    holidays = PublicHolidays.of(country, region, grid.days[0], grid.days[-1])
    made = [
        Candidate(lead, np.full((len(nodes), len(asked), grid.slots), np.nan), np.full((len(QUANTILES), len(nodes), grid.slots), np.nan))
        for lead, asked in targets.items()
    ]
    first = min(int(asked[0]) - lead for lead, asked in targets.items()) + ISSUED_BEFORE
    issued, offsets = range(max(first, 0), grid.known + ISSUED_BEFORE), [lead - ISSUED_BEFORE for lead in targets]
    for row in np.flatnonzero(enough):
        history = NodeHistory(grid.days, by_hour[row], temperature, holidays, 0)
        fitted = fitted_of(nodes[row], history, offsets) if fitted_of else None
        found = forecast(history, issued, offsets, QUANTILES, fitted, refits=(refits or {}).get(nodes[row], ()))
        for one in made:
            of_lead, asked = found[one.lead - ISSUED_BEFORE], targets[one.lead]
            for place, target in enumerate(asked):
                one.mean[row, place] = at_interval(of_lead.mean[target], grid, power[row], int(target), one.lead)
            one.quantiles[:, row] = at_interval(of_lead.quantiles[:, asked[-1]], grid, power[row], int(asked[-1]), one.lead)
            if not np.isfinite(one.mean[row]).all():  # it has to be judged on the same days as the others
                one.mean[row] = one.quantiles[:, row] = np.nan
    return made


def at_interval(hours: np.ndarray, grid: DayGrid, power: np.ndarray, target: int, lead: int) -> np.ndarray:
    """Hourly values [.., hours] as values of the site's intervals [.., slots] whose mean over each hour they are.

    Within the hour they follow the mean course of the last days of the same kind that were known.
    """
    per_hour = grid.slots // HOURS
    if per_hour == 1:
        return hours
    known = np.arange(max(target - lead - SHAPE_DAYS + 1, 0), target - lead + 1)
    alike = known[grid.kinds[known] == grid.kinds[target]]
    past = power[alike if len(alike) else known].reshape(-1, HOURS, per_hour)
    course = mean_of(past - past.mean(axis=2, keepdims=True), 0)
    return (hours[..., None] + np.nan_to_num(course)).reshape(*hours.shape[:-1], grid.slots)


def temperatures(grid: DayGrid, features: pd.DataFrame | None, until: datetime, offsets: int) -> TemperaturePaths | None:
    """The temperature of weather/features by hour: as observed, and as each day's run had it forecast for the days after it.

    Where a run kept no forecast, what was observed stands in, as the like-day model has it too; None without weather.
    """
    if features is None or features.empty:
        return None
    rows = features[(features["station_id"] == features["station_id"].min()) & (features["day"] <= grid.day)]
    low, high = PLAUSIBLE["temperature_degc"]
    rows = rows[rows["temperature_degc"].between(low, high)]
    hourly = replace(grid, clock=replace(grid.clock, interval_minutes=60))
    day, hour = hourly.positions(pd.DatetimeIndex(rows["start_utc"]))
    value, inside = rows["temperature_degc"].to_numpy(float), (day >= 0) & (day < len(grid.days))
    seen = inside & (rows["basis"] == "observed").to_numpy() & (rows["start_utc"] < pd.Timestamp(until)).to_numpy()
    observed = _means(value[seen], day[seen] * HOURS + hour[seen], (len(grid.days), HOURS))
    if not np.isfinite(observed).any():
        return None
    issued = (pd.DatetimeIndex(rows["day"]) - pd.Timestamp(grid.days[0])).days.to_numpy() + ISSUED_BEFORE
    ahead = day - issued
    coming = (
        inside & (rows["basis"] == "forecast").to_numpy() & (issued >= 0) & (issued < len(grid.days)) & (ahead >= 0) & (ahead < offsets)
    )
    place = (issued[coming] * offsets + ahead[coming]) * HOURS + hour[coming]
    expected = _means(value[coming], place, (len(grid.days), offsets, HOURS))
    without = ~np.isfinite(expected).any(axis=(1, 2))
    expected[without] = as_observed(observed, offsets)[without]
    return temperature_paths(observed, expected, 0)


def _means(values: np.ndarray, place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Means of the values of each place; NaN where there is none."""
    size = int(np.prod(shape))
    count = np.bincount(place, minlength=size)
    with np.errstate(invalid="ignore"):
        return (np.bincount(place, values, size) / np.where(count, count, np.nan)).reshape(shape)
