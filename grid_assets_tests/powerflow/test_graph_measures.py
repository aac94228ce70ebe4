"""Radiality, ways to the supply, and branches that others depend on: by hand, and against taking each branch out."""

from __future__ import annotations

import pandapower as pp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.graph_measures import graph_measures
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.topology import buses_behind, topology_of, upstream_path
from grid_assets_tests.powerflow.made import feeder


def test_a_row_is_radial_and_everything_hangs_on_its_first_line():
    found = graph_measures(topology_of(admit(feeder(3), "row")))
    assert found.radial
    assert found.buses["steps_to_supply"].tolist() == [0, 1, 2, 3]
    assert found.buses["upstream_branch"].tolist() == [None, "line 1", "line 2", "line 3"]
    assert found.branches["buses_behind"].tolist() == [3, 2, 1]


def test_a_parallel_line_and_a_dark_bus():
    net = feeder(2)
    pp.create_line_from_parameters(net, 0, 1, 1.0, 0.4, 0.3, 0.0, 0.2, name="second")
    pp.create_bus(net, 10.0, name="alone")
    found = graph_measures(topology_of(admit(net, "parallel")))
    assert not found.radial
    assert found.branches.set_index("branch_id")["critical"].to_dict() == {"line 1": False, "line 2": True, "second": False}
    assert found.buses["steps_to_supply"].isna().tolist() == [False, False, False, True]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6), st.integers(0, 6), st.booleans())
def test_critical_is_what_leaves_buses_dark(extra: list[tuple[int, int]], second: int, coupled: bool):
    net = feeder(6)
    for n, (one, other) in enumerate(extra):
        if one != other:
            pp.create_line_from_parameters(net, one, other, 1.0, 0.4, 0.3, 0.0, 0.2, name=f"extra {n}")
    if second:
        pp.create_ext_grid(net, second)
    if coupled:
        pp.create_switch(net, 2, pp.create_bus(net, 10.0, name="coupled"), "b")
    topology = topology_of(admit(net, "made"))
    found = graph_measures(topology)
    for one in found.branches.itertuples():
        dark = buses_behind(topology, one.branch_id)
        assert (one.critical, one.buses_behind) == (bool(dark), len(dark))


@pytest.mark.parametrize("bus", ["Bus 0", "Bus 5", "Bus 14"])
def test_ways_are_those_of_the_upstream_path(bus: str):
    topology = topology_of(load_network("cigre_mv"))
    row = graph_measures(topology).buses.set_index("bus_id").loc[bus]
    path = upstream_path(topology, bus)
    assert row["steps_to_supply"] == len(path)
    assert row["upstream_branch"] == (path[0] if path else None)
