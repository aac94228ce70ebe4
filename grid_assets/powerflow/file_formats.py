"""Reads pandapower's own files and CIM CGMES models into pandapower nets, unrepaired."""

from __future__ import annotations

import importlib
import logging
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from grid_assets.powerflow.gate import NetworkError

CIM_16, CIM_100 = "2.4.15", "3.0"
NO_EQUIPMENT = ("BusbarSection", "Junction", "Ground", "GroundDisconnector")
"""CIM classes with terminals that add nothing to a net whose nodes are given."""
LARGEST_HEAD = 4096


def read_json(file: Path) -> Any:
    """A net written by ``pandapower.to_json``. Raises NetworkError."""
    import pandapower

    return _read(file, "pandapower JSON", lambda: pandapower.from_json(str(file)))


def read_excel(file: Path) -> Any:
    """A net written by ``pandapower.to_excel``. Raises NetworkError."""
    import pandapower

    net = _read(file, "pandapower Excel file", lambda: pandapower.from_excel(str(file)))
    for table in ("load", "sgen", "line", "trafo", "switch", "ext_grid", "bus", "gen", "storage", "shunt"):
        if "in_service" in net[table]:  # Excel gives back 1 and 0
            net[table]["in_service"] = net[table]["in_service"].astype(bool)
    return net


def read_cim(file: Path) -> Any:
    """A CGMES 2.4.15 or 3.0 model: a .zip, a folder of .xml and .zip files, or one .xml. Needs the extra ``formats``.

    Raises NetworkError when it cannot be read, or when equipment of the model is missing in the net: the converter passes over
    classes that it does not know.
    """
    needs("lxml", "formats", f"{file}: CIM CGMES")
    from pandapower.converter.cim.cim2pp.from_cim import from_cim_dict
    from pandapower.converter.cim.cim_classes import CimParser

    parts = sorted(one for one in file.iterdir() if one.suffix.lower() in (".xml", ".zip")) if file.is_dir() else [file]
    if not parts:
        raise NetworkError(f"{file}: no .xml or .zip file in this folder; expected the EQ, SSH and TP files of a CGMES model")
    version = _cim_version(parts)

    def convert() -> tuple[Any, Any]:
        # the converter writes pages to the log of what it did, and of every profile that is absent
        logging.getLogger("cim").setLevel(logging.CRITICAL)
        parser = CimParser(cgmes_version=version, ignore_errors=False)
        parser.parse_files([str(part) for part in parts])
        ratings = _permanent_ratings_ka(parser.get_cim_dict())
        parser.prepare_cim_net()
        parser.set_cim_data_types()
        net = from_cim_dict(parser, cim_version=version, ignore_errors=False, create_tap_controller=False)
        net.line["max_i_ka"] = net.line["max_i_ka"].fillna(net.line["origin_id"].map(ratings))
        return parser, net

    parser, net = _read(file, f"CIM CGMES {version} model", convert)
    _refuse_lost_equipment(file, parser.get_cim_dict(), net)
    net.pop("report_container", None)
    return net


def needs(module: str, extra: str, what: str) -> None:
    """Raises NetworkError, saying what to install, when an optional package is absent."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise NetworkError(f"{what} cannot be read without {module}; install grid_assets with its extra {extra!r}: "
                           f"pip install 'grid_assets[{extra}]'") from error  # fmt: skip


def _read(file: Path, kind: str, read: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except Exception as error:  # the readers raise whatever their parsers stumble over
        raise NetworkError(f"{file}: not a readable {kind}: {type(error).__name__}: {error}") from error


def _cim_version(parts: list[Path]) -> str:
    for part in parts:
        if any(b"TC57/CIM100" in head for head in _heads(part)):
            return CIM_100
    return CIM_16


def _heads(part: Path) -> list[bytes]:
    try:
        if part.suffix.lower() != ".zip":
            with part.open("rb") as stream:
                return [stream.read(LARGEST_HEAD)]
        with zipfile.ZipFile(part) as archive:
            heads = []
            for name in archive.namelist():
                with archive.open(name) as stream:
                    heads.append(stream.read(LARGEST_HEAD))
            return heads
    except (OSError, zipfile.BadZipFile) as error:
        raise NetworkError(f"{part}: not a readable CIM CGMES file: {error}") from error


def _permanent_ratings_ka(cim: dict[str, dict[str, pd.DataFrame]]) -> dict[str, float]:
    """Equipment id -> its smallest permanent current limit (PATL), which the converter does not read.

    A limit's set hangs on equipment or on one of its terminals; CGMES 3.0 keeps values in the SSH profile, normal ones in EQ.
    """
    tables = cim["eq"]
    if not all(
        name in tables and len(tables[name]) for name in ("CurrentLimit", "OperationalLimitSet", "OperationalLimitType", "Terminal")
    ):
        return {}
    kinds = tables["OperationalLimitType"].set_index("rdfId")
    kind = kinds[[name for name in ("limitType", "kind") if name in kinds]].bfill(axis=1).iloc[:, 0].astype(str)
    permanent = {one for one, text in kind.items() if text.lower().endswith("patl")}
    at_terminal = tables["Terminal"].set_index("rdfId")["ConductingEquipment"]
    sets = tables["OperationalLimitSet"].set_index("rdfId").reindex(columns=["Equipment", "Terminal"])
    owner = sets["Equipment"].fillna(sets["Terminal"].map(at_terminal))
    stated = cim["ssh"].get("CurrentLimit", pd.DataFrame(columns=["rdfId", "value"])).set_index("rdfId")["value"]
    found: dict[str, float] = {}
    for limit in tables["CurrentLimit"].to_dict("records"):
        given = [value for value in (limit.get("value"), stated.get(limit["rdfId"]), limit.get("normalValue")) if pd.notna(value)]
        held = owner.get(limit["OperationalLimitSet"])
        if given and limit["OperationalLimitType"] in permanent and isinstance(held, str):
            found[held] = min(found.get(held, float("inf")), float(given[0]) / 1000)
    return found


def _refuse_lost_equipment(file: Path, cim: dict[str, dict[str, pd.DataFrame]], net: Any) -> None:
    """Compares the equipment that has terminals with the ids that the net's tables carry."""
    kept: set[str] = set()
    for frame in net.values():
        if isinstance(frame, pd.DataFrame) and "origin_id" in frame:
            kept |= set(frame["origin_id"].dropna())
    wanted = set(cim["eq"]["Terminal"]["ConductingEquipment"].dropna())
    for name, frame in cim["eq"].items():
        if name in ("Terminal", *NO_EQUIPMENT) or "rdfId" not in frame:
            continue
        lost = frame[frame["rdfId"].isin(wanted - kept)]
        if len(lost):
            called = lost["name"].iloc[0] if "name" in lost and isinstance(lost["name"].iloc[0], str) else lost["rdfId"].iloc[0]
            raise NetworkError(f"{file}: {name} {called!r} is not in the converted network ({len(lost)} of this class); pandapower does not "
                               "convert it, or its terminals have no topological node; expected a model whose TP file covers all of it")  # fmt: skip
