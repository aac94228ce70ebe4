"""The registers: which meters, nodes, plants and storage units are in force, read from the site's CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from grid_assets.foundation.tables import Table, flag, instant, number, text

METERS = Table(
    "foundation", "meters", "a meter while it is in force at one place", "none", ("meter_id", "valid_from_utc"),
    (
        text("meter_id", "the meter's id as its readings carry it"),
        text("kind", "load (consumes positive) or generation (feeds in positive)"),
        text("node_id", "the feeder, or the substation where there is no feeder, that the meter hangs on"),
        text("bus_id", "name of the network bus; empty where the network is not modelled down to the meter", nullable=True),
        text("customer_class", "kind of customer, for priorities and class profiles"),
        number("rating_kw", "largest mean power over an interval that the service can carry"),
        number("power_factor", "cosine phi of the load; empty: the network section's default", unit="-", nullable=True),
        flag("net_metered", "whether generation behind the meter may turn its readings negative"),
        instant("valid_from_utc", "first instant at this place"),
        instant("valid_to_utc", "first instant no longer at this place; empty: still there", nullable=True),
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

REGISTERS = (METERS, NODES, PLANTS, UNITS)


class RegisterError(ValueError):
    """A register file that cannot be used: file, row, what was expected."""


def read_register(folder: Path, table: Table) -> pa.Table:
    """Reads ``<folder>/<table>.csv`` as its table; plants and units may be absent and are then empty.

    Raises RegisterError naming the file, and the row where one is at fault.
    """
    path = folder / f"{table.name}.csv"
    if not path.exists():
        if table in (PLANTS, UNITS):
            return table.empty()
        raise RegisterError(f"{path}: the register is missing; expected columns {', '.join(table.columns)}")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], comment="#")
    for declared in table.fields:
        if declared.name not in frame:
            if declared.nullable:
                frame[declared.name] = None
                continue
            raise RegisterError(f"{path}: column {declared.name} ({table.meaning(declared.name)}) is missing")
        frame[declared.name] = _typed(path, frame[declared.name], declared)
    try:
        return table.conform(frame[table.columns])
    except ValueError as error:
        raise RegisterError(f"{path}: {error}") from error


def _typed(path: Path, values: pd.Series, declared: pa.Field) -> pd.Series:
    if pa.types.is_timestamp(declared.type):
        made = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    elif pa.types.is_floating(declared.type):
        made = pd.to_numeric(values, errors="coerce")
    elif pa.types.is_boolean(declared.type):
        made = values.str.lower().map({"true": True, "false": False})
    else:
        return values
    bad = made.isna() & values.notna()
    if bad.any():
        row = int(bad.idxmax())
        raise RegisterError(f"{path}, row {row + 2}: {declared.name} = {values[row]!r} is not a {declared.type}")
    return made


def in_force(meters: pd.DataFrame, start_utc: pd.Timestamp, end_utc: pd.Timestamp) -> pd.DataFrame:
    """The meters in force for all of [start_utc, end_utc); one that moves within the day counts where it began."""
    begun = meters["valid_from_utc"] <= start_utc
    ended = meters["valid_to_utc"].notna() & (meters["valid_to_utc"] <= start_utc)
    return meters[begun & ~ended].drop_duplicates("meter_id", keep="last").reset_index(drop=True)


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
