"""Registers: clear errors for bad files, a tree that is a tree, who is in force when."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grid_assets.foundation.registers import METERS, NODES, PLANTS, RegisterError, faults_of_tree, in_force, read_register

METER_ROWS = """\
# a remark
meter_id,kind,node_id,customer_class,rating_kw,net_metered,valid_from_utc,valid_to_utc
a,load,f1,household,10,false,2016-01-01T00:00:00Z,2016-05-24T00:00:00Z
a,load,f2,household,10,false,2016-05-24T00:00:00Z,
b,generation,f1,pv,5,TRUE,2016-01-01T00:00:00Z,
"""


def write(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.csv").write_text(text)
    return folder


def test_a_register_is_read_with_types_and_absent_optional_columns(tmp_path: Path):
    meters = read_register(write(tmp_path, "meters", METER_ROWS), METERS).to_pandas()
    assert list(meters["meter_id"]) == ["a", "a", "b"]
    assert meters["net_metered"].tolist() == [False, False, True]
    assert meters["bus_id"].isna().all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rating_kw", "rating", "column rating_kw"),
        ("b,generation,f1,pv,5", "b,generation,f1,pv,five", r"row 4: rating_kw = 'five' is not a double"),
        ("TRUE", "perhaps", "net_metered = 'perhaps'"),
        ("2016-05-24T00:00:00Z,\n", "2016-01-01T00:00:00Z,\n", "keys occur more than once"),
        ("b,generation", ",generation", "meter_id has 1 nulls"),
    ],
)
def test_a_bad_register_names_file_and_fault(tmp_path: Path, old: str, new: str, said: str):
    with pytest.raises(RegisterError, match=said) as raised:
        read_register(write(tmp_path, "meters", METER_ROWS.replace(old, new, 1)), METERS)
    assert "meters.csv" in str(raised.value)


def test_a_missing_register_is_an_error_and_missing_plants_are_none(tmp_path: Path):
    with pytest.raises(RegisterError, match=r"nodes.csv: the register is missing; expected columns node_id"):
        read_register(tmp_path, NODES)
    assert read_register(tmp_path, PLANTS).num_rows == 0


def test_a_meter_that_moves_is_in_force_at_one_place_a_day(tmp_path: Path):
    meters = read_register(write(tmp_path, "meters", METER_ROWS), METERS).to_pandas()
    for day, node in (("2016-05-23", "f1"), ("2016-05-24", "f2")):
        start = pd.Timestamp(day, tz="UTC")
        here = in_force(meters, start, start + pd.Timedelta(days=1))
        assert here.set_index("meter_id")["node_id"].to_dict() == {"a": node, "b": "f1"}
    before = pd.Timestamp("2015-12-31", tz="UTC")
    assert in_force(meters, before, before + pd.Timedelta(days=1)).empty


def nodes(*rows: tuple[str, str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["node_id", "level", "parent_id"])


def test_faults_of_the_tree():
    meters = pd.DataFrame({"meter_id": ["m"], "node_id": ["f"]})
    good = nodes(("s", "system", None), ("u", "substation", "s"), ("f", "feeder", "u"))
    assert faults_of_tree(good, meters) == []
    looped = nodes(("s", "system", None), ("u", "substation", "f"), ("f", "feeder", "u"))
    assert any("loop" in one for one in faults_of_tree(looped, meters))
    two = nodes(("s", "system", None), ("t", "system", None))
    assert faults_of_tree(two, meters) == ["expected exactly one node of level system, found ['s', 't']", "meter m: node 'f' is unknown"]
    assert "parent 'x' is unknown" in faults_of_tree(nodes(("s", "system", None), ("f", "feeder", "x")), meters)[0]
