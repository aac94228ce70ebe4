"""The demand model behind sktime's interface: for one series, from a notebook or in a benchmark beside other forecasters.

The daily job calls the same functions for all nodes at once (``demand.forecast_demand``); what comes out is the same.
This module imports sktime, which takes seconds, so import it only where it is used.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster

from grid_assets.forecasting import champion
from grid_assets.forecasting.day_cubes import DayGrid, NoHistoryError, WeatherCubes, day_grid, single_forecast
from grid_assets.forecasting.like_days import DEMAND, weekly_naive
from grid_assets.foundation.calendar import SiteCalendar


class CalendarWeatherForecaster(BaseForecaster):
    """Like-day differences explained by weather, recent surprises and the calendar, a ridge regression an hour.

    Parameters: ``zone``, the IANA time zone of the local day; ``country``, ISO code for public holidays; ``issue_hour``,
    local hour of issue (the back-test counts the hours after it); ``naive``: publish the weekly naive instead of the model.
    ``y``: mean power by UTC interval start with a regular frequency that divides an hour; missing values may be NaN.
    It is cut at the last whole local day. ``X`` (optional): the weather columns of weather/features, observed in ``fit``
    and expected in ``predict``. The horizon reaches seven local days ahead.
    """

    _tags: ClassVar[dict[str, Any]] = {
        "scitype:y": "univariate",
        "y_inner_mtype": "pd.Series",
        "X_inner_mtype": "pd.DataFrame",
        "requires-fh-in-fit": False,
        "capability:exogenous": True,
        "capability:missing_values": True,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:insample": False,
        "capability:random_state": False,
    }

    def __init__(self, zone: str = "UTC", country: str = "GB", issue_hour: int = 9, naive: bool = False):
        self.zone = zone
        self.country = country
        self.issue_hour = issue_hour
        self.naive = naive
        super().__init__()
        self.set_config(remember_data=True)  # sktime 1.3 changes the default

    def _fit(self, y: pd.Series, X: pd.DataFrame | None, fh) -> CalendarWeatherForecaster:
        self._name = y.name
        self._power = _utc(y)
        self._seen = None if X is None else X.set_axis(_utc_index(X.index))
        step = pd.Timedelta(y.index.freq or y.index[1] - y.index[0])
        if pd.Timedelta(hours=1) % step:
            raise ValueError(f"the interval is {step}; expected one that divides an hour")
        self._interval_minutes = int(step.total_seconds() // 60)
        self._step = step
        end = (self._power.index[-1] + step).tz_convert(self.zone)
        self._day = end.date() - timedelta(days=1)
        if not self._power[self._power.index < end.normalize()].notna().any():
            raise NoHistoryError(f"no value is known before {end.normalize().isoformat()}; expected at least one whole local day")
        return self

    def _predict(self, fh, X: pd.DataFrame | None) -> pd.Series:
        starts, mean, _ = self._forecast(fh, X, ())
        return pd.Series(mean, index=starts, name=self._name)

    def _predict_quantiles(self, fh, X: pd.DataFrame | None, alpha) -> pd.DataFrame:
        levels = [float(level) for level in alpha]
        starts, _, bands = self._forecast(fh, X, levels)
        name = self._name if self._name is not None else 0
        return pd.DataFrame(bands.T, index=starts, columns=pd.MultiIndex.from_product([[name], levels]))

    def _forecast(self, fh, X: pd.DataFrame | None, levels) -> tuple[pd.Index, np.ndarray, np.ndarray]:
        index = fh.to_absolute_index(self.cutoff)
        asked = _utc_index(index)
        ahead = max((asked.max().tz_convert(self.zone).date() - self._day).days, 1)
        grid = self._grid(ahead)
        power = self._known(grid)
        weather = self._weather(grid, X)
        rolls = champion.roll(grid, power, weather, DEMAND, weekly_naive)
        day, slot = grid.positions(asked)
        mean, bands = np.full(len(asked), np.nan), np.full((len(levels), len(asked)), np.nan)
        for one in rolls:
            chosen = one.naive if self.naive else one.model
            here = np.flatnonzero(day == one.targets[-1])
            mean[here] = chosen[0, -1, slot[here]]
            if len(levels):
                bands[:, here] = mean[here] + champion.spread_of(one, chosen, power, levels)[:, 0, slot[here] * 24 // grid.slots]
        return index, mean, bands

    def _grid(self, ahead: int) -> DayGrid:
        first: date = self._power.index[0].tz_convert(self.zone).date()
        clock = SiteCalendar(ZoneInfo(self.zone), self._interval_minutes, first, None, self.issue_hour, min(ahead, 7))
        if ahead > 7:
            raise ValueError(f"the horizon ends {ahead} local days after {self._day}; expected seven at most")
        return day_grid(clock, first, self._day, self.country)

    def _known(self, grid: DayGrid) -> np.ndarray:
        end = pd.Timestamp(grid.clock.bounds(self._day)[1])
        known = self._power[self._power.index < end]
        return grid.cube(known.to_numpy(float)[None], pd.DatetimeIndex(known.index))

    def _weather(self, grid: DayGrid, X: pd.DataFrame | None) -> WeatherCubes | None:
        if self._seen is None:
            return None
        end = pd.Timestamp(grid.clock.bounds(self._day)[1])
        observed = self._seen[self._seen.index < end].rename_axis("start_utc").reset_index()
        parts = [self._seen[self._seen.index >= end]] + ([] if X is None else [X.set_axis(_utc_index(X.index))])
        coming = pd.concat(parts).rename_axis("start_utc").reset_index().drop_duplicates("start_utc", keep="last")
        return single_forecast(grid, observed, coming)


def _utc_index(index: pd.Index) -> pd.DatetimeIndex:
    stamps = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else pd.DatetimeIndex(index)
    return stamps.tz_localize("UTC") if stamps.tz is None else stamps.tz_convert("UTC")


def _utc(values: pd.Series) -> pd.Series:
    return values.set_axis(_utc_index(values.index))
