"""Simple strategies: plans that units can follow, never better than the best; trade-offs, reserve, another unit; plans over samples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.optimisation.fleet_routes import cost_over_samples, plan_over_samples, relaxed_plan
from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices
from grid_assets.optimisation.storage_schedule import costs_of, faults_of_plan, net_of_nodes, schedule, stored_energy
from grid_assets.optimisation.strategies import (
    by_price,
    by_rule,
    followed,
    greedily,
    per_feeder,
    trade_offs,
    with_reserve,
    with_unit,
)
from grid_assets_tests.optimisation.fleets import together
from grid_assets_tests.optimisation.test_storage_schedule import one_node, one_unit

SEEDS = st.integers(0, 10_000)


def hours_of(case: Instance) -> np.ndarray:
    return (np.arange(case.intervals) * case.interval_hours % 24).astype(int)


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_every_strategy_can_be_followed_and_none_beats_the_best(seed: int):
    case = together(seed, count=9, intervals=24, peak=0.3)
    exact = replace(
        case, terminal_exact=True, units=replace(case.units, terminal_kwh=case.units.initial_kwh, cycles_per_day=np.full(9, 2.0))
    )
    for one in (case, exact):
        best = schedule(one)
        for made in (by_rule(one, hours_of(one)), greedily(one), by_price(one), per_feeder(one)):
            assert faults_of_plan(one, made.charge_kw, made.discharge_kw, made.energy_kwh) == [], made.method
            assert made.objective >= best.objective - 1e-6 * abs(best.objective)


def test_greedy_takes_what_is_too_much_and_gives_what_lacks():
    """3 kW too much, then 2 and 4 lacking: 3 stored, 2 given, the last 1 given."""
    nodes = one_node([0.0, 2.0, 4.0], [3.0, 0.0, 0.0])
    case = Instance(one_unit(), nodes, Prices(np.full(3, 0.2), np.full(3, 0.05)), 1.0, 3)
    made = greedily(case)
    assert made.charge_kw.round(9).tolist() == [[3, 0, 0]]
    assert made.discharge_kw.round(9).tolist() == [[0, 2, 1]]


def test_the_rule_goes_by_the_clock():
    case = Instance(one_unit(), one_node([1.0] * 24), Prices(np.full(24, 0.2), np.full(24, 0.05)), 1.0, 24)
    made = by_rule(case, np.arange(24))
    assert made.charge_kw[0, 10:16] == pytest.approx(10 / 6)
    assert made.discharge_kw[0, 17:22] == pytest.approx(2.0)
    assert made.charge_kw.sum() == pytest.approx(10.0)
    assert made.discharge_kw.sum() == pytest.approx(10.0)


def test_what_is_wanted_is_done_as_far_as_it_goes():
    case = Instance(one_unit(cycles_per_day=0.4), one_node([0.0] * 5), Prices(np.full(5, 0.2), np.full(5, 0.2)), 1.0, 5)
    charge, discharge = followed(case, lambda t, energy: np.array([9.0 if t < 3 else -9.0]))
    assert charge.tolist() == [[5.0, 5.0, 0.0, 0.0, 0.0]]  # 5 kW, 10 kWh
    assert discharge.round(9).tolist() == [[0.0, 0.0, 0.0, 4.0, 0.0]]  # two fifths of a cycle
    ends = replace(case, units=one_unit(initial_kwh=6.0, terminal_kwh=6.0))
    charge, discharge = followed(ends, lambda t, energy: np.array([-9.0]))
    assert (charge.sum(), discharge.sum()) == (0.0, 0.0)  # it keeps what it must end with


def test_each_feeder_for_itself_sees_its_own_limit_and_not_that_above():
    units = replace(one_unit(), node_id=["leaf"])
    nodes = Nodes(["top", "leaf"], [None, "top"], np.array([[0.0, 0.0], [0.0, 4.0]]), np.array([[0.0, 0.0], [6.0, 0.0]]), np.array([np.inf, np.inf]),
                  np.array([1.0, 2.0]), 5.0)  # fmt: skip
    case = Instance(units, nodes, Prices(np.array([0.2, 0.2]), np.array([0.1, 0.1]), curtailment_per_kwh=0.01), 1.0, 2)
    assert per_feeder(case).charge_kw[0, 0] == pytest.approx(4.0)  # 6 less the 2 that may leave the feeder
    assert schedule(case).charge_kw[0, 0] == pytest.approx(5.0)
    assert schedule(case).curtailed_kw.sum() == pytest.approx(0.0)
    assert per_feeder(case).curtailed_kw.sum() == pytest.approx(1.0)  # but only 1 may leave the station


def test_more_weight_never_makes_its_own_figure_worse():
    case = together(11, count=9, intervals=24, peak=0.5)
    found = list(trade_offs(case, weights=(0.0, 1.0, 20.0), reserves=(0.2, 0.5)))
    figure = {
        "peak": lambda plan: np.maximum(plan.net_kw[case.top], 0.0).max(),
        "curtailment": lambda plan: plan.curtailed_kw.sum(),
        "wear": lambda plan: plan.discharge_kw.sum(axis=1) @ np.asarray(case.units.wear_cost_per_kwh),
    }
    for name, of in figure.items():
        values = [of(one.plan) for one in found if one.objective == name]
        assert len(values) == 3
        assert all(later <= before + 1e-6 * max(1.0, before) for before, later in pairwise(values)), name
    held = [one for one in found if one.objective == "reserve"]
    assert [one.weight for one in held] == [0.2, 0.5]
    assert held[1].reserve_kw == pytest.approx(0.5 * case.units.discharge_kw.sum())
    base = schedule(case).objective
    assert base <= held[0].plan.objective + 1e-6 <= held[1].plan.objective + 2e-6


def test_what_is_held_back_is_there_in_every_interval():
    case = together(12, count=6, intervals=24)
    held = with_reserve(case.units, 0.3)
    plan = schedule(replace(case, units=held))
    assert (plan.discharge_kw <= 0.7 * np.asarray(case.units.discharge_kw)[:, None] + 1e-9).all()
    assert (plan.energy_kwh >= np.asarray(held.minimum_kwh)[:, None] - 1e-6).all()
    assert (held.minimum_kwh <= np.minimum(case.units.initial_kwh, case.units.terminal_kwh)).all()
    assert not faults_of_plan(case, plan.charge_kw, plan.discharge_kw, plan.energy_kwh)


def test_another_unit_never_costs_more_than_none():
    case = together(13, count=4, intervals=24, peak=0.4)
    base = schedule(case).objective
    worth = {name: base - schedule(with_unit(case, name, 1000.0)).objective for name in case.nodes.node_id}
    assert min(worth.values()) >= -1e-6
    assert max(worth.values()) > 1.0


@given(seed=SEEDS)
@settings(max_examples=6, deadline=None)
def test_a_plan_over_samples_costs_least_on_average(seed: int):
    case, random = together(seed, count=5, intervals=12, peak=0.3), np.random.default_rng(seed)
    samples = [replace(case.nodes, demand_kw=case.nodes.demand_kw * random.uniform(0.7, 1.3, (1, 12))) for _ in range(4)]
    over, mean = plan_over_samples(case, samples, 60.0), relaxed_plan(case, 1e-3, 60.0)
    costs = [cost_over_samples(case, one.charge_kw, one.discharge_kw, samples, 60.0) for one in (over, mean)]
    assert costs[0] <= costs[1] + 1e-6 * abs(costs[1])
    assert over.bound <= costs[0] + 1e-6 * abs(costs[0])
    assert costs[0] - over.bound <= 1e-2 * abs(costs[0])  # netted: to burn energy may have paid
    energy = stored_energy(case, over.charge_kw, over.discharge_kw)
    assert not faults_of_plan(case, over.charge_kw, over.discharge_kw, energy)
    # one sample is the instance itself
    alone = plan_over_samples(case, [case.nodes], 60.0)
    net = net_of_nodes(case, alone.charge_kw, alone.discharge_kw, alone.curtailed_kw)
    assert costs_of(case, net, alone.discharge_kw, alone.curtailed_kw).total == pytest.approx(mean.bound, rel=1e-2)
