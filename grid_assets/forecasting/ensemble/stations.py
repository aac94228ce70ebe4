"""Which weather stations tell most of a node's load: the order by a trial forecast of the last year, then the best few together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from grid_assets.forecasting.ensemble.hourly_ridge import fit_hourly_ridge
from grid_assets.forecasting.ensemble.node_models import STATIC_PENALTY, NodeHistory, Scale, static_terms
from grid_assets.forecasting.ensemble.temperature_paths import TemperaturePaths, TemperatureSpline

TRIAL_DAYS = 365


def choose_stations(history: NodeHistory, observed: Mapping[str, np.ndarray], until: int) -> tuple[str, ...]:
    """The stations whose mean temperature explains the load best, from the days before position ``until`` only.

    ``history``: the node's load and calendar; its own temperature does not count. ``observed``: station -> [days, hours],
    degC. A static regression of the days before the last year says how well each station, and then the mean of the best
    two, three, .. of them, foretells that year (Hong, Wang, White 2015, weather station selection). With less than two
    trial lengths of history all stations are taken.
    """
    names = sorted(observed)
    if until < 2 * TRIAL_DAYS or len(names) < 2:
        return tuple(names)
    alone = {name: _trial_error(history, observed, [name], until) for name in names}
    ordered = sorted(names, key=lambda name: (alone[name], name))
    together = [alone[ordered[0]], *(_trial_error(history, observed, ordered[:count], until) for count in range(2, len(names) + 1))]
    return tuple(sorted(ordered[: int(np.argmin(together)) + 1]))


def mean_temperature(observed: Mapping[str, np.ndarray], stations: Sequence[str]) -> np.ndarray:
    """Mean of the stations that have a value, degC [.., hours]; NaN where none has."""
    values = np.stack([observed[name] for name in stations])
    count = np.isfinite(values).sum(0)
    return np.where(count, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


def _trial_error(history: NodeHistory, observed: Mapping[str, np.ndarray], stations: Sequence[str], until: int) -> float:
    """Mean absolute error of the last year before ``until``, in the regression's scale."""
    part = history.part(0, until)
    mean = mean_temperature(observed, stations)[:until]
    features = TemperaturePaths.complete(mean).observed_features()
    begin, known = until - TRIAL_DAYS, np.isfinite(part.load).any(1)
    training = known & (np.arange(until) < begin)
    seen = Scale.of(part.load[:begin]).seen(part.load)
    terms = static_terms(part, (), TemperatureSpline.of(features, training), features, np.arange(until))
    made = fit_hourly_ridge(terms[:begin], seen[:begin], training[:begin].astype(float), STATIC_PENALTY).predict(terms[begin:])
    # the level of the trial year is no station's merit
    missed = seen[begin:] - made
    return float(np.nanmean(np.abs(missed - np.nanmedian(missed))))
