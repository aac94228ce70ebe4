"""Flow by phase against another engine's vectors, the balanced engine, and the laws it must keep."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError
from grid_assets.powerflow.phase_model import admit_by_phase, phase_network
from grid_assets.powerflow.time_series import solve_series
from grid_assets.powerflow.unbalanced import proved_by_sample, reference_voltages, solve_unbalanced
from grid_assets_tests.conftest import SHARED

CASES = SHARED / "testcases" / "powerflow"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared power-flow cases are absent; set GRID_ASSETS_SHARED")


def street(group: str = "Dyn5", shift: float = 150.0, iron: float = 0.0, short_circuit_mva: float | None = None, houses: int = 4) -> Any:
    """A pandapower net: a 10 kV supply, a transformer, a row of houses at 0.4 kV."""
    import pandapower as pp

    net = pp.create_empty_network()
    upper, lower = pp.create_bus(net, 10.0, name="upper"), pp.create_bus(net, 0.4, name="lower")
    supply = {"s_sc_max_mva": short_circuit_mva, "rx_max": 0.1, "x0x_max": 1.0, "r0x0_max": 0.1} if short_circuit_mva else {}
    pp.create_ext_grid(net, upper, vm_pu=1.02, **supply)
    pp.create_transformer_from_parameters(
        net, upper, lower, sn_mva=0.4, vn_hv_kv=10.0, vn_lv_kv=0.4, vk_percent=4.0, vkr_percent=1.2, pfe_kw=iron, i0_percent=iron / 4,
        shift_degree=shift, vector_group=group, vk0_percent=4.0, vkr0_percent=1.2, mag0_percent=100.0, mag0_rx=0.0, si0_hv_partial=0.9,
        tap_side="hv", tap_pos=-1, tap_neutral=0, tap_step_percent=2.5, tap_changer_type="Ratio", name="station",
    )  # fmt: skip
    last = lower
    for n in range(houses):
        bus = pp.create_bus(net, 0.4, name=f"house {n + 1}")
        pp.create_line_from_parameters(
            net, last, bus, 0.08, 0.32, 0.08, 250.0, 0.25, r0_ohm_per_km=1.28, x0_ohm_per_km=0.3, c0_nf_per_km=100.0, name=f"cable {n + 1}"
        )
        last = bus
    return net


def single_phase(buses: int, steps: int = 3, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """MW and Mvar of houses [steps, buses, 3], none at the first two buses."""
    p = np.random.default_rng(seed).uniform(-0.004, 0.012, (steps, buses, 3))
    p[:, :2] = 0
    return p, 0.3 * p


@needs_cases
def test_the_european_low_voltage_feeder_has_the_voltages_of_opendss():
    from pandapower.networks import ieee_european_lv_asymmetric

    net = ieee_european_lv_asymmetric("on_peak_566")
    net.ext_grid["s_sc_max_mva"] = 57.16
    admitted = admit_by_phase(net, "European low-voltage test feeder")
    buses = {name.lower(): row for row, name in enumerate(admitted.net.bus["name"])}
    p, q = np.zeros((2, 1, len(buses), 3))
    for load in pd.read_parquet(CASES / "inputs" / "opendss" / "eulv_min566_loads.parquet").itertuples():
        p[0, buses[load.bus], load.phase - 1] += load.p_kw / 1e3
        q[0, buses[load.bus], load.phase - 1] += load.q_kvar / 1e3
    solved = solve_unbalanced(admitted, p, q)
    expected = pd.read_parquet(CASES / "expected" / "eulv_min566__node.parquet")
    place = expected["node"].str.split(".", expand=True)
    found = solved.vm_pu[0, place[0].map(buses), place[1].astype(int) - 1]
    np.testing.assert_allclose(found, expected["vm_pu"], atol=3e-4)
    case = next(one for one in json.loads((CASES / "index_unbalanced.json").read_text()) if one["name"] == "eulv_min566")
    assert 1e3 * solved.losses_mw[0] == pytest.approx(case["losses_kw"], rel=1e-2)
    assert 1e3 * solved.supply_mw[0].sum() == pytest.approx(case["source_p_kw"], rel=1e-3)
    assert solved.residual_max_mva[0] < 1e-9
    proof = proved_by_sample(admitted, solved, p, q, seed=1)
    assert proof.steps == (0,)
    assert proof.unsolved == ()
    assert proof.largest_difference_pu < 2e-3


@needs_cases
def test_the_balanced_four_bus_feeder_has_the_voltages_of_opendss():
    """Its lines are not transposed; with the mean of their phases the mean voltage must still be right."""
    import pandapower as pp

    case = json.loads((CASES / "inputs" / "opendss" / "ieee4_yy_bal.json").read_text())
    net, kv = pp.create_empty_network(f_hz=60), {"sourcebus": 12.47, "n2": 12.47, "n3": 4.16, "n4": 4.16}
    buses = {name: pp.create_bus(net, volts, name=name) for name, volts in kv.items()}
    r, x = case["vsource"][0]["zsc1_ohm"]
    pp.create_ext_grid(net, buses["sourcebus"], s_sc_max_mva=12.47**2 / np.hypot(r, x), rx_max=r / x, x0x_max=1.0, r0x0_max=r / x)
    for line in case["line"]:
        z = np.array(line["rmatrix"]) + 1j * np.array(line["xmatrix"])
        own, mutual = np.trace(z) / 3, (z.sum() - np.trace(z)) / 6
        zero, one = own + 2 * mutual, own - mutual
        pp.create_line_from_parameters(
            net, buses[line["bus1"]], buses[line["bus2"]], line["length"], one.real, one.imag, 0.0, 0.53, r0_ohm_per_km=zero.real,
            x0_ohm_per_km=zero.imag, c0_nf_per_km=0.0, name=line["name"],
        )  # fmt: skip
    pp.create_transformer_from_parameters(
        net, buses["n2"], buses["n3"], 6.0, 12.47, 4.16, 1.0, np.hypot(1, 6), 0.0, 0.0, vector_group="YNyn0", name="t1"
    )
    admitted = admit_by_phase(net, "4 bus")
    p = np.zeros((1, 4, 3))
    p[0, 3] = 5.4 / 3
    solved = solve_unbalanced(admitted, p, p * np.tan(np.arccos(0.9)))
    expected = pd.read_parquet(CASES / "expected" / "ieee4_yy_bal__node.parquet")
    mean = expected.groupby(expected["node"].str.split(".").str[0].str.lower())["vm_pu"].mean()
    np.testing.assert_allclose(solved.vm_pu[0].mean(axis=1), mean[list(admitted.net.bus["name"])], atol=1e-3)
    assert 1e3 * solved.losses_mw[0] == pytest.approx(569.2, rel=1e-2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([("Dyn5", 150.0), ("YNyn0", 0.0), ("Dyn11", -30.0), ("YNyn6", 180.0)]))
def test_a_balanced_load_gives_the_voltages_of_the_balanced_engine(seed: int, kind: tuple[str, float]):
    admitted = admit_by_phase(street(*kind), "street")
    rng = np.random.default_rng(seed)
    p = rng.uniform(-0.02, 0.04, (2, 6))
    q = rng.uniform(-0.01, 0.02, (2, 6))
    one, by_phase = solve_series(admitted, p, q), solve_unbalanced(admitted, *(np.repeat(v[:, :, None] / 3, 3, axis=2) for v in (p, q)))
    np.testing.assert_allclose(by_phase.vm_pu, np.repeat(one.vm_pu[:, :, None], 3, axis=2), atol=1e-8)
    turn = (by_phase.va_degree[:, :, 0] - one.va_degree + 180) % 360 - 180
    np.testing.assert_allclose(turn, 0, atol=1e-5)
    np.testing.assert_allclose(by_phase.losses_mw, one.losses_mw, atol=1e-8)
    np.testing.assert_allclose(by_phase.i_ka[:, :4, 0], one.i_ka[:, :4], atol=1e-7)
    np.testing.assert_allclose(by_phase.loading_pct[:, :4], one.loading_pct[:, :4], atol=1e-4)
    assert by_phase.unbalance_pct.max() < 1e-6
    assert by_phase.neutral_ka.max() < 1e-7


@pytest.mark.parametrize(
    ("group", "shift"), [("Dyn5", 150.0), ("Dyn1", 30.0), ("Dyn11", -30.0), ("YNyn0", 0.0), ("YNyn6", 180.0), ("Dyn", 210.0)]
)  # fmt: skip
@pytest.mark.parametrize("iron", [0.0, 0.8])
def test_every_step_keeps_kirchhoffs_laws(group: str, shift: float, iron: float):
    admitted = admit_by_phase(street(group, shift, iron, short_circuit_mva=80.0), "street")
    p, q = single_phase(6)
    solved = solve_unbalanced(admitted, p, q)
    assert solved.converged.all(), solved.faults
    assert solved.residual_max_mva.max() < 1e-9
    assert solved.unbalance_pct.max() > 0.01
    assert solved.neutral_ka.max() > 0.001


def test_the_residual_finds_a_wrong_voltage():
    from grid_assets.powerflow.unbalanced import _residual

    admitted = admit_by_phase(street(), "street")
    network = phase_network(admitted)
    p, q = single_phase(6, 1)
    solved = solve_unbalanced(admitted, p, q)
    voltage = np.zeros((1, len(network.volt), 3), complex)
    voltage[:, network.node] = solved.vm_pu * np.exp(1j * np.radians(solved.va_degree)) * (network.volt[network.node] / np.sqrt(3))[:, None]
    assert _residual(network, (p + 1j * q) * 1e6, voltage)[0] < 1e-8
    voltage[0, network.node[3], 1] *= 1.001
    assert _residual(network, (p + 1j * q) * 1e6, voltage)[0] > 1e-4


def test_one_phase_by_hand():
    """A single-phase load of 6 kW behind a cable and its own neutral: V^2 - V0 V + P R = 0 with R of both ways, ideal supply without transformer."""
    import pandapower as pp

    net = pp.create_empty_network()
    source, end = pp.create_bus(net, 0.4, name="source"), pp.create_bus(net, 0.4, name="end")
    pp.create_ext_grid(net, source)
    pp.create_line_from_parameters(net, source, end, 1.0, 0.1, 1e-9, 0.0, 0.2, r0_ohm_per_km=0.4, x0_ohm_per_km=1e-9, c0_nf_per_km=0.0)
    p = np.zeros((1, 2, 3))
    p[0, 1, 1] = 0.006
    solved = solve_unbalanced(admit_by_phase(net, "one"), p, 0 * p)
    volts, ohm = 400 / np.sqrt(3), (2 * 0.1 + 0.4) / 3
    expected = volts / 2 + np.sqrt(volts**2 / 4 - 6000 * ohm)
    assert solved.vm_pu[0, 1, 1] == pytest.approx(expected / volts, abs=1e-9)
    assert solved.i_ka[0, 0] == pytest.approx([0, 6 / expected, 0], abs=1e-9)
    assert solved.neutral_ka[0, 0] == pytest.approx(6 / expected, abs=1e-9)
    assert solved.loading_pct[0, 0] == pytest.approx(100 * 6 / expected / 0.2, abs=1e-6)
    assert solved.losses_mw[0] == pytest.approx((6000 / expected) ** 2 * ohm / 1e6, abs=1e-12)
    phasors = solved.vm_pu[0, 1] * np.exp(1j * np.radians(solved.va_degree[0, 1]))
    turn = np.exp(2j * np.pi / 3)
    negative, positive = abs(phasors @ [1, turn**2, turn]), abs(phasors @ [1, turn, turn**2])
    assert solved.unbalance_pct[0, 1] == pytest.approx(100 * negative / positive, abs=1e-9)


def test_open_ends_joined_buses_and_islands():
    import pandapower as pp

    net = street()
    pp.create_switch(net, 3, 2, et="l", closed=False)  # cable 3 begins at house 2 (bus 3)
    annex = pp.create_bus(net, 0.4, name="annex")
    pp.create_switch(net, 3, annex, et="b", closed=True)
    admitted = admit_by_phase(net, "street")
    p, q = np.zeros((2, 1, 7, 3))
    p[0, 6, 0], p[0, 5, 1] = 0.01, 0.005
    solved = solve_unbalanced(admitted, p, q)
    assert solved.converged.all()
    assert solved.residual_max_mva[0] < 1e-9
    assert np.isnan(solved.vm_pu[0, 4:6]).all()
    np.testing.assert_array_equal(solved.vm_pu[0, 3], solved.vm_pu[0, 6])
    assert solved.unserved_mw[0] == pytest.approx(0.005)
    assert solved.losses_mw[0] > 0
    assert (solved.i_ka[0, 2:4] == 0).all()
    dangling = street()
    pp.create_switch(dangling, 5, 3, et="l", closed=False)  # the last cable's far end: charged from one side
    solved = solve_unbalanced(admit_by_phase(dangling, "street"), *single_phase(5 + 1, 1) * np.array([1, 1, 1, 1, 1, 0])[:, None])
    assert solved.residual_max_mva[0] < 1e-9
    assert np.isfinite(solved.vm_pu[0, :5]).all()


def test_a_step_without_a_solution_is_said_and_spares_the_others():
    admitted = admit_by_phase(street(), "street")
    p, q = single_phase(6)
    p[1] *= 200
    solved = solve_unbalanced(admitted, p, q)
    assert solved.converged.tolist() == [True, False, True]
    assert np.isnan(solved.vm_pu[1]).all()
    assert np.isnan(solved.residual_max_mva[1])
    assert solved.faults[0].startswith("step 1 has no solution with")
    alone = solve_unbalanced(admitted, p[[0, 2]], q[[0, 2]])
    np.testing.assert_allclose(solved.vm_pu[[0, 2]], alone.vm_pu, atol=1e-12)


def test_a_sample_agrees_with_pandapower_and_finds_a_difference():
    admitted = admit_by_phase(street(short_circuit_mva=80.0), "street")
    p, q = single_phase(6, 4)
    solved = solve_unbalanced(admitted, p, q)
    proof = proved_by_sample(admitted, solved, p, q, seed=3)
    assert len(proof.steps) == 2
    assert proof.largest_difference_pu < 2e-3
    assert proved_by_sample(admitted, solved, 3 * p, 3 * q, seed=3).largest_difference_pu > 5e-3
    assert reference_voltages(admitted, 1000 * p[0], q[0]) is None or not np.isfinite(reference_voltages(admitted, 1000 * p[0], q[0])).all()


def refused(change: Any, expected: str) -> None:
    net = street()
    change(net)
    with pytest.raises(NetworkError, match=expected):
        phase_network(admit_by_phase(net, "street"))


def test_what_phases_need_and_is_missing_is_named():
    import pandapower as pp

    refused(
        lambda net: net.line.drop(columns="r0_ohm_per_km", inplace=True),
        r"line 'cable 1': r0_ohm_per_km is missing .*\(4 such lines\).*OpenDSS",
    )
    refused(lambda net: net.line.__setitem__("x0_ohm_per_km", [0.1, 0.1, np.nan, 0.1]), r"line 'cable 3': x0_ohm_per_km")
    refused(lambda net: net.trafo.__setitem__("vector_group", None), "trafo 'station': vector_group = None; expected Dyn or YNyn")
    refused(lambda net: net.trafo.__setitem__("vector_group", "Yzn5"), "trafo 'station': vector_group = 'Yzn5'; expected Dyn or YNyn")
    refused(lambda net: net.trafo.__setitem__("vector_group", "YNd5"), "vector_group = 'YNd5'; expected Dyn or YNyn")
    refused(lambda net: net.trafo.__setitem__("vector_group", "Dyn11"), "'Dyn11' and shift_degree = 150 do not agree")
    refused(lambda net: net.trafo.__setitem__("vk0_percent", 3.0), "vk0_percent = 3 differs")
    refused(lambda net: net.trafo.__setitem__("tap_changer_type", "Ideal"), "off-neutral tap that turns the phase")
    refused(lambda net: pp.create_gen(net, 1, 0.1), "1 elements in table 'gen'")
    refused(lambda net: pp.create_asymmetric_load(net, 3, p_a_mw=0.01, type="delta"), "asymmetric_load number 0: type = 'delta'")
    refused(lambda net: (pp.create_asymmetric_load(net, 3), net.asymmetric_load.__setitem__("type", None)), "type = None; expected 'wye'")
    refused(
        lambda net: (pp.create_asymmetric_load(net, 3), net.asymmetric_load.__setitem__("p_b_mw", np.nan)), "powers of phases are missing"
    )


def test_asymmetric_loads_are_allowed_here_and_the_net_is_not_touched():
    import pandapower as pp

    net = street()
    pp.create_asymmetric_load(net, 3, p_a_mw=0.01, type="wye")
    before = copy.deepcopy({table: net[table] for table in ("bus", "line", "trafo", "asymmetric_load")})
    admitted = admit_by_phase(net, "street")
    assert isinstance(admitted, AdmittedNetwork)
    assert len(admitted.net.asymmetric_load) == 1
    for table, frame in before.items():
        pd.testing.assert_frame_equal(net[table], frame)
    assert "taken as ideal" in admitted.repairs[-1]


@pytest.mark.parametrize(
    ("p", "q", "reason"),
    [
        (np.zeros((1, 6)), np.zeros((1, 6)), r"load_mw has shape \(1, 6\); expected steps x 6 buses x 3 phases"),
        (np.zeros((1, 6, 3)), np.zeros((2, 6, 3)), "expected the same"),
        (np.zeros((0, 6, 3)), np.zeros((0, 6, 3)), "no steps"),
        (np.full((1, 6, 3), np.nan), np.zeros((1, 6, 3)), "load_mw, step 0, bus 'upper', phase a: nan is not a finite number"),
    ],
)
def test_loads_of_another_shape_are_refused(p: np.ndarray, q: np.ndarray, reason: str):
    with pytest.raises(FlowError, match=reason):
        solve_unbalanced(admit_by_phase(street(), "street"), p, q)
