"""Sums of readings up the tree: against a naive sum, shard by shard, with boundary meters; and their balances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.metering.quality import balances
from grid_assets.metering.quality.aggregation import NodeSums, node_loads, sums_of_day
from grid_assets.metering.quality.day_matrices import day_matrices, shards_of_day
from grid_assets.metering.tables import NODE_BALANCES, NODE_LOADS, READINGS
from grid_assets_tests.metering.conftest import FIRST

STARTS = pd.date_range("2021-03-27", periods=4, freq="30min", tz="UTC", name="start_utc").as_unit("us")
NODES = pd.DataFrame(
    [("system", "system", None), ("s1", "substation", "system"), ("s2", "substation", "system"), ("f1", "feeder", "s1"), ("f2", "feeder", "s1")],
    columns=["node_id", "level", "parent_id"],
)  # fmt: skip
KINDS, QUALITIES = ("load", "generation", "boundary"), ("measured", "estimated", "edited", "missing", None)


@st.composite
def worlds(draw):
    """Meters anywhere in the tree (or on no node of it), and readings of which any may be absent."""
    size = draw(st.integers(0, 9))
    meters = pd.DataFrame(
        {
            "meter_id": [f"m{n}" for n in range(size)],
            "kind": [draw(st.sampled_from(KINDS)) for _ in range(size)],
            "node_id": [draw(st.sampled_from([*NODES["node_id"], "nowhere"])) for _ in range(size)],
        },
        columns=["meter_id", "kind", "node_id"],
    )
    rows = []
    for meter in [*meters["meter_id"], "stranger"]:
        for start in STARTS:
            quality = draw(st.sampled_from(QUALITIES))
            if quality:
                energy = None if quality == "missing" else draw(st.integers(-5, 50)) / 8
                rows.append((meter, start, energy, quality))
    return meters, pd.DataFrame(rows, columns=["meter_id", "start_utc", "energy_kwh", "quality"]).astype(
        {"energy_kwh": float, "start_utc": STARTS.dtype}
    )


def naive(meters: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    """Node by node, interval by interval, meter by meter."""
    parents, rows = dict(zip(NODES["node_id"], NODES["parent_id"], strict=True)), []
    value = {(row.meter_id, row.start_utc): row for row in readings.itertuples()}

    def below(node: str, meter_node: str | None) -> bool:
        return meter_node is not None and (meter_node == node or below(node, parents.get(meter_node)))

    for node, level in zip(NODES["node_id"], NODES["level"], strict=True):
        mine = [one for one in meters.itertuples() if below(node, one.node_id)]
        loads = [one.meter_id for one in mine if one.kind == "load"]
        for start in STARTS:

            def total(kind, mine=mine, start=start):
                return sum(value[one.meter_id, start].energy_kwh for one in mine if one.kind == kind
                           and (one.meter_id, start) in value and value[one.meter_id, start].quality != "missing")  # fmt: skip

            def share(qualities, loads=loads, start=start):
                found = sum((one, start) in value and value[one, start].quality in qualities for one in loads)
                return 100.0 * found / len(loads) if loads else 100.0

            rows.append((node, level, start, total("load"), total("generation"), len(loads), share(("measured", "edited")),
                         share(("measured", "estimated", "edited")), "v"))  # fmt: skip
    return pd.DataFrame(rows, columns=NODE_LOADS.columns)


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_the_naive_way(world):
    meters, readings = world
    made = node_loads(readings, meters, NODES, STARTS, "v")
    pd.testing.assert_frame_equal(made, naive(meters, readings), check_dtype=False, atol=1e-9)
    NODE_LOADS.conform(made)


@given(worlds(), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_the_cut_into_shards_changes_nothing(world, size):
    meters, readings = world
    whole, parts = NodeSums(NODES, STARTS), NodeSums(NODES, STARTS)
    whole.add(day_matrices(readings, meters, STARTS))
    for begin in range(0, len(meters), size):
        own = meters.iloc[begin : begin + size].reset_index(drop=True)
        rows = pa.Table.from_pandas(readings[readings["meter_id"].isin(own["meter_id"])], preserve_index=False)
        coded = rows.set_column(0, "meter_id", rows["meter_id"].cast(pa.string()).dictionary_encode())
        parts.add(day_matrices(coded, own, STARTS))
    pd.testing.assert_frame_equal(parts.node_loads("v"), whole.node_loads("v"), atol=1e-9)
    np.testing.assert_allclose(parts.boundary_kwh, whole.boundary_kwh)


def readings_of(values: dict[str, list[float | None]]) -> pd.DataFrame:
    rows = [
        (meter, start, energy, "missing" if energy is None else "measured")
        for meter, energies in values.items()
        for start, energy in zip(STARTS, energies, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["meter_id", "start_utc", "energy_kwh", "quality"]).astype({"energy_kwh": float})
    return frame.assign(method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None)


METERS = pd.DataFrame(
    [("a", "load", "f1"), ("b", "load", "f1"), ("g", "generation", "f1"), ("h1", "boundary", "f1"), ("h2", "boundary", "f1")],
    columns=["meter_id", "kind", "node_id"],
)  # fmt: skip
VALUES = {"a": [4, 4, 4, 4], "b": [6, 6, 6, None], "g": [1, 1, 0, 0], "h1": [7, 8, None, 6], "h2": [3, -2, 1, 0]}


def balance(values=VALUES) -> pd.DataFrame:
    sums = NodeSums(NODES, STARTS)
    sums.add(day_matrices(readings_of(values), METERS, STARTS))
    return balances.node_balances(sums, sums.node_loads("v"))


def test_a_balance_is_measured_less_load_plus_generation_at_nodes_with_boundary_meters():
    made = balance()
    assert NODE_BALANCES.conform(made).num_rows == 4
    assert set(made["node_id"]) == {"f1"}
    assert made["measured_kwh"].tolist()[:2] == [10.0, 6.0]
    assert made["measured_kwh"].isna().tolist() == [False, False, True, False]  # one of its two meters has no value
    assert made["residual_kwh"].tolist()[:2] == [10 - 10 + 1, 6 - 10 + 1]
    assert made["residual_pct"].tolist()[0] == pytest.approx(10.0)
    assert made["published_pct"].tolist() == [100, 100, 100, 50]


def test_a_day_out_of_balance_is_named_with_its_energy():
    assert balances.day_balances(balance())["residual_kwh"].tolist() == [1 - 3 + 2]
    assert balances.faults(balance(), 10) == []
    stolen = balance({**VALUES, "h1": [17, 18, 16, 16]})
    (told,) = balances.faults(stolen, 10)
    assert "f1: +37.0 kWh" in told
    assert balances.faults(stolen, 80) == []
    (silent,) = balances.faults(balance({**VALUES, "h2": [None] * 4}), 10)
    assert silent == "f1: no interval with a value of all its boundary meters"


def test_without_boundary_meters_the_balances_are_empty_and_say_so():
    sums = NodeSums(NODES, STARTS)
    sums.add(day_matrices(readings_of(VALUES), METERS[METERS["kind"] != "boundary"].reset_index(drop=True), STARTS))
    made = balances.node_balances(sums, sums.node_loads("v"))
    assert NODE_BALANCES.conform(made).num_rows == 0
    assert "no node has a boundary meter" in str(balances.summary(made)["balances"])
    assert balances.faults(made, 10) == []


def test_files_of_the_lake_are_summed_one_after_the_other(lake):
    readings = readings_of(VALUES)
    parts = [readings[readings["meter_id"].isin(ids)] for ids in (("a", "b"), ("g", "h1"))]
    lake.point_at(READINGS, FIRST, [lake.put_shard(READINGS, part, FIRST, n) for n, part in enumerate(parts)])
    shards = list(shards_of_day(lake, FIRST, METERS, STARTS))
    assert [one.meters["meter_id"].tolist() for one in shards] == [["a", "b"], ["g", "h1"], ["h2"]]  # h2 is in no file
    made = sums_of_day(lake, FIRST, METERS, NODES, STARTS).node_loads("v")
    without = node_loads(readings[readings["meter_id"] != "h2"], METERS, NODES, STARTS, "v")
    pd.testing.assert_frame_equal(made, without)


def test_a_meter_in_two_files_is_refused(lake):
    readings = readings_of(VALUES)
    parts = [readings.iloc[:2], readings.iloc[2:]]
    lake.point_at(READINGS, FIRST, [lake.put_shard(READINGS, part, FIRST, n) for n, part in enumerate(parts)])
    with pytest.raises(ValueError, match="'a' lies in two files"):
        list(shards_of_day(lake, FIRST, METERS, STARTS))


def test_an_estimate_of_a_boundary_is_no_evidence():
    values = readings_of(VALUES)
    values.loc[values["meter_id"] == "h1", "quality"] = "estimated"
    sums = NodeSums(NODES, STARTS)
    sums.add(day_matrices(values, METERS, STARTS))
    made = balances.node_balances(sums, sums.node_loads("v"))
    assert made["measured_kwh"].isna().all()
    assert made["residual_kwh"].isna().all()
