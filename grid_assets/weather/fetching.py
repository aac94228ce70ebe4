"""Asking the weather service: when it is wanted, and what is kept of the answer. The caller gives the time and the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import OpenMeteoInput
from grid_assets.weather import kept_answers, open_meteo
from grid_assets.weather.answers import NoAnswer, answer_to
from grid_assets.weather.observations import section_of

EARLY = timedelta(hours=1)
"""An issue received within an hour before the issue time, or later, is that day's; an older one is yesterday's."""
RENEWED = timedelta(hours=3)
"""In the course of the day a service is asked again when the newest answer is older than this: weather models run that often at most."""
KEY_FIELD = "apikey"


@dataclass(frozen=True)
class Fetched:
    """What came of asking."""

    file: Path | None
    said: str


def forecast_wanted(site: Site, now: datetime) -> bool:
    """Whether a live site has reached the hour before the issue time and no issue is kept since then. Never on a replay site."""
    if site.calendar.mode != "live" or not isinstance(section_of(site).forecasts, OpenMeteoInput):
        return False
    begin = window_begin(site.clock, now)
    return now >= begin and not kept_answers.kept_files(site, kept_answers.FORECASTS, first=begin)


def renewal_wanted(site: Site, now: datetime) -> bool:
    """Whether a live site's newest issue is so old that there may be another by now. Never on a replay site."""
    if site.calendar.mode != "live" or not isinstance(section_of(site).forecasts, OpenMeteoInput):
        return False
    return not kept_answers.kept_files(site, kept_answers.FORECASTS, first=now - RENEWED)


def window_begin(clock: SiteCalendar, now: datetime) -> datetime:
    """When the issue that the latest run wants may be fetched from on."""
    return clock.issue_time(clock.last_complete_day(now)) - EARLY


def fetch_forecast(site: Site, now: datetime, key: str | None = None) -> Fetched:
    """Asks for a forecast to the end of the horizon and keeps the answer as received ``now``. What goes wrong is said, not raised:
    the last kept issue then stands.
    """
    place, source = section_of(site), section_of(site).forecasts
    if not isinstance(source, OpenMeteoInput):
        raise ValueError(f'{site.name}: [weather.forecasts] names no service to ask; expected provider = "open_meteo"')
    end = site.clock.bounds(site.clock.horizon_day(site.clock.last_complete_day(now)))[1]
    coming = (end.date() - now.astimezone(UTC).date()).days + 1  # the day of the end too, whose stamp closes the last hour
    fields = open_meteo.fields_of(place, source, coming_days=coming)
    try:
        rows = open_meteo.rows_of(_asked(source, fields, key), members=source.members)
    except NoAnswer as error:
        return Fetched(None, f"no new forecast: {error}")
    told = {"address": open_meteo.path_of(source), **fields}
    return Fetched(kept_answers.keep(site, kept_answers.FORECASTS, rows, now, told), f"fetched {len(rows)} rows")


def fetch_observations(site: Site, days: Sequence[date], now: datetime, key: str | None = None) -> Fetched | None:
    """Asks for the past hours of those of ``days`` that no kept file has, up to 92 days ago, in one question, and keeps whole days.

    None where nothing is wanted: a replay site, another source, days kept already.
    """
    place, source = section_of(site), section_of(site).observations
    if site.calendar.mode != "live" or not isinstance(source, OpenMeteoInput):
        return None
    have = kept_answers.read_kept(site, kept_answers.OBSERVATIONS, source, site.clock.midnight(min(days))).rows["start_utc"]
    lacking = lacking_days(site.clock, days, have, now)
    if not lacking:
        return None
    today = now.astimezone(UTC).date()
    fields = open_meteo.fields_of(place, source, coming_days=1, past_days=(today - site.clock.midnight(lacking[0]).date()).days)
    try:
        rows = open_meteo.rows_of(_asked(source, fields, key))
    except NoAnswer as error:
        return Fetched(None, f"no observations: {error}")
    rows = rows[site.clock.days_of(rows["start_utc"]).isin(lacking)]
    told = {"address": open_meteo.path_of(source), **fields}
    return Fetched(kept_answers.keep(site, kept_answers.OBSERVATIONS, rows, now, told), f"fetched {len(rows)} hours")


def lacking_days(clock: SiteCalendar, days: Sequence[date], have: pd.Series, now: datetime) -> list[date]:
    """Those of ``days`` that are over and of which an hour is not among ``have`` (starts of hours), up to 92 days ago."""
    known, reach = set(have), now.astimezone(UTC).date() - timedelta(days=open_meteo.MOST_PAST_DAYS - 1)
    found = []
    for day in sorted(days):
        begin, end = clock.bounds(day)
        hours = pd.date_range(pd.Timestamp(begin).floor("h"), end, freq="h", inclusive="left").as_unit("us")
        if end <= now and begin.date() >= reach and not known.issuperset(hours):
            found.append(day)
    return found


def _asked(source: OpenMeteoInput, fields: dict[str, str], key: str | None) -> bytes:
    if source.api_key_variable and not key:
        raise NoAnswer(f"the environment variable {source.api_key_variable}, which [weather] names for the key, is not set")
    secrets = {KEY_FIELD: key} if key else None
    return answer_to(open_meteo.path_of(source), fields, secrets=secrets, attempts=source.attempts, timeout_s=source.timeout_s)
