"""A weather forecast for sites that have none: tomorrow is like the last days, at the same local time of day."""

from __future__ import annotations

import pandas as pd

from grid_assets.weather.observations import QUANTITIES

DAYS = 3


def persistence(observed: pd.DataFrame, horizon: pd.DatetimeIndex, zone: str) -> pd.DataFrame:
    """Each interval of ``horizon`` gets the mean of the last three observed values at its local time of day.

    Parameters: ``observed``: indexed by UTC interval starts, QUANTITIES as columns, known before the forecast was issued.
    Returns: a frame indexed by ``horizon`` with QUANTITIES; empty where nothing was observed at that time of day.
    """
    if observed.empty:
        return pd.DataFrame(index=horizon, columns=list(QUANTITIES), dtype=float)
    local = observed.index.tz_convert(zone)
    slot = local.hour * 60 + local.minute
    recent = observed[list(QUANTITIES)].groupby(slot).apply(lambda rows: rows.tail(DAYS).mean())
    wanted = horizon.tz_convert(zone)
    return recent.reindex(wanted.hour * 60 + wanted.minute).set_axis(horizon)
