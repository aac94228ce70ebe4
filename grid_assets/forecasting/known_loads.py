"""Node loads as they were known at an instant: what arrived, was resent or corrected later is invisible."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pandas as pd

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table

_INTERVAL = ["node_id", "start_utc"]


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
