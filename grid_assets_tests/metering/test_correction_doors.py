"""Corrections and outages by people, by command and by job."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest
from click.testing import CliRunner

from grid_assets.cli import main
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.jobs import correct_readings
from grid_assets.metering import checks
from grid_assets.metering.entries.corrections import corrections_of
from grid_assets.metering.tables import (
    CORRECTIONS,
    EDITED_READINGS,
    OUTAGE_EVENTS,
    RAW_READINGS,
    READINGS,
)
from grid_assets_tests.metering.conftest import FIRST, MadeSite, day_rows
from grid_assets_tests.metering.doors import (
    HEADER,
    READING_TABLES,
    ROW,
    run_assets,
    why,
    without_docs,
    write_entries,
)


def test_a_correction_by_command_is_kept_and_makes_its_days_stale(entered: MadeSite):
    def run(*words: str):
        return CliRunner().invoke(main, ["correct", "--site", str(entered.site_file), *words])

    said = ("--author", "ann", "--reason", "read on site")
    done = run("m1", "2021-03-27T10:00", "2021-03-27T11:00", "--replace", "0.25", *said)
    assert done.exit_code == 0, done.output
    assert "replace m1 from 2021-03-27T10:00Z to 2021-03-27T11:00Z" in done.output
    assert "2021-03-27; the next `grid-assets daily`" in done.output
    assert why(entered) == {FIRST: ("its corrections changed (entered.csv)",)}
    assert "give one of" in run("m1", "2021-03-27T10:00", "2021-03-27T11:00", "--reject", "--accept", *said).output
    assert "the clocks change there" in run("m1", "2021-03-28T01:30", "2021-03-28T03:00", "--reject", *said).output
    assert "is not in the register" in run("m8", "2021-03-27T10:00", "2021-03-27T11:00", "--reject", *said).output
    assert len(corrections_of(entered.site, entered.lake).rows) == 1


@pytest.mark.slow
def test_a_correction_survives_every_materialisation_and_the_later_one_counts(entered: MadeSite, monkeypatch):
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(entered))
    first = ROW.replace("c1", "c0").replace("0.25", "0.75").replace("2021-03-29T08", "2021-03-29T07")
    write_entries(entered, "corrections", HEADER + ROW + first + "c2,m1,soon,later,reject,,ann,2021-03-29T08:00:00Z,bad row\n")
    keys = [table.key for table in (CORRECTIONS, OUTAGE_EVENTS, RAW_READINGS, *READING_TABLES)]
    contents = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            result = run_assets(entered, instance, FIRST, keys)
            assert result.success
            contents.append([entered.lake.content_hash(table, FIRST) for table in READING_TABLES])
            refused = next(
                one
                for one in result.get_asset_check_evaluations()
                if one.asset_key.path[-1] == "corrections" and one.check_name != "schema"
            )
            assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.WARN)
            assert "by_hand.csv, line 4: start_utc = 'soon'" in refused.description
    assert contents[0] == contents[1]
    rows = entered.lake.read(READINGS, FIRST).query("meter_id == 'm1' and quality == 'edited'")
    assert rows["start_utc"].dt.strftime("%H:%M").tolist() == ["10:00", "10:30"]
    assert (rows["energy_kwh"].tolist(), rows["method"].tolist()) == ([0.25, 0.25], ["correction", "correction"])
    edited = entered.lake.read(EDITED_READINGS, FIRST)
    assert edited[["correction_id", "author", "reason"]].drop_duplicates().to_numpy().tolist() == [["c1", "ann", "replace: read on site"]]
    assert edited["replaced_kwh"].tolist() == pytest.approx(day_rows(entered.site, FIRST, ("m1",))["value"][20:22].tolist())


def test_a_site_without_a_folder_takes_no_corrections(made: MadeSite):
    words = [
        "correct",
        "--site",
        str(made.site_file),
        "m1",
        "2021-03-27T10:00",
        "2021-03-27T11:00",
        "--reject",
        "--author",
        "a",
        "--reason",
        "b",
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "name their folder in the site file: [metering] corrections" in done.output


def test_a_correction_by_job_says_which_days_to_materialise(entered: MadeSite):
    told = {
        "meter_id": "m1",
        "start": "2021-03-27T23:00:00+00:00",
        "end": "2021-03-28T01:00:00+00:00",
        "action": "reject",
        "author": "ann",
        "reason": "swapped",
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = correct_readings.execute_in_process(
            run_config={"ops": {"enter_correction": {"config": told}}},
            resources={"platform": Platform(site_file=str(entered.site_file))},
            instance=instance,
        )
        (output,) = [one for one in result.all_events if one.is_successful_output]
    assert output.step_output_data.metadata["days_to_materialise"].value == "2021-03-27, 2021-03-28"
    (row,) = corrections_of(entered.site, entered.lake).rows.to_dict("records")
    assert (row["action"], row["author"], row["reason"]) == ("reject", "ann", "swapped")
    assert row["entered_utc"] <= datetime.now(UTC)


def test_an_outage_that_is_open_for_too_long_warns_with_the_days_run(entered: MadeSite):
    write_entries(entered, "outages", "outage_id,node_id,start_utc\no1,f1,2021-03-01T10:00:00Z\n")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_assets(entered, instance, FIRST, [OUTAGE_EVENTS.key])
    assert result.success
    (told,) = (one for one in result.get_asset_check_evaluations() if one.check_name == "entries_readable")
    assert not told.passed
    assert "o1 of f1 has no end" in str(told.description) + str(told.metadata)
