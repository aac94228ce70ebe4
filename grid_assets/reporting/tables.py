"""The published marts: what BI reads, in schema ``grid`` of the warehouse and as Parquet in the lake."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, flag, instant, money, number, text

_QUANTILES = ("p05_kw", "p10_kw", "p25_kw", "p50_kw", "p75_kw", "p90_kw", "p95_kw")

DAILY_ENERGY = Table(
    "reporting", "daily_energy", "a node, kind of meter and site day", "none", ("day", "node_id", "kind"),
    (
        calendar_day("day", "the site day"),
        text("node_id", "the node that the meters hang on"),
        text("kind", "load or generation"),
        count("meters", "meters"),
        number("energy_kwh", "sum of the published energy"),
        count("expected_intervals", "intervals that should have a reading"),
        count("estimated_intervals", "of them estimated"),
        count("missing_intervals", "of them without any value"),
        number("valid_pct", "measured and valid of expected"),
    ),
)  # fmt: skip

NODE_LOADS = Table(
    "reporting", "node_loads", "a feeder, substation or the system, and an interval", "none", ("node_id", "start_utc"),
    (
        text("node_id", "the node"),
        text("level", "system, substation or feeder"),
        instant("start_utc", "start of the interval"),
        number("energy_kwh", "consumption below the node"),
        number("generation_kwh", "generation below the node"),
        number("net_kwh", "consumption minus generation"),
        number("valid_pct", "load meters with a measured value"),
    ),
)  # fmt: skip

DATA_QUALITY = Table(
    "reporting", "data_quality", "a node, kind of meter and site day", "none", ("day", "node_id", "kind"),
    (
        calendar_day("day", "the site day"),
        text("node_id", "the node"),
        text("kind", "load, generation or boundary"),
        count("meters", "meters in force"),
        number("valid_pct", "valid of expected intervals"),
        number("estimated_pct", "estimated of expected intervals"),
        number("missing_pct", "missing of expected intervals"),
    ),
)  # fmt: skip

NODE_BALANCES = Table(
    "reporting", "node_balances", "a node with boundary meters and a site day: what flowed in against what the meters below say", "none",
    ("day", "node_id"),
    (
        calendar_day("day", "the site day"),
        text("node_id", "feeder or substation"),
        count("intervals", "intervals in which all its boundary meters have a value"),
        number("measured_kwh", "net energy into the node by its own meters"),
        number("load_kwh", "energy of the load meters below"),
        number("generation_kwh", "energy of the generation meters below"),
        number("residual_kwh", "measured minus load plus generation: losses, theft, unmetered supply and errors"),
        number("residual_pct", "residual of the summed size of the measured energy; empty where that is nothing", nullable=True),
    ),
)  # fmt: skip

ALERTS = Table(
    "reporting", "alerts", "an alert, as the latest day tells it", "none", ("alert_id",),
    (
        text("alert_id", "kind, subject and opening time"),
        text("kind", "low_valid_share, device_offline, area_outage or unusual_consumption"),
        text("subject", "the node, device or meter"),
        instant("opened_utc", "when the condition had held long enough"),
        instant("closed_utc", "when it had been over long enough; empty: open at the end of the latest day that tells of it", nullable=True),
        text("severity", "information, warning or critical"),
        text("evidence", "what was seen, with figures"),
        calendar_day("latest_day", "the latest site day on which it was open"),
    ),
)  # fmt: skip

REFUSED_ROWS = Table(
    "reporting", "refused_rows", "a file and rule: rows that were refused on arrival", "none", ("arrival_day", "file_id", "rule"),
    (
        calendar_day("arrival_day", "the day run that saw the file first"),
        text("file_id", "hash of the file's content"),
        text("source_file", "name of the file"),
        text("rule", "what they were refused by"),
        count("rows", "rows refused"),
        text("example", "the reason given for the first of them"),
    ),
)  # fmt: skip

DEMAND_FORECASTS = Table(
    "reporting", "demand_forecasts", "a node and interval, by the latest forecast issued for it", "none", ("node_id", "start_utc"),
    (
        text("node_id", "feeder, substation or the system"),
        instant("start_utc", "start of the interval"),
        instant("issued_utc", "when the forecast was issued"),
        number("mean_kw", "expected mean power"),
        *(number(name, f"the mean power stays below this with {int(name[1:3])} % probability") for name in _QUANTILES),
        text("model", "the model in use"),
    ),
)  # fmt: skip

HOURLY_DEMAND_FORECASTS = Table(
    "reporting", "hourly_demand_forecasts", "a node and hour, by the latest forecast issued for it", "none", ("node_id", "start_utc"),
    (
        text("node_id", "feeder, substation or the system"),
        instant("start_utc", "start of the hour"),
        instant("issued_utc", "when the newest of its intervals was issued"),
        number("mean_kw", "expected mean power"),
        *(number(name, f"the mean power stays below this with about {int(name[1:3])} % probability: its intervals err together") for name in _QUANTILES),
    ),
)  # fmt: skip

FORECAST_ACCURACY = Table(
    "reporting", "forecast_accuracy", "a node or group of plants, and a day that was forecast", "none", ("day", "subject_id", "horizon_class"),
    (
        calendar_day("day", "the day that was forecast"),
        text("subject_id", "node_id, or the kind of plants"),
        text("horizon_class", "how far ahead"),
        text("model", "the model that was in use"),
        number("mape_pct", "mean absolute error of the mean against the actual", nullable=True),
        number("mae_kw", "mean absolute error of the mean"),
        number("pinball_kw", "mean pinball loss over the quantiles"),
        number("coverage_90_pct", "actuals between the 5 % and the 95 % quantile"),
        number("bias_pct", "mean error against the mean actual", nullable=True),
        number("naive_mae_kw", "mean absolute error of the weekly naive"),
        number("improvement_pct", "how much smaller the error is than the naive's; empty where the naive made none", nullable=True),
    ),
)  # fmt: skip

NETWORK_SUMMARIES = Table(
    "reporting", "network_summaries", "the flow study of a day run", "none", ("day_run", "scenario"),
    (
        calendar_day("day_run", "the day run; it studies the study day after it"),
        text("scenario", "the case studied"),
        count("steps", "intervals solved"),
        count("failed_steps", "intervals that did not converge"),
        number("minimum_vm_pu", "lowest voltage"),
        number("maximum_vm_pu", "highest voltage"),
        number("maximum_loading_pct", "highest branch loading"),
        number("losses_mwh", "energy lost over the day"),
        number("residual_max_mva", "largest nodal power mismatch"),
        count("violations", "elements and intervals outside their limits"),
        count("critical_violations", "of them critical"),
    ),
)  # fmt: skip

CONSTRAINT_VIOLATIONS = Table(
    "reporting", "constraint_violations", "an element outside its limits in an interval", "none", ("scenario", "kind", "element_id", "start_utc"),
    (
        calendar_day("day_run", "the day run whose study found it"),
        instant("start_utc", "start of the interval"),
        text("scenario", "the case studied"),
        text("kind", "undervoltage, overvoltage or overload"),
        text("element_id", "bus or branch"),
        text("element_kind", "bus, line or transformer"),
        text("feeder_id", "the feeder concerned", nullable=True),
        text("severity", "warning or critical"),
        number("value", "what the study found", unit="p.u. or %"),
        number("limit_value", "the limit it is held against", unit="p.u. or %"),
        count("customers_affected", "load meters at the bus, or behind the branch"),
    ),
)  # fmt: skip

VIOLATION_PROBABILITIES = Table(
    "reporting", "violation_probabilities", "an element outside its limits in an interval in at least one sample of the demand", "none",
    ("kind", "element_id", "start_utc"),
    (
        calendar_day("day_run", "the day run whose study found it"),
        instant("start_utc", "start of the interval"),
        text("kind", "undervoltage, overvoltage or overload"),
        text("element_id", "bus or branch"),
        text("element_kind", "bus, line or transformer"),
        text("feeder_id", "the feeder concerned", nullable=True),
        text("severity", "warning or critical"),
        number("probability", "share of the samples beyond the limit", unit="-"),
        number("p05_value", "value not reached in 5 % of the samples", unit="p.u. or %"),
        number("p50_value", "value in the middle", unit="p.u. or %"),
        number("p95_value", "value exceeded in 5 % of the samples", unit="p.u. or %"),
        number("limit_value", "the limit it is held against", unit="p.u. or %"),
        count("customers_affected", "load meters at the bus, or behind the branch"),
        count("samples", "samples studied"),
    ),
)  # fmt: skip

CONTINGENCIES = Table(
    "reporting", "contingencies", "an outage of a branch, of two, or of a plant on the study day of a day run", "none", ("day_run", "outage_id"),
    (
        calendar_day("day_run", "the day run whose study found it"),
        text("outage_id", "what is out"),
        text("kind", "line, transformer, impedance, two branches or plant"),
        text("severity", "critical where somebody is dark or nothing has a solution, warning where something is newly beyond a limit, none"),
        instant("start_utc", "the interval in which more goes wrong: of the highest load or of the lowest"),
        flag("converged", "whether what keeps its supply has a solution"),
        count("customers_dark", "load meters that lose their supply"),
        number("lost_load_kw", "load that loses its supply"),
        count("new_violations", "elements beyond a limit that were within it before"),
        number("minimum_vm_pu", "lowest voltage afterwards", nullable=True),
        number("maximum_loading_pct", "highest loading afterwards", nullable=True),
        text("maximum_loading_branch", "where", nullable=True),
    ),
)  # fmt: skip

REMEDIES = Table(
    "reporting", "remedies", "something that was tried against expected violations of a kind at a place", "none",
    ("day_run", "topology_hash", "kind", "place", "rank"),
    (
        calendar_day("day_run", "the day run whose study found it"),
        text("topology_hash", "the switching state"),
        text("kind", "undervoltage, overvoltage or overload"),
        text("place", "the feeder, or the element where there is none"),
        count("rank", "1 the cheapest that clears; those that do not come last"),
        text("feeder_id", "the feeder concerned", nullable=True),
        text("element_id", "the element furthest beyond its limit"),
        instant("start_utc", "when it is"),
        number("value", "what the study found there", unit="p.u. or %"),
        number("limit_value", "the limit", unit="p.u. or %"),
        text("remedy", "what kind of remedy"),
        text("action", "what to do, in words"),
        number("cost", "by the site's prices for remedies", unit="currency"),
        flag("clears", "whether by AC power flow nothing of it is left and nothing new comes"),
        count("new_violations", "elements and intervals that were within their limits before"),
        count("remaining_violations", "all that are beyond a limit afterwards"),
        count("customers_affected", "load meters concerned"),
    ),
)  # fmt: skip

HOSTING_CAPACITY = Table(
    "reporting", "hosting_capacity", "a bus in a switching state, and how much more fits there", "none", ("day_run", "topology_hash", "bus_id"),
    (
        calendar_day("day_run", "the day run that worked it out"),
        text("topology_hash", "the switching state"),
        text("bus_id", "name of the bus"),
        text("feeder_id", "the feeder it is on", nullable=True),
        number("pv_kw", "further generation that fits, at this bus alone"),
        text("pv_binding", "what binds: overload, overvoltage, undervoltage, no_solution or none"),
        text("pv_element", "where", nullable=True),
        number("ev_kw", "further charging that fits, at this bus alone"),
        text("ev_binding", "what binds"),
        text("ev_element", "where", nullable=True),
    ),
)  # fmt: skip

MEASUREMENT_ANOMALIES = Table(
    "reporting", "measurement_anomalies", "a measurement and interval that does not fit the estimated state", "none",
    ("source_id", "quantity", "element_id", "start_utc"),
    (
        calendar_day("day", "the operating day"),
        text("source_id", "the device, the boundary meters, or the meters at the bus"),
        text("quantity", "voltage, current, active_power or reactive_power"),
        text("element_id", "the bus or branch that was measured"),
        instant("start_utc", "start of the interval"),
        text("unit", "V, A, kW or kvar"),
        number("measurement", "mean of what was measured", unit="as in unit"),
        number("estimate", "what the estimated state says it should be", unit="as in unit"),
        number("residual", "measurement less estimate", unit="as in unit"),
        number("normalised_residual", "the residual against its standard deviation", unit="-"),
        flag("bad_data", "whether it was found bad and taken out of the estimate"),
        text("likely_cause", "what the source's bad values of the day look like together", nullable=True),
    ),
)  # fmt: skip

RANGE_FLOWS = Table(
    "reporting", "range_flows", "a bus or branch, and what it went through over a range of days", "none",
    ("first_day", "last_day", "quantity", "element_id"),
    (
        calendar_day("first_day", "first day of the range"),
        calendar_day("last_day", "last day, included"),
        text("quantity", "vm_pu, a bus voltage in p.u., or loading_pct, a branch's loading in %"),
        text("element_id", "name of the bus or branch"),
        text("element_kind", "bus, line, transformer or impedance"),
        number("hours", "time with a supply and a solution"),
        number("minimum", "lowest value", unit="as quantity"),
        instant("minimum_utc", "when it was first"),
        number("quantile_5", "value not reached in 5 % of the time", unit="as quantity"),
        number("quantile_50", "value in the middle", unit="as quantity"),
        number("quantile_95", "value exceeded in 5 % of the time", unit="as quantity"),
        number("maximum", "highest value", unit="as quantity"),
        instant("maximum_utc", "when it was first"),
        number("hours_below", "time below the lower limit"),
        number("hours_above", "time above the upper limit"),
    ),
)  # fmt: skip

STORAGE_PLANS = Table(
    "reporting", "storage_plans", "a way of running the storage on the study day of a day run", "none", ("day_run", "strategy"),
    (
        calendar_day("day_run", "the day run; it plans for the study day after it"),
        text("strategy", "no_storage, rule, greedy, price_only, per_feeder, forecast_mean, or optimised, the published plan"),
        number("objective", "what the plan costs by the objective", unit="currency"),
        number("gap_pct", "objective against the bound that no plan can beat"),
        number("peak_kw", "highest mean power drawn from the grid above"),
        number("renewable_available_kwh", "forecast generation"),
        number("curtailed_kwh", "of it turned down"),
        number("renewable_utilisation_pct", "generation used of what was available"),
        number("energy_cost", "energy drawn minus fed back, at the site's prices", unit="currency"),
    ),
)  # fmt: skip

PRICE_WHAT_IFS = Table(
    "reporting", "price_what_ifs", "a candidate tariff against the base on one study day", "none", ("study_id", "candidate_tariff"),
    (
        text("study_id", "the study"),
        text("base_tariff", "tariff in force"),
        text("candidate_tariff", "tariff looked at"),
        instant("start_utc", "begin of the study day"),
        number("peak_change_pct", "change of the highest system load"),
        number("shifted_kwh", "energy moved from dearer to cheaper intervals"),
        number("energy_change_pct", "change of the day's energy"),
        number("procurement_cost_change", "change of what the energy costs the supplier", unit="currency"),
        number("revenue_change", "change of what customers pay", unit="currency"),
        text("elasticity_source", "where the elasticities come from"),
    ),
)  # fmt: skip

SETTLEMENTS = Table(
    "reporting", "settlements", "a demand-response event as it is settled now", "none", ("event_id",),
    (
        text("event_id", "the event"),
        text("programme", "the programme"),
        calendar_day("day", "site day of the event"),
        count("revision", "newest revision", unit="-"),
        text("outcome", "succeeded, partially_succeeded, failed, cancelled or unverified"),
        number("target_kwh", "target power times the event's hours"),
        number("delivered_kwh", "verified deliveries"),
        number("achievement_pct", "delivered against target", nullable=True),
        count("participants", "participants of the event"),
        count("participants_paid", "of them with an amount above zero"),
        count("participants_unverified", "of them whose measurement may not be paid on"),
        money("total_amount", "settled for the event"),
        text("currency", "ISO code of the currency"),
    ),
)  # fmt: skip

PAYMENTS = Table(
    "reporting", "payments", "an amount posted to a participant", "none", ("event_id", "revision", "participant_id"),
    (
        text("event_id", "the event"),
        count("revision", "1 the first settlement; a later one corrects it", unit="-"),
        text("participant_id", "the participant"),
        text("account", "reference of the account"),
        text("tier", "the tier it was paid by"),
        money("amount", "posted by this revision; negative where too much was posted before"),
        text("currency", "ISO code of the currency"),
        text("payment_key", "a payment system must act on a key once"),
    ),
)  # fmt: skip

CHECK_RESULTS = Table(
    "reporting", "check_results", "a check on one partition of a table, its latest result", "none", ("partition_key", "table_key", "check_name"),
    (
        text("partition_key", "the day, event or study checked; all for an unpartitioned table"),
        text("table_key", "area/table; the marts' own checks stand in dbt"),
        text("check_name", "name of the check"),
        flag("passed", "whether it held"),
        text("severity", "error blocks what comes after, warn does not"),
        text("observed", "what was found"),
        text("expected", "what was expected"),
    ),
)  # fmt: skip
