"""Any sktime forecaster beside the project's own: the same days, the same knowledge, the same scores.

    found = challenge({"sktime's naive": NaiveForecaster(sp=168), "ensemble": EnsembleForecaster(...)}, load_kw, clock, first, last)
    scores(found)

This module imports nothing of sktime: what it is given has ``fit``, ``predict``, ``predict_quantiles`` and ``update``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.forecasting.accuracy import score
from grid_assets.forecasting.day_cubes import NoHistoryError
from grid_assets.forecasting.tables import QUANTILE_COLUMNS, QUANTILES
from grid_assets.foundation.calendar import SiteCalendar, days_between

WEEK = pd.Timedelta(days=7)
WEEKLY_NAIVE = "weekly_naive"
OF_QUANTILES = ("pinball_kw", "coverage_90_pct")


def challenge(
    forecasters: Mapping[str, Any],
    load_kw: pd.Series,
    clock: SiteCalendar,
    first: date,
    last: date,
    *,
    observed: pd.DataFrame | None = None,
    expected: pd.DataFrame | None = None,
    known_until: Callable[[date], datetime] | None = None,
    refit_days: int = 1,
    begins: Callable[[str, date], None] = lambda name, day: None,
) -> pd.DataFrame:
    """Each forecaster's forecasts of the local days first..last, each made from what was known on the day before.

    ``forecasters``: name -> sktime forecaster; each is cloned, so what is given stays unfitted. ``load_kw``: mean power by UTC interval
    start. ``observed``, ``expected``: weather by UTC interval start, as measured and as forecast for those days; forecasters get the first
    up to the issue time and the second from there on; without ``expected`` the observed weather stands in, which is
    optimistic. ``known_until``: the instant from which on the load of a target day's forecast is not known; None: the site's issue hour
    on the day before. ``refit_days``: a clone is fitted on every so many days; on those between it is told of the new values by ``update``
    with ``update_params=False``. 1 suits every forecaster; some of sktime's own look at nothing new without being fitted.
    Gaps are filled from the week before, for all alike: many forecasters take no missing values, whatever their tags say.

    Returns a row per forecaster and interval: model, day, issued_utc, start_utc, mean_kw, the quantiles (NaN where it gives none), actual_kw,
    naive_kw (the week before), for all intervals whose load and naive are known. Raises NoHistoryError where nothing is known before the first day.
    """
    if refit_days < 1:
        raise ValueError(f"refit_days = {refit_days}; expected 1 or more")
    power = load_kw.astype(float).replace([np.inf, -np.inf], np.nan).sort_index().asfreq(clock.interval)
    until = known_until or (lambda day: clock.issue_time(day - timedelta(days=2)))
    parts = []
    for name, forecaster in forecasters.items():
        fitted, cutoff = None, None
        for n, day in enumerate(days_between(first, last)):
            begins(name, day)
            issued = pd.Timestamp(until(day))
            known = _known(power, issued, day)
            weather = None if observed is None else observed.reindex(known.index)
            starts = clock.intervals(day)
            if fitted is None or n % refit_days == 0:
                fitted = forecaster.clone().fit(known, X=weather)
            elif known.index[-1] > cutoff:
                new = known.index > cutoff
                fitted.update(known[new], X=None if weather is None else weather[new], update_params=False)
            cutoff = known.index[-1]
            ahead = pd.date_range(cutoff + clock.interval, starts[-1], freq=clock.interval)
            coming = None if observed is None else _coming(observed, expected, issued, clock).reindex(ahead)
            parts.append(_rows(fitted, starts, coming).assign(model=name, day=day, issued_utc=issued))
    made = pd.concat(parts, ignore_index=True)
    made["actual_kw"] = power.reindex(made["start_utc"]).to_numpy()
    made["naive_kw"] = power.reindex(made["start_utc"] - WEEK).to_numpy()
    return made[made["actual_kw"].notna() & made["naive_kw"].notna()].reset_index(drop=True)


def _known(power: pd.Series, issued: pd.Timestamp, day: date) -> pd.Series:
    """What was known at the issue time, from the first known value to the last, its gaps filled from the week before."""
    known = power[power.index + power.index.freq <= issued]
    if not known.notna().any():
        raise NoHistoryError(f"no load is known before {issued.isoformat()}, when {day} is forecast; choose a later first day")
    known = known[known.first_valid_index() : known.last_valid_index()]
    return known.fillna(known.shift(freq=WEEK).reindex(known.index)).ffill().asfreq(power.index.freq)


def _coming(observed: pd.DataFrame, expected: pd.DataFrame | None, issued: pd.Timestamp, clock: SiteCalendar) -> pd.DataFrame:
    """The weather as it was measured up to the issue time, and as it was expected from there on.

    The horizon begins before the issue time where the last loads are missing: the weather of those hours is known all the same.
    """
    return observed if expected is None else observed[observed.index + clock.interval <= issued].combine_first(expected)


def _rows(fitted: Any, starts: pd.DatetimeIndex, coming: pd.DataFrame | None) -> pd.DataFrame:
    from sktime.forecasting.base import ForecastingHorizon

    horizon = ForecastingHorizon(starts, is_relative=False)
    made = pd.DataFrame({"start_utc": starts, "mean_kw": np.ravel(fitted.predict(horizon, X=coming))})
    bands = np.full((len(starts), len(QUANTILES)), np.nan)
    if fitted.get_tag("capability:pred_int", tag_value_default=False):
        bands = fitted.predict_quantiles(horizon, X=coming, alpha=list(QUANTILES)).to_numpy()
    return made.join(pd.DataFrame(bands, columns=list(QUANTILE_COLUMNS)))


def scores(found: pd.DataFrame) -> pd.DataFrame:
    """A row per forecaster, the best mean absolute error first: the scores of forecast_accuracy over all days, and the weekly naive's.

    Pinball loss and coverage are NaN where a forecaster gives no quantiles.
    """
    rows = []
    naive = found.drop_duplicates("start_utc").assign(model=WEEKLY_NAIVE, **dict.fromkeys(QUANTILE_COLUMNS, np.nan))
    for model, each in [*found.groupby("model"), (WEEKLY_NAIVE, naive.assign(mean_kw=naive["naive_kw"]))]:
        told = dict(score(str(model), each["day"].min(), each))
        told |= {} if each[list(QUANTILE_COLUMNS)].notna().all(axis=None) else dict.fromkeys(OF_QUANTILES, np.nan)
        rows.append({"model": model, "days": each["day"].nunique()} | {name: told[name] for name in SCORES})
    return pd.DataFrame(rows).sort_values("mae_kw", ignore_index=True)


SCORES = ("intervals", "mape_pct", "mae_kw", "rmse_kw", "pinball_kw", "coverage_90_pct", "bias_pct")
