"""sktime's own forecasters beside the project's: same days, same knowledge, same scores."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.challengers import WEEKLY_NAIVE, challenge, scores
from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.tables import QUANTILE_COLUMNS
from grid_assets_tests.forecasting import worlds

CLOCK = worlds.clock_of(60)
FIRST, LAST = date(2016, 5, 23), date(2016, 5, 25)
HISTORY = date(2016, 4, 1)
pytestmark = pytest.mark.filterwarnings("ignore:Converting to Period")  # sktime on time zones


@pytest.fixture(scope="module")
def load() -> pd.Series:
    rows = worlds.node_loads(CLOCK, HISTORY, LAST)
    return rows.set_index("start_utc")["energy_kwh"]


@pytest.fixture(scope="module")
def weather() -> pd.DataFrame:
    starts = CLOCK.intervals(HISTORY, LAST)
    return worlds.weather(CLOCK, starts).set_index("start_utc")[
        ["temperature_degc", "temperature_mean_24h_degc", "temperature_mean_72h_degc"]
    ]


def naive():
    from sktime.forecasting.naive import NaiveForecaster

    return NaiveForecaster(sp=168)


def reduced():
    """A recursive linear regression on the last two days: it takes no missing values and gives no quantiles."""
    from sklearn.linear_model import LinearRegression
    from sktime.forecasting.compose import make_reduction

    return make_reduction(LinearRegression(), window_length=48)


def ours():
    from grid_assets.forecasting.forecaster import CalendarWeatherForecaster

    return CalendarWeatherForecaster(zone="Europe/Berlin", country="DE")


def test_the_projects_forecaster_and_sktimes_beside_each_other(load, weather):
    found = challenge({"ours": ours(), "naive": naive(), "reduced": reduced()}, load, CLOCK, FIRST, LAST, observed=weather)
    assert len(found) == 3 * 3 * 24
    told = scores(found).set_index("model")
    assert set(told.index) == {"ours", "naive", "reduced", WEEKLY_NAIVE}
    assert told.index[0] == "ours"
    assert (told["intervals"] == 72).all()
    # sktime's seasonal naive is the weekly naive, found in another way
    assert told.loc["naive", "mae_kw"] == pytest.approx(told.loc[WEEKLY_NAIVE, "mae_kw"])
    assert told.loc["ours", "pinball_kw"] < told.loc["naive", "pinball_kw"]
    assert told.loc[["reduced", WEEKLY_NAIVE], "coverage_90_pct"].isna().all()


def test_scores_are_those_of_the_rows(load):
    found = challenge({"naive": naive()}, load, CLOCK, FIRST, LAST)
    told = scores(found).set_index("model").loc["naive"]
    truth = load[found["start_utc"]].to_numpy()
    np.testing.assert_allclose(found["actual_kw"], truth)
    assert told["mae_kw"] == pytest.approx(np.abs(found["mean_kw"] - truth).mean())
    assert told["rmse_kw"] == pytest.approx(np.sqrt(((found["mean_kw"] - truth) ** 2).mean()))
    assert found["naive_kw"].to_numpy() == pytest.approx(load.shift(7, freq="D").reindex(found["start_utc"]).to_numpy())


@pytest.mark.parametrize("refit_days", [1, 3])
def test_nothing_after_an_issue_time_is_seen(load, weather, refit_days):
    forecasters = {"ours": ours(), "naive": naive()}
    made = challenge(forecasters, load, CLOCK, FIRST, LAST, observed=weather, refit_days=refit_days)
    issued = pd.Timestamp(CLOCK.issue_time(LAST - timedelta(days=2)))
    assert (made.loc[made["day"] == LAST, "issued_utc"] == issued).all()
    later = load.where(load.index < issued, 1e6)
    other = challenge(forecasters, later, CLOCK, FIRST, LAST, observed=weather, refit_days=refit_days)
    said = ["model", "start_utc", "mean_kw", *QUANTILE_COLUMNS]
    pd.testing.assert_frame_equal(made[said], other[said])
    # and what came just before it is
    earlier = load.where(load.index < issued - pd.Timedelta(hours=30), 2 * load)
    moved = challenge({"ours": ours()}, earlier, CLOCK, LAST, LAST, observed=weather)
    assert (moved["mean_kw"].to_numpy() != made.loc[(made["day"] == LAST) & (made["model"] == "ours"), "mean_kw"].to_numpy()).any()


@pytest.mark.parametrize(("refit_days", "fits"), [(1, 3), (2, 2), (30, 1)])
def test_clones_are_fitted_as_often_as_asked_and_told_of_the_days_between(load, refit_days, fits):
    from sktime.forecasting.naive import NaiveForecaster

    ends, fitted = [], []

    class Counted(NaiveForecaster):
        def _fit(self, y, X, fh):
            ends.append(y.index[-1])
            fitted.append(True)
            return super()._fit(y, X, fh)

        def _update(self, y, X=None, update_params=True):
            assert not update_params
            ends.append(y.index[-1])
            return self

    given = Counted(sp=168)
    challenge({"counted": given}, load, CLOCK, FIRST, LAST, refit_days=refit_days)
    assert (len(fitted), given.is_fitted) == (fits, False)
    issued = [pd.Timestamp(CLOCK.issue_time(day - timedelta(days=2))) for day in (FIRST, FIRST + timedelta(days=1), LAST)]
    assert ends == [one - pd.Timedelta(hours=1) for one in issued]


def test_forecasters_get_the_weather_as_it_was_expected(load, weather):
    warmer = weather + 8.0
    perfect = challenge({"ours": ours()}, load, CLOCK, LAST, LAST, observed=weather)
    same = challenge({"ours": ours()}, load, CLOCK, LAST, LAST, observed=weather, expected=weather)
    wrong = challenge({"ours": ours()}, load, CLOCK, LAST, LAST, observed=weather, expected=warmer)
    pd.testing.assert_frame_equal(perfect, same)
    assert np.abs(wrong["mean_kw"] - perfect["mean_kw"]).mean() > 1.0


def test_weather_is_what_was_measured_until_the_issue_time_also_where_the_last_loads_are_missing(load, weather):
    from sktime.forecasting.naive import NaiveForecaster

    told = []

    class Told(NaiveForecaster):
        def predict(self, fh=None, X=None):
            told.extend([] if X is None else [X])  # its quantiles call it again without
            return super().predict(fh)

    issued = pd.Timestamp(CLOCK.issue_time(LAST - timedelta(days=2)))
    silent = load.where((load.index < issued - pd.Timedelta(hours=5)) | (load.index >= issued))
    expected = (weather + 8.0)[weather.index >= issued]  # a forecast begins where it is issued
    challenge({"told": Told(sp=168)}, silent, CLOCK, LAST, LAST, observed=weather, expected=expected)
    given = told[0]
    assert given.index[0] == issued - pd.Timedelta(hours=5)
    pd.testing.assert_frame_equal(given[:5], weather.reindex(given.index[:5]), check_freq=False)
    pd.testing.assert_frame_equal(given[5:], expected.reindex(given.index[5:]), check_freq=False)
    # a forecast that was made earlier, too, gives way to what was measured
    challenge({"told": Told(sp=168)}, silent, CLOCK, LAST, LAST, observed=weather, expected=weather + 8.0)
    pd.testing.assert_frame_equal(told[-1], given)


def test_known_until_is_a_parameter(load):
    midnight = challenge({"naive": naive()}, load, CLOCK, FIRST, LAST, known_until=lambda day: CLOCK.midnight(day - timedelta(days=1)))
    first = midnight[midnight["day"] == FIRST]
    assert (first["issued_utc"] == pd.Timestamp(CLOCK.midnight(FIRST - timedelta(days=1)))).all()


def test_gaps_are_filled_for_those_who_cannot_take_them(load):
    holed = load.copy()
    holed.iloc[200:230] = np.nan
    holed.iloc[-30] = np.inf
    found = challenge({"reduced": reduced()}, holed, CLOCK, FIRST, LAST)
    assert np.isfinite(found["mean_kw"]).all()
    assert len(found) == 3 * 24 - 1  # what is not known is not scored


def test_what_cannot_be_compared_is_refused(load):
    with pytest.raises(NoHistoryError, match="choose a later first day"):
        challenge({"naive": naive()}, load, CLOCK, HISTORY, HISTORY)
    with pytest.raises(ValueError, match="refit_days = 0"):
        challenge({"naive": naive()}, load, CLOCK, FIRST, LAST, refit_days=0)
