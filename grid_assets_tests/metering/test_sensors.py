"""The sensors of metering: which files land, which days are made again, and what is given up."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta

from grid_assets.metering import watching
from grid_assets.metering.staleness import StaleDay
from grid_assets_tests.metering.conftest import CHANGE, FIRST, as_csv, day_rows
from grid_assets_tests.metering.doors import LANDING, LATE_DATA, tick


def test_the_landing_sensor_waits_for_quiet_and_asks_once(made):
    path = made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    first = tick(made, LANDING)
    assert first.run_requests == []  # seen for the first time, and fresh
    second = tick(made, LANDING, first.cursor)
    assert second.run_requests == []  # unchanged, but younger than ten seconds
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 60_000_000_000))
    third = tick(made, LANDING, second.cursor)
    assert third.run_requests == []  # its time changed
    fourth = tick(made, LANDING, third.cursor)
    assert [one.partition_key for one in fourth.run_requests] == [FIRST.isoformat()]
    assert tick(made, LANDING, fourth.cursor).run_requests == []
    made.land(FIRST)
    landed = tick(made, LANDING, fourth.cursor)
    assert landed.run_requests == []
    assert json.loads(landed.cursor)["feed/reads_20210328T050000Z.csv"][2:] == [-1, 1]


def test_a_file_whose_landing_failed_is_asked_for_again_until_the_lake_lists_it(made):
    path = made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 60_000_000_000))
    files, now, landed = watching.look(made.site), time.time_ns(), watching.listed_in(made.site, made.lake)
    cursor, keys = None, []
    for _ in range(2 * watching.RETRY_TICKS + 2):
        ready, cursor = watching.settled(files, cursor, now, landed)
        keys += [key for _, key in ready]
    version = files[0].version
    assert keys == [version, f"{version}:1", f"{version}:2"]
    made.land(FIRST)
    for _ in range(2 * watching.RETRY_TICKS):
        ready, cursor = watching.settled(files, cursor, now, landed)
        assert ready == []
    assert watching.given_up(files, cursor) == []
    made.drop("reads_20210328T050000Z.csv", b"other bytes")
    assert not landed(files[0])
    made.land(FIRST)
    assert landed(files[0])  # refused, but listed: asking again would not help


def test_a_file_that_never_lands_is_given_up_with_a_word_until_it_changes(made):
    seen = watching.SeenFile("feed/a.csv", 3, 0, FIRST)
    cursor, keys = None, []
    for _ in range(10 * watching.RETRY_TICKS):
        ready, cursor = watching.settled([seen], cursor, 10**12, lambda one: False)
        keys += [key for _, key in ready]
    assert len(keys) == len(set(keys)) == watching.MOST_ATTEMPTS
    (told,) = watching.given_up([seen], cursor)
    assert told.startswith("feed/a.csv: its landing failed 4 times")
    assert FIRST.isoformat() in told
    changed = watching.SeenFile("feed/a.csv", 4, 0, FIRST)
    for _ in range(2):
        ready, cursor = watching.settled([changed], cursor, 10**12, lambda one: False)
    assert [key for _, key in ready] == [changed.version]
    assert watching.given_up([changed], cursor) == []


def test_the_landing_sensor_says_which_file_it_gave_up(made):
    path = made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    stat = path.stat()
    cursor = json.dumps({f"feed/{path.name}": [stat.st_size, stat.st_mtime_ns, watching.RETRY_TICKS, watching.MOST_ATTEMPTS]})
    result = tick(made, LANDING, cursor)
    assert result.run_requests == []
    assert "landing failed 4 times" in result.skip_message


def test_the_late_data_sensor_asks_for_days_whose_rows_are_not_all_used(made):
    rows = day_rows(made.site, FIRST)
    made.drop("reads_20210328T050000Z.csv", as_csv(rows[rows["meter"] != "m2"]))
    made.land(FIRST)
    assert [one.partition_key for one in tick(made, LATE_DATA).run_requests] == [FIRST.isoformat()]
    made.make(FIRST)
    assert tick(made, LATE_DATA).run_requests == []
    made.drop("reads_20210329T050000Z.csv", as_csv(rows[rows["meter"] == "m2"]))
    made.land(CHANGE)
    (asked,) = tick(made, LATE_DATA).run_requests
    assert asked.partition_key == FIRST.isoformat()
    told = tick(made, LATE_DATA)
    assert told.run_requests[0].run_key == asked.run_key
    again = tick(made, LATE_DATA, told.cursor)
    assert (again.run_requests, again.skip_message) == ([], "the stale days were asked for")
    (mark,) = [value[0] for value in json.loads(told.cursor).values()]
    failed = json.dumps({FIRST.isoformat(): [mark, watching.DAY_RETRY_TICKS, watching.MOST_ATTEMPTS]})
    assert "its runs failed 4 times" in tick(made, LATE_DATA, failed).skip_message


def test_days_whose_runs_fail_do_not_starve_later_ones_and_are_given_up(made):
    def days(numbers) -> list[StaleDay]:
        return [StaleDay(FIRST + timedelta(days=n), ("late",), "m") for n in numbers]

    failing, cursor, keys = set(range(10)), None, []
    waiting = set(range(25))
    for _ in range(6 * watching.DAY_RETRY_TICKS):
        asked, cursor = watching.days_to_ask(days(sorted(waiting)), cursor, 10)
        assert len(asked) <= 10
        keys += [key for _, key in asked]
        waiting -= {(one.day - FIRST).days for one, _ in asked} - failing  # these are made before the next look
    assert waiting == failing
    assert len(keys) == len(set(keys)) == 15 + 10 * watching.MOST_ATTEMPTS
    assert len(watching.given_up_days(cursor)) == 10
    (day, *_) = days([0])
    asked, cursor = watching.days_to_ask([StaleDay(day.day, day.reasons, "other")], cursor, 10)  # what it is made from changed
    assert [key for _, key in asked] == [f"{FIRST}:other"]
    assert watching.given_up_days(cursor) == []


def test_a_file_still_growing_is_never_ready():
    def seen(size):
        return watching.SeenFile("feed/a.csv", size, 0, FIRST)

    cursor = None
    for size in (1, 2, 3):
        ready, cursor = watching.settled([seen(size)], cursor, 10**12, lambda one: False)
        assert ready == []
    ready, cursor = watching.settled([seen(3)], cursor, 10**12, lambda one: False)
    assert [one.size for one, _ in ready] == [3]
    assert watching.settled([seen(3)], cursor, 10**12, lambda one: False)[0] == []


def test_a_cursor_of_an_older_release_is_read_as_not_seen():
    seen = watching.SeenFile("feed/a.csv", 3, 0, FIRST)
    ready, cursor = watching.settled([seen], json.dumps({"feed/a.csv": [3, 0, True]}), 10**12, lambda one: False)
    assert ready == []
    assert [key for _, key in watching.settled([seen], cursor, 10**12, lambda one: False)[0]] == [seen.version]
