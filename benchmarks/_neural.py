"""The recurrent network of the extra ``neural`` on a published load, through sktime's interface, on the ensemble's days and with its knowledge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks import _load_sets as sets
from benchmarks.platform import Row, row
from grid_assets.forecasting.challengers import challenge, scores
from grid_assets.foundation.calendar import SiteCalendar

LONGEST_LEAD_HOURS = 40
"""From 09:00 to the end of the next day, which may have 25 hours."""
NEVER_AGAIN = 10_000


def neural_rows(one: sets.LoadSet, ours: np.ndarray, days: Sequence) -> list[Row]:
    """Trained once on what was known before the first day; after that it is told the new loads, and not trained further.

    ``ours`` [days, hours]: the ensemble's mean forecasts of ``days``, beside which it stands.
    """
    try:
        from grid_assets.forecasting.neural import LstmForecaster
    except ImportError as error:
        return [row(f"{one.name}: LSTM", "-", "", f"{error}: uv run --extra neural grid-assets bench forecasting")]
    load = one.load_kw.resample("h").mean()
    weather = one.stations_degc.mean(axis=1).resample("h").mean().reindex(load.index).to_frame("temperature_degc")
    clock = SiteCalendar(ZoneInfo(one.zone), 60, one.first, None, sets.ISSUE_HOUR, 1)
    network = LstmForecaster(zone=one.zone, country=one.country, region=one.region, horizon_hours=LONGEST_LEAD_HOURS)
    began = time.process_time()
    found = challenge({"lstm": network}, load, clock, one.first, one.last, observed=weather, refit_days=NEVER_AGAIN)
    seconds = time.process_time() - began
    told = scores(found).set_index("model")
    local = found["start_utc"].dt.tz_convert(one.zone)
    place = np.searchsorted(np.array(days), np.array(local.dt.date))
    beside = np.abs(ours[place, local.dt.hour] / found["actual_kw"].to_numpy() - 1)
    said = f"ensemble {100 * np.nanmean(beside):.2f}, weekly naive {told.loc['weekly_naive', 'mape_pct']:.2f}; {seconds:.0f} s of processor time"
    return [
        row(f"{one.name}: LSTM trained once, MAPE", told.loc["lstm", "mape_pct"], "%", said),
        row(f"{one.name}: its 90 % band held", told.loc["lstm", "coverage_90_pct"], "%", f"pinball {told.loc['lstm', 'pinball_kw'] / 1000:.1f} MW"),
    ]  # fmt: skip
