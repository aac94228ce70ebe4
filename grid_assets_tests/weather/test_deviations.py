"""How far off a temperature is expected to be: the default curves, and a site's own errors in their place."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.site import Site
from grid_assets.weather.deviations import (
    ERROR_COLUMNS,
    default_forecast_degc,
    default_persistence_degc,
    deviation_degc,
    known_errors,
    past_errors,
    spread_factor,
)
from grid_assets.weather.features import sun_over
from grid_assets.weather.issues import forecast_rows
from grid_assets.weather.observations import observed_rows, read_weather, to_intervals
from grid_assets.weather.tables import OBSERVATIONS
from grid_assets_tests.conftest import needs_shared, site_in
from grid_assets_tests.weather.worlds import hourly, issues, observed

LEAD = np.array([0.0, 12.0, 39.0, 100.0, 168.0, 500.0])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_in(tmp_path, "demo")


def rows(lead: np.ndarray, error: np.ndarray, count: int) -> pd.DataFrame:
    """Errors of ``count`` issues, the same at each."""
    parts = [
        pd.DataFrame({"issued": n, "known_utc": n, "lead_hours": lead, "error_degc": error, "spread_degc": np.nan}) for n in range(count)
    ]
    return pd.concat(parts, ignore_index=True)[list(ERROR_COLUMNS)]


def test_the_defaults_grow_and_stand_where_nothing_is_known():
    assert default_forecast_degc(LEAD) == pytest.approx([0.9, 1.08, 1.485, 2.4, 3.42, 4.5])
    for default in (default_forecast_degc, default_persistence_degc):
        assert deviation_degc(LEAD, pd.DataFrame(), default) == pytest.approx(default(LEAD))
        assert (np.diff(default(np.arange(600.0))) >= 0).all()
    assert (default_persistence_degc(LEAD) >= default_forecast_degc(LEAD)).all()


def test_own_errors_count_from_ten_issues_on_and_are_met_by_lead():
    lead = np.arange(96.0)
    error = 2.0 * default_forecast_degc(lead) * np.where(lead % 2, 1, -1)
    assert deviation_degc(LEAD, rows(lead, error, 9), default_forecast_degc) == pytest.approx(default_forecast_degc(LEAD))
    assert deviation_degc(LEAD, rows(lead, error, 10), default_forecast_degc) == pytest.approx(2 * default_forecast_degc(LEAD))
    late = np.where(lead < 48, 1.0, 3.0) * default_forecast_degc(lead)
    made = deviation_degc(np.array([6.0, 84.0, 168.0]), rows(lead, late, 10), default_forecast_degc)
    assert made == pytest.approx(default_forecast_degc(np.array([6.0, 84.0, 168.0])) * [1, 3, 3], rel=0.05)


def test_a_deviation_never_falls_with_the_lead():
    lead = np.arange(96.0)
    falling = np.where(lead < 24, 4.0, 0.5)
    made = deviation_degc(np.arange(200.0), rows(lead, falling, 12), default_forecast_degc)
    assert (np.diff(made) >= 0).all()
    assert made[0] > 2.0


def test_errors_of_issues_by_hour(site: Site):
    told = hourly()
    seen = observed(site, told.assign(temperature_degc=10.0))
    starts = pd.date_range("2016-03-24T05:00Z", periods=3, freq="D").as_unit("us")
    given = issues(told.assign(temperature_degc=10.0), starts, 48, error=1.0, growth=0.5)
    found = past_errors(given, seen, site.clock).forecast
    assert len(found) == 3 * 48
    assert np.allclose(found["error_degc"], 1.0 + 0.5 * found["lead_hours"])
    assert found["spread_degc"].isna().all()
    double = pd.concat([given.assign(member=n, temperature_degc=given["temperature_degc"] + shift) for n, shift in enumerate((-1.0, 1.0))])
    both = past_errors(double, seen, site.clock).forecast
    assert np.allclose(both["error_degc"], found["error_degc"])
    assert np.allclose(both["spread_degc"], np.sqrt(2.0))


def test_errors_of_persistence_by_lead(site: Site):
    """Each day is 1 K warmer than the one before: the mean of three days is 2 K behind on the next, then 3, 4 .."""
    told = hourly()
    day = ((told["start_utc"] + pd.Timedelta(hours=1)).dt.normalize() - pd.Timestamp("2016-03-20", tz="UTC")).dt.days
    flat = told.assign(temperature_degc=day.astype(float))
    seen = observed(site, flat, date(2016, 3, 28), date(2016, 4, 6))  # summer time throughout, an hour of lag between the days
    found = past_errors(None, seen, site.clock).persistence
    noon = found[found["lead_hours"] % 24 == 4]  # 13:00 of the target day, issued at 09:00
    assert sorted(noon["lead_hours"].unique()) == [4.0 + 24 * n for n in range(7)]
    assert np.allclose(noon["error_degc"], -2.0 - noon["lead_hours"] // 24)
    assert past_errors(None, OBSERVATIONS.empty().to_pandas(), site.clock).persistence.empty


def test_only_what_was_known_counts(site: Site):
    told = hourly()
    starts = pd.date_range("2016-03-22T05:00Z", periods=10, freq="D").as_unit("us")
    errors = past_errors(issues(told, starts, 60), observed(site, told), site.clock)
    day, at = date(2016, 3, 27), pd.Timestamp("2016-03-26T05:00Z")
    known = known_errors(errors.forecast, site.clock, day, at)
    assert known["issued"].max() == at
    assert known["known_utc"].max() == pd.Timestamp("2016-03-27T21:00Z")  # the last hour of the local day
    assert known_errors(errors.forecast, site.clock, day + timedelta(days=40), at).empty
    persistent = known_errors(errors.persistence, site.clock, day, pd.Timestamp(site.clock.issue_time(day)))
    assert persistent["known_utc"].max() == pd.Timestamp(site.clock.midnight(day))


def test_spread_factor():
    narrow = rows(np.arange(24.0), np.full(24, 3.0), 10).assign(spread_degc=1.5)
    assert spread_factor(narrow) == pytest.approx(2.0)
    assert spread_factor(narrow[narrow["issued"] < 9]) == 1.0
    assert spread_factor(narrow.assign(spread_degc=0.1)) == 5.0
    assert spread_factor(narrow.assign(spread_degc=0.0)) == 1.0


@needs_shared
def test_the_default_is_near_what_real_forecasts_missed(shared_data: Path):
    """bigdeal2022: real day-ahead forecasts of six stations, January to October 2018 (in its last two months they are the observations)."""
    table = pd.read_parquet(shared_data / "bigdeal2022" / "load_temperature.parquet")
    part = table[(table["timestamp_utc"] >= "2018-01-01") & (table["timestamp_utc"] < "2018-11-01")]
    missed = [np.sqrt(np.mean((part[f"temperature_{n}_forecast_c"] - part[f"temperature_{n}_c"]).dropna() ** 2)) for n in range(1, 7)]
    expected = float(np.sqrt(np.mean(default_forecast_degc(np.arange(15.0, 39.0)) ** 2)))
    assert min(missed) / expected > 0.7
    assert max(missed) / expected < 1.3


@needs_shared
def test_persistence_is_off_as_far_as_it_says(tmp_path: Path):
    """Plymouth, every third week of a year: nine in ten errors of a week ahead are to lie within 1.645 deviations of own errors."""
    site = site_in(tmp_path, "plymouth")
    days = [date(2018, 3, 1) + timedelta(days=21 * n) for n in range(17)]
    every = site.clock.intervals(days[0] - timedelta(days=40), site.clock.horizon_day(days[-1]))
    rows = read_weather(site.weather.observations).rows
    rows = rows[(rows["start_utc"] >= every[0]) & (rows["start_utc"] <= every[-1])]
    sun = sun_over(site, days[0] - timedelta(days=40), days[-1])
    seen = observed_rows(site, to_intervals(rows, every, pd.Timedelta("30min"), sun), every)
    errors, truth = past_errors(None, seen, site.clock), seen.set_index("start_utc")["temperature_degc"]
    made = pd.concat([forecast_rows(site, day, None, seen, sun, errors=errors) for day in days])
    missed = (made["temperature_degc"].to_numpy() - truth.reindex(made["start_utc"]).to_numpy()) / made[
        "temperature_deviation_degc"
    ].to_numpy()
    assert 0.82 < np.mean(np.abs(missed[np.isfinite(missed)]) < 1.645) < 0.97
