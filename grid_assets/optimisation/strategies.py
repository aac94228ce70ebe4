"""Ways of running storage that planners compare: by the clock, greedily, by price alone, each feeder for itself; and what each is worth.

Every one ends in a plan that the units can follow; what is curtailed under it is chosen best, so that strategies differ by their units alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from grid_assets.optimisation.fleet_routes import Relaxed, network_with
from grid_assets.optimisation.storage_instance import Instance, StorageUnits
from grid_assets.optimisation.storage_model import budget_blocks
from grid_assets.optimisation.storage_schedule import Schedule, finished, schedule
from grid_assets.optimisation.unit_programmes import UnitProgrammes, in_threads, parts_of

RULE, GREEDY, PRICE_ONLY, PER_FEEDER, CENTRAL = "rule", "greedy", "price_only", "per_feeder", "optimised"
CHARGE_HOURS, DISCHARGE_HOURS = (10, 16), (17, 22)
"""Of the rule, on the site's clock."""


def by_rule(instance: Instance, hour: np.ndarray) -> Schedule:
    """Charges evenly over the hours of sun and discharges evenly in the evening, whatever the day is like. ``hour`` (intervals,): local hour."""
    columns, shape = dict(instance.units.columns()), (len(instance.units), instance.intervals)
    wanted = np.zeros(shape)
    room = columns["maximum_kwh"] - columns["minimum_kwh"]
    for (first, last), sign, most in ((CHARGE_HOURS, 1.0, columns["charge_kw"]), (DISCHARGE_HOURS, -1.0, columns["discharge_kw"])):
        then = (hour >= first) & (hour < last)
        hours = max(float(then.sum()) * instance.interval_hours, instance.interval_hours)
        wanted[:, then] = sign * np.minimum(room / hours, most)[:, None]
    return _evaluated(instance, *followed(instance, lambda t, energy: wanted[:, t]), RULE)


def greedily(instance: Instance) -> Schedule:
    """Interval by interval: what a node has too much is charged there, what it lacks is discharged, in proportion to the units' power."""
    columns, nodes = dict(instance.units.columns()), instance.nodes
    position = {name: n for n, name in enumerate(nodes.node_id)}
    node = np.array([position[name] for name in instance.units.node_id], int)
    net = np.asarray(nodes.demand_kw, float) - nodes.available_kw
    share = {
        name: columns[name] / np.maximum(np.bincount(node, columns[name], len(nodes))[node], 1e-12)
        for name in ("charge_kw", "discharge_kw")
    }

    def wanted(t: int, energy: np.ndarray) -> np.ndarray:
        here = net[node, t]
        return np.where(here < 0, -here * share["charge_kw"], -here * share["discharge_kw"])

    return _evaluated(instance, *followed(instance, wanted), GREEDY)


def by_price(instance: Instance) -> Schedule:
    """Every unit against the import price by itself: no limit, no peak and no other unit is seen."""
    programmes, price = UnitProgrammes(instance), np.asarray(instance.prices.import_per_kwh, float)
    made = in_threads(lambda part: programmes.plans(price, part), parts_of(len(instance.units)))
    nothing = np.zeros((0, instance.intervals))
    charge, discharge = (np.concatenate([getattr(one, name) for one in made] or [nothing]) for name in ("charge_kw", "discharge_kw"))
    return _evaluated(instance, charge, discharge, PRICE_ONLY)


def per_feeder(instance: Instance, time_limit_s: float = 60.0) -> Schedule:
    """Every node with units plans for itself, at the site's prices and its own limits, and knows nothing of the others."""
    nodes, shape = instance.nodes, (len(instance.units), instance.intervals)
    charge, discharge = np.zeros(shape), np.zeros(shape)
    home = np.array(list(instance.units.node_id), dtype=object)
    for n, name in enumerate(nodes.node_id):
        mine = np.flatnonzero(home == name)
        if not len(mine):
            continue
        alone = replace(
            nodes, node_id=[name], parent_id=[None], demand_kw=np.asarray(nodes.demand_kw)[[n]], available_kw=np.asarray(nodes.available_kw)[[n]],
            import_limit_kw=np.asarray(nodes.import_limit_kw)[[n]], export_limit_kw=np.asarray(nodes.export_limit_kw)[[n]], penalty_per_kwh=instance.penalties[[n]],
        )  # fmt: skip
        found = schedule(replace(instance, nodes=alone, units=instance.units.take(mine.tolist())), time_limit_s)
        charge[mine], discharge[mine] = found.charge_kw, found.discharge_kw
    return _evaluated(instance, charge, discharge, PER_FEEDER)


def _evaluated(instance: Instance, charge_kw: np.ndarray, discharge_kw: np.ndarray, method: str) -> Schedule:
    curtailed, _ = network_with(instance, charge_kw, discharge_kw, 60.0)
    return finished(instance, Relaxed(charge_kw, discharge_kw, curtailed, -np.inf, method), -np.inf, 0)


def followed(instance: Instance, wanted: Callable[[int, np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The plan nearest to what is wanted that the units can follow: charge and discharge, (units, intervals), kW.

    ``wanted(t, energy)``: power at the terminals in interval t (units,), kW, charging positive, given the energy stored before it. Powers, windows and budgets are
    kept. No unit goes below what it must end with, once it has that: to make up for it at the end of the day would be a peak of its own.
    """
    columns, hours = dict(instance.units.columns()), instance.interval_hours
    lowest, highest = _band(instance)
    into, out_of, kept = columns["charge_efficiency"], columns["discharge_efficiency"], 1.0 - columns["self_discharge_per_interval"]
    charge, discharge = (np.zeros((len(instance.units), instance.intervals)) for _ in range(2))
    energy = columns["initial_kwh"].astype(float)
    for block, share in budget_blocks(instance):
        left = columns["cycles_per_day"] * columns["capacity_kwh"] * share
        for t in block:
            power, before = wanted(t, energy), kept * energy
            stored = (
                np.where(power >= 0, np.minimum(power, columns["charge_kw"]) * into, np.maximum(power, -columns["discharge_kw"]) / out_of)
                * hours
            )
            top, bottom = before + columns["charge_kw"] * into * hours, before - np.minimum(columns["discharge_kw"] * hours / out_of, left)
            after = np.clip(np.clip(before + stored, lowest[:, t], highest[:, t]), bottom, top)
            change = after - before
            charge[:, t], discharge[:, t] = np.maximum(change, 0.0) / (into * hours), np.maximum(-change, 0.0) * out_of / hours
            left = np.maximum(left - np.maximum(-change, 0.0), 0.0)
            energy = after
    return charge, discharge


def _band(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Between what energies simple strategies keep at each interval's end, (units, intervals).

    Never less than what, but for losses, is still there at the end; where the end is exact, never more than can be discharged until then, within
    half of a day's budget, so that there and back fit.
    """
    columns, hours, count = dict(instance.units.columns()), instance.interval_hours, instance.intervals
    loss, kept = columns["discharge_kw"] / columns["discharge_efficiency"] * hours, 1.0 - columns["self_discharge_per_interval"]
    low, high = columns["terminal_kwh"].astype(float), columns["maximum_kwh"].astype(float)
    ceiling = high
    if instance.terminal_exact:
        high, ceiling = low, np.minimum(ceiling, low + columns["cycles_per_day"] * columns["capacity_kwh"] / 2)
    lowest, highest = (np.empty((len(low), count)) for _ in range(2))
    for t in range(count - 1, -1, -1):
        lowest[:, t], highest[:, t] = low, high
        low = np.minimum(low / kept, columns["maximum_kwh"])
        high = np.minimum((high + loss) / kept, np.maximum(ceiling, low))
    return lowest, highest


# -- what one objective costs in the others ------------------------------------------------------------------------


@dataclass(frozen=True)
class TradeOff:
    """A plan that weighs one objective more."""

    objective: str
    """peak, curtailment, wear or reserve; carbon, where a caller weighs it by the import price."""
    weight: float
    """The factor on its price; of the reserve, the share of power and energy that is held back."""
    reserve_kw: float
    plan: Schedule


def trade_offs(
    instance: Instance, weights: tuple[float, ...] = (0.0, 0.5, 2.0, 10.0), reserves: tuple[float, ...] = (0.1, 0.25, 0.5)
) -> Iterator[TradeOff]:
    """Plans for a range of weights of each objective in turn, all else as in the instance."""
    prices = instance.prices
    for weight in weights:
        yield TradeOff("peak", weight, 0.0, schedule(replace(instance, prices=replace(prices, peak_per_kw=weight * prices.peak_per_kw))))
        turned_down = replace(prices, curtailment_per_kwh=weight * prices.curtailment_per_kwh)
        yield TradeOff("curtailment", weight, 0.0, schedule(replace(instance, prices=turned_down)))
        wear = weight * np.asarray(instance.units.wear_cost_per_kwh, float)
        yield TradeOff("wear", weight, 0.0, schedule(replace(instance, units=replace(instance.units, wear_cost_per_kwh=wear))))
    for share in reserves:
        kept = with_reserve(instance.units, share)
        yield TradeOff(
            "reserve", share, float((share * np.asarray(instance.units.discharge_kw)).sum()), schedule(replace(instance, units=kept))
        )


def with_reserve(units: StorageUnits, share: float) -> StorageUnits:
    """The units with a share of their discharging power held back, and the energy to back it, as far as where they begin and end allows."""
    low, high = np.asarray(units.minimum_kwh, float), np.asarray(units.maximum_kwh, float)
    floor = np.minimum(low + share * (high - low), np.minimum(units.initial_kwh, units.terminal_kwh))
    return replace(units, discharge_kw=(1.0 - share) * np.asarray(units.discharge_kw, float), minimum_kwh=np.maximum(floor, low))


# -- where another unit would help ---------------------------------------------------------------------------------


def with_unit(
    instance: Instance, node_id: str, energy_kwh: float, hours: float = 2.0, efficiency: float = 0.95, wear_per_kwh: float = 0.03
) -> Instance:
    """The instance with one more unit at a node, half full, which lasts ``hours`` at full power."""
    power = energy_kwh / hours
    given = {
        "charge_kw": power, "discharge_kw": power, "capacity_kwh": energy_kwh, "minimum_kwh": 0.0, "maximum_kwh": energy_kwh, "initial_kwh": energy_kwh / 2,
        "terminal_kwh": energy_kwh / 2, "charge_efficiency": efficiency, "discharge_efficiency": efficiency, "self_discharge_per_interval": 0.0,
        "wear_cost_per_kwh": wear_per_kwh, "cycles_per_day": 1.5,
    }  # fmt: skip
    units = instance.units
    columns = {name: np.append(values, given[name]) for name, values in units.columns()}
    return replace(instance, units=StorageUnits([*units.unit_id, "another"], [*units.node_id, node_id], **columns))
