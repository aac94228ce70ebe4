"""One day of a site without Dagster: what the doors of the job `day` call, in their order, from a plain script.

It reads the same lake, calls the same domain functions, draws the same pictures and writes the same tables. What it leaves out is
Dagster's own: steps, events, metadata, previews and manifests. The test holds its tables against the job's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from grid_assets.figures import quality
from grid_assets.figures.battery_health import fleet_picture
from grid_assets.figures.drift import drift_picture
from grid_assets.figures.flow_bands import band_picture
from grid_assets.figures.forecasts import coherent_picture, demand_fan, renewable_fan, scenario_picture
from grid_assets.figures.hosting import hosting_picture
from grid_assets.figures.market import load_under_tariffs
from grid_assets.figures.outages import outage_picture
from grid_assets.figures.readings import landing_picture, node_loads_picture, readings_picture
from grid_assets.figures.state_estimation import residual_picture, voltage_picture
from grid_assets.figures.storage import storage_day
from grid_assets.figures.storage_choices import siting_picture, trade_off_picture
from grid_assets.figures.weather import weather_picture
from grid_assets.forecasting import accuracy, demand, drift, inputs, known_loads, renewables
from grid_assets.forecasting import tables as forecasting
from grid_assets.forecasting.meters import coherent_week
from grid_assets.forecasting.promotions import promotions
from grid_assets.forecasting.scenarios import scenarios
from grid_assets.foundation.alerts import AlertStore
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.content_hashes import content_hash
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS, UNITS, in_force
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table
from grid_assets.market.loads import study_loads
from grid_assets.market.tables import PRICE_SIGNALS
from grid_assets.market.what_if import elasticities_of, price_signals
from grid_assets.metering import load_versions, measurements, raw_days, shards, staleness
from grid_assets.metering import tables as metering
from grid_assets.metering.arrival import landing
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.entries.outages import outages_of
from grid_assets.metering.quality import aggregation, alert_days, alert_inputs, balances, day_matrices
from grid_assets.network import tables as network
from grid_assets.network.contingencies import contingencies_of_day
from grid_assets.network.day_study import study_of_day
from grid_assets.network.hosting import LOOKED_BACK_DAYS, hosting_of_day
from grid_assets.network.pages import write_map
from grid_assets.network.remedies import remedies_of_day
from grid_assets.network.state_estimation import state_of_day
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.violation_probabilities import probabilities_of_day
from grid_assets.storage import health
from grid_assets.storage.choices import choices_of_day
from grid_assets.storage.schedules import Registers, plan_storage
from grid_assets.storage.tables import CURTAILMENTS, SCHEDULE_KPIS, SCHEDULES, SITING, TRADE_OFFS, UNIT_HEALTH
from grid_assets.weather import deviations, features, issues, observations
from grid_assets.weather import tables as weather

NODE_COLUMNS = ["node_id", "level", "start_utc", "energy_kwh", "published_pct"]
SHARE_DAYS = 28
"""As the door of the network: over how many days a meter's energy decides its share of the feeder."""
METERED = (metering.LANDED_FILES, metering.REJECTED_READINGS, metering.RAW_READINGS, metering.READINGS, metering.FAILED_READINGS,
           metering.EDITED_READINGS, metering.FILE_DAYS, metering.METER_DAYS, metering.QUALITY_PROFILES, metering.CLASS_PROFILES,
           metering.NODE_LOADS, metering.NODE_BALANCES, metering.NODE_LOAD_VERSIONS, metering.READING_VERSIONS, metering.CORRECTIONS, metering.OUTAGE_EVENTS, metering.MEASUREMENTS,
           metering.DEVICE_DAYS, metering.MEASUREMENT_FILE_DAYS, metering.USAGE_SHAPES, metering.USAGE_ANOMALIES, metering.ALERTS)  # fmt: skip
FORECAST = (weather.OBSERVATIONS, weather.FORECASTS, weather.FORECAST_MEMBERS, weather.FEATURES, forecasting.DEMAND_FORECASTS, forecasting.MODELS,
            forecasting.RENEWABLE_FORECASTS, forecasting.RENEWABLE_MODELS, forecasting.FORECAST_ACCURACY, forecasting.PROMOTIONS, forecasting.SCENARIOS, forecasting.METER_FORECASTS, forecasting.COHERENT_FORECASTS, forecasting.DRIFT)  # fmt: skip
STUDIED = (network.BUS_VOLTAGES, network.BRANCH_LOADINGS, network.CONSTRAINT_VIOLATIONS, network.FLOW_CERTIFICATES)
TABLES = frozenset(
    {
        *METERED,
        *FORECAST,
        *STUDIED,
        network.CONTINGENCY_RESULTS,
        network.VIOLATION_PROBABILITIES,
        network.FLOW_QUANTILES,
        network.HOSTING_CAPACITY,
        network.REMEDIES,
        network.STATE_ESTIMATES,
        network.ANOMALIES,
        SCHEDULES,
        CURTAILMENTS,
        SCHEDULE_KPIS,
        SITING,
        TRADE_OFFS,
        UNIT_HEALTH,
        PRICE_SIGNALS,
    }
)
"""What a day writes, no more and no less."""


class DayIncomplete(RuntimeError):
    """A plain day that wrote other tables than the day job: the two cannot be compared."""


@dataclass
class PlainDay:
    """A day in work: where it reads and writes, and what it has written so far."""

    site: Site
    lake: Lake
    day: date
    hashes: dict[Table, str] = field(default_factory=dict)
    """Content hash of every table written."""

    @property
    def history(self) -> list[date]:
        return [*self.site.clock.history(self.day, self.site.calendar.history_days), self.day]

    def write(self, table: Table, frame) -> None:
        self.hashes[table] = self.lake.write(table, frame, self.day).content_hash

    def read(self, table: Table) -> pd.DataFrame:
        return self.lake.read(table, self.day)


def run_day(site: Site, day: date) -> PlainDay:
    """All tables and pictures of one day; ``site`` must have the demo's sections: weather, network, storage and market.

    Raises DayIncomplete unless exactly TABLES were written.
    """
    run = PlainDay(site, Lake(site.lake_root), day)
    for work in (land, take_entries, measure, read_raw, validate, aggregate, judge_usage, raise_alerts, observe_weather, forecast_weather, derive_features,
                 score_forecasts, watch_forecasts, forecast_demand, forecast_single_meters, forecast_renewables, study_flows, estimate_state, plan_units, choose_units, follow_health, signal_prices):  # fmt: skip
        work(run)
    if run.hashes.keys() != TABLES:
        raise DayIncomplete(f"written or missing against the plan: {', '.join(sorted(map(str, run.hashes.keys() ^ TABLES)))}")
    return run


def land(run: PlainDay) -> None:
    (landed,) = landing.land_days(run.site, run.lake, run.lake.read(METERS), [run.day], stage=True)
    files, rejected = landing.write_landing(run.lake, landed)
    run.hashes |= {metering.LANDED_FILES: files.content_hash, metering.REJECTED_READINGS: rejected.content_hash}
    landing_picture(landing.rows_by_day_and_outcome(landed.files), run.site.title)


def take_entries(run: PlainDay) -> None:
    """What people entered: corrections and outages."""
    clock = run.site.clock
    run.write(metering.CORRECTIONS, corrections_of(run.site, run.lake).of_day(clock, run.day))
    run.write(metering.OUTAGE_EVENTS, outages_of(run.site, run.lake).of_day(clock, run.day))


def measure(run: PlainDay) -> None:
    site, lake = run.site, run.lake
    lists, landed = raw_days.lists_now(lake, run.day), raw_days.measurement_rows_of_files(lake, run.day)
    files = landed.loc[landed["day"] == run.day, "file_id"].tolist()
    rows = measurements.staged_rows(lake, files, run.day, None)
    known = measurements.devices_in_force(lake.read(DEVICES), lake.read(METERS), site.clock, run.day)
    made = measurements.measurement_day(rows, known, site.clock, run.day, site.quantities).tables()
    written = {table: lake.write(table, frame, run.day) for table, frame in made.items()}
    raw_days.note_gathered(lake, metering.MEASUREMENT_INPUTS, written[metering.MEASUREMENTS], lists, files, None)
    run.hashes |= {table: one.content_hash for table, one in written.items()}


def read_raw(run: PlainDay) -> None:
    lists, landed = raw_days.lists_now(run.lake, run.day), raw_days.rows_of_files(run.lake, run.day)
    files = landed.loc[landed["day"] == run.day, "file_id"].tolist()
    made = shards.make_raw_day(run.site, run.lake, run.day, files)
    raw_days.note_gathered(run.lake, metering.RAW_INPUTS, made, lists, files, None)
    run.hashes[metering.RAW_READINGS] = made.content_hash


def validate(run: PlainDay) -> None:
    site, lake = run.site, run.lake
    made_from = staleness.inputs_of_day(lake, run.day, site)
    run.hashes |= {table: written.content_hash for table, written in shards.make_reading_day(site, lake, run.day).items()}
    staleness.note_inputs(lake, run.day, made_from)
    pictured(run)


def pictured(run: PlainDay) -> None:
    site, lake, starts = run.site, run.lake, run.site.clock.intervals(run.day)
    meters, meter_days = alert_inputs.meters_of(site, lake.read(METERS), run.day), run.read(metering.METER_DAYS)
    curve = day_matrices.day_curve(day_matrices.shards_of_day(lake, run.day, meters, starts), starts)
    readings_picture(curve, site.time_zone, site.interval_minutes, f"{site.title}, {run.day}")
    worst = alert_inputs.worst_meters(meter_days, quality.MOST_NODES)
    qualities = alert_inputs.qualities_of(lake, run.day, worst["meter_id"].tolist(), starts)
    quality.worst_meters_picture(worst, qualities, starts, len(meter_days), site.time_zone, f"{run.day}")


def aggregate(run: PlainDay) -> None:
    site, lake, zone = run.site, run.lake, run.site.time_zone
    meters = alert_inputs.meters_of(site, lake.read(METERS), run.day)
    sums = aggregation.sums_of_day(lake, run.day, meters, lake.read(NODES), site.clock.intervals(run.day))
    loads = sums.node_loads(lake.content_hash(metering.READINGS, run.day) or "")
    balanced = balances.node_balances(sums, loads)
    run.write(metering.NODE_BALANCES, balanced)
    versions = load_versions.versions_of_day(site, lake, run.day)
    run.write(metering.NODE_LOAD_VERSIONS, versions.nodes)
    run.write(metering.READING_VERSIONS, versions.readings)
    run.write(metering.NODE_LOADS, loads)
    node_loads_picture(loads, zone, site.interval_minutes, f"{site.title}, {run.day}")
    quality.node_quality_picture(loads, site.validation.minimum_valid_pct, zone, f"{run.day}")
    tolerance, by_day = site.alerts.balance_tolerance_pct, balances.day_balances(balanced)
    quality.balances_picture(balanced, by_day, tolerance, zone, site.interval_minutes, f"{run.day}")


def judge_usage(run: PlainDay) -> None:
    run.write(metering.USAGE_SHAPES, alert_inputs.shapes_of_day(run.site, run.lake, run.day))
    run.write(metering.USAGE_ANOMALIES, alert_inputs.anomalies_of_day(run.site, run.lake, run.day))


def raise_alerts(run: PlainDay) -> None:
    site, key = run.site, run.day.isoformat()
    made_from = staleness.inputs_of_alerts(run.lake, run.day, site)
    found = alert_days.day_alerts(alert_inputs.alert_inputs(site, run.lake, run.day), site.alerts)
    run.write(metering.ALERTS, found)
    store = AlertStore(site.ledger_url)
    store.record(metering.ALERTS.area, key, alert_days.found_alerts(found), datetime.now(UTC))
    store.close()
    raw_days.finish_day(run.lake, run.day, made_from)
    begin, end = (pd.Timestamp(one) for one in site.clock.bounds(run.day))
    quality.alerts_picture(found, (begin, end), site.time_zone, f"{site.title}, {run.day}")


def observe_weather(run: PlainDay) -> None:
    site, day = run.site, run.day
    read = observations.read_weather(observations.section_of(site).observations)
    every, interval = site.clock.intervals(day), pd.Timedelta(site.clock.interval)
    values = observations.to_intervals(read.rows, every, interval, features.sun_over(site, day, day))
    run.write(weather.OBSERVATIONS, observations.observed_rows(site, values, every))


def forecast_weather(run: PlainDay) -> None:
    site, day = run.site, run.day
    provider = observations.section_of(site).forecasts
    read = observations.read_weather(provider, forecast=True).rows if provider else None
    since = deviations.LOOKED_BACK_DAYS + deviations.PERSISTED_DAYS
    observed, sun = run.lake.read(weather.OBSERVATIONS, days_between(day - timedelta(days=since), day)), features.sun_over(site, day, day)
    errors = deviations.past_errors(read, observed, site.clock)
    run.write(weather.FORECASTS, issues.forecast_rows(site, day, read, observed, sun, errors=errors))
    run.write(weather.FORECAST_MEMBERS, issues.member_rows(site, day, read, sun))


def derive_features(run: PlainDay) -> None:
    site, day = run.site, run.day
    observed = run.lake.read(weather.OBSERVATIONS, days_between(day - timedelta(days=features.LONGEST_MEAN_DAYS), day))
    sun, holidays = features.sun_over(site, day, day), features.holidays_of(site, day, day)
    frame = features.feature_rows(site, day, observed, run.read(weather.FORECASTS), sun, holidays)
    run.write(weather.FEATURES, frame)
    weather_picture(frame, site.time_zone, f"{site.title}: {observations.section_of(site).label}")


def forecast_demand(run: PlainDay) -> None:
    site, clock, day = run.site, run.site.clock, run.day
    days = inputs.learned_days(run.lake, metering.NODE_LOADS, site, day)
    versions = known_loads.load_versions(run.lake, metering.NODE_LOAD_VERSIONS, metering.NODE_LOADS, days, clock.interval)
    loads = known_loads.loads_as_of(versions, clock.issue_time(day))
    registered = run.lake.read(NODES, columns=["node_id", "level", "parent_id"])
    nodes = sorted(set(registered["node_id"]) | set(loads["node_id"]))
    known, before = inputs.with_day(run.lake, weather.FEATURES, days), inputs.champions_before(run.lake, forecasting.MODELS, day)
    rolled = demand.roll_demand(
        loads, known, nodes, clock, day, **inputs.forecast_settings(site, registered), known_until=clock.issue_time(day),
        champions=before, refits=drift.retrainings(run.lake.read(forecasting.DRIFT, days)),
    )  # fmt: skip
    made = demand.published(rolled)
    version = content_hash(pa.Table.from_pandas(loads, preserve_index=False))
    run.write(forecasting.DEMAND_FORECASTS, made.forecasts.assign(readings_version=version))
    run.write(forecasting.MODELS, made.models.assign(readings_version=version))
    parents, metered = inputs.node_tree(run.lake, clock, day, (NODES, METERS))
    drawn = scenarios(rolled, made.forecasts, parents, metered, site.forecasting.scenario_members, site.seed + day.toordinal())
    run.write(forecasting.SCENARIOS, drawn)
    scenario_picture(made.forecasts, drawn, parents, clock, day, site.title)
    run.write(forecasting.PROMOTIONS, promotions(made.models, before, clock.issue_time(day)))
    demand_fan(made.forecasts, loads.merge(registered, "left", on="node_id"), clock, day, site.title)


def forecast_single_meters(run: PlainDay) -> None:
    site, lake, day = run.site, run.lake, run.day
    nodes = lake.read(NODES, columns=["node_id", "parent_id"])
    start, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
    register = in_force(lake.read(METERS), start, end)
    meters = register[(register["kind"] == "load") & register["node_id"].isin(nodes["node_id"])].sort_values("meter_id", ignore_index=True)
    known = inputs.with_day(lake, weather.FEATURES, coherent_week.days_read(day))
    tables = (metering.READINGS, metering.READING_VERSIONS, forecasting.DEMAND_FORECASTS, forecasting.MODELS)
    made = inputs.meter_week(lake, site, day, meters, nodes, tables, known)
    run.write(forecasting.METER_FORECASTS, made.meters)
    run.write(forecasting.COHERENT_FORECASTS, made.nodes)
    coherent_picture(made.nodes, site.clock, site.title)


def forecast_renewables(run: PlainDay) -> None:
    site, clock, day = run.site, run.site.clock, run.day
    plants = run.lake.read(PLANTS)
    known, until = inputs.with_day(run.lake, weather.FEATURES, run.history), clock.issue_time(day)
    tables = (metering.READINGS, metering.READING_VERSIONS)
    generation = inputs.of_meters(run.lake, tables, run.history, plants["meter_id"].tolist(), until)
    made = renewables.forecast_renewables(generation, plants, known, clock, day, country=site.country, known_until=until)
    version = content_hash(pa.Table.from_pandas(generation, preserve_index=False))
    run.write(forecasting.RENEWABLE_FORECASTS, made.forecasts.assign(readings_version=version))
    run.write(forecasting.RENEWABLE_MODELS, made.models.assign(readings_version=version))
    renewable_fan(renewables.totals_by_kind(made.forecasts, plants), clock, day, site.title)


def score_forecasts(run: PlainDay) -> None:
    site, day, plants = run.site, run.day, run.lake.read(PLANTS)
    loads = run.lake.read(metering.NODE_LOADS, run.history, columns=NODE_COLUMNS)
    tables = (metering.READINGS, metering.READING_VERSIONS)
    generation = inputs.of_meters(run.lake, tables, run.history, plants["meter_id"].tolist())
    issued = day - timedelta(days=site.clock.study_day_offset)
    stored = (run.lake.read(forecasting.DEMAND_FORECASTS, issued), run.lake.read(forecasting.RENEWABLE_FORECASTS, issued))
    known = inputs.with_day(run.lake, weather.FEATURES, run.history)
    clock = site.clock

    def then() -> tuple[pd.DataFrame, pd.DataFrame]:
        kept = [one for one in run.history if one <= issued]
        versions = known_loads.load_versions(run.lake, metering.NODE_LOAD_VERSIONS, metering.NODE_LOADS, kept, clock.interval)
        told = inputs.of_meters(run.lake, tables, kept, plants["meter_id"].tolist(), clock.issue_time(issued))
        return known_loads.loads_as_of(versions, clock.issue_time(issued)), told

    settings = inputs.forecast_settings(site, run.lake.read(NODES, columns=["node_id", "parent_id"]))
    made = accuracy.day_accuracy(stored, loads, generation, plants, known, clock, day, known=then, **settings)
    earlier = {one: run.lake.read(forecasting.DEMAND_FORECASTS, one) for one in accuracy.earlier_runs(clock, day)}
    again = run.lake.read(forecasting.INTRADAY_FORECASTS, day - timedelta(days=1))
    scores = accuracy.with_other_horizons(made.scores, earlier, again, loads, clock, day, country=site.country)
    scores = accuracy.joined(scores, inputs.meter_scores(run.lake, clock, day, (forecasting.METER_FORECASTS, metering.READINGS)))
    version = f"{run.lake.version_of(metering.NODE_LOADS, run.history)}.{run.lake.version_of(metering.READINGS, run.history)}"
    run.write(forecasting.FORECAST_ACCURACY, scores.assign(readings_version=version))


def watch_forecasts(run: PlainDay) -> None:
    days = days_between(run.day - timedelta(days=drift.WATCHED_DAYS + drift.REFERENCE_DAYS - 1), run.day)
    scores = run.lake.read(forecasting.FORECAST_ACCURACY, days)
    rows = drift.drift(scores, run.day, drift.retrainings(run.lake.read(forecasting.DRIFT, days[:-1])))
    run.write(forecasting.DRIFT, rows)
    AlertStore(run.site.ledger_url).record(
        forecasting.DRIFT.area, run.day.isoformat(), drift.found_alerts(rows, run.site.clock), datetime.now(UTC)
    )
    if len(rows):
        drift_picture(scores, rows, run.day, run.site.title)


def study_flows(run: PlainDay) -> None:
    section = run.site.network
    assert section is not None
    recent = [run.day - timedelta(days=n) for n in range(SHARE_DAYS)]
    expected, sampled = (
        StudyFrames(*(run.lake.read(table) for table in (METERS, NODES, PLANTS)), run.read(demand), run.read(forecasting.RENEWABLE_FORECASTS),
                    run.lake.read(metering.METER_DAYS, recent))
        for demand in (forecasting.DEMAND_FORECASTS, forecasting.SCENARIOS)
    )  # fmt: skip
    done = study_of_day(section, run.site.clock, run.day, expected)
    write_map(done, run.site, run.site.artefacts / "network", f"map_{run.day}.html")
    for table in STUDIED:
        run.write(table, getattr(done.study, table.name))
    spread = probabilities_of_day(section, run.site.clock, run.day, sampled)
    band_picture(spread.quantiles, (section.minimum_vm_pu, section.maximum_vm_pu, section.maximum_loading_pct), run.site.time_zone)
    run.write(network.VIOLATION_PROBABILITIES, spread.violations)
    run.write(network.FLOW_QUANTILES, spread.quantiles)
    lost = contingencies_of_day(section, run.site.clock, run.day, expected)
    outage_picture(lost)
    run.write(network.CONTINGENCY_RESULTS, lost)
    run.write(network.REMEDIES, remedies_of_day(section, run.site.clock, run.day, expected, run.lake.read(UNITS))[0])
    year = [run.day - timedelta(days=n) for n in range(LOOKED_BACK_DAYS)]
    loads = run.lake.read(metering.NODE_LOADS, year, columns=["node_id", "start_utc", "energy_kwh", "generation_kwh", "published_pct"])
    before = [key for key in run.lake.partitions(network.HOSTING_CAPACITY) if key < run.day.isoformat()][-1:]
    fits = hosting_of_day(section, run.site.clock, run.day, expected, loads, run.lake.read(network.HOSTING_CAPACITY, before))
    hosting_picture(fits)
    run.write(network.HOSTING_CAPACITY, fits)


def estimate_state(run: PlainDay) -> None:
    section, zone = run.site.network, run.site.time_zone
    assert section is not None
    read = {table.name: run.lake.read(table) for table in (METERS, NODES, PLANTS, DEVICES)}
    read |= {"readings": run.lake.read(metering.READINGS, run.day), "measurements": run.read(metering.MEASUREMENTS)}
    done = state_of_day(section, run.site.clock, run.day, **read)
    voltage_picture(done.state_estimates, done.voltages, (section.minimum_vm_pu, section.maximum_vm_pu), zone)
    residual_picture(done.residuals, zone)
    run.write(network.STATE_ESTIMATES, done.state_estimates)
    run.write(network.ANOMALIES, done.anomalies)


def plan_units(run: PlainDay) -> None:
    registers = Registers(*(run.lake.read(table) for table in (NODES, METERS, PLANTS, UNITS)))
    expected, generated = run.read(forecasting.DEMAND_FORECASTS), run.read(forecasting.RENEWABLE_FORECASTS)
    plan = plan_storage(run.site, run.day, expected, generated, registers, run.read(forecasting.SCENARIOS))
    storage_day(plan.system, run.site.time_zone, run.site.notice)
    for table, frame in ((SCHEDULES, plan.schedules), (CURTAILMENTS, plan.curtailments), (SCHEDULE_KPIS, plan.kpis)):
        run.write(table, frame)


def choose_units(run: PlainDay) -> None:
    registers = Registers(*(run.lake.read(table) for table in (NODES, METERS, PLANTS, UNITS)))
    weighed, sited = choices_of_day(
        run.site, run.day, run.read(forecasting.DEMAND_FORECASTS), run.read(forecasting.RENEWABLE_FORECASTS), registers
    )
    if len(weighed):
        trade_off_picture(weighed, run.site.currency)
        siting_picture(sited, run.site.currency)
    run.write(TRADE_OFFS, weighed)
    run.write(SITING, sited)


def follow_health(run: PlainDay) -> None:
    section = health.section_of(run.site)
    earlier = run.lake.read(UNIT_HEALTH, health.days_before(run.lake.partitions(UNIT_HEALTH), run.day))
    registers = [run.lake.read(table) for table in (UNITS, DEVICES)]
    rows = health.health_of_day(run.site.clock, section, run.day, *registers, run.read(metering.MEASUREMENTS), earlier)
    run.write(UNIT_HEALTH, rows)
    alerts = health.found_alerts(rows, section.cell_temperature_limit_degc)
    AlertStore(run.site.ledger_url).record(UNIT_HEALTH.area, run.day.isoformat(), alerts, datetime.now(UTC))
    if len(rows):
        fleet_picture(rows, section.cell_temperature_limit_degc, section.end_of_life_soh_pct, run.day, run.site.title)


def loads_studied(run: PlainDay):
    """The loads of the study day, as the market's door reads them."""
    expected, generated = run.read(forecasting.DEMAND_FORECASTS), run.read(forecasting.RENEWABLE_FORECASTS)
    return study_loads(run.site, run.day, expected, generated, *(run.lake.read(table) for table in (NODES, METERS, PLANTS)))


def signal_prices(run: PlainDay) -> None:
    frame = price_signals(run.site, run.day, loads_studied(run), elasticities_of(run.site))
    run.write(PRICE_SIGNALS, frame)
    load_under_tariffs(frame, run.site.time_zone, run.site.currency, run.site.notice)
