"""Validation rules: each a function over a day's matrix of arrived energy, telling which values fail.

Matrices are (meters, intervals) of kWh; NaN where nothing arrived. A rule never marks a NaN. The rules and their
defaults follow the practice of meter data management; the sources are named at each rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RULES = (
    "not_in_force", "off_interval", "negative", "above_rating", "spike", "stuck", "zero_run", "near_zero", "pv_at_night",
    "meter_exchange", "correction", "interval_length",
)  # fmt: skip
"""Why an arrived value is refused, in the order in which it is told. The first two are found when the matrix is filled, the
exchange when registers are read; ``correction`` is an analyst's refusal; ``interval_length`` is of a whole day.
"""

DAY_FLAGS = ("scaled_wh", "register_mismatch", "high_usage", "low_usage", "shifted_clock")
"""What is told of a meter's day as a whole, after the rules that its intervals failed."""

BITS = {rule: 1 << n for n, rule in enumerate((*RULES, *DAY_FLAGS))}
"""A rule's bit in the masks that say which rules a value (16 bits) or a day (32 bits) failed."""


UNREASONABLE = sum(BITS[rule] for rule in ("negative", "above_rating", "spike", "stuck", "zero_run", "near_zero", "pv_at_night"))
"""Bits of the rules that judge a value by its size, IEC 61968-9's category of reasonability."""


PAST_PEAKS = 4.0
"""A spike below half of the rating is so many times the most of the like days: a guest who cooks is less."""
LEAST_FLOOR = 0.3
"""No spike is below this part of the floor that the rating gives: an empty house has no past to stand against."""
USUAL_MOVES = 0.4
"""Where so many moves from and to a level are of one step of the resolution, a run at the level is rounding."""
REST_SHARE = 0.02
"""A level that so many of the like days' values have is where the meter rests."""
LIMIT_SHARE = 0.5
"""A plant's limit is at least this part of its rating: at less it stands because its meter does."""
LEAST_STEPS = 3
"""So many different steps between a day's values are needed to see the resolution."""


STEADY = 0.8
"""Such a part of a day's values must stand the same time apart."""
LEAST_VALUES = 8
"""So many values of a day are needed to see that they stand further apart than the intervals."""


def interval_length(kwh: np.ndarray) -> np.ndarray:
    """Values of days on which they came for every second or third interval only, and for nearly each of those: energy of a
    longer interval, which taken for the site's would be counted two or three times with the estimates between.

    Source: interval length check of meter data management; that it is judged by what arrived in the day is ours.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    if kwh.shape[1] < 2:
        return found
    together = ~np.isnan(kwh[:, 1:]) & ~np.isnan(kwh[:, :-1])
    rows = np.flatnonzero(~together.any(axis=1))
    known = ~np.isnan(kwh[rows])
    count = np.count_nonzero(known, axis=1)
    rows, known, count = rows[count >= LEAST_VALUES], known[count >= LEAST_VALUES], count[count >= LEAST_VALUES]
    for step in (2, 3):
        steady = np.count_nonzero(known[:, step:] & known[:, :-step], axis=1)
        one = np.maximum.reduce([np.count_nonzero(known[:, first::step], axis=1) for first in range(step)]) == count
        which = one & (steady >= STEADY * (count - 1))
        found[rows[which]] = known[which]
    return found


def negative(kwh: np.ndarray, net_metered: np.ndarray) -> np.ndarray:
    """Energy below zero where nothing behind the meter can feed in, and of generation.

    ``net_metered`` (meters,): bool, also of meters at a node's boundary. Source: reason code 3.5.259 (reasonability) of IEC 61968-9.
    """
    return (kwh < 0) & ~net_metered[:, None]


def above_rating(kwh: np.ndarray, rating_kw: np.ndarray, interval_hours: float) -> np.ndarray:
    """More energy, in either direction, than the service can carry: rating_kw (meters,) times the interval's length.

    Source: the demand limit check of Itron IEE; a unit sent wrongly (Wh as kWh) is found here too.
    """
    return np.abs(kwh) > rating_kw[:, None] * interval_hours * (1 + 1e-9)


def spike(
    kwh: np.ndarray, ratio: float, rating_kw: np.ndarray, interval_hours: float, floor_share: float = 0.5, past: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The day's highest value where it is more than ``ratio`` times the third-highest and over half of the rating, or over
    PAST_PEAKS times all that the meter used on its like days (``past``); once found, the highest of the others likewise.

    Source: the interval spike check of Oracle Utilities Meter Data Management (highest against third-highest); the
    threshold of 180 % is California's VEE standard. The floors are ours: one hour of cooking in an empty house is more
    than 180 % of its third-highest interval, and no fault.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    if kwh.shape[1] < 3 or not len(kwh):
        return found
    floor = np.maximum(floor_share * rating_kw * interval_hours, 0)
    rows = np.flatnonzero(np.fmax.reduce(kwh, axis=1) > (LEAST_FLOOR * floor if len(past) else floor))  # those worth sorting
    known = kwh[rows]
    known[np.isnan(known)] = -np.inf
    for _ in range(2):  # against the third-highest no more than two can stand out
        top = np.partition(known, -3, axis=1)[:, -3:]
        third, first = top.min(axis=1), top.max(axis=1)
        wrong = np.isfinite(third) & (first > ratio * np.maximum(third, 0))
        low = np.flatnonzero(wrong & (first <= floor[rows]))
        wrong[low] = first[low] > _own_floor(floor[rows[low]], [day[rows[low]] for day in past])
        rows, known = rows[wrong], known[wrong]
        if not len(rows):
            break
        column = known.argmax(axis=1)
        found[rows, column] = True
        known[np.arange(len(rows)), column] = -np.inf
    return found


def _own_floor(floor: np.ndarray, past: Sequence[np.ndarray]) -> np.ndarray:
    """What a spike must be above by the meter's own like days, where at least a day of them is known; else ``floor``."""
    if not len(past) or not len(floor):
        return floor
    days = np.concatenate(past, axis=1)
    enough = np.count_nonzero(~np.isnan(days), axis=1) >= past[0].shape[1]
    peak = np.max(np.where(np.isnan(days), -np.inf, days), axis=1)
    return np.where(enough, np.clip(PAST_PEAKS * peak, LEAST_FLOOR * floor, floor), floor)


def stuck(kwh: np.ndarray, intervals: int, plant_kwh: np.ndarray | None = None, past: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Runs of at least ``intervals`` equal values that are not zero; what did not arrive in between does not end a run.

    Three kinds of runs are right: those at a level from which the meter usually moves by one step of its resolution, those where it
    rests on its like days too (``past``), and those at the day's maximum of a plant, whose inverter or service limits it.
    ``plant_kwh`` (meters,): what a plant's service carries in an interval; NaN for other meters.
    Source: practice of meter data teams; runs of zero are an outage, an empty house or a dead meter and have their own rule.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    equal = (kwh[:, 1:] == kwh[:, :-1]) & (kwh[:, 1:] != 0)
    # the few rows that are worth a closer look: most of such a run is without gaps
    rows = np.flatnonzero(np.count_nonzero(equal, axis=1) >= (intervals - 1) // 2)
    row, column = np.nonzero(~np.isnan(kwh[rows]))
    values = kwh[rows[row], column]
    goes_on = np.zeros(len(values), dtype=bool)
    goes_on[1:] = (values[1:] == values[:-1]) & (row[1:] == row[:-1])
    run = np.cumsum(~goes_on)
    long = (np.bincount(run)[run] >= intervals) & (values != 0) if len(run) else goes_on
    found[rows[row[long]], column[long]] = True
    for at in np.unique(rows[row[long]]):
        there = ~np.isnan(kwh[at])
        limit = np.nan if plant_kwh is None else LIMIT_SHARE * plant_kwh[at]
        found[at, there] &= ~_right_runs(kwh[at, there], found[at, there], limit, np.concatenate([np.empty(0), *(day[at] for day in past)]))
    return found


def _right_runs(values: np.ndarray, stands: np.ndarray, limit: float, past: np.ndarray) -> np.ndarray:
    """Which of a meter's known values that ``stands`` (equal ones in a row) are right all the same."""
    known_past = max(np.count_nonzero(~np.isnan(past)), 1)
    right = np.zeros(len(values), dtype=bool)
    distinct = np.unique(values)
    step = _resolution(distinct) * (1 + 1e-6)
    changes = np.abs(np.diff(values))
    for level in np.unique(values[stands]):
        mine = stands & (values == level)
        beside = np.abs(values - level) <= step
        moves = changes[(beside[1:] | beside[:-1]) & ~(mine[1:] & mine[:-1])]
        by_resolution = step > 0 and len(moves) > 0 and np.mean(moves <= step) >= USUAL_MOVES
        rests = np.count_nonzero(past == level) >= REST_SHARE * known_past
        at_limit = level >= limit and level == distinct[-1] > distinct[0]
        if by_resolution or rests or at_limit:
            right |= mine
    return right


def _resolution(distinct: np.ndarray) -> float:
    """The step that all of a day's sorted values stand apart by; 0 where there is none to be seen."""
    steps = np.diff(distinct)
    steps = steps[steps > 1e-9]
    if len(steps) < LEAST_STEPS:
        return 0.0
    times = (distinct - distinct[0]) / steps.min()
    return float(steps.min()) if (np.abs(times - np.round(times)) < 1e-3).all() else 0.0


def zero_run(
    kwh: np.ndarray, past: Sequence[np.ndarray], usual_kwh: float, intervals: int, may_rest: np.ndarray, excused: np.ndarray | None
) -> np.ndarray:
    """Runs of at least ``intervals`` zeros of a meter that does not rest: a meter that counts no more, though energy flows.

    ``past``: like days, (meters, intervals) of kWh. A meter rests when on one of them it stayed within ``usual_kwh`` of zero
    for half of such a run; without a like day that is at least half known nothing is said. ``may_rest`` (meters,): meters that
    are not judged, such as generation. Zeros that ``excused`` (meters, intervals) covers, an outage's, are right.
    Source: ERCOT's matrix of estimation practice takes zeros as valid with an outage's flag; the comparison with the
    meter's own past is ours.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    zeros = (kwh == 0) & ~may_rest[:, None]
    if excused is not None:
        zeros &= ~excused
    rows = np.flatnonzero(np.count_nonzero(zeros, axis=1) >= intervals)
    if not len(rows) or not past:
        return found
    found[rows] = _long_runs(zeros[rows], None, intervals)
    rows = rows[found[rows].any(axis=1)]
    known = np.zeros(len(rows), dtype=np.int64)
    rests = np.zeros(len(rows), dtype=bool)
    for day in past:
        mine = day[rows]
        known = np.maximum(known, np.count_nonzero(~np.isnan(mine), axis=1))
        with np.errstate(invalid="ignore"):
            rests |= _long_runs(np.abs(mine) <= usual_kwh, None, max(intervals // 2, 1)).any(axis=1)
    found[rows[rests | (known < kwh.shape[1] / 2)]] = False
    return found


def near_zero(kwh: np.ndarray, usual_kwh: np.ndarray, share: float, intervals: int, is_load: np.ndarray) -> np.ndarray:
    """Runs of at least ``intervals`` values of a load under ``share`` of its usual mean, ``usual_kwh`` (meters,).

    A feeder or substation never rests: such a run is a switched measurement or a dead transducer, as in Western
    Power Distribution's Plymouth data on 8 and 9 May 2018. Off for share = 0 and where the usual mean is unknown (NaN).
    """
    low = np.zeros(kwh.shape, dtype=bool)
    if share > 0:
        with np.errstate(invalid="ignore"):
            low = (kwh < share * usual_kwh[:, None]) & (usual_kwh[:, None] > 0) & is_load[:, None]
    return _long_runs(low, None, intervals)


def pv_at_night(kwh: np.ndarray, night: np.ndarray, photovoltaic: np.ndarray, limit_kwh: np.ndarray) -> np.ndarray:
    """More than ``limit_kwh`` (meters,), in either direction, from a photovoltaic plant while the sun is down.

    ``night`` (intervals,), ``photovoltaic`` (meters,): bool. Source: plausibility check of solar data practice (a wrong clock,
    a swapped channel); the sun's elevation is computed, its bound a parameter.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    rows, columns = np.flatnonzero(photovoltaic), np.flatnonzero(night)
    if len(rows) and len(columns):
        with np.errstate(invalid="ignore"):
            found[np.ix_(rows, columns)] = np.abs(kwh[np.ix_(rows, columns)]) > limit_kwh[rows, None]
    return found


def unusual_usage(day_kwh: np.ndarray, usual_kwh: np.ndarray, ratio: float, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days of more than ``ratio`` times, and of less than that part of, the usual energy; (meters,) each.

    NaN, and meters not ``judged`` (net meters, whose days sum to nearly nothing, and generation, which the weather makes),
    fail neither. Source: the high/low usage checks of Itron IEE and Oracle Utilities Meter Data Management.
    """
    with np.errstate(invalid="ignore"):
        high = judged & (usual_kwh > 0) & (day_kwh > ratio * usual_kwh)
        low = judged & (usual_kwh > 0) & (day_kwh < usual_kwh / ratio)
    return high, low


def _long_runs(marked: np.ndarray, starts: np.ndarray | None, intervals: int) -> np.ndarray:
    """The marks that belong to runs of at least ``intervals``; a mark in ``starts`` begins a new run."""
    rows, columns = marked.shape
    if not rows or not columns:
        return np.zeros(marked.shape, dtype=bool)
    begin = marked.copy()
    begin[:, 1:] &= ~marked[:, :-1] if starts is None else (~marked[:, :-1] | starts[:, 1:])
    run = np.cumsum(begin.ravel()) * marked.ravel()
    lengths = np.bincount(run, minlength=1)
    lengths[0] = 0
    return (lengths[run] >= intervals).reshape(rows, columns)


def longest_run(marked: np.ndarray) -> np.ndarray:
    """The length of the longest run of marks in each row."""
    longest = np.zeros(marked.shape[0], dtype=np.int64)
    running = np.zeros(marked.shape[0], dtype=np.int64)
    for column in marked.T:
        running = np.where(column, running + 1, 0)
        longest = np.maximum(longest, running)
    return longest
