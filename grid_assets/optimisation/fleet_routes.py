"""Which way an instance is planned, by its structure; charging and discharging at once is not kept apart here.

Units that are equal up to their size are one unit, whose plan is split in proportion. Where what a unit does changes no price of any other, each
is planned by itself. Fleets that share limits are one linear programme while they are small, and prices with columns when they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from grid_assets.optimisation.fleet_arrays import highs_of, network_part, solved, whole_part
from grid_assets.optimisation.fleet_programme import netted, plan_fleet
from grid_assets.optimisation.storage_instance import Instance, Nodes
from grid_assets.optimisation.storage_model import SolverError, dual_bound
from grid_assets.optimisation.unit_programmes import UnitProgrammes, in_threads, parts_of

LARGE = 300 * 96
"""Units times intervals from which on a coupled fleet is no longer one linear programme."""
SMALL = 100 * 96
"""Up to here the simplex method is quicker than the interior point with crossover."""
ALIKE_DIGITS = 10
WORTH_MERGING = 0.7
SIZES = ("charge_kw", "discharge_kw", "capacity_kwh", "minimum_kwh", "maximum_kwh", "initial_kwh", "terminal_kwh")
BY_UNIT, WHOLE, FLEET, NO_UNITS = "dynamic programme of each unit", "linear programme", "prices and columns", "network alone"


@dataclass(frozen=True)
class Relaxed:
    """A plan, (units or nodes, intervals) in kW, and what no plan costs less than."""

    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    curtailed_kw: np.ndarray
    bound: float
    method: str


def relaxed_plan(instance: Instance, gap: float, time_limit_s: float) -> Relaxed:
    """The cheapest plan, or for large coupled fleets one within ``gap`` (relative) of its bound. ``instance`` must have been validated.

    Raises SolverError.
    """
    if not len(instance.units):
        nothing = np.zeros((0, instance.intervals))
        curtailed, bound = network_with(instance, nothing, nothing, time_limit_s)
        return Relaxed(nothing, nothing, curtailed, bound, NO_UNITS)
    classes, share = classes_of(instance)
    if classes.max() + 1 <= WORTH_MERGING * len(classes):
        whole = relaxed_plan(merged(instance, classes), gap, time_limit_s)
        charge, discharge = (share[:, None] * values[classes] for values in (whole.charge_kw, whole.discharge_kw))
        return replace(
            whole, charge_kw=charge, discharge_kw=discharge, method=f"{whole.method}, {classes.max() + 1} classes of equal units"
        )
    if separable(instance):
        return _by_unit(instance, time_limit_s)
    if len(instance.units) * instance.intervals <= LARGE:
        return _whole(instance, time_limit_s)
    plan = plan_fleet(instance, gap, time_limit_s=time_limit_s)
    # a mixture charges and discharges at once now and then; without, it draws less, unless burning energy was what it was for
    ways = [(plan.charge_kw, plan.discharge_kw), netted(instance, plan.charge_kw, plan.discharge_kw)]
    wear = instance.interval_hours * np.asarray(instance.units.wear_cost_per_kwh, float)
    found = [(network_with(instance, *way, time_limit_s), way) for way in ways]
    (curtailed, _), (charge, discharge) = min(found, key=lambda one: one[0][1] + float(wear @ one[1][1].sum(axis=1)))
    return Relaxed(charge, discharge, curtailed, plan.bound, f"{FLEET}, {plan.rounds} rounds")


def separable(instance: Instance) -> bool:
    """Whether units share nothing: no limits, no price of the peak, and one price for what is drawn and what is fed in."""
    limits = np.concatenate([np.asarray(instance.nodes.import_limit_kw), np.asarray(instance.nodes.export_limit_kw)])
    same = np.array_equal(np.asarray(instance.prices.import_per_kwh), np.asarray(instance.prices.export_per_kwh))
    return bool(np.isinf(limits).all()) and same and not instance.prices.peak_per_kw


def _by_unit(instance: Instance, time_limit_s: float) -> Relaxed:
    programmes, price = UnitProgrammes(instance), np.asarray(instance.prices.import_per_kwh, float)
    shape = (len(instance.units), instance.intervals)
    charge, discharge, bound = np.empty(shape), np.empty(shape), np.empty(len(instance.units))

    def work(part: slice) -> None:
        plans = programmes.plans(price, part)
        charge[part], discharge[part], bound[part] = plans.charge_kw, plans.discharge_kw, plans.bound

    in_threads(work, parts_of(len(instance.units)))
    nothing = np.zeros((0, instance.intervals))
    curtailed, network = network_with(instance.without_units(), nothing, nothing, time_limit_s)
    return Relaxed(charge, discharge, curtailed, network + float(bound.sum()), BY_UNIT)


def _whole(instance: Instance, time_limit_s: float) -> Relaxed:
    part, said = whole_part(instance), ""
    small = len(instance.units) * instance.intervals <= SMALL
    for method in ("simplex", "ipm") if small else ("ipm", "simplex"):
        solver = highs_of(part.programme, time_limit_s, solver=method)
        try:
            found, _ = solved(solver)
        except SolverError as error:
            said = str(error)
            continue
        units = found[part.units :].reshape(len(instance.units), 3, instance.intervals)
        return Relaxed(units[:, 0], units[:, 1], _curtailed(instance, part.curtailed, found), dual_bound(solver), WHOLE)
    raise SolverError(f"{said} after at most {time_limit_s} s. Give it more time, or look at the terminal energies")


def network_with(instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray, time_limit_s: float) -> tuple[np.ndarray, float]:
    """What is best curtailed, (nodes, intervals), when the units do this, and what the network then costs."""
    position = {name: n for n, name in enumerate(instance.nodes.node_id)}
    drawn = np.zeros((len(instance.nodes), instance.intervals))
    np.add.at(drawn, [position[name] for name in instance.units.node_id], charge_kw - discharge_kw)
    nodes = replace(instance.nodes, demand_kw=np.asarray(instance.nodes.demand_kw, float) + drawn)
    part = network_part(replace(instance, nodes=nodes, units=instance.units.take([])))
    solver = highs_of(part.programme, time_limit_s)
    found, _ = solved(solver)
    return _curtailed(instance, part.curtailed, found), dual_bound(solver)


def _curtailed(instance: Instance, begins: np.ndarray, found: np.ndarray) -> np.ndarray:
    made = np.zeros((len(instance.nodes), instance.intervals))
    for n in np.flatnonzero(begins >= 0):
        made[n] = found[begins[n] : begins[n] + instance.intervals]
    return made


# -- over samples --------------------------------------------------------------------------------------------------


def plan_over_samples(instance: Instance, samples: Sequence[Nodes], time_limit_s: float) -> Relaxed:
    """The plan of the units that costs least on average over equally probable ``samples`` of what hangs on the nodes.

    What is curtailed is that for the instance's own nodes; ``bound`` is of the average. Raises SolverError.
    """
    classes, share = classes_of(instance)
    if classes.max() + 1 <= WORTH_MERGING * len(classes):
        whole = plan_over_samples(merged(instance, classes), samples, time_limit_s)
        charge, discharge = (share[:, None] * values[classes] for values in (whole.charge_kw, whole.discharge_kw))
        return replace(whole, charge_kw=charge, discharge_kw=discharge)
    part = whole_part(instance, samples)
    solver = highs_of(part.programme, time_limit_s, solver="ipm")
    found, _ = solved(solver)
    units = found[part.units :].reshape(len(instance.units), 3, instance.intervals)
    charge, discharge = netted(instance, units[:, 0], units[:, 1])
    return Relaxed(
        charge,
        discharge,
        network_with(instance, charge, discharge, time_limit_s)[0],
        dual_bound(solver),
        f"{WHOLE} over {len(samples)} samples",
    )


def cost_over_samples(
    instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray, samples: Sequence[Nodes], time_limit_s: float
) -> float:
    """What a plan of the units costs on average over samples, each with its own best curtailment."""
    wear = float(instance.interval_hours * (np.asarray(instance.units.wear_cost_per_kwh) @ discharge_kw.sum(axis=1)))
    networks = [network_with(replace(instance, nodes=nodes), charge_kw, discharge_kw, time_limit_s)[1] for nodes in samples]
    return wear + float(np.mean(networks))


# -- equal units ---------------------------------------------------------------------------------------------------


def classes_of(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """The class of each unit (units,), numbered from 0: of one node, and equal but for their size; and each one's share of its class.

    With the same efficiencies, wear, losses and cycles, the plan of a sum of sizes is the sum of plans in proportion, and the other way round.
    """
    columns = dict(instance.units.columns())
    size = np.where(columns["capacity_kwh"] > 0, columns["capacity_kwh"], columns["charge_kw"] + columns["discharge_kw"])
    size = np.where(size > 0, size, 1.0)
    position = {name: n for n, name in enumerate(instance.nodes.node_id)}
    told = [np.array([position[name] for name in instance.units.node_id], float)]
    for name, values in columns.items():
        told.append(np.round(values / size if name in SIZES else values, ALIKE_DIGITS))
    _, classes = np.unique(np.column_stack(told), axis=0, return_inverse=True)
    classes = classes.ravel()
    return classes, size / np.bincount(classes, size)[classes]


def merged(instance: Instance, classes: np.ndarray) -> Instance:
    """The instance with one unit for each class, of their sizes' sum."""
    count = int(classes.max()) + 1
    firsts = np.unique(classes, return_index=True)[1]
    columns = dict(instance.units.columns())
    made = {name: np.bincount(classes, values, count) if name in SIZES else values[firsts] for name, values in columns.items()}
    units = instance.units
    return replace(
        instance, units=replace(units, unit_id=[units.unit_id[n] for n in firsts], node_id=[units.node_id[n] for n in firsts], **made)
    )
