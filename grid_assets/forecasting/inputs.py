"""What the forecasts read from the lake, for their doors and for plain scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table


def with_day(lake: Lake, table: Table, days: Sequence[date]) -> pd.DataFrame:
    """The rows of these day partitions with a column ``day`` that says which one each came from; empty where none exist."""
    parts = [lake.read(table, day).assign(day=day) for day in days]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else table.empty().to_pandas().assign(day=[])


def of_meters(lake: Lake, readings: Table, days: Sequence[date], meters: Sequence[str]) -> pd.DataFrame:
    """meter_id, start_utc and energy_kwh of some meters, read day by day so that the others never pile up in memory."""
    wanted, columns = pa.array(list(meters), pa.string()), ["meter_id", "start_utc", "energy_kwh"]
    parts = []
    for day in days if len(wanted) else ():
        rows = lake.read_arrow(readings, day, columns)
        parts.append(rows.filter(pc.is_in(rows["meter_id"], wanted)))
    return pa.concat_tables(parts).to_pandas() if parts else readings.empty().select(columns).to_pandas()
