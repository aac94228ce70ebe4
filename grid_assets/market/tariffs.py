"""Tariffs on the site's clock: a price and a step for every interval, and what may be wrong with a tariff's periods."""

from __future__ import annotations

from datetime import date, time
from itertools import combinations

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import Tariff, TariffPeriod

MINUTES = 1440
FLAT, LOW, NORMAL, HIGH = "flat", "low", "normal", "high"


class TariffError(ValueError):
    """A tariff that gives no clear price: the tariff, its period, what was expected."""


def tariff_named(site: Site, name: str) -> Tariff:
    """A tariff of the site. Raises TariffError naming those that it has."""
    for tariff in site.tariffs:
        if tariff.name == name:
            return tariff
    raise TariffError(f"site {site.name} has no tariff {name!r}; it has {', '.join(one.name for one in site.tariffs) or 'none'}")


def price_series(tariff: Tariff, clock: SiteCalendar, day: date) -> pd.DataFrame:
    """The tariff's price and step in every interval of a site-local day, whose 23, 24 or 25 hours it follows.

    A period holds from its start to before its end on the site's clock; one whose end is not after its start goes over
    midnight, and 00:00 to 00:00 is the whole day. ``days`` is asked of each interval's own local day. Returns start_utc,
    tier (flat, low, normal, high: the price against that outside all periods) and price_per_kwh. Raises TariffError.
    """
    validate(tariff, clock.interval_minutes)
    starts = clock.intervals(day)
    local = clock.local(starts)
    minute = (local.hour * 60 + local.minute).to_numpy()
    weekend = local.dayofweek.to_numpy() >= 5
    price = np.full(len(starts), float(tariff.price_per_kwh))
    for period in tariff.periods:
        within = _minutes_of(period)[minute]
        on_day = {"all": np.ones(len(starts), bool), "weekdays": ~weekend, "weekends": weekend}[period.days]
        price[within & on_day] = period.price_per_kwh
    return pd.DataFrame({"start_utc": starts, "tier": _tiers(tariff, price), "price_per_kwh": price})


def validate(tariff: Tariff, interval_minutes: int) -> None:
    """Raises TariffError listing periods that overlap, do not fall on intervals, or have no number for a price."""
    found = []
    if not np.isfinite(tariff.price_per_kwh):
        found.append(f"its price outside all periods is {tariff.price_per_kwh}")
    for period in tariff.periods:
        if not np.isfinite(period.price_per_kwh):
            found.append(f"the period {_named(period)} has the price {period.price_per_kwh}")
        for edge in (period.start, period.end):
            if _minute(edge) % interval_minutes or edge.second or edge.microsecond:
                found.append(f"the period {_named(period)} has an edge within an interval of {interval_minutes} minutes")
                break
        if period.start == period.end and period.start != time():
            found.append(f"the period {_named(period)} is empty; a whole day is 00:00 to 00:00")
    for one, other in combinations(tariff.periods, 2):
        days_meet = "all" in (one.days, other.days) or one.days == other.days
        if days_meet and (_minutes_of(one) & _minutes_of(other)).any():
            found.append(f"the periods {_named(one)} and {_named(other)} overlap; expected at most one price at a time")
    if found:
        raise TariffError(f"tariff {tariff.name}: {'; '.join(found)}")


def _tiers(tariff: Tariff, price: np.ndarray) -> np.ndarray:
    """Flat where the tariff has one price on all days; else against the price outside all periods."""
    prices = {tariff.price_per_kwh, *(period.price_per_kwh for period in tariff.periods)}
    if len(prices) == 1:
        return np.full(len(price), FLAT, dtype=object)
    return np.select([price < tariff.price_per_kwh, price > tariff.price_per_kwh], [LOW, HIGH], NORMAL).astype(object)


def _minutes_of(period: TariffPeriod) -> np.ndarray:
    """Which of a day's 1440 minutes the period covers."""
    minutes, start, end = np.arange(MINUTES), _minute(period.start), _minute(period.end)
    return (minutes >= start) & (minutes < end) if start < end else (minutes >= start) | (minutes < end)


def _minute(edge: time) -> int:
    return edge.hour * 60 + edge.minute


def _named(period: TariffPeriod) -> str:
    return f"{period.start:%H:%M} to {period.end:%H:%M} ({period.days})"
