"""What sensors and monitors send: a line of JSON per report, with a few of the faults that sensors have, and their truth."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.simulation import fault_rates as rates

DATA_FORMAT = "json"
OFFLINE_DEVICE_DAYS, STUCK_DEVICE_DAYS = 0.05, 0.03
"""Shares of device-days with hours of silence, and with hours of one and the same value."""
OUT_OF_RANGE = 0.0005
"""Share of values that no such quantity can have."""
IMPOSSIBLE = {"voltage": 0.0, "current": -999.0, "frequency": 0.0, "temperature": 850.0, "soc": 255.0, "humidity": 655.35,
              "wind_speed": -99.0, "irradiance": -9999.0, "occupancy": -1.0, "active_power": 32767.0, "reactive_power": 32767.0}  # fmt: skip
DECIMALS = 3
SENSOR_NOISE = {"voltage": 0.001, "current": 0.005, "active_power": 0.005, "reactive_power": 0.005}
"""Of what flows, a share: standard deviation of a single value of a grid sensor."""


@dataclass(frozen=True)
class Device:
    device_id: str
    kind: str
    node_id: str
    unit_id: str
    reporting_s: int
    quantities: tuple[str, ...]
    bus_id: str = ""
    """Where it stands in the network; empty: nowhere."""
    branch_id: str = ""
    to_neutral: bool = False
    """Whether its voltage is that of a phase to neutral."""


@dataclass(frozen=True)
class SensorPlaces:
    """Where grid sensors stand: feeder -> (its first line, the bus at that line's far end), and the substation's and a district's transformer."""

    feeders: dict[str, tuple[str, str]]
    busbar: str
    main_transformer: str
    district_bus: str
    district_transformer: str
    district_feeder: str


def devices(nodes: pd.DataFrame, units: pd.DataFrame, places: SensorPlaces) -> list[Device]:
    """A few devices of every kind, on the first feeders and storage units of the registers."""
    feeders = nodes.loc[nodes["level"] == "feeder", "node_id"].tolist()
    batteries = units.head(2)
    return [
        _on_feeder("GS-01", feeders[0], 300, places),
        _on_feeder("GS-02", feeders[1], 900, places),
        Device("WS-01", "weather_station", feeders[0], "", 900, ("temperature", "humidity", "wind_speed", "irradiance")),
        *(Device(f"BM-{number:02d}", "battery_monitor", one.node_id, one.unit_id, 900, ("soc", "temperature"))
          for number, one in enumerate(batteries.itertuples(), 1)),
        Device("TS-01", "temperature_sensor", feeders[-1], "", 900, ("temperature",)),
        Device("OS-01", "occupancy_sensor", feeders[-1], "", 900, ("occupancy",)),
        Device("GS-03", "grid_sensor", nodes.loc[nodes["level"] == "substation", "node_id"].iloc[0], "", 300,
               ("voltage", "active_power", "reactive_power"), places.busbar, places.main_transformer),
        Device("GS-04", "grid_sensor", places.district_feeder, "", 900, ("voltage", "active_power"), places.district_bus,
               places.district_transformer, to_neutral=True),
        *(_on_feeder(f"GS-{number:02d}", feeder, 900, places) for number, feeder in enumerate(feeders[2:9:2], 5) if feeder in places.feeders),
    ]  # fmt: skip


def _on_feeder(device_id: str, feeder: str, reporting_s: int, places: SensorPlaces) -> Device:
    """A sensor in the first station of a feeder: the voltage there, the current of the line from the busbar."""
    line, bus = places.feeders.get(feeder, ("", ""))
    return Device(device_id, "grid_sensor", feeder, "", reporting_s, ("voltage", "current", "frequency"), bus, line)


def devices_register(listed: list[Device], valid_from_utc: str) -> pd.DataFrame:
    """The rows of devices.csv."""
    made = [
        (one.device_id, one.kind, one.node_id, one.unit_id, one.reporting_s, valid_from_utc, "", one.bus_id, one.branch_id)
        for one in listed
    ]
    names = ["device_id", "kind", "node_id", "unit_id", "reporting_s", "valid_from_utc", "valid_to_utc", "bus_id", "branch_id"]
    return pd.DataFrame(made, columns=names)


def device_day(day: date, begin: pd.Timestamp, end: pd.Timestamp, listed: list[Device], seed: int,
               true: Mapping[tuple[str, str], np.ndarray] | None = None) -> pd.DataFrame:  # fmt: skip
    """A day of all devices from its own stream: device_id, quantity, read_utc, clean_value, sent_value, fault.

    Times are every reporting_s from ``begin`` on, left-closed; the value sent is NaN where nothing was sent. ``true``: what flows at grid
    sensors, (device_id, quantity) -> value of each of the day's intervals, equally long; without it they report a course of their own.
    """
    rng = np.random.default_rng([seed, day.toordinal(), rates.STREAM_DEVICES])
    parts = []
    for device in listed:
        times = pd.date_range(begin, end, freq=f"{device.reporting_s}s", inclusive="left")
        offline = _hours(rng, len(times), OFFLINE_DEVICE_DAYS)
        for quantity in device.quantities:
            clean = np.round(_clean(rng, quantity, times, (true or {}).get((device.device_id, quantity))), DECIMALS)
            sent, fault = clean.copy(), np.full(len(times), "", object)
            stuck = _hours(rng, len(times), STUCK_DEVICE_DAYS)
            if stuck.any() and quantity != "occupancy":
                sent[stuck], fault[stuck] = sent[stuck.argmax()], "stuck"
            impossible = rng.random(len(times)) < OUT_OF_RANGE
            sent[impossible], fault[impossible] = IMPOSSIBLE[quantity], "out_of_range"
            sent[offline], fault[offline] = np.nan, "offline"
            parts.append(pd.DataFrame({"device_id": device.device_id, "quantity": quantity, "read_utc": times,
                                       "clean_value": clean, "sent_value": sent, "fault": fault}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _hours(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Marks one stretch of an eighth to a third of the day, on a ``share`` of days."""
    struck, begin, length = rng.random() < share, rng.random() * 0.6, rng.uniform(1 / 8, 1 / 3)
    place = np.arange(count) / count
    return struck & (place >= begin) & (place < begin + length)


def _clean(rng: np.random.Generator, quantity: str, times: pd.DatetimeIndex, true: np.ndarray | None = None) -> np.ndarray:
    """What the device really measured: a day's course and noise, in the unit that the platform keeps the quantity in."""
    hour = ((times - times[0].normalize()) / pd.Timedelta(hours=1)).to_numpy()
    noise = rng.normal(size=len(times))
    slow = np.convolve(rng.normal(size=len(times) + 15), np.full(16, 0.25), "valid")
    warm = np.sin((hour - 9) * np.pi / 12)
    level = rng.normal()
    if true is not None:
        return true[np.arange(len(times)) * len(true) // len(times)] * (1 + SENSOR_NOISE[quantity] * noise)
    evening = np.exp(-(((hour - 18) / 3) ** 2)) + 0.6 * np.exp(-(((hour - 11) / 4) ** 2))
    course = {
        "voltage": lambda: 231 - 3 * evening + 0.8 * slow + 0.3 * noise,
        "current": lambda: np.maximum(60 + 90 * evening + 8 * slow + 3 * noise, 1),
        "frequency": lambda: 50 + 0.015 * slow + 0.004 * noise,
        "temperature": lambda: 14 + 3 * level + 6 * warm + 0.6 * slow + 0.1 * noise,
        "humidity": lambda: np.clip(68 - 18 * warm + 4 * slow + noise, 5, 100),
        "wind_speed": lambda: np.maximum(4 + level + 1.2 * slow + 0.4 * noise, 0),
        "irradiance": lambda: np.maximum(np.sin((hour - 4) * np.pi / 15) * (620 + 120 * slow), 0) * (hour > 4) * (hour < 19),
        "soc": lambda: np.clip(50 - 32 * np.cos((hour - 2) * np.pi / 12) + 3 * slow + 0.2 * noise, 0, 100),
        "occupancy": lambda: np.round(np.maximum(12 * np.exp(-(((hour - 11) / 3.5) ** 2)) + 1.5 * slow, 0)),
    }
    return course[quantity]()


def device_lines(sent: pd.DataFrame, listed: list[Device]) -> bytes:
    """The gzipped file of a day as its gateway hands it over: a line per device and time, in the order of time."""
    place = {one.device_id: one.node_id for one in listed}
    known = sent.dropna(subset="sent_value")
    stamps = known["read_utc"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    reports: dict[tuple[str, str], dict[str, float]] = {}
    for stamp, device_id, quantity, value in zip(stamps, known["device_id"], known["quantity"], known["sent_value"].tolist(), strict=True):
        reports.setdefault((stamp, device_id), {})[quantity] = value
    lines = [
        json.dumps({"device_id": device_id, "timestamp": stamp, "measurements": reports[stamp, device_id], "data_format": DATA_FORMAT,
                    "location": place[device_id]}, separators=(",", ":"))
        for stamp, device_id in sorted(reports)
    ]  # fmt: skip
    return gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=6, mtime=0)
