"""A day of meters in shards: ranges of meter ids that are computed apart, so that memory does not grow with the site.

A shard reads its own meters' rows from the lake, whose files are sorted by meter, and writes its own file there. When all
are written, one pointer makes them the partition. Nothing is exchanged between shards but small tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake, Shard, Written
from grid_assets.foundation.registers import METERS, NODES, PLANTS
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import Table, order_codes
from grid_assets.metering.engines import run_shards
from grid_assets.metering.tables import (
    CLASS_PROFILES,
    CLOSING_REGISTERS,
    CORRECTIONS,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    LANDED_ROWS,
    METER_DAYS,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READINGS,
)  # fmt: skip
from grid_assets.metering.vee.day_axes import DayGrid, day_grid
from grid_assets.metering.vee.group_movements import DaySample, SamplePart, day_sample, sample_ranges
from grid_assets.metering.vee.history import PAST_COLUMNS, like_days_of, past_matrix
from grid_assets.metering.vee.reading_days import ShardInputs, merge_days, reading_day, sampled_part
from grid_assets.metering.vee.sun import night_intervals

CODED = ("file_id", "source_file", "meter_id", "unit", "kind")
CARRIED_DAYS = 35
"""How long a register's last read still opens a day: it is carried over the days on which the register was not read."""


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
    sample: DaySample | None = None
    """What a sample of the site tells of the day."""
    like_days: tuple[date, ...] = ()
    """Those that have readings: looked up once, so that all shards see the same."""


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
    lake.point_at(CLOSING_REGISTERS, day, [closing for _, closing in made])
    return lake.point_at(RAW_READINGS, day, [rows for rows, _ in made])


def raw_shard(task: ShardTask) -> tuple[Shard, Shard]:
    """Writes a shard's part of RAW_READINGS, and of CLOSING_REGISTERS, which spares the next day to read them all again."""
    lake = Lake(task.site.lake_root)
    rows = landed_part(task, lake)
    closing = _closing_registers(rows, _opening_registers(task, lake), _carried_since(task))
    return lake.put_shard(RAW_READINGS, rows, task.day, task.number), lake.put_shard(CLOSING_REGISTERS, closing, task.day, task.number)


def landed_part(task: ShardTask, lake: Lake) -> pa.Table:
    """RAW_READINGS of a shard from the landed files that speak of its day."""
    parts = [part for file in task.files if (part := _rows_of_file(lake, task, file)).num_rows]
    parts.sort(key=lambda part: (part["received_utc"][0].as_py(), part["file_id"][0].as_py()))
    rows = pa.concat_tables(parts) if parts else RAW_READINGS.empty()
    return _by_meter_and_time(rows.unify_dictionaries())


def _rows_of_file(lake: Lake, task: ShardTask, file: str) -> pa.Table:
    rows = lake.read_between(LANDED_ROWS, file, task.lower, task.upper, [*RAW_READINGS.columns, "day"], CODED)
    wanted = pc.equal(rows["day"], pa.scalar(task.day, pa.date32()))
    if task.known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(rows["received_utc"], pa.scalar(task.known_until, pa.timestamp("us", tz="UTC"))))
    return rows.filter(wanted).select(RAW_READINGS.columns)


def _opening_registers(task: ShardTask, lake: Lake) -> pa.Table:
    """The shard's register reads that closed the day before."""
    return lake.read_between(CLOSING_REGISTERS, task.day - timedelta(days=1), task.lower, task.upper, coded=CODED)


def _carried_since(task: ShardTask) -> datetime:
    return task.site.clock.bounds(task.day - timedelta(days=CARRIED_DAYS))[0]


def _closing_registers(rows: pa.Table, opening: pa.Table, since: datetime) -> pa.Table:
    """The register reads at the last instant at which each meter's register was read: among ``rows``, the day's, else among
    ``opening``, those that closed the day before, unless it was read before ``since``.
    """
    reads = rows.filter(pc.equal(rows["kind"], "register"))
    if reads.num_rows:
        meter, read = order_codes(reads["meter_id"]), reads["read_utc"].cast(pa.int64()).to_numpy()
        last = np.full(meter.max() + 1, np.iinfo(np.int64).min)
        np.maximum.at(last, meter, read)
        reads = reads.filter(pa.array(read == last[meter]))
    silent = pc.invert(pc.is_in(opening["meter_id"].cast(pa.string()), pc.unique(reads["meter_id"].cast(pa.string()))))
    carried = opening.filter(pc.and_(silent, pc.greater_equal(opening["read_utc"], pa.scalar(since, pa.timestamp("us", tz="UTC")))))
    if not carried.num_rows:
        return reads
    return pa.concat_tables([reads, carried], promote_options="permissive") if reads.num_rows else carried


def _by_meter_and_time(rows: pa.Table) -> pa.Table:
    """Rows of files in the order of their arrival, brought into that of the table's keys.

    One stable sort by one number does it: files are sorted by meter and time themselves, so that there is little to move.
    """
    if not rows.num_rows:
        return rows
    read = rows["read_utc"].cast(pa.int64()).to_numpy()
    key = order_codes(rows["meter_id"]) * (read.max() - read.min() + 1) + (read - read.min())
    return rows.take(pa.array(np.argsort(key, kind="stable")))


# -- readings ---------------------------------------------------------------------------------------------------

SHARDED = (CLOSING_REGISTERS, READINGS, FAILED_READINGS, EDITED_READINGS, METER_DAYS)
"""CLOSING_REGISTERS once more: when several days' rows are gathered at once, the day before may not have been there to be carried."""
MERGED = (QUALITY_PROFILES, CLASS_PROFILES, FILE_DAYS)
"""FILE_DAYS, which tells what the day was made from, is pointed at last."""


@dataclass(frozen=True)
class ShardMade:
    """What a shard of readings leaves: the parts that it wrote, and what its neighbours add to."""

    written: dict[Table, Shard]
    parts: dict[Table, pa.Table]


def make_reading_day(site: Site, lake: Lake, day: date) -> dict[Table, Written]:
    """Validates, edits and estimates a day, shard by shard. Returns what was written of each table.

    Until the last shard is written the day keeps the tables that it had; then they are replaced one by one.
    """
    like_days = tuple(one for one in like_days_of(day, site.validation.like_day_weeks) if lake.pointer(READINGS, one) is not None)
    tasks = [replace(one, like_days=like_days) for one in tasks_of(site, lake, day)]
    sample = day_sample(run_shards(site.metering, sampled_shard, _samples(site, lake, day, like_days)))
    made = run_shards(site.metering, reading_shard, [replace(one, sample=sample) for one in tasks])
    merged = merge_days([one.parts for one in made], day_grid(site.clock, METERS.empty().to_pandas(), day))
    written = {table: lake.point_at(table, day, [one.written[table] for one in made]) for table in SHARDED}
    del written[CLOSING_REGISTERS]  # no asset
    return written | {table: lake.write(table, merged[table], day) for table in MERGED}


def _samples(site: Site, lake: Lake, day: date, like_days: tuple[date, ...]) -> list[ShardTask]:
    """The ranges of meters that tell of the day."""
    ranges = sample_ranges(lake.read_arrow(METERS, None, ["meter_id", "kind", "net_metered", "customer_class"]))
    return [ShardTask(site, day, n, *ids, like_days=like_days) for n, ids in enumerate(ranges)]


def sampled_shard(task: ShardTask) -> SamplePart:
    """What a range of the sample tells of its groups' day; writes nothing."""
    lake = Lake(task.site.lake_root)
    grid = shard_grid(task, lake)
    return sampled_part(grid, _inputs(task, lake, grid), task.site.validation)


def reading_shard(task: ShardTask) -> ShardMade:
    """Makes and writes a shard's part of the day's readings."""
    site, lake = task.site, Lake(task.site.lake_root)
    grid = shard_grid(task, lake)
    inputs = _inputs(task, lake, grid)
    made = reading_day(grid, inputs, site.validation)
    closing = _closing_registers(inputs.raw, inputs.opening, _carried_since(task))
    tables = made.shard_tables | {CLOSING_REGISTERS: closing}
    written = {table: lake.put_shard(table, tables[table], task.day, task.number) for table in SHARDED}
    return ShardMade(written, made.parts)


def shard_grid(task: ShardTask, lake: Lake) -> DayGrid:
    register = lake.read_between(METERS, None, task.lower, task.upper).to_pandas()
    return day_grid(task.site.clock, register, task.day, lake.read(NODES), lake.read(PLANTS))


def _inputs(task: ShardTask, lake: Lake, grid: DayGrid) -> ShardInputs:
    site, day = task.site, task.day
    raw = lake.read_between(RAW_READINGS, day, task.lower, task.upper, coded=CODED)
    opening = _opening_registers(task, lake)
    past = [_past(task, lake, grid, one) for one in task.like_days]
    night = None
    if site.weather is not None:
        night = night_intervals(
            site.weather.latitude, site.weather.longitude, grid.starts, grid.hours, site.validation.night_elevation_degrees
        )  # fmt: skip
    return ShardInputs(
        raw, opening, lake.read(CORRECTIONS, day), lake.read(OUTAGE_EVENTS, day), past, lake.read(CLASS_PROFILES, task.like_days), night,
        task.sample,
    )  # fmt: skip


def _past(task: ShardTask, lake: Lake, grid: DayGrid, day: date) -> np.ndarray:
    rows = lake.read_between(READINGS, day, task.lower, task.upper, PAST_COLUMNS, ("meter_id", "quality", "quality_code"))
    return past_matrix(rows, task.site.clock.intervals(day), grid)
