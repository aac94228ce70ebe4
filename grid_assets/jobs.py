"""Jobs, the morning schedule and the sensors that chain runs of one site.

A day, an event and a study have different partitions, so they are different jobs; Dagster refuses to mix them in one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

import dagster as dg

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table

REGISTERS, HISTORY, DAY, INTRADAY, EVENT, CONSTRAINT_EVENT, STUDY, SCENARIO, NETWORK_RANGE, PUBLISH = (
    "registers",
    "history",
    "day",
    "intraday",
    "demand_response_event",
    "constraint_event",
    "price_study",
    "network_scenario",
    "network_range",
    "publish",
)
PARTITIONS_OF_JOB = {
    DAY: ("site_day", "arrival_day"),
    INTRADAY: ("intraday",),
    EVENT: ("dr_event",),
    CONSTRAINT_EVENT: ("constraint_event",),
    STUDY: ("study",),
    SCENARIO: ("scenario",),
    NETWORK_RANGE: ("network_range",),
}
HISTORY_AREAS = ("metering", "weather")
"""What a back-fill of history needs: readings and weather. Their assets take a range of days in one call."""

AssetJob = Any
"""What dg.define_asset_job gives; Dagster exports no name for its type."""

UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

MAX_RUNTIME = {"dagster/max_runtime": "7200"}
"""The default run launcher cannot see a dead worker, so a run that outlives this is ended."""


def jobs_of(specs: Iterable[dg.AssetSpec]) -> dict[str, AssetJob]:
    """The jobs that the assets of a site make up: those that have anything to do."""
    selected: dict[str, list[dg.AssetKey]] = defaultdict(list)
    for spec in specs:
        partition, area = spec.metadata.get("partition", "none"), spec.key.path[0]
        for job, partitions in PARTITIONS_OF_JOB.items():
            if partition in partitions:
                selected[job].append(spec.key)
        if partition in PARTITIONS_OF_JOB[DAY] and area in HISTORY_AREAS:
            selected[HISTORY].append(spec.key)
        if partition in ("none", "topology"):
            selected[PUBLISH if area == "reporting" else REGISTERS].append(spec.key)
    about = {
        REGISTERS: "Registers and the network's topology: what changes seldom.",
        HISTORY: "Readings and weather of past days, a range in one call.",
        DAY: "The day run: from raw readings to schedules and price signals.",
        INTRADAY: "Demand forecast again in the course of the day, from what has arrived since the morning.",
        EVENT: "Measures and settles one demand-response event that has ended.",
        CONSTRAINT_EVENT: "Drafts a demand-response event for an expected constraint violation.",
        STUDY: "One price what-if.",
        SCENARIO: "One scenario of the network on a day's study day: DAY.NAME, NAME a file of the site's folder of scenarios.",
        NETWORK_RANGE: "Flows of the network over a range of past days: FIRST..LAST, such as 2016-01-01..2016-12-31.",
        PUBLISH: "Builds the marts and puts them in the place of the published ones.",
    }
    return {
        name: dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys), description=about[name], tags=MAX_RUNTIME)
        for name, keys in selected.items()
    }


def in_history(table: Table) -> bool:
    """Whether a back-fill of history makes this table."""
    return table.area in HISTORY_AREAS and table.partition in PARTITIONS_OF_JOB[DAY]


def schedules_of(site: Site, jobs: Mapping[str, AssetJob]) -> list:
    """Each morning the registers at the issue hour, and the day job a quarter of an hour later. On a replay site they are off."""
    live = site.calendar.mode == "live"
    status = dg.DefaultScheduleStatus.RUNNING if live else dg.DefaultScheduleStatus.STOPPED
    hour = site.calendar.issue_hour
    return [
        *reissues_of(site, jobs, status),
        dg.ScheduleDefinition(
            "registers_every_morning",
            job=jobs[REGISTERS],
            cron_schedule=f"0 {hour} * * *",
            execution_timezone=site.time_zone,
            default_status=status,
        ),
        dg.build_schedule_from_partitioned_job(jobs[DAY], name="every_morning", hour_of_day=hour, minute_of_hour=15, default_status=status),
    ]


def reissues_of(site: Site, jobs: Mapping[str, AssetJob], status: dg.DefaultScheduleStatus) -> list[dg.ScheduleDefinition]:
    """Demand forecast again every so many minutes, where the site asks for it."""
    minutes = site.forecasting.reissue_minutes
    if minutes is None:
        return []

    @dg.schedule(
        name="in_the_course_of_the_day",
        job=jobs[INTRADAY],
        cron_schedule=f"*/{minutes} * * * *" if minutes < 60 else f"0 */{minutes // 60} * * *",
        execution_timezone=site.time_zone,
        default_status=status,
    )
    def in_the_course_of_the_day(context: dg.ScheduleEvaluationContext):
        return reissue_at(site, context.scheduled_execution_time)

    return [in_the_course_of_the_day]


def reissue_at(site: Site, instant: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run that forecasts again at an instant; none for the minutes in which the morning's own run is on its way."""
    day = site.clock.issued_in_the_course_of(instant)
    last = site.clock.last_complete_day(instant)
    if not site.clock.first_day <= day <= last:
        return dg.SkipReason(f"{day} is no day of the site's calendar")
    until = instant.astimezone(UTC).isoformat()
    reissue = {"until": until, "only_after_a_miss": site.forecasting.reissue_only_after_a_miss}
    ops = {"metering__loads_under_way": {"config": {"until": until}}, "forecasting__intraday_forecasts": {"config": reissue}}
    if site.weather:
        ops["weather__features_under_way"] = {"config": {"until": until}}
    return dg.RunRequest(run_key=until, partition_key=day.isoformat(), run_config={"ops": ops})


def chain_sensors(site: Site, jobs: Mapping[str, AssetJob]) -> list[dg.SensorDefinition]:
    """After a day run: days with late rows, its events and its default study; after the last of those, publishing."""
    status = dg.DefaultSensorStatus.RUNNING if site.calendar.mode == "live" else dg.DefaultSensorStatus.STOPPED
    followers = [jobs[name] for name in (HISTORY, EVENT, STUDY) if name in jobs]

    @dg.run_status_sensor(
        name="after_the_day",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs[DAY]],
        request_jobs=[*followers, jobs[PUBLISH]],
        default_status=status,
        description="A day run that succeeded is followed by the days that late rows touched, its events, its price study and publishing.",
    )
    def after_the_day(context: dg.RunStatusSensorContext):
        key = context.dagster_run.tags.get("dagster/partition")
        return requests_after(site, date.fromisoformat(key), context) if key else dg.SkipReason("a range of history, not a day run")

    @dg.run_status_sensor(
        name="after_events_and_studies",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=followers,
        request_job=jobs[PUBLISH],
        default_status=status,
        description="When the last of the runs after a day is done, the marts are published.",
    )
    def after_events_and_studies(context: dg.RunStatusSensorContext):
        names = [job.name for job in followers]
        under_way = sum(context.instance.get_runs_count(dg.RunsFilter(job_name=name, statuses=UNFINISHED)) for name in names)
        if under_way:
            return dg.SkipReason(f"{under_way} runs are still under way; the last of them is followed by publishing")
        return dg.RunRequest(job_name=PUBLISH, run_key=f"{context.dagster_run.run_id}:publish")

    return [after_the_day, after_events_and_studies]


def requests_after(site: Site, day: date, context: dg.RunStatusSensorContext) -> list[dg.RunRequest]:
    """The runs that follow a day's: each job and partition once per day run."""
    from grid_assets.metering.staleness import stale_days

    run_id = context.dagster_run.run_id
    stale = [
        one.isoformat()
        for one in stale_days(Lake(site.lake_root), since=min([*site.clock.history(day, site.calendar.history_days), day]), site=site)
        if one < day
    ]
    events, study = events_to_settle(site, day), study_of(site, day)
    for definition, keys in (("dr_events", events), ("studies", [study] if study else []), ("scenarios", scenarios_of(site, day))):
        if keys:
            context.instance.add_dynamic_partitions(definition, keys)
    wanted = [(HISTORY, key) for key in stale] + [(EVENT, key) for key in events] + ([(STUDY, study)] if study else [])
    requests = [dg.RunRequest(job_name=job, partition_key=key, run_key=f"{run_id}:{key}") for job, key in wanted]
    return requests or [dg.RunRequest(job_name=PUBLISH, run_key=f"{run_id}:publish")]


def events_to_settle(site: Site, day: date) -> list[str]:
    """The demand-response events that ended by the end of ``day`` and are not settled from today's readings."""
    if not site.demand_response:
        return []
    from grid_assets.demand_response import events
    from grid_assets.metering.tables import READINGS

    return events.events_to_settle(site, day, Lake(site.lake_root), READINGS)


def study_of(site: Site, day: date) -> str | None:
    """The price study that belongs to a day run, where the site has a market."""
    if not site.market:
        return None
    from grid_assets.market.what_if import default_study

    return default_study(site, day)


def scenarios_of(site: Site, day: date) -> list[str]:
    """The scenarios that can be launched for a day's run; nobody launches them by themselves."""
    if not site.network:
        return []
    from grid_assets.network.scenario_files import scenario_key, scenarios_in

    return [scenario_key(day, name) for name in scenarios_in(site.network.scenarios)]


def utc_now() -> datetime:
    """The clock, for doors and commands; the domain takes ``now`` as an argument."""
    return datetime.now(UTC)


class ReadingsCorrection(dg.Config):
    """A correction of a meter's readings. Times with their offset, such as 2016-05-24T15:00:00+02:00."""

    meter_id: str
    start: str
    """First interval that is corrected."""
    end: str
    """End of the last interval that is corrected."""
    action: Literal["replace", "reject", "accept"]
    energy_kwh: float | None = None
    """Energy of each interval, for replace."""
    author: str
    reason: str


@dg.op(description="Adds a correction to the site's folder of corrections, and says which days to materialise.")
def enter_correction(context: dg.OpExecutionContext, config: ReadingsCorrection, platform: Platform) -> None:
    from grid_assets.metering.entries.corrections import correction_of, enter_for_site

    made = correction_of(platform.site.clock, now=utc_now(), **config.model_dump())
    days = [day.isoformat() for day in enter_for_site(platform.site, platform.lake, made)]
    context.log.info(f"{made.correction_id} entered; materialise the metering assets of {', '.join(days)}, or leave it to late_data_sensor")
    context.add_output_metadata({"correction_id": made.correction_id, "days_to_materialise": ", ".join(days)})


@dg.job(
    name="correct_readings",
    description="An analyst's correction: who, what and why go into its configuration.",
    executor_def=dg.in_process_executor,
)
def correct_readings() -> None:
    enter_correction()


class BacktestRange(dg.Config):
    """Which days are forecast again."""

    first_day: str
    """YYYY-MM-DD"""
    last_day: str


@dg.op(description="Forecasts each day of a range again from what was known at its issue time, and compares with what came.")
def forecast_again(context: dg.OpExecutionContext, config: BacktestRange, platform: Platform) -> None:
    from grid_assets.figures.backtests import error_map
    from grid_assets.forecasting import backtest
    from grid_assets.foundation.dagster.doors import markdown_table, picture_metadata

    site, clock = platform.site, platform.site.clock
    found = backtest_of_lake(site, clock.day(config.first_day), clock.day(config.last_day))
    told = backtest.summary(found)
    node = backtest.largest_node(found)
    context.add_output_metadata(
        {
            "scores": dg.MetadataValue.md(markdown_table(told)),
            "worst_days": dg.MetadataValue.md(markdown_table(backtest.worst_days(found, node))),
            "picture": picture_metadata(error_map(found.compared, node, site.time_zone, site.title)),
            "left_out": "\n".join(f"{day}: {why}" for day, why in found.left_out.items()) or "none",
            "drift": "\n".join(backtest.drift_alarms(found)) or "none",
        }
    )


def backtest_of_lake(site: Site, first: date, last: date, begins: Callable[[date], None] = lambda day: None):
    """The back-test of a site's days, from what its lake holds. Raises NothingToTest."""
    from grid_assets.forecasting import backtest, inputs
    from grid_assets.forecasting.assets import NODE_COLUMNS
    from grid_assets.forecasting.known_loads import load_versions
    from grid_assets.foundation.registers import NODES
    from grid_assets.metering.tables import NODE_LOAD_VERSIONS, NODE_LOADS
    from grid_assets.weather.tables import FEATURES

    lake = Lake(site.lake_root)
    days = sorted({*inputs.learned_days(lake, NODE_LOADS, site, first), *days_between(min(first, last), last)})
    loads = lake.read(NODE_LOADS, days, columns=NODE_COLUMNS)
    features = inputs.with_day(lake, FEATURES, days) if site.weather else None
    registered = lake.read(NODES, columns=["node_id", "parent_id"])
    nodes = sorted(set(registered["node_id"]) | set(loads["node_id"]))
    versions = load_versions(lake, NODE_LOAD_VERSIONS, NODE_LOADS, days, site.clock.interval)
    settings = inputs.forecast_settings(site, registered)
    return backtest.backtest(site, versions, loads, features, nodes, first, last, settings=settings, begins=begins)


@dg.job(
    name="backtest_demand",
    description="How the demand forecasts would have done on a range of past days; the first and the last go into its configuration.",
    executor_def=dg.in_process_executor,
)
def backtest_demand() -> None:
    forecast_again()
