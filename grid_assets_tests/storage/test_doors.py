"""The storage doors on a seeded lake: rows, pictures, checks, repetition."""

from __future__ import annotations

import dagster as dg
import pytest

from grid_assets.storage.tables import CURTAILMENTS, SCHEDULE_KPIS, SCHEDULES
from grid_assets_tests.storage.graph import passed, run, small_platform
from grid_assets_tests.storage.small_site import DAY, registers, seed

TABLES = [SCHEDULES.key, CURTAILMENTS.key, SCHEDULE_KPIS.key]


@pytest.fixture
def platform(tmp_path, monkeypatch):
    platform = small_platform(tmp_path, monkeypatch)
    seed(platform.lake, platform.site)
    return platform


def test_a_day_is_planned_checked_and_shown(platform):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), TABLES, instance)
        assert result.success
        checks = passed(result)
        assert all(checks.values())
        assert len(checks) == 7
        schedules = platform.lake.read(SCHEDULES, DAY)
        assert len(schedules) == 2 * 96
        kpis = platform.lake.read(SCHEDULE_KPIS, DAY).set_index("strategy")
        assert kpis.loc["optimised", "objective"] < kpis.loc["no_storage", "objective"] - 50
        assert kpis.loc["optimised", "renewable_utilisation_pct"] > kpis.loc["no_storage", "renewable_utilisation_pct"] + 10
        assert set(platform.lake.read(CURTAILMENTS, DAY)["node_id"]) == {"north"}
        event = result.asset_materializations_for_node("storage_plan")[0]
        assert "data:image/png" in event.metadata["picture"].value
        hashes = [platform.lake.content_hash(table, DAY) for table in (SCHEDULES, CURTAILMENTS, SCHEDULE_KPIS)]
        assert run("storage", platform, DAY.isoformat(), TABLES, instance).success
        assert hashes == [platform.lake.content_hash(table, DAY) for table in (SCHEDULES, CURTAILMENTS, SCHEDULE_KPIS)]
    assert len(platform.check_results.read([DAY.isoformat()])) == 7


def test_a_register_that_forbids_the_plan_fails_the_blocking_check(platform, monkeypatch):
    """The plan is made from one register and checked against another, smaller one."""
    from grid_assets.foundation.registers import UNITS
    from grid_assets.storage import checks

    smaller = registers()["units"].assign(power_kw=[50.0, 100.0])
    read = platform.lake.read
    monkeypatch.setattr(checks, "faults_of_schedules", lambda site, key, units, *rest: _original(site, key, smaller, *rest))
    from grid_assets.storage.replay import faults_of_schedules as _original

    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), TABLES, instance)
    assert not passed(result)["schedules:plan_feasible"]
    assert len(read(UNITS)) == 2
    row = platform.check_results.read([DAY.isoformat()]).set_index("check_name").loc["plan_feasible"]
    assert "unit battery-1" in row["observed"]
    assert "power outside its rating" in row["observed"]


def test_limits_that_cannot_be_kept_warn_and_do_not_block(platform):
    from grid_assets.foundation.registers import NODES

    platform.lake.write(NODES, registers()["nodes"].assign(import_limit_kw=[None, None, 200.0, 900.0]).astype({"import_limit_kw": float}))
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), TABLES, instance)
    assert result.success
    assert not passed(result)["schedule_kpis:within_limits"]
    kpis = platform.lake.read(SCHEDULE_KPIS, DAY).set_index("strategy")
    assert "north: import limit exceeded" in kpis.loc["optimised", "violations"]


def test_a_missing_forecast_fails_and_publishes_nothing(platform):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, "2016-05-25", TABLES, instance)
    assert not result.success
    assert platform.lake.pointer(SCHEDULES, "2016-05-25") is None
