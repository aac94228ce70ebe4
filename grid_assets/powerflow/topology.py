"""What is connected to what: switching state, feeders, upstream paths, what a branch carries, where to draw it."""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.powerflow.gate import AdmittedNetwork

KM_PER_DEGREE = 111.2
LONGEST_WAY = 1.5
"""How many times its length the way between a line's ends may be, for what the register calls its length is not exact."""
SUBSTATION = None
"""The feeder of a bus that belongs to the substation itself."""


@dataclass(frozen=True)
class Topology:
    """A switching state. All elements go by their names."""

    topology_hash: str
    buses: pd.DataFrame
    """bus_id, vn_kv, x, y, feeder_id (None: substation or without supply), supplied."""
    branches: pd.DataFrame
    """branch_id, kind, from_bus, to_bus, rating_ka, connected (in service and no switch open), feeder_id."""
    open_switches: pd.DataFrame
    """bus_id, element (name of the other bus or of the branch)."""
    islands: int
    """Connected parts of in-service buses that no supply reaches."""
    sources: tuple[str, ...]
    ties: tuple[tuple[str, str], ...] = field(repr=False, default=())
    """Pairs of buses joined by closed switches."""
    geographic: bool = False
    """Whether x and y are longitude and latitude."""

    def edges(self, without: str | None = None) -> list[tuple[str, str, str | None]]:
        """(bus, bus, branch or None for a closed switch) of everything that conducts, ``without`` one branch."""
        live = self.branches[self.branches["connected"] & (self.branches["branch_id"] != without)]
        named = zip(live["from_bus"], live["to_bus"], live["branch_id"], strict=True)
        return [*named, *((one, other, None) for one, other in self.ties)]


def topology_of(admitted: AdmittedNetwork) -> Topology:
    """Traces the network as its switches stand."""
    net = admitted.net
    names = net.bus["name"]
    buses = pd.DataFrame({"bus_id": list(names), "vn_kv": net.bus["vn_kv"].to_numpy(float)})
    branches, in_service = _branches(net), set(names[net.bus["in_service"].astype(bool)])
    branches["connected"] &= branches["from_bus"].isin(in_service) & branches["to_bus"].isin(in_service)
    closed = net.switch[(net.switch["et"] == "b") & net.switch["closed"].astype(bool)]
    ties = [(names[a], names[b]) for a, b in zip(closed["bus"], closed["element"], strict=True)]
    ties = tuple((a, b) for a, b in ties if a in in_service and b in in_service)
    supplies = net.ext_grid[net.ext_grid["in_service"].astype(bool)]
    sources = tuple(dict.fromkeys(str(names[bus]) for bus in supplies["bus"]))
    bare = Topology(hash_of(net), buses, branches, _open_switches(net), 0, sources, ties)
    supplied = reached(bare.edges(), sources)
    buses["supplied"] = buses["bus_id"].isin(supplied)
    _name_feeders(bare)
    buses["x"], buses["y"], geographic = _coordinates(net, bare)
    islands = _count_parts(bare, in_service - supplied)
    return Topology(bare.topology_hash, buses, branches, bare.open_switches, islands, sources, ties, geographic)


def reached(edges: Iterable[tuple[str, str, str | None]], start: Iterable[str]) -> set[str]:
    """The buses that can be reached from ``start`` over the edges."""
    return set(upstream_of(edges, start))


def upstream_of(edges: Iterable[tuple[str, str, str | None]], start: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
    """Each reached bus -> (bus before it, branch between them) on a way from ``start`` with the fewest steps."""
    around: dict[str, list[tuple[str, str | None]]] = {}
    for one, other, branch in edges:
        around.setdefault(one, []).append((other, branch))
        around.setdefault(other, []).append((one, branch))
    before: dict[str, tuple[str | None, str | None]] = dict.fromkeys(start, (None, None))
    waiting = deque(before)
    while waiting:
        here = waiting.popleft()
        for there, branch in around.get(here, ()):
            if there not in before:
                before[there] = (here, branch)
                waiting.append(there)
    return before


def upstream_path(topology: Topology, bus_id: str) -> list[str]:
    """The branches from a bus up to the supply, nearest first; empty for the supply and for a bus without one."""
    before, path = upstream_of(topology.edges(), topology.sources), []
    here: str | None = bus_id if bus_id in before else None
    while here is not None:
        here, branch = before[here]
        path += [branch] if branch else []
    return path


def buses_behind(topology: Topology, branch_id: str) -> set[str]:
    """The buses that lose their supply when the branch opens; none where the network is meshed around it."""
    kept = reached(topology.edges(without=branch_id), topology.sources)
    return set(topology.buses.loc[topology.buses["supplied"], "bus_id"]) - kept


# -- inside -------------------------------------------------------------------------------------------------------


def _branches(net: Any) -> pd.DataFrame:
    opened = net.switch[~net.switch["closed"].astype(bool)]
    names, lines, trafos = net.bus["name"], net.line, net.trafo
    rating = lines["max_i_ka"] * lines["df"] * lines["parallel"]
    upper = trafos["sn_mva"] * trafos["df"] * trafos["parallel"] / (math.sqrt(3) * trafos["vn_hv_kv"])

    def rows(frame: pd.DataFrame, kind: str, ends: tuple[str, str], element: str, ratings: pd.Series) -> pd.DataFrame:
        cut = frame.index.isin(opened.loc[opened["et"] == element, "element"])
        return pd.DataFrame(
            {
                "branch_id": frame["name"].to_numpy(object),
                "kind": kind,
                "from_bus": names.loc[frame[ends[0]]].to_numpy(object),
                "to_bus": names.loc[frame[ends[1]]].to_numpy(object),
                "rating_ka": ratings.to_numpy(float),
                "connected": frame["in_service"].to_numpy(bool) & ~cut,
            }
        )

    return pd.concat(
        [
            rows(lines, "line", ("from_bus", "to_bus"), "l", rating),
            rows(trafos, "transformer", ("hv_bus", "lv_bus"), "t", upper),
            rows(net.impedance, "impedance", ("from_bus", "to_bus"), "i", pd.Series(np.nan, net.impedance.index)),
        ],
        ignore_index=True,
    )


def _open_switches(net: Any) -> pd.DataFrame:
    opened = net.switch[~net.switch["closed"].astype(bool)]
    tables = {"b": net.bus, "l": net.line, "t": net.trafo}
    elements = [tables[kind]["name"].get(element, "") for kind, element in zip(opened["et"], opened["element"], strict=True)]
    return pd.DataFrame({"bus_id": list(net.bus["name"].loc[opened["bus"]]), "element": elements})


HASHED = {
    "bus": ("name", "vn_kv", "in_service"),
    "line": ("name", "from_bus", "to_bus", "length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km", "max_i_ka", "df",
             "parallel", "in_service"),
    "trafo": ("name", "hv_bus", "lv_bus", "sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent",
              "shift_degree", *(f"{tap}_{what}" for tap in ("tap", "tap2") for what in ("pos", "neutral", "side", "step_percent", "step_degree", "changer_type")),
              "tap_dependency_table", "id_characteristic_table", "df", "parallel", "in_service"),
    "impedance": ("name", "from_bus", "to_bus", "rft_pu", "xft_pu", "rtf_pu", "xtf_pu", "gf_pu", "gt_pu", "bf_pu", "bt_pu", "sn_mva", "in_service"),
    "switch": ("bus", "element", "et", "closed"),
    "shunt": ("bus", "p_mw", "q_mvar", "vn_kv", "step", "in_service"),
    "ext_grid": ("bus", "vm_pu", "va_degree", "in_service"),
    "gen": ("bus", "p_mw", "vm_pu", "scaling", "in_service"),
}  # fmt: skip

CHARACTERISTICS = ("trafo_characteristic_table", "shunt_characteristic_table")
"""What taps and steps do by table."""


def hash_of(net: Any) -> str:
    """A hash of buses, branches, ratings, switch positions, taps and what holds a voltage; loads and the order of rows do not matter."""
    digest = hashlib.sha256()
    for table, columns in HASHED.items():
        frame = net[table][[name for name in columns if name in net[table]]].copy()
        for end in ("bus", "from_bus", "to_bus", "hv_bus", "lv_bus"):
            if end in frame:
                frame[end] = net.bus["name"].loc[frame[end]].to_numpy(object)
        rows = sorted(",".join(_written(value) for value in row) for row in frame.itertuples(index=False))
        digest.update(f"{table}:{';'.join(rows)}|".encode())
    for name in CHARACTERISTICS:
        if name in net and len(net[name]):
            digest.update(f"{name}:{net[name].to_csv(index=False)}|".encode())
    return digest.hexdigest()[:16]


def _written(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    return f"{float(value):.9g}" if isinstance(value, int | float | np.number) else str(value)


def _name_feeders(topology: Topology) -> None:
    """A feeder begins with each line that leaves the substation: what can be reached from the supply over transformers
    and switches alone. Two lines into the same part are one feeder. It goes by the name of its first line.
    """
    branches, edges = topology.branches, topology.edges()
    line_ids = set(branches.loc[branches["kind"] == "line", "branch_id"])
    station = reached([edge for edge in edges if edge[2] not in line_ids], topology.sources)
    inner = [edge for edge in edges if edge[0] not in station and edge[1] not in station]
    feeder_of: dict[str, str] = {}
    for one, other, branch in edges:
        ends = [bus for bus in (one, other) if bus not in station]
        if branch is None or len(ends) != 1 or ends[0] in feeder_of:
            continue
        feeder_of |= dict.fromkeys(reached(inner, ends), branch)
    topology.buses["feeder_id"] = [feeder_of.get(bus) for bus in topology.buses["bus_id"]]
    ends = zip(branches["from_bus"], branches["to_bus"], strict=True)
    branches["feeder_id"] = [feeder_of.get(other) or feeder_of.get(one) for one, other in ends]


def _count_parts(topology: Topology, dark: set[str]) -> int:
    left, parts, edges = set(dark), 0, topology.edges()
    while left:
        left -= reached(edges, [min(left)])
        parts += 1
    return parts


def _coordinates(net: Any, topology: Topology) -> tuple[list[float], list[float], bool]:
    """Longitude and latitude where every bus has them; otherwise a tree drawn downwards from the supply."""
    given = [_point(value) for value in net.bus["geo"]] if "geo" in net.bus else []
    known = [point for point in given if point is not None]
    if given and len(known) == len(given):
        return [point[0] for point in known], [point[1] for point in known], _on_earth(net, known)
    placed = _tree_layout(topology)
    points = [placed[bus] for bus in topology.buses["bus_id"]]
    return [x for x, _ in points], [y for _, y in points], False


def _on_earth(net: Any, points: list[tuple[float, float]]) -> bool:
    """Whether coordinates are longitude and latitude: then no line is much shorter than the way between its ends."""
    if not len(net.line) or not all(abs(x) <= 180 and abs(y) <= 90 for x, y in points):
        return False
    place = dict(zip(net.bus.index, points, strict=True))
    ends = np.array([[place[one], place[other]] for one, other in zip(net.line["from_bus"], net.line["to_bus"], strict=True)])
    step = np.diff(ends, axis=1)[:, 0] * (KM_PER_DEGREE, KM_PER_DEGREE)
    step[:, 0] *= np.cos(np.radians(ends[:, :, 1].mean(axis=1)))
    return bool(np.median(np.hypot(step[:, 0], step[:, 1]) / net.line["length_km"].to_numpy(float)) <= LONGEST_WAY)


def _point(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, str):
        return None
    try:
        x, y = json.loads(value)["coordinates"][:2]
        return float(x), float(y)
    except (ValueError, KeyError, TypeError):
        return None


def _tree_layout(topology: Topology) -> dict[str, tuple[float, float]]:
    """Leaves side by side, a bus above the middle of what hangs on it, a step down per bus; the rest in a row below."""
    before = upstream_of(topology.edges(), topology.sources)
    children: dict[str, list[str]] = {}
    depth = {}
    for bus, (parent, _) in before.items():
        depth[bus] = 0 if parent is None else depth[parent] + 1
        if parent is not None:
            children.setdefault(parent, []).append(bus)
    x: dict[str, float] = {}
    leaf = 0
    stack = [*reversed(topology.sources)]
    order = []
    while stack:
        bus = stack.pop()
        order.append(bus)
        if not children.get(bus):
            x[bus], leaf = float(leaf), leaf + 1
        stack += reversed(children.get(bus, []))
    for bus in reversed(order):
        if bus not in x:
            x[bus] = sum(x[child] for child in children[bus]) / len(children[bus])
    placed = {bus: (x[bus], -float(depth[bus])) for bus in before}
    below = -float(max(depth.values(), default=0) + 2)
    rest = [bus for bus in topology.buses["bus_id"] if bus not in placed]
    return placed | {bus: (float(n), below) for n, bus in enumerate(rest)}
