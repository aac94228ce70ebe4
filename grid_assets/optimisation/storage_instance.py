"""What a storage schedule is planned from: units, a tree of nodes, prices; and what may be wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

FAULTS_SHOWN = 12


class ScheduleInputError(ValueError):
    """An instance that cannot be planned. The message names unit or node, interval, and what was expected."""


@dataclass(frozen=True)
class StorageUnits:
    """Storage units: ids and the nodes they hang on, and one array entry per unit. Power at the terminals."""

    unit_id: Sequence[str]
    node_id: Sequence[str]
    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    capacity_kwh: np.ndarray
    """What one full cycle is counted against."""
    minimum_kwh: np.ndarray
    maximum_kwh: np.ndarray
    initial_kwh: np.ndarray
    terminal_kwh: np.ndarray
    charge_efficiency: np.ndarray
    discharge_efficiency: np.ndarray
    self_discharge_per_interval: np.ndarray
    """Share of the stored energy that an interval loses, 0..1."""
    wear_cost_per_kwh: np.ndarray
    """Per kWh discharged."""
    cycles_per_day: np.ndarray

    def __len__(self) -> int:
        return len(self.unit_id)

    def columns(self) -> Iterator[tuple[str, np.ndarray]]:
        """The numeric columns by name."""
        for declared in fields(self)[2:]:
            yield declared.name, np.asarray(getattr(self, declared.name), float)

    def take(self, rows: Sequence[int]) -> StorageUnits:
        """Some of the units, in the order of ``rows``."""
        picked = {name: values[list(rows)] for name, values in self.columns()}
        return StorageUnits([self.unit_id[n] for n in rows], [self.node_id[n] for n in rows], **picked)


@dataclass(frozen=True)
class Nodes:
    """A tree of nodes with one top (the only one without a parent). ``demand_kw`` and ``available_kw`` are what hangs
    directly on the node, (nodes, intervals); what flows through a node also has its children in it.
    """

    node_id: Sequence[str]
    parent_id: Sequence[str | None]
    demand_kw: np.ndarray
    available_kw: np.ndarray
    """Renewable generation that could be fed in."""
    import_limit_kw: np.ndarray
    """(nodes,); infinity where not limited."""
    export_limit_kw: np.ndarray
    penalty_per_kwh: float | np.ndarray = 5.0
    """Price of energy above a limit: one figure, or an array that broadcasts to (nodes, intervals)."""

    def __len__(self) -> int:
        return len(self.node_id)


@dataclass(frozen=True)
class Prices:
    """Prices at the top node, per interval, and of what the plan should avoid."""

    import_per_kwh: np.ndarray
    export_per_kwh: np.ndarray
    curtailment_per_kwh: float = 0.0
    peak_per_kw: float = 0.0
    """Of the highest mean power drawn through the top node."""
    peak_so_far_kw: float = 0.0
    """What was drawn already and is paid for: only what goes beyond it costs anew, else each plan made again would pay the same peak."""


@dataclass(frozen=True)
class Instance:
    """One planning problem."""

    units: StorageUnits
    nodes: Nodes
    prices: Prices
    interval_hours: float
    intervals_per_day: int
    """Length of a cycle budget's block; a shorter last block has its share of the budget."""
    terminal_exact: bool = False
    """True: the terminal energy is met exactly; False: at least."""
    exclusive: bool = True
    """Whether a unit must never charge and discharge in the same interval."""

    @property
    def intervals(self) -> int:
        return int(np.shape(self.prices.import_per_kwh)[0])

    @property
    def top(self) -> int:
        """Index of the node without a parent."""
        return next(n for n, parent in enumerate(self.nodes.parent_id) if parent is None)

    @property
    def penalties(self) -> np.ndarray:
        """Price of energy above a limit, (nodes, intervals)."""
        return np.broadcast_to(np.asarray(self.nodes.penalty_per_kwh, float), (len(self.nodes), self.intervals))

    def without_units(self) -> Instance:
        """The same problem with nothing stored: what the plan is compared with."""
        return replace(self, units=self.units.take([]))

    def fingerprint(self) -> str:
        """A hash of everything that the plan depends on (hexadecimal, 64 characters)."""
        digest = hashlib.sha256()
        scalars = (self.interval_hours, self.intervals_per_day, self.terminal_exact, self.exclusive)
        prices = (self.prices.curtailment_per_kwh, self.prices.peak_per_kw, self.prices.peak_so_far_kw)
        digest.update(repr((list(self.units.unit_id), list(self.units.node_id), scalars, prices)).encode())
        digest.update(repr((list(self.nodes.node_id), list(self.nodes.parent_id))).encode())
        arrays = [values for _, values in self.units.columns()]
        arrays += [self.nodes.demand_kw, self.nodes.available_kw, self.nodes.import_limit_kw, self.nodes.export_limit_kw]
        arrays += [self.penalties, self.prices.import_per_kwh, self.prices.export_per_kwh]
        for array in arrays:
            digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
        return digest.hexdigest()


def validate(instance: Instance) -> None:
    """Raises ScheduleInputError listing what cannot be planned; returns when everything can."""
    found = [*_tree_faults(instance.nodes), *_shape_faults(instance)]
    if not found:
        found = [*_series_faults(instance), *_unit_faults(instance)]
    if found:
        more = f"; and {len(found) - FAULTS_SHOWN} more" if len(found) > FAULTS_SHOWN else ""
        raise ScheduleInputError("; ".join(found[:FAULTS_SHOWN]) + more)


def _tree_faults(nodes: Nodes) -> list[str]:
    found = [f"node {name}: the id occurs more than once" for name in _repeated(nodes.node_id)]
    parents = dict(zip(nodes.node_id, nodes.parent_id, strict=True))
    found += [
        f"node {node}: its parent {parent!r} is unknown" for node, parent in parents.items() if parent is not None and parent not in parents
    ]
    tops = [node for node, parent in parents.items() if parent is None]
    if len(tops) != 1:
        found.append(f"expected exactly one node without a parent, found {tops}")
    for node in parents:
        seen, here = set(), node
        while here in parents and here not in seen:
            seen.add(here)
            here = parents[here]
        if here in seen:
            found.append(f"node {node}: its parents form a loop")
    return found


def _shape_faults(instance: Instance) -> list[str]:
    nodes, units, prices = instance.nodes, instance.units, instance.prices
    found = []
    expected = (len(nodes), instance.intervals)
    for name in ("demand_kw", "available_kw"):
        if np.shape(getattr(nodes, name)) != expected:
            found.append(f"{name} has the shape {np.shape(getattr(nodes, name))}, expected (nodes, intervals) = {expected}")
    for name in ("import_limit_kw", "export_limit_kw"):
        if np.shape(getattr(nodes, name)) != (len(nodes),):
            found.append(f"{name} has the shape {np.shape(getattr(nodes, name))}, expected one value per node, {len(nodes)}")
    if np.shape(prices.export_per_kwh) != (instance.intervals,):
        found.append(f"export_per_kwh has the shape {np.shape(prices.export_per_kwh)}, expected {instance.intervals} intervals")
    for name, values in units.columns():
        if values.shape != (len(units),):
            found.append(f"{name} has the shape {values.shape}, expected one value per unit, {len(units)}")
    if instance.interval_hours <= 0 or instance.intervals_per_day <= 0:
        found.append("interval_hours and intervals_per_day must be above 0")
    return found


def _series_faults(instance: Instance) -> list[str]:
    nodes, prices = instance.nodes, instance.prices
    found = []
    for name, values in (("demand_kw", nodes.demand_kw), ("available_kw", nodes.available_kw)):
        for n, t in np.argwhere(~np.isfinite(values)):
            found.append(f"node {nodes.node_id[n]}, interval {t}: {name} is {values[n, t]}, expected a number")
    for n, t in np.argwhere(np.asarray(nodes.available_kw) < 0):
        found.append(f"node {nodes.node_id[n]}, interval {t}: available_kw is {nodes.available_kw[n, t]}, expected 0 or more")
    for name, limits in (("import_limit_kw", nodes.import_limit_kw), ("export_limit_kw", nodes.export_limit_kw)):
        found += [f"node {nodes.node_id[n]}: {name} is {limits[n]}, expected 0 or more" for n in np.flatnonzero(~(np.asarray(limits) >= 0))]
    for name, values in (("import", prices.import_per_kwh), ("export", prices.export_per_kwh)):
        found += [f"interval {t}: the {name} price is {values[t]}, expected a number" for t in np.flatnonzero(~np.isfinite(values))]
    for t in np.flatnonzero(np.asarray(prices.export_per_kwh) > np.asarray(prices.import_per_kwh)):
        found.append(
            f"interval {t}: the export price {prices.export_per_kwh[t]} is above the import price {prices.import_per_kwh[t]}:"
            " buying to sell at once would pay without end"
        )
    if not (instance.penalties >= 0).all():
        found.append("the price of a limit's violation must be 0 or more everywhere")
    if not (prices.peak_per_kw >= 0 and prices.curtailment_per_kwh >= 0):
        found.append("the prices of peak and curtailment must be 0 or more")
    return found


def _unit_faults(instance: Instance) -> list[str]:
    units = instance.units
    found = [f"unit {name}: the id occurs more than once" for name in _repeated(units.unit_id)]
    known = set(instance.nodes.node_id)
    values = dict(units.columns())
    for n, unit in enumerate(units.unit_id):
        here = {name: column[n] for name, column in values.items()}
        found += [f"unit {unit}: {fault}" for fault in _faults_of_one_unit(here)]
        if units.node_id[n] not in known:
            found.append(f"unit {unit}: its node {units.node_id[n]!r} is unknown; known are {', '.join(sorted(known))}")
    return found or _unreachable(instance)


def _faults_of_one_unit(unit: dict[str, float]) -> list[str]:
    odd = [f"{name} is {value}, expected a number" for name, value in unit.items() if not np.isfinite(value)]
    if odd:
        return odd
    found = [f"{name} is {value}, expected 0 or more" for name, value in unit.items() if value < 0]
    for name in ("charge_efficiency", "discharge_efficiency"):
        if not 0 < unit[name] <= 1:
            found.append(f"{name} is {unit[name]}, expected above 0 and at most 1")
    if unit["self_discharge_per_interval"] >= 1:
        found.append(f"self_discharge_per_interval is {unit['self_discharge_per_interval']}, expected below 1")
    low, high, slack = unit["minimum_kwh"], unit["maximum_kwh"], 1e-9 * max(1.0, unit["maximum_kwh"])
    if low > high:
        found.append(f"the energy window is empty: minimum_kwh {low} is above maximum_kwh {high}")
    for name in ("initial_kwh", "terminal_kwh"):
        if not low - slack <= unit[name] <= high + slack:
            found.append(f"{name} is {unit[name]}, outside the energy window {low} to {high}")
    return found


def _unreachable(instance: Instance) -> list[str]:
    """Units that even full charging cannot keep above their window's lower end, or bring to their terminal energy."""
    units = instance.units
    values = dict(units.columns())
    energy, found = values["initial_kwh"].copy(), {}
    gain = values["charge_kw"] * values["charge_efficiency"] * instance.interval_hours
    slack = 1e-9 * np.maximum(1.0, values["maximum_kwh"])
    for t in range(instance.intervals):
        energy = np.minimum((1 - values["self_discharge_per_interval"]) * energy + gain, values["maximum_kwh"])
        for n in np.flatnonzero(energy < values["minimum_kwh"] - slack):
            found.setdefault(n, f"unit {units.unit_id[n]}, interval {t}: full charging cannot make up for self-discharge at minimum_kwh")
    for n in np.flatnonzero(energy < values["terminal_kwh"] - slack):
        reached, wanted = energy[n], values["terminal_kwh"][n]
        found.setdefault(
            n, f"unit {units.unit_id[n]}, interval {instance.intervals - 1}: terminal_kwh {wanted} cannot be reached, at most {reached:.6g}"
        )
    return list(found.values())


def _repeated(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
