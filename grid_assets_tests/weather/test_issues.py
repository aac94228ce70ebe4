"""Forecasts as known at an issue time: the latest issue, persistence behind its end, members, and nothing of later."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid_assets.foundation.site import Site
from grid_assets.weather import deviations, faults
from grid_assets.weather.features import sun_over
from grid_assets.weather.issues import BLENDED, NOTHING, forecast_rows, member_rows
from grid_assets.weather.observations import IMPOSSIBLE, VARIABLES
from grid_assets.weather.persistence import PERSISTENCE, departure, horizon, persisted
from grid_assets.weather.tables import FORECAST_MEMBERS, FORECASTS, OBSERVATIONS
from grid_assets_tests.conftest import site_in
from grid_assets_tests.weather.worlds import DAY, hourly, issues, observed

STARTS = pd.date_range("2016-03-22T05:00Z", "2016-04-03T05:00Z", freq="D").as_unit("us")
AT = pd.Timestamp("2016-03-28T07:00Z")
NO_OBSERVATIONS = OBSERVATIONS.empty().to_pandas()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site_in(tmp_path_factory.mktemp("issues"), "demo")


@pytest.fixture(scope="module")
def seen(site: Site) -> pd.DataFrame:
    return observed(site, hourly())


@pytest.fixture(scope="module")
def sun(site: Site):
    return sun_over(site, DAY, DAY)


def made_of(site: Site, told: pd.DataFrame | None, seen: pd.DataFrame, sun, **given) -> pd.DataFrame:
    errors = deviations.past_errors(told, seen, site.clock)
    return (
        FORECASTS.conform(forecast_rows(site, DAY, told, seen, sun, errors=errors, **given))
        .to_pandas()
        .sort_values("start_utc", ignore_index=True)
    )


def test_behind_its_end_a_forecast_is_forgotten_within_days(site: Site, seen: pd.DataFrame, sun):
    """The departure of the forecast's last day is multiplied by exp(-hours/48), from its last interval on."""
    told = issues(hourly(), STARTS[:7], error=6.0)
    made = made_of(site, told, seen, sun)
    end = STARTS[6] + pd.Timedelta(hours=60)
    within, behind = made[made["start_utc"] < end], made[made["start_utc"] >= end]
    assert set(within["source"]) == {f"forecast ({site.weather.label})"}
    assert set(behind["source"]) == {BLENDED}
    assert set(within["issued_utc"]) == {STARTS[6]}
    assert set(behind["issued_utc"]) == {AT}
    usual = persisted(site, DAY, seen, horizon(site, DAY))["temperature_degc"].to_numpy()
    apart = (within["temperature_degc"] - usual[: len(within)]).tail(96).mean()
    hours = (behind["start_utc"] - within["start_utc"].iloc[-1]) / pd.Timedelta("1h")
    assert np.allclose(behind["temperature_degc"] - usual[len(within) :], apart * np.exp(-hours / 48.0))
    wind = persisted(site, DAY, seen, horizon(site, DAY))["wind_speed_m_s"].to_numpy()[len(within) :]
    assert np.allclose(behind["wind_speed_m_s"], wind)  # only temperature is drawn
    assert faults.not_current(made, site.clock, DAY, provider=True) == ""
    assert faults.reach(made, site.clock, DAY) == "the forecast reaches 58 of 183 h, persistence from there on"


def test_behind_its_end_a_forecast_is_as_sure_as_persistence_before_long(site: Site, seen: pd.DataFrame, sun):
    made = FORECASTS.conform(forecast_rows(site, DAY, issues(hourly(), STARTS[:7]), seen, sun)).to_pandas().sort_values("start_utc")
    middle = made["start_utc"] + pd.Timedelta("7.5min")
    told = 0.9 + 0.015 * (middle - STARTS[6]) / pd.Timedelta("1h")
    usual = np.interp((middle - AT) / pd.Timedelta("1h"), *deviations.PERSISTENCE_DEGC)
    last = STARTS[6] + pd.Timedelta("59h45min")
    share = np.exp(-np.maximum((made["start_utc"] - last) / pd.Timedelta("1h"), 0) / 48)
    assert np.allclose(made["temperature_deviation_degc"], np.sqrt(share * told**2 + (1 - share) * usual**2))


def test_departure_of_a_gap_and_before_any_forecast():
    index = pd.date_range("2016-03-28", periods=6, freq="h", tz="UTC")
    told = pd.Series([np.nan, 12.0, 14.0, np.nan, 10.0, np.nan], index)
    degrees, share = departure(told, pd.Series(10.0, index))
    fade = np.exp(-1 / 48)
    assert share == pytest.approx([0, 1, 1, fade, 1, fade])
    assert degrees == pytest.approx([0, 2, 3, 3 * fade, 2, 2 * fade])


def test_an_old_issue_is_used_with_its_age_and_a_larger_deviation(site: Site, seen: pd.DataFrame, sun):
    fresh, old = (made_of(site, issues(hourly(), STARTS[:count], 100), seen, sun) for count in (7, 5))
    assert old["source"].iloc[0] == f"last forecast ({site.weather.label}), 50 h old"
    assert set(old["issued_utc"].iloc[:96]) == {STARTS[4]}
    assert (old["temperature_deviation_degc"].iloc[:190] > fresh["temperature_deviation_degc"].iloc[:190]).all()
    for made in (fresh, old):
        assert (np.diff(made["temperature_deviation_degc"]) >= 0).all()
        assert made["temperature_deviation_degc"].iloc[-1] > made["temperature_deviation_degc"].iloc[0]
    said = faults.not_current(old, site.clock, DAY, provider=True)
    assert said.startswith("156 of 156 intervals up to the study day are from an old one: last forecast")


def test_an_issue_that_reaches_nothing_of_the_horizon(site: Site, seen: pd.DataFrame, sun):
    made = made_of(site, issues(hourly(), STARTS[:1], 24), seen, sun)
    assert set(made["source"]) == {PERSISTENCE}
    assert "156 of 156 intervals up to the study day have no forecast" in faults.not_current(made, site.clock, DAY, provider=True)
    assert faults.not_current(made, site.clock, DAY, provider=False) == ""
    assert faults.reach(made, site.clock, DAY) == "no forecast, persistence throughout"


def test_what_a_forecast_lacks_is_persistence_and_named(site: Site, seen: pd.DataFrame, sun):
    told = issues(hourly(), STARTS[:7], 300).assign(ghi_w_m2=np.nan, cloud_cover_pct=np.nan)
    made = made_of(site, told, seen.assign(cloud_cover_pct=np.nan), sun)
    assert set(made["source"]) == {f"forecast ({site.weather.label}); persistence of ghi_w_m2"}
    assert made["ghi_w_m2"].notna().all()
    assert made["cloud_cover_pct"].isna().all()


def test_without_forecast_and_observation_the_rows_come_empty(site: Site, sun):
    made = made_of(site, None, NO_OBSERVATIONS, sun)
    assert len(made) == len(horizon(site, DAY))
    assert set(made["source"]) == {NOTHING}
    assert made[[*VARIABLES, "temperature_deviation_degc"]].isna().all().all()


def test_persistence_looks_further_back_where_days_are_missing(site: Site, seen: pd.DataFrame):
    days = site.clock.days_of(seen["start_utc"])
    gone = seen.assign(temperature_degc=seen["temperature_degc"].where(~days.isin([DAY, DAY - timedelta(days=2)])))
    noon = pd.DatetimeIndex([pd.Timestamp("2016-03-29 12:00", tz="Europe/Berlin").tz_convert("UTC")])
    by_day = seen.set_index("start_utc")["temperature_degc"]
    wanted = [by_day[pd.Timestamp(f"2016-03-{day} 12:00", tz="Europe/Berlin")] for day in (23, 24, 26)]
    assert persisted(site, DAY, gone, noon)["temperature_degc"].iloc[0] == pytest.approx(np.mean(wanted))
    assert persisted(site, DAY, gone, noon)["wind_speed_m_s"].iloc[0] == pytest.approx(
        persisted(site, DAY, seen, noon)["wind_speed_m_s"].iloc[0]
    )


def with_members(told: pd.DataFrame, offsets: list[float]) -> pd.DataFrame:
    parts = [told.assign(member=n, temperature_degc=told["temperature_degc"] + one) for n, one in enumerate(offsets)]
    return pd.concat(parts, ignore_index=True)


def test_members_are_kept_and_their_mean_and_spread_are_the_forecast(site: Site, seen: pd.DataFrame, sun):
    offsets = [-4.0, -2.0, 0.0, 2.0, 4.0]
    told = with_members(issues(hourly(), STARTS[6:7], 100), offsets)
    told.loc[told["member"] == 4, "wind_speed_m_s"] = np.nan
    made, plain = made_of(site, told, seen, sun), made_of(site, issues(hourly(), STARTS[6:7], 100), seen, sun)
    assert np.allclose(made["temperature_degc"], plain["temperature_degc"])
    assert np.allclose(made["wind_speed_m_s"], plain["wind_speed_m_s"])  # of those members that have a value
    reach = (made["start_utc"] < STARTS[6] + pd.Timedelta(hours=100)).sum()
    assert np.allclose(made["temperature_deviation_degc"].iloc[:reach], np.std(offsets, ddof=1))
    rows = FORECAST_MEMBERS.conform(member_rows(site, DAY, told, sun)).to_pandas()
    assert rows.groupby("member").size().to_dict() == dict.fromkeys(range(5), reach)
    mean = rows.groupby("start_utc")["temperature_degc"].mean().to_numpy()
    assert np.allclose(mean, made["temperature_degc"].iloc[:reach])
    assert member_rows(site, DAY, issues(hourly(), STARTS, 100), sun).empty
    assert member_rows(site, DAY, None, sun).empty


def test_a_spread_that_was_too_narrow_is_widened(site: Site, sun):
    """The mean was off by 3 K in every issue, the members by 1 K from it: the deviation to expect is 3 K."""
    narrow = [float(one) for one in np.array([-2, -1, 0, 1, 2]) / np.std([-2, -1, 0, 1, 2], ddof=1)]
    starts = pd.date_range("2016-03-22T05:00Z", "2016-03-28T05:00Z", freq="12h").as_unit("us")
    calm = hourly().assign(temperature_degc=10.0)
    told = with_members(issues(calm, starts, 100, error=3.0), narrow)
    made = made_of(site, told, observed(site, calm), sun)
    assert made["temperature_deviation_degc"].iloc[0] == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize("absurd", [float("inf"), 80.0])
def test_absurd_values_are_taken_out_flagged_and_the_forecast_comes(site: Site, seen: pd.DataFrame, sun, absurd: float, tmp_path: Path):
    from grid_assets.foundation.weather_section import WeatherInput
    from grid_assets.weather.observations import read_weather

    told = issues(hourly(), STARTS[6:7], 300)
    noon = pd.Timestamp("2016-03-29T12:00Z")
    told.loc[told["start_utc"] == noon, "temperature_degc"] = absurd
    told.drop(columns=IMPOSSIBLE).to_parquet(tmp_path / "f.parquet")
    read = read_weather(
        WeatherInput(folder=tmp_path, pattern="f.parquet", columns={name: name for name in ("start_utc", "issued_utc", *VARIABLES)}),
        forecast=True,
    )
    assert read.impossible == 1
    made = made_of(site, read.rows, seen, sun)
    hour = made[(made["start_utc"] >= noon) & (made["start_utc"] < noon + pd.Timedelta("1h"))]
    assert hour["impossible_values"].tolist() == [1] * 4
    assert made["impossible_values"].sum() == 4
    assert made["temperature_degc"].between(-60, 60).all()
    assert set(hour["source"]) == {f"forecast ({site.weather.label}); persistence of temperature_degc"}
    assert "4 intervals have values that cannot be" in faults.not_current(made, site.clock, DAY, provider=True)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delete=st.booleans(), members=st.booleans(), seed=st.integers(0, 5), value=st.sampled_from([1.0, -40.0, np.nan]),
    known_hours=st.integers(0, 40),
)  # fmt: skip
def test_no_issue_and_no_observation_of_later_matters(
    site: Site, sun, delete: bool, members: bool, seed: int, value: float, known_hours: int
):
    """Whatever is issued after the issue time (or known_until), and observed after the day, changes no row."""
    until = (AT + pd.Timedelta(hours=known_hours)).to_pydatetime()
    rows = hourly(seed)
    near = pd.DatetimeIndex([pd.Timestamp(until), pd.Timestamp(until) + pd.Timedelta("1s")]).as_unit("us")
    told, seen = issues(rows, STARTS.union(near), 80, growth=0.1), observed(site, rows)
    told = with_members(told, [-1.0, -0.5, 0.0, 0.5, 1.0]) if members else told
    late, unseen = told["issued_utc"] > until, seen["start_utc"] >= site.clock.bounds(DAY)[1]
    assert late.any()
    assert unseen.any()
    if delete:
        other_told, other_seen = told[~late], seen[~unseen]
    else:
        other_told, other_seen = told.copy(), seen.copy()
        other_told.loc[late, list(VARIABLES)] = value
        other_seen.loc[unseen, list(VARIABLES)] = value
    made, other = (made_of(site, a, b, sun, known_until=until) for a, b in ((told, seen), (other_told, other_seen)))
    pd.testing.assert_frame_equal(made, other)
    assert made["issued_utc"].min() == pd.Timestamp(until)  # what came at this very instant is known
    pd.testing.assert_frame_equal(
        member_rows(site, DAY, told, sun, known_until=until), member_rows(site, DAY, other_told, sun, known_until=until)
    )
