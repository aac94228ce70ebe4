"""AC power flow after outages of branches: many outages at once on the factorisation of the intact network.

An outage of m branches changes the admittances by a matrix of rank 2 m, so that (Y + U C U')^-1 b = Z b - Z U (I + C G)^-1 C U' Z b with
G = U' Z U (Woodbury; for contingencies Alsac, Stott, Tinney 1983). Buses that lose their supply draw nothing; where they begin they are tied
to the ground, which keeps the matrix regular and their voltages at zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from grid_assets.powerflow.batches import (
    FIXED_POINT,
    MOST_ITERATIONS,
    NEWTON,
    NONE,
    STALLED,
    BatchSolver,
    drawn_current,
    largest_mva,
    mismatch,
    newton,
    newton_solver,
    nodal_mismatch,
)
from grid_assets.powerflow.compiled import CompiledNetwork
from grid_assets.powerflow.limits import loading_pct
from grid_assets.powerflow.supply_graph import SupplyGraph, dark_without, supply_graph

DOUBTED_MVA = 1e-6
"""A mismatch from here on, as very small impedances leave it by rounding, is given to Newton-Raphson."""


@dataclass(frozen=True)
class OutageFlows:
    """Some outages on one state of loads."""

    outages: tuple[tuple[int, ...], ...]
    """Positions of the branches that are out."""
    voltage: np.ndarray
    """[outages, solved], complex per unit; 0 where dark, NaN without a solution."""
    dark: np.ndarray
    """[outages, solved]: buses that lose their supply."""
    method: np.ndarray
    """[outages]: FIXED_POINT, NEWTON or NONE."""
    residual_max_mva: np.ndarray
    """[outages]: largest nodal mismatch by the admittances without the branches, not by the equations that were solved; NaN without a solution."""

    def loading_pct(self, network: CompiledNetwork) -> np.ndarray:
        """[outages, branches]; 0 for what is out or dark."""
        made = loading_pct(network, self.voltage)
        for n, branches in enumerate(self.outages):
            made[n, list(branches)] = 0.0  # of the others both ends are lit or both dark
        return made


def solve_outages(
    solver: BatchSolver, injections: np.ndarray, outages: Sequence[tuple[int, ...]], base: np.ndarray | None = None
) -> Iterator[OutageFlows]:
    """Flows after each of the outages, some at a time. ``injections`` [solved], complex per unit; ``base``: voltages before, if known.

    ``outages``: tuples of branch positions; branches that are out of service already change nothing.
    """
    network, graph = solver.network, supply_graph(solver.network)
    before = base if base is not None else solver.solve(injections[None]).voltage[0]
    begin = before if np.isfinite(before).all() else network.start
    live = [tuple(branch for branch in dict.fromkeys(one) if network.ends[branch, 0] >= 0) for one in outages]
    size = max(solver.chunk // 2, 8)
    for first in range(0, len(outages), size):
        part = live[first : first + size]
        dark = _dark(network, graph, part)
        power = np.where(dark, 0.0, injections)
        voltage = np.full(dark.shape, np.nan, complex)
        method = np.full(len(part), NONE)
        if not len(network.controlled):
            for rows, cut in _cuts(solver, part, dark):
                found, good = _fixed_point(solver, cut, dark[rows], power[rows], begin)
                voltage[rows[good]], method[rows[good]] = found[good], FIXED_POINT
        residual = mismatch_without(network, part, voltage, power)
        left = np.flatnonzero((method == NONE) | (residual > DOUBTED_MVA))
        newtons = newton_solver() if len(left) else None
        for n in left:
            again = _newton(newtons, network, part[n], dark[n], power[n], begin, solver.tolerance)
            if again is None:
                continue
            missed = mismatch_without(network, part[n : n + 1], again[None], power[n : n + 1])[0]
            if not missed >= residual[n]:  # NaN where there was no solution
                voltage[n], method[n], residual[n] = again, NEWTON, missed
        yield OutageFlows(tuple(outages[first : first + size]), voltage, dark, method, residual)


def mismatch_without(network: CompiledNetwork, outages: Sequence[tuple[int, ...]], voltage: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Largest nodal mismatch [outages], MVA, of voltages and injections [outages, solved] by the admittances without the branches."""
    missed = nodal_mismatch(network, voltage, power)
    rows = np.repeat(np.arange(len(outages)), [len(one) for one in outages])[:, None]
    branches = np.array([branch for one in outages for branch in one], int)
    ends = network.ends[branches]
    at_ends = voltage[rows, ends]
    lost = np.einsum("bij,bj->bi", network.branch_admittance[branches], at_ends)
    np.subtract.at(missed, (rows, ends), at_ends * np.conj(lost))
    return largest_mva(network, missed)


def _dark(network: CompiledNetwork, graph: SupplyGraph, outages: Sequence[tuple[int, ...]]) -> np.ndarray:
    """[outages, solved]"""
    ranges = np.array([graph.behind[one[0]] if one else (0, 0) for one in outages])
    dark = (graph.order >= ranges[:, :1]) & (graph.order < ranges[:, 1:])
    for n, branches in enumerate(outages):
        if len(branches) > 1:
            dark[n] = dark_without(network, branches)
    return dark


@dataclass(frozen=True)
class _Cut:
    """What outages change in the inverse at the free buses: Z r becomes Z r - spread middle (Z r at the places)."""

    places: np.ndarray
    """[outages, width]: positions among the free buses; any where ``middle`` is zero."""
    spread: np.ndarray
    """Z U [outages, width, free]"""
    middle: np.ndarray
    """(I + C G)^-1 C [outages, width, width]"""
    no_load: np.ndarray
    """Voltages of the changed networks without load [outages, free]."""

    def change(self, found: np.ndarray) -> np.ndarray:
        """Turns answers of the intact network [outages, free] into those of the changed ones, in place."""
        seen = found[np.arange(len(found))[:, None], self.places]
        told = np.einsum("kij,kj->ki", self.middle, seen)
        for one in range(self.places.shape[1]):
            found -= self.spread[:, one] * told[:, one, None]
        return found


def _cuts(solver: BatchSolver, outages: Sequence[tuple[int, ...]], dark: np.ndarray) -> Iterator[tuple[np.ndarray, _Cut]]:
    """The outages of one branch that all behind it hangs on, then the others: which they are, and what they change."""
    ends = np.array([solver.network.ends[one[0]] if len(one) == 1 else (0, 0) for one in outages])
    hidden = dark[np.arange(len(outages))[:, None], ends]
    bridges = hidden.any(axis=1) & [len(one) == 1 for one in outages]
    if len(rows := np.flatnonzero(bridges)):
        yield rows, _bridge_cut(solver, np.array([outages[row][0] for row in rows]), ends[rows], hidden[rows])
    if len(rows := np.flatnonzero(~bridges)):
        yield rows, _general_cut(solver, [outages[row] for row in rows], dark[rows])


def _bridge_cut(solver: BatchSolver, branches: np.ndarray, ends: np.ndarray, hidden: np.ndarray) -> _Cut:
    """Nothing is drawn behind a bridge that is out, so that for the lit rest the branch and all behind it are one admittance at its lit end.

    That is what it draws there for a voltage of 1: the branch's own two entries, the far one by the ratio Z_ji / Z_ii of both ends' voltages.
    """
    network, count, rows = solver.network, len(branches), np.arange(len(branches))
    near = hidden[:, 0].astype(int)  # the side of the lit end
    lit, far = (network.among_free[ends[rows, side]] for side in (near, 1 - near))
    there = lit >= 0  # the supply holds its voltage whatever leaves it
    places = np.maximum(lit, 0)
    units = np.zeros((count, len(network.free)), complex)
    units[rows[there], places[there]] = 1.0
    spread = solver.inverse(units)
    own = np.where(there, spread[rows, places], 1.0)
    block = network.branch_admittance[branches]
    left = block[rows, near, near] + block[rows, near, 1 - near] * spread[rows, far] / own
    with np.errstate(all="ignore"):
        middle = np.where(there, -left / (1.0 - left * own), 0.0)
    cut = _Cut(places[:, None], spread[:, None], middle[:, None, None], np.repeat(solver.network.no_load[None], count, axis=0))
    cut.change(cut.no_load)
    return cut


def _general_cut(solver: BatchSolver, outages: Sequence[tuple[int, ...]], dark: np.ndarray) -> _Cut:
    """Woodbury's formula with U the columns of the identity at the ends of the branches and C what leaves the admittances there.

    With the supply's columns on the right, Y_ff V_f = I - Y_fr V_r. The outage adds U C_ff U' to Y_ff, so that the inverse becomes
    Z - Z U (I + C_ff G)^-1 C_ff U' Z, and U C_fr to Y_fr, so that -U C_fr V_r (``given``) is added to the right: of an end that the supply
    holds only that remains. Without load V is then the changed inverse of (-Y_fr V_r + ``given``): ``no_load`` before ``change``.
    Of outages with fewer branches than the most the slots left over have ``change`` zero, wherever they point.
    """
    network, count = solver.network, len(outages)
    width = max(2 * max(map(len, outages)), 2)
    ends, change = np.full((count, width), -1), np.zeros((count, width, width), complex)
    given = np.zeros((count, width), complex)  # what opened branches to the supply no longer bring, at their free ends
    for n, branches in enumerate(outages):
        if branches:
            where, how = _changes(network, branches, dark[n])
            ends[n, : len(where)] = network.among_free[where]
            held = np.isin(where, network.reference)
            given[n, : len(where)] = -(how[:, held] @ network.start[where[held]])
            how[held], how[:, held] = 0.0, 0.0
            change[n, : len(where), : len(where)] = how
    units = np.zeros((count * width, len(network.free)), complex)
    slot = np.arange(count * width)
    known = ends.ravel() >= 0
    units[slot[known], ends.ravel()[known]] = 1.0
    spread = solver.inverse(units).reshape(count, width, len(network.free))
    picked, rows, there = np.maximum(ends, 0), np.arange(count)[:, None], known.reshape(count, width)
    # G = U' Z U: [outage, seen at, sent from]
    between = np.where(there[:, :, None], spread[rows[:, :, None], np.arange(width)[None, None, :], picked[:, :, None]], 0.0)
    with np.errstate(all="ignore"):
        middle = np.linalg.solve(np.eye(width) + change @ between, change)
    no_load = solver.network.no_load + np.einsum("kwf,kw->kf", spread, given)
    cut = _Cut(picked, spread, middle, no_load)
    cut.change(cut.no_load)
    return cut


def _changes(network: CompiledNetwork, branches: Sequence[int], dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends [2 m] and the change of their admittances [2 m, 2 m] when the branches open and their dark ends are tied to the ground."""
    ends, change = network.ends[list(branches)].ravel(), np.zeros((2 * len(branches), 2 * len(branches)), complex)
    for n, branch in enumerate(branches):
        change[2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = -network.branch_admittance[branch]
    grounded = np.flatnonzero(dark[ends])
    change[grounded, grounded] += 1.0 + np.abs(change[grounded, grounded])
    return ends, change


def _fixed_point(solver: BatchSolver, cut: _Cut, dark: np.ndarray, power: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voltages [outages, solved] and which have converged."""
    network, free, count = solver.network, solver.network.free, len(dark)
    load, hidden = np.conj(np.take(power, free, axis=1)), np.take(dark, free, axis=1)
    voltage = np.where(hidden, 1.0, begin[free])
    missed, earlier = np.full(count, np.inf), np.full(count, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(MOST_ITERATIONS):
            current = drawn_current(load, voltage)
            new = cut.change(solver.inverse(current))
            new += cut.no_load
            np.copyto(new, 1.0, where=hidden)
            missed = mismatch(new, voltage, current)
            voltage = new
            going = missed > solver.tolerance
            if not going.any() or not (going & (missed < STALLED * earlier)).any():
                break
            earlier = missed
    made = np.empty((count, len(network.start)), complex)
    np.take(voltage, network.among_free, axis=1, out=made, mode="clip")
    made[:, network.reference] = network.start[network.reference]
    made[dark] = 0.0
    return made, (missed <= solver.tolerance) & np.isfinite(made).all(axis=1)


def _newton(
    solver, network: CompiledNetwork, branches: Sequence[int], dark: np.ndarray, power: np.ndarray, begin: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """One outage by Newton-Raphson on the buses that keep their supply."""
    ends, change = _changes(network, branches, dark) if branches else (np.empty(0, int), np.empty((0, 0)))
    rows, columns = np.repeat(ends, len(ends)), np.tile(ends, len(ends))
    shape = network.admittance.shape
    whole = sp.csc_matrix(network.admittance + sp.coo_matrix((change.ravel(), (rows, columns)), shape))
    kept = np.flatnonzero(~dark)
    rest = _part(network, kept)
    loaded = np.setdiff1d(rest.free, rest.controlled)
    found = newton(solver, rest, sp.csc_matrix(whole[kept][:, kept]), power[kept], begin[kept], loaded, tolerance)
    if found is None:
        return None
    made = np.zeros(len(network.start), complex)
    made[kept] = found
    return made


@dataclass(frozen=True)
class _Part:
    """The buses of a network that keep their supply, as Newton-Raphson asks for them."""

    start: np.ndarray
    reference: np.ndarray
    controlled: np.ndarray
    free: np.ndarray


def _part(network: CompiledNetwork, kept: np.ndarray) -> _Part:
    reference, controlled = (np.flatnonzero(np.isin(kept, one)) for one in (network.reference, network.controlled))
    return _Part(network.start[kept], reference, controlled, np.setdiff1d(np.arange(len(kept)), reference))
