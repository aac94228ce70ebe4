"""MATPOWER cases: read through pandapower's converter, then proved against the admittances that the case's own tables give."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit

BUS_I, BUS_TYPE, GS, BS, BASE_KV = 0, 1, 4, 5, 9
F_BUS, T_BUS, BR_R, BR_X, BR_B, TAP, SHIFT, BR_STATUS = 0, 1, 2, 3, 4, 8, 9, 10
"""Columns of the bus and branch tables (MATPOWER manual, appendix B, case format version 2)."""
OUT_OF_SERVICE = 4
HERTZ = 50
ASSUMED_KV = 100.0
LARGEST_DIFFERENCE = 1e-8
STATEMENT = re.compile(r"^\s*(?:mpc\.\w+\s*\(|mpc\.\w+\s*=\s*(?![\s\[{'\"\d.+-])|(?:if|for|while|switch)\b|\[[^\]]*\]\s*=)", re.MULTILINE)
"""Lines that compute: an assignment to a part of a table, of an expression, of several results, a branch or a loop."""


def load_case(file: Path) -> AdmittedNetwork:
    """A .m or .mat case, format version 2, through the gate.

    Raises NetworkError for files that cannot be read, for .m files that change their tables by code (case33bw and others convert
    kW to MW after the tables: without running it every figure would be wrong), and where the converted network has other admittances.
    """
    if file.suffix.lower() == ".m":
        _refuse_code(file)
    case, said = _tables(file)
    admitted = admit(_converted(file, case), file.name, said)
    _refuse_changed_admittances(file, case, admitted)
    return admitted


def _refuse_code(file: Path) -> None:
    text = file.read_text(encoding="utf-8", errors="replace")
    code = "\n".join(line.split("%")[0] for line in text.splitlines())
    if found := STATEMENT.search(code):
        number = code.count("\n", 0, found.start() + len(found.group()) - len(found.group().lstrip())) + 1
        raise NetworkError(f"{file}, line {number}: the case computes its tables by code ({text.splitlines()[number - 1].strip()!r}), which is not "
                           "run here; load it in MATPOWER and write it with savecase, then give that file")  # fmt: skip


def _tables(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The case's tables with buses numbered from 0 and ratio 1 for none, and what was assumed."""
    try:
        case = _text_tables(file) if file.suffix.lower() == ".m" else _binary_tables(file)
        for name, least in (("bus", 13), ("branch", 11), ("gen", 10)):
            case[name] = np.array(case[name], float, ndmin=2)
            if case[name].shape[1] < least:
                raise ValueError(f"table {name} has {case[name].shape[1]} columns; expected at least {least}")
        for name in ("bus", "branch"):
            if np.isnan(case[name]).any():
                raise ValueError(f"table {name} has values that are no numbers")
        case["baseMVA"] = float(case["baseMVA"])
    except Exception as error:  # the parsers raise whatever they stumble over
        raise NetworkError(f"{file}: not a readable MATPOWER case (format version 2): {type(error).__name__}: {error}") from error
    bus, branch = case["bus"], case["branch"]
    bus[:, BUS_I] -= 1
    branch[:, [F_BUS, T_BUS]] -= 1
    case["gen"][:, 0] -= 1
    branch[branch[:, TAP] == 0, TAP] = 1.0
    bare = bus[:, BASE_KV] <= 0
    bus[bare, BASE_KV] = ASSUMED_KV
    assumed = (
        f"{int(bare.sum())} buses had no base voltage and were given {ASSUMED_KV:g} kV: voltages per unit do not depend on it, currents do"
    )
    return case, (assumed,) if bare.any() else ()


def _text_tables(file: Path) -> dict[str, Any]:
    from matpowercaseframes import CaseFrames

    frames = CaseFrames(str(file))
    case = {name: getattr(frames, name) for name in ("version", "baseMVA")}
    case.update({name: getattr(frames, name).to_numpy() for name in ("bus", "branch", "gen")})
    if "bus_name" in frames.attributes:
        case["bus_name"] = np.asarray(frames.bus_name, object).ravel()
    return case


def _binary_tables(file: Path) -> dict[str, Any]:
    import scipy.io

    held = scipy.io.loadmat(file, squeeze_me=True, struct_as_record=False)
    if "mpc" not in held:
        raise ValueError("no struct named mpc in it")
    return {name: getattr(held["mpc"], name) for name in ("version", "baseMVA", "bus", "branch", "gen")}


def _converted(file: Path, case: dict[str, Any]) -> Any:
    from pandapower.converter.pypower import from_ppc

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return from_ppc({name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}, f_hz=HERTZ)
    except Exception as error:  # the converter raises whatever it stumbles over
        raise NetworkError(f"{file}: pandapower cannot convert this MATPOWER case: {type(error).__name__}: {error}") from error


def _refuse_changed_admittances(file: Path, case: dict[str, Any], admitted: AdmittedNetwork) -> None:
    """pandapower's converter loses the sign of a transformer's charging and more; whatever it loses shows in the nodal admittances."""
    network = compiled(admitted)
    place = dict(zip(admitted.net.bus.index, network.place, strict=True))
    rows = np.array([place[int(bus)] for bus in case["bus"][:, BUS_I]])
    kept = np.flatnonzero(rows >= 0)
    if len(np.unique(rows[kept])) != len(kept) or len(kept) != len(network.start):
        raise NetworkError(f"{file}: {len(kept)} buses of the case became {len(network.start)} in pandapower; expected the same")
    ours = network.admittance[rows[kept]][:, rows[kept]] * (network.base_mva / case["baseMVA"])
    theirs = _admittance(case)[kept][:, kept]
    away = abs(ours - theirs)
    scale = np.maximum(abs(theirs).max(axis=1).toarray().ravel(), 1.0)
    worst = away.max(axis=1).toarray().ravel() / scale
    if len(worst) and worst.max() > LARGEST_DIFFERENCE:
        bus = int(case["bus"][kept[worst.argmax()], BUS_I]) + 1
        raise NetworkError(f"{file}: bus {bus}: the converted network's admittances differ by {worst.max():.2g} from the case's own; pandapower's "
                           "converter does not keep an element there (a transformer with positive charging, or with its ratio at the lower "
                           "voltage); model it by two elements")  # fmt: skip


def _admittance(case: dict[str, Any]) -> sp.csr_matrix:
    """Nodal admittances per unit of baseMVA (MATPOWER manual, equations 3.7 to 3.13), out-of-service elements left out."""
    bus, branch = case["bus"], case["branch"]
    position = {int(number): row for row, number in enumerate(bus[:, BUS_I])}
    dead = {int(number) for number in bus[bus[:, BUS_TYPE] == OUT_OF_SERVICE, BUS_I]}
    live = [row for row in branch if row[BR_STATUS] > 0 and int(row[F_BUS]) not in dead and int(row[T_BUS]) not in dead]
    made = np.array(live).reshape(len(live), -1)
    ends = np.array([[position[int(row[F_BUS])], position[int(row[T_BUS])]] for row in live], int).reshape(-1, 2)
    series, half = 1.0 / (made[:, BR_R] + 1j * made[:, BR_X]), 0.5j * made[:, BR_B]
    ratio = made[:, TAP] * np.exp(1j * np.radians(made[:, SHIFT]))
    blocks = [(series + half) / np.abs(ratio) ** 2, -series / np.conj(ratio), -series / ratio, series + half]
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    shunts = (bus[:, GS] + 1j * bus[:, BS]) / case["baseMVA"]
    values = np.concatenate([*blocks, shunts])
    row = np.concatenate([*(ends[:, one] for one, _ in places), np.arange(len(bus))])
    column = np.concatenate([*(ends[:, other] for _, other in places), np.arange(len(bus))])
    return sp.csr_matrix((values, (row, column)), (len(bus), len(bus)))
