"""The store of alerts of all areas: when each opened and closed, and who acknowledged it.

What a day found is written by its run, as often as it likes; what people did (acknowledge) is never overwritten. An alert that a run no
longer finds is marked as withdrawn and stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from grid_assets.foundation.tables import Table, instant, text

ALERT_LOG = Table(
    "foundation", "alerts", "an alert of any area, with its acknowledgement", "none", ("alert_id",),
    (
        text("alert_id", "kind, subject and opening time"),
        text("area", "the area that raised it"),
        text("kind", "kind of alert"),
        text("subject", "the node, device, meter or other thing that it is about"),
        instant("opened_utc", "when the condition had held long enough"),
        instant("closed_utc", "when it had been over long enough; empty: open", nullable=True),
        text("severity", "information, warning or critical"),
        text("evidence", "what was seen, with figures"),
        text("first_partition", "the day, event or study whose run found it first"),
        text("last_partition", "the latest one whose run told of it"),
        instant("withdrawn_utc", "when a run of its first partition no longer found it, from later data; empty: it stands", nullable=True),
        text("acknowledged_by", "who took notice; empty: nobody yet", nullable=True),
        instant("acknowledged_utc", "when", nullable=True),
        text("note", "what they said", nullable=True),
    ),
)  # fmt: skip
SEVERITIES = ("information", "warning", "critical")
INSTANTS = ("opened_utc", "closed_utc", "withdrawn_utc", "acknowledged_utc")

_METADATA = sa.MetaData()
_ALERTS = sa.Table(
    "alerts", _METADATA,
    *(sa.Column(one.name, sa.Text, primary_key=one.name == "alert_id", nullable=one.nullable) for one in ALERT_LOG.fields),
)  # fmt: skip
_FOUND = ("closed_utc", "severity", "evidence", "last_partition")


class AlertError(ValueError):
    """An alert that cannot be stored or acknowledged."""


@dataclass(frozen=True)
class FoundAlert:
    """An alert as a run found it."""

    alert_id: str
    kind: str
    subject: str
    opened_utc: datetime
    closed_utc: datetime | None
    severity: str
    evidence: str


class AlertStore:
    """The alerts of a site. Several processes may record at once."""

    def __init__(self, url: str):
        self._engine = sa.create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
        self._there = False

    def _make_table(self) -> None:
        if not self._there:
            with self._engine.begin() as connection:
                connection.execute(sa.schema.CreateTable(_ALERTS, if_not_exists=True))
            self._there = True

    def record(self, area: str, partition: str, found: Iterable[FoundAlert], now: datetime) -> None:
        """Takes over all alerts that a run of one partition found. The same run again changes nothing.

        An earlier partition made again does not reopen what a later one closed. Alerts that this partition had found first
        and no longer finds are marked as withdrawn. Raises AlertError for an unknown severity or an id that comes twice.
        """
        rows = [
            dict.fromkeys(ALERT_LOG.columns) | vars(one) | {"area": area, "first_partition": partition, "last_partition": partition}
            for one in found
        ]
        odd = [row["alert_id"] for row in rows if row["severity"] not in SEVERITIES]
        if odd or len({row["alert_id"] for row in rows}) < len(rows):
            raise AlertError(
                f"{area}, {partition}: {odd or 'ids twice'}; expected each alert once, its severity one of {', '.join(SEVERITIES)}"
            )
        rows = [row | {name: _stored(row[name]) for name in INSTANTS} for row in rows]
        self._make_table()
        with self._engine.begin() as connection:
            self._patient(connection)
            if rows:
                connection.execute(self._upsert(), rows)
            here = (_ALERTS.c.area == area) & (_ALERTS.c.first_partition == partition) & _ALERTS.c.withdrawn_utc.is_(None)
            gone = set(connection.execute(sa.select(_ALERTS.c.alert_id).where(here)).scalars()) - {row["alert_id"] for row in rows}
            if gone:
                chosen = _ALERTS.c.alert_id == sa.bindparam("gone_id")
                connection.execute(
                    _ALERTS.update().where(chosen).values(withdrawn_utc=_stored(now)), [{"gone_id": one} for one in sorted(gone)]
                )

    def _upsert(self):
        insert = (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(_ALERTS)
        new = insert.excluded
        newer = (new.last_partition >= _ALERTS.c.last_partition) | new.closed_utc.is_not(None)
        updated = {name: sa.case((newer, new[name]), else_=_ALERTS.c[name]) for name in _FOUND}
        first = sa.case((new.first_partition < _ALERTS.c.first_partition, new.first_partition), else_=_ALERTS.c.first_partition)
        return insert.on_conflict_do_update(
            index_elements=["alert_id"], set_={**updated, "first_partition": first, "withdrawn_utc": sa.null()}
        )

    def acknowledge(self, alert_id: str, who: str, now: datetime, note: str | None = None) -> None:
        """Notes who took notice of an alert. The first one stays; acknowledging again changes nothing.

        Raises AlertError where no such alert is stored or nobody is named.
        """
        if not who.strip():
            raise AlertError(f"{alert_id}: acknowledged by nobody; give a name")
        self._make_table()
        with self._engine.begin() as connection:
            self._patient(connection)
            known = connection.execute(sa.select(_ALERTS.c.acknowledged_by).where(_ALERTS.c.alert_id == alert_id)).first()
            if known is None:
                raise AlertError(f"{alert_id!r} is no stored alert; expected an alert_id of foundation/alerts")
            connection.execute(
                _ALERTS.update()
                .where((_ALERTS.c.alert_id == alert_id) & _ALERTS.c.acknowledged_by.is_(None))
                .values(acknowledged_by=who.strip(), acknowledged_utc=_stored(now), note=note)
            )

    def read(self, area: str | None = None, only_open: bool = False) -> pd.DataFrame:
        """The alerts in the columns of ALERT_LOG, by opening time; ``only_open``: those not closed and not withdrawn."""
        self._make_table()
        query = sa.select(_ALERTS).order_by(_ALERTS.c.opened_utc, _ALERTS.c.alert_id)
        if area is not None:
            query = query.where(_ALERTS.c.area == area)
        if only_open:
            query = query.where(_ALERTS.c.closed_utc.is_(None) & _ALERTS.c.withdrawn_utc.is_(None))
        with self._engine.connect() as connection:
            frame = pd.DataFrame(connection.execute(query).mappings().all(), columns=ALERT_LOG.columns)
        for name in INSTANTS:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
        return frame

    def close(self) -> None:
        self._engine.dispose()

    def _patient(self, connection: sa.Connection) -> None:
        if self._engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA busy_timeout = 60000")


def _stored(value: datetime | None) -> str | None:
    """Instants are stored as ISO text in UTC, which sorts as time does."""
    return None if value is None or value is pd.NaT else pd.Timestamp(value).tz_convert(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
