"""Networks from a pandapower JSON file, or pandapower's own CIGRE medium-voltage benchmark; each goes through the gate."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit

CIGRE_MV = "CIGRE medium-voltage benchmark (pandapower)"


def load_network(source: str, file: Path | None = None) -> AdmittedNetwork:
    """The network that a site names: ``file`` reads a pandapower JSON, ``cigre_mv`` builds the benchmark.

    Raises NetworkError when it cannot be read or does not pass the gate.
    """
    if source == "cigre_mv":
        from pandapower.networks import create_cigre_network_mv

        return admit(create_cigre_network_mv(with_der=False), CIGRE_MV)
    if source != "file" or file is None:
        raise NetworkError(f"unknown network source {source!r}; expected cigre_mv, or file with the path of a pandapower JSON")
    return admit(_read_json(file), file.name)


def _read_json(file: Path) -> Any:
    import pandapower

    if not file.is_file():
        raise NetworkError(f"{file}: the network file does not exist; expected a pandapower JSON (pandapower.to_json)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pandapower.from_json(str(file))
    except Exception as error:  # the reader raises whatever its parser stumbles over
        raise NetworkError(f"{file}: not a readable pandapower JSON: {type(error).__name__}: {error}") from error
