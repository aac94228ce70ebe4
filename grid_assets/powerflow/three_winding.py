"""Three-winding transformers as three two-winding ones that meet at a star bus: the circuit that pandapower solves inside.

The gate does not do this by itself: limits, outages and hosting capacity would take the star bus, whose voltage nobody can measure, and each
winding for elements of their own. Who accepts that converts the network and studies the result.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.powerflow.gate import NetworkError
from grid_assets.powerflow.plausibility import called

SIDES = ("hv", "mv", "lv")
FIGURES = tuple(f"{name}_{side}_{unit}" for side in SIDES for name, unit in (("vn", "kv"), ("sn", "mva"), ("vk", "percent")))


def with_star_buses(net: Any) -> Any:
    """A copy of a pandapower net without three-winding transformers; voltages at its buses are those of the net given.

    Each winding's branch is called ``<name> (hv)``, ``(mv)``, ``(lv)``, the bus where they meet ``<name> (star)``. Raises NetworkError for missing
    figures, taps at the star point off neutral and taps by a table.
    """
    net = copy.deepcopy(net)
    for index in net.trafo3w.index:
        _refuse(net, index)
        _replace(net, index)
    net.trafo3w.drop(net.trafo3w.index, inplace=True)
    return net


def _refuse(net: Any, index: Any) -> None:
    one, name = net.trafo3w.loc[index], called(net.trafo3w, index, "trafo3w")
    for figure in FIGURES:
        if not 0 < one[figure] < np.inf:
            raise NetworkError(f"{name}: {figure} = {one[figure]}; expected a number above 0")
    away = pd.notna(one["tap_pos"]) and one["tap_pos"] != (one["tap_neutral"] if pd.notna(one["tap_neutral"]) else 0)
    if away and one.get("tap_at_star_point") is not None and bool(one["tap_at_star_point"]):
        raise NetworkError(f"{name}: its tap changer stands off neutral at the star point; expected it at a terminal")
    if one.get("tap_dependency_table") is not None and pd.notna(one["tap_dependency_table"]) and bool(one["tap_dependency_table"]):
        raise NetworkError(f"{name}: its impedances depend on the tap by a table, which is not converted")


def _replace(net: Any, index: Any) -> None:
    from pandapower import create_bus, create_transformer_from_parameters

    one = net.trafo3w.loc[index]
    name = one["name"] if isinstance(one["name"], str) and one["name"] else f"three-winding transformer {index}"
    star = create_bus(net, one["vn_hv_kv"], name=f"{name} (star)", in_service=bool(one["in_service"]))
    if "geo" in net.bus:
        net.bus.loc[star, "geo"] = net.bus["geo"][one["hv_bus"]]
    for side, (vk, vkr) in zip(SIDES, arms(one), strict=True):
        taps = {
            key: one[key]
            for key in ("tap_pos", "tap_neutral", "tap_min", "tap_max", "tap_step_percent", "tap_step_degree")
            if pd.notna(one.get(key))
        }
        if one.get("tap_changer_type") is not None and isinstance(one["tap_changer_type"], str):
            taps["tap_changer_type"] = one["tap_changer_type"]
        mine = {**taps, "tap_side": "hv" if side == "hv" else "lv"} if one["tap_side"] == side else {}
        iron = one.get("loss_side", "hv") == side
        made = create_transformer_from_parameters(
            net, hv_bus=int(one["hv_bus"]) if side == "hv" else star, lv_bus=star if side == "hv" else int(one[f"{side}_bus"]),
            sn_mva=one[f"sn_{side}_mva"], vn_hv_kv=one["vn_hv_kv"], vn_lv_kv=one[f"vn_{side}_kv"], vk_percent=vk, vkr_percent=vkr,
            pfe_kw=one["pfe_kw"] if iron else 0.0, i0_percent=one["i0_percent"] if iron else 0.0,
            shift_degree=0.0 if side == "hv" else one[f"shift_{side}_degree"], in_service=bool(one["in_service"]), name=f"{name} ({side})", **mine,
        )  # fmt: skip
        switch = (net.switch["et"] == "t3") & (net.switch["element"] == index) & (net.switch["bus"] == one[f"{side}_bus"])
        net.switch.loc[switch, ["et", "element"]] = "t", made


def arms(one: pd.Series) -> list[tuple[float, float]]:
    """vk and vkr in percent of each winding's own rating, for the star of the three pairs' short-circuit voltages.

    Those of a pair refer to the smaller of its ratings (hv-mv, mv-lv, hv-lv); resistance and reactance turn from delta to star apart.
    The reactance of an arm may be negative, and its vk then is.
    """
    rating = np.array([one[f"sn_{side}_mva"] for side in SIDES], float)
    smaller = np.minimum(rating, np.roll(rating, -1))
    vk, vkr = (np.array([one[f"{name}_{side}_percent"] for side in SIDES], float) * rating[0] / smaller for name in ("vk", "vkr"))
    pairs = np.stack([vkr, np.sqrt(vk**2 - vkr**2)])
    star = 0.5 * rating / rating[0] * (pairs + np.roll(pairs, 1, axis=1) - np.roll(pairs, -1, axis=1))
    return [(float(np.sign(x) * np.hypot(r, x)), float(r)) for r, x in star.T]
