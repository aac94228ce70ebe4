"""Writes OpenDSS scripts: of element tables as the shared cases have them, and a small unbalanced feeder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNITS = ("none", "mi", "kft", "km", "m", "ft", "in", "cm")


def script(case: dict[str, Any]) -> str:
    """The case's elements with their final taps, controls left out."""
    source = case["vsource"][0]
    r, x = source["zsc1_ohm"]
    made = [
        "clear",
        f"new circuit.made bus1={source['bus']} basekv={source['base_kv']} pu={source['pu']} angle={source['angle_deg']} Z1=[{r}, {x}] Z0=[{r}, {x}]",
    ]
    for line in case["line"]:
        made.append(
            f"new line.{line['name']} bus1={line['bus1']} bus2={line['bus2']} phases={line['phases']} rmatrix=[{_matrix(line['rmatrix'])}] "
            f"xmatrix=[{_matrix(line['xmatrix'])}] cmatrix=[{_matrix(line['cmatrix_nf'])}] units={UNITS[line['units']]} length={line['length']} "
            f"normamps={line['norm_amps']} switch={'yes' if line['is_switch'] else 'no'}"
        )
    for one in case["transformer"]:
        windings = one["windings"]
        columns = {
            name: " ".join(str(w[key]) for w in windings)
            for name, key in (("buses", "bus"), ("kvs", "kv"), ("kvas", "kva"), ("taps", "tap"))
        }
        made.append(
            f"new transformer.{one['name']} phases={one['phases']} windings={len(windings)} "
            + " ".join(f"{name}=({text})" for name, text in columns.items())
            + f" conns=({' '.join('delta' if w['delta'] else 'wye' for w in windings)}) xhl={one['xhl_percent']}"
            + f" %rs=({' '.join(str(w['r_percent']) for w in windings)})"
        )
    for load in case["load"]:
        made.append(
            f"new load.{load['name']} bus1={load['bus']} phases={load['phases']} conn={'delta' if load['delta'] else 'wye'} kv={load['kv']} "
            f"kw={load['kw']} kvar={load['kvar']} model={load['model']} vminpu=0.5"
        )
    for one in case["capacitor"]:
        made.append(f"new capacitor.{one['name']} bus1={one['bus']} phases={one['phases']} kv={one['kv']} kvar={one['kvar']}")
    kvs = sorted({round(w["kv"], 4) for one in case["transformer"] if one["phases"] == 3 for w in one["windings"]} | {source["base_kv"]})
    return "\n".join([*made, f"set voltagebases={kvs}", "calcvoltagebases", "set tolerance=1e-9", "solve", ""])


def small_feeder(extra: Sequence[str] = (), load: str = "phases=3 kv=10 kw=900 kvar=300") -> str:
    """A 10 kV feeder with two lines and a transformer, and what ``extra`` adds."""
    matrix = "rmatrix=[0.45 | 0.15 0.45 | 0.15 0.15 0.45] xmatrix=[0.6 | 0.2 0.6 | 0.2 0.2 0.6] cmatrix=[10 | -2 10 | -2 -2 10] normamps=300 units=km"
    return "\n".join([
        "clear",
        "new circuit.small bus1=src basekv=10 pu=1.0 Z1=[0.0001, 0.0005] Z0=[0.0001, 0.0005]",
        f"new line.first bus1=src bus2=a phases=3 length=1.5 {matrix}",
        f"new line.second bus1=a bus2=b phases=3 length=2 {matrix}",
        "new transformer.station phases=3 windings=2 buses=(b c) kvs=(10 0.4) kvas=(400 400) conns=(wye wye) xhl=4 %rs=(0.5 0.5)",
        f"new load.town bus1=a {load} model=1",
        "new load.street bus1=c phases=3 kv=0.4 kw=150 kvar=40 model=1",
        *extra,
        "set voltagebases=[10 0.4]", "calcvoltagebases", "set tolerance=1e-9", "solve", "",
    ])  # fmt: skip


def _matrix(rows: Sequence[Sequence[float]]) -> str:
    return " | ".join(" ".join(f"{value:.12g}" for value in row) for row in rows)
