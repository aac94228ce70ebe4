"""Shards: whatever their size and wherever they are computed, the day's tables are the same."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.registers import METERS
from grid_assets.foundation.site_sections import MeteringSection
from grid_assets.metering import raw_days, shards
from grid_assets.metering.engines import EngineError, run_shards
from grid_assets.metering.tables import LANDED_ROWS, RAW_READINGS
from grid_assets_tests.metering.conftest import FIRST, MadeSite, as_csv, day_rows


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


@needs_spark
@pytest.mark.spark
def test_spark_gives_the_results_in_the_order_of_the_tasks():
    assert run_shards(MeteringSection(engine="spark"), len, ["a", "", "abc"]) == [1, 0, 3]
