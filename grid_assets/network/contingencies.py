"""What happens when a line or transformer is lost: who goes dark, and what the rest then cannot carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections, by_interval, place_plants
from grid_assets.network.study_day import expected_injections, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.powerflow.batches import NONE, BatchSolver
from grid_assets.powerflow.compiled import CompiledNetwork, FlowError, compiled
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError
from grid_assets.powerflow.limits import Limits, beyond
from grid_assets.powerflow.outages import OutageFlows, solve_outages

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
            contingency_results(part.version.admitted, part.drawn, studied.meters, studied.limits, section.double_outages, feeding)
        )
    return worst_of_each(found)


def contingency_results(
    admitted: AdmittedNetwork,
    drawn: Injections,
    meters: pd.DataFrame,
    limits: Limits,
    pairs: Sequence[tuple[str, str]] = (),
    feeding_mw: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """A row per line, transformer and impedance in service: the worst of its outage at the highest and at the lowest total load of ``drawn``.

    ``meters``: those in force; they say who goes dark. ``pairs``: branches that go out together, a row each. ``feeding_mw``: plant -> what it
    feeds in [intervals, buses], of which ``drawn`` is net: a row for the loss of each. What was beyond a limit before the outage is no violation of it, unless there
    was no solution before. Raises FlowError when neither state has a solution without an outage.
    """
    network = compiled(admitted)
    solver, total = BatchSolver(network), drawn.load_mw.sum(axis=1)
    states = sorted({int(total.argmax()), int(total.argmin())})
    wanted = network.injections(drawn.load_mw[states], drawn.load_mvar[states])
    before = solver.solve(wanted)
    if (before.method == NONE).all():
        raise FlowError(
            f"the network has no solution at {drawn.start_utc[states[0]]:%Y-%m-%d %H:%M} UTC, its highest or lowest load, without any outage"
        )
    outages = [(int(branch),) for branch in np.flatnonzero(network.ends[:, 0] >= 0)] + _pairs(network, pairs)
    customers = _at_bus(network, meters)
    # what goes dark has no generation of its own to live on: its load counts, not its load less what it feeds in
    consumed = np.maximum(drawn.load_mw + sum((feeding_mw or {}).values()), 0.0)
    parts = []
    for n, state in enumerate(states):
        if before.method[n] == NONE:
            continue
        base = beyond(network, before.voltage[n][None], limits)[0]
        for found in solve_outages(solver, wanted[n], outages, before.voltage[n]):
            parts.append(_rows(network, found, drawn.start_utc[state], consumed[state], base, customers, limits))
        for found, plants in _without_plants(network, solver, wanted[n], state, feeding_mw or {}):
            parts.append(
                _rows(network, found, drawn.start_utc[state], consumed[state], base, customers, limits).assign(
                    outage_id=plants, kind="plant"
                )
            )
    return worst_of_each(parts)


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
        solved = solver.solve(wanted + lost)
        yield OutageFlows(((),) * len(some), solved.voltage, np.zeros(solved.voltage.shape, bool), solved.method), some


def worst_of_each(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each outage the state in which more goes wrong."""
    every = pd.concat(parts, ignore_index=True)
    every["rank"] = every["severity"].map(SEVERITIES.index)
    order = ["rank", "lost_load_kw", "new_violations", "maximum_loading_pct", "start_utc"]
    worst = every.sort_values(order, ascending=[False, False, False, False, True]).drop_duplicates("outage_id")
    return worst.drop(columns="rank").sort_values("outage_id", ignore_index=True)


def _rows(
    network: CompiledNetwork,
    found: OutageFlows,
    start_utc: pd.Timestamp,
    consumed_mw: np.ndarray,
    base: np.ndarray,
    customers: np.ndarray,
    limits: Limits,
) -> pd.DataFrame:
    solved, out = found.method != NONE, found.outages
    place, supplied = np.maximum(network.place, 0), network.supplied
    dark = found.dark[:, place] & supplied
    volts = np.where(dark | ~supplied, np.nan, np.abs(found.voltage)[:, place])
    loading = found.loading_pct(network)
    new = (_after(network, found, loading, limits) & ~base).sum(axis=1)
    known = solved & np.isfinite(volts).any(axis=1)
    low, high, heavy = (
        np.where(known[:, None], np.nan_to_num(values, nan=fill), fill)
        for values, fill in ((volts, np.inf), (volts, -np.inf), (loading, -np.inf))
    )
    lost = (consumed_mw * dark).sum(axis=1) * 1000.0
    severity = np.where(~solved | (lost > 0) | dark @ customers.astype(bool), 2, np.where(new > 0, 1, 0))
    return pd.DataFrame(
        {
            "outage_id": [" + ".join(network.branch_ids[list(branches)]) for branches in out],
            "kind": [network.kinds[branches[0]] if len(branches) == 1 else "two branches" for branches in out], "start_utc": start_utc, "converged": solved,
            "severity": np.array(SEVERITIES, object)[severity], "dark_buses": dark.sum(axis=1), "lost_load_kw": lost,
            "customers_dark": dark @ customers, "new_violations": np.where(solved, new, 0),
            "minimum_vm_pu": _value(low, known, low.argmin(axis=1)), "minimum_vm_bus": _name(network.bus_ids, known, low.argmin(axis=1)),
            "maximum_vm_pu": _value(high, known, high.argmax(axis=1)),
            "maximum_loading_pct": _value(heavy, known, heavy.argmax(axis=1)),
            "maximum_loading_branch": _name(network.branch_ids, known, heavy.argmax(axis=1)),
        }
    )  # fmt: skip


def _after(network: CompiledNetwork, found: OutageFlows, loading: np.ndarray, limits: Limits) -> np.ndarray:
    """As ``beyond``, [outages, 2 buses + branches]: nothing that is dark, and branches by what they carry after the outage."""
    lit = ~found.dark[:, np.maximum(network.place, 0)]
    volts = beyond(network, found.voltage, limits)[:, : 2 * len(network.place)] & np.tile(lit, 2)
    return np.concatenate([volts, loading > limits.maximum_loading_pct], axis=1)


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
