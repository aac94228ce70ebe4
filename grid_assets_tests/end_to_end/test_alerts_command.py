"""The command that lists and acknowledges alerts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from grid_assets import cli
from grid_assets.foundation.alerts import AlertStore, FoundAlert
from grid_assets_tests.conftest import site_in

NOW = datetime(2016, 5, 25, 7, tzinfo=UTC)


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("GRID_ASSETS_STATE", str(tmp_path))
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(cli.main, ["alerts", "--site", "demo", *arguments])


def test_a_person_lists_and_acknowledges(state):
    site = site_in(state, "demo")
    site.state.mkdir(parents=True)
    store = AlertStore(site.ledger_url)
    store.record(
        "metering", "2016-05-24", [FoundAlert("area_outage:f1:x", "area_outage", "f1", NOW, None, "critical", "9 of 10 dark")], NOW
    )
    listed = run()
    assert listed.exit_code == 0
    assert "area_outage:f1:x  critical, not acknowledged" in listed.output
    assert "1 open alerts" in listed.output
    assert "give a name" in run("--acknowledge", "area_outage:f1:x").output
    assert run("--acknowledge", "area_outage:f1:x", "--by", "Ana", "--note", "crew sent").exit_code == 0
    assert "acknowledged by Ana" in run("--all").output
    wrong = run("--acknowledge", "no such", "--by", "Ana")
    assert wrong.exit_code == 1
    assert "no stored alert" in wrong.output


def test_before_the_first_run_there_is_nothing_to_list(state):
    told = run()
    assert told.exit_code == 1
    assert "grid-assets daily" in told.output
