"""The import gate: what a pandapower network must have before it is studied, and what is put right on the way in.

Every repair is said in plain words; what cannot be repaired without guessing is refused, naming the element.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.powerflow.plausibility import called as _called
from grid_assets.powerflow.plausibility import doubtful_figures, impossible_figures
from grid_assets.powerflow.plausibility import some as _some

STUDIED = ("bus", "line", "trafo", "impedance", "switch", "load", "sgen", "storage", "gen", "shunt", "ext_grid")
NOT_STUDIED = (
    "trafo3w", "dcline", "motor", "ward", "xward", "asymmetric_load", "asymmetric_sgen", "svc", "ssc", "tcsc", "vsc",
    "bus_dc", "line_dc", "b2b_vsc", "bi_vsc",
)  # fmt: skip
ADVICE = {
    "trafo3w": "limits and outages would take its inner star bus and each winding for elements of their own; where that is acceptable, convert "
    "the network by three_winding.with_star_buses and give the result",
    "asymmetric_load": "a study by phase does: admit it by phase_model.admit_by_phase, or give their sums as loads",
    "asymmetric_sgen": "a study by phase does: admit it by phase_model.admit_by_phase, or give their sums as generators",
}
TRANSMISSION_KV = 60.0
ROUNDING_MVA = 2e-8
"""A voltage is known to its last digit, so that a power over an impedance Z is known to V^2 eps / Z; beyond this runpp gives up."""
TAKEN_OUT = "without_supply"
"""Where a network keeps which loads and generators are out of service because no supply reaches them: table -> rows."""
NO_SUPPLY = "hang on buses without a supply"
ISLANDS = "are islands, which no supply reaches"
LOAD_TYPES = ("wye", "delta")
TAP_CHANGERS, MOST_TAP_PCT = ("Ratio", "Symmetrical", "Ideal"), 40.0


class NetworkError(ValueError):
    """A network that cannot be studied: which element, what is wrong with it, what was expected."""


@dataclass(frozen=True, eq=False)
class AdmittedNetwork:
    """A network that passed the gate. ``net`` is a copy that nobody changes; ``repairs`` says in words what was changed."""

    net: Any
    """A pandapowerNet; bus names are unique, and so are the names of lines and transformers together."""
    source: str
    repairs: tuple[str, ...]


def admit(net: Any, source: str, said: tuple[str, ...] = ()) -> AdmittedNetwork:
    """Checks and repairs a copy of a pandapower network.

    ``source`` is where it came from, for people; ``said`` is what its reader assumed and comes first among the repairs. Raises NetworkError
    for what is not studied (three-winding transformers, DC lines, ...), for missing supplies, buses, ratings and impedances, and for
    figures that cannot be true (see ``plausibility``).
    """
    net = copy.deepcopy(net)
    _refuse_missing_tables(net, source)
    _refuse_dangling(net, source)
    repairs = [*said, *_name_elements(net), *_complete_ratings(net)]
    _refuse_unsound_figures(net, source)
    _refuse_bad_lines(net, source)
    _refuse_bad_impedances(net, source)
    _refuse_bad_transformers(net, source)
    repairs += _set_tap_changers(net)
    _refuse_bad_taps(net, source)
    repairs += [*_set_vector_groups(net), *_set_load_types(net), *_take_out_isolated_loads(net)]
    if implausible := impossible_figures(net):
        raise NetworkError(f"{source}: {implausible[0]}" + (f" ({len(implausible)} such findings)" if len(implausible) > 1 else ""))
    repairs += [*doubtful_figures(net), *_unkept_limits(net)]
    return AdmittedNetwork(net, source, tuple(repairs))


def _refuse_missing_tables(net: Any, source: str) -> None:
    if "bus" not in net or not len(net.bus):
        raise NetworkError(f"{source}: the network has no buses; expected a pandapower network")
    for name in NOT_STUDIED:
        if name in net and isinstance(net[name], pd.DataFrame) and len(net[name]):
            raise NetworkError(f"{source}: {len(net[name])} elements in table {name!r}, which the flow study does not model; " + ADVICE.get(
                               name, "replace them by lines, two-winding transformers, loads or shunts, or take them out"))  # fmt: skip
    if not net.ext_grid["in_service"].any():
        raise NetworkError(f"{source}: no supply in service; expected at least one row in ext_grid")


def _refuse_dangling(net: Any, source: str) -> None:
    known = set(net.bus.index)
    ends = {"line": ("from_bus", "to_bus"), "impedance": ("from_bus", "to_bus"), "trafo": ("hv_bus", "lv_bus"), "switch": ("bus",)}
    for table in STUDIED[1:]:
        for end in ends.get(table, ("bus",)):
            lost = net[table].loc[~net[table][end].isin(known)]
            if len(lost):
                element = _called(lost, lost.index[0], table)
                raise NetworkError(f"{source}: {element}: {end} = {lost[end].iloc[0]} is not in the bus table")


# -- names --------------------------------------------------------------------------------------------------------


def _name_elements(net: Any) -> list[str]:
    repairs = _unique_names(net.bus, "bus", set())
    taken: set[str] = set()
    repairs += _unique_names(net.line, "line", taken)
    repairs += _unique_names(net.trafo, "transformer", taken)
    repairs += _unique_names(net.impedance, "impedance", taken)
    _unique_names(net.switch, "switch", set())  # only events speak of switches: their names are nobody's result
    return repairs


def _unique_names(frame: pd.DataFrame, kind: str, taken: set[str]) -> list[str]:
    """Makes the names unique, in the order of the table: the first keeps its name, later ones get a number behind it."""
    given = frame["name"] if "name" in frame else pd.Series(None, frame.index, dtype=object)
    reserved = {str(name).strip() for name in given.dropna()}
    names, missing, repeated = [], [], []
    for index, name in given.items():
        wanted = str(name).strip() if isinstance(name, str | int) else ""
        if not wanted:
            wanted = f"{kind} {index}"
            missing.append(wanted)
            chosen = _free(wanted, taken | reserved)
        elif wanted in taken:
            chosen = _free(wanted, taken | reserved)
            repeated.append(chosen)
        else:
            chosen = wanted
        taken.add(chosen)
        names.append(chosen)
    frame["name"] = pd.Series(names, frame.index, dtype=object)
    said = []
    if missing:
        said.append(f"{len(missing)} of kind {kind} had no name and were named: {_some(missing)}")
    if repeated:
        said.append(f"{len(repeated)} of kind {kind} shared a name and were renamed: {_some(repeated)}")
    return said


def _free(wanted: str, taken: set[str]) -> str:
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted} ({number})" in taken:
        number += 1
    return f"{wanted} ({number})"


# -- ratings and impedances ---------------------------------------------------------------------------------------


def _bad(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    return ~(numbers.gt(0) & numbers.lt(math.inf))


def _complete_ratings(net: Any) -> list[str]:
    """Takes a line's missing current rating from its standard type, where it has one."""
    types, done = net.std_types.get("line", {}), []
    for index in net.line.index[_bad(net.line["max_i_ka"])]:
        rating = types.get(net.line["std_type"].get(index), {}).get("max_i_ka") if "std_type" in net.line else None
        if rating and rating > 0:
            net.line.loc[index, "max_i_ka"] = rating
            done.append(str(net.line["name"][index]))
    said = [f"{len(done)} lines had no rating and took that of their standard type: {_some(done)}"] if done else []
    if len(net.impedance):
        said.append(
            f"{len(net.impedance)} impedances have no current rating, so that their loading is not judged: {_some(list(net.impedance['name']))}"
        )
    return said


SOUND = (
    *((table, column, True) for table, column in (
        ("bus", "vn_kv"), ("line", "df"), ("line", "parallel"), ("trafo", "df"), ("trafo", "parallel"), ("ext_grid", "vm_pu"), ("gen", "vm_pu"))),
    *((table, column, False) for table, column in (
        ("line", "c_nf_per_km"), ("line", "g_us_per_km"), ("trafo", "vkr_percent"), ("trafo", "pfe_kw"), ("trafo", "i0_percent"),
        ("trafo", "shift_degree"), ("ext_grid", "va_degree"), ("gen", "p_mw"), ("gen", "scaling"))),
)  # fmt: skip
"""Table, column, whether above 0: figures without which pandapower fails later on, without a name."""


def _refuse_unsound_figures(net: Any, source: str) -> None:
    for table, column, above_zero in SOUND:
        if column not in net[table]:
            continue
        values = pd.to_numeric(net[table][column], errors="coerce").to_numpy(float)
        bad = net[table][~np.isfinite(values) | (above_zero & (values <= 0))]
        if len(bad):
            raise NetworkError(f"{source}: {_called(bad, bad.index[0], table)}: {column} = {bad[column].iloc[0]}; expected a number"
                               f"{' above 0' if above_zero else ''} ({len(bad)} such)")  # fmt: skip
    held = pd.concat([net[table].loc[net[table]["in_service"].astype(bool), ["bus", "vm_pu"]] for table in ("ext_grid", "gen")])
    apart = held.groupby("bus")["vm_pu"].nunique()
    if (apart > 1).any():
        bus = net.bus["name"][apart.index[apart > 1][0]]
        raise NetworkError(f"{source}: bus {bus!r} is held at two voltages by supplies or generators; expected one vm_pu")
    if "slack" in net.gen and (slack := net.gen[net.gen["slack"].fillna(False).astype(bool) & net.gen["in_service"].astype(bool)]).shape[0]:
        raise NetworkError(f"{source}: {_called(slack, slack.index[0], 'gen')}: slack = True; expected supplies in ext_grid")
    couplers = net.switch[(net.switch["et"] == "b") & net.switch["closed"].astype(bool)]
    if "z_ohm" in couplers and len(loose := couplers[couplers["z_ohm"].fillna(0) > 0]):
        raise NetworkError(f"{source}: {_called(loose, loose.index[0], 'switch')}: z_ohm = {loose['z_ohm'].iloc[0]}; a coupler with an impedance "
                           "is no branch of any graph here; make it a line or an impedance")  # fmt: skip


def _refuse_bad_lines(net: Any, source: str) -> None:
    for name in ("max_i_ka", "length_km"):
        bad = net.line[_bad(net.line[name])]
        if len(bad):
            raise NetworkError(f"{source}: {_called(bad, bad.index[0], 'line')}: {name} = {bad[name].iloc[0]}; expected a number above 0"
                               f" ({len(bad)} such lines)")  # fmt: skip
    impedance = net.line["r_ohm_per_km"].abs() + net.line["x_ohm_per_km"].abs()
    bad = net.line[_bad(impedance)]
    if len(bad):
        raise NetworkError(f"{source}: {_called(bad, bad.index[0], 'line')}: no impedance; give r_ohm_per_km and x_ohm_per_km, or make it a"
                           f" closed bus-to-bus switch ({len(bad)} such lines)")  # fmt: skip
    ohm = np.hypot(net.line["r_ohm_per_km"], net.line["x_ohm_per_km"]) * net.line["length_km"] / net.line["parallel"]
    _refuse_rounded(net.line, "line", net.bus["vn_kv"].reindex(net.line["from_bus"]).to_numpy(float) ** 2 / ohm.to_numpy(float), source)


def _refuse_rounded(frame: pd.DataFrame, table: str, short_circuit_mva: np.ndarray, source: str) -> None:
    """V^2 / Z is what flows over an impedance at a whole voltage; a voltage's last digit makes eps of it uncertain."""
    lost = short_circuit_mva * np.finfo(float).eps
    bad = frame[(lost > ROUNDING_MVA) & frame["in_service"].astype(bool).to_numpy()]
    if len(bad):
        raise NetworkError(f"{source}: {_called(bad, bad.index[0], table)}: an impedance so small that rounding alone leaves a mismatch of "
                           f"{lost[frame.index.get_loc(bad.index[0])]:.2g} MVA; make it a closed bus-to-bus switch ({len(bad)} such)")  # fmt: skip


def _refuse_bad_impedances(net: Any, source: str) -> None:
    for ends in ("ft", "tf"):
        bad = net.impedance[_bad(net.impedance[f"r{ends}_pu"].abs() + net.impedance[f"x{ends}_pu"].abs())]
        if len(bad):
            raise NetworkError(
                f"{source}: {_called(bad, bad.index[0], 'impedance')}: r{ends}_pu and x{ends}_pu are zero or missing; expected an impedance"
            )
        per_unit = np.hypot(net.impedance[f"r{ends}_pu"], net.impedance[f"x{ends}_pu"]).to_numpy(float)
        _refuse_rounded(net.impedance, "impedance", net.impedance["sn_mva"].to_numpy(float) / per_unit, source)


def _refuse_bad_transformers(net: Any, source: str) -> None:
    for name in ("sn_mva", "vk_percent", "vn_hv_kv", "vn_lv_kv"):
        values = net.trafo[name]
        bad = net.trafo[_bad(values.abs() if name == "vk_percent" and len(values) else values)]  # an arm of a star may be capacitive
        if len(bad):
            raise NetworkError(f"{source}: {_called(bad, bad.index[0], 'trafo')}: {name} = {bad[name].iloc[0]}; expected a number above 0")
    odd = net.trafo[net.trafo["vkr_percent"].abs() > net.trafo["vk_percent"].abs()]
    if len(odd):
        raise NetworkError(f"{source}: {_called(odd, odd.index[0], 'trafo')}: vkr_percent is larger than vk_percent")


def _refuse_bad_taps(net: Any, source: str) -> None:
    """After the types were set: a position off neutral must be in its range and do something; else the ratio that counts is not the one meant."""
    frame = net.trafo
    for tap in ("tap", "tap2"):
        if f"{tap}_pos" not in frame:
            continue
        numbers = {
            what: pd.to_numeric(frame[f"{tap}_{what}"], errors="coerce") if f"{tap}_{what}" in frame else pd.Series(np.nan, frame.index)
            for what in ("pos", "neutral", "min", "max", "step_percent", "step_degree")
        }
        away = numbers["pos"] - numbers["neutral"].fillna(0)
        for index in frame.index[numbers["pos"].notna()]:
            one = {what: float(values[index]) for what, values in numbers.items()}
            said = _tap_fault(net, frame.loc[index], tap, one, float(away[index]))
            if said:
                raise NetworkError(f"{source}: {_called(frame, index, 'trafo')}: {tap}_pos = {one['pos']:g}{said}")


def _tap_fault(net: Any, trafo: pd.Series, tap: str, given: dict[str, float], away: float) -> str:
    if given["pos"] < given["min"] or given["pos"] > given["max"]:
        return f"; expected {given['min']:g} to {given['max']:g}"
    if away == 0:
        return ""
    kind, side, steps = (
        trafo.get(f"{tap}_changer_type"),
        trafo.get(f"{tap}_side"),
        {one: given[f"step_{one}"] for one in ("percent", "degree")},
    )
    if kind == "Tabular":
        by_table = bool(trafo.get("tap_dependency_table")) and pd.notna(trafo.get("id_characteristic_table"))
        known = (
            by_table
            and "trafo_characteristic_table" in net
            and trafo["id_characteristic_table"] in set(net["trafo_characteristic_table"].get("id_characteristic", ()))
        )
        return "" if known else " is off neutral, and its changer is Tabular without rows in trafo_characteristic_table"
    if side not in ("hv", "lv"):
        return f" is off neutral, and {tap}_side = {side!r}; expected hv or lv, without which it counts for nothing"
    if kind not in TAP_CHANGERS:
        return f" is off neutral, and {tap}_changer_type = {kind!r}; expected one of {', '.join(TAP_CHANGERS)}, without which it counts for nothing"
    if not any(step == step and step != 0 for step in steps.values()):
        return f" is off neutral, and neither {tap}_step_percent nor {tap}_step_degree says what a step does"
    if abs(away * np.nan_to_num(steps["percent"])) > MOST_TAP_PCT:
        return f" changes the ratio by {away * steps['percent']:g} %; expected at most {MOST_TAP_PCT:g}"
    return ""


# -- transformers -------------------------------------------------------------------------------------------------


def _set_tap_changers(net: Any) -> list[str]:
    """pandapower from 3 on ignores tap_pos where no type is given, and SimBench gives none (e2nIEE/simbench issue 69)."""
    frame, said = net.trafo, []
    for tap, called in (("tap", "taps"), ("tap2", "second taps")):
        kind = f"{tap}_changer_type"
        if f"{tap}_pos" not in frame or f"{tap}_side" not in frame:
            continue
        if kind not in frame:
            frame[kind] = None
        frame[kind] = frame[kind].astype(object)
        named = frame[kind].map(lambda value: isinstance(value, str) and value != "")
        tapped = frame[f"{tap}_pos"].notna() & frame[f"{tap}_side"].map(lambda side: isinstance(side, str))
        untyped = frame.index[tapped & ~named]
        if not len(untyped):
            continue
        shifting = frame.loc[untyped, f"{tap}_step_percent"].fillna(0).eq(0) & frame.loc[untyped, f"{tap}_step_degree"].fillna(0).ne(0)
        frame.loc[untyped, kind] = shifting.map({True: "Ideal", False: "Ratio"})
        off = frame.loc[untyped, f"{tap}_pos"] != frame.loc[untyped, f"{tap}_neutral"].fillna(0)
        away = [str(name) for name in frame.loc[untyped, "name"][off]]
        effect = f"; off neutral, so that their ratio changes: {_some(away)}" if away else "; all stand at neutral"
        said.append(
            f"{len(untyped)} transformers had {called} but no tap changer type and got Ratio (Ideal for pure phase shifters){effect}"
        )
    return said


def _set_vector_groups(net: Any) -> list[str]:
    """Gives the usual vector group of a transformer's phase shift. A balanced study needs none; conversions do."""
    frame = net.trafo
    if not len(frame):
        return []
    if "vector_group" not in frame:
        frame["vector_group"] = None
    frame["vector_group"] = frame["vector_group"].astype(object)
    empty = frame.index[~frame["vector_group"].map(lambda value: isinstance(value, str) and value != "")]
    for index in empty:
        clock = round(frame["shift_degree"].fillna(0)[index] / 30) % 12
        upper = frame["vn_hv_kv"][index] >= TRANSMISSION_KV
        odd, even = (f"YNd{clock}" if upper else f"Dyn{clock}"), f"YNyn{clock}"
        frame.loc[index, "vector_group"] = odd if clock % 2 else even
    return [f"{len(empty)} transformers had no vector group and got that of their phase shift: {_some(list(frame.loc[empty, 'name']))}"] if len(empty) else []  # fmt: skip


def _unkept_limits(net: Any) -> list[str]:
    """Generators that hold their voltage do so whatever reactive power it takes."""
    frame = net.gen[net.gen["in_service"].astype(bool)]
    limited = frame[[name for name in ("min_q_mvar", "max_q_mvar") if name in frame]].notna().any(axis=1)
    names = [_called(frame, index, "gen") for index in frame.index[limited]]
    return [f"{len(names)} generators have limits of their reactive power, which no study keeps: {_some(names)}"] if names else []


# -- loads --------------------------------------------------------------------------------------------------------


def _set_load_types(net: Any) -> list[str]:
    """Unbalanced solvers pass over loads without a type in silence (pandapower issue 1072)."""
    frame = net.load
    if "type" not in frame:
        frame["type"] = None
    frame["type"] = frame["type"].astype(object)
    empty = frame.index[~frame["type"].map(lambda value: isinstance(value, str) and value.lower() in LOAD_TYPES)]
    frame.loc[empty, "type"] = LOAD_TYPES[0]
    return [f"{len(empty)} loads had no connection type and were taken as {LOAD_TYPES[0]} (star)"] if len(empty) else []


def _take_out_isolated_loads(net: Any) -> list[str]:
    """Loads and generators on buses that no supply reaches are set out of service; those of an earlier switching state first come back."""
    from pandapower.topology import unsupplied_buses

    dark, earlier = unsupplied_buses(net), net.get(TAKEN_OUT, {})
    net[TAKEN_OUT] = {}
    alive = net.bus.index[net.bus["in_service"].astype(bool) & net.bus.index.isin(dark)]
    said = [f"{len(alive)} buses {ISLANDS}: {_some([str(name) for name in net.bus.loc[alive, 'name']])}"] if len(alive) else []
    for table, kind in (("load", "loads"), ("sgen", "generators"), ("storage", "storage units"), ("gen", "controlled generators")):
        net[table].loc[earlier.get(table, []), "in_service"] = True
        lost = net[table].index[net[table]["bus"].isin(dark) & net[table]["in_service"].astype(bool)]
        if len(lost):
            net[table].loc[lost, "in_service"] = False
            net[TAKEN_OUT][table] = list(lost)
            buses = list(dict.fromkeys(net.bus.loc[net[table].loc[lost, "bus"], "name"]))
            said.append(f"{len(lost)} {kind} {NO_SUPPLY} and were taken out of service: {_some(buses)}")
    return said
