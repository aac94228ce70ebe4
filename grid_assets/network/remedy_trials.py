"""The remedies that are tried against a violation: switching, taps, reactive power, storage, demand response, curtailment.

Each trial is the day solved again with what it changes. Of what has a size the smallest in steps of a twentieth that clears is
kept, else the one that leaves the fewest violations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from grid_assets.foundation.site_sections import RemediesSection
from grid_assets.network.injections import Injections
from grid_assets.powerflow.batches import NONE, BatchSolver
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.graph_measures import graph_measures
from grid_assets.powerflow.limits import Limits, beyond, bus_voltages
from grid_assets.powerflow.outages import solve_outages
from grid_assets.powerflow.switching import CLOSE, KIND_OF_SWITCHED, OPEN, with_branch, with_tap
from grid_assets.powerflow.time_series import FlowSeries, solve_each, solve_series
from grid_assets.powerflow.topology import Topology, buses_behind, topology_of, upstream_of

LEVELS = np.arange(1, 21) / 20
MOST_OPENINGS = 2
"""For each tie: how many of the openings that look best at the worst interval are solved over the whole day."""
MOST_TAP_STEPS = 4
LEAST_POWER_FACTOR = 0.9
"""Down to which plants give or take reactive power, as connection rules such as VDE-AR-N 4105 ask of them; relative to their rating."""


@dataclass(frozen=True)
class Situation:
    """Some intervals in one switching state, before anything is done."""

    admitted: AdmittedNetwork
    topology: Topology
    topology_hash: str
    drawn: Injections
    feeding_mw: np.ndarray
    """[intervals, buses]: what plants feed in; ``drawn`` is net of it."""
    beyond: np.ndarray
    """As ``beyond_of``."""
    limits: Limits
    plants: pd.DataFrame
    units: pd.DataFrame
    interval_hours: float


@dataclass(frozen=True)
class Trouble:
    """Violations of one kind on one feeder."""

    kind: str
    place: str
    feeder_id: str | None
    element_id: str
    """The worst."""
    element_kind: str
    elements: tuple[str, ...]
    steps: np.ndarray
    worst_step: int
    value: float
    limit: float
    excess: float
    customers_affected: int


@dataclass(frozen=True)
class Trial:
    remedy: str
    action: str
    amount: float
    unit: str
    cost: float
    admitted: AdmittedNetwork
    """With what was switched or tapped."""
    drawn: Injections
    """With what is fed in or drawn otherwise."""
    series: FlowSeries


def trials_of(situation: Situation, trouble: Trouble, costs: RemediesSection) -> list[Trial]:
    """Everything that could act on the trouble, each solved over all intervals of the situation."""
    about = _Surroundings(situation, trouble)
    made: list[Trial] = [*_switchings(situation, about, costs)]
    if trouble.kind != "overload":
        made += [*_taps(situation, trouble, about, costs), *_sized(situation, trouble, _reactive_power(situation, trouble, about, costs))]
    made += _sized(situation, trouble, _storage(situation, trouble, about, costs))
    if about.consuming:
        made += _sized(situation, trouble, _demand_response(situation, trouble, about, costs))
    else:
        made += _sized(situation, trouble, _curtailment(situation, trouble, about, costs))
    return made


def beyond_of(series: FlowSeries, limits: Limits) -> np.ndarray:
    """[intervals, 2 buses + branches]: too low, too high, too heavily loaded; everything where an interval has no solution."""
    return beyond(series.vm_pu, series.loading_pct, limits) | ~series.converged[:, None]


class _Surroundings:
    """Where a trouble lies: the branches on its way to the supply, the buses that can act on it, whether too much is drawn or fed in."""

    def __init__(self, situation: Situation, trouble: Trouble):
        topology = situation.topology
        self.before = upstream_of(topology.edges(), topology.sources)
        ends = topology.branches.set_index("branch_id")
        is_branch = trouble.element_kind != "bus"
        bus = ends.loc[trouble.element_id, "to_bus"] if is_branch else trouble.element_id
        self.upstream = self.path(bus) | ({trouble.element_id} if is_branch else set())
        behind = buses_behind(topology, trouble.element_id) if is_branch else set()
        traced = topology.buses.set_index("bus_id")["feeder_id"]
        if not behind:
            near = traced == traced.get(bus)
            behind = set(traced.index[near]) if near.any() else set(topology.buses.loc[topology.buses["supplied"], "bus_id"])
        names = topology.buses["bus_id"].to_numpy(object)
        self.at = np.isin(names, list(behind))
        self.position = {name: n for n, name in enumerate(names)}
        drawn = situation.drawn.load_mw[trouble.worst_step, self.at].sum()
        self.consuming = {"undervoltage": True, "overvoltage": False}.get(trouble.kind, bool(drawn > 0))

    def path(self, bus: str) -> set[str]:
        """The branches from a bus to the supply."""
        found, here = set(), bus
        while here in self.before and self.before[here][0] is not None:
            here, branch = self.before[here]
            if branch is not None:
                found.add(branch)
        return found


# -- switching and taps: another network ---------------------------------------------------------------------------


def _switchings(situation: Situation, about: _Surroundings, costs: RemediesSection) -> Iterator[Trial]:
    """Close a tie, open another branch of the loop that it makes: the net stays as radial as it was and nobody goes dark."""
    net, topology = situation.admitted.net, situation.topology
    radial = graph_measures(topology).radial
    usable = _with_switches(net)
    for tie in topology.branches[~topology.branches["connected"]].itertuples():
        if tie.branch_id not in usable or tie.from_bus not in about.before or tie.to_bus not in about.before:
            continue
        loop = about.path(tie.from_bus) ^ about.path(tie.to_bus)
        if not loop & about.upstream:
            continue
        closed = with_branch(situation.admitted, tie.branch_id, CLOSE)
        for opened in _openings(situation, closed, sorted(loop & usable)):
            state = with_branch(closed, opened, OPEN)
            after = topology_of(state)
            if (radial and not graph_measures(after).radial) or after.buses["supplied"].sum() < topology.buses["supplied"].sum():
                continue
            series = solve_series(state, situation.drawn.load_mw, situation.drawn.load_mvar)
            yield Trial(
                "switching",
                f"close {tie.branch_id}, open {opened}",
                2.0,
                "operations",
                2 * costs.switching_cost,
                state,
                situation.drawn,
                series,
            )


def _with_switches(net) -> set[str]:
    """Lines and transformers in service that have a switch; every line where none has."""
    found = set()
    for table, kind in KIND_OF_SWITCHED.items():
        if kind is not None:
            switched = net.switch.loc[net.switch["et"] == kind, "element"]
            frame = net[table]
            found |= set(frame.loc[frame.index.isin(switched) & frame["in_service"].astype(bool), "name"])
    return found or set(net.line["name"])


def _openings(situation: Situation, closed: AdmittedNetwork, loop: list[str]) -> list[str]:
    """Of the branches of a loop those whose opening leaves the fewest violations at the interval in which most is wrong."""
    network = compiled(closed)
    solver, step = BatchSolver(network), int(situation.beyond.sum(axis=1).argmax())
    at = {name: n for n, name in enumerate(network.branch_ids)}
    drawn = network.injections(situation.drawn.load_mw[[step]], situation.drawn.load_mvar[[step]])[0]
    judged: list[tuple[int, float, str]] = []
    outages = [(at[name],) for name in loop]
    for found in solve_outages(solver, drawn, outages):
        loading = found.loading_pct(network)
        wrong = beyond(bus_voltages(network, found.voltage), loading, situation.limits).sum(axis=1)
        for n, (branch,) in enumerate(found.outages):
            if found.method[n] != NONE and not found.dark[n].any():
                judged.append((int(wrong[n]), float(loading[n].max()), str(network.branch_ids[branch])))
    return [name for _, _, name in sorted(judged)[:MOST_OPENINGS]]


def _taps(situation: Situation, trouble: Trouble, about: _Surroundings, costs: RemediesSection) -> Iterator[Trial]:
    """Each transformer on the way to the supply, step by step in the direction that helps, until it clears or the range ends."""
    trafos = situation.admitted.net.trafo
    for trafo in trafos[trafos["name"].isin(about.upstream) & trafos["tap_pos"].notna() & trafos["tap_side"].notna()].itertuples():
        # more turns on the upper side lower the voltage below, more on the lower side raise it
        lift = (-1 if trafo.tap_side == "hv" else 1) * (1 if trafo.tap_step_percent > 0 else -1)
        way = lift if trouble.kind == "undervoltage" else -lift
        best: Trial | None = None
        for steps in range(1, MOST_TAP_STEPS + 1):
            position = int(trafo.tap_pos + way * steps)
            if not trafo.tap_min <= position <= trafo.tap_max:
                break
            state, drawn = with_tap(situation.admitted, trafo.name, position), situation.drawn
            series = solve_series(state, drawn.load_mw, drawn.load_mvar)
            trial = Trial("tap", f"tap of {trafo.name} from {trafo.tap_pos:g} to {position}", float(steps), "steps", steps * costs.tap_cost, state, drawn, series)  # fmt: skip
            if best is None or _wrong(trial, situation) < _wrong(best, situation):
                best = trial
            if not _wrong(trial, situation):
                break
        if best is not None:
            yield best


def _wrong(trial: Trial, situation: Situation) -> int:
    return int(beyond_of(trial.series, situation.limits).sum())


# -- what has a size: other injections -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sizable:
    """Everything that one kind of remedy could do at most, scaled down until it just clears."""

    remedy: str
    action: Callable[[float], str]
    amount: float
    unit: str
    cost: float
    change_mw: np.ndarray
    """[intervals, buses], on top of what is drawn."""
    change_mvar: np.ndarray


def _sized(situation: Situation, trouble: Trouble, most: _Sizable | None) -> list[Trial]:
    """The smallest size that leaves none of the trouble and nothing new, else the one that leaves least; nothing where there is nothing to size."""
    if most is None:
        return []
    before = situation.drawn
    given = [
        replace(before, load_mw=before.load_mw + level * most.change_mw, load_mvar=before.load_mvar + level * most.change_mvar)
        for level in LEVELS
    ]
    solved = solve_each(situation.admitted, ((one.load_mw, one.load_mvar) for one in given))
    best: tuple[int, Trial] | None = None
    for level, drawn, series in zip(LEVELS, given, solved, strict=True):
        now = beyond_of(series, situation.limits)
        left = int(now[trouble.steps].sum()) + int((now & ~situation.beyond).sum()) + int((~series.converged).sum())
        trial = Trial(most.remedy, most.action(level), level * most.amount, most.unit, level * most.cost, situation.admitted, drawn, series)
        if best is None or left < best[0]:
            best = left, trial
        if not left:
            break
    return [best[1]] if best else []


def _reactive_power(situation: Situation, trouble: Trouble, about: _Surroundings, costs: RemediesSection) -> _Sizable | None:
    """The plants nearby give (too low) or take (too high) reactive power in the intervals concerned."""
    plants = _at_buses(situation.plants, about)
    if plants.empty:
        return None
    sign = -1.0 if trouble.kind == "undervoltage" else 1.0
    most = plants["rating_kw"] * math.tan(math.acos(LEAST_POWER_FACTOR))
    change = np.zeros_like(situation.drawn.load_mvar)
    for bus, kvar in most.groupby(plants["bus_id"]).sum().items():
        change[trouble.steps, about.position[str(bus)]] = sign * kvar / 1000
    hours = len(trouble.steps) * situation.interval_hours
    verb = "give" if sign < 0 else "take"
    return _Sizable(
        "reactive_power", lambda level: f"{len(plants)} plants {verb} {level * most.sum():.0f} kvar for {hours:g} h", float(most.sum()),
        "kvar", float(most.sum()) * hours * costs.reactive_cost_per_kvarh, np.zeros_like(change), change,
    )  # fmt: skip


def _storage(situation: Situation, trouble: Trouble, about: _Surroundings, costs: RemediesSection) -> _Sizable | None:
    """The units nearby discharge (or charge) in the intervals concerned and make up for it evenly in the others."""
    units, steps = _at_buses(situation.units, about), trouble.steps
    others = np.setdiff1d(np.arange(len(situation.drawn.start_utc)), steps)
    if units.empty or not len(others):
        return None
    hours = len(steps) * situation.interval_hours
    usable = (units["energy_kwh"] - units["minimum_energy_kwh"]).clip(lower=0)
    at_terminals = usable * units["discharge_efficiency"] if about.consuming else usable / units["charge_efficiency"]
    power = np.minimum(units["power_kw"], at_terminals / hours)
    both_ways = units["charge_efficiency"] * units["discharge_efficiency"]
    # to give 1 kWh, 1 / (both efficiencies) is drawn at other times; of 1 kWh drawn, both efficiencies come back
    back = np.minimum(power * hours * (1 / both_ways if about.consuming else both_ways) / (len(others) * situation.interval_hours), units["power_kw"])  # fmt: skip
    sign = -1.0 if about.consuming else 1.0
    change = np.zeros_like(situation.drawn.load_mw)
    for bus, now, later in zip(units["bus_id"], power, back, strict=True):
        change[steps, about.position[bus]] += sign * now / 1000
        change[others, about.position[bus]] -= sign * later / 1000
    given = power * hours if about.consuming else power * hours * both_ways
    drawn = power * hours / both_ways if about.consuming else power * hours
    cost = float((given * units["wear_cost_per_kwh"]).sum() + (drawn - given).sum() * costs.energy_price_per_kwh)
    verb = "discharge" if about.consuming else "charge"
    return _Sizable(
        "storage", lambda level: f"{len(units)} storage units {verb} {level * power.sum():.0f} kW for {hours:g} h", float(power.sum()), "kW",
        cost, change, np.zeros_like(change),
    )  # fmt: skip


def _demand_response(situation: Situation, trouble: Trouble, about: _Surroundings, costs: RemediesSection) -> _Sizable | None:
    """The loads nearby do without a share of what they draw in the intervals concerned."""
    drawn = situation.drawn
    load = np.maximum(drawn.load_mw + situation.feeding_mw, 0.0) * about.at * costs.demand_response_share
    change, reactive = np.zeros_like(load), np.zeros_like(load)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = drawn.load_mw + situation.feeding_mw
        per_mw = np.where(whole > 0, drawn.load_mvar / whole, 0.0)
    change[trouble.steps] = -load[trouble.steps]
    reactive[trouble.steps] = (-load * per_mw)[trouble.steps]
    return _less(situation, "demand_response", "loads use", change, reactive, trouble, costs.demand_response_cost_per_kwh)


def _curtailment(situation: Situation, trouble: Trouble, about: _Surroundings, costs: RemediesSection) -> _Sizable | None:
    """The plants nearby feed in less in the intervals concerned."""
    change = np.zeros_like(situation.feeding_mw)
    change[trouble.steps] = (situation.feeding_mw * about.at)[trouble.steps]
    return _less(situation, "curtailment", "plants feed in", change, np.zeros_like(change), trouble, costs.curtailment_cost_per_kwh)


def _less(
    situation: Situation, remedy: str, who: str, change: np.ndarray, reactive: np.ndarray, trouble: Trouble, cost_per_kwh: float
) -> _Sizable | None:
    kwh = float(np.abs(change).sum()) * 1000 * situation.interval_hours
    if kwh <= 0:
        return None
    hours = len(trouble.steps) * situation.interval_hours
    return _Sizable(
        remedy, lambda level: f"{who} {level * kwh / hours:.0f} kW less on average for {hours:g} h", kwh / hours, "kW", kwh * cost_per_kwh,
        change, reactive,
    )  # fmt: skip


def _at_buses(register: pd.DataFrame, about: _Surroundings) -> pd.DataFrame:
    """The plants or units whose bus can act on the trouble."""
    place = register["bus_id"].map(about.position)
    return register[place.map(lambda one: one == one and bool(about.at[int(one)])).astype(bool)]
