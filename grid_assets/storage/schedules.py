"""The storage plan of a study day: from forecasts and registers to schedules, curtailments and what they are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import StorageSection
from grid_assets.optimisation.fleet_routes import cost_over_samples, plan_over_samples
from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices, StorageUnits
from grid_assets.optimisation.storage_schedule import Schedule, finished, schedule
from grid_assets.optimisation.strategies import GREEDY, PER_FEEDER, PRICE_ONLY, RULE, by_price, by_rule, greedily, per_feeder
from grid_assets.storage.tables import FORECAST_MEAN, NO_STORAGE, OPTIMISED

MOST_SAMPLES = 10
"""Of the joint samples of the demand so many are planned for: with all, it takes as many times as long for a cost that differs by a per mille."""
MOST_SAMPLED = 150 * 96
"""Units times intervals up to which a plan is made over samples; larger fleets are planned for the mean."""


class StorageInputError(ValueError):
    """Forecasts or registers that a plan cannot be made from: what is missing, where, and what to do."""


@dataclass(frozen=True)
class Registers:
    """The registers that a plan needs, as frames in the columns of their tables."""

    nodes: pd.DataFrame
    meters: pd.DataFrame
    plants: pd.DataFrame
    units: pd.DataFrame


@dataclass(frozen=True)
class StoragePlan:
    """The rows of the three published tables, and the power through the system node for pictures."""

    plan_id: str
    schedules: pd.DataFrame
    curtailments: pd.DataFrame
    kpis: pd.DataFrame
    system: pd.DataFrame
    """start_utc, no_storage_kw, optimised_kw, charge_kw, discharge_kw, energy_kwh, curtailed_kw, available_kw."""


def plan_storage(
    site: Site,
    day: date,
    demand_forecasts: pd.DataFrame,
    renewable_forecasts: pd.DataFrame,
    registers: Registers,
    samples: pd.DataFrame | None = None,
    time_limit_s: float = 60.0,
) -> StoragePlan:
    """The cheapest plan for the study day of ``day``, beside the same day without storage and run in simpler ways.

    ``demand_forecasts``, ``renewable_forecasts`` and ``samples`` (rows of forecasting/scenarios) are the partitions of ``day``. With samples the plan is the one that
    costs least on average over them, else the one for the mean. Raises StorageInputError for missing forecasts or settings,
    ScheduleInputError for registers that no plan can be made from.
    """
    instance = instance_of(site, day, demand_forecasts, renewable_forecasts, registers)
    study_day = site.clock.study_day(day)
    starts = site.clock.intervals(study_day)
    drawn = sample_nodes(site, instance, samples, registers, starts) if samples is not None else []
    by_strategy = _strategies(instance, site.clock.local(starts).hour.to_numpy(), drawn, time_limit_s)
    optimised, idle = by_strategy[OPTIMISED], by_strategy[NO_STORAGE]
    plan_id = f"{site.name}-{study_day}-{_fingerprint(instance, drawn)[:12]}"
    schedules = _long(
        instance.units.unit_id,
        starts,
        "unit_id",
        charge_kw=optimised.charge_kw,
        discharge_kw=optimised.discharge_kw,
        energy_kwh=optimised.energy_kwh,
    )
    schedules.insert(0, "plan_id", plan_id)
    schedules["issued_utc"] = pd.Timestamp(site.clock.issue_time(day))
    curtailments = _long(
        instance.nodes.node_id, starts, "node_id", available_kw=instance.nodes.available_kw, curtailed_kw=optimised.curtailed_kw
    )
    fed = {instance.nodes.node_id[n] for n in np.flatnonzero((instance.nodes.available_kw > 0).any(axis=1))}
    curtailments = curtailments[curtailments["node_id"].isin(fed)].assign(plan_id=plan_id).reset_index(drop=True)
    carbon = site.storage.grid_carbon_kg_per_kwh if site.storage else 0.0
    kpis = pd.DataFrame([_kpis(instance, run, name, plan_id, carbon) for name, run in by_strategy.items()])
    kpis["expected_cost"] = [_cost_over(instance, run, drawn, time_limit_s) for run in by_strategy.values()]
    # what bounds the plan for the mean at the mean bounds every other plan there; that without storage is another problem
    kpis["bound"] = np.minimum(by_strategy[FORECAST_MEAN if drawn else OPTIMISED].bound, kpis["objective"])
    kpis.loc[kpis["strategy"] == NO_STORAGE, "bound"] = idle.bound
    kpis["gap_pct"] = _gap_pct(kpis["objective"], kpis["bound"])
    if drawn:
        best = kpis["strategy"] == OPTIMISED
        kpis.loc[best, "gap_pct"] = _gap_pct(kpis.loc[best, "expected_cost"], optimised.bound)
    return StoragePlan(plan_id, schedules, curtailments, kpis, _system(instance, starts, idle, optimised))


def _gap_pct(cost: pd.Series, bound: pd.Series | float) -> pd.Series:
    return 100.0 * (cost - bound).clip(lower=0.0) / cost.abs().clip(lower=1e-6)


def _strategies(instance: Instance, hour: np.ndarray, samples: list[Nodes], time_limit_s: float) -> dict[str, Schedule]:
    """The study day by strategy. ``hour`` (intervals,): local hours."""
    mean = schedule(instance, time_limit_s)
    made = {NO_STORAGE: schedule(instance.without_units(), time_limit_s)}
    if len(instance.units):
        made |= {
            RULE: by_rule(instance, hour),
            GREEDY: greedily(instance),
            PRICE_ONLY: by_price(instance),
            PER_FEEDER: per_feeder(instance, time_limit_s),
        }
    if not samples:
        return made | {OPTIMISED: mean}
    over = plan_over_samples(instance, samples, time_limit_s)
    return made | {FORECAST_MEAN: mean, OPTIMISED: replace(finished(instance, over, -np.inf, 0), bound=over.bound)}


def _cost_over(instance: Instance, run: Schedule, samples: list[Nodes], time_limit_s: float) -> float:
    """What a strategy costs on average over the samples; NaN without any."""
    if not samples:
        return np.nan
    fleet = instance if len(run.charge_kw) else instance.without_units()
    return cost_over_samples(fleet, run.charge_kw, run.discharge_kw, samples, time_limit_s)


def _fingerprint(instance: Instance, samples: list[Nodes]) -> str:
    digest = hashlib.sha256(instance.fingerprint().encode())
    for nodes in samples:
        digest.update(np.ascontiguousarray(nodes.demand_kw, dtype=float).tobytes())
    return digest.hexdigest() if samples else instance.fingerprint()


def sample_nodes(site: Site, instance: Instance, samples: pd.DataFrame, registers: Registers, starts: pd.DatetimeIndex) -> list[Nodes]:
    """The nodes with each of some joint samples of the demand, evenly drawn from all; none where the fleet is too large to be planned over samples."""
    if samples.empty or not len(instance.units) or len(instance.units) * len(starts) > MOST_SAMPLED:
        return []
    members = sorted(samples["member"].unique())
    chosen = [members[n] for n in np.unique(np.linspace(0, len(members) - 1, MOST_SAMPLES).round().astype(int))]
    meters = in_force(registers.meters, starts[0], starts[-1])
    consuming = set(meters.loc[meters["kind"] == "load", "node_id"])
    made = []
    for member in chosen:
        mean = _means(samples[samples["member"] == member].rename(columns={"value_kw": "mean_kw"}), "node_id", starts)
        made.append(replace(instance.nodes, demand_kw=_demands(registers, mean, consuming, starts)))
    return made


def instance_of(site: Site, day: date, demand_forecasts: pd.DataFrame, renewable_forecasts: pd.DataFrame, registers: Registers) -> Instance:
    """The planning problem of the study day of ``day``. Raises StorageInputError naming what is missing."""
    if site.storage is None:
        raise StorageInputError(f"site {site.name} has no [storage] section; add one to plan storage")
    clock = site.clock
    starts = clock.intervals(clock.study_day(day))
    meters = in_force(registers.meters, starts[0], starts[-1])
    consuming = set(meters.loc[meters["kind"] == "load", "node_id"])
    return Instance(
        units=units_of(registers.units, clock.interval_hours),
        nodes=_nodes_of(registers, demand_forecasts, renewable_forecasts, starts, consuming, site.storage.feeder_limit_penalty_per_kwh),
        prices=_prices_of(site.storage, len(starts)),
        interval_hours=clock.interval_hours,
        intervals_per_day=len(starts),
        terminal_exact=True,
    )


def units_of(units: pd.DataFrame, interval_hours: float) -> StorageUnits:
    """The register's units as the planner takes them: they end the day with the energy that they began it with.

    Self-discharge of p % a day leaves (1 - p/100)^(interval_hours/24) of the energy after an interval.
    """
    column = {name: units[name].to_numpy(float) for name in units.columns if name not in ("unit_id", "node_id", "bus_id")}
    return StorageUnits(
        unit_id=units["unit_id"].tolist(),
        node_id=units["node_id"].tolist(),
        charge_kw=column["power_kw"],
        discharge_kw=column["power_kw"],
        capacity_kwh=column["energy_kwh"],
        minimum_kwh=column["minimum_energy_kwh"],
        maximum_kwh=column["energy_kwh"],
        initial_kwh=column["initial_energy_kwh"],
        terminal_kwh=column["initial_energy_kwh"],
        charge_efficiency=column["charge_efficiency"],
        discharge_efficiency=column["discharge_efficiency"],
        self_discharge_per_interval=1.0
        - (1.0 - np.minimum(column["self_discharge_pct_per_day"], 100.0) / 100.0) ** (interval_hours / 24.0),
        wear_cost_per_kwh=column["wear_cost_per_kwh"],
        cycles_per_day=column["cycles_per_day"],
    )


def _prices_of(section: StorageSection, intervals: int) -> Prices:
    if section.export_price_per_mwh > section.import_price_per_mwh:
        raise StorageInputError(
            f"storage.export_price_per_mwh = {section.export_price_per_mwh} is above storage.import_price_per_mwh ="
            f" {section.import_price_per_mwh}; expected at most as much, else buying to sell at once would pay"
        )
    return Prices(
        import_per_kwh=np.full(intervals, section.import_price_per_mwh / 1000.0),
        export_per_kwh=np.full(intervals, section.export_price_per_mwh / 1000.0),
        curtailment_per_kwh=section.curtailment_price_per_mwh / 1000.0,
        peak_per_kw=section.peak_price_per_kw,
    )


def _nodes_of(
    registers: Registers, demand: pd.DataFrame, renewable: pd.DataFrame, starts: pd.DatetimeIndex, consuming: set[str], penalty: float
) -> Nodes:
    names = registers.nodes["node_id"].tolist()
    parents = [parent if isinstance(parent, str) and parent else None for parent in registers.nodes["parent_id"]]
    mean = _means(demand, "node_id", starts)
    available = np.zeros((len(names), len(starts)))
    position = {name: n for n, name in enumerate(names)}
    generation = _means(renewable, "plant_id", starts)
    for plant in registers.plants.itertuples():
        if plant.node_id not in position:
            raise StorageInputError(f"plant {plant.plant_id}: its node {plant.node_id!r} is not in the register of nodes")
        series = _series(generation, plant.plant_id, "plant", "forecasting/renewable_forecasts", starts)
        available[position[plant.node_id]] += np.maximum(series, 0.0)
    return Nodes(
        node_id=names,
        parent_id=parents,
        demand_kw=_demands(registers, mean, consuming, starts),
        available_kw=available,
        import_limit_kw=registers.nodes["import_limit_kw"].astype(float).fillna(np.inf).to_numpy(),
        export_limit_kw=registers.nodes["export_limit_kw"].astype(float).fillna(np.inf).to_numpy(),
        penalty_per_kwh=penalty,
    )


def _demands(registers: Registers, mean: pd.DataFrame, consuming: set[str], starts: pd.DatetimeIndex) -> np.ndarray:
    """What hangs on each node itself, (nodes, intervals), kW."""
    names = registers.nodes["node_id"].tolist()
    parents = registers.nodes["parent_id"].tolist()
    children = {name: [one for one, parent in zip(names, parents, strict=True) if parent == name] for name in names}
    return np.array([_own_demand(name, children, consuming, mean, starts) for name in names])


def _own_demand(
    name: str, children: Mapping[str, list[str]], consuming: set[str], mean: pd.DataFrame, starts: pd.DatetimeIndex
) -> np.ndarray:
    """Demand of the meters that hang on the node itself: its forecast, less what is metered below it."""
    if name not in consuming:
        return np.zeros(len(starts))
    own = _series(mean, name, "node", "forecasting/demand_forecasts", starts)
    metered = _metered_below(name, children, consuming)
    below = [_series(mean, child, "node", "forecasting/demand_forecasts", starts) for child in metered]
    return np.maximum(own - np.sum(below, axis=0), 0.0) if below else own


def _metered_below(name: str, children: Mapping[str, list[str]], consuming: set[str]) -> list[str]:
    """The nearest nodes below that have meters: what a forecast holds beyond the node's own meters."""
    return [found for child in children[name] for found in ([child] if child in consuming else _metered_below(child, children, consuming))]


def _means(forecasts: pd.DataFrame, name: str, starts: pd.DatetimeIndex) -> pd.DataFrame:
    """Mean forecasts of the intervals, a column per node or plant; of several issues the latest."""
    wanted = forecasts[forecasts["start_utc"].isin(starts)].sort_values("issued_utc")
    latest = wanted.drop_duplicates([name, "start_utc"], keep="last")
    return latest.pivot(index="start_utc", columns=name, values="mean_kw").reindex(starts)


def _series(means: pd.DataFrame, name: str, kind: str, table: str, starts: pd.DatetimeIndex) -> np.ndarray:
    if name not in means:
        raise StorageInputError(f"{kind} {name}: {table} has no forecast of {starts[0]} to {starts[-1]}; materialise it for this day first")
    values = means[name].to_numpy(float)
    gaps = np.flatnonzero(~np.isfinite(values))
    if len(gaps):
        raise StorageInputError(f"{kind} {name}: {table} has no forecast of {len(gaps)} intervals, the first at {starts[gaps[0]]}")
    return values


def _long(names: list[str] | tuple[str, ...], starts: pd.DatetimeIndex, name: str, **grids: np.ndarray) -> pd.DataFrame:
    """(names, intervals) arrays as rows."""
    frame = pd.DataFrame({name: np.repeat(np.array(list(names), dtype=object), len(starts)), "start_utc": np.tile(starts, len(names))})
    frame["start_utc"] = pd.to_datetime(frame["start_utc"], utc=True)
    return frame.assign(**{column: grid.ravel() for column, grid in grids.items()})


def _kpis(instance: Instance, run: Schedule, strategy: str, plan_id: str, carbon_kg_per_kwh: float) -> dict[str, object]:
    hours, top = instance.interval_hours, run.net_kw[instance.top]
    available = float(instance.nodes.available_kw.sum() * hours)
    curtailed, exported = float(run.curtailed_kw.sum() * hours), float(np.maximum(-top, 0.0).sum() * hours)
    used = 100.0 * max(0.0, available - curtailed - exported) / available if available > 0 else np.nan
    return {
        "strategy": strategy,
        "plan_id": plan_id,
        "objective": run.objective,
        "bound": run.bound,
        "gap_pct": run.gap_pct,
        "peak_kw": float(np.maximum(top, 0.0).max(initial=0.0)),
        "net_energy_kwh": float(top.sum() * hours),
        "renewable_available_kwh": available,
        "curtailed_kwh": curtailed,
        "exported_kwh": exported,
        "renewable_utilisation_pct": used,
        "co2_kg": float(np.maximum(top, 0.0).sum() * hours * carbon_kg_per_kwh),
        "energy_cost": run.costs.energy,
        "wear_cost": run.costs.wear,
        "peak_cost": run.costs.peak,
        "curtailment_cost": run.costs.curtailment,
        "violation_cost": run.costs.violations,
        "violations": "; ".join(map(str, run.violations)) or None,
    }


def _system(instance: Instance, starts: pd.DatetimeIndex, idle: Schedule, optimised: Schedule) -> pd.DataFrame:
    top = instance.top
    return pd.DataFrame(
        {
            "start_utc": starts,
            "no_storage_kw": idle.net_kw[top],
            "optimised_kw": optimised.net_kw[top],
            "charge_kw": optimised.charge_kw.sum(axis=0),
            "discharge_kw": optimised.discharge_kw.sum(axis=0),
            "energy_kwh": optimised.energy_kwh.sum(axis=0),
            "available_kw": instance.nodes.available_kw.sum(axis=0),
            "curtailed_kw": optimised.curtailed_kw.sum(axis=0),
        }
    )
