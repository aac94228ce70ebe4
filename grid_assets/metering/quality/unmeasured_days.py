"""Evidence, from the lake, of readings of a day that no meter measured: copied days and filled stretches."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, in_force
from grid_assets.foundation.site import Site
from grid_assets.metering.quality.copied_days import Profiles, copied_days, copy_evidence, fill_evidence, filled_stretches
from grid_assets.metering.quality.day_matrices import day_matrices, shards_of_day
from grid_assets.metering.tables import METER_DAYS, READINGS

HISTORY_DAYS = 28
"""Days that a copy may have been taken from: the day before and the same weekday of the last weeks among them."""
COLUMNS = ("meter_id", "energy_kwh", "valid_intervals", "expected_intervals")
READ_ALL_ABOVE = 200
"""So many meters are read one by one, each from its own part of the files; of more the whole day is read at once."""


def evidence_of_day(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    """Copied days and filled stretches of a day: meter_id, pattern, evidence in standard deviations, explanation."""
    found = [copy_evidence(copies_of_day(site, lake, day)), fills_of_day(site, lake, day)]
    return pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)


def copies_of_day(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    """The day's copied days: meter_id, copied_from, bits; against the HISTORY_DAYS before that are in the lake."""
    held = set(lake.partitions(METER_DAYS))
    before = [one for one in site.clock.history(day, HISTORY_DAYS) if one.isoformat() in held]
    earlier = ((one, lake.read(METER_DAYS, one, COLUMNS)) for one in before)
    return copied_days(day, lake.read(METER_DAYS, day, COLUMNS), earlier, published_profiles(site, lake))


def fills_of_day(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    """The day's filled stretches as evidence, the strongest of each meter; of measured readings only."""
    starts, register = site.clock.intervals(day), _in_force(site, lake, day)
    found = []
    for shard in shards_of_day(lake, day, register, starts):
        measured = np.where(shard.is_quality("measured"), shard.energy_kwh, np.nan)
        found.append(fill_evidence(filled_stretches(measured), shard.meters["meter_id"].tolist(), starts, site.time_zone))
    kept = [one for one in found if len(one)]
    return pd.concat(kept, ignore_index=True) if kept else fill_evidence(filled_stretches(np.empty((0, 0))), [], starts, site.time_zone)


def published_profiles(site: Site, lake: Lake) -> Profiles:
    """Reads some meters' measured readings of a day; only their own ranges of the files where they are few."""

    def profiles(day: date, meter_ids: list[str]) -> np.ndarray:
        starts, columns = site.clock.intervals(day), ["meter_id", "start_utc", "energy_kwh", "quality"]
        wanted = pd.DataFrame({"meter_id": meter_ids})
        if len(meter_ids) > READ_ALL_ABOVE:
            parts = [lake.read_arrow(READINGS, day, columns)]
        else:
            parts = [lake.read_between(READINGS, day, one, f"{one}\0", columns) for one in meter_ids]
        made = np.full((len(meter_ids), len(starts)), np.nan)
        for rows in parts:
            read = day_matrices(rows, wanted, starts)
            made = np.where(read.is_quality("measured"), read.energy_kwh, made)
        return made

    return profiles


def _in_force(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    start, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
    return in_force(lake.read(METERS), start, end).sort_values("meter_id", ignore_index=True)
