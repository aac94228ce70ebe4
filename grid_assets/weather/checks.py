"""The checks of weather: whether the day and its horizon have values, and whether they are from a forecast of today."""

import dagster as dg

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.weather import faults
from grid_assets.weather.features import missing_share
from grid_assets.weather.tables import FEATURES, FORECASTS, OBSERVATIONS

NEEDED = ["temperature_degc", "ghi_w_m2"]


@dg.asset_check(asset=FEATURES.key, name="weather_complete", description="Temperature and irradiance are there, observed and forecast.")
def weather_complete(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {}
    for key in partition_keys(context):
        rows = platform.lake.read(FEATURES, key)
        shares = {basis: missing_share(rows[rows["basis"] == basis], NEEDED) for basis in ("observed", "forecast")}
        found[key] = "; ".join(f"{share:.0%} of the {basis} values are missing" for basis, share in shares.items() if share > 0)
    return recorded(
        context, platform, FEATURES, "weather_complete", found, expected="temperature and irradiance in every interval", severity=WARN
    )


@dg.asset_check(asset=OBSERVATIONS.key, name="weather_possible", description="No value had to be taken out because it cannot be.")
def weather_possible(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {key: faults.taken_out(platform.lake.read(OBSERVATIONS, key)) for key in partition_keys(context)}
    return recorded(context, platform, OBSERVATIONS, "weather_possible", found, expected="values that can be", severity=WARN)


@dg.asset_check(
    asset=FORECASTS.key, name="weather_current", description="Where the site has forecasts, the study day's are from one of the last day."
)
def weather_current(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    site = platform.site
    found, seen = {}, {}
    for key in partition_keys(context):
        rows, day = platform.lake.read(FORECASTS, key), site.clock.day(key)
        provider = site.weather is not None and site.weather.forecasts is not None
        found[key], seen[key] = faults.not_current(rows, site.clock, day, provider=provider), faults.reach(rows, site.clock, day)
    expected = "a forecast at most 24 h old up to the end of the study day, of values that can be"
    return recorded(context, platform, FORECASTS, "weather_current", found, expected=expected, severity=WARN, observed=seen)
