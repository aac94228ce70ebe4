"""Check results: the latest per table, check and partition; several writers at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from grid_assets.foundation.check_results import CHECK_RESULTS, CheckResult, CheckResults

NOW = datetime(2016, 5, 25, 7, tzinfo=UTC)


def result(day: str, passed: bool, table: str = "metering/readings") -> CheckResult:
    return CheckResult(day, table, "schema", passed, "error", "found", "expected")


def test_the_latest_result_of_a_partition_counts(tmp_path: Path):
    store = CheckResults(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    store.record([result("2016-05-24", False), result("2016-05-25", True)], NOW)
    store.record([result("2016-05-24", True)], NOW.replace(hour=8))
    read = store.read()
    assert CHECK_RESULTS.faults(CHECK_RESULTS.conform(read)) == []
    assert read.set_index("partition_key")["passed"].to_dict() == {"2016-05-24": True, "2016-05-25": True}
    assert len(store.read(["2016-05-25"])) == 1


def test_recording_at_once_loses_nothing(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: CheckResults(url).record([result("2016-05-24", True, f"area/table_{n}")], NOW), range(40)))
    assert len(CheckResults(url).read()) == 40
