from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table, TableError
from grid_assets.reporting import publish
from grid_assets.reporting.contracts import DBT_PROJECT, marts
from grid_assets_tests.reporting.conftest import check_rows, rows_of, seed

PROJECT = Path(__file__).resolve().parents[2]


def project_in(folder: Path) -> Path:
    """A copy of the dbt project, so that a test may break it and none of them shares a target folder."""
    return Path(shutil.copytree(DBT_PROJECT, folder / "dbt_project", ignore=shutil.ignore_patterns("target", "logs")))


def asked(path: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as database:
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A lake and its warehouse, published once."""
    folder = tmp_path_factory.mktemp("published")
    lake, warehouse = Lake(folder / "lake"), folder / "warehouse" / "trial.duckdb"
    seed(lake)
    written = publish.publish(lake, warehouse, check_rows(), project_in(folder))
    return folder, lake, warehouse, written


@pytest.mark.slow
def test_every_mart_is_published_in_schema_grid_and_as_parquet(published):
    _, lake, warehouse, written = published
    found = asked(warehouse, "select table_schema, table_name from information_schema.tables")
    assert sorted(found) == sorted(("grid", table.name) for table in marts())  # nothing of the lake is left in it
    assert set(written) == {table.name for table in marts()}
    for table in marts():
        assert table.faults(lake.read_arrow(table)) == []
        assert asked(warehouse, f"select count(*) from grid.{table.name}") == [(written[table.name].rows,)]
    assert [p for p in warehouse.parent.iterdir() if p.is_dir()] == []  # no draft is left


@pytest.mark.slow
def test_what_the_marts_say(published):
    _, _, warehouse, _ = published
    energy = asked(warehouse, "select meters, energy_kwh, valid_pct from grid.daily_energy where node_id = 'F1' order by day")
    assert energy == [(2, 30.5, 75.0)] * 2  # 10 + 20.5 kWh; 96 + 48 of 192 intervals
    assert asked(warehouse, "select distinct net_kwh from grid.node_loads") == [(3.0,)]
    assert asked(warehouse, "select arrival_day::varchar, rows, example from grid.refused_rows order by 1") == [
        ("2016-05-23", 3, "first"),
        ("2016-05-24", 3, "first"),
    ]
    assert asked(warehouse, "select distinct mean_kw from grid.demand_forecasts") == [(24.0,)]  # issued for the later day run
    hourly = asked(warehouse, "select mean_kw, p95_kw, date_part('minute', start_utc) from grid.hourly_demand_forecasts order by start_utc")
    assert hourly == [(24.0, 1.5, 0), (24.0, 3.5, 0)]
    assert asked(warehouse, "select distinct improvement_pct from grid.forecast_accuracy order by 1") == [(25.0,), (None,)]
    assert asked(warehouse, "select violations, critical_violations from grid.network_summaries order by day_run") == [(0, 0), (3, 2)]
    assert asked(warehouse, "select day_run::varchar, severity from grid.contingencies order by 2") == [
        ("2016-05-24", "critical"),
        ("2016-05-24", "none"),
    ]
    assert asked(warehouse, "select sum(pv_kw) from grid.hosting_capacity") == [(350.0,)]
    assert asked(warehouse, "select max(probability) from grid.violation_probabilities") == [(0.5,)]
    assert asked(warehouse, 'select "rank", "action", clears from grid.remedies order by 1') == [
        (1, "action-0", True),
        (2, "action-1", True),
    ]
    assert asked(warehouse, "select count(*), max(day::varchar) from grid.measurement_anomalies") == [(2, "2016-05-24")]
    assert asked(warehouse, "select first_day::varchar, last_day::varchar, quantity from grid.range_flows order by 3") == [
        ("2016-01-01", "2016-05-24", "loading_pct"),
        ("2016-01-01", "2016-05-24", "vm_pu"),
    ]
    assert asked(warehouse, "select revision, total_amount from grid.settlements") == [(2, Decimal("4.44"))]
    assert asked(warehouse, "select sum(amount) from grid.payments") == [(Decimal("4.44"),)]
    assert asked(warehouse, "select table_key from grid.check_results") == [("metering/readings",)]
    assert asked(warehouse, "select count(*) from grid.storage_plans") == [(0,)]  # nothing there: the mart is, and empty


@pytest.mark.slow
def test_publishing_again_gives_the_same_content_while_a_reader_looks_on(published):
    folder, lake, warehouse, first = published
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        again = publish.publish(lake, warehouse, check_rows(), folder / "dbt_project")
        assert reader.execute("select count(*) from grid.payments").fetchone() == (3,)  # the old file, still whole
    assert {name: one.content_hash for name, one in again.items()} == {name: one.content_hash for name, one in first.items()}
    assert not any(one.changed for one in again.values())


@pytest.mark.slow
def test_a_failing_test_leaves_the_published_file_alone(published, tmp_path):
    folder, lake, warehouse, _ = published
    before, marts_before = warehouse.read_bytes(), {table.name: lake.pointer(table) for table in marts()}
    payments = publish.source_tables()[[str(t) for t in publish.source_tables()].index("demand_response/payments")]
    good = lake.read(payments, "EV-1")
    lake.write(payments, good.assign(amount=[Decimal("9.99"), *good["amount"][1:]]), "EV-1")
    try:
        with pytest.raises(publish.PublishError, match="payments_make_up_settlements"):
            publish.publish(lake, warehouse, check_rows(), folder / "dbt_project")
    finally:
        lake.write(payments, good, "EV-1")
    assert warehouse.read_bytes() == before
    assert {table.name: lake.pointer(table) for table in marts()} == marts_before


PUBLISH_TWO_AND_DIE = """
import os, signal, sys
from pathlib import Path
from grid_assets.foundation.lake import Lake
from grid_assets.reporting import publish
from grid_assets_tests.reporting.test_publish import publish_two

def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)

honest, asked = Lake.write, []
def dying_write(self, table, rows, partition=None):
    asked.append(table)
    if len(asked) == 2:
        die()
    return honest(self, table, rows, partition)

if sys.argv[1] == "at the rename":
    publish.os.replace = die
else:
    Lake.write = dying_write
publish_two(Path(sys.argv[2]), "new")
"""


def two_marts() -> list[Table]:
    return [table for table in marts() if table.name in ("payments", "settlements")]


def publish_two(folder: Path, version: str) -> None:
    """Publishes two marts whose texts say which version they are of."""
    lake, warehouse = Lake(folder / "lake"), folder / "warehouse" / "w.duckdb"
    with publish.draft_warehouse(lake, warehouse, check_rows()) as draft:
        with duckdb.connect(str(draft)) as database:
            for table in two_marts():
                made = table.conform(rows_of(table, 3, account=version, programme=version))
                database.register("made", made)
                database.execute(f"create table grid.{table.name} as select * from made")
                database.unregister("made")
        publish.put_in_place(draft, warehouse, lake, two_marts())


def versions_of(folder: Path) -> tuple[set[str], list[set[str]]]:
    """What the DuckDB file's marts and each Parquet mart say, all of their rows read."""
    lake, warehouse = Lake(folder / "lake"), folder / "warehouse" / "w.duckdb"
    column = {"payments": "account", "settlements": "programme"}
    of_file: set[str] = set()
    for table in two_marts():
        found = asked(warehouse, f"select {column[table.name]}, count(*) from grid.{table.name} group by all")
        assert [count for _, count in found] == [3]
        of_file |= {version for version, _ in found}
        assert table.faults(lake.read_arrow(table)) == []
        assert len(lake.read_arrow(table)) == 3
    return of_file, [set(lake.read(table)[column[table.name]]) for table in two_marts()]


@pytest.mark.parametrize(
    ("moment", "of_file", "of_parquet"),
    [("at the rename", {"old"}, [{"old"}, {"old"}]), ("between two marts", {"new"}, [{"new"}, {"old"}])],
)
def test_a_kill_while_publishing_leaves_whole_marts_and_the_next_publishing_brings_them_level(tmp_path, moment, of_file, of_parquet):
    publish_two(tmp_path, "old")
    assert versions_of(tmp_path) == ({"old"}, [{"old"}, {"old"}])
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH_TWO_AND_DIE, moment, str(tmp_path)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert versions_of(tmp_path) == (of_file, of_parquet)  # each whole; the file a set of one version; no mart ahead of it
    assert len(list((tmp_path / "warehouse").glob(".publishing-*"))) == 1  # what the dead process left
    publish_two(tmp_path, "new")
    assert versions_of(tmp_path) == ({"new"}, [{"new"}, {"new"}])
    assert list((tmp_path / "warehouse").glob(".publishing-*")) == []


def test_a_draft_shows_every_source_empty_or_not_from_files_or_copied(seeded, tmp_path, monkeypatch):
    shown = {}
    for name, local in {"views": True, "copies": False}.items():
        monkeypatch.setattr(publish, "_is_local", lambda lake, local=local: local)  # on an object store DuckDB gets the rows, not the files
        with publish.draft_warehouse(seeded, tmp_path / f"{name}.duckdb", check_rows()) as draft, duckdb.connect(str(draft)) as database:
            shown[name] = {
                str(table): database.execute(f"select * from lake.{table.area}__{table.name} order by all").fetchall()
                for table in publish.source_tables()
            }
    assert shown["views"] == shown["copies"]
    assert shown["views"]["storage/schedule_kpis"] == []
    assert {row[-1] for row in shown["views"]["metering/meter_days"]} == {"2016-05-23", "2016-05-24"}


def test_a_mart_that_does_not_fit_is_refused_before_anything_is_written(seeded, tmp_path):
    warehouse = tmp_path / "w.duckdb"
    payments = next(table for table in marts() if table.name == "payments")
    with publish.draft_warehouse(seeded, warehouse, check_rows()) as draft:
        with duckdb.connect(str(draft)) as database:
            database.execute(
                "create table grid.payments as select event_id, revision, participant_id, account, tier, null::decimal(18,2) as amount, currency, payment_key from lake.demand_response__payments"
            )
        with pytest.raises(TableError, match="amount has 3 nulls"):
            publish.put_in_place(draft, warehouse, seeded, [payments])
    assert not warehouse.exists()
    assert seeded.pointer(payments) is None


def test_a_subset_keeps_the_other_marts(seeded, tmp_path):
    warehouse = tmp_path / "w.duckdb"
    with duckdb.connect(str(warehouse)) as database:
        database.execute(
            "create schema grid; create table grid.kept as select 1 as one; create schema lake; create table lake.left_over as select 1 as one"
        )
    with publish.draft_warehouse(seeded, warehouse, check_rows(), keep_published=True) as draft:
        publish.put_in_place(draft, warehouse, seeded, [])
    assert asked(warehouse, "select table_schema, table_name from information_schema.tables") == [("grid", "kept")]


def test_the_manifest_is_made_once_per_change_of_the_project(tmp_path, monkeypatch):
    project, calls = project_in(tmp_path), []

    def parsed(arguments, folder):
        calls.append(arguments)
        (Path(arguments[2]) / "manifest.json").write_text("{}")

    monkeypatch.setattr(publish, "run_dbt", parsed)
    publish.ensure_manifest(project)
    publish.ensure_manifest(project)
    assert len(calls) == 1
    model = project / "models" / "marts" / "payments.sql"
    model.write_text(model.read_text() + "\n-- changed\n")
    assert publish.ensure_manifest(project) == project / "target" / "manifest.json"
    assert len(calls) == 2


def test_what_dbt_said_is_in_the_error(tmp_path):
    with pytest.raises(publish.PublishError, match=r"dbt parse failed:[\s\S]*dbt_project\.yml"):
        publish.run_dbt(["parse"], tmp_path)
