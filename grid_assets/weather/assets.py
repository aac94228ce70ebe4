"""The door of weather: observations, forecasts and features of site days."""

from datetime import date

import dagster as dg
import pandas as pd

from grid_assets.figures import weather as pictures
from grid_assets.foundation.dagster.doors import RANGED, asset_of, days_of, report
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.weather.days import WeatherDays
from grid_assets.weather.observations import read_weather
from grid_assets.weather.tables import FEATURES, FORECASTS, OBSERVATIONS

PERSISTENCE = "persistence of the last three observed days"


def _weather(site: Site, days: list[date]) -> WeatherDays:
    section = site.weather
    forecasts = read_weather(section.forecasts) if section.forecasts else None
    return WeatherDays(site.clock, read_weather(section.observations), forecasts, days[0], days[-1])


@dg.asset(**asset_of(OBSERVATIONS), backfill_policy=RANGED)
def observations(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    days = days_of(context, platform)
    weather, station = _weather(platform.site, days), platform.site.weather.station_id
    written, frame = [], OBSERVATIONS.empty().to_pandas()
    for day in days:
        rows = weather.observed(day).rename_axis("start_utc").reset_index()
        frame = rows.assign(station_id=station, source=platform.site.weather.label)
        written.append(platform.lake.write(OBSERVATIONS, frame, day))
    return report(platform, OBSERVATIONS, written, frame, figures={"source": platform.site.weather.label, "days": len(days)})


@dg.asset(**asset_of(FORECASTS), backfill_policy=RANGED)
def forecasts(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    days = days_of(context, platform)
    weather, station = _weather(platform.site, days), platform.site.weather.station_id
    source = platform.site.weather.label if platform.site.weather.forecasts else PERSISTENCE
    written, frame = [], FORECASTS.empty().to_pandas()
    for day in days:
        issued, values = weather.forecast(day)
        rows = values.dropna(how="all").rename_axis("start_utc").reset_index()
        frame = rows.assign(station_id=station, issued_utc=issued, source=source)
        written.append(platform.lake.write(FORECASTS, frame, day))
    return report(platform, FORECASTS, written, frame, figures={"source": source, "days": len(days)})


@dg.asset(**asset_of(FEATURES, deps=[OBSERVATIONS, FORECASTS]), backfill_policy=RANGED)
def features(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    days = days_of(context, platform)
    site, section = platform.site, platform.site.weather
    weather = _weather(site, days)
    written, frame = [], pd.DataFrame()
    for day in days:
        rows = weather.features(day, site.country, section.latitude, section.longitude, section.altitude_m)
        frame = rows.assign(station_id=section.station_id)
        written.append(platform.lake.write(FEATURES, frame, day))
    picture = pictures.weather_day(frame, site.time_zone, section.label)
    return report(platform, FEATURES, written, frame, inputs={OBSERVATIONS: days, FORECASTS: days}, picture=picture)
