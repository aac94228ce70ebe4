"""The door of the network: its topology, and the flow study of each run's study day."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pandas as pd

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS, SCENARIOS
from grid_assets.foundation.dagster.doors import asset_of, days_of, markdown_table, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS
from grid_assets.foundation.site import SiteError
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.metering.tables import MEASUREMENTS, METER_DAYS, READINGS
from grid_assets.network.tables import (
    ANOMALIES,
    BRANCH_LOADINGS,
    BRANCHES,
    BUS_VOLTAGES,
    BUSES,
    CONSTRAINT_VIOLATIONS,
    CONTINGENCY_RESULTS,
    FLOW_CERTIFICATES,
    STATE_ESTIMATES,
    TOPOLOGIES,
    VIOLATION_PROBABILITIES,
)

TOPOLOGY_TABLES = (TOPOLOGIES, BUSES, BRANCHES)
STUDY_TABLES = (BUS_VOLTAGES, BRANCH_LOADINGS, CONSTRAINT_VIOLATIONS, FLOW_CERTIFICATES)
STUDY_INPUTS = (DEMAND_FORECASTS, RENEWABLE_FORECASTS, METER_DAYS, METERS, NODES, PLANTS, TOPOLOGIES)
SHARE_DAYS = 28
"""Over how many days a meter's energy decides its share of the feeder: four weeks, every weekday equally often."""


@dg.multi_asset(specs=[spec_of(table, deps=[METERS]) for table in TOPOLOGY_TABLES], can_subset=False)
def network_topology(platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.network.topology_tables import topology_frames
    from grid_assets.powerflow.networks import load_network
    from grid_assets.powerflow.topology import topology_of

    section, clock = _section(platform), platform.site.clock
    admitted = load_network(section.source, section.file)
    frames = topology_frames(admitted, topology_of(admitted), platform.lake.read(METERS), clock.midnight(clock.first_day))
    for table in TOPOLOGY_TABLES:
        frame = frames[table.name]
        figures = {"repairs": list(admitted.repairs)} if table is TOPOLOGIES else None
        yield report(platform, table, platform.lake.write(table, frame), frame, inputs={METERS: None}, figures=figures)


@dg.multi_asset(specs=[spec_of(table, deps=STUDY_INPUTS) for table in STUDY_TABLES], can_subset=False)
def flow_study(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.network.day_study import study_of_day

    day, section = days_of(context, platform)[0], _section(platform)
    read = {table.name: platform.lake.read(table) for table in (METERS, NODES, PLANTS)}
    forecasts = {table.name: platform.lake.read(table, day) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS)}
    recent = [day - timedelta(days=n) for n in range(SHARE_DAYS)]
    done = study_of_day(section, platform.site.clock, day, **read, **forecasts, meter_days=platform.lake.read(METER_DAYS, recent))
    pictures = {BUS_VOLTAGES: done.map_picture, BRANCH_LOADINGS: done.profile_picture, CONSTRAINT_VIOLATIONS: done.map_picture}
    inputs = {DEMAND_FORECASTS: day, RENEWABLE_FORECASTS: day, METER_DAYS: recent, METERS: None, NODES: None, PLANTS: None}
    for table in STUDY_TABLES:
        frame: pd.DataFrame = getattr(done.study, table.name)
        written = platform.lake.write(table, frame, day)
        yield report(platform, table, written, frame, inputs=inputs, picture=pictures.get(table), figures=done.study.figures())


@dg.asset(**asset_of(VIOLATION_PROBABILITIES, deps=[SCENARIOS, *STUDY_INPUTS[1:]]))
def violation_probabilities(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.network.violation_probabilities import likely, probabilities_of_day

    day, section = days_of(context, platform)[0], _section(platform)
    read = {table.name: platform.lake.read(table) for table in (METERS, NODES, PLANTS)}
    forecasts = {table.name: platform.lake.read(table, day) for table in (SCENARIOS, RENEWABLE_FORECASTS)}
    recent = [day - timedelta(days=n) for n in range(SHARE_DAYS)]
    found = probabilities_of_day(section, platform.site.clock, day, **read, **forecasts, meter_days=platform.lake.read(METER_DAYS, recent))
    written = platform.lake.write(VIOLATION_PROBABILITIES, found, day)
    worst = found.sort_values(["probability", "customers_affected"], ascending=False).head(10)
    figures = {
        "in_words": likely(found, 0.0) or "in no sample is anything beyond its limits",
        "worst": dg.MetadataValue.md(markdown_table(worst)),
    }
    inputs = {SCENARIOS: day, RENEWABLE_FORECASTS: day, METER_DAYS: recent, METERS: None, NODES: None, PLANTS: None}
    return report(platform, VIOLATION_PROBABILITIES, written, found, inputs=inputs, figures=figures)


@dg.asset(**asset_of(CONTINGENCY_RESULTS, deps=STUDY_INPUTS))
def contingency_results(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.network.contingencies import contingencies_in_words, contingencies_of_day

    day, section = days_of(context, platform)[0], _section(platform)
    read = {table.name: platform.lake.read(table) for table in (METERS, NODES, PLANTS)}
    forecasts = {table.name: platform.lake.read(table, day) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS)}
    recent = [day - timedelta(days=n) for n in range(SHARE_DAYS)]
    found = contingencies_of_day(section, platform.site.clock, day, **read, **forecasts, meter_days=platform.lake.read(METER_DAYS, recent))
    written = platform.lake.write(CONTINGENCY_RESULTS, found, day)
    worst = found.sort_values(["customers_dark", "lost_load_kw", "new_violations"], ascending=False).head(10)
    shown = worst[
        ["outage_id", "kind", "severity", "customers_dark", "lost_load_kw", "new_violations", "minimum_vm_pu", "maximum_loading_pct"]
    ]
    figures = {
        "in_words": contingencies_in_words(found) or "no outage has consequences",
        "worst": dg.MetadataValue.md(markdown_table(shown)),
    }
    inputs = {DEMAND_FORECASTS: day, RENEWABLE_FORECASTS: day, METER_DAYS: recent, METERS: None, NODES: None, PLANTS: None}
    return report(platform, CONTINGENCY_RESULTS, written, found, inputs=inputs, figures=figures)


def _section(platform: Platform) -> NetworkSection:
    if platform.site.network is None:
        raise SiteError(f"site {platform.site.name}: the section [network] is missing; the flow study needs it")
    return platform.site.network


STATE_INPUTS = (READINGS, MEASUREMENTS, METERS, NODES, PLANTS, DEVICES, TOPOLOGIES)
READING_COLUMNS = ["meter_id", "start_utc", "energy_kwh", "quality", "error_kwh"]


@dg.multi_asset(specs=[spec_of(table, deps=STATE_INPUTS) for table in (STATE_ESTIMATES, ANOMALIES)], can_subset=False)
def state_estimation(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.state_estimation import residual_picture, voltage_picture
    from grid_assets.network.likely_causes import anomalies_in_words
    from grid_assets.network.state_estimation import state_of_day

    day, section, zone = days_of(context, platform)[0], _section(platform), platform.site.time_zone
    read = {table.name: platform.lake.read(table) for table in (METERS, NODES, PLANTS, DEVICES)}
    read |= {"readings": platform.lake.read(READINGS, day, columns=READING_COLUMNS), "measurements": platform.lake.read(MEASUREMENTS, day)}
    done = state_of_day(section, platform.site.clock, day, **read)
    inputs = {READINGS: day, MEASUREMENTS: day, METERS: None, NODES: None, PLANTS: None, DEVICES: None}
    told = done.figures | {"in_words": anomalies_in_words(done.anomalies, zone) or "every measurement fits the estimate"}
    limits = (section.minimum_vm_pu, section.maximum_vm_pu)
    pictures = {
        STATE_ESTIMATES: voltage_picture(done.state_estimates, done.voltages, limits, zone),
        ANOMALIES: residual_picture(done.residuals, zone),
    }
    for table, frame in ((STATE_ESTIMATES, done.state_estimates), (ANOMALIES, done.anomalies)):
        written = platform.lake.write(table, frame, day)
        yield report(platform, table, written, frame, inputs=inputs, picture=pictures[table], figures=told)
