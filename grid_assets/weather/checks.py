"""The check of weather: whether the day and its horizon have values."""

import dagster as dg

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.weather.features import missing_share
from grid_assets.weather.tables import FEATURES

NEEDED = ["temperature_degc", "ghi_w_m2"]


@dg.asset_check(asset=FEATURES.key, name="weather_complete", description="Temperature and irradiance are there, observed and forecast.")
def weather_complete(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        rows = platform.lake.read(FEATURES, key)
        shares = {basis: missing_share(rows[rows["basis"] == basis], NEEDED) for basis in ("observed", "forecast")}
        faults[key] = "; ".join(f"{share:.0%} of the {basis} values are missing" for basis, share in shares.items() if share > 0)
    return recorded(
        context, platform, FEATURES, "weather_complete", faults, expected="temperature and irradiance in every interval", severity=WARN
    )
