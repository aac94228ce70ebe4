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


def beyond(network: CompiledNetwork, voltage: np.ndarray, limits: Limits) -> np.ndarray:
    """[states, 2 buses + branches]: below the lowest voltage, above the highest, loaded more than allowed; from voltages [states, solved]."""
    volts = np.abs(voltage)[:, np.maximum(network.place, 0)]
    low, high = (volts < limits.minimum_vm_pu) & network.supplied, (volts > limits.maximum_vm_pu) & network.supplied
    return np.concatenate([low, high, loading_pct(network, voltage) > limits.maximum_loading_pct], axis=1)
