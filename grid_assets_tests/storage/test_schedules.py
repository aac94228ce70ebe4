"""Instances from frames, key figures, the replay of what was published."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from grid_assets.storage.replay import costs_do_not_add_up, faults_of_schedules, limits_exceeded, not_worth_it
from grid_assets.storage.schedules import Registers, StorageInputError, instance_of, plan_storage, units_of
from grid_assets_tests.storage.small_site import DAY, forecasts, registers, small_site


@pytest.fixture
def site(tmp_path):
    return small_site(tmp_path)[0]


@pytest.fixture
def plan(site):
    return plan_storage(site, DAY, *forecasts(site), Registers(**registers()))


def test_the_instance_of_a_study_day(site):
    case = instance_of(site, DAY, *forecasts(site), Registers(**registers()))
    demand, renewable = forecasts(site)
    day = site.clock.intervals(date(2016, 5, 26))
    south = demand[(demand["node_id"] == "south") & demand["start_utc"].isin(day)]["mean_kw"].to_numpy()
    assert case.nodes.node_id == ["grid", "station", "north", "south"]
    assert case.nodes.parent_id == [None, "grid", "station", "station"]
    assert np.array_equal(case.nodes.demand_kw[3], south)
    assert (case.nodes.demand_kw[:2] == 0).all()
    assert case.nodes.available_kw[2].sum() == pytest.approx(renewable[renewable["start_utc"].isin(day)]["mean_kw"].sum())
    assert case.nodes.import_limit_kw.tolist() == [np.inf, np.inf, 900.0, 900.0]
    assert case.prices.import_per_kwh[0] == pytest.approx(0.09)
    assert case.prices.curtailment_per_kwh == pytest.approx(0.02)
    assert case.intervals == case.intervals_per_day == 96


def test_self_discharge_of_a_day_is_what_the_register_says():
    units = units_of(registers()["units"].assign(self_discharge_pct_per_day=[10.0, 0.0]), 0.25)
    assert (1.0 - units.self_discharge_per_interval) ** 96 == pytest.approx([0.9, 1.0])
    assert units.terminal_kwh.tolist() == units.initial_kwh.tolist() == [300.0, 100.0]


def test_meters_on_a_parent_have_what_is_not_metered_below(site):
    tables = registers()
    more = tables["meters"].iloc[[0]].assign(meter_id="m-grid", node_id="grid")
    demand, renewable = forecasts(site)
    demand.loc[demand["node_id"] == "grid", "mean_kw"] += 40.0
    case = instance_of(site, DAY, demand, renewable, Registers(**(tables | {"meters": pd.concat([tables["meters"], more])})))
    assert case.nodes.demand_kw[0].round(6).tolist() == [40.0] * 96


def test_key_figures_follow_from_the_published_rows(site, plan):
    demand, renewable = forecasts(site)
    day = site.clock.intervals(date(2016, 5, 26))
    load = demand[demand["node_id"].isin(["north", "south"]) & demand["start_utc"].isin(day)].groupby("start_utc")["mean_kw"].sum()
    made = renewable[renewable["start_utc"].isin(day)].set_index("start_utc")["mean_kw"]
    by_time = plan.schedules.groupby("start_utc")[["charge_kw", "discharge_kw"]].sum()
    net = load - made + plan.curtailments.set_index("start_utc")["curtailed_kw"] + by_time["charge_kw"] - by_time["discharge_kw"]
    best = plan.kpis.set_index("strategy").loc["optimised"]
    assert best["peak_kw"] == pytest.approx(net.max())
    assert best["net_energy_kwh"] == pytest.approx(net.sum() / 4)
    assert best["exported_kwh"] == pytest.approx(-net.clip(upper=0).sum() / 4)
    assert best["energy_cost"] == pytest.approx((net.clip(lower=0).sum() * 0.09 + net.clip(upper=0).sum() * 0.04) / 4)
    assert best["peak_cost"] == pytest.approx(0.2 * net.max())
    wear = plan.schedules.groupby("unit_id")["discharge_kw"].sum() / 4 * pd.Series({"battery-1": 0.01, "battery-2": 0.02})
    assert best["wear_cost"] == pytest.approx(wear.sum())
    used = best["renewable_available_kwh"] - best["curtailed_kwh"] - best["exported_kwh"]
    assert best["renewable_utilisation_pct"] == pytest.approx(100 * used / best["renewable_available_kwh"])
    assert plan.plan_id.startswith("small-2016-05-26-")
    assert set(plan.schedules["issued_utc"]) == {pd.Timestamp("2016-05-25T07:00Z")}
    assert np.allclose(plan.system["optimised_kw"], net)


def test_a_site_without_units_or_plants_has_a_plan_too(site):
    tables = registers()
    empty = tables | {"units": tables["units"].iloc[:0], "plants": tables["plants"].iloc[:0]}
    plan = plan_storage(site, DAY, *forecasts(site), Registers(**empty))
    assert plan.schedules.empty
    assert plan.curtailments.empty
    assert plan.kpis["objective"].nunique() == 1
    assert plan.kpis["renewable_utilisation_pct"].isna().all()
    assert not_worth_it(plan.kpis).startswith("costs ")


def test_the_short_and_the_long_day(site):
    for day, intervals in ((date(2016, 3, 25), 92), (date(2016, 10, 28), 100)):
        plan = plan_storage(site, day, *forecasts(site, day), Registers(**registers()))
        assert len(plan.schedules) == 2 * intervals
        assert faults_of_schedules(site, day.isoformat(), registers()["units"], plan.schedules, plan.curtailments) == []


def test_missing_inputs_are_named(site):
    demand, renewable = forecasts(site)
    tables = Registers(**registers())
    with pytest.raises(StorageInputError, match="node south: forecasting/demand_forecasts has no forecast"):
        instance_of(site, DAY, demand[demand["node_id"] != "south"], renewable, tables)
    noon = pd.Timestamp("2016-05-26T12:00Z")
    with pytest.raises(StorageInputError, match=r"plant pv: .* no forecast of 1 intervals, the first at 2016-05-26 12:00"):
        instance_of(site, DAY, demand, renewable[renewable["start_utc"] != noon], tables)
    with pytest.raises(StorageInputError, match="node 'nowhere' is not in the register"):
        instance_of(site, DAY, demand, renewable, Registers(**(registers() | {"plants": registers()["plants"].assign(node_id="nowhere")})))
    dear = site.storage.model_copy(update={"export_price_per_mwh": 100.0})
    with pytest.raises(StorageInputError, match=r"storage\.export_price_per_mwh = 100"):
        instance_of(site.model_copy(update={"storage": dear}), DAY, demand, renewable, tables)
    with pytest.raises(StorageInputError, match=r"no \[storage\] section"):
        instance_of(site.model_copy(update={"storage": None}), DAY, demand, renewable, tables)


def test_of_several_issues_the_latest_counts(site):
    demand, renewable = forecasts(site)
    older = demand.assign(issued_utc=demand["issued_utc"] - pd.Timedelta(days=1), mean_kw=1.0)
    tables = Registers(**registers())
    both = instance_of(site, DAY, pd.concat([demand, older]), renewable, tables)
    assert both.fingerprint() == instance_of(site, DAY, demand, renewable, tables).fingerprint()


def test_the_replay_finds_what_units_cannot_do(site, plan):
    units = registers()["units"]

    def found(schedules=plan.schedules, curtailments=plan.curtailments, units=units) -> str:
        return "; ".join(faults_of_schedules(site, DAY.isoformat(), units, schedules, curtailments))

    assert found() == ""
    rows = plan.schedules
    first = rows.index[rows["unit_id"] == "battery-1"][40]
    assert "energy is published as" in found(rows.assign(charge_kw=rows["charge_kw"].where(rows.index != first, rows["charge_kw"] + 5)))
    assert "has 95 rows" in found(rows.drop(index=first))
    assert "battery-9: is scheduled and not in the register" in found(rows.replace("battery-2", "battery-9"))
    assert "outside its rating" in found(units=units.assign(power_kw=100.0))
    assert "outside its window" in found(units=units.assign(minimum_energy_kwh=[299.0, 20.0]))
    assert "allowed are 0.1 cycles" in found(units=units.assign(cycles_per_day=0.1))
    assert "charges and discharges at once" in found(rows.assign(charge_kw=50.0, discharge_kw=50.0))
    assert "curtails" in found(curtailments=plan.curtailments.assign(curtailed_kw=5000.0))


def test_the_replay_finds_a_day_that_ends_elsewhere(site):
    """One unit that only charges a little: all balances hold, the end does not."""
    units = registers()["units"].iloc[[0]].assign(self_discharge_pct_per_day=0.0)
    starts = site.clock.intervals(date(2016, 5, 26))
    charge = np.zeros(96)
    charge[10] = 40.0
    rows = pd.DataFrame({"unit_id": "battery-1", "start_utc": starts, "charge_kw": charge, "discharge_kw": 0.0})
    rows["energy_kwh"] = 300.0 + np.cumsum(charge) * 0.25 * 0.95
    nothing = pd.DataFrame({"node_id": [], "start_utc": [], "available_kw": [], "curtailed_kw": []})
    assert faults_of_schedules(site, DAY.isoformat(), units, rows, nothing) == ["unit battery-1: ends the day with 309.5 kWh, expected 300"]


def test_costs_limits_and_worth(plan):
    assert costs_do_not_add_up(plan.kpis) == ""
    assert "no_storage" in costs_do_not_add_up(plan.kpis.assign(energy_cost=plan.kpis["energy_cost"] + 1))
    assert "optimised" in costs_do_not_add_up(plan.kpis.assign(bound=plan.kpis["bound"] + 1))
    assert limits_exceeded(plan.kpis) == ""
    assert limits_exceeded(plan.kpis.assign(violations=plan.kpis["strategy"])) == "optimised"
    assert not_worth_it(plan.kpis) == ""
    assert not_worth_it(plan.kpis.assign(objective=1.0)) == "costs 1.00 with storage and 1.00 without"
    over = plan.kpis.assign(expected_cost=plan.kpis["objective"].where(plan.kpis["strategy"] != "optimised", 1e9))
    assert "costs 1000000000.00 with storage" in not_worth_it(over)


def test_simpler_strategies_stand_beside_the_plan(plan):
    kpis = plan.kpis.set_index("strategy")
    assert list(kpis.index) == ["no_storage", "rule", "greedy", "price_only", "per_feeder", "optimised"]
    assert (kpis["objective"] >= kpis.loc["optimised", "objective"] - 1e-6).all()
    others = kpis.drop("no_storage")
    np.testing.assert_allclose(others["bound"], kpis.loc["optimised", "bound"])
    assert kpis["expected_cost"].isna().all()  # without samples nothing is known of others
    np.testing.assert_allclose(kpis["co2_kg"], 0.35 * (kpis["net_energy_kwh"] + kpis["exported_kwh"]))
    assert kpis.loc["price_only", "gap_pct"] > kpis.loc["optimised", "gap_pct"]


def samples_of(site, count: int = 30) -> pd.DataFrame:
    """The mean forecasts times a factor of each member, its own for each feeder and evening."""
    demand, random, parts = forecasts(site)[0], np.random.default_rng(0), []
    hour = site.clock.local(pd.DatetimeIndex(demand["start_utc"])).hour
    for member in range(1, count + 1):
        factor = np.where(hour >= 16, random.uniform(0.6, 1.5), 1.0)
        parts.append(demand[["node_id", "issued_utc", "start_utc"]].assign(value_kw=demand["mean_kw"] * factor, member=member))
    return pd.concat(parts, ignore_index=True)


def test_over_samples_the_plan_costs_less_on_average_than_the_one_for_the_mean(site):
    plan = plan_storage(site, DAY, *forecasts(site), Registers(**registers()), samples_of(site))
    kpis = plan.kpis.set_index("strategy")
    assert list(kpis.index)[-2:] == ["forecast_mean", "optimised"]
    assert kpis.loc["optimised", "expected_cost"] < kpis.loc["forecast_mean", "expected_cost"]
    assert (kpis["expected_cost"] >= kpis.loc["optimised", "expected_cost"] - 1e-6).all()
    assert kpis.loc["forecast_mean", "objective"] <= kpis.loc["optimised", "objective"] + 1e-6
    assert kpis.loc["optimised", "gap_pct"] < 1e-4
    assert costs_do_not_add_up(plan.kpis) == ""
    units = registers()["units"]
    assert faults_of_schedules(site, DAY.isoformat(), units, plan.schedules, plan.curtailments) == []
    again = plan_storage(site, DAY, *forecasts(site), Registers(**registers()), samples_of(site))
    assert again.plan_id == plan.plan_id
    pd.testing.assert_frame_equal(again.schedules, plan.schedules)
    assert plan.plan_id != plan_storage(site, DAY, *forecasts(site), Registers(**registers())).plan_id
