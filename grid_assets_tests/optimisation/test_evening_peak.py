"""A battery against the evening peak: hand-computed plans, no better plan by other means, limits, odd input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.optimisation.evening_peak import (
    Battery,
    EveningPeakError,
    EveningPlan,
    best_plan,
    expected_score,
    faults_of_evening_plan,
    relative_reduction,
    score,
    solar_share,
)

POD = Battery(6.0, 2.5)
FEW = settings(max_examples=25, deadline=None)


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, float)


def case(seed: int, scenarios: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Loads [scenarios, 11] and PV power [scenarios, 31]: smooth courses with noise, some days without sun."""
    random = np.random.default_rng(seed)
    load = 3 + np.sin(np.linspace(0, 3, 11)) + 0.4 * random.normal(size=(scenarios, 11)) + 0.5 * random.normal(size=(scenarios, 1))
    sun = (
        np.maximum(np.sin(np.pi * (np.arange(31) - 12) / 22), 0)
        * random.uniform(0, 3, (scenarios, 1))
        * (random.random((scenarios, 1)) > 0.2)
    )
    return np.maximum(load, 0.1), sun * random.random((scenarios, 31))


def random_plan(random: np.random.Generator, battery: Battery) -> EveningPlan:
    """Charging [31] and discharging [11] of the same energy, from nearly even to all in few intervals."""
    most = min(battery.energy_mwh, 11 * battery.power_mw * battery.interval_hours)
    energy = most * random.random()

    def spread(count: int) -> np.ndarray:
        even = energy / battery.interval_hours / count
        power = random.dirichlet(np.full(count, random.choice([0.5, 5.0]))) * even * count
        return even + (power - even) * min(1.0, (battery.power_mw - even) / (power.max() - even))  # none above the limit

    return EveningPlan(spread(31), spread(11))


# -- by hand ------------------------------------------------------------------------------------------------------


def test_a_peak_is_cut_as_far_as_the_power_goes():
    load, sun = rows([4, 3]), rows([2, 2])
    made = best_plan(load, sun, Battery(1.0, 1.0))
    assert float(score(made, load, sun)[0]) == pytest.approx(75.0)  # 4 to 3 MW: a quarter, all solar
    assert made.discharge_mw[0] == pytest.approx(1.0)


def test_no_more_energy_than_pays():
    """3 MW against [4, 1, 1] leaves 1 MW, which more cannot lower; each MWh above the half that the sun gives makes the rest worth less."""
    load, sun = rows([4, 1, 1]), rows([1, 0, 0, 0])
    made = best_plan(load, sun, Battery(6.0, 3.0))
    assert made.energy_mwh(Battery(6.0, 3.0)) == pytest.approx(1.5)
    assert made.discharge_mw == pytest.approx([3, 0, 0])
    assert float(score(made, load, sun)[0]) == pytest.approx(75 * (1 + 2 / 3))


@pytest.mark.parametrize("without_load", [0, 2])
def test_a_bend_of_the_peak_is_better_than_all_energy(without_load: int):
    """8 MW against [10, 2, 2] take 4 MWh, half of them solar: 80 x 2. All 7 MWh take the peak to 0, with 2 solar: 100 x (1 + 4 / 7)."""
    load, sun = rows([10, 2, 2], *[[0, 0, 0]] * without_load), rows([4, 0, 0])
    battery = Battery(7.0, 20.0)
    made = best_plan(load, sun, battery)
    assert made.energy_mwh(battery) == pytest.approx(4.0)
    assert made.discharge_mw == pytest.approx([8, 0, 0])
    assert expected_score(made, load, sun) == pytest.approx(160 / (1 + without_load))


def test_energy_beyond_the_sun_is_taken_where_the_peak_pays_it():
    load, sun = rows([4, 4]), rows([1, 0, 0])
    made = best_plan(load, sun, Battery(2.0, 2.0))
    assert made.discharge_mw == pytest.approx([2, 2])
    assert float(score(made, load, sun)[0]) == pytest.approx(50 * (3 * 0.25 + 0.75))


def test_charging_takes_the_likeliest_megawatts():
    """First interval: 1 MW for sure, another in one of two; second: 1.5 MW in one of two. 1 MWh is 2 MW: the sure one, and one with half a chance."""
    load, sun = rows([9, 9, 9]), rows([2, 1.5, 0], [1, 0, 0])
    made = best_plan(load, sun, Battery(1.0, 2.0))
    assert made.charge_mw[0] >= 1 - 1e-9
    assert made.charge_mw[2] == 0
    assert solar_share(sun, made.charge_mw).mean() == pytest.approx((2 + 1) / 2 / 2)


def test_what_is_equally_likely_is_spread_over_the_day():
    made = best_plan(rows([4, 4]), rows([1, 2, 1]), Battery(1.0, 2.5))
    assert made.charge_mw == pytest.approx([0.5, 1.0, 0.5])


def test_the_discharge_is_for_the_scenarios_and_not_for_their_mean():
    """Two of three scenarios have their peak first: 1 MW there wins a quarter in two thirds. For the mean, [3.33, 2.67], it would be shared."""
    load, sun = rows([4, 2], [4, 2], [2, 4]), rows([3, 3])
    battery = Battery(0.5, 2.0)
    made = best_plan(load, sun, battery)
    assert made.discharge_mw == pytest.approx([1, 0])
    assert expected_score(made, load, sun) == pytest.approx(300 * 2 / 3 / 4)
    for_the_mean = best_plan(load.mean(0, keepdims=True), sun, battery)
    assert for_the_mean.discharge_mw == pytest.approx([5 / 6, 1 / 6])
    assert expected_score(for_the_mean, load, sun) == pytest.approx(300 * (2 * 5 / 6 + 1 / 6) / 3 / 4)


def test_flat_load_without_sun():
    load, sun = np.full((1, 11), 3.0), np.zeros((2, 31))
    made = best_plan(load, sun, POD)
    assert made.discharge_mw == pytest.approx(np.full(11, 12 / 11))
    assert float(score(made, load[0], sun[0])) == pytest.approx(100 * 12 / 11 / 3)


def test_the_score_takes_generation_first_and_none_that_is_negative():
    plan = EveningPlan(np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    days = score(plan, rows([4, 2], [4, 2]), rows([0.5, -3], [9, 9]))
    assert days == pytest.approx([25 * (3 * 0.25 + 0.75), 75])
    assert float(score(EveningPlan(np.zeros(2), np.zeros(2)), rows([4, 2])[0], np.zeros(2))) == 0


# -- no better plan -----------------------------------------------------------------------------------------------


@FEW
@given(st.integers(0, 10_000), st.sampled_from([POD, Battery(6, 0.6), Battery(1.0, 2.5), Battery(20.0, 1.0)]))
def test_no_random_plan_is_expected_to_score_better(seed: int, battery: Battery):
    load, sun = case(seed)
    made = best_plan(load, sun, battery)
    assert faults_of_evening_plan(made, battery) == []
    best, random = expected_score(made, load, sun), np.random.default_rng(seed)
    for _ in range(60):
        other = random_plan(random, battery)
        assert faults_of_evening_plan(other, battery) == []
        for share in (1.0, 0.1):  # far from the plan, and just beside it
            charge, discharge = (
                (1 - share) * ours + share * theirs
                for ours, theirs in ((made.charge_mw, other.charge_mw), (made.discharge_mw, other.discharge_mw))
            )
            between = EveningPlan(charge, discharge)
            assert expected_score(between, load, sun) <= best + 1e-6


@FEW
@given(st.integers(0, 10_000), st.sampled_from([POD, Battery(6, 0.6), Battery(20.0, 1.0), Battery(30.0, 5.0)]))
def test_no_energy_is_better_by_linear_programmes_of_both_sides(seed: int, battery: Battery):
    load, sun = case(seed, scenarios=4)
    best = expected_score(best_plan(load, sun, battery), load, sun)
    most = min(battery.energy_mwh, 11 * battery.power_mw * battery.interval_hours)
    found = max(by_linear_programmes(load, sun, energy, battery) for energy in np.linspace(0.01, 1.0, 40) * most)
    assert found <= best + 1e-6
    assert found >= 0.97 * best  # the best of a grid of energies is near


def by_linear_programmes(load: np.ndarray, sun: np.ndarray, energy: float, battery: Battery) -> float:
    """The best expected score with this energy: columns are the plan's powers and what each scenario makes of them."""
    from scipy.optimize import linprog

    peak = load.max(1)
    (scenarios, evening), charging, total = load.shape, sun.shape[1], energy / battery.interval_hours
    upper = np.zeros((scenarios * evening, evening + scenarios))
    upper[np.arange(len(upper)), np.tile(np.arange(evening), scenarios)] = -1
    upper[np.arange(len(upper)), evening + np.repeat(np.arange(scenarios), evening)] = -1
    cost = np.concatenate([np.zeros(evening), 1 / peak / scenarios])
    even = np.concatenate([np.ones(evening), np.zeros(scenarios)])[None]
    bounds = [(0, battery.power_mw)] * evening + [(None, None)] * scenarios
    left = linprog(cost, upper, -load.ravel(), even, [total], bounds).fun
    upper = np.zeros((scenarios * charging, charging * (1 + scenarios)))  # covered power is at most what is charged, and the generation
    upper[np.arange(len(upper)), charging + np.arange(len(upper))] = 1
    upper[np.arange(len(upper)), np.tile(np.arange(charging), scenarios)] = -1
    cost = np.concatenate([np.zeros(charging), np.full(scenarios * charging, -1 / scenarios)])
    bounds = [(0, battery.power_mw)] * charging + [(0, value) for value in sun.ravel()]
    even = np.concatenate([np.ones(charging), np.zeros(scenarios * charging)])[None]
    covered = -linprog(cost, upper, np.zeros(len(upper)), even, [total], bounds).fun
    return 100 * (1 - left) * (1 + 2 * covered / total)


@FEW
@given(st.integers(0, 10_000))
def test_foresight_scores_at_least_what_any_plan_does(seed: int):
    load, sun = case(seed, scenarios=8)
    foreseen = best_plan(load[:1], sun[:1], POD)
    blind = best_plan(load[1:], sun[1:], POD)
    assert float(score(blind, load[0], sun[0])) <= float(score(foreseen, load[0], sun[0])) + 1e-6
    assert expected_score(foreseen, load[:1], sun[:1]) == pytest.approx(float(score(foreseen, load[0], sun[0])))


def test_more_battery_is_never_expected_to_score_less():
    load, sun = case(3)
    scores = [expected_score(best_plan(load, sun, Battery(energy, 2.5)), load, sun) for energy in (0.5, 1, 2, 4, 6, 8, 12)]
    assert scores == sorted(scores)
    assert scores[0] < scores[3]


# -- limits and odd input -----------------------------------------------------------------------------------------


def test_what_the_battery_cannot_do_is_told():
    good = EveningPlan(np.full(31, 12 / 31), np.full(11, 12 / 11))
    assert faults_of_evening_plan(good, POD) == []

    def faults(charge: np.ndarray, discharge: np.ndarray) -> str:
        return "; ".join(faults_of_evening_plan(EveningPlan(charge, discharge), POD))

    assert faults(good.charge_mw, good.discharge_mw * 0.9) == "charges 6 MWh and discharges 5.4; expected the same"
    assert "charges 6.6 MWh; expected at most 6" in faults(good.charge_mw * 1.1, good.discharge_mw * 1.1)
    below = good.charge_mw.copy()
    below[:2] += [-0.5, 0.5]
    assert faults(below, good.discharge_mw) == f"charge of {12 / 31 - 0.5:.6g} MW; expected at least 0"
    assert faults(good.charge_mw, np.array([3.0] + [0.9] * 10)) == "discharge of 3 MW; expected at most 2.5"
    assert "not a number at 1 intervals" in faults(np.where(np.arange(31) == 3, np.nan, good.charge_mw), good.discharge_mw)


@pytest.mark.parametrize("battery", [Battery(0.0, 2.5), Battery(6.0, 0.0)])
def test_without_a_battery_nothing_is_planned(battery: Battery):
    made = best_plan(*case(1), battery)
    assert not made.charge_mw.any()
    assert not made.discharge_mw.any()


def test_a_load_of_zero_has_no_peak():
    _, sun = case(1)
    made = best_plan(np.zeros((3, 11)), sun, POD)
    assert not made.charge_mw.any()
    assert relative_reduction(np.zeros((2, 11)), np.ones(11)).tolist() == [0, 0]


def test_scenarios_without_load_change_no_plan_and_count_as_no_reduction():
    load, sun = case(2)
    alone, among = best_plan(load, sun, POD), best_plan(np.concatenate([load, np.zeros((6, 11))]), sun, POD)
    assert among.discharge_mw == pytest.approx(alone.discharge_mw, abs=1e-6)
    assert expected_score(among, np.concatenate([load, np.zeros((6, 11))]), sun) == pytest.approx(expected_score(alone, load, sun) / 2)


@pytest.mark.parametrize(
    ("load", "sun", "battery"),
    [
        (np.full((2, 11), np.nan), np.ones((2, 31)), POD),
        (np.ones((2, 11)), np.ones(31), POD),
        (np.ones((0, 11)), np.ones((2, 31)), POD),
        (np.ones((2, 11)), np.ones((2, 31)), replace(POD, power_mw=-1.0)),
        (np.ones((2, 11)), np.ones((2, 31)), replace(POD, energy_mwh=np.nan)),
    ],
)
def test_input_that_no_plan_can_be_made_for(load: np.ndarray, sun: np.ndarray, battery: Battery):
    with pytest.raises(EveningPeakError, match="expected"):
        best_plan(load, sun, battery)
