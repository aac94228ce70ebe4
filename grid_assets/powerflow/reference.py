"""pandapower's own Newton-Raphson, a step at a time: what samples are compared with, and the last resort where nothing else converged."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from grid_assets.powerflow.compiled import BRANCH_TABLES, TOLERANCE_MVA, emptied
from grid_assets.powerflow.gate import AdmittedNetwork


class ReferenceSolver:
    """Solves single steps by ``runpp``; about 17 ms of each are pandapower's Python."""

    def __init__(self, admitted: AdmittedNetwork, out: Collection[str] = ()):
        """``out``: names of branches that are taken out of service."""
        self._net = emptied(admitted.net)
        for table in BRANCH_TABLES:
            self._net[table].loc[self._net[table]["name"].isin(out), "in_service"] = False

    def solve(self, load_mw: np.ndarray, load_mvar: np.ndarray) -> Any:
        """The solved pandapower net for loads [buses], MW and Mvar, until the next call; None without a solution."""
        from pandapower import LoadflowNotConverged, runpp

        net = self._net
        net.load["p_mw"], net.load["q_mvar"] = load_mw, load_mvar
        for start in ("dc", "flat"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    runpp(net, numba=False, init=start, calculate_voltage_angles=True, tolerance_mva=TOLERANCE_MVA)
            except (LoadflowNotConverged, FloatingPointError, np.linalg.LinAlgError):
                continue
            if net.converged and net.res_bus["vm_pu"].notna().any() and np.isfinite(net.res_ext_grid["p_mw"]).all():
                return net
        return None

    def voltage(self, load_mw: np.ndarray, load_mvar: np.ndarray) -> np.ndarray | None:
        """Complex voltages by the compiled network's solved buses, per unit; None without a solution."""
        net = self.solve(load_mw, load_mvar)
        return None if net is None else np.asarray(net._ppc["internal"]["V"])


def difference_pu(net: Any, voltage: np.ndarray) -> float:
    """The largest difference of a solved pandapower net to complex voltages [buses], NaN without a supply; infinite where only one of both
    has a voltage, or ``net`` is None."""
    if net is None:
        return np.inf
    found = net.res_bus["vm_pu"].to_numpy(float) * np.exp(1j * np.radians(net.res_bus["va_degree"].to_numpy(float)))
    if (np.isnan(found) != np.isnan(voltage)).any():
        return np.inf
    return float(np.nanmax(np.abs(found - voltage), initial=0.0))
