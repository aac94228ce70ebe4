"""AC power flow over the intervals of a day, each solution proved by its own nodal power balance."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from grid_assets.powerflow.gate import AdmittedNetwork

logging.getLogger("pandapower").setLevel(logging.ERROR)
TOLERANCE_MVA = 1e-8
ADVICE = "look for loads in the wrong unit (kW given as MW), a missing supply or an impedance far too large on the way to them"


class FlowError(ValueError):
    """A flow study that cannot be done, or of which nothing converged."""


@dataclass(frozen=True)
class FlowSeries:
    """The solved steps. Arrays are steps x buses (order of ``net.bus``) or steps x branches (lines, then transformers).

    Steps that did not converge hold NaN throughout; so do buses without a supply. Branches without one carry 0.
    """

    bus_ids: np.ndarray
    branch_ids: np.ndarray
    kinds: np.ndarray
    vm_pu: np.ndarray
    va_degree: np.ndarray
    loading_pct: np.ndarray
    p_mw: np.ndarray
    """Into the branch at its beginning (of a transformer: its upper side)."""
    i_ka: np.ndarray
    """The larger of both ends; of a transformer referred to its upper side."""
    converged: np.ndarray
    residual_max_mva: np.ndarray
    """Largest |V conj(Ybus V) - S| over the buses but the supply, recomputed from the admittances and the injections given."""
    supply_mw: np.ndarray
    losses_mw: np.ndarray
    unserved_mw: np.ndarray
    """Consumption given for buses that no supply reaches."""
    faults: tuple[str, ...]
    """A sentence per step that failed: which, and what to try."""


def solve_series(admitted: AdmittedNetwork, load_mw: np.ndarray, load_mvar: np.ndarray) -> FlowSeries:
    """Solves every step; the network's own loads, static generators and storage are replaced by what is given.

    ``load_mw`` and ``load_mvar``: steps x buses in the order of ``net.bus``, consumption positive, feeding in negative.
    A step that does not converge is flagged and said in ``faults``; the others are unaffected.
    Raises FlowError for arrays of another shape or with values that are not finite.
    """
    net = _emptied(admitted.net)
    load_mw, load_mvar = np.asarray(load_mw, float), np.asarray(load_mvar, float)
    _refuse_misfits(net, load_mw, load_mvar)
    steps, buses, branches = len(load_mw), len(net.bus), len(net.line) + len(net.trafo)
    at_bus = {name: np.full((steps, buses), np.nan) for name in ("vm_pu", "va_degree")}
    at_branch = {name: np.full((steps, branches), np.nan) for name in ("loading_pct", "p_mw", "i_ka")}
    totals = {name: np.full(steps, np.nan) for name in ("residual_max_mva", "supply_mw", "losses_mw", "unserved_mw")}
    converged, faults, warm = np.zeros(steps, bool), [], False
    for step in range(steps):
        warm = _solve(net, load_mw[step], load_mvar[step], warm)
        if not warm:
            faults.append(f"step {step} did not converge with {load_mw[step].sum():.3f} MW of load; {ADVICE}")
            continue
        converged[step] = True
        at_bus["vm_pu"][step], at_bus["va_degree"][step] = net.res_bus["vm_pu"], net.res_bus["va_degree"]
        at_branch["loading_pct"][step], at_branch["p_mw"][step], at_branch["i_ka"][step] = _branch_results(net)
        totals["residual_max_mva"][step] = _residual_mva(net, load_mw[step], load_mvar[step])
        totals["supply_mw"][step] = net.res_ext_grid["p_mw"].sum()
        totals["losses_mw"][step] = net.res_line["pl_mw"].sum() + net.res_trafo["pl_mw"].sum()
        totals["unserved_mw"][step] = load_mw[step][net.res_bus["vm_pu"].isna().to_numpy()].sum()
    return FlowSeries(
        bus_ids=net.bus["name"].to_numpy(object),
        branch_ids=np.concatenate([net.line["name"].to_numpy(object), net.trafo["name"].to_numpy(object)]),
        kinds=np.array(["line"] * len(net.line) + ["transformer"] * len(net.trafo), dtype=object),
        converged=converged, faults=tuple(faults), **at_bus, **at_branch, **totals,
    )  # fmt: skip


def engine() -> str:
    """Library and version, as certificates name it."""
    import pandapower

    return f"pandapower {pandapower.__version__} (Newton-Raphson)"


def _emptied(net: Any) -> Any:
    """A copy with one load per bus in place of all loads, static generators and storage units."""
    from pandapower import create_loads

    net = copy.deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table].drop(net[table].index, inplace=True)
    create_loads(net, buses=net.bus.index, p_mw=0.0, q_mvar=0.0)
    return net


def _refuse_misfits(net: Any, load_mw: np.ndarray, load_mvar: np.ndarray) -> None:
    for name, values in (("load_mw", load_mw), ("load_mvar", load_mvar)):
        if values.ndim != 2 or values.shape[1] != len(net.bus):
            raise FlowError(f"{name} has shape {values.shape}; expected steps x {len(net.bus)} buses")
        odd = np.argwhere(~np.isfinite(values))
        if len(odd):
            step, bus = odd[0]
            raise FlowError(f"{name}, step {step}, bus {net.bus['name'].iloc[bus]!r}: {values[step, bus]} is not a finite number")
    if load_mw.shape != load_mvar.shape:
        raise FlowError(f"load_mw has shape {load_mw.shape}, load_mvar {load_mvar.shape}; expected the same")


def _solve(net: Any, load_mw: np.ndarray, load_mvar: np.ndarray, warm: bool) -> bool:
    """Solves one step, from the step before where that one converged, else (and again if that fails) from a DC solution."""
    from pandapower import LoadflowNotConverged, runpp

    net.load["p_mw"], net.load["q_mvar"] = load_mw, load_mvar
    for start in ("results", "dc") if warm else ("dc", "flat"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                runpp(net, numba=False, init=start, calculate_voltage_angles=True, tolerance_mva=TOLERANCE_MVA)
        except (LoadflowNotConverged, FloatingPointError, np.linalg.LinAlgError):
            continue
        supplied = net.res_bus["vm_pu"].notna()
        if net.converged and supplied.any() and np.isfinite(net.res_ext_grid["p_mw"]).all():
            return True
    return False


def _branch_results(net: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loading in %, active power at the beginning in MW, current in kA; a branch without supply carries nothing."""
    line, trafo = net.res_line, net.res_trafo
    ratio = (net.trafo["vn_lv_kv"] / net.trafo["vn_hv_kv"]).to_numpy()
    upper = np.fmax(trafo["i_hv_ka"].to_numpy(), trafo["i_lv_ka"].to_numpy() * ratio)
    loading = np.concatenate([line["loading_percent"], trafo["loading_percent"]])
    power = np.concatenate([line["p_from_mw"], trafo["p_hv_mw"]])
    current = np.concatenate([np.fmax(line["i_from_ka"], line["i_to_ka"]), upper])
    return np.nan_to_num(loading), np.nan_to_num(power), np.nan_to_num(current)


def _residual_mva(net: Any, load_mw: np.ndarray, load_mvar: np.ndarray) -> float:
    """The largest nodal power mismatch, from the admittance matrix, the voltages and the injections that were asked for.

    At buses that hold their voltage only the active power is known beforehand; at the supply nothing is.
    """
    solved = net._ppc["internal"]
    voltage, admittance = solved["V"], solved["Ybus"]
    place = net._pd2ppc_lookups["bus"]
    supplied = net.res_bus["vm_pu"].notna().to_numpy()
    wanted = np.zeros(len(voltage), complex)
    np.subtract.at(wanted, place[net.bus.index[supplied]], (load_mw + 1j * load_mvar)[supplied])
    held = net.gen[net.gen["in_service"].astype(bool) & net.gen["bus"].isin(net.bus.index[supplied])]
    np.add.at(wanted, place[held["bus"]], (held["p_mw"] * held["scaling"]).to_numpy(complex))
    mismatch = voltage * np.conj(admittance @ voltage) * solved["baseMVA"] - wanted
    reference, controlled = np.asarray(solved["ref"], int), np.asarray(solved["pv"], int)
    mismatch[controlled] = mismatch[controlled].real
    mismatch[reference] = 0
    largest = float(np.abs(mismatch).max())
    return largest if math.isfinite(largest) else math.inf
