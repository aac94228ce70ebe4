"""The checks of metering: every row accounted for (errors), files readable and readings valid enough (warnings)."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from grid_assets.foundation.dagster.checks import ERROR, WARN, recorded
from grid_assets.foundation.dagster.doors import markdown_table, partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.metering import accounting, staleness
from grid_assets.metering.arrival import landing
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.entries.outages import outages_of
from grid_assets.metering.quality import aggregation, balances
from grid_assets.metering.quality.quality_suite import judge_profiles
from grid_assets.metering.raw_days import measurement_rows_of_files, rows_of_files
from grid_assets.metering.tables import (
    ALERTS,
    CORRECTIONS,
    LANDED_FILES,
    MEASUREMENTS,
    METER_DAYS,
    NODE_BALANCES,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    READINGS,
)

EVERY_ROW = "rows = published + rejected + superseded, per file"


@dg.asset_check(
    asset=LANDED_FILES.key, name="rows_accounted", blocking=True, description="Rows of every file are staged, rejected or superseded."
)
def landed_rows_accounted(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = {key: accounting.landing_faults(platform.lake, key) for key in partition_keys(context)}
    return recorded(
        context,
        platform,
        LANDED_FILES,
        "rows_accounted",
        faults,
        expected="rows = staged + rejected + superseded, per file",
        severity=ERROR,
    )


@dg.asset_check(
    asset=READINGS.key, name="rows_accounted", blocking=True, description="Staged rows of every file are published, rejected or superseded."
)
def rows_accounted(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    days = [date.fromisoformat(key) for key in partition_keys(context)]
    landed = rows_of_files(platform.lake, min(days))
    faults = {day.isoformat(): accounting.day_faults(platform.lake, day, landed) for day in days}
    return recorded(context, platform, READINGS, "rows_accounted", faults, expected=EVERY_ROW, severity=ERROR)


@dg.asset_check(
    asset=MEASUREMENTS.key,
    name="rows_accounted",
    blocking=True,
    description="Staged measurements of every file are published, rejected or superseded.",
)
def measurement_rows_accounted(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    days = [date.fromisoformat(key) for key in partition_keys(context)]
    landed = measurement_rows_of_files(platform.lake, min(days))
    faults = {day.isoformat(): accounting.measurement_faults(platform.lake, day, landed) for day in days}
    return recorded(context, platform, MEASUREMENTS, "rows_accounted", faults, expected=EVERY_ROW, severity=ERROR)


@dg.asset_check(
    asset=READINGS.key,
    name=staleness.UP_TO_DATE,
    additional_deps=[ALERTS.key],
    description="No day of the lake was made from other rows, corrections, outage events or register reads than there are now.",
)
def up_to_date(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    stale = staleness.stale(platform.lake, site=platform.site)
    faults = dict.fromkeys(partition_keys(context), "") | {one.day.isoformat(): "; ".join(one.reasons) for one in stale}
    metadata = {"stale_days": len(stale), "stale_days_and_why": dg.MetadataValue.md(staleness.told(stale))}
    return recorded(
        context,
        platform,
        READINGS,
        staleness.UP_TO_DATE,
        faults,
        expected="every day is made from what there is now",
        severity=WARN,
        metadata=metadata,
    )


def _refused_entries(context, platform: Platform, table, refused, doubtful: Sequence[str] = ()) -> dg.AssetCheckResult:
    """The lines of a folder's files that do not count or are in doubt; told with the last day of the run, as they belong to no day."""
    keys = partition_keys(context)
    faults = dict.fromkeys(keys, "") | {keys[-1]: "; ".join([*(str(one) for one in refused[:20]), *doubtful[:20]])}
    return recorded(
        context,
        platform,
        table,
        "entries_readable",
        faults,
        expected="every line can be used",
        severity=WARN,
        metadata={"refused": len(refused), "in_doubt": len(doubtful)},
    )


@dg.asset_check(asset=CORRECTIONS.key, name="entries_readable", description="Every line of the files of corrections counts.")
def corrections_readable(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    return _refused_entries(context, platform, CORRECTIONS, corrections_of(platform.site, platform.lake).refused)


@dg.asset_check(
    asset=OUTAGE_EVENTS.key,
    name="entries_readable",
    description="Every line of the files of outage events counts, and none was forgotten open.",
)
def outages_readable(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    site, entered = platform.site, outages_of(platform.site, platform.lake)
    last = date.fromisoformat(partition_keys(context)[-1])
    forgotten = entered.open_for_long(site.clock, last, site.metering.open_outage_days)
    return _refused_entries(context, platform, OUTAGE_EVENTS, entered.refused, forgotten)


@dg.asset_check(
    asset=LANDED_FILES.key,
    name="files_readable",
    description="Every file could be read, had the columns that the site file names, held a row to take over, tells its arrival and arrived on a day of the calendar.",
)
def files_readable(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults, outside = {}, landing.files_of_no_day(platform.site, platform.lake)
    for key in partition_keys(context):
        faults[key] = landing.faults_of_files(platform.lake.read(LANDED_FILES, key))
    strangers = landing.files_without_arrival(platform.site)
    told = [f"{len(outside)} outside the calendar: {'; '.join(outside[:20])}"] if outside else []
    told += [f"{len(strangers)} tell no arrival and never land: {'; '.join(strangers[:20])}"] if strangers else []
    if told:  # they belong to no day: the last day of the run tells of them
        faults[key] = "; ".join([*([faults[key]] if faults[key] else []), *told])
    expected = "no file unreadable, refused whole or row by row, outside the calendar, or with a name that tells no arrival"
    return recorded(context, platform, LANDED_FILES, "files_readable", faults, expected=expected, severity=WARN)


@dg.asset_check(asset=METER_DAYS.key, name="valid_share", description="Enough of the day's readings were measured and passed the rules.")
def valid_share(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    minimum, faults, observed = platform.site.validation.minimum_valid_pct, {}, {}
    for key in partition_keys(context):
        days = platform.lake.read(METER_DAYS, key, ["node_id", "expected_intervals", "valid_intervals"])
        share = 100.0 * days["valid_intervals"].sum() / max(days["expected_intervals"].sum(), 1)
        nodes = aggregation.valid_shares(days)
        observed[key] = f"{share:.2f} % valid"
        faults[key] = "" if share >= minimum else f"{share:.2f} % valid, below {minimum} %"
    low = nodes[nodes["valid_pct"] < minimum]
    metadata = {"valid_pct": float(share), "nodes_below": len(low), "worst_nodes": dg.MetadataValue.md(markdown_table(nodes.head(10)))}
    return recorded(
        context, platform, METER_DAYS, "valid_share", faults, expected=f"at least {minimum} % valid", severity=WARN, observed=observed,
        metadata=metadata,
    )  # fmt: skip


@dg.asset_check(
    asset=QUALITY_PROFILES.key,
    name="quality_suite",
    description="The Great Expectations suite over the profiles; its pages are the data docs.",
)
def quality_suite(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    keys = partition_keys(context)
    profiles = platform.lake.read(QUALITY_PROFILES, keys)
    verdict = judge_profiles(profiles, platform.site.validation.minimum_valid_pct, platform.site.artefacts)
    metadata = {"data_docs": dg.MetadataValue.url(platform.artefact_url(verdict.page)), "expectations": verdict.expectations}
    faults = {key: verdict.faults.get(key, "no profiles") for key in keys}
    return recorded(
        context, platform, QUALITY_PROFILES, "quality_suite", faults, expected="all expectations hold", severity=WARN, metadata=metadata
    )


@dg.asset_check(
    asset=NODE_BALANCES.key,
    name="balanced",
    description="What boundary meters measured is accounted for by the meters below, within the site's tolerance, over the day.",
)
def balanced(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    tolerance, faults, observed = platform.site.alerts.balance_tolerance_pct, {}, {}
    for key in partition_keys(context):
        found = platform.lake.read(NODE_BALANCES, key)
        faults[key] = "; ".join(balances.faults(found, tolerance))
        observed[key] = f"{found['node_id'].nunique()} nodes balanced" if len(found) else "no node has a boundary meter"
    return recorded(
        context, platform, NODE_BALANCES, "balanced", faults, expected=f"residual within {tolerance:g} % of the measured energy",
        severity=WARN, observed=observed,
    )  # fmt: skip
