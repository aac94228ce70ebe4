"""The state estimators of power-grid-model and pandapower on the same measurements: fallbacks, and what our own is compared with.

Neither finds every measurement: power-grid-model takes no magnitudes of currents without their angle, pandapower none of impedances.
They are left out there.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from grid_assets.powerflow.compiled import BRANCH_TABLES, CompiledNetwork, emptied
from grid_assets.powerflow.estimation import SUPPLY_SIGMA_PU, Injected, OtherEstimator, Sensors, base_measurements
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.measurement_model import P_FROM, P_SUPPLY, P_TO, Q_FROM, Q_SUPPLY, Q_TO, VM, BaseModel

SMALLEST_SIGMA_MVA = 1e-4
"""What stands for exact where a solver wants a deviation; with 1e-6 power-grid-model finds its matrix singular."""
UNKNOWN_MVA = 100.0
"""The deviation of what was not measured; with far more it is singular again."""
VOLTS = 1000.0


def other_estimators(admitted: AdmittedNetwork, network: CompiledNetwork) -> dict[str, OtherEstimator]:
    """By name, in the order in which they are asked. Libraries are imported when they are."""
    return {
        "power-grid-model (iterative linear)": lambda injected, sensors, step: grid_model_voltages(network, injected, sensors, [step])[0],
        "pandapower (weighted least squares)": lambda injected, sensors, step: pandapower_voltage(admitted, network, injected, sensors, step),
    }  # fmt: skip


def grid_model_voltages(
    network: CompiledNetwork, injected: Injected, sensors: Sensors, steps: list[int], supply_sigma_pu: float = SUPPLY_SIGMA_PU
) -> list[np.ndarray | None]:
    """power-grid-model's iterative-linear estimate of each step, voltages [solved] or None, in one batch.

    Branches become its generic branches by their admittances; angles are turned to those of the first supply.
    """
    import power_grid_model as pgm

    data, node_of = _grid_model_input(network)
    update, measured = _grid_model_sensors(network, injected, sensors, steps, supply_sigma_pu, node_of)
    data |= measured
    try:
        model = pgm.PowerGridModel(data)
        result = model.calculate_state_estimation(
            update_data=update, symmetric=True, error_tolerance=1e-8, max_iterations=100, continue_on_batch_error=True,
            calculation_method=pgm.CalculationMethod.iterative_linear, output_component_types={"node"},
        )  # fmt: skip
    except pgm.errors.PowerGridError:
        return [None] * len(steps)
    errors = model.batch_error
    failed = set() if errors is None else set(np.asarray(errors.failed_scenarios).tolist())
    nodes = result["node"]
    order = np.argsort(nodes["id"][0])
    found = (nodes["u_pu"] * np.exp(1j * nodes["u_angle"]))[:, order][:, : len(network.start)]
    first = network.reference[0]
    turn = np.exp(1j * (np.angle(network.start[first]) - np.angle(found[:, first])))
    return [None if n in failed else found[n] * turn[n] for n in range(len(steps))]


def _grid_model_input(network: CompiledNetwork) -> tuple[dict[str, Any], np.ndarray]:
    import power_grid_model as pgm

    kind = pgm.DatasetType.input
    buses = len(network.start)
    node = pgm.initialize_array(kind, "node", buses)
    node["id"], node["u_rated"] = np.arange(buses), VOLTS
    alive = np.flatnonzero(network.ends[:, 0] >= 0)
    blocks, z_base = network.branch_admittance[alive], VOLTS**2 / (network.base_mva * 1e6)
    ratio = np.sqrt(np.abs(blocks[:, 1, 1] / blocks[:, 0, 0]))
    shift = np.angle(blocks[:, 0, 1] / blocks[:, 1, 0]) / 2
    shift = np.where(np.real(-blocks[:, 1, 0] * ratio * np.exp(1j * shift)) < 0, shift + np.pi, shift)
    series = -blocks[:, 1, 0] * ratio * np.exp(1j * shift)
    shunt = 2 * (blocks[:, 1, 1] - series)
    branch = pgm.initialize_array(kind, "generic_branch", len(alive))
    branch["id"], branch["from_node"], branch["to_node"] = buses + alive, network.ends[alive, 0], network.ends[alive, 1]
    branch["from_status"] = branch["to_status"] = 1
    branch["r1"], branch["x1"] = np.real(1 / series) * z_base, np.imag(1 / series) * z_base
    branch["g1"], branch["b1"] = shunt.real / z_base, shunt.imag / z_base
    branch["k"], branch["theta"] = ratio, shift
    own = np.asarray(network.admittance.diagonal()).copy()
    np.subtract.at(own, network.ends[alive, 0], blocks[:, 0, 0])
    np.subtract.at(own, network.ends[alive, 1], blocks[:, 1, 1])
    at = np.flatnonzero(np.abs(own) > 1e-9)
    after = buses + len(network.ends)
    made = pgm.initialize_array(kind, "shunt", len(at))
    made["id"], made["node"], made["status"] = after + np.arange(len(at)), at, 1
    made["g1"], made["b1"] = own[at].real / z_base, own[at].imag / z_base
    source = pgm.initialize_array(kind, "source", len(network.reference))
    source["id"], source["node"], source["status"] = after + len(at) + np.arange(len(source)), network.reference, 1
    source["u_ref"], source["sk"] = np.abs(network.start[network.reference]), 1e20
    source["u_ref_angle"] = np.angle(network.start[network.reference])
    load = pgm.initialize_array(kind, "sym_load", len(network.free))
    load["id"] = after + len(at) + len(source) + np.arange(len(load))
    load["node"], load["status"], load["type"] = network.free, 1, pgm.LoadGenType.const_power
    load["p_specified"] = load["q_specified"] = 0.0
    data = {"node": node, "generic_branch": branch, "source": source, "sym_load": load}
    return data | ({"shunt": made} if len(at) else {}), load["id"] if len(load) else np.array([after])


def _grid_model_sensors(
    network: CompiledNetwork, injected: Injected, sensors: Sensors, steps: list[int], supply_sigma_pu: float, loads: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    import power_grid_model as pgm

    base = BaseModel(network)
    value, variance = base_measurements(base, injected, supply_sigma_pu)
    count, watts, next_id = len(base.free), network.base_mva * 1e6, int(loads.max()) + 1 if len(loads) else 10**6
    sigma = np.clip(np.sqrt(variance[steps]) * network.base_mva, SMALLEST_SIGMA_MVA, UNKNOWN_MVA) * 1e6
    power = [(base.free, pgm.MeasuredTerminalType.node, value[steps, :count] * watts, value[steps, count : 2 * count] * watts,
              sigma[:, :count], sigma[:, count : 2 * count])]  # fmt: skip
    names = {name: at for at, name in enumerate(network.branch_ids)}
    bus_names = {name: at for at, name in enumerate(network.bus_ids)}
    seen = {(kind, element): at for at, (kind, element) in enumerate(zip(sensors.kind, sensors.element, strict=True))}
    terminals = ((P_FROM, Q_FROM, pgm.MeasuredTerminalType.branch_from), (P_TO, Q_TO, pgm.MeasuredTerminalType.branch_to),
                 (P_SUPPLY, Q_SUPPLY, pgm.MeasuredTerminalType.node))  # fmt: skip
    for active, reactive, terminal in terminals:
        for element in dict.fromkeys(e for k, e in seen if k in (active, reactive)):
            at = (
                len(network.start) + names[element]
                if element in names and terminal != pgm.MeasuredTerminalType.node
                else network.place[bus_names[element]]
            )
            columns = [_of(sensors, seen.get((one, element)), steps) for one in (active, reactive)]
            power.append((np.array([at]), terminal, columns[0][0] * 1e6, columns[1][0] * 1e6, columns[0][1] * 1e6, columns[1][1] * 1e6))
    placed = np.concatenate([one[0] for one in power])
    first, update = _arrays("sym_power_sensor", len(placed), len(steps), next_id)
    first["measured_object"] = placed
    first["measured_terminal_type"] = np.concatenate([np.full(len(one[0]), int(one[1])) for one in power])
    for column, name in enumerate(("p_measured", "q_measured", "p_sigma", "q_sigma"), 2):
        update[name] = np.hstack([one[column] for one in power])
        first[name] = update[name][0]
    volts = [(network.reference, value[steps, 2 * count :], np.full((len(steps), len(network.reference)), supply_sigma_pu))]
    for (kind, element), at in seen.items():
        if kind == VM:
            shown, spread = _of(sensors, at, steps)
            volts.append((network.place[[bus_names[element]]], shown, spread))
    placed = np.concatenate([one[0] for one in volts])
    voltage, voltage_update = _arrays("sym_voltage_sensor", len(placed), len(steps), next_id + len(first))
    voltage["measured_object"] = placed
    for column, name in ((1, "u_measured"), (2, "u_sigma")):
        voltage_update[name] = np.hstack([one[column] for one in volts]) * VOLTS
        voltage[name] = voltage_update[name][0]
    return {"sym_power_sensor": update, "sym_voltage_sensor": voltage_update}, {"sym_power_sensor": first, "sym_voltage_sensor": voltage}


def _arrays(component: str, count: int, steps: int, first_id: int) -> tuple[Any, Any]:
    import power_grid_model as pgm

    given = pgm.initialize_array(pgm.DatasetType.input, component, count)
    update = pgm.initialize_array(pgm.DatasetType.update, component, (steps, count))
    given["id"] = first_id + np.arange(count)
    update["id"] = given["id"]
    return given, update


def _of(sensors: Sensors, at: int | None, steps: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and deviations [steps, 1] of a sensor; of one that is absent, or measured nothing, 0 with a deviation that tells nothing."""
    if at is None:
        return np.zeros((len(steps), 1)), np.full((len(steps), 1), UNKNOWN_MVA)
    shown = sensors.value[steps][:, [at]]
    return np.nan_to_num(shown, nan=0.0), np.where(np.isnan(shown), UNKNOWN_MVA, sensors.sigma[steps][:, [at]])


def pandapower_voltage(
    admitted: AdmittedNetwork,
    network: CompiledNetwork,
    injected: Injected,
    sensors: Sensors,
    step: int,
    supply_sigma_pu: float = SUPPLY_SIGMA_PU,
) -> np.ndarray | None:
    """pandapower's weighted-least-squares estimate of one step, voltages [solved] or None."""
    from pandapower.estimation import estimate

    net = emptied(admitted.net)
    _pandapower_measurements(net, network, injected, sensors, step, supply_sigma_pu)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = estimate(net, algorithm="wls", init="flat", tolerance=1e-6, maximum_iterations=50, calculate_voltage_angles=True)
    except Exception:  # it raises whatever its matrices stumble over; there is then no estimate
        return None
    good = bool(done["success"]) if isinstance(done, dict) else bool(done)
    at_bus = net.res_bus_est["vm_pu"].to_numpy(float) * np.exp(1j * np.radians(net.res_bus_est["va_degree"].to_numpy(float)))
    voltage = np.full(len(network.start), np.nan, complex)
    voltage[network.place[network.supplied]] = at_bus[network.supplied]
    lost = np.isnan(voltage)  # the open ends of lines, which draw nothing: their current is 0
    if lost.any() and not lost.all():
        within, towards = network.admittance[lost][:, lost], network.admittance[lost][:, ~lost]
        voltage[lost] = sp.linalg.spsolve(sp.csc_matrix(within), -(towards @ voltage[~lost]))
    return voltage if good and np.isfinite(voltage).all() else None


def _pandapower_measurements(
    net: Any, network: CompiledNetwork, injected: Injected, sensors: Sensors, step: int, supply_sigma_pu: float
) -> None:
    from pandapower import create_measurement

    held = set(network.reference.tolist())
    for kind, load, sigma in (
        ("p", injected.load_mw[step], injected.sigma_mw[step]),
        ("q", injected.load_mvar[step], injected.sigma_mvar[step]),
    ):
        for at, bus in enumerate(net.bus.index):
            if network.supplied[at] and int(network.place[at]) not in held and np.isfinite(load[at]):
                create_measurement(net, kind, "bus", float(load[at]), float(max(sigma[at], SMALLEST_SIGMA_MVA)), bus)
    for row in net.ext_grid.itertuples():
        create_measurement(net, "v", "bus", row.vm_pu, supply_sigma_pu, row.bus)
    lengths = np.cumsum([0, *(len(net[table]) for table in BRANCH_TABLES)])
    names = {name: at for at, name in enumerate(network.branch_ids)}
    buses = dict(zip(network.bus_ids, net.bus.index, strict=True))
    for kind, element, value, sigma in zip(sensors.kind, sensors.element, sensors.value[step], sensors.sigma[step], strict=True):
        if np.isnan(value):
            continue
        if kind == VM:
            create_measurement(net, "v", "bus", value, sigma, buses[element])
        elif kind in (P_SUPPLY, Q_SUPPLY):
            create_measurement(net, kind[0], "bus", -value, sigma, buses[element])
        else:
            table = int(np.searchsorted(lengths, names[element], side="right")) - 1
            which = list(BRANCH_TABLES)[table]
            if which == "impedance":
                continue
            side = ("from", "to") if which == "line" else ("hv", "lv")
            index = net[which].index[names[element] - lengths[table]]
            create_measurement(net, kind[0], which, value, sigma, index, side=side[kind.endswith("_to")])
