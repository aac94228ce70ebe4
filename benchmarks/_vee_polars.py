"""The base rules as one lazy polars query, run by its streaming engine: a peer, not the product."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl  # pyright: ignore[reportMissingImports]
import pyarrow as pa

from benchmarks._peer_rules import FACTORS, PeerDay, peer_day

KEY = "meter_id"


def readings(day: PeerDay) -> pa.Table:
    """The day's readings from its raw files: newest arrival, negative, above_rating, spike, stuck, straight lines."""
    cells = _grid(day).join(_newest(day), on=[KEY, "start_utc"], how="left").sort(KEY, "start_utc")
    rating = pl.col("rating_kw") * 0.25
    cells = cells.with_columns(
        negative=(pl.col("kwh") < 0) & ~pl.col("net_metered"), above_rating=pl.col("kwh").abs() > rating * (1 + 1e-9)
    ).with_columns(possible=pl.when(pl.col("negative") | pl.col("above_rating")).then(None).otherwise(pl.col("kwh")))
    cells = _stuck(_spikes(cells, day), day.stuck_intervals)
    rules = ("negative", "above_rating", "spike", "stuck")
    failed = pl.any_horizontal(*(pl.col(rule).fill_null(False) for rule in rules))
    cells = cells.with_columns(valid=pl.when(failed).then(None).otherwise(pl.col("kwh")))
    cells = _straight_lines(cells, day.linear_intervals)
    estimated = pl.col("valid").is_null() & pl.col("energy_kwh").is_not_null()
    words = pl.concat_str([pl.when(pl.col(rule)).then(pl.lit(rule)) for rule in rules], separator=" ", ignore_nulls=True)
    made = cells.select(
        KEY, "start_utc", "energy_kwh",
        quality=pl.when(estimated).then(pl.lit("estimated")).when(pl.col("valid").is_null()).then(pl.lit("missing")).otherwise(pl.lit("measured")),
        method=pl.when(estimated).then(pl.lit("linear")), rule_failures=pl.when(failed).then(words),
    )  # fmt: skip
    return made.sort(KEY, "start_utc").collect(engine="streaming").to_arrow()


def _newest(day: PeerDay) -> pl.LazyFrame:
    parts = [pl.scan_parquet(file, row_index_name="row").with_columns(file=pl.lit(n)) for n, file in enumerate(day.files)]
    factor = pl.col("unit").replace_strict(FACTORS, default=None, return_dtype=pl.Float64)
    rows = pl.concat(parts).filter(pl.col("kind") == "interval").select(
        pl.col("meter").alias(KEY), pl.col("read_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us", strict=False).alias("start_utc"),
        kwh=pl.col("value").cast(pl.Float64, strict=False) * factor, at=pl.struct("file", "row"),
    )  # fmt: skip
    return rows.drop_nulls(["start_utc", "kwh"]).group_by(KEY, "start_utc").agg(pl.col("kwh").sort_by("at").last())


def _grid(day: PeerDay) -> pl.LazyFrame:
    meters = pl.from_pandas(day.meters[["meter_id", "rating_kw", "net_metered"]]).lazy()
    starts = pl.DataFrame({"start_utc": pl.Series(day.start_utc.asi8).cast(pl.Datetime("us", "UTC"))}).lazy()
    return meters.join(starts, how="cross")


def _spikes(cells: pl.LazyFrame, day: PeerDay) -> pl.LazyFrame:
    """The highest against the third-highest; where it is a spike, the next highest likewise."""
    by_size = cells.drop_nulls("possible").sort([KEY, "possible", "start_utc"], descending=[False, True, False])
    top = by_size.group_by(KEY, maintain_order=True).agg(
        *(pl.col("possible").get(n, null_on_oob=True).alias(f"v{n}") for n in range(4)),
        *(pl.col("start_utc").get(n, null_on_oob=True).alias(f"t{n}") for n in range(2)), floor=day.spike_floor_share * 0.25 * pl.col("rating_kw").first(),
    )  # fmt: skip
    first, second = (
        (pl.col(f"v{n}") > day.spike_ratio * pl.col(f"v{n + 2}").clip(lower_bound=0)) & (pl.col(f"v{n}") > pl.col("floor")) for n in (0, 1)
    )
    found = [
        top.filter(wrong).select(KEY, pl.col(at).alias("start_utc"), spike=pl.lit(True))
        for wrong, at in ((first, "t0"), (first & second, "t1"))
    ]
    return (
        cells.join(pl.concat(found), on=[KEY, "start_utc"], how="left")
        .with_columns(pl.col("spike").fill_null(False))
        .sort(KEY, "start_utc")
    )


def _stuck(cells: pl.LazyFrame, intervals: int) -> pl.LazyFrame:
    known = cells.drop_nulls("possible").sort(KEY, "start_utc")
    same = (pl.col("possible") == pl.col("possible").shift()) & (pl.col(KEY) == pl.col(KEY).shift())
    runs = known.with_columns(run=(~same.fill_null(False)).cum_sum())
    long = (
        runs.with_columns(stuck=pl.len().over("run") >= intervals)
        .filter(pl.col("stuck") & (pl.col("possible") != 0))
        .select(KEY, "start_utc", "stuck")
    )
    return cells.join(long, on=[KEY, "start_utc"], how="left").with_columns(pl.col("stuck").fill_null(False)).sort(KEY, "start_utc")


def _straight_lines(cells: pl.LazyFrame, intervals: int) -> pl.LazyFrame:
    known = pl.col("valid").is_not_null()
    steps = cells.with_columns(
        before=pl.col("valid").forward_fill().over(KEY), after=pl.col("valid").backward_fill().over(KEY),
        gap=pl.when(~known).then(known.cum_sum()),
    ).with_columns(length=pl.len().over(KEY, "gap"), step=pl.int_range(1, pl.len() + 1).over(KEY, "gap"))  # fmt: skip
    line = pl.col("before") + pl.col("step") / (pl.col("length") + 1) * (pl.col("after") - pl.col("before"))
    return steps.with_columns(energy_kwh=pl.when(known).then(pl.col("valid")).when(pl.col("length") <= intervals).then(line))


if __name__ == "__main__":
    from benchmarks._metering_day import run_peer

    run_peer(readings, peer_day, Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
