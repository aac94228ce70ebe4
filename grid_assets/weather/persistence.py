"""What is expected where no forecast reaches: the mean of the last observed days, drawn to the end of the last forecast."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.weather.observations import VARIABLES

PERSISTED_DAYS = 3
LOOKED_BACK_DAYS = 14
"""Where days are missing, the last three of so many count."""
PERSISTENCE = f"persistence: mean of the last {PERSISTED_DAYS} observed days"
MEMORY_HOURS = 48.0
"""How slowly a forecast's departure from the usual is forgotten behind its end. Of 12 to 120 h, 48 h was best or within 0.02 K of
the best on the first day behind the end, and better than none on each of the next four, at three real places: docs/weather.md."""


def horizon(site: Site, day: date) -> pd.DatetimeIndex:
    """The intervals from the issue time of ``day``'s run to the end of its horizon."""
    clock = site.clock
    every = clock.intervals(day + timedelta(days=1), clock.horizon_day(day))
    return every[every >= pd.Timestamp(clock.issue_time(day))]


def persisted(site: Site, day: date, observed: pd.DataFrame, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """The mean of the last three observed values up to ``day`` at the same local time of day, per variable.

    Null where the 14 days up to ``day`` have none.
    """
    clock, first = site.clock, day - timedelta(days=LOOKED_BACK_DAYS - 1)
    past = observed[(observed["start_utc"] >= clock.midnight(first)) & (observed["start_utc"] < clock.bounds(day)[1])]
    local = clock.local(pd.DatetimeIndex(past["start_utc"])).tz_localize(None)
    cube = np.full((LOOKED_BACK_DAYS, 24 * 60 // clock.interval_minutes, len(VARIABLES)), np.nan)
    cube[(local.normalize() - pd.Timestamp(first)).days, _slot(site, local)] = past[list(VARIABLES)].to_numpy(
        float
    )  # of an hour that the clock repeats one counts
    finite = np.isfinite(cube)
    counted = finite & (np.cumsum(finite[::-1], axis=0)[::-1] <= PERSISTED_DAYS)
    number = counted.sum(axis=0)
    mean = np.where(counted, cube, 0.0).sum(axis=0) / np.where(number, number, np.nan)
    return pd.DataFrame(mean[_slot(site, clock.local(start_utc))], index=start_utc, columns=list(VARIABLES))


def departure(told: pd.Series, usual: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the usual course behind the end of a forecast and in its gaps, and how much of the forecast is left there.

    ``told``, ``usual``: by interval. Returns (degrees, share): the mean departure of the forecast's last 24 hours, and 1 where it
    reaches, then exp(-hours since / 48); both 0 where nothing was forecast before. The degrees are multiplied by the share.
    """
    hours = pd.DatetimeIndex(told.index).as_unit("us").asi8 / 3.6e9
    apart = (told - usual).to_numpy(float)
    known = np.isfinite(told.to_numpy(float))
    last = np.maximum.accumulate(np.where(known, np.arange(len(told)), -1))
    share = np.where(last >= 0, np.exp(-(hours - hours[np.maximum(last, 0)]) / MEMORY_HOURS), 0.0)
    mean = pd.Series(apart, told.index).rolling("24h", min_periods=1).mean().to_numpy()
    return np.where(last >= 0, np.nan_to_num(mean[np.maximum(last, 0)]), 0.0) * share, share


def _slot(site: Site, local: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(local.hour * 60 + local.minute) // site.clock.interval_minutes
