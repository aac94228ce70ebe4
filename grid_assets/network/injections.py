"""From forecasts of nodes and plants to what each bus draws in each interval of the study day."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_assets.powerflow.gate import AdmittedNetwork

ROUNDING_KW = 1e-6
"""Demand below this is none: samples that were made to add up leave 1e-21 kW at a node without load."""


class InjectionError(ValueError):
    """A forecast that cannot be placed on the network: which node, plant, meter or bus, and what is missing."""


@dataclass(frozen=True)
class Injections:
    """What the buses draw: intervals x buses in the order of the network's bus table, consumption positive."""

    start_utc: pd.DatetimeIndex
    load_mw: np.ndarray
    load_mvar: np.ndarray

    def at(self, steps: np.ndarray) -> Injections:
        """Only these intervals."""
        return Injections(self.start_utc[steps], self.load_mw[steps], self.load_mvar[steps])


@dataclass(frozen=True)
class Placement:
    """Where the load below each node goes: node -> MW per bus for 1 MW, and Mvar per bus for 1 MW."""

    active: dict[str, np.ndarray]
    reactive: dict[str, np.ndarray]


def injections(
    admitted: AdmittedNetwork,
    start_utc: pd.DatetimeIndex,
    demand_forecasts: pd.DataFrame,
    renewable_forecasts: pd.DataFrame,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    plants: pd.DataFrame,
    meter_days: pd.DataFrame,
    power_factor: float,
) -> Injections:
    """Bus injections for the intervals ``start_utc`` (UTC): what the nodes are forecast to draw, less generation.

    Each node's forecast, less those of the nodes below it, is split over its load meters by their energy in
    ``meter_days`` (the rating where there is none) and drawn at the meter's bus. Meters and plants without a bus are
    spread over the network's loads in proportion to their nominal power. Reactive power follows the meter's power
    factor, or ``power_factor``; a meter that feeds in has none, and neither has a plant.
    Raises InjectionError naming what cannot be placed.
    """
    placement = place_loads(admitted, meters, meter_days, power_factor)
    feeding = fed_in(admitted, start_utc, renewable_forecasts, plants)
    return drawn_from(start_utc, by_interval(demand_forecasts, "node_id", start_utc), nodes, placement, feeding)


def sampled_injections(
    admitted: AdmittedNetwork,
    start_utc: pd.DatetimeIndex,
    scenarios: pd.DataFrame,
    renewable_forecasts: pd.DataFrame,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    plants: pd.DataFrame,
    meter_days: pd.DataFrame,
    power_factor: float,
) -> Iterator[Injections]:
    """The same for each sample of forecasting/scenarios in turn, by the order of their numbers; plants feed in as expected."""
    placement = place_loads(admitted, meters, meter_days, power_factor)
    feeding = fed_in(admitted, start_utc, renewable_forecasts, plants)
    for _, rows in scenarios.groupby("member", sort=True):
        demand = by_interval(rows.rename(columns={"value_kw": "mean_kw"}), "node_id", start_utc)
        yield drawn_from(start_utc, demand, nodes, placement, feeding)


def drawn_from(
    start_utc: pd.DatetimeIndex, demand: dict[str, np.ndarray], nodes: pd.DataFrame, placement: Placement, feeding: np.ndarray
) -> Injections:
    load_mw, load_mvar = -feeding, np.zeros(feeding.shape)
    for node, kw in own_demand(demand, nodes, placement).items():
        load_mw += np.outer(kw / 1000, placement.active[node])
        load_mvar += np.outer(np.maximum(kw, 0) / 1000, placement.reactive[node])
    return Injections(start_utc, load_mw, load_mvar)


def fed_in(admitted: AdmittedNetwork, start_utc: pd.DatetimeIndex, renewable_forecasts: pd.DataFrame, plants: pd.DataFrame) -> np.ndarray:
    """What the plants feed in [intervals, buses], MW."""
    generation = by_interval(renewable_forecasts, "plant_id", start_utc)
    made = np.zeros((len(start_utc), len(admitted.net.bus)))
    unknown = sorted(set(generation) - set(plants["plant_id"]))
    if unknown:
        raise InjectionError(f"plant {unknown[0]!r} has a forecast but is not in the register plants.csv")
    for plant, shares in place_plants(admitted, plants).items():
        if plant not in generation:
            raise InjectionError(f"plant {plant!r} has no forecast for the study day; materialise forecasting/renewable_forecasts first")
        made += np.outer(generation[plant] / 1000, shares)
    return made


def place_loads(admitted: AdmittedNetwork, meters: pd.DataFrame, meter_days: pd.DataFrame, power_factor: float) -> Placement:
    """How 1 MW of each node's own load spreads over the buses. ``meters`` are those in force on the study day."""
    loads = meters[meters["kind"] == "load"].sort_values("meter_id")
    weights = meter_weights(loads, meter_days)
    place, spread = _bus_places(admitted), None
    active: dict[str, np.ndarray] = {}
    reactive: dict[str, np.ndarray] = {}
    for node, group in loads.groupby("node_id", sort=True):
        shares = weights.loc[group.index] / weights.loc[group.index].sum()
        active[str(node)], reactive[str(node)] = np.zeros(len(place)), np.zeros(len(place))
        for meter, share in zip(group.itertuples(), shares, strict=True):
            if isinstance(meter.bus_id, str):
                at = np.zeros(len(place))
                at[_place_of(place, meter.bus_id, f"meter {meter.meter_id!r}", admitted)] = 1
            else:
                spread = nominal_shares(admitted) if spread is None else spread
                at = spread
            given = meter.power_factor if pd.notna(meter.power_factor) else power_factor
            if not 0 < given <= 1:
                raise InjectionError(f"meter {meter.meter_id!r}: power_factor = {given}; expected a number above 0 and up to 1")
            active[str(node)] += share * at
            reactive[str(node)] += share * at * math.tan(math.acos(given))
    return Placement(active, reactive)


def meter_weights(loads: pd.DataFrame, meter_days: pd.DataFrame) -> pd.Series:
    """The weight of each meter within its node: its recent energy. A meter without readings counts with its rating
    times what the node's other meters use per kW of rating; where no meter has any, ratings alone decide.
    """
    energy = meter_days.groupby("meter_id")["energy_kwh"].mean().clip(lower=0)
    known = loads["meter_id"].map(energy)
    weights = known.astype(float)
    for _, group in loads.groupby("node_id", sort=True):
        measured = known.loc[group.index].notna()
        rated = group.loc[measured, "rating_kw"].sum()
        per_kw = known.loc[group.index].sum() / rated if rated > 0 else 0.0
        if per_kw <= 0:
            weights.loc[group.index] = group["rating_kw"].clip(lower=1e-9)
            continue
        weights.loc[group.index[~measured]] = group.loc[~measured, "rating_kw"] * per_kw
    return weights


def own_demand(demand: dict[str, np.ndarray], nodes: pd.DataFrame, placement: Placement) -> dict[str, np.ndarray]:
    """kW of each node that has load meters of its own: its forecast, less the forecasts of the nodes right below it.

    A leaf's forecast is all its own. Above leaves the difference of forecasts may fall below 0 and is then 0.
    """
    strange = sorted(set(demand) - set(nodes["node_id"]))
    if strange:
        raise InjectionError(f"node {strange[0]!r} has a demand forecast but is not in the register nodes.csv")
    below = nodes.dropna(subset=["parent_id"]).groupby("parent_id")["node_id"].apply(list).to_dict()
    leaves = sorted(set(nodes["node_id"]) - set(below))
    lost = [node for node in leaves if node in demand and node not in placement.active and np.any(np.abs(demand[node]) > ROUNDING_KW)]
    if lost:
        raise InjectionError(f"node {lost[0]!r} has a demand forecast but no load meter in force on the study day that could carry it")
    found = {}
    for node in placement.active:
        if node not in demand:
            raise InjectionError(f"node {node!r} has load meters but no demand forecast for the study day; "
                                 f"materialise forecasting/demand_forecasts first")  # fmt: skip
        children = [child for child in below.get(node, ()) if child in demand]
        found[node] = np.maximum(demand[node] - sum(demand[child] for child in children), 0) if children else demand[node]
    return found


def place_plants(admitted: AdmittedNetwork, plants: pd.DataFrame) -> dict[str, np.ndarray]:
    """plant -> share of its power per bus."""
    place, found = _bus_places(admitted), {}
    for plant in plants.sort_values("plant_id").itertuples():
        if isinstance(plant.bus_id, str):
            found[plant.plant_id] = np.zeros(len(place))
            found[plant.plant_id][_place_of(place, plant.bus_id, f"plant {plant.plant_id!r}", admitted)] = 1
        else:
            found[plant.plant_id] = nominal_shares(admitted)
    return found


def _bus_places(admitted: AdmittedNetwork) -> dict[str, int]:
    return {name: place for place, name in enumerate(admitted.net.bus["name"])}


def _place_of(place: dict[str, int], bus_id: str, who: str, admitted: AdmittedNetwork) -> int:
    if bus_id not in place:
        raise InjectionError(f"{who}: bus {bus_id!r} is not in the network {admitted.source}; "
                             f"expected one of its {len(place)} bus names, such as {next(iter(place))!r}")  # fmt: skip
    return place[bus_id]


def nominal_shares(admitted: AdmittedNetwork) -> np.ndarray:
    """What share of a meter or plant without a bus each bus gets [buses]: that in the nominal power of the network's loads in service.

    Raises InjectionError where it has none.
    """
    loads = admitted.net.load[admitted.net.load["in_service"].astype(bool)]
    nominal = (loads["p_mw"] * loads["scaling"]).clip(lower=0).groupby(loads["bus"]).sum()
    shares = nominal.reindex(admitted.net.bus.index, fill_value=0.0).to_numpy(float)
    if shares.sum() <= 0:
        raise InjectionError(f"{admitted.source}: meters or plants without a bus are spread by the network's nominal loads, but it has none; "
                             f"give bus_id in the registers")  # fmt: skip
    return shares / shares.sum()


def by_interval(forecasts: pd.DataFrame, key: str, start_utc: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """mean_kw of each node or plant over exactly these intervals, from its latest issue."""
    latest = forecasts[forecasts["issued_utc"] == forecasts.groupby(key)["issued_utc"].transform("max")]
    wide = latest.pivot(index="start_utc", columns=key, values="mean_kw").reindex(start_utc)
    gaps = wide.columns[wide.isna().any()]
    if len(gaps):
        first = wide.index[wide[gaps[0]].isna()][0]
        raise InjectionError(f"{key} {gaps[0]!r}: the forecast has no value for {first:%Y-%m-%d %H:%M} UTC; "
                             f"expected all {len(start_utc)} intervals of the study day")  # fmt: skip
    return {str(name): wide[name].to_numpy(float) for name in wide}
