"""Every row that had landed when a day was gathered must be in it; what lands while the day is made makes it stale and no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import dagster as dg
import pytest

from grid_assets.foundation.registers import DEVICES, METERS, NODES
from grid_assets.metering import accounting, checks, measurements, shards, staleness
from grid_assets.metering.tables import (
    CORRECTIONS,
    DEVICE_DAYS,
    FILE_DAYS,
    LANDED_FILES,
    MEASUREMENT_FILE_DAYS,
    MEASUREMENTS,
    OUTAGE_EVENTS,
    RAW_INPUTS,
    RAW_READINGS,
    READINGS,
)
from grid_assets_tests.metering.conftest import CHANGE, FIRST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.doors import READING_TABLES, land_measurements, run_assets, without_docs

OF_READINGS = [table.key for table in (CORRECTIONS, OUTAGE_EVENTS, RAW_READINGS, *READING_TABLES)]
OF_MEASUREMENTS = [table.key for table in (MEASUREMENTS, DEVICE_DAYS, MEASUREMENT_FILE_DAYS)]
EARLY, LATE = "reads_20210328T060000Z.csv", "reads_20210329T050000Z.csv"


@pytest.fixture
def landed(made: MadeSite, monkeypatch: pytest.MonkeyPatch) -> MadeSite:
    """Two files of the first day: one of all meters, and one that sends m1 again."""
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(made))
    for table, rows in ((METERS, made.register), (NODES, made.nodes), (DEVICES, DEVICES.empty())):
        made.lake.write(table, rows)
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.drop(EARLY, as_csv(day_rows(made.site, FIRST, ("m1",), factor=1.1)))
    made.land(FIRST)
    return made


def gathered(made: MadeSite, keys, config: dict | None = None) -> tuple[bool, dict[str, dg.AssetCheckEvaluation]]:
    """Whether the run of a day's assets succeeded, and what its checks said."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(made, instance, FIRST, keys, config)
    return result.success, {one.check_name: one for one in result.get_asset_check_evaluations() if one.check_name != "schema"}


def file_id(made: MadeSite, name: str) -> str:
    files = made.lake.read(LANDED_FILES)
    return files.loc[files["file_name"] == name, "file_id"].iloc[0]


def lands_late(made: MadeSite, arrival_day: date) -> str:
    """Another file of the first day lands, in the run of this arrival day."""
    name = "reads_20210328T070000Z.csv" if arrival_day == FIRST else LATE
    made.drop(name, as_csv(day_rows(made.site, FIRST, ("m2",), factor=1.2)))
    made.land(arrival_day)
    return name


def before(monkeypatch: pytest.MonkeyPatch, module: object, name: str, happens: Callable[[], object], place: int | None = None) -> None:
    """Something happens right before a function of a module is called; and it is handed all but the last of the files at ``place``."""
    honest = getattr(module, name)

    def patched(*given):
        happens()
        return honest(*(one[:-1] if n == place else one for n, one in enumerate(given)))

    monkeypatch.setattr(module, name, patched)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_file_that_was_left_out_of_the_raw_readings_blocks(landed: MadeSite, monkeypatch, meanwhile: bool):
    before(monkeypatch, shards, "make_raw_day", (lambda: lands_late(landed, CHANGE)) if meanwhile else (lambda: None), place=3)
    success, said = gathered(landed, OF_READINGS)
    assert (success, said["rows_accounted"].passed, said["rows_accounted"].severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    description = said["rows_accounted"].description or ""
    assert (description.count("'staged'"), "'raw': 0" in description) == (1, True)  # of the file that landed meanwhile nothing is said


def test_a_file_that_the_note_does_not_name_blocks_where_its_list_is_the_same(landed: MadeSite):
    assert gathered(landed, OF_READINGS)[0]
    noted, lost = landed.lake.read(RAW_INPUTS, FIRST), file_id(landed, EARLY)
    for table in (RAW_READINGS, FILE_DAYS):  # as if nothing had ever looked at the file
        landed.lake.write(table, landed.lake.read(table, FIRST).query("file_id != @lost"), FIRST)
    told = {
        "files": " ".join(one for one in noted["files"][0].split() if one != lost),
        "content_hash": landed.lake.content_hash(RAW_READINGS, FIRST),
    }
    landed.lake.write(RAW_INPUTS, noted.assign(**told), FIRST)
    assert f"{lost}: {{'staged': 48, 'raw': 0" in accounting.day_faults(landed.lake, FIRST)


def test_rows_that_were_left_out_block(landed: MadeSite, monkeypatch):
    honest = shards._rows_of_file
    monkeypatch.setattr(shards, "_rows_of_file", lambda *given: honest(*given).slice(1))
    success, said = gathered(landed, OF_READINGS)
    assert (success, said["rows_accounted"].passed) == (False, False)
    assert "'staged': 240, 'raw': 239" in said["rows_accounted"].description


@pytest.mark.parametrize("arrival_day", [FIRST, CHANGE])
def test_a_file_that_lands_while_the_day_is_made_makes_it_stale_and_no_more(landed: MadeSite, monkeypatch, arrival_day: date):
    with monkeypatch.context() as patched:
        before(patched, shards, "make_raw_day", lambda: lands_late(landed, arrival_day))
        success, said = gathered(landed, OF_READINGS)
    assert (success, said["rows_accounted"].passed) == (True, True)
    late = landed.lake.read(LANDED_FILES, arrival_day)["file_name"].max()
    (reason, *_) = next(one.reasons for one in staleness.stale(landed.lake, site=landed.site) if one.day == FIRST)
    assert reason == f"landed rows are not in it: {late}"
    success, said = gathered(landed, OF_READINGS)
    assert (success, said["rows_accounted"].passed) == (True, True)
    (reason, *_) = next(one.reasons for one in staleness.stale(landed.lake, site=landed.site) if one.day == FIRST)
    assert "landed rows" not in reason
    m2 = landed.lake.read(READINGS, FIRST).query("meter_id == 'm2'")["energy_kwh"].tolist()
    assert m2 == pytest.approx(day_rows(landed.site, FIRST, ("m2",), factor=1.2)["value"].tolist())


def test_what_a_back_test_was_not_to_know_is_no_fault_of_it(landed: MadeSite):
    config = {"ops": {"metering__raw_readings": {"config": {"known_until": "2021-03-28T05:30:00Z"}}}}
    success, said = gathered(landed, OF_READINGS, config)
    assert (success, said["rows_accounted"].passed) == (True, True)
    assert set(landed.lake.read(RAW_READINGS, FIRST)["file_id"]) == {file_id(landed, "reads_20210328T050000Z.csv")}
    assert accounting.day_faults(landed.lake, FIRST) == ""  # it is noted, so nobody has to say it again
    assert [one.day for one in staleness.stale(landed.lake, site=landed.site)] == [FIRST]


# -- measurements -----------------------------------------------------------------------------------------------


def test_measurements_of_a_file_that_was_left_out_block(landed: MadeSite, monkeypatch):
    for name in ("v1", "v2"):
        land_measurements(landed, name, {"2021-03-27T10:00:00Z": 230.0})
    before(monkeypatch, measurements, "staged_rows", lambda: None, place=1)
    success, said = gathered(landed, OF_MEASUREMENTS)
    assert (success, said["rows_accounted"].passed, said["rows_accounted"].severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    assert "v2: {'staged': 1" in said["rows_accounted"].description


def test_measurements_that_land_while_the_day_is_made_make_it_stale_and_no_more(landed: MadeSite, monkeypatch):
    land_measurements(landed, "v1", {"2021-03-27T10:00:00Z": 230.0})
    with monkeypatch.context() as patched:
        before(patched, measurements, "staged_rows", lambda: land_measurements(landed, "v2", {"2021-03-27T11:00:00Z": 231.0}))
        success, said = gathered(landed, OF_MEASUREMENTS)
    assert (success, said["rows_accounted"].passed) == (True, True)
    landed.make(FIRST)
    assert [one.reasons for one in staleness.stale(landed.lake, site=landed.site)] == [("landed measurements are not in it: v2.jsonl",)]
    assert gathered(landed, OF_MEASUREMENTS)[0]
    assert staleness.stale(landed.lake, site=landed.site) == []
    assert landed.lake.read(MEASUREMENTS, FIRST)["value"].tolist() == [230.0, 231.0]


def test_what_measurements_a_back_test_was_not_to_know_is_no_fault_of_it(landed: MadeSite):
    land_measurements(landed, "v1", {"2021-03-27T10:00:00Z": 230.0})
    config = {"ops": {"metering__measurements": {"config": {"known_until": "2021-03-28T04:30:00Z"}}}}
    success, said = gathered(landed, OF_MEASUREMENTS, config)
    assert (success, said["rows_accounted"].passed) == (True, True)
    assert landed.lake.read(MEASUREMENTS, FIRST).empty
    assert accounting.measurement_faults(landed.lake, FIRST) == ""
