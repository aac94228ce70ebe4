"""Market: price signals of the study day, and price what-ifs."""

from datetime import date

import dagster as dg

from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS
from grid_assets.foundation.dagster.doors import asset_of, days_of, partition_keys, report
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES, PLANTS
from grid_assets.market.loads import StudyLoads, study_loads
from grid_assets.market.tables import PRICE_SIGNALS, PRICE_WHAT_IFS
from grid_assets.market.what_if import elasticities_of, parse_study, price_what_if
from grid_assets.market.what_if import price_signals as signals_of

INPUTS = (DEMAND_FORECASTS, RENEWABLE_FORECASTS, NODES, METERS, PLANTS)
ANY_DAY = [dg.AssetDep(table.key, partition_mapping=dg.AllPartitionMapping()) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS)]


class AssumedElasticities(dg.Config):
    """Elasticities for one run, instead of the site's."""

    own_price_elasticity: float | None = None
    substitution_elasticity: float | None = None


def loads_of(platform: Platform, day: date) -> StudyLoads:
    """The loads of a day's study, read from the lake."""
    lake = platform.lake
    demand, renewable = lake.read(DEMAND_FORECASTS, day), lake.read(RENEWABLE_FORECASTS, day)
    return study_loads(platform.site, day, demand, renewable, lake.read(NODES), lake.read(METERS), lake.read(PLANTS))


@dg.asset(**asset_of(PRICE_SIGNALS, deps=INPUTS))
def price_signals(context: dg.AssetExecutionContext, platform: Platform, config: AssumedElasticities) -> dg.MaterializeResult:
    from grid_assets.figures.market import load_under_tariffs

    day, site = days_of(context, platform)[0], platform.site
    elasticities = elasticities_of(site, config.own_price_elasticity, config.substitution_elasticity)
    frame = signals_of(site, day, loads_of(platform, day), elasticities)
    read = {DEMAND_FORECASTS: day, RENEWABLE_FORECASTS: day, NODES: None, METERS: None, PLANTS: None}
    picture = load_under_tariffs(frame, site.time_zone, site.currency, site.notice)
    figures = {f"peak_kw {name}": rows["expected_load_kw"].max() for name, rows in frame.groupby("signal_id")}
    written = platform.lake.write(PRICE_SIGNALS, frame, day)
    return report(platform, PRICE_SIGNALS, written, frame, inputs=read, picture=picture, figures={**figures, "assumed": str(elasticities)})


@dg.asset(**asset_of(PRICE_WHAT_IFS, deps=[*ANY_DAY, NODES, METERS, PLANTS]))
def price_what_ifs(context: dg.AssetExecutionContext, platform: Platform, config: AssumedElasticities) -> dg.MaterializeResult:
    study = partition_keys(context)[0]
    day = platform.site.clock.day(parse_study(study)[0].isoformat())
    elasticities = elasticities_of(platform.site, config.own_price_elasticity, config.substitution_elasticity)
    frame = price_what_if(platform.site, study, loads_of(platform, day), elasticities)
    written = platform.lake.write(PRICE_WHAT_IFS, frame, study)
    read = {DEMAND_FORECASTS: day, RENEWABLE_FORECASTS: day, NODES: None, METERS: None, PLANTS: None}
    figures = frame.iloc[0][["peak_change_pct", "shifted_kwh", "revenue_change", "procurement_cost_change"]].to_dict()
    return report(platform, PRICE_WHAT_IFS, written, frame, inputs=read, figures=figures)
