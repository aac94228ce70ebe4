"""Feeders, paths, what hangs behind a branch, the hash, coordinates."""

from __future__ import annotations

import copy

import pytest

from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.topology import buses_behind, hash_of, topology_of, upstream_path
from grid_assets_tests.powerflow.made import feeder


def test_the_benchmark_has_two_feeders_and_three_open_switches():
    topology = topology_of(load_network("cigre_mv"))
    feeders = topology.buses.set_index("bus_id")["feeder_id"]
    assert feeders[["Bus 0", "Bus 1", "Bus 12"]].isna().all()
    assert set(feeders[feeders == "Line 1-2"].index) == {f"Bus {n}" for n in range(2, 12)}
    assert set(feeders[feeders == "Line 12-13"].index) == {"Bus 13", "Bus 14"}
    assert sorted(topology.open_switches["element"]) == ["Line 11-4", "Line 14-8", "Line 6-7"]
    assert topology.islands == 0
    assert upstream_path(topology, "Bus 5") == ["Line 4-5", "Line 3-4", "Line 2-3", "Line 1-2", "Trafo 0-1"]
    assert upstream_path(topology, "Bus 0") == []
    assert buses_behind(topology, "Line 8-9") == {"Bus 9", "Bus 10", "Bus 11"}
    assert buses_behind(topology, "Line 6-7") == set()
    assert buses_behind(topology, "Trafo 0-12") == {"Bus 12", "Bus 13", "Bus 14"}


def test_a_closed_ring_is_one_feeder_and_no_line_of_it_cuts_anyone_off():
    import pandapower as pp

    net = feeder(3)
    pp.create_line_from_parameters(net, 0, 3, 1.0, 0.4, 0.3, 0.0, 0.2, name="back")
    topology = topology_of(admit(net, "ring"))
    assert topology.buses["feeder_id"].dropna().unique().tolist() == ["line 1"]
    assert all(buses_behind(topology, branch) == set() for branch in topology.branches["branch_id"])


def test_islands_are_counted_and_have_no_feeder():
    net = feeder(5)
    net.line.loc[2, "in_service"] = False
    topology = topology_of(admit(net, "cut"))
    assert topology.islands == 1
    assert list(topology.buses["supplied"]) == [True, True, True, False, False, False]
    assert topology.buses["feeder_id"].isna().tolist() == [True, False, False, True, True, True]
    net.line.loc[4, "in_service"] = False
    assert topology_of(admit(net, "cut twice")).islands == 2


def test_bus_couplers_join_and_part():
    import pandapower as pp

    net = feeder(2)
    extra = pp.create_bus(net, 10.0, name="behind the coupler")
    pp.create_switch(net, 2, extra, "b", closed=True)
    assert buses_behind(topology_of(admit(net, "closed")), "line 2") == {"bus 2", "behind the coupler"}
    net.switch["closed"] = False
    opened = topology_of(admit(net, "opened"))
    assert opened.islands == 1
    assert opened.open_switches.to_numpy().tolist() == [["bus 2", "behind the coupler"]]


def test_the_hash_sees_switches_and_taps_but_no_loads(semiurban):
    def hashed(change) -> str:
        net = copy.deepcopy(semiurban)
        change(net)
        return topology_of(admit(net, "simbench")).topology_hash

    base = hashed(lambda net: None)
    assert base == hashed(lambda net: net.load.__setitem__("p_mw", 0.07))
    assert base == hashed(lambda net: net.__setitem__("line", net.line.iloc[::-1]))
    changed = {
        hashed(lambda net: net.switch.__setitem__("closed", True)),
        hashed(lambda net: net.trafo.__setitem__("tap_pos", 1.0)),
        hashed(lambda net: net.line.loc.__setitem__((net.line.index[3], "in_service"), False)),
    }
    assert len(changed) == 3
    assert base not in changed


def test_every_supplied_bus_of_the_demo_network_is_cut_off_by_its_own_path(semiurban):
    topology = topology_of(admit(semiurban, "simbench"))
    for bus in topology.buses["bus_id"][::29]:
        path = upstream_path(topology, bus)
        for branch in path:
            if branch and "Trafo1" not in branch and "Trafo2" not in branch:
                assert bus in buses_behind(topology, branch)
    assert len(buses_behind(topology, "MV2.101-LV5.220-Trafo 1")) == 110


def test_coordinates_are_those_given_or_a_drawn_tree(semiurban):
    topology = topology_of(admit(semiurban, "simbench"))
    first = topology.buses.iloc[0]
    assert (first["x"], first["y"]) == pytest.approx((11.812, 53.4247))
    net = feeder(3)
    net.line.loc[2, "in_service"] = False
    net.bus["geo"] = ["no point", None, '{"coordinates": [1]}', None]
    drawn = topology_of(admit(net, "here")).buses
    assert list(drawn["y"]) == [0.0, -1.0, -2.0, -4.0]
    assert len(set(zip(drawn["x"], drawn["y"], strict=True))) == 4


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [("line", "df", 0.8), ("line", "g_us_per_km", 2.0), ("trafo", "df", 0.9), ("trafo", "tap_step_percent", 3.0), ("trafo", "tap_neutral", 1),
     ("ext_grid", "va_degree", 30.0), ("gen", "vm_pu", 1.03), ("gen", "p_mw", 0.2), ("gen", "in_service", False),
     ("trafo", "tap2_pos", 1), ("impedance", "bf_pu", 0.5), ("shunt", "vn_kv", 5.0)],
)  # fmt: skip
def test_the_hash_sees_whatever_changes_a_result(table: str, column: str, value: object):
    import pandapower as pp

    net = feeder(2)
    pp.create_transformer(net, 2, pp.create_bus(net, 0.4, name="low"), "0.63 MVA 10/0.4 kV", name="t")
    pp.create_gen(net, 1, p_mw=0.1, vm_pu=1.01)
    pp.create_impedance(net, 0, 1, 0.1, 0.1, 1.0)
    pp.create_shunt(net, 1, 0.1)
    before = hash_of(net)
    assert hash_of(copy.deepcopy(net)) == before
    net[table][column] = value
    assert hash_of(net) != before
