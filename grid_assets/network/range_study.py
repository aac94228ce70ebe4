"""Flows over a range of past days, up to a year: what each bus and branch went through, and what each day's flows were.

The loads are those that were measured; results of all intervals are never held at once, so quantiles come from counts in narrow classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.past_loads import loads_at, whole_intervals
from grid_assets.network.study_day import StudyDay
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.switching_events import network_versions
from grid_assets.network.tables import RANGE_DAYS, RANGE_ELEMENTS
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.limits import Limits, beyond
from grid_assets.powerflow.switching import Version
from grid_assets.powerflow.time_series import FlowSeries, engine, proved_by_sample, solve_chunks

MOST_DAYS = 366
PIECE_DAYS = 28
"""So many days share how feeders' loads spread over meters: four weeks, every weekday equally often."""
KEY = re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})")


class RangeError(ValueError):
    """A range of days that cannot be studied, and what was expected."""


@dataclass(frozen=True)
class RangeStudy:
    elements: pd.DataFrame
    """Rows of RANGE_ELEMENTS."""
    days: pd.DataFrame
    """Rows of RANGE_DAYS."""
    intervals: pd.DataFrame
    """start_utc, minimum_vm_pu, maximum_loading_pct of each interval that was solved; for pictures."""


def range_key(first: date, last: date) -> str:
    """``2016-01-01..2016-12-31``: the partition of a range of days, both included. Raises RangeError."""
    if not first <= last:
        raise RangeError(f"{first} to {last}: the first day is after the last")
    if (last - first).days >= MOST_DAYS:
        raise RangeError(f"{first} to {last} are {(last - first).days + 1} days; expected {MOST_DAYS} at most")
    return f"{first.isoformat()}..{last.isoformat()}"


def parse_range(key: str, clock: SiteCalendar) -> tuple[date, date]:
    """First and last day of a key. Raises RangeError, or CalendarError for days that the site does not have."""
    found = KEY.fullmatch(key)
    if not found:
        raise RangeError(f"{key!r} is no range of days; expected such as 2016-01-01..2016-12-31")
    first, last = clock.day(found[1]), clock.day(found[2])
    range_key(first, last)
    return first, last


def study_of_range(
    section: NetworkSection,
    clock: SiteCalendar,
    first: date,
    last: date,
    meters: pd.DataFrame,
    read: Callable[[list[date]], tuple[StudyFrames, pd.DataFrame]],
) -> RangeStudy:
    """Solves every interval of the days first..last of which the loads are known, each in the switching state then in force.

    ``read`` gives what the studies of some days read and the rows of metering/node_loads of them; it is asked for four weeks at a time.
    Raises NetworkError or InjectionError, RangeError where no interval has loads, FlowError where none converges.
    """
    versions = tuple(network_versions(section, clock))
    limits = Limits(section.minimum_vm_pu, section.maximum_vm_pu, section.maximum_loading_pct)
    tally, steps, faults = Tally(limits), [], []
    for piece in pieces(first, last, meters, clock):
        frames, node_loads = read(piece)
        known = whole_intervals(node_loads, frames.nodes)
        starts = clock.intervals(piece[0], piece[-1]).intersection(known)
        if not len(starts):
            continue
        placed = in_force(meters, *(pd.Timestamp(bound) for bound in clock.bounds(piece[0])))
        studied = StudyDay(piece[0], starts, placed, versions, limits)
        drawn = loads_at(starts, node_loads, frames, studied, section.power_factor, clock.interval_hours)
        for part in studied.parts(drawn):
            for some, series in solve_chunks(part.version.admitted, part.drawn.load_mw, part.drawn.load_mvar):
                times, loads = part.drawn.start_utc[some], (part.drawn.load_mw[some], part.drawn.load_mvar[some])
                tally.add(series, times)
                faults += [f"{times[~series.converged][0]:%Y-%m-%d %H:%M} UTC: {series.faults[0]}"] if series.faults else []
                steps.append(_intervals(part.version, series, times, loads, limits, seed=piece[0].toordinal() + some.start))
    if not steps:
        raise RangeError(f"{first} to {last}: no interval of these days has the loads of all nodes; run grid-assets daily for them first")
    every = pd.concat(steps, ignore_index=True).sort_values("start_utc", ignore_index=True)
    if not every["solved"].any():
        raise FlowError(f"none of {len(every)} intervals converged; the first: {faults[0]}")
    return RangeStudy(
        tally.elements(clock.interval_hours), _days(every, first, last, clock), every[["start_utc", "minimum_vm_pu", "maximum_loading_pct"]]
    )


def pieces(first: date, last: date, meters: pd.DataFrame, clock: SiteCalendar) -> Iterator[list[date]]:
    """The days in runs of four weeks at most in which the same meters are in force at the same places."""
    piece, before = [], None
    for day in days_between(first, last):
        placed = in_force(meters, *(pd.Timestamp(bound) for bound in clock.bounds(day)))
        where = set(zip(placed["meter_id"], placed["valid_from_utc"], strict=True))
        if piece and (where != before or len(piece) == PIECE_DAYS):
            yield piece
            piece = []
        piece.append(day)
        before = where
    yield piece


@dataclass
class Tally:
    """Counts of what the elements went through: voltages of buses, loadings of branches."""

    limits: Limits
    seen: dict[str, _Seen] = field(default_factory=dict)

    def add(self, series: FlowSeries, start_utc: pd.DatetimeIndex) -> None:
        for quantity, ids, kinds, values in (
            ("vm_pu", series.bus_ids, np.full(len(series.bus_ids), "bus", object), series.vm_pu),
            ("loading_pct", series.branch_ids, series.kinds, series.loading_pct),
        ):
            if quantity not in self.seen:
                self.seen[quantity] = _Seen.nothing(ids, kinds, *CLASSES[quantity])
            self.seen[quantity].add(values[series.converged], start_utc[series.converged], *self._bounds(quantity))

    def _bounds(self, quantity: str) -> tuple[float, float]:
        if quantity == "vm_pu":
            return self.limits.minimum_vm_pu, self.limits.maximum_vm_pu
        return -np.inf, self.limits.maximum_loading_pct

    def elements(self, interval_hours: float) -> pd.DataFrame:
        made = [seen.rows(interval_hours).assign(quantity=quantity) for quantity, seen in self.seen.items()]
        return pd.concat(made, ignore_index=True)[RANGE_ELEMENTS.columns]


CLASSES = {"vm_pu": (0.5, 0.0005, 2000), "loading_pct": (0.0, 0.25, 1600)}
"""Where the classes of a quantity begin, how wide they are, how many: quantiles are right to half a width, and up to 1.5 p.u. and 400 %."""


@dataclass
class _Seen:
    ids: np.ndarray
    kinds: np.ndarray
    low: float
    width: float
    counts: np.ndarray
    """[elements, classes]"""
    least: np.ndarray
    most: np.ndarray
    least_utc: np.ndarray
    most_utc: np.ndarray
    total: np.ndarray
    below: np.ndarray
    """Intervals below the limit [elements]; ``above`` likewise."""
    above: np.ndarray

    @classmethod
    def nothing(cls, ids: np.ndarray, kinds: np.ndarray, low: float, width: float, classes: int) -> _Seen:
        size, never = len(ids), np.full(len(ids), np.datetime64("NaT"), "datetime64[us]")
        return cls(ids, kinds, low, width, np.zeros((size, classes), np.int32), np.full(size, np.inf), np.full(size, -np.inf),
                   never, never.copy(), np.zeros(size), np.zeros(size, int), np.zeros(size, int))  # fmt: skip

    def add(self, values: np.ndarray, start_utc: pd.DatetimeIndex, least: float, most: float) -> None:
        """``values`` [steps, elements]; NaN where an element has no supply."""
        if not len(values):
            return
        known, times = np.isfinite(values), start_utc.tz_localize(None).to_numpy("datetime64[us]")
        at = np.clip((np.nan_to_num(values, nan=self.low) - self.low) // self.width, 0, self.counts.shape[1] - 1).astype(int)
        flat = (at + np.arange(len(self.ids)) * self.counts.shape[1])[known]
        np.add.at(self.counts.reshape(-1), flat, 1)
        every = np.arange(len(self.ids))
        for extreme, when, better, fill, pick in (
            (self.least, self.least_utc, np.less, np.inf, np.argmin), (self.most, self.most_utc, np.greater, -np.inf, np.argmax),
        ):  # fmt: skip
            filled = np.where(known, values, fill)
            step = pick(filled, axis=0)
            new = better(filled[step, every], extreme)
            extreme[new], when[new] = filled[step, every][new], times[step][new]
        self.total += np.where(known, values, 0.0).sum(axis=0)
        self.below += (values < least).sum(axis=0)
        self.above += (values > most).sum(axis=0)

    def quantile(self, share: float) -> np.ndarray:
        """The middle of the class in which the quantile lies, within the extremes [elements]."""
        reached = self.counts.cumsum(axis=1)
        place = (reached < np.ceil(share * reached[:, -1:])).sum(axis=1)
        return np.clip(self.low + (place + 0.5) * self.width, self.least, self.most)

    def rows(self, interval_hours: float) -> pd.DataFrame:
        steps = self.counts.sum(axis=1)
        frame = pd.DataFrame(
            {
                "element_id": self.ids, "element_kind": self.kinds, "hours": steps * interval_hours, "minimum": self.least,
                "minimum_utc": pd.DatetimeIndex(self.least_utc).tz_localize("UTC"), "maximum": self.most,
                "maximum_utc": pd.DatetimeIndex(self.most_utc).tz_localize("UTC"), "mean": self.total / np.maximum(steps, 1),
                "quantile_5": self.quantile(0.05), "quantile_50": self.quantile(0.5), "quantile_95": self.quantile(0.95),
                "hours_below": self.below * interval_hours, "hours_above": self.above * interval_hours,
            }
        )  # fmt: skip
        return frame[steps > 0]  # an element without a supply in the whole range has no values


def _intervals(
    version: Version, series: FlowSeries, start_utc: pd.DatetimeIndex, loads: tuple[np.ndarray, np.ndarray], limits: Limits, seed: int
) -> pd.DataFrame:
    """A row per interval, with the proof of the chunk's sample."""
    good = series.converged
    proof = proved_by_sample(version.admitted, series, *loads, seed, count=1)
    volts, loading = series.vm_pu, series.loading_pct
    low, high = np.where(np.isfinite(volts), volts, np.inf), np.where(np.isfinite(volts), volts, -np.inf)
    heavy = np.where(np.isfinite(loading), loading, -np.inf)
    rows = {
        "start_utc": start_utc, "solved": good, "topology_hash": version.topology_hash, "engine": engine(series),
        "minimum_vm_pu": np.where(good, low.min(axis=1), np.nan), "minimum_vm_bus": series.bus_ids[low.argmin(axis=1)],
        "maximum_vm_pu": np.where(good, high.max(axis=1), np.nan), "maximum_loading_pct": np.where(good, heavy.max(axis=1), np.nan),
        "maximum_loading_branch": series.branch_ids[heavy.argmax(axis=1)], "supply_mw": series.supply_mw, "losses_mw": series.losses_mw,
        "unserved_mw": series.unserved_mw, "residual_max_mva": series.residual_max_mva,
        "beyond": beyond(volts, loading, limits).sum(axis=1), "sample_difference_pu": proof.largest_difference_pu,
    }  # fmt: skip
    return pd.DataFrame(rows)


def _days(every: pd.DataFrame, first: date, last: date, clock: SiteCalendar) -> pd.DataFrame:
    hours, by_day, made = clock.interval_hours, dict(iter(every.groupby(clock.days_of(every["start_utc"])))), []
    for day in days_between(first, last):
        rows, expected = by_day.get(day), len(clock.intervals(day))
        if rows is None or not rows["solved"].any():
            made.append({"day": day, "steps": 0, "failed_steps": 0 if rows is None else len(rows), "left_out_steps": expected - (0 if rows is None else len(rows)), "states": 0, "hours_beyond": 0.0})  # fmt: skip
            continue
        solved = rows[rows["solved"]]
        lowest, heaviest = (solved.loc[solved[what].idxmin() if what == "minimum_vm_pu" else solved[what].idxmax()] for what in ("minimum_vm_pu", "maximum_loading_pct"))  # fmt: skip
        made.append(
            {
                "day": day, "steps": len(solved), "failed_steps": len(rows) - len(solved), "left_out_steps": expected - len(rows),
                "states": rows["topology_hash"].nunique(), "minimum_vm_pu": lowest["minimum_vm_pu"], "minimum_vm_bus": lowest["minimum_vm_bus"],
                "minimum_vm_utc": lowest["start_utc"], "maximum_vm_pu": solved["maximum_vm_pu"].max(), "maximum_loading_pct": heaviest["maximum_loading_pct"],
                "maximum_loading_branch": heaviest["maximum_loading_branch"], "maximum_loading_utc": heaviest["start_utc"],
                "hours_beyond": float(solved["beyond"].sum() * hours), "peak_mw": solved["supply_mw"].max(), "supply_mwh": solved["supply_mw"].sum() * hours,
                "losses_mwh": solved["losses_mw"].sum() * hours, "unserved_mwh": solved["unserved_mw"].sum() * hours, "residual_max_mva": solved["residual_max_mva"].max(),
                "sample_difference_pu": solved["sample_difference_pu"].max(), "engine": "; ".join(sorted(set(solved["engine"]))),
            }
        )  # fmt: skip
    frame = pd.DataFrame(made)
    for name in RANGE_DAYS.columns:
        if name not in frame:
            frame[name] = None
    return frame[RANGE_DAYS.columns]


def range_in_words(done: RangeStudy) -> str:
    """How many intervals were solved, and the worst that was."""
    days = done.days
    solved, failed, left_out = (int(days[name].sum()) for name in ("steps", "failed_steps", "left_out_steps"))
    heaviest, lowest = days.loc[days["maximum_loading_pct"].idxmax()], days.loc[days["minimum_vm_pu"].idxmin()]
    strained = done.elements[(done.elements["hours_below"] > 0) | (done.elements["hours_above"] > 0)]
    return (
        f"{solved:,} intervals solved, {failed} without a solution, {left_out:,} without the loads of all nodes; highest loading "
        f"{heaviest['maximum_loading_pct']:.1f} % of {heaviest['maximum_loading_branch']} on {heaviest['day']}, lowest voltage "
        f"{lowest['minimum_vm_pu']:.4f} p.u. at {lowest['minimum_vm_bus']} on {lowest['day']}; {len(strained)} elements were beyond a limit"
        + (f", most often {_most_often(strained)}" if len(strained) else "")
    )


def _most_often(strained: pd.DataFrame) -> str:
    hours = strained["hours_below"] + strained["hours_above"]
    worst = strained.loc[hours.idxmax()]
    return f"{worst['element_kind']} {worst['element_id']} for {hours.max():,.1f} h"
