"""dbt's sources and contracts, generated from the table declarations: columns, types, meanings with units, tests.

Two files of the dbt project are generated and committed, ``models/sources.yml`` and ``models/marts/_contracts.yml``; ``drift``
says where they differ from what the declarations say now, ``write`` brings them up to date.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

import grid_assets
from grid_assets.foundation.tables import Table, tables_of
from grid_assets.reporting import tables as reporting_tables

DBT_PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
SOURCES_FILE, CONTRACTS_FILE = "models/sources.yml", "models/marts/_contracts.yml"
NOTE = "# Generated from the table declarations by `grid-assets contracts`. Change grid_assets/<area>/tables.py instead.\n"
PARTITION_COLUMN = "partition_key"
"""What a lake view adds to a partitioned table's columns: the day run, event or study of the row."""
SOURCE = re.compile(r"source\(\s*'lake'\s*,\s*'([a-z_]+)__([a-z_]+)'\s*\)")

ACCEPTED: dict[tuple[str, str], list[str]] = {
    ("daily_energy", "kind"): ["load", "generation"],
    ("data_quality", "kind"): ["load", "generation", "boundary"],
    ("alerts", "kind"): ["low_valid_share", "device_offline", "area_outage", "unusual_consumption"],
    ("alerts", "severity"): ["information", "warning", "critical"],
    ("node_loads", "level"): ["system", "substation", "feeder"],
    ("constraint_violations", "kind"): ["undervoltage", "overvoltage", "overload"],
    ("constraint_violations", "severity"): ["warning", "critical"],
    ("violation_probabilities", "kind"): ["undervoltage", "overvoltage", "overload"],
    ("violation_probabilities", "severity"): ["warning", "critical"],
    ("contingencies", "severity"): ["none", "warning", "critical"],
    ("remedies", "kind"): ["undervoltage", "overvoltage", "overload"],
    ("range_flows", "quantity"): ["vm_pu", "loading_pct"],
    ("storage_plans", "strategy"): ["no_storage", "rule", "greedy", "price_only", "per_feeder", "forecast_mean", "optimised"],
    ("settlements", "outcome"): ["succeeded", "partially_succeeded", "failed", "cancelled", "unverified"],
    ("check_results", "severity"): ["error", "warn"],
}
LIMITS: dict[tuple[str, str], tuple[float, float]] = {
    ("daily_energy", "valid_pct"): (0, 100),
    ("node_loads", "valid_pct"): (0, 100),
    ("data_quality", "valid_pct"): (0, 100),
    ("forecast_accuracy", "coverage_90_pct"): (0, 100),
    ("violation_probabilities", "probability"): (0, 1),
}
RELATIONS = {("payments", "event_id"): ("settlements", "event_id")}


class ContractError(ValueError):
    """A model reads a table that nobody declares, or a declared type has no counterpart in the warehouse."""


def marts() -> list[Table]:
    """The declared marts, in the order of their declaration."""
    return tables_of(reporting_tables)


def declared_tables() -> dict[str, Table]:
    """Every declared table by ``area/name``: those of the areas, the registers and the check results."""
    names = ["grid_assets.foundation.registers", "grid_assets.foundation.check_results"]
    for found in pkgutil.iter_modules(grid_assets.__path__):
        name = f"grid_assets.{found.name}.tables"
        if found.ispkg and found.name != "foundation" and importlib.util.find_spec(name):
            names.append(name)
    return {str(table): table for name in names for table in tables_of(importlib.import_module(name))}


def source_tables(project: Path = DBT_PROJECT) -> list[Table]:
    """The lake tables that the models read, by name. Raises ContractError for one that is not declared."""
    known = declared_tables()
    found: dict[str, Table] = {}
    for model in sorted(project.glob("models/**/*.sql")):
        for area, name in SOURCE.findall(model.read_text(encoding="utf-8")):
            key = f"{area}/{name}"
            if key not in known:
                raise ContractError(f"{model}: source {area}__{name} is not a declared table")
            found[key] = known[key]
    return [found[key] for key in sorted(found)]


def source_name(table: Table) -> str:
    """The relation in schema ``lake`` that stands for a table while the marts are built."""
    return f"{table.area}__{table.name}"


def warehouse_type(kind: pa.DataType) -> str:
    """DuckDB's type for an Arrow type. Raises ContractError."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    for fits, name in (
        (pa.types.is_string, "varchar"), (pa.types.is_float64, "double"), (pa.types.is_int64, "bigint"), (pa.types.is_boolean, "boolean"),
        (pa.types.is_date32, "date"), (pa.types.is_timestamp, "timestamp with time zone"),
    ):  # fmt: skip
        if fits(kind):
            return name
    raise ContractError(f"type {kind} has no counterpart in the warehouse")


def generated(project: Path = DBT_PROJECT) -> dict[str, str]:
    """File name in the dbt project -> the content that the declarations call for."""
    sources = {
        "version": 2,
        "sources": [
            {
                "name": "lake",
                "schema": "lake",
                "description": "Tables of the lake, as views over the Parquet files that its pointers name; there while the marts are built.",
                "tables": [_source(table) for table in source_tables(project)],
            }
        ],
    }
    contracts = {"version": 2, "models": [_contract(table) for table in marts()]}
    return {SOURCES_FILE: NOTE + _yaml(sources), CONTRACTS_FILE: NOTE + _yaml(contracts)}


def drift(project: Path = DBT_PROJECT) -> list[str]:
    """What differs between the committed files and the declarations, a line each; empty when they match."""
    differences = []
    for name, wanted in generated(project).items():
        path = project / name
        here = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        differences += [f"{name}: {line}" for line in _changed_lines(here, wanted.splitlines())]
    return differences


def write(project: Path = DBT_PROJECT) -> list[Path]:
    """Writes the generated files; returns those that changed."""
    changed = []
    for name, content in generated(project).items():
        path = project / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            changed.append(path)
    return changed


def _changed_lines(here: list[str], wanted: list[str]) -> list[str]:
    import difflib

    return [line for line in difflib.unified_diff(here, wanted, lineterm="", n=0) if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def _source(table: Table) -> dict[str, Any]:
    columns = [_column(table, one) for one in table.fields]
    if PARTITION_COLUMN not in table.columns:
        columns.append({"name": PARTITION_COLUMN, "data_type": "varchar", "description": f"partition of the row ({table.partition})"})
    return {
        "name": source_name(table),
        "description": f"One row is {table.grain}.",
        "meta": {"dagster": {"asset_key": table.key}},
        "columns": columns,
    }


def _contract(table: Table) -> dict[str, Any]:
    columns = []
    for one in table.fields:
        made = _column(table, one)
        if not one.nullable:
            made["constraints"] = [{"type": "not_null"}]
        tests = _tests(table, one.name)
        if tests:
            made["data_tests"] = tests
        columns.append(made)
    return {
        "name": table.name,
        "description": f"One row is {table.grain}. Key: {', '.join(table.keys)}.",
        "config": {"contract": {"enforced": True}},
        "data_tests": [{"unique_key": {"arguments": {"columns": list(table.keys)}}}],
        "columns": columns,
    }


def _tests(table: Table, column: str) -> list[Any]:
    where = (table.name, column)
    tests: list[Any] = ["not_null"] if column == table.keys[0] else []
    if where in ACCEPTED:
        tests.append({"accepted_values": {"arguments": {"values": ACCEPTED[where]}}})
    if where in LIMITS:
        tests.append({"between": {"arguments": {"minimum": LIMITS[where][0], "maximum": LIMITS[where][1]}}})
    if where in RELATIONS:
        other, field = RELATIONS[where]
        tests.append({"relationships": {"arguments": {"to": f"ref('{other}')", "field": field}}})
    return tests


def _column(table: Table, one: pa.Field) -> dict[str, Any]:
    unit = table.unit(one.name)
    described = table.meaning(one.name) + ("" if unit in ("-", "") else f" [{unit}]")
    return {"name": one.name, "data_type": warehouse_type(one.type), "description": described}


def _yaml(content: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=140)
