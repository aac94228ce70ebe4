"""What a planner may choose: how much each objective weighs, and where another unit would stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.optimisation.fleet_routes import LARGE
from grid_assets.optimisation.storage_instance import Instance
from grid_assets.optimisation.storage_schedule import Schedule, costs_of, schedule
from grid_assets.optimisation.strategies import TradeOff, trade_offs, with_unit
from grid_assets.storage.schedules import Registers, instance_of
from grid_assets.storage.tables import SITING, TRADE_OFFS

CARBON_PRICES = (0.0, 50.0, 200.0, 1000.0)
"""Per tonne."""
SAME = 1e-3
"""Savings that differ by less than this share are alike."""
ADDED_KWH = (1000, 250, 500, 2000, 4000)
"""The first at every node, the others where the first saves most."""


def choices_of_day(
    site: Site, day: date, demand_forecasts: pd.DataFrame, renewable_forecasts: pd.DataFrame, registers: Registers
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of TRADE_OFFS and of SITING for the study day of ``day``, at the forecasts' means; errors as of ``plan_storage``.

    Fleets that are no single linear programme (above some 300 units) have no rows: each row is a plan of its own.
    """
    instance = instance_of(site, day, demand_forecasts, renewable_forecasts, registers)
    if not len(instance.units) or len(instance.units) * instance.intervals > LARGE or site.storage is None:
        return TRADE_OFFS.empty().to_pandas(), SITING.empty().to_pandas()
    carbon = site.storage.grid_carbon_kg_per_kwh
    weighed = [*trade_offs(instance), *_by_carbon_price(instance, carbon)]
    rows = pd.DataFrame([_weighed(instance, one, carbon) for one in weighed])
    rows["step"] = rows.groupby("objective")["weight"].rank(method="first").astype(int)
    return rows[TRADE_OFFS.columns], siting(instance)


def _by_carbon_price(instance: Instance, kg_per_kwh: float) -> Iterator[TradeOff]:
    for price in CARBON_PRICES:
        drawn = np.asarray(instance.prices.import_per_kwh, float) + price / 1000.0 * kg_per_kwh
        yield TradeOff("carbon", price, 0.0, schedule(replace(instance, prices=replace(instance.prices, import_per_kwh=drawn))))


def _weighed(instance: Instance, one: TradeOff, kg_per_kwh: float) -> dict[str, object]:
    plan, hours = one.plan, instance.interval_hours
    top, costs = plan.net_kw[instance.top], costs_of(instance, plan.net_kw, plan.discharge_kw, plan.curtailed_kw)
    return {
        "objective": one.objective, "weight": one.weight, "cost": costs.total, "energy_cost": costs.energy, "wear_cost": costs.wear,
        "peak_kw": float(np.maximum(top, 0.0).max(initial=0.0)), "curtailed_kwh": float(plan.curtailed_kw.sum() * hours),
        "exported_kwh": float(np.maximum(-top, 0.0).sum() * hours), "co2_kg": float(np.maximum(top, 0.0).sum() * hours * kg_per_kwh),
        "reserve_kw": one.reserve_kw, "gap_pct": plan.gap_pct,
    }  # fmt: skip


def siting(instance: Instance) -> pd.DataFrame:
    """Rows of SITING: a unit of 1 MWh at every node in turn, and other sizes at the node where it saves most."""
    base, rows = schedule(instance), []

    def tried(node: str, added_kwh: int) -> dict[str, object]:
        plan: Schedule = schedule(with_unit(instance, node, added_kwh))
        top = plan.net_kw[instance.top]
        return {
            "node_id": node, "added_kwh": added_kwh, "saving": base.objective - plan.objective, "peak_kw": float(np.maximum(top, 0.0).max(initial=0.0)),
            "curtailed_kwh": float(plan.curtailed_kw.sum() * instance.interval_hours),
        }  # fmt: skip

    rows = [tried(node, ADDED_KWH[0]) for node in instance.nodes.node_id]
    best = max(rows, key=lambda one: one["saving"])["node_id"]
    rows += [tried(str(best), size) for size in ADDED_KWH[1:]]
    frame = pd.DataFrame(rows)
    order = (frame["saving"] / frame["added_kwh"]).round(9).rank(ascending=False, method="first")
    return frame.assign(rank=order.astype(int))[SITING.columns]


def siting_in_words(rows: pd.DataFrame, currency: str) -> str:
    """Where another MWh would save most, and how much; empty without rows."""
    ones = rows[rows["added_kwh"] == ADDED_KWH[0]].sort_values("saving", ascending=False)
    if ones.empty:
        return ""
    first, last = ones.iloc[0], ones.iloc[-1]
    if first["saving"] - last["saving"] < SAME * max(first["saving"], 1e-9):
        return f"1 MWh more saves {first['saving']:.2f} {currency} on this day, wherever it stands: no limit of a node binds"
    return f"1 MWh more saves most at {first['node_id']}: {first['saving']:.2f} {currency} on this day; least at {last['node_id']}: {last['saving']:.2f}"
