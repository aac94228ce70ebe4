"""The POD storage challenge (Western Power Distribution, Energy Systems Catapult, 2021): a battery against the evening peak, planned two days ahead.

Each local day of 2019 from what was known at the end of the second day before. Measured by others: 70 % of perfect foresight with
a fixed plan, 81 % with last week's load and mean PV power, 96 % with the true load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._pod_forecast import CHARGING, EVENING, LEAD, PodDays, load_forecasts, load_scenarios, mean_pv, pod_days, pv_scenarios
from benchmarks.platform import Row, row
from grid_assets.definitions import PROJECT
from grid_assets.optimisation.evening_peak import Battery, EveningPlan, best_plan, faults_of_evening_plan, score

SHARED = Path(os.environ.get("GRID_ASSETS_SHARED") or PROJECT.parent / "shared").absolute()
BATTERY = Battery(6.0, 2.5)
YEAR = 2019
LEAST_PEAK_MW = 0.2
FIRST_FORECAST = 260
"""Position of the first forecast day: 21 July 2018, so that half a year of evening errors is known on the first scored day."""
TARGET_PCT, STRETCH_PCT = 88.0, 92.0
NAME = "POD storage challenge"

Scenarios = Callable[[int], np.ndarray]
"""Position of a day -> courses [scenarios, intervals], MW."""


@dataclass(frozen=True)
class Played:
    """A way of planning on all days."""

    scores: np.ndarray
    infeasible: int
    seconds: float


def pod_rows() -> list[Row]:
    """Plans all days of 2019 in several ways; a minute."""
    folder = SHARED / "data" / "wpd_pod"
    if not folder.is_dir():
        return [row(NAME, "not run", "", "the shared data sets are absent; set GRID_ASSETS_SHARED")]
    pod = pod_days(pd.read_parquet(folder / "demand_pv.parquet"), pd.read_parquet(folder / "weather.parquet"))
    days = scored_days(pod)
    began = time.perf_counter()
    forecasts = load_forecasts(pod, FIRST_FORECAST)
    took = time.perf_counter() - began
    with_weather = load_forecasts(pod, FIRST_FORECAST, own_weather=True)
    true_load: Scenarios = lambda day: pod.load_mw[day : day + 1, EVENING]  # noqa: E731
    true_pv: Scenarios = lambda day: pod.pv_mw[day : day + 1, CHARGING]  # noqa: E731
    ours_load: Scenarios = lambda day: load_scenarios(pod, forecasts, day)  # noqa: E731
    ours_pv: Scenarios = lambda day: pv_scenarios(pod, day)  # noqa: E731
    mean_of_week: Scenarios = lambda day: mean_pv(pod, day)  # noqa: E731
    ways = {
        "perfect": optimised(true_load, true_pv),
        "ours": optimised(ours_load, ours_pv),
        "even": lambda _: even_plan(),
        "last week": optimised(lambda day: pod.load_mw[day - 7 : day - 6, EVENING], mean_of_week),
        "true load": optimised(true_load, mean_of_week),
        "true load, ours": optimised(true_load, ours_pv),
        "true pv": optimised(ours_load, true_pv),
        "weather": optimised(lambda day: load_scenarios(pod, with_weather, day), ours_pv),
        "mean": optimised(lambda day: forecasts[day][None], lambda day: pv_scenarios(pod, day).mean(0, keepdims=True)),
    }
    played = {name: play(pod, days, way) for name, way in ways.items()}
    best = played["perfect"].scores.mean()
    ratio = {name: 100 * one.scores.mean() / best for name, one in played.items()}
    ours, infeasible = played["ours"], sum(one.infeasible for one in played.values())
    stretch = "met" if ratio["ours"] >= STRETCH_PCT else "missed"

    def compared(name: str, way: str, said: str) -> Row:
        return row(f"the same: {name}", ratio[way], "% of perfect foresight", f"mean score {played[way].scores.mean():.4g}; {said}")

    return [
        row(f"{NAME}: perfect foresight", best, "mean score", f"{len(days)} days of {YEAR} with 48 half-hours and an evening peak"),
        row(f"{NAME}: ours", ours.scores.mean(), "mean score", f"forecasts {took:.2g} s, a plan {1000 * ours.seconds / len(days):.2g} ms"),
        row("the same: of perfect foresight", ratio["ours"], "%", f"known until the end of D-{LEAD}; stretch {STRETCH_PCT:.0f}: {stretch}",
            f">= {TARGET_PCT:.0f}", ratio["ours"] >= TARGET_PCT),
        compared("the plan for the mean instead of scenarios", "mean", "the same forecasts"),
        compared("ours with the weather of the day", "weather", "gridded temperature and irradiance enter the load, as if foreseen"),
        compared("ours with the true PV power", "true pv", "what the load forecast costs"),
        compared("the true load with our PV scenarios", "true load, ours", "what the PV forecast costs"),
        compared("the true load with the mean PV power of D-2 to D-8", "true load", "others: 96"),
        compared("last week's load with the mean PV power of D-2 to D-8", "last week", "others: 81"),
        compared("1 MW over midday, discharged evenly", "even", "others: 70"),
        row("the same: infeasible plans", infeasible, "", f"of {len(days) * len(played):,}, all ways of planning", "0", infeasible == 0),
    ]  # fmt: skip


def scored_days(pod: PodDays) -> np.ndarray:
    """Positions of the challenge's days."""
    peak = pod.load_mw[:, EVENING].max(1)
    of_year = np.array([day.year == YEAR for day in pod.days])
    return np.flatnonzero(of_year & pod.whole & (peak > LEAST_PEAK_MW))


def optimised(load: Scenarios, pv: Scenarios) -> Callable[[int], EveningPlan]:
    return lambda day: best_plan(load(day), pv(day), BATTERY)


def even_plan() -> EveningPlan:
    """1 MW from 09:30 to 15:30, discharged evenly from 15:30 to 21:00."""
    charge = np.zeros(CHARGING.stop)
    charge[-12:] = 1.0
    evening = EVENING.stop - EVENING.start
    return EveningPlan(charge, np.full(evening, charge.sum() / evening))


def play(pod: PodDays, days: np.ndarray, way: Callable[[int], EveningPlan]) -> Played:
    """Plans each day and scores it by what came."""
    began = time.perf_counter()
    plans = [way(int(day)) for day in days]
    seconds = time.perf_counter() - began
    scores = [float(score(plan, pod.load_mw[day, EVENING], pod.pv_mw[day, CHARGING])) for plan, day in zip(plans, days, strict=True)]
    return Played(np.array(scores), sum(bool(faults_of_evening_plan(plan, BATTERY)) for plan in plans), seconds)
