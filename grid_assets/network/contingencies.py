"""What happens when a line or transformer is lost: who goes dark, and what the rest then cannot carry."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections, by_interval, place_plants
from grid_assets.network.study_day import expected_injections, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import CONTINGENCY_RESULTS
from grid_assets.powerflow.batches import NONE, BatchSolver
from grid_assets.powerflow.breakdown import ADVICE, breakdown_in_words
from grid_assets.powerflow.compiled import CompiledNetwork, FlowError, compiled
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError
from grid_assets.powerflow.limits import Limits, beyond, bus_voltages, loading_pct
from grid_assets.powerflow.outages import OutageFlows, mismatch_without, solve_outages
from grid_assets.powerflow.plausibility import called
from grid_assets.powerflow.reference import ReferenceSolver, difference_pu
from grid_assets.powerflow.time_series import SAMPLED_STEPS, refuse_misfits

SEVERITIES = ("none", "warning", "critical")
"""Of an outage: nothing else happens; the rest is beyond a limit; somebody goes dark or the rest has no solution."""

EXPLAINED = 6
"""Of so many outages without a solution it is said where they break down."""
OUTAGE_ADVICE = "what is left cannot carry the load: look for what could be switched to it, for generation near it, or for load to shed"


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
    """A row per line, transformer, impedance and voltage-holding generator in service: the worst of its outage at the highest and at the lowest total load of ``drawn``.

    ``meters``: those in force; they say who goes dark. ``pairs``: branches that go out together, a row each. ``feeding_mw``: plant -> what it
    feeds in [intervals, buses], of which ``drawn`` is net: a row for the loss of each. What was beyond a limit before the outage is no violation of it, unless there
    was no solution before. ``seed`` draws the outages that are solved again by runpp. Raises FlowError when neither state has a solution without an outage.
    """
    network = compiled(admitted)
    refuse_misfits(network, drawn.load_mw, drawn.load_mvar)
    solver, total = BatchSolver(network), drawn.load_mw.sum(axis=1)
    steps = list(dict.fromkeys([int(total.argmax()), int(total.argmin())]))
    wanted = network.injections(drawn.load_mw[steps], drawn.load_mvar[steps])
    before = solver.solve(wanted)
    lacking = [
        f"at {drawn.start_utc[step]:%Y-%m-%d %H:%M} UTC, the {name} load, there is no solution without any outage; "
        f"{breakdown_in_words(network, lambda some: solver.solve(some).voltage, wanted[n])}; {ADVICE}"
        for n, (step, name) in enumerate(zip(steps, ("highest", "lowest"), strict=False))
        if before.method[n] == NONE
    ]
    if len(lacking) == len(steps):
        raise FlowError(lacking[0])
    # what goes dark has no generation of its own to live on: its load counts, not its load less what it feeds in
    feeding = dict(feeding_mw or {})
    consumed = np.maximum(drawn.load_mw + sum(feeding.values()), 0.0)
    branches = [(int(branch),) for branch in np.flatnonzero(network.ends[:, 0] >= 0)] + _pairs(network, pairs)
    customers, parts = _at_bus(network, meters), []
    held_by = admitted.net.gen.index[admitted.net.gen["in_service"].astype(bool)]
    for n, step in enumerate(steps):
        if before.method[n] == NONE:
            continue
        known = _State(drawn.start_utc[step], drawn.load_mw[step], drawn.load_mvar[step], wanted[n], consumed[step], before.voltage[n])
        plants = sorted((plant, fed[step]) for plant, fed in feeding.items() if fed[step].any())
        outages = [*(_Outage.of_branches(network, one) for one in branches), *(_Outage(plant, "plant", (), fed) for plant, fed in plants)]
        parts.append(_of_state(admitted, solver, known, outages, customers, limits, seed))
        parts += [_without_generator(admitted, index, known, customers, limits) for index in held_by]
    found = worst_of_each(parts)
    return found.assign(note=[f"{lacking[0]}; {note}" if note else lacking[0] for note in found["note"]]) if lacking else found


@dataclass(frozen=True)
class _State:
    """An interval's loads, and how things stand before anything goes out."""

    start_utc: pd.Timestamp
    load_mw: np.ndarray
    """[buses]"""
    load_mvar: np.ndarray
    wanted: np.ndarray
    """[solved], complex per unit"""
    consumed_mw: np.ndarray
    """[buses]"""
    voltage: np.ndarray
    """[solved], complex per unit"""


@dataclass(frozen=True)
class _Outage:
    outage_id: str
    kind: str
    branches: tuple[int, ...]
    fed_mw: np.ndarray | None = None
    """[buses]: what a plant fed in that is lost."""

    @classmethod
    def of_branches(cls, network: CompiledNetwork, branches: tuple[int, ...]) -> _Outage:
        kind = network.kinds[branches[0]] if len(branches) == 1 else "two branches"
        return cls(" + ".join(network.branch_ids[list(branches)]), kind, branches)


def _of_state(
    admitted: AdmittedNetwork,
    solver: BatchSolver,
    known: _State,
    outages: Sequence[_Outage],
    customers: np.ndarray,
    limits: Limits,
    seed: int,
) -> pd.DataFrame:
    """The rows of all outages at one interval, some of them solved again by runpp."""
    if not outages:
        return CONTINGENCY_RESULTS.empty().to_pandas()
    network = solver.network
    base = beyond(bus_voltages(network, known.voltage[None]), loading_pct(network, known.voltage[None]), limits)[0]
    parts = [_rows(network, found, known, base, customers, limits) for found in _flows(solver, known.wanted, known.voltage, outages)]
    rows = pd.concat(parts, ignore_index=True).assign(
        outage_id=[one.outage_id for one in outages], kind=[one.kind for one in outages], sample_difference_pu=np.nan, note=None
    )
    lots = np.random.default_rng(seed).permutation(len(outages))
    solved = rows["converged"].to_numpy()
    all_dark = rows["minimum_vm_bus"].isin(network.bus_ids[np.isin(network.place, network.reference)]) & (rows["dark_buses"] > 0)
    for n in sorted(np.flatnonzero(solved), key=lambda one: (bool(all_dark[one]), lots[one]))[:SAMPLED_STEPS]:
        rows.loc[n, "sample_difference_pu"] = _difference(admitted, solver, known, outages[n])
    for count, n in enumerate(np.flatnonzero(~solved)):
        where = f"{breakdown_in_words(network, _solving(solver, known, outages[n]), known.wanted)}; " if count < EXPLAINED else ""
        rows.loc[n, "note"] = where + OUTAGE_ADVICE
    return rows


def _without_generator(admitted: AdmittedNetwork, index: int, known: _State, customers: np.ndarray, limits: Limits) -> pd.DataFrame:
    """The loss of a generator that holds a voltage. What it held is then free, which makes another network; runpp solves each of these too."""
    before, net = compiled(admitted), copy.deepcopy(admitted.net)
    net.gen.loc[index, "in_service"] = False
    without, note, difference = AdmittedNetwork(net, admitted.source, admitted.repairs), None, np.nan
    network, wanted, voltage, method = before, known.wanted[None], np.full((1, len(known.wanted)), np.nan, complex), np.array([NONE])
    try:
        network = compiled(without)
        wanted = network.injections(known.load_mw[None], known.load_mvar[None])
        solver = BatchSolver(network)
        solved = solver.solve(wanted)
        voltage, method = solved.voltage, solved.method
        if method[0] == NONE:
            note = f"{breakdown_in_words(network, lambda some: solver.solve(some).voltage, wanted[0])}; {OUTAGE_ADVICE}"
        else:
            ours = np.where(network.supplied, voltage[0, network.place], np.nan)
            difference = difference_pu(ReferenceSolver(without).solve(known.load_mw, known.load_mvar), ours)
    except FlowError as error:  # not even without load
        note = f"{error}; {OUTAGE_ADVICE}"
    found = OutageFlows(((),), voltage, np.zeros(voltage.shape, bool), method, mismatch_without(network, ((),), voltage, wanted))
    base = beyond(bus_voltages(before, known.voltage[None]), loading_pct(before, known.voltage[None]), limits)[0]
    return _rows(network, found, known, base, customers, limits).assign(
        outage_id=called(admitted.net.gen, index, "gen"), kind="generator", sample_difference_pu=difference, note=note
    )


def _flows(solver: BatchSolver, wanted: np.ndarray, before: np.ndarray, outages: Sequence[_Outage]) -> Iterator[OutageFlows]:
    """Flows after the outages, those of branches first. After the loss of a plant nothing goes dark: the supply takes its place."""
    network = solver.network
    yield from solve_outages(solver, wanted, [one.branches for one in outages if one.fed_mw is None], before)
    fed = [one.fed_mw for one in outages if one.fed_mw is not None]
    for first in range(0, len(fed), solver.chunk):
        some = np.stack(fed[first : first + solver.chunk])
        asked = wanted + network.injections(some, np.zeros_like(some)) - network.generation
        solved, nothing = solver.solve(asked), ((),) * len(some)
        residual = mismatch_without(network, nothing, solved.voltage, asked)
        yield OutageFlows(nothing, solved.voltage, np.zeros(solved.voltage.shape, bool), solved.method, residual)


def _solving(solver: BatchSolver, known: _State, outage: _Outage) -> Callable[[np.ndarray], np.ndarray]:
    return lambda some: next(_flows(solver, some[0], known.voltage, [outage])).voltage


def _difference(admitted: AdmittedNetwork, solver: BatchSolver, known: _State, outage: _Outage) -> float:
    """The largest difference of a voltage after the outage to runpp's, p.u."""
    network, found = solver.network, next(_flows(solver, known.wanted, known.voltage, [outage]))
    lit = network.supplied & ~found.dark[0, network.place]
    load_mw = known.load_mw if outage.fed_mw is None else known.load_mw + outage.fed_mw
    reference = ReferenceSolver(admitted, set(network.branch_ids[list(outage.branches)])).solve(load_mw, known.load_mvar)
    return difference_pu(reference, np.where(lit, found.voltage[0, network.place], np.nan))


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


def worst_of_each(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each outage the state in which more goes wrong; with what speaks against it in any of them."""
    every = pd.concat([one for one in parts if len(one)] or parts, ignore_index=True)
    for proof in ("residual_max_mva", "sample_difference_pu"):
        every[proof] = every.groupby("outage_id")[proof].transform("max")
    every["rank"] = every["severity"].map(SEVERITIES.index)
    order = ["rank", "lost_load_kw", "new_violations", "maximum_loading_pct", "start_utc"]
    worst = every.sort_values(order, ascending=[False, False, False, False, True]).drop_duplicates("outage_id")
    return worst.drop(columns="rank").sort_values("outage_id", ignore_index=True)


def _rows(
    network: CompiledNetwork, found: OutageFlows, known: _State, base: np.ndarray, customers: np.ndarray, limits: Limits
) -> pd.DataFrame:
    solved = found.method != NONE
    dark = found.dark[:, np.maximum(network.place, 0)] & network.supplied
    volts, loading = bus_voltages(network, found.voltage), found.loading_pct(network)
    new = (beyond(volts, loading, limits) & ~base).sum(axis=1)
    there = solved & np.isfinite(volts).any(axis=1)
    low, high, heavy = (
        np.where(there[:, None], np.nan_to_num(values, nan=fill), fill)
        for values, fill in ((volts, np.inf), (volts, -np.inf), (loading, -np.inf))
    )
    lost = (known.consumed_mw * dark).sum(axis=1) * 1000.0
    severity = np.where(~solved | (lost > 0) | dark @ customers.astype(bool), 2, np.where(new > 0, 1, 0))
    return pd.DataFrame(
        {
            "start_utc": known.start_utc, "converged": solved,
            "severity": np.array(SEVERITIES, object)[severity], "dark_buses": dark.sum(axis=1), "lost_load_kw": lost,
            "customers_dark": dark @ customers, "new_violations": np.where(solved, new, 0),
            "minimum_vm_pu": _value(low, there, low.argmin(axis=1)), "minimum_vm_bus": _name(network.bus_ids, there, low.argmin(axis=1)),
            "maximum_vm_pu": _value(high, there, high.argmax(axis=1)),
            "maximum_loading_pct": _value(heavy, there, heavy.argmax(axis=1)),
            "maximum_loading_branch": _name(network.branch_ids, there, heavy.argmax(axis=1)),
            "residual_max_mva": found.residual_max_mva,
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
