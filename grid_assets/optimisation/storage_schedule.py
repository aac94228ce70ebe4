"""Schedules for storage units in a tree of nodes: the cheapest plan, what proves it, and what it exceeds.

The model, per unit i, node n and interval t (h: hours of an interval; power at the terminals):

    e[i,t] = (1 - self_discharge) e[i,t-1] + h (charge_efficiency c[i,t] - d[i,t] / discharge_efficiency)
    net[n,t] = demand - available + curtailed + sum over its units of (c - d) + sum over its children of net
    -export_limit - b <= net <= import_limit + a                    a, b >= 0, priced, never forbidden
    sum over a day of h d / discharge_efficiency <= cycles_per_day * capacity
    cost = sum h (import_price [net_top]+ - export_price [net_top]-) + peak_price * highest of net_top and the peak so far
         + sum h (wear d + curtailment_price curtailed + penalty (a + b))

Because limits are soft, a plan exists for every valid instance. While export prices are not above import prices, the
linear programme seldom gains from charging and discharging at once; where it does (burning energy at negative prices,
or instead of curtailing at a price), those pairs of unit and interval are held to one direction, see ``schedule``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from grid_assets.optimisation.fleet_programme import netted
from grid_assets.optimisation.fleet_routes import LARGE, Relaxed, network_with, relaxed_plan
from grid_assets.optimisation.storage_instance import Instance, validate
from grid_assets.optimisation.storage_model import Solution, SolverError, budget_blocks, solve

SIMULTANEOUS_KW = 1e-5
"""A unit both charges and discharges when each is above this."""
VIOLATION_KW = 1e-4
SMALL_GAP = 1e-4
"""Share of the cost by which a plan may miss the bound without a search for a better one."""
SEARCHABLE_PAIRS = 200
"""With more pairs of unit and interval at stake, branch and bound is not tried: the gap is stated instead."""


@dataclass(frozen=True)
class Costs:
    """The parts of a plan's cost, in currency."""

    energy: float
    peak: float
    wear: float
    curtailment: float
    violations: float

    @property
    def total(self) -> float:
        return self.energy + self.peak + self.wear + self.curtailment + self.violations


@dataclass(frozen=True)
class Violation:
    """A limit that the plan exceeds."""

    node_id: str
    kind: str
    """import or export."""
    intervals: int
    largest_kw: float
    energy_kwh: float

    def __str__(self) -> str:
        return f"{self.node_id}: {self.kind} limit exceeded in {self.intervals} intervals, by up to {self.largest_kw:.3g} kW ({self.energy_kwh:.3g} kWh)"


@dataclass(frozen=True)
class Schedule:
    """A plan. Arrays are (units, intervals) or (nodes, intervals)."""

    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    energy_kwh: np.ndarray
    """At the end of each interval."""
    curtailed_kw: np.ndarray
    net_kw: np.ndarray
    """Through each node: positive when drawn from above."""
    costs: Costs
    bound: float
    """No plan costs less; proven by the duals, or by branch and bound."""
    violations: tuple[Violation, ...]
    exclusive_pairs: int
    """Pairs of unit and interval that would have charged and discharged at once, and were kept from it."""
    method: str = ""
    """How it was found."""

    @property
    def objective(self) -> float:
        return self.costs.total

    @property
    def gap_pct(self) -> float:
        return 100.0 * max(0.0, self.objective - self.bound) / max(1e-6, abs(self.objective))


def schedule(instance: Instance, time_limit_s: float = 60.0, search_nodes: int = 200, gap: float = 1e-3) -> Schedule:
    """The cheapest plan for an instance, to within the gap that it states; for large coupled fleets ``gap`` is what is aimed at.

    Where units must not charge and discharge at once and the linear programme would, the same energy is stored without; when that costs more than the
    linear programme by over SMALL_GAP and the fleet is small, each such pair of unit and interval keeps the direction in which its store moved, and where that is
    not enough and the pairs are no more than SEARCHABLE_PAIRS, branch and bound searches on, for at most ``search_nodes`` nodes (a count, so that a plan does not
    depend on the machine's speed; ``time_limit_s`` is an emergency stop). Raises ScheduleInputError, and SolverError when no plan was found.
    """
    validate(instance)
    relaxed = relaxed_plan(instance, gap, time_limit_s)
    pairs = simultaneous(relaxed.charge_kw, relaxed.discharge_kw)
    best = finished(instance, relaxed, relaxed.bound, 0)
    if not (instance.exclusive and pairs):
        return best
    best = finished(instance, _netted(instance, relaxed, time_limit_s), relaxed.bound, len(pairs))
    if best.gap_pct <= 100.0 * SMALL_GAP or len(instance.units) * instance.intervals > LARGE:
        return best
    fixed, pairs = _one_direction(instance, relaxed, time_limit_s)
    best = min(best, finished(instance, fixed, relaxed.bound, len(pairs)), key=lambda one: one.objective)
    if best.gap_pct <= 100.0 * SMALL_GAP or len(pairs) > SEARCHABLE_PAIRS:
        return best
    searched, pairs = _branch_and_bound(instance, pairs, time_limit_s, search_nodes)
    if searched is None:
        return best
    better = finished(instance, searched, max(relaxed.bound, searched.bound), len(pairs))
    return better if better.objective < best.objective else replace(best, bound=min(best.objective, better.bound))


def _netted(instance: Instance, plan: Relaxed, time_limit_s: float) -> Relaxed:
    charge, discharge = netted(instance, plan.charge_kw, plan.discharge_kw)
    curtailed, _ = network_with(instance, charge, discharge, time_limit_s)
    return replace(plan, charge_kw=charge, discharge_kw=discharge, curtailed_kw=curtailed)


def _one_direction(
    instance: Instance, solution: Relaxed | Solution, time_limit_s: float
) -> tuple[Relaxed | Solution, set[tuple[int, int]]]:
    """A plan without simultaneous operation: each pair that had it keeps the direction in which its store moved.

    Keeping every unit's energy as it was stays possible (what was burnt is curtailed, or exceeds a priced limit), so
    such a plan exists. Returns it with the pairs that were fixed.
    """
    direction: dict[tuple[int, int], bool] = {}
    values = dict(instance.units.columns())
    while found := simultaneous(solution.charge_kw, solution.discharge_kw) - direction.keys():
        for i, t in found:
            stored = (
                values["charge_efficiency"][i] * solution.charge_kw[i, t] - solution.discharge_kw[i, t] / values["discharge_efficiency"][i]
            )
            direction[i, t] = bool(stored >= 0)
        solution = solve(instance, time_limit_s, direction=direction)
    return solution, set(direction)


def _branch_and_bound(
    instance: Instance, pairs: set[tuple[int, int]], time_limit_s: float, search_nodes: int
) -> tuple[Solution | None, set[tuple[int, int]]]:
    """The plan with binary variables on those pairs that need them; None when none was found within the nodes."""
    binary = set(pairs)
    while True:
        try:
            solution = solve(instance, time_limit_s, binary=binary, search_nodes=search_nodes)
        except SolverError:
            return None, binary
        found = simultaneous(solution.charge_kw, solution.discharge_kw) - binary
        if not found:
            return solution, binary
        binary |= found


def simultaneous(charge_kw: np.ndarray, discharge_kw: np.ndarray) -> set[tuple[int, int]]:
    """The (unit, interval) pairs that charge and discharge at once."""
    both = (charge_kw > SIMULTANEOUS_KW) & (discharge_kw > SIMULTANEOUS_KW)
    return {(int(i), int(t)) for i, t in np.argwhere(both)}


def finished(instance: Instance, solution: Relaxed | Solution, bound: float, pairs: int) -> Schedule:
    """A plan's energies, flows, costs and violations, worked out from its powers alone."""
    values = dict(instance.units.columns())
    charge = np.clip(solution.charge_kw, 0.0, values["charge_kw"][:, None])
    discharge = np.clip(solution.discharge_kw, 0.0, values["discharge_kw"][:, None])
    energy = np.clip(stored_energy(instance, charge, discharge), values["minimum_kwh"][:, None], values["maximum_kwh"][:, None])
    curtailed = np.clip(solution.curtailed_kw, 0.0, instance.nodes.available_kw)
    net = net_of_nodes(instance, charge, discharge, curtailed)
    costs = costs_of(instance, net, discharge, curtailed)
    found = violations_of(instance, net)
    return Schedule(charge, discharge, energy, curtailed, net, costs, min(bound, costs.total), found, pairs, solution.method)


def stored_energy(instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray) -> np.ndarray:
    """The energy in each unit at the end of each interval, (units, intervals), kWh, that follows from its power."""
    values, made = dict(instance.units.columns()), np.empty_like(charge_kw)
    kept, energy = 1.0 - values["self_discharge_per_interval"], values["initial_kwh"]
    into, out_of = instance.interval_hours * values["charge_efficiency"], instance.interval_hours / values["discharge_efficiency"]
    for t in range(instance.intervals):
        energy = kept * energy + into * charge_kw[:, t] - out_of * discharge_kw[:, t]
        made[:, t] = energy
    return made


def net_of_nodes(instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray, curtailed_kw: np.ndarray) -> np.ndarray:
    """What flows through each node under a plan, (nodes, intervals) in kW."""
    nodes = instance.nodes
    position = {name: n for n, name in enumerate(nodes.node_id)}
    own = np.asarray(nodes.demand_kw, float) - nodes.available_kw + curtailed_kw
    for i, node in enumerate(instance.units.node_id):
        own[position[node]] += charge_kw[i] - discharge_kw[i]
    net = own.copy()
    for n, parent in enumerate(nodes.parent_id):
        while parent is not None:
            net[position[parent]] += own[n]
            parent = nodes.parent_id[position[parent]]
    return net


def costs_of(instance: Instance, net_kw: np.ndarray, discharge_kw: np.ndarray, curtailed_kw: np.ndarray) -> Costs:
    """What a plan costs, from its flows: the objective without the solver."""
    hours, prices = instance.interval_hours, instance.prices
    top = net_kw[instance.top]
    drawn, fed = np.maximum(top, 0.0), np.maximum(-top, 0.0)
    over = sum(_excess(instance, net_kw))
    return Costs(
        energy=float(hours * (prices.import_per_kwh @ drawn - prices.export_per_kwh @ fed)),
        peak=float(prices.peak_per_kw * drawn.max(initial=prices.peak_so_far_kw)),
        wear=float(hours * (dict(instance.units.columns())["wear_cost_per_kwh"] @ discharge_kw.sum(axis=1))),
        curtailment=float(hours * prices.curtailment_per_kwh * curtailed_kw.sum()),
        violations=float(hours * (instance.penalties * over).sum()),
    )


def violations_of(instance: Instance, net_kw: np.ndarray) -> tuple[Violation, ...]:
    """The limits that a plan exceeds, one entry per node and kind."""
    found = []
    for kind, over in zip(("import", "export"), _excess(instance, net_kw), strict=True):
        for n, node in enumerate(instance.nodes.node_id):
            beyond = over[n][over[n] > VIOLATION_KW]
            if len(beyond):
                found.append(Violation(node, kind, len(beyond), float(beyond.max()), float(beyond.sum() * instance.interval_hours)))
    return tuple(found)


def _excess(instance: Instance, net_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes = instance.nodes
    return (
        np.maximum(net_kw - np.asarray(nodes.import_limit_kw, float)[:, None], 0.0),
        np.maximum(-net_kw - np.asarray(nodes.export_limit_kw, float)[:, None], 0.0),
    )


def faults_of_plan(
    instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray, energy_kwh: np.ndarray, tolerance: float = 1e-6
) -> list[str]:
    """What a plan does that its units cannot: power, energy balance, window, terminal energy, cycle budget, exclusivity.

    Everything is recomputed from the arrays (units, intervals). ``tolerance`` is relative to a unit's power or energy.
    """
    found = []
    values = dict(instance.units.columns())
    for i, unit in enumerate(instance.units.unit_id):
        one = {name: column[i] for name, column in values.items()}
        slack_kw = tolerance * max(1.0, one["charge_kw"], one["discharge_kw"])
        slack_kwh = tolerance * max(1.0, one["maximum_kwh"])
        charge, discharge, energy = charge_kw[i], discharge_kw[i], energy_kwh[i]
        before = np.concatenate([[one["initial_kwh"]], energy[:-1]])
        stored = instance.interval_hours * (one["charge_efficiency"] * charge - discharge / one["discharge_efficiency"])
        expected = (1.0 - one["self_discharge_per_interval"]) * before + stored
        tests = {
            "charges outside 0 to its power": (charge < -slack_kw) | (charge > one["charge_kw"] + slack_kw),
            "discharges outside 0 to its power": (discharge < -slack_kw) | (discharge > one["discharge_kw"] + slack_kw),
            "leaves its energy window": (energy < one["minimum_kwh"] - slack_kwh) | (energy > one["maximum_kwh"] + slack_kwh),
            "its energy does not follow from its power": np.abs(energy - expected) > slack_kwh,
        }
        if instance.exclusive:
            tests["charges and discharges at once"] = (charge > SIMULTANEOUS_KW + slack_kw) & (discharge > SIMULTANEOUS_KW + slack_kw)
        found += [f"unit {unit}, interval {int(np.argmax(wrong))}: {said}" for said, wrong in tests.items() if wrong.any()]
        missed = one["terminal_kwh"] - energy[-1]
        if missed > slack_kwh or (instance.terminal_exact and -missed > slack_kwh):
            found.append(f"unit {unit}: ends with {energy[-1]:.6g} kWh, expected {one['terminal_kwh']:.6g}")
        for block, share in budget_blocks(instance):
            used = instance.interval_hours * discharge[block.start : block.stop].sum() / one["discharge_efficiency"]
            budget = one["cycles_per_day"] * one["capacity_kwh"] * share
            if used > budget + slack_kwh:
                found.append(f"unit {unit}, from interval {block.start}: takes {used:.6g} kWh out, its cycle budget is {budget:.6g}")
    return found
