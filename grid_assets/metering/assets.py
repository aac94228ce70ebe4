"""The door of metering: landing, entries, raw readings, validated readings and measurements, node loads, alerts. All take a range of days in one call."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd

from grid_assets.figures import quality as quality_pictures
from grid_assets.figures import readings as pictures
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.doors import RANGED, IntradayConfig, asset_of, days_of, picture_metadata, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES, ids_in_both
from grid_assets.foundation.tables import Table
from grid_assets.metering import accounting, load_versions, measurements, raw_days, shards, staleness
from grid_assets.metering.arrival import landing
from grid_assets.metering.arrival.stamps import instant_of
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.entries.outages import outages_of
from grid_assets.metering.quality import aggregation, alert_days, alert_inputs, balances, day_matrices
from grid_assets.metering.quality.quality_suite import docs_page
from grid_assets.metering.tables import (
    ALERTS,
    CLASS_PROFILES,
    CORRECTIONS,
    DEVICE_DAYS,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    LANDED_FILES,
    LOADS_UNDER_WAY,
    MEASUREMENT_FILE_DAYS,
    MEASUREMENT_INPUTS,
    MEASUREMENTS,
    METER_DAYS,
    NODE_BALANCES,
    NODE_LOAD_VERSIONS,
    NODE_LOADS,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    RAW_INPUTS,
    RAW_READINGS,
    READING_VERSIONS,
    READINGS,
    REJECTED_READINGS,
    USAGE_ANOMALIES,
    USAGE_SHAPES,
)
from grid_assets.metering.vee import day_profiles


class KnownUntil(dg.Config):
    """What a run may know. Empty: everything that has landed; an ISO time: only what had arrived by then (back-tests)."""

    known_until: str = ""


@dg.multi_asset(
    name="metering__landing",
    specs=[spec_of(LANDED_FILES, deps=[METERS, DEVICES]), spec_of(REJECTED_READINGS, deps=[METERS, DEVICES])],
    can_subset=False,
    backfill_policy=RANGED,
    pool="landing",
)
def landed(context: dg.AssetExecutionContext, platform: Platform):
    files, rejected, written, ignored = [], [], [], set()
    with platform.lake.alone_at(LANDED_FILES):  # what landed before is read and added to: of two runs at once one would be lost
        for one in landing.land_days(platform.site, platform.lake, platform.lake.read(METERS), days_of(context, platform), stage=True):
            written.append(landing.write_landing(platform.lake, one))
            files, rejected, ignored = [*files, *one.files], [*rejected, *one.rejected], ignored | set(one.ignored)
    figures = landing.summary(files, rejected) | {"names_that_tell_no_arrival": ", ".join(sorted(ignored)) or "none"}
    figures |= {"days_without_a_file": ", ".join(one.partition for one, _ in written if not one.rows) or "none"}
    outside = landing.files_of_no_day(platform.site, platform.lake)
    figures |= {"files_outside_calendar": len(outside), "names_outside_calendar": "; ".join(outside[:20]) or "none"}
    both = ids_in_both(platform.lake.read(METERS), platform.lake.read(DEVICES))
    figures |= {"ids_in_both_registers": ", ".join(both[:20]) or "none"}
    stale = staleness.stale(platform.lake, site=platform.site)
    figures |= {"stale_days": len(stale), "stale_days_and_why": dg.MetadataValue.md(staleness.told(stale))}
    context.instance.report_runless_asset_event(up_to_date_evaluation(stale))
    picture = pictures.landing_picture(landing.rows_by_day_and_outcome(files), platform.site.title)
    yield report(
        platform,
        LANDED_FILES,
        [one for one, _ in written],
        landing.files_frame(files),
        inputs={METERS: None, DEVICES: None},
        picture=picture,
        figures=figures,
    )
    yield report(platform, REJECTED_READINGS, [one for _, one in written], landing.rejected_frame(rejected, most=100), figures=figures)


def up_to_date_evaluation(stale: list[staleness.StaleDay]) -> dg.AssetCheckEvaluation:
    """The verdict of the check ``up_to_date`` of the readings, as landing tells it before any readings are made."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(READINGS.key),
        check_name=staleness.UP_TO_DATE,
        passed=not stale,
        severity=dg.AssetCheckSeverity.WARN,
        description=staleness.summary(stale),
        metadata={"stale_days": len(stale), "stale_days_and_why": dg.MetadataValue.md(staleness.told(stale))},
    )


@dg.asset(**asset_of(CORRECTIONS, deps=[METERS]), backfill_policy=RANGED)
def corrections(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    entered, days, clock = corrections_of(platform.site, platform.lake), days_of(context, platform), platform.site.clock
    written = [platform.lake.write(CORRECTIONS, entered.of_day(clock, day), day) for day in days]
    figures = {"refused": len(entered.refused), "refused_lines": "\n".join(str(one) for one in entered.refused[:20]) or "none"}
    return report(platform, CORRECTIONS, written, entered.of_day(clock, days[-1]), inputs={METERS: None}, figures=figures)


@dg.asset(**asset_of(OUTAGE_EVENTS, deps=[METERS, NODES]), backfill_policy=RANGED)
def outage_events(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    known, days, clock = outages_of(platform.site, platform.lake), days_of(context, platform), platform.site.clock
    written = [platform.lake.write(OUTAGE_EVENTS, known.of_day(clock, day), day) for day in days]
    figures = {"replaced_by_later_rows": known.replaced, "refused": len(known.refused)}
    figures |= {"refused_lines": "\n".join(str(one) for one in known.refused[:20]) or "none"}
    return report(platform, OUTAGE_EVENTS, written, known.of_day(clock, days[-1]), inputs={METERS: None, NODES: None}, figures=figures)


@dg.multi_asset(
    name="metering__measurements",
    specs=[spec_of(table, deps=[LANDED_FILES, METERS, DEVICES]) for table in (MEASUREMENTS, DEVICE_DAYS, MEASUREMENT_FILE_DAYS)],
    can_subset=False,
    backfill_policy=RANGED,
)
def measured(context: dg.AssetExecutionContext, platform: Platform, config: KnownUntil):
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    known_until = instant_of(config.known_until) if config.known_until else None
    lists = raw_days.lists_now(lake, days[0])
    landed_rows, devices, meters = raw_days.measurement_rows_of_files(lake, days[0]), lake.read(DEVICES), lake.read(METERS)
    written = []
    for day in days:
        files = landed_rows.loc[landed_rows["day"] == day, "file_id"].tolist()
        rows = measurements.staged_rows(lake, files, day, known_until)
        known = measurements.devices_in_force(devices, meters, site.clock, day)
        made = measurements.measurement_day(rows, known, site.clock, day, site.quantities)
        written.append({table: lake.write(table, frame, day) for table, frame in made.tables().items()})
        raw_days.note_gathered(lake, MEASUREMENT_INPUTS, written[-1][MEASUREMENTS], lists, files, known_until)
    inputs = {LANDED_FILES: days, METERS: None, DEVICES: None}
    for table in made.tables():
        shown = made.device_days if table is DEVICE_DAYS else None
        yield report(platform, table, [one[table] for one in written], shown, inputs=inputs, figures=made.figures())


@dg.asset(**asset_of(RAW_READINGS, deps=[LANDED_FILES, METERS]), backfill_policy=RANGED)
def raw_readings(context: dg.AssetExecutionContext, platform: Platform, config: KnownUntil) -> dg.MaterializeResult:
    lake, days = platform.lake, days_of(context, platform)
    known_until = instant_of(config.known_until) if config.known_until else None
    lists = raw_days.lists_now(lake, days[0])
    landed_rows = raw_days.rows_of_files(lake, days[0])
    written = []
    for day in days:
        files = landed_rows.loc[landed_rows["day"] == day, "file_id"].tolist()
        written.append(shards.make_raw_day(platform.site, lake, day, files, known_until))
        raw_days.note_gathered(lake, RAW_INPUTS, written[-1], lists, files, known_until)
    figures = {"files": len(files), "known_until": config.known_until or "everything landed", "shards": len(written[-1].files)}
    return report(platform, RAW_READINGS, written, inputs={LANDED_FILES: days, METERS: None}, figures=figures)


@dg.multi_asset(
    name="metering__readings",
    specs=[
        spec_of(table, deps=[RAW_READINGS, CORRECTIONS, OUTAGE_EVENTS, METERS])
        for table in (READINGS, FAILED_READINGS, EDITED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES, CLASS_PROFILES)
    ],
    can_subset=False,
    backfill_policy=RANGED,
)
def readings(context: dg.AssetExecutionContext, platform: Platform):
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    written = []
    for day in days:
        made_from = staleness.inputs_of_day(lake, day, site)
        written.append(shards.make_reading_day(site, lake, day))
        staleness.note_inputs(lake, day, made_from)
    meter_days = lake.read_arrow(METER_DAYS, days[-1])
    figures = day_profiles.day_figures(meter_days, written[-1][FAILED_READINGS].rows) | {"shards": len(written[-1][READINGS].files)}
    figures |= accounting.refused_by_rule(lake.read(FAILED_READINGS, days[-1], ["rules"])["rules"])
    pictured = pictures_of_readings(platform, days[-1], meter_days.to_pandas())
    inputs = {RAW_READINGS: days, CORRECTIONS: days, OUTAGE_EVENTS: days, METERS: None}
    for table in written[-1]:
        extra = {"data_docs": dg.MetadataValue.url(platform.artefact_url(docs_page(site.artefacts)))} if table is QUALITY_PROFILES else {}
        yield report(
            platform, table, [one[table] for one in written], inputs=inputs, figures=figures | extra,
            picture=pictured.get(table),
        )  # fmt: skip


def pictures_of_readings(platform: Platform, day: date, meter_days: pd.DataFrame) -> dict[Table, bytes]:
    """The day's load by quality, and the meters with the fewest valid readings."""
    site, lake, starts = platform.site, platform.lake, platform.site.clock.intervals(day)
    meters = alert_inputs.meters_of(site, lake.read(METERS), day)
    curve = day_matrices.day_curve(day_matrices.shards_of_day(lake, day, meters, starts), starts)
    worst = alert_inputs.worst_meters(meter_days, quality_pictures.MOST_NODES)
    qualities = alert_inputs.qualities_of(lake, day, worst["meter_id"].tolist(), starts)
    title = f"{site.title}, {day}"
    return {
        READINGS: pictures.readings_picture(curve, site.time_zone, site.interval_minutes, title),
        METER_DAYS: quality_pictures.worst_meters_picture(worst, qualities, starts, len(meter_days), site.time_zone, f"{day}"),
    }


@dg.multi_asset(
    name="metering__node_loads",
    specs=[spec_of(table, deps=[READINGS, METERS, NODES]) for table in (NODE_LOADS, NODE_BALANCES, NODE_LOAD_VERSIONS, READING_VERSIONS)],
    can_subset=False,
    backfill_policy=RANGED,
)
def node_loads(context: dg.AssetExecutionContext, platform: Platform):
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    nodes, register = lake.read(NODES), lake.read(METERS)
    written = []
    for day in days:
        sums = aggregation.sums_of_day(lake, day, alert_inputs.meters_of(site, register, day), nodes, site.clock.intervals(day))
        loads = sums.node_loads(lake.content_hash(READINGS, day) or "")
        balanced = balances.node_balances(sums, loads)
        versions = load_versions.versions_of_day(site, lake, day)
        written.append(
            {
                NODE_BALANCES: lake.write(NODE_BALANCES, balanced, day),
                NODE_LOAD_VERSIONS: lake.write(NODE_LOAD_VERSIONS, versions.nodes, day),
            }
        )
        written[-1][READING_VERSIONS] = lake.write(READING_VERSIONS, versions.readings, day)
        written[-1][NODE_LOADS] = lake.write(NODE_LOADS, loads, day)
    inputs, title, zone = {READINGS: days, METERS: None, NODES: None}, f"{site.title}, {days[-1]}", site.time_zone
    quality = quality_pictures.node_quality_picture(loads, site.validation.minimum_valid_pct, zone, f"{days[-1]}")
    figures = aggregation.summary(loads, site.clock.interval_hours) | {"quality": picture_metadata(quality)}
    picture = pictures.node_loads_picture(loads, zone, site.interval_minutes, title)
    shown = loads[loads["level"] == "system"]
    yield report(platform, NODE_LOADS, [one[NODE_LOADS] for one in written], shown, inputs=inputs, picture=picture, figures=figures)
    by_day = balances.day_balances(balanced)
    tolerance = site.alerts.balance_tolerance_pct
    picture = quality_pictures.balances_picture(balanced, by_day, tolerance, zone, site.interval_minutes, f"{days[-1]}")
    figures = balances.summary(balanced)
    for table in (NODE_LOAD_VERSIONS, READING_VERSIONS):
        yield report(platform, table, [one[table] for one in written], inputs=inputs)
    yield report(platform, NODE_BALANCES, [one[NODE_BALANCES] for one in written], by_day, inputs=inputs, picture=picture, figures=figures)


@dg.asset(**asset_of(LOADS_UNDER_WAY, deps=[METERS, NODES, METER_DAYS]), pool="landing")
def loads_under_way(context: dg.AssetExecutionContext, platform: Platform, config: IntradayConfig) -> dg.MaterializeResult:
    site, lake, day = platform.site, platform.lake, days_of(context, platform)[0]
    until = config.instant(site.clock, day)
    with lake.alone_at(LANDED_FILES):
        for one in landing.land_days(site, lake, lake.read(METERS), [site.clock.arrival_day(until)], stage=True):
            landing.write_landing(lake, one)
    under_way = days_between(day + timedelta(days=1), site.clock.day_of(until))
    landed_rows = raw_days.rows_of_files(lake, day)
    files = {one: landed_rows.loc[landed_rows["day"] == one, "file_id"].tolist() for one in under_way}
    made = [load_versions.provisional_versions(site, lake, one, files[one], until, usual_of=day) for one in under_way]
    versions = pd.concat(made, ignore_index=True)
    written = lake.write(LOADS_UNDER_WAY, versions, day)
    latest = versions["known_utc"].max() if len(versions) else None
    figures = {"until": until.isoformat(), "files": sum(map(len, files.values())), "last_arrival": str(latest or "none")}
    return report(platform, LOADS_UNDER_WAY, written, versions, inputs={METER_DAYS: day, METERS: None}, figures=figures)


@dg.multi_asset(
    name="metering__usage",
    specs=[spec_of(USAGE_SHAPES, deps=[READINGS, METERS]), spec_of(USAGE_ANOMALIES, deps=[READINGS, METER_DAYS, METERS])],
    can_subset=False,
    backfill_policy=RANGED,
)
def usage(context: dg.AssetExecutionContext, platform: Platform):
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    written = []
    for day in days:
        shapes = lake.write(USAGE_SHAPES, alert_inputs.shapes_of_day(site, lake, day), day)
        found = alert_inputs.anomalies_of_day(site, lake, day)
        written.append({USAGE_SHAPES: shapes, USAGE_ANOMALIES: lake.write(USAGE_ANOMALIES, found, day)})
    figures = {"unusual_meters": int((found["evidence"] >= site.alerts.anomaly_deviations).sum()), "listed": len(found)}
    for table, shown in ((USAGE_SHAPES, None), (USAGE_ANOMALIES, found)):
        yield report(platform, table, [one[table] for one in written], shown, inputs={READINGS: days, METERS: None}, figures=figures)


@dg.asset(
    **asset_of(ALERTS, deps=[READINGS, METERS, NODES, DEVICES, NODE_LOADS, USAGE_ANOMALIES, MEASUREMENTS, OUTAGE_EVENTS]),
    backfill_policy=RANGED,
)
def alerts(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    site, lake, days = platform.site, platform.lake, days_of(context, platform)
    written, before = [], None
    for day in days:
        made_from = staleness.inputs_of_alerts(lake, day, site)
        inputs = alert_inputs.alert_inputs(site, lake, day, before)
        found, before = alert_days.day_alerts(inputs, site.alerts), inputs.today
        written.append(lake.write(ALERTS, found, day))
        platform.alerts.record(ALERTS.area, day.isoformat(), alert_days.found_alerts(found), datetime.now(UTC))
        raw_days.finish_day(lake, day, made_from)
    bounds = tuple(pd.Timestamp(one) for one in site.clock.bounds(days[-1]))
    picture = quality_pictures.alerts_picture(found, bounds, site.time_zone, f"{site.title}, {days[-1]}")
    figures = alert_days.summary(found)
    return report(platform, ALERTS, written, found, inputs={READINGS: days, USAGE_ANOMALIES: days}, picture=picture, figures=figures)
