"""Schedules and sensors: what a live site does by itself each morning."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from grid_assets import jobs
from grid_assets.daily import SiteRuns, StepReport
from grid_assets.definitions import build_definitions, public_tables
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site, load_site
from grid_assets.instance import open_instance
from grid_assets.reporting.publish import ensure_manifest
from grid_assets_tests.conftest import PROJECT, SITES

REGISTER = "event_id,programme,start_utc,end_utc,target_kw,notified_utc,label\n"
ENDED = "ours-1,placebo,2019-06-11T16:00:00Z,2019-06-11T18:00:00Z,200,2019-06-11T09:00:00Z,ended\n"
LATER = "ours-2,placebo,2019-07-11T16:00:00Z,2019-07-11T18:00:00Z,200,2019-07-11T09:00:00Z,later\n"


@pytest.fixture(scope="module")
def site_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plymouth's site file as one of our own: registers beside it, events of its own."""
    folder = tmp_path_factory.mktemp("own")
    for source in (SITES / "plymouth").iterdir():
        (folder / "plymouth").mkdir(exist_ok=True)
        (folder / "plymouth" / source.name).write_text(source.read_text())
    (folder / "plymouth" / "events.csv").write_text(REGISTER + ENDED + LATER)
    (folder / "plymouth.toml").write_text((SITES / "plymouth.toml").read_text())
    ensure_manifest(PROJECT / "dbt_project")
    return folder / "plymouth.toml"


def site_of(path: Path, state: Path) -> Site:
    return load_site(path, {**os.environ, "GRID_ASSETS_STATE": str(state), "GRID_ASSETS_SHARED": str(state)})


def live(path: Path) -> Path:
    """The same site on a live calendar."""
    text = path.read_text().replace('mode = "replay"', 'mode = "live"')
    kept = [line for line in text.splitlines() if not line.startswith(("last_day", "default_day"))]
    made = path.with_name("live.toml")
    made.write_text("\n".join(kept))
    return made


def context_of(
    sensor: str, definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, tags: dict[str, str]
) -> dg.RunStatusSensorContext:
    run = dg.DagsterRun(job_name=job, run_id="6f1d0c8e-0000-4000-8000-000000000001", tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job)
    return dg.build_run_status_sensor_context(sensor_name=sensor, dagster_instance=instance, dagster_run=run, dagster_event=event)


def sensor_of(definitions: dg.Definitions, name: str) -> dg.SensorDefinition:
    return next(sensor for sensor in definitions.sensors or () if sensor.name == name)


def test_a_day_that_succeeded_is_followed_by_its_events_and_study(site_file: Path, tmp_path: Path):
    site = site_of(site_file, tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        context = context_of("after_the_day", build_definitions(site_file, site), instance, jobs.DAY, {"dagster/partition": "2019-06-26"})
        requests = jobs.requests_after(site, date(2019, 6, 26), context)
        assert [(one.job_name, one.partition_key) for one in requests] == [
            (jobs.EVENT, "ours-1"),
            (jobs.STUDY, "2019-06-26.evening_peak.vs.flat"),
        ]
        assert len({one.run_key for one in requests}) == 2
        assert set(instance.get_dynamic_partitions("dr_events")) == {"ours-1"}
        assert set(instance.get_dynamic_partitions("studies")) == {"2019-06-26.evening_peak.vs.flat"}


def test_the_sensor_of_a_day_asks_for_them_and_leaves_back_fills_alone(site_file: Path, tmp_path: Path):
    definitions = build_definitions(site_file, site_of(site_file, tmp_path))
    sensor = sensor_of(definitions, "after_the_day")
    with dg.DagsterInstance.ephemeral() as instance:
        asked = sensor(context_of("after_the_day", definitions, instance, jobs.DAY, {"dagster/partition": "2019-06-26"}))
        assert {one.job_name for one in asked} == {jobs.EVENT, jobs.STUDY}
        ranged = {"dagster/asset_partition_range_start": "2019-06-01", "dagster/asset_partition_range_end": "2019-06-05"}
        assert isinstance(sensor(context_of("after_the_day", definitions, instance, jobs.DAY, ranged)), dg.SkipReason)


def test_the_last_of_the_followers_is_followed_by_publishing(site_file: Path, tmp_path: Path):
    definitions = build_definitions(site_file, site_of(site_file, tmp_path))
    sensor = sensor_of(definitions, "after_events_and_studies")
    with dg.DagsterInstance.ephemeral() as instance:
        context = context_of("after_events_and_studies", definitions, instance, jobs.EVENT, {})
        asked = sensor(context)
        assert asked.job_name == jobs.PUBLISH
        instance.add_run(
            dg.DagsterRun(job_name=jobs.STUDY, run_id="6f1d0c8e-0000-4000-8000-000000000002", status=dg.DagsterRunStatus.STARTED)
        )
        assert isinstance(sensor(context), dg.SkipReason)


@pytest.mark.parametrize(("mode", "expected"), [("replay", "STOPPED"), ("live", "RUNNING")])
def test_schedules_run_on_a_live_site_only(site_file: Path, tmp_path: Path, mode: str, expected: str):
    path = live(site_file) if mode == "live" else site_file
    definitions = build_definitions(path, site_of(path, tmp_path))
    schedules = {one.name: one for one in definitions.get_repository_def().schedule_defs}
    assert set(schedules) == {"every_morning", "registers_every_morning"}
    assert {one.default_status.name for one in schedules.values()} == {expected}
    assert schedules["registers_every_morning"].cron_schedule == "0 9 * * *"
    assert schedules["every_morning"].cron_schedule == "15 9 * * *"
    assert {one.execution_timezone for one in schedules.values()} == {"Europe/London"}
    often = path.with_name("often.toml")
    often.write_text(path.read_text() + "\n[forecasting]\nreissue_minutes = 15\nreissue_only_after_a_miss = true\n")
    again = {one.name: one for one in build_definitions(often, site_of(often, tmp_path)).get_repository_def().schedule_defs}
    assert again["in_the_course_of_the_day"].cron_schedule == "*/15 * * * *"
    assert again["in_the_course_of_the_day"].default_status.name == expected
    assert sensor_of(definitions, "after_the_day").default_status.name == expected


@pytest.mark.parametrize("hours", [9, 23, 32])
def test_an_issue_in_the_course_of_the_day_is_one_of_the_last_mornings_run(site_file: Path, tmp_path: Path, hours: int):
    site = site_of(site_file, tmp_path)
    day = site.calendar.default_day
    instant = site.clock.midnight(day + timedelta(days=1)) + timedelta(hours=hours)
    asked = jobs.reissue_at(site, instant)
    assert asked.partition_key == day.isoformat()
    assert asked.run_config["ops"]["metering__loads_under_way"]["config"]["until"] == instant.isoformat()
    assert asked.run_config["ops"]["weather__features_under_way"]["config"]["until"] == instant.isoformat()
    assert isinstance(jobs.reissue_at(site, datetime(1999, 1, 1, tzinfo=site.zone)), dg.SkipReason)


def test_days_that_lack_only_weather_are_filled_again(site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A back-fill whose weather failed left readings behind; the next one must not take those days for complete."""
    monkeypatch.setenv("GRID_ASSETS_STATE", str(tmp_path))
    monkeypatch.setenv("GRID_ASSETS_SHARED", str(tmp_path))
    site, day = site_of(site_file, tmp_path), date(2019, 6, 26)
    lake, history = Lake(site.lake_root), site.clock.history(day, site.calendar.history_days)
    asked: list[tuple[date, date]] = []

    def noted(runs: SiteRuns, title: str, job: str, *, days: tuple[date, date] | None = None, **_: object) -> StepReport:
        asked.extend([days] if days else [])
        return StepReport(title, job, "", succeeded=True)

    monkeypatch.setattr(SiteRuns, "run", noted)  # which days are asked for is looked at, not their making
    with open_instance(site) as instance:
        runs = SiteRuns(site_file, site, instance)
        for table in (one for one in public_tables(site) if jobs.in_history(one)):
            for one in history:
                if table.area == "metering" or one < history[-3]:
                    lake.write(table, table.empty(), one)
        list(runs.history(day))
    assert asked == [(history[-3], history[-1])]


def test_a_day_that_a_late_day_makes_stale_is_made_in_the_same_morning(site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The register reads that close a day open the next one; a day that stays stale is not made twice."""
    site, day = site_of(site_file, tmp_path), date(2019, 6, 26)
    answers, asked = iter([[date(2019, 6, 20)], [date(2019, 6, 20), date(2019, 6, 21), day]]), []

    def noted(runs: SiteRuns, title: str, job: str, *, days: tuple[date, date] | None = None, **_: object) -> StepReport:
        asked.extend([days] if days else [])
        return StepReport(title, job, "", succeeded=True)

    monkeypatch.setattr(SiteRuns, "run", noted)
    monkeypatch.setattr("grid_assets.metering.staleness.stale_days", lambda *_, **__: next(answers))
    with open_instance(site) as instance:
        list(SiteRuns(site_file, site, instance).landing(day))
    assert asked == [(date(2019, 6, 20), date(2019, 6, 20)), (date(2019, 6, 21), date(2019, 6, 21))]
