"""What a network's instruments would show for given voltages, and how that changes with them: functions and derivatives for estimation.

The state x is [angles of the buses that no supply holds, their magnitudes, magnitudes of the supplies]; the base quantities that any
state belongs to are [active, reactive power into those buses, magnitudes of the supplies]: as many, so one follows from the other.
Derivatives in polar coordinates: Abur, Exposito, Power System State Estimation, 2004, ch. 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from grid_assets.powerflow.compiled import CompiledNetwork, FlowError

VM, P_SUPPLY, Q_SUPPLY = "vm", "p_supply", "q_supply"
P_FROM, Q_FROM, I_FROM, P_TO, Q_TO, I_TO = "p_from", "q_from", "i_from", "p_to", "q_to", "i_to"
SENSOR_KINDS = {
    VM: "p.u.", P_SUPPLY: "MW", Q_SUPPLY: "Mvar", P_FROM: "MW", Q_FROM: "Mvar", I_FROM: "kA", P_TO: "MW", Q_TO: "Mvar", I_TO: "kA",
}  # fmt: skip
"""What a sensor can measure, and in which unit. Powers of a branch are those that flow into it at that end, those of the supply what it gives."""
SMALLEST_CURRENT = 1e-6
"""Per unit. Below it the direction of a current, and with it the derivative of its magnitude, is noise."""


class BaseModel:
    """Base quantities of a state and their derivatives, on a fixed sparsity pattern."""

    def __init__(self, network: CompiledNetwork):
        self.network, self.free, self.reference = network, network.free, network.reference
        count, buses = len(self.free), len(network.start)
        self.size = 2 * count + len(self.reference)
        self.angle_at, self.magnitude_at = np.full(buses, -1), np.full(buses, -1)
        self.angle_at[self.free] = np.arange(count)
        self.magnitude_at[self.free] = count + np.arange(count)
        self.magnitude_at[self.reference] = 2 * count + np.arange(len(self.reference))
        entries = sp.coo_matrix(network.admittance + sp.identity(buses) * 1e-300)  # every bus has a diagonal entry
        self._row, self._column, self._value = entries.row, entries.col, entries.data
        self._diagonal = self._row == self._column
        inner = self.angle_at[self._row] >= 0
        by_angle, by_magnitude = inner & (self.angle_at[self._column] >= 0), inner
        self._masks = by_angle, by_magnitude
        active, reactive = self.angle_at[self._row], self.magnitude_at[self._row]
        rows = [active[by_angle], active[by_magnitude], reactive[by_angle], reactive[by_magnitude], self.magnitude_at[self.reference]]
        angle, magnitude = self.angle_at[self._column], self.magnitude_at[self._column]
        columns = [angle[by_angle], magnitude[by_magnitude], angle[by_angle], magnitude[by_magnitude], self.magnitude_at[self.reference]]
        row, column = np.concatenate(rows), np.concatenate(columns)
        self._order = np.lexsort((row, column))
        self._rows = row[self._order].astype(np.int32)
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=self.size))]).astype(np.int32)

    def voltage(self, angle: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
        return magnitude * np.exp(1j * angle)

    def moved(self, voltage: np.ndarray, change: np.ndarray) -> np.ndarray:
        """The voltages [solved] after a change of the state [size]."""
        angle, magnitude = np.angle(voltage), np.abs(voltage)
        angle[self.free] += change[self.angle_at[self.free]]
        magnitude += change[self.magnitude_at]
        return self.voltage(angle, magnitude)

    def quantities(self, voltage: np.ndarray) -> np.ndarray:
        """The base quantities [size] of voltages [solved], per unit."""
        power = (voltage * np.conj(self.network.admittance @ voltage))[self.free]
        return np.concatenate([power.real, power.imag, np.abs(voltage[self.reference])])

    def jacobian(self, voltage: np.ndarray) -> sp.csc_matrix:
        """Derivatives of the base quantities by the state [size, size]."""
        power = voltage * np.conj(self.network.admittance @ voltage)
        flows = voltage[self._row] * np.conj(self._value * voltage[self._column])
        own = np.where(self._diagonal, power[self._row], 0)
        by_angle = (1j * (own - flows))[self._masks[0]]
        by_magnitude = ((own + flows) / np.abs(voltage[self._column]))[self._masks[1]]
        data = np.concatenate([by_angle.real, by_magnitude.real, by_angle.imag, by_magnitude.imag, np.ones(len(self.reference))])
        return sp.csc_matrix((data[self._order], self._rows, self._starts), shape=(self.size, self.size))


@dataclass(frozen=True)
class SensorModel:
    """Sensors beside the base quantities: each reads a voltage, or what a row of admittances gives."""

    base: BaseModel
    bus: np.ndarray
    """[sensors]: the solved bus whose voltage is read, or multiplies the current."""
    rows: sp.csr_matrix
    """[sensors, solved]: admittances of the current that is read; empty rows for voltages."""
    part: np.ndarray
    """[sensors]: v, p, q or i."""
    scale: np.ndarray
    """[sensors]: the sensor's unit per per-unit quantity."""

    def values(self, voltage: np.ndarray) -> np.ndarray:
        """What the sensors show [sensors], in their units."""
        current = self.rows @ voltage
        power = voltage[self.bus] * np.conj(current)
        shown = np.select(
            [self.part == "v", self.part == "p", self.part == "q"], [np.abs(voltage[self.bus]), power.real, power.imag], np.abs(current)
        )
        return shown * self.scale

    def derivatives(self, voltage: np.ndarray) -> np.ndarray:
        """Of the sensors' values by the state [sensors, size]."""
        count, base = len(self.bus), self.base
        made = np.zeros((count, base.size + 1))  # the last column takes what belongs to no state
        entries = sp.coo_matrix(self.rows)
        sensor, column = entries.row, entries.col
        flows = entries.data * voltage[column]
        current = self.rows @ voltage
        size = np.maximum(np.abs(current), SMALLEST_CURRENT)
        at_bus, magnitude = voltage[self.bus], np.abs(voltage)
        is_current = self.part[sensor] == "i"
        towards = np.where(is_current, np.conj(current)[sensor] / size[sensor], 0)
        by_angle = np.where(is_current, (towards * 1j * flows).real, self._side(sensor, -1j * at_bus[sensor] * np.conj(flows)))
        along = flows / magnitude[column]
        by_magnitude = np.where(is_current, (towards * along).real, self._side(sensor, at_bus[sensor] * np.conj(along)))
        np.add.at(made, (sensor, base.angle_at[column]), by_angle)
        np.add.at(made, (sensor, base.magnitude_at[column]), by_magnitude)
        every = np.arange(count)
        power = at_bus * np.conj(current)
        is_power = np.isin(self.part, ("p", "q"))
        made[every, base.angle_at[self.bus]] += np.where(is_power, self._side(every, 1j * power), 0)
        own = np.where(self.part == "v", 1.0, np.where(is_power, self._side(every, power / np.abs(at_bus)), 0))
        made[every, base.magnitude_at[self.bus]] += own
        return made[:, :-1] * self.scale[:, None]

    def _side(self, sensor: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The part of a complex power that the sensor reads."""
        return np.where(self.part[sensor] == "q", values.imag, values.real)


def sensor_model(base: BaseModel, kinds: np.ndarray, elements: np.ndarray) -> SensorModel:
    """The model of sensors given by kind and name of bus or branch; P_SUPPLY and Q_SUPPLY name the supply's bus.

    Raises FlowError naming the first sensor whose kind or element is unknown, has no supply, or is not the supply.
    """
    network = base.network
    buses = {name: at for at, name in enumerate(network.bus_ids)}
    branches = {name: at for at, name in enumerate(network.branch_ids)}
    bus, rows, scale = np.zeros(len(kinds), int), [], np.ones(len(kinds))
    empty = sp.csr_matrix((1, len(network.start)), dtype=complex)
    for number, (kind, element) in enumerate(zip(kinds, elements, strict=True)):
        if kind not in SENSOR_KINDS:
            raise FlowError(f"sensor {number} at {element!r}: kind {kind!r} is unknown; expected one of {', '.join(SENSOR_KINDS)}")
        if kind in (VM, P_SUPPLY, Q_SUPPLY):
            place = network.place[buses[element]] if element in buses else None
            _refuse_place(number, kind, element, place, "bus")
            if kind != VM and place not in base.reference:
                raise FlowError(f"sensor {number}: bus {element!r} has no supply connected to it; {kind} needs one, or measure a branch")
            bus[number] = place
            rows.append(empty if kind == VM else sp.csr_matrix(network.admittance[[place]]))
            scale[number] = 1.0 if kind == VM else network.base_mva
            continue
        at, side = branches.get(element), int(kind.endswith("_to"))
        place = None if at is None else network.ends[at, side]
        _refuse_place(number, kind, element, place, "branch")
        bus[number] = place
        rows.append((network.to_admittance if side else network.from_admittance)[[at]])
        scale[number] = network.current_ka[at, side] if kind[0] == "i" else network.base_mva
    parts = np.array([kind[0] for kind in kinds], dtype=object)
    return SensorModel(base, bus, sp.csr_matrix(sp.vstack(rows)) if rows else empty[:0], parts, scale)


def _refuse_place(number: int, kind: str, element: str, place: int | None, what: str) -> None:
    if place is None:
        raise FlowError(f"sensor {number} ({kind}): {what} {element!r} is not in the network; expected one of its {what} names")
    if place < 0:
        raise FlowError(f"sensor {number} ({kind}): {what} {element!r} is out of service or has no supply; take the sensor out")
