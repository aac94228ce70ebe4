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


PAST_PEAKS = 6.0
"""A spike below half of the rating is so many times the most of the like days: a guest who cooks is less."""
SEEN_PEAKS = 1.5
"""And any spike so many times: what a meter did on three days it nearly does again."""
LEAST_FLOOR = 0.5
"""No spike is below this part of the floor that the rating gives: an empty house has no past to stand against."""
CHANCE = 1e-7
"""Chance that a run of equal values is no fault: half a run a day of 100,000 meters whose values change fifty times."""
NEAR_LEVEL = 0.1
"""Values so near to a level, as a part of it, tell how often the meter repeats it."""
REPEATS_KNOWN = 20.0
"""So many values near a level count as much as all others."""
MOST_REPEATS = 0.95
"""What other levels tell says no more than that."""
HABIT_DAYS = 0.5
"""Like days of which so much is known, in days, tell the meter's habits without the long runs of the day itself."""
RUNS_AT_ONCE = 4096
"""Runs that are judged together: bounds the memory where readings are coarse."""
LIMIT_SHARE = 0.5
"""A plant's limit is at least this part of its rating: at less it stands because its meter does."""


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
    kwh: np.ndarray, ratio: float, rating_kw: np.ndarray, interval_hours: float, floor_share: float = 0.5, past: Sequence[np.ndarray] = (),
    plants: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """The day's highest value where it is more than ``ratio`` times the third-highest, over a floor, and, where like days are known
    (``past``), over SEEN_PEAKS times all that they have; once found, the highest of the others likewise.

    The floor is ``floor_share`` of the rating; PAST_PEAKS times the most of the like days where that is less, but not less than
    LEAST_FLOOR of it. Not of ``plants`` (meters,): the sun between clouds makes an hour of a dull day five times the others,
    and what a plant cannot generate is above its rating.
    Source: the interval spike check of Oracle Utilities Meter Data Management (highest against third-highest); the
    threshold of 180 % is California's VEE standard. The floors are ours: one hour of cooking in an empty house is more
    than 180 % of its third-highest interval, and no fault.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    if kwh.shape[1] < 3 or not len(kwh):
        return found
    floor = np.maximum(floor_share * rating_kw * interval_hours, 0)
    worth = np.fmax.reduce(kwh, axis=1) > (LEAST_FLOOR * floor if len(past) else floor)
    rows = np.flatnonzero(worth if plants is None else worth & ~plants)  # those worth sorting
    known = kwh[rows]
    known[np.isnan(known)] = -np.inf
    for _ in range(2):  # against the third-highest no more than two can stand out
        top = np.partition(known, -3, axis=1)[:, -3:]
        third, first = top.min(axis=1), top.max(axis=1)
        wrong = np.flatnonzero(np.isfinite(third) & (first > ratio * np.maximum(third, 0)))
        wrong = wrong[first[wrong] > _own_floor(floor[rows[wrong]], [day[rows[wrong]] for day in past])]
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
    own = np.maximum(np.clip(PAST_PEAKS * peak, LEAST_FLOOR * floor, floor), SEEN_PEAKS * peak)
    return np.where(enough, own, floor)


def stuck(kwh: np.ndarray, intervals: int, plant_kwh: np.ndarray | None = None, past: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Runs of at least ``intervals`` equal values that are not zero, longer than the meter's habits explain; what did not arrive in
    between does not end a run.

    How often the meter repeats a value is counted on the same day, the run left out, and on its like days (``past``); where these
    are known all long runs of the day are left out, or of a meter that sticks again and again one would excuse the other. Near the
    level it is counted, and, as far as little is known there, at all levels, smaller ones being the likelier to repeat as the steps of readings
    are coarser for them. A run is a fault where chance makes one as long less than once in 1 / CHANCE. So a home at rest that reads whole
    Wh, and a constant load that was so on its like days, are right; fine readings never repeat, and ``intervals`` decide.
    Right are also runs at the day's maximum of a plant, whose inverter or service limits it.
    ``plant_kwh`` (meters,): what a plant's service carries in an interval; NaN for other meters.
    Source: practice of meter data teams (so many equal values are a fault); the judgement by the meter's own repetitions is ours. Runs of
    zero are an outage, an empty house or a dead meter and have their own rule.
    """
    found = np.zeros(kwh.shape, dtype=bool)
    equal = (kwh[:, 1:] == kwh[:, :-1]) & (kwh[:, 1:] != 0)
    # the few rows that are worth a closer look: most of such a run is without gaps
    rows = np.flatnonzero(np.count_nonzero(equal, axis=1) >= (intervals - 1) // 2)
    row, column = np.nonzero(~np.isnan(kwh[rows]))
    row = rows[row]
    values = kwh[row, column]
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = (values[1:] != values[:-1]) | (row[1:] != row[:-1])
    run, first = np.cumsum(begins) - 1, np.flatnonzero(begins)
    lengths = np.bincount(run, minlength=len(first))
    long = np.flatnonzero((lengths >= intervals) & (values[first] != 0))
    if not len(long):
        return found
    in_run = np.full(kwh.shape, -1, dtype=np.int32)
    in_run[row, column] = run
    is_long = np.zeros(len(first) + 1, dtype=bool)  # one more, for what is in no run
    is_long[long] = True
    wrong = np.zeros(len(first), dtype=bool)
    for at in np.array_split(long, len(long) // RUNS_AT_ONCE + 1):
        here, level = row[first[at]], values[first[at]]
        runs, days = in_run[here], [day[here] for day in past]
        held = (runs[:, 1:] == runs[:, :-1]) & is_long[runs[:, 1:]]
        alone = held & (runs[:, 1:] == at[:, None])
        unknown = (
            sum(np.count_nonzero(~np.isnan(day), axis=1) for day in days) < HABIT_DAYS * kwh.shape[1] if days else np.full(len(at), True)
        )
        repeats = _repeats(level, kwh[here], np.where(unknown[:, None], alone, held), days)
        with np.errstate(divide="ignore"):
            wrong[at] = (lengths[at] - 1) * np.log(repeats) < np.log(CHANCE)
        if plant_kwh is not None:
            day = kwh[here]
            limited = (
                (level >= LIMIT_SHARE * plant_kwh[here]) & (level >= np.fmax.reduce(day, axis=1)) & (level > np.fmin.reduce(day, axis=1))
            )
            wrong[at[limited]] = False
    told = wrong[run]
    found[row[told], column[told]] = True
    return found


def _repeats(level: np.ndarray, day: np.ndarray, held: np.ndarray, past: Sequence[np.ndarray]) -> np.ndarray:
    """How likely a meter repeats a value at a level, (runs,); ``day``: (runs, intervals); ``held``: which of its steps from one
    interval to the next are left out, for the runs in question are no evidence of their own.
    """
    near_repeats, near_count, scaled_repeats, count = (np.zeros(len(level)) for _ in range(4))
    size = np.abs(level)[:, None]
    for values, left_out in [(day, held), *((one, None) for one in past)]:
        one, following = values[:, :-1], values[:, 1:]
        known = ~np.isnan(one) & ~np.isnan(following) & (one != 0)
        if left_out is not None:
            known &= ~left_out
        repeated = known & (one == following)
        near = known & (np.abs(one - level[:, None]) <= NEAR_LEVEL * size)
        near_repeats += (repeated & near).sum(axis=1)
        near_count += near.sum(axis=1)
        scaled_repeats += (np.abs(one) / size).sum(axis=1, where=repeated)
        count += known.sum(axis=1)
    usual = np.minimum(scaled_repeats / (count + REPEATS_KNOWN), MOST_REPEATS)
    return (near_repeats + REPEATS_KNOWN * usual) / (near_count + REPEATS_KNOWN)


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
