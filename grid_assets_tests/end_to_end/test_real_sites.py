"""Plymouth and EDRP, from their real files to published tables. Expected figures come from the files themselves, with pandas alone."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner

from grid_assets.cli import main
from grid_assets.metering.tables import FAILED_READINGS, METER_DAYS, NODE_LOADS, READINGS, REJECTED_READINGS
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.end_to_end.conftest import Ran, content

pytestmark = pytest.mark.slow


def local_day(frame: pd.DataFrame, day: date, zone: str = "Europe/London") -> pd.DataFrame:
    return frame[frame["timestamp_utc"].dt.tz_convert(zone).dt.date == day]


@pytest.fixture(scope="session")
def substation() -> pd.DataFrame:
    return pd.read_parquet(SHARED / "data" / "wpd_pod" / "demand_pv.parquet")


@pytest.fixture(scope="session")
def households() -> pd.DataFrame:
    return pd.read_parquet(SHARED / "data" / "edrp_meters" / "interval_30min.parquet")


def assert_everything_ran(ran: Ran, runs: set[str]) -> None:
    for report in ran.reports:
        assert report.succeeded, f"{report.title}: {report.failures}"
        blocked = [one for one in report.checked if not one.passed and one.blocking_severity]
        assert not blocked, blocked
    assert {report.job for report in ran.reports} == runs


def test_plymouth_runs_the_whole_chain(plymouth: Ran):
    assert_everything_ran(plymouth, {"registers", "history", "day", "demand_response_event", "price_study", "publish"})
    made = {one.asset for report in plymouth.reports for one in report.materialised}
    areas = {asset.split("/")[0] for asset in made}
    assert areas == {"foundation", "metering", "weather", "forecasting", "network", "storage", "market", "demand_response", "reporting"}


def test_plymouth_publishes_the_energy_that_its_file_holds(plymouth: Ran, substation: pd.DataFrame):
    expected = local_day(substation, plymouth.day)
    assert len(expected) == 48
    loads = plymouth.lake.read(NODE_LOADS, plymouth.day)
    system = loads[loads["level"] == "system"]
    failed = plymouth.lake.read(FAILED_READINGS, plymouth.day)
    assert len(failed) == 0, "the default day has no fault; choose the figures anew where the rules changed"
    assert system["energy_kwh"].sum() == pytest.approx(expected["demand_mw"].astype(float).sum() * 500, abs=1e-3)
    assert system["generation_kwh"].sum() == pytest.approx(expected["pv_power_mw"].astype(float).sum() * 500, abs=1e-3)


def test_plymouth_history_accounts_for_every_half_hour(plymouth: Ran, substation: pd.DataFrame):
    days = plymouth.site.clock.history(plymouth.day, plymouth.site.calendar.history_days)
    readings = plymouth.lake.read(READINGS, days)
    local = substation["timestamp_utc"].dt.tz_convert("Europe/London").dt.date
    span = substation[(local >= days[0]) & (local <= days[-1])]
    given = int(span[["demand_mw", "pv_power_mw"]].notna().sum().sum())
    failed = len(plymouth.lake.read(FAILED_READINGS, days))
    assert len(readings) == 2 * len(span)
    assert (readings["quality"] == "measured").sum() == given - failed
    assert len(plymouth.lake.read(REJECTED_READINGS, days)) == 0


def test_edrp_runs_without_weather_network_and_prices(edrp: Ran):
    assert_everything_ran(edrp, {"registers", "history", "day", "publish"})
    made = {one.asset for report in edrp.reports for one in report.materialised}
    assert {asset.split("/")[0] for asset in made} == {"foundation", "metering", "forecasting", "reporting"}
    assert "forecasting/demand_forecasts" in made


def test_edrp_publishes_the_energy_of_all_households(edrp: Ran, households: pd.DataFrame):
    expected = local_day(households, edrp.day)
    readings = edrp.lake.read(READINGS, edrp.day)
    assert len(readings) == len(expected) == 560 * 48
    failed = edrp.lake.read(FAILED_READINGS, edrp.day)
    measured = readings.loc[readings["quality"] == "measured", "energy_kwh"].sum()
    assert measured == pytest.approx(expected["energy_kwh"].astype(float).sum() - failed["arrived_kwh"].sum(), rel=1e-9)
    loads = edrp.lake.read(NODE_LOADS, edrp.day)
    assert loads.loc[loads["level"] == "feeder", "energy_kwh"].sum() == pytest.approx(
        loads.loc[loads["level"] == "system", "energy_kwh"].sum()
    )
    assert loads.loc[loads["level"] == "system", "energy_kwh"].sum() == pytest.approx(readings["energy_kwh"].sum())


def test_edrp_clock_change_day_has_46_half_hours_and_their_energy(edrp: Ran, households: pd.DataFrame):
    day = date(2009, 3, 29)
    expected = local_day(households, day)
    assert expected.groupby("meter_id", observed=True).size().eq(46).all()
    days = edrp.lake.read(METER_DAYS, day)
    assert len(days) == 560
    assert set(days["expected_intervals"]) == {46}
    failed = edrp.lake.read(FAILED_READINGS, day)
    readings = edrp.lake.read(READINGS, day)
    measured = readings.loc[readings["quality"] == "measured", "energy_kwh"].sum()
    assert measured == pytest.approx(expected["energy_kwh"].astype(float).sum() - failed["arrived_kwh"].sum(), rel=1e-9)


@pytest.mark.parametrize("name", ["plymouth", "edrp"])
def test_what_is_published_is_what_the_lake_holds(name: str, request: pytest.FixtureRequest):
    ran: Ran = request.getfixturevalue(name)
    with duckdb.connect(str(ran.site.warehouse_file), read_only=True) as published:
        total = published.execute("select sum(energy_kwh) from grid.node_loads").fetchone()[0]
        tables = {
            row[0] for row in published.execute("select table_name from information_schema.tables where table_schema = 'grid'").fetchall()
        }
        schemas = {row[0] for row in published.execute("select distinct table_schema from information_schema.tables").fetchall()}
    assert total == pytest.approx(ran.lake.read(NODE_LOADS)["energy_kwh"].sum())
    assert {"daily_energy", "demand_forecasts", "check_results", "settlements", "payments"} <= tables
    assert schemas == {"grid"}, "views on the lake's files do not belong into the published file"


def test_running_the_day_again_gives_the_same_content(edrp: Ran):
    before = content(edrp.site)
    reports = edrp.runs().day(edrp.day)
    assert all(report.succeeded for report in reports)
    after = content(edrp.site)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert not changed


@pytest.fixture
def in_plymouths_state(plymouth: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands: the fixtures of other sites have set other folders since."""
    monkeypatch.setenv("GRID_ASSETS_STATE", str(plymouth.site.state.parent))


@pytest.mark.usefixtures("in_plymouths_state")
def test_plymouths_past_days_are_forecast_again_from_the_command_line_and_as_a_job(plymouth: Ran, tmp_path):
    first, last = (plymouth.day - timedelta(days=n) for n in (6, 2))
    csv = tmp_path / "compared.csv"
    asked = ["backtest", "--site", "plymouth", "--from", first.isoformat(), "--to", last.isoformat(), "--csv", str(csv)]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    assert "worst days of plymouth-system" in told.output
    compared = pd.read_csv(csv)
    assert len(compared) == 3 * 5 * 48  # feeder, substation and system of the same load
    missed, naive = ((compared[name] - compared["actual_kw"]).abs().mean() for name in ("mean_kw", "naive_kw"))
    assert missed < naive
    assert (plymouth.site.artefacts / f"backtest_{first}_{last}.png").read_bytes().startswith(b"\x89PNG")

    job = plymouth.runs().definitions.resolve_job_def("backtest_demand")
    config = {"ops": {"forecast_again": {"config": {"first_day": first.isoformat(), "last_day": last.isoformat()}}}}
    made = job.execute_in_process(run_config=config, instance=plymouth.instance)
    assert made.success
    said = next(event for event in made.all_node_events if event.is_successful_output).step_output_data.metadata
    assert f"{missed:.5g}" in said["scores"].value
    assert "data:image/png" in said["picture"].value


@pytest.mark.usefixtures("in_plymouths_state")
def test_a_backtest_of_days_that_the_site_cannot_have_is_refused():
    for asked, expected in (
        (("2019-06-10", "2019-06-01"), "is before"),
        (("1999-01-01", "1999-01-02"), "outside the site's calendar"),
        (("2018-01-10", "2018-01-11"), "the lake holds node loads of"),
    ):
        told = CliRunner().invoke(main, ["backtest", "--site", "plymouth", "--from", asked[0], "--to", asked[1]])
        assert told.exit_code != 0
        assert expected in told.output
