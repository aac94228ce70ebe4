"""Small networks made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from grid_assets.powerflow.gate import AdmittedNetwork, admit


def two_buses(r_ohm: float = 1.0, x_ohm: float = 0.0) -> AdmittedNetwork:
    """A 10 kV supply, one line without capacitance, one load bus."""
    return admit(feeder(1, r_ohm, x_ohm), "two buses")


def feeder(lines: int, r_ohm: float = 0.4, x_ohm: float = 0.3) -> Any:
    """A pandapower net: a 10 kV supply and a row of buses, a load of 0.2 MW on each."""
    import pandapower as pp

    net = pp.create_empty_network()
    last = pp.create_bus(net, 10.0, name="source")
    pp.create_ext_grid(net, last, vm_pu=1.0)
    for n in range(lines):
        bus = pp.create_bus(net, 10.0, name=f"bus {n + 1}")
        pp.create_line_from_parameters(net, last, bus, 1.0, r_ohm, x_ohm, 0.0, 0.2, name=f"line {n + 1}")
        pp.create_load(net, bus, 0.2, 0.05)
        last = bus
    return net


def nominal(admitted: AdmittedNetwork, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The network's own loads less its own generation, per bus, times one factor per step."""
    net = admitted.net
    found = []
    for name in ("p_mw", "q_mvar"):
        values = np.zeros(len(net.bus))
        places = {bus: place for place, bus in enumerate(net.bus.index)}
        for table, sign in (("load", 1), ("sgen", -1), ("storage", 1)):
            for one in net[table][net[table]["in_service"].astype(bool)].itertuples():
                values[places[one.bus]] += sign * getattr(one, name) * one.scaling
        found.append(np.outer(factors, values))
    return found[0], found[1]
