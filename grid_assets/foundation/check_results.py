"""Results of checks, kept per table and day, because Dagster's page shows only the latest of a partitioned asset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from grid_assets.foundation.tables import Table, flag, instant, text

CHECK_RESULTS = Table(
    "foundation", "check_results", "a check on one partition of a table, its latest result", "none",
    ("partition_key", "table_key", "check_name"),
    (
        text("partition_key", "the day, event or study checked; all for an unpartitioned table"),
        text("table_key", "area/table"),
        text("check_name", "name of the check"),
        flag("passed", "whether it held"),
        text("severity", "error blocks what comes after, warn does not"),
        text("observed", "what was found"),
        text("expected", "what was expected"),
        instant("checked_utc", "when the check ran"),
    ),
)  # fmt: skip

_METADATA = sa.MetaData()
_RESULTS = sa.Table(
    "check_results", _METADATA,
    sa.Column("partition_key", sa.Text, primary_key=True),
    sa.Column("table_key", sa.Text, primary_key=True),
    sa.Column("check_name", sa.Text, primary_key=True),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("observed", sa.Text, nullable=False),
    sa.Column("expected", sa.Text, nullable=False),
    sa.Column("checked_utc", sa.Text, nullable=False),
)  # fmt: skip


@dataclass(frozen=True)
class CheckResult:
    partition_key: str
    table_key: str
    check_name: str
    passed: bool
    severity: str
    observed: str
    expected: str


class CheckResults:
    """The store of check results. Several processes may record at once."""

    def __init__(self, url: str):
        self._engine = sa.create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
        self._there = False

    def _make_table(self) -> None:
        """Once a process is enough, as asking costs as much as a record. One statement, so that two at once cannot both make it."""
        if not self._there:
            with self._engine.begin() as connection:
                connection.execute(sa.schema.CreateTable(_RESULTS, if_not_exists=True))
            self._there = True

    def record(self, results: Iterable[CheckResult], now: datetime) -> None:
        rows = [{**one.__dict__, "checked_utc": now.isoformat()} for one in results]
        if not rows:
            return
        self._make_table()
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
            statement = insert(_RESULTS)
            updated = {name: statement.excluded[name] for name in ("passed", "severity", "observed", "expected", "checked_utc")}
            connection.execute(
                statement.on_conflict_do_update(index_elements=["partition_key", "table_key", "check_name"], set_=updated), rows
            )

    def read(self, partition_keys: Iterable[str] | None = None) -> pd.DataFrame:
        """All results, or those of some partitions, in the columns of CHECK_RESULTS."""
        self._make_table()
        query = sa.select(_RESULTS)
        if partition_keys is not None:
            query = query.where(_RESULTS.c.partition_key.in_(list(partition_keys)))
        with self._engine.connect() as connection:
            frame = pd.DataFrame(connection.execute(query).mappings().all(), columns=CHECK_RESULTS.columns)
        frame["checked_utc"] = pd.to_datetime(frame["checked_utc"], utc=True, format="ISO8601")
        frame["passed"] = frame["passed"].astype(bool)
        return frame

    def close(self) -> None:
        self._engine.dispose()
