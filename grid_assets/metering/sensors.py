"""Sensors of metering: files that have come are landed, and days whose rows came late are made again.

Both are registered but off: a replay site needs neither, and on a live site an operator turns them on in the UI.
"""

import time
from datetime import UTC, datetime

import dagster as dg

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.metering import watching
from grid_assets.metering.tables import (
    FAILED_READINGS,
    FILE_DAYS,
    LANDED_FILES,
    METER_DAYS,
    NODE_LOADS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READINGS,
    REJECTED_READINGS,
)

MOST_DAYS_A_TICK = 10
LANDING = (LANDED_FILES, REJECTED_READINGS)
DAY = (RAW_READINGS, READINGS, FAILED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES, NODE_LOADS)


@dg.sensor(
    name="landing_sensor",
    target=dg.AssetSelection.assets(*(table.key for table in LANDING)),
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Lands files that have come and are no longer being written; the same file twice changes nothing.",
)
def landing_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    clock = platform.site.clock
    last = clock.last_complete_day(datetime.now(UTC))
    ready, cursor = watching.settled(
        [one for one in watching.look(platform.site) if one.arrival_day <= last], context.cursor, time.time_ns(),
        watching.listed_in(platform.site, platform.lake),
    )  # fmt: skip
    requests = [
        dg.RunRequest(run_key=run_key, partition_key=one.arrival_day.isoformat(), tags={"grid_assets/file": one.key[-200:]})
        for one, run_key in ready
    ]
    return dg.SensorResult(run_requests=requests, cursor=cursor)


@dg.sensor(
    name="late_data_sensor",
    target=dg.AssetSelection.assets(*(table.key for table in DAY)),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Makes the days again that landed files speak of and whose readings do not hold all of their rows.",
)
def late_data_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    clock = platform.site.clock
    found = watching.days_to_make(platform.lake, clock.first_day, clock.last_complete_day(datetime.now(UTC)))
    chosen = sorted(found.items())[:MOST_DAYS_A_TICK]
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{day}:{mark}", partition_key=day.isoformat()) for day, mark in chosen])
