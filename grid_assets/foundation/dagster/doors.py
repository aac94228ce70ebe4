"""What every door shares: an asset named and described by its table, the partitions of a run, metadata people want."""

from __future__ import annotations

import base64
import platform as machine
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from typing import Any

import dagster as dg
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.lake import Written
from grid_assets.foundation.tables import Table

RANGED = dg.BackfillPolicy.single_run()
"""For assets that do a range of days in one call. All assets of one ranged job must say so."""

TABLE = "grid_assets/table"
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
MANIFEST_PACKAGES = ("grid_assets", "dagster", "pandas", "numpy", "pyarrow")
PREVIEW_ROWS = 6
WITHOUT_UNIT = "-"


def described(table: Table) -> dict[str, Any]:
    """Group, description and metadata of a table's asset, from its declaration."""
    columns = [
        dg.TableColumn(
            one.name,
            type=str(one.type),
            description=table.meaning(one.name) + ("" if table.unit(one.name) == WITHOUT_UNIT else f" [{table.unit(one.name)}]"),
            constraints=dg.TableColumnConstraints(nullable=one.nullable),
        )
        for one in table.fields
    ]
    return {
        "group_name": table.area,
        "description": f"One row is {table.grain}. Partition: {table.partition}. Key: {', '.join(table.keys)}.",
        "metadata": {"dagster/column_schema": dg.TableSchema(columns), TABLE: str(table), "partition": table.partition},
        "kinds": {"parquet"},
    }


def asset_of(table: Table, deps: Iterable[Table | dg.AssetDep] = (), **extra: Any) -> dict[str, Any]:
    """Arguments for ``@dg.asset`` that make it the asset of ``table``."""
    return {"key": table.key, "deps": _deps(deps), **described(table), **extra}


def spec_of(table: Table, deps: Iterable[Table | dg.AssetDep] = (), **extra: Any) -> dg.AssetSpec:
    """The same for one of a multi-asset's specs."""
    return dg.AssetSpec(key=table.key, deps=_deps(deps), **described(table), **extra)


def _deps(deps: Iterable[Table | dg.AssetDep]) -> list[dg.AssetDep]:
    return [one if isinstance(one, dg.AssetDep) else dg.AssetDep(one.key) for one in deps]


def partition_keys(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[str]:
    """The partition keys of this run, a range of days written out; empty for an unpartitioned run."""
    tags = context.run.tags
    if PARTITION in tags:
        return [tags[PARTITION]]
    if RANGE_START in tags:
        span = days_between(date.fromisoformat(tags[RANGE_START]), date.fromisoformat(tags[RANGE_END]))
        return [day.isoformat() for day in span]
    return []


class IntradayConfig(dg.Config):
    """When in the course of the day after the run's day one looks again."""

    until: str | None = None
    """Nothing that arrived later is looked at, e.g. 2019-05-21T12:00:00+02:00; None: noon of the day of issue."""

    def instant(self, clock: SiteCalendar, day: date) -> datetime:
        """Raises ValueError for an instant without time zone or outside the time between the run's issue and the next day's."""
        noon = datetime.combine(day + timedelta(days=1), time(12), tzinfo=clock.zone)
        until = datetime.fromisoformat(self.until) if self.until else max(noon, clock.issue_time(day))
        if until.tzinfo is None:
            raise ValueError(f"until = {self.until!r} has no time zone; expected e.g. 2019-05-21T12:00:00+02:00")
        first, last = clock.issue_time(day), clock.issue_time(day + timedelta(days=1))
        if not first <= until < last:
            raise ValueError(f"until = {until.isoformat()}: expected {first.isoformat()} or later and before {last.isoformat()}")
        return until.astimezone(UTC)


def days_of(context: dg.AssetExecutionContext, platform: Platform) -> list[date]:
    """The site days of this run, checked against the site's calendar."""
    return [platform.site.clock.day(key) for key in partition_keys(context)]


def report(
    platform: Platform,
    table: Table,
    written: Written | Sequence[Written],
    frame: pd.DataFrame | None = None,
    *,
    inputs: Mapping[Table, date | str | Sequence[date | str] | None] | None = None,
    picture: bytes | None = None,
    figures: Mapping[str, Any] | None = None,
) -> dg.MaterializeResult:
    """A materialisation with what an analyst wants to see: rows, content hash, a few rows of ``frame``, key figures, a
    picture (PNG bytes), and a manifest of versions, seed and inputs.
    """
    writes = [written] if isinstance(written, Written) else list(written)
    rows = sum(one.rows for one in writes)
    metadata: dict[str, Any] = {"dagster/row_count": rows}
    if platform.site.notice:
        metadata["notice"] = platform.site.notice
    metadata |= {name: _plain(value) for name, value in (figures or {}).items()}
    if picture:
        metadata["picture"] = picture_metadata(picture)
    if frame is not None and len(frame):
        metadata["preview"] = dg.MetadataValue.md(markdown_table(frame.head(PREVIEW_ROWS)))
    metadata["content_hash"] = writes[-1].content_hash if writes else "nothing written"
    metadata["partitions_changed"] = sum(one.changed for one in writes)
    metadata["run_manifest"] = dg.MetadataValue.json(manifest(platform, inputs or {}))
    return dg.MaterializeResult(
        asset_key=table.key,
        metadata=metadata,
        data_version=dg.DataVersion(writes[0].content_hash) if len(writes) == 1 else None,
    )


def manifest(platform: Platform, inputs: Mapping[Table, date | str | Sequence[date | str] | None]) -> dict[str, Any]:
    """Which versions, seed and input contents made this result."""
    read: dict[str, Any] = {}
    for table, partitions in inputs.items():
        keys = [partitions] if partitions is None or isinstance(partitions, str | date) else list(partitions)
        read[str(table)] = {str(key or "all"): platform.lake.content_hash(table, key) for key in keys[-40:]}
    return {
        "site": platform.site.name,
        "seed": platform.site.seed,
        "python": machine.python_version(),
        "versions": dict(_versions()),
        "inputs": read,
    }


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Asked once a process: reading a package's metadata takes milliseconds, and every materialisation carries them."""
    return tuple((name, version(name)) for name in MANIFEST_PACKAGES)


def picture_metadata(png: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")


def markdown_table(frame: pd.DataFrame) -> str:
    """A small frame as a Markdown table, without another library for it."""
    cells = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    head = [str(name) for name in frame.columns]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.5g}"
    if value is None or value is pd.NaT:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value).replace("|", "/").replace("\n", " ")[:60]


def _plain(value: Any) -> Any:
    """NumPy scalars as Python's, everything else unchanged."""
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value
