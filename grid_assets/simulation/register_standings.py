"""Meters that send the standing of their register: which ones, how it rolls over, and how it starts anew when exchanged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.simulation import fault_rates as rates

MODULUS_KWH = 100_000.0
NEW_STANDING_KWH = 30.0
"""A meter that is put in has counted up to so much on the test bench."""
STANDING_DECIMALS = 3


@dataclass(frozen=True)
class Exchanges:
    """The registers that are exchanged on a day: position among the registers, interval, standing of the new meter then."""

    register: np.ndarray
    interval: np.ndarray
    standing_kwh: np.ndarray


def with_registers(meters: pd.DataFrame, seed: int, interval_only: Collection[str] = ()) -> pd.DataFrame:
    """The register of meters with register_modulus_kwh set for the share that sends register readings, net meters never."""
    able = np.flatnonzero(~meters["meter_id"].isin(interval_only) & meters["net_metered"].astype(str).str.lower().ne("true"))
    rng = np.random.default_rng([seed, rates.STREAM_REGISTERS])
    chosen = rng.choice(able, min(len(able), round(rates.REGISTERS * len(meters))), replace=False)
    modulus = np.full(len(meters), np.nan)
    modulus[chosen] = MODULUS_KWH
    return meters.assign(register_modulus_kwh=modulus)


def first_standings(modulus_kwh: np.ndarray, energy_kwh: np.ndarray, seed: int, rolling_share: float = 0.3) -> np.ndarray:
    """Standings (registers,) to begin with; a share of the registers rolls over while ``energy_kwh`` (registers,) flows."""
    rng = np.random.default_rng([seed, rates.STREAM_REGISTERS, 1])
    anywhere, soon = rng.random(len(modulus_kwh)) * modulus_kwh, modulus_kwh - rng.random(len(modulus_kwh)) * energy_kwh
    return np.round(np.where(rng.random(len(modulus_kwh)) < rolling_share, np.maximum(soon, 0), anywhere), STANDING_DECIMALS)


def day_exchanges(day: date, intervals: int, registers: np.ndarray, meters: int, seed: int) -> Exchanges:
    """The exchanges of a day, from a stream of their own, so that the standings of later days can be told without its feed."""
    rng = np.random.default_rng([seed, day.toordinal(), rates.STREAM_EXCHANGES])
    count = min(len(registers), rng.binomial(meters, rates.EXCHANGES))
    chosen = rng.permutation(len(registers))[:count]
    return Exchanges(chosen, rng.integers(intervals // 4, 3 * intervals // 4, count), rng.random(count) * NEW_STANDING_KWH)


def standings(opening_kwh: np.ndarray, energy_kwh: np.ndarray, changed: Exchanges, modulus_kwh: np.ndarray) -> np.ndarray:
    """(intervals + 1) x registers: the standing at the begin and at the end of every interval of ``energy_kwh``."""
    counted = opening_kwh + np.vstack([np.zeros(len(opening_kwh)), np.cumsum(energy_kwh, axis=0)])
    for register, interval, standing in zip(changed.register, changed.interval, changed.standing_kwh, strict=True):
        counted[interval + 1 :, register] += standing - counted[interval + 1, register]
    return np.round(counted % modulus_kwh, STANDING_DECIMALS)
