"""AC power flow over a series of injections, each solution proved by its own nodal power balance and a sample by another solver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grid_assets.powerflow.batches import FIXED_POINT, NEWTON, NONE, BatchSolver, in_parts, largest_mva, nodal_mismatch
from grid_assets.powerflow.breakdown import ADVICE, breakdown_in_words
from grid_assets.powerflow.compiled import CompiledNetwork, FlowError, compiled
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.reference import ReferenceSolver, difference_pu

REFERENCE = 2
"""Solved by pandapower, where neither of the batch's methods did."""
SAMPLED_STEPS = 2
EXPLAINED_STEPS = 3
"""Of so many steps without a solution it is said where they break down: it takes as long as many that have one."""


@dataclass(frozen=True)
class FlowSeries:
    """The solved steps. Arrays are steps x buses (order of ``net.bus``) or steps x branches (lines, then transformers).

    Steps that did not converge hold NaN throughout; so do buses without a supply. Branches without one carry 0.
    """

    bus_ids: np.ndarray
    branch_ids: np.ndarray
    kinds: np.ndarray
    voltage: np.ndarray
    """Complex, per unit."""
    vm_pu: np.ndarray
    loading_pct: np.ndarray
    p_mw: np.ndarray
    """Into the branch at its beginning (of a transformer: its upper side)."""
    i_ka: np.ndarray
    """The larger of both ends; of a transformer referred to its upper side."""
    converged: np.ndarray
    residual_max_mva: np.ndarray
    """Largest |V conj(Ybus V) - S| over the buses but the supply, recomputed from the admittances and the injections given."""
    supply_mw: np.ndarray
    losses_mw: np.ndarray
    unserved_mw: np.ndarray
    """Consumption given for buses that no supply reaches."""
    faults: tuple[str, ...]
    """A sentence per step that failed: which, of the first ones where it breaks down, and what to try."""
    method: np.ndarray
    """FIXED_POINT, NEWTON, REFERENCE, or NONE for a step that failed."""

    @cached_property
    def va_degree(self) -> np.ndarray:
        return np.degrees(np.angle(self.voltage))


@dataclass(frozen=True)
class SampleProof:
    """A few steps solved again by pandapower's runpp."""

    steps: tuple[int, ...]
    largest_difference_pu: float
    """Of any voltage, as a complex number; NaN where nothing was sampled, infinite where only one of both has a voltage."""


def solve_series(admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> FlowSeries:
    """Solves every step; the network's own loads, static generators and storage are replaced by what is given.

    ``load_mw`` and ``load_mvar``: steps x buses in the order of ``net.bus``, consumption positive, feeding in negative.
    A step that does not converge is flagged and said in ``faults``; the others are unaffected.
    Raises FlowError for arrays of another shape or with values that are not finite.
    """
    network = compiled(admitted)
    load_mw, load_mvar = np.asarray(load_mw, float), np.asarray(load_mvar, float)
    refuse_misfits(network, load_mw, load_mvar)
    return _series(admitted, network, BatchSolver(network), load_mw, load_mvar, 0)


def solve_chunks(
    admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray, steps: int = 672
) -> Iterator[tuple[slice, FlowSeries]]:
    """The same, so many steps at a time, for series whose results would not fit into memory: which steps, and their flows."""
    network = compiled(admitted)
    solver = BatchSolver(network)
    for first in range(0, len(load_mw), steps):
        part = slice(first, min(first + steps, len(load_mw)))
        chunk = np.asarray(load_mw[part], float), np.asarray(load_mvar[part], float)
        refuse_misfits(network, *chunk)
        yield part, _series(admitted, network, solver, *chunk, first)


def solve_each(admitted: AdmittedNetwork, series: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[FlowSeries]:
    """Several series (load_mw, load_mvar) on one compiled network, one after the other."""
    network = compiled(admitted)
    solver = BatchSolver(network)
    for load_mw, load_mvar in series:
        refuse_misfits(network, load_mw, load_mvar)
        yield _series(admitted, network, solver, load_mw, load_mvar, 0)


def proved_by_sample(
    admitted: AdmittedNetwork, series: FlowSeries, load_mw: np.ndarray, load_mvar: np.ndarray, seed: int, count: int = SAMPLED_STEPS
) -> SampleProof:
    """Solves ``count`` of the solved steps again by runpp, from a cold start; which ones is drawn by ``seed``."""
    solved = np.flatnonzero(series.converged)
    steps = np.sort(np.random.default_rng(seed).permutation(solved)[:count])
    reference = ReferenceSolver(admitted)
    found = [difference_pu(reference.solve(load_mw[step], load_mvar[step]), series.voltage[step]) for step in steps]
    return SampleProof(tuple(int(step) for step in steps), max(found, default=np.nan))


def engine(series: FlowSeries | None = None) -> str:
    """What solved the steps, with versions, as certificates name it."""
    from importlib.metadata import version

    names = {
        FIXED_POINT: f"fixed point over one factorisation (scipy {version('scipy')})",
        NEWTON: f"lightsim2grid {version('lightsim2grid')} (Newton-Raphson)",
        REFERENCE: f"pandapower {version('pandapower')} (Newton-Raphson)",
    }
    used = names if series is None else [one for one in names if (series.method == one).any()]
    return "; ".join(names[one] for one in used) or "none"


def refuse_misfits(network: CompiledNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> None:
    """Raises FlowError for arrays that are not steps x buses, or not finite."""
    buses = len(network.bus_ids)
    for name, values in (("load_mw", load_mw), ("load_mvar", load_mvar)):
        if values.ndim != 2 or values.shape[1] != buses:
            raise FlowError(f"{name} has shape {values.shape}; expected steps x {buses} buses")
        if not np.isfinite(values).all():
            step, bus = np.argwhere(~np.isfinite(values))[0]
            raise FlowError(f"{name}, step {step}, bus {network.bus_ids[bus]!r}: {values[step, bus]} is not a finite number")
    if load_mw.shape != load_mvar.shape:
        raise FlowError(f"load_mw has shape {load_mw.shape}, load_mvar {load_mvar.shape}; expected the same")


def _series(
    admitted: AdmittedNetwork, network: CompiledNetwork, solver: BatchSolver, load_mw: np.ndarray, load_mvar: np.ndarray, first: int
) -> FlowSeries:
    wanted = np.empty((len(load_mw), len(network.start)), complex)

    def gather(part: slice) -> None:
        wanted[part] = network.injections(load_mw[part], load_mvar[part])

    in_parts(gather, len(load_mw), solver.chunk)
    found = solver.solve(wanted)
    voltage, method = found.voltage, found.method
    left = np.flatnonzero(method == NONE)
    reference = ReferenceSolver(admitted) if len(left) else None
    for step in left:
        if reference and (again := reference.voltage(load_mw[step], load_mvar[step])) is not None:
            voltage[step], method[step] = again, REFERENCE
    failed = np.flatnonzero(method == NONE)
    faults = [
        f"step {first + step} did not converge with {load_mw[step].sum():.3f} MW of load"
        + (f"; {breakdown_in_words(network, lambda some: solver.solve(some).voltage, wanted[step])}" if n < EXPLAINED_STEPS else "")
        + f"; {ADVICE}"
        for n, step in enumerate(failed)
    ]
    dark = np.where(method == NONE, np.nan, np.maximum(load_mw[:, ~network.supplied], 0.0).sum(axis=1))
    return FlowSeries(
        bus_ids=network.bus_ids, branch_ids=network.branch_ids, kinds=network.kinds, converged=method != NONE,
        unserved_mw=dark, faults=tuple(faults), method=method, **_outputs(network, solver, voltage, wanted),
    )  # fmt: skip


def _outputs(network: CompiledNetwork, solver: BatchSolver, voltage: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """What follows from the voltages: at the buses, flows, losses, mismatches."""
    steps = len(voltage)
    made = {"voltage": np.empty((steps, len(network.place)), complex), "vm_pu": np.empty((steps, len(network.place)))}
    made |= {name: np.empty((steps, len(network.ends))) for name in ("loading_pct", "p_mw", "i_ka")}
    made |= {name: np.empty(steps) for name in ("losses_mw", "residual_max_mva", "supply_mw")}

    def fill(part: slice) -> None:
        some = {name: values[part] for name, values in made.items()}
        _bus_voltages(network, voltage[part], some)
        _branch_flows(network, voltage[part], some)
        _balance(network, voltage[part], wanted[part], some)

    in_parts(fill, steps, solver.chunk)
    return made


def _bus_voltages(network: CompiledNetwork, voltage: np.ndarray, into: dict[str, np.ndarray]) -> None:
    np.take(voltage, np.maximum(network.place, 0), axis=1, out=into["voltage"], mode="clip")
    into["voltage"][:, ~network.supplied] = np.nan
    np.abs(into["voltage"], out=into["vm_pu"])


def _branch_flows(network: CompiledNetwork, voltage: np.ndarray, into: dict[str, np.ndarray]) -> None:
    """Loading, power at the beginning, current of each branch [steps, branches], and the losses [steps]."""
    ends, blocks = np.maximum(network.ends, 0), network.branch_admittance  # out of service these are 0
    at = [np.take(voltage, ends[:, side], axis=1) for side in (0, 1)]
    power, amperes = [], []
    for side in (0, 1):
        current = at[0] * blocks[:, side, 0]
        current += at[1] * blocks[:, side, 1]
        amperes.append(np.abs(current) * network.current_ka[:, side])
        power.append(np.real(np.multiply(at[side], np.conj(current, out=current), out=current)) * network.base_mva)
    np.maximum(*amperes, out=into["i_ka"])
    np.multiply(into["i_ka"], 100.0 / network.rating_ka, out=into["loading_pct"])
    into["p_mw"][:] = power[0]
    into["losses_mw"][:] = power[0].sum(axis=1) + power[1].sum(axis=1)


def _balance(network: CompiledNetwork, voltage: np.ndarray, wanted: np.ndarray, into: dict[str, np.ndarray]) -> None:
    """The largest nodal mismatch and what the supply gives [steps]."""
    missed = nodal_mismatch(network, voltage, wanted)
    into["supply_mw"][:] = np.real(missed[:, network.reference]).sum(axis=1) * network.base_mva
    into["residual_max_mva"][:] = largest_mva(network, missed)
