"""Storage: the schedule of the study day, with and without storage, and the health of the units on the operating day."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS, SCENARIOS
from grid_assets.foundation.dagster.doors import asset_of, days_of, markdown_table, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS, UNITS
from grid_assets.metering.tables import MEASUREMENTS
from grid_assets.storage.tables import CURTAILMENTS, OPTIMISED, SCHEDULE_KPIS, SCHEDULES, SITING, TRADE_OFFS, UNIT_HEALTH

INPUTS = (DEMAND_FORECASTS, RENEWABLE_FORECASTS, SCENARIOS, NODES, METERS, PLANTS, UNITS)


@dg.multi_asset(
    name="storage_plan", specs=[spec_of(table, deps=INPUTS) for table in (SCHEDULES, CURTAILMENTS, SCHEDULE_KPIS)], can_subset=False
)
def storage_plan(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.storage import storage_day
    from grid_assets.storage.schedules import Registers, plan_storage

    day, lake = days_of(context, platform)[0], platform.lake
    registers = Registers(*(lake.read(table) for table in (NODES, METERS, PLANTS, UNITS)))
    forecasts = (lake.read(table, day) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS))
    plan = plan_storage(platform.site, day, *forecasts, registers, lake.read(SCENARIOS, day))
    read = dict.fromkeys((DEMAND_FORECASTS, RENEWABLE_FORECASTS, SCENARIOS), day) | dict.fromkeys((NODES, METERS, PLANTS, UNITS))
    picture = storage_day(plan.system, platform.site.time_zone, platform.site.notice)
    best = plan.kpis.set_index("strategy").loc[OPTIMISED]
    figures = {"plan_id": plan.plan_id, **{name: best[name] for name in ("peak_kw", "objective", "gap_pct")}}
    made = ((SCHEDULES, plan.schedules, picture), (CURTAILMENTS, plan.curtailments, None), (SCHEDULE_KPIS, plan.kpis, picture))
    for table, frame, shown in made:
        yield report(platform, table, lake.write(table, frame, day), frame, inputs=read, picture=shown, figures=figures)


@dg.multi_asset(
    name="storage_choices",
    specs=[spec_of(table, deps=[one for one in INPUTS if one is not SCENARIOS]) for table in (TRADE_OFFS, SITING)],
    can_subset=False,
)
def storage_choices(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.storage_choices import siting_picture, trade_off_picture
    from grid_assets.storage.choices import choices_of_day, siting_in_words
    from grid_assets.storage.schedules import Registers

    day, lake, currency = days_of(context, platform)[0], platform.lake, platform.site.currency
    registers = Registers(*(lake.read(table) for table in (NODES, METERS, PLANTS, UNITS)))
    weighed, sited = choices_of_day(platform.site, day, lake.read(DEMAND_FORECASTS, day), lake.read(RENEWABLE_FORECASTS, day), registers)
    read = dict.fromkeys((DEMAND_FORECASTS, RENEWABLE_FORECASTS), day) | dict.fromkeys((NODES, METERS, PLANTS, UNITS))
    figures = {"in_words": siting_in_words(sited, currency) or "no fleet that could be planned otherwise"}
    pictures = (trade_off_picture(weighed, currency), siting_picture(sited, currency)) if len(weighed) else (None, None)
    for table, frame, picture in zip((TRADE_OFFS, SITING), (weighed, sited), pictures, strict=True):
        yield report(platform, table, lake.write(table, frame, day), frame, inputs=read, picture=picture, figures=figures)


@dg.asset(**asset_of(UNIT_HEALTH, deps=[MEASUREMENTS, UNITS, DEVICES]))
def unit_health(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.figures.battery_health import fleet_picture
    from grid_assets.storage import health

    day, site, lake = days_of(context, platform)[0], platform.site, platform.lake
    section = health.section_of(site)
    before = health.days_before(lake.partitions(UNIT_HEALTH), day)
    rows = health.health_of_day(
        site.clock, section, day, lake.read(UNITS), lake.read(DEVICES), lake.read(MEASUREMENTS, day), lake.read(UNIT_HEALTH, before)
    )
    written = lake.write(UNIT_HEALTH, rows, day)
    alerts = health.found_alerts(rows, section.cell_temperature_limit_degc)
    platform.alerts.record(UNIT_HEALTH.area, day.isoformat(), alerts, datetime.now(UTC))
    worst = rows.sort_values(["soh_pct", "unit_id"]).head(10)[
        ["unit_id", "soh_pct", "total_equivalent_full_cycles", "highest_temperature_degc", "hot_minutes", "remaining_years", "note"]
    ]
    figures = {"in_words": health.health_in_words(rows), "least_health": dg.MetadataValue.md(markdown_table(worst))}
    picture = fleet_picture(rows, section.cell_temperature_limit_degc, section.end_of_life_soh_pct, day, site.title) if len(rows) else None
    inputs = {MEASUREMENTS: day, UNITS: None, DEVICES: None, UNIT_HEALTH: before}
    return report(platform, UNIT_HEALTH, written, rows, inputs=inputs, picture=picture, figures=figures)
