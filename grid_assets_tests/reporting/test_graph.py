"""Publishing as Dagster runs it."""

from __future__ import annotations

import os
from decimal import Decimal

import dagster as dg
import duckdb
import pytest

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.lake import Lake
from grid_assets.reporting import publish
from grid_assets.reporting.contracts import declared_tables, marts
from grid_assets_tests.conftest import SITES
from grid_assets_tests.reporting.conftest import seed


@pytest.fixture(scope="module")
def door():
    publish.ensure_manifest()
    from grid_assets.reporting import assets

    return assets


def test_models_and_sources_hang_in_the_same_graph(door):
    specs = {spec.key.path[-1]: spec for spec in door.published_marts.specs}
    assert set(specs) == {table.name for table in marts()}
    assert {spec.group_name for spec in specs.values()} == {"reporting"}
    known = set(declared_tables())
    assert {dep.asset_key.to_user_string() for spec in specs.values() for dep in spec.deps} <= known
    assert [dep.asset_key.path for dep in specs["payments"].deps] == [["demand_response", "payments"]]
    columns = {one.name: one for one in specs["daily_energy"].metadata["dagster/column_schema"].columns}
    assert columns["energy_kwh"].description.endswith("[kWh]")
    assert specs["payments"].metadata["partition"] == "none"
    checks = {spec.name for spec in door.published_marts.check_specs}
    assert any(name.startswith("unique_key_payments") for name in checks)


@pytest.mark.slow
def test_the_publish_step(door, tmp_path, monkeypatch):
    monkeypatch.setenv("GRID_ASSETS_STATE", str(tmp_path))
    monkeypatch.setenv("GRID_ASSETS_SHARED", str(tmp_path))
    platform = Platform(site_file=str(SITES / "edrp.toml"))
    seed(Lake(platform.site.lake_root))
    job = dg.define_asset_job("publish", selection=dg.AssetSelection.groups("reporting"))
    definitions = dg.Definitions(assets=[door.published_marts], jobs=[job], resources={"platform": platform})
    instance = dg.DagsterInstance.ephemeral()

    def run(**chosen):
        return definitions.resolve_job_def("publish").execute_in_process(instance=instance, raise_on_error=False, **chosen)

    first = run()
    assert first.success
    done = {event.asset_key.path[-1]: event for event in first.get_asset_materialization_events()}
    assert set(done) == {table.name for table in marts()}
    rows = done["payments"].materialization.metadata["dagster/row_count"].value
    assert rows == 3
    checks = first.get_asset_check_evaluations()
    assert len(checks) > 30
    assert all(check.passed for check in checks)
    file = platform.site.warehouse_file
    before = file.read_bytes()

    payments = declared_tables()["demand_response/payments"]
    good = platform.lake.read(payments, "EV-1")
    platform.lake.write(payments, good.assign(event_id="EV-9"), "EV-1")
    failed = run()
    assert not failed.success
    assert file.read_bytes() == before
    assert not failed.get_asset_materialization_events()
    assert "relationships_payments_event_id__event_id__ref_settlements_" in {
        c.check_name for c in failed.get_asset_check_evaluations() if not c.passed
    }

    platform.lake.write(payments, good.assign(account="ACC-NEW"), "EV-1")
    subset = run(asset_selection=[dg.AssetKey(["reporting", "payments"])])
    assert subset.success
    assert [event.asset_key.path[-1] for event in subset.get_asset_materialization_events()] == ["payments"]
    with duckdb.connect(str(file), read_only=True) as database:
        assert database.execute("select distinct account from grid.payments").fetchall() == [("ACC-NEW",)]
        assert database.execute("select total_amount from grid.settlements").fetchall() == [(Decimal("4.44"),)]
    assert not [name for name in os.listdir(file.parent) if name.startswith(".publishing-")]
