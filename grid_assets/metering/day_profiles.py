"""Summaries of a day: per meter, and per node and kind of meter for the quality suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from grid_assets.metering.tables import METER_DAYS, QUALITY_PROFILES
from grid_assets.metering.validation import longest_run

if TYPE_CHECKING:
    from grid_assets.metering.reading_days import DayGrid


def meter_days(grid: DayGrid, arrived: np.ndarray, valid: np.ndarray, energy: np.ndarray, told: np.ndarray) -> pd.DataFrame:
    """A row per meter in force (METER_DAYS), from the day's matrices of arrived, valid and published kWh."""
    expected = grid.shape[1]
    measured = (~np.isnan(valid)).sum(axis=1)
    missing = np.isnan(energy).sum(axis=1)
    flags = [" ".join(sorted({rule for cell in row if cell for rule in cell.split()})) or None for row in told]
    return pd.DataFrame(
        {
            "meter_id": grid.meters["meter_id"], "day": grid.day, "kind": grid.meters["kind"], "node_id": grid.meters["node_id"],
            "expected_intervals": expected, "valid_intervals": measured, "valid_pct": 100.0 * measured / expected,
            "estimated_intervals": expected - measured - missing, "missing_intervals": missing,
            "energy_kwh": np.nansum(energy, axis=1), "offline_longest_s": longest_run(np.isnan(arrived)) * grid.hours * 3600.0,
            "flags": pd.Series(flags, dtype=object), "edited_intervals": 0, "usual_kwh": None, "register_kwh": None,
        },
        columns=METER_DAYS.columns,
    )  # fmt: skip


def quality_profiles(grid: DayGrid, valid: np.ndarray, energy: np.ndarray) -> pd.DataFrame:
    """A row per node and kind of meter (QUALITY_PROFILES), from the day's matrices of valid and published kWh."""
    rows = []
    rating_kwh = grid.meters["rating_kw"].to_numpy(dtype=float)[:, None] * grid.hours
    for (node, kind), members in grid.meters.groupby(["node_id", "kind"], sort=True):
        at = members.index.to_numpy()
        published = energy[at]
        known = published[~np.isnan(published)]
        cells = published.size
        measured = int((~np.isnan(valid[at])).sum())
        share = np.abs(published) / rating_kwh[at]
        rows.append(
            {
                "node_id": node, "kind": kind, "day": grid.day, "meters": len(at),
                "valid_pct": 100.0 * measured / cells, "estimated_pct": 100.0 * (known.size - measured) / cells,
                "missing_pct": 100.0 * (cells - known.size) / cells,
                "mean_kwh": known.mean() if known.size else None, "minimum_kwh": known.min() if known.size else None,
                "maximum_kwh": known.max() if known.size else None,
                "maximum_of_rating_pct": 100.0 * np.nanmax(share) if known.size else None,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=QUALITY_PROFILES.columns)
