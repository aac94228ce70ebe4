"""What the tests of metering's doors share: the small site in Dagster, a sensor's tick, entries and measurements put in by hand."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pandas as pd

from grid_assets.foundation.dagster.partitions import partitions_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES
from grid_assets.metering import assets, checks, sensors, staleness
from grid_assets.metering.quality.quality_suite import docs_page
from grid_assets.metering.tables import (
    CLASS_PROFILES,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    LANDED_FILES,
    LANDED_MEASUREMENTS,
    LOADS_UNDER_WAY,
    METER_DAYS,
    QUALITY_PROFILES,
    READINGS,
)
from grid_assets_tests.metering.conftest import FIRST, MadeSite

LANDING, LATE_DATA = sensors.landing_sensor_of(), sensors.late_data_sensor_of(dg.DefaultSensorStatus.STOPPED)
ROW = "c1,m1,2021-03-27T10:00:00Z,2021-03-27T11:00:00Z,replace,0.25,ann,2021-03-29T08:00:00Z,read on site\n"
HEADER = "correction_id,meter_id,start_utc,end_utc,action,energy_kwh,author,entered_utc,reason\n"
DEVICE_FEED = '[[readings]]\nname = "devices"\nfolder = "devices"\npattern = "d_{received}.jsonl"\nformat = "json_lines"\n'
READING_TABLES = (READINGS, FAILED_READINGS, EDITED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES, CLASS_PROFILES)
OUTAGE = "outage_id,meter_id,node_id,start_utc,end_utc,cause\no1,,f1,2021-03-27T10:00:00Z,2021-03-27T12:00:00Z,storm\n"


def repository(made: MadeSite) -> dg.RepositoryDefinition:
    made.lake.write(METERS, made.register)
    made.lake.write(NODES, made.nodes)
    doors = dg.Definitions.merge(dg.load_definitions_from_modules([assets, checks]), dg.Definitions(sensors=sensors.sensors_of(made.site)))
    placed = doors.map_asset_specs(
        func=lambda spec: spec.replace_attributes(partitions_def=partitions_of(spec.metadata.get("partition", "none"), made.site))
    )
    under_way = dg.AssetSelection.assets(LOADS_UNDER_WAY.key)
    jobs = [
        dg.define_asset_job("all_metering", selection=dg.AssetSelection.groups("metering") - under_way),
        dg.define_asset_job("under_way", selection=under_way),
    ]
    rest = dg.Definitions(jobs=jobs, resources={"platform": Platform(site_file=str(made.site_file))}, executor=dg.in_process_executor)
    return dg.Definitions.merge(placed, rest).get_repository_def()


def executed(made: MadeSite, first: date, last: date, run_config=None) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": first.isoformat(), "dagster/asset_partition_range_end": last.isoformat()}
    tags = {"dagster/partition": first.isoformat()} if first == last else tags
    return repository(made).get_job("all_metering").execute_in_process(tags=tags, run_config=run_config, raise_on_error=False)


def checks_of(result) -> dict[str, bool]:
    return {f"{one.asset_key.path[-1]}.{one.check_name}": one.passed for one in result.get_asset_check_evaluations()}


def without_docs(fed):
    """A verdict in the place of Great Expectations' pages, which take seconds."""
    from grid_assets.metering.quality.quality_suite import QualityVerdict

    return QualityVerdict(True, {FIRST.isoformat(): ""}, 0, docs_page(fed.site.artefacts))


def tick(made, sensor, cursor=None):
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=repository(made),
            resources={"platform": Platform(site_file=str(made.site_file))},
        )
        return sensor.evaluate_tick(context)


def why(made: MadeSite) -> dict[date, tuple[str, ...]]:
    return {one.day: one.reasons for one in staleness.stale(made.lake, site=made.site)}


def write_entries(made: MadeSite, folder: str, text: str) -> None:
    (made.site_file.parent / folder / "by_hand.csv").write_text(text)


def land_measurements(made: MadeSite, name: str, values: dict[str, float]) -> None:
    """Stages a file of voltages as landing does: instant -> value."""
    rows = pd.DataFrame({"read_utc": pd.to_datetime(list(values)), "value": list(values.values())}).assign(
        file_id=name, source_file=f"{name}.jsonl", source_row=range(1, len(values) + 1), day=FIRST, device_id="m1", quantity="voltage",
        unit="V", received_utc=pd.Timestamp("2021-03-28T05:00:00Z"),
    )  # fmt: skip
    made.lake.write(LANDED_MEASUREMENTS, rows, name)
    text = {field.name: None if field.nullable else "" for field in LANDED_FILES.fields}
    listed = {**text, "file_id": name, "input_name": "feed", "file_name": f"{name}.jsonl", "status": "landed",
              "received_utc": pd.Timestamp("2021-03-28T05:00:00Z"), "rows": len(rows), "rows_staged": len(rows), "rows_rejected": 0,
              "rows_superseded": 0, "measurement_days": FIRST.isoformat(), "rows_of_measurement_days": str(len(rows))}  # fmt: skip
    both = pd.DataFrame([*made.lake.read(LANDED_FILES, FIRST).to_dict("records"), listed])
    made.lake.write(LANDED_FILES, both, FIRST)


def run_assets(made: MadeSite, instance: dg.DagsterInstance, day: date, keys, config: dict | None = None) -> dg.ExecuteInProcessResult:
    job = repository(made).get_job("all_metering")
    chosen = [dg.AssetKey(key) for key in keys]
    tags = {"dagster/partition": day.isoformat()}
    return job.execute_in_process(tags=tags, asset_selection=chosen, instance=instance, run_config=config, raise_on_error=False)
