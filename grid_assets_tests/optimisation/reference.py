"""The shared verification instances as this project's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices, StorageUnits

COLUMNS = {
    "charge_kw": "max_charge_kw",
    "discharge_kw": "max_discharge_kw",
    "capacity_kwh": "energy_capacity_kwh",
    "minimum_kwh": "min_energy_kwh",
    "maximum_kwh": "max_energy_kwh",
    "initial_kwh": "initial_energy_kwh",
    "terminal_kwh": "terminal_energy_min_kwh",
    "charge_efficiency": "charge_efficiency",
    "discharge_efficiency": "discharge_efficiency",
    "self_discharge_per_interval": "self_discharge_per_step",
    "wear_cost_per_kwh": "degradation_eur_per_kwh_discharged",
    "cycles_per_day": "max_full_cycles_per_day",
}


def read_case(path: Path) -> tuple[Instance, dict]:
    """The instance of a file, and what is expected of it."""
    case = json.loads(path.read_text())
    store = case["storage"]
    import_price = np.array(case["price_import_eur_per_kwh"])
    network = case["mode"] == "network"
    homes = store["feeder"] if network else ["top"] * len(store["id"])
    units = StorageUnits(store["id"], homes, **{ours: np.array(store[theirs]) for ours, theirs in COLUMNS.items()})
    prices = Prices(import_price, np.array(case["price_export_eur_per_kwh"]) if network else import_price)
    nodes = _network(case, import_price) if network else _one_node(case["steps"])
    hours, block, exclusive = case["step_hours"], case["steps_per_day"], case["exclusive_charge_discharge"]
    return Instance(units, nodes, prices, hours, block, exclusive=exclusive), case["expected"]


def _one_node(steps: int) -> Nodes:
    nothing = np.zeros((1, steps))
    return Nodes(["top"], [None], nothing, nothing, np.array([np.inf]), np.array([np.inf]))


def _network(case: dict, import_price: np.ndarray) -> Nodes:
    """There, energy above the substation's import limit costs the penalty instead of the price; here, on top of it."""
    feeders, steps = case["feeders"], case["steps"]
    nothing = [[0.0] * steps]
    penalty = np.full((1 + len(feeders), steps), case["violation_penalty_eur_per_kwh"])
    penalty[0] -= import_price
    return Nodes(
        ["top", *(one["id"] for one in feeders)],
        [None, *("top" for _ in feeders)],
        np.array(nothing + [one["load_kw"] for one in feeders]),
        np.array(nothing + [one["pv_available_kw"] for one in feeders]),
        np.array([case["substation"]["import_limit_kw"], *(one["import_limit_kw"] for one in feeders)]),
        np.array([case["substation"]["export_limit_kw"], *(one["export_limit_kw"] for one in feeders)]),
        penalty,
    )
