"""The demo's network and registers: a SimBench grid as its operator would hand it over."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.simulation.device_feed import SensorPlaces

PROFILES_BEGIN = pd.Timestamp("2015-12-31T23:00:00Z")
"""SimBench stamps 2016 on the German wall clock, summer time included (01:45 is followed by 03:00 on 27 March), so its
rows are consecutive quarter-hours from here on."""
QUARTER = pd.Timedelta(minutes=15)
IN_FORCE = "2015-12-31T00:00:00Z"
CYCLES_PER_DAY = 1.5
WEAR_COST_PER_KWH = 0.02
SUBSTATION, SYSTEM, BUSBAR = "ss-mv2.101", "demo-system", "busbar"


class SimulationError(RuntimeError):
    """The demo's source files cannot be made: what is missing, and what to install or change."""


@dataclass(frozen=True)
class SimulatedGrid:
    """The network as delivered, the meters of its elements, and the clean power of each meter."""

    net: Any
    """pandapower network, without its profiles."""
    meters: pd.DataFrame
    nodes: pd.DataFrame
    plants: pd.DataFrame
    units: pd.DataFrame
    power_kw: np.ndarray
    """Quarter-hours of 2016 x meters, in the meters' order; loads consume positive, generation is positive."""
    renewables: pd.DataFrame
    """SimBench's generation profiles per unit of rated power, a column each."""

    def rows(self, start_utc: pd.DatetimeIndex) -> np.ndarray:
        """The rows of ``power_kw`` and ``renewables`` at these quarter-hours. Raises SimulationError outside of 2016."""
        found = ((start_utc - PROFILES_BEGIN) // QUARTER).to_numpy()
        if len(found) and (found.min() < 0 or found.max() >= len(self.power_kw)):
            raise SimulationError(f"SimBench profiles cover 2016 only; asked for {start_utc[0]} to {start_utc[-1]}; change [calendar]")
        return found


def simulated_grid(simbench_code: str, storage_minimum_mwh: float) -> SimulatedGrid:
    """Loads the SimBench grid from its package and builds the registers. Raises SimulationError."""
    import simbench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            net = simbench.get_simbench_net(simbench_code)
        except Exception as error:  # the package raises whatever its reader stumbles over
            raise SimulationError(
                f"simbench_code = {simbench_code!r} cannot be loaded: {error}; see simbench.collect_all_simbench_codes()"
            ) from error
        values = simbench.get_absolute_values(net, True)
    net.bus["name"] = _unique(net.bus["name"])
    load = np.clip(values["load", "p_mw"][net.load.index].to_numpy(), 0, None) * 1000
    generation = np.clip(values["sgen", "p_mw"][net.sgen.index].to_numpy(), 0, None) * 1000
    feeders = feeder_of_buses(net)
    power = np.hstack([load, generation])
    renewables = net.profiles["renewables"].drop(columns="time").reset_index(drop=True)
    meters = pd.concat([_load_meters(net, feeders, load), _generation_meters(net, feeders, generation)], ignore_index=True)
    plants, units = _plants(net, feeders), _units(net, feeders, storage_minimum_mwh)
    net.profiles = {}
    return SimulatedGrid(net, meters, _nodes(net, feeders), plants, units, power, renewables)


def write_network(grid: SimulatedGrid, file: Path) -> None:
    """The network as pandapower JSON, just as SimBench delivers it: nothing is repaired here."""
    import pandapower

    put_atomically(file, pandapower.to_json(grid.net).encode())


def write_registers(grid: SimulatedGrid, folder: Path) -> None:
    """meters.csv, nodes.csv, plants.csv and units.csv."""
    for name in ("meters", "nodes", "plants", "units"):
        put_atomically(folder / f"{name}.csv", getattr(grid, name).to_csv(index=False, lineterminator="\n").encode())


def feeder_of_buses(net: Any) -> pd.Series:
    """bus -> id of the medium-voltage feeder that supplies it with the switches as they stand.

    What hangs together without the busbars (the low-voltage sides of the high-voltage transformers) is one feeder; its
    name is the SimBench subnet of most of its lines. Busbars and what lies above them get ``busbar``.
    """
    import networkx
    from pandapower.topology import create_nxgraph

    transformers = net.trafo[net.bus.loc[net.trafo["hv_bus"], "vn_kv"].to_numpy() > 60]
    busbars = set(transformers["lv_bus"])
    found = pd.Series(BUSBAR, index=net.bus.index)
    for part in networkx.connected_components(create_nxgraph(net, respect_switches=True, nogobuses=busbars)):
        inside = net.line["from_bus"].isin(part) | net.line["to_bus"].isin(part)
        names = net.line.loc[inside & net.line["subnet"].str.contains("Feeder"), "subnet"]
        if len(names):
            found[list(part)] = names.value_counts().idxmax().split("_")[-1].lower()
    return found


def customer_class(profile: str) -> str:
    """The class of a SimBench load profile (standard load profiles H0, G0 to G6, L0 to L2; lv_: a whole district)."""
    if profile.startswith("lv_"):
        return "lv_district"
    if profile.startswith("H0"):
        return "household"
    if profile.startswith("L"):
        return "agriculture"
    if profile.startswith(("HLS", "APLS")):
        return "ev_charging"
    if profile.startswith(("Air", "Soil")):
        return "heat_pump"
    return "commercial"


def plant_kind(profile: str) -> str:
    """pv, wind, biomass or hydro. SimBench's lv_ generation profiles are zero at night: rooftop solar."""
    return {"WP": "wind", "BM": "biomass", "Hy": "hydro"}.get(profile[:2], "pv")


def _load_meters(net: Any, feeders: pd.Series, power_kw: np.ndarray) -> pd.DataFrame:
    classes = net.load["profile"].map(customer_class).to_numpy(object)
    shops = np.flatnonzero(net.load["profile"].to_numpy() == "G3-M")  # continuous trade: closest to a hospital's day
    classes[shops] = "hospital"
    factor = net.load["p_mw"] / np.hypot(net.load["p_mw"], net.load["q_mvar"])
    made = _meters("L", net.load, net.bus["name"], feeders, power_kw, "load", classes)
    return made.assign(power_factor=factor.clip(0.8, 1).fillna(0.97).round(4).to_numpy())


def _generation_meters(net: Any, feeders: pd.Series, power_kw: np.ndarray) -> pd.DataFrame:
    return _meters("G", net.sgen, net.bus["name"], feeders, power_kw, "generation", "generation").assign(power_factor=np.nan)


def _meters(
    letter: str, elements: pd.DataFrame, names: pd.Series, feeders: pd.Series, power_kw: np.ndarray, kind: str, classes: Any
) -> pd.DataFrame:
    return pd.DataFrame({
        "meter_id": _ids(letter, elements), "kind": kind, "node_id": feeders[elements["bus"]].to_numpy(),
        "bus_id": names[elements["bus"]].to_numpy(),
        "customer_class": classes, "rating_kw": np.ceil(np.maximum(1.25 * power_kw.max(0), 3.0) * 10) / 10,
        "power_factor": np.nan, "net_metered": "false", "valid_from_utc": IN_FORCE, "valid_to_utc": "",
    })  # fmt: skip


def _ids(letter: str, elements: pd.DataFrame) -> list[str]:
    return [f"{letter}{number + 1:04d}" for number in range(len(elements))]


def _nodes(net: Any, feeders: pd.Series) -> pd.DataFrame:
    rated = net.trafo.loc[net.bus.loc[net.trafo["hv_bus"], "vn_kv"].to_numpy() > 60, "sn_mva"].sum() * 1000
    limits = _feeder_limits_kw(net, feeders)
    used = sorted(set(feeders[pd.concat([net.load["bus"], net.sgen["bus"]])]), key=lambda name: (len(name), name))
    rows = [(SYSTEM, "system", "", "Demo town", "", ""), (SUBSTATION, "substation", SYSTEM, "Substation MV2.101", rated, rated)]
    rows += [
        (
            name,
            "feeder",
            SUBSTATION,
            "Elements on the busbar" if name == BUSBAR else f"Feeder {name[6:]}",
            limits.get(name, ""),
            limits.get(name, ""),
        )
        for name in used
    ]
    return pd.DataFrame(rows, columns=["node_id", "level", "parent_id", "title", "import_limit_kw", "export_limit_kw"])


def _feeder_limits_kw(net: Any, feeders: pd.Series) -> dict[str, float]:
    """What the lines that leave the busbars can carry at nominal voltage, per feeder."""
    found: dict[str, float] = {}
    for line in net.line[net.line["in_service"]].itertuples():
        ends = feeders[line.from_bus], feeders[line.to_bus]
        if (ends[0] == BUSBAR) != (ends[1] == BUSBAR):
            feeder = ends[0] if ends[1] == BUSBAR else ends[1]
            carried = math.sqrt(3) * net.bus.at[line.from_bus, "vn_kv"] * line.max_i_ka * line.parallel * 1000
            found[feeder] = round(found.get(feeder, 0.0) + carried, 1)
    return found


def _plants(net: Any, feeders: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({
        "plant_id": _ids("P", net.sgen), "kind": net.sgen["profile"].map(plant_kind).to_numpy(), "meter_id": _ids("G", net.sgen),
        "node_id": feeders[net.sgen["bus"]].to_numpy(), "bus_id": net.bus["name"][net.sgen["bus"]].to_numpy(),
        "rating_kw": (net.sgen["p_mw"] * 1000).round(3).to_numpy(),
    })  # fmt: skip


def _units(net: Any, feeders: pd.Series, minimum_mwh: float) -> pd.DataFrame:
    """Storage units from a size on. SimBench gives a round-trip efficiency; each way gets its square root."""
    chosen = net.storage[net.storage["max_e_mwh"] >= minimum_mwh]
    round_trip = chosen["efficiency_percent"].where(chosen["efficiency_percent"] <= 1, chosen["efficiency_percent"] / 100)
    one_way = round_trip.map(math.sqrt).round(6).to_numpy()
    energy = (chosen["max_e_mwh"] * 1000).round(3).to_numpy()
    return pd.DataFrame({
        "unit_id": [f"S{number + 1:03d}" for number in chosen.index], "node_id": feeders[chosen["bus"]].to_numpy(),
        "bus_id": net.bus["name"][chosen["bus"]].to_numpy(), "power_kw": (chosen["p_mw"].abs() * 1000).round(3).to_numpy(), "energy_kwh": energy,
        "charge_efficiency": one_way, "discharge_efficiency": one_way,
        "self_discharge_pct_per_day": chosen["self-discharge_percent_per_day"].to_numpy(), "minimum_energy_kwh": (0.1 * energy).round(3),
        "initial_energy_kwh": (0.5 * energy).round(3), "wear_cost_per_kwh": WEAR_COST_PER_KWH, "cycles_per_day": CYCLES_PER_DAY,
    })  # fmt: skip


def _unique(names: pd.Series) -> pd.Series:
    """Names with a number behind those that occur again."""
    again = names.groupby(names).cumcount()
    return names.where(again == 0, names + " #" + (again + 1).astype(str))


def sensor_places(grid: SimulatedGrid) -> SensorPlaces:
    """Where a utility puts its grid sensors: the first station of each feeder, the busbars with their transformers, and a district's transformer."""
    net, feeders = grid.net, feeder_of_buses(grid.net)
    names, level = net.bus["name"], net.bus["vn_kv"]
    first: dict[str, tuple[str, str]] = {}
    for line in net.line[net.line["in_service"]].itertuples():
        if feeders[line.from_bus] == BUSBAR and feeders[line.to_bus] != BUSBAR:
            first.setdefault(str(feeders[line.to_bus]), (str(line.name), str(names[line.to_bus])))
    main = net.trafo[level.loc[net.trafo["hv_bus"]].to_numpy() > 60]
    high, second = main.iloc[0], main.iloc[-1]
    first[BUSBAR] = (str(second["name"]), str(names[second["lv_bus"]]))
    low = net.trafo[level.loc[net.trafo["lv_bus"]].to_numpy() < 1].iloc[0]
    return SensorPlaces(
        first, str(names[high["lv_bus"]]), str(high["name"]), str(names[low["lv_bus"]]), str(low["name"]), str(feeders[low["lv_bus"]])
    )
