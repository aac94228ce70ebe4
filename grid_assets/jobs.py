"""Jobs, the morning schedule and the sensors that chain runs of one site.

A day, an event and a study have different partitions, so they are different jobs; Dagster refuses to mix them in one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from grid_assets.foundation.site import Site

REGISTERS, HISTORY, DAY, EVENT, CONSTRAINT_EVENT, STUDY, PUBLISH = (
    "registers",
    "history",
    "day",
    "demand_response_event",
    "constraint_event",
    "price_study",
    "publish",
)
PARTITIONS_OF_JOB = {DAY: ("site_day", "arrival_day"), EVENT: ("dr_event",), CONSTRAINT_EVENT: ("constraint_event",), STUDY: ("study",)}
HISTORY_AREAS = ("metering", "weather")
"""What a back-fill of history needs: readings and weather. Their assets take a range of days in one call."""

AssetJob = Any
"""What dg.define_asset_job gives; Dagster exports no name for its type."""

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
        EVENT: "Measures and settles one demand-response event that has ended.",
        CONSTRAINT_EVENT: "Drafts a demand-response event for an expected constraint violation.",
        STUDY: "One price what-if.",
        PUBLISH: "Builds the marts and puts them in the place of the published ones.",
    }
    return {
        name: dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys), description=about[name], tags=MAX_RUNTIME)
        for name, keys in selected.items()
    }


def schedules_of(site: Site, jobs: Mapping[str, AssetJob]) -> list:
    """The day job each morning at the issue hour. On a replay site it is registered but off."""
    live = site.calendar.mode == "live"
    return [
        dg.build_schedule_from_partitioned_job(
            jobs[DAY],
            name="every_morning",
            hour_of_day=site.calendar.issue_hour,
            default_status=dg.DefaultScheduleStatus.RUNNING if live else dg.DefaultScheduleStatus.STOPPED,
        )
    ]


def chain_sensors(site: Site, jobs: Mapping[str, AssetJob]) -> list[dg.SensorDefinition]:
    """After a day run: its events and its default study; after those, or where there are none, publishing."""
    status = dg.DefaultSensorStatus.RUNNING if site.calendar.mode == "live" else dg.DefaultSensorStatus.STOPPED
    followers = [jobs[name] for name in (EVENT, STUDY) if name in jobs]

    @dg.run_status_sensor(
        name="after_the_day",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs[DAY]],
        request_jobs=[*followers, jobs[PUBLISH]],
        default_status=status,
        description="A day run that succeeded is followed by its events, its price study and publishing.",
    )
    def after_the_day(context: dg.RunStatusSensorContext):
        key = context.dagster_run.tags.get("dagster/partition")
        if key is None:
            return dg.SkipReason("a range of history, not a day run")
        day = date.fromisoformat(key)
        run_id = context.dagster_run.run_id
        events = events_to_settle(site, day, set())
        study = study_of(site, day)
        for definition, keys in (("dr_events", events), ("studies", [study] if study else [])):
            if keys:
                context.instance.add_dynamic_partitions(definition, keys)
        requests = [dg.RunRequest(job_name=EVENT, partition_key=event, run_key=f"{run_id}:{event}") for event in events]
        requests += [dg.RunRequest(job_name=STUDY, partition_key=study, run_key=f"{run_id}:{study}")] if study else []
        return requests or [dg.RunRequest(job_name=PUBLISH, run_key=f"{run_id}:publish")]

    made = [after_the_day]
    if followers:

        @dg.run_status_sensor(
            name="after_events_and_studies",
            run_status=dg.DagsterRunStatus.SUCCESS,
            monitored_jobs=followers,
            request_job=jobs[PUBLISH],
            default_status=status,
            description="A settled event or a finished study is published.",
        )
        def after_events_and_studies(context: dg.RunStatusSensorContext):
            return dg.RunRequest(job_name=PUBLISH, run_key=f"{context.dagster_run.run_id}:publish")

        made.append(after_events_and_studies)
    return made


def events_to_settle(site: Site, day: date, settled: set[str]) -> list[str]:
    """The demand-response events that ended by the end of ``day`` and are not among ``settled``."""
    if not site.demand_response:
        return []
    from grid_assets.demand_response.events import ended_events

    return [event for event in ended_events(site, day) if event not in settled]


def study_of(site: Site, day: date) -> str | None:
    """The price study that belongs to a day run, where the site has a market."""
    if not site.market:
        return None
    from grid_assets.market.what_if import default_study

    return default_study(site, day)


def utc_now() -> datetime:
    """The clock, for doors and commands; the domain takes ``now`` as an argument."""
    return datetime.now(UTC)
