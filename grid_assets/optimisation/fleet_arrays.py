"""Linear programmes of storage schedules as arrays, handed to HiGHS whole: the network's part, and the units' part beside it.

Columns of a node and interval (kW): the flow within its limits, what exceeds either limit at a price, and what is curtailed. A row each says
that the flow is what hangs on the node and flows into its children. The units' part is that of ``storage_schedule``'s model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from grid_assets.optimisation.storage_instance import Instance, Nodes
from grid_assets.optimisation.storage_model import SolverError, budget_blocks


@dataclass(frozen=True)
class Programme:
    """min cost x, row_lower <= matrix x <= row_upper, lower <= x <= upper."""

    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    matrix: sp.csc_matrix
    row_lower: np.ndarray
    row_upper: np.ndarray


class _Columns:
    """Columns in blocks of one per interval."""

    def __init__(self) -> None:
        self.cost, self.lower, self.upper = [], [], []
        self.rows, self.columns, self.values = [], [], []
        self.count = 0

    def add(self, intervals: int, cost, lower, upper, *entries: tuple[np.ndarray, float | np.ndarray]) -> int:
        """One column an interval, each with these entries: rows [intervals] and values; where the block begins."""
        for into, given in ((self.cost, cost), (self.lower, lower), (self.upper, upper)):
            into.append(np.broadcast_to(np.asarray(given, float), intervals))
        first = self.count
        for rows, values in entries:
            self.rows.append(np.asarray(rows))
            self.columns.append(np.arange(first, first + len(rows)))
            self.values.append(np.broadcast_to(np.asarray(values, float), len(rows)))
        self.count += intervals
        return first

    def programme(self, row_lower: np.ndarray, row_upper: np.ndarray) -> Programme:
        parts = (self.values, self.rows, self.columns, self.cost, self.lower, self.upper)
        values, rows, columns, cost, lower, upper = (np.concatenate(one) if one else np.empty(0) for one in parts)
        matrix = sp.csc_matrix((values, (rows.astype(int), columns.astype(int))), (len(row_lower), self.count))
        return Programme(cost, lower, upper, matrix, row_lower, row_upper)


@dataclass(frozen=True)
class NetworkPart:
    """The network's columns; the row of node n and interval t is n * intervals + t, and a kW drawn there counts -1 in it."""

    programme: Programme
    curtailed: np.ndarray
    """(nodes,): where the columns of each node's curtailment begin; -1 without generation."""


def network_part(instance: Instance) -> NetworkPart:
    """The network of an instance without its units."""
    made = _Columns()
    right, curtailed = _network(instance, made)
    return NetworkPart(made.programme(*right), curtailed)


def _network(instance: Instance, made: _Columns, offset: int = 0, weight: float = 1.0) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Adds the network's columns, with entries from row ``offset`` on and costs times ``weight``; its rows' sides, and where curtailment begins."""
    nodes, prices, hours, intervals = instance.nodes, instance.prices, weight * instance.interval_hours, instance.intervals
    position = {name: n for n, name in enumerate(nodes.node_id)}
    here, curtailed = offset + np.arange(intervals), np.full(len(nodes), -1)
    available, most = np.asarray(nodes.available_kw, float), largest_flows(instance)
    peak_rows = len(nodes) * intervals + here if prices.peak_per_kw else None
    for n, parent in enumerate(nodes.parent_id):
        rows, penalty = n * intervals + here, hours * instance.penalties[n]
        limits = float(nodes.import_limit_kw[n]), float(nodes.export_limit_kw[n])
        within = np.minimum(limits[0], most[n]), np.minimum(limits[1], most[n])
        if n == instance.top:
            drawn = [(rows, 1.0)] if peak_rows is None else [(rows, 1.0), (peak_rows, -1.0)]
            imported, exported = hours * np.asarray(prices.import_per_kwh), -hours * np.asarray(prices.export_per_kwh)
            made.add(intervals, imported, 0.0, within[0], *drawn)
            made.add(intervals, exported, 0.0, within[1], (rows, -1.0))
            over = (imported + penalty, drawn), (exported + penalty, [(rows, -1.0)])
        else:
            above = position[str(parent)] * intervals + here
            made.add(intervals, 0.0, -within[1], within[0], (rows, 1.0), (above, -1.0))
            over = (penalty, [(rows, 1.0), (above, -1.0)]), (penalty, [(rows, -1.0), (above, 1.0)])
        for limit, (cost, entries) in zip(limits, over, strict=True):
            if np.isfinite(limit):
                made.add(intervals, cost, 0.0, most[n], *entries)
        if available[n].any():
            curtailed[n] = made.add(intervals, hours * prices.curtailment_per_kwh, 0.0, available[n], (rows, -1.0))
    own = (np.asarray(nodes.demand_kw, float) - available).ravel()
    if peak_rows is None:
        return (own, own), curtailed
    made.add(1, weight * prices.peak_per_kw, prices.peak_so_far_kw, max(prices.peak_so_far_kw, most[instance.top].max(initial=0.0)))
    made.rows.append(peak_rows)
    made.columns.append(np.full(intervals, made.count - 1))
    made.values.append(np.ones(intervals))
    return (np.append(own, np.zeros(intervals)), np.append(own, np.full(intervals, np.inf))), curtailed


def largest_flows(instance: Instance) -> np.ndarray:
    """What can flow through each node at most, whatever is planned (nodes, intervals), kW: it ends every column, so that any duals prove a bound."""
    nodes, units = instance.nodes, dict(instance.units.columns())
    position = {name: n for n, name in enumerate(nodes.node_id)}
    own = np.abs(np.asarray(nodes.demand_kw, float)) + np.asarray(nodes.available_kw, float)
    for node, charge, discharge in zip(instance.units.node_id, units["charge_kw"], units["discharge_kw"], strict=True):
        own[position[node]] += charge + discharge
    found = own.copy()
    for n, parent in enumerate(nodes.parent_id):
        while parent is not None:
            found[position[parent]] += own[n]
            parent = nodes.parent_id[position[parent]]
    return found


@dataclass(frozen=True)
class WholePart:
    programme: Programme
    units: int
    """Where the units' columns begin: of each unit charge, discharge and energy, an interval each."""
    curtailed: np.ndarray
    """As of NetworkPart; of the last sample, where there are several."""


def whole_part(instance: Instance, samples: Sequence[Nodes] = ()) -> WholePart:
    """The whole linear programme of an instance; charging and discharging at once is not kept apart.

    ``samples``: what may hang on the nodes instead, all equally probable. The units' plan is then one for all of them, what is curtailed and
    exceeded is each one's own, and the cost is its mean (two stages with recourse: Birge, Louveaux, Introduction to Stochastic Programming, ch. 2).
    """
    made, right, curtailed, offsets = _Columns(), [], np.empty(0, int), []
    for nodes in samples or (instance.nodes,):
        offsets.append(sum(len(low) for low, _ in right))
        sides, curtailed = _network(replace(instance, nodes=nodes), made, offsets[-1], 1.0 / max(len(samples), 1))
        right.append(sides)
    row_lower, row_upper = (np.concatenate(sides) for sides in zip(*right, strict=True))
    units, hours, intervals = dict(instance.units.columns()), instance.interval_hours, instance.intervals
    position = {name: n for n, name in enumerate(instance.nodes.node_id)}
    here, begin, rows = np.arange(intervals), made.count, len(row_lower)
    blocks = budget_blocks(instance)
    day = np.repeat(np.arange(len(blocks)), [len(block) for block, _ in blocks])
    lower, upper = [row_lower], [row_upper]
    for i, node in enumerate(instance.units.node_id):
        unit = {name: float(values[i]) for name, values in units.items()}
        at_node = [offset + position[node] * intervals + here for offset in offsets]
        balance, budget = rows + here, rows + intervals + day
        into, out_of = hours * unit["charge_efficiency"], hours / unit["discharge_efficiency"]
        kept = 1.0 - unit["self_discharge_per_interval"]
        made.add(intervals, 0.0, 0.0, unit["charge_kw"], *((one, -1.0) for one in at_node), (balance, -into))
        made.add(
            intervals,
            hours * unit["wear_cost_per_kwh"],
            0.0,
            unit["discharge_kw"],
            *((one, 1.0) for one in at_node),
            (balance, out_of),
            (budget, out_of),
        )
        least, most = np.full(intervals, unit["minimum_kwh"]), np.full(intervals, unit["maximum_kwh"])
        least[-1] = max(least[-1], unit["terminal_kwh"])
        most[-1] = unit["terminal_kwh"] if instance.terminal_exact else most[-1]
        made.add(intervals, 0.0, least, most, (balance, 1.0), (balance[1:], -kept))
        first = np.zeros(intervals)
        first[0] = kept * unit["initial_kwh"]
        most_out = np.array([unit["cycles_per_day"] * unit["capacity_kwh"] * share for _, share in blocks])
        lower += [first, np.full(len(blocks), -np.inf)]
        upper += [first, most_out]
        rows += intervals + len(blocks)
    return WholePart(made.programme(np.concatenate(lower), np.concatenate(upper)), begin, curtailed)


def highs_of(programme: Programme, time_limit_s: float, **options):
    """A HiGHS object with the programme in it, one thread, nothing printed."""
    import highspy

    solver = highspy.Highs()
    highspy.Highs.resetGlobalScheduler(True)  # another thread count in this process would make HiGHS refuse ours
    for name, value in {"output_flag": False, "threads": 1, "random_seed": 0, "time_limit": time_limit_s, **options}.items():
        if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS does not know the option {name} = {value!r}")
    given = highspy.HighsLp()
    given.num_col_, given.num_row_ = len(programme.cost), len(programme.row_lower)
    given.col_cost_, given.col_lower_, given.col_upper_ = programme.cost, programme.lower, programme.upper
    given.row_lower_, given.row_upper_ = programme.row_lower, programme.row_upper
    given.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    given.a_matrix_.start_, given.a_matrix_.index_, given.a_matrix_.value_ = (
        programme.matrix.indptr, programme.matrix.indices, programme.matrix.data,
    )  # fmt: skip
    if solver.passModel(given) == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refused the linear programme")
    return solver


def solved(solver) -> tuple[np.ndarray, np.ndarray]:
    """Runs HiGHS; the columns' values and the rows' duals. Raises SolverError for anything but an optimum."""
    import highspy

    for attempt in range(2):
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            found = solver.getSolution()
            return np.array(found.col_value), np.array(found.row_dual)
        if not attempt:
            solver.clearSolver()  # a warm start may have misled it
    raise SolverError(f"HiGHS ended with {solver.modelStatusToString(solver.getModelStatus())!r}; expected an optimum")
