"""What a day's alerts and unusual consumption are told from, read from the lake."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import DEVICES, METERS, NODES, in_force
from grid_assets.foundation.site import Site
from grid_assets.metering.quality import anomalies, unmeasured_days
from grid_assets.metering.quality.alert_days import AlertInputs, DaySignals
from grid_assets.metering.quality.day_matrices import shards_of_day
from grid_assets.metering.tables import ALERTS, MEASUREMENTS, METER_DAYS, OUTAGE_EVENTS, READINGS, USAGE_ANOMALIES, USAGE_SHAPES

USAGE_COLUMNS = ("meter_id", "node_id", "day", "kind", "energy_kwh", "usual_kwh", "register_kwh")


def meters_of(site: Site, register: pd.DataFrame, day: date) -> pd.DataFrame:
    """The meters in force on a day, by id."""
    start, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
    return in_force(register, start, end).sort_values("meter_id", ignore_index=True)


def signals_of_day(site: Site, lake: Lake, day: date, before: DaySignals | None = None) -> DaySignals | None:
    """What the rules of alerts look at, from the day's readings; None where the day was never made."""
    if lake.pointer(READINGS, day) is None:
        return None
    made = DaySignals(lake.read(NODES), site.clock.intervals(day), before)
    for shard in shards_of_day(lake, day, meters_of(site, lake.read(METERS), day), made.starts):
        made.add(shard)
    return made


def alert_inputs(site: Site, lake: Lake, day: date, yesterday: DaySignals | None = None) -> AlertInputs:
    """A day's inputs; ``yesterday``: the signals of the day before, where they are at hand already.

    Raises ValueError where the day has no readings.
    """
    before = day - timedelta(days=1)
    yesterday = yesterday or signals_of_day(site, lake, before)
    today = signals_of_day(site, lake, day, yesterday)
    if today is None:
        raise ValueError(f"{READINGS}, {day}: there are no readings; materialise them first")
    left = lake.read(ALERTS, before)
    listed = lake.read(USAGE_ANOMALIES, day) if lake.pointer(USAGE_ANOMALIES, day) else None
    strong = None if listed is None else listed[listed["evidence"] >= site.alerts.anomaly_deviations]
    reported = lake.pointer(MEASUREMENTS, day) is not None
    return AlertInputs(
        today, yesterday, left[left["closed_utc"].isna()],
        lake.read(MEASUREMENTS, [before, day] if yesterday else day, ["device_id", "read_utc"]).drop_duplicates(),
        _reporting_s(site, lake.read(DEVICES), day) if reported else {}, reported,
        strong, strong is not None and len(strong) == site.alerts.anomalies, lake.read(OUTAGE_EVENTS, day),
    )  # fmt: skip


def _reporting_s(site: Site, devices: pd.DataFrame, day: date) -> dict[str, float]:
    """The devices in force from the day's begin that report in steady steps."""
    start = pd.Timestamp(site.clock.midnight(day))
    here = (devices["valid_from_utc"] <= start) & (devices["valid_to_utc"].isna() | (devices["valid_to_utc"] > start))
    steady = devices[here & devices["reporting_s"].notna()]
    return dict(zip(steady["device_id"], steady["reporting_s"].astype(float), strict=True))


def shapes_of_day(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    """Every load meter's day in a few figures (USAGE_SHAPES), from the day's readings."""
    clock = site.clock
    starts = clock.intervals(day)
    shards = shards_of_day(lake, day, meters_of(site, lake.read(METERS), day), starts)
    parts = [anomalies.usage_shapes(shard, day, clock.local(starts), clock.interval_hours) for shard in shards]
    return pd.concat(parts, ignore_index=True) if parts else USAGE_SHAPES.empty().to_pandas()


def anomalies_of_day(site: Site, lake: Lake, day: date) -> pd.DataFrame:
    """The most unusual meters of a day (USAGE_ANOMALIES), against the shapes of the last weeks that are in the lake."""
    days = site.clock.history(day, anomalies.HISTORY_DAYS)
    past = [shapes for one in days if (shapes := _shapes(lake, one)).num_rows]
    meter_days = lake.read(METER_DAYS, day, USAGE_COLUMNS)
    unmeasured = unmeasured_days.evidence_of_day(site, lake, day)
    tolerance, listed = site.validation.register_tolerance_pct, site.alerts.anomalies
    return anomalies.usage_anomalies(_shapes(lake, day), past, meter_days, tolerance, listed, unmeasured)


def _shapes(lake: Lake, day: date) -> pa.Table:
    return lake.read_arrow(USAGE_SHAPES, day, [name for name in USAGE_SHAPES.columns if name != "day"])


def worst_meters(meter_days: pd.DataFrame, count: int) -> pd.DataFrame:
    """The meters with the fewest valid readings, the worst first, of those that have any that is not valid."""
    faulty = meter_days[meter_days["valid_pct"] < 100.0]
    return faulty.sort_values(["valid_pct", "meter_id"], kind="stable").head(count).reset_index(drop=True)


def qualities_of(lake: Lake, day: date, meter_ids: list[str], starts: pd.DatetimeIndex) -> np.ndarray:
    """(meters, intervals) the quality of each reading of some meters as text; only their own ranges of the files are read."""
    made = np.full((len(meter_ids), len(starts)), "missing", object)
    for n, meter in enumerate(meter_ids):
        rows = lake.read_between(READINGS, day, meter, f"{meter}\0", ["meter_id", "start_utc", "quality"])
        at = starts.get_indexer(pd.DatetimeIndex(rows["start_utc"].to_pandas()))
        made[n, at[at >= 0]] = rows["quality"].to_numpy(zero_copy_only=False)[at >= 0]
    return made
