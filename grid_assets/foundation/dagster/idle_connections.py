"""Keeping Dagster's own SQLite history quick while a run goes on in this process.

Dagster opens and closes a connection for each event. Whenever the last connection to a database in write-ahead mode is closed, SQLite
moves the log into the database and removes it: several waits for the disk per event, some hundred events a run. One idle connection
to each database, kept for the length of the run, leaves that to the run's end. It holds no lock, so it is in nobody's way.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path


class IdleConnections:
    """Idle connections to the databases of a Dagster home, as far as they exist; closed together at the end."""

    def __init__(self, home: Path):
        self._history = home / "history"
        self._kept: dict[Path, sqlite3.Connection] = {}

    def __enter__(self) -> IdleConnections:
        self._keep(self._history / "runs.db")
        self._keep(self._history / "runs" / "index.db")
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()

    def keep_run(self, run_id: str) -> None:
        """The run's own database, once its first event has made it."""
        self._keep(self._history / "runs" / f"{run_id}.db")

    def _keep(self, database: Path) -> None:
        if database in self._kept or not database.exists():
            return
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA schema_version").fetchone()  # a connection that never read does not count as one
        self._kept[database] = connection
