"""The units' dynamic programme: the same optimum as the linear programme, plans that units can follow, budgets, bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.optimisation.fleet_arrays import highs_of, solved, whole_part
from grid_assets.optimisation.fleet_routes import BY_UNIT, relaxed_plan
from grid_assets.optimisation.storage_instance import Instance, validate
from grid_assets.optimisation.storage_model import solve
from grid_assets.optimisation.storage_schedule import costs_of, faults_of_plan, schedule
from grid_assets.optimisation.unit_programmes import UnitPlans, UnitProgrammes
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.optimisation.fleets import alone
from grid_assets_tests.optimisation.reference import read_case

CASES = SHARED / "testcases" / "storage"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared verification cases are absent; set GRID_ASSETS_SHARED")
SEEDS = st.integers(0, 10_000)


def plans_of(case: Instance) -> UnitPlans:
    return UnitProgrammes(case).plans(np.asarray(case.prices.import_per_kwh))


def by_linear_programme(case: Instance) -> float:
    """What the units cost at best: the whole less what the network costs without them."""
    whole, idle = (whole_part(one).programme for one in (case, case.without_units()))
    return float(whole.cost @ solved(highs_of(whole, 60.0))[0] - idle.cost @ solved(highs_of(idle, 60.0))[0])


@given(seed=SEEDS, exact=st.booleans(), per_day=st.sampled_from([12, 5, 4]))
@settings(max_examples=60, deadline=None)
def test_it_is_the_linear_programmes_optimum_with_one_budget_or_several(seed: int, exact: bool, per_day: int):
    case = alone(seed, per_day=per_day, exact=exact)
    validate(case)
    made = plans_of(case)
    feasible = np.isfinite(made.cost)
    if not feasible.all():  # an exact end may need more taken out than the budget lets
        assert exact
        return
    assert made.cost.sum() == pytest.approx(by_linear_programme(case), rel=1e-9, abs=1e-8)
    assert made.bound.sum() == pytest.approx(made.cost.sum(), rel=1e-9, abs=1e-9)
    assert not faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh)
    spent = costs_of(case, np.zeros((1, case.intervals)), made.discharge_kw, np.zeros((1, case.intervals))).wear
    spent += float((made.charge_kw - made.discharge_kw).sum(axis=0) @ np.asarray(case.prices.import_per_kwh))
    assert spent == pytest.approx(made.cost.sum(), rel=1e-9, abs=1e-9)


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_at_negative_prices_it_is_the_relaxation_that_may_burn_energy(seed: int):
    case = alone(seed, lowest_price=-0.3)
    made = plans_of(case)
    assert made.cost.sum() == pytest.approx(by_linear_programme(case), rel=1e-9, abs=1e-8)
    assert not faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh)


@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_the_readable_model_in_pulp_finds_the_same(seed: int):
    case = alone(seed, count=2, intervals=8, per_day=8)
    expected = solve(case, 60.0)
    found = schedule(case)
    assert found.method == BY_UNIT
    assert found.objective == pytest.approx(expected.bound, rel=1e-8, abs=1e-8)
    assert found.gap_pct < 1e-8


def test_equal_power_both_ways_and_negative_prices_are_told_apart():
    """Where both pieces are equally long, which of them comes first decides what is charging."""
    case = alone(1, count=1)
    units = replace(case.units, charge_kw=np.array([10.0]), discharge_kw=np.array([10.0]), charge_efficiency=np.array([1.0]),
                    discharge_efficiency=np.array([1.0]), wear_cost_per_kwh=np.array([0.0]))  # fmt: skip
    for sign in (1.0, -1.0):
        price = sign * np.asarray(case.prices.import_per_kwh)
        one = replace(case, units=units, prices=replace(case.prices, import_per_kwh=price, export_per_kwh=price))
        assert plans_of(one).cost.sum() == pytest.approx(by_linear_programme(one), rel=1e-9)


def test_a_budget_that_an_exact_end_cannot_keep_is_told_as_infinite():
    case = alone(3, count=1, exact=True)
    units = replace(case.units, initial_kwh=case.units.maximum_kwh, terminal_kwh=case.units.minimum_kwh, cycles_per_day=np.array([0.1]))
    made = plans_of(replace(case, units=units))
    assert np.isinf(made.cost[0])


def test_units_see_their_own_prices_and_may_be_asked_for_in_parts():
    case = alone(5, count=4)
    prices = np.random.default_rng(0).uniform(0.0, 0.3, (4, case.intervals))
    whole, programmes = UnitProgrammes(case).plans(prices), UnitProgrammes(case)
    for n in range(4):
        one = programmes.plans(prices[n : n + 1], slice(n, n + 1))
        assert one.cost[0] == whole.cost[n]
        np.testing.assert_array_equal(one.charge_kw[0], whole.charge_kw[n])


@needs_cases
@pytest.mark.parametrize("name", ["arbitrage_1x24_hand", "arbitrage_10x96_a", "arbitrage_1000x96_a", "negative_prices_8x96_a"])
def test_shared_vectors(name: str):
    case, expected = read_case(CASES / f"{name}.json")
    made = relaxed_plan(case, 1e-3, 60.0)
    assert made.method.startswith(BY_UNIT)
    found = schedule(case)
    assert found.objective == pytest.approx(expected["objective_eur"], rel=1e-7)
    assert found.bound == pytest.approx(found.objective, rel=1e-9)
    assert not faults_of_plan(case, found.charge_kw, found.discharge_kw, found.energy_kwh)
