"""A node as its share of the node above: told from days that were known, from the top of the tree down, and good after two weeks."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.forecasting.champion import PARENTS_SHARE
from grid_assets.forecasting.day_cubes import day_grid
from grid_assets.forecasting.demand import ForecastMade, forecast_demand
from grid_assets.forecasting.parents_share import depths, hourly_shares
from grid_assets_tests.forecasting import real_feeds, worlds

CLOCK = worlds.clock_of(60)
DAY = date(2016, 5, 20)
GRID = day_grid(CLOCK, DAY - timedelta(days=40), DAY, "DE")
PARENTS = {"system": None, "feeder": "system", "street": "feeder"}


def cube(seed: int = 0, nodes: int = 2) -> np.ndarray:
    made = np.full((nodes, len(GRID.days), 24), np.nan)
    made[:, : GRID.known] = np.random.default_rng(seed).uniform(1.0, 9.0, (nodes, GRID.known, 24))
    return made


def test_a_constant_share_is_found_exactly():
    power = cube()
    shape = np.linspace(0.1, 0.4, 24)
    power[1] = 0.25 * power[0]
    found = hourly_shares(GRID, power, np.array([-1, 0]))(np.array([GRID.known]), 1)
    np.testing.assert_allclose(found[1, 0], 0.25)
    assert np.isnan(found[0]).all()
    # a share that changes by hour is drawn to the hours beside it and to all hours
    power[1] = shape * power[0]
    by_hour = hourly_shares(GRID, power, np.array([-1, 0]))(np.array([GRID.known]), 1)[1, 0]
    assert np.corrcoef(by_hour[1:-1], shape[1:-1])[0, 1] > 0.98
    assert by_hour.mean() == pytest.approx(shape.mean(), rel=0.05)


def test_working_days_and_free_days_have_shares_of_their_own():
    power = cube()
    free = GRID.kinds[: len(GRID.days)] > 0
    power[1] = np.where(free[:, None], 0.5, 0.2) * power[0]
    targets = np.array([np.flatnonzero(~free)[-1], np.flatnonzero(free)[-1]])
    working, weekend = hourly_shares(GRID, power, np.array([-1, 0]))(targets, 2)[1]
    assert working.mean() == pytest.approx(0.22, abs=0.02)
    assert weekend.mean() > 0.4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(15, 38))
def test_a_share_never_sees_the_days_after_its_issue(seed, lead, target):
    power = cube(seed)
    before = hourly_shares(GRID, power, np.array([-1, 0]))(np.array([target]), lead)
    power[:, target - lead + 1 :] = 1e6
    np.testing.assert_array_equal(hourly_shares(GRID, power, np.array([-1, 0]))(np.array([target]), lead), before)


def test_without_a_common_day_or_under_a_parent_that_feeds_back_there_is_no_share():
    power = cube()
    power[1, : GRID.known] = np.nan
    assert np.isnan(hourly_shares(GRID, power, np.array([-1, 0]))(np.array([GRID.known]), 1)).all()
    assert np.isnan(hourly_shares(GRID, -cube(), np.array([-1, 0]))(np.array([GRID.known]), 1)).all()


def test_depths_of_a_tree_in_any_order():
    assert depths(np.array([2, -1, 1, 2])).tolist() == [2, 0, 1, 2]


def young(days: int, parents=PARENTS, noise: float = 0.02) -> tuple[ForecastMade, pd.DataFrame]:
    """A world in which the street is ``days`` old, with weather that turns."""
    loads = worlds.node_loads(CLOCK, DAY - timedelta(days=60), DAY + timedelta(days=2), tuple(PARENTS), noise=noise)
    end, born = (pd.Timestamp(CLOCK.midnight(one)) for one in (DAY + timedelta(days=1), DAY - timedelta(days=days - 1)))
    known = loads[(loads["start_utc"] < end) & ((loads["node_id"] != "street") | (loads["start_utc"] >= born))]
    features = worlds.features(CLOCK, DAY - timedelta(days=60), DAY)
    return forecast_demand(known, features, list(PARENTS), CLOCK, DAY, country="DE", parents=parents), loads


def missed(made: ForecastMade, loads: pd.DataFrame, node: str) -> float:
    both = made.forecasts[made.forecasts["node_id"] == node].merge(loads, on=["node_id", "start_utc"])
    return float((both["mean_kw"] - both["energy_kwh"]).abs().mean())


def test_a_node_of_two_weeks_borrows_from_its_parent_and_is_better_for_it():
    made, loads = young(14)
    chosen = made.models.set_index("subject_id")
    assert chosen.loc["street", "model"] == PARENTS_SHARE
    assert chosen.loc["street", "beats_naive"]
    assert chosen.loc["street", "parents_share_mae_kw"] == chosen.loc["street", "backtest_mae_kw"]
    assert np.isnan(chosen.loc["system", "parents_share_mae_kw"])
    alone, _ = young(14, None)
    assert alone.models["parents_share_mae_kw"].isna().all()
    assert missed(made, loads, "street") < 0.6 * missed(alone, loads, "street")
    # the others are as they were
    assert missed(made, loads, "system") == missed(alone, loads, "system")


def test_its_bands_are_those_of_its_own_errors_and_hold():
    made, loads = young(14, noise=0.05)
    both = made.forecasts[made.forecasts["node_id"] == "street"].merge(loads, on=["node_id", "start_utc"])
    inside = (both["energy_kwh"] >= both["p05_kw"]) & (both["energy_kwh"] <= both["p95_kw"])
    assert inside.mean() >= 0.85
    assert (np.diff(both[["p05_kw", "p50_kw", "p95_kw"]].to_numpy(), axis=1) >= 0).all()


def test_real_feeders_of_two_weeks_are_told_better_by_their_share(shared_data):
    """Feeders of real households, all together the parent, which has its whole history."""
    loads = real_feeds.households(shared_data)
    clock = real_feeds.clock_of(date(2009, 1, 1), date(2009, 12, 31))
    nodes = sorted(set(loads["node_id"]))
    parents = {node: None if node == "system" else "system" for node in nodes}
    errors = []
    for n in range(5):
        day = date(2009, 5, 1) + timedelta(days=6 * n)
        end, born = (pd.Timestamp(clock.midnight(one)) for one in (day + timedelta(days=1), day - timedelta(days=13)))
        known = loads[(loads["start_utc"] < end) & ((loads["node_id"] == "system") | (loads["start_utc"] >= born))]
        study = [pd.Timestamp(one) for one in clock.bounds(clock.study_day(day))]
        truth = loads[(loads["start_utc"] >= study[0]) & (loads["start_utc"] < study[1]) & (loads["node_id"] != "system")]
        row = []
        for above in (parents, None):
            made = forecast_demand(known, None, nodes, clock, day, country="GB", parents=above).forecasts
            both = truth.merge(made, on=["node_id", "start_utc"])
            row.append((both["mean_kw"] - both["energy_kwh"] / clock.interval_hours).abs().mean())
        errors.append(row)
    borrowed, alone = np.mean(errors, axis=0)
    assert borrowed < 0.9 * alone
