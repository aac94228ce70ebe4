"""Graph documents: every bus and branch is there, readable by others, and what is no place on earth is not said to be one."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import pandapower as pp

from grid_assets.powerflow.drawing import geojson, node_link
from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.graph_measures import graph_measures
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.topology import Topology, topology_of
from grid_assets_tests.powerflow.made import feeder


def documents(topology: Topology) -> tuple[dict[str, Any], dict[str, Any]]:
    """As they come back from text that any reader of JSON takes."""
    measures = graph_measures(topology)
    made = (json.loads(json.dumps(one(topology, measures), allow_nan=False)) for one in (geojson, node_link))
    return tuple(made)  # type: ignore[return-value]


def test_the_benchmark_as_geojson_and_as_a_graph():
    topology = topology_of(load_network("cigre_mv"))
    features, graph = documents(topology)
    kinds = [one["geometry"]["type"] for one in features["features"]]
    assert kinds == ["Point"] * 15 + ["LineString"] * 17
    assert features["coordinates"] == "a computed layout, no places on earth"  # its own are 110 km apart for lines of 3 km
    line = next(one for one in features["features"] if one["properties"].get("branch_id") == "Line 1-2")
    assert line["properties"]["critical"] is True
    assert line["properties"]["rating_ka"] == 0.145
    read = nx.node_link_graph(graph, edges="links")
    assert read.number_of_nodes() == 15
    assert read.number_of_edges() == 17
    assert read.graph["topology_hash"] == topology.topology_hash


def test_real_coordinates_are_told_and_a_coupler_is_an_edge():
    net = feeder(2)
    net.bus["geo"] = [f'{{"type": "Point", "coordinates": [{11.8 + 0.01 * n}, 53.4]}}' for n in range(3)]
    net.line["length_km"] = 0.7
    pp.create_switch(net, 1, 2, "b", closed=True)
    features, graph = documents(topology_of(admit(net, "geo")))
    assert features["coordinates"] == "longitude and latitude"
    assert features["features"][1]["geometry"]["coordinates"] == [11.81, 53.4]
    assert [one["kind"] for one in graph["links"]] == ["line", "line", "coupler"]


def test_what_is_missing_is_null():
    net = feeder(2)
    pp.create_bus(net, 10.0, name="alone")
    features, _ = documents(topology_of(admit(net, "alone")))
    alone = features["features"][3]["properties"]
    assert alone["supplied"] is False
    assert alone["steps_to_supply"] is None
