"""Checks of the storage plan: replayed from its rows, its cost added up, its limits and its worth; and of the units' health."""

from collections.abc import Callable

import dagster as dg
import pandas as pd

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import UNITS
from grid_assets.storage.health import section_of, too_hot, worn_out
from grid_assets.storage.replay import costs_do_not_add_up, faults_of_schedules, limits_exceeded, not_worth_it
from grid_assets.storage.tables import CURTAILMENTS, SCHEDULE_KPIS, SCHEDULES, UNIT_HEALTH


@dg.asset_check(
    asset=SCHEDULES.key, blocking=True, description="Every unit can do what its schedule says, replayed from the published rows."
)
def plan_feasible(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    lake, faults = platform.lake, {}
    for key in partition_keys(context):
        found = faults_of_schedules(platform.site, key, lake.read(UNITS), lake.read(SCHEDULES, key), lake.read(CURTAILMENTS, key))
        faults[key] = "; ".join(found[:5])
    return recorded(context, platform, SCHEDULES, "plan_feasible", faults, expected="powers, energies and cycles that the register allows")


@dg.asset_check(asset=SCHEDULE_KPIS.key, blocking=True, description="The parts of the cost are the objective, and none is below its bound.")
def costs_add_up(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = _of_kpis(context, platform, costs_do_not_add_up)
    return recorded(
        context, platform, SCHEDULE_KPIS, "costs_add_up", faults, expected="energy, wear, peak, curtailment and violations add up"
    )


@dg.asset_check(asset=SCHEDULE_KPIS.key, description="The plan keeps to the limits of all nodes.")
def within_limits(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = _of_kpis(context, platform, limits_exceeded)
    return recorded(context, platform, SCHEDULE_KPIS, "within_limits", faults, expected="no limit exceeded", severity=WARN)


@dg.asset_check(asset=SCHEDULE_KPIS.key, description="By the objective, the plan is cheaper than the day without storage.")
def better_than_no_storage(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = _of_kpis(context, platform, not_worth_it)
    return recorded(
        context, platform, SCHEDULE_KPIS, "better_than_no_storage", faults, expected="cheaper than without storage", severity=WARN
    )


@dg.asset_check(asset=UNIT_HEALTH.key, description="No unit was warmer than the site's limit for cells.")
def cells_cool(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    limit = section_of(platform.site).cell_temperature_limit_degc
    faults = {key: too_hot(platform.lake.read(UNIT_HEALTH, key), limit) for key in partition_keys(context)}
    return recorded(context, platform, UNIT_HEALTH, "cells_cool", faults, expected=f"at most {limit:g} degC", severity=WARN)


@dg.asset_check(asset=UNIT_HEALTH.key, description="No unit has lost so much capacity that it counts as worn out.")
def not_worn_out(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    least = section_of(platform.site).end_of_life_soh_pct
    faults = {key: worn_out(platform.lake.read(UNIT_HEALTH, key), least) for key in partition_keys(context)}
    return recorded(
        context, platform, UNIT_HEALTH, "not_worn_out", faults, expected=f"a state of health of {least:g} % or more", severity=WARN
    )


def _of_kpis(context: dg.AssetCheckExecutionContext, platform: Platform, fault: Callable[[pd.DataFrame], str]) -> dict[str, str]:
    return {key: fault(platform.lake.read(SCHEDULE_KPIS, key)) for key in partition_keys(context)}
