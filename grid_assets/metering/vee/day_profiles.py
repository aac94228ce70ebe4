"""Summaries of a day: per meter; and per file, node and class, as parts of shards that add up to the day's tables.

A part is a table of sums, counts and extremes, so that a file, node or class whose meters lie in several shards merges exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.metering.tables import CLASS_PROFILES, FILE_DAYS, QUALITY_PROFILES

if TYPE_CHECKING:
    from grid_assets.metering.vee.day_axes import DayGrid

BOUNDARY = "boundary"


def row_sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known values of each row."""
    known = ~np.isnan(values)
    count = np.count_nonzero(known, axis=1)
    whole = count == values.shape[1]
    sums = values.sum(axis=1)  # fast, and right where nothing is missing
    sums[~whole] = values[~whole].sum(axis=1, where=known[~whole])
    return sums, count


def quality_part(grid: DayGrid, valid: np.ndarray, energy: np.ndarray) -> pa.Table:
    """Per node and kind of meter: what QUALITY_PROFILES is made of. Meters at a node's boundary are in none.

    ``valid`` (meters,): valid intervals; ``energy``: the published matrix, kWh.
    """
    meters = grid.meters
    sums, count = row_sums(energy)
    low, high = np.fmin.reduce(energy, axis=1), np.fmax.reduce(energy, axis=1)
    rating_kwh = meters["rating_kw"].to_numpy(dtype=float) * grid.hours
    inside = np.flatnonzero((meters["kind"] != BOUNDARY).to_numpy())
    rows = pa.table(
        {
            "node_id": pa.array(meters["node_id"], pa.string()), "kind": pa.array(meters["kind"], pa.string()),
            "meters": np.ones(len(meters), dtype=np.int64), "cells": np.full(len(meters), grid.shape[1]), "valid": valid, "known": count,
            "sum_kwh": sums, "minimum_kwh": pa.array(low, from_pandas=True), "maximum_kwh": pa.array(high, from_pandas=True),
            "maximum_of_rating": pa.array(np.fmax(np.abs(low), np.abs(high)) / rating_kwh, from_pandas=True),
        }
    )  # fmt: skip
    return _quality_sums(rows.take(pa.array(inside)))


QUALITY_SUMS = {
    "meters": "sum", "cells": "sum", "valid": "sum", "known": "sum", "sum_kwh": "sum", "minimum_kwh": "min", "maximum_kwh": "max",
    "maximum_of_rating": "max",
}  # fmt: skip


def _quality_sums(rows: pa.Table) -> pa.Table:
    return _grouped(rows, ["node_id", "kind"], QUALITY_SUMS)


def _grouped(rows: pa.Table, keys: list[str], how: dict[str, str]) -> pa.Table:
    """Sums and extremes per key, sorted by it; one thread, so that sums do not depend on the machine."""
    made = (
        rows.group_by(keys, use_threads=False).aggregate(list(how.items())).select([*keys, *(f"{name}_{one}" for name, one in how.items())])
    )
    return made.rename_columns([*keys, *how]).sort_by([(key, "ascending") for key in keys])


def merged_quality(parts: Sequence[pa.Table], day: date) -> pa.Table:
    """QUALITY_PROFILES of a day from the parts of its shards."""
    if not parts:
        return QUALITY_PROFILES.empty()
    sums = _quality_sums(pa.concat_tables(parts))
    cells, known, valid = (sums[name].to_numpy() for name in ("cells", "known", "valid"))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums["sum_kwh"].to_numpy() / known
    return QUALITY_PROFILES.conform(
        pa.table(
            {
                "node_id": sums["node_id"], "kind": sums["kind"], "day": pa.array([day] * sums.num_rows, pa.date32()),
                "meters": sums["meters"], "valid_pct": 100.0 * valid / cells, "estimated_pct": 100.0 * (known - valid) / cells,
                "missing_pct": 100.0 * (cells - known) / cells, "mean_kwh": pa.array(np.where(known > 0, mean, np.nan), from_pandas=True),
                "minimum_kwh": sums["minimum_kwh"], "maximum_kwh": sums["maximum_kwh"],
                "maximum_of_rating_pct": pc.multiply(sums["maximum_of_rating"], 100.0),
            }
        )
    )  # fmt: skip


def class_part(grid: DayGrid, valid: np.ndarray) -> pa.Table:
    """Per class and interval: number, mean and sum of squares about it of the valid values of its plain load meters, kWh."""
    meters = grid.meters
    plain = np.flatnonzero((meters["kind"] == "load").to_numpy() & ~meters["net_metered"].to_numpy(dtype=bool))
    codes, names = pd.factorize(grid.column("customer_class", "").to_numpy()[plain], sort=True)
    order = np.argsort(codes, kind="stable")
    values = valid[plain[order]]
    known = ~np.isnan(values)
    values[~known] = 0.0
    first = np.searchsorted(codes[order], np.arange(len(names)))
    if not len(names):
        count = mean = squares = np.empty((0, grid.shape[1]))
    else:
        count = np.add.reduceat(known, first, axis=0, dtype=np.int64)
        total = np.add.reduceat(values, first, axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), 0.0)
        squares = np.maximum(np.add.reduceat(values * values, first, axis=0) - count * mean**2, 0.0)
    return pa.table(
        {
            "customer_class": pa.array(np.repeat(np.asarray(names, dtype=object), grid.shape[1]), pa.string()),
            "slot": np.tile(np.arange(grid.shape[1]), len(names)),
            "meters": count.ravel().astype(np.int64), "mean_kwh": mean.ravel(), "squares": squares.ravel(),
        }
    )  # fmt: skip


def merged_classes(parts: Sequence[pa.Table], starts: pd.DatetimeIndex) -> pa.Table:
    """CLASS_PROFILES of a day, whose intervals begin at ``starts``, from the parts of its shards.

    Source: the parallel form of the variance by Chan, Golub and LeVeque (1979).
    """
    if not parts:
        return CLASS_PROFILES.empty()
    whole, keys = pa.concat_tables(parts), ["customer_class", "slot"]
    whole = whole.append_column("total", pc.multiply(whole["meters"], whole["mean_kwh"]))
    sums = _grouped(whole, keys, {"meters": "sum", "total": "sum", "squares": "sum"})
    meters, total = sums["meters"].to_numpy(), sums["total"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / meters
        between = _between(whole, keys, sums, mean) if len(parts) > 1 else 0.0
        deviation = np.sqrt((sums["squares"].to_numpy() + between) / meters)
    return CLASS_PROFILES.conform(
        pa.table(
            {
                "customer_class": sums["customer_class"], "start_utc": pa.array(starts[sums["slot"].to_numpy()]), "meters": meters,
                "mean_kwh": pa.array(mean, from_pandas=True), "deviation_kwh": pa.array(deviation, from_pandas=True),
            }
        )
    )  # fmt: skip


def _between(whole: pa.Table, keys: list[str], sums: pa.Table, mean: np.ndarray) -> np.ndarray:
    """Sum of squares of the parts' means about the mean of all, in the order of ``sums``."""
    joined = whole.to_pandas().merge(sums.select(keys).to_pandas().assign(of_all=mean), on=keys)
    joined["between"] = joined["meters"] * (joined["mean_kwh"] - joined["of_all"]) ** 2
    return joined.groupby(keys, sort=True)["between"].sum().to_numpy()


def merged_files(parts: Sequence[pa.Table]) -> pa.Table:
    """FILE_DAYS of a day from those of its shards: a file's rows lie in several."""
    if not parts:
        return FILE_DAYS.empty()
    whole = pa.concat_tables(parts)
    counts = ("rows", "published", "rejected", "superseded")
    made = whole.group_by("file_id").aggregate([("source_file", "min"), *((name, "sum") for name in counts)])
    renamed = [name if name == "file_id" else name.rsplit("_", 1)[0] for name in made.column_names]
    return FILE_DAYS.conform(made.rename_columns(renamed).select(FILE_DAYS.columns))


def day_figures(meter_days: pa.Table, failed_readings: int) -> dict[str, float]:
    """What an analyst wants to know of a day first, from its METER_DAYS."""
    sums = {name: pc.sum(meter_days[name]).as_py() or 0 for name in meter_days.column_names if name.endswith("_intervals")}
    is_load = pc.equal(meter_days["kind"], "load")
    return {
        "energy_kwh": float(pc.sum(meter_days["energy_kwh"].filter(is_load)).as_py() or 0.0),
        "measured_pct": 100.0 * (sums["valid_intervals"] - sums["edited_intervals"]) / max(sums["expected_intervals"], 1),
        "edited": sums["edited_intervals"],
        "estimated": sums["estimated_intervals"],
        "missing": sums["missing_intervals"],
        "failed_readings": failed_readings,
        "meters": meter_days.num_rows,
    }
