"""Figures of a network that cannot be true, or are worth a doubt: impedances, reactive powers and loads in another unit.

The bounds are wide on purpose: what is refused here is wrong by an order of magnitude (ohm for milliohm, metres for kilometres, kW for MW).
Equivalents of transmission studies have impedances that no line has, negative ones too: from 60 kV on they are said and not refused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

DISTRIBUTION_KV = 60.0
UNLIMITED_KA, UNLIMITED_MVA = 10.0, 3000.0
"""Ratings from here on stand for none."""
REFUSED_DROP_PCT, DOUBTED_DROP_PCT = 100.0, 50.0
"""Voltage drop of a line that carries its rated current, in percent of its nominal voltage."""
REFUSED_VK_PCT, DOUBTED_VK_PCT = 50.0, 0.5
REACTIVE_RATIO, REACTIVE_SHARE = 3.0, 0.05
OVERLOAD_RATIO = 20.0
"""An element with more power than so many times the ratings of everything at its bus is in another unit."""
LISTED = 4


def called(frame: pd.DataFrame, index: Any, table: str) -> str:
    """An element as people know it: by name, else by number."""
    name = frame["name"].get(index) if "name" in frame else None
    return f"{table} {name!r}" if isinstance(name, str) and name.strip() else f"{table} number {index}"


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def impossible_figures(net: Any) -> list[str]:
    """A sentence for each figure with which a network is refused: the element, the figure, what was expected."""
    found = []
    drop, kv = _drops_pct(net), net.bus["vn_kv"].reindex(net.line["from_bus"]).to_numpy(float)
    for index in net.line.index[(drop > REFUSED_DROP_PCT) & (kv < DISTRIBUTION_KV)]:
        found.append(f"{called(net.line, index, 'line')}: its voltage would drop by {drop[net.line.index.get_loc(index)]:.0f} % of nominal at its rated current; "
                     f"look at r_ohm_per_km, x_ohm_per_km and length_km (ohm and km are expected) and at max_i_ka (kA)")  # fmt: skip
    negative = (net.line["r_ohm_per_km"] < 0) | (net.line["x_ohm_per_km"] < 0)
    for index in net.line.index[negative.to_numpy() & (kv < DISTRIBUTION_KV)]:
        found.append(f"{called(net.line, index, 'line')}: r_ohm_per_km = {net.line['r_ohm_per_km'][index]}, x_ohm_per_km = "
                     f"{net.line['x_ohm_per_km'][index]}; expected none below 0")  # fmt: skip
    for index in net.trafo.index[
        (net.trafo["vk_percent"] > REFUSED_VK_PCT) & _real_rating(net) & (net.trafo["vn_lv_kv"] < DISTRIBUTION_KV)
    ]:
        found.append(f"{called(net.trafo, index, 'trafo')}: vk_percent = {net.trafo['vk_percent'][index]:g}; expected a short-circuit voltage "
                     f"up to {REFUSED_VK_PCT:g} % of the rated one")  # fmt: skip
    return found + _overloads(net)


def doubtful_figures(net: Any) -> list[str]:
    """A sentence for each kind of figure that is admitted but should be looked at."""
    said = []
    drop, kv = _drops_pct(net), net.bus["vn_kv"].reindex(net.line["from_bus"]).to_numpy(float)
    doubted = net.line[drop > DOUBTED_DROP_PCT]
    if len(doubted):
        said.append(f"{len(doubted)} lines would drop more than {DOUBTED_DROP_PCT:g} % of nominal voltage at their rated current (not changed): {_names(doubted)}")  # fmt: skip
    negative = net.line[((net.line["r_ohm_per_km"] < 0) | (net.line["x_ohm_per_km"] < 0)).to_numpy() & (kv >= DISTRIBUTION_KV)]
    if len(negative):
        said.append(f"{len(negative)} lines have a negative resistance or reactance, as equivalents have (not changed): {_names(negative)}")
    turned = net.trafo[net.trafo["vk_percent"] < 0]
    if len(turned):
        said.append(
            f"{len(turned)} transformers have a negative vk_percent, as an arm of a three-winding one may have (not changed): {_names(turned)}"
        )
    small = net.trafo[(net.trafo["vk_percent"].abs() < DOUBTED_VK_PCT) & _real_rating(net)]
    if len(small):
        said.append(
            f"{len(small)} transformers have a vk_percent below {DOUBTED_VK_PCT} (not changed; a fraction given as percent?): {_names(small)}"
        )
    for table, kind in (("load", "loads"), ("sgen", "generators")):
        frame = net[table][net[table]["in_service"].astype(bool)]
        p, q = (frame["p_mw"] * frame["scaling"]).abs(), (frame["q_mvar"] * frame["scaling"]).abs()
        odd = frame[(q > REACTIVE_RATIO * p) & (q > REACTIVE_SHARE * p.sum()) & (q > 0)]
        if len(odd):
            said.append(f"{len(odd)} {kind} have more than {REACTIVE_RATIO:g} times as much reactive as active power and over {REACTIVE_SHARE:.0%} of all "
                        f"active power (not changed; kvar given as Mvar?): {_names(odd, table)}")  # fmt: skip
    return said


def _names(frame: pd.DataFrame, table: str = "element") -> str:
    return some([called(frame, index, table).removeprefix("element ").strip("'") for index in frame.index])


def _drops_pct(net: Any) -> np.ndarray:
    """[lines]: sqrt(3) I |z| l in percent of nominal voltage, I the rated current; 0 where the rating stands for none."""
    line = net.line
    ohm = np.hypot(line["r_ohm_per_km"], line["x_ohm_per_km"]) * line["length_km"]
    kv = net.bus["vn_kv"].reindex(line["from_bus"]).to_numpy(float)
    drop = 100.0 * math.sqrt(3) * (line["max_i_ka"] * ohm).to_numpy(float) / kv
    return np.where(line["max_i_ka"].to_numpy(float) < UNLIMITED_KA, drop, 0.0)


def _real_rating(net: Any) -> pd.Series:
    return net.trafo["sn_mva"] < UNLIMITED_MVA


def _overloads(net: Any) -> list[str]:
    """Loads and generators far above the ratings of all branches at their bus, buses joined by closed switches taken as one."""
    group = joined_buses(net)
    rating = pd.Series(0.0, index=sorted(set(group)))
    line = net.line[net.line["in_service"].astype(bool)]
    mva = math.sqrt(3) * line["max_i_ka"] * line["parallel"] * net.bus["vn_kv"].reindex(line["from_bus"]).to_numpy()
    mva = mva.where(line["max_i_ka"] < UNLIMITED_KA, math.inf)
    trafo = net.trafo[net.trafo["in_service"].astype(bool)]
    ends = [(line["from_bus"], mva), (line["to_bus"], mva)]
    ends += [(trafo[end], trafo["sn_mva"] * trafo["parallel"]) for end in ("hv_bus", "lv_bus")]
    for table, columns in (("ext_grid", ("bus",)), ("impedance", ("from_bus", "to_bus"))):
        ends += [(net[table][end], pd.Series(math.inf, net[table].index)) for end in columns]
    for bus, value in ends:
        rating = rating.add(value.groupby(group.reindex(bus).to_numpy()).sum(), fill_value=0.0)
    found = []
    for table in ("load", "sgen", "storage"):
        frame = net[table][net[table]["in_service"].astype(bool)]
        power = np.hypot(frame["p_mw"], frame["q_mvar"]) * frame["scaling"].abs()
        there = rating.reindex(group.reindex(frame["bus"])).to_numpy()
        for index in frame.index[(power.to_numpy() > OVERLOAD_RATIO * there) & (there > 0)]:
            carried = there[frame.index.get_loc(index)]
            found.append(f"{called(frame, index, table)}: {power[index]:g} MVA at bus {net.bus['name'][frame['bus'][index]]!r}, where all lines and transformers together "
                         f"carry {carried:.3g} MVA; expected MW and Mvar (kW given as MW?)")  # fmt: skip
    return found


def joined_buses(net: Any) -> pd.Series:
    """bus -> number of its group of buses joined by closed switches."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    place = pd.Series(range(len(net.bus)), net.bus.index)
    closed = net.switch[(net.switch["et"] == "b") & net.switch["closed"].astype(bool)]
    one, other = place.reindex(closed["bus"]).to_numpy(int), place.reindex(closed["element"]).to_numpy(int)
    graph = sp.coo_matrix((np.ones(len(closed)), (one, other)), (len(place), len(place)))
    return pd.Series(connected_components(graph, directed=False)[1], net.bus.index)
