"""Limits of voltages and loadings, and which buses and branches of solved states are beyond them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid_assets.powerflow.compiled import CompiledNetwork


@dataclass(frozen=True)
class Limits:
    """What voltages (per unit) and loadings (%) are held against."""

    minimum_vm_pu: float
    maximum_vm_pu: float
    maximum_loading_pct: float


def loading_pct(network: CompiledNetwork, voltage: np.ndarray) -> np.ndarray:
    """Loading of each branch, % of its rating [states, branches], from voltages [states, solved]; the larger of both ends."""
    columns = np.ascontiguousarray(voltage.T)
    begin, end = (np.abs(matrix @ columns) for matrix in (network.from_admittance, network.to_admittance))
    amperes = np.maximum(begin * network.current_ka[:, :1], end * network.current_ka[:, 1:])
    return (amperes * (100.0 / network.rating_ka[:, None])).T


def beyond(vm_pu: np.ndarray, loading_pct: np.ndarray, limits: Limits) -> np.ndarray:
    """[states, 2 buses + branches]: below the lowest voltage, above the highest, loaded more than allowed; NaN is beyond nothing."""
    low, high = vm_pu < limits.minimum_vm_pu, vm_pu > limits.maximum_vm_pu
    return np.concatenate([low, high, loading_pct > limits.maximum_loading_pct], axis=1)


def bus_voltages(network: CompiledNetwork, voltage: np.ndarray) -> np.ndarray:
    """Magnitudes at the buses [states, buses] from voltages [states, solved]; NaN without a supply and where the voltage is 0, which is dark."""
    size = np.abs(voltage)[:, np.maximum(network.place, 0)]
    return np.where(network.supplied & (size > 0), size, np.nan)
