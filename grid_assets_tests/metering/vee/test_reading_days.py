"""A day's readings: what must hold whatever arrives, in whatever order."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.accounting import day_faults, faults_of_day, faults_of_landing
from grid_assets.metering.quality.aggregation import node_loads
from grid_assets.metering.raw_days import raw_readings, rows_of_files
from grid_assets.metering.staleness import stale_days
from grid_assets.metering.tables import FAILED_READINGS, FILE_DAYS, LANDED_FILES, METER_DAYS, QUALITY_PROFILES, RAW_READINGS, READINGS
from grid_assets.metering.vee.reading_days import DayGrid, ShardInputs, reading_day
from grid_assets_tests.metering.conftest import FIRST, LAST, as_csv, day_rows

RULES = ValidationSection()  # type: ignore[call-arg]
CHANGE, AFTER = date(2021, 3, 28), LAST
STARTS = pd.date_range("2021-03-27", periods=48, freq="30min", tz="UTC", name="start_utc").as_unit("us")
METERS = pd.DataFrame(
    {
        "meter_id": ["a", "b", "c"],
        "kind": ["load", "load", "generation"],
        "node_id": "f",
        "rating_kw": 8.0,
        "net_metered": [False, True, False],
    }
)


def grid() -> DayGrid:
    return DayGrid(FIRST, METERS, STARTS, 0.5)


def raw_frame(rows) -> pd.DataFrame:
    """From (meter, slot, value, unit, file, received hour) to RAW_READINGS."""
    frame = pd.DataFrame(rows, columns=["meter_id", "slot", "value", "unit", "file_id", "hour"])
    frame["read_utc"] = STARTS[frame.pop("slot").to_numpy(dtype=int)]
    frame["received_utc"] = pd.Timestamp("2021-03-28", tz="UTC") + pd.to_timedelta(frame.pop("hour").to_numpy(dtype=int), unit="h")
    return frame.assign(kind="interval", source_file=frame["file_id"] + ".csv", source_row=np.arange(1, len(frame) + 1))


def made_of(raw):
    rows = pa.Table.from_pandas(raw[RAW_READINGS.columns], RAW_READINGS.schema, preserve_index=False)
    return reading_day(grid(), ShardInputs(rows), RULES)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "gone"]), st.integers(0, 47),
        st.floats(-9, 9, allow_nan=False).map(lambda value: round(value, 3)) | st.sampled_from([0.0, 1.5, 2.0]),
        st.just("kWh"), st.sampled_from(["f1", "f2", "f3"]), st.integers(0, 3),
    ),
    max_size=120,
)  # fmt: skip


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_every_row_is_published_rejected_or_superseded(rows):
    raw = raw_frame(rows)
    day = made_of(raw)
    assert faults_of_day(day.file_days, raw, raw) == ""
    assert day.file_days["rows"].sum() == len(raw)
    measured = day.readings["quality"] == "measured"
    assert day.file_days["published"].sum() == measured.sum()
    assert day.file_days["rejected"].sum() == len(day.failed)
    assert len(day.readings) == 3 * 48
    assert (day.readings["energy_kwh"].isna() == (day.readings["quality"] == "missing")).all()
    for table, frame in day.tables().items():
        table.conform(frame)


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(rows, random):
    raw = raw_frame(rows)
    order = list(range(len(raw)))
    random.shuffle(order)
    one, other = made_of(raw), made_of(raw.iloc[order].reset_index(drop=True))
    for table in (READINGS, FAILED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES):
        assert table.conform(one.tables()[table]).equals(table.conform(other.tables()[table]))


@given(ROWS)
@settings(max_examples=20, deadline=None)
def test_an_older_copy_of_every_row_changes_no_reading(rows):
    raw = raw_frame(rows)
    older = raw.assign(received_utc=raw["received_utc"] - pd.Timedelta("1D"), file_id="copy", source_file="copy.csv")
    one, both = made_of(raw), made_of(pd.concat([older, raw], ignore_index=True))
    assert READINGS.conform(one.readings).equals(READINGS.conform(both.readings))
    if len(raw):
        copy = both.file_days.set_index("file_id").loc["copy"]
        assert copy["superseded"] == copy["rows"] == len(raw)


@pytest.mark.parametrize(("unit", "factor"), [("W", 2000), ("kW", 2), ("MW", 0.002), ("Wh", 1000), ("MWh", 0.001)])
def test_the_same_energy_in_another_unit_is_the_same_reading(unit, factor):
    values = [("a", n, 1 + 0.01 * n, "kWh", "f1", 0) for n in range(48)]
    others = [("a", n, (1 + 0.01 * n) * factor, unit, "f1", 0) for n in range(48)]
    expected, found = made_of(raw_frame(values)).readings, made_of(raw_frame(others)).readings
    assert (found["quality"] == expected["quality"]).all()
    np.testing.assert_allclose(found["energy_kwh"].astype(float), expected["energy_kwh"].astype(float), rtol=1e-12)


def test_the_newest_arrival_wins_and_a_refused_one_is_estimated():
    rows = [("a", n, 1 + 0.01 * n, "kWh", "f1", 0) for n in range(48)]
    rows += [("a", 5, 1.7, "kWh", "f2", 2), ("a", 5, 1.6, "kWh", "f3", 1), ("a", 9, -1.0, "kWh", "f2", 2)]
    day = made_of(raw_frame(rows))
    of_a = day.readings[day.readings["meter_id"] == "a"].reset_index(drop=True)
    assert of_a.loc[5, "energy_kwh"] == 1.7
    assert of_a.loc[9, ["quality", "method", "rule_failures"]].tolist() == ["estimated", "linear", "negative"]
    assert of_a.loc[9, "energy_kwh"] == pytest.approx((1.08 + 1.10) / 2)
    assert day.file_days.set_index("file_id").loc["f2", ["published", "rejected", "superseded"]].tolist() == [1, 1, 0]
    assert day.failed[["arrived_kwh", "rules", "file_id"]].to_numpy().tolist() == [[-1.0, "negative", "f2"]]
    of_b = day.meter_days.set_index("meter_id").loc["b"]
    assert (of_b["valid_pct"], of_b["missing_intervals"], of_b["offline_longest_s"]) == (0.0, 48, 86400.0)


@pytest.mark.parametrize(("day", "intervals"), [(FIRST, 48), (CHANGE, 46), (AFTER, 48)])
def test_a_day_has_the_intervals_of_its_clock(made, day, intervals):
    rows = pd.concat([day_rows(made.site, one) for one in (FIRST, CHANGE, AFTER)])
    made.drop("reads_20210330T050000Z.csv", as_csv(rows))
    made.land(AFTER)
    one = made.make(day)
    assert len(one.readings) == 5 * intervals
    assert set(one.readings["quality"]) == {"measured"}
    assert set(one.meter_days["expected_intervals"]) == {intervals}
    assert one.readings["energy_kwh"].sum() == pytest.approx(day_rows(made.site, day)["value"].sum())


def test_the_autumn_day_has_fifty_half_hours(make_site):
    day = date(2021, 10, 31)
    made = make_site(first=day, last=day)
    local = [*made.site.clock.local(made.site.clock.intervals(day)).strftime("%Y-%m-%d %H:%M")]
    naive = pd.DataFrame({"meter": "m1", "read_at": local, "value": [1 + 0.01 * n for n in range(50)], "unit": "kWh"})
    (made.site_file).write_text(made.site_file.read_text().replace('pattern = "reads', 'clock = "Europe/London"\npattern = "reads'))
    from grid_assets.foundation.site import load_site

    made.site = load_site(made.site_file, {})
    made.drop("reads_20211101T050000Z.csv", as_csv(naive))
    made.land(day)
    readings = made.make(day).readings
    assert readings.loc[readings["meter_id"] == "m1", "energy_kwh"].tolist() == naive["value"].tolist()


def test_a_day_without_data_is_missing_or_estimated_from_like_days(make_site):
    last = date(2021, 4, 4)
    made = make_site(last=last)
    sunday = day_rows(made.site, CHANGE)
    made.drop("reads_20210329T050000Z.csv", as_csv(sunday))
    made.land(CHANGE, last)
    assert set(made.make(FIRST).readings["quality"]) == {"missing"}
    made.make(CHANGE)
    one = made.make(last)  # the Sunday after: like the clock-change day, whose hour from one to two is absent
    counts = one.readings["quality"].value_counts().to_dict()
    assert counts == {"estimated": 5 * 46, "missing": 5 * 2}
    assert set(one.readings["method"].dropna()) == {"like_days"}
    noon = made.site.clock.midnight(last) + pd.Timedelta("12h")
    found = one.readings[(one.readings["start_utc"] == noon) & (one.readings["meter_id"] == "m1")]["energy_kwh"].iloc[0]
    expected = sunday[(sunday["read_at"] == "2021-03-28T11:00:00Z") & (sunday["meter"] == "m1")]["value"].iloc[0]
    assert found == expected


def test_late_rows_make_their_day_stale_until_it_is_made_again(made):
    rows = day_rows(made.site, FIRST)
    made.drop("reads_20210328T050000Z.csv", as_csv(rows[rows["meter"] != "m2"]))
    made.land(FIRST)
    made.make(FIRST)
    assert stale_days(made.lake) == []
    made.drop("reads_20210329T050000Z.csv", as_csv(rows[rows["meter"] == "m2"]))
    made.land(CHANGE)
    assert stale_days(made.lake) == [FIRST]
    assert stale_days(made.lake, CHANGE) == []
    assert set(made.make(FIRST).readings["quality"]) == {"measured"}
    assert stale_days(made.lake) == []
    assert day_faults(made.lake, FIRST) == ""


def test_a_back_test_sees_only_what_had_arrived(made):
    rows = day_rows(made.site, FIRST)
    made.drop("reads_20210328T050000Z.csv", as_csv(rows[rows["meter"] != "m2"]))
    made.drop("reads_20210328T060000Z.csv", as_csv(rows[rows["meter"] == "m2"]))
    made.land(FIRST)
    files = rows_of_files(made.lake)["file_id"].tolist()
    known = raw_readings(made.lake, files, FIRST, pd.Timestamp("2021-03-28T05:30Z").to_pydatetime())
    assert set(known["meter_id"].to_pylist()) == {"m1", "m3", "m4", "g1"}
    assert raw_readings(made.lake, files, FIRST).num_rows == len(rows)


def test_making_a_day_again_gives_the_same_content(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    tables = (READINGS, FAILED_READINGS, FILE_DAYS, METER_DAYS, QUALITY_PROFILES)
    made.make(FIRST)
    before = [made.lake.content_hash(table, FIRST) for table in tables]
    made.make(FIRST)
    assert [made.lake.content_hash(table, FIRST) for table in tables] == before


def test_the_accounting_check_sees_lost_rows(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    one = made.make(FIRST)
    lost = one.file_days.assign(published=one.file_days["published"] - 1)
    raw = pd.DataFrame({"file_id": one.file_days["file_id"].repeat(240)})
    assert faults_of_day(one.file_days, raw, raw) == ""
    assert "published" in faults_of_day(lost, raw, raw)
    assert faults_of_day(one.file_days, raw.iloc[1:], raw) != ""
    files = made.lake.read(LANDED_FILES, FIRST)
    assert "staged" in faults_of_landing(files.assign(rows_staged=239), pd.DataFrame({"file_id": [], "source_row": []}))
    assert "quarantine" in faults_of_landing(files.assign(rows_rejected=1, rows=241), pd.DataFrame({"file_id": [], "source_row": []}))


def test_the_accounting_check_sees_a_file_that_was_left_out_whole(made):
    rows = day_rows(made.site, FIRST)
    made.drop("reads_20210328T050000Z.csv", as_csv(rows[rows["meter"] != "m2"]))
    made.land(FIRST)
    made.make(FIRST)
    assert day_faults(made.lake, FIRST) == ""
    made.drop("reads_20210328T060000Z.csv", as_csv(rows[rows["meter"] == "m2"]))
    made.land(FIRST)
    said = day_faults(made.lake, FIRST)
    assert "'staged': 48, 'raw': 0" in said
    assert "materialise the day from raw_readings on" in said
    made.make(FIRST)
    assert day_faults(made.lake, FIRST) == ""


def test_loads_add_up_the_tree_and_generation_stands_apart(made):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST, ("m1", "m2", "m3", "g1"))))  # m4 is missing
    made.land(FIRST)
    readings = made.make(FIRST).readings
    starts = made.site.clock.intervals(FIRST)
    register = made.register
    register = register[register["meter_id"] != "old"]
    loads = node_loads(readings, register, made.nodes, starts, "v")
    sums = loads.groupby("node_id")[["energy_kwh", "generation_kwh"]].sum()
    by_meter = readings.groupby("meter_id")["energy_kwh"].sum()
    assert sums.loc["f1", "energy_kwh"] == pytest.approx(by_meter["m1"] + by_meter["m2"])
    assert sums.loc["f2", "energy_kwh"] == pytest.approx(by_meter["m3"])
    assert sums.loc["system", "energy_kwh"] == pytest.approx(sums.loc[["f1", "f2"], "energy_kwh"].sum())
    assert sums.loc["s1", "generation_kwh"] == pytest.approx(by_meter["g1"])
    assert sums.loc["f1", "generation_kwh"] == 0
    one = loads.drop_duplicates("node_id").set_index("node_id")
    assert one.loc[["f1", "f2", "s1"], "meters"].tolist() == [2, 2, 4]
    assert one.loc[["f1", "f2", "system"], "valid_pct"].tolist() == [100.0, 50.0, 75.0]
    assert len(loads) == 4 * 48
