"""Checks of demand response: payments add up, nothing posted was altered, how much was measured, whether notice was kept."""

import dagster as dg

from grid_assets.demand_response.events import programme_terms
from grid_assets.demand_response.performance import unpayable
from grid_assets.demand_response.settlement import faults_of_ledger, faults_of_sums
from grid_assets.demand_response.tables import EVENTS, PAYMENTS, PERFORMANCE, SETTLEMENTS
from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform


@dg.asset_check(
    asset=SETTLEMENTS.key,
    additional_deps=[PAYMENTS.key],
    blocking=True,
    description="The payments of every revision add up to its settlement, to the cent.",
)
def payments_add_up(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {
        key: "; ".join(faults_of_sums(platform.lake.read(PAYMENTS, key), platform.lake.read(SETTLEMENTS, key)))
        for key in partition_keys(context)
    }
    return recorded(
        context, platform, SETTLEMENTS, "payments_add_up", faults, expected="sum of payments == settlement, per revision and in all"
    )


@dg.asset_check(
    asset=SETTLEMENTS.key,
    additional_deps=[PAYMENTS.key],
    blocking=True,
    description="No posted row was altered, added or removed: the hash chain holds up to every settlement's head.",
)
def append_only(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {
        key: "; ".join(faults_of_ledger(platform.lake.read(PAYMENTS, key), platform.lake.read(SETTLEMENTS, key)))
        for key in partition_keys(context)
    }
    return recorded(
        context, platform, SETTLEMENTS, "append_only", faults, expected="an unbroken hash chain, unique keys, revisions 1, 2, ..."
    )


@dg.asset_check(
    asset=PERFORMANCE.key, description="Every participant has a baseline and enough measured intervals; those without are not paid."
)
def coverage(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        faults[key] = unpayable(platform.lake.read(PERFORMANCE, key))
    return recorded(
        context, platform, PERFORMANCE, "coverage", faults, expected="every participant's measurement may be paid on", severity=WARN
    )


@dg.asset_check(asset=EVENTS.key, description="Participants were told as early as the programme promises.")
def notice_kept(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {}
    for key in partition_keys(context):
        row = platform.lake.read(EVENTS, key).iloc[0]
        promised = programme_terms(platform.site, row["programme"], row["day"]).minimum_notice_minutes
        late = row["notice_minutes"] < promised
        faults[key] = f"told {row['notice_minutes']:g} minutes before, the programme promises {promised}" if late else ""
    return recorded(context, platform, EVENTS, "notice_kept", faults, expected="the programme's minimum notice", severity=WARN)
