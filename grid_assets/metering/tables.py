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
        count("rows", "rows in the file, its header not counted"),
        count("rows_staged", "rows taken over for validation"),
        count("rows_rejected", "rows refused on arrival; they are in rejected_readings"),
        count("rows_superseded", "rows of a file that only repeats another"),
        text("days_touched", "site days that its rows speak of, separated by spaces"),
        text("rows_of_days", "rows staged for each of these days, in their order"),
    ),
)  # fmt: skip

REJECTED_READINGS = Table(
    "metering", "rejected_readings", "a row that was refused on arrival", "arrival_day", ("file_id", "source_row", "rule", "source_cell"),
    (
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header; 0: the file as a whole"),
        count("source_cell", "which refused reading of that row, 1 the first: a row of a file with a column per meter holds several; 0: the file as a whole"),
        text("rule", "parse, unit, unknown_meter, calendar, clock, columns or unreadable"),
        text("reason", "what was wrong, what was expected, what to do"),
        text("raw_text", "the row as it was, cut at 500 characters"),
        instant("received_utc", "when the file arrived"),
    ),
)  # fmt: skip

LANDED_ROWS = Table(
    "metering", "landed_rows", "a row of a landed file that could be read, staged until its day is validated", "landing", ("file_id", "source_row", "meter_id"),
    (
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header"),
        calendar_day("day", "site day that the reading belongs to"),
        text("meter_id", "the meter"),
        instant("read_utc", "start of the interval that the reading speaks of"),
        number("value", "the value as it came", unit="as in unit"),
        text("unit", "W, kW, MW, Wh, kWh or MWh"),
        text("kind", "interval (register reads come later)"),
        instant("received_utc", "when the row arrived"),
    ),
)  # fmt: skip

RAW_READINGS = Table(
    "metering", "raw_readings", "a reading as it landed, every resend included", "site_day", ("meter_id", "read_utc", "received_utc", "file_id", "source_row"),
    (
        text("meter_id", "the meter"),
        instant("read_utc", "start of the interval that the reading speaks of"),
        number("value", "the value as it came", unit="as in unit"),
        text("unit", "W, kW, MW, Wh, kWh or MWh"),
        text("kind", "interval"),
        text("file_id", "the file it came in"),
        text("source_file", "name of that file"),
        count("source_row", "position in the file, 1 the first row after the header"),
        instant("received_utc", "when it arrived"),
    ),
)  # fmt: skip

READINGS = Table(
    "metering", "readings", "a meter and interval, after validation and estimation; every interval of every meter in force has a row", "site_day", ("meter_id", "start_utc"),
    (
        text("meter_id", "the meter"),
        instant("start_utc", "start of the interval"),
        number("energy_kwh", "energy in the interval, consumption or generation as the register says; empty where missing", nullable=True),
        text("quality", "measured, estimated or missing (edited and rejected are reserved)"),
        text("method", "how an estimate was made: linear or like_days", nullable=True),
        text("rule_failures", "rules that the arrived value failed, separated by spaces", nullable=True),
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
        text("flags", "rules that failed on this day, separated by spaces", nullable=True),
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
        number("valid_pct", "load meters with a measured value"),
        number("published_pct", "load meters with a value, measured or estimated"),
    ),
)  # fmt: skip

# Bookkeeping like the staged rows, not a table of the day that others read: so its partition is called "landing", though named by the day.
# Bookkeeping like the staged rows, not a table of the day that others read: so its partition is called "landing", though named by the day.
FINISHED_DAYS = Table(
    "metering", "finished_days", "a day whose node loads were made: the last thing that is written of a day, and no asset", "landing", ("day",),
    (
        calendar_day("day", "the site day"),
        text("readings_hash", "content hash of the readings that the node loads were summed from"),
    ),
)  # fmt: skip
