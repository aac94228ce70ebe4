"""A switching state as graph documents that other tools draw: GeoJSON, and node-link JSON."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pandas as pd

from grid_assets.powerflow.graph_measures import GraphMeasures
from grid_assets.powerflow.topology import Topology


def geojson(topology: Topology, measures: GraphMeasures) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946): a Point for each bus, a LineString for each branch, with their properties.

    Coordinates are longitude and latitude where the network has them for all its buses; else those of the computed layout, which are no places
    on earth, and ``coordinates`` of the collection says so.
    """
    buses, branches = _described(topology, measures)
    place = {one["bus_id"]: [one.pop("x"), one.pop("y")] for one in buses}
    features = [_feature("Point", place[one["bus_id"]], one) for one in buses]
    features += [_feature("LineString", [place[one["from_bus"]], place[one["to_bus"]]], one) for one in branches]
    kind = "longitude and latitude" if topology.geographic else "a computed layout, no places on earth"
    return {"type": "FeatureCollection", "topology_hash": topology.topology_hash, "coordinates": kind, "features": features}


def node_link(topology: Topology, measures: GraphMeasures) -> dict[str, Any]:
    """The graph in networkx's node-link form, which D3 and others read: buses as nodes, branches and closed bus couplers as edges."""
    graph = nx.MultiGraph(topology_hash=topology.topology_hash, sources=list(topology.sources))
    buses, branches = _described(topology, measures)
    graph.add_nodes_from((one["bus_id"], one) for one in buses)
    graph.add_edges_from((one["from_bus"], one["to_bus"], one["branch_id"], one) for one in branches)
    graph.add_edges_from((one, other, f"coupler {n}", {"kind": "coupler"}) for n, (one, other) in enumerate(topology.ties))
    return nx.node_link_data(graph, edges="links")


def _described(topology: Topology, measures: GraphMeasures) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    buses = topology.buses.merge(measures.buses, on="bus_id")
    branches = topology.branches.merge(measures.branches, on="branch_id")
    return _records(buses), _records(branches)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries of JSON's own kinds; what is missing is null."""
    clean = frame.astype(object).where(frame.notna(), None)
    return [{str(name): _plain(value) for name, value in row.items()} for row in clean.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _feature(kind: str, coordinates: list, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}
