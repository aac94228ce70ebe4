"""What is known of coming weather at an issue time: the provider's latest issue, or persistence of the last observed days."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.weather.observations import VARIABLES, to_intervals
from grid_assets.weather.solar import Sun

PERSISTED_DAYS = 3
PERSISTENCE = f"persistence: mean of the last {PERSISTED_DAYS} observed days"


def horizon(site: Site, day: date) -> pd.DatetimeIndex:
    """The intervals from the issue time of ``day``'s run to the end of its horizon."""
    clock = site.clock
    every = clock.intervals(day + timedelta(days=1), clock.horizon_day(day))
    return every[every >= pd.Timestamp(clock.issue_time(day))]


def forecast_rows(site: Site, day: date, issues: pd.DataFrame | None, observed: pd.DataFrame, sun: Sun) -> pd.DataFrame:
    """Rows of FORECASTS as known at the issue time of ``day``.

    ``issues``: rows of all issues (issued_utc, start_utc, variables), None where the site has no provider. ``observed``:
    rows of OBSERVATIONS. Nothing issued after the issue time and nothing observed after ``day`` is used; where no issue
    is known yet, persistence stands in and says so.
    """
    if site.weather is None:
        raise ValueError(f"{site.name}: the site file has no [weather]")
    start_utc, at_issue = horizon(site, day), pd.Timestamp(site.clock.issue_time(day))
    known = issues[issues["issued_utc"] <= at_issue] if issues is not None else pd.DataFrame()
    if len(known):
        issued = known["issued_utc"].max()
        values = to_intervals(known[known["issued_utc"] == issued], start_utc, pd.Timedelta(site.clock.interval), sun)
        source = f"forecast ({site.weather.label})"
    else:
        issued, source = at_issue, PERSISTENCE
        values = persisted(site, day, observed, start_utc)
    made = values.rename_axis("start_utc").reset_index()
    return made.assign(station_id=site.weather.station_id, issued_utc=issued, source=source)


def persisted(site: Site, day: date, observed: pd.DataFrame, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """The mean of the three days up to ``day`` at the same local time of day, per variable; null where none was observed."""
    clock = site.clock
    begin, end = clock.midnight(day - timedelta(days=PERSISTED_DAYS - 1)), clock.bounds(day)[1]
    past = observed[(observed["start_utc"] >= begin) & (observed["start_utc"] < end)]
    if not len(past):
        return pd.DataFrame(np.nan, index=start_utc, columns=list(VARIABLES))
    by_time = past.groupby(_local_minute(site, pd.DatetimeIndex(past["start_utc"])))[list(VARIABLES)].mean()
    return by_time.reindex(_local_minute(site, start_utc)).set_axis(start_utc)


def _local_minute(site: Site, instants: pd.DatetimeIndex) -> np.ndarray:
    local = site.clock.local(instants)
    return np.asarray(local.hour * 60 + local.minute)
