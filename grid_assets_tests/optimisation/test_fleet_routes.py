"""Fleets that share limits: every way of planning them agrees with the linear programme and says how far from it it may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.optimisation import fleet_routes
from grid_assets.optimisation.fleet_arrays import highs_of, largest_flows, network_part, solved, whole_part
from grid_assets.optimisation.fleet_programme import _Prices, groups_of, netted, plan_fleet
from grid_assets.optimisation.fleet_routes import (
    FLEET,
    WHOLE,
    classes_of,
    cost_over_samples,
    merged,
    network_with,
    plan_over_samples,
    relaxed_plan,
    separable,
)
from grid_assets.optimisation.storage_instance import Instance, StorageUnits, validate
from grid_assets.optimisation.storage_model import SolverError, dual_bound, solve
from grid_assets.optimisation.storage_schedule import costs_of, faults_of_plan, net_of_nodes, schedule, stored_energy
from grid_assets.optimisation.unit_programmes import UnitProgrammes
from grid_assets_tests.optimisation.fleets import alone, together
from grid_assets_tests.optimisation.reference import read_case
from grid_assets_tests.optimisation.test_unit_programmes import CASES, needs_cases

SEEDS = st.integers(0, 10_000)


def optimum(case: Instance) -> float:
    programme = whole_part(case).programme
    return float(programme.cost @ solved(highs_of(programme, 60.0))[0])


@given(seed=SEEDS, peak=st.sampled_from([0.0, 0.5]))
@settings(max_examples=8, deadline=None)
def test_the_arrays_are_the_readable_model(seed: int, peak: float):
    case = together(seed, count=4, intervals=6, peak=peak)
    validate(case)
    assert optimum(case) == pytest.approx(solve(case, 60.0).bound, rel=1e-7, abs=1e-6)


@given(seed=SEEDS, peak=st.sampled_from([0.0, 0.5]))
@settings(max_examples=12, deadline=None)
def test_a_plan_by_prices_and_columns_lies_between_its_bound_and_the_gap(seed: int, peak: float):
    case = together(seed, count=40, intervals=12, peak=peak)
    plan = plan_fleet(case, gap=2e-3)
    curtailed, _ = network_with(case, plan.charge_kw, plan.discharge_kw, 60.0)
    net = net_of_nodes(case, plan.charge_kw, plan.discharge_kw, curtailed)
    cost, best = costs_of(case, net, plan.discharge_kw, curtailed).total, optimum(case)
    assert not faults_of_plan(case, plan.charge_kw, plan.discharge_kw, stored_energy(case, plan.charge_kw, plan.discharge_kw))
    assert plan.bound <= best + 1e-7 * abs(best)
    assert cost >= best - 1e-7 * abs(best)
    assert cost - plan.bound <= 2.1e-3 * abs(cost)


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_whatever_the_prices_their_bound_holds(seed: int):
    """Any duals at all: the columns have ends, so that none of them can gain without one."""
    case, random = together(seed, count=6, intervals=6, peak=0.3), np.random.default_rng(seed)
    network, best = network_part(case).programme, optimum(case)
    for scale in (0.01, 0.2, 3.0):
        prices = _Prices.of(case, network, random.normal(0.0, scale, len(network.row_lower)))
        position = {name: n for n, name in enumerate(case.nodes.node_id)}
        units = UnitProgrammes(case).plans(prices.by_node[[position[name] for name in case.units.node_id]])
        assert units.bound.sum() + prices.network_term <= best + 1e-7 * abs(best)


def test_routes_by_structure(monkeypatch: pytest.MonkeyPatch):
    case = together(1, count=12)
    assert not separable(case)
    assert separable(alone(1))
    assert not separable(replace(alone(1), prices=replace(alone(1).prices, peak_per_kw=1.0)))
    assert relaxed_plan(case, 1e-3, 60.0).method == WHOLE
    small = schedule(case)
    monkeypatch.setattr(fleet_routes, "LARGE", 10)
    large = schedule(case, gap=1e-3)
    assert large.method.startswith(FLEET)
    assert large.gap_pct <= 0.11
    assert small.objective <= large.objective * (1 + 1e-9)
    assert large.bound <= small.objective + 1e-6
    nobody = schedule(case.without_units())
    assert nobody.method == "network alone"
    assert nobody.objective == pytest.approx(optimum(case.without_units()))


def catalogue(case: Instance, random: np.random.Generator, types: int = 3) -> Instance:
    """The units of an instance become ``types`` products in sizes from 0.5 to 4."""
    units, count = case.units, len(case.units)
    kind, size = random.integers(0, types, count), random.choice([0.5, 1.0, 2.0, 4.0], count)
    made = {}
    for name, values in units.columns():
        made[name] = values[:types][kind] * (size if name in fleet_routes.SIZES else 1.0)
    return replace(case, units=StorageUnits(units.unit_id, units.node_id, **made))


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_equal_units_are_planned_as_one_and_split_in_proportion(seed: int):
    case = catalogue(together(seed, count=30), np.random.default_rng(seed))
    classes, share = classes_of(case)
    assert classes.max() + 1 <= 9  # three products on three nodes
    np.testing.assert_allclose(np.bincount(classes, share), 1.0)
    made = schedule(case)
    assert "classes of equal units" in made.method
    assert made.objective == pytest.approx(optimum(case), rel=1e-6)
    assert not faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh)
    assert optimum(merged(case, classes)) == pytest.approx(optimum(case), rel=1e-6)


def test_equal_units_over_samples_are_planned_as_one_too():
    case = catalogue(together(3, count=20), np.random.default_rng(3))
    samples = [replace(case.nodes, demand_kw=case.nodes.demand_kw * factor) for factor in (0.8, 1.2)]
    made = plan_over_samples(case, samples, 60.0)
    programme = whole_part(case, samples).programme
    best = float(programme.cost @ solved(highs_of(programme, 60.0))[0])
    assert made.bound == pytest.approx(best, rel=1e-6)
    assert cost_over_samples(case, made.charge_kw, made.discharge_kw, samples, 60.0) == pytest.approx(best, rel=1e-2)
    assert not faults_of_plan(case, made.charge_kw, made.discharge_kw, stored_energy(case, made.charge_kw, made.discharge_kw))


def test_no_plan_within_the_time_says_what_to_try():
    with pytest.raises(SolverError, match=r"after at most 0\.0 s\. Give it more time, or look at the terminal energies"):
        relaxed_plan(together(1, count=30, intervals=48), 1e-3, 0.0)


def test_units_that_differ_in_one_share_are_no_class():
    case = catalogue(together(2, count=6), np.random.default_rng(0), types=1)
    for name in ("charge_efficiency", "wear_cost_per_kwh", "cycles_per_day", "self_discharge_per_interval", "initial_kwh"):
        values = dict(case.units.columns())[name].copy()
        values[0] *= 0.99
        values[0] += 1e-5
        other = replace(case, units=replace(case.units, **{name: values}))
        assert classes_of(other)[0].max() > classes_of(case)[0].max()


def test_groups_are_of_one_node_and_alike_in_how_long_they_last():
    case = together(4, count=30)
    groups = groups_of(case, 9)
    columns = dict(case.units.columns())
    lasts = columns["capacity_kwh"] / columns["charge_kw"]
    assert groups.max() + 1 == 9
    for n in range(9):
        assert len({case.units.node_id[i] for i in np.flatnonzero(groups == n)}) == 1
    for first, second in ((0, 1), (1, 2)):
        assert lasts[groups == first].max() <= lasts[groups == second].min()


def test_netted_units_store_the_same_and_draw_no_more():
    case = together(5, count=5)
    random = np.random.default_rng(0)
    charge, discharge = random.uniform(0, 5, (2, 5, case.intervals))
    one, other = netted(case, charge, discharge)
    assert not ((one > 0) & (other > 0)).any()
    np.testing.assert_allclose(stored_energy(case, one, other), stored_energy(case, charge, discharge))
    assert ((one - other) <= (charge - discharge) + 1e-12).all()


def test_flows_are_never_larger_than_their_end():
    case = together(6, count=10)
    most = largest_flows(case)
    for seed in range(5):
        random = np.random.default_rng(seed)
        charge, discharge = (
            random.random((10, case.intervals)) * dict(case.units.columns())[name][:, None] for name in ("charge_kw", "discharge_kw")
        )
        net = net_of_nodes(case, charge, discharge, random.random((5, 1)) * case.nodes.available_kw)
        assert (np.abs(net) <= most + 1e-9).all()


def test_a_solver_that_is_stopped_says_so():
    with pytest.raises(SolverError, match="Time limit reached"):
        solved(highs_of(whole_part(together(1, count=30, intervals=48)).programme, 0.0))
    with pytest.raises(SolverError, match="does not know the option nonsense"):
        highs_of(whole_part(together(1, count=2)).programme, 1.0, nonsense=1)


def test_the_whole_programmes_duals_prove_its_optimum():
    case = together(8, count=10)
    solver = highs_of(whole_part(case).programme, 60.0)
    found, _ = solved(solver)
    assert dual_bound(solver) == pytest.approx(float(whole_part(case).programme.cost @ found), rel=1e-8)


@needs_cases
@pytest.mark.parametrize(
    "name",
    ["network_6x24_1feeder_a", "network_20x96_2feeders_a", "network_100x96_5feeders_a", "network_120x96_3feeders_catalogue_a", "network_30x168_3feeders_week_a"],
)  # fmt: skip
def test_shared_vectors_by_every_way(name: str, monkeypatch: pytest.MonkeyPatch):
    case, expected = read_case(CASES / f"{name}.json")
    made = schedule(case)
    assert made.objective == pytest.approx(expected["objective_eur"], rel=expected["relative_tolerance"])
    assert made.gap_pct < 1e-3
    monkeypatch.setattr(fleet_routes, "LARGE", 0)
    monkeypatch.setattr(fleet_routes, "WORTH_MERGING", 0.0)
    large = schedule(case, gap=2.5e-3)
    assert large.method.startswith(FLEET)
    assert large.bound <= expected["objective_eur"] * (1 + expected["relative_tolerance"])
    assert large.objective >= expected["objective_eur"] * (1 - expected["relative_tolerance"])
    assert large.gap_pct <= 0.26
    assert not faults_of_plan(case, large.charge_kw, large.discharge_kw, large.energy_kwh)
