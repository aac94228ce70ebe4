"""The door of weather: observations, forecasts as known at the issue time, features. All take a range of days in one call."""

from datetime import timedelta

import dagster as dg
import pandas as pd

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.doors import RANGED, asset_of, days_of, report
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.weather import features as weather_features
from grid_assets.weather import observations as files
from grid_assets.weather import persistence
from grid_assets.weather.tables import FEATURES, FORECASTS, OBSERVATIONS


@dg.asset(**asset_of(OBSERVATIONS), backfill_policy=RANGED)
def observations(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    site, days = platform.site, days_of(context, platform)
    read = files.read_weather(files.section_of(site).observations)
    every = site.clock.intervals(days[0], days[-1])
    values = files.to_intervals(read.rows, every, pd.Timedelta(site.clock.interval), weather_features.sun_over(site, days[0], days[-1]))
    written = []
    for day in days:
        frame = files.observed_rows(site, values, site.clock.intervals(day))
        written.append(platform.lake.write(OBSERVATIONS, frame, day))
    figures = {"impossible_values": read.impossible, "mean_temperature_degc": round(float(frame["temperature_degc"].mean()), 1)}
    return report(platform, OBSERVATIONS, written, frame, figures=figures)


@dg.asset(**asset_of(FORECASTS, deps=[OBSERVATIONS]), backfill_policy=RANGED)
def forecasts(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    site, days = platform.site, days_of(context, platform)
    provider = files.section_of(site).forecasts
    read = files.read_weather(provider, forecast=True) if provider else None
    used = days_between(days[0] - timedelta(days=persistence.PERSISTED_DAYS), days[-1])
    observed, sun = platform.lake.read(OBSERVATIONS, used), weather_features.sun_over(site, days[0], days[-1])
    written = []
    for day in days:
        frame = persistence.forecast_rows(site, day, read.rows if read else None, observed, sun)
        written.append(platform.lake.write(FORECASTS, frame, day))
    figures = {"source": str(frame["source"].iloc[0]), "impossible_values": read.impossible if read else 0}
    return report(platform, FORECASTS, written, frame, inputs={OBSERVATIONS: used}, figures=figures)


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
