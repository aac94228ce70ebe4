"""Shards: whatever their size and wherever they are computed, the day's tables are the same."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, NODES
from grid_assets.foundation.site_sections import MeteringSection
from grid_assets.metering import raw_days, shards
from grid_assets.metering.engines import EngineError, run_shards
from grid_assets.metering.tables import FAILED_READINGS, LANDED_ROWS, RAW_READINGS, READINGS
from grid_assets_tests.metering.conftest import FEED, FIRST, MadeSite, as_csv, day_rows


@given(st.lists(st.text(max_size=3), max_size=30), st.integers(1, 7), st.text(max_size=3))
def test_every_id_lies_in_exactly_one_range_known_or_not(ids, size, stranger):
    ranges = shards.ranges_of(ids, size)
    for one in [*ids, stranger]:
        assert sum((lower is None or one >= lower) and (upper is None or one < upper) for lower, upper in ranges) == 1
    within = [sum((lower is None or one >= lower) and (upper is None or one < upper) for one in set(ids)) for lower, upper in ranges]
    assert max(within) <= size


def landed(made: MadeSite) -> list[str]:
    """Two files of the first day: the day's rows, and resends and a stranger a day later."""
    rows = day_rows(made.site, FIRST)
    again = rows.iloc[::7].assign(value=lambda frame: frame["value"] + 1)
    made.drop("reads_20210328T020000Z.csv", as_csv(rows))
    made.drop("reads_20210328T030000Z.csv", as_csv(pd.concat([again, again.head(3)])))
    made.lake.write(METERS, made.register)
    made.land(FIRST)
    files = raw_days.rows_of_files(made.lake, FIRST)
    return files.loc[files["day"] == FIRST, "file_id"].tolist()


def with_metering(made: MadeSite, **keys) -> MadeSite:
    made.site = made.site.model_copy(update={"metering": MeteringSection(**keys)})
    return made


@pytest.mark.parametrize("keys", [{"shard_meters": 1}, {"shard_meters": 2, "threads": 1}, {"shard_meters": 2, "threads": 3}])
def test_raw_readings_do_not_depend_on_the_shards(made: MadeSite, keys):
    files = landed(made)
    shards.make_raw_day(made.site, made.lake, FIRST, files)
    whole = made.lake.read_arrow(RAW_READINGS, FIRST)
    assert whole.num_rows == made.lake.read_arrow(LANDED_ROWS, files).num_rows
    assert whole.equals(RAW_READINGS.conform(whole))  # sorted by its keys
    written = shards.make_raw_day(with_metering(made, **keys).site, made.lake, FIRST, files[::-1])
    assert len(written.files) > 1
    assert made.lake.read_arrow(RAW_READINGS, FIRST).equals(whole)


def test_a_spark_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyspark.sql", None)
    with pytest.raises(EngineError, match="uv sync --extra spark"):
        run_shards(MeteringSection(engine="spark"), len, ["a"])


needs_spark = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("pyspark") or not shutil.which("java"),
    reason="PySpark or Java is absent: uv run --extra spark pytest -m spark",
)


DAYS = [FIRST + timedelta(days=n) for n in range(9)]


def faulty(made: MadeSite) -> None:
    """Nine days of readings, so that the last two have a like day, with gaps, faults, resends and register reads."""
    for n, day in enumerate(DAYS):
        rows = day_rows(made.site, day).assign(kind="interval")
        rows = rows.drop(rows.index[10 + n : 30 + n]).drop(rows.index[70:72])
        rows.loc[rows.index[40], "value"] = -3.0
        rows.loc[rows.index[100:112], "value"] = 1.25
        rows.loc[rows.index[5], "value"] = 9000.0
        edges = pd.DatetimeIndex([*made.site.clock.intervals(day), made.site.clock.bounds(day)[1]])[1:]
        reads = [("m2", at.strftime("%Y-%m-%dT%H:%M:%SZ"), 99_990 + n * 96 + k, "kWh", "register") for k, at in enumerate(edges)]
        again = rows.iloc[::9].assign(value=lambda frame: frame["value"] + 0.5)
        whole = pd.concat([rows, pd.DataFrame(reads, columns=rows.columns), again])
        made.drop(f"reads_{day + timedelta(days=1):%Y%m%d}T050000Z.csv", as_csv(whole))
    made.lake.write(METERS, made.register)
    made.lake.write(NODES, made.nodes)
    made.land(*DAYS)


def made_with(made: MadeSite, root: Path, **keys) -> dict[str, pa.Table]:
    """The tables of the last day, in a lake of its own that has the landed rows only."""
    shutil.copytree(made.lake.root, root)
    site = made.site.model_copy(update={"lake": str(root), "metering": MeteringSection(**keys)})
    lake, files = Lake(root), raw_days.rows_of_files(Lake(root))
    for day in (DAYS[1], *DAYS[-2:]):  # the like day, the day whose registers open the last, and the last
        shards.make_raw_day(site, lake, day, files.loc[files["day"] == day, "file_id"].tolist())
        written = shards.make_reading_day(site, lake, day)
    return {str(table): lake.read_arrow(table, DAYS[-1]) for table in (RAW_READINGS, *written)}


@pytest.fixture
def faulty_site(make_site) -> MadeSite:
    feed = FEED.replace('unit = "unit"', 'unit = "unit", kind = "kind"')
    made = make_site(readings=feed, last=DAYS[-1])
    faulty(made)
    return made


def test_readings_do_not_depend_on_the_shards(faulty_site: MadeSite, tmp_path: Path):
    whole = made_with(faulty_site, tmp_path / "whole", threads=1)
    quality = set(whole[str(READINGS)]["quality"].to_pylist())
    methods = set(whole[str(READINGS)]["method"].to_pylist())
    assert quality >= {"measured", "estimated"}
    assert methods >= {None, "linear", "like_days"}
    assert whole[str(FAILED_READINGS)].num_rows >= 2
    for size in (1, 2):
        parts = made_with(faulty_site, tmp_path / f"parts{size}", shard_meters=size, threads=2)
        for table, rows in whole.items():
            assert_same(parts[table], rows)


def assert_same(one: pa.Table, other: pa.Table) -> None:
    """The same rows, words and counts; numbers within 1e-9, for sums over shards are added in another order."""
    numbers = [field.name for field in one.schema if pa.types.is_floating(field.type)]
    assert one.drop_columns(numbers).equals(other.drop_columns(numbers))
    for name in numbers:
        np.testing.assert_allclose(one[name].to_pandas(), other[name].to_pandas(), rtol=0, atol=1e-9, equal_nan=True)


@needs_spark
@pytest.mark.spark
def test_spark_makes_the_same_rows_and_flags_and_energy(faulty_site: MadeSite, tmp_path: Path):
    here = made_with(faulty_site, tmp_path / "here", shard_meters=2)
    there = made_with(faulty_site, tmp_path / "there", shard_meters=2, engine="spark")
    for table, rows in here.items():
        assert there[table].equals(rows), table  # bit for bit, so energy too


@needs_spark
@pytest.mark.spark
def test_spark_gives_the_results_in_the_order_of_the_tasks():
    assert run_shards(MeteringSection(engine="spark"), len, ["a", "", "abc"]) == [1, 0, 3]
