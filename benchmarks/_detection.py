"""What validation made of a day whose truth is known: what of each fault was caught, what was refused wrongly, how good estimates are.

Pure functions over matrices of meters x intervals. The truth is the simulation's; no rule has seen it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.simulation.synthetic_site import DayTruth

EQUAL_KWH = 2e-3
"""Registers tell their standing to a watt-hour: an energy is a difference of two."""
LEAST_CELLS = 30
"""A figure of fewer cells than this says nothing."""


@dataclass(frozen=True)
class Published:
    """A day's readings as matrices of meters x intervals, the meters in the order of their ids."""

    energy_kwh: np.ndarray
    error_kwh: np.ndarray
    quality: np.ndarray
    """Words."""
    method: np.ndarray
    """Words; empty where the value is the arrived one."""
    failed: np.ndarray
    """Whether the arrived value failed a rule."""

    @property
    def measured(self) -> np.ndarray:
        return self.quality == "measured"

    @property
    def estimated(self) -> np.ndarray:
        return self.quality == "estimated"


def published(readings: pa.Table, truth: DayTruth) -> Published:
    """Rows of READINGS, sorted by meter and time, on the truth's axes. Raises ValueError where the axes differ."""
    shape = truth.clean_kwh.shape
    ids = (
        readings["meter_id"].take(pa.array(np.arange(0, shape[0] * shape[1], shape[1]))).to_pylist()
        if readings.num_rows == truth.clean_kwh.size
        else []
    )
    if ids != truth.meter_id.tolist():
        raise ValueError(
            f"{readings.num_rows} readings for {shape[0]} meters of {shape[1]} intervals: every interval of every meter must be there"
        )

    def words(name: str) -> np.ndarray:
        column = readings[name].combine_chunks()
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        codes = pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy(zero_copy_only=False)
        return np.array([*coded.dictionary.to_pylist(), ""], dtype="U24")[codes].reshape(shape)

    def numbers(name: str) -> np.ndarray:
        return readings[name].to_numpy().astype(float).reshape(shape)

    failed = pc.is_valid(readings["rule_failures"]).to_numpy().reshape(shape)
    return Published(numbers("energy_kwh"), numbers("error_kwh"), words("quality"), words("method"), failed)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    name: str
    caught: int
    of: int

    @property
    def share(self) -> float:
        return self.caught / self.of if self.of else float("nan")


def shares(truth: DayTruth, made: Published) -> dict[str, Share]:
    """Of every kind of fault how much was caught, and what of the sound values was refused.

    A value is caught when it is not published as a measured one; sound values count as refused when they failed a rule.
    """
    wrong_clock = truth.had("local_clock").any(axis=1)[:, None]
    came = truth.arrived & ~truth.corrupt & ~wrong_clock
    other = ~np.isclose(truth.sent_kwh, truth.clean_kwh, atol=1e-6)
    holds_first = np.zeros_like(came)
    holds_first[:, :-1] = truth.had("stuck")[:, 1:] & ~truth.had("stuck")[:, :-1]  # a stuck run's first value is true, and part of the run
    found = {
        "gaps": _share("gaps", ~made.measured, (truth.had("gap") | truth.had("offline")) & ~wrong_clock),
        "negatives": _share("negatives", ~made.measured, truth.had("negative") & came),
        "spikes": _share("spikes", ~made.measured, truth.had("spike") & came),
        "stuck": _share("stuck", ~made.measured, truth.had("stuck") & came),
        "zero_runs": _share("zero_runs", ~made.measured, truth.had("zero_run") & came),
        "exchanges": _share("exchanges", ~made.measured, truth.had("exchange") & came),
        "outages_refused": _share("outages_refused", made.failed, truth.had("outage") & came),
        "clean_refused": _share("clean_refused", made.failed, (truth.fault == 0) & came & ~holds_first),
        "conflicts_right": _share("conflicts_right", np.isclose(made.energy_kwh, truth.clean_kwh, atol=EQUAL_KWH), (truth.resent == 2) & (truth.fault == 0) & came & made.measured),
        "rollovers_right": _share("rollovers_right", np.isclose(made.energy_kwh, truth.clean_kwh, atol=EQUAL_KWH), truth.rolled_over & came & made.measured),
    }  # fmt: skip
    in_wh = truth.had("undeclared_wh") & came & other
    passed = (in_wh & made.measured).any(axis=1)
    sent_in_wh = in_wh.any(axis=1)
    found["undeclared_wh"] = Share("undeclared_wh", int((sent_in_wh & ~passed).sum()), int(sent_in_wh.sum()))
    misplaced = wrong_clock[:, 0]
    wrong = made.measured & ~np.isclose(made.energy_kwh, truth.clean_kwh, atol=EQUAL_KWH)
    found["local_clock"] = Share("local_clock", int((misplaced & (wrong.mean(axis=1) < 0.05)).sum()), int(misplaced.sum()))
    return found


def clock_shares(truth: DayTruth, flagged: np.ndarray) -> dict[str, Share]:
    """How many of the meter-days on a wrong clock, and of all others, have the flag; ``flagged`` (meters,) bool."""
    wrong = truth.had("local_clock").any(axis=1)
    return {
        "clock_flagged": _share("clock_flagged", flagged, wrong),
        "clock_flagged_wrongly": _share("clock_flagged_wrongly", flagged, ~wrong),
    }


def _share(name: str, caught: np.ndarray, of: np.ndarray) -> Share:
    return Share(name, int((caught & of).sum()), int(of.sum()))


def wape(truth_kwh: np.ndarray, made_kwh: np.ndarray) -> float:
    """Weighted absolute percentage error, as a ratio: sum of absolute errors over the sum of absolute true values."""
    weight = float(np.abs(truth_kwh).sum())
    return float(np.abs(made_kwh - truth_kwh).sum()) / weight if weight else float("nan")


def wape_by_class_and_method(truth: DayTruth, made: Published) -> dict[tuple[str, str], tuple[float, int]]:
    """(class, method) -> WAPE of the estimates and their number. Days of a wrong clock are left out: their truth is elsewhere."""
    sound = made.estimated & ~truth.had("local_clock").any(axis=1)[:, None]
    found = {}
    for name in sorted(set(truth.customer_class.tolist())):
        rows = truth.customer_class == name
        for method in sorted(set(made.method[sound].tolist())):
            cells = sound[rows] & (made.method[rows] == method)
            if cells.sum() >= LEAST_CELLS:
                found[name, method] = wape(truth.clean_kwh[rows][cells], made.energy_kwh[rows][cells]), int(cells.sum())
    return found


def harm_of(meters: np.ndarray, truth: DayTruth, made: Published, method: str = "like_days") -> tuple[float, float, int]:
    """WAPE of the estimates of some ``meters`` (bool), what it would be if theirs were as good as those of the other meters of
    their classes, and the number of their cells: what the days of a wrong unit do to what later days are estimated from.
    """
    cells = made.estimated & (made.method == method) & ~truth.had("local_clock").any(axis=1)[:, None]
    theirs = cells & meters[:, None]
    weight, expected = float(np.abs(truth.clean_kwh[theirs]).sum()), 0.0
    for name in np.unique(truth.customer_class[meters]):
        rows = (truth.customer_class == name)[:, None]
        mine, others = theirs & rows, cells & rows & ~meters[:, None]
        if mine.any():
            expected += wape(truth.clean_kwh[others], made.energy_kwh[others]) * float(np.abs(truth.clean_kwh[mine]).sum())
    return wape(truth.clean_kwh[theirs], made.energy_kwh[theirs]), expected / weight if weight else float("nan"), int(theirs.sum())


def left_of_wh(truth: DayTruth, made: Published) -> np.ndarray:
    """Of each meter-day in Wh unsaid the energy that stays as its history (measured or edited) against the true one; 1 is right."""
    stays = np.isin(made.quality, ("measured", "edited")) & truth.arrived & ~truth.corrupt
    rows = np.flatnonzero((truth.had("undeclared_wh") & stays & (truth.clean_kwh != 0)).any(axis=1))
    size, true = (np.where(stays[rows], np.abs(kwh[rows]), 0).sum(axis=1) for kwh in (made.energy_kwh, truth.clean_kwh))
    return size / true


def calibration(truth: DayTruth, made: Published) -> Iterator[tuple[str, float, float, int]]:
    """Per method: share of errors within one told standard error (0.68 if they were normal), the median size of the errors
    against the told ones' (1 if these are right; from the median, so that few wild ones do not decide), the number of estimates.
    """
    sound = made.estimated & ~truth.had("local_clock").any(axis=1)[:, None] & (made.error_kwh > 0)
    for method in sorted(set(made.method[sound].tolist())):
        cells = sound & (made.method == method)
        if cells.sum() >= LEAST_CELLS:
            ratio = (made.energy_kwh[cells] - truth.clean_kwh[cells]) / made.error_kwh[cells]
            yield method, float((np.abs(ratio) <= 1).mean()), float(np.sqrt(np.median(ratio**2) / 0.4549)), int(cells.sum())
