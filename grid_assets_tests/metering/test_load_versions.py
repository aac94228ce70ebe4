"""How a node's load became known: against a telling of it meter by meter, and that nothing is told before it arrived."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.forecasting.known_loads import loads_as_of, readings_as_of
from grid_assets.metering.load_versions import Corrected, NodeChanges, changes, corrections_in, reading_versions, usual_energy
from grid_assets.metering.tables import NODE_LOAD_VERSIONS, RAW_READINGS, READING_VERSIONS
from grid_assets.metering.vee.day_axes import DayGrid

STARTS = pd.date_range("2021-03-27", periods=3, freq="30min", tz="UTC", name="start_utc").as_unit("us")
HALF_HOUR = pd.Timedelta(minutes=30)
NODES = pd.DataFrame([("system", None), ("f1", "system"), ("f2", "system"), ("empty", "system")], columns=["node_id", "parent_id"])
METERS = pd.DataFrame(
    [("a", "f1", "load", False), ("b", "f1", "load", False), ("c", "f2", "load", True), ("g", "f2", "generation", False)],
    columns=["meter_id", "node_id", "kind", "net_metered"],
).assign(rating_kw=10.0)
GRID = DayGrid(date(2021, 3, 27), METERS, STARTS, 0.5)
USUAL = np.array([3.0, 1.0, 2.0, 5.0])
NOON = datetime(2021, 3, 27, 12, tzinfo=UTC)
SIZE = len(METERS) * len(STARTS)


def raw(rows: list[tuple[str, int, float, int]], kind: str = "interval") -> pa.Table:
    """Rows of (meter, interval, kWh, minutes after noon at which it arrived), in the table's order."""
    ordered = sorted(enumerate(rows), key=lambda one: (one[1][0], one[1][1], one[1][3], one[0]))
    frame = pd.DataFrame(
        [
            (
                meter,
                STARTS[slot],
                value,
                "kWh",
                kind,
                f"file{minutes:04}",
                f"file{minutes:04}.csv",
                n + 1,
                NOON + timedelta(minutes=minutes),
            )
            for n, (meter, slot, value, minutes) in ordered
        ],
        columns=RAW_READINGS.columns,
    )
    return RAW_READINGS.conform(frame)


def versions(found) -> pd.DataFrame:
    made = NodeChanges(NODES, STARTS, HALF_HOUR)
    made.add(GRID, found, USUAL)
    return NODE_LOAD_VERSIONS.conform(made.versions()).to_pandas()


def told(rows, until: int) -> dict[tuple[str, int], tuple[float, float]]:
    """(node, interval) -> energy and known share at so many minutes after noon, meter by meter."""
    newest = {}
    for meter, slot, value, minutes in sorted(rows, key=lambda one: one[3]):
        if minutes <= until:
            newest[meter, slot] = value
    lowest = {"a": 0.0, "b": 0.0, "c": -5.0}
    good = {key: value for key, value in newest.items() if key[0] in lowest and lowest[key[0]] <= value <= 5.0}
    made = {}
    for node, meters in {"f1": "ab", "f2": "c", "system": "abc"}.items():
        whole = sum(USUAL["abc".index(one)] for one in meters)
        for slot in range(len(STARTS)):
            mine = [one for one in meters if (one, slot) in good]
            share = 100.0 * sum(USUAL["abc".index(one)] for one in mine) / whole
            made[node, slot] = sum(good[one, slot] for one in mine), share
    return made


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "g", "stranger"]), st.integers(0, 2), st.sampled_from([-6.0, -1.0, 0.0, 0.5, 2.0, 5.0, 5.5]),
        st.sampled_from([0, 30, 60, 90, 600]),
    ),
    max_size=14,
    unique_by=lambda one: (one[0], one[1], one[3]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0, 30, 45, 90, 600]))
def test_at_any_instant_it_is_what_had_arrived_meter_by_meter(rows, until):
    instant = NOON + timedelta(minutes=until)
    known = loads_as_of(versions(changes(GRID, raw(rows), None)), instant)
    found = {(one.node_id, STARTS.get_loc(one.start_utc)): (one.energy_kwh, one.published_pct) for one in known.itertuples()}
    for key, (energy, share) in told(rows, until).items():
        assert found.get(key, (0.0, 0.0)) == (pytest.approx(energy), pytest.approx(share))
    assert all(found[key] == (0.0, 100.0) for key in found if key[0] == "empty")


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS, st.sampled_from([0, 30, 90]))
def test_what_arrives_later_is_invisible_earlier(rows, others, until):
    early = [one for one in rows if one[3] <= until]
    late = [one for one in others if one[3] > until]
    instant = NOON + timedelta(minutes=until)
    seen = [loads_as_of(versions(changes(GRID, raw(one), None)), instant) for one in (early, early + late, early + late[:2])]
    kept = [one[one["node_id"] != "empty"].reset_index(drop=True) for one in seen]
    for other in kept[1:]:
        pd.testing.assert_frame_equal(kept[0], other)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0, 30, 45, 90, 600]), st.sampled_from([0, 30, 90]))
def test_a_single_reading_too_is_what_had_arrived_from_the_days_first_issue_on(rows, until, since):
    instant = NOON + timedelta(minutes=max(until, since))
    bounds = {"a": (0.0, 5.0), "b": (0.0, 5.0), "c": (-5.0, 5.0), "g": (0.0, 5.0)}
    good = {}
    published = pd.DataFrame(
        [(meter, start, np.nan, "missing") for meter in METERS["meter_id"] for start in STARTS], columns=["meter_id", "start_utc", "energy_kwh", "quality"]
    ).set_index(["meter_id", "start_utc"])  # fmt: skip
    for meter, slot, value, minutes in sorted(rows, key=lambda one: one[3]):
        if meter in bounds:
            valid = value if bounds[meter][0] <= value <= bounds[meter][1] else np.nan
            published.loc[(meter, STARTS[slot])] = (valid, "measured" if np.isfinite(valid) else "missing")
            if NOON + timedelta(minutes=minutes) <= instant:
                good[meter, STARTS[slot]] = valid
    late = READING_VERSIONS.conform(reading_versions(GRID, changes(GRID, raw(rows), None), NOON + timedelta(minutes=since))).to_pandas()
    known = readings_as_of(pa.Table.from_pandas(published.reset_index(), preserve_index=False), late, instant).to_pandas()
    for one in known.itertuples():
        assert one.energy_kwh == pytest.approx(good.get((one.meter_id, one.start_utc), np.nan), nan_ok=True)
        assert one.quality == ("measured" if np.isfinite(one.energy_kwh) else "missing")


def test_readings_that_came_in_time_have_no_versions():
    rows = [("a", 0, 1.0, 0), ("a", 1, 1.0, 40), ("a", 1, 1.0, 90), ("b", 2, 9.0, 90)]  # sent again unchanged, and refused
    late = reading_versions(GRID, changes(GRID, raw(rows), None), NOON + timedelta(minutes=30))
    assert late["start_utc"].tolist() == [STARTS[1]]
    assert late["known_utc"].tolist() == [pd.Timestamp(NOON + timedelta(minutes=40))]


def test_a_published_day_counts_what_was_published_and_what_it_replaced():
    # a was sent in Wh unsaid, twice; b's newest value was refused; c was corrected at 14:00
    rows = [("a", 0, 900.0, 0), ("a", 0, 1000.0, 60), ("b", 0, 1.0, 0), ("b", 0, 4.0, 60), ("c", 0, 2.0, 0)]
    valid = np.full(GRID.shape, np.nan)
    valid[0, 0], valid[2, 0] = 1.0, 3.0
    edits = Corrected(np.array([2 * 3]), np.array([int(NOON.timestamp() * 1e6) + 7_200_000_000]), np.array([2.0]))
    made = versions(changes(GRID, raw(rows), valid, edits))

    def at(minutes: int, node: str) -> tuple[float, float]:
        known = loads_as_of(made, NOON + timedelta(minutes=minutes)).set_index("node_id")
        return tuple(known.loc[node, ["energy_kwh", "published_pct"]])

    assert at(0, "f1") == pytest.approx((1.9, 100.0))  # 0.9 and 1.0
    assert at(60, "f1") == pytest.approx((1.0, 75.0))  # b is refused now
    assert at(0, "f2") == at(119, "f2") == pytest.approx((2.0, 100.0))
    assert at(120, "f2") == pytest.approx((3.0, 100.0))
    assert at(120, "system") == pytest.approx((4.0, 100.0 * 5 / 6))


def test_a_register_tells_what_it_came_to_when_it_was_read():
    valid = np.full(GRID.shape, np.nan)
    valid[0, 0] = 0.7
    frame = raw([("a", 1, 12_345.0, 30)], kind="register")  # read at the start of interval 1, it closes interval 0
    made = versions(changes(GRID, frame, valid))
    assert loads_as_of(made, NOON).query("node_id == 'f1'").empty
    known = loads_as_of(made, NOON + timedelta(minutes=30)).set_index("node_id")
    assert known.loc["f1", "energy_kwh"] == pytest.approx(0.7)
    assert versions(changes(GRID, frame, None)).query("node_id == 'f1'").empty  # a standing alone is no energy


def test_arrivals_are_known_at_the_end_of_their_interval():
    made = versions(changes(GRID, raw([("a", 0, 1.0, 1)]), None)).set_index("node_id")
    assert made.loc["f1", "known_utc"] == pd.Timestamp("2021-03-27T12:30Z")


def test_corrections_of_other_meters_and_other_days_are_left_out():
    edited = pd.DataFrame(
        [("a", STARTS[1], "k1"), ("stranger", STARTS[1], "k2"), ("a", STARTS[0] - HALF_HOUR, "k3"), ("b", STARTS[0], None)],
        columns=["meter_id", "start_utc", "correction_id"],
    ).assign(entered_utc=pd.Timestamp(NOON), replaced_kwh=[0.4, 1.0, 1.0, 1.0])
    found = corrections_in(GRID, edited)
    assert found.cell.tolist() == [1]
    assert found.entered.tolist() == [int(NOON.timestamp() * 1e6)]
    assert found.replaced_kwh.tolist() == [0.4]


def test_usual_energy_of_meters_without_a_past_is_the_mean_of_the_others():
    days = pd.DataFrame({"meter_id": ["a", "b", "c"], "usual_kwh": [4.0, -8.0, None]})
    assert usual_energy(days).tolist() == pytest.approx([4.006, 8.006, 6.006])
    assert usual_energy(days.assign(usual_kwh=np.nan)).tolist() == pytest.approx([1.001] * 3)


def test_an_empty_day_has_no_versions():
    assert versions(changes(GRID, RAW_READINGS.empty(), None)).empty
    assert loads_as_of(NODE_LOAD_VERSIONS.empty().to_pandas(), NOON).empty
