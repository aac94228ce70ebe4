"""Loads and readings as they were known at an instant: what arrived, was resent or corrected later is invisible."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table

_INTERVAL = ["node_id", "start_utc"]
_READING = ["meter_id", "start_utc"]


def loads_as_of(versions: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """What was known at ``until``: node_id, start_utc, energy_kwh, published_pct (the known share of the usual energy).

    ``versions``: rows of NODE_LOAD_INTERVALS in their order, with replaced_utc where ``with_ends`` has been asked once for many instants.
    """
    whole, now = versions if "replaced_utc" in versions else with_ends(versions), pd.Timestamp(until)
    known = whole[(whole["known_utc"] <= now) & ~(whole["replaced_utc"] <= now)]
    named = known[[*_INTERVAL, "energy_kwh", "known_pct"]].rename(columns={"known_pct": "published_pct"})
    return named.reset_index(drop=True)


def with_ends(versions: pd.DataFrame) -> pd.DataFrame:
    """The same with replaced_utc: from when on the next version of the node and interval counts; NaT for the last."""
    following = versions[[*_INTERVAL, "known_utc"]].shift(-1)
    same = (following["node_id"] == versions["node_id"]) & (following["start_utc"] == versions["start_utc"])
    return versions.assign(replaced_utc=following["known_utc"].where(same))


def load_versions(lake: Lake, versions: Table, node_loads: Table, days: Sequence[date], interval: timedelta) -> pd.DataFrame:
    """How the node loads of these days became known, with their ends, for ``loads_as_of``.

    Days whose versions were never made, such as those of a lake of an earlier release, count as they are in
    metering/node_loads, each interval as known from its end on.
    """
    there = set(lake.partitions(versions))
    kept, old = [day for day in days if day.isoformat() in there], [day for day in days if day.isoformat() not in there]
    plain = lake.read(node_loads, old, columns=["node_id", "start_utc", "energy_kwh", "published_pct"])
    plain = plain.rename(columns={"published_pct": "known_pct"}).assign(known_utc=plain["start_utc"] + interval)
    parts = [part for part in (lake.read(versions, kept), plain[versions.columns]) if len(part)]
    return with_ends(pd.concat(parts, ignore_index=True) if parts else versions.empty().to_pandas())


def readings_as_of(readings: pa.Table, versions: pd.DataFrame, until: datetime) -> pa.Table:
    """Published readings of a day as they were known at ``until``: what came later counts as missing, what was changed later as it was.

    ``readings``: rows of metering/readings, of these columns at least meter_id, start_utc, energy_kwh; ``versions``: rows of
    metering/reading_versions of the day.
    """
    if versions.empty:
        return readings
    known = versions[versions["known_utc"] <= pd.Timestamp(until)].sort_values("known_utc")
    then = known.drop_duplicates(_READING, keep="last").set_index(_READING)["energy_kwh"]
    then = then.reindex(pd.MultiIndex.from_frame(versions[_READING].drop_duplicates()))
    frame = readings.to_pandas()
    place = then.index.get_indexer(pd.MultiIndex.from_frame(frame[_READING].astype({"meter_id": object})))
    changed, value = place >= 0, then.to_numpy(float)[place]
    frame.loc[changed, "energy_kwh"] = value[changed]
    if "quality" in frame:
        frame["quality"] = frame["quality"].astype(object)
        frame.loc[changed, "quality"] = np.where(np.isfinite(value[changed]), "measured", "missing")
    return pa.Table.from_pandas(frame, preserve_index=False)
