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
import scipy.sparse.linalg as linalg

from grid_assets.powerflow.compiled import TOLERANCE_MVA, CompiledNetwork

FIXED_POINT, NEWTON, NONE = 0, 1, -1
MOST_ITERATIONS, FEW_ITERATIONS, NEWTON_ITERATIONS = 60, 25, 25
NEVER_ENOUGH = 3
"""So many iterations are not looked at: from the network without load none has ever sufficed."""
STALLED = 0.9
"""An iteration that leaves more than this of the mismatch will not get there: Newton-Raphson is quicker."""
CHUNK_BYTES = 1 << 20
"""A chunk's voltages stay in the processor's cache: larger ones are slower, and take memory."""

MOST_STEPS = 128
"""In a chunk. Where it takes so many the calls are short, and threads only wait for each other: no gain at 227 buses, 1.6 times at 9,099."""


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
    """Solves batches on one network; keeps its factorisation."""

    def __init__(self, network: CompiledNetwork, tolerance_mva: float = TOLERANCE_MVA):
        self.network = network
        self.tolerance = tolerance_mva / network.base_mva
        if len(network.free) and not len(network.controlled):
            free, reference = network.free, network.reference
            self.factors = factorised(network.admittance[free][:, free])
            self.no_load = self.factors.solve(-(network.admittance[free][:, reference] @ network.start[reference]))

    @property
    def chunk(self) -> int:
        """How many steps are solved at a time."""
        return int(np.clip(CHUNK_BYTES // (16 * max(len(self.network.start), 1)), 8, MOST_STEPS))

    def solve(self, injections: np.ndarray, *, persistent: bool = True) -> Solved:
        """``injections`` [steps, solved], complex per unit, as CompiledNetwork.injections makes them.

        Not ``persistent``: what the fixed point does not solve is left without a solution; its voltages would be far below any limit.
        """
        steps = len(injections)
        if not len(self.network.free):  # only the supply's own bus is left
            return Solved(np.repeat(self.network.start[None], steps, axis=0), np.full(steps, FIXED_POINT))
        voltage = np.full((steps, len(self.network.start)), np.nan, complex)
        method = np.full(steps, NONE)
        if not len(self.network.controlled):

            def solve_part(part: slice) -> None:
                good = self._fixed_point(injections[part], voltage[part], MOST_ITERATIONS if persistent else FEW_ITERATIONS)
                method[part] = np.where(good, FIXED_POINT, NONE)

            in_parts(solve_part, steps, self.chunk)
        left = np.flatnonzero(method == NONE)
        if len(left) and (persistent or len(self.network.controlled)):
            self._newton(injections, left, voltage, method)
        return Solved(voltage, method)

    def _fixed_point(self, injections: np.ndarray, solved: np.ndarray, iterations: int) -> np.ndarray:
        """Fills the voltages ``solved`` [steps, solved]; which of the steps have converged."""
        network, free = self.network, self.network.free
        power = np.conj(np.take(injections, free, axis=1))
        voltage = np.repeat(self.no_load[None], len(power), axis=0)
        missed, before = np.full(len(power), np.inf), np.full(len(power), np.inf)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for iteration in range(iterations):
                current = drawn_current(power, voltage)
                new = self.inverse(current)
                new += self.no_load
                if iteration >= NEVER_ENOUGH:
                    missed = mismatch(new, voltage, current)
                voltage = new
                if iteration < NEVER_ENOUGH:
                    continue
                going = missed > self.tolerance
                if not going.any() or not (going & (missed < STALLED * before)).any():
                    break
                before = missed
        good = missed <= self.tolerance
        np.take(voltage, network.among_free, axis=1, out=solved, mode="clip")
        solved[:, network.reference] = network.start[network.reference]
        solved[~good] = np.nan
        return good

    def inverse(self, right: np.ndarray) -> np.ndarray:
        """The inverse of the admittances at the free buses times right-hand sides [some, free]; a row each, for so SuperLU copies nothing."""
        return self.factors.solve(right.T).T

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
    """Does the work for 0..size, size..2 size, ... up to ``count``; of large networks on all processors, as numpy and SuperLU let others go on."""
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    workers = min(len(os.sched_getaffinity(0)), len(parts))
    if workers < 2 or size == MOST_STEPS:
        for part in parts:
            work(part)
        return
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
    return voltage * np.conj((network.admittance @ np.ascontiguousarray(voltage.T)).T) - wanted


def largest_mva(network: CompiledNetwork, missed: np.ndarray) -> np.ndarray:
    """The largest of nodal mismatches [states], MVA. At buses that hold their voltage only the active power is known beforehand; at
    the supply nothing is. Overwrites ``missed``; NaN without a solution."""
    missed[:, network.controlled] = np.real(missed[:, network.controlled])
    missed[:, network.reference] = 0
    return np.abs(missed).max(axis=1, initial=0.0) * network.base_mva


def factorised(matrix: sp.spmatrix) -> linalg.SuperLU:
    """Factors of a matrix whose pattern is symmetric, in an order of few new entries: hardly any where the network is a tree."""
    return linalg.splu(
        sp.csc_matrix(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )  # fmt: skip


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
