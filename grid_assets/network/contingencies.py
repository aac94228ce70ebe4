"""What happens when a line or transformer is lost: who goes dark, and what the rest then cannot carry."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections, by_interval, place_plants
from grid_assets.network.study_day import expected_injections, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.powerflow.batches import NONE, BatchSolver
from grid_assets.powerflow.breakdown import ADVICE, breakdown_in_words
from grid_assets.powerflow.compiled import CompiledNetwork, FlowError, compiled
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError
from grid_assets.powerflow.limits import Limits, beyond, bus_voltages, loading_pct
from grid_assets.powerflow.outages import OutageFlows, mismatch_without, solve_outages
from grid_assets.powerflow.reference import ReferenceSolver, difference_pu
from grid_assets.powerflow.time_series import EXPLAINED_STEPS, SAMPLED_STEPS, refuse_misfits

SEVERITIES = ("none", "warning", "critical")
"""Of an outage: nothing else happens; the rest is beyond a limit; somebody goes dark or the rest has no solution."""


def contingencies_of_day(section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames) -> pd.DataFrame:
    """Rows of CONTINGENCY_RESULTS for the study day of run ``day``, of all its switching states the worst; errors as of ``study_of_day``."""
    studied = study_day_of(section, clock, day, frames.meters)
    drawn = expected_injections(section, studied, frames)
    made = by_interval(frames.renewable_forecasts, "plant_id", studied.start_utc)
    shares = place_plants(studied.versions[0].admitted, frames.plants)
    found = []
    for part in studied.parts(drawn):
        feeding = {plant: np.outer(kw[part.steps] / 1000, shares[plant]) for plant, kw in made.items()}
        found.append(
            contingency_results(
                part.version.admitted, part.drawn, studied.meters, studied.limits, section.double_outages, feeding, day.toordinal()
            )
        )
    return worst_of_each(found)


def contingency_results(
    admitted: AdmittedNetwork,
    drawn: Injections,
    meters: pd.DataFrame,
    limits: Limits,
    pairs: Sequence[tuple[str, str]] = (),
    feeding_mw: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """A row per line, transformer and impedance in service: the worst of its outage at the highest and at the lowest total load of ``drawn``.

    ``meters``: those in force; they say who goes dark. ``pairs``: branches that go out together, a row each. ``feeding_mw``: plant -> what it
    feeds in [intervals, buses], of which ``drawn`` is net: a row for the loss of each. What was beyond a limit before the outage is no violation of it, unless there
    was no solution before. ``seed`` draws the outages that are solved again by runpp. Raises FlowError when neither state has a solution without an outage.
    """
    network = compiled(admitted)
    refuse_misfits(network, drawn.load_mw, drawn.load_mvar)
    solver, total = BatchSolver(network), drawn.load_mw.sum(axis=1)
    states = sorted({int(total.argmax()), int(total.argmin())})
    wanted = network.injections(drawn.load_mw[states], drawn.load_mvar[states])
    before = solver.solve(wanted)
    if (before.method == NONE).all():
        raise FlowError(
            f"the network has no solution at {drawn.start_utc[states[0]]:%Y-%m-%d %H:%M} UTC, its highest or lowest load, without any outage; "
            f"{breakdown_in_words(network, lambda some: solver.solve(some).voltage, wanted[0])}; {ADVICE}"
        )
    outages = [(int(branch),) for branch in np.flatnonzero(network.ends[:, 0] >= 0)] + _pairs(network, pairs)
    sampled = {outages[n] for n in np.random.default_rng(seed).permutation(len(outages))[:SAMPLED_STEPS]}
    customers = _at_bus(network, meters)
    # what goes dark has no generation of its own to live on: its load counts, not its load less what it feeds in
    consumed = np.maximum(drawn.load_mw + sum((feeding_mw or {}).values()), 0.0)
    parts = []
    for n, state in enumerate(states):
        if before.method[n] == NONE:
            continue
        at_state = _State(drawn, state, wanted[n], consumed[state], before.voltage[n])
        base = beyond(bus_voltages(network, at_state.voltage[None]), loading_pct(network, at_state.voltage[None]), limits)[0]
        for found in solve_outages(solver, wanted[n], outages, at_state.voltage):
            rows = _rows(network, found, at_state, base, customers, limits)
            rows["sample_difference_pu"] = _sampled(admitted, network, found, at_state, sampled)
            rows["note"] = _without_solution(solver, found, at_state)
            parts.append(rows)
        for found, plants in _without_plants(network, solver, wanted[n], state, feeding_mw or {}):
            parts.append(_rows(network, found, at_state, base, customers, limits).assign(outage_id=plants, kind="plant"))
    return worst_of_each(parts)


@dataclass(frozen=True)
class _State:
    """An interval's loads, and how things stand before anything goes out."""

    drawn: Injections
    step: int
    wanted: np.ndarray
    """[solved], complex per unit"""
    consumed_mw: np.ndarray
    """[buses]"""
    voltage: np.ndarray
    """[solved], complex per unit"""


def _pairs(network: CompiledNetwork, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, ...]]:
    at, made = {name: n for n, name in enumerate(network.branch_ids)}, []
    for pair in pairs:
        if pair[0] == pair[1]:
            raise NetworkError(f"double_outages: {pair[0]!r} twice; expected two different branches")
        for name in pair:
            if name not in at:
                raise NetworkError(
                    f"double_outages: {name!r} is no branch of the network; expected names such as {network.branch_ids[0]!r}"
                )
        if all(network.ends[at[name], 0] >= 0 for name in pair):  # with one of them open already, it is the other's own outage
            made.append(tuple(at[name] for name in pair))
    return made


def _without_plants(
    network: CompiledNetwork, solver: BatchSolver, wanted: np.ndarray, state: int, feeding_mw: Mapping[str, np.ndarray]
) -> Iterator[tuple[OutageFlows, list[str]]]:
    """Flows after the loss of each plant that feeds in: nothing goes dark, the supply takes its place."""
    plants = sorted(plant for plant, fed in feeding_mw.items() if np.abs(fed[state]).sum() > 0)
    for first in range(0, len(plants), solver.chunk):
        some = plants[first : first + solver.chunk]
        fed = np.stack([feeding_mw[plant][state] for plant in some])
        lost = network.injections(fed, np.zeros_like(fed)) - network.generation
        solved, nothing = solver.solve(wanted + lost), ((),) * len(some)
        residual = mismatch_without(network, nothing, solved.voltage, wanted + lost)
        yield OutageFlows(nothing, solved.voltage, np.zeros(solved.voltage.shape, bool), solved.method, residual), some


def _sampled(
    admitted: AdmittedNetwork, network: CompiledNetwork, found: OutageFlows, at_state: _State, sampled: Collection[tuple[int, ...]]
) -> np.ndarray:
    """For the sampled ones of the outages with a solution the largest difference of a voltage to runpp's, p.u.; else NaN [outages]."""
    made = np.full(len(found.outages), np.nan)
    for n, branches in enumerate(found.outages):
        if branches in sampled and found.method[n] != NONE:
            net = ReferenceSolver(admitted, set(network.branch_ids[list(branches)])).solve(
                at_state.drawn.load_mw[at_state.step], at_state.drawn.load_mvar[at_state.step]
            )
            ours = np.where(network.supplied & ~found.dark[n, network.place], found.voltage[n, network.place], np.nan)
            made[n] = difference_pu(net, ours)
    return made


def _without_solution(solver: BatchSolver, found: OutageFlows, at_state: _State) -> list[str | None]:
    """Of the first outages without a solution where it breaks down, of all of them what to look for."""
    said: list[str | None] = [None] * len(found.outages)
    for count, n in enumerate(np.flatnonzero(found.method == NONE)):
        where = ""
        if count < EXPLAINED_STEPS:

            def solve(some: np.ndarray, branches: tuple[int, ...] = found.outages[n]) -> np.ndarray:
                return next(solve_outages(solver, some[0], [branches], at_state.voltage)).voltage

            where = f"{breakdown_in_words(solver.network, solve, at_state.wanted)}; "
        said[n] = where + ADVICE
    return said


def worst_of_each(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each outage the state in which more goes wrong."""
    every = pd.concat(parts, ignore_index=True)
    every["rank"] = every["severity"].map(SEVERITIES.index)
    order = ["rank", "lost_load_kw", "new_violations", "maximum_loading_pct", "start_utc"]
    worst = every.sort_values(order, ascending=[False, False, False, False, True]).drop_duplicates("outage_id")
    return worst.drop(columns="rank").sort_values("outage_id", ignore_index=True)


def _rows(
    network: CompiledNetwork, found: OutageFlows, at_state: _State, base: np.ndarray, customers: np.ndarray, limits: Limits
) -> pd.DataFrame:
    solved, out = found.method != NONE, found.outages
    dark = found.dark[:, np.maximum(network.place, 0)] & network.supplied
    volts, loading = bus_voltages(network, found.voltage), found.loading_pct(network)
    new = (beyond(volts, loading, limits) & ~base).sum(axis=1)
    known = solved & np.isfinite(volts).any(axis=1)
    low, high, heavy = (
        np.where(known[:, None], np.nan_to_num(values, nan=fill), fill)
        for values, fill in ((volts, np.inf), (volts, -np.inf), (loading, -np.inf))
    )
    lost = (at_state.consumed_mw * dark).sum(axis=1) * 1000.0
    severity = np.where(~solved | (lost > 0) | dark @ customers.astype(bool), 2, np.where(new > 0, 1, 0))
    return pd.DataFrame(
        {
            "outage_id": [" + ".join(network.branch_ids[list(branches)]) for branches in out],
            "kind": [network.kinds[branches[0]] if len(branches) == 1 else "two branches" for branches in out], "start_utc": at_state.drawn.start_utc[at_state.step], "converged": solved,
            "severity": np.array(SEVERITIES, object)[severity], "dark_buses": dark.sum(axis=1), "lost_load_kw": lost,
            "customers_dark": dark @ customers, "new_violations": np.where(solved, new, 0),
            "minimum_vm_pu": _value(low, known, low.argmin(axis=1)), "minimum_vm_bus": _name(network.bus_ids, known, low.argmin(axis=1)),
            "maximum_vm_pu": _value(high, known, high.argmax(axis=1)),
            "maximum_loading_pct": _value(heavy, known, heavy.argmax(axis=1)),
            "maximum_loading_branch": _name(network.branch_ids, known, heavy.argmax(axis=1)),
            "residual_max_mva": found.residual_max_mva, "sample_difference_pu": np.nan, "note": None,
        }
    )  # fmt: skip


def _value(values: np.ndarray, known: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.where(known, values[np.arange(len(values)), at], np.nan)


def _name(names: np.ndarray, known: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.where(known, names[at], None)


def _at_bus(network: CompiledNetwork, meters: pd.DataFrame) -> np.ndarray:
    """Load meters at each bus [buses]."""
    loads = meters[(meters["kind"] == "load") & meters["bus_id"].notna()]
    counted = loads.groupby("bus_id")["meter_id"].nunique()
    return counted.reindex(network.bus_ids, fill_value=0).to_numpy(int)


def contingencies_in_words(results: pd.DataFrame) -> str:
    """How many outages leave somebody dark, overload the rest or have no solution, and the worst; empty where none does."""
    bad = results[results["severity"] != "none"]
    if bad.empty:
        return ""
    unsolved, dark, beyond = int((~bad["converged"]).sum()), int((bad["dark_buses"] > 0).sum()), int((bad["new_violations"] > 0).sum())
    worst = bad.sort_values(["customers_dark", "lost_load_kw", "new_violations"], ascending=False).iloc[0]
    return (
        f"of {len(results)} outages {dark} leave buses dark, {beyond} push others beyond their limits, {unsolved} have no solution; worst: "
        f"{worst['kind']} {worst['outage_id']}: {worst['customers_dark']} customers and {worst['lost_load_kw']:.0f} kW dark, "
        f"{worst['new_violations']} new violations"
    )


def overburdened(results: pd.DataFrame) -> str:
    """The outages after which what keeps its supply has no solution or new violations; who goes dark on a radial feeder is no surprise."""
    bad = results[~results["converged"] | (results["new_violations"] > 0)]
    worst = bad.sort_values(["converged", "new_violations"], ascending=[True, False]).head(8)
    return "; ".join(
        f"{one.kind} {one.outage_id}: {'no solution' if not one.converged else f'{one.new_violations} new violations'}"
        for one in worst.itertuples()
    )
