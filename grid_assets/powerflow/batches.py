"""AC power flow of many injections on one compiled network: one factorisation, many right-hand sides.

Where no generator holds a voltage the nodal equations are Y V = conj(S / V); with the supply's columns moved to the right they are
V = w + Z conj(S / V) with Z the inverse of Y at the free buses and w the voltages without load: a fixed point that contracts as long
as voltages stay near w (the Z-bus or implicit Gauss method: Stott 1974; its convergence: Bolognani, Zampieri 2016). What it does not solve, and networks with
generators that hold their voltage, go to Newton-Raphson (lightsim2grid).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from grid_assets.powerflow.compiled import TOLERANCE_MVA, CompiledNetwork

FIXED_POINT, NEWTON, NONE = 0, 1, -1
MOST_ITERATIONS, FEW_ITERATIONS, NEWTON_ITERATIONS = 60, 25, 25
NEVER_ENOUGH = 2
"""So many iterations are not looked at: from the network without load none has ever sufficed."""
LEAST_STEPS, MOST_SHARE = 8, 2.0
"""From so many steps on their mean is solved first; no step begins further from the network without load than so many times its drop."""
STALLED = 0.9
"""An iteration that leaves more than this of the mismatch will not get there: Newton-Raphson is quicker."""
CHUNK_BYTES = 3 << 19
"""A chunk's voltages stay in the processor's cache: larger ones are slower, and take memory; smaller ones leave threads waiting for each other."""
MOST_STEPS = 512
"""In a chunk."""


class HeldBuses(Protocol):
    """Which buses hold which voltage."""

    @property
    def start(self) -> np.ndarray: ...
    @property
    def reference(self) -> np.ndarray: ...
    @property
    def controlled(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Solved:
    """Voltages of a batch; steps without a solution hold NaN."""

    voltage: np.ndarray
    """[steps, solved], complex per unit"""
    method: np.ndarray
    """[steps]: FIXED_POINT, NEWTON, or NONE without a solution."""


class BatchSolver:
    """Solves batches on one network, by its factors."""

    def __init__(self, network: CompiledNetwork, tolerance_mva: float = TOLERANCE_MVA):
        self.network = network
        self.tolerance = tolerance_mva / network.base_mva

    @property
    def chunk(self) -> int:
        """How many steps are solved at a time."""
        return int(np.clip(CHUNK_BYTES // (16 * max(len(self.network.start), 1)), 8, MOST_STEPS))

    def solve(self, injections: np.ndarray, *, persistent: bool = True) -> Solved:
        """``injections`` [steps, solved], complex per unit, as CompiledNetwork.injections makes them.

        Not ``persistent``: what the fixed point does not solve is left without a solution, though Newton-Raphson may find one.
        """
        steps = len(injections)
        if not len(self.network.free):  # only the supply's own bus is left
            return Solved(np.repeat(self.network.start[None], steps, axis=0), np.full(steps, FIXED_POINT))
        voltage = np.full((steps, len(self.network.start)), np.nan, complex)
        method = np.full(steps, NONE)
        if not len(self.network.controlled):
            most = MOST_ITERATIONS if persistent else FEW_ITERATIONS
            mean, drop = self._drop_at_mean(injections)

            def solve_part(part: slice) -> None:
                share = np.clip(np.real(injections[part] @ mean), 0.0, MOST_SHARE)
                good = self._fixed_point(injections[part], self.network.no_load + share[:, None] * drop, voltage[part], most)
                method[part] = np.where(good, FIXED_POINT, NONE)

            in_parts(solve_part, steps, self.chunk)
        left = np.flatnonzero(method == NONE)
        if len(left) and (persistent or len(self.network.controlled)):
            self._newton(injections, left, voltage, method)
        return Solved(voltage, method)

    def _drop_at_mean(self, injections: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the injections' products with the first [solved] say how much of their mean they are; what that does to the voltages [free].

        To begin there instead of without load saves a tenth of the iterations of a day, and most where all steps are alike.
        """
        mean = injections.mean(axis=0) if len(injections) >= LEAST_STEPS else np.zeros(injections.shape[1], complex)
        size = float(np.real(np.vdot(mean, mean)))
        voltage = np.empty((1, len(mean)), complex)
        if size == 0 or not self._fixed_point(mean[None], self.network.no_load[None], voltage, FEW_ITERATIONS).all():
            return np.zeros_like(mean), np.zeros_like(self.network.no_load)
        return np.conj(mean) / size, voltage[0, self.network.free] - self.network.no_load

    def _fixed_point(self, injections: np.ndarray, voltage: np.ndarray, solved: np.ndarray, iterations: int) -> np.ndarray:
        """From voltages [steps, free] fills those of all buses, ``solved`` [steps, solved]; which of the steps have converged. A step that is done is solved no further."""
        network, free = self.network, self.network.free
        power = np.conj(np.take(injections, free, axis=1))
        found, good = np.full_like(power, np.nan), np.zeros(len(power), bool)
        left, before = np.arange(len(power)), np.full(len(power), np.inf)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for iteration in range(iterations):
                current = drawn_current(power, voltage)
                new = self.inverse(current)
                new += self.network.no_load
                if iteration < NEVER_ENOUGH:
                    voltage = new
                    continue
                missed = mismatch(new, voltage, current)
                voltage, there = new, missed <= self.tolerance
                found[left[there]], good[left[there]] = voltage[there], True
                going = ~there & (missed < STALLED * before)
                if not going.any():
                    break
                if not going.all():
                    left, power, voltage, missed = left[going], power[going], voltage[going], missed[going]
                before = missed
        np.take(found, network.among_free, axis=1, out=solved, mode="clip")
        solved[:, network.reference] = network.start[network.reference]
        solved[~good] = np.nan
        return good

    def inverse(self, right: np.ndarray) -> np.ndarray:
        """The inverse of the admittances at the free buses times right-hand sides [some, free]; a row each, for so SuperLU copies nothing."""
        return self.network.factors.solve(right.T).T

    def _newton(self, injections: np.ndarray, steps: np.ndarray, voltage: np.ndarray, method: np.ndarray) -> None:
        """Solves the steps one by one, in place, each from the last that was solved, else from the network without load."""
        network, last = self.network, None
        solver = newton_solver()
        loaded = np.setdiff1d(network.free, network.controlled)
        for step in steps:
            for begin in (last, network.start):
                if begin is None:
                    continue
                if (found := newton(solver, network, network.admittance, injections[step], begin, loaded, self.tolerance)) is not None:
                    voltage[step], method[step], last = found, NEWTON, found
                    break


def in_parts(work: Callable[[slice], None], count: int, size: int) -> None:
    """Does the work for 0..``count`` in slices of at most ``size``: more than one on all processors, as numpy and SuperLU let others go on."""
    if count <= size:
        if count:
            work(slice(0, count))
        return
    workers = len(os.sched_getaffinity(0))
    rounds = math.ceil(count / (workers * size))
    size = math.ceil(count / (workers * rounds))  # all have the same to do
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, parts):  # raises what the work raises
            pass


def drawn_current(power: np.ndarray, voltage: np.ndarray) -> np.ndarray:
    """conj(S / V) from conj(S): as conj(S) V / |V|^2, for numpy's division of complex numbers takes as long as three products."""
    size = np.abs(voltage)
    np.square(size, out=size)
    current = power * voltage
    current *= np.reciprocal(size, out=size)
    return current


def mismatch(new: np.ndarray, old: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The largest nodal mismatch of each step [steps], at most a factor sqrt(2) too high; infinite where it is not a number.

    The new voltages draw the currents of the old ones: where S is due, S + conj(I) (new - old) is drawn. Overwrites ``current``.
    """
    np.multiply(current, new - old, out=current)
    parts = current.view(float)
    largest = np.abs(parts, out=parts).max(axis=1, initial=0.0)
    return np.nan_to_num(math.sqrt(2.0) * largest, nan=np.inf)


def nodal_mismatch(network: CompiledNetwork, voltage: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What is drawn by the admittances and the voltages less what was ``wanted`` [states, solved], per unit; at supplies what they give."""
    # in the order of memory of the voltages: to multiply arrays of both orders takes three times as long
    drawn = np.ascontiguousarray((network.admittance @ np.ascontiguousarray(voltage.T)).T)
    np.conj(drawn, out=drawn)
    drawn *= voltage
    drawn -= wanted
    return drawn


def largest_mva(network: CompiledNetwork, missed: np.ndarray) -> np.ndarray:
    """The largest of nodal mismatches [states], MVA. At buses that hold their voltage only the active power is known beforehand; at
    the supply nothing is. Overwrites ``missed``; NaN without a solution."""
    missed[:, network.controlled] = np.real(missed[:, network.controlled])
    missed[:, network.reference] = 0
    return np.abs(missed).max(axis=1, initial=0.0) * network.base_mva


def newton_solver():
    """lightsim2grid's Newton-Raphson; with KLU where its build has it."""
    from lightsim2grid import algorithm

    return getattr(algorithm, "NR_KLU", algorithm.NR_SparseLU)()


def newton(
    solver, network: HeldBuses, admittance: sp.csc_matrix, power: np.ndarray, begin: np.ndarray, loaded: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """Voltages [solved], or None without a solution. ``power`` [solved], per unit; ``loaded``: the buses with given power only.

    Several supplies hold their angles too, which the solver would share out among them: they become one bus, of which each is a multiple.
    """
    if len(network.reference) > 1:
        return _newton_from_one_supply(solver, network, admittance, power, begin, loaded, tolerance)
    reference = network.reference.astype(np.int32)
    weights = np.zeros(len(power))
    weights[reference] = 1.0
    start = begin.copy()
    start[reference] = network.start[reference]
    held = network.controlled
    start[held] = np.abs(network.start[held]) * np.exp(1j * np.angle(start[held]))
    solver.reset()
    good = solver.compute_pf(
        admittance, start, power, reference, weights, held.astype(np.int32), loaded.astype(np.int32), NEWTON_ITERATIONS, tolerance
    )
    found = np.array(solver.get_V()) if good else None
    return found if found is not None and np.isfinite(found).all() else None


@dataclass(frozen=True)
class _OneSupply:
    start: np.ndarray
    reference: np.ndarray
    controlled: np.ndarray


def _newton_from_one_supply(
    solver, network: HeldBuses, admittance: sp.csc_matrix, power: np.ndarray, begin: np.ndarray, loaded: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """V = T V' with a column of T for each bus that is no supply, and one for the first supply that holds the others' ratios to it."""
    first, size = network.reference[0], len(power)
    kept = np.setdiff1d(np.arange(size), network.reference[1:])
    place = np.full(size, -1)
    place[kept] = np.arange(len(kept))
    place[network.reference] = place[first]
    ratio = np.ones(size, complex)
    ratio[network.reference] = network.start[network.reference] / network.start[first]
    spread = sp.csc_matrix((ratio, (np.arange(size), place)), (size, len(kept)))
    one = _OneSupply(network.start[kept], place[[first]], place[network.controlled])
    reduced = sp.csc_matrix(spread.conj().T @ admittance @ spread)
    found = newton(solver, one, reduced, power[kept], begin[kept], place[loaded], tolerance)
    return None if found is None else spread @ found
