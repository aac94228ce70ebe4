"""The temperature hour by hour as it was known at each issue time: measured until then, forecast from there on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

HOURS = 24
PAST_DAYS = 8
"""Days before the issue day that a path holds: as far as the longest memory of the terms reaches."""
PERSISTED_DAYS = 3
EXTRAPOLATED_DEGC = 3.0
"""Temperatures beyond what the training days had count as no more than this beyond."""
KNOTS: Mapping[str, tuple[float, ...]] = {
    "now": (0.05, 0.15, 0.30, 0.50, 0.70, 0.85, 0.95),
    "mean_3h": (0.10, 0.30, 0.50, 0.70, 0.90),
    "mean_24h": (0.10, 0.30, 0.50, 0.70, 0.90),
    "memory_48h": (0.10, 0.30, 0.50, 0.70, 0.90),
    "memory_120h": (0.20, 0.50, 0.80),
    "day_maximum": (0.30, 0.60, 0.85, 0.95),
    "day_minimum": (0.05, 0.15, 0.40, 0.70),
}
"""Where the splines bend: quantiles of what was observed in the training days."""
LINEAR = ("lag_6h", "lag_12h")
HOT, COLD = 0.75, 0.25


@dataclass(frozen=True)
class TemperaturePaths:
    """Hourly temperatures, degC."""

    observed: np.ndarray
    """[days, hours], complete: gaps are filled."""
    known: np.ndarray
    """[days, hours paths]: for each day as the issue day, from PAST_DAYS before it to its last target day."""

    @classmethod
    def complete(cls, observed: np.ndarray) -> TemperaturePaths:
        """Paths of measured days [days, hours] for those who look at nothing else."""
        whole = _filled(observed)
        return cls(whole, _continuous(whole))

    def features(self, offset: int, issued: np.ndarray) -> dict[str, np.ndarray]:
        """Temperature features [issue days, hours] of the day ``offset`` days after each of these issue days (positions)."""
        return path_features(self.known[issued], (PAST_DAYS + offset) * HOURS)

    def observed_features(self) -> dict[str, np.ndarray]:
        """The same of every day as it was observed, whatever was known when."""
        return path_features(_continuous(self.observed), PAST_DAYS * HOURS)


def temperature_paths(observed: np.ndarray, expected: np.ndarray, issue_hour: int) -> TemperaturePaths:
    """Joins what was measured before each issue time with what was forecast from there on.

    ``observed`` [days, hours], degC, NaN where not measured. ``expected`` [days, offsets, hours]: as forecast at the issue
    hour of each day for that day (offset 0) and those after it, NaN where there is no forecast: the mean of the last three
    known days at that hour stands in, moved to meet the forecast where one follows. Whatever ``observed`` holds from an issue time on does not enter that day's path.
    """
    whole = _filled(observed)
    days, offsets = expected.shape[:2]
    paths = np.full((days, (PAST_DAYS + offsets) * HOURS), np.nan)
    paths[:, : PAST_DAYS * HOURS] = _continuous(whole)[:, : PAST_DAYS * HOURS]
    today = expected[:, 0].copy()
    today[:, :issue_hour] = np.where(np.isfinite(observed[:, :issue_hour]), observed[:, :issue_hour], today[:, :issue_hour])
    coming = np.concatenate([today[:, None], expected[:, 1:]], axis=1)
    usual = np.tile(
        paths[:, (PAST_DAYS - PERSISTED_DAYS) * HOURS : PAST_DAYS * HOURS].reshape(days, PERSISTED_DAYS, HOURS).mean(1), offsets
    )
    paths[:, PAST_DAYS * HOURS :] = _bridged(coming.reshape(days, -1), usual, paths[:, PAST_DAYS * HOURS - 1])
    return TemperaturePaths(whole, paths)


def _bridged(coming: np.ndarray, usual: np.ndarray, latest: np.ndarray) -> np.ndarray:
    """``coming`` with its gaps filled [days, hours]: the usual course, moved to meet what is known on both sides of a gap.

    ``latest`` [days]: the hour before the first. Behind the last known hour, and where none is known, the usual course stands alone.
    """
    made = np.where(np.isfinite(coming), coming, usual)
    for day in np.flatnonzero(~np.isfinite(coming).all(1) & np.isfinite(coming).any(1)):
        known = np.flatnonzero(np.isfinite(coming[day]))
        apart = np.concatenate([[latest[day] - usual[day, HOURS - 1]], coming[day, known] - usual[day, known]])
        here = np.arange(known[-1])
        made[day, here] = usual[day, here] + np.interp(here, [-1, *known], apart)
    return made


def as_observed(observed: np.ndarray, offsets: int) -> np.ndarray:
    """What came, in the place of a forecast [days, offsets, hours]: for back-tests where none was kept, and optimistic there."""
    days = len(observed)
    made = np.full((days, offsets, HOURS), np.nan)
    for offset in range(min(offsets, days)):
        made[: days - offset, offset] = observed[offset:]
    return made


def _continuous(observed: np.ndarray) -> np.ndarray:
    """[days, (PAST_DAYS + 1) hours]: each day with the days before it; the first day stands in for what is before the record."""
    padded = np.concatenate([np.repeat(observed[:1], PAST_DAYS, axis=0), observed])
    return np.concatenate([padded[step : step + len(observed)] for step in range(PAST_DAYS + 1)], axis=1)


def _filled(observed: np.ndarray) -> np.ndarray:
    """Gaps repeat the day before at the same hour: a bridge to the other end would know what came later."""
    made = observed.copy()
    known = np.flatnonzero(np.isfinite(observed))
    if not len(known):
        return np.zeros(observed.shape)
    made[0] = np.where(np.isfinite(made[0]), made[0], observed.flat[known[0]])
    for day in range(1, len(made)):
        made[day] = np.where(np.isfinite(made[day]), made[day], made[day - 1])
    return made


def path_features(paths: np.ndarray, first: int) -> dict[str, np.ndarray]:
    """Features of the 24 hours that begin at position ``first`` of each path [days, path hours] -> name -> [days, hours], degC.

    Means and memories look back from each hour, it included; a memory is an exponential mean with that time constant
    (Wang, Liu, Hong 2016 name the lagged temperatures and daily means the recency effect).
    """
    here = slice(first, first + HOURS)
    sums = np.concatenate([np.zeros((len(paths), 1)), np.cumsum(paths[:, : first + HOURS], axis=1)], axis=1)
    ends = np.arange(first + 1, first + HOURS + 1)

    def mean(hours: int) -> np.ndarray:
        return (sums[:, ends] - sums[:, ends - hours]) / hours

    def lag(hours: int) -> np.ndarray:
        return paths[:, first - hours : first - hours + HOURS]

    day = paths[:, here]
    made = {"now": day, "mean_24h": mean(24), "mean_72h": mean(72), "mean_168h": mean(168)}
    made |= {f"lag_{hours}h": lag(hours) for hours in (1, 2, 3, 6, 12, 24)}
    made["mean_3h"] = (made["lag_1h"] + made["lag_2h"] + made["lag_3h"]) / 3
    made |= {f"memory_{hours}h": _memory(paths[:, : first + HOURS], hours)[:, here] for hours in (12, 48, 120)}
    for name, value in (("day_maximum", day.max(1)), ("day_minimum", day.min(1)), ("day_mean", day.mean(1))):
        made[name] = np.repeat(value[:, None], HOURS, axis=1)
    return made


def _memory(paths: np.ndarray, time_constant: float) -> np.ndarray:
    """Exponential mean along each path; it begins with the mean of the first day."""
    from scipy.signal import lfilter

    kept = np.exp(-1.0 / time_constant)
    start = kept * paths[:, :HOURS].mean(1, keepdims=True)
    return lfilter([1.0 - kept], [1.0, -kept], paths, axis=1, zi=start)[0]


@dataclass(frozen=True)
class TemperatureSpline:
    """Where the splines bend and where extrapolation ends, from the observed features of the training days."""

    knots: dict[str, np.ndarray]
    limits: dict[str, tuple[float, float]]
    hot: dict[str, float]
    cold: dict[str, float]

    @classmethod
    def of(cls, features: Mapping[str, np.ndarray], training: np.ndarray) -> TemperatureSpline:
        """``features`` [days, hours] as observed; ``training`` [days]: which of them count."""
        seen = {name: values[training] for name, values in features.items()}
        limits = {name: (values.min() - EXTRAPOLATED_DEGC, values.max() + EXTRAPOLATED_DEGC) for name, values in seen.items()}
        knots = {name: np.quantile(seen[name], shares) for name, shares in KNOTS.items()}
        hot, cold = ({name: float(np.quantile(seen[name], share)) for name in ("now", "mean_24h")} for share in (HOT, COLD))
        return cls(knots, limits, hot, cold)

    def terms(self, features: Mapping[str, np.ndarray], seasons: np.ndarray, weekend: np.ndarray) -> np.ndarray:
        """[days, hours, terms]: the splines, heat and cold by weekend and season, and heat on heat.

        ``seasons`` [days, 2]: sine and cosine of the time of year; ``weekend`` [days].
        """
        kept = {name: np.clip(values, *self.limits[name]) for name, values in features.items()}
        terms = [kept[name] for name in LINEAR]
        for name, knots in self.knots.items():
            terms += [kept[name], *(np.maximum(0.0, kept[name] - knot) for knot in knots)]
        heat = {name: np.maximum(0.0, kept[name] - self.hot[name]) for name in self.hot}
        chill = {name: np.maximum(0.0, self.cold[name] - kept[name]) for name in self.cold}
        for part in (*heat.values(), *chill.values()):
            terms += [part * by[:, None] for by in (weekend, *seasons.T)]
        terms += [heat["now"] * heat["mean_24h"] / 5.0, chill["now"] * chill["mean_24h"] / 5.0]
        return np.stack(terms, axis=-1)
