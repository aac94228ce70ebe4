from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.ensemble.histories import UnusableHistory, node_history
from grid_assets.forecasting.ensemble.temperature_paths import PAST_DAYS
from grid_assets.foundation.calendar import SiteCalendar

CLOCK = SiteCalendar(ZoneInfo("Europe/Berlin"), 15, date(2019, 1, 1), None, 9, 2)
LAST = date(2019, 4, 3)


def quarter_hours(first="2019-03-25", last="2019-04-03"):
    return pd.date_range(
        pd.Timestamp(first, tz="Europe/Berlin"), pd.Timestamp(last, tz="Europe/Berlin"), freq="15min", inclusive="left"
    ).tz_convert("UTC")


def test_quarter_hours_become_hours_of_the_local_day_and_the_clock_change_leaves_one_empty():
    starts = quarter_hours()
    history = node_history(pd.Series(np.arange(len(starts), dtype=float), starts), None, CLOCK, LAST, country="DE")
    assert history.days[0] == date(2019, 3, 25)
    assert history.days[-1] == LAST
    np.testing.assert_allclose(history.load[0, :3], [1.5, 5.5, 9.5])
    spring = history.days.index(date(2019, 3, 31))
    assert np.isnan(history.load[spring, 2])
    assert np.isfinite(np.delete(history.load[spring], 2)).all()
    assert np.isnan(history.load[-1]).all()  # the horizon
    assert history.known_hours == CLOCK.issue_hour
    assert history.temperature is None


def test_infinite_load_and_absurd_temperatures_count_as_unknown():
    starts = quarter_hours()
    load, degrees = pd.Series(100.0, starts), pd.Series(10.0, starts)
    load.iloc[40:44] = np.inf
    degrees.iloc[40:44] = [np.inf, -np.inf, 900.0, -273.0]
    history = node_history(load, degrees, CLOCK, LAST, country="DE")
    assert np.isnan(history.load[0, 10])
    assert (history.temperature.observed == 10.0).all()


def test_temperature_that_is_nothing_but_faults_is_no_temperature():
    starts = quarter_hours()
    assert node_history(pd.Series(1.0, starts), pd.Series(np.nan, starts), CLOCK, LAST).temperature is None


def test_forecasts_by_issue_day_are_what_that_day_knew():
    starts = quarter_hours()
    issued = date(2019, 3, 27)
    coming = pd.Series(25.0, starts[starts >= pd.Timestamp("2019-03-27 09:00", tz="Europe/Berlin")])
    history = node_history(pd.Series(1.0, starts), pd.Series(10.0, starts), CLOCK, LAST, forecasts_degc={issued: coming})
    path = history.temperature.known[history.days.index(issued)]
    assert (path[: PAST_DAYS * 24 + 9] == 10.0).all()
    assert (path[PAST_DAYS * 24 + 9 :] == 25.0).all()
    following = history.temperature.known[history.days.index(date(2019, 3, 28))]
    assert (following == 10.0).all()  # no forecast of its own: the last days stand in


def test_one_series_of_day_ahead_forecasts_stands_for_all_issue_days():
    starts = quarter_hours()
    published = pd.Series(20.0, starts[starts >= pd.Timestamp("2019-03-28", tz="Europe/Berlin")])
    history = node_history(pd.Series(1.0, starts), pd.Series(10.0, starts), CLOCK, LAST, forecasts_degc=published)
    path = history.temperature.known[history.days.index(date(2019, 3, 29))]
    assert (path[PAST_DAYS * 24 : PAST_DAYS * 24 + 9] == 10.0).all()
    assert (path[PAST_DAYS * 24 + 9 :] == 20.0).all()
    before = history.temperature.known[history.days.index(date(2019, 3, 26))]
    assert (before == 10.0).all()  # what was observed where there is none


@pytest.mark.parametrize(
    "load",
    [
        pd.Series([1.0], pd.RangeIndex(1)),
        pd.Series([1.0], pd.DatetimeIndex(["2019-01-01"])),
        pd.Series([], pd.DatetimeIndex([], tz="UTC"), dtype=float),
    ],
)
def test_rows_that_make_no_history_say_what_was_expected(load):
    with pytest.raises(UnusableHistory, match="expected"):
        node_history(load, None, CLOCK, LAST)
