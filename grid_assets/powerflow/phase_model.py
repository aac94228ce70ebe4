"""A network by phases, compiled once: nodes, branches with their sequence admittances, supplies. What unbalanced flow starts from.

Sequence quantities are in SI units (ohm, siemens, volt); sequences are in the order zero, positive, negative.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit
from grid_assets.powerflow.plausibility import called, joined_buses

TURN = np.exp(2j * np.pi / 3)
SEQUENCES = np.array([[1, 1, 1], [1, TURN**2, TURN], [1, TURN, TURN**2]])
"""Phase values of sequence values (Fortescue 1918)."""
ZERO_SEQUENCE = ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km")
ASYMMETRIC = ("asymmetric_load", "asymmetric_sgen")
NOT_BY_PHASE = ("gen", "impedance", "shunt")
GROUP = re.compile(r"^(YN|D)(yn)(\d{0,2})$")
IDEAL_SUPPLY_MVA = 1e14
TO_KEEP_THE_ZERO_SEQUENCE = 1e-6


@dataclass(frozen=True)
class PhaseNetwork:
    """Arrays by node (buses joined by closed switches are one), by branch (lines, then transformers) and by supply."""

    bus_ids: np.ndarray
    node: np.ndarray
    """[buses]: the node of each."""
    volt: np.ndarray
    """[nodes]: nominal voltage, phase to phase."""
    branch_ids: np.ndarray
    kinds: np.ndarray
    ends: np.ndarray
    """[branches, 2]: nodes."""
    closed: np.ndarray
    """[branches, 2]: whether each end is connected."""
    rating_a: np.ndarray
    """[branches]; of a transformer at its upper side."""
    lines: pd.DataFrame
    """Total r1, x1, c1, r0, x0, c0 (ohm, farad) and tan (conductance over susceptance) of each line."""
    transformers: pd.DataFrame
    """u1, u2 (V, with their taps), sn (VA), uk, rk, i0 (fractions), p0 (W), upper, lower (winding letters), clock."""
    supplies: pd.DataFrame
    """node, vm_pu, angle (rad), sk (VA), rx, z01."""
    hertz: float

    def sequence_blocks(self) -> np.ndarray:
        """[branches, 3 sequences, 2, 2]: nodal admittances of each branch, siemens; open ends are eliminated."""
        made = np.concatenate([_line_blocks(self.lines, self.hertz), _transformer_blocks(self.transformers)])
        for side in (0, 1):
            opened = ~self.closed[:, side]
            kept = made[opened]
            own = kept[:, :, side, side]
            other = 1 - side
            through = kept[:, :, other, side] * kept[:, :, side, other]
            left = kept[:, :, other, other] - np.divide(through, own, out=np.zeros_like(own), where=own != 0)
            kept[:] = 0
            kept[:, :, other, other] = left
            made[opened] = kept
        made[~self.closed.any(axis=1)] = 0
        return made

    def admittance(self) -> sp.csr_matrix:
        """[3 nodes, 3 nodes]: of lines and transformers by phase, siemens; supplies are not in it."""
        blocks = np.einsum("ps,bsij,sq->bipjq", SEQUENCES, self.sequence_blocks(), np.linalg.inv(SEQUENCES))
        at = 3 * self.ends[:, :, None] + np.arange(3)
        row = np.broadcast_to(at[:, :, :, None, None], blocks.shape)
        column = np.broadcast_to(at[:, None, None, :, :], blocks.shape)
        size = 3 * len(self.volt)
        return sp.csr_matrix((blocks.ravel(), (row.ravel(), column.ravel())), (size, size))


def admit_by_phase(net: Any, source: str) -> AdmittedNetwork:
    """The gate for a study by phase: that of ``admit``, and what phases need besides; asymmetric loads are allowed.

    Raises NetworkError for lines without zero-sequence data (as single-phase laterals are), transformers without a vector group or one that is not modelled,
    loads in delta, elements with no model by phase.
    """
    net = copy.deepcopy(net)
    _refuse_without_phases(net, source)
    kept = {table: net[table].copy() for table in ASYMMETRIC if table in net}
    for table in kept:
        net[table] = net[table].iloc[0:0]
    admitted = admit(net, source)
    for table, frame in kept.items():
        admitted.net[table] = frame
    said = ()
    if admitted.net.ext_grid.reindex(columns=["s_sc_max_mva"])["s_sc_max_mva"].isna().any():
        said = ("a supply without short-circuit power (s_sc_max_mva) is taken as ideal: it holds all phases at its voltage",)
    return AdmittedNetwork(admitted.net, source, (*admitted.repairs, *said))


def _refuse_without_phases(net: Any, source: str) -> None:
    for table in NOT_BY_PHASE:
        if table in net and len(net[table]):
            raise NetworkError(f"{source}: {len(net[table])} elements in table {table!r}, which have no model by phase here; take them out or study the network balanced")  # fmt: skip
    for name in ZERO_SEQUENCE:
        values = pd.to_numeric(net.line[name], errors="coerce") if name in net.line else pd.Series(np.nan, net.line.index)
        bad = net.line[~np.isfinite(values.to_numpy(float)) | (values.to_numpy(float) < 0)]
        if len(bad):
            raise NetworkError(f"{source}: {called(bad, bad.index[0], 'line')}: {name} is missing or below 0 ({len(bad)} such lines); expected the zero-sequence data "
                               "of a three-phase line; branches of one or two phases have none: study such feeders with OpenDSS")  # fmt: skip
    for index, group in net.trafo.reindex(columns=["vector_group"])["vector_group"].items():
        match = GROUP.match(group) if isinstance(group, str) else None
        if match is None:
            raise NetworkError(f"{source}: {called(net.trafo, index, 'trafo')}: vector_group = {group!r}; expected Dyn or YNyn with or without its clock number, such as Dyn5: "
                               "the other groups give no way back to what loads from phase to neutral send into it")  # fmt: skip
        number, shift = match[3], float(net.trafo["shift_degree"].fillna(0)[index])
        if abs(shift / 30 - round(shift / 30)) > 1e-6 or (number and (int(number) - round(shift / 30)) % 12):
            raise NetworkError(
                f"{source}: {called(net.trafo, index, 'trafo')}: vector_group = {group!r} and shift_degree = {shift:g} do not agree"
            )
    for table in ASYMMETRIC:
        frame = net[table] if table in net else pd.DataFrame()
        phases = [name for name in frame if name[:2] in ("p_", "q_")]
        if len(frame) and (len(phases) < 6 or frame[phases].isna().any(axis=None)):
            raise NetworkError(
                f"{source}: {called(frame, frame.index[0], table)}: powers of phases are missing; expected p_a_mw to q_c_mvar"
            )
        odd = frame[frame["type"] != "wye"] if len(frame) else frame
        if len(odd):
            raise NetworkError(
                f"{source}: {called(odd, odd.index[0], table)}: type = {odd['type'].iloc[0]!r}; expected 'wye' (phase to neutral)"
            )


def phase_network(admitted: AdmittedNetwork) -> PhaseNetwork:
    """The arrays of a network that passed ``admit_by_phase``. Raises NetworkError for what only shows here."""
    net = admitted.net
    alive = net.bus["in_service"].astype(bool)
    node_of = joined_buses(net)
    node = node_of.to_numpy(int)
    volt = np.zeros(node.max() + 1)
    volt[node] = net.bus["vn_kv"].to_numpy(float) * 1e3
    ends, closed = [], []
    for table, letter, (one, other) in (("line", "l", ("from_bus", "to_bus")), ("trafo", "t", ("hv_bus", "lv_bus"))):
        frame = net[table]
        opened = net.switch[(net.switch["et"] == letter) & ~net.switch["closed"].astype(bool)]
        cut = set(zip(opened["element"], opened["bus"], strict=True))
        for index, a, b, on in zip(frame.index, frame[one], frame[other], frame["in_service"], strict=True):
            ends.append((node_of[a], node_of[b]))
            closed.append([bool(on) and (index, bus) not in cut and alive[bus] for bus in (a, b)])
    line, trafo = _lines(net), _transformers(net, admitted.source)
    rating = np.concatenate([(net.line["max_i_ka"] * net.line["df"] * net.line["parallel"]).to_numpy(float) * 1e3,
                             (trafo["sn"] * net.trafo["df"].to_numpy() / (math.sqrt(3) * net.trafo["vn_hv_kv"].to_numpy() * 1e3)).to_numpy(float)])  # fmt: skip
    return PhaseNetwork(
        bus_ids=net.bus["name"].to_numpy(object), node=node, volt=volt,
        branch_ids=np.concatenate([net.line["name"].to_numpy(object), net.trafo["name"].to_numpy(object)]),
        kinds=np.repeat(np.array(["line", "transformer"], object), [len(net.line), len(net.trafo)]),
        ends=np.array(ends, int).reshape(-1, 2), closed=np.array(closed, bool).reshape(-1, 2), rating_a=rating, lines=line, transformers=trafo,
        supplies=_supplies(net, node_of), hertz=float(net.f_hz),
    )  # fmt: skip


def _lines(net: Any) -> pd.DataFrame:
    line = net.line
    length, parallel = line["length_km"].to_numpy(float), line["parallel"].to_numpy(float)
    made = {}
    for ours, theirs in (("r1", "r_ohm_per_km"), ("x1", "x_ohm_per_km"), ("r0", "r0_ohm_per_km"), ("x0", "x0_ohm_per_km")):
        made[ours] = line[theirs].to_numpy(float) * length / parallel
    for ours, theirs in (("c1", "c_nf_per_km"), ("c0", "c0_nf_per_km")):
        made[ours] = line[theirs].to_numpy(float) * length * parallel * 1e-9
    leak = line["g_us_per_km"].fillna(0).to_numpy(float) * 1e-6 * length * parallel
    charge = 2 * np.pi * net.f_hz * made["c1"]
    made["tan"] = np.divide(leak, charge, out=np.zeros_like(leak), where=charge > 0)
    return pd.DataFrame(made)


def _transformers(net: Any, source: str) -> pd.DataFrame:
    rows = []
    for index, one in net.trafo.iterrows():
        upper = "YN" if one["vector_group"].startswith("YN") else "D"
        volts = {"hv": one["vn_hv_kv"] * 1e3, "lv": one["vn_lv_kv"] * 1e3}
        away = one["tap_pos"] - (one["tap_neutral"] if pd.notna(one["tap_neutral"]) else 0) if pd.notna(one["tap_pos"]) else 0.0
        if away and isinstance(one["tap_side"], str):
            turned = one.get("tap_step_degree")
            if one["tap_changer_type"] != "Ratio" or (pd.notna(turned) and turned):
                raise NetworkError(
                    f"{source}: {called(net.trafo, index, 'trafo')}: an off-neutral tap that turns the phase has no model by phase here"
                )
            volts[one["tap_side"]] *= 1 + away * one["tap_step_percent"] / 100
        for name in ("vk", "vkr"):
            zero = one.get(f"{name}0_percent")
            if pd.notna(zero) and abs(zero - one[f"{name}_percent"]) > TO_KEEP_THE_ZERO_SEQUENCE:
                raise NetworkError(f"{source}: {called(net.trafo, index, 'trafo')}: {name}0_percent = {zero:g} differs from {name}_percent; power-grid-model takes one impedance for all sequences")  # fmt: skip
        sn = one["sn_mva"] * one["parallel"] * 1e6
        rows.append({"u1": volts["hv"], "u2": volts["lv"], "sn": sn, "uk": one["vk_percent"] / 100, "rk": one["vkr_percent"] / 100,
                     "i0": max(one["i0_percent"] / 100, one["pfe_kw"] * one["parallel"] * 1e3 / sn), "p0": one["pfe_kw"] * one["parallel"] * 1e3,
                     "upper": upper, "lower": "yn", "clock": round(float(one["shift_degree"] or 0) / 30) % 12})  # fmt: skip
    return pd.DataFrame(rows, columns=["u1", "u2", "sn", "uk", "rk", "i0", "p0", "upper", "lower", "clock"])


def _supplies(net: Any, node_of: pd.Series) -> pd.DataFrame:
    frame = net.ext_grid[net.ext_grid["in_service"].astype(bool)].reindex(
        columns=["bus", "vm_pu", "va_degree", "s_sc_max_mva", "rx_max", "r0x0_max", "x0x_max"]
    )
    rx = frame["rx_max"].fillna(0.1).to_numpy(float)
    zero_rx = frame["r0x0_max"].fillna(frame["rx_max"]).fillna(0.1).to_numpy(float)
    z01 = frame["x0x_max"].fillna(1.0).to_numpy(float) * np.hypot(1, zero_rx) / np.hypot(1, rx)
    return pd.DataFrame({
        "node": node_of[frame["bus"]].to_numpy(int), "vm_pu": frame["vm_pu"].to_numpy(float), "angle": np.radians(frame["va_degree"].fillna(0).to_numpy(float)),
        "sk": frame["s_sc_max_mva"].fillna(IDEAL_SUPPLY_MVA).to_numpy(float) * 1e6, "rx": rx, "z01": z01,
    })  # fmt: skip


def _line_blocks(lines: pd.DataFrame, hertz: float) -> np.ndarray:
    made = np.zeros((len(lines), 3, 2, 2), complex)
    for sequence, kind in ((0, "0"), (1, "1"), (2, "1")):
        series = 1 / (lines[f"r{kind}"] + 1j * lines[f"x{kind}"]).to_numpy(complex)
        half = np.pi * hertz * lines[f"c{kind}"].to_numpy(float) * (1j + lines["tan"].to_numpy(float))
        made[:, sequence, 0, 0] = made[:, sequence, 1, 1] = series + half
        made[:, sequence, 0, 1] = made[:, sequence, 1, 0] = -series
    return made


def _transformer_blocks(one: pd.DataFrame) -> np.ndarray:
    """Pi circuits at the lower side behind an ideal transformer. The zero sequence passes between grounded stars; below a delta it ends,
    with all of the magnetising admittance at the lower side, as power-grid-model has it."""
    made = np.zeros((len(one), 3, 2, 2), complex)
    base = (one["sn"] / one["u2"] ** 2).to_numpy(float)
    series = base / (one["rk"] + 1j * np.sqrt(one["uk"] ** 2 - one["rk"] ** 2)).to_numpy(complex)
    iron = (one["p0"] / one["sn"]).to_numpy(float)
    half = 0.5 * base * (iron - 1j * np.sqrt(np.maximum(one["i0"].to_numpy(float) ** 2 - iron**2, 0)))
    size, turn = (one["u1"] / one["u2"]).to_numpy(float), np.exp(1j * np.radians(30.0 * one["clock"].to_numpy(float)))
    grounded = (one["upper"] == "YN").to_numpy()
    for sequence, ratio in ((1, size * turn), (2, size * np.conj(turn)), (0, size * np.where(one["clock"] == 6, -1.0, 1.0))):
        y = series if sequence else np.where(grounded, series, 0)
        shunts = [half, half] if sequence else [np.where(grounded, half, 0), np.where(grounded, half, series + 2 * half)]
        made[:, sequence, 0, 0] = (y + shunts[0]) / size**2
        made[:, sequence, 0, 1], made[:, sequence, 1, 0] = -y / np.conj(ratio), -y / ratio
        made[:, sequence, 1, 1] = y + shunts[1]
    return made
