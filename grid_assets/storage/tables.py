"""The tables that storage publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, instant, number, text

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

UNIT_HEALTH = Table(
    "storage", "unit_health", "a storage unit on a day: how it was used, how warm it was, and how much of it is left", "site_day", ("unit_id",),
    (
        text("unit_id", "the unit"),
        calendar_day("day", "the site day"),
        calendar_day("first_day", "the first day that its health was followed; it is taken as new then"),
        count("readings", "valid values of the state of charge, or of power where there is none"),
        number("coverage_pct", "hours of the day with such a value, of all its hours"),
        number("throughput_kwh", "energy into and out of the store on the day"),
        number("equivalent_full_cycles", "the same in full cycles of the register's energy content", unit="-"),
        number("total_throughput_kwh", "throughput since the first day"),
        number("total_equivalent_full_cycles", "full cycles since the first day", unit="-"),
        number("cycles", "cycles of the day counted by rainflow, half ones as a half", unit="-"),
        number("mean_depth_pct", "their mean depth; empty: none", nullable=True),
        number("largest_depth_pct", "the deepest one; empty: none", nullable=True),
        number("mean_temperature_degc", "mean measured temperature; empty: not measured", nullable=True),
        number("highest_temperature_degc", "highest measured temperature; empty: not measured", nullable=True),
        number("hot_minutes", "time above the site's limit for cells"),
        instant("hot_from_utc", "since when it was above the limit, possibly from a day before; empty: it was not", nullable=True),
        instant("hot_until_utc", "when it was no longer; empty: it still was at the end of the day, or never", nullable=True),
        number("calendar_fade_pct", "capacity lost by time, of the register's energy content"),
        number("cycle_fade_pct", "capacity lost by cycling"),
        number("capacity_fade_pct", "capacity lost, both together"),
        number("resistance_growth_pct", "growth of the inner resistance"),
        number("soh_pct", "state of health: capacity left, of the register's energy content"),
        number("remaining_years", "until the site's end of life, if the use of the last weeks goes on", unit="a"),
        number("ageing_soc_pct", "mean state of charge that the ageing was reckoned with, measured or assumed"),
        number("ageing_temperature_degc", "mean temperature that the ageing was reckoned with, measured or assumed"),
        number("last_soc_pct", "state of charge at the end of the day, noise held back; empty: never measured", nullable=True),
        instant("last_read_utc", "when that was measured", nullable=True),
        text("note", "what was not measured and is assumed; empty: nothing", nullable=True),
    ),
)  # fmt: skip
