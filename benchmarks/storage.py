"""Storage schedules against linear programmes of the same instances, in the same run: time, proven gaps, memory."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks._fleets import fleet, products
from benchmarks._pod import pod_rows
from benchmarks._processes import measured
from benchmarks.platform import Row, row
from grid_assets.optimisation.fleet_arrays import highs_of, solved, whole_part
from grid_assets.optimisation.storage_instance import Instance
from grid_assets.optimisation.storage_schedule import Schedule, faults_of_plan, schedule
from grid_assets.optimisation.strategies import by_price, by_rule, greedily, per_feeder

PROJECT = Path(__file__).parents[1]
LIMIT_S = 900.0


def run(console: Console) -> list[Row]:
    """Measures everything; some three minutes."""
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    schedule(fleet(3, 0, 8, 1.0))  # the compiled loops are kept on disk from the first run on; nothing of that is measured
    with console.status("") as status:
        for said, make in (
            ("units that share nothing ...", separable_rows), ("many units that share nothing ...", many_rows), ("equal units ...", merged_rows),
            ("1,000 units on 5 feeders ...", coupled_rows), ("10,000 units on 50 feeders ...", large_rows), ("a week ...", week_rows),
            ("strategies on a partly cloudy day ...", strategy_rows), ("the storage challenge of a year ...", pod_rows), ("building a programme ...", build_rows),
        ):  # fmt: skip
            status.update(said)
            rows += make()
    return rows


def separable_rows() -> list[Row]:
    case = fleet(500, 0)
    ours, made = timed(lambda: schedule(case), 5)
    theirs, best = by_linear_programme(case)
    apart = abs(made.objective - best) / abs(best)
    return [
        row("500 units that share nothing", theirs / ours, "x faster", f"{1000 * ours:.3g} ms with validation, the linear programme {theirs:.3g} s; 96 intervals",
            ">= 100", theirs / ours >= 100),
        row("the same: objective apart from the linear programme's", apart, "relative", "", "<= 1e-9", apart <= 1e-9),
    ]  # fmt: skip


def many_rows() -> list[Row]:
    made = {count: in_own_process(count, 0) for count in (10_000, 100_000)}
    whole, tenth = made[100_000], made[10_000]
    return [
        row("100,000 units that share nothing", whole["seconds"], "s", f"planning alone; 10,000 take {tenth['seconds']:.3g} s", "< 60", whole["seconds"] < 60),
        row("the same: memory", whole["mib"], "MiB", "of the process, Python and all", "< 1024", whole["mib"] < 1024),
    ]  # fmt: skip


def merged_rows() -> list[Row]:
    case = products(fleet(300, 5))
    ours, made = timed(lambda: schedule(case), 3)
    theirs, best = by_linear_programme(case)
    apart = abs(made.objective - best) / abs(best)
    return [
        row("300 units of 4 products on 5 feeders", theirs / ours, "x faster", f"{ours:.3g} s, all units in one linear programme {theirs:.3g}; {made.method}", ">= 20", theirs / ours >= 20),
        row("the same: objective apart", apart, "relative", "", "<= 1e-6", apart <= 1e-6),
    ]  # fmt: skip


def coupled_rows() -> list[Row]:
    case = fleet(1000, 5)
    ours, made = timed(lambda: schedule(case, gap=9e-4), 2)
    theirs, best = by_linear_programme(case)
    return [
        row("1,000 units on 5 feeders, 96 intervals", theirs / ours, "x faster", f"{ours:.3g} s, the linear programme {theirs:.3g}; {made.method}", ">= 8", theirs / ours >= 8),
        row("the same: certified gap", made.gap_pct, "%", f"in truth {100 * (made.objective / best - 1):.3g} %", "<= 0.1", made.gap_pct <= 0.1),
        row("the same: faults of the plan", len(faults_of(case, made)), "", "power, energy, window, end, budget of every unit", "0", not faults_of(case, made)),
    ]  # fmt: skip


def large_rows() -> list[Row]:
    made = in_own_process(10_000, 50)
    stretch = "met" if made["gap_pct"] <= 0.1 else "missed"
    return [
        row("10,000 units on 50 feeders: certified gap", made["gap_pct"], "%", f"{made['method']}; stretch 0.1: {stretch}", "<= 0.25", made["gap_pct"] <= 0.25),
        row("the same: time", made["seconds"], "s", "validation, plan and costs", "< 90", made["seconds"] < 90),
        row("the same: memory", made["mib"], "MiB", "of the process, Python and all", "< 1024", made["mib"] < 1024),
        row("the same: faults of the plan", made["faults"], "", "power, energy, window, end, budget of every unit", "0", made["faults"] == 0),
    ]  # fmt: skip


def week_rows() -> list[Row]:
    rows = []
    for name, intervals, hours in (("168 hours", 168, 1.0), ("672 quarter-hours", 672, 0.25)):
        made = in_own_process(1000, 5, intervals, hours)
        rows += [
            row(f"1,000 units on 5 feeders, {name}: certified gap", made["gap_pct"], "%", f"{made['method']}; seven budgets a unit"),
            row("the same: time", made["seconds"], "s", f"{made['mib']:.0f} MiB, {made['faults']} faults"),
        ]
    return rows


def strategy_rows() -> list[Row]:
    """60 units on 5 feeders under clouds that come and go: how much of the sun is used, by strategy."""
    case = fleet(60, 5)
    random = np.random.default_rng(1)
    clouds = np.repeat(random.choice([0.35, 1.0], (len(case.nodes), 32), p=[0.4, 0.6]), 3, axis=1)[:, : case.intervals]
    case = replace(case, nodes=replace(case.nodes, available_kw=1.4 * case.nodes.available_kw * clouds))
    hour = (np.arange(case.intervals) * case.interval_hours).astype(int)
    available = case.nodes.available_kw.sum()
    made = {"no storage": schedule(case.without_units()), "rule": by_rule(case, hour), "greedy": greedily(case), "price only": by_price(case),
            "each feeder for itself": per_feeder(case), "all together": schedule(case)}  # fmt: skip
    used = {name: 100 * (1 - plan.curtailed_kw.sum() / available) for name, plan in made.items()}
    rise = 100 * (used["all together"] / used["no storage"] - 1)
    told = "; ".join(f"{name} {share:.1f} %, {made[name].objective:,.0f} EUR" for name, share in used.items())
    return [row("partly cloudy day: more of the sun used than without storage", rise, "%", told, ">= 15", rise >= 15)]


def build_rows() -> list[Row]:
    """The linear programme as arrays, against the same in PuLP, without solving either."""
    from grid_assets.optimisation.storage_model import _Model

    case = fleet(100, 5)
    ours, _ = timed(lambda: whole_part(case), 3)
    theirs, _ = timed(lambda: _Model(case, (), {}), 1)
    return [
        row("building the programme of 100 units", theirs / ours, "x faster", f"{1000 * ours:.3g} ms, PuLP {theirs:.3g} s", ">= 20", theirs / ours >= 20)
    ]  # fmt: skip


def by_linear_programme(case: Instance) -> tuple[float, float]:
    """Seconds and optimum of the whole programme, built as arrays, one thread: the faster of simplex and interior point."""
    best, value = np.inf, np.nan
    for method in ("simplex", "ipm"):
        began = time.perf_counter()
        programme = whole_part(case).programme
        found, _ = solved(highs_of(programme, LIMIT_S, solver=method))
        took = time.perf_counter() - began
        if took < best:
            best, value = took, float(programme.cost @ found)
    return best, value


def faults_of(case: Instance, made: Schedule) -> list[str]:
    return faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh)


def timed(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The shortest of some runs, seconds, and what the last one made."""
    best, made = np.inf, None
    for _ in range(times):
        began = time.perf_counter()
        made = work()
        best = min(best, time.perf_counter() - began)
    return best, made


def in_own_process(units: int, feeders: int, intervals: int = 96, hours: float = 0.25) -> dict[str, Any]:
    """The plan of a fleet in a process of its own, so that its memory can be told."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        command = [sys.executable, "-m", "benchmarks.storage", str(units), str(feeders), str(intervals), str(hours), str(told)]
        usage = measured(command, os.environ, PROJECT)
        return json.loads(told.read_text()) | {"mib": usage.largest_mib}


def main(units: int, feeders: int, intervals: int, hours: float, told: Path) -> None:
    schedule(fleet(3, 0, 8, 1.0))
    case = fleet(units, feeders, intervals, hours)
    began = time.perf_counter()
    made = schedule(case, time_limit_s=LIMIT_S)
    seconds = time.perf_counter() - began
    faults = len(faults_of(case, made)) if units <= 20_000 else None
    told.write_text(json.dumps({"seconds": seconds, "gap_pct": made.gap_pct, "method": made.method, "faults": faults}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
