"""What the ensemble is compared with in the same run, on the same days, with the same knowledge: naive, plain LightGBM, raw quantile trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np

from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.node_models import NodeHistory, Scale, tree_calendar
from grid_assets.forecasting.ensemble.surprises import shifted
from grid_assets.forecasting.ensemble.trees import level, tree_facts

HOURS = 24
WEEK = 7


def weekly_naive(history: NodeHistory) -> np.ndarray:
    """The same hour a week before; two weeks before where that is unknown [days, hours]."""
    week, before = shifted(history.load, WEEK), shifted(history.load, 2 * WEEK)
    return np.where(np.isfinite(week), week, before)


def plain_lightgbm(history: NodeHistory, positions: Sequence[int]) -> np.ndarray:
    """One LightGBM on a day's worth of features, as one would write it first: calendar, temperature, lags. Day ahead, kW."""
    load, hours = history.load, np.tile(np.arange(HOURS, dtype=float), (len(history.days), 1))

    def all_day(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(values, float)[:, None], HOURS, axis=1)

    days = history.days
    facts = [hours, all_day([day.weekday() for day in days]), all_day([day.month for day in days])]
    facts += [all_day([day.timetuple().tm_yday for day in days]), all_day(history.holidays.on(days))]
    facts += [shifted(load, lag) for lag in (2, 7, 14)]
    this_morning = shifted(load, 1)[:, : history.known_hours]
    facts += [all_day(this_morning[:, -1]), all_day(this_morning.mean(1)), all_day(shifted(load, 2).mean(1))]
    later = list(facts)
    if history.temperature:
        observed = history.temperature.observed_features()
        names = ("now", "lag_1h", "lag_2h", "lag_3h", "lag_24h", "mean_24h")
        issued = np.arange(len(days) - 1)
        known = history.temperature.features(1, issued)
        facts += [observed[name] for name in names]
        later += [shifted(np.concatenate([known[name], known[name][-1:]]), 1) for name in names]

    def fitted(start: int) -> Callable[[np.ndarray], np.ndarray]:
        model = trees.fit_trees([np.stack(facts, -1)[:start]], [load[:start]], np.zeros(start))
        return lambda targets: model.predict(np.stack(later, -1)[targets])

    return _by_quarter(history, positions, fitted)


def quantile_trees(history: NodeHistory, positions: Sequence[int], levels: Sequence[float]) -> np.ndarray:
    """A LightGBM with the quantile loss for each level, on the facts of the ensemble's trees [levels, days, hours], kW."""
    import lightgbm

    observed = history.temperature.observed_features() if history.temperature else None
    made = []
    for one in levels:

        def fitted(start: int, quantile: float = one) -> Callable[[np.ndarray], np.ndarray]:
            scale = Scale.of(history.load[:start])
            seen = scale.seen(history.load)
            facts = tree_facts(seen, tree_calendar(history), observed, observed, 1, history.known_hours)
            answer = seen[:start] - level(seen, 1)[:start, None]
            answer[:30] = np.nan
            good = np.isfinite(answer)
            asked = trees.PARAMETERS | {"objective": "quantile", "alpha": quantile}
            booster = lightgbm.train(asked, lightgbm.Dataset(facts[:start][good], answer[good]), trees.ROUNDS)
            return lambda targets: scale.power(trees.Trees(booster).predict(facts[targets]) + level(seen, 1)[targets][:, None])

        made.append(_by_quarter(history, positions, fitted))
    return np.sort(np.stack(made), axis=0)


def _by_quarter(history: NodeHistory, positions: Sequence[int], fitted: Callable[[int], Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
    """Forecasts of these days, each by a model of the days before its quarter [days, hours]."""
    made = np.full(history.load.shape, np.nan)
    quarters: dict[date, list[int]] = {}
    for position in positions:
        day = history.days[position]
        quarters.setdefault(date(day.year, (day.month - 1) // 3 * 3 + 1, 1), []).append(position)
    for first, targets in quarters.items():
        start = (first - history.days[0]).days - 1  # the first day of a quarter is forecast on the day before
        made[targets] = fitted(start)(np.array(targets))
    return made
