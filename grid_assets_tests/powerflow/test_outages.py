"""Flows after outages, many at once: against runpp with the branch switched off, other engines' vectors, and what must hold."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.batches import FIXED_POINT, NEWTON, NONE, BatchSolver, newton, newton_solver
from grid_assets.powerflow.compiled import CompiledNetwork, compiled
from grid_assets.powerflow.gate import AdmittedNetwork, admit
from grid_assets.powerflow.outages import mismatch_without, solve_outages
from grid_assets.powerflow.reference import ReferenceSolver, difference_pu
from grid_assets.powerflow.supply_graph import dark_without, supply_graph
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.powerflow.made import feeder, nominal
from grid_assets_tests.powerflow.test_time_series import CASES, needs_cases


def meshed(seed: int, buses: int = 9, extra: int = 3, supplies: int = 1) -> Any:
    """A random network: a tree with a few more lines, some of them parallel, and a transformer."""
    import pandapower as pp

    random = np.random.default_rng(seed)
    net = pp.create_empty_network()
    made = [pp.create_bus(net, 10.0, name=f"bus {n}") for n in range(buses)]
    for n in range(supplies):
        pp.create_ext_grid(net, made[n], vm_pu=1.0)

    def line(one: int, other: int) -> None:
        r, x, c = random.uniform(0.05, 0.5), random.uniform(0.05, 0.5), random.uniform(0, 300)
        pp.create_line_from_parameters(net, made[one], made[other], random.uniform(0.2, 2), r, x, c, 0.3, name=f"line {len(net.line)}")

    for n in range(1, buses):
        line(int(random.integers(0, n)), n)
    for _ in range(extra):
        one, other = random.choice(buses, 2, replace=False)
        line(int(one), int(other))
    low = pp.create_bus(net, 0.4, name="low")
    pp.create_transformer(net, made[-1], low, "0.63 MVA 10/0.4 kV", name="transformer")
    for bus in [*made, low]:
        pp.create_load(net, bus, random.uniform(0, 0.3), random.uniform(-0.05, 0.1))
    return net


def by_runpp(admitted: AdmittedNetwork, branches: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Voltages (NaN in the dark) and loadings with the branches switched off."""
    import pandapower as pp

    net = copy.deepcopy(admitted.net)
    firsts = {"line": 0, "trafo": len(net.line), "impedance": len(net.line) + len(net.trafo)}
    for branch in branches:
        name, at = next((name, branch - first) for name, first in reversed(firsts.items()) if branch >= first)
        net[name].loc[net[name].index[at], "in_service"] = False
    pp.runpp(net, numba=False, init="dc", calculate_voltage_angles=True, tolerance_mva=1e-10)
    loading = np.concatenate([net.res_line["loading_percent"], net.res_trafo["loading_percent"]])
    return net.res_bus["vm_pu"].to_numpy(), np.concatenate([np.nan_to_num(loading), np.zeros(len(net.impedance))])


def all_of(network: CompiledNetwork, injections: np.ndarray, outages: list[tuple[int, ...]]):
    parts = list(solve_outages(BatchSolver(network), injections, outages))
    voltage, dark, method = (np.concatenate([getattr(one, name) for one in parts]) for name in ("voltage", "dark", "method"))
    assert [branches for one in parts for branches in one.outages] == outages
    magnitudes = np.where(dark, np.nan, np.abs(voltage))[:, np.maximum(network.place, 0)]
    return np.where(network.supplied, magnitudes, np.nan), method, np.concatenate([one.loading_pct(network) for one in parts])


def agree(
    admitted: AdmittedNetwork, outages: list[tuple[int, ...]], compared: list[int] | None = None, tolerance: float = 1e-8
) -> np.ndarray:
    network = compiled(admitted)
    voltages, method, loadings = all_of(network, network.injections(*nominal(admitted, np.ones(1)))[0], outages)
    for n in compared if compared is not None else range(len(outages)):
        expected, loading = by_runpp(admitted, outages[n])
        np.testing.assert_allclose(voltages[n], expected, atol=tolerance)  # NaN where it is NaN
        np.testing.assert_allclose(loadings[n], loading, atol=1e-4)
    return method


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(1, 2))
def test_every_outage_of_a_random_network_is_what_runpp_says(seed, extra, supplies):
    admitted = admit(meshed(seed, extra=extra, supplies=supplies), "random")
    branches = len(admitted.net.line) + len(admitted.net.trafo)
    method = agree(admitted, [(n,) for n in range(branches)])
    assert (method == FIXED_POINT).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_outages_of_several_branches_at_once(seed):
    admitted = admit(meshed(seed), "random")
    random, branches = np.random.default_rng(seed), len(admitted.net.line) + len(admitted.net.trafo)
    outages = [tuple(sorted(int(n) for n in random.choice(branches, size, replace=False))) for size in (2, 3, 2, 1, 0)]
    agree(admitted, outages)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 5), st.integers(1, 3))
def test_who_goes_dark_is_told_by_the_walk_as_by_counting_parts(seed, extra, supplies):
    network = compiled(admit(meshed(seed, 12, extra, supplies), "random"))
    graph = supply_graph(network)
    for branch in range(len(network.ends)):
        np.testing.assert_array_equal(graph.dark(branch), dark_without(network, [branch]))


def test_an_outage_of_what_is_out_already_changes_nothing():
    net = feeder(4)
    net.line.loc[3, "in_service"] = False
    network = compiled(admit(net, "cut"))
    injections = network.injections(np.full((1, 5), 0.1), np.zeros((1, 5)))[0]
    voltages, _, _ = all_of(network, injections, [(3,), ()])
    np.testing.assert_array_equal(voltages[0], voltages[1])


def test_behind_an_open_bridge_nothing_is_left_and_before_it_the_voltage_rises():
    network = compiled(admit(feeder(4), "row"))
    injections = network.injections(np.full((1, 5), 0.2), np.zeros((1, 5)))[0]
    voltages, _, loadings = all_of(network, injections, [(2,), ()])
    assert np.isnan(voltages[0, 3:]).all()
    assert (voltages[0, 1:3] > voltages[1, 1:3]).all()
    assert (loadings[0, 2:] == 0).all()


def test_an_outage_that_the_rest_cannot_carry_has_no_solution_and_the_others_stand():
    import pandapower as pp

    net = feeder(1)
    pp.create_line_from_parameters(net, 0, 1, 1.0, 0.01, 0.01, 0.0, 5.0, name="strong")
    net.load["p_mw"], net.load["q_mvar"] = 60.0, 30.0
    network = compiled(admit(net, "two lines"))
    injections = network.injections(np.array([[0.0, 60.0]]), np.array([[0.0, 30.0]]))[0]
    voltages, method, _ = all_of(network, injections, [(0,), (1,)])
    assert method.tolist() == [FIXED_POINT, NONE]
    assert np.isfinite(voltages[0]).all()
    assert np.isnan(voltages[1, 1])


@needs_cases
@pytest.mark.parametrize(("case", "most"), [("case14", None), ("case118", 12)])
def test_outages_of_networks_with_generators_that_hold_their_voltage(case: str, most: int | None):
    from pandapower.converter.pypower import from_ppc

    given_case = json.loads((CASES / "inputs" / "matpower" / f"{case}.json").read_text())
    ppc = {name: np.array(given_case[name], float) for name in ("bus", "branch", "gen")}
    ppc["branch"][ppc["branch"][:, 5] == 0, 5] = 9999.0
    ppc["bus"][ppc["bus"][:, 9] == 0, 9] = 100.0
    admitted = admit(from_ppc({**ppc, "baseMVA": given_case["baseMVA"], "version": "2"}, f_hz=50), case)
    branches = len(admitted.net.line) + len(admitted.net.trafo) + len(admitted.net.impedance)
    outages = [(n,) for n in range(branches)]
    compared = list(range(branches)) if most is None else np.random.default_rng(1).permutation(branches)[:most].tolist()
    method = agree(admitted, outages, compared, 1e-7)
    assert (method == NEWTON).mean() > 0.98


@needs_cases
@pytest.mark.parametrize("case", ["cigre_mv_der", "sb_mv_rural"])
def test_reference_vectors_of_another_engine(case: str):
    if case == "sb_mv_rural":
        import simbench

        net = simbench.get_simbench_net("1-MV-rural--0-sw")
    else:
        from pandapower.networks import create_cigre_network_mv

        net = create_cigre_network_mv(with_der="pv_wind")
    expected = pd.read_parquet(CASES / "expected" / f"{case}_n1__n1.parquet")
    lines = {index: n for n, index in enumerate(net.line.index)}
    admitted = admit(net, case)
    network = compiled(admitted)
    injections = network.injections(*nominal(admitted, np.ones(1)))[0]
    voltages, method, loadings = all_of(network, injections, [(lines[one],) for one in expected["outaged_line"]])
    assert (method != NONE).all()
    np.testing.assert_allclose(np.nanmin(voltages, axis=1), expected["min_vm_pu"], atol=2e-6)
    dark = np.isnan(voltages).sum(axis=1) - np.isnan(voltages).all(axis=0).sum()
    np.testing.assert_array_equal(dark, expected["deenergised_buses"])
    np.testing.assert_allclose(loadings[:, : len(net.line)].max(axis=1), expected["max_line_loading_percent"], atol=1e-3)


@pytest.mark.parametrize("held", [True, False])
def test_several_supplies_hold_their_angles_too_where_newton_solves(held: bool):
    """The angles of supplies beside the first float when a solver shares the slack out; currents are then far off at magnitudes that agree."""
    import pandapower as pp

    net = meshed(0 if held else 1, supplies=2)
    net.ext_grid["vm_pu"] = [1.0, 1.01]
    net.ext_grid["va_degree"] = [0.0, 0.5]
    if held:
        pp.create_gen(net, 5, p_mw=0.3, vm_pu=1.0)
    admitted = admit(net, "two supplies")
    load_mw, load_mvar = nominal(admitted, np.ones(1))
    network = compiled(admitted)
    wanted = network.injections(load_mw, load_mvar)
    if held:
        voltage = BatchSolver(network).solve(wanted).voltage[0]
    else:  # the fallback, asked for by itself
        loaded = np.setdiff1d(network.free, network.controlled)
        found = newton(newton_solver(), network, network.admittance, wanted[0], network.start, loaded, 1e-8)
        assert found is not None
        voltage = found
    reference = ReferenceSolver(admitted).solve(load_mw[0], load_mvar[0])
    expected = reference.res_bus["vm_pu"] * np.exp(1j * np.radians(reference.res_bus["va_degree"]))
    np.testing.assert_allclose(voltage[network.place], expected, atol=1e-8)
    np.testing.assert_allclose(voltage[network.reference], network.start[network.reference], atol=1e-14)
    if held:
        series = solve_series(admitted, load_mw, load_mvar)
        np.testing.assert_allclose(series.i_ka[0, : len(net.line)], reference.res_line["i_ka"], atol=1e-8)
        agree(admitted, [(n,) for n in range(len(net.line))])


def test_a_line_around_which_a_coupler_is_closed_is_charged_once():
    import pandapower as pp

    net = feeder(3)
    net.line["c_nf_per_km"] = 3000.0
    pp.create_switch(net, 1, 2, "b", closed=True)
    admitted = admit(net, "bypassed")
    load_mw, load_mvar = nominal(admitted, np.ones(1))
    reference = ReferenceSolver(admitted).solve(load_mw[0], load_mvar[0])
    np.testing.assert_allclose(solve_series(admitted, load_mw, load_mvar).i_ka[0], reference.res_line["i_ka"], atol=1e-8)
    agree(admitted, [(0,), (1,), (2,)])


def test_a_branch_named_twice_is_out_once():
    admitted = admit(meshed(3), "meshed")
    network = compiled(admitted)
    injections = network.injections(*nominal(admitted, np.ones(1)))[0]
    once, twice = (next(solve_outages(BatchSolver(network), injections, [one])).voltage for one in ((2,), (2, 2)))
    np.testing.assert_allclose(once, twice, atol=1e-12)


def residuals(admitted: AdmittedNetwork, outages: list[tuple[int, ...]]) -> np.ndarray:
    network = compiled(admitted)
    injections = network.injections(*nominal(admitted, np.ones(1)))[0]
    return np.concatenate([one.residual_max_mva for one in solve_outages(BatchSolver(network), injections, outages)])


@given(seed=st.integers(0, 500))
@settings(max_examples=6, deadline=None)
def test_the_mismatch_is_that_of_a_network_without_the_branches(seed: int):
    """Built anew by pandapower without them: its own admittances, our voltages and loads."""
    admitted = admit(meshed(seed), "meshed")
    network = compiled(admitted)
    injections = network.injections(*nominal(admitted, np.ones(1)))[0]
    outages = [(n,) for n in range(len(network.ends))] + [(0, 3), (2, 5)]
    for found in solve_outages(BatchSolver(network), injections, outages):
        assert (found.residual_max_mva < 1e-7).all()
        for n, branches in enumerate(found.outages):
            without = copy.deepcopy(admitted.net)
            for branch in branches:
                table, at = ("line", branch) if branch < len(without.line) else ("trafo", branch - len(without.line))
                without[table].loc[without[table].index[at], "in_service"] = False
            other = compiled(AdmittedNetwork(without, "without", ()))
            lit = other.supplied
            wrong = found.voltage[n, network.place[lit]] * 1.001  # of these the mismatch is no rounding
            volts = np.zeros(len(other.start), complex)
            volts[other.place[lit]] = wrong
            drawn = volts * np.conj(other.admittance @ volts)
            asked = other.injections(*nominal(admitted, np.ones(1)))[0]
            expected = np.abs(np.delete(drawn - asked, other.reference)).max(initial=0.0) * other.base_mva
            power = np.where(found.dark[n], 0.0, injections)
            told = mismatch_without(network, [branches], found.voltage[n : n + 1] * 1.001, power[None])[0]
            assert told == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_small_impedances_leave_no_mismatch_beside_them():
    """Bars of 1e-6 ohm in meshes: by the formula for many outages at once alone their loss leaves 0.005 MVA."""
    net = meshed(3, buses=12, extra=6)
    net.line.loc[[0, 3, 5], ["r_ohm_per_km", "x_ohm_per_km", "length_km"]] = 1e-6, 1e-6, 1.0
    admitted = admit(net, "bars")
    every = [(n,) for n in range(len(net.line))]
    assert residuals(admitted, every).max() < 1e-7
    load_mw, load_mvar = nominal(admitted, np.ones(1))
    network = compiled(admitted)
    found = next(solve_outages(BatchSolver(network), network.injections(load_mw, load_mvar)[0], every))
    for n, name in enumerate(net.line["name"]):
        ours = np.where(found.dark[n], np.nan, found.voltage[n])[network.place]
        assert difference_pu(ReferenceSolver(admitted, {name}).solve(load_mw[0], load_mvar[0]), ours) < 1e-6


def test_an_outage_without_a_solution_has_no_mismatch():
    net = feeder(2, r_ohm=20.0, x_ohm=20.0)
    net.line["max_i_ka"] = 99.0
    import pandapower as pp

    pp.create_line_from_parameters(net, 0, 2, 1.0, 0.1, 0.1, 0.0, 99.0, name="back")
    net.load["p_mw"] = [0.0, 3.0]
    told = residuals(admit(net, "weak"), [(0,), (2,)])
    assert np.isfinite(told[0])
    assert np.isnan(told[1])
