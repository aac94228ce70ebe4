"""The market doors on a seeded lake: signals, a study, their checks, another elasticity for one run."""

from __future__ import annotations

import dagster as dg
import pytest

from grid_assets.market.tables import PRICE_SIGNALS, PRICE_WHAT_IFS
from grid_assets.market.what_if import default_study
from grid_assets_tests.storage.graph import passed, run, small_platform
from grid_assets_tests.storage.small_site import DAY, seed


@pytest.fixture
def platform(tmp_path, monkeypatch):
    platform = small_platform(tmp_path, monkeypatch)
    seed(platform.lake, platform.site)
    return platform


def test_signals_of_a_day(platform):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("market", platform, DAY.isoformat(), [PRICE_SIGNALS.key], instance)
    assert result.success
    assert passed(result) == {
        "price_signals:schema": True,
        "price_signals:signals_follow_forecast": True,
        "price_signals:within_published_range": True,
    }
    signals = platform.lake.read(PRICE_SIGNALS, DAY)
    peaks = signals.groupby("signal_id")["expected_load_kw"].max()
    assert peaks["time_of_use"] < peaks["flat"] - 5
    assert set(signals.loc[signals["signal_id"] == "time_of_use", "tier"]) == {"low", "normal", "high"}
    assert "data:image/png" in result.asset_materializations_for_node("market__price_signals")[0].metadata["picture"].value


def test_the_default_study(platform):
    study = default_study(platform.site, DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("studies", [study])
        result = run("market", platform, study, [PRICE_WHAT_IFS.key], instance)
        assert result.success
        assert all(passed(result).values())
        before = platform.lake.content_hash(PRICE_WHAT_IFS, study)
        assert run("market", platform, study, [PRICE_WHAT_IFS.key], instance).success
    assert platform.lake.content_hash(PRICE_WHAT_IFS, study) == before
    row = platform.lake.read(PRICE_WHAT_IFS, study).iloc[0]
    assert row["peak_change_high_elasticity_pct"] < row["peak_change_pct"] < row["peak_change_low_elasticity_pct"] < 0
    assert row["renewable_utilisation_pct"] > 0


def test_other_elasticities_for_one_run_warn_outside_the_published_range(platform):
    study = default_study(platform.site, DAY)
    config = {"ops": {"market__price_what_ifs": {"config": {"substitution_elasticity": 0.9}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("studies", [study])
        result = run("market", platform, study, [PRICE_WHAT_IFS.key], instance, config)
    assert result.success
    assert passed(result)["price_what_ifs:identities_hold"]
    assert not passed(result)["price_what_ifs:assumptions_supported"]
    row = platform.lake.read(PRICE_WHAT_IFS, study).iloc[0]
    assert row["substitution_elasticity"] == 0.9
    assert row["own_price_elasticity"] == -0.05
    assert row["elasticity_source"].startswith("given for this run")


def test_a_study_of_an_unknown_tariff_fails_and_publishes_nothing(platform):
    study = "2016-05-24.night.vs.flat"
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("studies", [study])
        assert not run("market", platform, study, [PRICE_WHAT_IFS.key], instance).success
    assert platform.lake.pointer(PRICE_WHAT_IFS, study) is None
