"""OpenDSS feeders: whether a balanced network can stand for them is told before, and proved after the conversion.

pandapower's converter folds single-phase branches into three-phase ones without an error. So the compiled circuit is looked through first,
and the converted network's voltages are compared with OpenDSS' own solution.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from grid_assets.powerflow.file_formats import needs
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit

LARGEST_DIFFERENCE_PU = 1e-3
CONVERTED = ("line", "transformer", "load", "capacitor", "vsource")
PASSIVE = ("regcontrol", "capcontrol", "energymeter", "monitor", "linecode", "linegeometry", "linespacing", "wiredata", "loadshape", "xfmrcode",
           "tcc_curve", "growthshape", "spectrum", "fuse", "recloser", "relay", "swtcontrol", "sensor")  # fmt: skip
"""Classes that carry no power of their own: controls count by the state that they have reached."""


def load_feeder(file: Path) -> AdmittedNetwork:
    """A feeder from its master .dss file, through the gate, at the taps and states that OpenDSS' solution has. Needs the extra ``formats``.

    Raises NetworkError when OpenDSS cannot compile or solve it; where a balanced network cannot stand for an element (which and why);
    and when a voltage differs from OpenDSS' own by more than 1e-3 p.u. A .dss file is a script: open only what you trust.
    """
    needs("opendssdirect", "formats", f"{file}: OpenDSS")
    net, expected, apart = _converted(file)
    admitted = _proved(file, admit(net, file.name, tuple(net["opendss_import"]["warnings"])), expected)
    said = f"phases are up to {apart:.1e} p.u. away from their positive sequence, which alone is studied"
    return AdmittedNetwork(admitted.net, admitted.source, (*admitted.repairs, said))


def unbalanced_elements(dss: Any) -> list[str]:
    """Sentences on what a balanced network cannot stand for in the circuit that OpenDSS holds: which element, why."""
    found = []
    for full in dss.Circuit.AllElementNames():
        kind = full.split(".", 1)[0].lower()
        if kind in PASSIVE or kind.endswith("control"):
            continue
        dss.Circuit.SetActiveElement(full)
        if not dss.CktElement.Enabled():
            continue
        if kind not in CONVERTED:
            found.append(f"{full}: the converter passes over elements of this class")
            continue
        found += _odd_connection(dss, full, kind)
    return found + _odd_sources(dss) + _odd_transformers(dss) + _odd_loads(dss) + _odd_capacitors(dss)


def _odd_connection(dss: Any, full: str, kind: str) -> list[str]:
    phases = dss.CktElement.NumPhases()
    if phases != 3:
        return [f"{full}: {phases} phase{'s' if phases > 1 else ''}; expected three"]
    order = dss.CktElement.NodeOrder()
    conductors = dss.CktElement.NumConductors()
    for terminal in range(len(order) // conductors if conductors else 0):
        nodes = [node for node in order[terminal * conductors : (terminal + 1) * conductors] if node]
        if kind in ("line", "load") and sorted(nodes)[:3] != [1, 2, 3]:
            return [f"{full}: terminal {terminal + 1} is connected to nodes {nodes}; expected 1, 2 and 3"]
        if kind == "line" and nodes[:3] != [1, 2, 3]:
            return [f"{full}: its phases are transposed ({nodes}); expected 1, 2, 3"]
    return []


def _odd_sources(dss: Any) -> list[str]:
    count = sum(1 for _ in _walk(dss.Vsources))
    return [] if count == 1 else [f"{count} voltage sources; the converter takes one only"]


def _odd_transformers(dss: Any) -> list[str]:
    found = []
    for name in _walk(dss.Transformers):
        if dss.Transformers.NumWindings() != 2:
            found.append(f"Transformer.{name}: {dss.Transformers.NumWindings()} windings; expected two")
    return found


def _odd_loads(dss: Any) -> list[str]:
    return [f"Load.{name}: model {dss.Loads.Model()}, which draws by voltage; expected model 1 (constant power)"
            for name in _walk(dss.Loads) if dss.Loads.Model() != 1]  # fmt: skip


def _odd_capacitors(dss: Any) -> list[str]:
    """A capacitor between two buses is in series; the converter takes it for one to ground."""
    found = []
    for name in _walk(dss.Capacitors):
        dss.Circuit.SetActiveElement(f"Capacitor.{name}")
        ends = {bus.split(".")[0].lower() for bus in dss.CktElement.BusNames()}
        if len(ends) > 1:
            found.append(f"Capacitor.{name}: in series between {' and '.join(sorted(ends))}; expected one to ground")
    return found


def _walk(collection: Any) -> Iterator[str]:
    going = collection.First()
    while going:
        yield collection.Name()
        going = collection.Next()


@contextmanager
def _working_folder_kept() -> Iterator[None]:
    """OpenDSS changes the process' working folder when it compiles."""
    before = os.getcwd()
    try:
        yield
    finally:
        os.chdir(before)


def _converted(file: Path) -> tuple[Any, dict[str, float], float]:
    """The converted net, OpenDSS' voltages by bus (positive sequence, per unit), and how far a phase is from it."""
    import opendssdirect as dss
    from pandapower.converter.opendss.from_dss import from_opendss

    with _working_folder_kept():
        try:
            dss.Basic.AllowEditor(False)
            dss.Basic.AllowForms(False)
            dss.Text.Command("Clear")
            dss.Text.Command(f'Redirect "{file.resolve()}"')
            dss.Solution.Solve()
            solved = dss.Solution.Converged() and len(dss.Circuit.AllBusNames() or ())
        except Exception as error:  # the engine raises whatever it stumbles over
            raise NetworkError(f"{file}: OpenDSS cannot read or solve it: {type(error).__name__}: {error}") from error
        if not solved:
            raise NetworkError(f"{file}: OpenDSS finds no solution; nothing that it could be compared with")
        if odd := unbalanced_elements(dss):
            more = f" ({len(odd)} such findings)" if len(odd) > 1 else ""
            raise NetworkError(f"{file}: a balanced network cannot stand for this feeder: {odd[0]}{more}; study it with OpenDSS itself")
        expected, apart = _positive_sequence(dss)
        try:
            with warnings.catch_warnings(), tempfile.TemporaryDirectory() as aside:
                warnings.simplefilter("ignore")
                os.chdir(aside)  # what the script writes beside itself
                net = from_opendss(str(file.resolve()))
        except Exception as error:
            raise NetworkError(f"{file}: pandapower cannot convert this feeder: {type(error).__name__}: {error}") from error
        finally:
            dss.Text.Command("Clear")
    return net, expected, apart


def _positive_sequence(dss: Any) -> tuple[dict[str, float], float]:
    turn = np.exp(2j * np.pi / 3)
    found, apart = {}, 0.0
    for name in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(name)
        polar = np.asarray(dss.Bus.puVmagAngle(), float).reshape(-1, 2)
        by_node = {node: size * np.exp(1j * np.radians(angle)) for node, (size, angle) in zip(dss.Bus.Nodes(), polar, strict=True)}
        if all(node in by_node for node in (1, 2, 3)):
            mean = found[name.lower()] = float(abs(by_node[1] + turn * by_node[2] + turn**2 * by_node[3]) / 3)
            apart = max(apart, *(abs(abs(by_node[node]) - mean) for node in (1, 2, 3)))
    return found, apart


def _proved(file: Path, admitted: AdmittedNetwork, expected: dict[str, float]) -> AdmittedNetwork:
    from pandapower import runpp

    net = admitted.net
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpp(net, numba=False)
    except Exception as error:
        raise NetworkError(f"{file}: the converted feeder has no solution, OpenDSS has one: {type(error).__name__}: {error}") from error
    wanted = net.bus["name"].astype(str).str.lower().map(expected)
    away = (net.res_bus["vm_pu"] - wanted).abs().fillna(np.inf)
    worst = away.idxmax()
    if away[worst] > LARGEST_DIFFERENCE_PU:
        raise NetworkError(f"{file}: at bus {net.bus['name'][worst]!r} the converted feeder has {net.res_bus['vm_pu'][worst]:.4f} p.u., OpenDSS "
                           f"{wanted[worst]:.4f}; expected a difference of at most {LARGEST_DIFFERENCE_PU:g}")  # fmt: skip
    for table in [name for name in net if name.startswith("res_")]:
        net[table] = net[table].iloc[0:0]
    said = f"compared with OpenDSS' own solution: largest difference of a voltage {away[worst]:.1e} p.u."
    return AdmittedNetwork(net, admitted.source, (*admitted.repairs, said))
