"""Input as bad as it comes: a forecast still comes, and a plain message says what was odd.

For the daily job (``forecast_demand``) and the two sktime forecasters. Covered elsewhere: clock changes, absurd weather, missing rows and intervals, constant,
zero and negative loads of the daily job in test_demand.py, of the ensemble in ensemble/test_node_models.py and test_histories.py.
"""

from __future__ import annotations

import warnings
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting import faults
from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.regular_series import IrregularSeries, interval_of
from grid_assets_tests.forecasting import worlds

DAY = date(2016, 5, 25)
FIRST = DAY - timedelta(days=85)
CLOCK = worlds.clock_of(60)
YEAR_BEFORE = DAY - timedelta(days=470)


def run(loads, features=None, nodes=("system",), country="DE", **more):
    made = forecast_demand(loads, features, list(nodes), CLOCK, DAY, country=country, **more)
    assert faults.gaps(made.forecasts, "node_id", nodes, CLOCK, DAY) == ""
    return made.forecasts, "\n".join(made.messages)


def loads_of(first=FIRST, nodes=("system",)) -> pd.DataFrame:
    return worlds.node_loads(CLOCK, first, DAY, nodes)


# -- the daily job ------------------------------------------------------------------------------------------------


def test_good_input_has_no_remark():
    assert run(loads_of(), worlds.features(CLOCK, FIRST, DAY))[1] == ""
    assert run(loads_of())[1] == ""  # a site without weather is not odd


def test_missing_rows_are_counted():
    loads = loads_of(nodes=("system", "a"))
    holed = loads[(loads["node_id"] == "system") | (np.random.default_rng(5).random(len(loads)) > 0.3)]
    said = run(holed, nodes=("system", "a"))[1]
    assert said.startswith("a (3")
    assert "of the load since its first day is missing" in said
    begun = loads[(loads["node_id"] == "system") | (loads["start_utc"] >= pd.Timestamp(CLOCK.midnight(DAY - timedelta(days=30))))]
    assert "missing" not in run(begun, nodes=("system", "a"))[1]  # a node that began later lacks nothing


@pytest.mark.parametrize(
    ("gone", "message"), [("all", "no weather is known of 2016-03-01..2016-05-25"), ("forecast", "the last days' weather stands in")]
)
def test_missing_weather_is_said(gone, message):
    features = worlds.features(CLOCK, FIRST, DAY)
    features = features.iloc[:0] if gone == "all" else features[(features["basis"] == "observed") | (features["day"] < DAY)]
    assert message in run(loads_of(), features)[1]


def test_weather_without_a_single_temperature_is_said():
    features = worlds.features(CLOCK, FIRST, DAY).assign(temperature_degc=np.nan)
    assert "no temperature was forecast on 2016-05-25" in run(loads_of(), features)[1]


@pytest.mark.parametrize("degrees", [np.inf, -np.inf, 1e9, -273.0])
def test_absurd_temperature_is_flagged_and_a_forecast_comes(degrees):
    features = worlds.features(CLOCK, FIRST, DAY)
    features.loc[features.index[:7], "temperature_degc"] = degrees
    forecasts, said = run(loads_of(), features)
    assert f"7 of {len(features)} values of temperature_degc are infinite or lie outside -60 .. 60: they count as missing" in said
    np.testing.assert_allclose(forecasts["mean_kw"], run(loads_of(), worlds.features(CLOCK, FIRST, DAY))[0]["mean_kw"], rtol=0.02)


def test_a_constant_load_is_told_with_its_value():
    said = run(
        loads_of(nodes=("system", "a")).assign(energy_kwh=lambda rows: rows["energy_kwh"].where(rows["node_id"] == "a", 42.0)),
        nodes=("system", "a"),
    )[1]
    assert said.startswith("system (42 kW): the load never changes: forecast as it is; a meter that stands still looks the same")


def test_load_behind_pv_is_forecast_below_zero_and_said():
    loads = loads_of()
    forecasts, said = run(loads.assign(energy_kwh=loads["energy_kwh"] - 110))
    assert forecasts["mean_kw"].min() < 0
    assert "of the known intervals feed in: forecast with their sign" in said


def test_infinite_loads_count_as_missing_and_are_said():
    loads = loads_of()
    loads.loc[loads.index[[3, 40]], "energy_kwh"] = np.inf
    assert "system: 2 loads are no finite numbers: they count as missing" in run(loads)[1]


def test_two_weeks_of_history_are_said():
    assert "only 14 days of history" in run(loads_of(DAY - timedelta(days=13)))[1]


@pytest.mark.parametrize("later", [timedelta(days=1), timedelta(days=2), timedelta(days=7000)])
def test_timestamps_in_the_future_are_left_out_and_said(later):
    loads = loads_of()
    future = loads.tail(5).assign(start_utc=lambda rows: rows["start_utc"] + later, energy_kwh=9e6)
    forecasts, said = run(pd.concat([loads, future]))
    np.testing.assert_array_equal(forecasts["mean_kw"], run(loads)[0]["mean_kw"])
    assert "system: 5 rows of load lie after 2016-05-26T07:00:00+00:00" in said
    assert (loads["start_utc"].max() + later).isoformat() in said


def test_holidays_of_an_unknown_country_are_none_and_said():
    forecasts, said = run(loads_of(), country="XX")
    assert "no public holidays are known of country 'XX'" in said
    assert len(forecasts) == len(run(loads_of())[0])


def test_an_unknown_region_is_said_and_the_countrys_holidays_count():
    said = run(loads_of(), region="NOWHERE")[1]
    assert "region 'NOWHERE' of country 'DE' is not known: the country's public holidays stand in" in said
    assert "every day counts by its weekday" not in said


def test_many_names_are_cut():
    nodes = [f"n{n}" for n in range(8)]
    loads = loads_of(nodes=nodes)
    assert (
        "n0 (42 kW), n1 (42 kW), n2 (42 kW), n3 (42 kW), n4 (42 kW) and 3 more: the load never"
        in run(loads.assign(energy_kwh=42.0), nodes=nodes)[1]
    )


# -- behind sktime's interface ------------------------------------------------------------------------------------


@pytest.fixture(params=["like days", "ensemble"])
def forecaster(request, monkeypatch):
    """An unfitted forecaster, the first day of the series that it needs."""
    from grid_assets.forecasting.forecaster import CalendarWeatherForecaster, EnsembleForecaster

    monkeypatch.setattr(trees, "ROUNDS", 60)
    if request.param == "ensemble":
        return EnsembleForecaster(zone="Europe/Berlin", country="DE"), YEAR_BEFORE
    return CalendarWeatherForecaster(zone="Europe/Berlin", country="DE"), FIRST


def series(first: date) -> pd.Series:
    return worlds.node_loads(CLOCK, first, DAY).set_index("start_utc")["energy_kwh"].rename_axis(None)


def temperature(y: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"temperature_degc": worlds.temperature(pd.DatetimeIndex(y.index))}, y.index)


def test_rows_may_be_missing_and_the_index_needs_no_frequency(forecaster):
    """sktime's own forecasters fail here: steps are counted on the interval of the series."""
    model, first = forecaster
    y = series(first)
    holed = y.drop(y.index[[1, 5, 6, 100, 400, 401]])
    assert holed.index.freq is None
    made = model.clone().fit(holed).predict([1, 24])
    assert made.index.tolist() == [y.index[-1] + pd.Timedelta(hours=1), y.index[-1] + pd.Timedelta(hours=24)]
    whole = model.clone().fit(y.asfreq("h")).predict([1, 24])
    np.testing.assert_allclose(made, whole, rtol=0.05)
    bands = model.clone().fit(holed).predict_quantiles([1, 24], alpha=[0.05, 0.95])
    assert (bands.iloc[:, 0] < bands.iloc[:, 1]).all()


def test_a_day_on_which_the_clocks_change_is_whole(forecaster):
    model, first = forecaster
    y = series(first)[lambda known: known.index < pd.Timestamp("2016-03-26 23:00", tz="UTC")]
    made = model.fit(y).predict(list(range(1, 24)))  # a day of 23 hours
    assert np.isfinite(made).all()
    assert (made.index[-1] - made.index[0]) == pd.Timedelta(hours=22)


def test_absurd_and_missing_temperature_warn_and_a_forecast_comes(forecaster):
    model, first = forecaster
    y = series(first).asfreq("h")
    observed = temperature(y)
    observed.iloc[[3, 9]] = np.inf
    observed.iloc[30:60] = np.nan
    ahead = pd.DataFrame({"temperature_degc": [-400.0] * 24}, y.index[-1] + pd.to_timedelta(range(1, 25), "h")).asfreq("h")
    with pytest.warns(UserWarning, match=r"2 of \d+ values of temperature_degc are infinite or lie outside -60 .. 60"):
        model.fit(y, X=observed)
    with pytest.warns(UserWarning, match="24 of 24 values of temperature_degc"):
        made = model.predict([1, 24], X=ahead)
    assert np.isfinite(made).all()
    assert made.between(0.5 * y.min(), 1.5 * y.max()).all()


def test_constant_and_negative_series(forecaster):
    model, first = forecaster
    y = series(first).asfreq("h")
    np.testing.assert_allclose(model.clone().fit(0 * y + 42.0).predict([1, 24]), 42.0, rtol=1e-6)
    shifted = model.clone().fit(y - 110.0).predict(list(range(1, 25)))
    assert shifted.min() < 0
    np.testing.assert_allclose(shifted, model.clone().fit(y).predict(list(range(1, 25))) - 110.0, atol=8.0)


def test_an_unknown_country_warns(forecaster):
    model, first = forecaster
    with pytest.warns(UserWarning, match="no public holidays are known of country 'XX'"):
        made = model.set_params(country="XX").fit(series(first)).predict([1, 24])
    assert np.isfinite(made).all()


def test_good_input_does_not_warn(forecaster):
    model, first = forecaster
    y = series(first).asfreq("h")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(y, X=temperature(y))


def test_two_weeks_of_history_are_a_forecast_or_name_who_makes_one():
    from grid_assets.forecasting.forecaster import CalendarWeatherForecaster, EnsembleForecaster

    y = series(DAY - timedelta(days=13))
    made = CalendarWeatherForecaster(zone="Europe/Berlin", country="DE").fit(y).predict(list(range(1, 25)))
    truth = worlds.node_loads(CLOCK, DAY + timedelta(days=1), DAY + timedelta(days=1), noise=0.0)
    assert np.abs(made.to_numpy() / truth["energy_kwh"].to_numpy() - 1).mean() < 0.06
    with pytest.raises(NoHistoryError, match="CalendarWeatherForecaster does with less"):
        EnsembleForecaster(zone="Europe/Berlin", country="DE").fit(y)


def test_a_timestamp_in_the_future_is_refused_for_it_would_pass_for_the_present(forecaster):
    model, first = forecaster
    y = series(first)
    future = pd.concat([y, pd.Series([50.0], [y.index[-1] + pd.Timedelta(days=7000)])])
    with pytest.raises(IrregularSeries, match="is it a timestamp in the future"):
        model.fit(future)


# -- the interval of a series -------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_the_interval_is_found_however_many_rows_are_missing(minutes):
    whole = pd.date_range("2016-05-01", periods=600, freq=f"{minutes}min", tz="UTC")
    kept = whole[np.random.default_rng(1).random(600) > 0.25]
    assert interval_of(kept) == pd.Timedelta(minutes=minutes)
    assert interval_of(whole.tz_localize(None).to_period(f"{minutes}min")) == pd.Timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        (["2016-05-01"], "1 rows; expected two at least"),
        (["2016-05-01 00:00", "2016-05-01 01:00", "2016-05-01 01:00"], "2016-05-01T01:00:00 is there twice"),
        (["2016-05-01 00:00", "2016-05-01 03:00", "2016-05-01 06:00"], "the interval is 0 days 03:00:00; expected one that divides an hour"),
        (["2016-05-01 00:00", "2016-05-01 01:00", "2016-05-01 02:00", "2016-05-01 02:20"], "2016-05-01T02:20:00 lies off the grid of 0 days 01:00:00"),
        (["2016-05-01 00:00", "2016-05-01 01:00", "2016-05-01 02:00", "2016-06-30 02:00"], "2016-06-30T02:00:00 comes 60 days after the row before it"),
    ],
)  # fmt: skip
def test_an_irregular_series_is_refused_in_plain_words(stamps, message):
    with pytest.raises(IrregularSeries, match=message):
        interval_of(pd.DatetimeIndex(stamps))
