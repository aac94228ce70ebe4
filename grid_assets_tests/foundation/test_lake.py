"""The lake: what is read is what was written, old or new and never half, whatever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.content_hashes import content_hash
from grid_assets.foundation.lake import POINTER, Lake, LakeError
from grid_assets.foundation.tables import Table, TableError, calendar_day, count, flag, instant, money, number, text

SAMPLES = Table(
    "testing", "samples", "a sample", "site_day", ("name", "start_utc"),
    (text("name", "a name"), instant("start_utc", "when"), number("load_kw", "how much", nullable=True), count("meters", "how many"),
     flag("holiday", "a flag", nullable=True), money("payment", "an amount", nullable=True), calendar_day("day", "a day", nullable=True)),
)  # fmt: skip


def frame(rows: int = 4, load: float = 1.5) -> pd.DataFrame:
    starts = pd.date_range("2016-05-24", periods=rows, freq="15min", tz="UTC")
    return pd.DataFrame({
        "name": [f"n{n % 2}" for n in range(rows)], "start_utc": starts, "load_kw": [load * n if n % 3 else None for n in range(rows)],
        "meters": range(rows), "holiday": [None if n % 2 else True for n in range(rows)], "payment": [Decimal("1.25")] * rows,
        "day": [starts[0].date()] * rows,
    })  # fmt: skip


def test_reads_back_what_was_written_sorted_by_its_keys(lake: Lake):
    written = lake.write(SAMPLES, frame(6).sample(frac=1, random_state=1), "2016-05-24")
    read = lake.read(SAMPLES, "2016-05-24")
    assert written.rows == len(read) == 6
    assert list(read["name"]) == ["n0"] * 3 + ["n1"] * 3
    assert read["payment"].sum() == Decimal("7.50")
    assert read["start_utc"].dt.tz is not None
    assert read["load_kw"].isna().sum() == 2


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(max_size=6), st.integers(0, 10**6), st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32))), unique_by=lambda row: row[:2], max_size=20),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_content_hash_depends_on_the_rows_and_not_on_their_order_or_chunks(rows, seed):
    made = pd.DataFrame(rows, columns=["name", "meters", "load_kw"]).assign(holiday=None, payment=None, day=None)
    made["start_utc"] = pd.Timestamp("2016-05-24", tz="UTC") + pd.to_timedelta(made["meters"], unit="s")
    ordered = SAMPLES.conform(made)
    shuffled = SAMPLES.conform(made.sample(frac=1, random_state=seed))
    assert content_hash(ordered) == content_hash(shuffled)
    rechunked = pa.concat_tables([ordered.slice(0, len(rows) // 2), ordered.slice(len(rows) // 2)])
    assert content_hash(rechunked) == content_hash(ordered)
    if rows:
        other = made.copy()
        other.loc[0, "load_kw"] = 12345.678 if other.loc[0, "load_kw"] != 12345.678 else None
        assert content_hash(SAMPLES.conform(other)) != content_hash(ordered)


@settings(max_examples=60, deadline=None)
@given(load=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=6), at=st.integers(0, 5), data=st.data())
def test_any_other_value_gives_another_hash(load, at, data):
    at %= len(load)
    other = data.draw(st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: value != load[at]))
    rows = pa.table({"n": list(range(len(load))), "load_kw": load})
    changed = pa.table({"n": list(range(len(load))), "load_kw": [*load[:at], other, *load[at + 1 :]]})
    assert content_hash(rows) != content_hash(changed)
    swapped = rows.rename_columns(["load_kw", "n"])
    assert content_hash(swapped) != content_hash(rows)
    assert content_hash(rows.slice(1)) != content_hash(rows)


def test_null_and_zero_and_empty_text_have_different_hashes():
    base = frame(2)
    null = base.assign(load_kw=[None, None])
    zero = base.assign(load_kw=[0.0, 0.0])
    assert content_hash(SAMPLES.conform(null)) != content_hash(SAMPLES.conform(zero))
    joined = base.assign(name=["ab", "c"])
    split = base.assign(name=["a", "bc"])
    assert content_hash(SAMPLES.conform(joined)) != content_hash(SAMPLES.conform(split))


def test_a_column_of_nothing_but_nulls_has_a_hash():
    empty = pa.table({"meter_id": pa.array([], pa.null()), "kw": pa.array([], pa.float64())})
    assert content_hash(empty) == content_hash(empty)
    one, two = (pa.table({"meter_id": pa.nulls(n), "kw": [1.0] * n}) for n in (1, 2))
    assert len({content_hash(rows) for rows in (empty, one, two)}) == 3


def test_writing_the_same_rows_again_changes_nothing(lake: Lake):
    first = lake.write(SAMPLES, frame(), "2016-05-24")
    pointer = Path(lake.root, "testing", "samples", "2016-05-24", POINTER)
    before = pointer.stat().st_mtime_ns
    again = lake.write(SAMPLES, frame().iloc[::-1], "2016-05-24")
    assert (first.changed, again.changed) == (True, False)
    assert first.content_hash == again.content_hash
    assert pointer.stat().st_mtime_ns == before


def test_a_reader_that_holds_the_previous_pointer_still_finds_its_files(lake: Lake):
    lake.write(SAMPLES, frame(load=1), "2016-05-24")
    held = lake.files(SAMPLES, "2016-05-24")
    lake.write(SAMPLES, frame(load=2), "2016-05-24")
    assert all(Path(path).exists() for path in held)
    lake.write(SAMPLES, frame(load=3), "2016-05-24")
    assert not any(Path(path).exists() for path in held)
    assert len(list(Path(held[0]).parent.glob("*.parquet"))) == 2


def test_a_frame_that_does_not_fit_leaves_the_partition_as_it_was(lake: Lake):
    lake.write(SAMPLES, frame(), "2016-05-24")
    with pytest.raises(TableError, match="load_kw is missing; column power_kw is not declared"):
        lake.write(SAMPLES, frame().rename(columns={"load_kw": "power_kw"}), "2016-05-24")
    with pytest.raises(TableError, match="keys occur more than once"):
        lake.write(SAMPLES, pd.concat([frame(), frame()]), "2016-05-24")
    assert len(lake.read(SAMPLES, "2016-05-24")) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"meters": [1.5, 2, 3, 4]}, "meters does not fit int64"),
        ({"name": [None, "a", "b", "c"]}, "name has 1 nulls where none may be"),
        ({"load_kw": [float("inf"), 1.0, 2.0, 3.0]}, "infinite"),
        ({"start_utc": pd.date_range("2016-05-24", periods=4, freq="h")}, "carry no time zone"),
        ({"load_kw": ["a", "b", "c", "d"]}, "load_kw does not fit double"),
    ],
)
def test_conform_names_what_is_wrong(change, said):
    with pytest.raises(TableError, match=said):
        SAMPLES.conform(frame().assign(**change))


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "x" * 200, "a\nb"])
def test_a_partition_cannot_leave_its_folder(lake: Lake, name: str):
    with pytest.raises(LakeError, match="cannot name a partition"):
        lake.write(SAMPLES, frame(), name)


def test_reading_what_was_never_written_gives_an_empty_frame_with_the_columns(lake: Lake):
    assert list(lake.read(SAMPLES, "2016-05-24").columns) == SAMPLES.columns
    assert lake.partitions(SAMPLES) == []
    assert lake.pointer(SAMPLES, "2016-05-24") is None


def test_a_damaged_pointer_and_a_lost_file_say_what_to_do(lake: Lake):
    lake.write(SAMPLES, frame(), "2016-05-24")
    path = Path(lake.files(SAMPLES, "2016-05-24")[0])
    path.unlink()
    with pytest.raises(LakeError, match="materialise the partition again"):
        lake.read(SAMPLES, "2016-05-24")
    (path.parent / POINTER).write_text("{half")
    with pytest.raises(LakeError, match="not JSON"):
        lake.read(SAMPLES, "2016-05-24")


def test_writers_of_one_partition_at_once_leave_one_whole_version(lake: Lake):
    frames = [frame(40, load) for load in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: lake.write(SAMPLES, one, "2016-05-24"), frames * 3))
    stored = lake.read_arrow(SAMPLES, "2016-05-24")
    assert content_hash(stored) in {content_hash(SAMPLES.conform(one)) for one in frames}


KILLED_WRITER = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {project!r})
    from grid_assets.foundation.lake import Lake
    from grid_assets_tests.foundation.test_lake import SAMPLES, frame
    lake = Lake({root!r})
    n = 0
    while True:
        n += 1
        lake.write(SAMPLES, frame(3000, load=float(n)), "2016-05-24")
        print(n, flush=True)
    """
)


@pytest.mark.slow
def test_kill_9_during_writes_leaves_a_whole_partition_and_the_next_write_repairs(tmp_path: Path):
    root = tmp_path / "lake"
    lake = Lake(root)
    lake.write(SAMPLES, frame(3000, load=0.5), "2016-05-24")
    project = str(Path(__file__).resolve().parents[2])
    for wait in (0.0, 0.003, 0.011, 0.023):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER.format(project=project, root=str(root))], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        stored = lake.read_arrow(SAMPLES, "2016-05-24")
        assert stored.num_rows == 3000
        assert SAMPLES.faults(stored) == []
        assert content_hash(stored) == lake.content_hash(SAMPLES, "2016-05-24")
    repaired = lake.write(SAMPLES, frame(3000, load=0.25), "2016-05-24")
    assert content_hash(lake.read_arrow(SAMPLES, "2016-05-24")) == repaired.content_hash


def test_a_full_disk_keeps_the_old_partition(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    lake.write(SAMPLES, frame(load=1), "2016-05-24")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        lake.write(SAMPLES, frame(load=2), "2016-05-24")
    monkeypatch.undo()
    assert content_hash(lake.read_arrow(SAMPLES, "2016-05-24")) == content_hash(SAMPLES.conform(frame(load=1)))
    assert not list(Path(lake.root).rglob("*.tmp"))


def test_partitions_and_columns_can_be_chosen(lake: Lake):
    for day in ("2016-05-24", "2016-05-25"):
        lake.write(
            SAMPLES,
            frame().assign(start_utc=lambda made, day=day: made["start_utc"] + (pd.Timestamp(day) - pd.Timestamp("2016-05-24"))),
            day,
        )
    assert lake.partitions(SAMPLES) == ["2016-05-24", "2016-05-25"]
    assert len(lake.read(SAMPLES)) == 8
    chosen = lake.read(SAMPLES, [datetime(2016, 5, 25, tzinfo=UTC).date()], columns=["load_kw"])
    assert list(chosen.columns) == ["load_kw"]
    assert len(chosen) == 4


def test_the_version_of_several_partitions_changes_with_each_of_them(lake: Lake):
    days = ["2016-05-24", "2016-05-25"]
    lake.write(SAMPLES, frame(), days[0])
    assert lake.version_of(SAMPLES, days[0]) == lake.content_hash(SAMPLES, days[0])
    one = lake.version_of(SAMPLES, days)
    assert lake.version_of(SAMPLES, reversed(days)) == one
    lake.write(SAMPLES, frame(load=2.5), days[1])
    both = lake.version_of(SAMPLES, days)
    assert both != one
    lake.write(SAMPLES, frame(), days[1])
    assert len({one, both, lake.version_of(SAMPLES, days)}) == 3


# -- parts of a partition ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text(max_size=4), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_coded_text_is_stored_read_and_hashed_as_plain_text(tmp_path_factory, names, seed):
    plain = pa.table({"name": names, "start_utc": pa.array(range(len(names)), pa.timestamp("us", tz="UTC")), "load_kw": [1.0] * len(names),
                      "meters": [1] * len(names), "holiday": pa.nulls(len(names), pa.bool_()), "payment": pa.nulls(len(names), pa.decimal128(18, 2)),
                      "day": pa.nulls(len(names), pa.date32())})  # fmt: skip
    mixed = sorted(set(names) | {"unused"}, key=lambda name: hash((name, seed)))
    codes = pa.DictionaryArray.from_arrays(pa.array([mixed.index(name) for name in names], pa.int32()), pa.array(mixed))
    coded = plain.set_column(0, "name", codes)
    assert content_hash(SAMPLES.stored_form(coded)) == content_hash(SAMPLES.conform(plain))
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.write(SAMPLES, coded, "2016-05-24")
    read = lake.read_arrow(SAMPLES, "2016-05-24")
    assert read.schema.equals(SAMPLES.schema, check_metadata=True)
    assert read.equals(SAMPLES.conform(plain))


def test_parts_count_only_when_the_pointer_names_them(lake: Lake):
    lake.write(SAMPLES, frame(4, load=9.0), "2016-05-24")
    rows = SAMPLES.conform(frame(6))
    parts = [lake.put_shard(SAMPLES, rows.slice(0, 3), "2016-05-24", 0), lake.put_shard(SAMPLES, rows.slice(3), "2016-05-24", 1)]
    assert len(lake.read(SAMPLES, "2016-05-24")) == 4  # the old partition, until the new one is pointed at
    written = lake.point_at(SAMPLES, "2016-05-24", parts)
    assert (written.rows, written.changed, len(written.files)) == (6, True, 2)
    assert written.content_hash == content_hash(rows)  # whatever the parts
    assert lake.read_arrow(SAMPLES, "2016-05-24").equals(rows)
    assert not lake.point_at(SAMPLES, "2016-05-24", parts).changed
    assert lake.write(SAMPLES, rows.slice(0, 3), "2016-05-25").content_hash != written.content_hash


def test_what_a_killed_run_left_is_swept_when_it_is_a_day_old(lake: Lake):
    def aged(path: Path, days: float) -> Path:
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
        return path

    for load in (1, 2):
        lake.write(SAMPLES, frame(load=load), "d")
    folder = Path(lake.files(SAMPLES, "d")[0]).parent
    for path in folder.iterdir():
        aged(path, 5)  # named by the pointer, as old as they may be
    never_pointed, in_use, young = (lake.put_shard(SAMPLES, frame(load=load), "d") for load in (7, 8, 9))
    half = folder / ".x.parquet.0.tmp"
    half.write_bytes(b"PAR1")
    for path in (half, folder / never_pointed.name, folder / in_use.name):
        aged(path, 1.1)
    aged(folder / young.name, 0.9)
    assert lake.put_shard(SAMPLES, frame(load=8), "d") == in_use  # another run is about to point at it
    kept = lake.files(SAMPLES, "d")
    lake.write(SAMPLES, frame(load=3), "d")
    there = {path.name for path in folder.glob("*.parquet")}
    assert there == {in_use.name, young.name, Path(kept[0]).name, Path(lake.files(SAMPLES, "d")[0]).name}
    assert not half.exists()
    assert (folder / POINTER).exists()
    assert lake.point_at(SAMPLES, "d", [in_use]).changed
    assert lake.read_arrow(SAMPLES, "d").equals(SAMPLES.conform(frame(load=8)))


def test_ages_are_told_by_the_newest_file_and_not_by_the_clock(lake: Lake):
    lake.write(SAMPLES, frame(load=1), "d")
    folder = Path(lake.files(SAMPLES, "d")[0]).parent
    left = folder / lake.put_shard(SAMPLES, frame(load=7), "d").name
    ahead = time.time() + 40 * 86_400
    os.utime(left, (ahead, ahead))  # by a machine whose clock is ahead
    lake.write(SAMPLES, frame(load=2), "d")
    assert left.exists()


def test_a_part_that_is_gone_is_not_pointed_at(lake: Lake):
    lake.write(SAMPLES, frame(load=1), "d")
    part = lake.put_shard(SAMPLES, frame(load=2), "d")
    (Path(lake.files(SAMPLES, "d")[0]).parent / part.name).unlink()
    with pytest.raises(LakeError, match="is gone, another run"):
        lake.point_at(SAMPLES, "d", [part])
    assert lake.read_arrow(SAMPLES, "d").equals(SAMPLES.conform(frame(load=1)))


def test_parts_whose_keys_overlap_are_refused_and_change_nothing(lake: Lake):
    rows = SAMPLES.conform(frame(6))
    parts = [lake.put_shard(SAMPLES, rows.slice(0, 4), "d", 0), lake.put_shard(SAMPLES, rows.slice(2), "d", 1)]
    with pytest.raises(LakeError, match="ranges of keys"):
        lake.point_at(SAMPLES, "d", parts)
    assert lake.pointer(SAMPLES, "d") is None


@pytest.mark.parametrize(
    ("lower", "upper", "expected"), [(None, None, 6), ("n1", None, 3), (None, "n1", 3), ("n0", "n1", 3), ("x", None, 0)]
)
def test_reads_the_rows_of_a_range_of_keys(lake: Lake, lower, upper, expected):
    lake.write(SAMPLES, frame(6), "d")
    read = lake.read_between(SAMPLES, "d", lower, upper, ["name", "meters"], coded=["name"])
    assert read.num_rows == expected
    assert pa.types.is_dictionary(read["name"].type)
    assert lake.read_between(SAMPLES, "absent", lower, upper, ["name"]).num_rows == 0


@pytest.mark.parametrize("bounds", [(None, "b"), ("b", None), ("aa", "b"), ("aaa", "ä"), ("b", "b"), ("ä", "zz"), ("", "a"), ("~", None)])
def test_a_range_of_keys_is_cut_from_several_row_groups_as_a_comparison_of_every_row_would(lake: Lake, monkeypatch, bounds):
    monkeypatch.setattr("grid_assets.foundation.parquet_files.ROW_GROUP", 4)
    made = pd.concat([frame(5).assign(name=name) for name in ("a", "aa", "b", "c", "ä")], ignore_index=True)
    lake.write(SAMPLES, made.drop_duplicates(list(SAMPLES.keys)), "d")
    whole, (lower, upper) = lake.read(SAMPLES, "d"), bounds
    expected = whole[(whole["name"] >= (lower or "")) & (whole["name"] < (upper or "\U0010ffff"))]
    read = lake.read_between(SAMPLES, "d", lower, upper, ["meters"], coded=["name"]).to_pandas()
    assert read["meters"].tolist() == expected["meters"].tolist()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(["", "a", "ä", "b", "aa"]), st.integers(0, 3)), max_size=12))
def test_rows_are_sorted_by_all_keys_and_repeated_keys_are_counted(rows):
    made = pd.DataFrame(rows, columns=["name", "meters"]).assign(load_kw=0.0, holiday=None, payment=None, day=None)
    made["start_utc"] = pd.Timestamp("2016-05-24", tz="UTC") + pd.to_timedelta(made["meters"], unit="s")
    repeated = {row for row in rows if rows.count(row) > 1}
    if repeated:
        with pytest.raises(TableError, match=f"{len(repeated)} keys occur more than once"):
            SAMPLES.conform(made)
    else:
        stored = SAMPLES.conform(made)
        assert list(zip(stored["name"].to_pylist(), stored["meters"].to_pylist(), strict=True)) == sorted(
            rows, key=lambda row: (row[0].encode(), row[1])
        )


def test_a_stored_partition_is_judged_file_by_file(lake: Lake):
    rows = SAMPLES.conform(frame(6))
    parts = [lake.put_shard(SAMPLES, rows.slice(0, 3), "d", 0), lake.put_shard(SAMPLES, rows.slice(3), "d", 1)]
    lake.point_at(SAMPLES, "d", parts)
    assert lake.faults(SAMPLES, "d") == []
    assert lake.faults(SAMPLES, "absent") == []
    other = Table("testing", "samples", "a sample", "site_day", ("name", "start_utc"), (*SAMPLES.fields[:-1], number("day", "no day")))
    assert lake.faults(other, "d") == ["column day: stored as date32[day], declared as double"]
    pointer = Path(lake.root) / "testing" / "samples" / "d" / POINTER
    pointer.write_text(pointer.read_text().replace(parts[1].name, parts[0].name))  # the same rows twice
    assert "not after the end of the file before it" in lake.faults(SAMPLES, "d")[0]
