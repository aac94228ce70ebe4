"""What a day's meters can do and how far its rules reach, in the day's own intervals."""

from __future__ import annotations

import numpy as np

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.vee.clock_test import offset_intervals
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.like_days import NEAR_HOURS


def offset_of(grid: DayGrid) -> int:
    return offset_intervals(grid.starts.tz_convert(grid.zone), grid.hours)


def limit_of(grid: DayGrid, rules: ValidationSection) -> int:
    """The longest gap that is filled linearly, in intervals."""
    return int(rules.linear_gap_minutes / (60.0 * grid.hours) + 1e-9)


def near_of(grid: DayGrid) -> int:
    """Intervals around one whose like days spread alike."""
    return max(1, round(NEAR_HOURS / grid.hours))


def either_way(grid: DayGrid) -> np.ndarray:
    """(meters,): whether energy may flow both ways, so that a reading may be negative."""
    return grid.meters["net_metered"].to_numpy(dtype=bool) | (grid.meters["kind"] == "boundary").to_numpy()


def limit_kwh(grid: DayGrid) -> np.ndarray:
    """(meters,): the most energy that the service can carry in an interval."""
    return grid.meters["rating_kw"].to_numpy(dtype=float) * grid.hours


def bounds_kwh(grid: DayGrid) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most energy that a meter can tell of an interval, (meters,) each."""
    most = limit_kwh(grid)
    return np.where(either_way(grid), -most, 0.0), most
