"""A day of meters in shards: ranges of meter ids that are computed apart, so that memory does not grow with the site.

A shard reads its own meters' rows from the lake, whose files are sorted by meter, and writes its own file there. When all
are written, one pointer makes them the partition. Nothing is exchanged between shards but small tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake, Shard, Written
from grid_assets.foundation.registers import METERS
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import order_codes
from grid_assets.metering.engines import run_shards
from grid_assets.metering.tables import LANDED_ROWS, RAW_READINGS

CODED = ("file_id", "source_file", "meter_id", "unit", "kind")


@dataclass(frozen=True)
class ShardTask:
    """A range of meters of one day; all that a worker on another machine needs to find its input."""

    site: Site
    day: date
    number: int
    lower: str | None
    """The first meter id; None: from the beginning."""
    upper: str | None
    """The first meter id that belongs to the next shard; None: to the end."""
    files: tuple[str, ...] = ()
    known_until: datetime | None = None


def ranges_of(meter_ids: Sequence[str], shard_meters: int) -> list[tuple[str | None, str | None]]:
    """Ranges [lower, upper) of ``shard_meters`` ids each; the first and the last are open, so that every id is in one."""
    ids = sorted(set(meter_ids))
    edges = [None, *ids[shard_meters::shard_meters], None]
    return list(pairwise(edges))


def tasks_of(site: Site, lake: Lake, day: date, files: Sequence[str] = (), known_until: datetime | None = None) -> list[ShardTask]:
    ids = lake.read_arrow(METERS, None, ["meter_id"])["meter_id"].to_pylist()
    ranges = ranges_of(ids, site.metering.shard_meters)
    return [ShardTask(site, day, n, lower, upper, tuple(files), known_until) for n, (lower, upper) in enumerate(ranges)]


# -- raw readings -----------------------------------------------------------------------------------------------


def make_raw_day(site: Site, lake: Lake, day: date, files: Sequence[str], known_until: datetime | None = None) -> Written:
    """Gathers a day's rows from the landed files that speak of it (RAW_READINGS), only those that had arrived by ``known_until``."""
    made = run_shards(site.metering, raw_shard, tasks_of(site, lake, day, files, known_until))
    return lake.point_at(RAW_READINGS, day, made)


def raw_shard(task: ShardTask) -> Shard:
    lake = Lake(task.site.lake_root)
    parts = [part for file in task.files if (part := _rows_of_file(lake, task, file)).num_rows]
    parts.sort(key=lambda part: (part["received_utc"][0].as_py(), part["file_id"][0].as_py()))
    rows = pa.concat_tables(parts) if parts else RAW_READINGS.empty()
    return lake.put_shard(RAW_READINGS, _by_meter_and_time(rows.unify_dictionaries()), task.day, task.number)


def _rows_of_file(lake: Lake, task: ShardTask, file: str) -> pa.Table:
    rows = lake.read_between(LANDED_ROWS, file, task.lower, task.upper, [*RAW_READINGS.columns, "day"], CODED)
    wanted = pc.equal(rows["day"], pa.scalar(task.day, pa.date32()))
    if task.known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(rows["received_utc"], pa.scalar(task.known_until, pa.timestamp("us", tz="UTC"))))
    return rows.filter(wanted).select(RAW_READINGS.columns)


def _by_meter_and_time(rows: pa.Table) -> pa.Table:
    """Rows of files in the order of their arrival, brought into that of the table's keys.

    One stable sort by one number does it: files are sorted by meter and time themselves, so that there is little to move.
    """
    if not rows.num_rows:
        return rows
    read = rows["read_utc"].cast(pa.int64()).to_numpy()
    key = order_codes(rows["meter_id"]) * (read.max() - read.min() + 1) + (read - read.min())
    return rows.take(pa.array(np.argsort(key, kind="stable")))
