"""The models of one node: a regression fitted on the first of each month, trees on the first of each quarter.

One code path live and in back-tests: what an issue day is told depends on that day and on what was known then, never on
which other days are asked for in the same call.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays, day_terms, season
from grid_assets.forecasting.ensemble.hourly_ridge import HourlyRidge, fit_hourly_ridge
from grid_assets.forecasting.ensemble.surprises import surprise_terms
from grid_assets.forecasting.ensemble.temperature_paths import TemperaturePaths, TemperatureSpline
from grid_assets.forecasting.ensemble.trees import Trees, fit_trees, level, tree_facts

HOURS = 24
STATIC_PENALTY, SURPRISE_PENALTY = 20.0, 100.0
STATIC_HALF_LIFE_DAYS, SURPRISE_HALF_LIFE_DAYS = 3000.0, 1500.0
MINIMUM_TRAINING_DAYS = 300
"""Less than most of a year teaches no season: the like-day model is better there."""
LEVEL_KNOWN_DAYS = 30
"""The first days of a history have no level yet; trees do not learn from them."""
LOOK_BACK_DAYS = 50
"""No model looks further back from an issue day than this: five weeks, and eight days of temperature before them."""
POSITIVE_SHARE = 0.05
"""A load whose smallest value is above this share of its mean is modelled as a logarithm."""


@dataclass(frozen=True)
class NodeHistory:
    """What is known of a node, by local day and hour; the days of the horizon are the last ones."""

    days: tuple[date, ...]
    load: np.ndarray
    """Mean power [days, hours], kW; NaN where unknown. Nothing after an issue time is looked at for its forecast."""
    temperature: TemperaturePaths | None
    holidays: PublicHolidays
    known_hours: int
    """Hours of each issue day whose load is known when the forecast is issued."""

    def part(self, begin: int, end: int) -> NodeHistory:
        """The days at these positions."""
        temperature = self.temperature and TemperaturePaths(self.temperature.observed[begin:end], self.temperature.known[begin:end])
        return NodeHistory(self.days[begin:end], self.load[begin:end], temperature, self.holidays, self.known_hours)


@dataclass(frozen=True)
class Scale:
    """How power becomes what the models see: its logarithm over the mean, or, where it may be near or below zero, its share of the mean."""

    mean: float
    logarithmic: bool

    @classmethod
    def of(cls, load: np.ndarray) -> Scale:
        known = load[np.isfinite(load)]
        mean = float(np.abs(known).mean()) if len(known) else 1.0
        mean = mean if mean > 1e-9 else 1.0
        return cls(mean, bool(len(known)) and bool(known.min() > POSITIVE_SHARE * mean))

    def seen(self, load: np.ndarray) -> np.ndarray:
        if not self.logarithmic:
            return load / self.mean
        # a later value may be smaller than any that was trained on, even negative: it counts as very small
        return np.log(np.maximum(load, 0.1 * POSITIVE_SHARE * self.mean) / self.mean)

    def power(self, seen: np.ndarray) -> np.ndarray:
        return self.mean * (np.exp(seen) if self.logarithmic else seen)


@dataclass(frozen=True)
class Regression:
    """A month's regression: the static part by calendar and weather, and one of surprises for each offset."""

    scale: Scale
    holiday_names: tuple[str, ...]
    spline: TemperatureSpline | None
    static: HourlyRidge
    surprise: Mapping[int, HourlyRidge]


@dataclass(frozen=True)
class NodeTrees:
    """A quarter's trees, for all offsets."""

    scale: Scale
    trees: Trees


Fitted = MutableMapping[tuple[str, date], Regression | NodeTrees]
"""Models by kind and first day of use: what was fitted once is not fitted again. A dict, or a folder behind the same methods."""


@dataclass(frozen=True)
class Rolled:
    """Forecasts by target day for one offset, kW [days, hours]; NaN where none was asked or none could be made."""

    offset: int
    regression: np.ndarray
    trees: np.ndarray


def roll(
    history: NodeHistory, issue_days: Sequence[int], offsets: Sequence[int], fitted: Fitted | None = None, refits: Sequence[date] = ()
) -> dict[int, Rolled]:
    """Forecasts issued on each of these days (positions in ``history.days``) for the days so many ``offsets`` after it.

    The regression in use was fitted on the days before the first of the issue day's month, the trees on those before its
    quarter; each of ``refits`` begins another such period, with models fitted on the days before it. With fewer than
    MINIMUM_TRAINING_DAYS known days before it, there is none: NaN. ``fitted`` keeps the models.
    """
    fitted = {} if fitted is None else fitted
    made = {offset: Rolled(offset, np.full(history.load.shape, np.nan), np.full(history.load.shape, np.nan)) for offset in offsets}
    known_days = np.isfinite(history.load).any(1)
    for months, kind in ((1, "regression"), (3, "trees")):
        for first, issued in _periods(history.days, issue_days, months, refits):
            start = max((first - history.days[0]).days, 0)
            if (kind, first) not in fitted:
                if known_days[:start].sum() < MINIMUM_TRAINING_DAYS:
                    continue
                fitted[kind, first] = (fit_regression if kind == "regression" else fit_node_trees)(history, start, offsets)
            _place(history, issued, fitted[kind, first], made)
    return made


def _periods(days: Sequence[date], issue_days: Sequence[int], months: int, refits: Sequence[date] = ()) -> list[tuple[date, np.ndarray]]:
    """The first day of each period of so many months, or since the last refit, and the issue days in it."""
    grouped: dict[date, list[int]] = {}
    for position in issue_days:
        day = days[position]
        first = date(day.year, (day.month - 1) // months * months + 1, 1)
        grouped.setdefault(max([first, *(one for one in refits if one <= day)]), []).append(position)
    return [(first, np.array(positions)) for first, positions in sorted(grouped.items())]


def _place(history: NodeHistory, issued: np.ndarray, model: Regression | NodeTrees, made: Mapping[int, Rolled]) -> None:
    """Puts the model's forecasts of these issue days where they belong; it sees only the days that any of them looks at."""
    begin = max(int(issued.min()) - LOOK_BACK_DAYS, 0)
    end = min(int(issued.max()) + max(made) + 1, len(history.days))
    part = history.part(begin, end)
    for offset, rolled in made.items():
        targets = issued + offset
        targets = targets[targets < end]
        if len(targets) and isinstance(model, Regression):
            rolled.regression[targets] = predict_regression(model, part, targets - begin, offset)
        elif len(targets) and isinstance(model, NodeTrees):
            rolled.trees[targets] = predict_trees(model, part, targets - begin, offset)


# -- the regression -----------------------------------------------------------------------------------------------


def static_terms(
    history: NodeHistory,
    names: Sequence[str],
    spline: TemperatureSpline | None,
    features: Mapping[str, np.ndarray] | None,
    days: np.ndarray,
) -> np.ndarray:
    """Calendar and weather terms [days, hours, terms] of these days, from their temperature features [days, hours]."""
    chosen = [history.days[day] for day in days]
    calendar = np.repeat(day_terms(chosen, history.holidays, names)[:, None], HOURS, axis=1)
    if spline is None or features is None:
        return calendar
    weekend = np.array([day.weekday() >= 5 for day in chosen]) | history.holidays.on(chosen)
    return np.concatenate([calendar, spline.terms(features, season(chosen)[:, :2], weekend.astype(float))], axis=-1)


def fit_regression(history: NodeHistory, start: int, offsets: Sequence[int]) -> Regression:
    """The regression from the days before position ``start``."""
    past = history.part(0, start)
    known = np.isfinite(past.load).any(1)
    scale, ages = Scale.of(past.load), start - np.arange(start, dtype=float)
    seen = scale.seen(past.load)
    observed = past.temperature.observed_features() if past.temperature else None
    spline = TemperatureSpline.of(observed, known) if observed else None
    names = tuple(sorted({name for day, name in past.holidays.names.items() if past.days[0] <= day <= past.days[-1]}))
    terms = static_terms(past, names, spline, observed, np.arange(start))
    static = fit_hourly_ridge(terms, seen, known * 0.5 ** (ages / STATIC_HALF_LIFE_DAYS), STATIC_PENALTY)
    surprises = seen - static.predict(terms)
    weights = known * 0.5 ** (ages / SURPRISE_HALF_LIFE_DAYS)
    of_offset = {
        offset: fit_hourly_ridge(surprise_terms(surprises, surprises, offset, past.known_hours), surprises, weights, SURPRISE_PENALTY)
        for offset in offsets
    }
    return Regression(scale, names, spline, static, of_offset)


def predict_regression(model: Regression, history: NodeHistory, targets: np.ndarray, offset: int) -> np.ndarray:
    """Forecasts of these target days (positions), issued ``offset`` days before each, kW [targets, hours]."""

    def usual(days: np.ndarray, features: Mapping[str, np.ndarray] | None) -> np.ndarray:
        return model.static.predict(static_terms(history, model.holiday_names, model.spline, features, days))

    seen, issued = model.scale.seen(history.load), targets - offset
    observed = history.temperature.observed_features() if history.temperature else None
    surprises = seen - usual(np.arange(len(history.days)), observed)
    unfinished = np.full(seen.shape, np.nan)
    unfinished[issued] = seen[issued] - usual(issued, _known_features(history, issued, 0))
    rows = surprise_terms(surprises, unfinished, offset, history.known_hours)[targets]
    return model.scale.power(usual(targets, _known_features(history, targets, offset)) + model.surprise[offset].predict(rows))


def _known_features(history: NodeHistory, targets: np.ndarray, offset: int) -> dict[str, np.ndarray] | None:
    """Temperature features of the target days as known at their issue time [targets, hours]."""
    return history.temperature.features(offset, targets - offset) if history.temperature else None


# -- the trees ----------------------------------------------------------------------------------------------------


def fit_node_trees(history: NodeHistory, start: int, offsets: Sequence[int]) -> NodeTrees:
    """The trees from the days before position ``start``: one model for all offsets, which is one of its facts."""
    past = history.part(0, start)
    scale = Scale.of(past.load)
    seen = scale.seen(past.load)
    observed = past.temperature.observed_features() if past.temperature else None
    rows, answers, far = [], [], [offset for offset in offsets if offset > 1]
    for offset in offsets:
        answer = seen - level(seen, offset)[:, None]
        answer[:LEVEL_KNOWN_DAYS] = np.nan
        if offset in far:  # far offsets share the days, so that a week ahead does not take seven times as long
            answer[np.arange(start) % len(far) != far.index(offset)] = np.nan
        rows.append(tree_facts(seen, tree_calendar(past), observed, observed, offset, past.known_hours))
        answers.append(answer)
    return NodeTrees(scale, fit_trees(rows, answers, start - np.arange(start, dtype=float)))


def predict_trees(model: NodeTrees, history: NodeHistory, targets: np.ndarray, offset: int) -> np.ndarray:
    """Forecasts of these target days (positions), issued ``offset`` days before each, kW [targets, hours]."""
    seen = model.scale.seen(history.load)
    observed = history.temperature.observed_features() if history.temperature else None
    known = _known_features(history, targets, offset)
    if known:
        whole = {name: np.full(history.load.shape, np.nan) for name in known}
        for name, values in known.items():
            whole[name][targets] = values
        known = whole
    facts = tree_facts(seen, tree_calendar(history), known, observed, offset, history.known_hours)[targets]
    return model.scale.power(model.trees.predict(facts) + level(seen, offset)[targets][:, None])


def tree_calendar(history: NodeHistory) -> dict[str, np.ndarray]:
    """What trees are told of each day [days]."""
    free, after, before = (history.holidays.on([day + timedelta(days=step) for day in history.days]) for step in (0, -1, 1))
    return {
        "weekday": np.array([day.weekday() for day in history.days]),
        "day_of_year": np.array([day.timetuple().tm_yday for day in history.days]),
        "free": free,
        "after": after,
        "before": before,
    }
