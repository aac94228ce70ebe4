"""Checks of prices and studies: recomputed from forecasts and tariffs, and held against what pilots have published."""

from collections.abc import Mapping
from datetime import date

import dagster as dg
import pandas as pd

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.market.assets import loads_of
from grid_assets.market.evidence import faults_of_signals, faults_of_what_if, outside_evidence
from grid_assets.market.tables import PRICE_SIGNALS, PRICE_WHAT_IFS
from grid_assets.market.tariffs import price_series, tariff_named
from grid_assets.market.what_if import market_of, parse_study, procurement_tariff


@dg.asset_check(
    asset=PRICE_SIGNALS.key, blocking=True, description="Prices are the tariffs', loads recomputed; the base load is the forecast."
)
def signals_follow_forecast(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    market, faults = market_of(platform.site), {}
    for key in partition_keys(context):
        day = platform.site.clock.day(key)
        prices = _prices(platform, day, {name: name for name in (market.base_tariff, market.candidate_tariff)})
        found = faults_of_signals(platform.lake.read(PRICE_SIGNALS, key), loads_of(platform, day), prices, market.base_tariff)
        faults[key] = "; ".join(found)
    return recorded(
        context, platform, PRICE_SIGNALS, "signals_follow_forecast", faults, expected="the tariffs' prices, and the loads they give"
    )


@dg.asset_check(asset=PRICE_SIGNALS.key, description="Elasticities and prices are within what pilots have published.")
def within_published_range(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        groups = platform.lake.read(PRICE_SIGNALS, key).groupby(["signal_id", "own_price_elasticity", "substitution_elasticity"])
        found = {outside_evidence(own, substitution, rows["price_per_kwh"]) for (_, own, substitution), rows in groups}
        faults[key] = "; ".join(sorted(found - {""}))
    return recorded(
        context, platform, PRICE_SIGNALS, "within_published_range", faults, expected="elasticities that pilots support", severity=WARN
    )


@dg.asset_check(
    asset=PRICE_WHAT_IFS.key, blocking=True, description="Energy, revenue, cost and peak, recomputed from forecasts and tariffs."
)
def identities_hold(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    site, faults = platform.site, {}
    for key in partition_keys(context):
        day, candidate, base = parse_study(key)
        prices = _prices(platform, day, {"base": base, "candidate": candidate, "supply": procurement_tariff(site, base)})
        row = platform.lake.read(PRICE_WHAT_IFS, key).iloc[0]
        faults[key] = "; ".join(faults_of_what_if(row, loads_of(platform, day), prices))
    return recorded(
        context, platform, PRICE_WHAT_IFS, "identities_hold", faults, expected="the figures that forecasts, tariffs and elasticities give"
    )


@dg.asset_check(asset=PRICE_WHAT_IFS.key, description="The study's elasticities are within what pilots have published.")
def assumptions_supported(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        row = platform.lake.read(PRICE_WHAT_IFS, key).iloc[0]
        faults[key] = outside_evidence(row["own_price_elasticity"], row["substitution_elasticity"])
    return recorded(
        context, platform, PRICE_WHAT_IFS, "assumptions_supported", faults, expected="elasticities that pilots support", severity=WARN
    )


def _prices(platform: Platform, day: date, named: Mapping[str, str]) -> dict[str, pd.Series]:
    """Role -> price series of the tariff in it, on the study day of ``day``."""
    site = platform.site
    study_day = site.clock.study_day(day)
    return {role: price_series(tariff_named(site, name), site.clock, study_day)["price_per_kwh"] for role, name in named.items()}
