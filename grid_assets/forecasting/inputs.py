"""What the forecasts read from the lake, for their doors and for plain scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.forecasting.day_cubes import first_of_year_before
from grid_assets.forecasting.ensemble.kept_models import kept_models_in
from grid_assets.forecasting.known_loads import readings_as_of
from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table

if TYPE_CHECKING:
    from grid_assets.forecasting.meters.coherent_week import CoherentWeek


def history_of(site: Site, day: date) -> list[date]:
    """The day and those before it that a first run fills."""
    return [*site.clock.history(day, site.calendar.history_days), day]


def recent_coverage(lake: Lake, accuracy: Table, day: date, subjects: pd.Series, days: int = 28) -> pd.Series:
    """How much of the last scored days each subject's published 90 % bands held, per cent, in the order of ``subjects``; NaN for none."""
    recent = days_between(day - timedelta(days=days - 1), day)
    scores = lake.read(accuracy, recent, columns=["subject_id", "horizon_class", "coverage_90_pct"])
    held = scores[scores["horizon_class"] == "day_ahead"].groupby("subject_id")["coverage_90_pct"].mean()
    return subjects.map(held).astype(float)


def forecast_settings(site: Site, nodes: pd.DataFrame) -> dict[str, Any]:
    """What a site's demand forecasts are made with, live, made again and in back-tests: arguments of ``forecast_demand``.

    ``nodes``: rows of the register of nodes.
    """
    return {
        "country": site.country, "region": site.forecasting.holiday_region, "recent_days": max(site.calendar.history_days, 1),
        "fitted_of": kept_models_in(site.state / "models"), "parents": parents_of(nodes),
    }  # fmt: skip


def learned_days(lake: Lake, node_loads: Table, site: Site, day: date) -> list[date]:
    """The days that the ensemble learns from: the history, and what the lake has of the days before it."""
    history = history_of(site, day)
    earliest = first_of_year_before(day, site.forecasting.history_days)
    older = [date.fromisoformat(key) for key in lake.partitions(node_loads)]
    return [*(one for one in older if earliest <= one < history[0]), *history]


def with_day(lake: Lake, table: Table, days: Sequence[date]) -> pd.DataFrame:
    """The rows of these day partitions with a column ``day`` that says which one each came from; empty where none exist."""
    parts = [lake.read(table, day).assign(day=day) for day in days]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else table.empty().to_pandas().assign(day=[])


def brought_up_to_date(features: pd.DataFrame, under_way: pd.DataFrame, day: date) -> pd.DataFrame:
    """``with_day`` features whose forecast of the run of ``day`` is the one of an instant in the course of the day after it; its own
    where there is none.
    """
    if under_way.empty:
        return features
    kept = features[~((features["day"] == day) & (features["basis"] == "forecast"))]
    return pd.concat([kept, under_way.assign(day=day)], ignore_index=True)


def champions_before(lake: Lake, models: Table, day: date) -> dict[str, str]:
    """Each node's model in the newest run of the week before ``day``; none where there was none."""
    for back in range(1, 8):
        rows = lake.read(models, day - timedelta(days=back), columns=["subject_id", "model"])
        if len(rows):
            return dict(zip(rows["subject_id"], rows["model"], strict=True))
    return {}


def of_meters(
    lake: Lake, tables: tuple[Table, Table], days: Sequence[date], meters: Sequence[str], until: datetime | None = None
) -> pd.DataFrame:
    """meter_id, start_utc and energy_kwh of some meters, read day by day so that the others never pile up in memory.

    ``tables``: metering/readings and reading_versions; as they were known at ``until``, None: as they are.
    """
    readings, versions = tables
    wanted, columns = pa.array(list(meters), pa.string()), ["meter_id", "start_utc", "energy_kwh"]
    parts = []
    for day in days if len(wanted) else ():
        rows = lake.read_arrow(readings, day, columns)
        rows = rows.filter(pc.is_in(rows["meter_id"], wanted))
        parts.append(readings_as_of(rows, lake.read(versions, day), until).to_pandas() if until else rows.to_pandas())
    return pd.concat(parts, ignore_index=True) if parts else readings.empty().select(columns).to_pandas()


def meter_week(
    lake: Lake,
    site: Site,
    day: date,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    tables: tuple[Table, Table, Table, Table],
    features: pd.DataFrame | None,
) -> CoherentWeek:
    """The coming week of all meters and nodes, from the lake's tables of readings, their versions, demand forecasts and models.

    Readings count as they were known at the issue time.
    """
    from grid_assets.forecasting.meters import coherent_week as week

    readings, versions, forecasts, models = tables
    there = set(lake.partitions(readings))
    days = [one for one in week.days_read(day) if one.isoformat() in there] if len(meters) else []
    days = days_between(days[0], day) if days else []
    columns, coded = ["meter_id", "start_utc", "energy_kwh", "quality"], ("meter_id", "quality")
    parts = (
        (
            one,
            readings_as_of(
                lake.read_between(readings, one, None, None, columns, coded), lake.read(versions, one), site.clock.issue_time(day)
            ),
        )
        for one in days
    )
    load = week.hourly_loads(parts, len(days), pd.Index(meters["meter_id"]), site.clock)
    chosen = lake.read(models, day, columns=["subject_id", "backtest_mae_kw", "naive_mae_kw", "beats_naive"]).set_index("subject_id")
    missed = chosen["backtest_mae_kw"].where(chosen["beats_naive"].astype(bool), chosen["naive_mae_kw"])
    temperature, without_weather = week.hourly_temperature(features, site.clock, day, days)
    return week.coherent_week(
        load, meters, nodes, lake.read(forecasts, day), missed, temperature, site.clock, day,
        country=site.country, region=site.forecasting.holiday_region, seed=site.seed, without_weather=without_weather,
    )  # fmt: skip


def meter_scores(lake: Lake, clock: SiteCalendar, day: date, tables: tuple[Table, Table]) -> pd.DataFrame:
    """The accuracy row of the meters' forecasts of ``day``, from the lake's tables of meter forecasts and readings."""
    from grid_assets.forecasting.meters.accuracy import WEEK, meter_accuracy

    forecasts, readings = tables
    told = lake.read(forecasts, day - timedelta(days=clock.study_day_offset))
    columns, coded = ["meter_id", "start_utc", "energy_kwh", "quality"], ("meter_id", "quality")
    came = {one: lake.read_between(readings, one, None, None, columns, coded) for one in (day - WEEK, day) if len(told)}
    return meter_accuracy(told, {one: rows for one, rows in came.items() if len(rows)}, clock, day)


def parents_of(nodes: pd.DataFrame) -> dict[str, str | None]:
    """Node -> the node above, from rows of the register of nodes."""
    return dict(zip(nodes["node_id"], nodes["parent_id"].where(nodes["parent_id"].notna(), None), strict=True))


def node_tree(lake: Lake, clock: SiteCalendar, day: date, tables: tuple[Table, Table]) -> tuple[dict[str, str | None], set[str]]:
    """Node -> the node above, and the nodes with load meters of their own in force on ``day``; from the registers of nodes and meters."""
    nodes, register = (lake.read(table) for table in tables)
    start, end = (pd.Timestamp(one) for one in clock.bounds(day))
    meters = in_force(register, start, end)
    return parents_of(nodes), set(meters.loc[meters["kind"] == "load", "node_id"])
