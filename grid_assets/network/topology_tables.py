"""The network as tables ready to draw: topologies, buses, branches."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.topology import Topology


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


def topology_frames(admitted: AdmittedNetwork, topology: Topology, meters: pd.DataFrame, valid_from: datetime) -> dict[str, pd.DataFrame]:
    """The frames of the tables topologies, buses and branches, by table name."""
    feeders = feeder_names(topology, meters)
    buses = topology.buses.assign(topology_hash=topology.topology_hash, feeder_id=topology.buses["bus_id"].map(feeders))
    branches = topology.branches.assign(topology_hash=topology.topology_hash)
    branches["feeder_id"] = branches["to_bus"].map(feeders).fillna(branches["from_bus"].map(feeders))
    summary = {
        "topology_hash": topology.topology_hash, "source": admitted.source, "valid_from_utc": pd.Timestamp(valid_from),
        "buses": len(buses), "branches": len(branches), "open_switches": len(topology.open_switches), "islands": topology.islands,
        "repairs": "; ".join(admitted.repairs) or None,
    }  # fmt: skip
    return {
        "topologies": pd.DataFrame([summary]),
        "buses": buses.drop(columns="supplied"),
        "branches": branches.drop(columns="connected"),
    }


def _most_frequent(keys: pd.Series, values: pd.Series) -> dict[str, str]:
    counted = pd.DataFrame({"key": keys, "value": values}).dropna().value_counts().reset_index()
    counted = counted.sort_values(["key", "count", "value"], ascending=[True, False, True])
    return counted.drop_duplicates("key").set_index("key")["value"].to_dict()
