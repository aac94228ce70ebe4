"""The tables that metering publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, instant, number, text

LANDED_FILES = Table(
    "metering", "landed_files", "a file as it came, or one arrival day's slice of an archive file", "arrival_day", ("file_id",),
    (
        text("file_id", "hash of the file's content and its input; an archive's slice has @ and its arrival day behind it, a file that was not taken over + and a hash of its name"),
        text("input_name", "the [[readings]] input of the site file that it belongs to"),
        text("file_name", "name of the file in its landing folder"),
        instant("received_utc", "when it arrived, from its name; of an archive's slice the last row's arrival"),
        text("status", "landed, duplicate, empty, unreadable or refused"),
        text("reason", "why it was not landed: what was wrong, where, what was expected", nullable=True),
        text("duplicate_of", "the file_id whose content this file repeats", nullable=True),
        count("rows", "rows in the file, its header not counted; where a row holds several readings each counts"),
        count("rows_staged", "rows taken over for validation"),
        count("rows_rejected", "rows refused on arrival; they are in rejected_readings"),
        count("rows_superseded", "rows of a file that only repeats another"),
        text("days_touched", "site days that its energy rows speak of, separated by spaces"),
        text("rows_of_days", "energy rows staged for each of these days, in their order"),
        text("measurement_days", "site days that its rows of other quantities speak of, separated by spaces"),
        text("rows_of_measurement_days", "rows of other quantities staged for each of these days, in their order"),
        text("detected", "what the site file leaves open and was told from the file itself: its format, delimiter, layout, unit, clock", nullable=True),
    ),
)  # fmt: skip

REJECTED_READINGS = Table(
    "metering", "rejected_readings", "a row that was refused on arrival", "arrival_day", ("file_id", "source_row", "rule", "source_cell"),
    (
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header; 0: the file as a whole"),
        count("source_cell", "which refused reading of that row, 1 the first: a row of a file with a column per meter holds several; 0: the file as a whole"),
        text("rule", "parse, encoding, unit, quantity, unknown_meter, not_in_force, calendar, clock, interval, columns or unreadable"),
        text("reason", "what was wrong, what was expected, what to do"),
        text("raw_text", "the row as it was, cut at 500 characters"),
        instant("received_utc", "when the file arrived"),
    ),
)  # fmt: skip

LANDED_ROWS = Table(
    "metering", "landed_rows", "a row of a landed file that could be read, staged until its day is validated", "landing", ("meter_id", "read_utc", "source_row", "file_id", "kind"),
    (
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header"),
        calendar_day("day", "site day that the reading belongs to"),
        text("meter_id", "the meter"),
        instant("read_utc", "start of the interval that the reading speaks of"),
        number("value", "the value as it came", unit="as in unit"),
        text("unit", "W, kW, MW, Wh, kWh or MWh"),
        text("kind", "interval or register"),
        instant("received_utc", "when the row arrived"),
    ),
)  # fmt: skip

LANDED_MEASUREMENTS = Table(
    "metering", "landed_measurements", "a landed row of another quantity than active energy, staged until its day is validated", "landing",
    ("device_id", "quantity", "read_utc", "source_row", "file_id"),
    (
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header"),
        calendar_day("day", "site day that the measurement belongs to"),
        text("device_id", "the device or meter that measured"),
        text("quantity", "what was measured: voltage, current, reactive_power, ..."),
        instant("read_utc", "when it was measured; of a mean over an interval its start"),
        number("value", "the value as it came", unit="as in unit"),
        text("unit", "the unit as it came"),
        instant("received_utc", "when the row arrived"),
    ),
)  # fmt: skip

RAW_READINGS = Table(
    "metering", "raw_readings", "a reading as it landed, every resend included", "site_day", ("meter_id", "read_utc", "received_utc", "file_id", "source_row", "kind"),
    (
        text("meter_id", "the meter"),
        instant("read_utc", "start of the interval that the reading speaks of; of a register read when the register was read"),
        number("value", "the value as it came", unit="as in unit"),
        text("unit", "W, kW, MW, Wh, kWh or MWh"),
        text("kind", "interval: energy or mean power of an interval; register: the counter's standing"),
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header"),
        instant("received_utc", "when it arrived"),
    ),
)  # fmt: skip

CLOSING_REGISTERS = Table(
    "metering", "closing_registers", "a register read that closes a day, and so opens the next; every resend, and no asset", "landing",
    ("meter_id", "read_utc", "received_utc", "file_id", "source_row"), RAW_READINGS.fields,
)  # fmt: skip

READINGS = Table(
    "metering", "readings", "a meter and interval, after validation and estimation; every interval of every meter in force has a row", "site_day", ("meter_id", "start_utc"),
    (
        text("meter_id", "the meter"),
        instant("start_utc", "start of the interval"),
        number("energy_kwh", "energy in the interval, consumption or generation as the register says; empty where missing", nullable=True),
        text("quality", "measured, edited, estimated or missing"),
        text("method", "how the value was made where it is not the arrived one: register, linear, like_days, class_profile, outage, register_even, scaled_wh or correction", nullable=True),
        text("rule_failures", "rules that the arrived value failed, separated by spaces", nullable=True),
        text("quality_code", "quality of the value after IEC 61968-9 as system.category.sub-category, such as 3.0.0"),
        number("error_kwh", "standard error of an estimate; empty where the value is not estimated", nullable=True),
    ),
)  # fmt: skip

FAILED_READINGS = Table(
    "metering", "failed_readings", "an arrived value that failed a validation rule and was not published", "site_day", ("meter_id", "start_utc"),
    (
        text("meter_id", "the meter"),
        instant("start_utc", "start of the interval"),
        number("arrived_kwh", "the energy that the refused value stood for"),
        text("rules", "the rules it failed, separated by spaces"),
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file"),
    ),
)  # fmt: skip

FILE_DAYS = Table(
    "metering", "file_days", "what became of a landed file's rows of one site day", "site_day", ("file_id",),
    (
        text("file_id", "the landed file"),
        text("source_file", "its name"),
        count("rows", "rows it holds for this day"),
        count("published", "rows whose value is the published reading"),
        count("rejected", "rows that were the newest of their interval but failed a validation rule"),
        count("superseded", "rows that a newer or equal one replaced"),
    ),
)  # fmt: skip

METER_DAYS = Table(
    "metering", "meter_days", "a meter's day", "site_day", ("meter_id",),
    (
        text("meter_id", "the meter"),
        calendar_day("day", "the site day"),
        text("kind", "load or generation"),
        text("node_id", "the node it hangs on that day"),
        count("expected_intervals", "intervals of the day: 23, 24 or 25 hours' worth"),
        count("valid_intervals", "intervals with a measured value that passed every rule"),
        number("valid_pct", "valid of expected"),
        count("estimated_intervals", "intervals with an estimate"),
        count("missing_intervals", "intervals without any value"),
        number("energy_kwh", "sum of the day's published energy"),
        number("offline_longest_s", "longest time without an arrived value"),
        text("flags", "rules that failed on this day, of intervals and of the day as a whole, separated by spaces", nullable=True),
        count("edited_intervals", "intervals that were edited: by a correction or by the scale test"),
        number("usual_kwh", "mean daily energy of the like days; empty where there are none", nullable=True),
        number("register_kwh", "energy of the day by the meter's register, where it sends both", nullable=True),
    ),
)  # fmt: skip

QUALITY_PROFILES = Table(
    "metering", "quality_profiles", "a node and kind of meter on one day: what the quality suite looks at", "site_day", ("node_id", "kind"),
    (
        text("node_id", "feeder or substation"),
        text("kind", "load or generation"),
        calendar_day("day", "the site day"),
        count("meters", "meters in force"),
        number("valid_pct", "valid of expected intervals"),
        number("estimated_pct", "estimated of expected intervals"),
        number("missing_pct", "missing of expected intervals"),
        number("mean_kwh", "mean energy per meter and interval", nullable=True),
        number("minimum_kwh", "smallest energy of an interval", nullable=True),
        number("maximum_kwh", "largest energy of an interval", nullable=True),
        number("maximum_of_rating_pct", "largest mean power of an interval against the meter's rating", nullable=True),
    ),
)  # fmt: skip

NODE_LOADS = Table(
    "metering", "node_loads", "a feeder, substation or the system, and an interval", "site_day", ("node_id", "start_utc"),
    (
        text("node_id", "the node"),
        text("level", "system, substation or feeder"),
        instant("start_utc", "start of the interval"),
        number("energy_kwh", "energy of all load meters below the node; missing readings count as nothing"),
        number("generation_kwh", "energy of all generation meters below the node"),
        count("meters", "load meters below the node"),
        number("valid_pct", "load meters with a measured or edited value"),
        number("published_pct", "load meters with a value, measured or estimated"),
        text("readings_version", "content hash of the day's readings that it was summed from"),
    ),
)  # fmt: skip

NODE_LOAD_VERSIONS = Table(
    "metering", "node_load_versions", "a node, an interval, and what was known of it from known_utc on until the next of its rows", "site_day",
    ("node_id", "start_utc", "known_utc"),
    (
        text("node_id", "the node"),
        instant("start_utc", "start of the interval"),
        instant("known_utc", "from when on this was known: when rows arrived or a correction was entered, at the end of that interval"),
        number("energy_kwh", "measured energy of the load meters below the node that had arrived; no estimates"),
        number("known_pct", "the usual energy of those meters of that of all load meters below the node"),
    ),
)  # fmt: skip

READING_VERSIONS = Table(
    "metering", "reading_versions",
    "a meter and interval of which something became known or changed after the issue time of its day's run, and what was known from known_utc on", "site_day",
    ("meter_id", "start_utc", "known_utc"),
    (
        text("meter_id", "the meter"),
        instant("start_utc", "start of the interval"),
        instant("known_utc", "from when on this was known: when a row arrived or a correction was entered; before the first nothing was"),
        number("energy_kwh", "the measured or corrected energy; empty where what had been known was refused", nullable=True),
    ),
)  # fmt: skip

LOADS_UNDER_WAY = Table(
    "metering", "loads_under_way", "the same for the time since the partition's day, as it was known at an instant in its course; nobody has validated it yet",
    "intraday", ("node_id", "start_utc", "known_utc"), NODE_LOAD_VERSIONS.fields,
)  # fmt: skip

CLASS_PROFILES = Table(
    "metering", "class_profiles", "a class of customers and an interval: what its valid load meters used", "site_day", ("customer_class", "start_utc"),
    (
        text("customer_class", "class in the register of meters"),
        instant("start_utc", "start of the interval"),
        count("meters", "load meters without generation behind them that had a valid value"),
        number("mean_kwh", "their mean energy", nullable=True),
        number("deviation_kwh", "standard deviation of their energy", nullable=True),
    ),
)  # fmt: skip

CORRECTIONS = Table(
    "metering", "corrections", "an analyst's correction of a meter's readings, as it was entered", "site_day", ("correction_id",),
    (
        text("correction_id", "id of the correction, unique in the site"),
        text("meter_id", "the meter"),
        instant("start_utc", "first interval that it corrects"),
        instant("end_utc", "end of the last interval that it corrects"),
        text("action", "replace (by energy_kwh), reject (estimate it) or accept (valid in spite of its rules)"),
        number("energy_kwh", "energy of each interval, for replace", nullable=True),
        text("author", "who entered it"),
        instant("entered_utc", "when; of two corrections of an interval the later one counts"),
        text("reason", "why"),
        text("source_file", "the file it stands in"),
        count("source_row", "position in that file, 1 the first row after the header"),
    ),
)  # fmt: skip

EDITED_READINGS = Table(
    "metering", "edited_readings", "a published reading that was edited, with what it replaced", "site_day", ("meter_id", "start_utc"),
    (
        text("meter_id", "the meter"),
        instant("start_utc", "start of the interval"),
        number("replaced_kwh", "the arrived energy that the edit replaced; empty where nothing had arrived", nullable=True),
        number("energy_kwh", "the published energy", nullable=True),
        text("method", "scaled_wh or correction"),
        text("correction_id", "the correction; empty for an edit by rule", nullable=True),
        text("author", "who edited: the correction's author, or the rule"),
        instant("entered_utc", "when the correction was entered; empty for an edit by rule", nullable=True),
        text("reason", "why"),
    ),
)  # fmt: skip

OUTAGE_EVENTS = Table(
    "metering", "outage_events", "an outage that the utility knows of", "site_day", ("outage_id",),
    (
        text("outage_id", "id of the outage"),
        text("meter_id", "the meter that was without supply; empty where it was a whole node", nullable=True),
        text("node_id", "the node that was without supply, everything below it included; empty where it was one meter", nullable=True),
        instant("start_utc", "when supply was lost"),
        instant("end_utc", "when it was back; empty: not yet", nullable=True),
        text("cause", "what is known of the cause", nullable=True),
        text("source_file", "the file it stands in"),
        count("source_row", "position in that file, 1 the first row after the header"),
    ),
)  # fmt: skip

MEASUREMENTS = Table(
    "metering", "measurements", "a device, quantity and time, after validation", "site_day", ("device_id", "quantity", "read_utc"),
    (
        text("device_id", "the device or meter"),
        text("quantity", "voltage, current, frequency, reactive_power, active_power, temperature, soc, ..."),
        instant("read_utc", "when it was measured; of a mean over an interval its start"),
        number("value", "the value in the quantity's unit; empty where the arrived value failed a rule", unit="as in unit", nullable=True),
        text("unit", "the quantity's unit: V, A, Hz, kvar, kW, degC, pct, ..."),
        text("quality", "measured or rejected"),
        text("quality_code", "quality of the value after IEC 61968-9 as system.category.sub-category, such as 3.0.0"),
        text("rule_failures", "rules that the arrived value failed, separated by spaces", nullable=True),
        number("arrived_value", "the value as it arrived, in the quantity's unit", unit="as in unit"),
    ),
)  # fmt: skip

MEASUREMENT_FILE_DAYS = Table(
    "metering", "measurement_file_days", "what became of a landed file's measurements of one site day", "site_day", ("file_id",),
    (
        text("file_id", "the landed file"),
        text("source_file", "its name"),
        count("rows", "rows of measurements it holds for this day"),
        count("published", "rows whose value is the published measurement"),
        count("rejected", "rows that were the newest of their device, quantity and time but failed a rule"),
        count("superseded", "rows that a newer or equal one replaced"),
    ),
)  # fmt: skip

DEVICE_DAYS = Table(
    "metering", "device_days", "a device's day", "site_day", ("device_id", "quantity"),
    (
        text("device_id", "the device or meter"),
        text("quantity", "what it measured"),
        text("kind", "kind of device, from the register"),
        text("node_id", "the node it belongs to; empty where it belongs to none", nullable=True),
        calendar_day("day", "the site day"),
        count("values", "values that arrived, resends not counted"),
        count("expected_values", "values that its reporting interval lets expect; empty where the register tells none", nullable=True),
        number("valid_pct", "valid of arrived"),
        number("minimum", "smallest valid value", unit="as in unit", nullable=True),
        number("mean", "mean of the valid values", unit="as in unit", nullable=True),
        number("maximum", "largest valid value", unit="as in unit", nullable=True),
        text("unit", "the quantity's unit"),
        number("offline_longest_s", "longest time without an arrived value"),
        text("flags", "rules that failed on this day, separated by spaces", nullable=True),
    ),
)  # fmt: skip

NODE_BALANCES = Table(
    "metering", "node_balances", "a node with a boundary meter, and an interval: what flowed in against what the meters below say", "site_day",
    ("node_id", "start_utc"),
    (
        text("node_id", "feeder or substation"),
        instant("start_utc", "start of the interval"),
        number("measured_kwh", "net energy into the node by its own meters; empty where one of them has no valid value", nullable=True),
        number("load_kwh", "energy of the load meters below"),
        number("generation_kwh", "energy of the generation meters below"),
        number("residual_kwh", "measured minus load plus generation: losses, theft, unmetered supply and errors", nullable=True),
        number("residual_pct", "residual of the measured energy's size; empty where that is next to nothing", nullable=True),
        number("published_pct", "load meters below with a value"),
    ),
)  # fmt: skip

USAGE_SHAPES = Table(
    "metering", "usage_shapes", "a load meter's day in a few figures: what unusual days are told from", "site_day", ("meter_id",),
    (
        text("meter_id", "the meter"),
        calendar_day("day", "the site day"),
        text("customer_class", "class in the register of meters"),
        number("energy_kwh", "sum of the day's published energy"),
        number("valid_pct", "measured or edited of the day's intervals"),
        number("night_kw", "mean power from 1 to 5 o'clock; empty where nothing was measured then", nullable=True),
        number("variation", "standard deviation of the measured powers against their mean; empty where the mean is 0", unit="-", nullable=True),
    ),
)  # fmt: skip

USAGE_ANOMALIES = Table(
    "metering", "usage_anomalies", "a meter's day of unusual consumption", "site_day", ("rank",),
    (
        count("rank", "1: the strongest evidence"),
        text("meter_id", "the meter"),
        text("node_id", "the node it hangs on"),
        calendar_day("day", "the site day"),
        text("pattern", "high_usage, low_usage, night_usage, flat, register_mismatch, copied_day (repeats an earlier day) or filled (no meter measured it)"),
        number("evidence", "how unusual the day is, in robust standard deviations of the meter's own past", unit="-"),
        number("energy_kwh", "energy of the day"),
        number("usual_kwh", "mean daily energy of its like days", nullable=True),
        text("explanation", "the evidence in words"),
    ),
)  # fmt: skip

ALERTS = Table(
    "metering", "alerts", "an alert that was open on the day", "site_day", ("alert_id",),
    (
        text("alert_id", "kind, subject and opening time"),
        text("kind", "low_valid_share, device_offline, area_outage or unusual_consumption"),
        text("subject", "the node, device or meter"),
        instant("opened_utc", "when the condition had held long enough"),
        instant("closed_utc", "when it had been over long enough; empty: open at the end of the day", nullable=True),
        text("severity", "information, warning or critical"),
        text("evidence", "what was seen, with figures"),
        number("worst", "the most extreme value so far: lowest valid share or largest dark share in %, longest silence in s, evidence", unit="-", nullable=True),
    ),
)  # fmt: skip

# Bookkeeping like the staged rows, not a table of the day that others read: so its partition is called "landing", though named by the day.
FINISHED_DAYS = Table(
    "metering", "finished_days", "a day that is made: the last thing that is written of it, and no asset", "landing", ("day",),
    (
        calendar_day("day", "the site day"),
        text("readings_hash", "content hash of the readings that its node loads, usage and alerts were made from"),
        text("open_alerts_hash", "hash of the alerts that the day before left open; empty: there were none"),
        text("rules_hash", "hash of the site file's [alerts]"),
    ),
)  # fmt: skip

GATHERED_FIELDS = (
    calendar_day("day", "the site day"),
    text("content_hash", "content hash of what was gathered"),
    text("lists", "the lists of landed files that were looked at, each as arrival day:content hash, separated by spaces"),
    text("files", "the files of these lists that speak of the day, separated by spaces"),
    instant("known_until", "what arrived later was left out; empty: nothing was", nullable=True),
)

RAW_INPUTS = Table(
    "metering", "raw_inputs", "a day whose raw readings were gathered: from which landed files, and no asset", "landing", ("day",), GATHERED_FIELDS,
)  # fmt: skip

MEASUREMENT_INPUTS = Table(
    "metering", "measurement_inputs", "a day whose measurements were made: from which landed files, and no asset", "landing", ("day",), GATHERED_FIELDS,
)  # fmt: skip

READING_INPUTS = Table(
    "metering", "reading_inputs", "a day whose readings were made: what they were made from, and no asset", "landing", ("day",),
    (
        calendar_day("day", "the site day"),
        text("readings_hash", "content hash of the readings that were made"),
        text("raw_hash", "content hash of the day's raw readings"),
        text("opening_hash", "content hash of the register reads that closed the day before; empty: there were none"),
        text("corrections_hash", "content hash of the day's corrections; empty: there were none"),
        text("outages_hash", "content hash of the day's outage events; empty: there were none"),
        text("like_days_hash", "hash over the history_hash of its like days"),
        text("rules_hash", "hash of the site file's [validation], without minimum_valid_pct"),
        text("history_hash", "hash of what later days take from these readings: measured and edited values"),
    ),
)  # fmt: skip
