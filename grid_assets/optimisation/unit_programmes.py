"""The exact schedule of single storage units against given prices: a dynamic programme of each, without a solver.

The cost-to-go after an interval is a convex, piecewise linear function of the stored energy, kept as slopes and lengths in ascending order
of slope. One interval back it is the infimal convolution with the interval's own cost (two pieces: charging and discharging), which merges
the pieces by slope; self-discharge stretches it, and the energy window cuts it off. (Convolution by merging slopes: Rockafellar, Convex
Analysis, 1970, section 5; convex cost-to-go of storage: Nascimento, Powell 2009.) Where charging and discharging at once would pay, at
negative prices, the two pieces sort the other way round, so that the answer is that of the linear programme.

Where budgets of energy taken out of the store bind, a unit's schedule is a mixture of such schedules: a linear programme with a row for each budget,
solved by the primal simplex method, whose next column is the schedule at the multipliers of its rows (Dantzig, Wolfe 1960). That is exact too.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from grid_assets.optimisation.storage_instance import Instance
from grid_assets.optimisation.storage_model import budget_blocks

UNITS_AT_A_TIME = 1024


@dataclass(frozen=True)
class UnitPlans:
    """Schedules of some units against prices, (units, intervals), and what they cost."""

    charge_kw: np.ndarray
    discharge_kw: np.ndarray
    energy_kwh: np.ndarray
    """At the end of each interval."""
    cost: np.ndarray
    """(units,): price times consumption, and wear."""
    bound: np.ndarray
    """(units,): no schedule of the unit within its budgets costs less."""


class UnitProgrammes:
    """The units of an instance, each by itself. ``instance`` must have been validated."""

    def __init__(self, instance: Instance):
        given = [values for _, values in instance.units.columns()]
        self._columns = np.ascontiguousarray(np.column_stack(given))
        self._hours, self._exact, self._intervals = instance.interval_hours, instance.terminal_exact, instance.intervals
        blocks = budget_blocks(instance)
        self._day = np.repeat(np.arange(len(blocks)), [len(block) for block, _ in blocks])
        self._shares = np.array([share for _, share in blocks])

    def plans(self, price_per_kwh: np.ndarray, units: slice = slice(None)) -> UnitPlans:
        """The cheapest schedule of each of the units when a kWh drawn costs, and one fed in earns, its price (units, intervals)."""
        from grid_assets.optimisation.unit_kernels import plan_units

        columns = self._columns[units]
        count = len(columns)
        made = UnitPlans(*(np.empty((count, self._intervals)) for _ in range(3)), *(np.empty(count) for _ in range(2)))
        prices = np.ascontiguousarray(np.broadcast_to(price_per_kwh, (count, self._intervals)), float)
        plan_units(
            columns, prices, self._day, self._shares, self._hours, self._exact, made.charge_kw, made.discharge_kw, made.energy_kwh, made.cost,
            made.bound,
        )  # fmt: skip
        return made


def parts_of(count: int) -> list[slice]:
    """0..``count`` in slices of UNITS_AT_A_TIME."""
    return [slice(first, min(first + UNITS_AT_A_TIME, count)) for first in range(0, count, UNITS_AT_A_TIME)]


def in_threads(work, parts: list[slice]) -> list:
    """What ``work`` makes of each part, in their order; the compiled loops leave other threads running."""
    workers = min(len(os.sched_getaffinity(0)), len(parts))
    if workers < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))
