"""A shard's day while it is made: what its steps hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from grid_assets.metering.vee.register_reads import Spans


@dataclass
class Matrices:
    """The day while it is made. Matrices are (meters, intervals)."""

    arrived: np.ndarray
    """Energy as it arrived or as registers tell it, kWh; NaN where nothing did."""
    heard: np.ndarray
    """Whether anything arrived, usable or not."""
    by_register: np.ndarray
    """Cells (flat) whose energy is a difference of register reads."""
    spans: Spans
    both: np.ndarray
    """(meters,): meters that sent intervals and register reads."""
    exchanged: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Cells (flat) whose closing register read was of another register than the one before, and nothing else arrived."""
    exchanged_kwh: np.ndarray = field(default_factory=lambda: np.empty(0))
    exchanged_meters: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    scaled: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows of the meters whose day was sent in Wh."""
    unconfirmed: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Those of them without a past to stand against."""
    original: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """What arrived of those rows."""
    failures: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=np.uint16))
    """Bits of the rules (validation.BITS) that each arrived value failed."""
    valid: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """Published kWh that is no estimate; NaN elsewhere."""


@dataclass
class DayFlags:
    """What is told of each meter's day as a whole, (meters,) each."""

    bits: np.ndarray
    usual_kwh: np.ndarray
    register_kwh: np.ndarray
