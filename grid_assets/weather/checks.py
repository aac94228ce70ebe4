"""Checks of weather."""

import dagster as dg

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.weather.tables import FEATURES, OBSERVATIONS


@dg.asset_check(asset=OBSERVATIONS.key, description="Every interval of the day has an observation of temperature.")
def complete(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults, observed = {}, {}
    for key in partition_keys(context):
        expected = len(platform.site.clock.intervals(platform.site.clock.day(key)))
        found = int(platform.lake.read(OBSERVATIONS, key, columns=["temperature_degc"])["temperature_degc"].notna().sum())
        observed[key] = f"{found} of {expected} intervals"
        faults[key] = "" if found == expected else observed[key]
    return recorded(
        context, platform, OBSERVATIONS, "complete", faults, expected="a temperature in every interval", severity=WARN, observed=observed
    )


@dg.asset_check(asset=FEATURES.key, blocking=True, description="Features reach from the day to the end of its study day.")
def horizon(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    clock, faults = platform.site.clock, {}
    for key in partition_keys(context):
        day = clock.day(key)
        wanted = len(clock.intervals(day)) + sum(
            clock.intervals(day.fromordinal(day.toordinal() + 1), clock.study_day(day)) >= clock.issue_time(day)
        )
        found = len(platform.lake.read(FEATURES, key, columns=["start_utc"]))
        faults[key] = "" if found == wanted else f"{found} rows, expected {wanted}"
    return recorded(context, platform, FEATURES, "horizon", faults, expected="a row per interval of the day and of the horizon")
