"""The state of the network on an operating day, as measured: estimated voltages, and where measurements do not fit them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.likely_causes import with_causes
from grid_assets.network.measured_inputs import DaySensors, StateEstimationError, day_sensors, metered_injections
from grid_assets.network.switching_events import network_versions
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.estimation import BadDataTest, Estimation, Injected, estimate
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.other_estimators import other_estimators
from grid_assets.powerflow.switching import version_of

SHOWN_METERS = 3
ANOMALY_COLUMNS = ["source_id", "element_kind", "element_id", "quantity", "unit", "start_utc", "measurement", "estimate", "residual",
                   "normalised_residual", "bad_data", "rivals"]  # fmt: skip


@dataclass(frozen=True)
class DayState:
    """A day's estimate: two frames in the columns of their tables, and what people look at first."""

    state_estimates: pd.DataFrame
    anomalies: pd.DataFrame
    voltages: pd.DataFrame
    """Voltage measurements for pictures: source_id, element_id, start_utc, vm_pu, estimate_pu, bad_data."""
    residuals: pd.DataFrame
    """source_id, quantity, start_utc, normalised (signed), bad_data of every sensor; for pictures."""
    figures: dict[str, float | int | str]


def state_of_day(
    section: NetworkSection,
    clock: SiteCalendar,
    day: date,
    *,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    plants: pd.DataFrame,
    devices: pd.DataFrame,
    readings: pd.DataFrame,
    measurements: pd.DataFrame,
    test: BadDataTest | None = None,
) -> DayState:
    """Estimates every interval of ``day`` on the network that ``section`` names, in the switching state then in force.

    Frames are in the columns of their tables: the registers whole, readings and measurements of ``day``. Measurements may be empty:
    the state then is the flow of what the meters counted, and nothing tests it. Raises NetworkError, StateEstimationError (no reading at
    all, a meter's or device's place that the network does not have, no interval with an estimate), or EstimationError.
    """
    test = test or BadDataTest()
    start, end = (pd.Timestamp(bound) for bound in clock.bounds(day))
    start_utc = clock.intervals(day)
    present, there = in_force(meters, start, end), _devices_in_force(devices, start, end)
    known = network_versions(section, clock)
    in_state = version_of(known, start_utc)
    hashes = np.array([known[n].topology_hash for n in in_state])
    parts = []
    for version in {known[n].topology_hash: known[n] for n in in_state}.values():
        # a state is estimated for the whole day and counts for its own intervals
        whole = _day_in_state(section, clock, start_utc, version.admitted, present, there, nodes, plants, readings, measurements, test)
        parts.append((whole, start_utc[hashes == version.topology_hash]))
    frames = {
        one.name: pd.concat([frame[frame["start_utc"].isin(own)] for frame, own in ((getattr(whole, one.name), own) for whole, own in parts)],
                            ignore_index=True)
        for one in fields(DayState) if one.name != "figures"
    }  # fmt: skip
    if frames["state_estimates"].empty:
        raise StateEstimationError(f"{day}: none of {len(start_utc)} intervals has an estimate; look for readings in the wrong unit (Wh given as kWh) "
                                   f"or meters on the wrong bus")  # fmt: skip
    frames["anomalies"] = with_causes(frames["anomalies"], len(start_utc))
    longest, _ = max(parts, key=lambda part: len(part[1]))
    figures = longest.figures | {
        "bad_data": int(frames["anomalies"]["bad_data"].sum()), "switching_states": len(parts),
        "intervals_without_estimate": len(start_utc) - frames["state_estimates"]["start_utc"].nunique(),
    }  # fmt: skip
    return DayState(**frames, figures=figures)


def _day_in_state(
    section: NetworkSection, clock: SiteCalendar, start_utc: pd.DatetimeIndex, admitted: AdmittedNetwork, present: pd.DataFrame,
    there: pd.DataFrame, nodes: pd.DataFrame, plants: pd.DataFrame, readings: pd.DataFrame, measurements: pd.DataFrame, test: BadDataTest,
) -> DayState:  # fmt: skip
    """Every interval of the day as if one switching state were in force throughout; anomalies without their causes."""
    network = compiled(admitted)
    injected = metered_injections(admitted, start_utc, readings, present, plants, section.power_factor, clock.interval_hours)
    sensed = day_sensors(admitted, network, start_utc, measurements, there, readings, present, nodes, clock.interval_hours)
    found = estimate(network, injected, sensed.sensors, test, others=other_estimators(admitted, network))
    anomalies = _anomalies(network.bus_ids, start_utc, injected, sensed, found, _meter_groups(present, plants), test.suspicious)
    return DayState(
        _state_rows(network.bus_ids, network.supplied, start_utc, sensed, found), anomalies, _voltage_points(start_utc, sensed, found),
        _residual_points(start_utc, sensed, found), _figures(found, sensed, anomalies) if found.converged.any() else {},
    )  # fmt: skip


def _devices_in_force(devices: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Those in force at the day's beginning, one row each."""
    begun = devices["valid_from_utc"] < end
    ended = devices["valid_to_utc"].notna() & (devices["valid_to_utc"] <= start)
    return devices[begun & ~ended].sort_values("valid_from_utc").drop_duplicates("device_id", keep="first").reset_index(drop=True)


def _meter_groups(meters: pd.DataFrame, plants: pd.DataFrame) -> dict[str, str]:
    """bus -> the meters at it, in words."""
    of_plant = plants.dropna(subset=["bus_id"]).set_index("meter_id")["bus_id"]
    at = meters["bus_id"].fillna(meters["meter_id"].map(of_plant))
    made = {}
    for bus, rows in meters[at.notna() & (meters["kind"] != "boundary")].groupby(at.dropna(), sort=True):
        ids = sorted(rows["meter_id"])
        more = f" and {len(ids) - SHOWN_METERS} more" if len(ids) > SHOWN_METERS else ""
        made[str(bus)] = ", ".join(ids[:SHOWN_METERS]) + more
    return made


def _state_rows(
    bus_ids: np.ndarray, supplied: np.ndarray, start_utc: pd.DatetimeIndex, sensed: DaySensors, found: Estimation
) -> pd.DataFrame:
    """Rows of state_estimates: buses with a supply, intervals with an estimate."""
    steps, names = start_utc[found.converged], bus_ids[supplied]

    def chosen(values: np.ndarray) -> np.ndarray:
        return values[found.converged][:, supplied].ravel()

    metered = np.isin(names, sensed.sensors.element[sensed.sensors.kind == "vm"])
    return pd.DataFrame({
        "bus_id": np.tile(names, len(steps)), "start_utc": steps.repeat(len(names)), "vm_pu": chosen(found.vm_pu), "vm_sigma_pu": chosen(found.vm_sigma_pu),
        "va_degree": chosen(found.va_degree), "p_kw": 1000 * chosen(found.load_mw), "q_kvar": 1000 * chosen(found.load_mvar),
        "observable": ~chosen(found.unobservable), "has_voltage_sensor": np.tile(metered, len(steps)),
        "consistent": found.consistent[found.converged].repeat(len(names)), "method": np.repeat(np.array(found.solver, object)[found.converged], len(names)),
    })  # fmt: skip


def _anomalies(
    bus_ids: np.ndarray, start_utc: pd.DatetimeIndex, injected: Injected, sensed: DaySensors, found: Estimation, groups: dict[str, str], limit: float
) -> pd.DataFrame:  # fmt: skip
    """Measurements that were taken out, or whose normalised residual is above ``limit``."""
    parts = []
    step, at = np.nonzero(found.sensor_bad | (found.sensor_normalised > limit))
    if len(step):
        kinds = sensed.sensors.kind[at]
        scale = sensed.scale[at]
        parts.append(pd.DataFrame({
            "source_id": sensed.source_id[at], "element_kind": np.where(np.isin(kinds, ["vm", "p_supply", "q_supply"]), "bus", "branch"),
            "element_id": sensed.sensors.element[at], "quantity": sensed.quantity[at], "unit": sensed.unit[at], "start_utc": start_utc[step],
            "measurement": sensed.sensors.value[step, at] * scale, "estimate": found.sensor_estimate[step, at] * scale,
            "normalised_residual": found.sensor_normalised[step, at], "bad_data": found.sensor_bad[step, at], "rivals": found.sensor_rivals[step, at],
        }))  # fmt: skip
    for quantity, unit, load, sigma, estimated, normalised, bad in (
        ("active_power", "kW", injected.load_mw, injected.sigma_mw, found.load_mw, found.load_normalised, found.load_bad),
        (
            "reactive_power",
            "kvar",
            injected.load_mvar,
            injected.sigma_mvar,
            found.load_mvar,
            found.load_mvar_normalised,
            found.load_mvar_bad,
        ),
    ):
        step, at = np.nonzero((bad | (normalised > limit)) & (sigma > 0))
        if len(step):
            parts.append(pd.DataFrame({
                "source_id": [f"meters {groups.get(str(bus), 'without a bus')}" for bus in bus_ids[at]], "element_kind": "bus", "element_id": bus_ids[at],
                "quantity": quantity, "unit": unit, "start_utc": start_utc[step], "measurement": 1000 * load[step, at],
                "estimate": 1000 * estimated[step, at], "normalised_residual": normalised[step, at], "bad_data": bad[step, at], "rivals": 0,
            }))  # fmt: skip
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=ANOMALY_COLUMNS)
    made["residual"] = made["measurement"] - made["estimate"]
    made = made.sort_values(["source_id", "quantity", "element_id", "start_utc"], ignore_index=True)
    return made[ANOMALY_COLUMNS]


def _voltage_points(start_utc: pd.DatetimeIndex, sensed: DaySensors, found: Estimation) -> pd.DataFrame:
    step, at = np.nonzero((sensed.sensors.kind == "vm")[None] & ~np.isnan(sensed.sensors.value) & found.converged[:, None])
    return pd.DataFrame({
        "source_id": sensed.source_id[at], "element_id": sensed.sensors.element[at], "start_utc": start_utc[step],
        "vm_pu": sensed.sensors.value[step, at], "estimate_pu": found.sensor_estimate[step, at], "bad_data": found.sensor_bad[step, at],
    })  # fmt: skip


def _residual_points(start_utc: pd.DatetimeIndex, sensed: DaySensors, found: Estimation) -> pd.DataFrame:
    step, at = np.nonzero(~np.isnan(found.sensor_normalised))
    return pd.DataFrame({
        "source_id": sensed.source_id[at], "quantity": sensed.quantity[at], "start_utc": start_utc[step],
        "normalised": found.sensor_normalised[step, at] * np.sign(found.sensor_residual[step, at]), "bad_data": found.sensor_bad[step, at],
    })  # fmt: skip


def _figures(found: Estimation, sensed: DaySensors, anomalies: pd.DataFrame) -> dict[str, float | int | str]:
    """Key figures of the day."""
    done = found.converged
    freedom = found.degrees_of_freedom[done]
    by_solver = pd.Series(found.solver)[done].value_counts().sort_index()
    hidden = found.unobservable[done].any(axis=0).sum()
    critical = sorted({f"{sensed.source_id[at]} {sensed.quantity[at]}" for at in np.flatnonzero(found.sensor_critical[done].any(axis=0))})
    deviation = float(np.nanmedian(found.vm_sigma_pu[done])) if np.isfinite(found.vm_sigma_pu[done]).any() else 0.0
    return {
        "intervals": len(done), "intervals_without_estimate": int((~done).sum()),
        "solved_by": "; ".join(f"{name}: {number}" for name, number in by_solver.items()),
        "sensors": len(sensed.sensors.kind), "redundancy": f"{freedom.min()} to {freedom.max()} degrees of freedom",
        "inconsistent_intervals": int((done & ~found.consistent).sum()), "bad_data": int(anomalies["bad_data"].sum()),
        "median_voltage_deviation_pu": deviation,
        "observability": "every bus with a supply is observable" if not hidden else f"{hidden} buses are not observable in some interval",
        "critical_measurements": ", ".join(critical) or "none",
        "notes": "; ".join(dict.fromkeys(sensed.notes)) or "none",
    }  # fmt: skip


def not_estimated(state_estimates: pd.DataFrame, start_utc: pd.DatetimeIndex) -> str:
    """Which intervals have no estimate or one that is not trusted, and which buses are not observable; empty where none is."""
    said = []
    lost = start_utc.difference(pd.DatetimeIndex(state_estimates["start_utc"].unique()))
    if len(lost):
        said.append(f"{len(lost)} of {len(start_utc)} intervals have no estimate, the first at {lost[0]:%Y-%m-%d %H:%M} UTC")
    hidden = state_estimates.loc[~state_estimates["observable"].astype(bool), "bus_id"].unique()
    if len(hidden):
        said.append(f"{len(hidden)} buses are not observable, such as {hidden[0]}")
    odd = state_estimates.loc[~state_estimates["consistent"].astype(bool), "start_utc"].nunique()
    if odd:
        said.append(f"in {odd} intervals the measurements that were kept contradict each other")
    return "; ".join(said)
