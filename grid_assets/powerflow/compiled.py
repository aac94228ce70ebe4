"""A network compiled once into arrays: admittances, the supply, lookups back to the elements. Everything that is solved in batches
starts from here.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as linalg

from grid_assets.powerflow.gate import AdmittedNetwork

logging.getLogger("pandapower").setLevel(logging.ERROR)
TOLERANCE_MVA = 1e-8
BRANCH_TABLES = {"line": "line", "trafo": "transformer", "impedance": "impedance"}
"""pandapower's tables of branches, and what their rows are called; the order of all results by branch."""


class FlowError(ValueError):
    """A flow study that cannot be done, or of which nothing converged."""


@dataclass(frozen=True)
class CompiledNetwork:
    """What a solver needs. Solved buses are those of pandapower's internal numbering: joined by closed switches, with a supply.

    Admittances and powers are per unit of ``base_mva``.
    """

    bus_ids: np.ndarray
    """Names [buses], in the order of ``net.bus``."""
    branch_ids: np.ndarray
    """Names [branches]: lines, then transformers, then impedances."""
    kinds: np.ndarray
    place: np.ndarray
    """[buses]: the solved bus of each; -1 without a supply."""
    admittance: sp.csc_matrix
    """[solved, solved]"""
    from_admittance: sp.csr_matrix
    """[branches, solved]: currents into each branch at its beginning; no entry for a branch out of service."""
    to_admittance: sp.csr_matrix
    ends: np.ndarray
    """[branches, 2]: solved buses at the beginning and the end; -1 out of service."""
    branch_admittance: np.ndarray
    """[branches, 2, 2]: what each branch in service adds to the admittances of its ends."""
    start: np.ndarray
    """Voltages of the network without load, or with its own [solved], complex; those of supplies and generators hold."""
    reference: np.ndarray
    """The solved buses that the supply holds."""
    controlled: np.ndarray
    """Those whose voltage a generator holds."""
    generation: np.ndarray
    """Active power of the generators that hold their voltage [solved]."""
    base_mva: float
    current_ka: np.ndarray
    """[branches, 2]: kA for a current of 1 per unit at either end; of a transformer referred to its upper side, as its rating is."""
    rating_ka: np.ndarray
    """[branches]"""

    @cached_property
    def free(self) -> np.ndarray:
        """The solved buses that no supply holds."""
        return np.setdiff1d(np.arange(len(self.start)), self.reference)

    @cached_property
    def among_free(self) -> np.ndarray:
        """[solved]: the position of each among ``free``; -1 for those that a supply holds."""
        made = np.full(len(self.start), -1)
        made[self.free] = np.arange(len(self.free))
        return made

    @cached_property
    def factors(self) -> linalg.SuperLU:
        """Of the admittances at the free buses, of which there must be some."""
        return factorised(self.admittance[self.free][:, self.free])

    @cached_property
    def no_load(self) -> np.ndarray:
        """Voltages at the free buses when nothing is drawn [free], where no generator holds one."""
        return self.factors.solve(-(self.admittance[self.free][:, self.reference] @ self.start[self.reference]))

    @cached_property
    def supplied(self) -> np.ndarray:
        return self.place >= 0

    @cached_property
    def _gathering(self) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """A bus of each solved bus and what its load counts, nothing where pandapower added one of its own; then (buses, solved buses) of
        those that closed switches join to others, no solved bus twice in a pair of arrays."""
        left, pairs = np.flatnonzero(self.supplied), []
        while len(left):
            places, at = np.unique(self.place[left], return_index=True)
            pairs.append((left[at], places))
            left = np.delete(left, at)
        (buses, places), *others = pairs or [(np.empty(0, int), np.empty(0, int))]
        first, counts = np.zeros(len(self.start), int), np.zeros(len(self.start))
        first[places], counts[places] = buses, -1.0 / self.base_mva
        return first, counts, others

    def injections(self, load_mw: np.ndarray, load_mvar: np.ndarray) -> np.ndarray:
        """Complex power into each solved bus [steps, solved] for loads [steps, buses], MW and Mvar; loads without a supply are left out."""
        made = np.empty((len(load_mw), len(self.start)), complex)
        first, counts, others = self._gathering
        for part, load in ((made.real, load_mw), (made.imag, load_mvar)):
            np.multiply(np.take(load, first, axis=1), counts, out=part)
            for buses, places in others:
                part[:, places] -= np.take(load, buses, axis=1) / self.base_mva
        if self.generation.any():
            made += self.generation
        return made


def compiled(admitted: AdmittedNetwork) -> CompiledNetwork:
    """The arrays of a network that passed the gate, without its own loads, static generators and storage units.

    pandapower builds them while it solves the network without load, or, where its generators cannot do without, with the network's own.
    They are built once for each admitted network, which does not change. Raises FlowError where neither has a solution.
    """
    if admitted not in _BUILT:
        _BUILT[admitted] = _compiled(admitted)
    return _BUILT[admitted]


_BUILT: WeakKeyDictionary[AdmittedNetwork, CompiledNetwork] = WeakKeyDictionary()


def _compiled(admitted: AdmittedNetwork) -> CompiledNetwork:
    net = _solved(admitted.net)
    inside, lookup = net._ppc["internal"], net._pd2ppc_lookups
    if "V" not in inside:
        return _of_supplies_only(net)
    voltage = np.asarray(inside["V"])
    supplied = net.res_bus["vm_pu"].notna().to_numpy()
    place = np.where(supplied, lookup["bus"][net.bus.index], -1)
    rows = _branch_rows(net)
    there = rows >= 0
    currents = [_rows(sp.csr_matrix(inside[name]), rows) for name in ("Yf", "Yt")]
    branch = np.asarray(inside["branch"])
    ends = np.where(there[:, None], np.real(branch[np.maximum(rows, 0), :2]).astype(int), -1)
    controlled = np.asarray(inside["pv"], int)
    names, kinds = _branches(net)
    return CompiledNetwork(
        bus_ids=net.bus["name"].to_numpy(object), branch_ids=names, kinds=kinds,
        place=place, admittance=sp.csc_matrix(inside["Ybus"]), from_admittance=currents[0], to_admittance=currents[1], ends=ends,
        branch_admittance=_blocks(currents, ends), start=voltage, reference=np.asarray(inside["ref"], int), controlled=controlled,
        generation=_generation(net, place, len(voltage)), base_mva=float(inside["baseMVA"]),
        current_ka=_current_scale(net, inside, ends), rating_ka=_ratings(net),
    )  # fmt: skip


def _of_supplies_only(net: Any) -> CompiledNetwork:
    """Where no branch leads away from the supply, as after the outage of the one transformer: pandapower then solves nothing and keeps no arrays."""
    supplied = net.res_bus["vm_pu"].notna().to_numpy()
    place = np.full(len(net.bus), -1)
    joined, place[supplied] = np.unique(net._pd2ppc_lookups["bus"][net.bus.index[supplied]], return_inverse=True)
    volts = (net.res_bus["vm_pu"] * np.exp(1j * np.radians(net.res_bus["va_degree"].astype(float)))).to_numpy(complex)
    start = np.empty(len(joined), complex)
    start[place[supplied]] = volts[supplied]
    names, kinds = _branches(net)
    count, solved, branches = len(joined), np.arange(len(joined)), len(names)
    nothing = np.empty(0, int)
    return CompiledNetwork(
        bus_ids=net.bus["name"].to_numpy(object), branch_ids=names, kinds=kinds, place=place, admittance=sp.csc_matrix((count, count), dtype=complex),
        from_admittance=sp.csr_matrix((branches, count), dtype=complex), to_admittance=sp.csr_matrix((branches, count), dtype=complex),
        ends=np.full((branches, 2), -1), branch_admittance=np.zeros((branches, 2, 2), complex), start=start, reference=solved,
        controlled=nothing, generation=np.zeros(count, complex), base_mva=float(net.sn_mva), current_ka=np.zeros((branches, 2)), rating_ka=_ratings(net),
    )  # fmt: skip


def _branches(net: Any) -> tuple[np.ndarray, np.ndarray]:
    """Names and kinds of the branches, in the order of all results."""
    names = np.concatenate([net[table]["name"].to_numpy(object) for table in BRANCH_TABLES])
    return names, np.repeat(np.array(list(BRANCH_TABLES.values()), dtype=object), [len(net[table]) for table in BRANCH_TABLES])


def emptied(net: Any) -> Any:
    """A copy with one load per bus, of nothing, in place of all loads, static generators and storage units."""
    from pandapower import create_loads

    net = copy.deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table].drop(net[table].index, inplace=True)
    create_loads(net, buses=net.bus.index, p_mw=0.0, q_mvar=0.0)
    return net


def _solved(net: Any) -> Any:
    from pandapower import LoadflowNotConverged, runpp

    for given in (emptied(net), copy.deepcopy(net)):
        for start in ("dc", "flat"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    runpp(given, numba=False, init=start, calculate_voltage_angles=True, tolerance_mva=TOLERANCE_MVA)
            except (LoadflowNotConverged, FloatingPointError, np.linalg.LinAlgError):
                continue
            if np.isfinite(np.asarray(given._ppc["internal"].get("V", 1.0))).all():
                return given
    raise FlowError(
        "the network has no solution, neither without load nor with its own; look for impedances or voltages far too large or small, "
        "or generators that hold voltages far apart"
    )


def factorised(matrix: sp.spmatrix) -> linalg.SuperLU:
    """Factors of a matrix whose pattern is symmetric, in an order of few new entries: hardly any where the network is a tree."""
    return linalg.splu(
        sp.csc_matrix(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )  # fmt: skip


def _branch_rows(net: Any) -> np.ndarray:
    """The row of each line and transformer among the solved branches; -1 out of service."""
    alive = np.asarray(net._ppc["internal"]["branch_is"], bool)
    row = np.where(alive, np.cumsum(alive) - 1, -1)
    lookup = net._pd2ppc_lookups["branch"]
    return np.concatenate([row[slice(*lookup[table])] if table in lookup else np.empty(0, int) for table in BRANCH_TABLES])


def _rows(matrix: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
    there = (rows >= 0).astype(float)
    return sp.csr_matrix(sp.diags(there) @ matrix[np.maximum(rows, 0)]) if len(rows) else matrix[:0]


def _blocks(currents: list[sp.csr_matrix], ends: np.ndarray) -> np.ndarray:
    made = np.zeros((len(ends), 2, 2), complex)
    alive = np.flatnonzero(ends[:, 0] >= 0)
    for side, matrix in enumerate(currents):
        for other in (0, 1):
            made[alive, side, other] = np.asarray(matrix[alive, ends[alive, other]]).ravel()
    made[ends[:, 0] == ends[:, 1]] /= 2  # both ends are one bus, by a closed switch around it: its one entry stands for both
    return made


def _generation(net: Any, place: np.ndarray, solved: int) -> np.ndarray:
    made = np.zeros(solved, complex)
    at = dict(zip(net.bus.index, place, strict=True))
    held = net.gen[net.gen["in_service"].astype(bool) & net.gen["bus"].map(at).ge(0)]
    np.add.at(
        made, held["bus"].map(at).to_numpy(int), (held["p_mw"] * held["scaling"]).to_numpy(complex) / float(net._ppc["internal"]["baseMVA"])
    )
    return made


def _current_scale(net: Any, inside: Any, ends: np.ndarray) -> np.ndarray:
    from pandapower.pypower.idx_bus import BASE_KV

    base_kv = np.real(np.asarray(inside["bus"])[:, BASE_KV]).astype(float)
    made = float(inside["baseMVA"]) / (math.sqrt(3) * base_kv[np.maximum(ends, 0)])
    made[len(net.line) : len(net.line) + len(net.trafo), 1] *= (net.trafo["vn_lv_kv"] / net.trafo["vn_hv_kv"]).to_numpy(float)
    return made


def _ratings(net: Any) -> np.ndarray:
    line = net.line["max_i_ka"] * net.line["df"] * net.line["parallel"]
    trafo = net.trafo["sn_mva"] * net.trafo["df"] * net.trafo["parallel"] / (math.sqrt(3) * net.trafo["vn_hv_kv"])
    return np.concatenate([line.to_numpy(float), trafo.to_numpy(float), np.full(len(net.impedance), np.inf)])
