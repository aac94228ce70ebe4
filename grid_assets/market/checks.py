"""Checks of prices and studies: recomputed from forecasts and tariffs, and held against what pilots have published."""

import dagster as dg

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.market.assets import loads_of
from grid_assets.market.evidence import faults_of_signals, faults_of_what_if, outside_evidence
from grid_assets.market.tables import PRICE_SIGNALS, PRICE_WHAT_IFS
from grid_assets.market.tariffs import price_series, tariff_named
from grid_assets.market.what_if import elasticities_of, parse_study


@dg.asset_check(asset=PRICE_SIGNALS.key, blocking=True, description="The base load is the forecast, and every interval has a price.")
def signals_follow_forecast(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        loads = loads_of(platform, platform.site.clock.day(key))
        faults[key] = "; ".join(faults_of_signals(platform.lake.read(PRICE_SIGNALS, key), loads, platform.site.market.base_tariff))
    return recorded(context, platform, PRICE_SIGNALS, "signals_follow_forecast", faults, expected="the forecast under the base tariff")


@dg.asset_check(asset=PRICE_SIGNALS.key, description="The site's elasticities and prices are within what pilots have published.")
def within_published_range(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    assumed, faults = elasticities_of(platform.site), {}
    for key in partition_keys(context):
        signals = platform.lake.read(PRICE_SIGNALS, key)
        found = {outside_evidence(assumed.own_price, assumed.substitution, rows["price_per_kwh"]) for _, rows in signals.groupby("signal_id")}
        faults[key] = "; ".join(sorted(found - {""}))
    return recorded(context, platform, PRICE_SIGNALS, "within_published_range", faults, expected="elasticities that pilots support", severity=WARN)


@dg.asset_check(asset=PRICE_WHAT_IFS.key, blocking=True, description="Energy, revenue, cost and peak, recomputed from forecasts and tariffs.")
def identities_hold(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    site, faults = platform.site, {}
    for key in partition_keys(context):
        day, candidate, base = parse_study(key)
        named = {"base": base, "candidate": candidate, "supply": site.market.procurement or base}
        prices = {
            role: price_series(tariff_named(site, name), site.clock, site.clock.study_day(day))["price_per_kwh"] for role, name in named.items()
        }
        row = platform.lake.read(PRICE_WHAT_IFS, key).iloc[0]
        faults[key] = "; ".join(faults_of_what_if(row, loads_of(platform, day), prices))
    return recorded(context, platform, PRICE_WHAT_IFS, "identities_hold", faults, expected="the figures that forecasts, tariffs and elasticities give")


@dg.asset_check(asset=PRICE_WHAT_IFS.key, description="The study's elasticities are within what pilots have published.")
def assumptions_supported(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        row = platform.lake.read(PRICE_WHAT_IFS, key).iloc[0]
        faults[key] = outside_evidence(row["own_price_elasticity"], row["substitution_elasticity"])
    return recorded(context, platform, PRICE_WHAT_IFS, "assumptions_supported", faults, expected="elasticities that pilots support", severity=WARN)
