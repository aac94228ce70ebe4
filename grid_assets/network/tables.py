"""The tables that network publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, flag, instant, number, text

TOPOLOGIES = Table(
    "network", "topologies", "a switching state of the network and the time it is in force", "none", ("valid_from_utc",),
    (
        text("topology_hash", "hash of buses, branches, switch positions and taps; the same for the same state later on"),
        text("source", "where the network came from"),
        instant("valid_from_utc", "first instant of this state"),
        instant("valid_to_utc", "first instant of the next; empty: none is planned", nullable=True),
        text("because", "the switching events that made it, in words", nullable=True),
        count("buses", "buses"),
        count("branches", "lines and transformers"),
        count("open_switches", "open switches"),
        count("islands", "parts without a supply"),
        flag("radial", "whether there is one way only from the supply to each bus"),
        count("critical_branches", "branches whose loss leaves somebody dark"),
        text("repairs", "what the import gate repaired, in words", nullable=True),
    ),
)  # fmt: skip

BUSES = Table(
    "network", "buses", "a bus in a switching state, ready to draw", "none", ("topology_hash", "bus_id"),
    (
        text("bus_id", "name of the bus"),
        text("topology_hash", "the switching state"),
        number("vn_kv", "nominal voltage"),
        number("x", "longitude, or a computed coordinate where none is known", unit="degree or -"),
        number("y", "latitude, or a computed coordinate where none is known", unit="degree or -"),
        text("feeder_id", "the feeder that supplies it; empty for the substation", nullable=True),
        flag("supplied", "whether a supply reaches it"),
        count("steps_to_supply", "branches on the way to the supply", nullable=True),
        text("upstream_branch", "the first of them", nullable=True),
    ),
)  # fmt: skip

BRANCHES = Table(
    "network", "branches", "a line or transformer in a switching state, ready to draw", "none", ("topology_hash", "branch_id"),
    (
        text("branch_id", "name of the branch"),
        text("topology_hash", "the switching state"),
        text("kind", "line, transformer or impedance"),
        text("from_bus", "bus at its beginning"),
        text("to_bus", "bus at its end"),
        number("rating_ka", "largest lasting current; of a transformer on its upper side; empty for an impedance, which has none", nullable=True),
        text("feeder_id", "the feeder it belongs to", nullable=True),
        flag("connected", "in service, and no switch of it open"),
        flag("critical", "whether buses lose their supply without it"),
        count("buses_behind", "how many"),
    ),
)  # fmt: skip

BUS_VOLTAGES = Table(
    "network", "bus_voltages", "a bus and interval of the study day", "site_day", ("scenario", "bus_id", "start_utc"),
    (
        text("bus_id", "name of the bus"),
        instant("start_utc", "start of the interval"),
        text("scenario", "expected: all injections at their forecast means"),
        number("vm_pu", "voltage magnitude"),
        number("va_degree", "voltage angle"),
    ),
)  # fmt: skip

BRANCH_LOADINGS = Table(
    "network", "branch_loadings", "a branch and interval of the study day", "site_day", ("scenario", "branch_id", "start_utc"),
    (
        text("branch_id", "name of the branch"),
        text("kind", "line, transformer or impedance"),
        instant("start_utc", "start of the interval"),
        text("scenario", "expected: all injections at their forecast means"),
        number("loading_pct", "current against the rating"),
        number("p_mw", "active power into the branch at its beginning"),
        number("i_ka", "current, the larger of both ends; of a transformer referred to its upper side"),
    ),
)  # fmt: skip

CONSTRAINT_VIOLATIONS = Table(
    "network", "constraint_violations", "an element outside its limits in an interval of the study day", "site_day", ("scenario", "kind", "element_id", "start_utc"),
    (
        text("element_id", "bus or branch"),
        text("element_kind", "bus, line or transformer"),
        text("kind", "undervoltage, overvoltage or overload"),
        text("scenario", "expected"),
        instant("start_utc", "start of the interval"),
        number("value", "what the study found", unit="p.u. or %"),
        number("limit", "the limit that it is held against", unit="p.u. or %"),
        text("severity", "warning, or critical from twice the allowed deviation or 20 % of overload on"),
        count("customers_affected", "load meters at the bus, or behind the branch"),
        text("feeder_id", "the feeder concerned", nullable=True),
        number("probability", "only with scenario members; empty for the expected case", unit="-", nullable=True),
    ),
)  # fmt: skip

FLOW_CERTIFICATES = Table(
    "network", "flow_certificates", "a flow study in a switching state and what proves it", "site_day", ("scenario", "topology_hash"),
    (
        text("scenario", "expected"),
        text("topology_hash", "the switching state studied"),
        count("steps", "intervals solved"),
        count("failed_steps", "intervals that did not converge; they have no rows in the results"),
        number("residual_max_mva", "largest nodal power mismatch over all steps and buses"),
        number("minimum_vm_pu", "lowest voltage"),
        number("maximum_vm_pu", "highest voltage"),
        number("maximum_loading_pct", "highest branch loading"),
        number("losses_mwh", "energy lost over the intervals that converged"),
        number("unserved_mwh", "energy asked for at buses that no supply reaches; their voltages have no rows"),
        count("sampled_steps", "intervals that another solver solved again from a cold start"),
        number("sample_difference_pu", "largest difference of a voltage between both"),
        text("failures", "the intervals that did not converge, and what to try", nullable=True),
        text("engine", "library and version"),
    ),
)  # fmt: skip

CONTINGENCY_RESULTS = Table(
    "network", "contingency_results", "an outage of a line, transformer, impedance, plant, generator or chosen pair: the worst of it at the highest and at the lowest load of the study day",
    "site_day", ("outage_id",),
    (
        text("outage_id", "the branch, the plant, the generator, or both branches that are out"),
        text("kind", "line, transformer, impedance, plant, generator (that holds a voltage) or two branches"),
        instant("start_utc", "the interval of the highest or of the lowest load, whichever is worse"),
        flag("converged", "whether what keeps its supply has a solution"),
        text("severity", "none; warning: the rest is beyond a limit; critical: somebody goes dark, or there is no solution"),
        count("dark_buses", "buses that lose their supply"),
        number("lost_load_kw", "load at these buses"),
        count("customers_dark", "load meters at these buses"),
        count("new_violations", "buses and branches beyond a limit that were not before"),
        number("minimum_vm_pu", "lowest voltage that is left; empty without a solution", nullable=True),
        text("minimum_vm_bus", "where it is", nullable=True),
        number("maximum_vm_pu", "highest voltage", nullable=True),
        number("maximum_loading_pct", "highest loading", nullable=True),
        text("maximum_loading_branch", "where it is", nullable=True),
        number("residual_max_mva", "largest nodal mismatch, by the admittances without what is out; empty without a solution", nullable=True),
        number("sample_difference_pu", "of a sample of the outages: the largest difference of a voltage to another solver's", nullable=True),
        text("note", "without a solution: where it breaks down, and what to look for", nullable=True),
    ),
)  # fmt: skip

VIOLATION_PROBABILITIES = Table(
    "network", "violation_probabilities", "an element beyond a limit in an interval of the study day in at least one of the joint samples of the demand", "site_day",
    ("kind", "element_id", "start_utc"),
    (
        text("element_id", "bus or branch"),
        text("element_kind", "bus, line, transformer or impedance"),
        text("kind", "undervoltage, overvoltage or overload"),
        instant("start_utc", "start of the interval"),
        number("probability", "the share of samples in which it is beyond the limit; without a solution a sample counts as an undervoltage, and says nothing of loadings", unit="-"),
        number("p05_value", "5 % of the samples lie below this", unit="p.u. or %"),
        number("p50_value", "half of them", unit="p.u. or %"),
        number("p95_value", "95 % of them", unit="p.u. or %"),
        number("limit", "the limit that it is held against", unit="p.u. or %"),
        text("severity", "of the worst sample: warning, or critical from twice the allowed deviation or 20 % of overload on"),
        count("customers_affected", "load meters at the bus, or behind the branch"),
        text("feeder_id", "the feeder concerned", nullable=True),
        count("samples", "samples that count: for undervoltage all, else those with a solution"),
        number("residual_max_mva", "largest nodal mismatch in any sample and interval of the switching state"),
        number("sample_difference_pu", "largest difference of a voltage to another solver's, in one sample's intervals drawn by the day"),
    ),
)  # fmt: skip

FLOW_QUANTILES = Table(
    "network", "flow_quantiles", "a bus or branch with a supply in an interval of the study day, over the joint samples of the demand", "site_day",
    ("quantity", "element_id", "start_utc"),
    (
        text("quantity", "vm_pu, a bus voltage in p.u., or loading_pct, a branch's loading in %"),
        text("element_id", "name of the bus or branch"),
        text("element_kind", "bus, line, transformer or impedance"),
        instant("start_utc", "start of the interval"),
        number("p05_value", "5 % of the samples lie below this; without a solution a voltage counts as 0", unit="as quantity"),
        number("p50_value", "half of them", unit="as quantity"),
        number("p95_value", "95 % of them", unit="as quantity"),
        count("samples", "samples that count: of voltages all, of loadings those with a solution"),
        number("residual_max_mva", "largest nodal mismatch in any sample and interval of the switching state"),
        number("sample_difference_pu", "largest difference of a voltage to another solver's, in one sample's intervals drawn by the day"),
    ),
)  # fmt: skip

HOSTING_CAPACITY = Table(
    "network", "hosting_capacity", "a bus in a switching state of the study day: how much more fits there, by itself", "site_day", ("topology_hash", "bus_id"),
    (
        text("topology_hash", "the switching state"),
        text("bus_id", "name of the bus"),
        text("feeder_id", "the feeder that supplies it", nullable=True),
        number("pv_kw", "further generation at unity power factor on top of the least load in the hours of sun of the year up to the run"),
        text("pv_binding", "what one kW more would break: overvoltage, overload, no_solution; none up to the largest size asked about"),
        text("pv_element", "the bus or branch that it would break", nullable=True),
        number("ev_kw", "further charging at unity power factor on top of the most load of that year"),
        text("ev_binding", "likewise: undervoltage, overload, no_solution or none"),
        text("ev_element", "likewise", nullable=True),
        number("residual_max_mva", "largest nodal mismatch with either size"),
        number("sample_difference_pu", "of a sample of the buses: the largest difference of a voltage to another solver's, with either size", nullable=True),
        instant("least_utc", "the interval of that least load"),
        instant("most_utc", "the interval of that most load"),
        text("inputs_hash", "hash of state, loads and limits: the same as the run before, and its rows are taken over"),
    ),
)  # fmt: skip

REMEDIES = Table(
    "network", "remedies", "something that was tried against the expected violations of one kind on one feeder, solved again over the day", "site_day",
    ("topology_hash", "kind", "place", "rank"),
    (
        text("topology_hash", "the switching state in which the violations are expected"),
        text("kind", "undervoltage, overvoltage or overload"),
        text("place", "the feeder, or the element where no feeder is known"),
        text("feeder_id", "the feeder", nullable=True),
        text("element_id", "the worst bus or branch"),
        text("element_kind", "bus, line, transformer or impedance"),
        count("elements", "how many are beyond their limit"),
        instant("start_utc", "the worst interval"),
        number("value", "what is expected there", unit="p.u. or %"),
        number("limit", "the limit that it is held against", unit="p.u. or %"),
        count("violated_intervals", "intervals in which any of them is beyond its limit"),
        count("customers_affected", "load meters at the bus, or behind the branch"),
        count("rank", "1: the cheapest that clears; then dearer ones; then those that do not clear, the fewest violations left first"),
        text("remedy", "switching, tap, reactive_power, storage, demand_response, curtailment; none: nothing could act on it"),
        text("action", "what is done, in words"),
        number("amount", "its size", unit="see unit"),
        text("unit", "of the amount"),
        number("cost", "by the site's prices for remedies", unit="currency"),
        flag("clears", "whether by AC power flow none of these elements is beyond its limit in any interval, and nothing else comes beyond its own"),
        count("new_violations", "elements and intervals that were within their limits before"),
        count("remaining_violations", "all that are beyond a limit afterwards, those of other troubles included"),
        number("minimum_vm_pu", "lowest voltage afterwards", nullable=True),
        number("maximum_vm_pu", "highest voltage", nullable=True),
        number("maximum_loading_pct", "highest loading", nullable=True),
        number("residual_max_mva", "largest nodal mismatch of the proof", nullable=True),
        number("sample_difference_pu", "largest difference of a voltage to another solver's, in an interval drawn by the day", nullable=True),
    ),
)  # fmt: skip

SCENARIO_RESULTS = Table(
    "network", "scenario_results", "a scenario of a run's study day, beside what is expected", "scenario", ("scenario",),
    (
        text("scenario", "name of the scenario file"),
        text("title", "what it is about"),
        count("steps", "intervals of the study day"),
        count("failed_steps", "intervals without a solution: the voltage collapses; the figures are those of the others"),
        text("failures", "when that is, where it breaks down and what to look for", nullable=True),
        number("peak_kw", "highest load less generation"),
        number("expected_peak_kw", "the same as expected"),
        number("minimum_vm_pu", "lowest voltage"),
        text("minimum_vm_bus", "where"),
        instant("minimum_vm_utc", "when"),
        number("maximum_vm_pu", "highest voltage"),
        number("maximum_loading_pct", "highest loading"),
        text("maximum_loading_branch", "where"),
        instant("maximum_loading_utc", "when"),
        number("expected_minimum_vm_pu", "lowest voltage as expected"),
        number("expected_maximum_loading_pct", "highest loading as expected"),
        count("violations", "elements and intervals beyond a limit"),
        count("critical_violations", "those that are critical"),
        count("expected_violations", "violations as expected"),
        number("losses_mwh", "energy lost"),
        number("unserved_mwh", "energy asked for at buses without a supply"),
        count("customers_dark", "load meters without a supply at the worst of times"),
        text("events", "what is switched when, on the site's clock", nullable=True),
        number("residual_max_mva", "largest nodal mismatch"),
        number("sample_difference_pu", "largest difference of a voltage to another solver's, in two intervals drawn by the day"),
    ),
)  # fmt: skip

SCENARIO_VIOLATIONS = Table(
    "network", "scenario_violations", "an element outside its limits in an interval of a scenario", "scenario", CONSTRAINT_VIOLATIONS.keys, CONSTRAINT_VIOLATIONS.fields,
)  # fmt: skip

RANGE_ELEMENTS = Table(
    "network", "range_elements", "a bus or branch, and what it went through over a range of days", "network_range", ("quantity", "element_id"),
    (
        text("element_id", "name of the bus or branch"),
        text("element_kind", "bus, line, transformer or impedance"),
        text("quantity", "vm_pu, a bus voltage in p.u., or loading_pct, a branch's loading in %"),
        number("hours", "time with a supply and a solution"),
        number("minimum", "lowest value", unit="as quantity"),
        instant("minimum_utc", "when it was first"),
        number("quantile_5", "value not reached in 5 % of the time, right to 0.00025 p.u. or 0.125 %", unit="as quantity"),
        number("quantile_50", "value in the middle", unit="as quantity"),
        number("quantile_95", "value exceeded in 5 % of the time", unit="as quantity"),
        number("maximum", "highest value", unit="as quantity"),
        instant("maximum_utc", "when it was first"),
        number("mean", "mean value", unit="as quantity"),
        number("hours_below", "time below the lower limit"),
        number("hours_above", "time above the upper limit"),
    ),
)  # fmt: skip

RANGE_DAYS = Table(
    "network", "range_days", "a day of a range, and what proves its flows", "network_range", ("day",),
    (
        calendar_day("day", "the site-local day"),
        count("steps", "intervals solved"),
        count("failed_steps", "intervals without a solution"),
        count("left_out_steps", "intervals of which not all nodes' loads are known"),
        count("states", "switching states in which they were solved"),
        number("minimum_vm_pu", "lowest voltage", nullable=True),
        text("minimum_vm_bus", "where", nullable=True),
        instant("minimum_vm_utc", "when", nullable=True),
        number("maximum_vm_pu", "highest voltage", nullable=True),
        number("maximum_loading_pct", "highest loading", nullable=True),
        text("maximum_loading_branch", "where", nullable=True),
        instant("maximum_loading_utc", "when", nullable=True),
        number("hours_beyond", "time beyond a limit, summed over the elements"),
        number("peak_mw", "highest power from the supply", nullable=True),
        number("supply_mwh", "energy from the supply", nullable=True),
        number("losses_mwh", "energy lost", nullable=True),
        number("unserved_mwh", "energy asked for at buses without a supply", nullable=True),
        number("residual_max_mva", "largest nodal mismatch", nullable=True),
        number("sample_difference_pu", "largest difference of a voltage to another solver's, in a sample of the week's intervals", nullable=True),
        text("engine", "what solved them", nullable=True),
    ),
)  # fmt: skip

STATE_ESTIMATES = Table(
    "network", "state_estimates", "a bus and interval of the operating day, as estimated from what was measured", "site_day", ("bus_id", "start_utc"),
    (
        text("bus_id", "name of the bus"),
        instant("start_utc", "start of the interval"),
        number("vm_pu", "estimated voltage magnitude"),
        number("vm_sigma_pu", "its standard deviation; empty where the bus is not observable", nullable=True),
        number("va_degree", "estimated voltage angle"),
        number("p_kw", "estimated consumption of the meters at the bus, feeding in negative"),
        number("q_kvar", "estimated reactive consumption"),
        flag("observable", "whether the voltage follows from what was measured or known"),
        flag("has_voltage_sensor", "whether a device measures this voltage"),
        flag("consistent", "whether the measurements of the interval that were kept pass the chi-square test"),
        text("method", "who solved the interval: weighted least squares, or the library that took over"),
    ),
)  # fmt: skip

ANOMALIES = Table(
    "network", "anomalies", "a measurement and interval of the operating day that does not fit the estimated state", "site_day",
    ("source_id", "quantity", "element_id", "start_utc"),
    (
        text("source_id", "the device, the boundary meters, or the meters at the bus"),
        text("element_kind", "bus or branch"),
        text("element_id", "the bus or branch that was measured; of boundary meters the supply's bus"),
        text("quantity", "voltage, current, active_power or reactive_power"),
        text("unit", "V, A, kW or kvar"),
        instant("start_utc", "start of the interval"),
        number("measurement", "mean of what was measured", unit="as in unit"),
        number("estimate", "what the estimated state says it should be; of bad data, the state without them", unit="as in unit"),
        number("residual", "measurement less estimate", unit="as in unit"),
        number("normalised_residual", "the residual against its standard deviation, of bad data when they were taken out", unit="-"),
        flag("bad_data", "whether it was found bad and taken out of the estimate"),
        count("rivals", "other measurements that would have explained the mismatch as well"),
        text("likely_cause", "what the source's bad values of the day look like together; empty where nothing was taken out", nullable=True),
    ),
)  # fmt: skip
