"""Lags, means and memories by hand; how it feels and where the sun stands, in rows; members and flags of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import WeatherInput
from grid_assets.weather.comfort import dew_point_degc, heat_index_degc, wind_chill_degc
from grid_assets.weather.features import feature_rows, holidays_of, recency, sun_over
from grid_assets.weather.issues import forecast_rows
from grid_assets.weather.observations import IMPOSSIBLE, WeatherFileError, read_weather, to_intervals
from grid_assets.weather.tables import FEATURES, FORECASTS
from grid_assets_tests.conftest import site_in
from grid_assets_tests.weather.worlds import DAY, hourly, issues, observed


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_in(tmp_path, "demo")


@given(values=st.lists(st.floats(-30, 40) | st.just(np.nan), min_size=30, max_size=120), step=st.sampled_from([0.25, 0.5, 1.0]))
def test_recency_by_its_definition(values: list[float], step: float):
    index = pd.date_range("2016-03-20", periods=len(values), freq=pd.Timedelta(hours=step), tz="UTC")
    made, at = recency(pd.Series(values, index), step), len(values) - 1
    known = np.array(values)
    for hours in (1, 3):
        assert made[f"temperature_lag_{hours}h_degc"].iloc[at] == pytest.approx(known[at - round(hours / step)], nan_ok=True)
    window = known[at + 1 - round(3 / step) :]
    enough = np.isfinite(window).sum() >= max(1, round(0.5 * len(window)))
    assert made["temperature_mean_3h_degc"].iloc[at] == pytest.approx(np.nanmean(window) if enough else np.nan, nan_ok=True)
    for hours in (48, 120):
        weight = np.exp(-step * np.arange(at, -1, -1) / hours)
        there = np.isfinite(known)
        wanted = np.sum(weight[there] * known[there]) / np.sum(weight[there]) if there[at] else np.nan
        assert made[f"temperature_memory_{hours}h_degc"].iloc[at] == pytest.approx(wanted, nan_ok=True)


def test_nothing_looks_ahead():
    index = pd.date_range("2016-03-20", periods=400, freq="h", tz="UTC")
    whole = pd.Series(np.random.default_rng(1).normal(size=400), index)
    pd.testing.assert_frame_equal(recency(whole, 1.0).iloc[:300], recency(whole.iloc[:300], 1.0), check_freq=False)


def test_rows_hold_how_it_feels_the_sun_and_the_deviation(site: Site):
    seen, sun = observed(site, hourly()), sun_over(site, DAY, DAY)
    told = issues(hourly(), pd.DatetimeIndex(["2016-03-28T05:00Z"]), 60)
    forecast = FORECASTS.conform(forecast_rows(site, DAY, told, seen, sun)).to_pandas()
    made = FEATURES.conform(feature_rows(site, DAY, seen, forecast, sun, holidays_of(site, DAY, DAY))).to_pandas()
    warmth, humidity, wind = (made[name].to_numpy() for name in ("temperature_degc", "humidity_pct", "wind_speed_m_s"))
    assert np.allclose(made["heat_index_degc"], heat_index_degc(warmth, humidity))
    assert np.allclose(made["wind_chill_degc"], wind_chill_degc(warmth, wind))
    assert np.allclose(made["dew_point_degc"], dew_point_degc(warmth, humidity))
    expected = made[made["basis"] == "forecast"]
    assert made.loc[made["basis"] == "observed", "temperature_deviation_degc"].isna().all()
    assert np.allclose(expected["temperature_deviation_degc"], forecast.sort_values("start_utc")["temperature_deviation_degc"])
    begin = expected.set_index("start_utc")
    later = pd.Timestamp("2016-03-29T12:00Z")
    assert begin.loc[later, "temperature_lag_24h_degc"] == pytest.approx(begin.loc[later - pd.Timedelta("24h"), "temperature_degc"])
    assert not expected["temperature_memory_120h_degc"].isna().any()
    noon = made.loc[(made["basis"] == "observed")].set_index("solar_elevation_degree")["solar_azimuth_degree"].sort_index().iloc[-1]
    assert noon == pytest.approx(180, abs=4)  # the sun is highest in the south


def columns(**more: str) -> dict[str, str | list[str]]:
    return {"issued_utc": "i", "start_utc": "t", "temperature_degc": "a", **more}


def test_members_of_files(tmp_path: Path):
    text = "i,t,m,a\n2016-01-01,2016-01-01T01,1,5\n2016-01-01,2016-01-01T01,0,4\n2016-01-01,2016-01-01T01,1,6\n"
    (tmp_path / "w.csv").write_text(text)
    given = {"folder": tmp_path, "pattern": "w.csv", "format": "csv"}
    rows = read_weather(WeatherInput(**given, columns=columns(member="m")), forecast=True).rows
    assert rows[["member", "temperature_degc"]].to_numpy().tolist() == [[0.0, 4.0], [1.0, 6.0]]  # of a member told twice the later counts
    for wrong in ("-1", "1.5", "first", ""):
        (tmp_path / "w.csv").write_text(text.replace(",0,4", f",{wrong},4"))
        with pytest.raises(WeatherFileError, match=r"w.csv, row 2: member .* cannot be read; expected a whole number from 0 on"):
            read_weather(WeatherInput(**given, columns=columns(member="m")), forecast=True)


def test_a_name_for_times_is_one_column(tmp_path: Path):
    (tmp_path / "w.csv").write_text("t,a\n2016-01-01,1\n")
    chosen = WeatherInput(folder=tmp_path, pattern="w.csv", format="csv", columns={"start_utc": "t", "temperature_degc": "a"})
    listed = chosen.model_copy(update={"columns": {"start_utc": ["t"], "temperature_degc": "a"}})
    with pytest.raises(WeatherFileError, match=r"columns\.start_utc: expected one column name"):
        read_weather(listed)


def test_flags_follow_their_rows_into_the_intervals(site: Site):
    every, sun = site.clock.intervals(DAY), sun_over(site, DAY, DAY)
    coarse = hourly().assign(**{IMPOSSIBLE: 0})
    coarse.loc[coarse["start_utc"] == pd.Timestamp("2016-03-27T10:00Z"), IMPOSSIBLE] = 2
    made = to_intervals(coarse, every, pd.Timedelta("15min"), sun)[IMPOSSIBLE]
    assert made[made > 0].to_dict() == dict.fromkeys(pd.date_range("2016-03-27T10:00Z", periods=4, freq="15min"), 2)
    fine = hourly(hours=pd.date_range("2016-03-27T00:00Z", periods=600, freq="min").as_unit("us"))
    fine.loc[[16, 20], IMPOSSIBLE] = 1
    found = to_intervals(fine, every, pd.Timedelta("15min"), sun)
    assert found.loc[found[IMPOSSIBLE] > 0, IMPOSSIBLE].to_dict() == {pd.Timestamp("2016-03-27T00:15Z"): 2}
    assert found["temperature_degc"].loc["2016-03-27T00:15Z"] == pytest.approx(fine["temperature_degc"].iloc[15:30].mean())
