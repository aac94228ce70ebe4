"""What was measured on an operating day, as the state estimation takes it: bus injections from meters, sensors from devices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from grid_assets.foundation.units import base_quantity
from grid_assets.network.injections import InjectionError, nominal_shares
from grid_assets.powerflow.compiled import CompiledNetwork
from grid_assets.powerflow.estimation import Injected, Sensors
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.measurement_model import I_FROM, P_FROM, P_SUPPLY, Q_FROM, Q_SUPPLY, VM

METER_SHARE = {"measured": 0.005, "edited": 0.05, "estimated": 0.3}
"""Standard deviation of a meter's mean power by the quality of its reading, as a share of the power."""
METER_FLOOR = 0.001
"""And at least, as a share of the meter's rating."""
MISSING_SHARE, MISSING_FLOOR = 0.5, 0.05
"""Where a reading is missing what the class uses stands in: so uncertain, as a share of that and of the rating."""
SPREAD_SHARE = 0.5
"""What meters without a bus draw at each bus is known so badly."""
REACTIVE_SHARE, REACTIVE_OF_ACTIVE = 0.25, 0.03
"""Reactive power follows from a power factor: its deviation as a share of itself, and of the active power."""
VOLTAGE_SIGMA_PU = 0.003
SENSOR_SHARE, SENSOR_FLOOR = 0.01, 0.001
"""Of a sensor's current or power: a share of the value, and of the branch's rating."""
BOUNDARY_SHARE = 0.01
KINDS = {"voltage": VM, "current": I_FROM, "active_power": P_FROM, "reactive_power": Q_FROM}
SUPPLY_KINDS = {"active_power": P_SUPPLY, "reactive_power": Q_SUPPLY}


class StateEstimationError(InjectionError):
    """Readings, measurements or devices that cannot be brought onto the network: which, and what was expected."""


@dataclass(frozen=True)
class DaySensors:
    """Sensors with what people call them: arrays of one entry each beside those of ``sensors``."""

    sensors: Sensors
    source_id: np.ndarray
    """Device, or the boundary meters."""
    quantity: np.ndarray
    unit: np.ndarray
    scale: np.ndarray
    """The sensor's value in the device's unit per unit of ``sensors``."""
    notes: tuple[str, ...] = field(default=())
    """What was left out or taken for granted, in words."""


def metered_injections(
    admitted: AdmittedNetwork,
    start_utc: pd.DatetimeIndex,
    readings: pd.DataFrame,
    meters: pd.DataFrame,
    plants: pd.DataFrame,
    power_factor: float,
    interval_hours: float,
) -> Injected:
    """Consumption of every bus with its deviation [intervals, buses], from the day's readings of the meters in force.

    A meter without a bus stands at its plant's, else it is spread over the network's nominal loads. A missing reading is what the
    meter's class uses of its rating in the same interval, widely uncertain; a bus without meters draws exactly nothing.
    Raises StateEstimationError where there are no readings, or a meter's bus is not in the network.
    """
    counted = meters[meters["kind"] != "boundary"].sort_values("meter_id", ignore_index=True)
    power, sigma = _meter_powers(readings, counted, start_utc, interval_hours)
    sign = np.where(counted["kind"] == "generation", -1.0, 1.0)
    given = counted["power_factor"].fillna(power_factor).to_numpy(float)
    slope = np.where(counted["kind"] == "load", np.tan(np.arccos(np.clip(given, 1e-3, 1))), 0.0)
    reactive = slope * np.maximum(power, 0)
    reactive_sigma = np.hypot(np.hypot(REACTIVE_SHARE * reactive, REACTIVE_OF_ACTIVE * power), slope * sigma)
    seats, shares = _seats(admitted, counted, plants)
    buses = len(admitted.net.bus)
    made = [np.zeros((len(start_utc), buses)) for _ in range(4)]
    for target, values in zip(made, (sign * power, reactive, sigma**2, reactive_sigma**2), strict=True):
        np.add.at(target.T, seats[seats >= 0], values[:, seats >= 0].T)
    for number in np.flatnonzero(seats < 0):
        for target, values, wide in ((made[0], sign * power, made[2]), (made[1], reactive, made[3])):
            drawn = np.outer(values[:, number], shares)
            target += drawn
            wide += (SPREAD_SHARE * drawn) ** 2
    return Injected(made[0] / 1000, made[1] / 1000, np.sqrt(made[2]) / 1000, np.sqrt(made[3]) / 1000)


def _meter_powers(
    readings: pd.DataFrame, meters: pd.DataFrame, start_utc: pd.DatetimeIndex, interval_hours: float
) -> tuple[np.ndarray, np.ndarray]:
    """kW and its deviation [intervals, meters]."""
    known = readings[readings["meter_id"].isin(meters["meter_id"]) & readings["start_utc"].isin(start_utc)]
    if known.empty:
        raise StateEstimationError(f"none of {len(meters)} meters in force has a reading between {start_utc[0]} and {start_utc[-1]}; "
                                   f"materialise metering/readings of the day first")  # fmt: skip
    wide = {
        name: known.pivot(index="start_utc", columns="meter_id", values=name).reindex(index=start_utc, columns=meters["meter_id"])
        for name in ("energy_kwh", "quality", "error_kwh")
    }
    power = wide["energy_kwh"].to_numpy(float) / interval_hours
    error = wide["error_kwh"].to_numpy(float) / interval_hours
    quality, rating = wide["quality"].to_numpy(object), meters["rating_kw"].to_numpy(float)
    share = np.vectorize(lambda word: METER_SHARE.get(word, np.nan), otypes=[float])(quality)
    missing = np.isnan(power) | np.isnan(share)
    power = np.where(missing, np.nan, power)
    usual = _usual_powers(power, meters)
    sigma = np.where(np.isfinite(error), error, share * np.abs(power)) + METER_FLOOR * rating
    power = np.where(missing, usual, power)
    return power, np.where(missing, MISSING_SHARE * np.abs(usual) + MISSING_FLOOR * rating, sigma)


def _usual_powers(power: np.ndarray, meters: pd.DataFrame) -> np.ndarray:
    """What each meter would draw if it used its rating as its class does in the interval; as all meters of its kind do where the class tells nothing."""
    rating = meters["rating_kw"].to_numpy(float)
    made = np.full(power.shape, np.nan)
    for names in (["kind"], ["kind", "customer_class"]):  # the narrower group overwrites where it has readings
        for _, group in meters.groupby(names, sort=True):
            at = group.index.to_numpy()
            seen = ~np.isnan(power[:, at])
            rated = np.where(seen, rating[at], 0.0).sum(axis=1)
            ratio = np.divide(np.nansum(power[:, at], axis=1), rated, out=np.full(len(power), np.nan), where=rated > 0)
            found = np.outer(ratio, rating[at])
            made[:, at] = np.where(np.isnan(found), made[:, at], found)
    return np.nan_to_num(made, nan=0.0)


def _seats(admitted: AdmittedNetwork, meters: pd.DataFrame, plants: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The bus of each meter, -1 where it is to be spread, and the shares to spread by."""
    place = {name: at for at, name in enumerate(admitted.net.bus["name"])}
    of_plant = plants.dropna(subset=["bus_id"]).set_index("meter_id")["bus_id"].to_dict()
    seats = np.full(len(meters), -1)
    for number, meter in enumerate(meters.itertuples()):
        bus = meter.bus_id if isinstance(meter.bus_id, str) else of_plant.get(meter.meter_id)
        if bus is None:
            continue
        if bus not in place:
            raise StateEstimationError(f"meter {meter.meter_id!r}: bus {bus!r} is not in the network {admitted.source}; expected one of its "
                                       f"{len(place)} bus names, such as {next(iter(place))!r}")  # fmt: skip
        seats[number] = place[bus]
    return seats, nominal_shares(admitted) if (seats < 0).any() else np.zeros(len(place))


def day_sensors(
    admitted: AdmittedNetwork,
    network: CompiledNetwork,
    start_utc: pd.DatetimeIndex,
    measurements: pd.DataFrame,
    devices: pd.DataFrame,
    readings: pd.DataFrame,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    interval_hours: float,
) -> DaySensors:
    """The day's sensors: means over each interval of what devices with a bus or branch measured, and the boundary meters' supply.

    A voltage counts against the bus's nominal voltage, or that over sqrt(3), whichever its median is nearer to; phases are averaged.
    A branch is measured at its beginning. Rejected measurements are left out. Raises StateEstimationError naming a device whose bus or
    branch is not in the network.
    """
    placed = devices[devices["bus_id"].notna() | devices["branch_id"].notna()].sort_values("device_id", ignore_index=True)
    refuse_unknown_places(network, placed)
    means = _interval_means(measurements, placed["device_id"], start_utc)
    nominal = dict(zip(network.bus_ids, admitted.net.bus["vn_kv"].to_numpy(float), strict=True))
    rows, notes = [], []
    for device in placed.itertuples():
        for quantity in KINDS:
            series = means.get((device.device_id, quantity))
            if series is None or not np.isfinite(series).any():
                continue
            row = _sensor(network, nominal, device, quantity, series, notes)
            if row is not None:
                rows.append(row)
    rows += _boundary_rows(network, start_utc, readings, meters, nodes, interval_hours, notes)
    if not rows:
        nothing = np.empty(0, object)
        return DaySensors(Sensors.none(len(start_utc)), nothing, nothing, nothing, np.empty(0), tuple(notes))
    kind, element, value, sigma, source, quantity, unit, scale = (list(one) for one in zip(*rows, strict=True))
    sensors = Sensors(np.array(kind, object), np.array(element, object), np.column_stack(value), np.column_stack(sigma))
    return DaySensors(sensors, *(np.array(one, object) for one in (source, quantity, unit)), np.array(scale, float), tuple(notes))


def refuse_unknown_places(network: CompiledNetwork, devices: pd.DataFrame) -> None:
    """Raises StateEstimationError naming the first device whose bus or branch the network does not have."""
    for column, names in (("bus_id", network.bus_ids), ("branch_id", network.branch_ids)):
        lost = devices[devices[column].notna() & ~devices[column].isin(names)]
        if len(lost):
            one = lost.iloc[0]
            raise StateEstimationError(f"device {one['device_id']!r} in devices.csv: {column} = {one[column]!r} is not in the network; expected one "
                                       f"of its {len(names)} names, such as {names[0]!r}")  # fmt: skip


def _interval_means(measurements: pd.DataFrame, devices: pd.Series, start_utc: pd.DatetimeIndex) -> dict[tuple[str, str], np.ndarray]:
    """(device, quantity) -> mean of the valid values in each interval, NaN where there is none."""
    known = measurements[measurements["device_id"].isin(devices) & measurements["value"].notna()]
    quantity = known["quantity"].map(base_quantity)
    known = known.assign(quantity=quantity)[quantity.isin(list(KINDS))]
    at = start_utc.searchsorted(pd.DatetimeIndex(known["read_utc"]), side="right") - 1
    known = known.assign(at=at)[(at >= 0) & (known["read_utc"] < start_utc[-1] + (start_utc[1] - start_utc[0])).to_numpy()]
    found = {}
    for (device, name), rows in known.groupby(["device_id", "quantity"], sort=True):
        means = rows.groupby("at")["value"].mean()
        found[str(device), str(name)] = means.reindex(range(len(start_utc))).to_numpy(float)
    return found


def _sensor(network: CompiledNetwork, nominal: dict[str, float], device, quantity: str, series: np.ndarray, notes: list[str]):
    """kind, element, value, sigma, source, quantity, unit, scale of one sensor; None, and a note, where it cannot be used."""
    branch = device.branch_id if isinstance(device.branch_id, str) else None
    bus = device.bus_id if isinstance(device.bus_id, str) else None
    place = -1 if branch is None else int(network.ends[list(network.branch_ids).index(branch), 0])
    if bus is None and place >= 0:
        bus = str(network.bus_ids[np.flatnonzero(network.place == place)[0]]) if (network.place == place).any() else None
    at_bus = -1 if bus is None else int(network.place[list(network.bus_ids).index(bus)])
    if quantity == "voltage":
        if at_bus < 0 or bus is None:
            notes.append(f"{device.device_id} voltage: its bus has no supply; left out")
            return None
        volts = _nominal_volts(nominal[bus] * 1000, series)
        if not math.isclose(volts, nominal[bus] * 1000):
            notes.append(f"{device.device_id} voltage: taken as phase to neutral ({volts:.4g} V nominal)")
        return VM, bus, series / volts, np.full(len(series), VOLTAGE_SIGMA_PU), device.device_id, quantity, "V", volts
    if branch is not None and place >= 0:
        at = list(network.branch_ids).index(branch)
        rating = network.rating_ka[at] if np.isfinite(network.rating_ka[at]) else 0.0
        if quantity == "current":
            value, floor, unit = series / 1000, SENSOR_FLOOR * rating, "A"
        else:
            volts = nominal[bus] if bus else 1.0
            value, floor, unit = series / 1000, SENSOR_FLOOR * math.sqrt(3) * volts * rating, "kW" if quantity == "active_power" else "kvar"
        sigma = SENSOR_SHARE * np.abs(np.nan_to_num(value)) + max(floor, 1e-6)
        return KINDS[quantity], branch, value, sigma, device.device_id, quantity, unit, 1000.0
    if branch is None and quantity in SUPPLY_KINDS and at_bus in network.reference:
        sigma = SENSOR_SHARE * np.abs(np.nan_to_num(series / 1000)) + 1e-4
        return (
            SUPPLY_KINDS[quantity],
            bus,
            series / 1000,
            sigma,
            device.device_id,
            quantity,
            "kW" if quantity == "active_power" else "kvar",
            1000.0,
        )
    why = "its branch is out of service" if branch is not None else "it needs a branch_id"
    notes.append(f"{device.device_id} {quantity}: {why}; left out")
    return None


def _nominal_volts(volts: float, series: np.ndarray) -> float:
    """The nominal voltage between phases, or of a phase to neutral: whichever the median is nearer to, as a ratio."""
    middle = abs(float(np.nanmedian(series)))
    candidates = (volts, volts / math.sqrt(3))
    return min(candidates, key=lambda one: abs(math.log(max(middle, 1e-9) / one)))


def _boundary_rows(
    network: CompiledNetwork, start_utc: pd.DatetimeIndex, readings: pd.DataFrame, meters: pd.DataFrame, nodes: pd.DataFrame, interval_hours: float, notes: list[str]
) -> list[tuple]:  # fmt: skip
    """The sum of the boundary meters at the substation, as what the network's one supply gives."""
    substations = set(nodes.loc[nodes["level"] == "substation", "node_id"])
    found = meters[(meters["kind"] == "boundary") & meters["node_id"].isin(substations)].sort_values("meter_id")
    if found.empty:
        return []
    if len(network.reference) != 1 or found["node_id"].nunique() != 1:
        notes.append(f"boundary meters {', '.join(found['meter_id'])}: more than one supply or substation; left out")
        return []
    known = readings[readings["meter_id"].isin(found["meter_id"]) & (readings["quality"] == "measured")]
    wide = known.pivot(index="start_utc", columns="meter_id", values="energy_kwh").reindex(index=start_utc, columns=found["meter_id"])
    value = wide.to_numpy(float).sum(axis=1) / interval_hours / 1000  # NaN where one of them is not measured
    if not np.isfinite(value).any():
        return []
    sigma = BOUNDARY_SHARE * np.abs(np.nan_to_num(value)) + METER_FLOOR * found["rating_kw"].sum() / 1000
    supply = str(network.bus_ids[np.flatnonzero(network.place == network.reference[0])[0]])
    return [(P_SUPPLY, supply, value, sigma, ", ".join(found["meter_id"]), "active_power", "kW", 1000.0)]
