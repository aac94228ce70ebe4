"""Weather: files read by mapping, hours brought to intervals, persistence and features against hand-made numbers, no look ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import WEATHER_VARIABLES, WeatherInput
from grid_assets.weather.features import clear_sky_index, feature_rows, holidays_of, sun_over
from grid_assets.weather.issues import forecast_rows
from grid_assets.weather.observations import IMPOSSIBLE, VARIABLES, WeatherFileError, observed_rows, read_weather, to_intervals
from grid_assets.weather.persistence import PERSISTENCE, horizon
from grid_assets.weather.tables import FEATURES, FORECASTS, OBSERVATIONS
from grid_assets_tests.conftest import site_in

DAY = date(2016, 3, 27)
HOURS = pd.date_range("2016-03-20", "2016-04-03", freq="h", tz="UTC", inclusive="left").as_unit("us")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_in(tmp_path, "demo")


def hourly(site: Site, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sun = (
        sun_over(site, date(2016, 3, 19), date(2016, 4, 4))
        .table["clear_sky_ghi_w_m2"]
        .reindex(HOURS + pd.Timedelta(minutes=30), fill_value=0)
    )
    return pd.DataFrame({
        "start_utc": HOURS, "temperature_degc": rng.normal(8, 5, len(HOURS)), "humidity_pct": rng.uniform(30, 90, len(HOURS)),
        "wind_speed_m_s": rng.uniform(0, 12, len(HOURS)), "ghi_w_m2": sun.to_numpy() * rng.uniform(0.2, 1, len(HOURS)),
        "cloud_cover_pct": rng.uniform(0, 100, len(HOURS)),
    })  # fmt: skip


def observed(site: Site, rows: pd.DataFrame) -> pd.DataFrame:
    days = days_between(date(2016, 3, 21), date(2016, 3, 31))
    every = site.clock.intervals(days[0], days[-1])
    values = to_intervals(rows, every, pd.Timedelta(site.clock.interval), sun_over(site, days[0], days[-1]))
    return OBSERVATIONS.conform(observed_rows(site, values, every)).to_pandas()


def issues(rows: pd.DataFrame) -> pd.DataFrame:
    starts = pd.date_range("2016-03-22T05:00Z", "2016-03-31T05:00Z", freq="D")
    return pd.concat([rows[rows["start_utc"] >= one].assign(issued_utc=one) for one in starts], ignore_index=True)


def test_a_list_of_columns_is_averaged_and_impossible_values_are_counted(tmp_path: Path):
    frame = pd.DataFrame({"t": ["2016-01-01T00:00", "2016-01-01T01:00"], "a": [1.0, 200.0], "b": [3.0, 20.0], "g": [-5.0, 100.0]})
    frame.to_csv(tmp_path / "w.csv", index=False)
    chosen = WeatherInput(
        folder=tmp_path, pattern="w.csv", format="csv", columns={"start_utc": "t", "temperature_degc": ["a", "b"], "ghi_w_m2": "g"}
    )
    found = read_weather(chosen)
    assert found.impossible == 2
    assert found.rows["temperature_degc"].tolist()[0] == 2.0
    assert found.rows["temperature_degc"][1] == 20.0  # the broken sensor is left out of the mean
    assert np.isnan(found.rows["ghi_w_m2"][0])
    assert found.rows["ghi_w_m2"][1] == 100.0


def test_faulty_files_are_named(tmp_path: Path):
    columns = {"start_utc": "t", "temperature_degc": "a"}
    with pytest.raises(WeatherFileError, match="no file matches"):
        read_weather(WeatherInput(folder=tmp_path, pattern="w.csv", format="csv", columns=columns))
    (tmp_path / "w.csv").write_text("t,a\n2016-01-01,1\nsoon,2\n")
    with pytest.raises(WeatherFileError, match="row 2: start_utc"):
        read_weather(WeatherInput(folder=tmp_path, pattern="w.csv", format="csv", columns=columns))
    with pytest.raises(WeatherFileError, match="'b'"):
        read_weather(WeatherInput(folder=tmp_path, pattern="w.csv", format="csv", columns={**columns, "ghi_w_m2": "b"}))
    with pytest.raises(WeatherFileError, match=r"missing \['issued_utc'\]"):
        read_weather(WeatherInput(folder=tmp_path, pattern="w.csv", format="csv", columns=columns), forecast=True)


def test_values_that_are_no_numbers_are_counted_and_missing_ones_are_not(tmp_path: Path):
    (tmp_path / "w1.csv").write_text("t,a,g\n2016-01-01T00:00,warm,10\n2016-01-01T01:00,4,\n2016-01-01T02:00,NA,inf\n")
    (tmp_path / "w2.csv").write_text("t,a,g\n2016-01-01T02:00,--,7\n")  # comes later and stands in for the third row
    chosen = WeatherInput(
        folder=tmp_path, pattern="w*.csv", format="csv", columns={"start_utc": "t", "temperature_degc": "a", "ghi_w_m2": "g"}
    )
    found = read_weather(chosen)
    assert found.impossible == 2  # warm and --
    assert found.rows["temperature_degc"].tolist() == pytest.approx([np.nan, 4.0, np.nan], nan_ok=True)
    assert found.rows["ghi_w_m2"].tolist() == pytest.approx([10.0, np.nan, 7.0], nan_ok=True)
    assert list(found.rows.columns) == ["start_utc", *VARIABLES, IMPOSSIBLE]
    assert found.rows[IMPOSSIBLE].tolist() == [1, 0, 1]


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("kind", ["truncated", "empty", "binary"])
def test_a_broken_file_is_named_with_what_to_do(tmp_path: Path, form: str, kind: str):
    file = tmp_path / f"w.{form}"
    pd.DataFrame({"t": ["2016-01-01"], "a": [1.0]}).to_parquet(file)
    truncated = file.read_bytes()[:-1] if form == "parquet" else b't,a\n2016-01-01,"1'
    file.write_bytes({"truncated": truncated, "empty": b"", "binary": b"\xff\xfe\x00t,a\n"}[kind])
    chosen = WeatherInput(folder=tmp_path, pattern=file.name, format=form, columns={"start_utc": "t", "temperature_degc": "a"})  # type: ignore[arg-type]
    with pytest.raises(WeatherFileError) as raised:
        read_weather(chosen)
    assert str(raised.value).startswith(f"{file}: cannot be read as {form} (")
    assert "delivered again" in str(raised.value)


def test_the_site_file_knows_the_names_of_weather():
    assert VARIABLES == WEATHER_VARIABLES


def test_intervals_keep_the_energy_of_each_hour_and_absent_hours_stay_empty(site: Site):
    rows = hourly(site).drop(index=200)
    every = site.clock.intervals(date(2016, 3, 22), date(2016, 3, 30))
    made = to_intervals(rows, every, pd.Timedelta(minutes=15), sun_over(site, date(2016, 3, 22), date(2016, 3, 30)))
    back = made.groupby(made.index.floor("h")).mean()
    wanted = rows.set_index("start_utc")["ghi_w_m2"].reindex(back.index)
    assert np.allclose(back["ghi_w_m2"], wanted, equal_nan=True)
    assert made.loc[made.index.floor("h") == HOURS[200], list(VARIABLES)].isna().all().all()
    assert int(made["temperature_degc"].isna().sum()) == 4
    assert (made["ghi_w_m2"].dropna() >= 0).all()


def test_straight_line_between_the_middles_of_hours(site: Site):
    rows = hourly(site).assign(temperature_degc=np.arange(len(HOURS), dtype=float))
    every = site.clock.intervals(DAY)
    made = to_intervals(rows, every, pd.Timedelta(minutes=15), sun_over(site, DAY, DAY))
    expected = ((every + pd.Timedelta(minutes=7.5)) - (HOURS[0] + pd.Timedelta(minutes=30))) / pd.Timedelta(hours=1)
    assert np.allclose(made["temperature_degc"], expected)


def test_persistence_is_the_mean_of_three_days_at_the_same_local_time(site: Site):
    seen = observed(site, hourly(site))
    made = forecast_rows(site, DAY, None, seen, sun_over(site, DAY, DAY))
    FORECASTS.conform(made)
    assert set(made["source"]) == {PERSISTENCE}
    assert set(made["issued_utc"]) == {pd.Timestamp(site.clock.issue_time(DAY))}
    assert list(made["start_utc"]) == list(horizon(site, DAY))
    noon = made.loc[made["start_utc"] == pd.Timestamp("2016-03-28 12:00", tz="Europe/Berlin"), "temperature_degc"].iloc[0]
    wanted = [
        seen.loc[seen["start_utc"] == pd.Timestamp(f"2016-03-{day} 12:00", tz="Europe/Berlin"), "temperature_degc"].iloc[0]
        for day in (25, 26, 27)
    ]
    assert noon == pytest.approx(np.mean(wanted))


@pytest.mark.parametrize("provider", [True, False])
@pytest.mark.parametrize("change", ["delete", "change"])
def test_nothing_after_the_issue_time_is_used(site: Site, provider: bool, change: str):
    rows, at_issue = hourly(site), pd.Timestamp(site.clock.issue_time(DAY))
    told, seen = issues(rows), observed(site, rows)
    late_told, late_seen = told["issued_utc"] > at_issue, seen["start_utc"] >= at_issue
    assert late_told.any()
    assert late_seen.any()
    if change == "delete":
        other_told, other_seen = told[~late_told], seen[~late_seen]
    else:
        other_told, other_seen = told.copy(), seen.copy()
        other_told.loc[late_told, list(VARIABLES)] = 1.0
        other_seen.loc[late_seen, list(VARIABLES)] = 1.0
    made = [_day(site, a if provider else None, b) for a, b in ((told, seen), (other_told, other_seen))]
    pd.testing.assert_frame_equal(made[0][0], made[1][0])
    pd.testing.assert_frame_equal(made[0][1], made[1][1])
    early = told.copy()
    early.loc[~late_told, "temperature_degc"] += 1.0
    if provider:
        assert not _day(site, early, seen)[0].equals(made[0][0])


def _day(site: Site, told: pd.DataFrame | None, seen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    sun = sun_over(site, DAY, DAY)
    forecast = FORECASTS.conform(forecast_rows(site, DAY, told, seen, sun)).to_pandas()
    rows = feature_rows(site, DAY, seen, forecast, sun, holidays_of(site, DAY, DAY))
    return forecast, FEATURES.conform(rows).to_pandas()


def test_features_of_a_short_day(site: Site):
    seen = observed(site, hourly(site))
    forecast, made = _day(site, issues(hourly(site)), seen)
    own = made[made["basis"] == "observed"]
    assert len(own) == 92
    assert len(made[made["basis"] == "forecast"]) == len(horizon(site, DAY)) == 60 + 7 * 96
    last = own.iloc[-1]
    past = seen[(seen["start_utc"] <= last["start_utc"]) & (seen["start_utc"] > last["start_utc"] - timedelta(hours=24))]
    assert len(past) == 96
    assert last["temperature_mean_24h_degc"] == pytest.approx(past["temperature_degc"].mean())
    assert np.allclose(own["heating_degc"], np.maximum(15.5 - own["temperature_degc"], 0))
    assert np.allclose(own["cooling_degc"], np.maximum(own["temperature_degc"] - 22, 0))
    assert not made["temperature_mean_72h_degc"].isna().any()
    holiday = made[made["holiday"]]["start_utc"].dt.tz_convert("Europe/Berlin").dt.date
    assert set(holiday) == {date(2016, 3, 28)}  # Easter Monday; nationwide, Easter Sunday is none
    issue, run = pd.Timestamp("2016-03-28T05:00Z"), pd.Timestamp("2016-03-28T07:00Z")
    assert forecast["issued_utc"].tolist() == [issue if start < HOURS[-1] + timedelta(hours=1) else run for start in forecast["start_utc"]]


def test_clear_sky_index():
    found = clear_sky_index(pd.Series([0.0, 300.0, 5000.0, np.nan, 5.0]), pd.Series([0.0, 600.0, 600.0, 600.0, 10.0]))
    assert found.tolist()[:3] == [0.0, 0.5, 2.0]
    assert np.isnan(found[3])
    assert found[4] == 0.0


def test_the_sun_stands_where_it_should(site: Site):
    sun = sun_over(site, date(2016, 6, 5), date(2016, 6, 5)).table
    noon = sun.loc[site.clock.intervals(date(2016, 6, 5)), "solar_elevation_degree"].max()
    assert noon == pytest.approx(90 - 53.42 + 22.6, abs=0.2)
    assert replace(sun_over(site, DAY, DAY)).table["clear_sky_ghi_w_m2"].min() == 0.0
