"""What really flows in the demo's network: the AC power flow of the energy that its meters count, and what grid sensors see of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.gate import admit
from grid_assets.simulation import fault_rates as rates
from grid_assets.simulation.device_feed import Device
from grid_assets.simulation.simbench_network import SimulatedGrid, SimulationError

POWER_FACTOR_SPREAD = 0.1
"""How far a meter's reactive power of a day lies off what its power factor in the register says."""
SUPPLY = ("supply", "active_power")
SeenValues = dict[tuple[str, str], np.ndarray]
"""(device_id, quantity) -> value per interval in V, A, kW or kvar; SUPPLY -> kW."""


class GridTruth:
    """The network of a simulated grid, compiled once."""

    def __init__(self, grid: SimulatedGrid, seed: int):
        self._admitted = admit(grid.net, "SimBench")
        self._network, self._seed = compiled(self._admitted), seed
        self._solver = BatchSolver(self._network)
        names = {name: at for at, name in enumerate(self._network.bus_ids)}
        meters = grid.meters
        self._seats = meters["bus_id"].map(names).to_numpy(int)
        load = (meters["kind"] == "load").to_numpy()
        self._sign = np.where(load, 1.0, -1.0)
        self._slope = np.where(load, np.tan(np.arccos(meters["power_factor"].fillna(1.0).to_numpy(float))), 0.0)

    def seen(self, day: date, energy_kwh: np.ndarray, hours: float, devices: Sequence[Device]) -> SeenValues:
        """What flows while the meters count ``energy_kwh`` [intervals, meters]: the supply, and what grid sensors with a place measure.

        Raises SimulationError where an interval has no solution or a device no place.
        """
        rng = np.random.default_rng([self._seed, day.toordinal(), rates.STREAM_DEVICES, 1])
        slope = self._slope * rng.normal(1.0, POWER_FACTOR_SPREAD, len(self._slope))
        power = energy_kwh / hours / 1000
        loads = [np.zeros((len(power), len(self._network.bus_ids))) for _ in range(2)]
        for target, values in zip(loads, (power * self._sign, power * slope), strict=True):
            np.add.at(target.T, self._seats, values.T)
        voltage = self._solver.solve(self._network.injections(*loads)).voltage
        if not np.isfinite(voltage).all():
            raise SimulationError(f"{day}: the demo's power flow has no solution in {int(np.isnan(voltage).any(axis=1).sum())} intervals")
        found = {SUPPLY: self._supply_kw(voltage)}
        for one in devices:
            for quantity in one.quantities:
                if (one.bus_id or one.branch_id) and quantity != "frequency":
                    found[one.device_id, quantity] = self._shown(one, quantity, voltage)
        return found

    def _supply_kw(self, voltage: np.ndarray) -> np.ndarray:
        network, at = self._network, self._network.reference
        current = (network.admittance[at] @ voltage.T).T
        return 1000 * network.base_mva * np.real(voltage[:, at] * np.conj(current)).sum(axis=1)

    def _shown(self, device: Device, quantity: str, voltage: np.ndarray) -> np.ndarray:
        network, net = self._network, self._admitted.net
        if quantity == "voltage":
            at = self._position(network.bus_ids, device.bus_id, device)
            volts = 1000 * float(net.bus["vn_kv"].iloc[at]) / (np.sqrt(3) if device.to_neutral else 1)
            return volts * np.abs(voltage[:, network.place[at]]) * network.supplied[at]
        at = self._position(network.branch_ids, device.branch_id, device)
        current = (network.from_admittance[[at]] @ voltage.T)[0]
        if quantity == "current":
            return 1000 * network.current_ka[at, 0] * np.abs(current)
        power = 1000 * network.base_mva * voltage[:, network.ends[at, 0]] * np.conj(current)
        return power.real if quantity == "active_power" else power.imag

    @staticmethod
    def _position(names: np.ndarray, name: str, device: Device) -> int:
        found = np.flatnonzero(names == name)
        if not len(found):
            raise SimulationError(f"device {device.device_id}: {name!r} is not in the network")
        return int(found[0])
