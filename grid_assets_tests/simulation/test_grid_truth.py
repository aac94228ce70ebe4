"""What the demo's grid sensors see: the power flow of what the meters count, by hand on a small row."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets.simulation.device_feed import Device
from grid_assets.simulation.grid_truth import SUPPLY, GridTruth
from grid_assets.simulation.simbench_network import SimulatedGrid, SimulationError
from grid_assets_tests.powerflow.made import feeder

DAY, NOTHING = date(2016, 5, 20), pd.DataFrame()
METERS = pd.DataFrame({"meter_id": ["l1", "l2", "g2"], "kind": ["load", "load", "generation"], "bus_id": ["bus 1", "bus 2", "bus 2"],
                       "power_factor": [1.0, 1.0, np.nan]})  # fmt: skip
ENERGY = np.array([[50.0, 100.0, 20.0], [10.0, 40.0, 90.0]])
"""kWh of two quarter-hours: 200, 400 and 80 kW, then 40, 160 and 360."""


def device(name: str, quantity: str, **place) -> Device:
    return Device(name, "grid_sensor", "f", "", 60, (quantity,), **place)


def truth(net) -> GridTruth:
    return GridTruth(SimulatedGrid(net, METERS, NOTHING, NOTHING, NOTHING, np.empty((0, 3)), NOTHING), seed=1)


def test_sensors_see_the_flow_of_what_the_meters_count():
    net = feeder(2)
    devices = [
        device("v", "voltage", bus_id="bus 2"), device("n", "voltage", bus_id="bus 2", to_neutral=True),
        device("i", "current", branch_id="line 1"), device("p", "active_power", branch_id="line 2"), device("q", "reactive_power", branch_id="line 2"),
        device("f", "frequency", bus_id="bus 1"), device("nowhere", "voltage"),
    ]  # fmt: skip
    seen = truth(net).seen(DAY, ENERGY, 0.25, devices)
    reference = ReferenceSolver(admit(net, "row"))
    for n, load in enumerate(([0.0, 0.2, 0.4 - 0.08], [0.0, 0.04, 0.16 - 0.36])):
        found = reference.solve(np.array(load), np.zeros(3))
        assert seen[SUPPLY][n] == pytest.approx(1000 * found.res_ext_grid["p_mw"].sum(), abs=1e-4)
        assert seen["v", "voltage"][n] == pytest.approx(10_000 * found.res_bus["vm_pu"][2], abs=1e-4)
        assert seen["n", "voltage"][n] == pytest.approx(10_000 * found.res_bus["vm_pu"][2] / np.sqrt(3), abs=1e-4)
        assert seen["i", "current"][n] == pytest.approx(1000 * found.res_line["i_from_ka"][0], abs=1e-4)
        assert seen["p", "active_power"][n] == pytest.approx(1000 * found.res_line["p_from_mw"][1], abs=1e-4)
        assert seen["q", "reactive_power"][n] == pytest.approx(1000 * found.res_line["q_from_mvar"][1], abs=1e-4)
    assert len(seen) == 6  # frequency, and what stands nowhere, are not the network's


def test_at_a_bus_without_a_supply_and_on_an_open_line_nothing_is_measured():
    net = feeder(2)
    net.line.loc[1, "in_service"] = False
    devices = [device("v", "voltage", bus_id="bus 2"), device("p", "active_power", branch_id="line 2")]
    seen = truth(net).seen(DAY, ENERGY, 0.25, devices)
    assert seen["v", "voltage"].tolist() == [0.0, 0.0]
    assert seen["p", "active_power"].tolist() == [0.0, 0.0]


def test_what_cannot_be_shown_is_an_error():
    with pytest.raises(SimulationError, match="device v: 'moon' is not in the network"):
        truth(feeder(2)).seen(DAY, ENERGY, 0.25, [device("v", "voltage", bus_id="moon")])
    with pytest.raises(SimulationError, match="2016-05-20: the demo's power flow has no solution in 1 intervals"):
        truth(feeder(2)).seen(DAY, ENERGY * [[1.0], [1e4]], 0.25, [])
