"""Day-matching baselines: what participants would have used without the event.

CAISO's 10-in-10 for non-residential customers (tariff 4.13.4, demand response manual): the mean of the ten most recent
like days (four in four on weekends and holidays), times a same-day ratio taken from four hours to one hour before the
event, held within a cap. Slots are those of the site's wall clock, so a clock change between an event and its like days
moves nothing. All participants are computed at once, as a cube of like day x interval x meter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.demand_response.events import Event, days_settled_from
from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.site_sections import Programme

INSUFFICIENT = "INSUFFICIENT_BASELINE_DAYS"
ADJUSTMENT_FROM, ADJUSTMENT_TO = timedelta(hours=4), timedelta(hours=1)
SHOWN_AFTER = timedelta(hours=2)
WEEKEND_DAYS = 4
MEASURED = ("measured", "edited")


@dataclass(frozen=True)
class DayChoice:
    """How many like days are taken, how many must be there, how far back they may lie."""

    wanted: int
    minimum: int
    lookback_days: int


@dataclass(frozen=True)
class Slots:
    """The intervals around an event: their UTC starts and what each belongs to."""

    start_utc: pd.DatetimeIndex
    period: np.ndarray
    """before, adjustment, event or after"""
    offset: pd.TimedeltaIndex
    """wall-clock distance from midnight of the event's day; below 0 or above a day where the window crosses midnight"""


def choice_of_days(terms: Programme, weekday: bool) -> DayChoice:
    """Ten of ten on weekdays, at least ``minimum_baseline_days``; four of four on weekends and holidays."""
    if weekday:
        return DayChoice(10, terms.minimum_baseline_days, terms.lookback_days)
    return DayChoice(WEEKEND_DAYS, WEEKEND_DAYS, terms.lookback_days)


def holidays_of(country: str, years: Collection[int]) -> set[date]:
    """Public holidays of a country in those years."""
    import holidays

    return set(holidays.country_holidays(country, years=list(years)))


def is_weekday(day: date, holidays: Collection[date]) -> bool:
    return day.weekday() < 5 and day not in holidays


def days_needed(event: Event, clock: SiteCalendar, terms: Programme) -> list[date]:
    """The site days whose readings a baseline of the event may use, the event's own among them."""
    days = days_settled_from(event, clock, terms)
    days += days_between(days[-1], clock.day_of(event.end_utc + SHOWN_AFTER))[1:]
    return [day for day in days if clock.last_day is None or day <= clock.last_day]


def like_days(event_day: date, lookback_days: int, holidays: Collection[date], event_days: Collection[date]) -> list[date]:
    """Candidate days, most recent first: of the event day's class, no event on them."""
    weekday = is_weekday(event_day, holidays)
    candidates = [event_day - timedelta(days=back) for back in range(1, lookback_days + 1)]
    return [day for day in candidates if is_weekday(day, holidays) == weekday and day not in event_days]


def slots_around(event: Event, clock: SiteCalendar) -> Slots:
    """The intervals from four hours before an event to two hours after it."""
    starts = pd.date_range(
        event.start_utc - ADJUSTMENT_FROM, event.end_utc + SHOWN_AFTER, freq=clock.interval, inclusive="left"
    ).as_unit("us")  # fmt: skip
    period = np.full(len(starts), "before", dtype=object)
    period[starts < event.start_utc - ADJUSTMENT_TO] = "adjustment"
    period[starts >= event.start_utc] = "event"
    period[starts >= event.end_utc] = "after"
    offset = clock.local(starts).tz_localize(None) - pd.Timestamp(clock.day_of(event.start_utc))
    return Slots(starts, period, offset)


def baselines(
    event: Event,
    participants: pd.DataFrame,
    readings: pd.DataFrame,
    clock: SiteCalendar,
    terms: Programme,
    holidays: Collection[date],
    event_days: Collection[date],
) -> pd.DataFrame:
    """The rows of demand_response/baselines for one event.

    ``participants``: participant_id, meter_id. ``readings``: rows of metering/readings of the days needed. ``event_days``:
    days of other events. A participant with too few complete like days gets rows without a baseline and the fault
    INSUFFICIENT_BASELINE_DAYS; the others are not held up. An event from before all readings has that fault throughout.
    """
    meters = participants["meter_id"].tolist()
    mine = readings[readings["meter_id"].isin(meters)]
    slots = slots_around(event, clock)
    energy = mine.pivot(index="start_utc", columns="meter_id", values="energy_kwh").reindex(columns=meters)
    actual = energy.reindex(slots.start_utc).to_numpy(dtype=float)
    quality = mine.pivot(index="start_utc", columns="meter_id", values="quality").reindex(index=slots.start_utc, columns=meters)
    event_day = clock.day_of(event.start_utc)
    weekday = is_weekday(event_day, holidays)
    choice = choice_of_days(terms, weekday)
    candidates = like_days(event_day, choice.lookback_days, holidays, event_days)
    cube, complete = history_cube(energy, candidates, slots, clock)
    needed = np.isin(slots.period, ("event", "adjustment"))
    usable = complete & ~np.isnan(cube[:, needed, :]).any(axis=1)
    unadjusted, chosen, enough = mean_of_days(cube, usable, choice)
    raw, ratio = same_day_ratio(actual, unadjusted, slots.period == "adjustment", terms.adjustment_cap)
    return _rows(
        event, participants, slots, unadjusted, actual, quality.fillna("missing").to_numpy(), raw, ratio, chosen, enough, candidates
    )


def history_cube(energy: pd.DataFrame, candidates: Sequence[date], slots: Slots, clock: SiteCalendar) -> tuple[np.ndarray, np.ndarray]:
    """Energy of like day x interval x meter on the event's wall-clock slots, and which days a meter has every interval of.

    ``energy``: kWh by UTC start (rows) and meter (columns). The hour that a clock change repeats counts with the mean of both.
    """
    wall = clock.local(pd.DatetimeIndex(energy.index)).tz_localize(None)
    by_wall_clock = energy.groupby(wall).mean() if wall.has_duplicates else energy.set_axis(wall)
    cube = np.full((len(candidates), len(slots.offset), energy.shape[1]), np.nan)
    complete = np.zeros((len(candidates), energy.shape[1]), dtype=bool)
    present = energy.notna()
    for n, day in enumerate(candidates):
        cube[n] = by_wall_clock.reindex(pd.Timestamp(day) + slots.offset).to_numpy(dtype=float)
        complete[n] = present.reindex(clock.intervals(day), fill_value=False).to_numpy(dtype=bool).all(axis=0)
    return cube, complete


def mean_of_days(cube: np.ndarray, usable: np.ndarray, choice: DayChoice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of each meter's most recent usable days, most recent first in ``cube``.

    Returns interval x meter kWh (NaN where there are too few days), day x meter chosen, and meter: enough days.
    """
    chosen = usable & (np.cumsum(usable, axis=0) <= choice.wanted)
    days = chosen.sum(axis=0)
    enough = days >= choice.minimum
    sums = np.where(chosen[:, None, :], cube, 0.0).sum(axis=0)
    mean = np.where(enough, sums / np.maximum(days, 1), np.nan)
    return mean, chosen, enough


def same_day_ratio(actual: np.ndarray, unadjusted: np.ndarray, window: np.ndarray, cap: float) -> tuple[np.ndarray, np.ndarray]:
    """The multiplicative same-day adjustment of each meter: before and after the cap [1 - cap, 1 + cap].

    ``actual`` and ``unadjusted``: interval x meter kWh; ``window``: the adjustment's intervals. Intervals without a reading
    count on neither side. Where the baseline of the window is zero, or nothing was read, the raw ratio is NaN and 1 applies.
    """
    here, there = actual[window], unadjusted[window]
    both = ~np.isnan(here) & ~np.isnan(there)
    used, expected = np.where(both, here, 0.0).sum(axis=0), np.where(both, there, 0.0).sum(axis=0)
    raw = np.divide(used, expected, out=np.full(used.shape, np.nan), where=expected > 0)
    return raw, np.where(np.isnan(raw), 1.0, np.clip(raw, 1 - cap, 1 + cap))


def _rows(event, participants, slots, unadjusted, actual, quality, raw, ratio, chosen, enough, candidates) -> pd.DataFrame:
    steps, meters = unadjusted.shape
    baseline = unadjusted * ratio
    names = np.array([day.isoformat() for day in candidates], dtype=object)
    days = [" ".join(names[chosen[:, n]]) for n in range(meters)]

    def per_meter(values) -> np.ndarray:
        return np.repeat(np.asarray(values), steps)

    return pd.DataFrame(
        {
            "event_id": event.event_id,
            "participant_id": per_meter(participants["participant_id"].to_numpy(dtype=object)),
            "meter_id": per_meter(participants["meter_id"].to_numpy(dtype=object)),
            "start_utc": pd.DatetimeIndex(np.tile(slots.start_utc.tz_localize(None).to_numpy(), meters)).tz_localize("UTC"),
            "period": np.tile(slots.period, meters),
            "unadjusted_kwh": unadjusted.T.ravel(),
            "baseline_kwh": baseline.T.ravel(),
            "actual_kwh": actual.T.ravel(),
            "quality": quality.T.ravel(),
            "reduction_kwh": (baseline - actual).T.ravel(),
            "raw_ratio": per_meter(np.where(enough, raw, np.nan)),
            "adjustment_ratio": per_meter(np.where(enough, ratio, np.nan)),
            "baseline_days_used": per_meter(chosen.sum(axis=0)),
            "baseline_days": per_meter(np.array(days, dtype=object)),
            "fault": per_meter(np.where(enough, None, INSUFFICIENT)),
        }
    )
