"""The linear programme of a storage schedule in PuLP, solved by HiGHS, with the bound that its duals prove."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from grid_assets.optimisation.storage_instance import Instance

UNIT_INTERVALS = Collection[tuple[int, int]]
"""(unit, interval) pairs."""


class SolverError(RuntimeError):
    """The solver did not come back with a plan: its status, and what to try."""


@dataclass(frozen=True)
class Solution:
    """What the solver found: (units, intervals) and (nodes, intervals) arrays, kW and kWh."""

    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    curtailed_kw: np.ndarray
    bound: float
    """No plan costs less."""
    method: str = "linear programme in PuLP"


class _Model:
    """Variables and rows of one instance. One letter per quantity, as in the documentation of the model."""

    def __init__(self, instance: Instance, binary: UNIT_INTERVALS, direction: dict[tuple[int, int], bool]):
        import pulp

        self._pulp, self._instance = pulp, instance
        self._rows = 0
        self.problem = pulp.LpProblem("storage_schedule", pulp.LpMinimize)
        self._columns = dict(instance.units.columns())
        units, nodes, intervals = len(instance.units), len(instance.nodes), instance.intervals
        unit = self._columns
        self.charge = self._grid("c", units, intervals, 0, unit["charge_kw"])
        self.discharge = self._grid("d", units, intervals, 0, unit["discharge_kw"])
        self.energy = self._grid("e", units, intervals, unit["minimum_kwh"], unit["maximum_kwh"])
        self.curtailed = self._grid("u", nodes, intervals, 0, np.asarray(instance.nodes.available_kw, float))
        self.net = self._grid("n", nodes, intervals, None, None)
        self.costs: list[tuple] = []
        for (i, t), charging in direction.items():
            (self.discharge if charging else self.charge)[i][t].upBound = 0.0
        self._unit_rows()
        self._node_rows()
        self._top_rows()
        self._exclusive_rows(binary)
        self.problem.setObjective(pulp.LpAffineExpression(self.costs))

    def _grid(self, letter: str, rows: int, intervals: int, low: np.ndarray | float | None, high: np.ndarray | None) -> list[list]:
        def bound(value: np.ndarray | float | None, n: int, t: int) -> float | None:
            if value is None or np.ndim(value) == 0:
                return value  # type: ignore[return-value]
            return float(value[n, t] if np.ndim(value) == 2 else value[n])  # type: ignore[index]

        make = self._pulp.LpVariable
        return [[make(f"{letter}_{n:05d}_{t:05d}", bound(low, n, t), bound(high, n, t)) for t in range(intervals)] for n in range(rows)]

    def _row(self, terms: list[tuple], sense: int, right: float) -> None:
        pulp = self._pulp
        self._rows += 1
        self.problem.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, None, float(right)), f"r{self._rows:07d}")

    def _unit_rows(self) -> None:
        """Energy balance, terminal energy and cycle budgets; wear is a cost of discharging."""
        pulp, hours, unit = self._pulp, self._instance.interval_hours, self._columns
        terminal = pulp.LpConstraintEQ if self._instance.terminal_exact else pulp.LpConstraintGE
        for i in range(len(self._instance.units)):
            into, out = hours * unit["charge_efficiency"][i], hours / unit["discharge_efficiency"][i]
            kept = 1.0 - unit["self_discharge_per_interval"][i]
            charge, discharge, energy = self.charge[i], self.discharge[i], self.energy[i]
            for t in range(self._instance.intervals):
                terms = [(energy[t], 1.0), (charge[t], -into), (discharge[t], out)]
                if t:
                    terms.append((energy[t - 1], -kept))
                self._row(terms, pulp.LpConstraintEQ, 0.0 if t else kept * unit["initial_kwh"][i])
            self._row([(energy[-1], 1.0)], terminal, unit["terminal_kwh"][i])
            for block, share in budget_blocks(self._instance):
                budget = unit["cycles_per_day"][i] * unit["capacity_kwh"][i] * share
                self._row([(discharge[t], out) for t in block], pulp.LpConstraintLE, budget)
            self.costs += [(variable, hours * unit["wear_cost_per_kwh"][i]) for variable in discharge]

    def _node_rows(self) -> None:
        """What flows through a node, and its limits, which energy may exceed at a price."""
        pulp, nodes, hours = self._pulp, self._instance.nodes, self._instance.interval_hours
        position = {name: n for n, name in enumerate(nodes.node_id)}
        children = [
            [position[one] for one, parent in zip(nodes.node_id, nodes.parent_id, strict=True) if parent == node] for node in nodes.node_id
        ]
        fleet = [[i for i, one in enumerate(self._instance.units.node_id) if one == node] for node in nodes.node_id]
        own = np.asarray(nodes.demand_kw, float) - np.asarray(nodes.available_kw, float)
        limits = ((1.0, nodes.import_limit_kw, "a"), (-1.0, nodes.export_limit_kw, "b"))
        for n in range(len(nodes)):
            for t in range(self._instance.intervals):
                terms = [(self.net[n][t], 1.0), (self.curtailed[n][t], -1.0)]
                terms += [(self.net[child][t], -1.0) for child in children[n]]
                for i in fleet[n]:
                    terms += [(self.charge[i][t], -1.0), (self.discharge[i][t], 1.0)]
                self._row(terms, pulp.LpConstraintEQ, own[n, t])
                self.costs.append((self.curtailed[n][t], hours * self._instance.prices.curtailment_per_kwh))
                for sign, limit, letter in limits:
                    if np.isfinite(limit[n]):
                        over = pulp.LpVariable(f"{letter}_{n:05d}_{t:05d}", 0)
                        self._row([(self.net[n][t], sign), (over, -1.0)], pulp.LpConstraintLE, limit[n])
                        self.costs.append((over, hours * self._instance.penalties[n, t]))

    def _top_rows(self) -> None:
        """Drawn and fed back at the top node, each at its price, and the peak."""
        pulp, prices, hours = self._pulp, self._instance.prices, self._instance.interval_hours
        peak = pulp.LpVariable("peak", prices.peak_so_far_kw)
        self.costs.append((peak, prices.peak_per_kw))
        for t in range(self._instance.intervals):
            drawn, fed = pulp.LpVariable(f"x_{t:05d}", 0), pulp.LpVariable(f"y_{t:05d}", 0)
            self._row([(self.net[self._instance.top][t], 1.0), (drawn, -1.0), (fed, 1.0)], pulp.LpConstraintEQ, 0.0)
            self.costs += [(drawn, hours * prices.import_per_kwh[t]), (fed, -hours * prices.export_per_kwh[t])]
            if prices.peak_per_kw:
                self._row([(peak, 1.0), (drawn, -1.0)], pulp.LpConstraintGE, 0.0)

    def _exclusive_rows(self, pairs: UNIT_INTERVALS) -> None:
        pulp, unit = self._pulp, self._columns
        for i, t in sorted(pairs):
            charging = pulp.LpVariable(f"z_{i:05d}_{t:05d}", cat=pulp.LpBinary)
            self._row([(self.charge[i][t], 1.0), (charging, -unit["charge_kw"][i])], pulp.LpConstraintLE, 0.0)
            self._row([(self.discharge[i][t], 1.0), (charging, unit["discharge_kw"][i])], pulp.LpConstraintLE, unit["discharge_kw"][i])


def budget_blocks(instance: Instance) -> list[tuple[range, float]]:
    """The intervals of each cycle budget, and the share of a day's budget that they have."""
    length, end = instance.intervals_per_day, instance.intervals
    blocks = [range(first, min(first + length, end)) for first in range(0, end, length)]
    return [(block, len(block) / length) for block in blocks]


def solve(
    instance: Instance,
    time_limit_s: float,
    binary: UNIT_INTERVALS = (),
    direction: dict[tuple[int, int], bool] | None = None,
    search_nodes: int = 200,
) -> Solution:
    """Solves an instance once, on one thread.

    ``binary``: the (unit, interval) pairs where charging excludes discharging by a binary variable. ``direction``: pairs
    that may only charge (True) or only discharge (False). ``search_nodes`` ends branch and bound. Raises SolverError when no plan came back.
    """
    import highspy
    import pulp

    model = _Model(instance, binary, direction or {})
    said = ""
    # interior point with crossover first: many equal prices make simplex several times slower here
    for method in ("choose",) if binary else ("ipm", "simplex"):
        highspy.Highs.resetGlobalScheduler(True)  # another thread count in this process would make HiGHS refuse ours
        options = {"random_seed": 0, "mip_max_nodes": search_nodes, "solver": method}
        # PuLP 3.3 has no name for a search that its limit of nodes has ended: it fails after it has read the values
        with contextlib.suppress(KeyError):
            model.problem.solve(pulp.HiGHS(msg=False, threads=1, timeLimit=time_limit_s, gapRel=1e-9, gapAbs=1e-9, **options))
        solver = model.problem.solverModel
        status, information = solver.getModelStatus(), solver.getInfo()
        said = solver.modelStatusToString(status)
        if status == highspy.HighsModelStatus.kOptimal or (binary and information.primal_solution_status == 2):  # 2: a feasible point
            break
    else:
        raise SolverError(
            f"HiGHS ended with {said!r} after at most {time_limit_s} s; expected an optimum. Give it more time, or look at the terminal energies"
        )
    bound = information.mip_dual_bound if binary else dual_bound(solver)
    found = [_values(grid, instance.intervals) for grid in (model.charge, model.discharge, model.curtailed)]
    return Solution(*found, bound=float(bound))


def dual_bound(solver_model) -> float:
    """The lower bound that the duals of a solved linear programme prove, whatever its status says.

    Each row's dual times the side of the row that it presses on, plus each column's reduced cost times its bound (weak
    duality of linear programming). Duals that press on no finite side are rounding and count as nothing when tiny.
    """
    programme, duals = solver_model.getLp(), solver_model.getSolution()
    total = 0.0
    sides = (
        (duals.row_dual, programme.row_lower_, programme.row_upper_),
        (duals.col_dual, programme.col_lower_, programme.col_upper_),
    )
    for prices, lower, upper in sides:
        price, low, high = (np.asarray(values, float) for values in (prices, lower, upper))
        side = np.where(price > 0, low, high)
        idle = (price == 0) | (~np.isfinite(side) & (np.abs(price) < 1e-6))
        total += float(np.sum(np.where(idle, 0.0, price) * np.where(idle, 0.0, side)))
    return total


def _values(grid: list[list], intervals: int) -> np.ndarray:
    return np.array([[variable.varValue for variable in row] for row in grid], float).reshape(len(grid), intervals)
