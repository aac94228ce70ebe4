"""The forecast of the morning, corrected in the course of the day by what has arrived since.

What the morning's forecast missed so far tells what it will miss: a ridge regression a node and coming hour on the last
interval's, hour's and day's miss, learnt from the days that were forecast again. Its own errors there say how much surer one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting import champion
from grid_assets.forecasting.demand import RolledDemand
from grid_assets.forecasting.like_days import mean_of
from grid_assets.forecasting.past_errors import past_errors
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, QUANTILES

HOURS = 24
LATEST_HOURS = 6
"""A load that was last known longer ago than this says nothing of the present."""
PENALTY_DAYS = 10.0
"""So many usual days' evidence is set against every coefficient."""
MINIMUM_DAYS = 10
LARGEST_CORRECTION = 0.5
"""Of the node's level."""
LEAST_GAIN = 0.97
"""A correction that would not have taken away this much of the past errors is left."""
CAUTION, SUREST = 1.15, 0.15
"""Bands are so much wider than the past corrected errors say, for these are few; and never narrower than this part of the morning's."""
MISSED_SHARE = 0.75
"""A bad miss: more than this share of the last hour lies outside the morning's 90 % band."""


@dataclass(frozen=True)
class Reissued:
    """The corrected forecast from an instant on, and which nodes' morning forecast had missed badly by then."""

    forecasts: pd.DataFrame
    """Columns of forecasting/intraday_forecasts but readings_version and reason."""
    missed: frozenset[str]


def reissue(morning: RolledDemand, loads: pd.DataFrame, until: datetime, published: pd.DataFrame | None = None) -> Reissued:
    """The forecast of all nodes from ``until`` to the end of the horizon, given what was known then.

    ``morning``: what the morning's forecast was made from, with the weather as it is forecast by now. ``published``: the morning's
    forecast as it was issued, which a miss is told by; None or empty: as ``morning`` has it. ``loads``: node_id, start_utc, kw of the days since, as they were
    known at ``until``; what lies after it is not looked at. Nodes of which nothing is known since, or
    nothing of the last LATEST_HOURS, keep the morning's forecast.
    Raises ValueError where ``until`` lies before the issue time or after the horizon.
    """
    grid = morning.grid
    start, end = pd.Timestamp(grid.clock.issue_time(grid.day)), grid.horizon[-1] + grid.clock.interval
    now = pd.Timestamp(until)
    if not start <= now < end:
        raise ValueError(f"{now.isoformat()} is not between the issue time {start.isoformat()} and the horizon's end {end.isoformat()}")
    known = loads[loads["start_utc"] + grid.clock.interval <= now]
    since = _since(morning, known)
    mean, bands = champion.published(grid, morning.power, morning.rolls, morning.verdict.chosen)
    frame = champion.forecast_rows(
        grid, "node_id", morning.nodes, mean, bands, morning.model_names(), morning.versions(np.nan_to_num(since, nan=-1.0))
    )
    issued = frame if published is None or published.empty else published
    missed = _missed(issued, known, now, grid.clock.interval)
    day, slot = grid.positions(grid.horizon)
    place = (day - grid.known) * grid.slots + slot
    correction, narrowing = _corrections(morning, np.where(_heard_of(morning, known, now)[:, None], since, np.nan))
    shift, width = correction[:, place], narrowing[:, place]
    low = champion.floor(morning.power)[:, None]
    corrected = np.maximum(mean + shift, low)
    moved = np.maximum(corrected + (bands - mean) * width, low)
    frame["mean_kw"] = corrected.reshape(-1)
    for n, name in enumerate(QUANTILE_COLUMNS):
        frame[name] = moved[n].reshape(-1)
    frame["issued_utc"] = now
    return Reissued(frame[frame["start_utc"] >= now].reset_index(drop=True), missed)


def _since(morning: RolledDemand, known: pd.DataFrame) -> np.ndarray:
    """Loads of the days of the horizon as far as they are known, kW [nodes, horizon slots]."""
    grid, nodes = morning.grid, morning.nodes
    ours = known[known["node_id"].isin(nodes)]
    if ours.empty:
        return np.full((len(nodes), (len(grid.days) - grid.known) * grid.slots), np.nan)
    wide = ours.pivot_table(index="node_id", columns="start_utc", values="kw", aggfunc="mean", sort=True).reindex(nodes)
    cube = grid.cube(wide.to_numpy(float), pd.DatetimeIndex(wide.columns))
    return cube[:, grid.known :].reshape(len(nodes), -1)


def _latest(known: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    """The rows of the last LATEST_HOURS that have a load."""
    return known[(known["start_utc"] >= now - pd.Timedelta(hours=LATEST_HOURS)) & np.isfinite(known["kw"].astype(float))]


def _heard_of(morning: RolledDemand, known: pd.DataFrame, now: pd.Timestamp) -> np.ndarray:
    """Nodes whose last known load is recent enough to tell of the present [nodes]."""
    return np.isin(morning.nodes, _latest(known, now)["node_id"].unique().astype(str))


def _corrections(morning: RolledDemand, since: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is added to the mean, kW, and by what the bands' width is multiplied [nodes, horizon slots]."""
    slots = morning.grid.slots
    shift, width = np.zeros(since.shape), np.ones(since.shape)
    errors, level = past_errors(morning)
    coming = np.stack([one.chosen(morning.verdict.chosen)[:, -1] for one in morning.rolls], axis=1).reshape(since.shape)
    now_error = (since - coming) / level[:, -1:]
    for node, past in enumerate(errors):
        told_by = _told_by(np.isfinite(now_error[node]), slots // HOURS)
        if not told_by:
            continue
        facts = np.stack([mean_of(past[:, at], 1) for at in told_by], axis=1)
        now = np.array([now_error[node, at].mean() for at in told_by])
        for lead in range(len(morning.rolls)):
            day = slice(lead * slots, (lead + 1) * slots)
            change, left = _regressed(facts, past[:, day], now)
            shift[node, day] = np.clip(change, -LARGEST_CORRECTION, LARGEST_CORRECTION) * level[node, -1]
            width[node, day] = left
    return shift, width


def _told_by(known: np.ndarray, per_hour: int) -> list[np.ndarray]:
    """Positions of the last known slot, of the last known hour and of what is known of the last 24 hours; none where nothing is."""
    at = np.flatnonzero(known)
    return [at[-1:], at[-per_hour:], at[at > at[-1] - HOURS * per_hour]] if len(at) else []


def _regressed(facts: np.ndarray, answers: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The miss to expect in each coming slot [slots], and the share of its usual size that stays [slots].

    ``facts`` [days, facts], ``answers`` [days, slots]. Ridge (Hoerl, Kennard 1970); the share is that of the errors that each
    day's own regression without it would have made (leave one out, Allen 1974). Where little would have been gained
    nothing is corrected.
    """
    rows = np.isfinite(facts).all(1) & np.isfinite(answers).any(1)
    if rows.sum() < MINIMUM_DAYS:
        return np.zeros(answers.shape[1]), np.ones(answers.shape[1])
    told, answer = facts[rows], np.nan_to_num(answers[rows])
    gram = told.T @ told
    inverse = np.linalg.inv(gram + np.diag(PENALTY_DAYS * np.diag(gram) / len(told) + 1e-12))
    weights = inverse @ (told.T @ answer)
    leverage = np.einsum("ij,jk,ik->i", told, inverse, told)
    missed = (answer - told @ weights) / (1.0 - leverage)[:, None]
    left = np.sqrt(_smooth(np.mean(missed**2, axis=0)) / np.maximum(_smooth(np.mean(answer**2, axis=0)), 1e-18))
    useful = left < LEAST_GAIN
    return np.where(useful, now @ weights, 0.0), np.where(useful, np.clip(CAUTION * left, SUREST, 1.0), 1.0)


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.convolve(np.pad(values, 1, mode="edge"), np.ones(3) / 3, "valid")


def _missed(morning: pd.DataFrame, known: pd.DataFrame, now: pd.Timestamp, interval: pd.Timedelta) -> frozenset[str]:
    """Nodes whose last known hour lay outside the morning's 90 % band for the most part."""
    last = _latest(known, now).sort_values("start_utc").groupby("node_id").tail(max(round(pd.Timedelta(hours=1) / interval), 1))
    both = last.merge(morning, on=["node_id", "start_utc"])
    low, high = QUANTILE_COLUMNS[QUANTILES.index(0.05)], QUANTILE_COLUMNS[QUANTILES.index(0.95)]
    outside = (both["kw"] < both[low]) | (both["kw"] > both[high])
    share = outside.groupby(both["node_id"]).mean()
    return frozenset(str(node) for node in share[share > MISSED_SHARE].index)
