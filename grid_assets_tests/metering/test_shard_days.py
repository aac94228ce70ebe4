"""A shard's day as a whole: every row has one outcome, shards add up, the form of the input changes nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.metering.tables import (
    CLASS_PROFILES,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    METER_DAYS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READINGS,
)
from grid_assets.metering.vee.reading_days import ShardInputs, merge_days, reading_day
from grid_assets_tests.metering.made_days import (
    IDS,
    RULES,
    STARTS,
    corrections,
    grid,
    made_of,
    outage,
    past,
    rows,
    usual,
    whole_day,
    without,
)

VALUES = st.floats(-3, 12, allow_nan=False).map(lambda value: round(value, 2)) | st.sampled_from([0.0, 1.5])
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*IDS, "gone"]), st.integers(0, 47), VALUES, st.sampled_from(["kWh", "kW"]), st.sampled_from(["interval", "register"]),
        st.sampled_from(["f1", "f2"]), st.integers(0, 3), st.sampled_from([0, 0, 0, 7]),
    ),
    max_size=80,
)  # fmt: skip
ACTIONS = st.sampled_from([("replace", 1.25), ("reject", None), ("accept", None)])
CORRECTED = st.lists(st.tuples(st.sampled_from([*IDS, "gone"]), st.integers(0, 40), st.integers(1, 8), ACTIONS), max_size=4)


def raw_of(given_rows) -> pa.Table:
    frame = pd.DataFrame(given_rows, columns=["meter_id", "slot", "value", "unit", "kind", "file_id", "hour", "minute"])
    offset = frame.pop("slot") * 30 + frame.pop("minute") + 30 * (frame["kind"] == "register")
    frame["read_utc"] = STARTS[0] + pd.to_timedelta(offset, unit="min")
    frame["received_utc"] = pd.Timestamp("2021-06-02", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    frame = frame.assign(source_file=frame["file_id"] + ".csv", source_row=np.arange(1, len(frame) + 1))
    return pa.Table.from_pandas(frame[RAW_READINGS.columns], RAW_READINGS.schema, preserve_index=False)


def corrections_of(given_corrections) -> pd.DataFrame:
    return corrections(
        *((f"c{n}", meter, first, first + size, *action) for n, (meter, first, size, action) in enumerate(given_corrections))
    )


@given(ROWS, CORRECTED, st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_row_has_one_outcome_whatever_arrives_and_is_corrected(given_rows, given_corrections, historic):
    raw = raw_of(given_rows)
    day = made_of(raw, corrections=corrections_of(given_corrections), past=past(*IDS) if historic else [], outages=outage(3, 9, node="f1"))
    files = day.file_days
    assert (files["rows"] == files[["published", "rejected", "superseded"]].sum(axis=1)).all()
    counted = {file: sum(row[5] == file for row in given_rows) for file in ("f1", "f2")}
    assert dict(zip(files["file_id"], files["rows"], strict=True)) == {file: count for file, count in counted.items() if count}
    assert files["rejected"].sum() == len(day.failed)
    for table, frame in day.tables().items():
        table.conform(frame)
    readings = day.readings
    assert len(readings) == len(IDS) * 48
    assert (readings["energy_kwh"].isna() == (readings["quality"] == "missing")).all()
    assert (readings["error_kwh"].notna() == (readings["quality"] == "estimated")).all()
    assert (readings["method"].notna() | readings["quality"].isin(["measured", "missing"])).all()
    per_meter = day.meter_days[["valid_intervals", "estimated_intervals", "missing_intervals"]].sum(axis=1)
    assert (per_meter == 48).all()
    own = rows_of_intervals(given_rows)
    published = readings[(readings["quality"] == "measured") & readings["method"].isna()]
    for row in published.itertuples():
        assert row.energy_kwh in own[row.meter_id, row.start_utc]


def rows_of_intervals(given_rows) -> dict[tuple[str, pd.Timestamp], set[float]]:
    found: dict[tuple[str, pd.Timestamp], set[float]] = {}
    for meter, slot, value, unit, *_ in given_rows:
        found.setdefault((meter, STARTS[slot]), set()).add(value * (0.5 if unit == "kW" else 1.0))
    return found


@given(ROWS, CORRECTED, st.integers(1, 6))
@settings(max_examples=16, deadline=None)
def test_two_shards_make_the_day_that_one_makes(given_rows, given_corrections, cut):
    raw, corrected, whole = raw_of(given_rows), corrections_of(given_corrections), grid()
    one = reading_day(whole, ShardInputs(raw, corrections=corrected, past=past(*IDS)), RULES)
    shards = []
    for first, stop in ((0, cut), (cut, len(IDS))):
        lower, upper = (IDS[first] if first else ""), (IDS[stop] if stop < len(IDS) else "~")
        mine = pc.and_(pc.greater_equal(raw["meter_id"], lower), pc.less(raw["meter_id"], upper))
        inputs = ShardInputs(raw.filter(mine), corrections=corrected, past=[day[first:stop] for day in past(*IDS)])
        shards.append(reading_day(whole.part(first, stop), inputs, RULES))
    for table in (READINGS, FAILED_READINGS, EDITED_READINGS, METER_DAYS):
        parts = pa.concat_tables([table.conform(shard.shard_tables[table]) for shard in shards])
        assert parts.equals(table.conform(one.shard_tables[table]))
    merged, alone = merge_days([shard.parts for shard in shards], whole), merge_days([one.parts], whole)
    assert merged[FILE_DAYS].equals(alone[FILE_DAYS])
    for table in (QUALITY_PROFILES, CLASS_PROFILES):
        pd.testing.assert_frame_equal(merged[table].to_pandas(), alone[table].to_pandas(), rtol=1e-12, atol=1e-9)


def test_a_class_and_a_node_whose_meters_lie_in_two_shards_merge_exactly():
    raw, whole = rows(whole_day("h1", "h2", "r1")), grid()
    one = reading_day(whole, ShardInputs(raw), RULES)
    shards = []
    for first, stop in ((0, 3), (3, 5), (5, 7)):  # the homes h1, h2 and r1 apart, and the meters of f1
        mine = raw.filter(pc.is_in(raw["meter_id"], pa.array(IDS[first:stop])))
        shards.append(reading_day(whole.part(first, stop), ShardInputs(mine), RULES))
    merged = merge_days([shard.parts for shard in shards], whole)
    for table, alone in ((CLASS_PROFILES, one.class_profiles), (QUALITY_PROFILES, one.quality_profiles)):
        pd.testing.assert_frame_equal(merged[table].to_pandas(), alone, rtol=1e-12)
    assert (one.class_profiles["deviation_kwh"].dropna() > 0).all()


@given(ROWS)
@settings(max_examples=12, deadline=None)
def test_dictionary_columns_chunks_and_order_change_nothing(given_rows):
    raw = raw_of(given_rows)
    coded = raw
    for name in ("meter_id", "unit", "kind", "file_id", "source_file"):
        coded = coded.set_column(coded.column_names.index(name), name, coded[name].dictionary_encode())
    half = raw.num_rows // 2
    chunks = pa.concat_tables([coded.slice(half), coded.slice(0, half)])
    turned = raw.take(pa.array(np.arange(raw.num_rows)[::-1]))
    expected = made_of(raw).tables()
    for other in (coded, chunks, turned):
        made = made_of(other).tables()
        for table, frame in expected.items():
            assert table.conform(made[table]).equals(table.conform(frame))


def test_the_tables_come_sorted_by_their_keys():
    raw = pa.concat_tables([rows(whole_day(*IDS, factor=3.0)), rows([("gone", 3, 1.0), ("a", 4, 1.0)], file="x")])
    day = made_of(raw, corrections=corrections(("c", "h2", 3, 9, "replace", 1.0), ("d", "b1", 3, 9, "replace", 1.0)))
    for table, made in day.tables().items():
        assert made.num_rows
        assert table.conform(made).equals(pa.Table.from_batches(pa.table(made).to_batches(), made.schema).cast(table.schema))


def test_class_profiles_and_quality_profiles_are_what_plain_sums_say():
    day = made_of(rows([*whole_day("h1", "h2", "n1", "g1"), *without(whole_day("b1"), "b1", [0])]))
    homes = np.array([[usual(n, meter) for n in range(48)] for meter in ("h1", "h2")])
    profile = day.class_profiles[day.class_profiles["customer_class"] == "home"]
    np.testing.assert_allclose(profile["mean_kwh"], homes.mean(axis=0))
    np.testing.assert_allclose(profile["deviation_kwh"], homes.std(axis=0), atol=1e-9)
    quality = day.quality_profiles.set_index(["node_id", "kind"])
    assert quality.index.tolist() == [("f1", "generation"), ("f1", "load"), ("f2", "load")]  # the boundary meter is in none
    f1 = quality.loc[("f1", "load")]
    assert (f1["meters"], f1["valid_pct"], f1["missing_pct"]) == (2, 50.0, 50.0)  # r1 is silent
    assert f1["mean_kwh"] == pytest.approx(homes[0].mean())
    assert f1["maximum_of_rating_pct"] == pytest.approx(100 * homes[0].max() / 4.0)


def test_a_reading_between_the_edges_of_intervals_is_refused_with_its_reason():
    raw = raw_of([("h1", 5, 1.0, "kWh", "interval", "f1", 0, 7), ("h1", 5, 2.0, "kWh", "interval", "f1", 0, 0)])
    day = made_of(raw)
    assert day.failed[["rules", "arrived_kwh"]].to_numpy().tolist() == [["off_interval", 1.0]]
    assert day.readings.set_index(["meter_id", "start_utc"]).loc[("h1", STARTS[5]), "energy_kwh"] == 2.0
