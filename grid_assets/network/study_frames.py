"""What the studies of one run read; light, for doors make it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class StudyFrames:
    """What the studies of one run read, in the columns of their tables."""

    meters: pd.DataFrame
    nodes: pd.DataFrame
    plants: pd.DataFrame
    demand: pd.DataFrame
    """forecasting/demand_forecasts of the run, or forecasting/scenarios."""
    renewable_forecasts: pd.DataFrame
    meter_days: pd.DataFrame
    """Of the weeks up to the run's day."""
