"""Checks of the flow study: its certificate blocks, violations warn."""

import dagster as dg

from grid_assets.foundation.dagster.checks import WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.tables import Table
from grid_assets.network.tables import (
    ANOMALIES,
    CONSTRAINT_VIOLATIONS,
    CONTINGENCY_RESULTS,
    FLOW_CERTIFICATES,
    FLOW_QUANTILES,
    HOSTING_CAPACITY,
    RANGE_DAYS,
    REMEDIES,
    SCENARIO_RESULTS,
    STATE_ESTIMATES,
    VIOLATION_PROBABILITIES,
)


@dg.asset_check(asset=FLOW_CERTIFICATES.key, blocking=True, description="Every interval converged and balances at every bus.")
def certificate(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.study import certificate_fault

    faults = {key: certificate_fault(platform.lake.read(FLOW_CERTIFICATES, key)) for key in partition_keys(context)}
    return recorded(
        context, platform, FLOW_CERTIFICATES, "certificate", faults, expected="no failed interval, nodal mismatch up to 1e-4 MVA"
    )


def _proved(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.key, name="proved", blocking=True, description="What was solved balances, and another solver finds the same voltages."
    )
    def proved(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from grid_assets.network.study import unproved_rows

        faults = {key: unproved_rows(platform.lake.read(table, key)) for key in partition_keys(context)}
        return recorded(context, platform, table, "proved", faults, expected="mismatches up to 1e-4 MVA, voltages alike within 1e-6 p.u.")

    return proved


proofs = [
    _proved(table)
    for table in (CONTINGENCY_RESULTS, VIOLATION_PROBABILITIES, FLOW_QUANTILES, HOSTING_CAPACITY, REMEDIES, SCENARIO_RESULTS, RANGE_DAYS)
]


@dg.asset_check(asset=CONSTRAINT_VIOLATIONS.key, description="Nothing is expected beyond its limits on the study day.")
def within_limits(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.study import violations_in_words

    faults = {key: violations_in_words(platform.lake.read(CONSTRAINT_VIOLATIONS, key)) for key in partition_keys(context)}
    return recorded(
        context, platform, CONSTRAINT_VIOLATIONS, "within_limits", faults, expected="no bus or branch beyond its limits", severity=WARN
    )


@dg.asset_check(
    asset=CONTINGENCY_RESULTS.key, description="No outage of one branch pushes the rest beyond a limit or leaves it without a solution."
)
def rest_carries_on(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.contingencies import overburdened

    faults = {key: overburdened(platform.lake.read(CONTINGENCY_RESULTS, key)) for key in partition_keys(context)}
    return recorded(
        context,
        platform,
        CONTINGENCY_RESULTS,
        "rest_carries_on",
        faults,
        expected="what keeps its supply stays within its limits",
        severity=WARN,
    )


@dg.asset_check(asset=STATE_ESTIMATES.key, description="Every interval has an estimate, of every bus, whose measurements agree.")
def estimated(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.state_estimation import not_estimated

    clock = platform.site.clock
    faults = {
        key: not_estimated(platform.lake.read(STATE_ESTIMATES, key), clock.intervals(clock.day(key))) for key in partition_keys(context)
    }
    expected = "an estimate of every interval, every bus observable, the chi-square test passed"
    return recorded(context, platform, STATE_ESTIMATES, "estimated", faults, expected=expected, severity=WARN)


@dg.asset_check(asset=ANOMALIES.key, description="No meter or device contradicts the estimated state.")
def measurements_fit(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.likely_causes import anomalies_in_words

    zone = platform.site.time_zone
    faults = {key: anomalies_in_words(platform.lake.read(ANOMALIES, key), zone) for key in partition_keys(context)}
    return recorded(context, platform, ANOMALIES, "measurements_fit", faults, expected="no bad data", severity=WARN)


@dg.asset_check(asset=SCENARIO_RESULTS.key, description="Every interval of the scenario has a solution.")
def has_a_solution(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from grid_assets.network.scenario_study import collapse_in_words

    faults = {key: collapse_in_words(platform.lake.read(SCENARIO_RESULTS, key)) for key in partition_keys(context)}
    return recorded(context, platform, SCENARIO_RESULTS, "has_a_solution", faults, expected="a solution in every interval", severity=WARN)
