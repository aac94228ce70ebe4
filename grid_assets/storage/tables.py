"""The tables that storage publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, count, instant, number, text

NO_STORAGE, OPTIMISED, FORECAST_MEAN = "no_storage", "optimised", "forecast_mean"
"""Strategies; those that are simpler are named in optimisation/strategies."""

SCHEDULES = Table(
    "storage", "schedules", "a storage unit and interval of the study day", "site_day", ("plan_id", "unit_id", "start_utc"),
    (
        text("plan_id", "the plan: site, study day and a hash of its inputs"),
        instant("issued_utc", "when the plan was made"),
        text("unit_id", "the unit"),
        instant("start_utc", "start of the interval"),
        number("charge_kw", "mean power drawn at the terminals"),
        number("discharge_kw", "mean power fed in at the terminals"),
        number("energy_kwh", "energy in the store at the end of the interval"),
    ),
)  # fmt: skip

CURTAILMENTS = Table(
    "storage", "curtailments", "a node and interval of the study day: renewable energy available and not used", "site_day", ("plan_id", "node_id", "start_utc"),
    (
        text("plan_id", "the plan"),
        text("node_id", "the feeder or substation"),
        instant("start_utc", "start of the interval"),
        number("available_kw", "forecast mean generation"),
        number("curtailed_kw", "of it turned down under the plan"),
    ),
)  # fmt: skip

SCHEDULE_KPIS = Table(
    "storage", "schedule_kpis", "a way of running the storage on the study day", "site_day", ("strategy",),
    (
        text("strategy", "no_storage, rule (by the clock), greedy, price_only, per_feeder, forecast_mean (planned for the mean), or optimised, which is the published plan"),
        text("plan_id", "the plan"),
        number("objective", "what the plan costs by the objective", unit="currency"),
        number("bound", "no plan can cost less than this", unit="currency"),
        number("gap_pct", "objective against bound; of the optimised plan that of its mean cost over the samples, where it was planned over them"),
        number("expected_cost", "mean cost over the samples of the demand, each with its own best curtailment; empty without samples", unit="currency", nullable=True),
        number("peak_kw", "highest mean power drawn from the grid above"),
        number("net_energy_kwh", "energy drawn from the grid above minus energy fed back"),
        number("renewable_available_kwh", "forecast generation"),
        number("curtailed_kwh", "of it turned down"),
        number("exported_kwh", "fed back to the grid above"),
        number("renewable_utilisation_pct", "generation used below the substation, directly or through storage, of what was available; empty where none was", nullable=True),
        number("co2_kg", "energy drawn from the grid above, at the site's carbon intensity", unit="kg"),
        number("energy_cost", "energy drawn minus fed back, at the site's prices", unit="currency"),
        number("wear_cost", "wear of the units", unit="currency"),
        number("peak_cost", "price of the highest power drawn", unit="currency"),
        number("curtailment_cost", "price of the energy turned down", unit="currency"),
        number("violation_cost", "price of the energy above limits", unit="currency"),
        text("violations", "limits that the plan exceeds, at their price, in words", nullable=True),
    ),
)  # fmt: skip

TRADE_OFFS = Table(
    "storage", "trade_offs", "a plan that weighs one objective otherwise: what that costs in the others, all at the site's own prices", "site_day", ("objective", "step"),
    (
        text("objective", "peak, curtailment, wear, carbon, or reserve"),
        count("step", "1: the least weight"),
        number("weight", "factor on its price; of carbon the price of a tonne of CO2; of the reserve the share of power and energy that is held back", unit="see objective"),
        number("cost", "the plan at the site's prices", unit="currency"),
        number("energy_cost", "energy drawn minus fed back", unit="currency"),
        number("wear_cost", "wear of the units", unit="currency"),
        number("peak_kw", "highest mean power drawn from the grid above"),
        number("curtailed_kwh", "generation turned down"),
        number("exported_kwh", "fed back to the grid above"),
        number("co2_kg", "energy drawn from the grid above, at the site's carbon intensity", unit="kg"),
        number("reserve_kw", "discharging power that is held back"),
        number("gap_pct", "how far the plan may be from the best for its own weights"),
    ),
)  # fmt: skip

SITING = Table(
    "storage", "siting", "another storage unit of some size at a node: what the study day would have been worth with it", "site_day", ("node_id", "added_kwh"),
    (
        text("node_id", "the feeder or substation"),
        count("added_kwh", "energy of the unit that is added, kWh; it lasts two hours at full power"),
        number("saving", "the plan without it less the plan with it", unit="currency"),
        number("peak_kw", "highest mean power drawn from the grid above, with it"),
        number("curtailed_kwh", "generation turned down, with it"),
        count("rank", "1: saves most per kWh"),
    ),
)  # fmt: skip
