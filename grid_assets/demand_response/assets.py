"""The door of demand response: participants, events, baselines, performance, the ledger and drafted events."""

from pathlib import Path

import dagster as dg

from grid_assets.demand_response import baselines as baselining
from grid_assets.demand_response import drafting, events, statements
from grid_assets.demand_response.performance import deliveries, terms_of, unpayable
from grid_assets.demand_response.performance import performance as measured_performance
from grid_assets.demand_response.settlement import Posting, post, settle
from grid_assets.demand_response.tables import BASELINES, DRAFTED_EVENTS, EVENTS, PARTICIPANTS, PAYMENTS, PERFORMANCE, SETTLEMENTS
from grid_assets.forecasting.tables import DEMAND_FORECASTS
from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.dagster.doors import asset_of, partition_keys, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS
from grid_assets.foundation.site_sections import DemandResponseSection
from grid_assets.metering.tables import READINGS
from grid_assets.network.tables import BRANCH_LOADINGS, BUSES, CONSTRAINT_VIOLATIONS, TOPOLOGIES

ALL = dg.AllPartitionMapping()


def _of_all_days(*tables):
    """An event has its own partition; the days it reads follow from its times, not from its key."""
    return [dg.AssetDep(table.key, partition_mapping=ALL) for table in tables]


@dg.asset(**asset_of(PARTICIPANTS, deps=[METERS]))
def participants(platform: Platform) -> dg.MaterializeResult:
    rows = events.read_participants(_folder(platform), platform.site, platform.lake.read(METERS))
    return report(platform, PARTICIPANTS, platform.lake.write(PARTICIPANTS, rows), rows, inputs={METERS: None})


@dg.asset(**asset_of(EVENTS, deps=[PARTICIPANTS]))
def event(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    one, terms, enrolled = _event(context, platform)
    # Taken before anything is read: what changes while this run goes on makes the event due again.
    inputs = events.hash_of_inputs(platform.site, one.event_id, platform.lake, READINGS, platform.lake.read(PARTICIPANTS))
    rows = events.event_row(one, terms, platform.site.clock, enrolled, inputs)
    return report(platform, EVENTS, platform.lake.write(EVENTS, rows, one.event_id), rows, inputs={PARTICIPANTS: None})


@dg.asset(**asset_of(BASELINES, deps=[EVENTS, PARTICIPANTS, *_of_all_days(READINGS)]))
def baselines(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    one, terms, enrolled = _event(context, platform)
    site, clock = platform.site, platform.site.clock
    days = baselining.days_needed(one, clock, terms)
    others = events.days_of_events(events.read_events(_folder(platform), site), clock, one.event_id)
    free = baselining.holidays_of(site.country, {day.year for day in days})
    version = platform.lake.version_of(READINGS, days)
    rows = baselining.baselines(one, enrolled, platform.lake.read(READINGS, days), clock, terms, free, others).assign(
        readings_version=version
    )
    written = platform.lake.write(BASELINES, rows, one.event_id)
    figures = {"participants": len(enrolled), "without_baseline": int(rows.loc[rows["fault"].notna(), "participant_id"].nunique())}
    return report(platform, BASELINES, written, rows, inputs={READINGS: days}, picture=_picture(platform, one, rows), figures=figures)


@dg.asset(**asset_of(PERFORMANCE, deps=[BASELINES, PARTICIPANTS]))
def performance(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    one, terms, enrolled = _event(context, platform)
    responses = events.read_responses(_folder(platform))
    needed = platform.site.validation.minimum_valid_pct
    found = platform.lake.read(BASELINES, one.event_id)
    rows = measured_performance(one, enrolled, found, responses, terms_of(one, terms), needed)
    rows = rows.assign(readings_version=_version_in(found))
    figures = {
        "delivered_kwh": rows["delivered_kwh"].sum(),
        "committed_kwh": rows["committed_kwh"].sum(),
        "unverified": int((~rows["payable"].astype(bool)).sum()),
    }
    written = platform.lake.write(PERFORMANCE, rows, one.event_id)
    return report(platform, PERFORMANCE, written, rows, inputs={BASELINES: one.event_id}, figures=figures)


@dg.multi_asset(specs=[spec_of(PAYMENTS, deps=[PERFORMANCE]), spec_of(SETTLEMENTS, deps=[PERFORMANCE])], can_subset=False)
def ledger(context: dg.AssetExecutionContext, platform: Platform):
    one, terms, enrolled = _event(context, platform)
    lake, key = platform.lake, one.event_id
    inputs, before = {PERFORMANCE: key}, (lake.read(PAYMENTS, key), lake.read(SETTLEMENTS, key))
    measured = lake.read(PERFORMANCE, key)
    settled = settle(deliveries(measured, enrolled, terms_of(one, terms)), terms_of(one, terms))
    payments, settlements = post(_posting(platform, one, enrolled, measured), settled, *before)
    yield report(platform, PAYMENTS, lake.write(PAYMENTS, payments, key), payments, inputs=inputs)
    written = lake.write(SETTLEMENTS, settlements, key)
    picture = _picture(platform, one, lake.read(BASELINES, key))
    address = _publish_page(platform, one, terms, enrolled, measured, payments, settlements, picture)
    total = f"{settled.total} {platform.site.currency}"
    figures = {"total_amount": total, "outcome": settled.outcome, "revisions": len(settlements), "settlement_report": address}
    yield report(platform, SETTLEMENTS, written, settlements, inputs=inputs, picture=picture, figures=figures)


@dg.asset(
    **asset_of(
        DRAFTED_EVENTS,
        deps=[PARTICIPANTS, METERS, BUSES, TOPOLOGIES, *_of_all_days(CONSTRAINT_VIOLATIONS, BRANCH_LOADINGS, DEMAND_FORECASTS)],
    )
)
def drafted_events(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    (key,) = partition_keys(context)
    lake, day = platform.lake, drafting.day_of_key(key)
    constraint = drafting.constraint_named(key, lake.read(CONSTRAINT_VIOLATIONS, day))
    if constraint is None:  # the study was run again and the violation is gone: so is the draft
        return report(platform, DRAFTED_EVENTS, lake.write(DRAFTED_EVENTS, DRAFTED_EVENTS.empty(), key), figures={"withdrawn": True})
    terms = events.programme_terms(platform.site, _section(platform).draft_programme, platform.site.clock.study_day(day))
    enrolled = events.enrolled_at(constraint.violations["start_utc"].min(), terms.name, lake.read(PARTICIPANTS))
    buses = drafting.buses_at(constraint.violations["start_utc"].min(), lake.read(BUSES), lake.read(TOPOLOGIES))
    candidates = drafting.behind(constraint.feeder_id, enrolled, lake.read(METERS), buses)
    study = (lake.read(BRANCH_LOADINGS, day), lake.read(DEMAND_FORECASTS, day))
    rows = drafting.draft(constraint, *study, candidates, terms, platform.site.clock.interval, platform.site.priorities)
    figures = {"target_kw": rows["target_kw"].max(), "shortfall_kw": rows["shortfall_kw"].max()}
    written = lake.write(DRAFTED_EVENTS, rows, key)
    return report(platform, DRAFTED_EVENTS, written, rows, inputs={CONSTRAINT_VIOLATIONS: day}, figures=figures)


def _section(platform: Platform) -> DemandResponseSection:
    """The site's demand-response section; these assets exist only where there is one."""
    section = platform.site.demand_response
    assert section is not None  # noqa: S101
    return section


def _folder(platform: Platform) -> Path:
    return _section(platform).folder


def _event(context: dg.AssetExecutionContext, platform: Platform):
    """The run's event, the terms in force on its day, its participants."""
    (key,) = partition_keys(context)
    one = events.event_named(platform.site, key)
    terms = events.programme_terms(platform.site, one.programme, platform.site.clock.day_of(one.start_utc))
    return one, terms, events.participants_of(one, platform.lake.read(PARTICIPANTS))


def _posting(platform: Platform, one: events.Event, enrolled, measured) -> Posting:
    """Whom the ledger pays, and the inputs that the run began with."""
    site, inputs = platform.site, platform.lake.read(EVENTS, one.event_id)["inputs_hash"].iloc[0]
    accounts = dict(zip(enrolled["participant_id"], enrolled["account"], strict=True))
    return Posting(
        one.event_id,
        one.programme,
        site.clock.day_of(one.start_utc),
        site.currency,
        accounts,
        inputs,
        unpayable(measured) or None,
        _version_in(measured),
    )


def _version_in(rows) -> str | None:
    """The version of the readings that these rows carry; None where there are none."""
    return None if rows.empty else rows["readings_version"].iloc[0]


def _picture(platform: Platform, one: events.Event, rows) -> bytes:
    from grid_assets.figures.demand_response import event_picture

    site = platform.site
    return event_picture(rows, f"{one.event_id}: demand of its participants", site.time_zone, site.clock.interval_hours, one.target_kw)


def _publish_page(platform, one, terms, enrolled, measured, payments, settlements, picture) -> dg.MetadataValue:
    """Writes the settlement report; returns the address under which the UI's artefact server shows it."""
    site = platform.site
    statement = statements.Statement(
        site.title, site.notice, site.currency, site.clock, one, terms, enrolled, measured, payments, settlements, picture
    )  # fmt: skip
    path = site.artefacts / "settlements" / f"{one.event_id}.html"
    put_atomically(path, statements.settlement_page(statement).encode())
    return dg.MetadataValue.url(platform.artefact_url(path))
