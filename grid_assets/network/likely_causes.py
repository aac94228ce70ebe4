"""Why a measurement may not fit the estimate: its bad intervals of a day looked at together."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

GROUP = ["source_id", "quantity", "element_id"]
STUCK_INTERVALS = 4
FACTORS = {1000.0: "unit 1000 times too small", 0.001: "unit 1000 times too large", math.sqrt(3): "phase to phase taken as phase to neutral",
           1 / math.sqrt(3): "phase to neutral taken as phase to phase", 10.0: "factor 10", 0.1: "factor 1/10", 2.0: "factor 2", 0.5: "factor 1/2",
           -1.0: "sign turned round"}  # fmt: skip
"""Measured over estimated, and what that looks like."""
ALIKE = 0.05
"""Ratios within this of a factor, and spread by no more than this, count as the factor."""
STEADY = 0.35
"""A residual that spreads by less than this of its mean is an offset."""
LARGEST_SHOWN = 8


def with_causes(anomalies: pd.DataFrame, intervals: int) -> pd.DataFrame:
    """Adds ``likely_cause`` to every row: of bad data what the source's bad rows of the day look like together, else empty.

    ``intervals``: how many the day has; a source that is bad in most of them is said to be so.
    """
    cause = pd.Series([None] * len(anomalies), anomalies.index, dtype=object)
    bad = anomalies[anomalies["bad_data"].astype(bool)]
    for _, rows in bad.groupby(GROUP, sort=True):
        cause[rows.index] = likely_cause(
            rows["measurement"].to_numpy(float), rows["estimate"].to_numpy(float), int(rows["rivals"].max()), intervals
        )
    return anomalies.assign(likely_cause=cause)


def likely_cause(measured: np.ndarray, estimated: np.ndarray, rivals: int, intervals: int) -> str:
    """In words, from the measured and estimated values of a source's bad intervals."""
    said = _shape(measured, estimated)
    if len(measured) > intervals / 2:
        said += ", most of the day"
    if rivals:
        said += f"; or one of {rivals} other measurements that would explain it as well"
    return said


def _shape(measured: np.ndarray, estimated: np.ndarray) -> str:
    count = len(measured)
    if count >= STUCK_INTERVALS and np.all(measured == 0):
        return "zero while something flows"
    moved = np.ptp(estimated) > 4 * np.ptp(measured) + 1e-9 * np.abs(measured).max()
    if count >= STUCK_INTERVALS and np.ptp(measured) <= 2e-4 * max(np.abs(measured).max(), 1e-9) and moved:
        return f"stuck at {measured[0]:.5g}"
    firm = np.abs(estimated) > 1e-9
    if firm.any():
        ratio = measured[firm] / estimated[firm]
        middle = float(np.median(ratio))
        for factor, name in FACTORS.items():
            alike = np.abs(ratio / factor - 1) < ALIKE
            if alike.mean() > 0.8 and abs(middle / factor - 1) < ALIKE:
                return name
    residual = measured - estimated
    if count >= STUCK_INTERVALS and residual.std() < STEADY * abs(residual.mean()):
        return f"offset of {residual.mean():.3g}"
    return "single values far off" if count < STUCK_INTERVALS else "values far off, without a pattern"


def anomalies_in_words(anomalies: pd.DataFrame, zone: str) -> str:
    """A phrase per source with bad data, those with most intervals first; empty where there is none."""
    bad = anomalies[anomalies["bad_data"].astype(bool)]
    told = []
    for (source, quantity, element), rows in sorted(bad.groupby(GROUP), key=lambda one: (-len(one[1]), one[0])):
        begin, end = rows["start_utc"].min().tz_convert(zone), rows["start_utc"].max().tz_convert(zone)
        span = f"at {begin:%H:%M}" if len(rows) == 1 else f"in {len(rows)} intervals from {begin:%H:%M} to {end:%H:%M}"
        told.append(f"{source} {quantity} at {element} {span}: {rows['likely_cause'].iloc[0]}")
    more = f"; and {len(told) - LARGEST_SHOWN} more" if len(told) > LARGEST_SHOWN else ""
    return "; ".join(told[:LARGEST_SHOWN]) + more
