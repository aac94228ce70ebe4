"""Storage: the schedule of the study day, with and without storage."""

from collections.abc import Iterator

import dagster as dg

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS
from grid_assets.foundation.dagster.doors import days_of, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES, PLANTS, UNITS
from grid_assets.storage.schedules import OPTIMISED, Registers, plan_storage
from grid_assets.storage.tables import CURTAILMENTS, SCHEDULE_KPIS, SCHEDULES

INPUTS = (DEMAND_FORECASTS, RENEWABLE_FORECASTS, NODES, METERS, PLANTS, UNITS)


@dg.multi_asset(
    name="storage_plan", specs=[spec_of(table, deps=INPUTS) for table in (SCHEDULES, CURTAILMENTS, SCHEDULE_KPIS)], can_subset=False
)
def storage_plan(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.storage import storage_day

    day, lake = days_of(context, platform)[0], platform.lake
    registers = Registers(*(lake.read(table) for table in (NODES, METERS, PLANTS, UNITS)))
    plan = plan_storage(platform.site, day, lake.read(DEMAND_FORECASTS, day), lake.read(RENEWABLE_FORECASTS, day), registers)
    read = dict.fromkeys((DEMAND_FORECASTS, RENEWABLE_FORECASTS), day) | dict.fromkeys((NODES, METERS, PLANTS, UNITS))
    picture = storage_day(plan.system, platform.site.time_zone, platform.site.notice)
    best = plan.kpis.set_index("strategy").loc[OPTIMISED]
    figures = {"plan_id": plan.plan_id, **{name: best[name] for name in ("peak_kw", "objective", "gap_pct")}}
    made = ((SCHEDULES, plan.schedules, picture), (CURTAILMENTS, plan.curtailments, None), (SCHEDULE_KPIS, plan.kpis, picture))
    for table, frame, shown in made:
        yield report(platform, table, lake.write(table, frame, day), frame, inputs=read, picture=shown, figures=figures)
