"""The engine against hand results, runpp, other engines' vectors, and the laws it must keep."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.batches import FIXED_POINT, NEWTON, NONE, BatchSolver
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.time_series import engine, proved_by_sample, solve_chunks, solve_series
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.powerflow.made import feeder, nominal, two_buses

CASES = SHARED / "testcases" / "powerflow"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared power-flow cases are absent; set GRID_ASSETS_SHARED")


def test_two_buses_by_hand():
    """R = 1 ohm at 10 kV and 2 MW: V^2 - 10 V + 2 * 1 = 0 in kV (phase to phase), so V = 5 + sqrt(23)."""
    solved = solve_series(two_buses(), np.array([[0.0, 2.0]]), np.zeros((1, 2)))
    volts = 5 + math.sqrt(23)
    amperes = 2 / volts / math.sqrt(3)
    assert solved.vm_pu[0, 1] == pytest.approx(volts / 10, abs=1e-10)
    assert solved.i_ka[0, 0] == pytest.approx(amperes, abs=1e-9)
    assert solved.loading_pct[0, 0] == pytest.approx(100 * amperes / 0.2, abs=1e-6)
    assert solved.losses_mw[0] == pytest.approx(3 * amperes**2, abs=1e-9)
    assert solved.p_mw[0, 0] == pytest.approx(2 + 3 * amperes**2, abs=1e-8)
    assert solved.va_degree[0, 1] == pytest.approx(0, abs=1e-9)


def test_a_day_on_the_demo_network_agrees_with_runpp(semiurban):
    import pandapower as pp

    admitted = admit(semiurban, "simbench")
    factors = 0.35 + 0.3 * np.sin(np.linspace(0, 2 * np.pi, 24, endpoint=False))
    load_mw, load_mvar = nominal(admitted, factors)
    solved = solve_series(admitted, load_mw, load_mvar)
    assert solved.converged.all()
    assert solved.residual_max_mva.max() < 1e-7
    for step in (0, 7, 17):
        net = copy.deepcopy(admitted.net)
        for table in ("load", "sgen", "storage"):
            net[table]["scaling"] = factors[step]
        pp.runpp(net, numba=False, init="dc", tolerance_mva=1e-9)
        np.testing.assert_allclose(solved.vm_pu[step], net.res_bus["vm_pu"], atol=1e-8)
        np.testing.assert_allclose(solved.va_degree[step], net.res_bus["va_degree"], atol=1e-6)
        loading = np.concatenate([net.res_line["loading_percent"], net.res_trafo["loading_percent"]])
        np.testing.assert_allclose(solved.loading_pct[step], loading, atol=1e-5)


@needs_cases
@pytest.mark.parametrize("case", ["case9", "case14", "case33bw", "case118", "case1354pegase"])
def test_reference_vectors_of_another_engine(case: str):
    from pandapower.converter.pypower import from_ppc

    given_case = json.loads((CASES / "inputs" / "matpower" / f"{case}.json").read_text())
    ppc = {name: np.array(given_case[name], float) for name in ("bus", "branch", "gen")}
    ppc["branch"][ppc["branch"][:, 5] == 0, 5] = 9999.0  # MATPOWER writes 0 for no limit; the gate wants a number
    ppc["bus"][ppc["bus"][:, 9] == 0, 9] = 100.0  # case14 names no base voltages; per-unit results do not depend on them
    net = from_ppc({**ppc, "baseMVA": given_case["baseMVA"], "version": "2"}, f_hz=50)
    admitted = admit(net, case)
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    expected = pd.read_parquet(CASES / "expected" / f"{case}__bus.parquet")
    np.testing.assert_allclose(solved.vm_pu[0], expected["vm_pu"], atol=1e-6)
    np.testing.assert_allclose(solved.va_degree[0], expected["va_degree"], atol=1e-4)
    assert solved.residual_max_mva[0] < 1e-6
    flows = pd.read_parquet(CASES / "expected" / f"{case}__branch.parquet")
    ours = expected_flows = np.array([])
    for table, first, begin in (
        ("line", 0, "from_bus"),
        ("trafo", len(net.line), "hv_bus"),
        ("impedance", len(net.line) + len(net.trafo), "from_bus"),
    ):
        found = net._from_ppc_lookups["branch"]
        rows = np.flatnonzero(found["element_type"] == table)
        elements = found["element"].to_numpy()[rows].astype(int)
        ours = np.append(ours, solved.p_mw[0, first + elements])
        forward = net[table].loc[elements, begin].to_numpy(int) == ppc["branch"][rows, 0].astype(int)
        expected_flows = np.append(
            expected_flows, np.where(forward, flows["p_from_mw"].to_numpy()[rows], flows["p_to_mw"].to_numpy()[rows])
        )
    assert len(ours) == len(flows)
    np.testing.assert_allclose(ours, expected_flows, atol=2e-4)


@needs_cases
def test_reference_vectors_of_the_benchmark_with_generation():
    from pandapower.networks import create_cigre_network_mv

    admitted = admit(create_cigre_network_mv(with_der="pv_wind"), "cigre")
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    expected = {name: pd.read_parquet(CASES / "expected" / f"cigre_mv_der__{name}.parquet") for name in ("bus", "line", "trafo")}
    np.testing.assert_allclose(solved.vm_pu[0], expected["bus"]["vm_pu"], atol=1e-9)
    both = pd.concat([expected["line"]["loading_percent"], expected["trafo"]["loading_percent"]]).fillna(0.0)
    np.testing.assert_allclose(solved.loading_pct[0], both, atol=1e-6)


@needs_cases
@pytest.mark.parametrize(
    ("case", "code"),
    [("sb_mv_rural", "1-MV-rural--0-sw"), ("sb_lv_urban6", "1-LV-urban6--0-sw"), ("sb_mvlv_semiurb_5220", "1-MVLV-semiurb-5.220-0-sw")],
)
def test_reference_vectors_of_distribution_networks(case: str, code: str):
    import simbench

    admitted = admit(simbench.get_simbench_net(code), code)
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    expected = {name: pd.read_parquet(CASES / "expected" / f"{case}__{name}.parquet") for name in ("bus", "line", "trafo")}
    np.testing.assert_allclose(solved.vm_pu[0], expected["bus"]["vm_pu"], atol=2e-6)
    both = pd.concat([expected["line"]["loading_percent"], expected["trafo"]["loading_percent"]]).fillna(0.0)
    np.testing.assert_allclose(solved.loading_pct[0], both, atol=1e-3)


@needs_cases
def test_reference_vectors_of_the_low_voltage_benchmark():
    from pandapower.networks import create_cigre_network_lv

    admitted = admit(create_cigre_network_lv(), "cigre_lv")
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    np.testing.assert_allclose(solved.vm_pu[0], pd.read_parquet(CASES / "expected" / "cigre_lv__bus.parquet")["vm_pu"], atol=1e-7)


def test_a_year_in_chunks_is_the_same_as_at_once():
    admitted = load_network("cigre_mv")
    load_mw, load_mvar = nominal(admitted, np.linspace(0.1, 1.0, 11))
    whole, seen = solve_series(admitted, load_mw, load_mvar), []
    for part, chunk in solve_chunks(admitted, load_mw, load_mvar, 4):
        np.testing.assert_allclose(chunk.vm_pu, whole.vm_pu[part], atol=1e-11)
        np.testing.assert_allclose(chunk.losses_mw, whole.losses_mw[part], atol=1e-9)
        seen.append(part)
    assert [(one.start, one.stop) for one in seen] == [(0, 4), (4, 8), (8, 11)]


def test_where_the_fixed_point_gives_up_newton_goes_on_to_the_nose_of_the_curve():
    """R = 1 ohm at 10 kV: 2 V^2 = V0^2 at the most, 25 MW. The fixed point does not get there."""
    admitted = two_buses()
    loads = np.array([[0.0, mw] for mw in (1.0, 12.0, 20.0, 24.9, 25.1)])
    solved = solve_series(admitted, loads, np.zeros_like(loads))
    assert solved.method[[0, 1, 3, 4]].tolist() == [FIXED_POINT, FIXED_POINT, NEWTON, NONE]
    volts = 5 + np.sqrt(25 - loads[:4, 1])
    np.testing.assert_allclose(solved.vm_pu[:4, 1], volts / 10, atol=1e-7)
    assert "lightsim2grid" in engine(solved)
    assert solved.residual_max_mva[:4].max() < 1e-7


def test_a_sample_is_solved_again_by_another_solver_and_finds_a_difference():
    admitted = load_network("cigre_mv")
    load_mw, load_mvar = nominal(admitted, np.linspace(0.2, 1.0, 6))
    solved = solve_series(admitted, load_mw, load_mvar)
    proof = proved_by_sample(admitted, solved, load_mw, load_mvar, seed=3)
    assert len(proof.steps) == 2
    assert proof.largest_difference_pu < 1e-8
    assert proof == proved_by_sample(admitted, solved, load_mw, load_mvar, seed=3)
    other = proved_by_sample(admitted, solved, 1.2 * load_mw, load_mvar, seed=3)
    assert other.largest_difference_pu > 1e-4


@given(
    load_mw=st.lists(st.floats(-0.8, 0.8), min_size=5, max_size=5),
    load_mvar=st.lists(st.floats(-0.3, 0.3), min_size=5, max_size=5),
)
@settings(max_examples=8, deadline=None)
def test_energy_balances(load_mw: list[float], load_mvar: list[float]):
    """What the supply gives is what the loads draw and the lines lose, and lines never give."""
    solved = solve_series(admit(feeder(4), "row"), np.array([load_mw]), np.array([load_mvar]))
    assert solved.converged.all()
    assert solved.supply_mw[0] == pytest.approx(sum(load_mw) + solved.losses_mw[0], abs=1e-7)
    assert solved.losses_mw[0] >= -1e-9
    assert solved.residual_max_mva[0] < 1e-7


def test_without_load_nothing_flows_and_every_voltage_is_the_supplys():
    solved = solve_series(admit(feeder(4), "row"), np.zeros((1, 5)), np.zeros((1, 5)))
    np.testing.assert_allclose(solved.vm_pu, 1.0, atol=1e-10)
    np.testing.assert_allclose(solved.i_ka, 0.0, atol=1e-9)


def test_small_voltage_drops_add_up():
    """Drops are nearly linear in the load: those of two small loads together are the sum of each alone."""
    admitted = admit(feeder(4), "row")
    loads = np.zeros((3, 5))
    loads[0, 2] = loads[2, 2] = 1e-4
    loads[1, 4] = loads[2, 4] = 2e-4
    drops = 1 - solve_series(admitted, loads, 0.3 * loads).vm_pu
    np.testing.assert_allclose(drops[0] + drops[1], drops[2], rtol=1e-4, atol=1e-12)
    assert drops[2, 4] > 1e-6


def test_steps_do_not_depend_on_their_order():
    admitted = load_network("cigre_mv")
    load_mw, load_mvar = nominal(admitted, np.array([0.2, 0.9, 0.5]))
    forth, back = solve_series(admitted, load_mw, load_mvar), solve_series(admitted, load_mw[::-1], load_mvar[::-1])
    np.testing.assert_allclose(forth.vm_pu, back.vm_pu[::-1], atol=1e-9)


def test_a_step_without_a_solution_is_flagged_and_the_others_stand():
    admitted = load_network("cigre_mv")
    load_mw, load_mvar = nominal(admitted, np.array([0.5, 50.0, 0.5]))
    solved = solve_series(admitted, load_mw, load_mvar)
    assert list(solved.converged) == [True, False, True]
    assert np.isnan(solved.vm_pu[1]).all()
    assert np.isfinite(solved.vm_pu[[0, 2]]).all()
    np.testing.assert_allclose(solved.vm_pu[0], solved.vm_pu[2], atol=1e-9)
    (fault,) = solved.faults
    assert fault.startswith("step 1 did not converge")
    assert "kW given as MW" in fault


def test_load_without_a_supply_is_counted_and_not_solved():
    net = feeder(4)
    net.line.loc[2, "in_service"] = False
    solved = solve_series(admit(net, "cut"), np.full((2, 5), 0.1), np.zeros((2, 5)))
    assert solved.converged.all()
    np.testing.assert_allclose(solved.unserved_mw, 0.2)
    assert np.isnan(solved.vm_pu[:, 3:]).all()
    assert (solved.loading_pct[:, 2:] == 0).all()
    assert solved.residual_max_mva.max() < 1e-7


def test_the_residual_finds_a_wrong_solution(monkeypatch: pytest.MonkeyPatch):
    """The certificate is not taken from the solver: one that solves for other loads than were given is found out."""
    solve = BatchSolver.solve
    monkeypatch.setattr(BatchSolver, "solve", lambda self, injections: solve(self, 0.99 * injections))
    solved = solve_series(admit(feeder(3), "row"), np.full((1, 4), 0.5), np.zeros((1, 4)))
    assert solved.residual_max_mva[0] == pytest.approx(0.005, rel=1e-3)


def test_arrays_that_do_not_fit_are_refused():
    admitted = two_buses()
    with pytest.raises(FlowError, match="expected steps x 2 buses"):
        solve_series(admitted, np.zeros((1, 3)), np.zeros((1, 2)))
    with pytest.raises(FlowError, match="expected the same"):
        solve_series(admitted, np.zeros((1, 2)), np.zeros((2, 2)))
    with pytest.raises(FlowError, match=r"step 0, bus 'bus 1': nan"):
        solve_series(admitted, np.array([[0.0, np.nan]]), np.zeros((1, 2)))


def test_the_engine_is_named_with_its_version():
    assert "pandapower 3." in engine()
    solved = solve_series(two_buses(), np.zeros((1, 2)), np.zeros((1, 2)))
    assert engine(solved).startswith("fixed point over one factorisation (scipy 1.")


def test_a_step_without_a_solution_names_the_bus_where_it_breaks_down():
    """10 kV behind 1 ohm carry 25 MW at most, at 5 kV: of 30 MW 53 of 64 parts are the last that have a solution, V (10 - V) = 24.84."""
    (fault,) = solve_series(two_buses(), np.array([[0.0, 30.0]]), np.zeros((1, 2))).faults
    lowest = 5 + np.sqrt(25 - 30 * 53 / 64)
    assert (
        f"83% of it has a solution, with the lowest voltage at bus 'bus 1': {lowest / 10:.3f} p.u.; look for loads or generation in the wrong unit"
        in fault
    )
    many = solve_series(two_buses(), np.array([[0.0, 30.0]] * 5), np.zeros((5, 2))).faults
    assert ["has a solution" in said for said in many] == [True] * 3 + [False] * 2
    (hopeless,) = solve_series(two_buses(), np.array([[0.0, 5000.0]]), np.zeros((1, 2))).faults
    assert "not even 2% of it has a solution; most is asked for at bus 'bus 1'" in hopeless


@pytest.mark.parametrize("held", [False, True])
def test_loads_behind_a_closed_coupler_and_a_generator_that_holds_its_voltage_agree_with_runpp(held: bool):
    """Two buses that are one by a closed switch, loads at both; and the power of a generator beside the loads."""
    import pandapower as pp

    net = feeder(3)
    coupled = pp.create_bus(net, 10.0, name="coupled")
    pp.create_switch(net, 2, coupled, "b", closed=True)
    if held:
        pp.create_gen(net, 3, p_mw=0.4, vm_pu=1.01)
    admitted = admit(net, "coupled")
    load_mw = np.array([[0.0, 0.2, 0.3, 0.1, 0.5], [0.0, 0.1, 0.0, 0.3, 0.7]])
    solved = solve_series(admitted, load_mw, 0.3 * load_mw)
    assert (solved.method == (NEWTON if held else FIXED_POINT)).all()
    assert solved.residual_max_mva.max() < 1e-7  # a held bus's reactive power is nobody's mismatch
    for step in range(2):
        expected = copy.deepcopy(admitted.net)
        expected.load.drop(expected.load.index, inplace=True)
        pp.create_loads(expected, expected.bus.index, p_mw=load_mw[step], q_mvar=0.3 * load_mw[step])
        pp.runpp(expected, numba=False, tolerance_mva=1e-9)
        np.testing.assert_allclose(solved.vm_pu[step], expected.res_bus["vm_pu"], atol=1e-8)
        np.testing.assert_allclose(solved.p_mw[step], expected.res_line["p_from_mw"], atol=1e-7)
        assert solved.supply_mw[step] == pytest.approx(expected.res_ext_grid["p_mw"].sum(), abs=1e-7)


def test_a_sample_that_has_a_voltage_where_the_series_has_none_proves_nothing():
    admitted = load_network("cigre_mv")
    load = nominal(admitted, np.array([0.5]))
    solved = solve_series(admitted, *load)
    assert proved_by_sample(admitted, solved, *load, seed=0).largest_difference_pu < 1e-8
    blanked, turned = solved.voltage.copy(), solved.voltage * np.exp(0.01j)
    blanked[0, 3] = np.nan
    assert proved_by_sample(admitted, dataclasses.replace(solved, voltage=blanked), *load, seed=0).largest_difference_pu == np.inf
    assert proved_by_sample(admitted, dataclasses.replace(solved, voltage=turned), *load, seed=0).largest_difference_pu > 0.009


@pytest.mark.parametrize("joined", [False, True])
def test_where_only_the_supplys_own_bus_is_left_it_keeps_its_voltage_and_all_others_are_dark(joined: bool):
    import pandapower as pp

    net = feeder(3)
    net.line["in_service"] = False
    if joined:
        pp.create_switch(net, 0, 1, "b", closed=True)
    admitted = admit(net, "dark")
    load = np.array([[0.5, 0.2, 0.2, 0.3]])
    solved = solve_series(admitted, load, 0.0 * load)
    assert solved.converged.all()
    np.testing.assert_allclose(solved.vm_pu[0], [1.0, 1.0 if joined else np.nan, np.nan, np.nan])
    assert solved.unserved_mw[0] == pytest.approx(0.5 if joined else 0.7)
    assert solved.supply_mw[0] == pytest.approx(0.7 if joined else 0.5)
    assert (solved.loading_pct == 0).all()
    assert solved.residual_max_mva[0] == 0
    assert proved_by_sample(admitted, solved, load, 0.0 * load, 0).largest_difference_pu == 0


def test_generation_without_a_supply_does_not_make_up_for_load_there():
    extra = feeder(4)
    extra.line.loc[2, "in_service"] = False
    solved = solve_series(admit(extra, "island"), np.array([[0.0, 0.1, 0.1, 0.3, -0.5]]), np.zeros((1, 5)))
    assert solved.unserved_mw[0] == pytest.approx(0.3)


def test_where_too_much_is_fed_in_the_bus_whose_voltage_turns_most_is_told():
    weak = feeder(2, r_ohm=2.0, x_ohm=6.0)
    solved = solve_series(admit(weak, "weak"), np.array([[0.0, 0.0, -40.0]]), np.zeros((1, 3)))
    assert solved.method.tolist() == [NONE]
    assert "with the voltage farthest from that without load at bus 'bus 2'" in solved.faults[0]
    assert "loads or generation in the wrong unit" in solved.faults[0]
