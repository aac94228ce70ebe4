"""The door of weather: observations, forecasts as known at the issue time, features. All take a range of days in one call."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

import dagster as dg
import pandas as pd

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.doors import RANGED, IntradayConfig, asset_of, days_of, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import OpenMeteoInput
from grid_assets.weather import deviations, fetching, issues, kept_answers, persistence
from grid_assets.weather import features as weather_features
from grid_assets.weather import observations as files
from grid_assets.weather.sensors import key_of, utc_now
from grid_assets.weather.tables import FEATURES, FEATURES_UNDER_WAY, FORECAST_MEMBERS, FORECASTS, OBSERVATIONS

ERROR_DAYS = deviations.LOOKED_BACK_DAYS + deviations.PERSISTED_DAYS


class WeatherConfig(dg.Config):
    """What a user may change about one run."""

    known_until: str | None = None
    """A forecast issued later is not looked at, e.g. 2026-01-15T14:00:00+00:00; None: the issue time of each day."""

    def instant(self) -> datetime | None:
        until = datetime.fromisoformat(self.known_until) if self.known_until else None
        if until and until.tzinfo is None:
            raise ValueError(f"known_until = {self.known_until!r} has no time zone; expected e.g. 2026-01-15T14:00:00+00:00")
        return until


@dg.asset(**asset_of(OBSERVATIONS), backfill_policy=RANGED)
def observations(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    site, days = platform.site, days_of(context, platform)
    source, asked = files.section_of(site).observations, None
    if isinstance(source, OpenMeteoInput):
        asked = fetching.fetch_observations(site, days, utc_now(), key_of(source))
        read = kept_answers.read_kept(
            site, kept_answers.OBSERVATIONS, source, site.clock.midnight(days[0])
        )  # no earlier file has any of these days
    else:
        read = files.read_weather(source)
    every = site.clock.intervals(days[0], days[-1])
    values = files.to_intervals(read.rows, every, pd.Timedelta(site.clock.interval), weather_features.sun_over(site, days[0], days[-1]))
    written = []
    for day in days:
        frame = files.observed_rows(site, values, site.clock.intervals(day))
        written.append(platform.lake.write(OBSERVATIONS, frame, day))
    figures = {"impossible_values": read.impossible, "mean_temperature_degc": round(float(frame["temperature_degc"].mean()), 1)}
    return report(platform, OBSERVATIONS, written, frame, figures=figures | ({"service": asked.said} if asked else {}))


def _issues(
    platform: Platform, days: list[date], until: datetime | None, wanted: Callable[[Site, datetime], bool] = fetching.forecast_wanted
) -> tuple[files.WeatherFile | None, str]:
    """All issues that the runs of these days may know, and what came of asking for a new one, if one was wanted."""
    site, source, said = platform.site, files.section_of(platform.site).forecasts, ""
    if source is None:
        return None, said
    if not isinstance(source, OpenMeteoInput):
        return files.read_weather(source, forecast=True), said
    now = utc_now()
    if days[-1] == site.clock.last_complete_day(now) and wanted(site, now):
        said = fetching.fetch_forecast(site, now, key_of(source)).said
    first = site.clock.midnight(days[0] - timedelta(days=ERROR_DAYS))
    return kept_answers.read_kept(site, kept_answers.FORECASTS, source, first, until or site.clock.issue_time(days[-1])), said


@dg.multi_asset(
    name="weather__forecasts",
    specs=[spec_of(FORECASTS, deps=[OBSERVATIONS]), spec_of(FORECAST_MEMBERS, deps=[OBSERVATIONS])],
    can_subset=False, backfill_policy=RANGED,
)  # fmt: skip
def forecasts(context: dg.AssetExecutionContext, platform: Platform, config: WeatherConfig) -> Iterator[dg.MaterializeResult]:
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    until = config.instant()
    read, service = _issues(platform, days, until)
    used = days_between(days[0] - timedelta(days=max(ERROR_DAYS, persistence.LOOKED_BACK_DAYS)), days[-1])
    observed, sun = lake.read(OBSERVATIONS, used), weather_features.sun_over(site, days[0], days[-1])
    told = read.rows if read else None
    errors = deviations.past_errors(told, observed, site.clock)
    written, of_members = [], []
    for day in days:
        frame = issues.forecast_rows(site, day, told, observed, sun, errors=errors, known_until=until)
        written.append(lake.write(FORECASTS, frame, day))
        members = issues.member_rows(site, day, told, sun, known_until=until)
        of_members.append(lake.write(FORECAST_MEMBERS, members, day))
    figures = {
        "source": "; ".join(f"{one} ({rows} rows)" for one, rows in frame["source"].value_counts(sort=False).items()),
        "impossible_values": read.impossible if read else 0,
        "largest_deviation_degc": round(float(frame["temperature_deviation_degc"].max()), 1),
        **({"service": service} if service else {}),
    }
    yield report(platform, FORECASTS, written, frame, inputs={OBSERVATIONS: used}, figures=figures)
    yield report(platform, FORECAST_MEMBERS, of_members, members, figures={"members": int(members["member"].nunique())})


@dg.asset(**asset_of(FEATURES, deps=[OBSERVATIONS, FORECASTS]), backfill_policy=RANGED)
def features(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.figures.weather import weather_picture

    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    used = days_between(days[0] - timedelta(days=weather_features.LONGEST_MEAN_DAYS), days[-1])
    observed, sun = lake.read(OBSERVATIONS, used), weather_features.sun_over(site, days[0], days[-1])
    holidays = weather_features.holidays_of(site, days[0], days[-1])
    written = []
    for day in days:
        frame = weather_features.feature_rows(site, day, observed, lake.read(FORECASTS, day), sun, holidays)
        written.append(lake.write(FEATURES, frame, day))
    picture = weather_picture(frame, site.time_zone, f"{site.title}: {files.section_of(site).label}")
    return report(platform, FEATURES, written, frame, inputs={OBSERVATIONS: used, FORECASTS: days}, picture=picture)


@dg.asset(**asset_of(FEATURES_UNDER_WAY, deps=[OBSERVATIONS, FORECASTS]))
def features_under_way(context: dg.AssetExecutionContext, platform: Platform, config: IntradayConfig) -> dg.MaterializeResult:
    site, lake, day = platform.site, platform.lake, days_of(context, platform)[0]
    until = config.instant(site.clock, day)
    morning = lake.read(FORECASTS, day)
    read, service = _issues(platform, [day], until, fetching.renewal_wanted)
    told = read.rows if read else None
    used = days_between(day - timedelta(days=max(ERROR_DAYS, persistence.LOOKED_BACK_DAYS)), day)
    observed, sun = lake.read(OBSERVATIONS, used), weather_features.sun_over(site, day, day)
    errors = deviations.past_errors(told, observed, site.clock)
    newest = issues.forecast_rows(site, day, told, observed, sun, errors=errors, known_until=until)
    forecast = issues.brought_up_to_date(morning, newest)
    rows = weather_features.feature_rows(site, day, observed, forecast, sun, weather_features.holidays_of(site, day, day))
    coming = rows[rows["basis"] == "forecast"]
    written = lake.write(FEATURES_UNDER_WAY, coming, day)
    figures = {"until": until.isoformat(), "newest_issue": str(forecast["issued_utc"].max())} | ({"service": service} if service else {})
    return report(platform, FEATURES_UNDER_WAY, written, coming, inputs={OBSERVATIONS: used, FORECASTS: day}, figures=figures)
