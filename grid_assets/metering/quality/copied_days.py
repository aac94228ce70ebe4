"""Readings that no meter measured: days that repeat an earlier day, and stretches that somebody filled.

Head-ends, data collectors and publishers fill gaps silently: with the day before, with a mean spread evenly, with a straight
line. Such values pass every rule, for each of them is plausible. What gives them away is that they are too regular, and how
unlikely that is can be computed from the meter's own readings. So each find tells its evidence in bits: n bits mean that chance
makes the like once in 2^n. Sources: repeats and flat runs are among the anomalies that publishers of smart-meter data warn of
(Liander on Zonnedael: "an average value is displayed"); the measure is the collision entropy of Renyi, of order 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

import numpy as np
import pandas as pd

UNITS_PER_KWH = 1_000_000
"""Energies are compared as whole mWh, so that Wh turned into kWh and back are equal."""
COPY_BITS = 64.0
"""A copied day: 100,000 meters against 28 days are 2^21 comparisons a day, so chance calls one in 2^42 days."""
PATTERN_BITS = 64.0
"""A repeated pattern: about as sure as a copied day; a refrigerator's rhythm, counted in coarse steps, stays far below."""
LINE_BITS = 24.0
"""A constant run or a ramp: less sure, for a thermostat or a dark house draws lines too; 20 million values a day give about one."""
LINE_INTERVALS = 8
USUAL_MARKS = (2, 8)
"""A quarter of the steps of a day goes steadily or straight on; counted as so many of so many, it speaks where a day has no rest."""
FINE_STEPS = 50
"""A mean that was spread is steady to one step of the meter; that is a sign only where a step is at most 2 % of it."""
LONGEST_PERIOD = 8
"""Values after which a pattern begins again: a mean in whole Wh repeats within a few."""
LARGEST_RANGE = 0.1
"""Of a pattern's mean. A mean that was spread is even; a refrigerator in an empty home (7, 7, 7, 14 Wh in EDRP) is not."""

FOUND = ["meter_id", "pattern", "evidence", "explanation"]
STRETCHES = ["row", "first", "intervals", "kind", "period", "mean_kwh", "bits"]

Profiles = Callable[[date, list[str]], np.ndarray]
"""(day, meter ids) -> (meters, intervals) of measured kWh, NaN where not measured."""


# -- how unlikely -----------------------------------------------------------------------------------------------


def repetition_bits(kwh: np.ndarray) -> np.ndarray:
    """How unlikely it is that chance repeats each row of ``kwh`` (rows, intervals), in bits.

    Two days of a meter that agree so far agree in the next value when their changes agree; how often two changes of this day
    are equal is the estimate of that. A dead or empty meter changes by 0 only: 0 bits, for its days are equal without a copy.
    At most log2 of the number of changes per interval, which errs on the side of chance.
    """
    changes = np.sort(np.diff(_units(kwh), axis=1), axis=1)
    rows, count = changes.shape
    if not rows or not count:
        return np.zeros(rows)
    run = np.cumsum(np.concatenate([np.ones((rows, 1), bool), changes[:, 1:] != changes[:, :-1]], axis=1), axis=1)
    each = np.bincount((run - 1 + np.arange(rows)[:, None] * count).ravel(), minlength=rows * count).reshape(rows, count)
    return count * -np.log2((each / count) ** 2 @ np.ones(count))


def deviations_of(bits: float) -> float:
    """The standard deviations from its mean at which a normal variable is about as unlikely: sqrt(2 ln 2 bits)."""
    return float(np.sqrt(2.0 * np.log(2.0) * max(bits, 0.0)))


def _units(kwh: np.ndarray) -> np.ndarray:
    return np.rint(kwh * UNITS_PER_KWH).astype(np.int64)


# -- copied days ------------------------------------------------------------------------------------------------


def equal_days(today: pd.DataFrame, earlier: pd.DataFrame) -> list[str]:
    """The meters whose day has the same energy as an earlier one: candidates for a copy.

    Both in rows of METER_DAYS, a row a meter. Only days whose every interval was measured count: an estimate from one like day
    repeats it by right. Days without energy are left out: zero needs no copy.
    """
    at = pd.Index(today["meter_id"]).get_indexer(pd.Index(earlier["meter_id"]))
    there = np.flatnonzero((at >= 0) & _whole(earlier))
    here = at[there]
    equal = _whole(today)[here] & (_energy(today)[here] == _energy(earlier)[there])
    equal &= today["expected_intervals"].to_numpy()[here] == earlier["expected_intervals"].to_numpy()[there]
    return sorted(today["meter_id"].iloc[here[equal]])


def _whole(days: pd.DataFrame) -> np.ndarray:
    return ((days["valid_intervals"] == days["expected_intervals"]) & (days["energy_kwh"] > 0)).to_numpy(dtype=bool)


def _energy(days: pd.DataFrame) -> np.ndarray:
    return _units(np.nan_to_num(days["energy_kwh"].to_numpy(dtype=float)))


def copied_days(
    day: date, today: pd.DataFrame, earlier: Iterable[tuple[date, pd.DataFrame]], profiles: Profiles, minimum_bits: float = COPY_BITS
) -> pd.DataFrame:
    """Meters whose day repeats an earlier one of theirs exactly: meter_id, copied_from (the latest), bits.

    ``today``: METER_DAYS of the day; ``earlier``: those of each day before; ``profiles`` is asked for the candidates' readings
    only. A day of another length (a clock change) is never called a copy. Days of less than ``minimum_bits`` could be equal by
    chance.
    """
    found = []
    for other, rows in sorted(earlier, key=lambda one: one[0]):
        ids = equal_days(today, rows)
        if ids:
            now = profiles(day, ids)
            equal = same_profiles(now, profiles(other, ids))
            found += [(ids[n], other, bits) for n, bits in zip(np.flatnonzero(equal), repetition_bits(now[equal]), strict=True)]
    made = pd.DataFrame(found, columns=["meter_id", "copied_from", "bits"])
    made = made[made["bits"] >= minimum_bits].drop_duplicates("meter_id", keep="last")
    return made.sort_values("meter_id", ignore_index=True)


def same_profiles(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which rows of two matrices of (meters, intervals) are measured throughout and equal, value by value."""
    if one.shape != other.shape:
        return np.zeros(len(one), dtype=bool)
    known = ~(np.isnan(one) | np.isnan(other)).any(axis=1)
    return known & (_units(np.nan_to_num(one)) == _units(np.nan_to_num(other))).all(axis=1)


# -- filled stretches -------------------------------------------------------------------------------------------


def filled_stretches(kwh: np.ndarray) -> pd.DataFrame:
    """Stretches that were filled and not measured, each with its place, kind and evidence (STRETCHES).

    ``kwh`` (meters, intervals), NaN where not measured. Kinds: constant (equal values that are not zero), ramp (a straight line,
    as far as the meter's steps allow) and pattern (a few nearly equal values over and over, as a mean in whole Wh gives it).
    """
    made = pd.concat([constant_runs(kwh), ramps(kwh), repeated_patterns(kwh)], ignore_index=True)
    return made.sort_values(["row", "first", "kind"], ignore_index=True)


def constant_runs(kwh: np.ndarray, intervals: int = LINE_INTERVALS, minimum_bits: float = LINE_BITS) -> pd.DataFrame:
    """Runs of at least ``intervals`` values that are equal, or a mean in whole steps: no window of them spans more than one step.

    Values of less than FINE_STEPS steps must be equal, and zero never counts. A run below the day's median is a home at rest, not a
    mean that was spread. Equal values mostly failed the rule `stuck` before. The evidence is how seldom the rest of the day is as
    steady.
    """
    units, known = _units(np.nan_to_num(kwh)), ~np.isnan(kwh)
    step = np.gcd.reduce(units, axis=1)
    near = np.abs(units[:, 1:] - units[:, :-1]) <= step[:, None]
    rows = np.flatnonzero(np.count_nonzero(near, axis=1) >= intervals - 1)  # the few rows worth a closer look
    made: list[tuple] = []
    if kwh.shape[1] < intervals or not len(rows):
        return _stretches(kwh, made)
    high, low = _windows(units[rows], intervals, np.maximum), _windows(units[rows], intervals, np.minimum)
    fine = low >= FINE_STEPS * step[rows, None]
    steady = (low > 0) & (high - low <= np.where(fine, step[rows, None], 0)) & _all_in_windows(known[rows], intervals)
    for at, first, windows in _runs(steady, 1):
        row, length = int(rows[at]), windows + intervals - 1
        if _at_rest(units[row], known[row], first, length):
            continue
        same = near[row] if np.ptp(units[row, first : first + length]) else units[row, 1:] == units[row, :-1]
        bits = (length - 1) * _bits_against_the_rest(same, first, first + length - 1)
        if bits >= minimum_bits:
            made.append((row, first, length, "constant", 1, bits))
    return _stretches(kwh, made)


def _at_rest(units: np.ndarray, known: np.ndarray, first: int, length: int) -> bool:
    """Whether a stretch lies below the median of the rest of its day."""
    rest = np.concatenate([units[:first][known[:first]], units[first + length :][known[first + length :]]])
    return len(rest) > 0 and units[first : first + length].mean() < np.median(rest)


def _windows(values: np.ndarray, width: int, of: np.ufunc) -> np.ndarray:
    """(rows, windows): the largest or smallest of ``width`` values in a row."""
    count = values.shape[1] - width + 1
    made = values[:, :count].copy()
    for k in range(1, width):
        of(made, values[:, k : k + count], out=made)
    return made


def ramps(kwh: np.ndarray, intervals: int = LINE_INTERVALS, minimum_bits: float = LINE_BITS) -> pd.DataFrame:
    """Straight lines of at least ``intervals`` values that rise or fall by at least one of the meter's steps each time.

    Exact as far as the meter's step allows: its step is the greatest common divisor of the day's values, and no value of a
    window is further than one step from the chord. The evidence is how seldom the rest of the day goes straight on.
    """
    made: list[tuple] = []
    if kwh.shape[1] < intervals:
        return _stretches(kwh, made)
    units, known = _units(np.nan_to_num(kwh)), ~np.isnan(kwh)
    step = np.gcd.reduce(units, axis=1)
    goes_on = np.abs(units[:, 2:] - 2 * units[:, 1:-1] + units[:, :-2]) <= 2 * step[:, None]
    rows = np.flatnonzero((np.count_nonzero(goes_on, axis=1) >= intervals - 2) & (step > 0))  # the few rows worth a closer look
    straight = _straight(units[rows], step[rows], intervals) & _all_in_windows(known[rows], intervals)
    for at, first, windows in _runs(straight, 1):
        row, length = int(rows[at]), windows + intervals - 1
        bits = (length - 2) * _bits_against_the_rest(goes_on[row], first, first + length - 2)
        if bits >= minimum_bits:
            made.append((row, first, length, "ramp", 0, bits))
    return _stretches(kwh, made)


def _bits_against_the_rest(marked: np.ndarray, first: int, end: int) -> float:
    """Bits of one more mark in [first, end) of a row, by the share of marks in the rest of the row and what a day has usually."""
    rest = np.concatenate([marked[:first], marked[end:]])
    return float(-np.log2((np.count_nonzero(rest) + USUAL_MARKS[0]) / (len(rest) + USUAL_MARKS[1])))


def _straight(units: np.ndarray, step: np.ndarray, intervals: int) -> np.ndarray:
    """(rows, windows): whether a window of ``intervals`` values is a slope within one step of its chord."""
    windows = units.shape[1] - intervals + 1
    first, last = units[:, :windows], units[:, intervals - 1 :]
    rise = last - first
    found = np.abs(rise) >= (intervals - 1) * step[:, None]
    for k in range(1, intervals - 1):
        found &= np.abs(units[:, k : k + windows] - first - rise * (k / (intervals - 1))) <= step[:, None]
    return found


def _all_in_windows(known: np.ndarray, intervals: int) -> np.ndarray:
    counts = np.cumsum(np.concatenate([np.zeros((len(known), 1), int), known], axis=1), axis=1)
    return counts[:, intervals:] - counts[:, :-intervals] == intervals


def repeated_patterns(kwh: np.ndarray, longest_period: int = LONGEST_PERIOD, minimum_bits: float = PATTERN_BITS) -> pd.DataFrame:
    """Stretches in which 2 to ``longest_period`` nearly equal values come over and over, by the shortest period that tells them.

    Each repeated value is worth what the stretch's own changes tell (repetition_bits); ``minimum_bits`` in all. A pattern of
    two values is worth 1 bit an interval, so it must be long; an even distribution of a mean is found within hours.
    """
    units = _units(np.nan_to_num(kwh))
    known = ~np.isnan(kwh)
    made: list[tuple] = []
    for period in range(2, min(longest_period, kwh.shape[1] - 1) + 1):
        equal = (units[:, period:] == units[:, :-period]) & known[:, period:] & known[:, :-period]
        shortest = int(np.ceil(minimum_bits / np.log2(longest_period)))
        for row, first, length in _runs(equal, shortest):
            whole = slice(first, first + length + period)
            if any(one[0] == row and one[1] < whole.stop and first < one[1] + one[2] for one in made):
                continue  # a shorter period tells it
            if np.ptp(units[row, whole]) > LARGEST_RANGE * units[row, whole].mean():
                continue
            bits = _bits_of_repeats(units[row, whole], length)
            if bits >= minimum_bits:
                made.append((row, first, length + period, "pattern", period, bits))
    return _stretches(kwh, made)


def _bits_of_repeats(units: np.ndarray, repeats: int) -> float:
    _, counts = np.unique(np.diff(units), return_counts=True)
    return repeats * float(-np.log2(((counts / counts.sum()) ** 2).sum()))


def _runs(marked: np.ndarray, shortest: int) -> list[tuple[int, int, int]]:
    """(row, first column, length) of runs of at least ``shortest`` marks."""
    rows = np.flatnonzero(np.count_nonzero(marked, axis=1) >= max(shortest, 1))
    padded = np.zeros((len(rows), marked.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = marked[rows]
    edges = np.diff(padded, axis=1)
    at, begin = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    long = end - begin >= shortest
    return [(int(rows[row]), int(first), int(last - first)) for row, first, last in zip(at[long], begin[long], end[long], strict=True)]


def _stretches(kwh: np.ndarray, found: list[tuple]) -> pd.DataFrame:
    rows = [(*one[:5], float(np.mean(kwh[one[0], one[1] : one[1] + one[2]])), one[5]) for one in found]
    made = pd.DataFrame(rows, columns=STRETCHES)
    return made.astype({"row": int, "first": int, "intervals": int, "period": int, "mean_kwh": float, "bits": float})


# -- as evidence ------------------------------------------------------------------------------------------------


def copy_evidence(copies: pd.DataFrame) -> pd.DataFrame:
    """Copied days as evidence of unusual consumption: meter_id, pattern, evidence in standard deviations, explanation."""
    rows = [
        (one.meter_id, "copied_day", deviations_of(one.bits), f"every reading equals that of {one.copied_from}: chance does so once in 2^{one.bits:.0f} days")
        for one in copies.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=FOUND)


def fill_evidence(stretches: pd.DataFrame, meter_ids: list[str], starts: pd.DatetimeIndex, zone: str) -> pd.DataFrame:
    """Filled stretches as evidence, the strongest of each meter; ``meter_ids`` and ``starts`` are the axes of their matrix."""
    strongest = stretches.sort_values(["row", "bits"], kind="stable").drop_duplicates("row", keep="last")
    rows = []
    for one in strongest.itertuples():
        begin = starts[one.first].tz_convert(zone)
        rows.append(
            (meter_ids[one.row], "filled", deviations_of(one.bits), f"{one.intervals} readings from {begin:%H:%M} are {_said(one)}")
        )
    return pd.DataFrame(rows, columns=FOUND)


def _said(stretch) -> str:
    if stretch.kind == "constant":
        return f"steady at {stretch.mean_kwh:.4g} kWh"
    if stretch.kind == "ramp":
        return "a straight line"
    return f"{stretch.period} values over and over, {stretch.mean_kwh:.4g} kWh in the mean"
