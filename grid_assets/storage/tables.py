"""The tables that storage publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, instant, number, text

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
        text("strategy", "no_storage or optimised"),
        text("plan_id", "the plan"),
        number("objective", "what the plan costs by the objective", unit="currency"),
        number("bound", "no plan can cost less than this", unit="currency"),
        number("gap_pct", "objective against bound"),
        number("peak_kw", "highest mean power drawn from the grid above"),
        number("net_energy_kwh", "energy drawn from the grid above minus energy fed back"),
        number("renewable_available_kwh", "forecast generation"),
        number("curtailed_kwh", "of it turned down"),
        number("exported_kwh", "fed back to the grid above"),
        number("renewable_utilisation_pct", "generation used below the substation, directly or through storage, of what was available; empty where none was", nullable=True),
        number("energy_cost", "energy drawn minus fed back, at the site's prices", unit="currency"),
        number("wear_cost", "wear of the units", unit="currency"),
        number("peak_cost", "price of the highest power drawn", unit="currency"),
        number("curtailment_cost", "price of the energy turned down", unit="currency"),
        number("violation_cost", "price of the energy above limits", unit="currency"),
        text("violations", "limits that the plan exceeds, at their price, in words", nullable=True),
    ),
)  # fmt: skip
