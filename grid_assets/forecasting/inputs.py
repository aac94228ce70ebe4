"""What the forecasts read from the lake, for their doors and for plain scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table


def history_of(site: Site, day: date) -> list[date]:
    """The day and those before it that a first run fills."""
    return [*site.clock.history(day, site.calendar.history_days), day]


def learned_days(lake: Lake, node_loads: Table, site: Site, day: date) -> list[date]:
    """The days that the ensemble learns from: the history, and what the lake has of the days before it."""
    history = history_of(site, day)
    earliest = day - timedelta(days=site.forecasting.history_days)
    older = [date.fromisoformat(key) for key in lake.partitions(node_loads)]
    return [*(one for one in older if earliest <= one < history[0]), *history]


def with_day(lake: Lake, table: Table, days: Sequence[date]) -> pd.DataFrame:
    """The rows of these day partitions with a column ``day`` that says which one each came from; empty where none exist."""
    parts = [lake.read(table, day).assign(day=day) for day in days]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else table.empty().to_pandas().assign(day=[])


def champions_before(lake: Lake, models: Table, day: date) -> dict[str, str]:
    """Each node's model in the newest run of the week before ``day``; none where there was none."""
    for back in range(1, 8):
        rows = lake.read(models, day - timedelta(days=back), columns=["subject_id", "model"])
        if len(rows):
            return dict(zip(rows["subject_id"], rows["model"], strict=True))
    return {}


def of_meters(lake: Lake, readings: Table, days: Sequence[date], meters: Sequence[str]) -> pd.DataFrame:
    """meter_id, start_utc and energy_kwh of some meters, read day by day so that the others never pile up in memory."""
    wanted, columns = pa.array(list(meters), pa.string()), ["meter_id", "start_utc", "energy_kwh"]
    parts = []
    for day in days if len(wanted) else ():
        rows = lake.read_arrow(readings, day, columns)
        parts.append(rows.filter(pc.is_in(rows["meter_id"], wanted)))
    return pa.concat_tables(parts).to_pandas() if parts else readings.empty().select(columns).to_pandas()
