"""Planning anew within the day: the rest of the best plan is the best rest; stored energy, budgets and silent units as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.optimisation.rolling import rest_of
from grid_assets.optimisation.storage_instance import validate
from grid_assets.optimisation.storage_schedule import costs_of, faults_of_plan, schedule
from grid_assets_tests.optimisation.fleets import together
from grid_assets_tests.optimisation.test_storage_schedule import instance, one_node, one_unit


@given(seed=st.integers(0, 10_000), step=st.integers(1, 11), exact=st.booleans())
@settings(max_examples=12, deadline=None)
def test_what_is_left_of_the_best_plan_is_the_best_of_what_is_left(seed: int, step: int, exact: bool):
    """Where nothing has changed, planning anew costs what the first plan still had to cost (Bellman's principle)."""
    case = together(seed, count=4, intervals=12, peak=0.4)
    if exact:
        case = replace(case, terminal_exact=True, units=replace(case.units, terminal_kwh=case.units.initial_kwh))
    whole = schedule(case)
    out = case.interval_hours * whole.discharge_kw[:, :step].sum(axis=1) / np.asarray(case.units.discharge_efficiency)
    drawn = float(np.maximum(whole.net_kw[case.top, :step], 0.0).max())
    rest, there = rest_of(case, step, whole.energy_kwh[:, step - 1], out, drawn)
    validate(rest)
    assert there.tolist() == list(range(4))
    again = schedule(rest)
    later = costs_of(rest, whole.net_kw[:, step:], whole.discharge_kw[:, step:], whole.curtailed_kw[:, step:]).total
    assert again.objective == pytest.approx(later, rel=1e-5, abs=1e-5)
    assert not faults_of_plan(rest, again.charge_kw, again.discharge_kw, again.energy_kwh)


def test_a_peak_that_is_paid_already_costs_no_more():
    """5 kW were drawn: up to that the unit may charge for nothing."""
    case = instance(one_unit(initial_kwh=0.0), one_node([2.0, 8.0]), [0.1, 0.1], peak_per_kw=1.0)
    fresh, later = schedule(case), schedule(rest_of(case, 0, np.array([0.0]), np.array([0.0]), 5.0)[0])
    assert fresh.net_kw.round(6).tolist() == [[5.0, 5.0]]
    assert later.costs.peak == pytest.approx(5.0)
    assert later.net_kw.max() == pytest.approx(5.0)
    beyond = schedule(rest_of(case, 0, np.array([0.0]), np.array([0.0]), 7.0)[0])
    assert beyond.costs.peak == pytest.approx(7.0)


def test_a_unit_that_does_not_answer_is_planned_around():
    case = together(3, count=4, intervals=12)
    energy = np.asarray(case.units.initial_kwh, float).copy()
    energy[1] = np.nan
    rest, there = rest_of(case, 2, energy, np.zeros(4))
    assert there.tolist() == [0, 2, 3]
    assert list(rest.units.unit_id) == ["u0", "u2", "u3"]
    made = schedule(rest)
    assert made.charge_kw.shape == (3, 10)
    assert schedule(rest_of(case, 2, np.full(4, np.nan), np.zeros(4))[0]).charge_kw.shape == (0, 10)


def test_what_is_out_of_reach_is_brought_into_it():
    """Two hours are left, 5 kW: from 0 no more than 10 of 20 kWh; from 10 no less than 7 with 3 kWh of budget left."""
    case = instance(
        one_unit(capacity_kwh=20.0, maximum_kwh=20.0, terminal_kwh=20.0, initial_kwh=10.0, cycles_per_day=1.0),
        one_node([0.0] * 4),
        [0.1] * 4,
    )
    rest, _ = rest_of(case, 2, np.array([0.0]), np.array([0.0]))
    assert rest.units.terminal_kwh.tolist() == [10.0]
    assert schedule(rest).energy_kwh[0, -1] == pytest.approx(10.0)
    empty = replace(case, terminal_exact=True, units=replace(case.units, terminal_kwh=np.array([0.0])))
    rest, _ = rest_of(empty, 2, np.array([10.0]), np.array([17.0]))
    assert rest.units.terminal_kwh.tolist() == [7.0]
    assert rest.units.cycles_per_day * rest.units.capacity_kwh * 2 / 4 == pytest.approx(3.0)
    made = schedule(rest)
    assert made.discharge_kw.sum() == pytest.approx(3.0)
    assert not faults_of_plan(rest, made.charge_kw, made.discharge_kw, made.energy_kwh)


def test_a_measured_energy_outside_the_window_counts_as_its_end():
    case = instance(one_unit(minimum_kwh=1.0, initial_kwh=5.0, terminal_kwh=1.0), one_node([0.0] * 3), [0.1] * 3)
    assert rest_of(case, 1, np.array([0.2]), np.array([0.0]))[0].units.initial_kwh.tolist() == [1.0]
    assert rest_of(case, 1, np.array([10.4]), np.array([0.0]))[0].units.initial_kwh.tolist() == [10.0]
