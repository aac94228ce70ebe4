"""How much more may feed in or draw at each bus until a voltage or a branch reaches its limit: by AC power flow, many buses at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from grid_assets.powerflow.batches import NONE, BatchSolver, largest_mva, nodal_mismatch
from grid_assets.powerflow.compiled import CompiledNetwork
from grid_assets.powerflow.limits import Limits, loading_pct

UNDERVOLTAGE, OVERVOLTAGE, OVERLOAD, NO_SOLUTION, NOTHING = "undervoltage", "overvoltage", "overload", "no_solution", "none"
MOST_ROUNDS = 40
TRIAL_SHARE = 1e-3
"""Of the largest size that is asked about: what the first guess looks at."""
GROWTH, NUDGE, LINEAR_ROUNDS = 1.5, 0.4, 12
WORSE_PU, WORSE_PCT = 1e-4, 0.1
"""An element that is beyond its limit beforehand counts as soon as it gets worse by more than this."""


@dataclass(frozen=True)
class HostingCapacity:
    """Per asked bus, in the order they were asked for."""

    capacity_mw: np.ndarray
    """The largest size within all limits, to the tolerance; ``most_mw`` where nothing binds."""
    binding: np.ndarray
    """undervoltage, overvoltage, overload, no_solution, or none."""
    element: np.ndarray
    """Name of the bus or branch that reaches its limit first; "" for none and no_solution."""
    residual_max_mva: np.ndarray
    """Largest nodal mismatch with that size; NaN where the state itself has no solution."""


def hosting_capacity(
    solver: BatchSolver, injections: np.ndarray, buses: np.ndarray, direction: complex, limits: Limits,
    most_mw: float, tolerance_mw: float = 1e-3,
) -> HostingCapacity:  # fmt: skip
    """The capacity of each of ``buses`` (positions in ``bus_ids``, each with a supply), one at a time.

    ``injections`` [solved], complex per unit: the state it is added to, such as least load for generation, most load for charging.
    ``direction``: complex power into the bus per MW of size: 1 feeds in at a power factor of one, -1 draws. A first guess comes from how a small
    size moves every voltage and current; the largest size within all limits then by the secant of what binds, kept between a size that fits and
    one that does not, to ``tolerance_mw``. Every size that is returned was solved and held its limits; between them and what binds nothing was found.
    """
    network = solver.network
    base = solver.solve(injections[None])
    if base.method[0] == NONE:
        nothing = np.full(len(buses), NO_SOLUTION, object)
        return HostingCapacity(np.zeros(len(buses)), nothing, np.full(len(buses), "", object), np.full(len(buses), np.nan))
    judge = _Judge(network, limits, base.voltage[0])
    search = _Search(solver, judge, injections, network.place[buses], direction / network.base_mva)
    before = largest_mva(network, nodal_mismatch(network, base.voltage, injections[None]))[0]
    capacity, binding_of, residual = search.largest(most_mw, tolerance_mw, before)
    # what the fixed point does not solve Newton-Raphson may: of few buses, for it takes as long as many that need it not
    again = np.flatnonzero(binding_of == judge.unsolved)
    if len(again):
        thorough = replace(search, places=search.places[again], persistent=True)
        capacity[again], binding_of[again], residual[again] = thorough.largest(most_mw, tolerance_mw, before)
    names = [judge.named(int(one)) for one in binding_of]
    return HostingCapacity(capacity, np.array([kind for kind, _ in names], object), np.array([name for _, name in names], object), residual)


@dataclass(frozen=True)
class _Search:
    """Sizes at many buses, each by itself."""

    solver: BatchSolver
    judge: _Judge
    injections: np.ndarray
    places: np.ndarray
    unit: complex
    persistent: bool = False
    """Whether what the fixed point does not solve is tried by Newton-Raphson before it counts as without a solution."""

    def margins(self, sizes: np.ndarray, which: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Margins [states, elements] and mismatches [states] of sizes at these of the buses, some at a time: all of them would not fit into memory."""
        size = 2 * self.solver.chunk
        for first in range(0, len(which), size):
            part = slice(first, first + size)
            asked = np.repeat(self.injections[None], len(which[part]), axis=0)
            asked[np.arange(len(asked)), self.places[which[part]]] += sizes[part] * self.unit
            found = self.solver.solve(asked, persistent=self.persistent)
            network = self.solver.network
            yield (
                part, self.judge.margins(found.voltage, found.method == NONE),
                largest_mva(network, nodal_mismatch(network, found.voltage, asked)),
            )  # fmt: skip

    def judged(self, sizes: np.ndarray, which: np.ndarray, binding: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of each size: the least margin, the element that has it, the margin of the element ``binding``, and the mismatch."""
        value, element, of_binding, missed = np.empty(len(which)), np.empty(len(which), int), np.empty(len(which)), np.empty(len(which))
        for part, margin, residual in self.margins(sizes, which):
            rows = np.arange(len(margin))
            element[part], missed[part] = margin.argmin(axis=1), residual
            value[part], of_binding[part] = margin[rows, element[part]], margin[rows, binding[part]]
        return value, element, of_binding, missed

    def guessed(self, trial_mw: float) -> np.ndarray:
        """Where the first margin is used up if all goes on as it begins."""
        every = np.arange(len(self.places))
        made = np.empty(len(every))
        for part, margin, _ in self.margins(np.full(len(every), trial_mw), every):
            made[part] = trial_mw * _first_used_up(self.judge.before, margin)
        return made

    def largest(self, most_mw: float, tolerance_mw: float, before_mva: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The largest sizes within all limits, the element that the next larger one breaks (-1 for none), and the mismatch with that size,
        which is ``before_mva`` where nothing fits.

        Each step goes to where the margin of the element that binds would be used up, on a straight line through the last two known
        points of it, and a little beyond or before it, so that the answer is soon between two solved sizes.
        """
        count, before = len(self.places), self.judge.before
        low, high, binding = np.zeros(count), np.full(count, np.inf), np.full(count, -1)
        near, at_near, at_high, residual = np.zeros(count), np.zeros(count), np.zeros(count), np.full(count, before_mva)
        sizes = np.minimum(self.guessed(TRIAL_SHARE * most_mw) + NUDGE * tolerance_mw, most_mw)
        for step in range(MOST_ROUNDS):
            left = np.flatnonzero((high - low > tolerance_mw) & (low < most_mw))
            if not len(left):
                break
            if step >= LINEAR_ROUNDS:  # the line is no help: halve what is left
                sizes[left] = np.where(np.isfinite(high[left]), (low[left] + high[left]) / 2, sizes[left])
            value, element, of_binding, missed = self.judged(sizes[left], left, np.maximum(binding[left], 0))
            good = value >= 0
            up, down = left[good], left[~good]
            low[up] = near[up] = sizes[up]
            residual[up] = missed[good]
            at_near[up] = of_binding[good]
            high[down], at_high[down] = sizes[down], value[~good]
            other = binding[down] != element[~good]  # of another element no point is known but the beginning
            near[down], at_near[down] = np.where(other, 0.0, near[down]), np.where(other, before[element[~good]], at_near[down])
            binding[down] = element[~good]
            with np.errstate(divide="ignore", invalid="ignore"):
                straight = near + (high - near) * at_near / (at_near - at_high)
            straight[up] += NUDGE * tolerance_mw
            straight[down] -= NUDGE * tolerance_mw
            inside = np.isfinite(straight) & (straight > low) & (straight < high)
            halved = np.where(np.isfinite(high), (low + np.where(np.isfinite(high), high, 0.0)) / 2, np.minimum(GROWTH * sizes, most_mw))
            sizes[left] = np.where(inside, straight, halved)[left]
        return low, binding, residual


def _first_used_up(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How many steps until the first margin is used up [states]; ``after`` [states, elements] after one."""
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not judged is infinitely far from its limit before and after
        used = before - after
        return np.where(used > 0, before / used, np.inf).min(axis=1)


class _Judge:
    """How far everything is from its limit, each measured by its own limit; what was beyond it beforehand may stay, and not get worse."""

    def __init__(self, network: CompiledNetwork, limits: Limits, base: np.ndarray):
        self.network = network
        magnitude, loading = np.abs(base), loading_pct(network, base[None])[0]
        self.highest = np.maximum(limits.maximum_vm_pu, magnitude + WORSE_PU)
        self.lowest = np.minimum(limits.minimum_vm_pu, magnitude - WORSE_PU)
        self.heaviest = np.maximum(limits.maximum_loading_pct, loading + WORSE_PCT)
        first = {}
        for bus, place in enumerate(network.place.tolist()):
            first.setdefault(place, bus)
        self.bus_of = first
        self.unsolved = 2 * len(network.start) + len(network.branch_ids)
        """The number of the element that binds where there is no solution."""
        self.judged = np.isin(np.arange(len(base)), network.place[network.supplied])
        self.before = self.margins(base[None], np.array([False]))[0]

    def margins(self, voltage: np.ndarray, unsolved: np.ndarray) -> np.ndarray:
        """How far every voltage and branch is from its limits [states, elements], below 0 beyond one; -1 and the last element without a solution."""
        magnitude = np.abs(voltage)
        above = np.where(self.judged, self.highest - magnitude, np.inf)
        below = np.where(self.judged, magnitude - self.lowest, np.inf)
        light = (self.heaviest - loading_pct(self.network, voltage)) / self.heaviest * 0.1
        every = np.concatenate([above, below, light, np.ones((len(voltage), 1))], axis=1)
        every[unsolved] = np.append(np.zeros(every.shape[1] - 1), -1.0)
        return every

    def named(self, number: int) -> tuple[str, str]:
        solved, branches = len(self.network.start), len(self.network.branch_ids)
        if number < 0:
            return NOTHING, ""
        if number < 2 * solved:
            kind, place = divmod(number, solved)
            return (UNDERVOLTAGE if kind else OVERVOLTAGE), str(self.network.bus_ids[self.bus_of[place]])
        return (OVERLOAD, str(self.network.branch_ids[number - 2 * solved])) if number < 2 * solved + branches else (NO_SOLUTION, "")
