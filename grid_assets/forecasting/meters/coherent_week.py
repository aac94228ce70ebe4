"""The coming week of every meter and node, by the hour, made to add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.forecasting.day_cubes import PLAUSIBLE, DayGrid, day_kinds
from grid_assets.forecasting.meters.global_model import (
    HORIZON_DAYS,
    HOURS,
    PAST_DAYS,
    TRAINING_ISSUES,
    WEEK,
    MeterForecasts,
    forecast_meters,
)
from grid_assets.forecasting.reconciliation import Hierarchy, reconciled
from grid_assets.forecasting.tables import COHERENT_FORECASTS, METER_FORECASTS
from grid_assets.foundation.calendar import SiteCalendar, days_between

READ_DAYS = PAST_DAYS + max(TRAINING_ISSUES) + WEEK
"""Days of readings that are looked at, at most."""
GLOBAL = "global_trees"
BRIDGED_HOURS = 6
"""Gaps of the temperature up to this are bridged: the weather between is near the line between their ends."""
MEAN_TO_DEVIATION = 1.2533
"""A normal error's standard deviation over its mean absolute value."""


@dataclass(frozen=True)
class CoherentWeek:
    meters: pd.DataFrame
    """Rows of METER_FORECASTS."""
    nodes: pd.DataFrame
    """Rows of COHERENT_FORECASTS."""
    messages: tuple[str, ...]


def days_read(day: date) -> list[date]:
    return days_between(day - timedelta(days=READ_DAYS - 1), day)


def hourly_loads(parts: Iterable[tuple[date, pa.Table]], days: int, meters: pd.Index, clock: SiteCalendar) -> np.ndarray:
    """[meters, days, hours], kW, on the site's clock from measured and edited READINGS of each of so many days; NaN where there is none."""
    made = np.full((len(meters), days, HOURS), np.nan, np.float32)
    for n, (day, rows) in enumerate(parts):
        starts = clock.intervals(day)
        column = starts.get_indexer(pd.DatetimeIndex(rows["start_utc"].to_pandas()))
        row = meters.get_indexer(pd.Index(rows["meter_id"].to_pandas()))
        energy = rows["energy_kwh"].to_numpy(zero_copy_only=False).astype(float)
        sound = rows["quality"].to_pandas().isin(["measured", "edited"]).to_numpy() & np.isfinite(energy)
        kept = (row >= 0) & (column >= 0) & sound
        place = row[kept] * HOURS + clock.local(starts).hour.to_numpy()[column[kept]]
        size = len(meters) * HOURS
        count = np.bincount(place, minlength=size)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(place, energy[kept] / clock.interval_hours, size) / np.where(count, count, np.nan)
        made[:, n] = mean.reshape(len(meters), HOURS)
    return made


def hourly_temperature(
    features: pd.DataFrame | None, clock: SiteCalendar, day: date, days: Sequence[date]
) -> tuple[np.ndarray | None, str]:
    """[days and the horizon, hours], degC: observed, then as forecast by the run of ``day``; and why there is none although there are features.

    Values that cannot be count as missing. Gaps of up to BRIDGED_HOURS are bridged straight, a longer one takes the day before, once.
    """
    if features is None or features.empty:
        return None, ""
    rows = features[(features["basis"] == "observed") | (features["day"] == day)]
    rows = rows[rows["station_id"] == rows["station_id"].min()]
    low, high = PLAUSIBLE["temperature_degc"]
    degrees = pd.to_numeric(rows["temperature_degc"], errors="coerce").astype(float)
    rows = rows.assign(temperature_degc=degrees)[((degrees >= low) & (degrees <= high)).to_numpy()]
    every = (*days, *(day + timedelta(days=n) for n in range(1, HORIZON_DAYS + 1)))
    grid = DayGrid(replace(clock, interval_minutes=60), day, every, np.zeros(len(every), int))
    rows = rows.sort_values("basis").drop_duplicates("start_utc", keep="last")  # what was observed, where both are there
    cube = grid.cube(rows["temperature_degc"].to_numpy(float)[None], pd.DatetimeIndex(rows["start_utc"]))[0]
    issued = cube[len(days)]
    begun = int(np.isfinite(issued).argmax())
    issued[:begun] = issued[begun]  # before the issue time nobody forecast the day of issue
    # the hour that the clock leaves out is a gap like others
    filled = pd.DataFrame(bridged(cube.ravel()).reshape(cube.shape)).ffill(limit=1).to_numpy()
    missing = np.argwhere(~np.isfinite(filled))
    if len(missing):
        (place, hour), count = missing[0], len(missing)
        return None, (
            f"weather: {count} of {filled.size} hours have no temperature, the first {every[place]} {hour:02}:00: "
            "single meters are forecast without weather"
        )
    return filled.astype(np.float32), ""


def bridged(values: np.ndarray) -> np.ndarray:
    """Hours [hours] with the straight line over each gap of at most BRIDGED_HOURS that has a value on either side."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    at = np.arange(len(values))
    later = np.minimum(np.searchsorted(known, at), len(known) - 1)
    gap = known[later] - known[np.maximum(later - 1, 0)] - 1
    inside = (at > known[0]) & (at < known[-1]) & (gap <= BRIDGED_HOURS)
    return np.where(np.isfinite(values) | ~inside, values, np.interp(at, known, values[known]))


def coherent_week(
    load: np.ndarray,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    forecasts: pd.DataFrame,
    errors_kw: pd.Series,
    temperature: np.ndarray | None,
    clock: SiteCalendar,
    day: date,
    *,
    country: str,
    seed: int,
    region: str | None = None,
    without_weather: str = "",
) -> CoherentWeek:
    """The 168 hours after ``day``, from the issue time on.

    ``load``: hourly_loads of ``meters`` (meter_id, node_id, net_metered) up to ``day``; ``nodes``: node_id, parent_id;
    ``forecasts``: rows of DEMAND_FORECASTS of the run; ``errors_kw``: each node's mean absolute error on the days forecast again;
    ``temperature``, ``without_weather``: as hourly_temperature gives them.
    Meters of which nothing is known take the mean of the others, and are named. Empty with fewer than 8 days, without any load
    meter, and where nothing is known of any.
    """
    if len(meters) and not np.isfinite(load).any():
        load = load[:, :0]
    if load.shape[1] <= WEEK or not len(meters):
        said = f"{load.shape[1]} days of known readings of {len(meters)} load meters: too few for forecasts of single meters"
        return CoherentWeek(METER_FORECASTS.empty().to_pandas(), COHERENT_FORECASTS.empty().to_pandas(), (said,))
    days = days_between(day - timedelta(days=load.shape[1] - 1), day + timedelta(days=HORIZON_DAYS))
    made = forecast_meters(load, day_kinds(days, country, region), temperature, seed)
    unknown = ~np.isfinite(made.mean).any(axis=(1, 2))
    made = _with_unknown(made, unknown)
    index = pd.Index(nodes["node_id"])
    tree = Hierarchy(index.get_indexer(pd.Index(meters["node_id"])), index.get_indexer(pd.Index(nodes["parent_id"])))
    own = _own_hours(forecasts, index, clock, day)
    doubt = (MEAN_TO_DEVIATION * errors_kw.reindex(index).to_numpy(float)) ** 2
    doubt = np.where(np.isfinite(doubt) & (doubt > 0), doubt, np.inf)
    own = np.where(np.isfinite(doubt)[:, None], own, np.nan)
    leaves = made.mean.reshape(len(meters), -1).astype(float)
    signed = meters["net_metered"].to_numpy(bool)
    moved, sums = reconciled(leaves, made.variance, own, np.where(np.isfinite(doubt), doubt, 1.0), tree, signed)
    quantiles = made.quantiles.reshape(len(made.quantiles), len(meters), -1) + (moved - leaves)
    quantiles = np.where(signed[None, :, None], quantiles, np.maximum(quantiles, 0.0))
    week = _rows(
        meters,
        index,
        moved,
        quantiles,
        sums,
        _node_bands(sums, own, forecasts, index, made.variance, tree, clock, day),
        own,
        unknown,
        clock,
        day,
    )
    return replace(week, messages=(*week.messages, without_weather)) if without_weather else week


def _with_unknown(made: MeterForecasts, unknown: np.ndarray) -> MeterForecasts:
    """Meters without a known value take the mean of the others, and a wide doubt."""
    if not unknown.any() or unknown.all():
        return replace(made, mean=np.nan_to_num(made.mean), quantiles=np.nan_to_num(made.quantiles))
    mean, quantiles, variance = made.mean.copy(), made.quantiles.copy(), made.variance.copy()
    mean[unknown], quantiles[:, unknown] = made.mean[~unknown].mean(axis=0), made.quantiles[:, ~unknown].mean(axis=1)[:, None]
    variance[unknown] = max(float(made.variance[~unknown].max()), float(mean.mean()) ** 2)
    return MeterForecasts(mean, quantiles, variance)


def _node_bands(
    sums: np.ndarray, own: np.ndarray, forecasts: pd.DataFrame, index: pd.Index, variance: np.ndarray, tree: Hierarchy, clock: SiteCalendar,
    day: date,
) -> np.ndarray:  # fmt: skip
    """Quantiles of the nodes' coherent means [levels, nodes, hours], not crossing: as far from the mean as those of the node's own forecast;
    of a node without one as far as its meters' errors would add up to if they were of no concern to each other.
    """
    alone = np.sqrt(tree.summed(variance))[:, None]
    made = []
    for name, z in zip(("p05_kw", "p50_kw", "p95_kw"), (-1.645, 0.0, 1.645), strict=True):
        spread = _own_hours(forecasts, index, clock, day, name) - own
        made.append(sums + np.where(np.isfinite(spread), spread, z * alone))
    return np.maximum.accumulate(np.stack(made), axis=0)


def _own_hours(forecasts: pd.DataFrame, index: pd.Index, clock: SiteCalendar, day: date, value: str = "mean_kw") -> np.ndarray:
    """The nodes' own forecasts [nodes, hours of the horizon] on the site's clock; NaN before the issue time."""
    days = tuple(days_between(day + timedelta(days=1), day + timedelta(days=HORIZON_DAYS)))
    grid = DayGrid(replace(clock, interval_minutes=60), day, days, np.zeros(len(days), int))
    wide = forecasts.pivot_table(index="node_id", columns="start_utc", values=value).reindex(index)
    return grid.cube(wide.to_numpy(float), pd.DatetimeIndex(wide.columns)).reshape(len(index), -1)


def _rows(
    meters: pd.DataFrame, index: pd.Index, moved: np.ndarray, quantiles: np.ndarray, sums: np.ndarray, bands: np.ndarray, own: np.ndarray,
    unknown: np.ndarray, clock: SiteCalendar, day: date,
) -> CoherentWeek:  # fmt: skip
    hourly, issued = replace(clock, interval_minutes=60), pd.Timestamp(clock.issue_time(day))
    starts = hourly.intervals(day + timedelta(days=1), day + timedelta(days=HORIZON_DAYS))
    starts = starts[starts >= issued]
    local = clock.local(starts).tz_localize(None)
    place = (local.normalize() - pd.Timestamp(day + timedelta(days=1))).days.to_numpy() * HOURS + local.hour.to_numpy()
    low, middle, high = quantiles
    of_meters = {
        "meter_id": np.repeat(meters["meter_id"].to_numpy(object), len(starts)), "issued_utc": issued,
        "start_utc": starts[np.tile(np.arange(len(starts)), len(meters))], "mean_kw": moved[:, place].ravel(),
        "p05_kw": low[:, place].ravel(), "p50_kw": middle[:, place].ravel(), "p95_kw": high[:, place].ravel(), "model": GLOBAL,
    }  # fmt: skip
    of_nodes = {
        "node_id": np.repeat(index.to_numpy(object), len(starts)), "issued_utc": issued,
        "start_utc": starts[np.tile(np.arange(len(starts)), len(index))], "mean_kw": sums[:, place].ravel(),
        "p05_kw": bands[0][:, place].ravel(), "p50_kw": bands[1][:, place].ravel(), "p95_kw": bands[2][:, place].ravel(),
        "forecast_kw": own[:, place].ravel(),
    }  # fmt: skip
    names = meters.loc[unknown, "meter_id"].astype(str).tolist()
    said = (
        [f"nothing is known of {', '.join(names[:8])}{' ..' if len(names) > 8 else ''}: the mean of the others stands in"] if names else []
    )
    return CoherentWeek(pd.DataFrame(of_meters), pd.DataFrame(of_nodes), tuple(said))
