"""Hosting capacity against a search by runpp, by hand, and against what must hold."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.gate import AdmittedNetwork, admit
from grid_assets.powerflow.hosting_capacity import HostingCapacity, hosting_capacity
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets_tests.powerflow.made import feeder, nominal, two_buses
from grid_assets_tests.powerflow.test_outages import meshed

LIMITS = Limits(0.95, 1.05, 100.0)


def capacity_of(admitted: AdmittedNetwork, direction: complex, load: tuple[np.ndarray, np.ndarray], most: float = 20.0) -> HostingCapacity:
    network = compiled(admitted)
    buses = np.flatnonzero(network.supplied)
    return hosting_capacity(BatchSolver(network), network.injections(*load)[0], buses, direction, LIMITS, most)


def beyond(admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray, limits: Limits = LIMITS) -> bool:
    """Whether any voltage or loading is beyond its limit, by runpp."""
    net = ReferenceSolver(admitted).solve(load_mw, load_mvar)
    if net is None:
        return True
    volts = net.res_bus["vm_pu"].dropna()
    loading = max(net.res_line["loading_percent"].max(), net.res_trafo["loading_percent"].max() if len(net.trafo) else 0.0)
    return bool(volts.max() > limits.maximum_vm_pu or volts.min() < limits.minimum_vm_pu or loading > limits.maximum_loading_pct)


def test_a_rise_of_five_per_cent_by_hand():
    """10 kV behind 1 ohm: V (V - 10) = P in kV and MW, so that 10.5 kV are reached with 5.25 MW; the line of 0.2 kA would carry 3.6."""
    none = np.zeros((1, 2)), np.zeros((1, 2))
    admitted = two_buses()
    found = capacity_of(admitted, 1.0, none)
    amperes_allow = np.sqrt(3) * 0.2 * (10 + np.sqrt(3) * 0.2)
    assert found.capacity_mw[1] == pytest.approx(amperes_allow, abs=1.5e-3)
    assert (found.binding[1], found.element[1]) == ("overload", "line 1")
    thick = copy.deepcopy(admitted.net)
    thick.line["max_i_ka"] = 5.0
    admitted = admit(thick, "by hand")
    found = capacity_of(admitted, 1.0, none)
    assert found.capacity_mw[1] == pytest.approx(5.25, abs=1.5e-3)
    assert (found.binding[1], found.element[1]) == ("overvoltage", "bus 1")
    drawn = capacity_of(admitted, -1.0, none)
    assert drawn.capacity_mw[1] == pytest.approx(9.5 * 0.5, abs=1.5e-3)
    assert (drawn.binding[1], drawn.element[1]) == ("undervoltage", "bus 1")
    assert (found.capacity_mw[0], found.binding[0]) == (20.0, "none")  # at the supply nothing binds


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, -1.0, 1.0 - 0.3j, -1.0 - 0.2j]))
def test_the_capacity_fits_and_a_little_more_does_not_by_runpp(seed, direction):
    admitted = admit(meshed(seed, 7), "random")
    load_mw, load_mvar = nominal(admitted, np.ones(1))
    if beyond(admitted, load_mw[0], load_mvar[0]):
        return
    found = capacity_of(admitted, direction, (load_mw, load_mvar))
    for bus in range(len(found.capacity_mw)):
        for size, expected in ((found.capacity_mw[bus] - 2e-4, False), (found.capacity_mw[bus] + 2e-3, found.binding[bus] != "none")):
            mw, mvar = load_mw[0].copy(), load_mvar[0].copy()
            mw[bus] -= max(size, 0.0) * np.real(direction)
            mvar[bus] -= max(size, 0.0) * np.imag(direction)
            if size < 0 or (found.binding[bus] == "none" and expected is False and size > 19.9):
                continue
            slackened = Limits(0.95, 1.05 + 1e-9, 100.0 + 1e-6)
            assert beyond(admitted, mw, mvar, LIMITS if expected else slackened) == expected, (bus, size, found.binding[bus])


def test_further_out_on_a_feeder_less_fits():
    net = feeder(5)
    net.line["max_i_ka"] = 5.0  # of currents alone a higher voltage lets more through
    found = capacity_of(admit(net, "row"), 1.0, (np.zeros((1, 6)), np.zeros((1, 6))))
    assert (np.diff(found.capacity_mw[1:]) <= 1e-3).all()


def test_what_is_beyond_its_limit_already_may_stay_but_not_get_worse():
    net = feeder(4)
    net.ext_grid["vm_pu"] = 1.06
    admitted = admit(net, "high")
    found = capacity_of(admitted, 1.0, (np.zeros((1, 5)), np.zeros((1, 5))))
    assert (found.capacity_mw[1:] < 0.2).all()
    assert set(found.binding[1:]) == {"overvoltage"}
    drawn = capacity_of(admitted, -1.0, (np.zeros((1, 5)), np.zeros((1, 5))))
    assert (drawn.capacity_mw[1:] > 1.0).all()


def test_a_state_without_a_solution_has_no_capacity():
    admitted = two_buses()
    found = capacity_of(admitted, 1.0, (np.array([[0.0, 90.0]]), np.zeros((1, 2))))
    assert found.capacity_mw.tolist() == [0.0, 0.0]
    assert set(found.binding) == {"no_solution"}


def test_the_size_of_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    admitted = admit(meshed(3, 9), "random")
    load = nominal(admitted, np.ones(1))
    whole = capacity_of(admitted, 1.0, load)
    monkeypatch.setattr(BatchSolver, "chunk", 3)
    parts = capacity_of(admitted, 1.0, load)
    np.testing.assert_allclose(parts.capacity_mw, whole.capacity_mw, atol=1e-3)
    assert parts.element.tolist() == whole.element.tolist()


def test_where_the_fixed_point_gives_up_newton_goes_on():
    """10 kV behind 1 ohm: at 5.5 kV 24.75 MW are drawn; the fixed point gets to 20 or so."""
    wide = copy.deepcopy(two_buses().net)
    wide.line["max_i_ka"] = 50.0
    admitted = admit(wide, "by hand")
    network = compiled(admitted)
    state = network.injections(np.zeros((1, 2)), np.zeros((1, 2)))[0]
    found = hosting_capacity(BatchSolver(network), state, np.array([1]), -1.0, Limits(0.55, 1.05, 100.0), 60.0)
    assert (found.binding[0], found.element[0]) == ("undervoltage", "bus 1")
    assert found.capacity_mw[0] == pytest.approx(24.75, abs=1.5e-3)
    assert found.residual_max_mva[0] < 1e-7
    nothing_binds = hosting_capacity(BatchSolver(network), state, np.array([1]), -1.0, Limits(0.1, 1.05, 100.0), 60.0)
    assert nothing_binds.binding[0] == "no_solution"
    assert nothing_binds.capacity_mw[0] == pytest.approx(25.0, abs=2e-3)


def test_the_mismatch_told_is_that_of_the_size(monkeypatch: pytest.MonkeyPatch):
    """Of a state in which nothing fits it is the state's own."""
    from grid_assets.powerflow import hosting_capacity as engine

    first = iter([3.0])
    monkeypatch.setattr(engine, "largest_mva", lambda network, missed: np.full(len(missed), next(first, 7.0)))
    admitted = two_buses()
    found = capacity_of(admitted, -1.0, (np.zeros((1, 2)), np.zeros((1, 2))))
    assert found.capacity_mw[1] > 0
    assert set(found.residual_max_mva) == {7.0}
    collapsed = capacity_of(admitted, -1.0, (np.array([[0.0, 99.0]]), np.zeros((1, 2))))
    assert np.isnan(collapsed.residual_max_mva).all()
    assert set(collapsed.binding) == {"no_solution"}
