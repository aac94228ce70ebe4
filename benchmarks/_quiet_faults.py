"""Faults that the feed does not have, put into clean days in memory: spikes below the rating, and readings in coarse steps.

The days are those of the made-up meters, without a feed's faults; every day is found again from the seed. No rule has seen where
the faults are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from benchmarks._detection import Share
from benchmarks.platform import Row, row
from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.day_rules import rule_failures
from grid_assets.metering.vee.validation import BITS
from grid_assets.simulation.fault_rates import STUCK_LENGTHS
from grid_assets.simulation.meter_feed import INTERVAL_HOURS
from grid_assets.simulation.synthetic_meters import SLOTS, clean_day, population

SPIKES = ((2, 4), (4, 8), (8, 16))
"""Sizes as multiples of the day's third-highest."""
STEPS_KWH = (0.001, 0.01)
MOST_OF_RATING = 0.95
"""A spike that would be more is left out: the rating would tell it."""
MOST_METERS = 20_000
STREAM = 101
"""Tells these faults from all that the simulation draws."""


@dataclass(frozen=True)
class CleanDay:
    """A day and its like days without a fault; matrices are (meters, intervals)."""

    grid: DayGrid
    kwh: np.ndarray
    past: Sequence[np.ndarray]
    homes: np.ndarray
    """(meters,) bool."""

    def fails(self, kwh: np.ndarray, past: Sequence[np.ndarray], rule: str) -> np.ndarray:
        usual = np.mean([one.mean(axis=1) for one in past], axis=0) if past else np.full(len(kwh), np.nan)
        failures = rule_failures(self.grid, kwh, ValidationSection(), past, usual, None, None)  # type: ignore[call-arg]
        return (failures & BITS[rule]) != 0


def clean_days(meters: int, day: date, history: Sequence[date], seed: int) -> CleanDay:
    """A day and its like days on a clock without summer time."""
    made = population(meters, seed)
    starts = {one: pd.date_range(pd.Timestamp(one, tz="UTC"), periods=SLOTS, freq="15min") for one in (day, *history)}
    kwh = {one: np.ascontiguousarray(clean_day(made, one, times, "UTC", seed).T) for one, times in starts.items()}
    register = made.meters.assign(rating_kw=made.rating_kw, net_metered=made.meters["net_metered"] == "true", photovoltaic=False)
    homes = made.meters["customer_class"].isin(["residential", "prosumer"]).to_numpy()
    return CleanDay(DayGrid(day, register, starts[day], INTERVAL_HOURS), kwh[day], [kwh[one] for one in history], homes)


def spike_shares(clean: CleanDay, seed: int) -> dict[tuple[int, int], tuple[Share, Share]]:
    """Of homes with one spike below the rating each, how many are found with like days and without; by the spike's size."""
    found = {}
    for least, most in SPIKES:
        rng = np.random.default_rng([seed, STREAM, least])
        rows = np.flatnonzero(clean.homes)
        size = np.sort(clean.kwh[rows], axis=1)[:, -3] * rng.uniform(least, most, len(rows))
        at = rng.integers(0, clean.kwh.shape[1], len(rows))
        limit = MOST_OF_RATING * clean.grid.meters["rating_kw"].to_numpy(dtype=float)[rows] * INTERVAL_HOURS
        fits = (size > 0) & (size < limit)
        rows, at = rows[fits], at[fits]
        kwh = clean.kwh.copy()
        kwh[rows, at] = size[fits]
        said = (clean.fails(kwh, past, "spike")[rows, at] for past in (clean.past, ()))
        with_past, without = (Share(f"spikes_{least}_{most}", int(one.sum()), len(rows)) for one in said)
        found[least, most] = with_past, without
    return found


def rounded_shares(clean: CleanDay, seed: int) -> dict[float, tuple[Share, Share]]:
    """By the step of the readings: the clean values that `stuck` refuses, and the values of held runs that it finds."""
    found: dict[float, tuple[Share, Share]] = {}
    for step in STEPS_KWH:
        rng = np.random.default_rng([seed, STREAM, 1])
        kwh, *past = (np.round(np.round(one / step) * step, 6) for one in (clean.kwh, *clean.past))
        refused = clean.fails(kwh, past, "stuck")
        held, stands = kwh.copy(), np.zeros(kwh.shape, dtype=bool)
        for meter in rng.choice(len(kwh), len(kwh) // 5, replace=False):
            length = int(rng.integers(*STUCK_LENGTHS))
            begins = np.flatnonzero(kwh[meter, : kwh.shape[1] - length] != 0)
            if len(begins):
                begin = int(rng.choice(begins))
                held[meter, begin : begin + length] = kwh[meter, begin]
                stands[meter, begin : begin + length] = True
        caught = clean.fails(held, past, "stuck") & stands
        found[step] = (
            Share("rounded_refused", int(refused.sum()), int(np.count_nonzero(~np.isnan(kwh)))),
            Share("rounded_stuck", int(caught.sum()), int(stands.sum())),
        )
    return found


def quiet_rows(meters: int, day: date, history: Sequence[date], seed: int) -> list[Row]:
    """What is found of these faults in the days of at most MOST_METERS meters."""
    clean = clean_days(min(meters, MOST_METERS), day, history, seed)
    rows = []
    for (least, most), (with_past, without) in spike_shares(clean, seed).items():
        said = f"{with_past.caught:,} of {with_past.of:,} homes; without like days {without.share:.3f}"
        rows.append(row(f"spikes below the rating, {least} to {most} times the third-highest: found", with_past.share, "of 1", said))
    for step, (refused, caught) in rounded_shares(clean, seed).items():
        name = f"readings in steps of {1000 * step:.0f} Wh"
        rows.append(row(f"{name}: sound ones refused as stuck", refused.share, "of 1", f"{refused.caught:,} of {refused.of:,}"))
        rows.append(row(f"{name}: stuck ones found", caught.share, "of 1", f"{caught.caught:,} of {caught.of:,}"))
    return rows
