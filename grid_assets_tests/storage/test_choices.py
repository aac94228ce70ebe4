"""What a planner may choose: rows that follow from plans, and the door."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import numpy as np
import pytest

from grid_assets.foundation.registers import NODES
from grid_assets.optimisation.storage_schedule import schedule
from grid_assets.optimisation.strategies import with_unit
from grid_assets.storage.choices import choices_of_day, siting_in_words
from grid_assets.storage.schedules import Registers, instance_of
from grid_assets.storage.tables import SITING, TRADE_OFFS
from grid_assets_tests.storage.graph import passed, run, small_platform
from grid_assets_tests.storage.small_site import DAY, forecasts, registers, seed, small_site


@pytest.fixture
def site(tmp_path):
    return small_site(tmp_path)[0]


def strained() -> dict:
    """North may feed in but little, so that storage there is worth more than elsewhere."""
    tables = registers()
    tables["nodes"] = tables["nodes"].assign(export_limit_kw=[np.nan, np.nan, 60.0, 500.0])
    return tables


def test_weights_cost_something_at_the_sites_own_prices(site):
    weighed, _ = choices_of_day(site, DAY, *forecasts(site), Registers(**strained()))
    TRADE_OFFS.conform(weighed)
    instance = instance_of(site, DAY, *forecasts(site), Registers(**strained()))
    best = schedule(instance).objective
    assert (weighed["cost"] >= best - 1e-6).all()
    assert set(weighed["objective"]) == {"peak", "curtailment", "wear", "carbon", "reserve"}
    for name, column in (("peak", "peak_kw"), ("carbon", "co2_kg"), ("wear", "wear_cost"), ("curtailment", "curtailed_kwh")):
        rows = weighed[weighed["objective"] == name].sort_values("weight")
        assert rows[column].is_monotonic_decreasing or np.ptp(rows[column]) < 1e-3, name
    dear = schedule(replace(instance, prices=replace(instance.prices, import_per_kwh=np.asarray(instance.prices.import_per_kwh) + 0.35)))
    row = weighed[(weighed["objective"] == "carbon") & (weighed["weight"] == 1000.0)].iloc[0]
    assert row["co2_kg"] == pytest.approx(0.35 * 0.25 * np.maximum(dear.net_kw[instance.top], 0.0).sum(), rel=1e-4)


def test_another_unit_is_worth_most_where_a_limit_binds(site):
    _, sited = choices_of_day(site, DAY, *forecasts(site), Registers(**strained()))
    SITING.conform(sited)
    ones = sited[sited["added_kwh"] == 1000.0].set_index("node_id")
    assert ones["saving"].idxmax() == "north"
    instance = instance_of(site, DAY, *forecasts(site), Registers(**strained()))
    expected = schedule(instance).objective - schedule(with_unit(instance, "north", 1000.0)).objective
    assert ones.loc["north", "saving"] == pytest.approx(expected)
    assert sorted(sited["added_kwh"].unique()) == [250.0, 500.0, 1000.0, 2000.0, 4000.0]
    assert set(sited.loc[sited["added_kwh"] != 1000.0, "node_id"]) == {"north"}
    best = sited[sited["node_id"] == "north"].sort_values("added_kwh")
    assert best["saving"].is_monotonic_increasing
    assert (best["saving"] / best["added_kwh"]).is_monotonic_decreasing  # each further kWh is worth less
    assert "1 MWh more saves most at north" in siting_in_words(sited, "EUR")


def test_without_a_limit_that_binds_it_is_the_same_everywhere(site):
    _, sited = choices_of_day(site, DAY, *forecasts(site), Registers(**registers() | {"nodes": registers()["nodes"].assign(export_limit_kw=np.nan, import_limit_kw=np.nan)}))  # fmt: skip
    assert "wherever it stands: no limit of a node binds" in siting_in_words(sited, "EUR")


def test_a_site_without_units_has_no_rows(site):
    tables = registers()
    weighed, sited = choices_of_day(site, DAY, *forecasts(site), Registers(**tables | {"units": tables["units"].iloc[:0]}))
    assert weighed.empty
    assert sited.empty
    assert siting_in_words(sited, "EUR") == ""


def test_the_door_writes_both_tables_with_pictures_and_the_same_again(tmp_path, monkeypatch):
    platform = small_platform(tmp_path, monkeypatch)
    seed(platform.lake, platform.site)
    platform.lake.write(NODES, strained()["nodes"])
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), [TRADE_OFFS.key, SITING.key], instance)
        assert result.success
        assert all(passed(result).values())
        events = result.asset_materializations_for_node("storage_choices")
        assert all("data:image/png" in event.metadata["picture"].value for event in events)
        assert "1 MWh more saves most at north" in str(events[0].metadata["in_words"].value)
        hashes = [platform.lake.content_hash(table, DAY) for table in (TRADE_OFFS, SITING)]
        assert run("storage", platform, DAY.isoformat(), [TRADE_OFFS.key, SITING.key], instance).success
        assert hashes == [platform.lake.content_hash(table, DAY) for table in (TRADE_OFFS, SITING)]
