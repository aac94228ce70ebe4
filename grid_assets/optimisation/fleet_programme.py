"""Large fleets under shared limits: prices from an aggregate, a bound from all units, and a plan put together from their answers.

1. An aggregate of each node's units, as a few virtual ones, is solved with the network; its duals are the first prices, per node and interval.
2. Against prices every unit's best schedule is exact (``unit_programmes``); with the network's closed-form term they give a lower bound
   of the whole (Lagrangian duality: Geoffrion 1974).
3. The answers of a group of units are one column of a master programme with the network in it, which mixes each group's columns
   (Dantzig, Wolfe 1960); every unit mixes its own schedules in the same proportions, and stays feasible because its schedules form a convex set.
   Prices asked next lie between the best known and the master's (Wentges 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from grid_assets.optimisation.fleet_arrays import Programme, highs_of, network_part, solved, whole_part
from grid_assets.optimisation.storage_instance import Instance, StorageUnits
from grid_assets.optimisation.storage_model import SolverError
from grid_assets.optimisation.unit_programmes import UnitProgrammes, in_threads, parts_of

AGGREGATES, GROUPS, MOST_GROUPS_OF_A_NODE = 20, 400, 16
SMOOTHING = 0.5
KEPT_ROUNDS = 6
INTERIOR = {"solver": "ipm", "run_crossover": "off"}
"""A vertex is not needed: prices from within the optimal face lead to fewer rounds, each in a tenth of the simplex method's time."""
LEAST_WEIGHT = 1e-7
"""A column that has not been in the master's answer for so many rounds is forgotten."""


@dataclass(frozen=True)
class FleetPlan:
    """A plan of all units, (units, intervals), and the bound of any plan's cost."""

    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    bound: float
    rounds: int


def plan_fleet(instance: Instance, gap: float = 1e-3, most_rounds: int = 60, time_limit_s: float = 600.0) -> FleetPlan:
    """A plan whose cost is within ``gap`` (relative) of its bound, or the best after ``most_rounds``. ``instance`` must have been validated.

    Raises SolverError.
    """
    fleet = _Fleet(instance, groups_of(instance, GROUPS))
    network = network_part(instance).programme
    master = _Master(fleet, network, time_limit_s)
    _, duals = solved(highs_of(whole_part(_aggregated(instance, groups_of(instance, AGGREGATES))).programme, time_limit_s, **INTERIOR))
    best = query = _Prices.of(instance, network, duals[: len(network.row_lower)])
    bound, asked = -np.inf, []
    while True:
        answer = fleet.answer(query.by_node)
        asked.append(query.by_node)
        value = float(answer.cost.sum()) + query.network_term
        if value > bound:
            bound, best = value, query
        cost, duals = master.solve_with(answer)
        if cost - bound <= gap * max(abs(cost), 1e-6) or len(asked) >= most_rounds:
            break
        query = _Prices.of(instance, network, SMOOTHING * best.duals + (1.0 - SMOOTHING) * duals)
    charge, discharge = fleet.mixed(asked, master.weights())
    return FleetPlan(charge, discharge, bound, len(asked))


# -- groups --------------------------------------------------------------------------------------------------------


def groups_of(instance: Instance, most: int) -> np.ndarray:
    """The group of each unit (units,), numbered from 0: of one node, and alike in how long they last at full power."""
    units = instance.units
    position = {name: n for n, name in enumerate(instance.nodes.node_id)}
    node = np.array([position[name] for name in units.node_id])
    used = np.unique(node)
    parts = int(np.clip(most // max(len(used), 1), 1, MOST_GROUPS_OF_A_NODE))
    columns = dict(units.columns())
    lasts = columns["capacity_kwh"] / np.maximum(columns["charge_kw"], 1e-9)
    made, count = np.zeros(len(units), int), 0
    for n in used:
        here = np.flatnonzero(node == n)
        here = here[np.argsort(lasts[here], kind="stable")]
        for part in np.array_split(here, min(parts, len(here))):
            made[part] = count
            count += 1
    return made


def _aggregated(instance: Instance, groups: np.ndarray) -> Instance:
    """The instance with one virtual unit for each group: sums of sizes, means of shares by energy."""
    columns = dict(instance.units.columns())
    count = int(groups.max()) + 1 if len(groups) else 0
    weight = np.bincount(groups, columns["capacity_kwh"], count)
    summed = {"charge_kw", "discharge_kw", "capacity_kwh", "minimum_kwh", "maximum_kwh", "initial_kwh", "terminal_kwh"}
    made = {
        name: np.bincount(groups, values, count) if name in summed else np.bincount(groups, values * columns["capacity_kwh"], count) / np.maximum(weight, 1e-12)
        for name, values in columns.items()
    }  # fmt: skip
    firsts = [int(np.flatnonzero(groups == n)[0]) for n in range(count)]
    units = StorageUnits([f"group {n}" for n in range(count)], [instance.units.node_id[n] for n in firsts], **made)
    return replace(instance, units=units)


# -- prices --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Prices:
    by_node: np.ndarray
    """(nodes, intervals), per kWh drawn at the node."""
    network_term: float
    """What the network costs at least when what is drawn at its nodes is paid at these prices."""
    duals: np.ndarray

    @classmethod
    def of(cls, instance: Instance, network: Programme, duals: np.ndarray) -> _Prices:
        """From duals of the network's rows: what each column gains at its bounds, and the rows' right sides."""
        rows = len(instance.nodes) * instance.intervals
        duals = duals.copy()
        duals[rows:] = np.maximum(duals[rows:], 0.0)  # of the peak, whose rows have no upper end
        reduced = network.cost - network.matrix.T @ duals
        term = float(reduced @ np.where(reduced > 0, network.lower, network.upper) + duals @ network.row_lower)
        return cls(duals[:rows].reshape(len(instance.nodes), instance.intervals) / instance.interval_hours, term, duals)


# -- units ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """What all units do at some prices, by group."""

    profile_kw: np.ndarray
    """(groups, intervals): what the group draws less what it feeds in."""
    wear: np.ndarray
    """(groups,)"""
    cost: np.ndarray
    """(groups,): wear, and the profile at the prices."""


class _Fleet:
    """The units in the order of their groups."""

    def __init__(self, instance: Instance, groups: np.ndarray):
        self.order = np.argsort(groups, kind="stable")
        self.units = instance.units.take(self.order.tolist())
        self.instance = instance
        self.programmes = UnitProgrammes(replace(instance, units=self.units))
        position = {name: n for n, name in enumerate(instance.nodes.node_id)}
        self.node = np.array([position[name] for name in self.units.node_id])
        self.group = groups[self.order]
        self.node_of_group = self.node[np.unique(self.group, return_index=True)[1]]
        self._wear = dict(self.units.columns())["wear_cost_per_kwh"]

    def answer(self, prices: np.ndarray) -> _Answer:
        """To prices by node (nodes, intervals)."""

        def work(part: slice) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
            plans = self.programmes.plans(prices[self.node[part]], part)
            groups = self.group[part] - self.group[part.start]
            begins = np.flatnonzero(np.diff(groups, prepend=-1))
            wear = self.instance.interval_hours * self._wear[part] * plans.discharge_kw.sum(axis=1)
            return self.group[part.start], *(
                np.add.reduceat(values, begins, axis=0) for values in (plans.charge_kw - plans.discharge_kw, wear, plans.bound)
            )  # fmt: skip

        count = len(self.node_of_group)
        profile, wear, cost = np.zeros((count, self.instance.intervals)), np.zeros(count), np.zeros(count)
        for first, *sums in in_threads(work, parts_of(len(self.group))):
            for total, some in zip((profile, wear, cost), sums, strict=True):
                total[first : first + len(some)] += some
        return _Answer(profile, wear, cost)

    def mixed(self, asked: Sequence[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mixture of the answers to prices: ``weights`` (groups, answers); charge and discharge in the order of the instance, kW."""
        shape = (len(self.group), self.instance.intervals)
        charge, discharge = np.zeros(shape), np.zeros(shape)

        def work(part: slice) -> None:
            for n, prices in enumerate(asked):
                share = weights[self.group[part], n]
                if not share.any():
                    continue
                rows = part.start + np.flatnonzero(share)
                first, last = rows[0], rows[-1] + 1
                plans = self.programmes.plans(prices[self.node[first:last]], slice(first, last))
                share = weights[self.group[first:last], n][:, None]
                charge[first:last] += share * plans.charge_kw
                discharge[first:last] += share * plans.discharge_kw

        in_threads(work, parts_of(len(self.group)))
        back = np.empty(len(self.order), int)
        back[self.order] = np.arange(len(self.order))
        return charge[back], discharge[back]


class _Master:
    """The network with columns of what groups of units do."""

    def __init__(self, fleet: _Fleet, network: Programme, time_limit_s: float):
        groups = len(fleet.node_of_group)
        self._fleet, self._rows, self._count = fleet, len(network.row_lower), len(network.cost)
        one = np.ones(groups)
        empty = sp.csc_matrix((groups, self._count))
        self._solver = highs_of(
            replace(
                network, matrix=sp.csc_matrix(sp.vstack([network.matrix, empty])), row_lower=np.append(network.row_lower, one),
                row_upper=np.append(network.row_upper, one),
            ),
            time_limit_s, **INTERIOR,
        )  # fmt: skip
        self._group, self._answer, self._idle = np.empty(0, int), np.empty(0, int), np.empty(0, int)
        self._values = np.empty(0)
        self._asked = 0

    def solve_with(self, answer: _Answer) -> tuple[float, np.ndarray]:
        """The cost and the duals of the network's rows, with a column more for each group."""
        import highspy

        groups, intervals = answer.profile_kw.shape
        rows = np.empty((groups, intervals + 1), np.int32)
        rows[:, :-1] = self._fleet.node_of_group[:, None] * intervals + np.arange(intervals)
        rows[:, -1] = self._rows + np.arange(groups)
        values = np.concatenate([-answer.profile_kw, np.ones((groups, 1))], axis=1)
        starts = (np.arange(groups) * (intervals + 1)).astype(np.int32)
        self._forget()
        given = self._solver.addCols(
            groups, answer.wear, np.zeros(groups), np.full(groups, np.inf), rows.size, starts, rows.ravel(), values.ravel()
        )
        if given == highspy.HighsStatus.kError:
            raise SolverError("HiGHS refused the groups' columns")
        self._group = np.append(self._group, np.arange(groups))
        self._answer = np.append(self._answer, np.full(groups, self._asked))
        self._idle = np.append(self._idle, np.zeros(groups, int))
        self._asked += 1
        found, duals = solved(self._solver)
        self._values = found[self._count :]
        self._idle = np.where(self._values > LEAST_WEIGHT, 0, self._idle + 1)
        return float(self._solver.getObjectiveValue()), duals[: self._rows]

    def _forget(self) -> None:
        old = np.flatnonzero(self._idle >= KEPT_ROUNDS)
        if len(old):
            self._solver.deleteCols(len(old), (self._count + old).astype(np.int32))
            self._group, self._answer, self._idle = (np.delete(one, old) for one in (self._group, self._answer, self._idle))

    def weights(self) -> np.ndarray:
        """(groups, answers): in which proportions each group mixes its answers."""
        made = np.zeros((len(self._fleet.node_of_group), self._asked))
        made[self._group, self._answer] = np.where(self._values > LEAST_WEIGHT, self._values, 0.0)
        return made / made.sum(axis=1, keepdims=True)


def netted(instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same energy stored without charging and discharging at once, which draws no more."""
    units = dict(instance.units.columns())
    into, out_of = units["charge_efficiency"][:, None], units["discharge_efficiency"][:, None]
    stored = into * charge_kw - discharge_kw / out_of
    return np.maximum(stored, 0.0) / into, np.maximum(-stored, 0.0) * out_of
