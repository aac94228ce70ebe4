"""State estimation and flow by phase against power-grid-model and pandapower: made measurements of known states."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.platform import Row, row
from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import CompiledNetwork, compiled
from grid_assets.powerflow.estimation import Injected, Sensors, estimate
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.measurement_model import P_FROM, Q_FROM, VM, BaseModel, sensor_model
from grid_assets.powerflow.other_estimators import grid_model_voltages, pandapower_voltage
from grid_assets.powerflow.phase_model import admit_by_phase
from grid_assets.powerflow.unbalanced import proved_by_sample, reference_voltages, solve_unbalanced

Made = TypeVar("Made")
SEED, SIGMA_PU, SIGMA_SHARE = 5, 0.002, 0.02


def estimation_rows(name: str, admitted: AdmittedNetwork, load: tuple[np.ndarray, np.ndarray], peer_steps: int) -> list[Row]:
    """Voltages at a tenth of the buses, powers of a twentieth of the branches, and every load known to 5 %, each with normal noise."""
    network = compiled(admitted)
    true = BatchSolver(network).solve(network.injections(*load)).voltage
    injected, sensors = _measured(network, load, true)
    ours, found = _timed(lambda: estimate(network, injected, sensors, deviations=False).voltage)
    grid, by_grid = _timed(lambda: grid_model_voltages(network, injected, sensors, list(range(len(true)))))
    panda, by_panda = _timed(lambda: [pandapower_voltage(admitted, network, injected, sensors, step) for step in range(peer_steps)])
    steps = len(true)
    errors = [_error(network, one, true) for one in (found, by_grid, by_panda)]
    ms = [1000 * ours / steps, 1000 * grid / steps, 1000 * panda / peer_steps]
    said = f"{ms[0]:.3g} ms a step, pandapower {ms[2]:.3g}, power-grid-model {ms[1]:.3g}"
    return [
        row(f"{name}: state estimation against pandapower", ms[2] / ms[0], "x faster", said),
        row(f"{name}: rms error of voltages", errors[0], "p.u.", f"pandapower {errors[2]:.3g} ({peer_steps} steps), power-grid-model {errors[1]:.3g}"),
    ]  # fmt: skip


def phase_rows() -> list[Row]:
    """The European low-voltage test feeder by phase, against runpp_3ph."""
    from pandapower.networks import ieee_european_lv_asymmetric

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = ieee_european_lv_asymmetric("on_peak_566")
        net.ext_grid["s_sc_max_mva"] = 57.16  # three-phase short-circuit current of 3,000 A at 11 kV, as the feeder is defined
        loads = net.asymmetric_load.copy()
        admitted = admit_by_phase(net, "European low-voltage test feeder")
    buses = {bus: n for n, bus in enumerate(admitted.net.bus.index)}
    once = np.zeros((2, len(buses), 3))
    for one in loads.to_dict("records"):
        for n, phase in enumerate("abc"):
            once[:, buses[one["bus"]], n] += one[f"p_{phase}_mw"], one[f"q_{phase}_mvar"]
    factors = np.random.default_rng(SEED).uniform(0.3, 1.2, 96)[:, None, None]
    load_mw, load_mvar = factors * once[0], factors * once[1]
    solve_unbalanced(admitted, load_mw[:2], load_mvar[:2])
    ours, series = _timed(lambda: solve_unbalanced(admitted, load_mw, load_mvar))
    reference_voltages(admitted, load_mw[0], load_mvar[0])
    theirs, _ = _timed(lambda: [reference_voltages(admitted, load_mw[n], load_mvar[n]) for n in range(3)])
    apart = proved_by_sample(admitted, series, load_mw, load_mvar, 0)
    ratio, said = (theirs / 3) / (ours / 96), f"{1000 * ours / 96:.3g} ms a step with all results, runpp_3ph {1000 * theirs / 3:.3g}"
    return [
        row(f"{len(buses):,} buses by phase, 96 intervals", ratio, "x faster", said),
        row(f"{len(buses):,} buses by phase: largest difference of a voltage", apart.largest_difference_pu, "p.u.", "to runpp_3ph, which OpenDSS does not bear out; a test holds ours to OpenDSS"),
    ]  # fmt: skip


def _measured(network: CompiledNetwork, load: tuple[np.ndarray, np.ndarray], true: np.ndarray) -> tuple[Injected, Sensors]:
    random = np.random.default_rng(SEED)
    names = network.bus_ids[network.supplied]
    watched = random.choice(names, max(4, len(names) // 10), replace=False)
    branches = random.choice(network.branch_ids[network.ends[:, 0] >= 0], max(4, len(network.ends) // 20), replace=False)
    kind = np.array([VM] * len(watched) + [P_FROM] * len(branches) + [Q_FROM] * len(branches), object)
    element = np.array([*watched, *branches, *branches], object)
    model = sensor_model(BaseModel(network), kind, element)
    shown = np.array([model.values(one) for one in true])
    sigma = np.where(kind == VM, SIGMA_PU, np.maximum(SIGMA_SHARE * np.abs(shown).mean(axis=0), 1e-3)) * np.ones(shown.shape)
    spread = 0.05 * np.abs(load[0]), 0.1 * np.abs(load[1])
    drawn = [values + deviation * random.normal(size=values.shape) for values, deviation in zip(load, spread, strict=True)]
    return Injected(*drawn, *spread), Sensors(kind, element, shown + sigma * random.normal(size=shown.shape), sigma)


def _error(network: CompiledNetwork, found: np.ndarray | list[np.ndarray | None], true: np.ndarray) -> float:
    """Root of the mean square of the magnitudes' errors at the buses that have names, over the steps that have an estimate."""
    at = network.place[network.supplied]
    apart = [np.abs(one)[at] - np.abs(true[n])[at] for n, one in enumerate(found) if one is not None and np.isfinite(one).all()]
    return float(np.sqrt(np.mean(np.square(apart)))) if apart else float("nan")


def _timed(work: Callable[[], Made]) -> tuple[float, Made]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made
