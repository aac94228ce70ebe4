"""The checks of metering: every row accounted for (errors), files readable and readings valid enough (warnings)."""

from datetime import date, datetime

import dagster as dg

from grid_assets.foundation.dagster.checks import ERROR, WARN, recorded
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.metering import accounting, landing
from grid_assets.metering.quality_suite import judge_profiles
from grid_assets.metering.raw_days import rows_of_files
from grid_assets.metering.stamps import instant_of
from grid_assets.metering.tables import LANDED_FILES, METER_DAYS, QUALITY_PROFILES, READINGS

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
    landed, known_until = rows_of_files(platform.lake, min(days)), _known_until(context)
    faults = {day.isoformat(): accounting.day_faults(platform.lake, day, known_until, landed) for day in days}
    return recorded(context, platform, READINGS, "rows_accounted", faults, expected=EVERY_ROW, severity=ERROR)


def _known_until(context: dg.AssetCheckExecutionContext) -> datetime | None:
    """What the run was told that it may know: the setting of raw_readings in the same run."""
    config = context.run.run_config.get("ops", {}).get("metering__raw_readings", {}).get("config", {})
    return instant_of(config["known_until"]) if config.get("known_until") else None


@dg.asset_check(
    asset=LANDED_FILES.key,
    name="files_readable",
    description="Every file could be read, had the columns that the site file names and arrived on a day of the calendar.",
)
def files_readable(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults, outside = {}, landing.files_of_no_day(platform.site, platform.lake)
    for key in partition_keys(context):
        files = platform.lake.read(LANDED_FILES, key)
        wrong = files[files["status"].isin(["unreadable", "refused"])]
        faults[key] = "; ".join(f"{row.status}: {row.reason}" for row in wrong.itertuples())
    if outside:  # they belong to no day: the last day of the run tells of them
        faults[key] = "; ".join(
            [*([faults[key]] if faults[key] else []), f"{len(outside)} outside the calendar: {'; '.join(outside[:20])}"]
        )
    expected = "no file unreadable, refused or outside the calendar"
    return recorded(context, platform, LANDED_FILES, "files_readable", faults, expected=expected, severity=WARN)


@dg.asset_check(asset=METER_DAYS.key, name="valid_share", description="Enough of the day's readings were measured and passed the rules.")
def valid_share(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    minimum, faults, observed = platform.site.validation.minimum_valid_pct, {}, {}
    for key in partition_keys(context):
        days = platform.lake.read(METER_DAYS, key, ["expected_intervals", "valid_intervals"])
        share = 100.0 * days["valid_intervals"].sum() / max(days["expected_intervals"].sum(), 1)
        observed[key] = f"{share:.2f} % valid"
        faults[key] = "" if share >= minimum else f"{share:.2f} % valid, below {minimum} %"
    return recorded(
        context, platform, METER_DAYS, "valid_share", faults, expected=f"at least {minimum} % valid", severity=WARN, observed=observed
    )


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
