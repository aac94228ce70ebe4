"""What is wrong with the weather of a day, in words; empty where nothing is."""

from __future__ import annotations

from datetime import date

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.weather.issues import FORECAST, LAST_FORECAST


def taken_out(rows: pd.DataFrame) -> str:
    """How many intervals lost values that cannot be; ``rows`` of OBSERVATIONS or FORECASTS."""
    flagged = rows.loc[rows["impossible_values"] > 0, "start_utc"]
    return f"{len(flagged)} intervals have values that cannot be, the first at {flagged.iloc[0].isoformat()}" if len(flagged) else ""


def not_current(forecasts: pd.DataFrame, clock: SiteCalendar, day: date, *, provider: bool) -> str:
    """What of a run's FORECASTS up to the end of its study day is not from a forecast of the last 24 hours.

    ``provider``: whether the site has forecasts at all; where it has none, persistence is what it asked for.
    """
    if not provider:
        return taken_out(forecasts)
    needed = forecasts[forecasts["start_utc"] < pd.Timestamp(clock.bounds(clock.study_day(day))[1])]
    source = needed["source"]
    said = []
    old = source[source.str.startswith(LAST_FORECAST)]
    if len(old):
        said.append(f"{len(old)} of {len(needed)} intervals up to the study day are from an old one: {old.iloc[0]}")
    without = source[~source.str.startswith((FORECAST, LAST_FORECAST))]
    if len(without):
        said.append(f"{len(without)} of {len(needed)} intervals up to the study day have no forecast: {without.iloc[0]}")
    return "; ".join([*said, *filter(None, [taken_out(forecasts)])])


def reach(forecasts: pd.DataFrame, clock: SiteCalendar, day: date) -> str:
    """How far the provider's forecast reaches into the horizon."""
    told = forecasts[forecasts["source"].str.startswith((FORECAST, LAST_FORECAST))]
    if told.empty:
        return "no forecast, persistence throughout"
    begin = pd.Timestamp(clock.issue_time(day))
    hours, whole = ((rows["start_utc"].max() + clock.interval - begin) / pd.Timedelta("1h") for rows in (told, forecasts))
    return f"the forecast reaches {hours:.0f} of {whole:.0f} h" + ("" if hours == whole else ", persistence from there on")
