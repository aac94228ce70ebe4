"""The import gate: what it repairs, what it refuses, and that it says so."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from grid_assets.powerflow.gate import NetworkError, admit
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.time_series import proved_by_sample, solve_series
from grid_assets.powerflow.topology import hash_of
from grid_assets_tests.powerflow.made import feeder


def said(admitted) -> str:
    return "; ".join(admitted.repairs)


def test_a_sound_network_needs_no_repair_and_is_not_touched():
    net = feeder(3)
    admitted = admit(net, "here")
    assert admitted.repairs == ()
    admitted.net.load["p_mw"] = 99.0
    assert net.load["p_mw"].eq(0.2).all()


def test_a_tap_without_a_changer_type_counts_again(semiurban):
    """pandapower from 3 on ignores such a tap in silence; the voltage must move once the gate has passed the network."""
    import pandapower as pp

    net = copy.deepcopy(semiurban)
    net.trafo["tap_pos"] = [4.0, 4.0, 2.0]
    ignored = copy.deepcopy(net)
    pp.runpp(ignored, numba=False)
    admitted = admit(net, "simbench")
    assert admitted.net.trafo["tap_changer_type"].eq("Ratio").all()
    assert "HV1-MV2.101-Trafo1" in said(admitted)
    assert "off neutral" in said(admitted)
    pp.runpp(admitted.net, numba=False)
    moved = admitted.net.res_bus["vm_pu"] - ignored.res_bus["vm_pu"]
    assert moved.loc[2] < -0.03


def test_vector_groups_follow_the_phase_shift(semiurban):
    net = copy.deepcopy(semiurban)
    net.trafo["vector_group"] = None
    admitted = admit(net, "simbench")
    assert list(admitted.net.trafo["vector_group"]) == ["YNd5", "YNd5", "Dyn5"]
    assert "vector group" in said(admitted)


def test_names_are_made_unique_in_the_order_of_the_table():
    net = feeder(4)
    net.bus["name"] = ["source", "a", "a", None, "a (2)"]
    net.line["name"] = ["x", "x", " ", "x"]
    first, second = admit(net, "here"), admit(net, "here")
    assert list(first.net.bus["name"]) == ["source", "a", "a (3)", "bus 3", "a (2)"]
    assert list(first.net.line["name"]) == ["x", "x (2)", "line 2", "x (3)"]
    assert list(first.net.bus["name"]) == list(second.net.bus["name"])
    assert "shared a name" in said(first)
    assert "had no name" in said(first)


def test_a_transformer_never_shares_a_name_with_a_line(semiurban):
    net = copy.deepcopy(semiurban)
    net.trafo["name"] = "MV2.101 Line 1"
    admitted = admit(net, "simbench")
    both = [*admitted.net.line["name"], *admitted.net.trafo["name"]]
    assert len(both) == len(set(both))


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("line", "max_i_ka", np.nan, "line 'line 2': max_i_ka"),
        ("line", "max_i_ka", 0.0, "line 'line 2': max_i_ka"),
        ("line", "length_km", -1.0, "line 'line 2': length_km"),
        ("line", "from_bus", 77, "from_bus = 77 is not in the bus table"),
        ("load", "bus", 77, "load number 1: bus = 77"),
    ],
)
def test_what_cannot_be_repaired_is_refused_by_name(table: str, column: str, value: float, expected: str):
    net = feeder(3)
    net[table].loc[1, column] = value
    with pytest.raises(NetworkError, match=expected):
        admit(net, "here")


def test_lines_without_impedance_are_refused():
    net = feeder(3)
    net.line.loc[2, ["r_ohm_per_km", "x_ohm_per_km"]] = 0.0
    with pytest.raises(NetworkError, match="line 'line 3': no impedance"):
        admit(net, "here")


@pytest.mark.parametrize("column", ["sn_mva", "vk_percent", "vn_lv_kv"])
def test_transformers_without_ratings_are_refused(semiurban, column: str):
    net = copy.deepcopy(semiurban)
    net.trafo.loc[2, column] = 0.0
    with pytest.raises(NetworkError, match=rf"MV2.101-LV5.220-Trafo 1.*{column}"):
        admit(net, "simbench")


def test_a_transformer_with_more_resistance_than_impedance_is_refused(semiurban):
    net = copy.deepcopy(semiurban)
    net.trafo.loc[1, "vkr_percent"] = 99.0
    with pytest.raises(NetworkError, match="vkr_percent is larger"):
        admit(net, "simbench")


def test_a_missing_rating_comes_from_the_standard_type(semiurban):
    net = copy.deepcopy(semiurban)
    kind = net.line["std_type"].iloc[0]
    net.std_types["line"][kind] = {"max_i_ka": 0.123}
    net.line.loc[net.line.index[0], "max_i_ka"] = np.nan
    admitted = admit(net, "simbench")
    assert admitted.net.line["max_i_ka"].iloc[0] == 0.123
    assert "MV2.101 Line 1" in said(admitted)


def test_loads_without_a_supply_are_taken_out():
    net = feeder(3)
    net.line.loc[2, "in_service"] = False
    admitted = admit(net, "here")
    assert list(admitted.net.load["in_service"]) == [True, True, False]
    assert "bus 3" in said(admitted)


def test_a_network_without_supply_or_with_unknown_elements_is_refused():
    import pandapower as pp

    dark = feeder(2)
    dark.ext_grid["in_service"] = False
    with pytest.raises(NetworkError, match="no supply in service"):
        admit(dark, "here")
    odd = feeder(2)
    pp.create_ward(odd, 1, 0.1, 0.1, 0.1, 0.1)
    with pytest.raises(NetworkError, match="'ward'"):
        admit(odd, "here")
    with pytest.raises(NetworkError, match="no buses"):
        admit(pp.create_empty_network(), "here")


def test_networks_are_read_from_files(tmp_path: Path):
    import pandapower as pp

    file = tmp_path / "network.json"
    pp.to_json(feeder(3), str(file))
    admitted = load_network("file", file)
    assert list(admitted.net.bus["name"]) == ["source", "bus 1", "bus 2", "bus 3"]
    assert admitted.source == "network.json"
    for broken in ("[", '{"not": "a network"}'):
        file.write_text(broken)
        with pytest.raises(NetworkError, match="not a readable pandapower JSON"):
            load_network("file", file)
    with pytest.raises(NetworkError, match="does not exist"):
        load_network("file", tmp_path / "nowhere.json")
    with pytest.raises(NetworkError, match="unknown network source"):
        load_network("dream")


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("line", "length_km", 900.0, "line 'line 2': its voltage would drop by 1559 % of nominal"),
        ("line", "x_ohm_per_km", -0.3, "line 'line 2': r_ohm_per_km = 0.4, x_ohm_per_km = -0.3; expected none below 0"),
        ("load", "p_mw", 200.0, r"load number 1: 200 MVA at bus 'bus 2', where all lines and transformers together carry 6.93 MVA.*kW given as MW"),
    ],
)  # fmt: skip
def test_figures_that_cannot_be_true_are_refused(table: str, column: str, value: float, expected: str):
    net = feeder(3)
    net[table].loc[1, column] = value
    with pytest.raises(NetworkError, match=expected):
        admit(net, "here")


def test_an_absurd_short_circuit_voltage_is_refused_and_a_tiny_one_said(semiurban):
    net = copy.deepcopy(semiurban)
    net.trafo.loc[2, "vk_percent"] = 600.0
    with pytest.raises(NetworkError, match=r"MV2.101-LV5.220-Trafo 1.*vk_percent = 600; expected a short-circuit voltage up to 50 %"):
        admit(net, "simbench")
    net.trafo.loc[2, ["vk_percent", "vkr_percent"]] = 0.06, 0.01
    assert "1 transformers have a vk_percent below 0.5" in said(admit(net, "simbench"))


def test_doubtful_figures_are_said_and_not_changed():
    net = feeder(3)
    net.line.loc[1, "length_km"] = 40.0
    net.load.loc[2, ["p_mw", "q_mvar"]] = 0.01, 0.5
    admitted = admit(net, "here")
    assert "1 lines would drop more than 50 % of nominal voltage at their rated current (not changed): line 2" in said(admitted)
    assert "1 loads have more than 3 times as much reactive as active power" in said(admitted)
    assert admitted.net.line["length_km"][1] == 40.0
    assert admitted.net.load["q_mvar"][2] == 0.5


def test_equivalents_of_transmission_studies_are_said_and_not_refused():
    net = feeder(3)
    net.bus["vn_kv"] = 110.0
    net.line.loc[1, "x_ohm_per_km"] = -0.3
    assert "negative resistance or reactance" in said(admit(net, "here"))


def test_ratings_that_stand_for_none_are_not_judged():
    net = feeder(3)
    net.line["max_i_ka"] = 99999.0
    assert admit(net, "here").repairs == ()


def test_a_load_behind_a_closed_coupler_counts_the_lines_of_its_whole_busbar():
    import pandapower as pp

    net = feeder(3)
    section = pp.create_bus(net, 10.0, name="section")
    pp.create_switch(net, 1, section, et="b", closed=True)
    pp.create_load(net, section, 5.0)
    assert admit(net, "here").repairs == ()


def test_loads_without_a_connection_type_are_taken_as_star():
    net = feeder(3)
    net.load["type"] = [None, "delta", "wye"]
    admitted = admit(net, "here")
    assert list(admitted.net.load["type"]) == ["wye", "delta", "wye"]
    assert "1 loads had no connection type" in said(admitted)


def test_islands_are_named():
    net = feeder(3)
    net.line.loc[1, "in_service"] = False
    assert "2 buses are islands, which no supply reaches: bus 2, bus 3" in said(admit(net, "here"))


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("line", "df", 0.0, "line 1.*df = 0.0; expected a number above 0"),
        ("line", "df", np.nan, "df = nan"),
        ("line", "parallel", 0, "parallel = 0"),
        ("line", "c_nf_per_km", np.nan, "c_nf_per_km = nan; expected a number"),
        ("bus", "vn_kv", -10.0, "vn_kv = -10.0"),
        ("ext_grid", "vm_pu", np.nan, "vm_pu = nan"),
        ("gen", "vm_pu", np.nan, "vm_pu = nan"),
        ("gen", "p_mw", np.nan, "p_mw = nan"),
        ("gen", "bus", 0, "bus 'source' is held at two voltages"),
        ("gen", "slack", True, "slack = True; expected supplies in ext_grid"),
        ("switch", "z_ohm", 0.5, "z_ohm = 0.5"),
    ],
)
def test_figures_that_would_fail_later_without_a_name_are_refused(table: str, column: str, value: object, said: str):
    import pandapower as pp

    net = feeder(3)
    pp.create_gen(net, 3, p_mw=0.1, vm_pu=1.02)
    pp.create_switch(net, 2, pp.create_bus(net, 10.0, name="coupled"), "b", closed=True)
    admit(net, "sound")
    net[table][column] = value
    with pytest.raises(NetworkError, match=said):
        admit(net, "unsound")


def test_a_tap_position_out_of_range_or_without_a_step_is_refused(semiurban):
    beyond, stepless = copy.deepcopy(semiurban), copy.deepcopy(semiurban)
    beyond.trafo.loc[2, "tap_pos"] = 3
    with pytest.raises(NetworkError, match=r"MV2.101-LV5.220-Trafo 1': tap_pos = 3; expected -2 to 2"):
        admit(beyond, "simbench")
    beyond.trafo.loc[2, "tap_pos"] = -3
    with pytest.raises(NetworkError, match="tap_pos = -3; expected -2 to 2"):
        admit(beyond, "simbench")
    stepless.trafo.loc[2, "tap_pos"] = 1
    stepless.trafo.loc[2, ["tap_step_percent", "tap_step_degree"]] = np.nan
    with pytest.raises(NetworkError, match="tap_pos = 1 is off neutral, and neither tap_step_percent nor tap_step_degree"):
        admit(stepless, "simbench")
    stepless.trafo.loc[2, "tap_pos"] = 0
    assert admit(stepless, "simbench")


def test_a_line_of_almost_no_impedance_is_refused_and_a_short_one_is_not():
    """At 10 kV a voltage's last digit is 2.2e-14 MVA over 1 ohm: 2e-8 MVA are reached at 1.1e-6 ohm. pandapower solves the one and not the other."""
    net = feeder(2)
    net.line.loc[1, ["r_ohm_per_km", "x_ohm_per_km"]] = 3e-7, 3e-7
    with pytest.raises(NetworkError, match=r"line 'line 2': an impedance so small that rounding alone leaves a mismatch of 5\.2e-08 MVA"):
        admit(net, "bar")
    net.line.loc[1, ["r_ohm_per_km", "x_ohm_per_km"]] = 1e-6, 1e-6
    admitted = admit(net, "bar")
    load = np.array([[0.0, 0.2, 0.3]])
    solved = solve_series(admitted, load, 0.2 * load)
    assert proved_by_sample(admitted, solved, load, 0.2 * load, 0).largest_difference_pu < 1e-8


def test_limits_of_reactive_power_that_no_study_keeps_are_said():
    import pandapower as pp

    net = feeder(2)
    pp.create_gen(net, 2, p_mw=0.1, vm_pu=1.0, name="plant", min_q_mvar=-0.1, max_q_mvar=0.1)
    assert "1 generators have limits of their reactive power, which no study keeps: gen 'plant'" in said(admit(net, "held"))
    net.gen[["min_q_mvar", "max_q_mvar"]] = np.nan
    assert "reactive power" not in said(admit(net, "held"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tap_side": None}, "tap_pos = 2 is off neutral, and tap_side = None; expected hv or lv"),
        ({"tap_changer_type": "ratio"}, "tap_changer_type = 'ratio'; expected one of Ratio, Symmetrical, Ideal"),
        ({"tap_changer_type": "Tabular"}, "its changer is Tabular without rows in trafo_characteristic_table"),
        ({"tap_step_percent": 0.0}, "neither tap_step_percent nor tap_step_degree says what a step does"),
        ({"tap_pos": 50, "tap_min": np.nan, "tap_max": np.nan}, "changes the ratio by 125 %; expected at most 40"),
        ({"tap_pos": 0, "tap2_side": None, "tap2_pos": 1, "tap2_neutral": 0}, "tap2_pos = 1 is off neutral, and tap2_side = None"),
    ],
)
def test_a_tap_off_neutral_that_would_count_for_nothing_is_refused(changes: dict, expected: str):
    """pandapower takes each of these as neutral, in silence."""
    import pandapower as pp

    net = feeder(1)
    low = pp.create_bus(net, 0.4, name="low")
    pp.create_transformer(net, 1, low, "0.63 MVA 10/0.4 kV", name="T", tap_pos=2)
    for name in changes:
        net.trafo[name] = net.trafo[name].astype(object) if name in net.trafo else None
    for name, value in changes.items():
        net.trafo.loc[0, name] = value
    with pytest.raises(NetworkError, match=expected):
        admit(net, "made")


def test_second_taps_get_a_type_too_and_count():
    import pandapower as pp

    net = feeder(1)
    low = pp.create_bus(net, 0.4, name="low")
    pp.create_transformer(net, 1, low, "0.63 MVA 10/0.4 kV", name="T")
    plain = admit(net, "plain")
    for name, value in {
        "tap2_side": "hv",
        "tap2_pos": 2,
        "tap2_neutral": 0,
        "tap2_step_percent": 2.5,
        "tap2_step_degree": 0.0,
        "tap2_changer_type": None,
    }.items():
        net.trafo[name] = value
    admitted = admit(net, "two taps")
    assert "1 transformers had second taps but no tap changer type and got Ratio" in said(admitted)
    assert hash_of(admitted.net) != hash_of(plain.net)
    load = np.array([[0.0, 0.0, 0.1]])
    without, tapped = (solve_series(one, load, 0.1 * load).vm_pu[0, 2] for one in (plain, admitted))
    assert without / tapped == pytest.approx(1.05, abs=0.002)


def test_small_impedances_count_in_parallel_and_only_in_service():
    import pandapower as pp

    net = feeder(2)
    net.line.loc[1, ["r_ohm_per_km", "x_ohm_per_km"]] = 2e-6, 2e-6
    net.line["parallel"] = [1, 10]
    with pytest.raises(NetworkError, match="line 'line 2': an impedance so small"):
        admit(net, "bar")
    net.line["in_service"] = [True, False]
    assert admit(net, "open bar")
    net = feeder(2)
    pp.create_impedance(net, 1, 2, 1e-14, 1e-14, 1.0, name="coupler")
    with pytest.raises(NetworkError, match="impedance 'coupler': an impedance so small"):
        admit(net, "coupled")
