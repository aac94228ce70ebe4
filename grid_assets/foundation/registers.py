"""The registers: which meters, nodes, plants and storage units are in force, read from the site's CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.tables import Table, flag, instant, number, text

METERS = Table(
    "foundation", "meters", "a meter while it is in force at one place", "none", ("meter_id", "valid_from_utc"),
    (
        text("meter_id", "the meter's id as its readings carry it"),
        text("kind", "load (consumes positive), generation (feeds in positive) or boundary (the net flow into its node, for balances; part of no sum)"),
        text("node_id", "the feeder, or the substation where there is no feeder, that the meter hangs on"),
        text("bus_id", "name of the network bus; empty where the network is not modelled down to the meter", nullable=True),
        text("customer_class", "kind of customer, for priorities and class profiles"),
        number("rating_kw", "largest mean power over an interval that the service can carry"),
        number("power_factor", "cosine phi of the load; empty: the network section's default", unit="-", nullable=True),
        flag("net_metered", "whether generation behind the meter may turn its readings negative"),
        instant("valid_from_utc", "first instant at this place"),
        instant("valid_to_utc", "first instant no longer at this place; empty: still there", nullable=True),
        number("register_modulus_kwh", "standing at which the meter's register starts again from 0, such as 100000; empty: the site's default", nullable=True),
    ),
)  # fmt: skip

NODES = Table(
    "foundation", "nodes", "a node of the aggregation tree", "none", ("node_id",),
    (
        text("node_id", "id of the system, substation or feeder"),
        text("level", "system, substation or feeder"),
        text("parent_id", "the node above; empty for the system", nullable=True),
        text("title", "name for people"),
        number("import_limit_kw", "largest power drawn through the node; empty: not limited", nullable=True),
        number("export_limit_kw", "largest power fed back through the node; empty: not limited", nullable=True),
    ),
)  # fmt: skip

PLANTS = Table(
    "foundation", "plants", "a generating plant", "none", ("plant_id",),
    (
        text("plant_id", "id of the plant"),
        text("kind", "pv, wind, biomass or hydro"),
        text("meter_id", "the meter that counts its generation"),
        text("node_id", "the feeder or substation it feeds into"),
        text("bus_id", "name of the network bus; empty where not modelled", nullable=True),
        number("rating_kw", "rated power"),
    ),
)  # fmt: skip

UNITS = Table(
    "foundation", "units", "a storage unit", "none", ("unit_id",),
    (
        text("unit_id", "id of the storage unit"),
        text("node_id", "the feeder or substation it is connected to"),
        text("bus_id", "name of the network bus; empty where not modelled", nullable=True),
        number("power_kw", "largest charging and discharging power at the terminals"),
        number("energy_kwh", "usable energy content"),
        number("charge_efficiency", "energy stored per energy drawn", unit="-"),
        number("discharge_efficiency", "energy delivered per energy taken out of the store", unit="-"),
        number("self_discharge_pct_per_day", "stored energy lost in a day", unit="%/day"),
        number("minimum_energy_kwh", "lower end of the energy window"),
        number("initial_energy_kwh", "energy at the start of a study day, and to be reached again at its end"),
        number("wear_cost_per_kwh", "cost of wear per kWh discharged"),
        number("cycles_per_day", "full cycles allowed a day", unit="1/day"),
    ),
)  # fmt: skip

DEVICES = Table(
    "foundation", "devices", "a sensor or monitor while it is in force", "none", ("device_id", "valid_from_utc"),
    (
        text("device_id", "the device's id as its measurements carry it"),
        text("kind", "grid_sensor, weather_station, battery_monitor, inverter, temperature_sensor or occupancy_sensor"),
        text("node_id", "the feeder or substation it belongs to", nullable=True),
        text("unit_id", "the storage unit it watches", nullable=True),
        number("reporting_s", "seconds between its reports; empty: irregular", nullable=True),
        instant("valid_from_utc", "first instant in force"),
        instant("valid_to_utc", "first instant no longer in force; empty: still in force", nullable=True),
        text("bus_id", "name of the network bus whose voltage it measures; empty: not on the network, or at its branch", nullable=True),
        text("branch_id", "name of the line or transformer whose current and power it measures, at its beginning; empty: none", nullable=True),
    ),
)  # fmt: skip

REGISTERS = (METERS, NODES, PLANTS, UNITS, DEVICES)

FOREVER = pd.Timestamp("2200-01-01", tz="UTC")
"""Stands for the end of a period that has none."""


CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("meters", "kind"): ("load", "generation", "boundary"),
    ("nodes", "level"): ("system", "substation", "feeder"),
    ("plants", "kind"): ("pv", "wind", "biomass", "hydro"),
    ("devices", "kind"): ("grid_sensor", "weather_station", "battery_monitor", "inverter", "temperature_sensor", "occupancy_sensor"),
}
"""What a column of words may say: another word would silently change what a row means."""

ABOVE_ZERO = ("rating_kw", "power_kw", "energy_kwh", "register_modulus_kwh", "reporting_s")
SHARES = ("power_factor", "charge_efficiency", "discharge_efficiency")
NOT_NEGATIVE = (
    "import_limit_kw", "export_limit_kw", "self_discharge_pct_per_day", "minimum_energy_kwh", "initial_energy_kwh", "wear_cost_per_kwh",
    "cycles_per_day",
)  # fmt: skip
SHOWN_FAULTS = 50

Fault = tuple[int, str]
"""The line in the file, and what is wrong there."""


class RegisterError(ValueError):
    """A register file that cannot be used. The message has a line per fault: file, line, value, what was expected."""


def read_register(folder: Path, table: Table) -> pa.Table:
    """Reads ``<folder>/<table>.csv`` as its table; plants, units and devices may be absent and are then empty.

    Lines that begin with # are comments. Raises RegisterError with a line per fault, naming the file, the line and the value.
    """
    path = folder / f"{table.name}.csv"
    if not path.exists():
        if table in (PLANTS, UNITS, DEVICES):
            return table.empty()
        raise RegisterError(f"{path}: the register is missing; expected columns {', '.join(table.columns)}")
    frame = _records(path, table)
    faults: list[Fault] = []
    for declared in table.fields:
        if declared.name not in frame:
            frame[declared.name] = None
        frame[declared.name] = _typed(frame[declared.name], declared, faults)
    faults += _faults_of_values(frame, table) + _faults_of_keys(frame, table)
    if table in (METERS, DEVICES):
        faults += _faults_of_periods(frame, table.keys[0])
    if faults:
        raise RegisterError(_told(path, faults))
    try:
        return table.conform(frame[table.columns])
    except ValueError as error:
        raise RegisterError(f"{path}: {error}") from error


def _records(path: Path, table: Table) -> pd.DataFrame:
    """The file's values as text, empty ones None, indexed by the line each row stands on, with every needed column there."""
    header, rows, lines = [], [], []
    for line, record in _lines(path):
        if not header:
            header = [name.strip() for name in record]
            continue
        rows.append(record)
        lines.append(line)
    if not header:
        raise RegisterError(f"{path}: the file is empty; expected a header line with the columns {', '.join(table.columns)}")
    faults = [
        f"column {one.name} ({table.meaning(one.name)}) is missing" for one in table.fields if one.name not in header and not one.nullable
    ]
    faults += [f"column {name!r} is unknown; known are {', '.join(table.columns)}" for name in header if name not in table.columns]
    faults += [f"column {name} is there twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    if faults:
        raise RegisterError("\n".join(f"{path}: {fault}" for fault in faults))
    ragged = [
        (line, f"{len(row)} values where the header names {len(header)} columns; was the line cut off, or does a value hold a comma?")
        for line, row in zip(lines, rows, strict=True)
        if len(row) != len(header)
    ]
    if ragged:
        raise RegisterError(_told(path, ragged))
    return pd.DataFrame([[value or None for value in row] for row in rows], columns=pd.Index(header), index=pd.Index(lines), dtype=object)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The file's records with the line on which each ends, without comments and empty lines. Raises RegisterError."""
    try:
        content = path.read_bytes()
        source = io.StringIO(content.decode("utf-8-sig"), newline="")
    except OSError as error:
        raise RegisterError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RegisterError(f"{path}, line {line}: not UTF-8 (byte {error.object[error.start]:#04x}); save the file as UTF-8") from error
    line = 0

    def told() -> Iterator[str]:
        nonlocal line
        for written in source:
            line += 1
            if not written.startswith("#"):
                yield written

    try:
        for record in csv.reader(told(), strict=True):
            if record:
                yield line, record
    except csv.Error as error:
        raise RegisterError(f"{path}, line {line}: not CSV: {error}; is a quotation mark left open?") from error


def _typed(values: pd.Series, declared: pa.Field, faults: list[Fault]) -> pd.Series:
    """The values in their type; what cannot be read, and what is empty where it may not be, is added to ``faults``."""
    if not declared.nullable:
        faults += [(int(line), f"{declared.name} is empty; expected a value") for line in values.index[values.isna()]]
    if pa.types.is_timestamp(declared.type):
        made, expected = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601"), "an ISO time such as 2016-01-01T00:00:00Z"
    elif pa.types.is_floating(declared.type):
        made, expected = pd.to_numeric(values, errors="coerce").astype(float), "a number such as 12.5"
        made = made.where(np.isfinite(made))
    elif pa.types.is_boolean(declared.type):
        made, expected = values.map(lambda value: {"true": True, "false": False}.get(str(value).lower())), "true or false"
    else:
        return values
    bad = made.isna() & values.notna()
    faults += [(int(line), f"{declared.name} = {value!r}: expected {expected}") for line, value in values[bad].items()]
    return made


def _faults_of_values(frame: pd.DataFrame, table: Table) -> list[Fault]:
    """Words that are none of the known ones, and numbers outside of what they can be."""
    found: list[Fault] = []

    def note(name: str, wrong: pd.Series, expected: str) -> None:
        at = frame.loc[wrong & frame[name].notna(), name]
        found.extend((int(line), f"{name} = {value!r}: expected {expected}") for line, value in at.items())

    for (register, name), words in CHOICES.items():
        if register == table.name:
            note(name, ~frame[name].isin(words), f"one of {', '.join(words)}")
    for name in frame.columns:
        if name in ABOVE_ZERO:
            note(name, frame[name] <= 0, "more than 0")
        elif name in SHARES:
            note(name, (frame[name] <= 0) | (frame[name] > 1), "more than 0 and at most 1")
        elif name in NOT_NEGATIVE:
            note(name, frame[name] < 0, "0 or more")
    if table is UNITS:
        for name in ("minimum_energy_kwh", "initial_energy_kwh"):
            note(name, frame[name] > frame["energy_kwh"], "at most energy_kwh")
        note("initial_energy_kwh", frame["initial_energy_kwh"] < frame["minimum_energy_kwh"], "at least minimum_energy_kwh")
    return found


def _faults_of_keys(frame: pd.DataFrame, table: Table) -> list[Fault]:
    keys = list(table.keys)
    whole = frame.dropna(subset=keys)
    found: list[Fault] = []
    for _, rows in whole[whole.duplicated(keys, keep=False)].groupby(keys, sort=False):
        first, *others = rows.index
        named = ", ".join(f"{key} = {str(rows[key].iloc[0])!r}" for key in keys)
        found += [(int(line), f"{named} is already on line {first}; expected each once") for line in others]
    return found


def _faults_of_periods(meters: pd.DataFrame, id_column: str) -> list[Fault]:
    """Periods that end before they begin, and periods of one meter or device that overlap: its values would have two places."""
    backwards = meters["valid_to_utc"].notna() & (meters["valid_to_utc"] <= meters["valid_from_utc"])
    found: list[Fault] = [
        (int(line), f"valid_to_utc = {str(value)!r}: expected a time after valid_from_utc")
        for line, value in meters.loc[backwards, "valid_to_utc"].items()
    ]
    sound = meters[~backwards].dropna(subset=[id_column, "valid_from_utc"])
    several = sound[sound.duplicated(id_column, keep=False)]
    for meter, rows in several.sort_values("valid_from_utc", kind="stable").groupby(id_column):
        until = rows["valid_to_utc"].fillna(FOREVER)
        reached, before = until.iloc[0], rows.index[0]
        for line, begins in rows["valid_from_utc"].iloc[1:].items():
            if begins < reached and begins > rows.at[before, "valid_from_utc"]:  # the same beginning is a repeated key
                found.append((
                    int(line),  # type: ignore[arg-type]
                    f"valid_from_utc = {str(begins)!r}: {id_column.removesuffix('_id')} {meter!r} is still in force on line {before}; give that line a valid_to_utc up to here",
                ))  # fmt: skip
            if until[line] > reached:
                reached, before = until[line], line
    return found


def _told(path: Path, faults: list[Fault]) -> str:
    """A line per fault, in the file's order."""
    told = [f"{path}, line {line}: {said}" for line, said in sorted(faults)]
    more = [f"{path}: {len(told) - SHOWN_FAULTS} further faults"] if len(told) > SHOWN_FAULTS else []
    return "\n".join(told[:SHOWN_FAULTS] + more)


def in_force(meters: pd.DataFrame, start_utc: pd.Timestamp, end_utc: pd.Timestamp) -> pd.DataFrame:
    """The meters in force at ``start_utc``, one row each. A meter that moves or ends before ``end_utc`` counts where it was at
    the start: a day's energy has one place. So ``end_utc`` decides nothing; callers name the time that they mean to cover.
    """
    begun = meters["valid_from_utc"] <= start_utc
    ended = meters["valid_to_utc"].notna() & (meters["valid_to_utc"] <= start_utc)
    return meters[begun & ~ended].drop_duplicates("meter_id", keep="last").reset_index(drop=True)


def ids_in_both(meters: pd.DataFrame, devices: pd.DataFrame) -> list[str]:
    """The ids that METERS and DEVICES both list, sorted: rows of such an id count as the meter's where they are energy."""
    return sorted(set(meters["meter_id"]) & set(devices["device_id"]))


def faults_of_tree(nodes: pd.DataFrame, meters: pd.DataFrame) -> list[str]:
    """What is wrong with the aggregation tree: unknown parents, loops, meters on unknown nodes, not exactly one system."""
    known = set(nodes["node_id"])
    parents = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True))
    faults = [f"node {node}: parent {parent!r} is unknown" for node, parent in parents.items() if parent and parent not in known]
    systems = nodes.loc[nodes["level"] == "system", "node_id"].tolist()
    if len(systems) != 1:
        faults.append(f"expected exactly one node of level system, found {systems}")
    for node in parents:
        seen, here = set(), node
        while here and here in parents and here not in seen:
            seen.add(here)
            here = parents[here]
        if here in seen:
            faults.append(f"node {node}: its parents form a loop")
    faults += [f"meter {row.meter_id}: node {row.node_id!r} is unknown" for row in meters.itertuples() if row.node_id not in known]
    return faults
