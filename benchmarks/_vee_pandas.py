"""The base rules in pandas, as an analyst would write them over long frames: a peer, not the product."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._peer_rules import FACTORS, PeerDay, peer_day


def readings(day: PeerDay) -> pa.Table:
    """The day's readings from its raw files: newest arrival, negative, above_rating, spike, stuck, straight lines."""
    cells = _grid(day, _newest(day))
    kwh, key = cells["kwh"], cells["meter"]
    rating = cells["rating_kw"] * 0.25
    negative = (kwh < 0) & ~cells["net_metered"]
    above = kwh.abs() > rating * (1 + 1e-9)
    possible = kwh.mask(negative | above)
    spike = _spikes(possible, key, rating, day)
    stuck = _stuck(possible, key, day.stuck_intervals)
    words = pd.Series("", index=cells.index)
    for name, failed in (("negative", negative), ("above_rating", above), ("spike", spike), ("stuck", stuck)):
        words = words.mask(failed, (words + " " + name).str.strip())
    valid = kwh.mask(negative | above | spike | stuck)
    energy = _straight_lines(valid, key, day.linear_intervals)
    estimated = valid.isna() & energy.notna()
    quality = pd.Series("measured", index=cells.index).mask(valid.isna(), "missing").mask(estimated, "estimated")
    return pa.table({
        "meter_id": pa.array(cells["meter_id"]), "start_utc": pa.array(cells["start_utc"]), "energy_kwh": pa.array(energy.to_numpy(), from_pandas=True),
        "quality": pa.array(quality), "method": pa.array(np.where(estimated, "linear", None)), "rule_failures": pa.array(words.where(words != "", None)),
    })  # fmt: skip


def _newest(day: PeerDay) -> pd.DataFrame:
    rows = pd.concat([pd.read_parquet(file) for file in day.files], ignore_index=True)
    rows = rows[rows["kind"] == "interval"]
    texts = pd.Index(rows["read_at"].unique())
    instants = pd.Series(pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce"), index=texts)
    rows = rows.assign(
        start_utc=rows["read_at"].map(instants), meter=pd.Index(day.meters["meter_id"]).get_indexer(rows["meter"]),
        kwh=pd.to_numeric(rows["value"], errors="coerce") * rows["unit"].map(FACTORS),
    )  # fmt: skip
    rows["slot"] = day.start_utc.get_indexer(pd.DatetimeIndex(rows["start_utc"]))
    known = rows[(rows["meter"] >= 0) & (rows["slot"] >= 0) & rows["kwh"].notna()]
    return known.drop_duplicates(["meter", "slot"], keep="last")[["meter", "slot", "kwh"]]


def _grid(day: PeerDay, newest: pd.DataFrame) -> pd.DataFrame:
    meters, slots = len(day.meters), len(day.start_utc)
    grid = pd.DataFrame({"meter": np.repeat(np.arange(meters), slots), "slot": np.tile(np.arange(slots), meters)})
    grid = grid.merge(newest, on=["meter", "slot"], how="left")
    traits = day.meters[["meter_id", "rating_kw", "net_metered"]]
    grid = grid.merge(traits, left_on="meter", right_index=True, how="left")
    return grid.assign(start_utc=np.tile(day.start_utc, meters))


def _spikes(possible: pd.Series, key: pd.Series, rating: pd.Series, day: PeerDay) -> pd.Series:
    by_size = possible.to_frame("kwh").assign(meter=key).dropna().sort_values(["meter", "kwh"], ascending=[True, False], kind="stable")
    place = by_size.groupby("meter").cumcount()
    at = {n: by_size[place == n].set_index("meter")["kwh"] for n in range(4)}
    spiked = pd.Series(False, index=possible.index)
    standing = by_size[place == 0]
    for n in (0, 1):  # the highest against the third-highest; where it is a spike, the next highest likewise
        value, meter = standing["kwh"], standing["meter"]
        limit = day.spike_ratio * meter.map(at[n + 2]).clip(lower=0)
        wrong = standing[(value > limit) & (value > day.spike_floor_share * rating[standing.index])]
        spiked[wrong.index] = True
        standing = by_size[(place == 1) & by_size["meter"].isin(wrong["meter"])]
    return spiked


def _stuck(possible: pd.Series, key: pd.Series, intervals: int) -> pd.Series:
    known = possible.dropna()
    meter = key[known.index]
    goes_on = (known == known.shift()) & (meter == meter.shift())
    run = (~goes_on).cumsum()
    long = (run.map(run.value_counts()) >= intervals) & (known != 0)
    return long.reindex(possible.index, fill_value=False)


def _straight_lines(valid: pd.Series, key: pd.Series, intervals: int) -> pd.Series:
    groups = valid.groupby(key)
    missing = valid.isna()
    gap = (~missing).cumsum().where(missing)
    length = gap.map(gap.value_counts())
    before, after = groups.ffill(), groups.bfill()
    step = missing.groupby([key, (~missing).cumsum()]).cumsum()
    line = before + step / (length + 1) * (after - before)
    # a gap at the end of a meter's day and one at the beginning of the next's count as one, but neither has both neighbours
    return valid.fillna(line.where(length <= intervals))


if __name__ == "__main__":
    from benchmarks._metering_day import run_peer

    run_peer(readings, peer_day, Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
