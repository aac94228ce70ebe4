"""How good a day's forecast was, beside what the naive would have said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.forecasting.day_cubes import DayGrid, NoHistoryError, day_grid, first_day, known_cube, load_kw
from grid_assets.forecasting.demand import LONGEST_HISTORY, ForecastMade, forecast_demand
from grid_assets.forecasting.like_days import daily_naive, weekly_naive
from grid_assets.forecasting.renewables import forecast_renewables
from grid_assets.forecasting.tables import FORECAST_ACCURACY, QUANTILE_COLUMNS, QUANTILES
from grid_assets.foundation.calendar import SiteCalendar, days_between

DAY_AHEAD, INTRADAY = "day_ahead", "intraday"
CLASSES = {"same_day": (0,), DAY_AHEAD: (1,), "days_2_3": (2, 3), "days_4_7": (4, 5, 6, 7)}
"""Classes of horizon by the days between the day of issue and the day that was forecast."""
LONGEST_AHEAD_DAYS = 7


def class_of(ahead: int) -> str:
    """The class of a forecast issued so many days before the day it speaks of."""
    return next((name for name, aheads in CLASSES.items() if ahead in aheads), "days_4_7")


def pinball(actual: np.ndarray, forecast: np.ndarray, level: float) -> np.ndarray:
    """Pinball (quantile) loss (Koenker and Bassett 1978), in the unit of its arguments."""
    miss = actual - forecast
    return np.maximum(level * miss, (level - 1.0) * miss)


def demand_accuracy(
    forecasts: pd.DataFrame, node_loads: pd.DataFrame, clock: SiteCalendar, day: date, *, country: str, horizon_class: str = DAY_AHEAD
) -> pd.DataFrame:
    """Scores of forecasts of ``day`` per node.

    ``forecasts``: rows of the run whose study day is ``day``, or of other runs of one class. ``node_loads``: history and ``day``
    itself. Returns rows of forecasting/forecast_accuracy; none for a node without a forecast or without actuals.
    """
    compared = demand_compared(forecasts, node_loads, clock, day, country=country)
    return _table([score(str(node), day, rows, horizon_class) for node, rows in compared.groupby("node_id")])


def demand_compared(forecasts: pd.DataFrame, node_loads: pd.DataFrame, clock: SiteCalendar, day: date, *, country: str) -> pd.DataFrame:
    """The forecasts' rows of ``day`` with what came (actual_kw) and what the weekly naive would have said at their issue time (naive_kw)."""
    actual = node_loads[["node_id", "start_utc"]].assign(kw=load_kw(node_loads, clock.interval_hours))
    return _compared(forecasts, actual, "node_id", clock, day, country, weekly_naive)


def earlier_runs(clock: SiteCalendar, day: date) -> list[date]:
    """The runs but the one whose study day is ``day`` that have forecast it, issued on a day before it."""
    every = days_between(day - timedelta(days=1 + LONGEST_AHEAD_DAYS), day - timedelta(days=2))
    return [one for one in every if one != day - timedelta(days=clock.study_day_offset)]


def with_other_horizons(
    day_ahead: pd.DataFrame, earlier: Mapping[date, pd.DataFrame], intraday: pd.DataFrame, node_loads: pd.DataFrame, clock: SiteCalendar,
    day: date, *, country: str,
) -> pd.DataFrame:  # fmt: skip
    """The day-ahead scores, and those of the stored forecasts of ``earlier_runs`` and of the day's own course."""
    later = later_accuracy(earlier, node_loads, clock, day, country=country)
    today = demand_accuracy(intraday, node_loads, clock, day, country=country, horizon_class=INTRADAY)
    return joined(day_ahead, later, today)


def joined(scores: pd.DataFrame, *more: pd.DataFrame) -> pd.DataFrame:
    """All rows; the first as they are where the others have none."""
    parts = [part for part in (scores, *more) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else scores


def later_accuracy(
    issued: Mapping[date, pd.DataFrame], node_loads: pd.DataFrame, clock: SiteCalendar, day: date, *, country: str
) -> pd.DataFrame:
    """Scores of ``day`` by other runs than the one that studies it, in CLASSES.

    ``issued``: the stored demand forecasts by their run's day; what was never stored is not made again.
    """
    parts = []
    for name, aheads in CLASSES.items():
        runs = [day - timedelta(days=ahead + 1) for ahead in aheads if ahead + 1 != clock.study_day_offset]
        rows = [issued[run] for run in runs if run in issued and len(issued[run])]
        if rows:
            parts.append(demand_accuracy(pd.concat(rows, ignore_index=True), node_loads, clock, day, country=country, horizon_class=name))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else _table([])


def recently_compared(
    stored: Mapping[date, pd.DataFrame], node_loads: pd.DataFrame, node: str, clock: SiteCalendar, *, country: str
) -> pd.DataFrame:
    """``demand_compared`` of one node over many days: ``stored``: day -> the forecasts of the run that had it as its study day."""
    loads, parts = node_loads[node_loads["node_id"] == node], []
    for day, forecasts in stored.items():
        rows = forecasts[forecasts["node_id"] == node]
        if len(rows):
            parts.append(demand_compared(rows, loads, clock, day, country=country))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def renewable_accuracy(
    forecasts: pd.DataFrame, generation: pd.DataFrame, plants: pd.DataFrame, clock: SiteCalendar, day: date, *, country: str,
    horizon_class: str = DAY_AHEAD,
) -> pd.DataFrame:  # fmt: skip
    """The same per kind of plants: each plant's intervals are scored, and the scores are means over all of them."""
    measured = generation[["meter_id", "start_utc"]].assign(kw=generation["energy_kwh"].astype(float) / clock.interval_hours)
    actual = measured.merge(plants[["plant_id", "meter_id", "kind"]], on="meter_id")
    compared = _compared(forecasts, actual, "plant_id", clock, day, country, daily_naive)
    if compared.empty:
        return _table([])
    compared = compared.merge(plants[["plant_id", "kind"]], on="plant_id")
    return _table([score(str(kind), day, rows, horizon_class) for kind, rows in compared.groupby("kind")])


def score(subject: str, day: date, rows: pd.DataFrame, horizon_class: str = DAY_AHEAD) -> Mapping[str, object]:
    """One row of forecast_accuracy from rows with actual_kw, naive_kw, mean_kw, the quantiles and model."""
    actual, mean, naive = (rows[name].to_numpy(float) for name in ("actual_kw", "mean_kw", "naive_kw"))
    error = mean - actual
    losses = [pinball(actual, rows[name].to_numpy(float), level) for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)]
    inside = (actual >= rows["p05_kw"].to_numpy()) & (actual <= rows["p95_kw"].to_numpy())
    return {
        "subject_id": subject,
        "horizon_class": horizon_class,
        "day": day,
        "model": rows["model"].iloc[0],
        "intervals": len(rows),
        "mape_pct": _mape(error, actual),
        "rmse_kw": float(np.sqrt(np.mean(error**2))),
        "mae_kw": float(np.mean(np.abs(error))),
        "pinball_kw": float(np.mean(losses)),
        "coverage_90_pct": float(100.0 * inside.mean()),
        "bias_pct": float(100.0 * error.mean() / actual.mean()) if abs(actual.mean()) > 1e-9 else np.nan,
        "naive_mape_pct": _mape(naive - actual, actual),
        "naive_mae_kw": float(np.mean(np.abs(naive - actual))),
    }


def _mape(error: np.ndarray, actual: np.ndarray) -> float:
    """Mean absolute percentage error; NaN as soon as one actual is zero, for then it has no meaning."""
    return float(100.0 * np.mean(np.abs(error / actual))) if (np.abs(actual) > 1e-9).all() else np.nan


def _compared(
    forecasts: pd.DataFrame, actual: pd.DataFrame, subject: str, clock: SiteCalendar, day: date, country: str, naive
) -> pd.DataFrame:
    """Forecast, actual and naive side by side for the intervals of ``day``."""
    start, end = clock.bounds(day)
    asked = forecasts[(forecasts["start_utc"] >= start) & (forecasts["start_utc"] < end)]
    here = actual[(actual["start_utc"] >= start) & (actual["start_utc"] < end)].rename(columns={"kw": "actual_kw"})
    pairs = asked.merge(here[[subject, "start_utc", "actual_kw"]], on=[subject, "start_utc"])
    pairs = pairs[np.isfinite(pairs["actual_kw"].to_numpy(float))]
    if pairs.empty:
        return pairs.assign(naive_kw=[])
    parts = []
    for issued_utc, rows in pairs.groupby("issued_utc"):
        run = clock.issued_in_the_course_of(issued_utc.to_pydatetime())
        grid = day_grid(clock, first_day(actual, clock, run, LONGEST_HISTORY), run, country, day)
        parts.append(_with_naive(rows, actual, subject, grid, naive))
    return pd.concat(parts, ignore_index=True)


def _with_naive(pairs: pd.DataFrame, actual: pd.DataFrame, subject: str, grid: DayGrid, naive) -> pd.DataFrame:
    """The naive forecast from what was known at the forecast's own issue time; pairs without one are left out."""
    subjects = sorted(pairs[subject].unique())
    power = known_cube(grid, actual, subject, "kw", subjects, grid.clock.issue_time(grid.day))
    said = naive(power, len(grid.days) - 1, len(grid.days) - grid.known)
    _, slot = grid.positions(pd.DatetimeIndex(pairs["start_utc"]))
    row = pd.Index(subjects).get_indexer(pd.Index(pairs[subject]))
    made = pairs.assign(naive_kw=said[row, slot])
    return made[np.isfinite(made["naive_kw"].to_numpy(float))]


def _table(rows: list[Mapping[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=FORECAST_ACCURACY.columns) if rows else FORECAST_ACCURACY.empty().to_pandas()


@dataclass(frozen=True)
class DayAccuracy:
    """A day's scores, and whether the forecasts were the published ones or made again."""

    scores: pd.DataFrame
    demand_from: str
    renewable_from: str


def day_accuracy(
    stored: tuple[pd.DataFrame, pd.DataFrame],
    node_loads: pd.DataFrame,
    generation: pd.DataFrame,
    plants: pd.DataFrame,
    features: pd.DataFrame | None,
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    known: Callable[[], tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    **settings: Any,
) -> DayAccuracy:
    """Day-ahead scores of all nodes and kinds of plants for ``day``.

    ``stored``: the published demand and renewable forecasts of the run whose study day is ``day``; an empty one is made
    again from what was known then: ``known`` gives the loads and generation, None: those before the run's end; ``settings``: further arguments of ``forecast_demand``. Without any history before
    that run there is nothing to score.
    """
    issued = date.fromordinal(day.toordinal() - clock.study_day_offset)
    demand, renewable = stored
    demand_from = renewable_from = f"the published forecast of {issued}"
    wanted = demand.empty or (renewable.empty and len(plants))
    known_loads, known_generation = known() if known and wanted else (node_loads, generation)
    if demand.empty:
        nodes = sorted(node_loads["node_id"].unique())
        demand, demand_from = _again(
            lambda: forecast_demand(known_loads, features, nodes, clock, issued, country=country, **settings),
            issued,
        )
    if renewable.empty and len(plants):
        renewable, renewable_from = _again(
            lambda: forecast_renewables(known_generation, plants, features, clock, issued, country=country), issued
        )
    of_study = class_of(clock.study_day_offset - 1)
    parts = [demand_accuracy(demand, node_loads, clock, day, country=country, horizon_class=of_study)] if len(demand) else []
    if len(renewable):
        parts.append(renewable_accuracy(renewable, generation, plants, clock, day, country=country, horizon_class=of_study))
    parts = [part for part in parts if len(part)]
    return DayAccuracy(pd.concat(parts, ignore_index=True) if parts else _table([]), demand_from, renewable_from)


def _again(make: Callable[[], ForecastMade], issued: date) -> tuple[pd.DataFrame, str]:
    try:
        return make().forecasts, f"made again from what was known on the morning after {issued}"
    except NoHistoryError as error:
        return pd.DataFrame(), f"none: {error}"
