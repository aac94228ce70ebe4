"""Doors: demand and renewable forecasts, and how good they were."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd
import pyarrow as pa

from grid_assets.forecasting import drift as drifting
from grid_assets.forecasting import inputs
from grid_assets.forecasting.drift import retrainings
from grid_assets.forecasting.known_loads import load_versions, loads_as_of
from grid_assets.forecasting.promotions import promotions
from grid_assets.forecasting.tables import (
    COHERENT_FORECASTS,
    DEMAND_FORECASTS,
    DRIFT,
    FORECAST_ACCURACY,
    INTRADAY_FORECASTS,
    METER_FORECASTS,
    MODELS,
    PROMOTIONS,
    RENEWABLE_FORECASTS,
    RENEWABLE_MODELS,
    SCENARIOS,
)
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.content_hashes import content_hash
from grid_assets.foundation.dagster.doors import IntradayConfig, asset_of, days_of, markdown_table, report, spec_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import METERS, NODES, PLANTS, in_force
from grid_assets.metering.tables import LOADS_UNDER_WAY, NODE_LOAD_VERSIONS, NODE_LOADS, READING_VERSIONS, READINGS
from grid_assets.weather.tables import FEATURES, FEATURES_UNDER_WAY

RECENT_DAYS = 28
"""Days over which errors are pictured."""
NODE_COLUMNS = ["node_id", "level", "start_utc", "energy_kwh", "published_pct"]


class ForecastConfig(dg.Config):
    """What a user may change about one forecast run."""

    known_until: str | None = None
    """Nothing later than this is looked at, e.g. 2019-05-20T08:00:00+00:00; None: the issue time of the run's day."""

    def instant(self, platform: Platform, day: date) -> datetime:
        until = datetime.fromisoformat(self.known_until) if self.known_until else platform.site.clock.issue_time(day)
        if until.tzinfo is None:
            raise ValueError(f"known_until = {self.known_until!r} has no time zone; expected e.g. 2019-05-20T08:00:00+00:00")
        return until


def features_of(platform: Platform, days: list[date]) -> pd.DataFrame | None:
    return inputs.with_day(platform.lake, FEATURES, days) if platform.site.weather else None


def coverage_said(subjects: pd.Series, coverage: pd.Series) -> dict[str, object]:
    """How the 90 % bands of the last four weeks held, for the metadata of what is published with new ones."""
    if not coverage.notna().any():
        return {"coverage_of_the_last_28_days": "nothing was scored yet"}
    rows = pd.DataFrame({"subject": subjects, "inside the 90 % band, %": coverage.round(1)})
    return {
        "coverage_of_the_last_28_days": dg.MetadataValue.md(markdown_table(rows)),
        "mean_coverage_pct": round(float(coverage.mean()), 1),
    }


@dg.multi_asset(
    specs=[
        spec_of(table, deps=[NODE_LOADS, NODE_LOAD_VERSIONS, FEATURES, DRIFT])
        for table in (DEMAND_FORECASTS, MODELS, PROMOTIONS, SCENARIOS)
    ],
    can_subset=False,
)
def demand_forecasts(context: dg.AssetExecutionContext, platform: Platform, config: ForecastConfig) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.forecasts import demand_fan, scenario_picture
    from grid_assets.forecasting import demand
    from grid_assets.forecasting.scenarios import scenarios

    day, clock = days_of(context, platform)[0], platform.site.clock
    site = platform.site
    days, until = inputs.learned_days(platform.lake, NODE_LOADS, site, day), config.instant(platform, day)
    versions = load_versions(platform.lake, NODE_LOAD_VERSIONS, NODE_LOADS, days, clock.interval)
    loads = loads_as_of(versions, until)
    version = content_hash(pa.Table.from_pandas(loads, preserve_index=False))
    registered = platform.lake.read(NODES, columns=["node_id", "level", "parent_id"])
    nodes = sorted(set(registered["node_id"]) | set(loads["node_id"]))
    before = inputs.champions_before(platform.lake, MODELS, day)
    rolled = demand.roll_demand(
        loads, features_of(platform, days), nodes, clock, day, **inputs.forecast_settings(site, registered), known_until=until,
        champions=before, refits=retrainings(platform.lake.read(DRIFT, days)),
    )  # fmt: skip
    made = demand.published(rolled)
    coverage = inputs.recent_coverage(platform.lake, FORECAST_ACCURACY, day, made.models["subject_id"])
    models = made.models.assign(readings_version=version)
    written = platform.lake.write(DEMAND_FORECASTS, made.forecasts.assign(readings_version=version), day)
    chosen = platform.lake.write(MODELS, models, day)
    picture = demand_fan(made.forecasts, loads.merge(registered, "left", on="node_id"), clock, day, site.title)
    said = {"messages": "\n".join(made.messages) or "none", "known_until": until.isoformat()}
    said |= coverage_said(models["subject_id"], coverage)
    read = {NODE_LOAD_VERSIONS: days}
    yield report(platform, DEMAND_FORECASTS, written, made.forecasts, inputs=read, picture=picture, figures=said)
    yield report(platform, MODELS, chosen, models, inputs=read, figures=said)
    parents, metered = inputs.node_tree(platform.lake, clock, day, (NODES, METERS))
    drawn = scenarios(rolled, made.forecasts, parents, metered, site.forecasting.scenario_members, site.seed + day.toordinal())
    spread = scenario_picture(made.forecasts, drawn, parents, clock, day, site.title) if len(drawn) else None
    told = {"members": int(drawn["member"].nunique())}
    yield report(platform, SCENARIOS, platform.lake.write(SCENARIOS, drawn, day), drawn, inputs=read, picture=spread, figures=told)
    changed = promotions(made.models, before, until)
    yield report(platform, PROMOTIONS, platform.lake.write(PROMOTIONS, changed, day), changed, inputs={MODELS: day - timedelta(days=1)})


@dg.multi_asset(
    specs=[
        spec_of(table, deps=[READINGS, READING_VERSIONS, METERS, NODES, DEMAND_FORECASTS, MODELS, FEATURES])
        for table in (METER_FORECASTS, COHERENT_FORECASTS)
    ],
    can_subset=False,
)
def meter_forecasts(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.forecasts import coherent_picture
    from grid_assets.forecasting.meters import coherent_week

    site, lake, day = platform.site, platform.lake, days_of(context, platform)[0]
    days, nodes = coherent_week.days_read(day), lake.read(NODES, columns=["node_id", "parent_id"])
    start, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
    register = in_force(lake.read(METERS), start, end)
    meters = register[(register["kind"] == "load") & register["node_id"].isin(nodes["node_id"])].sort_values("meter_id", ignore_index=True)
    if len(meters) > site.forecasting.meter_forecasts:
        meters = meters.iloc[:0]
    made = inputs.meter_week(
        lake, site, day, meters, nodes, (READINGS, READING_VERSIONS, DEMAND_FORECASTS, MODELS), features_of(platform, days)
    )
    written = lake.write(METER_FORECASTS, made.meters, day)
    coherent = lake.write(COHERENT_FORECASTS, made.nodes, day)
    picture = coherent_picture(made.nodes, site.clock, site.title) if len(made.nodes) else None
    said = {"messages": "\n".join(made.messages) or "none", "meters": len(meters)}
    read = {READINGS: days, DEMAND_FORECASTS: day}
    yield report(platform, METER_FORECASTS, written, made.meters, inputs=read, figures=said)
    yield report(platform, COHERENT_FORECASTS, coherent, made.nodes, inputs=read, picture=picture, figures=said)


class ReissueConfig(IntradayConfig):
    """What a user may change about one intraday issue."""

    only_after_a_miss: bool = False
    """Issue nothing unless some node's last hour lay outside the morning's 90 % band."""


@dg.asset(**asset_of(INTRADAY_FORECASTS, deps=[LOADS_UNDER_WAY, NODE_LOAD_VERSIONS, FEATURES, FEATURES_UNDER_WAY]))
def intraday_forecasts(context: dg.AssetExecutionContext, platform: Platform, config: ReissueConfig) -> dg.MaterializeResult:
    from grid_assets.figures.forecasts import intraday_fan
    from grid_assets.forecasting import demand
    from grid_assets.forecasting.day_cubes import load_kw
    from grid_assets.forecasting.intraday import reissue

    site, lake, day = platform.site, platform.lake, days_of(context, platform)[0]
    clock, until = site.clock, config.instant(site.clock, day)
    days = inputs.learned_days(lake, NODE_LOADS, site, day)
    loads = loads_as_of(load_versions(lake, NODE_LOAD_VERSIONS, NODE_LOADS, days, clock.interval), clock.issue_time(day))
    since = loads_as_of(lake.read(LOADS_UNDER_WAY, day), until)
    registered = lake.read(NODES, columns=["node_id", "level", "parent_id"])
    nodes = sorted(set(registered["node_id"]) | set(loads["node_id"]))
    features = features_of(platform, days)
    if features is not None:
        features = inputs.brought_up_to_date(features, lake.read(FEATURES_UNDER_WAY, day), day)
    published = lake.read(DEMAND_FORECASTS, day)
    morning = demand.roll_demand(
        loads, features, nodes, clock, day, **inputs.forecast_settings(site, registered),
        champions=inputs.champions_before(lake, MODELS, day), refits=retrainings(lake.read(DRIFT, days)),
    )  # fmt: skip
    made = reissue(morning, since.assign(kw=load_kw(since, clock.interval_hours)), until, published)
    version = content_hash(pa.Table.from_pandas(pd.concat([loads, since], ignore_index=True), preserve_index=False))
    reason = made.forecasts["node_id"].isin(made.missed).map({True: "missed", False: "asked"})
    rows = made.forecasts.assign(readings_version=version, reason=reason)
    issues = lake.read(INTRADAY_FORECASTS, day)
    if made.missed or not config.only_after_a_miss:
        earlier = issues[issues["issued_utc"] != pd.Timestamp(until)]
        issues = pa.concat_tables([INTRADAY_FORECASTS.conform(earlier), INTRADAY_FORECASTS.conform(rows)]).to_pandas()
    written = lake.write(INTRADAY_FORECASTS, issues, day)
    past = pd.concat([loads, since], ignore_index=True).merge(registered, "left", on="node_id")
    picture = intraday_fan(published, rows, past, clock, until, site.title)
    said = {"until": until.isoformat(), "missed": ", ".join(sorted(made.missed)) or "none", "issues": issues["issued_utc"].nunique()}
    return report(platform, INTRADAY_FORECASTS, written, rows, inputs={LOADS_UNDER_WAY: day}, picture=picture, figures=said)


@dg.multi_asset(
    specs=[
        spec_of(RENEWABLE_FORECASTS, deps=[READINGS, READING_VERSIONS, PLANTS, FEATURES, FORECAST_ACCURACY]),
        spec_of(RENEWABLE_MODELS, deps=[READINGS, READING_VERSIONS, PLANTS, FEATURES, FORECAST_ACCURACY]),
    ],
    can_subset=False,
)
def renewable_forecasts(context: dg.AssetExecutionContext, platform: Platform, config: ForecastConfig) -> Iterator[dg.MaterializeResult]:
    from grid_assets.figures.forecasts import renewable_fan
    from grid_assets.forecasting import renewables

    day, site = days_of(context, platform)[0], platform.site
    days, plants = inputs.history_of(platform.site, day), platform.lake.read(PLANTS)
    until, features = config.instant(platform, day), features_of(platform, days)
    generation = inputs.of_meters(platform.lake, (READINGS, READING_VERSIONS), days, plants["meter_id"].tolist(), until)
    version = content_hash(pa.Table.from_pandas(generation, preserve_index=False))
    made = renewables.forecast_renewables(generation, plants, features, site.clock, day, country=site.country, known_until=until)
    written = platform.lake.write(RENEWABLE_FORECASTS, made.forecasts.assign(readings_version=version), day)
    coverage = inputs.recent_coverage(platform.lake, FORECAST_ACCURACY, day, made.models["subject_id"])
    models = made.models.assign(readings_version=version)
    chosen = platform.lake.write(RENEWABLE_MODELS, models, day)
    picture = renewable_fan(renewables.totals_by_kind(made.forecasts, plants), site.clock, day, site.title) if len(plants) else None
    said = {"messages": "\n".join(made.messages) or "none", "known_until": until.isoformat()}
    said |= coverage_said(models["subject_id"], coverage)
    yield report(platform, RENEWABLE_FORECASTS, written, made.forecasts, inputs={READINGS: days}, picture=picture, figures=said)
    yield report(platform, RENEWABLE_MODELS, chosen, models, inputs={READINGS: days}, figures=said)


@dg.asset(**asset_of(FORECAST_ACCURACY, deps=[NODE_LOADS, READINGS, PLANTS, FEATURES]))
def forecast_accuracy(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.forecasting import accuracy

    day, site = days_of(context, platform)[0], platform.site
    days, plants = inputs.history_of(platform.site, day), platform.lake.read(PLANTS)
    version = f"{platform.lake.version_of(NODE_LOADS, days)}.{platform.lake.version_of(READINGS, days)}"
    loads = platform.lake.read(NODE_LOADS, days, columns=NODE_COLUMNS)
    generation = inputs.of_meters(platform.lake, (READINGS, READING_VERSIONS), days, plants["meter_id"].tolist())
    issued = day - timedelta(days=site.clock.study_day_offset)
    stored = (platform.lake.read(DEMAND_FORECASTS, issued), platform.lake.read(RENEWABLE_FORECASTS, issued))
    features = features_of(platform, days)
    lake, clock, country = platform.lake, site.clock, site.country

    before = [one for one in days if one <= issued]

    def known() -> tuple[pd.DataFrame, pd.DataFrame]:
        versions, until = load_versions(lake, NODE_LOAD_VERSIONS, NODE_LOADS, before, clock.interval), clock.issue_time(issued)
        told = inputs.of_meters(lake, (READINGS, READING_VERSIONS), before, plants["meter_id"].tolist(), until)
        return loads_as_of(versions, until), told

    settings = inputs.forecast_settings(site, lake.read(NODES, columns=["node_id", "parent_id"]))
    made = accuracy.day_accuracy(stored, loads, generation, plants, features, clock, day, known=known, **settings)
    earlier = {one: lake.read(DEMAND_FORECASTS, one) for one in accuracy.earlier_runs(clock, day)}
    again = lake.read(INTRADAY_FORECASTS, day - timedelta(days=1))
    scores = accuracy.with_other_horizons(made.scores, earlier, again, loads, clock, day, country=country)
    scores = accuracy.joined(scores, inputs.meter_scores(lake, clock, day, (METER_FORECASTS, READINGS)))
    written = lake.write(FORECAST_ACCURACY, scores.assign(readings_version=version), day)
    said = {"demand_forecast_from": made.demand_from, "renewable_forecast_from": made.renewable_from}
    picture, worst = recent_errors(platform, day, loads, scores)
    said |= {"worst_days": dg.MetadataValue.md(worst)} if worst else {}
    read = {NODE_LOADS: days, DEMAND_FORECASTS: issued}
    return report(platform, FORECAST_ACCURACY, written, scores, inputs=read, picture=picture, figures=said)


def recent_errors(platform: Platform, day: date, loads: pd.DataFrame, scores: pd.DataFrame) -> tuple[bytes | None, str]:
    """The map of the system's day-ahead errors over the last four weeks and its worst days; nothing where none was forecast."""
    from grid_assets.figures.backtests import error_map
    from grid_assets.forecasting import accuracy

    site, lake, clock = platform.site, platform.lake, platform.site.clock
    known = scores[scores["horizon_class"] == accuracy.DAY_AHEAD]["subject_id"]
    nodes = loads[loads["node_id"].isin(known)]
    if nodes.empty:
        return None, ""
    systems = nodes[nodes["level"] == "system"]
    node = str((systems if len(systems) else nodes).groupby("node_id")["energy_kwh"].sum().idxmax())
    recent = days_between(day - timedelta(days=RECENT_DAYS - 1), day)
    stored = {one: lake.read(DEMAND_FORECASTS, one - timedelta(days=clock.study_day_offset)) for one in recent}
    compared = accuracy.recently_compared(stored, loads, node, clock, country=site.country)
    past = pd.concat([part for part in (lake.read(FORECAST_ACCURACY, recent[:-1]), scores) if len(part)], ignore_index=True)
    worst = past[(past["subject_id"] == node) & (past["horizon_class"] == accuracy.DAY_AHEAD)].nlargest(5, "mae_kw")
    table = markdown_table(worst[["day", "model", "mape_pct", "mae_kw", "bias_pct", "naive_mae_kw", "coverage_90_pct"]])
    return (error_map(compared, node, site.time_zone, site.title) if len(compared) else None), table


@dg.asset(**asset_of(DRIFT, deps=[FORECAST_ACCURACY]))
def drift(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    from grid_assets.figures.drift import drift_picture

    day, site, lake = days_of(context, platform)[0], platform.site, platform.lake
    days = days_between(day - timedelta(days=drifting.WATCHED_DAYS + drifting.REFERENCE_DAYS - 1), day)
    scores = lake.read(FORECAST_ACCURACY, days)
    rows = drifting.drift(scores, day, retrainings(lake.read(DRIFT, days[:-1])))
    written = lake.write(DRIFT, rows, day)
    platform.alerts.record(DRIFT.area, day.isoformat(), drifting.found_alerts(rows, site.clock), datetime.now(UTC))
    alarms = rows[~rows["alarm"].isin(["none", "learning"])]
    said = {"alarms": "\n".join(f"{one.subject_id}: {one.evidence}" for one in alarms.itertuples()) or "none"}
    picture = drift_picture(scores, rows, day, site.title) if len(rows) else None
    return report(platform, DRIFT, written, rows, inputs={FORECAST_ACCURACY: days}, picture=picture, figures=said)
