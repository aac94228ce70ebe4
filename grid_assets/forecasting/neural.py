"""A recurrent network behind sktime's interface, as a challenger of the ensemble. Needs the extra ``neural``: import it only where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster

from grid_assets.forecasting.day_cubes import PLAUSIBLE, NoHistoryError
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays, season
from grid_assets.forecasting.ensemble.histories import TEMPERATURE
from grid_assets.forecasting.ensemble.node_models import Scale
from grid_assets.forecasting.forecaster import CalendarWeatherForecaster, absolute, absurd, tell, utc, utc_index
from grid_assets.forecasting.neural_network import DAY, WEEK, Hours, Network, predicted, trained
from grid_assets.forecasting.odd_input import unknown_country
from grid_assets.forecasting.regular_series import interval_of
from grid_assets.forecasting.tables import QUANTILES

MINIMUM_DAYS = 56
"""Known days that it wants; it is worth having from a year or two on."""
MEANS_HOURS = (24, 72, 168)
LOOK_BACK_HOURS = 3 * WEEK
"""Nothing before this says anything to a forecast: a week of the past, what filled its gaps, the means of its weather."""
HOUR = pd.Timedelta(hours=1)


class LstmForecaster(BaseForecaster):
    """An LSTM encoder and decoder, trained on all hours of the series for all hours of the horizon at once.

    Parameters: ``zone``, the IANA time zone of the local day; ``country`` and ``region``, for public holidays; ``horizon_hours``, how far
    it is trained to look ahead, 168 at most; ``steps`` of training, 32 windows each; ``update_steps``, the same when ``update`` trains it
    further; ``members``, networks that differ by chance only and whose quantiles are averaged; ``seed``. ``y``: mean power by UTC hour,
    regular; missing values may be NaN. The forecast is issued where ``y`` ends. ``X`` (optional): a column temperature_degc, observed in
    ``fit`` and ``update`` and expected in ``predict``; where it is missing, the last day that is known goes on. Quantiles between 0.05
    and 0.95. Raises NoHistoryError for less than eight weeks.
    """

    _tags: ClassVar[dict[str, Any]] = CalendarWeatherForecaster._tags

    def __init__(
        self, zone: str = "UTC", country: str = "GB", region: str | None = None, horizon_hours: int = WEEK, steps: int = 1200,
        update_steps: int = 100, members: int = 3, seed: int = 0,
    ):  # fmt: skip
        self.zone = zone
        self.country = country
        self.region = region
        self.horizon_hours = horizon_hours
        self.steps = steps
        self.update_steps = update_steps
        self.members = members
        self.seed = seed
        super().__init__()
        self.set_config(remember_data=True)  # sktime 1.3 changes the default

    def _fit(self, y: pd.Series, X: pd.DataFrame | None, fh) -> LstmForecaster:
        if not 1 <= self.horizon_hours <= WEEK:
            raise ValueError(f"horizon_hours = {self.horizon_hours}; expected 1 to {WEEK}")
        self._name = y.name
        self._power, self._degrees = _hourly(y), None if X is None else _degrees(X)
        known = int(self._power.notna().sum()) // DAY
        if known < MINIMUM_DAYS:
            raise NoHistoryError(f"{known} days are known; expected {MINIMUM_DAYS} at least: CalendarWeatherForecaster does with less")
        self._scale = Scale.of(self._power.to_numpy())
        past = None if self._degrees is None else self._degrees.reindex(self._power.index)
        if past is None or not past.notna().any():
            self._degrees, self._centre, self._spread = None, 0.0, 1.0
        else:
            self._centre, self._spread = float(past.mean()), max(float(past.std()), 0.1)
        self._networks = self._trained(self.steps, [None] * self.members)
        tell([*unknown_country([self._power.index[-1].date()], self.country, self.region), *absurd(X)])
        return self

    def _trained(self, steps: int, networks: Sequence[Network | None]) -> list[Network]:
        hours = self._hours(self._power.index)
        seeds = [(self.seed, n, len(hours.load)) for n in range(self.members)]
        return [trained(hours, QUANTILES, self.horizon_hours, steps, seed, one) for seed, one in zip(seeds, networks, strict=True)]

    def _update(self, y: pd.Series, X: pd.DataFrame | None = None, update_params: bool = True) -> LstmForecaster:
        self._power = _hourly(y).combine_first(self._power).asfreq("h")
        if X is not None and self._degrees is not None:
            self._degrees = _degrees(X).combine_first(self._degrees)
        if update_params:
            self._networks = self._trained(self.update_steps, self._networks)
        return self

    def _predict(self, fh, X: pd.DataFrame | None) -> pd.Series:
        tell(absurd(X))
        index, bands = self._forecast(fh, X, (0.5,))
        return pd.Series(bands[0], index=index, name=self._name)

    def _predict_quantiles(self, fh, X: pd.DataFrame | None, alpha) -> pd.DataFrame:
        levels = [float(level) for level in alpha]
        index, bands = self._forecast(fh, X, levels)
        name = self._name if self._name is not None else 0
        return pd.DataFrame(bands.T, index=index, columns=pd.MultiIndex.from_product([[name], levels]))

    def _forecast(self, fh, X: pd.DataFrame | None, levels) -> tuple[pd.Index, np.ndarray]:
        if not all(QUANTILES[0] <= level <= QUANTILES[-1] for level in levels):
            raise ValueError(f"quantiles {list(levels)}; expected levels between {QUANTILES[0]} and {QUANTILES[-1]}")
        index = absolute(fh, self.cutoff, HOUR)
        end = self._power.index[-1]
        ahead = ((utc_index(index) - end) // HOUR).to_numpy() - 1
        if ahead.max() >= self.horizon_hours:
            raise ValueError(f"the horizon ends {ahead.max() + 1} hours after the last known one; expected {self.horizon_hours} at most")
        begin = max(end - (LOOK_BACK_HOURS - 1) * HOUR, self._power.index[0])
        hours = self._hours(pd.date_range(begin, end + self.horizon_hours * HOUR, freq="h"), X)
        start = [len(hours.load) - self.horizon_hours]
        seen = [predicted(network, hours, start, self.horizon_hours)[0, ahead] for network in self._networks]
        made = self._scale.power(np.mean(seen, axis=0))
        return index, np.array([[np.interp(level, QUANTILES, one) for one in made] for level in levels])

    def _hours(self, index: pd.DatetimeIndex, X: pd.DataFrame | None = None) -> Hours:
        """What is told of these hours; ``X``: the weather expected after the last known one."""
        power = self._power.reindex(index)
        seen = pd.Series(self._scale.seen(power.to_numpy()), index)
        filled = seen.fillna(seen.shift(WEEK)).fillna(seen.shift(DAY)).fillna(0.0)
        facts = [calendar_facts(index.tz_convert(self.zone), self.country, self.region)]
        if self._degrees is not None:
            known = self._degrees[self._degrees.index <= self._power.index[-1]]
            facts.append(self._weather(pd.concat([known, _degrees(X)]) if X is not None else known, index))
        return Hours(filled.to_numpy(), power.notna().to_numpy(float), np.concatenate(facts, axis=1))

    def _weather(self, degrees: pd.Series, index: pd.DatetimeIndex) -> np.ndarray:
        """[hours, facts] of the temperature: now, its square, means of the hours before. A gap repeats the day before it."""
        asked = degrees[~degrees.index.duplicated(keep="last")].reindex(index)
        value = (asked.groupby(np.arange(len(asked)) % DAY).ffill().bfill() - self._centre) / self._spread
        means = [value.rolling(hours, min_periods=1).mean() for hours in MEANS_HOURS]
        return np.nan_to_num(np.stack([value, value**2 - 1.0, *means], axis=1))


def calendar_facts(local: pd.DatetimeIndex, country: str, region: str | None) -> np.ndarray:
    """[hours, facts]: hour of day, weekday, holidays and the days around them, two harmonics of the year."""
    days: list[date] = sorted(set(local.date))
    holidays = PublicHolidays.of(country, region, days[0], days[-1])
    around = [holidays.on([day + timedelta(days=step) for day in days]) for step in (-1, 0, 1)]
    weekday = np.eye(7)[[day.weekday() for day in days]]
    daily = np.concatenate([weekday, np.stack(around, axis=1), season(days)[:, :4]], axis=1)
    return np.concatenate([daily[np.searchsorted(days, local.date)], np.eye(DAY)[local.hour]], axis=1)


def _hourly(y: pd.Series) -> pd.Series:
    power = utc(y).astype(float)
    step = interval_of(power.index) if len(power) > 1 else HOUR
    if step != HOUR:
        raise ValueError(f'the interval is {step}; expected an hour: y.resample("h").mean()')
    return power.replace([np.inf, -np.inf], np.nan).asfreq("h")


def _degrees(X: pd.DataFrame) -> pd.Series:
    low, high = PLAUSIBLE[TEMPERATURE]
    value = X.set_axis(utc_index(X.index))[TEMPERATURE].astype(float)
    return value.where((value >= low) & (value <= high))
