"""Why a state of loads has no solution: how much of it still has one, where the voltage is lowest then, and what to look for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grid_assets.powerflow.compiled import CompiledNetwork

ADVICE = (
    "look for loads or generation in the wrong unit (kW given as MW), a missing supply or an impedance far too large on the way to them"
)
SHARES = 64


def breakdown_in_words(network: CompiledNetwork, solve: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray) -> str:
    """The largest share of ``wanted`` [solved] that has a solution, halving what is left to search, and the bus of the lowest voltage then;
    where more is fed in than drawn, of the one farthest from that without load, for it need not be high.

    ``solve`` turns injections [1, solved] into voltages [1, solved], NaN without a solution and 0 where dark.
    """
    low, high, last = 0, SHARES, None
    while high - low > 1:
        middle = (low + high) // 2
        voltage = solve(wanted[None] * (middle / SHARES))[0]
        if np.isfinite(voltage).all():
            low, last = middle, voltage
        else:
            high = middle
    if last is None:
        draws = np.bincount(network.place[network.supplied], minlength=len(wanted)) > 0
        most = int(np.argmax(np.where(draws, np.abs(wanted), -1.0)))
        return f"not even {1 / SHARES:.0%} of it has a solution; most is asked for at bus {_bus_at(network, most)!r}"
    size, feeding = np.abs(last), np.real(wanted).sum() > 0
    far = np.where(last == 0, -1.0, np.abs(last - network.start) if feeding else -size + size.max())
    at, which = int(far.argmax()), "voltage farthest from that without load" if feeding else "lowest voltage"
    return f"{low / SHARES:.0%} of it has a solution, with the {which} at bus {_bus_at(network, at)!r}: {size[at]:.3f} p.u."


def _bus_at(network: CompiledNetwork, solved: int) -> str:
    at = np.flatnonzero(network.place == solved)
    return str(network.bus_ids[at[0]]) if len(at) else "of an open line end"
