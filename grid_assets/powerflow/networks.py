"""Networks by name or from files of several formats; each goes through the gate."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit

CIGRE_MV = "CIGRE medium-voltage benchmark (pandapower)"
FORMATS = {
    ".json": "pandapower JSON", ".xlsx": "pandapower Excel", ".m": "MATPOWER text", ".mat": "MATPOWER binary",
    ".zip": "CIM CGMES", ".xml": "CIM CGMES", ".dss": "OpenDSS",
}  # fmt: skip
"""What a file is read as, by the end of its name; a folder is read as CIM CGMES."""


def load_network(source: str, file: Path | None = None, code: str | None = None) -> AdmittedNetwork:
    """The network that a site names, through the gate.

    ``cigre_mv`` builds the benchmark, ``simbench`` takes the network of a SimBench ``code``, ``file`` reads a pandapower JSON or
    Excel file, a MATPOWER case, an OpenDSS feeder or a CIM CGMES model (a .zip or .xml, or the folder of its files).
    Raises NetworkError when it cannot be read, is not the same after conversion, or does not pass the gate.
    """
    if source == "cigre_mv":
        from pandapower.networks import create_cigre_network_mv

        return admit(create_cigre_network_mv(with_der=False), CIGRE_MV)
    if source == "simbench" and code:
        return admit(_simbench(code), f"SimBench {code}")
    if source == "file" and file is not None:
        return _from_file(Path(file))
    raise NetworkError(
        f"unknown network source {source!r}; expected cigre_mv, simbench with a code, or file with the path of a network file"
    )


def _from_file(file: Path) -> AdmittedNetwork:
    from grid_assets.powerflow import file_formats, matpower_case, opendss_feeder

    if not file.exists():
        raise NetworkError(f"{file}: the network file does not exist; expected {_expected()}")
    kind = "CIM CGMES" if file.is_dir() else FORMATS.get(file.suffix.lower())
    if kind == "pandapower JSON":
        return admit(file_formats.read_json(file), file.name)
    if kind == "pandapower Excel":
        return admit(file_formats.read_excel(file), file.name)
    if kind == "CIM CGMES":
        return admit(file_formats.read_cim(file), file.name)
    if kind == "OpenDSS":
        return opendss_feeder.load_feeder(file)
    if kind:
        return matpower_case.load_case(file)
    raise NetworkError(f"{file}: the name does not tell the format; expected {_expected()}")


def _expected() -> str:
    return ", ".join(f"{ending} ({kind})" for ending, kind in FORMATS.items()) + " or a folder of CIM CGMES files"


def _simbench(code: str) -> Any:
    import simbench

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = simbench.get_simbench_net(code)
    except Exception as error:  # the package raises whatever its reader stumbles over
        raise NetworkError(f"SimBench knows no network {code!r} ({error}); see simbench.collect_all_simbench_codes()") from error
    net.profiles = {}  # a year of every profile, which no study of a site reads
    return net
