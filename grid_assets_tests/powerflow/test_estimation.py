"""State estimation against power-flow states, two other estimators, and the statistics that it must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import CompiledNetwork, compiled
from grid_assets.powerflow.estimation import NONE, OTHER, WLS, BadDataTest, EstimationError, Injected, Sensors, estimate
from grid_assets.powerflow.gate import AdmittedNetwork, admit
from grid_assets.powerflow.measurement_model import I_FROM, P_FROM, P_SUPPLY, Q_TO, VM, BaseModel, sensor_model
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.other_estimators import grid_model_voltages, other_estimators, pandapower_voltage
from grid_assets_tests.powerflow.made import feeder, nominal, two_buses

SIGMA = {"v": 0.002, "p": 0.01, "q": 0.01, "i": 0.002}
UNTESTED = BadDataTest(most_removed=0)


@pytest.fixture(scope="module")
def cigre() -> World:
    return World(load_network("cigre_mv"), 24)


@pytest.fixture(scope="module")
def demo_network(semiurban: Any) -> World:
    return World(admit(semiurban, "simbench"), 3)


class World:
    """A network, a day of true states on it, and what instruments show of them."""

    def __init__(self, admitted: AdmittedNetwork, steps: int):
        self.admitted, self.network = admitted, compiled(admitted)
        factors = 0.4 + 0.2 * np.sin(np.linspace(0, 2 * np.pi, steps, endpoint=False))
        self.load = nominal(admitted, factors)
        self.voltage = BatchSolver(self.network).solve(self.network.injections(*self.load)).voltage
        network, rng = self.network, np.random.default_rng(7)
        names = network.bus_ids[network.supplied]
        self.watched = rng.choice(names, max(4, len(names) // 10), replace=False)
        alive = network.branch_ids[network.ends[:, 0] >= 0]
        branches = rng.choice(alive, max(4, len(alive) // 20), replace=False)
        supply = network.bus_ids[np.flatnonzero(network.place == network.reference[0])[0]]
        kinds = [VM] * len(self.watched) + [P_FROM] * len(branches) + [Q_TO] * len(branches) + [I_FROM] * len(branches) + [P_SUPPLY]
        self.kind = np.array(kinds, object)
        self.element = np.array([*self.watched, *branches, *branches, *branches, supply], object)
        model = sensor_model(BaseModel(network), self.kind, self.element)
        self.shown = np.array([model.values(one) for one in self.voltage])
        self.sigma = np.array([SIGMA[kind[0]] for kind in kinds]) * np.ones(self.shown.shape)

    @property
    def exact(self) -> tuple[Injected, Sensors]:
        spread = 0.05 * np.abs(self.load[0]), 0.1 * np.abs(self.load[1])
        return Injected(*self.load, *spread), Sensors(self.kind, self.element, self.shown, self.sigma)

    def noisy(self, seed: int) -> tuple[Injected, Sensors]:
        rng, (injected, sensors) = np.random.default_rng(seed), self.exact
        drawn = [
            load + sigma * rng.normal(size=load.shape)
            for load, sigma in ((injected.load_mw, injected.sigma_mw), (injected.load_mvar, injected.sigma_mvar))
        ]
        read = sensors.value + sensors.sigma * rng.normal(size=sensors.value.shape)
        return Injected(*drawn, injected.sigma_mw, injected.sigma_mvar), replace(sensors, value=read)

    def error(self, found: np.ndarray) -> np.ndarray:
        """Of the magnitudes, at the buses that have names."""
        at = self.network.place[self.network.supplied]
        return (np.abs(found) - np.abs(self.voltage[: len(found)]))[:, at]


@pytest.mark.parametrize("name", ["cigre", "demo_network"])
def test_exact_measurements_give_the_state_of_the_power_flow(name: str, request: pytest.FixtureRequest):
    world = request.getfixturevalue(name)
    found = estimate(world.network, *world.exact)
    assert (found.method == WLS).all()
    np.testing.assert_allclose(found.voltage, world.voltage, atol=1e-8)
    np.testing.assert_allclose(found.load_mw, world.load[0], atol=1e-7)
    assert found.objective.max() < 1e-8
    assert not found.sensor_bad.any()
    assert not found.unobservable.any()


def test_wrong_guesses_of_injections_are_put_right_by_what_is_measured(cigre: World):
    """Every injection guessed 30 % too low with a wide deviation; voltages at every bus measured well: the voltages are found."""
    network = cigre.network
    names = network.bus_ids[network.supplied]
    model = sensor_model(BaseModel(network), np.array([VM] * len(names), object), names)
    shown = np.array([model.values(one) for one in cigre.voltage])
    sensors = Sensors(np.array([VM] * len(names), object), names, shown, np.full(shown.shape, 1e-6))
    guessed = Injected(0.7 * cigre.load[0], 0.7 * cigre.load[1], 0.5 * np.abs(cigre.load[0]), 0.5 * np.abs(cigre.load[1]))
    found = estimate(network, guessed, sensors, UNTESTED)
    assert np.abs(cigre.error(found.voltage)).max() < 1e-6
    without = estimate(network, guessed, Sensors.none(len(shown)))
    assert np.abs(cigre.error(without.voltage)).max() > 1e-3


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_noise_leaves_residuals_as_chi_square_says(cigre: World, seed: int):
    found = estimate(cigre.network, *cigre.noisy(seed), UNTESTED)
    freedom, steps = found.degrees_of_freedom, len(found.objective)
    assert (freedom == len(cigre.kind)).all()
    off = (found.objective.sum() - freedom.sum()) / np.sqrt(2 * freedom.sum())
    assert abs(off) < 5
    normalised = found.sensor_normalised[~np.isnan(found.sensor_normalised)]
    assert 0.7 < np.mean(normalised**2) < 1.35
    errors = (cigre.error(found.voltage) / found.vm_sigma_pu[:, cigre.network.supplied])[:, 1:]
    assert 0.4 < np.sqrt(np.mean(errors**2)) < 1.9
    assert steps == 24


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), which=st.integers(0, 12), size=st.floats(14, 60), sign=st.sampled_from([-1, 1]))
def test_a_gross_error_is_found_and_the_estimate_is_as_good_as_without_it(cigre: World, seed: int, which: int, size: float, sign: int):
    injected, sensors = cigre.noisy(seed)
    step = Sensors(sensors.kind, sensors.element, sensors.value[:1].copy(), sensors.sigma[:1])
    first = Injected(*(getattr(injected, one)[:1] for one in ("load_mw", "load_mvar", "sigma_mw", "sigma_mvar")))
    sound = estimate(cigre.network, first, step)
    which %= len(sensors.kind)
    share = 1.0  # how much of an error the residual shows: only redundant measurements can be judged
    probe = step.value.copy()
    probe[0, which] += sensors.sigma[0, which]
    share = estimate(cigre.network, first, replace(step, value=probe), UNTESTED).sensor_residual - estimate(
        cigre.network, first, step, UNTESTED
    ).sensor_residual  # fmt: skip
    if share[0, which] < 0.5 * sensors.sigma[0, which] or sound.sensor_bad.any() or sound.load_bad.any() or sound.load_mvar_bad.any():
        return
    wrong = step.value.copy()
    wrong[0, which] += sign * size * sensors.sigma[0, which]
    found = estimate(cigre.network, first, replace(step, value=wrong))
    assert found.sensor_bad[0, which]
    assert found.sensor_normalised[0, which] > 3
    absent = step.value.copy()
    absent[0, which] = np.nan
    expected = estimate(cigre.network, first, replace(step, value=absent))
    if found.sensor_bad.sum() == 1 and not found.load_bad.any() and not found.load_mvar_bad.any():
        np.testing.assert_allclose(found.voltage, expected.voltage, atol=1e-9)
    assert np.abs(cigre.error(found.voltage)).max() < np.abs(cigre.error(expected.voltage)).max() + 5e-3


def test_a_wrong_meter_is_found_among_the_injections(cigre: World):
    """A bus between two measured branches: both say that its meter counts double, so no single sensor explains it."""
    injected, sensors = cigre.noisy(3)
    tight = Injected(cigre.load[0].copy(), injected.load_mvar, 0.1 * injected.sigma_mw, injected.sigma_mvar)
    number = [(cigre.network.ends == place).any(axis=1).sum() for place in cigre.network.place]
    bus = next(
        one
        for one in range(len(number))
        if number[one] >= 2 and cigre.load[0][0, one] > 0 and cigre.network.place[one] not in cigre.network.reference
    )
    kinds, elements = [], []
    touching = np.flatnonzero((cigre.network.ends == cigre.network.place[bus]).any(axis=1))
    for branch in touching:
        side = "p_from" if cigre.network.ends[branch, 0] == cigre.network.place[bus] else "p_to"
        kinds.append(side)
        elements.append(cigre.network.branch_ids[branch])
    model = sensor_model(BaseModel(cigre.network), np.array(kinds, object), np.array(elements, object))
    more = np.array([model.values(one) for one in cigre.voltage])
    joined = Sensors(
        np.concatenate([sensors.kind, np.array(kinds, object)]), np.concatenate([sensors.element, np.array(elements, object)]),
        np.hstack([sensors.value, more]), np.hstack([sensors.sigma, np.full(more.shape, 1e-4)]),
    )  # fmt: skip
    tight.load_mw[:, bus] *= 2
    found = estimate(cigre.network, tight, joined)
    assert found.load_bad[:, bus].all()
    np.testing.assert_allclose(found.load_mw[:, bus], cigre.load[0][:, bus], rtol=0.05)
    others = np.delete(found.load_bad, bus, axis=1)
    assert others.mean() < 0.02


def test_the_error_of_a_critical_measurement_cannot_be_seen_and_that_is_said():
    """Two buses, the load unknown, one flow measured: whatever it shows is believed."""
    network = compiled(two_buses())
    unknown = Injected(np.array([[0.0, np.nan]]), np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 2)))
    name = network.branch_ids[0]

    def measured(mw: float):
        return estimate(
            network, unknown, Sensors(np.array([P_FROM], object), np.array([name], object), np.array([[mw]]), np.full((1, 1), 0.01))
        )

    for mw in (1.0, 4.0):
        found = measured(mw)
        assert found.sensor_residual[0, 0] == pytest.approx(0, abs=1e-8)
        assert found.sensor_critical[0, 0]
        assert np.isnan(found.sensor_normalised[0, 0])
        assert found.degrees_of_freedom[0] == 0
        assert not found.sensor_bad.any()
        assert not found.unobservable.any()
    assert np.isnan(found.threshold[0])


def test_what_is_not_observable_is_stated():
    network = compiled(admit(feeder(4), "a row"))
    buses = len(network.bus_ids)
    nothing = np.zeros((1, buses))
    load = np.full((1, buses), 0.1)
    load[0, -1] = np.nan
    found = estimate(network, Injected(load, nothing + 0.0, nothing + 0.01, nothing), Sensors.none(1))
    assert found.unobservable[0, -1]
    assert np.isnan(found.vm_sigma_pu[0, -1])
    model = sensor_model(BaseModel(network), np.array([VM], object), network.bus_ids[-1:])
    assert not found.unobservable[0, network.place == network.reference[0]].any()
    seen = Sensors(np.array([VM], object), network.bus_ids[-1:], np.array([model.values(network.start)]), np.full((1, 1), 0.001))
    assert not estimate(network, Injected(load, nothing, nothing + 0.01, nothing), seen).unobservable.any()


def test_without_sensors_the_estimate_is_the_flow_of_the_injections(cigre: World):
    found = estimate(cigre.network, cigre.exact[0], Sensors.none(24))
    np.testing.assert_allclose(found.voltage, cigre.voltage, atol=1e-8)
    assert (found.degrees_of_freedom == 0).all()
    assert found.consistent.all()


@pytest.mark.parametrize("name", ["cigre", "demo_network"])
def test_pandapower_finds_the_same_optimum(name: str, request: pytest.FixtureRequest):
    world = request.getfixturevalue(name)
    injected, sensors = world.noisy(11)
    ours = estimate(world.network, injected, sensors, UNTESTED, deviations=False)
    theirs = pandapower_voltage(world.admitted, world.network, injected, sensors, 0)
    assert theirs is not None
    np.testing.assert_allclose(np.abs(theirs), np.abs(ours.voltage[0]), atol=5e-5)


@pytest.mark.parametrize("name", ["cigre", "demo_network"])
def test_power_grid_model_comes_close(name: str, request: pytest.FixtureRequest):
    """Its iteration leaves the weights as at the start and takes no magnitudes of currents: near, not the same."""
    world = request.getfixturevalue(name)
    exact = grid_model_voltages(world.network, *world.exact, [0, 1])
    for step in (0, 1):
        np.testing.assert_allclose(exact[step], world.voltage[step], atol=1e-6)
    injected, sensors = world.noisy(11)
    ours = estimate(world.network, injected, sensors, UNTESTED, deviations=False)
    (theirs,) = grid_model_voltages(world.network, injected, sensors, [0])
    assert theirs is not None
    assert np.abs(world.error(theirs[None])).max() < 6e-3
    assert np.abs(theirs - ours.voltage[0]).max() < 1e-2


def test_another_solver_takes_over_and_is_named(cigre: World, monkeypatch: pytest.MonkeyPatch):
    from grid_assets.powerflow import estimation

    monkeypatch.setattr(estimation, "solved_step", lambda *_: None)
    injected, sensors = cigre.exact
    few = Injected(*(getattr(injected, one)[:2] for one in ("load_mw", "load_mvar", "sigma_mw", "sigma_mvar")))
    read = Sensors(sensors.kind, sensors.element, sensors.value[:2], sensors.sigma[:2])
    asked = other_estimators(cigre.admitted, cigre.network)
    found = estimate(cigre.network, few, read, others=asked)
    assert (found.method == OTHER).all()
    assert set(found.solver) == {"power-grid-model (iterative linear)"}
    np.testing.assert_allclose(found.vm_pu, np.abs(cigre.voltage[:2][:, cigre.network.place]), atol=1e-6)
    last = dict([*asked.items()][1:])
    assert set(estimate(cigre.network, few, read, others=last).solver) == {"pandapower (weighted least squares)"}
    nobody = estimate(cigre.network, few, read)
    assert (nobody.method == NONE).all()
    assert not nobody.consistent.any()
    assert np.isnan(nobody.vm_pu).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i, s: (replace(i, load_mw=i.load_mw[:, 1:]), s), "load_mw has shape"),
        (lambda i, s: (replace(i, sigma_mw=i.sigma_mw - 1), s), "sigma_mw, step 0"),
        (lambda i, s: (replace(i, load_mw=i.load_mw + np.inf), s), "expected a finite number"),
        (lambda i, s: (i, replace(s, sigma=s.sigma * 0)), "above 0"),
        (lambda i, s: (i, replace(s, value=s.value + np.inf)), "finite"),
        (lambda i, s: (i, replace(s, value=s.value[:2])), "expected 24 steps"),
        (lambda i, s: (i, replace(s, element=np.array(["nowhere"] * len(s.kind), object))), "'nowhere' is not in the network"),
        (lambda i, s: (i, replace(s, kind=np.array(["watt"] * len(s.kind), object))), "kind 'watt' is unknown"),
        (lambda i, s: (i, replace(s, kind=np.array([P_SUPPLY] * len(s.kind), object))), "no supply connected|not in the network"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(cigre: World, change: Any, said: str):
    with pytest.raises(EstimationError, match=said):
        estimate(cigre.network, *change(*cigre.exact))


def test_a_voltage_that_no_state_has_ends_without_an_estimate():
    """100 times the load that the line can carry, exactly so: no voltage fits, and no number is made up."""
    network: CompiledNetwork = compiled(two_buses())
    load = np.array([[0.0, 5000.0]])
    found = estimate(network, Injected(load, load * 0, load * 0, load * 0), Sensors.none(1))
    assert found.method[0] == NONE
    assert np.isnan(found.vm_pu).all()


@pytest.mark.parametrize("name", ["cigre", "demo_network"])
def test_derivatives_are_those_of_the_functions(name: str, request: pytest.FixtureRequest):
    """Against central differences, every kind of sensor at both ends, at a state with loads and angles of its own."""
    world = request.getfixturevalue(name)
    network, base = world.network, BaseModel(world.network)
    alive = network.branch_ids[network.ends[:, 0] >= 0][::7]
    kinds = np.repeat(np.array(["p_from", "q_from", "i_from", "p_to", "q_to", "i_to"], object), len(alive))
    supply = network.bus_ids[np.flatnonzero(network.place == network.reference[0])[0]]
    every = np.concatenate([kinds, np.array([VM, P_SUPPLY, "q_supply"], object)])
    model = sensor_model(base, every, np.concatenate([np.tile(alive, 6), np.array([world.watched[0], supply, supply], object)]))
    rng = np.random.default_rng(0)
    voltage = base.moved(world.voltage[0], 0.01 * rng.normal(size=base.size))
    jacobian, slopes = base.jacobian(voltage).toarray(), model.derivatives(voltage)
    for at in rng.choice(base.size, 12, replace=False):
        change = np.zeros(base.size)
        change[at] = 1e-6
        ahead, behind = base.moved(voltage, change), base.moved(voltage, -change)
        for function, slope in ((base.quantities, jacobian[:, at]), (model.values, slopes[:, at])):
            np.testing.assert_allclose(
                (function(ahead) - function(behind)) / 2e-6, slope, rtol=1e-5, atol=1e-6 * max(1, np.abs(slope).max())
            )
