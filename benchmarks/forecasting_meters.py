"""Ten thousand meters a week ahead on one core, beside mlforecast in the same run; and what adding up does to feeders and their sum.

The meters are the 560 households of the EDRP set, repeated with noise where more are wanted. Hours, known until a midnight, forecast for
the 168 that follow. Needs the shared data sets; some minutes.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import _load_sets as sets
from benchmarks._own_environment import run_apart
from benchmarks.platform import Row, row
from grid_assets.forecasting.day_cubes import day_kinds
from grid_assets.forecasting.meters import global_model
from grid_assets.forecasting.meters.global_model import HORIZON_DAYS, HOURS, forecast_meters
from grid_assets.forecasting.reconciliation import Hierarchy, node_sums, reconciled

FIRST = date(2009, 3, 1)
ISSUES = (date(2009, 4, 26), date(2009, 5, 3), date(2009, 5, 10), date(2009, 5, 17), date(2009, 5, 23))
SPEED_ISSUE = date(2009, 5, 17)
METERS, PEER_METERS = 10_080, 2_240
PEER = ("mlforecast>=1.1,<1.2", "lightgbm", "pandas<3", "pyarrow")
SCRIPT = Path(__file__).with_name("_mlforecast_week.py")
FEEDERS = 8


def run(console: Console) -> list[Row]:
    if not sets.SHARED.is_dir():
        return [row("the shared data sets are absent", "-", "", "set GRID_ASSETS_SHARED")]
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    with console.status("10,080 meters ...") as status:
        load = households()
        kinds = day_kinds([FIRST + timedelta(days=n) for n in range(load.shape[1])], "GB")
        rows += speed_rows(load, kinds)
        status.update("five weeks of 560 households ...")
        rows += accuracy_rows(load, kinds)
    return rows


def households() -> np.ndarray:
    """[meters, days, hours], kW, on the wall's clock."""
    feed = pd.read_parquet(sets.SHARED / "edrp_meters" / "interval_30min.parquet").astype({"energy_kwh": float, "meter_id": str})
    local = feed["timestamp_utc"].dt.tz_convert(sets.LONDON).dt.tz_localize(None)
    day = (local.dt.normalize() - pd.Timestamp(FIRST)).dt.days
    hourly = feed.groupby([feed["meter_id"], day.rename("day"), local.dt.hour.rename("hour")])["energy_kwh"].mean() * 2
    ids = pd.Index(sorted(feed["meter_id"].unique()))
    made = np.full((len(ids), int(day.max()) + 1, HOURS), np.nan, np.float32)
    at = hourly.index
    made[ids.get_indexer(at.get_level_values(0)), at.get_level_values(1), at.get_level_values(2)] = hourly.to_numpy()
    return made


def speed_rows(load: np.ndarray, kinds: np.ndarray) -> list[Row]:
    issue = (SPEED_ISSUE - FIRST).days
    random = np.random.default_rng(0)
    known = np.concatenate([load[:, : issue + 1]] * (METERS // len(load)))
    known = (known * random.lognormal(0, 0.1, (len(known), 1, 1)) * random.lognormal(0, 0.05, known.shape)).astype(np.float32)
    began = time.process_time()
    booster = global_model.fit(known, kinds, None, issue, 0)
    fitted = time.process_time()
    made = global_model.predict(booster, known, kinds, None, issue)
    ended = time.process_time()
    whole = forecast_meters(known, kinds[: issue + 1 + HORIZON_DAYS])
    quantiles = time.process_time()
    tree = Hierarchy(np.arange(len(known)) % FEEDERS + 1, np.array([-1, *[0] * FEEDERS]))
    flat = np.nan_to_num(whole.mean.reshape(len(known), -1))
    own = node_sums(flat, tree) * 1.03
    before = time.process_time()
    reconciled(flat, whole.variance, own, np.full(len(own), 1.0), tree)
    coherent = time.process_time() - before
    ours = len(known) / (ended - fitted)
    rows = [
        row("10,080 meters x 168 h, one core: fit", fitted - began, "s", f"{global_model.TRAINING_ROWS:,} sampled rows"),
        row("the same: quantiles besides", quantiles - ended - (ended - began), "s", "a second model judged on the last week"),
        row("the same: made to add up with eight feeders and their sum", coherent, "s", "weighted least squares, none below zero"),
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows.append(row("the same: peak memory of the whole process", peak, "GB", "", "< 2", peak < 2))
    peer = mlforecast_week(np.concatenate([load[:, : issue + 1], known[: PEER_METERS - len(load)]]))
    actual = load[:, issue + 1 : issue + 1 + HORIZON_DAYS].astype(float)
    if isinstance(peer, str):
        return [*rows, row("mlforecast", "-", "", peer)]
    theirs, fit_seconds, seconds = peer
    rate = PEER_METERS / seconds
    said = f"mlforecast {rate:.0f} on {PEER_METERS:,} meters, fit {fit_seconds:.1f} s: {ours / rate:.1f}x"
    rows.append(row("10,080 meters x 168 h, one core: means", ours, "meters/s", said, ">= 5x", ours >= 5 * rate))
    rows.append(
        row(
            "WAPE of that week, 560 meters",
            wape(_of(load, kinds, issue), actual),
            "-",
            f"mlforecast {wape(theirs[: len(load)], actual):.3f}",
        )
    )
    del made
    return rows


def _of(load: np.ndarray, kinds: np.ndarray, issue: int) -> np.ndarray:
    return forecast_meters(load[:, : issue + 1], kinds[: issue + 1 + HORIZON_DAYS]).mean


def mlforecast_week(load: np.ndarray) -> tuple[np.ndarray, float, float] | str:
    """Means [meters, HORIZON_DAYS, hours], seconds of fitting and of predicting; or why there are none."""
    meters, days, hours = load.shape
    stamps = pd.date_range(FIRST, periods=days * hours, freq="h")
    rows = pd.DataFrame({"unique_id": np.repeat(np.arange(meters), days * hours), "ds": np.tile(stamps, meters), "y": load.reshape(-1)})
    rows["y"] = rows.groupby("unique_id")["y"].ffill().bfill()  # it takes no gaps: the hour that the clock leaves out
    with tempfile.TemporaryDirectory(prefix="grid_assets_bench_") as folder:
        asked, told = Path(folder) / "asked.parquet", Path(folder) / "told.parquet"
        rows.to_parquet(asked)
        if failed := run_apart(PEER, SCRIPT, [asked, told], Path(folder)):
            return failed
        found = pd.read_parquet(told).sort_values(["unique_id", "ds"])
    return (
        found["mean"].to_numpy(float).reshape(meters, HORIZON_DAYS, hours),
        found["fit_seconds"].iloc[0],
        found["predict_seconds"].iloc[0],
    )


def wape(made: np.ndarray, actual: np.ndarray) -> float:
    good = np.isfinite(made) & np.isfinite(actual)
    return float(np.abs(made - actual)[good].sum() / actual[good].sum())


def accuracy_rows(load: np.ndarray, kinds: np.ndarray) -> list[Row]:
    """Meters, feeders and their sum before and after they add up. A node's own forecast is the mean of its last four like weeks' days."""
    tree = Hierarchy(np.arange(len(load)) % FEEDERS + 1, np.array([-1, *[0] * FEEDERS]))
    found: dict[str, list[float]] = {}
    for issued in ISSUES:
        issue = (issued - FIRST).days
        ours = forecast_meters(load[:, : issue + 1], kinds[: issue + 1 + HORIZON_DAYS])
        actual = load[:, issue + 1 : issue + 1 + HORIZON_DAYS].astype(float)
        weeks = [load[:, issue - 6 - 7 * back : issue + 1 - 7 * back] for back in range(4)]
        four, naive = np.nanmean(np.stack(weeks), axis=0), weeks[0]
        _add(found, "meters", wape(ours.mean, actual), wape(naive, actual), wape(four, actual))
        inside = (actual >= ours.quantiles[0]) & (actual <= ours.quantiles[-1])
        _add(found, "inside", 100 * float(inside[np.isfinite(actual)].mean()))
        flat, truth = np.nan_to_num(ours.mean.reshape(len(load), -1)), node_sums(np.nan_to_num(actual).reshape(len(load), -1), tree)
        own, doubt = _nodes(load, kinds, issue, tree)
        made, sums = reconciled(flat, ours.variance, own, doubt, tree)
        bottom = node_sums(flat, tree)
        for name, part in (("feeders", slice(1, None)), ("their sum", slice(0, 1))):
            _add(found, name, *(wape(one[part], truth[part]) for one in (sums, own, bottom)))
        _add(found, "meters after", wape(made.reshape(actual.shape), actual))
    mean = {name: np.mean(np.reshape(values, (len(ISSUES), -1)), axis=0) for name, values in found.items()}
    ours, naive, four = mean["meters"]
    rows = [
        row(
            "560 households, five weeks: WAPE",
            ours,
            "-",
            f"week before {naive:.3f}, mean of four weeks {four:.3f}",
            f"< {four:.3f}",
            ours < four,
        ),
        row("the same: inside the 90 % band", mean["inside"][0], "%", "", "85 to 95", 85 <= mean["inside"][0] <= 95),
        row(
            "the same after adding up: WAPE",
            mean["meters after"][0],
            "-",
            f"before {ours:.4f}",
            "no worse",
            mean["meters after"][0] <= ours + 0.001,
        ),
    ]
    for name in ("feeders", "their sum"):
        after, own, bottom = mean[name]
        said = f"own forecast {own:.4f}, sum of the meters' {bottom:.4f}"
        rows.append(row(f"{name}, made to add up: WAPE", after, "-", said, "no worse than own", after <= own * 1.01))
    return rows


def _nodes(load: np.ndarray, kinds: np.ndarray, issue: int, tree: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    """The nodes' own forecasts [nodes, hours] by the same model over the nodes, and the variances of their errors."""
    series = node_sums(np.nan_to_num(load[:, : issue + 1]).reshape(len(load), -1), tree).reshape(len(tree.parent), issue + 1, HOURS)
    made = forecast_meters(series.astype(np.float32), kinds[: issue + 1 + HORIZON_DAYS])
    return made.mean.reshape(len(series), -1), made.variance


def _add(found: dict[str, list[float]], name: str, *values: float) -> None:
    found.setdefault(name, []).extend(values)
