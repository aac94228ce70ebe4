"""Unbalanced AC flow by phase over a series of loads (power-grid-model, iterative current), each step proved by its own nodal balance."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError
from grid_assets.powerflow.phase_model import SEQUENCES, PhaseNetwork, phase_network

STEPS_AT_ONCE = 128
TOLERANCE = 1e-11
MOST_ITERATIONS = 100
WINDINGS = {"YN": 1, "yn": 1, "D": 2}
"""power-grid-model's numbers of winding types."""
PHASES = ("a", "b", "c")


@dataclass(frozen=True)
class UnbalancedSeries:
    """The solved steps. Steps without a solution hold NaN throughout, so do buses without a supply; phases are a, b, c."""

    bus_ids: np.ndarray
    branch_ids: np.ndarray
    kinds: np.ndarray
    vm_pu: np.ndarray
    """[steps, buses, 3], phase to neutral."""
    va_degree: np.ndarray
    unbalance_pct: np.ndarray
    """[steps, buses]: negative over positive sequence voltage (IEC 61000-4-30, 5.7; the u2 of EN 50160, which allows 2 %)."""
    zero_sequence_pct: np.ndarray
    """[steps, buses]: zero over positive sequence voltage."""
    i_ka: np.ndarray
    """[steps, branches, 3]: the larger of both ends of a line; of a transformer at its upper side."""
    neutral_ka: np.ndarray
    """[steps, branches]: the sum of the phase currents, which neutral and earth carry back; of a transformer at its lower side."""
    loading_pct: np.ndarray
    """[steps, branches]: by the phase that carries most."""
    losses_mw: np.ndarray
    supply_mw: np.ndarray
    """[steps, 3]"""
    unserved_mw: np.ndarray
    converged: np.ndarray
    residual_max_mva: np.ndarray
    """[steps]: largest |V conj(Y V) - S| of any phase but at the supplies, with admittances that power-grid-model had no part in."""
    faults: tuple[str, ...]


@dataclass(frozen=True)
class UnbalancedProof:
    """A few steps solved again by pandapower's runpp_3ph."""

    steps: tuple[int, ...]
    largest_difference_pu: float
    """Of any phase's voltage; about 1e-3 on the European low-voltage test feeder, where OpenDSS agrees with this engine within 2e-4."""
    unsolved: tuple[int, ...]
    """Steps that runpp_3ph did not solve; it calls NaN converged (pandapower issue 3068)."""


def solve_unbalanced(admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> UnbalancedSeries:
    """Solves every step of a network that passed ``admit_by_phase``; its own loads and generators are replaced by what is given.

    ``load_mw`` and ``load_mvar``: [steps, buses, 3] in the order of ``net.bus``, phase to neutral, consumption positive.
    A step without a solution is flagged and said. Raises FlowError for arrays of another shape or with values that are not finite.
    """
    network = phase_network(admitted)
    load = _load(network, load_mw, load_mvar)
    parts = [_solved_part(network, load[first : first + STEPS_AT_ONCE]) for first in range(0, len(load), STEPS_AT_ONCE)]
    voltage, branch, supply = (np.concatenate([part[n] for part in parts]) for n in range(3))
    return _series(network, load, voltage, branch, supply)


def proved_by_sample(
    admitted: AdmittedNetwork, series: UnbalancedSeries, load_mw: np.ndarray, load_mvar: np.ndarray, seed: int, count: int = 2
) -> UnbalancedProof:
    """Solves ``count`` of the solved steps again by runpp_3ph; which ones is drawn by ``seed``."""
    steps = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(series.converged))[:count])
    largest, unsolved = 0.0, []
    for step in steps:
        found = reference_voltages(admitted, np.asarray(load_mw, float)[step], np.asarray(load_mvar, float)[step])
        known = np.isfinite(series.vm_pu[step])
        if found is None or not np.isfinite(found[known]).all():
            unsolved.append(int(step))
        else:
            largest = max(largest, float(np.abs(found - series.vm_pu[step])[known].max(initial=0.0)))
    return UnbalancedProof(tuple(int(step) for step in steps), largest, tuple(unsolved))


def reference_voltages(admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> np.ndarray | None:
    """Voltages [buses, 3] per unit by pandapower's runpp_3ph for loads [buses, 3]; None without a solution."""
    from pandapower import create_asymmetric_load, runpp_3ph

    net = copy.deepcopy(admitted.net)
    for table in ("load", "sgen", "storage", "asymmetric_load", "asymmetric_sgen"):
        net[table].drop(net[table].index, inplace=True)
    net.trafo["vector_group"] = net.trafo["vector_group"].str.rstrip("0123456789")
    for row, bus in enumerate(net.bus.index):
        if load_mw[row].any() or load_mvar[row].any():
            given = {f"p_{phase}_mw": load_mw[row, n] for n, phase in enumerate(PHASES)}
            given |= {f"q_{phase}_mvar": load_mvar[row, n] for n, phase in enumerate(PHASES)}
            create_asymmetric_load(net, bus, type="wye", **given)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpp_3ph(net, numba=False)
    except Exception:  # it raises KeyError, UserWarning and numpy's errors beside its own
        return None
    return net.res_bus_3ph[[f"vm_{phase}_pu" for phase in PHASES]].to_numpy(float)


def _load(network: PhaseNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> np.ndarray:
    """[steps, buses, 3], VA."""
    found = [np.asarray(load_mw, float), np.asarray(load_mvar, float)]
    for name, values in zip(("load_mw", "load_mvar"), found, strict=True):
        if values.ndim != 3 or values.shape[1:] != (len(network.bus_ids), 3):
            raise FlowError(f"{name} has shape {values.shape}; expected steps x {len(network.bus_ids)} buses x 3 phases")
        if not np.isfinite(values).all():
            step, bus, phase = np.argwhere(~np.isfinite(values))[0]
            raise FlowError(
                f"{name}, step {step}, bus {network.bus_ids[bus]!r}, phase {PHASES[phase]}: {values[step, bus, phase]} is not a finite number"
            )
    if found[0].shape != found[1].shape:
        raise FlowError(f"load_mw has shape {found[0].shape}, load_mvar {found[1].shape}; expected the same")
    if not len(found[0]):
        raise FlowError("load_mw has no steps; expected at least one")
    return (found[0] + 1j * found[1]) * 1e6


def _model(network: PhaseNetwork, loaded: np.ndarray) -> tuple[Any, np.ndarray]:
    """The model in memory with a load of nothing at each node in ``loaded``, and the ids of these loads."""
    from power_grid_model import PowerGridModel, initialize_array

    nodes, branches = len(network.volt), len(network.ends)
    node = initialize_array("input", "node", nodes)
    node["id"], node["u_rated"] = np.arange(nodes), network.volt
    line = initialize_array("input", "line", len(network.lines))
    trafo = initialize_array("input", "transformer", len(network.transformers))
    for made, rows in ((line, slice(0, len(line))), (trafo, slice(len(line), branches))):
        made["id"] = nodes + np.arange(branches)[rows]
        made["from_node"], made["to_node"] = network.ends[rows].T
        made["from_status"], made["to_status"] = network.closed[rows].T
    for name in ("r1", "x1", "c1", "r0", "x0", "c0"):
        line[name] = network.lines[name]
    line["tan1"] = line["tan0"] = network.lines["tan"]
    line["i_n"] = network.rating_a[: len(line)]
    given = network.transformers
    for name in ("u1", "u2", "sn", "uk", "i0", "p0", "clock"):
        trafo[name] = given[name]
    trafo["pk"] = given["rk"] * given["sn"]
    trafo["winding_from"], trafo["winding_to"] = given["upper"].map(WINDINGS), given["lower"].map(WINDINGS)
    trafo["tap_side"] = trafo["tap_pos"] = trafo["tap_min"] = trafo["tap_max"] = trafo["tap_nom"] = 0
    trafo["tap_size"] = 0.0
    source = initialize_array("input", "source", len(network.supplies))
    first = nodes + branches
    source["id"], source["node"], source["status"] = first + np.arange(len(source)), network.supplies["node"], 1
    for ours, theirs in (("vm_pu", "u_ref"), ("angle", "u_ref_angle"), ("sk", "sk"), ("rx", "rx_ratio"), ("z01", "z01_ratio")):
        source[theirs] = network.supplies[ours]
    load = initialize_array("input", "asym_load", len(loaded))
    load["id"], load["node"], load["status"], load["type"] = first + len(source) + np.arange(len(loaded)), loaded, 1, 0
    load["p_specified"] = load["q_specified"] = 0.0
    try:
        return PowerGridModel({"node": node, "line": line, "transformer": trafo, "source": source, "asym_load": load}, network.hertz), load[
            "id"
        ]
    except RuntimeError as error:  # of which its own errors are kinds
        raise NetworkError(f"power-grid-model does not take this network: {error}") from error


def _solved_part(network: PhaseNetwork, load: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Node voltages [steps, nodes, 3] (V), branch currents [steps, branches, 2, 3] (A) and supply powers [steps, 3] (VA), complex; NaN without a solution."""
    from power_grid_model import CalculationMethod, initialize_array

    steps, nodes = len(load), len(network.volt)
    drawn = np.zeros((nodes, 3, steps), complex)
    np.add.at(drawn, network.node, load.transpose(1, 2, 0))
    loaded = np.flatnonzero(drawn.any(axis=(1, 2)))
    model, ids = _model(network, loaded)
    update = initialize_array("update", "asym_load", (steps, len(loaded)))
    update["id"] = ids
    power = drawn[loaded].transpose(2, 0, 1)
    update["p_specified"], update["q_specified"] = power.real, power.imag
    wanted = {"node": ["energized", "u", "u_angle"], "source": ["p", "q"]}
    wanted |= {name: ["p_from", "q_from", "p_to", "q_to"] for name in ("line", "transformer")}
    found = model.calculate_power_flow(
        symmetric=False, error_tolerance=TOLERANCE, max_iterations=MOST_ITERATIONS, calculation_method=CalculationMethod.iterative_current,
        update_data={"asym_load": update}, threading=-1, output_component_types=wanted, continue_on_batch_error=True,
    )  # fmt: skip
    good = np.ones(steps, bool)
    if model.batch_error is not None:
        good[np.asarray(model.batch_error.failed_scenarios, int)] = False
    node = found["node"]
    live = node["energized"].astype(bool) & good[:, None]
    voltage = np.where(live[:, :, None], node["u"] * np.exp(1j * node["u_angle"]), np.nan)
    through = np.concatenate(
        [np.stack([_power(found[name], end) for end in ("from", "to")], axis=2) for name in ("line", "transformer") if name in found],
        axis=1,
    )
    at = np.where(live[:, :, None], voltage, np.inf)[:, network.ends]
    current = np.where(good[:, None, None, None], np.conj(np.where(live[:, network.ends][..., None], through, 0) / at), np.nan)
    supply = (found["source"]["p"] + 1j * found["source"]["q"]).sum(axis=1)
    return voltage, current, np.where(good[:, None], supply, np.nan)


def _power(found: np.ndarray, end: str) -> np.ndarray:
    return found[f"p_{end}"] + 1j * found[f"q_{end}"]


def _series(network: PhaseNetwork, load: np.ndarray, voltage: np.ndarray, current: np.ndarray, supply: np.ndarray) -> UnbalancedSeries:
    converged = np.isfinite(supply).all(axis=1)
    at_bus = voltage[:, network.node]
    sequence = np.abs(at_bus @ np.linalg.inv(SEQUENCES).T)
    size = np.abs(current)
    line = (network.kinds == "line")[:, None]
    carried = np.where(line, size.max(axis=2), size[:, :, 0])
    back = np.abs(current.sum(axis=3))
    dark = ~np.isfinite(at_bus).all(axis=2)
    served = np.where(dark[:, :, None], 0, load)
    faults = [f"step {step} has no solution with {load[step].real.sum() / 1e6:.4f} MW of load; look for loads in the wrong unit or on one phase only"
              for step in np.flatnonzero(~converged)]  # fmt: skip
    return UnbalancedSeries(
        bus_ids=network.bus_ids, branch_ids=network.branch_ids, kinds=network.kinds,
        vm_pu=np.abs(at_bus) * math.sqrt(3) / network.volt[network.node][:, None], va_degree=np.degrees(np.angle(at_bus)),
        unbalance_pct=100 * sequence[:, :, 2] / sequence[:, :, 1], zero_sequence_pct=100 * sequence[:, :, 0] / sequence[:, :, 1],
        i_ka=carried / 1e3, neutral_ka=np.where(line[:, 0], back.max(axis=2), back[:, :, 1]) / 1e3,
        loading_pct=100 * carried.max(axis=2) / network.rating_a,
        losses_mw=(supply.real.sum(axis=1) - served.real.sum(axis=(1, 2))) / 1e6, supply_mw=supply.real / 1e6,
        unserved_mw=np.where(converged, (load - served).real.sum(axis=(1, 2)) / 1e6, np.nan), converged=converged,
        residual_max_mva=_residual(network, load, voltage), faults=tuple(faults),
    )  # fmt: skip


def _residual(network: PhaseNetwork, load: np.ndarray, voltage: np.ndarray) -> np.ndarray:
    """[steps], MVA; NaN without a solution."""
    steps, nodes = len(voltage), len(network.volt)
    wanted = np.zeros((nodes, 3, steps), complex)
    np.add.at(wanted, network.node, load.transpose(1, 2, 0))
    live = np.isfinite(voltage).all(axis=2)
    volts = np.where(live[:, :, None], voltage, 0).reshape(steps, -1)
    drawn = (volts * np.conj((network.admittance() @ volts.T).T)).reshape(steps, nodes, 3)
    missed = np.abs(drawn + wanted.transpose(2, 0, 1)).max(axis=2)
    missed[:, network.supplies["node"].to_numpy(int)] = 0
    return np.where(live.any(axis=1), np.where(live, missed, 0).max(axis=1), np.nan) / 1e6
