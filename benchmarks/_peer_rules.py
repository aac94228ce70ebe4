"""The base rules as the peers implement them: what they are given, in the words of the platform's own readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.registers import METERS, in_force, read_register
from grid_assets.foundation.site import Site

FACTORS = {"W": 0.25e-3, "kW": 0.25, "MW": 250.0, "Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}
"""kWh of a quarter-hour."""
COLUMNS = ("meter_id", "start_utc", "energy_kwh", "quality", "method", "rule_failures")


@dataclass(frozen=True)
class PeerDay:
    """A day's raw files in the order of their arrival, the meters in the order of their ids, the intervals' starts, the limits."""

    files: tuple[Path, ...]
    meters: pd.DataFrame
    start_utc: pd.DatetimeIndex
    spike_ratio: float
    spike_floor_share: float
    stuck_intervals: int
    linear_intervals: int


def peer_day(site: Site, day: date) -> PeerDay:
    """What a peer needs for a day of a site whose files tell text columns and come on the morning after."""
    start, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
    received = pd.Timestamp(end).strftime("%Y%m%d")
    names = {received, (pd.Timestamp(end) + pd.Timedelta(hours=12)).strftime("%Y%m%d")}
    files = tuple(sorted(one for one in site.readings[0].folder.iterdir() if one.name.split("_")[1][:8] in names))
    meters = in_force(read_register(site.registers.folder, METERS).to_pandas(), start, end).sort_values("meter_id", ignore_index=True)
    rules = site.validation
    return PeerDay(
        files, meters, site.clock.intervals(day), rules.spike_ratio, rules.spike_floor_share, rules.stuck_intervals,
        rules.linear_gap_minutes // site.interval_minutes,
    )  # fmt: skip


def differences(ours: pa.Table, peer: pa.Table, left_out: Sequence[str]) -> tuple[int, int]:
    """Cells compared, and how many of them differ in quality, method or failed rules, or in energy by more than 1e-9 kWh.

    Both sorted by meter and time. ``left_out``: meters that more than the base rules speak of: register readings, days scaled from
    Wh, outage events.
    """
    kept = [
        one.select(COLUMNS).filter(pc.invert(pc.is_in(one["meter_id"].cast(pa.string()), pa.array(left_out, pa.string()))))
        for one in (ours, peer)
    ]
    if kept[0].num_rows != kept[1].num_rows:
        raise ValueError(f"{kept[0].num_rows} and {kept[1].num_rows} readings cannot be compared")
    other = np.zeros(kept[0].num_rows, bool)
    for name in ("meter_id", "quality", "method", "rule_failures"):
        mine, theirs = (pc.fill_null(one[name].cast(pa.string()), "") for one in kept)
        other |= pc.not_equal(mine, theirs).to_numpy()
    mine, theirs = (one["energy_kwh"].to_numpy().astype(float) for one in kept)
    other |= ~(np.isclose(mine, theirs, rtol=1e-12, atol=1e-9) | (np.isnan(mine) & np.isnan(theirs)))
    return len(other), int(other.sum())
