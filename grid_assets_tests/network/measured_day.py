"""A made day on the CIGRE network as meters and devices would tell it: true flows, and frames in the columns of their tables."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.time_series import FlowSeries, solve_series
from grid_assets_tests.network import frames

DAY = date(2016, 5, 24)
POWER_FACTOR = 0.97


class MeasuredDay:
    """24 hours; a load meter on every loaded bus but the supply's, solar at two buses, and grid sensors."""

    def __init__(self, folder: Path, seed: int = 5):
        self.path, self.site = frames.trial_site(folder, minutes=60)
        self.seed = seed
        self.start_utc = self.site.clock.intervals(DAY)
        self.network: AdmittedNetwork = load_network("cigre_mv")
        rng = np.random.default_rng(seed)
        self.load_buses = [f"Bus {n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14)]
        hour = np.arange(len(self.start_utc))
        shape = 0.6 + 0.3 * np.sin((hour - 9) / 24 * 2 * np.pi)
        self.load_kw = {bus: 400 * rng.uniform(0.5, 1.5) * shape * rng.uniform(0.9, 1.1, len(hour)) for bus in self.load_buses}
        self.solar_kw = {
            "Bus 7": 300 * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0),
            "Bus 11": 200 * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0),
        }

    @property
    def section(self) -> Any:
        assert self.site.network is not None
        return self.site.network

    @cached_property
    def flow(self) -> FlowSeries:
        names = {name: at for at, name in enumerate(self.network.net.bus["name"])}
        load_mw, load_mvar = np.zeros((24, len(names))), np.zeros((24, len(names)))
        for bus, kw in self.load_kw.items():
            load_mw[:, names[bus]] += kw / 1000
            load_mvar[:, names[bus]] += kw / 1000 * np.tan(np.arccos(POWER_FACTOR))
        for bus, kw in self.solar_kw.items():
            load_mw[:, names[bus]] -= kw / 1000
        return solve_series(self.network, load_mw, load_mvar)

    @property
    def registers(self) -> dict[str, pd.DataFrame]:
        loads = [(f"L {bus}", "primary", bus, float(kw.max() * 1.25)) for bus, kw in self.load_kw.items()]
        meters = frames.meters_frame(loads, POWER_FACTOR)
        solar = frames.meters_frame([(f"G {bus}", "primary", bus, float(kw.max() * 1.25)) for bus, kw in self.solar_kw.items()])
        boundary = frames.meters_frame([("B1", "primary", None, 8000.0)])
        nodes = frames.nodes_frame({"system": None, "primary": "system"})
        return {
            "meters": pd.concat([meters, solar.assign(kind="generation"), boundary.assign(kind="boundary")], ignore_index=True),
            "nodes": nodes, "plants": frames.plants_frame([]), "devices": self.devices,
        }  # fmt: skip

    @property
    def devices(self) -> pd.DataFrame:
        rows = [("V3", "Bus 3", None), ("V8", "Bus 8", None), ("V11", "Bus 11", None), ("V14", "Bus 14", None), ("L12", None, "Line 1-2"),
                ("L78", None, "Line 7-8"), ("L1213", None, "Line 12-13"), ("L1314", None, "Line 13-14"), ("WS", None, None)]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["device_id", "bus_id", "branch_id"])
        return frame.assign(
            kind="grid_sensor", node_id="primary", unit_id=None, reporting_s=1800.0, valid_from_utc=pd.Timestamp("2016-01-01", tz="UTC"),
            valid_to_utc=pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]"),
        )  # fmt: skip

    @property
    def readings(self) -> pd.DataFrame:
        energy = {f"L {bus}": kw for bus, kw in self.load_kw.items()} | {f"G {bus}": kw for bus, kw in self.solar_kw.items()}
        energy["B1"] = self.flow.supply_mw * 1000
        parts = [pd.DataFrame({"meter_id": name, "start_utc": self.start_utc, "energy_kwh": kw}) for name, kw in energy.items()]
        return pd.concat(parts, ignore_index=True).assign(
            quality="measured", method=None, rule_failures=None, quality_code="1.0.0", error_kwh=np.nan
        )

    @property
    def measurements(self) -> pd.DataFrame:
        """Two values an hour: voltages in V (V8 phase to neutral), currents in A and powers in kW of lines, with noise."""
        rng = np.random.default_rng(self.seed + 1)
        flow = self.flow
        buses, branches = list(flow.bus_ids), list(flow.branch_ids)
        half = pd.date_range(self.start_utc[0], periods=48, freq="30min").as_unit("us")
        parts = []
        for one in self.devices.itertuples():
            if isinstance(one.bus_id, str):
                volts = 20000 / (np.sqrt(3) if one.device_id == "V8" else 1)
                parts.append((one.device_id, "voltage", "V", volts * flow.vm_pu[:, buses.index(one.bus_id)], 0.002 * volts))
            elif isinstance(one.branch_id, str):
                at = branches.index(one.branch_id)
                parts.append((one.device_id, "active_power", "kW", 1000 * flow.p_mw[:, at], 4.0))
        made = [
            pd.DataFrame({"device_id": name, "quantity": quantity, "read_utc": half, "value": np.repeat(true, 2) + sigma * rng.normal(size=48),
                          "unit": unit})
            for name, quantity, unit, true, sigma in parts
        ]  # fmt: skip
        made.append(pd.DataFrame({"device_id": "WS", "quantity": "temperature", "read_utc": half, "value": 20.0, "unit": "degC"}))
        return pd.concat(made, ignore_index=True).assign(
            quality="measured", quality_code="1.0.0", rule_failures=None, arrived_value=lambda frame: frame["value"]
        )

    def given(self, **changed: pd.DataFrame) -> dict[str, Any]:
        """The keyword arguments of ``state_of_day``, some of them changed."""
        return self.registers | {"readings": self.readings, "measurements": self.measurements} | changed
