"""The weather of a run of days: observations, the forecast known at each issue time, features. One code path for live and back-test."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.weather.features import solar_position, weather_features
from grid_assets.weather.observations import QUANTITIES, known_at, latest_issue, to_intervals
from grid_assets.weather.persistence import persistence

RUN_UP = timedelta(days=4)
"""What rolling means and persistence look back on."""


class WeatherDays:
    """Serves day after day from one reading of the files.

    Parameters: ``observations`` and ``forecasts`` as read_weather gives them; ``forecasts`` None: persistence stands in.
    """

    def __init__(self, clock: SiteCalendar, observations: pd.DataFrame, forecasts: pd.DataFrame | None, first: date, last: date):
        self.clock, self.observations, self.forecasts = clock, observations, forecasts
        self._whole = clock.intervals(first - RUN_UP, last + timedelta(days=clock.study_day_offset))
        self._observed = to_intervals(observations, self._whole)

    def observed(self, day: date) -> pd.DataFrame:
        """The day's observations, indexed by interval; rows without any value are left out."""
        return self._observed.reindex(self.clock.intervals(day)).dropna(how="all")

    def forecast(self, day: date) -> tuple[pd.Timestamp, pd.DataFrame]:
        """When the forecast known at the issue time of ``day`` was made, and its values from then to the end of the study day."""
        issue = pd.Timestamp(self.clock.issue_time(day))
        horizon = self.horizon(day)
        if self.forecasts is None:
            return issue, persistence(self._known(day), horizon, str(self.clock.zone))
        rows = latest_issue(self.forecasts, issue)
        issued = rows["issued_utc"].iloc[0] if len(rows) else issue
        return issued, to_intervals(rows, horizon)

    def horizon(self, day: date) -> pd.DatetimeIndex:
        """The intervals from the issue time of ``day`` to the end of its study day."""
        issue = pd.Timestamp(self.clock.issue_time(day))
        ahead = self.clock.intervals(day + timedelta(days=1), self.clock.study_day(day))
        return ahead[ahead >= issue]

    def _known(self, day: date) -> pd.DataFrame:
        """Observations of the run-up before ``day``'s issue time, on the interval grid, from what was known then only."""
        issue = pd.Timestamp(self.clock.issue_time(day))
        grid = self.clock.intervals(day - RUN_UP, day + timedelta(days=1))
        grid = grid[grid < issue]
        recent = self.observations[self.observations["start_utc"] >= grid[0] - RUN_UP]
        return to_intervals(known_at(recent, issue), grid).dropna(how="all")

    def sun(self, latitude: float, longitude: float, altitude_m: float) -> pd.DataFrame:
        """The sun over all days served, so that a range needs one computation only; see solar_position."""
        return solar_position(self._whole, latitude, longitude, altitude_m)

    def features(self, day: date, sun: pd.DataFrame, holidays: set[date]) -> pd.DataFrame:
        """Features of the day as observed and of the horizon as forecast, with their basis; nothing in them was known later
        than the issue time of ``day``.
        """
        known = self._known(day)
        _, ahead = self.forecast(day)
        index = self.clock.intervals(day - RUN_UP, self.clock.study_day(day))
        joined = known.reindex(index)
        joined.loc[ahead.index] = ahead[list(QUANTITIES)].to_numpy()
        whole = weather_features(joined, sun.reindex(index), holidays, str(self.clock.zone))
        observed = whole.reindex(self.clock.intervals(day)).assign(basis="observed")
        forecast = whole.reindex(ahead.index).assign(basis="forecast")
        return pd.concat([observed, forecast]).rename_axis("start_utc").reset_index()
