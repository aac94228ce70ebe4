"""An idle connection keeps SQLite's log in place between Dagster's many short ones, and is in nobody's way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from grid_assets.foundation.dagster.idle_connections import IdleConnections


def database_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE event (id INTEGER PRIMARY KEY)")
    connection.commit()
    connection.close()
    return path


def write(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=0)
    connection.execute("INSERT INTO event DEFAULT VALUES")
    connection.commit()
    connection.close()


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_the_log_stays_while_a_run_goes_on_and_is_put_away_afterwards(tmp_path: Path):
    index = database_at(tmp_path / "history" / "runs" / "index.db")
    write(index)
    assert not log_of(index).exists(), "without an idle connection every writer puts the log away"
    with IdleConnections(tmp_path) as idle:
        one = database_at(tmp_path / "history" / "runs" / "one.db")
        idle.keep_run("one")
        idle.keep_run("one")
        for path in (index, one):
            write(path)
            write(path)
            assert log_of(path).exists()
    assert not log_of(index).exists()
    assert not log_of(one).exists()
    connection = sqlite3.connect(index)
    assert connection.execute("SELECT count(*) FROM event").fetchone() == (3,)
    connection.close()


def test_where_there_is_no_history_nothing_is_kept_or_made(tmp_path: Path):
    with IdleConnections(tmp_path) as idle:
        idle.keep_run("none")
    assert list(tmp_path.iterdir()) == []
