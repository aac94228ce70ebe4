"""The command line as a user meets it: help, bad input, where to look."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from grid_assets.cli import main
from grid_assets.daily import SiteRuns, _without_module
from grid_assets.instance import open_instance
from grid_assets.reporting.publish import ensure_manifest
from grid_assets_tests.conftest import PROJECT, SITES, site_in


def invoke(*words: str):
    return CliRunner().invoke(main, list(words))


def test_help_names_the_commands():
    said = invoke("--help").output
    assert all(word in said for word in ("daily", "ui", "bench", "contracts"))


def test_an_unknown_site_is_answered_with_those_that_exist():
    done = invoke("daily", "--site", "nowhere")
    assert done.exit_code == 1
    assert "there is no such site; shipped are demo, edrp, plymouth" in done.output


@pytest.mark.parametrize(("day", "said"), [("2009-13-01", "is not a day"), ("2031-01-01", "outside the site's calendar")])
def test_a_day_that_the_site_does_not_have(day: str, said: str):
    done = invoke("daily", "--site", "edrp", "--day", day)
    assert done.exit_code == 1
    assert said in done.output


def test_a_typo_in_a_site_file_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "ours.toml"
    path.write_text((SITES / "edrp.toml").read_text().replace("interval_minutes", "interval_minuts"))
    done = invoke("daily", "--site", str(path))
    assert done.exit_code == 1
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "interval_minuts" in text)
    assert f"line {line}: interval_minuts: unknown key" in done.output


def test_an_unknown_benchmark_is_answered_with_those_that_exist():
    done = invoke("bench", "nothing")
    assert done.exit_code == 1
    assert "platform" in done.output


def test_contracts_are_those_of_the_declarations():
    assert invoke("contracts", "--check").exit_code == 0


def test_errors_lose_their_module_and_keep_their_kind():
    assert _without_module("grid_assets.metering.arrival.arrivals.ArrivalError: no such folder\n") == "ArrivalError: no such folder"
    assert _without_module("no such folder: at all") == "no such folder: at all"


def test_a_register_that_cannot_be_read_ends_the_day_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A failed run is reported with its reason, what follows is not begun, and what was published stays."""
    monkeypatch.setenv("GRID_ASSETS_STATE", str(tmp_path))
    own = tmp_path / "edrp.toml"
    own.write_text((SITES / "edrp.toml").read_text())
    (tmp_path / "edrp").mkdir()
    for name in ("meters.csv", "nodes.csv"):
        (tmp_path / "edrp" / name).write_text((SITES / "edrp" / name).read_text())
    (tmp_path / "edrp" / "nodes.csv").unlink()
    ensure_manifest(PROJECT / "dbt_project")
    site = site_in(tmp_path, "edrp")
    with open_instance(site) as instance:
        reports = SiteRuns(own, site, instance).day(site.calendar.default_day)
    assert len(reports) == 1
    assert not reports[0].succeeded
    assert any("nodes.csv: the register is missing" in said for said in reports[0].failures)
