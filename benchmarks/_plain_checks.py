"""The checks of one day without Dagster: the same domain functions over the tables that `_plain_day` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from benchmarks._plain_day import PlainDay, loads_studied
from grid_assets.forecasting import faults, inputs
from grid_assets.forecasting import tables as forecasting
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.check_results import CheckResult, CheckResults
from grid_assets.foundation.registers import METERS, NODES, PLANTS, UNITS
from grid_assets.foundation.tables import Table
from grid_assets.market.evidence import faults_of_signals, outside_evidence
from grid_assets.market.tables import PRICE_SIGNALS
from grid_assets.market.tariffs import price_series, tariff_named
from grid_assets.market.what_if import market_of
from grid_assets.metering import accounting, staleness
from grid_assets.metering import tables as metering
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.entries.outages import outages_of
from grid_assets.metering.quality import balances
from grid_assets.metering.quality.quality_suite import judge_profiles
from grid_assets.metering.raw_days import measurement_rows_of_files
from grid_assets.network import tables as network
from grid_assets.network.contingencies import overburdened
from grid_assets.network.likely_causes import anomalies_in_words
from grid_assets.network.state_estimation import not_estimated
from grid_assets.network.study import certificate_fault, unproved_rows, violations_in_words
from grid_assets.storage.health import section_of, too_hot, worn_out
from grid_assets.storage.replay import costs_do_not_add_up, faults_of_schedules, limits_exceeded, not_worth_it
from grid_assets.storage.tables import CURTAILMENTS, SCHEDULE_KPIS, SCHEDULES, UNIT_HEALTH
from grid_assets.weather import faults as weather_faults
from grid_assets.weather import tables as weather
from grid_assets.weather.features import missing_share

Found = Iterator[tuple[Table, str, str]]
"""Table, check, what is wrong ("" where it holds)."""


def check_day(run: PlainDay) -> list[CheckResult]:
    """Judges everything that the day wrote, and records the results in the site's ledger."""
    found = [*_schemas(run), *_metering(run), *_weather(run), *_forecasting(run), *_network(run), *_storage(run), *_market(run)]
    key = run.day.isoformat()
    results = [CheckResult(key, str(table), name, not fault, "error", fault or "as expected", "") for table, name, fault in found]
    ledger = CheckResults(run.site.ledger_url)
    ledger.record(results, datetime.now(UTC))
    ledger.close()
    return results


def _schemas(run: PlainDay) -> Found:
    for table in run.hashes:
        yield table, "schema", "; ".join(table.faults(run.lake.read_arrow(table, run.day)))


def _metering(run: PlainDay) -> Found:
    minimum = run.site.validation.minimum_valid_pct
    yield metering.LANDED_FILES, "rows_accounted", accounting.landing_faults(run.lake, run.day)
    yield metering.READINGS, "rows_accounted", accounting.day_faults(run.lake, run.day)
    measured = accounting.measurement_faults(run.lake, run.day, measurement_rows_of_files(run.lake, run.day))
    yield metering.MEASUREMENTS, "rows_accounted", measured
    stale = {one.day: "; ".join(one.reasons) for one in staleness.stale(run.lake, site=run.site)}
    yield metering.READINGS, staleness.UP_TO_DATE, stale.get(run.day, "")
    corrected, outages = corrections_of(run.site, run.lake), outages_of(run.site, run.lake)
    yield metering.CORRECTIONS, "entries_readable", "; ".join(map(str, corrected.refused))
    forgotten = outages.open_for_long(run.site.clock, run.day, run.site.metering.open_outage_days)
    yield metering.OUTAGE_EVENTS, "entries_readable", "; ".join([*map(str, outages.refused), *forgotten])
    status = run.read(metering.LANDED_FILES)["status"]
    yield metering.LANDED_FILES, "files_readable", ", ".join(status[status.isin(["unreadable", "refused"])])
    days = run.lake.read(metering.METER_DAYS, run.day, ["expected_intervals", "valid_intervals"])
    share = 100.0 * days["valid_intervals"].sum() / max(days["expected_intervals"].sum(), 1)
    yield metering.METER_DAYS, "valid_share", "" if share >= minimum else f"{share:.2f} %"
    verdict = judge_profiles(run.read(metering.QUALITY_PROFILES), minimum, run.site.artefacts)
    yield (
        metering.NODE_BALANCES,
        "balanced",
        "; ".join(balances.faults(run.read(metering.NODE_BALANCES), run.site.alerts.balance_tolerance_pct)),
    )
    yield metering.QUALITY_PROFILES, "quality_suite", verdict.faults.get(run.day.isoformat(), "no profiles")


def _weather(run: PlainDay) -> Found:
    rows = run.read(weather.FEATURES)
    shares = [missing_share(rows[rows["basis"] == basis], ["temperature_degc", "ghi_w_m2"]) for basis in ("observed", "forecast")]
    yield weather.FEATURES, "weather_complete", "values are missing" if max(shares) > 0 else ""
    yield weather.OBSERVATIONS, "weather_possible", weather_faults.taken_out(run.read(weather.OBSERVATIONS))
    provider = run.site.weather is not None and run.site.weather.forecasts is not None
    current = weather_faults.not_current(run.read(weather.FORECASTS), run.site.clock, run.day, provider=provider)
    yield weather.FORECASTS, "weather_current", current


def _forecasting(run: PlainDay) -> Found:
    clock, plants, nodes = run.site.clock, run.lake.read(PLANTS), run.lake.read(NODES)
    loads = run.lake.read(metering.NODE_LOADS, run.day, columns=["node_id", "published_pct"])
    loaded = loads.loc[loads["published_pct"] > 50, "node_id"].unique()
    yield forecasting.DEMAND_FORECASTS, "no_gap", faults.gaps(run.read(forecasting.DEMAND_FORECASTS), "node_id", loaded, clock, run.day)
    renewable = run.read(forecasting.RENEWABLE_FORECASTS)
    yield forecasting.RENEWABLE_FORECASTS, "no_gap", faults.gaps(renewable, "plant_id", (), clock, run.day, clock.study_day(run.day))
    yield forecasting.RENEWABLE_FORECASTS, "all_plants", ", ".join(set(plants["plant_id"]) - set(renewable["plant_id"]))
    system = nodes.loc[nodes["level"] == "system", "node_id"].iloc[0]
    yield forecasting.MODELS, "beats_naive", faults.loses_to_naive(run.read(forecasting.MODELS), system)
    yield forecasting.RENEWABLE_MODELS, "beats_naive", faults.loses_to_naive(run.read(forecasting.RENEWABLE_MODELS), None)
    yield forecasting.FORECAST_ACCURACY, "coverage", faults.low_coverage(run.read(forecasting.FORECAST_ACCURACY))
    recent = run.lake.read(forecasting.FORECAST_ACCURACY, days_between(run.day - timedelta(days=faults.JUDGED_DAYS - 1), run.day))
    energy = run.lake.read(metering.NODE_LOADS, run.day, columns=["node_id", "energy_kwh"])
    verdict = faults.day_ahead_verdict(recent, energy, system, clock.interval_hours, run.site.forecasting)
    yield forecasting.FORECAST_ACCURACY, "day_ahead_error", verdict.fault
    yield forecasting.FORECAST_ACCURACY, "unbiased", faults.biased(recent)
    yield forecasting.DRIFT, "no_drift", faults.drifted(run.read(forecasting.DRIFT))
    tree = inputs.node_tree(run.lake, clock, run.day, (NODES, METERS))
    yield forecasting.SCENARIOS, "coherent", faults.incoherent(run.read(forecasting.SCENARIOS), *tree)
    apart = faults.unlike_forecast(run.read(forecasting.SCENARIOS), run.read(forecasting.DEMAND_FORECASTS))
    yield forecasting.SCENARIOS, "as_sure_as_the_forecast", apart
    register = run.lake.read(METERS).sort_values("valid_from_utc").drop_duplicates("meter_id", keep="last")
    at, coherent = register.set_index("meter_id")["node_id"], run.read(forecasting.COHERENT_FORECASTS)
    yield forecasting.METER_FORECASTS, "adds_up", faults.does_not_add_up(run.read(forecasting.METER_FORECASTS), coherent, at, nodes)


def _network(run: PlainDay) -> Found:
    yield network.FLOW_CERTIFICATES, "certificate", certificate_fault(run.read(network.FLOW_CERTIFICATES))
    yield network.CONTINGENCY_RESULTS, "proved", unproved_rows(run.read(network.CONTINGENCY_RESULTS))
    yield network.VIOLATION_PROBABILITIES, "proved", unproved_rows(run.read(network.VIOLATION_PROBABILITIES))
    yield network.FLOW_QUANTILES, "proved", unproved_rows(run.read(network.FLOW_QUANTILES))
    yield network.HOSTING_CAPACITY, "proved", unproved_rows(run.read(network.HOSTING_CAPACITY))
    yield network.REMEDIES, "proved", unproved_rows(run.read(network.REMEDIES))
    yield network.CONTINGENCY_RESULTS, "rest_carries_on", overburdened(run.read(network.CONTINGENCY_RESULTS))
    yield network.CONSTRAINT_VIOLATIONS, "within_limits", violations_in_words(run.read(network.CONSTRAINT_VIOLATIONS))
    lacking = not_estimated(run.read(network.STATE_ESTIMATES), run.site.clock.intervals(run.day))
    yield network.STATE_ESTIMATES, "estimated", lacking
    yield network.ANOMALIES, "measurements_fit", anomalies_in_words(run.read(network.ANOMALIES), run.site.time_zone)


def _storage(run: PlainDay) -> Found:
    day, units, kpis = run.day.isoformat(), run.lake.read(UNITS), run.read(SCHEDULE_KPIS)
    yield SCHEDULES, "plan_feasible", "; ".join(faults_of_schedules(run.site, day, units, run.read(SCHEDULES), run.read(CURTAILMENTS)))
    yield SCHEDULE_KPIS, "costs_add_up", costs_do_not_add_up(kpis)
    yield SCHEDULE_KPIS, "within_limits", limits_exceeded(kpis)
    yield SCHEDULE_KPIS, "better_than_no_storage", not_worth_it(kpis)
    section, health = section_of(run.site), run.read(UNIT_HEALTH)
    yield UNIT_HEALTH, "cells_cool", too_hot(health, section.cell_temperature_limit_degc)
    yield UNIT_HEALTH, "not_worn_out", worn_out(health, section.end_of_life_soh_pct)


def _market(run: PlainDay) -> Found:
    site, market, signals = run.site, market_of(run.site), run.read(PRICE_SIGNALS)
    names, study_day = (market.base_tariff, market.candidate_tariff), site.clock.study_day(run.day)
    prices = {name: price_series(tariff_named(site, name), site.clock, study_day)["price_per_kwh"] for name in names}
    yield PRICE_SIGNALS, "signals_follow_forecast", "; ".join(faults_of_signals(signals, loads_studied(run), prices, market.base_tariff))
    groups = signals.groupby(["signal_id", "own_price_elasticity", "substitution_elasticity"])
    outside = {outside_evidence(own, substitution, rows["price_per_kwh"]) for (_, own, substitution), rows in groups}
    yield PRICE_SIGNALS, "within_published_range", "; ".join(sorted(outside - {""}))
