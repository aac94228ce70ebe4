"""How the demand forecasts would have done on past days: each day forecast again from what was known at its issue time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.forecasting.accuracy import demand_compared, score
from grid_assets.forecasting.day_cubes import NoHistoryError, first_of_year_before
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.drift import drift, retrainings
from grid_assets.forecasting.known_loads import loads_as_of
from grid_assets.forecasting.tables import DRIFT, FORECAST_ACCURACY
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.site import Site


class NothingToTest(ValueError):
    """No day of the range can be forecast and compared. The message says which days the lake has."""


@dataclass(frozen=True)
class Backtest:
    compared: pd.DataFrame
    """A row per node and interval: node_id, issued_utc, start_utc, mean_kw, the quantiles, model, actual_kw, naive_kw."""
    scores: pd.DataFrame
    """Rows of forecasting/forecast_accuracy, without readings_version."""
    left_out: dict[date, str]
    """Days that could not be forecast or compared, and why."""
    drift: pd.DataFrame
    """Rows of forecasting/drift: what each morning of the range would have been told, and when models were fitted anew for it."""


def backtest(
    site: Site,
    versions: pd.DataFrame,
    node_loads: pd.DataFrame,
    features: pd.DataFrame | None,
    nodes: Sequence[str],
    first: date,
    last: date,
    *,
    settings: Mapping[str, Any] | None = None,
    begins: Callable[[date], None] = lambda day: None,
) -> Backtest:
    """Forecasts each day first..last as its run would have (so many days before as the site studies ahead), and compares.

    ``versions``: how the loads became known (``known_loads.load_versions``); ``node_loads``: what they are compared with, metering/node_loads.
    ``features``: weather/features with their partition in ``day`` (None without weather). All as far back as there is: every
    forecast sees only what was known at its issue time. The model of the day before stays until it is clearly beaten, and an alarm of
    drift has a node's models fitted anew, as live; both begin with the range, so that its first 35 days raise no alarm.
    ``settings``: as ``inputs.forecast_settings`` gives them. ``begins`` is told each day. Raises NothingToTest.
    """
    clock, parts, left_out = site.clock, [], {}
    champions: dict[str, str] = {}
    scores, watched = FORECAST_ACCURACY.empty().to_pandas(), DRIFT.empty().to_pandas()
    for day in days_between(first, last):
        begins(day)
        issued = day - timedelta(days=clock.study_day_offset)
        earliest = pd.Timestamp(clock.midnight(first_of_year_before(issued, site.forecasting.history_days)))
        known = loads_as_of(versions, clock.issue_time(issued))
        known = known[(known["start_utc"] >= earliest) & (known["start_utc"] < pd.Timestamp(clock.bounds(issued)[1]))]
        watched = _joined(watched, drift(scores, issued, retrainings(watched)))
        try:
            made = forecast_demand(
                known, features, nodes, clock, issued, **{"country": site.country, **(settings or {})}, champions=champions,
                refits=retrainings(watched),
            )  # fmt: skip
        except NoHistoryError as error:
            left_out[day] = str(error)
            continue
        champions = dict(zip(made.models["subject_id"], made.models["model"], strict=True))
        pairs = demand_compared(made.forecasts, node_loads[node_loads["start_utc"] >= earliest], clock, day, country=site.country)
        if pairs.empty:
            left_out[day] = "no actual load of that day is known"
        parts.append(pairs)
        scores = _joined(scores, pd.DataFrame([score(str(node), day, each) for node, each in pairs.groupby("node_id")]))
    if not sum(map(len, parts)):
        had = clock.days_of(node_loads["start_utc"]) if len(node_loads) else pd.Series([], dtype=object)
        held = f"{had.min()} to {had.max()}" if len(had) else "no day at all"
        raise NothingToTest(f"{first} to {last}: nothing could be forecast and compared; the lake holds node loads of {held}")
    scores = scores.sort_values(["subject_id", "day"], ignore_index=True).drop(columns="readings_version")
    return Backtest(pd.concat(parts, ignore_index=True), scores, left_out, watched)


def _joined(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    parts = [part for part in (rows, more) if len(part)]
    return pd.concat(parts, ignore_index=True).reindex(columns=rows.columns) if parts else rows


def summary(found: Backtest) -> pd.DataFrame:
    """A row per node over all its intervals: days, models in use, MAPE, MAE, RMSE, bias, coverage, beside the weekly naive."""
    rows = []
    for node, each in found.compared.groupby("node_id"):
        actual, mean, naive = (each[name].to_numpy(float) for name in ("actual_kw", "mean_kw", "naive_kw"))
        error, absolute = mean - actual, np.abs(mean - actual)
        positive = bool((np.abs(actual) > 1e-9).all())
        inside = (actual >= each["p05_kw"].to_numpy()) & (actual <= each["p95_kw"].to_numpy())
        days = found.scores[found.scores["subject_id"] == node]
        rows.append(
            {
                "node_id": node, "days": len(days), "models": ", ".join(f"{name} {count}" for name, count in days["model"].value_counts().items()),
                "mape_pct": 100 * np.mean(absolute / np.abs(actual)) if positive else np.nan, "mae_kw": absolute.mean(),
                "rmse_kw": np.sqrt(np.mean(error**2)), "bias_pct": 100 * error.mean() / actual.mean() if abs(actual.mean()) > 1e-9 else np.nan,
                "naive_mae_kw": np.abs(naive - actual).mean(), "coverage_90_pct": 100 * inside.mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def largest_node(found: Backtest) -> str:
    """The node of the largest mean load, which is the system where there is one; of equal ones the last by name."""
    means = found.compared.groupby("node_id")["actual_kw"].mean()
    return str(means[::-1].idxmax())


def worst_days(found: Backtest, node: str, count: int = 5) -> pd.DataFrame:
    """The days of the largest mean absolute errors of a node, with the naive's beside them."""
    rows = found.scores[found.scores["subject_id"] == node].nlargest(count, "mae_kw")
    return rows[["day", "model", "mape_pct", "mae_kw", "bias_pct", "naive_mae_kw", "coverage_90_pct"]].reset_index(drop=True)


def drift_alarms(found: Backtest) -> list[str]:
    """Each alarm on the morning it was first raised, in words, and whether the node's models were fitted anew while it lasted."""
    alarms = found.drift[~found.drift["alarm"].isin(["none", "learning"])].sort_values(["subject_id", "alarm", "day"])
    ordinal = pd.Series([day.toordinal() for day in alarms["day"]], alarms.index, dtype=int)
    begins = (ordinal.diff() != 1) | (alarms[["subject_id", "alarm"]] != alarms[["subject_id", "alarm"]].shift()).any(axis=1)
    told = alarms.assign(run=begins.cumsum()).groupby("run").agg(
        day=("day", "first"), subject_id=("subject_id", "first"), evidence=("evidence", "first"), retrain=("retrain", "any")
    )  # fmt: skip
    return [
        f"{one.day} {one.subject_id}: {one.evidence}" + ("; its models were fitted anew" if one.retrain else "")
        for one in told.sort_values(["day", "subject_id"]).itertuples()
    ]
