"""How good estimates are on real meters: readings are hidden, estimated with the platform's functions and compared with what was there.

The peers are what one would do without a platform: the same time of the day before, and the class's profile scaled by what the
meter uses of it in its like days. Seeds are fixed; nothing that lies in a gap is seen by any method.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.metering.vee import estimation

HOURS = (1, 2, 4, 8, 24, 48)
WEEKS = 3
SEED = 20261120
METHODS = ("published", "linear", "like_days", "class_profile", "plain_mean", "day_before", "scaled_class")
PEERS = ("plain_mean", "day_before", "scaled_class")
"""published: what the platform takes (linear up to its limit, then like days, then the class); PEERS stand beside it. plain_mean is
that of three like days, as ERCOT's matrix of estimation practice has it."""


@dataclass(frozen=True)
class DayMatrixes:
    """A set as matrices (meters, intervals) of kWh per local day; days of another length than usual are left out."""

    hours: float
    days: dict[date, np.ndarray]

    def like_days(self, day: date) -> list[np.ndarray]:
        back = (day - timedelta(days=7 * weeks) for weeks in range(1, WEEKS + 1))
        return [self.days[one] for one in back if one in self.days]

    def fit(self, first: date, length: int) -> bool:
        """Whether ``length`` days from ``first`` on, the days before each and all their like days are there."""
        wanted = [first + timedelta(days=n) for n in range(-2, length)]
        return all(day in self.days for day in wanted) and all(len(self.like_days(day)) == WEEKS for day in wanted[2:])


def day_matrixes(source: pd.DataFrame, site: Site, left_out: set[str]) -> DayMatrixes:
    """``source``: complete readings (meter_id, start_utc, kwh); ``left_out``: meters that are known to be filled."""
    wide = source[~source["meter_id"].isin(left_out)].pivot_table(index="start_utc", columns="meter_id", values="kwh", observed=True)
    usual = round(24 * 60 / site.interval_minutes)
    grouped = wide.groupby(wide.index.tz_convert(site.time_zone).date)
    return DayMatrixes(site.interval_minutes / 60, {day: own.to_numpy().T for day, own in grouped if len(own) == usual})


def gap_errors(held: DayMatrixes, limit_minutes: int, sampled_days: int) -> pd.DataFrame:
    """One gap of each length for every meter and sampled day: hours, gap, method, truth, estimate, error, each hidden interval a row."""
    drawn = np.random.default_rng(SEED)
    parts = []
    for hours in HOURS:
        days = [day for day in held.days if held.fit(day, 1 + int(np.ceil(hours / 24)))]
        for number, day in enumerate(sorted(drawn.choice(len(days), min(sampled_days, len(days)), replace=False))):
            found = _hidden(held, days[day], hours, limit_minutes, drawn)
            found["gap"] += number * 10_000
            parts.append(found.assign(hours=hours))
    return pd.concat(parts, ignore_index=True)


def _hidden(held: DayMatrixes, first: date, hours: int, limit_minutes: int, drawn: np.random.Generator) -> pd.DataFrame:
    length = round(hours / held.hours)
    days = [first + timedelta(days=n) for n in range(1 + int(np.ceil(hours / 24)))]
    truth = np.concatenate([held.days[day] for day in days], axis=1)
    meters, per_day = held.days[first].shape
    begin = drawn.integers(0, per_day, meters)[:, None]
    at = np.arange(truth.shape[1])[None, :]
    hidden = (at >= begin) & (at < begin + length)
    left = np.where(hidden, np.nan, truth)
    parts = []
    for n, day in enumerate(days):
        here = slice(n * per_day, (n + 1) * per_day)
        if hidden[:, here].any():
            made = _estimates(left[:, here], held, day, limit_minutes) | {"day_before": (_day_before(held, first, left, n), None)}
            row, column = np.nonzero(hidden[:, here])
            for method, (values, errors) in made.items():
                error = np.nan if errors is None else errors[row, column]
                parts.append(pd.DataFrame({"gap": row, "method": method, "truth": truth[:, here][row, column],
                                           "estimate": values[row, column], "error": error}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _estimates(kwh: np.ndarray, held: DayMatrixes, day: date, limit_minutes: int) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    past, near = held.like_days(day), max(1, round(1.0 / held.hours))
    mean = np.mean([one.mean(axis=0) for one in past], axis=0)[None, :]
    deviation = np.sqrt(np.mean([one.var(axis=0) for one in past], axis=0))[None, :]
    classes = estimation.ClassProfiles(np.zeros(len(kwh), dtype=int), mean, deviation)
    limit = int(limit_minutes / (60 * held.hours) + 1e-9)
    bounds = np.zeros(len(kwh)), np.full(len(kwh), np.inf)  # homes: energy flows one way
    published = estimation.estimate(kwh, limit, past, classes, near, None, bounds)
    share = np.mean([one.mean(axis=1) for one in past], axis=0)[:, None] / mean.mean()
    return {
        "published": (published.energy, published.error),
        "linear": estimation.linear(kwh, kwh.shape[1]),
        "like_days": estimation.like_days(kwh, past, near, None, np.ones(len(kwh), dtype=bool)),
        "plain_mean": (np.mean(past, axis=0), None),
        "class_profile": estimation.class_profile(kwh, np.broadcast_to(mean, kwh.shape), np.broadcast_to(deviation, kwh.shape)),
        "scaled_class": (share * mean, None),
    }


def _day_before(held: DayMatrixes, first: date, left: np.ndarray, n: int) -> np.ndarray:
    """The newest value at the same time of an earlier day that is not hidden itself."""
    per_day = held.days[first].shape[1]
    made = held.days[first - timedelta(days=1)]
    for k in range(n):
        own = left[:, k * per_day : (k + 1) * per_day]
        made = np.where(np.isnan(own), made, own)
    return made


def gap_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Per gap length and method: wape (of intervals), gap_wape (of each gap's energy), given_pct, within_1 and within_2 standard errors."""
    missed = (errors["estimate"] - errors["truth"]).abs()
    known = errors["estimate"].notna()
    made = errors.assign(missed=missed.where(known), known=known, seen=errors["truth"].where(known), told=errors["error"].where(known))
    made["one"], made["two"] = ((missed <= n * made["told"]).where(made["told"].notna()).astype(float) for n in (1, 2))
    groups = made.groupby(["hours", "method"], sort=True)
    sums = groups[["missed", "seen"]].sum()
    table = pd.DataFrame({"wape": sums["missed"] / sums["seen"], "given_pct": 100 * groups["known"].mean(),
                          "within_1": 100 * groups["one"].mean(), "within_2": 100 * groups["two"].mean()})  # fmt: skip
    gaps = made[known].groupby(["hours", "method", "gap"])[["estimate", "truth"]].sum()
    gaps["off"] = (gaps["estimate"] - gaps["truth"]).abs()
    by_gap = gaps.groupby(["hours", "method"])[["off", "truth"]].sum()
    return table.assign(gap_wape=by_gap["off"] / by_gap["truth"]).reset_index()
