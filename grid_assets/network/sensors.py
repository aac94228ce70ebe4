"""Sensors of the network: when its file or its switching events change, states and the studies concerned are made again."""

import dagster as dg

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import tables_of
from grid_assets.network import tables
from grid_assets.network.staleness import fingerprint, studies_to_make_again
from grid_assets.network.tables import BRANCHES, BUSES, TOPOLOGIES

STATES = dg.AssetSelection.assets(*(table.key for table in (TOPOLOGIES, BUSES, BRANCHES)))
STUDY_TABLES = tuple(table for table in tables_of(tables) if table.partition == "site_day")
STUDIES = dg.AssetSelection.assets(*(table.key for table in STUDY_TABLES))


def sensors_of(site: Site) -> list[dg.SensorDefinition]:
    """The sensors of a site with a network; they run from the start on live sites."""
    status = dg.DefaultSensorStatus.RUNNING if site.calendar.mode == "live" else dg.DefaultSensorStatus.STOPPED
    return [topology_sensor_of(status), switching_sensor_of(status)]


def topology_sensor_of(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="topology_sensor",
        target=STATES,
        minimum_interval_seconds=30,
        default_status=status,
        description="Makes the tables of switching states again when the network's file or its switching events changed.",
    )
    def topology_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        now = fingerprint(platform.site)
        if now == context.cursor:
            return dg.SensorResult(skip_reason="neither the network's file nor its switching events changed")
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=now)], cursor=now)

    return topology_sensor


def switching_sensor_of(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="switching_sensor",
        target=STUDIES,
        minimum_interval_seconds=30,
        default_status=status,
        description="Makes the studies of those days again whose switching states are no longer the ones that they were made in.",
    )
    def switching_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        now = fingerprint(platform.site)
        if now == context.cursor:
            return dg.SensorResult(skip_reason="neither the network's file nor its switching events changed")
        days = [day.isoformat() for day in studies_to_make_again(platform.site, platform.lake)]
        requests = [dg.RunRequest(run_key=f"{day}:{now}", partition_key=day) for day in days]
        return dg.SensorResult(run_requests=requests, cursor=now, skip_reason=None if days else "no study is concerned")

    return switching_sensor
