"""Sensors of metering: files that have come are landed, and days whose inputs changed are made again.

The late-data sensor runs on live sites. On a replay site both are registered but off, and files are landed by an operator's
decision (the UI) or by the morning's run on any site.
"""

import time
from datetime import UTC, datetime

import dagster as dg

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.metering import staleness, watching
from grid_assets.metering.tables import LANDED_FILES, LOADS_UNDER_WAY, REJECTED_READINGS

MOST_DAYS_AT_ONCE = 10
LANDING = dg.AssetSelection.assets(LANDED_FILES.key, REJECTED_READINGS.key)
DAY = dg.AssetSelection.groups(LANDED_FILES.area) - LANDING - dg.AssetSelection.assets(LOADS_UNDER_WAY.key)
"""Every other table of the area is a table of the day."""


def sensors_of(site: Site) -> list[dg.SensorDefinition]:
    """The sensors of a site; which of them run from the start depends on its calendar."""
    live = site.calendar.mode == "live"
    return [landing_sensor_of(), late_data_sensor_of(dg.DefaultSensorStatus.RUNNING if live else dg.DefaultSensorStatus.STOPPED)]


def landing_sensor_of() -> dg.SensorDefinition:
    @dg.sensor(
        name="landing_sensor",
        target=LANDING,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Lands files that have come and are no longer being written; the same file twice changes nothing.",
    )
    def landing_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        last = platform.site.clock.last_complete_day(datetime.now(UTC))
        files = [one for one in watching.look(platform.site) if one.arrival_day <= last]
        ready, cursor = watching.settled(files, context.cursor, time.time_ns(), watching.listed_in(platform.site, platform.lake))
        left = "; ".join(watching.given_up(files, cursor))
        if left:
            context.log.error(left)
        requests = [
            dg.RunRequest(run_key=run_key, partition_key=day.isoformat(), tags={"grid_assets/file": ", ".join(keys)[-200:]})
            for day, run_key, keys in watching.by_arrival_day(ready)
        ]
        return dg.SensorResult(run_requests=requests, cursor=cursor, skip_reason=None if requests or not left else left)

    return landing_sensor


def late_data_sensor_of(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="late_data_sensor",
        target=DAY,
        minimum_interval_seconds=30,
        default_status=status,
        description="Makes days again whose landed rows, corrections, outage events, opening register reads, like days, open alerts or rules changed.",
    )
    def late_data_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        clock = platform.site.clock
        found = staleness.days_to_make(platform.lake, clock.first_day, clock.last_complete_day(datetime.now(UTC)), platform.site)
        asked, cursor = watching.days_to_ask(found, context.cursor, MOST_DAYS_AT_ONCE)
        left = "; ".join(watching.given_up_days(cursor))
        if left:
            context.log.error(left)
        for one, _ in asked:
            context.log.info(str(one))
        requests = [
            dg.RunRequest(run_key=run_key, partition_key=one.day.isoformat(), tags={"grid_assets/stale": "; ".join(one.reasons)[:250]})
            for one, run_key in asked
        ]
        skip = left or ("the stale days were asked for" if found else "no day is stale")
        return dg.SensorResult(run_requests=requests, cursor=cursor, skip_reason=None if requests else skip)

    return late_data_sensor
