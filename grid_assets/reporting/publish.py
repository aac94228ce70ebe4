"""Publishing: the marts are built by dbt in a new DuckDB file, which takes the published one's place in one rename.

    1. a new file beside the published one: a copy of it when only some marts are built, otherwise empty
    2. schema ``lake``: a view per lake table over the Parquet files that its pointers name now
    3. one `dbt build`: models and tests
    4. schema ``lake`` is dropped, every mart is held against its declaration, and the file is renamed
    5. the marts go to the lake as Parquet, one by one

When any of 1 to 4 fails the published file is what it was. The file is the set: its marts belong together at every moment.
A Parquet mart is whole at every moment, but a process that dies in step 5 leaves some of them one publishing behind the
file; the next publishing brings them level, and none is ever ahead of it. A reader that has the published file open keeps reading the old
content and blocks nobody; it sees the new one when it opens the file again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from grid_assets.foundation.check_results import CHECK_RESULTS
from grid_assets.foundation.lake import Lake, Written
from grid_assets.foundation.tables import Table
from grid_assets.reporting.contracts import DBT_PROJECT, PARTITION_COLUMN, marts, source_name, source_tables, warehouse_type

if TYPE_CHECKING:
    import duckdb

SCHEMA, SOURCES = "grid", "lake"
DRAFTS = ".publishing"
PROJECT_SUFFIXES = (".yml", ".sql")


class PublishError(RuntimeError):
    """The marts could not be built or put in place; the published file is what it was."""


# -- the dbt project -------------------------------------------------------------------------------------------------


def dbt_executable() -> str:
    """dbt of the interpreter's own environment. Raises PublishError where it is missing."""
    folder = Path(sys.executable).parent
    found = shutil.which("dbt", path=str(folder)) or shutil.which("dbt")
    if not found:
        raise PublishError(f"there is no dbt beside {sys.executable} nor on PATH; install the project's dependencies (uv sync)")
    return found


def manifest_of(project: Path = DBT_PROJECT) -> Path:
    return project / "target" / "manifest.json"


def ensure_manifest(project: Path = DBT_PROJECT) -> Path:
    """dbt's manifest, made anew when a file of the project changed since. Raises PublishError with what dbt said."""
    manifest, stamp = manifest_of(project), project / "target" / "sources.sha256"
    digest = project_digest(project)
    if manifest.exists() and stamp.exists() and stamp.read_text() == digest:
        return manifest
    from filelock import FileLock

    (project / "target").mkdir(exist_ok=True)
    with FileLock(project / "target" / ".manifest.lock"), tempfile.TemporaryDirectory(dir=project / "target") as scratch:
        if manifest.exists() and stamp.exists() and stamp.read_text() == digest:
            return manifest  # another process made it meanwhile
        run_dbt(["parse", "--target-path", scratch, "--no-partial-parse"], project)
        for name in ("partial_parse.msgpack", "manifest.json"):
            if (Path(scratch) / name).exists():
                os.replace(Path(scratch) / name, project / "target" / name)
        stamp.write_text(digest)
    return manifest


def project_digest(project: Path) -> str:
    """A hash of the dbt project's own files and dbt's version."""
    from importlib.metadata import version

    digest = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(project.rglob("*")):
        inside = path.relative_to(project)
        if path.suffix in PROJECT_SUFFIXES and inside.parts[0] not in ("target", "logs") and path.name != ".user.yml":
            digest.update(f"{inside.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def run_dbt(arguments: Sequence[str], project: Path = DBT_PROJECT) -> None:
    """Runs dbt once as a process of its own. Raises PublishError with the last of what it said."""
    folder = str(project)
    command = [dbt_executable(), "--no-use-colors", *arguments, "--project-dir", folder, "--profiles-dir", folder]
    environment = {**os.environ, "DBT_LOG_PATH": str(project / "target")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)  # noqa: S603
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise PublishError(f"dbt {arguments[0]} failed:\n{said}")


def build_arguments(warehouse: Path) -> list[str]:
    """Arguments of the one dbt call that builds and tests the marts in ``warehouse``."""
    return ["build", "--vars", json.dumps({"warehouse": str(warehouse)})]


# -- the warehouse ---------------------------------------------------------------------------------------------------


def publish(lake: Lake, warehouse_file: Path, check_results: pd.DataFrame, project: Path = DBT_PROJECT) -> dict[str, Written]:
    """Builds all marts and puts them in the place of the published ones, without Dagster. Mart -> what was written."""
    with draft_warehouse(lake, warehouse_file, check_results, project=project) as draft:
        run_dbt([*build_arguments(draft), "--target-path", str(draft.parent / "target")], project)
        return put_in_place(draft, warehouse_file, lake, marts())


@contextmanager
def draft_warehouse(
    lake: Lake, warehouse_file: Path, check_results: pd.DataFrame, *, keep_published: bool = False, project: Path = DBT_PROJECT
) -> Iterator[Path]:
    """A new DuckDB file with the lake's tables in schema ``lake``; it is gone at the end unless ``put_in_place`` moved it.

    ``check_results``: rows of foundation/check_results. ``keep_published``: begin with a copy of the published file, so that
    marts that are not built now stay. One draft of a warehouse at a time; those that dead processes left are removed.
    """
    from filelock import FileLock

    folder = warehouse_file.parent
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{DRAFTS}.lock"):
        for left in folder.glob(f"{DRAFTS}-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{DRAFTS}-", dir=folder))
        draft = scratch / warehouse_file.name  # the same name, because DuckDB names the database after the file
        try:
            if keep_published and warehouse_file.exists():
                shutil.copyfile(warehouse_file, draft)
            with _opened(draft) as database:
                _show_lake(database, lake, check_results, project)
            yield draft
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def put_in_place(draft: Path, warehouse_file: Path, lake: Lake, built: Sequence[Table]) -> dict[str, Written]:
    """Renames the draft onto the published file and exports the marts ``built`` to the lake. Mart -> what was written.

    All marts are read and held against their declarations before anything is written. Raises TableError.
    """
    with _opened(draft) as database:
        database.execute(f"drop schema if exists {SOURCES} cascade")
        rows = {table: table.conform(_mart_rows(database, table)) for table in built}
    with open(draft, "rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(draft, warehouse_file)
    return {table.name: lake.write(table, rows[table]) for table in built}


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    database = duckdb.connect(str(path), config={"threads": 2, "autoinstall_known_extensions": False})
    try:
        yield database
    finally:
        database.close()


def _mart_rows(database: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
    names = ", ".join(f'"{name}"' for name in table.columns)
    return database.sql(f"select {names} from {SCHEMA}.{table.name}").to_arrow_table()  # noqa: S608


def _show_lake(database: duckdb.DuckDBPyConnection, lake: Lake, check_results: pd.DataFrame, project: Path) -> None:
    """Schema ``lake``: every table that a model reads, with its partition as a column; empty and typed where it has no data."""
    database.execute(f"create schema if not exists {SCHEMA}")
    database.execute(f"drop schema if exists {SOURCES} cascade")
    database.execute(f"create schema {SOURCES}")
    for table in source_tables(project):
        if table.key == CHECK_RESULTS.key:
            _copy(database, table, CHECK_RESULTS.conform(check_results))
            continue
        files = lake.files(table)
        if files and _is_local(lake):
            _view(database, table, files)
        else:
            _copy(database, table, _with_partitions(lake, table))


def _is_local(lake: Lake) -> bool:
    """DuckDB reads object stores only with an extension, which is a download; there the tables are copied instead."""
    return Path(lake.root).is_dir()


def _view(database: duckdb.DuckDBPyConnection, table: Table, files: Sequence[str]) -> None:
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
    columns = ", ".join(f'cast("{one.name}" as {warehouse_type(one.type)}) as "{one.name}"' for one in table.fields)
    database.execute(
        f"create view {SOURCES}.{source_name(table)} as select {columns}, string_split(filename, '/')[-2] as {PARTITION_COLUMN} "  # noqa: S608
        f"from read_parquet([{listed}], union_by_name = true, filename = true)"
    )


def _copy(database: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table) -> None:
    database.register("rows_of_lake", rows)
    try:
        columns = ", ".join(f'cast("{one.name}" as {warehouse_type(one.type)}) as "{one.name}"' for one in table.fields)
        partition = f", {PARTITION_COLUMN}" if PARTITION_COLUMN not in table.columns else ""
        database.execute(f"create table {SOURCES}.{source_name(table)} as select {columns}{partition} from rows_of_lake")  # noqa: S608
    finally:
        database.unregister("rows_of_lake")


def _with_partitions(lake: Lake, table: Table) -> pa.Table:
    parts = []
    for partition in lake.partitions(table):
        rows = lake.read_arrow(table, None if partition == "all" else partition)
        parts.append(rows.append_column(PARTITION_COLUMN, pa.array([partition] * len(rows), pa.string())))
    if parts:
        return pa.concat_tables(parts, promote_options="default")
    return table.empty().append_column(PARTITION_COLUMN, pa.array([], pa.string()))


def built_marts(names: Sequence[str]) -> list[Table]:
    """The declared marts of those names."""
    return [table for table in marts() if table.name in set(names)]
