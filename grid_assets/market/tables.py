"""The tables that market publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, instant, number, text

PRICE_SIGNALS = Table(
    "market", "price_signals", "a tariff and interval of the study day, with the load expected under it", "site_day", ("signal_id", "start_utc"),
    (
        text("signal_id", "name of the tariff"),
        text("tier", "name of the price's step: low, normal, high, or flat"),
        instant("start_utc", "start of the interval"),
        number("price_per_kwh", "what customers pay"),
        number("expected_load_kw", "system load expected under this signal"),
        number("own_price_elasticity", "assumed of customers' energy of the day", unit="-"),
        number("substitution_elasticity", "assumed of customers' shifting between intervals", unit="-"),
    ),
)  # fmt: skip

PRICE_WHAT_IFS = Table(
    "market", "price_what_ifs", "a candidate tariff against the base on one study day", "study", ("study_id", "candidate_tariff"),
    (
        text("study_id", "the study: the day run it speaks of, and the tariffs compared"),
        text("base_tariff", "tariff in force"),
        text("candidate_tariff", "tariff looked at"),
        instant("start_utc", "begin of the study day"),
        instant("end_utc", "end of the study day"),
        number("own_price_elasticity", "assumed", unit="-"),
        number("substitution_elasticity", "assumed", unit="-"),
        text("elasticity_source", "where the elasticities come from"),
        number("base_peak_kw", "highest system load under the base"),
        number("base_energy_kwh", "system energy of the day under the base"),
        number("base_revenue", "what customers pay under the base", unit="currency"),
        number("candidate_revenue", "what customers pay under the candidate", unit="currency"),
        number("peak_change_pct", "change of the highest system load"),
        number("shifted_kwh", "energy moved from dearer to cheaper intervals"),
        number("energy_change_pct", "change of the day's energy"),
        number("procurement_cost_change", "change of what the energy costs the supplier", unit="currency"),
        number("revenue_change", "change of what customers pay", unit="currency"),
        number("bill_change_p05_pct", "change of a feeder's bill, 5 % quantile over the feeders; empty where none has a bill", nullable=True),
        number("bill_change_p95_pct", "the same, 95 % quantile", nullable=True),
        number("renewable_utilisation_pct", "generation used below the substation of what was available, under the candidate, without storage", nullable=True),
        number("base_renewable_utilisation_pct", "the same under the base", nullable=True),
        number("peak_change_low_elasticity_pct", "change of the highest load with half the elasticities"),
        number("peak_change_high_elasticity_pct", "the same with one and a half times the elasticities"),
    ),
)  # fmt: skip
