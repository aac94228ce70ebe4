"""The one outbox of commands: what any area tells a unit, a VEN or an operator to do, with who, why and by which plan.

Areas plan commands here and channels deliver them; nothing is sent that is not here first, so that a crash between planning and sending loses nothing.
A command goes from planned to sent and on to acknowledged or failed (which may be sent again); what is not sent in its time, or that a newer plan
replaces, expires. Rows are never deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from grid_assets.foundation.tables import Table, count, instant, text

COMMANDS = Table(
    "foundation", "commands", "a command of any area, and what became of it", "none", ("command_id",),
    (
        text("command_id", "area, plan, target and beginning: the same command planned twice is one"),
        text("area", "the area that commands"),
        text("plan_id", "the plan that it follows from"),
        text("channel", "who delivers it, such as a gateway or a VTN"),
        text("target", "the unit, VEN or device"),
        text("action", "what to do, as JSON"),
        instant("valid_from_utc", "from when it holds"),
        instant("valid_to_utc", "until when; not sent by then it expires"),
        text("issued_by", "the job or person"),
        text("reason", "why"),
        text("status", "planned, sent, acknowledged, failed or expired"),
        text("told", "what the channel or a newer plan said last", nullable=True),
        count("attempts", "how often it was sent"),
        instant("created_utc", "when it was planned"),
        instant("changed_utc", "when its status last changed"),
    ),
)  # fmt: skip
PLANNED, SENT, ACKNOWLEDGED, FAILED, EXPIRED = "planned", "sent", "acknowledged", "failed", "expired"
BEFORE = {SENT: (PLANNED, FAILED), ACKNOWLEDGED: (SENT,), FAILED: (SENT,), EXPIRED: (PLANNED, SENT, FAILED)}
"""Status -> those that it may follow."""
INSTANTS = ("valid_from_utc", "valid_to_utc", "created_utc", "changed_utc")

_METADATA = sa.MetaData()
_COMMANDS = sa.Table(
    "commands", _METADATA,
    *(sa.Column(one.name, sa.Integer if one.name == "attempts" else sa.Text, primary_key=one.name == "command_id", nullable=one.nullable) for one in COMMANDS.fields),
    sa.Index("commands_by_status", "channel", "status", "valid_from_utc"),
)  # fmt: skip


class OutboxError(ValueError):
    """A command that cannot be, or a status that may not follow the one that it has."""


@dataclass(frozen=True)
class Command:
    area: str
    plan_id: str
    channel: str
    target: str
    action: str
    """JSON."""
    valid_from_utc: datetime
    valid_to_utc: datetime
    issued_by: str
    reason: str

    @property
    def command_id(self) -> str:
        return f"{self.area}:{self.plan_id}:{self.target}:{_stored(self.valid_from_utc)}"


class Outbox:
    """The commands of a site. Several processes may plan, send and mark at once."""

    def __init__(self, url: str):
        self._engine = sa.create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
        self._there = False

    def plan(self, commands: Sequence[Command], now: datetime) -> int:
        """Plans commands of one plan, all or none; how many are new. Planned again, the same commands change nothing.

        Earlier commands to the same targets by the same area that are not sent yet and begin no sooner than the first new one expire: the newer plan stands for them.
        Raises OutboxError for commands of several plans, without an area, a target or a reason, or that end before they begin.
        """
        rows = [_row(one, now) for one in commands]
        if len({(one.area, one.plan_id) for one in commands}) > 1:
            raise OutboxError("commands of several plans at once; expected those of one area and plan")
        self._make_table()
        insert = (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(_COMMANDS)
        with self._engine.begin() as connection:
            self._patient(connection)
            if not rows:
                return 0
            known = set(connection.execute(sa.select(_COMMANDS.c.command_id).where(_COMMANDS.c.plan_id == rows[0]["plan_id"])).scalars())
            connection.execute(insert.on_conflict_do_nothing(index_elements=["command_id"]), rows)
            older = (_COMMANDS.c.area == rows[0]["area"]) & (_COMMANDS.c.plan_id != rows[0]["plan_id"]) & (_COMMANDS.c.status == PLANNED)
            first = {}
            for row in rows:
                first[row["target"]] = min(first.get(row["target"], row["valid_from_utc"]), row["valid_from_utc"])
            new = [row for row in rows if row["command_id"] not in known]
            if new:
                chosen = older & (_COMMANDS.c.target == sa.bindparam("of")) & (_COMMANDS.c.valid_from_utc >= sa.bindparam("since"))
                replaced = (
                    _COMMANDS.update()
                    .where(chosen)
                    .values(status=EXPIRED, told=f"replaced by plan {rows[0]['plan_id']}", changed_utc=_stored(now))
                )
                connection.execute(replaced, [{"of": target, "since": since} for target, since in sorted(first.items())])
            return len(new)

    def due(self, channel: str, now: datetime, most: int = 1000) -> pd.DataFrame:
        """What the channel should send now, in the columns of COMMANDS: planned or failed, begun, not over; the earliest first."""
        chosen = (
            (_COMMANDS.c.channel == channel) & _COMMANDS.c.status.in_((PLANNED, FAILED)) & (_COMMANDS.c.valid_from_utc <= _stored(now))
            & (_COMMANDS.c.valid_to_utc > _stored(now))
        )  # fmt: skip
        return self._read(sa.select(_COMMANDS).where(chosen).order_by(_COMMANDS.c.valid_from_utc, _COMMANDS.c.command_id).limit(most))

    def mark(self, command_id: str, status: str, now: datetime, told: str | None = None) -> None:
        """Notes what became of a command. Of two processes that mark it sent at once only one succeeds.

        Raises OutboxError where there is no such command, or its status does not allow the new one.
        """
        if status not in BEFORE:
            raise OutboxError(f"{status!r} is no status to mark; expected one of {', '.join(BEFORE)}")
        self._make_table()
        changes = {"status": status, "told": told, "changed_utc": _stored(now)}
        if status == SENT:
            changes["attempts"] = _COMMANDS.c.attempts + 1
        chosen = (_COMMANDS.c.command_id == command_id) & _COMMANDS.c.status.in_(BEFORE[status])
        with self._engine.begin() as connection:
            self._patient(connection)
            if connection.execute(_COMMANDS.update().where(chosen).values(**changes)).rowcount:
                return
            known = connection.execute(sa.select(_COMMANDS.c.status).where(_COMMANDS.c.command_id == command_id)).scalar()
        if known is None:
            raise OutboxError(f"{command_id!r} is no command; expected a command_id of foundation/commands")
        raise OutboxError(f"{command_id!r} is {known} and cannot become {status}; expected it to be {' or '.join(BEFORE[status])}")

    def expire(self, now: datetime) -> int:
        """Expires what is over and was never acknowledged; how many."""
        self._make_table()
        over = _COMMANDS.c.status.in_(BEFORE[EXPIRED]) & (_COMMANDS.c.valid_to_utc <= _stored(now))
        with self._engine.begin() as connection:
            self._patient(connection)
            return connection.execute(
                _COMMANDS.update().where(over).values(status=EXPIRED, told="not acknowledged in its time", changed_utc=_stored(now))
            ).rowcount

    def read(self, plan_id: str | None = None) -> pd.DataFrame:
        """All commands, or those of a plan, in the columns of COMMANDS, by their beginning."""
        query = sa.select(_COMMANDS).order_by(_COMMANDS.c.valid_from_utc, _COMMANDS.c.command_id)
        return self._read(query if plan_id is None else query.where(_COMMANDS.c.plan_id == plan_id))

    def close(self) -> None:
        self._engine.dispose()

    def _read(self, query: sa.Select) -> pd.DataFrame:
        self._make_table()
        with self._engine.connect() as connection:
            frame = pd.DataFrame(connection.execute(query).mappings().all(), columns=COMMANDS.columns)
        for name in INSTANTS:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
        return frame

    def _make_table(self) -> None:
        if not self._there:
            with self._engine.begin() as connection:
                self._patient(connection)
                connection.execute(sa.schema.CreateTable(_COMMANDS, if_not_exists=True))
                for index in _COMMANDS.indexes:
                    connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
            self._there = True

    def _patient(self, connection: sa.Connection) -> None:
        if self._engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA busy_timeout = 60000")


def _row(one: Command, now: datetime) -> dict[str, object]:
    lacking = [name for name in ("area", "plan_id", "channel", "target", "issued_by", "reason") if not str(getattr(one, name)).strip()]
    if lacking:
        raise OutboxError(f"{one.command_id}: {', '.join(lacking)} empty; a command says who, why and by which plan")
    begin, end = _stored(one.valid_from_utc), _stored(one.valid_to_utc)
    if not begin < end:
        raise OutboxError(f"{one.command_id}: ends at {one.valid_to_utc}, not after it begins")
    return vars(one) | {
        "command_id": one.command_id, "valid_from_utc": begin, "valid_to_utc": end, "status": PLANNED,
        "told": None, "attempts": 0, "created_utc": _stored(now), "changed_utc": _stored(now),
    }  # fmt: skip


def _stored(value: datetime) -> str:
    """Instants are stored as ISO text in UTC, which sorts as time does. Raises OutboxError for one without a zone."""
    at = pd.Timestamp(value)
    if at.tzinfo is None:
        raise OutboxError(f"{value} has no time zone; expected an instant")
    return at.tz_convert(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
