"""Joint samples of real feeders beside samples that ignore what goes together, and samples in which everything does."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from benchmarks import _load_sets as sets
from benchmarks.platform import Row, row
from grid_assets.forecasting.demand import published, roll_demand
from grid_assets.forecasting.scenarios import scenarios
from grid_assets.foundation.calendar import SiteCalendar, days_between

FIRST, LAST = date(2009, 5, 1), date(2009, 5, 30)
MEMBERS = 20


def scenario_rows() -> list[Row]:
    """Eight feeders of 560 British households, forecast the day before: how good each kind of samples is (smaller is better)."""
    loads, clock = sets.edrp_feeders(), SiteCalendar(ZoneInfo(sets.LONDON), 30, date(2009, 3, 1), LAST, sets.ISSUE_HOUR, 2)
    feeders = sorted(set(loads["node_id"]) - {"system"})
    parents = {"system": None} | dict.fromkeys(feeders, "system")
    found: dict[str, list[tuple[float, ...]]] = {"joint": [], "independent": [], "as one": []}
    held = []
    for day in days_between(FIRST, LAST):
        issued = day - timedelta(days=clock.study_day_offset)
        known = loads[loads["start_utc"] < pd.Timestamp(clock.bounds(issued)[1])]
        rolled = roll_demand(known, None, ["system", *feeders], clock, issued, country="GB")
        forecasts = published(rolled).forecasts
        drawn = scenarios(rolled, forecasts, parents, feeders, MEMBERS, day.toordinal())
        starts = clock.intervals(day)
        actual = _matrix(loads, "energy_kwh", feeders, starts)[0] / clock.interval_hours
        joint = _matrix(drawn, "value_kw", feeders, starts)
        for name, samples in (("joint", joint), ("independent", _shuffled(joint, day.toordinal())), ("as one", np.sort(joint, axis=0))):
            low_high = band(samples.sum(axis=1))
            of_day = _inside(actual.sum(), *band(samples.sum(axis=(1, 2))))
            inside = _inside(actual.sum(axis=0), *low_high)
            found[name].append((energy_score(samples, actual), variogram_score(samples, actual), inside, of_day))
        apart = scenarios(rolled, forecasts, parents, [*feeders, "system"], MEMBERS, day.toordinal())
        free = _matrix(apart, "value_kw", feeders, starts)
        alone = _matrix(apart, "value_kw", ["system"], starts)[:, 0]
        held.append([_inside(actual, *band(joint)), _inside(actual, *band(free)), _inside(actual.sum(axis=0), *band(alone))])
    scores = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    rows, ours = [], scores["joint"]
    for n, (what, unit) in enumerate((("energy score", "kW"), ("variogram score (p = 0.5)", "kW"))):
        others = {name: scores[name][n] for name in ("independent", "as one")}
        beside = ", ".join(f"{name} {value:.4g}" for name, value in others.items())
        best = min(others.values())
        rows.append(row(f"EDRP feeders, samples: {what}", ours[n], unit, beside, f"< {best:.4g}", ours[n] < best))
    beside = ", ".join(f"{name} {100 * scores[name][2]:.0f}" for name in ("independent", "as one"))
    rows.append(
        row("the same: all feeders' sum inside the samples' 90 %", 100 * ours[2], "%", beside, "80 to 95", 80 <= 100 * ours[2] <= 95)
    )
    beside = ", ".join(f"{name} {100 * scores[name][3]:.0f}" for name in ("independent", "as one"))
    rows.append(row("the same: their energy of the day inside the samples' 90 %", 100 * ours[3], "%", f"{beside}; of {len(held)} days"))
    moved, before, top = 100 * np.mean(held, axis=0)
    said = f"{before:.1f} before they were moved to add up; the sum's own samples, which are kept, {top:.1f}"
    rows.append(row("the same: a feeder inside its samples' 90 %", moved, "%", said))
    return rows


def band(samples: np.ndarray) -> np.ndarray:
    """Ends of the 90 % band [2, ..] of samples [members, ..], the k-th of n in their order standing for (k - 0.5) / n."""
    return np.quantile(samples, [0.05, 0.95], axis=0, method="hazen")


def _matrix(rows: pd.DataFrame, value: str, nodes: list[str], starts: pd.DatetimeIndex) -> np.ndarray:
    """[members, nodes, intervals]; rows without members are one."""
    kept = rows[rows["start_utc"].isin(starts) & rows["node_id"].isin(nodes)]
    kept = kept if "member" in kept else kept.assign(member=1)
    return kept.sort_values(["member", "node_id", "start_utc"])[value].to_numpy(float).reshape(-1, len(nodes), len(starts))


def _shuffled(samples: np.ndarray, seed: int) -> np.ndarray:
    """The same values of each node and interval in an order of chance."""
    return np.random.default_rng(seed).permuted(samples, axis=0)


def energy_score(samples: np.ndarray, actual: np.ndarray) -> float:
    """Of samples [members, ..], in the unit of its arguments (Gneiting, Raftery 2007), the pairs of different members averaged."""
    flat, truth = samples.reshape(len(samples), -1), actual.reshape(-1)
    near = np.linalg.norm(flat - truth, axis=1).mean()
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2).sum() / (len(flat) * (len(flat) - 1))
    return float(near - 0.5 * apart)


def variogram_score(samples: np.ndarray, actual: np.ndarray) -> float:
    """Root mean of the variogram score of order 0.5 over pairs of nodes at every third interval (Scheuerer, Hamill 2015)."""
    flat, truth = samples[:, :, ::3].reshape(len(samples), -1), actual[:, ::3].reshape(-1)
    seen = np.sqrt(np.abs(truth[:, None] - truth[None]))
    told = np.zeros(seen.shape)
    for one in flat:
        told += np.sqrt(np.abs(one[:, None] - one[None])) / len(flat)
    return float(np.sqrt(np.mean((seen - told) ** 2)))


def _inside(values: np.ndarray | float, low: np.ndarray, high: np.ndarray) -> float:
    return float(np.mean((values >= low) & (values <= high)))
