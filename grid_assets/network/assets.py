"""The door of the network: its topology, and the flow study of each run's study day."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pandas as pd

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS, SCENARIOS
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.dagster.doors import asset_of, days_of, markdown_table, partition_keys, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS, UNITS
from grid_assets.foundation.site import SiteError
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.foundation.tables import Table
from grid_assets.metering.tables import MEASUREMENTS, METER_DAYS, NODE_LOADS, READINGS
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import (
    ANOMALIES,
    BRANCH_LOADINGS,
    BRANCHES,
    BUS_VOLTAGES,
    BUSES,
    CONSTRAINT_VIOLATIONS,
    CONTINGENCY_RESULTS,
    FLOW_CERTIFICATES,
    FLOW_QUANTILES,
    HOSTING_CAPACITY,
    RANGE_DAYS,
    RANGE_ELEMENTS,
    REMEDIES,
    SCENARIO_RESULTS,
    SCENARIO_VIOLATIONS,
    STATE_ESTIMATES,
    TOPOLOGIES,
    VIOLATION_PROBABILITIES,
)

TOPOLOGY_TABLES = (TOPOLOGIES, BUSES, BRANCHES)
STUDY_TABLES = (BUS_VOLTAGES, BRANCH_LOADINGS, CONSTRAINT_VIOLATIONS, FLOW_CERTIFICATES)
STUDY_INPUTS = (DEMAND_FORECASTS, RENEWABLE_FORECASTS, METER_DAYS, METERS, NODES, PLANTS, TOPOLOGIES)
SCENARIO_INPUTS = [
    *(dg.AssetDep(table.key, partition_mapping=dg.AllPartitionMapping()) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS, METER_DAYS)),
    METERS, NODES, PLANTS,
]  # fmt: skip
RANGE_INPUTS = [
    *(dg.AssetDep(table.key, partition_mapping=dg.AllPartitionMapping()) for table in (NODE_LOADS, METER_DAYS)), METERS, NODES, PLANTS,
]  # fmt: skip
NODE_LOAD_COLUMNS = ["node_id", "start_utc", "energy_kwh", "generation_kwh", "published_pct"]
STATE_INPUTS = (READINGS, MEASUREMENTS, METERS, NODES, PLANTS, DEVICES, TOPOLOGIES)
READING_COLUMNS = ["meter_id", "start_utc", "energy_kwh", "quality", "error_kwh"]
SHARE_DAYS = 28
"""Over how many days a meter's energy decides its share of the feeder: four weeks, every weekday equally often."""


@dg.multi_asset(specs=[spec_of(table, deps=[METERS]) for table in TOPOLOGY_TABLES], can_subset=False)
def network_topology(platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.network.pages import write_graphs
    from grid_assets.network.switching_events import network_versions
    from grid_assets.network.topology_tables import topology_frames

    known = network_versions(_section(platform), platform.site.clock)
    frames = topology_frames(known, platform.lake.read(METERS))
    graphs = {
        path.name: dg.MetadataValue.url(platform.artefact_url(path)) for path in write_graphs(known, platform.site.artefacts / "network")
    }
    for table in TOPOLOGY_TABLES:
        frame = frames[table.name]
        figures = {"repairs": list(known[0].admitted.repairs), "switching_states": len(known), **graphs} if table is TOPOLOGIES else None
        yield report(platform, table, platform.lake.write(table, frame), frame, inputs={METERS: None}, figures=figures)


@dg.multi_asset(specs=[spec_of(table, deps=STUDY_INPUTS) for table in STUDY_TABLES], can_subset=False)
def flow_study(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.network.day_study import study_of_day
    from grid_assets.network.pages import write_map

    day, frames, inputs = _inputs_of(context, platform)
    done = study_of_day(_section(platform), platform.site.clock, day, frames)
    page = write_map(done, platform.site, platform.site.artefacts / "network", f"map_{day}.html")
    figures = done.study.figures() | {"map": dg.MetadataValue.url(platform.artefact_url(page))}
    pictures = {BUS_VOLTAGES: done.map_picture, BRANCH_LOADINGS: done.profile_picture, CONSTRAINT_VIOLATIONS: done.map_picture}
    for table in STUDY_TABLES:
        frame: pd.DataFrame = getattr(done.study, table.name)
        written = platform.lake.write(table, frame, day)
        yield report(platform, table, written, frame, inputs=inputs, picture=pictures.get(table), figures=figures)


@dg.multi_asset(
    specs=[spec_of(table, deps=[SCENARIOS, *STUDY_INPUTS[1:]]) for table in (VIOLATION_PROBABILITIES, FLOW_QUANTILES)], can_subset=False
)
def sampled_flows(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.flow_bands import band_picture
    from grid_assets.network.violation_probabilities import likely, probabilities_of_day

    day, frames, inputs = _inputs_of(context, platform, SCENARIOS)
    section = _section(platform)
    done = probabilities_of_day(section, platform.site.clock, day, frames)
    worst = done.violations.sort_values(["probability", "customers_affected"], ascending=False).head(10)
    figures = {
        "in_words": likely(done.violations, 0.0) or "in no sample is anything beyond its limits",
        "worst": dg.MetadataValue.md(markdown_table(worst)),
    }
    limits = (section.minimum_vm_pu, section.maximum_vm_pu, section.maximum_loading_pct)
    picture = band_picture(done.quantiles, limits, platform.site.time_zone) if len(done.quantiles) else None
    for table, frame in ((VIOLATION_PROBABILITIES, done.violations), (FLOW_QUANTILES, done.quantiles)):
        written = platform.lake.write(table, frame, day)
        yield report(platform, table, written, frame, inputs=inputs, picture=picture, figures=figures)


@dg.asset(**asset_of(CONTINGENCY_RESULTS, deps=STUDY_INPUTS))
def contingency_results(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.figures.outages import outage_picture
    from grid_assets.network.contingencies import contingencies_in_words, contingencies_of_day

    day, frames, inputs = _inputs_of(context, platform)
    found = contingencies_of_day(_section(platform), platform.site.clock, day, frames)
    written = platform.lake.write(CONTINGENCY_RESULTS, found, day)
    worst = found.sort_values(["customers_dark", "lost_load_kw", "new_violations"], ascending=False).head(10)
    shown = worst[
        ["outage_id", "kind", "severity", "customers_dark", "lost_load_kw", "new_violations", "minimum_vm_pu", "maximum_loading_pct"]
    ]
    figures = {
        "in_words": contingencies_in_words(found) or "no outage has consequences",
        "worst": dg.MetadataValue.md(markdown_table(shown)),
    }
    return report(platform, CONTINGENCY_RESULTS, written, found, inputs=inputs, picture=outage_picture(found), figures=figures)


@dg.asset(**asset_of(REMEDIES, deps=[*STUDY_INPUTS, UNITS]))
def remedies(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.network.remedies import remedies_in_words, remedies_of_day

    day, frames, inputs = _inputs_of(context, platform)
    found, left_out = remedies_of_day(_section(platform), platform.site.clock, day, frames, platform.lake.read(UNITS))
    written = platform.lake.write(REMEDIES, found, day)
    shown = found.loc[found["rank"] <= 3, ["kind", "element_id", "value", "rank", "action", "cost", "clears", "remaining_violations"]]
    figures = {
        "in_words": remedies_in_words(found, platform.site.currency, left_out) or "nothing is expected beyond its limits",
        "ranked": dg.MetadataValue.md(markdown_table(shown.head(20))),
    }
    return report(platform, REMEDIES, written, found, inputs=inputs | {UNITS: None}, figures=figures)


@dg.asset(**asset_of(HOSTING_CAPACITY, deps=[NODE_LOADS, METER_DAYS, METERS, NODES, PLANTS, TOPOLOGIES]))
def hosting_capacity(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.figures.hosting import hosting_picture
    from grid_assets.network.hosting import LOOKED_BACK_DAYS, hosting_in_words, hosting_of_day

    day, frames, inputs = _inputs_of(context, platform, NODE_LOADS)
    year = [day - timedelta(days=n) for n in range(LOOKED_BACK_DAYS)]
    loads = platform.lake.read(NODE_LOADS, year, columns=NODE_LOAD_COLUMNS)
    before = [key for key in platform.lake.partitions(HOSTING_CAPACITY) if key < day.isoformat()][-1:]
    found = hosting_of_day(_section(platform), platform.site.clock, day, frames, loads, platform.lake.read(HOSTING_CAPACITY, before))
    written = platform.lake.write(HOSTING_CAPACITY, found, day)
    figures = {"in_words": hosting_in_words(found) or "no interval of the year is complete"}
    picture = hosting_picture(found) if len(found) else None
    return report(platform, HOSTING_CAPACITY, written, found, inputs=inputs | {NODE_LOADS: year}, picture=picture, figures=figures)


@dg.multi_asset(specs=[spec_of(table, deps=SCENARIO_INPUTS) for table in (SCENARIO_RESULTS, SCENARIO_VIOLATIONS)], can_subset=False)
def scenario_study(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.network.pages import write_map
    from grid_assets.network.scenario_files import parse_key, read_scenario
    from grid_assets.network.scenario_study import scenario_of_day

    key, section, clock = partition_keys(context)[0], _section(platform), platform.site.clock
    day, name = parse_key(key)
    day, frames, inputs = _frames_of(platform, clock.day(day.isoformat()))
    done = scenario_of_day(section, clock, day, frames, name, read_scenario(section.scenarios, name))
    pictures = {SCENARIO_RESULTS: done.study.map_picture, SCENARIO_VIOLATIONS: done.study.profile_picture}
    told = done.results.iloc[0]
    page = write_map(done.study, platform.site, platform.site.artefacts / "network", f"map_{key}.html", told["title"])
    figures = {"map": dg.MetadataValue.url(platform.artefact_url(page))} | {column: told[column] for column in ("failed_steps", "violations", "expected_violations", "maximum_loading_pct", "minimum_vm_pu", "customers_dark", "unserved_mwh")}  # fmt: skip
    for table, frame in ((SCENARIO_RESULTS, done.results), (SCENARIO_VIOLATIONS, done.violations)):
        written = platform.lake.write(table, frame, key)
        yield report(platform, table, written, frame, inputs=inputs, picture=pictures[table], figures=figures)


@dg.multi_asset(specs=[spec_of(table, deps=RANGE_INPUTS) for table in (RANGE_ELEMENTS, RANGE_DAYS)], can_subset=False)
def range_study(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.range_study import duration_picture, year_picture
    from grid_assets.network.range_study import parse_range, range_in_words, study_of_range

    key, lake, clock = partition_keys(context)[0], platform.lake, platform.site.clock
    first, last = parse_range(key, clock)
    registers = {table: lake.read(table) for table in (METERS, NODES, PLANTS)}

    def read(days: list[date]) -> tuple[StudyFrames, pd.DataFrame]:
        nothing = pd.DataFrame()
        frames = StudyFrames(*registers.values(), nothing, nothing, lake.read(METER_DAYS, days))
        return frames, lake.read(NODE_LOADS, days, columns=NODE_LOAD_COLUMNS)

    done = study_of_range(_section(platform), clock, first, last, registers[METERS], read)
    days = days_between(first, last)
    inputs: dict[Table, date | list[date] | None] = {NODE_LOADS: days, METER_DAYS: days, METERS: None, NODES: None, PLANTS: None}
    figures, zone = {"in_words": range_in_words(done)}, platform.site.time_zone
    pictures = {RANGE_ELEMENTS: duration_picture(done.elements, _section(platform)), RANGE_DAYS: year_picture(done.intervals, zone)}
    for table, frame in ((RANGE_ELEMENTS, done.elements), (RANGE_DAYS, done.days)):
        written = platform.lake.write(table, frame, key)
        yield report(platform, table, written, frame, inputs=inputs, picture=pictures[table], figures=figures)


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


def _inputs_of(
    context: dg.AssetExecutionContext, platform: Platform, demand: Table = DEMAND_FORECASTS
) -> tuple[date, StudyFrames, dict[Table, date | list[date] | None]]:
    """The run's day, what its studies read, and which partitions that was, for the run's manifest."""
    return _frames_of(platform, days_of(context, platform)[0], demand)


def _frames_of(
    platform: Platform, day: date, demand: Table = DEMAND_FORECASTS
) -> tuple[date, StudyFrames, dict[Table, date | list[date] | None]]:
    lake = platform.lake
    recent = [day - timedelta(days=n) for n in range(SHARE_DAYS)]
    frames = StudyFrames(
        lake.read(METERS), lake.read(NODES), lake.read(PLANTS), lake.read(demand, day), lake.read(RENEWABLE_FORECASTS, day),
        lake.read(METER_DAYS, recent),
    )  # fmt: skip
    return day, frames, {demand: day, RENEWABLE_FORECASTS: day, METER_DAYS: recent, METERS: None, NODES: None, PLANTS: None}


def _section(platform: Platform) -> NetworkSection:
    if platform.site.network is None:
        raise SiteError(f"site {platform.site.name}: the section [network] is missing; the flow study needs it")
    return platform.site.network
