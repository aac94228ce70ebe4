"""Checks of the forecasts: whole, better than the naive, as sure of themselves as they say."""

from datetime import timedelta

import dagster as dg

from grid_assets.forecasting import faults, inputs
from grid_assets.forecasting.tables import (
    COHERENT_FORECASTS,
    DEMAND_FORECASTS,
    DRIFT,
    FORECAST_ACCURACY,
    INTRADAY_FORECASTS,
    METER_FORECASTS,
    MODELS,
    RENEWABLE_FORECASTS,
    RENEWABLE_MODELS,
    SCENARIOS,
)
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES, PLANTS
from grid_assets.metering.tables import NODE_LOADS

WHOLE = "every interval from the issue time to the end of its horizon, no empty number, ordered quantiles"


@dg.asset_check(
    asset=DEMAND_FORECASTS.key, blocking=True, description=f"Each node forecast has {WHOLE}; each node with load has a forecast."
)
def no_gap(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {}
    for key in partition_keys(context):
        loads = platform.lake.read(NODE_LOADS, key, columns=["node_id", "published_pct"])
        nodes = loads.loc[loads["published_pct"] > 50, "node_id"].unique()
        clock = platform.site.clock
        day = clock.day(key)
        found[key] = faults.gaps(platform.lake.read(DEMAND_FORECASTS, key), "node_id", nodes, clock, day)
    return recorded(context, platform, DEMAND_FORECASTS, "no_gap", found, expected=WHOLE)


@dg.asset_check(
    asset=INTRADAY_FORECASTS.key, name="no_gap", blocking=True, description=f"Each node forecast of the newest issue has {WHOLE}."
)
def intraday_no_gap(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found, clock = {}, platform.site.clock
    for key in partition_keys(context):
        forecasts = platform.lake.read(INTRADAY_FORECASTS, key)
        issued = forecasts["issued_utc"].max() if len(forecasts) else None
        newest = forecasts[forecasts["issued_utc"] == issued]
        found[key] = faults.gaps(newest, "node_id", (), clock, clock.day(key), issued=issued) if len(newest) else ""
    return recorded(context, platform, INTRADAY_FORECASTS, "no_gap", found, expected=WHOLE)


@dg.asset_check(asset=RENEWABLE_FORECASTS.key, name="no_gap", blocking=True, description=f"Each plant forecast has {WHOLE}.")
def renewable_no_gap(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {}
    for key in partition_keys(context):
        clock = platform.site.clock
        day = clock.day(key)
        found[key] = faults.gaps(platform.lake.read(RENEWABLE_FORECASTS, key), "plant_id", (), clock, day, clock.study_day(day))
    return recorded(context, platform, RENEWABLE_FORECASTS, "no_gap", found, expected=WHOLE)


@dg.asset_check(asset=RENEWABLE_FORECASTS.key, description="Each plant of the register has a forecast.")
def all_plants(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    plants = set(platform.lake.read(PLANTS)["plant_id"])
    found = {}
    for key in partition_keys(context):
        missing = sorted(plants - set(platform.lake.read(RENEWABLE_FORECASTS, key, columns=["plant_id"])["plant_id"]))
        found[key] = f"{len(missing)} plants without any known generation are not forecast: {', '.join(missing[:8])}" if missing else ""
    return recorded(context, platform, RENEWABLE_FORECASTS, "all_plants", found, expected="a forecast of each plant", severity=WARN)


@dg.asset_check(asset=MODELS.key, name="beats_naive", description="The system's model did better than the weekly naive on the last days.")
def beats_naive(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    nodes = platform.lake.read(NODES)
    system = nodes.loc[nodes["level"] == "system", "node_id"].tolist()
    subject = system[0] if system else None
    found = {key: faults.loses_to_naive(platform.lake.read(MODELS, key), subject) for key in partition_keys(context)}
    return recorded(context, platform, MODELS, "beats_naive", found, expected="a smaller error than the weekly naive", severity=WARN)


@dg.asset_check(
    asset=RENEWABLE_MODELS.key, name="beats_naive", description="Each kind's model did better than persistence on the last days."
)
def renewable_beats_naive(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {key: faults.loses_to_naive(platform.lake.read(RENEWABLE_MODELS, key), None) for key in partition_keys(context)}
    return recorded(context, platform, RENEWABLE_MODELS, "beats_naive", found, expected="a smaller error than persistence", severity=WARN)


@dg.asset_check(
    asset=SCENARIOS.key, blocking=True, description="Each sample is whole, and children add up to a parent without meters of its own."
)
def coherent(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    lake, found = platform.lake, {}
    for key in partition_keys(context):
        tree = inputs.node_tree(lake, platform.site.clock, platform.site.clock.day(key), (NODES, METERS))
        found[key] = faults.incoherent(lake.read(SCENARIOS, key), *tree)
    return recorded(context, platform, SCENARIOS, "coherent", found, expected="children that add up to their parents in every sample")


@dg.asset_check(asset=SCENARIOS.key, description="The samples are as sure of each node as its forecast is.")
def as_sure_as_the_forecast(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    lake = platform.lake
    found = {key: faults.unlike_forecast(lake.read(SCENARIOS, key), lake.read(DEMAND_FORECASTS, key)) for key in partition_keys(context)}
    expected = f"90 % bands that differ by less than {faults.MOST_APART_PCT:.0f} % of their width"
    return recorded(context, platform, SCENARIOS, "as_sure_as_the_forecast", found, expected=expected, severity=WARN)


@dg.asset_check(asset=METER_FORECASTS.key, blocking=True, description="The meters' forecasts add up to the nodes' in every hour.")
def adds_up(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    lake, found = platform.lake, {}
    nodes, register = (
        lake.read(NODES, columns=["node_id", "parent_id"]),
        lake.read(METERS, columns=["meter_id", "node_id", "valid_from_utc"]),
    )
    at = register.sort_values("valid_from_utc").drop_duplicates("meter_id", keep="last").set_index("meter_id")["node_id"]
    for key in partition_keys(context):
        found[key] = faults.does_not_add_up(lake.read(METER_FORECASTS, key), lake.read(COHERENT_FORECASTS, key), at, nodes)
    return recorded(context, platform, METER_FORECASTS, "adds_up", found, expected="sums of meters that are the nodes' forecasts")


@dg.asset_check(
    asset=FORECAST_ACCURACY.key,
    description="Over four weeks the system's day-ahead forecast misses by 5 % at most, where it is a system of that size.",
)
def day_ahead_error(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    lake, site, verdicts = platform.lake, platform.site, {}
    nodes = lake.read(NODES, columns=["node_id", "level"])
    systems = nodes.loc[nodes["level"] == "system", "node_id"].tolist()
    for key in partition_keys(context):
        day = site.clock.day(key)
        scores = lake.read(FORECAST_ACCURACY, days_between(day - timedelta(days=faults.JUDGED_DAYS - 1), day))
        loads = lake.read(NODE_LOADS, key, columns=["node_id", "energy_kwh"])
        verdicts[key] = faults.day_ahead_verdict(
            scores, loads, systems[0] if systems else None, site.clock.interval_hours, site.forecasting
        )
    found, told = {key: one.fault for key, one in verdicts.items()}, {key: one.said for key, one in verdicts.items()}
    return recorded(
        context, platform, FORECAST_ACCURACY, "day_ahead_error", found, expected="5 % at most where it is judged", severity=WARN,
        observed=told, metadata={"verdict": "; ".join(f"{key}: {one}" for key, one in told.items())},
    )  # fmt: skip


@dg.asset_check(
    asset=FORECAST_ACCURACY.key, description="Over four weeks no node is forecast too high or too low in the mean, beyond chance."
)
def unbiased(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {}
    for key in partition_keys(context):
        day = platform.site.clock.day(key)
        found[key] = faults.biased(platform.lake.read(FORECAST_ACCURACY, days_between(day - timedelta(days=faults.JUDGED_DAYS - 1), day)))
    return recorded(context, platform, FORECAST_ACCURACY, "unbiased", found, expected="a mean miss that chance explains", severity=WARN)


@dg.asset_check(asset=DRIFT.key, description="Forecasts do as they used to: no cumulative sum of misses and no coverage beyond its limit.")
def no_drift(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {key: faults.drifted(platform.lake.read(DRIFT, key)) for key in partition_keys(context)}
    return recorded(context, platform, DRIFT, "no_drift", found, expected="misses as they used to be", severity=WARN)


@dg.asset_check(asset=FORECAST_ACCURACY.key, description="The 90 % band held most of the day.")
def coverage(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    found = {key: faults.low_coverage(platform.lake.read(FORECAST_ACCURACY, key)) for key in partition_keys(context)}
    expected = f"at least {faults.LOWEST_COVERAGE_PCT:.0f} % of the day inside"
    return recorded(context, platform, FORECAST_ACCURACY, "coverage", found, expected=expected, severity=WARN)
