"""The rules of the house: layers, doors, light imports, names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from grid_assets.definitions import AREAS, DOORS
from grid_assets.foundation.tables import UNIT_BY_SUFFIX, tables_of
from grid_assets_tests.conftest import PROJECT

PACKAGE = PROJECT / "grid_assets"
ENGINES = ("powerflow", "optimisation", "figures", "simulation")
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "pandapower",
    "simbench",
    "sktime",
    "sklearn",
    "scipy",
    "lightgbm",
    "great_expectations",
    "numba",
    "pulp",
    "highspy",
    "matplotlib",
    "pvlib",
    "duckdb",
)
TOP_LEVEL_WITH_DAGSTER = {"definitions.py", "jobs.py", "daily.py", "instance.py"}


def imported(path: Path) -> set[str]:
    """Everything that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def place(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def test_only_doors_and_the_composition_know_dagster():
    for path in MODULES:
        where = place(path)
        allowed = (
            path.stem in DOORS or where[:2] == ("foundation", "dagster") or path.relative_to(PACKAGE).as_posix() in TOP_LEVEL_WITH_DAGSTER
        )
        if not allowed:
            assert not any(name.split(".")[0] in ("dagster", "dagster_dbt") for name in imported(path)), f"{path} imports dagster"


def test_arrows_point_downward_and_areas_meet_only_by_tables():
    for path in MODULES:
        where = place(path)
        if len(where) == 1:
            continue
        home = where[0]
        for name in imported(path):
            parts = name.split(".")
            if parts[0] != "grid_assets" or len(parts) < 2 or parts[1] == home:
                continue
            if home == "foundation":
                pytest.fail(f"{path}: the foundation imports {name}")
            if home in ENGINES:
                assert parts[1] in ("foundation", *ENGINES), f"{path}: an engine imports {name}"
            if home in AREAS and parts[1] in AREAS:
                assert path.stem in DOORS, f"{path}: only doors read another area's tables, not {name}"
                assert parts[2:3] == ["tables"], f"{path}: {name} is not a table declaration"
            if home in AREAS:
                assert parts[1] in ("foundation", *ENGINES, *AREAS), f"{path}: an area imports {name}"


def test_the_domain_reads_no_clock_and_no_environment():
    """Doors, commands and the composition may; the domain gets ``now`` and settings as arguments."""
    for path in MODULES:
        where = place(path)
        if len(where) == 1 or path.stem in DOORS or where[:2] == ("foundation", "dagster"):
            continue
        source = path.read_text()
        source = source.replace('os.environ["GX_ANALYTICS_ENABLED"] = "false"', "")  # switching a library's reporting off
        found = re.findall(r"datetime\.now|date\.today|time\.time\(|os\.environ|getenv|np\.random\.(?:rand|seed|normal)\(", source)
        passed_on = where == ("reporting", "publish") and set(found) == {"os.environ"}  # to the dbt process, unread
        assert not found or passed_on, f"{path}: {found}"


@pytest.mark.parametrize("site", ["demo", "plymouth", "edrp"])
def test_loading_the_definitions_loads_no_heavy_library(site: str, tmp_path: Path):
    script = (
        "import os, sys\n"
        "from grid_assets.foundation.site import load_site\n"
        "from grid_assets.definitions import build_definitions, site_file_named\n"
        f"path = site_file_named({site!r})\n"
        "build_definitions(path, load_site(path, os.environ))\n"
        f"print(','.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"PATH": "", "GRID_ASSETS_STATE": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", "heavy libraries are loaded at import"


def every_table():
    import importlib

    modules = [importlib.import_module("grid_assets.foundation.registers"), importlib.import_module("grid_assets.foundation.check_results")]
    modules += [importlib.import_module(f"grid_assets.{area}.tables") for area in AREAS]
    return [table for module in modules for table in tables_of(module)]


@pytest.mark.parametrize("table", every_table(), ids=str)
def test_every_field_has_a_unit_and_a_meaning_and_is_named_by_its_unit(table):
    assert table.grain
    for one in table.fields:
        assert table.meaning(one.name), f"{table}.{one.name} has no meaning"
        assert table.unit(one.name), f"{table}.{one.name} has no unit"
        assert re.fullmatch(r"[a-z][a-z0-9_]*", one.name)
        endings = [suffix for suffix in UNIT_BY_SUFFIX if one.name.endswith(suffix)]
        if endings and not pa.types.is_string(one.type):
            longest = max(endings, key=len)
            said = table.unit(one.name)
            assert said == UNIT_BY_SUFFIX[longest] or said.split("/")[0] == UNIT_BY_SUFFIX[longest], (
                f"{table}.{one.name}: unit {said} under a name that says {longest}"
            )


def test_table_names_are_unique_and_belong_to_their_area():
    tables = every_table()
    assert len({str(table) for table in tables}) == len(tables)


def test_no_room_is_called_utils():
    for path in MODULES:
        assert not {"utils", "helpers", "common", "misc"} & set(place(path)), path


def test_the_top_level_holds_what_was_agreed():
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=PROJECT, check=False).stdout.split("\n")
    top = {name.split("/")[0] for name in listed if name and not name.startswith(".")}
    assert top <= {
        "pyproject.toml", "grid_assets", "grid_assets_tests", "data", "dbt_project", "workspace.yaml", "README.md", "benchmarks", "docs",
        "CHANGELOG.md", "LICENSE", "NOTICE",
    }  # fmt: skip


def test_what_the_repository_carries_as_data_is_small():
    assert sum(path.stat().st_size for path in (PROJECT / "data").rglob("*") if path.is_file()) < 1_000_000
