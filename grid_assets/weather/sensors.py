"""The forecast is asked for in the hour before the issue time, so that the morning's run knows it. On live sites with a service only."""

import os
from datetime import UTC, datetime

import dagster as dg

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import OpenMeteoInput
from grid_assets.weather import fetching

EVERY_S = 900
"""Four attempts before the issue time, each with those of the site file."""


def utc_now() -> datetime:
    """The clock of this area's doors; everything else takes ``now`` as an argument."""
    return datetime.now(UTC)


def key_of(source: object) -> str | None:
    """The key from the environment variable that the site file names."""
    name = source.api_key_variable if isinstance(source, OpenMeteoInput) else None
    return os.environ.get(name) if name else None


@dg.op(description="Asks the weather service for a forecast and keeps its answer.")
def fetch_forecast(context: dg.OpExecutionContext, platform: Platform) -> None:
    site = platform.site
    now = utc_now()
    if not fetching.forecast_wanted(site, now):
        context.log.info("an issue is kept already")
        return
    fetched = fetching.fetch_forecast(site, now, key_of(site.weather.forecasts if site.weather else None))
    if fetched.file is None:
        raise dg.Failure(fetched.said)
    context.log.info(f"{fetched.said}: {fetched.file}")


def sensors_of(site: Site) -> list[dg.SensorDefinition]:
    """The sensor of a live site whose forecasts come from a service; none otherwise."""
    if site.calendar.mode != "live" or site.weather is None or not isinstance(site.weather.forecasts, OpenMeteoInput):
        return []

    @dg.job(description="Fetches the weather forecast before the issue time.")
    def fetch_weather():
        fetch_forecast()

    @dg.sensor(
        name="weather_before_the_issue",
        job=fetch_weather,
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="In the hour before the issue time, asks for the forecast until one is kept.",
    )
    def weather_before_the_issue(platform: Platform) -> dg.RunRequest | dg.SkipReason:
        now, clock = utc_now(), platform.site.clock
        if now > clock.issue_time(clock.last_complete_day(now)) or not fetching.forecast_wanted(platform.site, now):
            return dg.SkipReason("not the hour before the issue time, or an issue is kept already")
        return dg.RunRequest(run_key=f"weather:{now:%Y-%m-%dT%H:%M}")

    return [weather_before_the_issue]
