"""Joint samples: each node's as its forecast says, all together as they went together, children adding up to their parents."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.figures.forecasts import scenario_picture
from grid_assets.forecasting import faults
from grid_assets.forecasting.demand import RolledDemand, published, roll_demand
from grid_assets.forecasting.scenarios import TAIL_SHARE, coherent, sampled, scenarios, sums
from grid_assets.forecasting.tables import QUANTILES, SCENARIOS
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=60)
CLOCK = worlds.clock_of(60)
PARENTS = {"system": None, "a": "system", "b": "system"}
METERED = {"a", "b"}


@cache
def world() -> pd.DataFrame:
    """Two feeders whose days go up and down together, and the system that is their sum."""
    loads = worlds.node_loads(CLOCK, FIRST, DAY, ("a", "b"), noise=0.02)
    days = CLOCK.days_of(loads["start_utc"])
    swing = days.map({day: 1 + 0.06 * np.random.default_rng(day.toordinal()).standard_normal() for day in days.unique()})
    loads = loads.assign(energy_kwh=loads["energy_kwh"] * swing.to_numpy(float), level="feeder")
    total = loads.groupby("start_utc", as_index=False)["energy_kwh"].sum().assign(node_id="system", level="system")
    rest = loads[loads["node_id"] == "a"].drop(columns=["node_id", "level", "energy_kwh"])
    return pd.concat([loads, total.merge(rest, on="start_utc")], ignore_index=True)


@cache
def rolled() -> RolledDemand:
    return roll_demand(world(), None, list(PARENTS), CLOCK, DAY, country="DE")


def drawn(members: int = 24, seed: int = 5, made: RolledDemand | None = None, metered=METERED) -> pd.DataFrame:
    one = made or rolled()
    return scenarios(one, published(one).forecasts, PARENTS, metered, members, seed)


def wide(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Node -> [members, intervals]."""
    return {
        str(node): one.pivot(index="member", columns="start_utc", values="value_kw").to_numpy() for node, one in rows.groupby("node_id")
    }


def test_members_are_whole_and_reach_to_the_end_of_the_study_day():
    rows = SCENARIOS.conform(drawn()).to_pandas()
    assert len(rows) == 3 * 24 * 39
    assert sorted(rows["member"].unique()) == list(range(1, 25))
    assert rows["start_utc"].max() == pd.Timestamp(CLOCK.bounds(CLOCK.study_day(DAY))[1]) - CLOCK.interval
    assert faults.incoherent(rows, PARENTS, METERED) == ""


def test_children_add_up_to_their_parent_in_every_member():
    values = wide(drawn())
    np.testing.assert_allclose(values["a"] + values["b"], values["system"], rtol=1e-12)


def test_each_interval_is_as_likely_as_its_forecast_says():
    forecasts = published(rolled()).forecasts
    for node in ("system", "a"):
        values = wide(drawn())[node]
        rows = forecasts[forecasts["node_id"] == node].sort_values("start_utc").iloc[: values.shape[1]]
        middle = np.median(values, axis=0)
        width = (rows["p95_kw"] - rows["p05_kw"]).to_numpy()
        assert np.abs(middle - rows["p50_kw"].to_numpy()).max() < 0.15 * width.max()
        inside = (values >= rows["p05_kw"].to_numpy()) & (values <= rows["p95_kw"].to_numpy())
        assert 0.80 < inside.mean() < 0.97


def test_what_went_together_goes_together():
    values = wide(drawn())
    a, b = (values[name] - values[name].mean(axis=0) for name in ("a", "b"))
    hour = 20
    assert np.corrcoef(a[:, hour], b[:, hour])[0, 1] > 0.5  # the feeders
    assert np.corrcoef(a[:, hour], a[:, hour + 6])[0, 1] > 0.5  # the hours
    spread = values["system"].std(axis=0).mean()
    assert spread > 0.8 * (values["a"].std(axis=0).mean() + values["b"].std(axis=0).mean())  # nothing cancels


def test_the_same_seed_gives_the_same_members_and_nothing_later_counts():
    pd.testing.assert_frame_equal(drawn(), drawn())
    later = worlds.node_loads(CLOCK, DAY + timedelta(days=1), DAY + timedelta(days=2), list(PARENTS)).assign(energy_kwh=1e6)
    again = roll_demand(pd.concat([world(), later]), None, list(PARENTS), CLOCK, DAY, country="DE")
    pd.testing.assert_frame_equal(drawn(made=again), drawn())


def test_a_parent_with_meters_of_its_own_is_left_alone():
    more = METERED | {"system"}
    values = wide(drawn(metered=more))
    assert np.abs(values["a"] + values["b"] - values["system"]).max() > 1.0
    assert faults.incoherent(drawn(metered=more), PARENTS, more) == ""


def test_a_parent_of_which_a_child_is_not_forecast_is_left_alone():
    tree = PARENTS | {"c": "system"}
    assert sums(tree, METERED, ["system", "a", "b"]) == {}
    assert sums(tree, METERED, ["system", "a", "b", "c"]) == {"system": ["a", "b", "c"]}
    deep = {"system": None, "s": "system", "a": "s"}
    assert list(sums(deep, {"a"}, list(deep))) == ["system", "s"]


def test_too_few_days_give_no_members():
    loads = world()
    short = loads[loads["start_utc"] >= pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=4)))]
    made = roll_demand(short, None, list(PARENTS), CLOCK, DAY, country="DE")
    assert SCENARIOS.conform(drawn(made=made)).num_rows == 0
    assert faults.incoherent(drawn(made=made), PARENTS, METERED) == ""


def test_faults_are_told():
    rows = drawn()
    moved = rows.assign(value_kw=rows["value_kw"] + (rows["node_id"] == "a") * 1.0)
    assert faults.incoherent(moved, PARENTS, METERED) == "system: its children lie 1 kW apart from it"
    assert "values are missing" in faults.incoherent(rows.iloc[1:], PARENTS, METERED)
    assert "values are missing" in faults.incoherent(rows.assign(value_kw=rows["value_kw"].where(rows.index != 3)), PARENTS, METERED)


LEVELS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=len(QUANTILES), max_size=len(QUANTILES)), LEVELS)
def test_samples_follow_the_quantile_function(numbers, levels):
    quantiles = np.sort(np.array(numbers))[:, None]
    made = sampled(quantiles, np.array(sorted(levels))[:, None])[:, 0]
    assert (np.diff(made) >= -1e-9).all()
    step = TAIL_SHARE * (quantiles[-1, 0] - quantiles[-2, 0]), TAIL_SHARE * (quantiles[1, 0] - quantiles[0, 0])
    assert made.min() >= quantiles[0, 0] - step[1] - 1e-9
    assert made.max() <= quantiles[-1, 0] + step[0] + 1e-9
    np.testing.assert_allclose(sampled(quantiles, np.array(QUANTILES)[:, None]), quantiles, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 4))
def test_any_tree_becomes_coherent_and_its_root_stays(seed, members, intervals):
    generator = np.random.default_rng(seed)
    samples = generator.normal(10, 3, (6, members, intervals))  # 0: root; 1, 2 below it; 3, 4, 5 below 1
    variance = generator.uniform(0.1, 4.0, (6, intervals))
    made = coherent(samples, variance, {0: [1, 2], 1: [3, 4, 5]}, np.full(6, -np.inf))
    np.testing.assert_array_equal(made[0], samples[0])
    np.testing.assert_allclose(made[1] + made[2], made[0], atol=1e-9)
    np.testing.assert_allclose(made[3:].sum(axis=0), made[1], atol=1e-9)
    moved = np.abs(made[1:3] - samples[1:3]).mean(axis=1)
    np.testing.assert_allclose(moved[0] * variance[2], moved[1] * variance[1], rtol=1e-6, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_children_that_never_feed_back_are_not_moved_below_zero_while_others_can_give(seed, one_feeds_back):
    random = np.random.default_rng(seed)
    samples, variance = random.uniform(0.0, 5.0, (5, 7, 3)), random.uniform(0.1, 3.0, (5, 3))
    samples[0] = random.uniform(0.0, 6.0, (7, 3))  # often far less than its children's sum
    floor = np.zeros(5)
    floor[4] = -np.inf if one_feeds_back else 0.0
    made = coherent(samples, variance, {0: [1, 2, 3, 4]}, floor)
    np.testing.assert_allclose(made[1:].sum(axis=0), made[0], atol=1e-9)
    np.testing.assert_array_equal(made[0], samples[0])
    assert made[1:4].min() >= -1e-9
    # where nothing would fall below, it is the plain move in proportion to the variance
    free = coherent(samples, variance, {0: [1, 2, 3, 4]}, np.full(5, -np.inf))
    fine = (free[1:] >= 0).all(axis=0)
    np.testing.assert_allclose(made[:, fine], free[:, fine])


def test_a_parent_below_zero_is_met_all_the_same():
    samples = np.array([-3.0, 1.0, 2.0]).reshape(3, 1, 1)
    made = coherent(samples, np.ones((3, 1)), {0: [1, 2]}, np.zeros(3))
    assert made[1:].sum() == -3.0


def test_the_picture_shows_samples_of_the_system_and_a_part():
    png = scenario_picture(published(rolled()).forecasts, drawn(), PARENTS, CLOCK, DAY, "A made site")
    assert png.startswith(b"\x89PNG")
    assert len(png) > 20_000


def test_there_are_at_most_as_many_members_as_past_days():
    assert drawn(members=100)["member"].nunique() == drawn(members=27)["member"].nunique() == 27


def test_a_node_that_was_silent_on_some_days_costs_no_member():
    loads = world()
    gone = (loads["node_id"] == "a") & (loads["start_utc"] >= pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=9))))
    gone &= loads["start_utc"] < pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=7)))
    made = roll_demand(loads[~gone], None, list(PARENTS), CLOCK, DAY, country="DE")
    rows = drawn(made=made)
    assert rows["member"].nunique() >= 22
    assert faults.incoherent(rows, PARENTS, METERED) == ""


def test_samples_that_are_surer_or_elsewhere_than_their_forecast_are_told():
    rows, forecasts = drawn(), published(rolled()).forecasts
    assert faults.unlike_forecast(rows, forecasts) == ""
    middle = rows.groupby(["node_id", "start_utc"])["value_kw"].transform("mean")
    sure = rows.assign(value_kw=rows["value_kw"].where(rows["node_id"] != "a", middle))
    assert faults.unlike_forecast(sure, forecasts).startswith("a: its samples' band ends lie ")
    width = (forecasts["p95_kw"] - forecasts["p05_kw"]).mean()
    elsewhere = rows.assign(value_kw=rows["value_kw"] + 0.5 * width * (rows["node_id"] == "system"))
    assert faults.unlike_forecast(elsewhere, forecasts).startswith("system: ")
    assert faults.unlike_forecast(rows.iloc[:0], forecasts) == ""


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(0, 100))
def test_samples_drawn_evenly_from_a_forecast_are_like_it(members, seed):
    quantiles = np.sort(np.random.default_rng(seed).normal(100, 10, (len(QUANTILES), 6)), axis=0)
    levels = np.repeat((np.arange(members)[:, None] + 0.5) / members, 6, axis=1)
    starts = pd.date_range("2016-05-26", periods=6, freq="h", tz="UTC")
    rows = pd.DataFrame({"member": np.repeat(np.arange(members), 6), "node_id": "x", "start_utc": np.tile(starts, members), "value_kw": sampled(quantiles, levels).reshape(-1)})  # fmt: skip
    forecasts = pd.DataFrame({"node_id": "x", "start_utc": starts, **{f"p{round(100 * q):02d}_kw": quantiles[n] for n, q in enumerate(QUANTILES)}})  # fmt: skip
    assert faults.unlike_forecast(rows, forecasts) == "" or members < 10  # so few say little of the ends
