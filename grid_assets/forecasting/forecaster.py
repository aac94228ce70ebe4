"""The demand models behind sktime's interface: for one series, from a notebook or in a benchmark beside other forecasters.

The daily job calls the same functions for all nodes at once (``demand.forecast_demand``); what comes out is the same.
This module imports sktime, which takes seconds, so import it only where it is used.
"""

from __future__ import annotations

import warnings
from datetime import date, timedelta
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from grid_assets.forecasting import champion
from grid_assets.forecasting.day_cubes import DayGrid, NoHistoryError, WeatherCubes, day_grid, day_kinds, single_forecast
from grid_assets.forecasting.ensemble.candidates import at_interval
from grid_assets.forecasting.ensemble.forecasts import forecast
from grid_assets.forecasting.ensemble.histories import TEMPERATURE, node_history
from grid_assets.forecasting.ensemble.node_models import MINIMUM_TRAINING_DAYS
from grid_assets.forecasting.like_days import DEMAND
from grid_assets.forecasting.odd_input import absurd_weather, unknown_country
from grid_assets.forecasting.regular_series import interval_of
from grid_assets.foundation.calendar import SiteCalendar

Values = TypeVar("Values", pd.Series, pd.DataFrame)


class CalendarWeatherForecaster(BaseForecaster):
    """Like-day differences explained by weather, recent surprises and the calendar, a ridge regression an hour.

    Parameters: ``zone``, the IANA time zone of the local day; ``country``, ISO code for public holidays; ``issue_hour``,
    local hour of issue (the back-test counts the hours after it); ``naive``: publish the weekly naive instead of the model.
    ``y``: mean power by UTC interval start with an interval that divides an hour; missing values may be NaN, and rows may be missing.
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
        self._learn(utc(y), None if X is None else X.set_axis(utc_index(X.index)))
        tell([*unknown_country([self._day], self.country, None), *absurd(X)])
        return self

    def _update(self, y: pd.Series, X: pd.DataFrame | None = None, update_params: bool = True) -> CalendarWeatherForecaster:
        """All that is learnt is learnt when a forecast is made, so that after an update it is that of a fit on all data, either way."""
        seen = None if X is None else X.set_axis(utc_index(X.index))
        self._learn(with_new(self._power, utc(y)), seen if self._seen is None else with_new(self._seen, seen))
        tell(absurd(X))
        return self

    def _learn(self, power: pd.Series, seen: pd.DataFrame | None) -> None:
        step = interval_of(pd.DatetimeIndex(power.index))
        end = (power.index[-1] + step).tz_convert(self.zone)
        if not power[power.index < end.normalize()].notna().any():
            raise NoHistoryError(f"no value is known before {end.normalize().isoformat()}; expected at least one whole local day")
        self._power, self._seen, self._step, self._interval_minutes = power, seen, step, int(step.total_seconds() // 60)
        self._day = end.date() - timedelta(days=1)

    def _predict(self, fh, X: pd.DataFrame | None) -> pd.Series:
        tell(absurd(X))
        starts, mean, _ = self._forecast(fh, X, ())
        return pd.Series(mean, index=starts, name=self._name)

    def _predict_quantiles(self, fh, X: pd.DataFrame | None, alpha) -> pd.DataFrame:
        levels = [float(level) for level in alpha]
        starts, _, bands = self._forecast(fh, X, levels)
        name = self._name if self._name is not None else 0
        return pd.DataFrame(bands.T, index=starts, columns=pd.MultiIndex.from_product([[name], levels]))

    def _forecast(self, fh, X: pd.DataFrame | None, levels) -> tuple[pd.Index, np.ndarray, np.ndarray]:
        index = absolute(fh, self.cutoff, self._step)
        asked = utc_index(index)
        ahead = max((asked.max().tz_convert(self.zone).date() - self._day).days, 1)
        grid = self._grid(ahead)
        power = self._known(grid)
        weather = self._weather(grid, X)
        rolls = champion.roll(grid, power, weather, DEMAND, champion.WEEKLY_NAIVE)
        day, slot = grid.positions(asked)
        mean, bands = np.full(len(asked), np.nan), np.full((len(levels), len(asked)), np.nan)
        for one in rolls:
            chosen = one.forecasts[champion.WEEKLY_NAIVE if self.naive else champion.CALENDAR_WEATHER]
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
        parts = [self._seen[self._seen.index >= end]] + ([] if X is None else [X.set_axis(utc_index(X.index))])
        coming = pd.concat(parts).rename_axis("start_utc").reset_index().drop_duplicates("start_utc", keep="last")
        return single_forecast(grid, observed, coming)


class EnsembleForecaster(BaseForecaster):
    """The ensemble of hourly regressions and trees, for a series with a year of history and more.

    Parameters: ``zone``, the IANA time zone of the local day; ``country`` and ``region``, for public holidays. ``y``: mean power
    by UTC interval start with an interval that divides an hour; missing values may be NaN, and rows may be missing. The forecast is issued
    where ``y`` ends, and knows the whole hours until then. ``X`` (optional): a column temperature_degc, observed in ``fit`` and
    expected in ``predict``. The horizon reaches seven local days ahead. Raises NoHistoryError for less than
    300 days before the quarter in which ``y`` ends.
    """

    _tags: ClassVar[dict[str, Any]] = CalendarWeatherForecaster._tags

    def __init__(self, zone: str = "UTC", country: str = "GB", region: str | None = None):
        self.zone = zone
        self.country = country
        self.region = region
        super().__init__()
        self.set_config(remember_data=True)  # sktime 1.3 changes the default

    def _fit(self, y: pd.Series, X: pd.DataFrame | None, fh) -> EnsembleForecaster:
        self._name = y.name
        self._learn(utc(y), None if X is None else X.set_axis(utc_index(X.index))[TEMPERATURE])
        self._fitted: dict[tuple[tuple[int, ...], int], dict] = {}
        tell([*unknown_country([self._end.date()], self.country, self.region), *absurd(X)])
        return self

    def _update(self, y: pd.Series, X: pd.DataFrame | None = None, update_params: bool = True) -> EnsembleForecaster:
        """The forecast is issued where the new values end, and past errors, levels and surprises know them.

        Without ``update_params`` the models that are fitted stay, and only those of a new month or quarter are fitted: they learn from
        the days before it, so that values that follow those known so far change nothing of them. With it nothing is kept.
        """
        seen = None if X is None else X.set_axis(utc_index(X.index))[TEMPERATURE]
        seen = seen if self._seen is None else with_new(self._seen, seen)
        if update_params or (self._seen is None) != (seen is None):  # models that know no weather are no use beside it
            self._fitted = {}
        self._learn(with_new(self._power, utc(y)), seen)
        tell(absurd(X))
        return self

    def _learn(self, power: pd.Series, seen: pd.Series | None) -> None:
        step = interval_of(pd.DatetimeIndex(power.index))
        end = (power.index[-1] + step).tz_convert(self.zone)
        quarter = end.date().replace(month=(end.month - 1) // 3 * 3 + 1, day=1)  # the trees learn from the days before it
        known = pd.DatetimeIndex(power[power.index < pd.Timestamp(quarter, tz=self.zone)].dropna().index)
        days = len(set(known.tz_convert(self.zone).date))
        if days < MINIMUM_TRAINING_DAYS:
            raise NoHistoryError(
                f"{days} days are known before {quarter}, where the quarter begins; expected {MINIMUM_TRAINING_DAYS}: "
                "CalendarWeatherForecaster does with less"
            )
        self._power, self._seen, self._step, self._minutes, self._end = power, seen, step, int(step.total_seconds() // 60), end

    def _predict(self, fh, X: pd.DataFrame | None) -> pd.Series:
        tell(absurd(X))
        index, mean, _ = self._forecast(fh, X, (0.5,))
        return pd.Series(mean, index=index, name=self._name)

    def _predict_quantiles(self, fh, X: pd.DataFrame | None, alpha) -> pd.DataFrame:
        levels = [float(level) for level in alpha]
        index, _, bands = self._forecast(fh, X, levels)
        name = self._name if self._name is not None else 0
        return pd.DataFrame(bands.T, index=index, columns=pd.MultiIndex.from_product([[name], levels]))

    def _forecast(self, fh, X: pd.DataFrame | None, levels) -> tuple[pd.Index, np.ndarray, np.ndarray]:
        index = absolute(fh, self.cutoff, self._step)
        asked = utc_index(index)
        issue_day = self._end.date()
        last = asked.max().tz_convert(self.zone).date()
        if (last - issue_day).days > 7:
            raise ValueError(f"the horizon ends {(last - issue_day).days} local days after {issue_day}; expected seven at most")
        first = self._power.index[0].tz_convert(self.zone).date()
        clock = SiteCalendar(ZoneInfo(self.zone), self._minutes, first, None, self._end.hour, max((last - issue_day).days, 1))
        offsets = sorted({(day - issue_day).days for day in asked.tz_convert(self.zone).date})
        coming = None if X is None or self._seen is None else {issue_day: X.set_axis(utc_index(X.index))[TEMPERATURE]}
        history = node_history(
            self._power, self._seen, clock, last, country=self.country, region=self.region, offsets=max(offsets) + 1,
            forecasts_degc=coming, known_hours=self._end.hour,
        )  # fmt: skip
        issued = history.days.index(issue_day)
        # a model is told how many hours of its issue day are known, so that another end of the series is another model
        made = forecast(history, [issued], offsets, levels, self._fitted.setdefault((tuple(offsets), self._end.hour), {}))
        grid = DayGrid(clock, issue_day, history.days, day_kinds(history.days, self.country))
        power = grid.cube(self._power.to_numpy(float)[None], pd.DatetimeIndex(self._power.index))[0]
        day, slot = grid.positions(asked)
        mean, bands = np.full(len(asked), np.nan), np.full((len(levels), len(asked)), np.nan)
        for offset, one in made.items():
            here, target = np.flatnonzero(day == issued + offset), issued + offset
            mean[here] = at_interval(one.mean[target], grid, power, target, offset + 1)[slot[here]]
            bands[:, here] = at_interval(one.quantiles[:, target], grid, power, target, offset + 1)[:, slot[here]]
        return index, mean, bands


def with_new(known: Values, new: Values | None) -> Values:
    """What was known with what came by ``update``, by instant; of an instant that is in both the new value counts, unless it is missing."""
    return known if new is None else new.combine_first(known)


def tell(messages: list[str]) -> None:
    """Says what is odd about the input; the forecast is made all the same."""
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)


def absurd(X: pd.DataFrame | None) -> list[str]:
    return [] if X is None else absurd_weather(X)


def absolute(fh: ForecastingHorizon, cutoff: pd.Index, step: pd.Timedelta) -> pd.Index:
    """The instants of the horizon. A series with missing rows has no frequency of its own: steps are then those of its interval."""
    regular = pd.DatetimeIndex(cutoff, freq=step) if isinstance(cutoff, pd.DatetimeIndex) and cutoff.freq is None else cutoff
    return fh.to_absolute_index(regular)


def utc_index(index: pd.Index) -> pd.DatetimeIndex:
    stamps = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else pd.DatetimeIndex(index)
    return stamps.tz_localize("UTC") if stamps.tz is None else stamps.tz_convert("UTC")


def utc(values: pd.Series) -> pd.Series:
    return values.set_axis(utc_index(values.index))
