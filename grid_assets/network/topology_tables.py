"""The network as tables ready to draw: topologies, buses, branches."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from grid_assets.powerflow.graph_measures import GraphMeasures, graph_measures
from grid_assets.powerflow.switching import Version
from grid_assets.powerflow.topology import Topology, topology_of


def feeder_names(topology: Topology, meters: pd.DataFrame) -> dict[str, str]:
    """bus_id -> node_id of the register: that of most load meters on the bus, else of most meters on its traced feeder,
    else the traced feeder's own name. Buses of the substation without meters are left out.
    """
    placed = meters[(meters["kind"] == "load") & meters["bus_id"].notna()]
    at_bus = _most_frequent(placed["bus_id"], placed["node_id"])
    traced = topology.buses.dropna(subset=["feeder_id"]).set_index("bus_id")["feeder_id"].to_dict()
    on_feeder = _most_frequent(placed["bus_id"].map(traced), placed["node_id"])
    named = {bus: on_feeder.get(feeder, feeder) for bus, feeder in traced.items()}
    return named | {bus: node for bus, node in at_bus.items() if bus in named}


def topology_frames(known: Sequence[Version], meters: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The frames of the tables topologies, buses and branches, by table name; a state that comes again has its buses and branches once."""
    rows, buses, branches = [], {}, {}
    for version in known:
        topology = topology_of(version.admitted)
        measures = graph_measures(topology)
        rows.append(_summary(version, topology, measures))
        buses[version.topology_hash], branches[version.topology_hash] = _elements(topology, measures, meters)
    return {
        "topologies": pd.DataFrame(rows).astype({"valid_to_utc": "datetime64[us, UTC]"}),
        "buses": pd.concat(buses.values(), ignore_index=True),
        "branches": pd.concat(branches.values(), ignore_index=True),
    }


def _summary(version: Version, topology: Topology, measures: GraphMeasures) -> dict[str, object]:
    return {
        "topology_hash": version.topology_hash, "source": version.admitted.source, "valid_from_utc": version.valid_from,
        "valid_to_utc": version.valid_to, "because": version.because or None, "buses": len(topology.buses),
        "branches": len(topology.branches), "open_switches": len(topology.open_switches), "islands": topology.islands,
        "radial": measures.radial, "critical_branches": int(measures.branches["critical"].sum()),
        "repairs": "; ".join(version.admitted.repairs) or None,
    }  # fmt: skip


def _elements(topology: Topology, measures: GraphMeasures, meters: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    feeders = feeder_names(topology, meters)
    buses = topology.buses.assign(topology_hash=topology.topology_hash, feeder_id=topology.buses["bus_id"].map(feeders))
    branches = topology.branches.assign(topology_hash=topology.topology_hash)
    branches["feeder_id"] = branches["to_bus"].map(feeders).fillna(branches["from_bus"].map(feeders))
    return buses.merge(measures.buses, on="bus_id", how="left"), branches.merge(measures.branches, on="branch_id", how="left")


def _most_frequent(keys: pd.Series, values: pd.Series) -> dict[str, str]:
    counted = pd.DataFrame({"key": keys, "value": values}).dropna().value_counts().reset_index()
    counted = counted.sort_values(["key", "count", "value"], ascending=[True, False, True])
    return counted.drop_duplicates("key").set_index("key")["value"].to_dict()
