"""A live site whose weather comes from a service on loopback, through real Dagster runs. The doors' clock is set, nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.definitions import build_definitions
from grid_assets.foundation.dagster.partitions import site_days
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import load_site
from grid_assets.foundation.weather_section import WeatherInput
from grid_assets.weather import assets, checks, fetching, issues, kept_answers, sensors
from grid_assets.weather.observations import VARIABLES
from grid_assets.weather.tables import FEATURES, FEATURES_UNDER_WAY, FORECAST_MEMBERS, FORECASTS, OBSERVATIONS
from grid_assets_tests.weather.service import Reply, answer, body, serving

DAY = date(2026, 3, 28)
"""Its run happens on the morning of a day of 23 hours."""
BEFORE, ISSUE = datetime(2026, 3, 29, 6, 40, tzinfo=UTC), datetime(2026, 3, 29, 7, tzinfo=UTC)
KEY = "not-a-word"
LIVE = 'mode = "live"'
REPLAY = 'mode = "replay"\nlast_day = 2026-04-10\ndefault_day = 2026-03-28'

SITE = """
name = "ours"
title = "Our town"
time_zone = "Europe/Berlin"
country = "DE"
currency = "EUR"
interval_minutes = 15
state = "state"
[calendar]
{calendar}
first_day = 2026-03-01
issue_hour = 9
[registers]
folder = "registers"
[[readings]]
name = "head_end"
folder = "in"
pattern = "reads_{{received}}.csv"
[weather]
station_id = "grid"
latitude = 52.5
longitude = 13.4
label = "Open-Meteo"
[weather.observations]
provider = "open_meteo"
base_url = "{address}"
attempts = 1
[weather.forecasts]
provider = "open_meteo"
base_url = "{address}"
attempts = 1
timeout_s = 5
{more}
"""


def platform_of(folder: Path, address: str, more: str = "", calendar: str = LIVE) -> Platform:
    file = folder / "ours.toml"
    file.write_text(SITE.format(address=address, more=more, calendar=calendar))
    return Platform(site_file=str(file))


def materialise(
    platform: Platform, day: date = DAY, known_until: str | None = None, *, with_features: bool = False
) -> dg.ExecuteInProcessResult:
    wanted = [table.key for table in (OBSERVATIONS, FORECASTS, FORECAST_MEMBERS, *([FEATURES] if with_features else []))]
    days = site_days(platform.site)
    loaded = dg.load_definitions_from_modules([assets, checks])
    placed = loaded.map_asset_specs(func=lambda spec: spec.replace_attributes(partitions_def=days))
    made = dg.Definitions.merge(
        placed,
        dg.Definitions(
            jobs=[dg.define_asset_job("run", dg.AssetSelection.assets(*wanted), partitions_def=days)], resources={"platform": platform}
        ),
    )
    config = {"ops": {"weather__forecasts": {"config": {"known_until": known_until}}}} if known_until else None
    return made.resolve_job_def("run").execute_in_process(partition_key=day.isoformat(), run_config=config)


def said(result: dg.ExecuteInProcessResult, table: str) -> dict[str, object]:
    found = {one.asset_key.path[-1]: one.materialization.metadata for one in result.get_asset_materialization_events()}
    return {name: value.value for name, value in found[table].items()}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {one.check_name: (one.passed, one.description or "") for one in result.get_asset_check_evaluations()}


def at(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    for door in (assets, sensors):
        monkeypatch.setattr(door, "utc_now", lambda: now)


def as_asked(fields: dict[str, str], today: date = date(2026, 3, 29), members: int = 0) -> Reply:
    begin = today - timedelta(days=int(fields["past_days"]))
    hours = 24 * (int(fields["past_days"]) + int(fields["forecast_days"]))
    return Reply(body(answer(begin.isoformat(), hours, members=members)))


def test_a_morning_of_a_live_site_and_the_same_again_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)
    with serving(as_asked) as service:
        platform = platform_of(tmp_path, service.address)
        first = materialise(platform, with_features=True)
        assert first.success
        assert [(path, one["past_days"], one["forecast_days"]) for path, one in service.asked] == [
            ("/v1/forecast", "2", "1"),
            ("/v1/forecast", "0", "8"),
        ]
        lake = platform.lake
        made = lake.read(FORECASTS, DAY)
        assert set(made["source"]) == {"forecast (Open-Meteo)"}
        assert set(made["issued_utc"]) == {pd.Timestamp(BEFORE)}
        assert made["start_utc"].max() == pd.Timestamp("2026-04-05T21:45Z")  # the end of the seventh day after the issue
        assert lake.read(FORECAST_MEMBERS, DAY).empty
        seen = lake.read(OBSERVATIONS, DAY)
        assert len(seen) == 96
        assert seen["temperature_degc"].notna().all()
        assert set(seen["source"]) == {"Open-Meteo (Open-Meteo: past hours of weather models, not measured)"}
        assert all(passed for passed, _ in verdicts(first).values())
        assert verdicts(first)["weather_current"][1] == "the forecast reaches 183 of 183 h"
        hashes = [lake.content_hash(table, DAY) for table in (OBSERVATIONS, FORECASTS, FEATURES)]
        assert materialise(platform, with_features=True).success
        assert len(service.asked) == 2  # kept, so not asked again
        assert [lake.content_hash(table, DAY) for table in (OBSERVATIONS, FORECASTS, FEATURES)] == hashes
    replayed = platform_of(tmp_path, "http://127.0.0.1:9", calendar=REPLAY)  # nobody is there, and nobody is asked
    assert materialise(replayed, with_features=True).success
    assert [replayed.lake.content_hash(table, DAY) for table in (OBSERVATIONS, FORECASTS, FEATURES)] == hashes
    # and the kept files are files as any provider's: a site file may name them
    file = tmp_path / "ours.toml"
    names = ("start_utc", "issued_utc", *VARIABLES)
    for what, columns in (("observations", names[:1] + names[2:]), ("forecasts", names)):
        mapped = ", ".join(f'{name} = "{name}"' for name in columns)
        section = f'[weather.{what}]\nfolder = "state/weather/{what}"\npattern = "*.parquet"\ncolumns = {{ {mapped} }}\n'
        before, after = file.read_text().split(f"[weather.{what}]")
        file.write_text(before + section + after[after.index("\n[") :] if "\n[" in after else before + section)
    of_files = Platform(site_file=str(file))
    assert isinstance(of_files.site.weather.forecasts, WeatherInput)
    assert materialise(of_files).success
    assert of_files.lake.content_hash(FORECASTS, DAY) == hashes[1]
    assert set(of_files.lake.read(OBSERVATIONS, DAY)["source"]) == {"Open-Meteo"}


def test_offline_the_last_issue_stands_with_its_age_and_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)
    with serving(as_asked, as_asked, Reply(status=503)) as service:
        platform = platform_of(tmp_path, service.address)
        materialise(platform)
        at(monkeypatch, BEFORE + timedelta(days=1))
        result = materialise(platform, DAY + timedelta(days=1), with_features=True)
        assert result.success
    fresh, old = (platform.lake.read(FORECASTS, DAY + timedelta(days=n)) for n in (0, 1))
    told = old[old["source"].str.startswith("last")]
    assert set(told["source"]) == {"last forecast (Open-Meteo), 24 h old"}
    assert set(told["issued_utc"]) == {pd.Timestamp(BEFORE)}
    assert old["temperature_degc"].notna().all()
    # at the same lead after the issue time the old forecast is less sure
    assert (old["temperature_deviation_degc"].to_numpy()[:500] > fresh["temperature_deviation_degc"].to_numpy()[:500]).all()
    assert "no new forecast: " in str(said(result, "forecasts")["service"])
    assert "status 503" in str(said(result, "forecasts")["service"])
    found = verdicts(result)
    assert not found["weather_current"][0]
    assert "are from an old one: last forecast (Open-Meteo), 24 h old" in found["weather_current"][1]
    assert "100% of the observed values are missing" in found["weather_complete"][1]


def test_what_was_fetched_too_late_is_not_known_at_the_issue_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    late = ISSUE + timedelta(hours=2)
    at(monkeypatch, late)
    with serving(as_asked) as service:
        platform = platform_of(tmp_path, service.address)
        result = materialise(platform)
        made = platform.lake.read(FORECASTS, DAY)
        assert made["source"].str.startswith("persistence").all()
        assert set(made["issued_utc"]) == {pd.Timestamp(ISSUE)}
        assert not verdicts(result)["weather_current"][0]
        # a run that says so may look at what has come since: an issue within the day
        materialise(platform, known_until=late.isoformat())
        assert set(platform.lake.read(FORECASTS, DAY)["issued_utc"]) == {pd.Timestamp(late)}
        assert len(service.asked) == 2
        with pytest.raises(ValueError, match="no time zone"):
            assets.WeatherConfig(known_until="2026-03-29T09:00:00").instant()


def test_a_run_of_a_day_long_past_asks_for_no_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)
    with serving(as_asked) as service:
        platform = platform_of(tmp_path, service.address)
        assert materialise(platform, DAY - timedelta(days=5)).success
        assert [one["past_days"] for _, one in service.asked] == ["7"]  # its observations only
    assert not kept_answers.kept_files(platform.site, kept_answers.FORECASTS)


def test_members_of_an_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)
    with serving(as_asked, lambda fields: as_asked(fields, members=6)) as service:
        platform = platform_of(tmp_path, service.address, 'members = true\nmodel = "icon_seamless"')
        result = materialise(platform)
        assert service.asked[1][0] == "/v1/ensemble"
        assert service.asked[1][1]["models"] == "icon_seamless"
    members, made = platform.lake.read(FORECAST_MEMBERS, DAY), platform.lake.read(FORECASTS, DAY).set_index("start_utc")
    assert sorted(members["member"].unique()) == [0, 1, 2, 3, 4, 5]
    grouped = members.groupby("start_utc")["temperature_degc"]
    assert (grouped.mean() - made["temperature_degc"]).abs().max() < 1e-9
    assert made["temperature_deviation_degc"].iloc[0] > 0
    assert said(result, "forecast_members")["members"] == 6


def test_absurd_and_unusable_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)

    def absurd(fields: dict[str, str]) -> Reply:
        hours = 24 * int(fields["forecast_days"])
        return Reply(
            body(answer("2026-03-29", hours, temperature_2m=[float("inf") if n == 40 else 80.0 if n == 60 else 7.0 for n in range(hours)]))
        )

    with serving(Reply(b"{"), absurd) as service:
        platform = platform_of(tmp_path, service.address)
        result = materialise(platform)
        assert result.success
    made = platform.lake.read(FORECASTS, DAY)
    assert made["impossible_values"].sum() == 4 * 4  # each of the two stands at the edge of two hours, of four intervals each
    assert "no JSON" in str(said(result, "observations")["service"])
    assert said(result, "forecasts")["impossible_values"] == 4
    assert "16 intervals have values that cannot be" in verdicts(result)["weather_current"][1]
    assert not kept_answers.kept_files(platform.site, kept_answers.OBSERVATIONS)


def test_the_key_comes_from_the_environment_and_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at(monkeypatch, BEFORE)
    with serving(as_asked) as service:
        platform = platform_of(tmp_path, service.address, 'api_key_variable = "OUR_WEATHER_KEY"')
        result = materialise(platform)
        assert "OUR_WEATHER_KEY, which [weather] names for the key, is not set" in str(said(result, "forecasts")["service"])
        monkeypatch.setenv("OUR_WEATHER_KEY", KEY)
        assert materialise(platform).success
        assert [one.get("apikey") for _, one in service.asked] == [None, KEY]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_the_sensor_asks_in_the_hour_before_the_issue_until_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving(Reply(status=500), as_asked) as service:
        platform = platform_of(tmp_path, service.address)
        (sensor,) = sensors.sensors_of(platform.site)
        assert sensors.sensors_of(platform_of(tmp_path, service.address, calendar=REPLAY).site) == []
        platform_of(tmp_path, service.address)

        def ticked(now: datetime):
            at(monkeypatch, now)
            return sensor(dg.build_sensor_context(resources={"platform": platform}))

        def fetched() -> bool:
            return sensor.job.execute_in_process(resources={"platform": platform}, raise_on_error=False).success

        assert isinstance(ticked(ISSUE - timedelta(minutes=61)), dg.SkipReason)
        assert isinstance(ticked(ISSUE + timedelta(minutes=1)), dg.SkipReason)
        asked = [ticked(ISSUE - timedelta(minutes=minutes)) for minutes in (50, 35)]
        assert len({one.run_key for one in asked}) == 2
        assert not fetched()
        assert isinstance(ticked(BEFORE), dg.RunRequest)
        assert fetched()
        assert isinstance(ticked(BEFORE + timedelta(minutes=15)), dg.SkipReason)
        assert fetched()  # and a second run finds it there
        assert len(service.asked) == 2
        assert isinstance(ticked(BEFORE + timedelta(days=1)), dg.RunRequest)


def test_the_sensor_is_there_on_such_a_site_only(tmp_path: Path):
    platform = platform_of(tmp_path, "http://127.0.0.1:9")
    live = build_definitions(Path(platform.site_file), platform.site)
    assert "weather_before_the_issue" in {one.name for one in live.sensors or ()}
    assert live.resolve_job_def("fetch_weather")
    replayed = platform_of(tmp_path, "http://127.0.0.1:9", calendar=REPLAY)
    names = {one.name for one in build_definitions(Path(replayed.site_file), replayed.site).sensors or ()}
    assert "weather_before_the_issue" not in names


def test_days_that_lack_hours(tmp_path: Path):
    clock = platform_of(tmp_path, "http://127.0.0.1:9").site.clock
    days = [DAY, DAY + timedelta(days=1), date(2025, 12, 1)]
    hours = pd.Series(pd.date_range(clock.midnight(DAY), clock.midnight(DAY + timedelta(days=2)), freq="h", inclusive="left").as_unit("us"))
    now = datetime(2026, 3, 30, 8, tzinfo=UTC)
    assert fetching.lacking_days(clock, days, hours, now) == []  # the third is out of reach
    assert fetching.lacking_days(clock, days, hours.iloc[1:], now) == [DAY]
    assert fetching.lacking_days(clock, days, hours.iloc[:0], now) == days[:2]
    assert fetching.lacking_days(clock, days, hours.iloc[:0], now - timedelta(hours=11)) == [DAY]  # the second is not over


def test_only_services_are_asked(tmp_path: Path):
    from grid_assets_tests.conftest import site_in

    site = site_in(tmp_path, "plymouth")
    assert not fetching.forecast_wanted(site, BEFORE)
    assert fetching.fetch_observations(site, [DAY], BEFORE) is None
    with pytest.raises(ValueError, match="names no service to ask"):
        fetching.fetch_forecast(site, BEFORE)


def test_kept_files_of_before_and_after_members_read_together(tmp_path: Path):
    site = platform_of(tmp_path, "http://127.0.0.1:9").site
    source = site.weather.forecasts
    assert kept_answers.read_kept(site, kept_answers.FORECASTS, source).rows.empty
    from grid_assets.weather.open_meteo import rows_of

    plain, members = rows_of(body(answer("2026-03-28", 30))), rows_of(body(answer("2026-03-29", 30, members=3)), members=True)
    for rows, received in ((plain, BEFORE - timedelta(days=1)), (members, BEFORE)):
        path = kept_answers.keep(site, kept_answers.FORECASTS, rows, received, {"address": "a"})
        assert kept_answers.received_of(path) == received
    found = kept_answers.read_kept(site, kept_answers.FORECASTS, source).rows
    assert found.groupby(["issued_utc", "member"]).size().tolist() == [29, 29, 29, 29]
    assert len(kept_answers.read_kept(site, kept_answers.FORECASTS, source, last=BEFORE - timedelta(hours=1)).rows) == 29
    assert load_site(tmp_path / "ours.toml", {}).weather == site.weather


def in_the_course_of(platform: Platform, until: datetime) -> tuple[dg.ExecuteInProcessResult, pd.DataFrame]:
    days = site_days(platform.site)
    loaded = dg.load_definitions_from_modules([assets])
    placed = loaded.map_asset_specs(func=lambda spec: spec.replace_attributes(partitions_def=days))
    job = dg.define_asset_job("again", dg.AssetSelection.assets(FEATURES_UNDER_WAY.key), partitions_def=days)
    made = dg.Definitions.merge(placed, dg.Definitions(jobs=[job], resources={"platform": platform}))
    config = {"ops": {"weather__features_under_way": {"config": {"until": until.isoformat()}}}}
    result = made.resolve_job_def("again").execute_in_process(partition_key=DAY.isoformat(), run_config=config)
    return result, platform.lake.read(FEATURES_UNDER_WAY, DAY).sort_values("start_utc", ignore_index=True)


def test_in_the_course_of_the_day_the_newest_weather_counts_and_none_of_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    noon = ISSUE + timedelta(hours=5)

    def warmer(fields: dict[str, str]) -> Reply:
        made = answer("2026-03-29", 24 * int(fields["forecast_days"]))
        made["hourly"]["temperature_2m"] = [one + 3.0 for one in made["hourly"]["temperature_2m"]]
        return Reply(body(made))

    with serving(as_asked, as_asked, warmer) as service:
        platform = platform_of(tmp_path, service.address)
        at(monkeypatch, BEFORE)
        materialise(platform, with_features=True)
        morning = platform.lake.read(FEATURES, DAY).query("basis == 'forecast'").sort_values("start_utc", ignore_index=True)
        at(monkeypatch, noon)
        result, newest = in_the_course_of(platform, noon)
        assert len(service.asked) == 3
        assert newest["start_utc"].tolist() == morning["start_utc"].tolist()
        np.testing.assert_allclose(newest["temperature_degc"], morning["temperature_degc"] + 3.0, atol=1e-6)
        assert str(noon.hour) in str(said(result, "features_under_way")["newest_issue"])
        kept = platform.lake.content_hash(FEATURES_UNDER_WAY, DAY)
        at(monkeypatch, noon + timedelta(hours=1))
        in_the_course_of(platform, noon + timedelta(hours=1))
        assert len(service.asked) == 3  # an answer of an hour ago is new enough
        assert platform.lake.content_hash(FEATURES_UNDER_WAY, DAY) == kept
    replayed = platform_of(tmp_path, "http://127.0.0.1:9", calendar=REPLAY)
    in_the_course_of(replayed, noon)
    assert replayed.lake.content_hash(FEATURES_UNDER_WAY, DAY) == kept
    _, before = in_the_course_of(replayed, noon - timedelta(minutes=1))  # what was issued a minute later was not known
    np.testing.assert_allclose(before["temperature_degc"], morning["temperature_degc"])


def test_hours_that_a_new_issue_no_longer_speaks_of_keep_the_mornings_forecast():
    hours = pd.date_range("2026-03-29T07:00Z", periods=6, freq="h")
    rows = {"start_utc": hours, "issued_utc": hours[0], "source": "forecast (x)"}
    morning = pd.DataFrame(rows | {"temperature_degc": 1.0})
    newest = pd.DataFrame(rows | {"temperature_degc": 9.0, "source": ["persistence"] * 3 + ["forecast (x)"] * 3})
    assert issues.brought_up_to_date(morning, newest)["temperature_degc"].tolist() == [1.0] * 3 + [9.0] * 3
    assert issues.brought_up_to_date(morning.iloc[:0], newest)["temperature_degc"].tolist() == [9.0] * 3
    nothing = newest.assign(source="persistence")
    assert issues.brought_up_to_date(morning.iloc[:0], nothing)["temperature_degc"].tolist() == [9.0] * 6
