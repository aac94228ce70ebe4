"""What the calendar says of a day: weekday, holiday and the days around it, season, and how many years have gone by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

YEAR_DAYS = 365.2425
EPOCH_YEAR = 2000
SEASON_HARMONICS = 4
WEEKEND_HARMONICS = 2
CHRISTMAS_SEASON = ((1223, 1231), (1224, 1224), (1231, 1231), (102, 105))
"""First and last day, as month and day in one number: half-holidays that no law knows."""


@dataclass(frozen=True)
class PublicHolidays:
    """The public holidays of a country and, where named, of its region."""

    names: dict[date, str]
    known: bool
    """False: the library knows no such country, and no day counts as a holiday."""
    region_known: bool = True
    """False: the country has no such region; its national holidays stand in."""

    @classmethod
    def of(cls, country: str, region: str | None, first: date, last: date) -> PublicHolidays:
        """All holidays from a year before ``first`` to a year after ``last``, by the library ``holidays``."""
        import holidays

        years, region_known = range(first.year - 1, last.year + 2), True
        try:
            national = holidays.country_holidays(country, years=years)
        except NotImplementedError:
            return cls({}, known=False, region_known=region is None)
        found = national
        if region is not None:
            try:
                found = holidays.country_holidays(country, subdiv=region, years=years)
            except NotImplementedError:
                region_known = False
        # "Christmas Day (observed)" is a Christmas Day to those who stay at home
        return cls({day: name.split(" (")[0] for day, name in sorted(found.items())}, known=True, region_known=region_known)

    def on(self, days: Sequence[date]) -> np.ndarray:
        """Whether each day is a holiday [days]."""
        return np.array([day in self.names for day in days])


def day_terms(days: Sequence[date], holidays: PublicHolidays, names: Sequence[str]) -> np.ndarray:
    """The calendar's terms [days, terms]; each of the holidays in ``names`` has one of its own, which the ridge shrinks."""
    weekday = np.array([day.weekday() for day in days])
    free = holidays.on(days)
    yesterday, tomorrow = (holidays.on([day + timedelta(days=step) for day in days]) for step in (-1, 1))
    workday = (weekday < 5) & ~free
    terms = [(weekday == n) & ~free for n in range(7)]
    terms += [free, free & (weekday >= 5), yesterday & workday, tomorrow & workday, yesterday & (weekday >= 5)]
    terms += [workday & ((weekday == 0) & tomorrow | (weekday == 4) & yesterday)]  # bridge days
    terms += [np.array([holidays.names.get(day) == name for day in days]) for name in names]
    in_year = np.array([100 * day.month + day.day for day in days])
    terms += [(in_year >= first) & (in_year <= last) for first, last in CHRISTMAS_SEASON]
    seasons = season(days)
    weekend = (weekday >= 5) | free
    terms += [*seasons.T, *(seasons[:, : 2 * WEEKEND_HARMONICS] * weekend[:, None]).T, *(seasons[:, :2] * (weekday == 4)[:, None]).T]
    terms.append(np.array([day.toordinal() for day in days]) / YEAR_DAYS - EPOCH_YEAR)
    return np.stack([np.asarray(term, float) for term in terms], axis=-1)


def season(days: Sequence[date]) -> np.ndarray:
    """Sine and cosine of the time of year and its harmonics [days, 2 x SEASON_HARMONICS]."""
    angle = np.array([day.timetuple().tm_yday - 1 for day in days]) * (2 * np.pi / YEAR_DAYS)
    return np.stack([wave(k * angle) for k in range(1, SEASON_HARMONICS + 1) for wave in (np.sin, np.cos)], axis=-1)
