"""Registers: clear errors for bad files, a tree that is a tree, who is in force when."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grid_assets.foundation.registers import (
    METERS,
    NODES,
    PLANTS,
    UNITS,
    RegisterError,
    faults_of_tree,
    ids_in_both,
    in_force,
    read_register,
)

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
        ("b,generation,f1,pv,5", "b,generation,f1,pv,five", r"line 5: rating_kw = 'five': expected a number"),
        ("b,generation,f1,pv,5", "b,generation,f1,pv,inf", r"line 5: rating_kw = 'inf': expected a number"),
        ("TRUE", "perhaps", "line 5: net_metered = 'perhaps': expected true or false"),
        ("2016-05-24T00:00:00Z,\n", "2016-01-01T00:00:00Z,\n", r"line 4: meter_id = 'a', valid_from_utc = .* is already on line 3"),
        ("b,generation", ",generation", "line 5: meter_id is empty"),
        ("b,generation", "b,Load", "line 5: kind = 'Load': expected one of load, generation"),
        ("f1,pv,5", "f1,pv,-10", r"line 5: rating_kw = -10.0: expected more than 0"),
        ("f1,pv,5", "f1,pv,0", r"line 5: rating_kw = 0.0: expected more than 0"),
        ("2016-05-24T00:00:00Z\n", "2015-05-24T00:00:00Z\n", r"line 3: valid_to_utc = '2015.*expected a time after valid_from_utc"),
        ("2016-05-24T00:00:00Z,\n", "2016-05-23T00:00:00Z,\n", r"line 4: valid_from_utc = .*: meter 'a' is still in force on line 3"),
        ("2016-05-24T00:00:00Z\n", "\n", r"line 4: valid_from_utc = .*: meter 'a' is still in force on line 3"),
        ("b,generation,f1,pv,5,TRUE", "b,generation,f1,pv,5", "line 5: 7 values where the header names 8 columns"),
        ("b,generation,f1,pv,5", "b,generation,f1,pv,1,5", "line 5: 9 values where the header names 8 columns"),
        ("b,generation,f1,pv,5", 'b,generation,"f1,pv,5', "not CSV: .* is a quotation mark left open"),
        ("net_metered", "net_meterd", "column 'net_meterd' is unknown"),
        ("net_metered", "kind", "column kind is there twice"),
        ("# a remark", "# a r\xe9sum\xe9", "line 1: not UTF-8"),
    ],
)
def test_a_bad_register_names_file_and_fault(tmp_path: Path, old: str, new: str, said: str):
    assert old in METER_ROWS
    (tmp_path / "meters.csv").write_bytes(METER_ROWS.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(RegisterError, match=said) as raised:
        read_register(tmp_path, METERS)
    assert "meters.csv" in str(raised.value)


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing but a remark\n"])
def test_an_empty_register_says_what_was_expected(tmp_path: Path, content: str):
    with pytest.raises(RegisterError, match=r"meters.csv: the file is empty; expected a header line with the columns meter_id, kind"):
        read_register(write(tmp_path, "meters", content), METERS)


def test_all_faults_of_a_register_are_told_in_the_order_of_its_lines(tmp_path: Path):
    faulty = METER_ROWS.replace("a,load,f1", "a,Load,f1").replace("pv,5", "pv,-5").replace("f2,household,10,false", ",household,10,maybe")
    with pytest.raises(RegisterError) as raised:
        read_register(write(tmp_path, "meters", faulty), METERS)
    told = str(raised.value).splitlines()
    assert [one.split("meters.csv, ")[1].split(":")[0] for one in told] == ["line 3", "line 4", "line 4", "line 5"]
    assert "node_id is empty" in str(raised.value)


def test_many_faults_are_counted_rather_than_listed(tmp_path: Path):
    rows = "".join(f"m{n},Load,f1,household,10,false,2016-01-01T00:00:00Z,\n" for n in range(60))
    with pytest.raises(RegisterError, match=r"meters.csv: 10 further faults$") as raised:
        read_register(write(tmp_path, "meters", METER_ROWS + rows), METERS)
    assert len(str(raised.value).splitlines()) == 51


NODE_ROWS = "node_id,level,parent_id,title,import_limit_kw\ns,system,,All,\nf,feeder,s,Feeder #1,0\n"
PLANT_ROWS = "plant_id,kind,meter_id,node_id,rating_kw\np,pv,m,f,5\n"
UNIT_ROWS = (
    "unit_id,node_id,power_kw,energy_kwh,charge_efficiency,discharge_efficiency,self_discharge_pct_per_day,minimum_energy_kwh,"
    "initial_energy_kwh,wear_cost_per_kwh,cycles_per_day\nu,f,100,200,0.95,0.96,0.1,20,60,0.02,1.5\n"
)
ROWS_OF = {"nodes": (NODES, NODE_ROWS), "plants": (PLANTS, PLANT_ROWS), "units": (UNITS, UNIT_ROWS)}


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("nodes", "f,feeder", "f,feder", "line 3: level = 'feder': expected one of system, substation, feeder"),
        ("nodes", "#1,0", "#1,-1", "line 3: import_limit_kw = -1.0: expected 0 or more"),
        ("nodes", "f,feeder", "s,feeder", "line 3: node_id = 's' is already on line 2"),
        ("plants", "p,pv", "p,PV", "line 2: kind = 'PV': expected one of pv, wind, biomass, hydro"),
        ("units", "0.95", "0", "line 2: charge_efficiency = 0.0: expected more than 0 and at most 1"),
        ("units", "0.96", "1.02", "line 2: discharge_efficiency = 1.02: expected more than 0 and at most 1"),
        ("units", ",100,", ",-100,", "line 2: power_kw = -100.0: expected more than 0"),
        ("units", ",60,", ",600,", "line 2: initial_energy_kwh = 600.0: expected at most energy_kwh"),
        ("units", ",60,", ",10,", "line 2: initial_energy_kwh = 10.0: expected at least minimum_energy_kwh"),
    ],
)
def test_nodes_plants_and_units_are_checked_too(tmp_path: Path, name: str, old: str, new: str, said: str):
    table, good = ROWS_OF[name]
    assert read_register(write(tmp_path, name, good), table).num_rows
    assert old in good
    with pytest.raises(RegisterError, match=f"{name}.csv, {said}"):
        read_register(write(tmp_path, name, good.replace(old, new, 1)), table)


def test_a_power_factor_is_a_share_and_may_be_left_out(tmp_path: Path):
    with_factor = METER_ROWS.replace("rating_kw,", "rating_kw,power_factor,").replace(",10,", ",10,,").replace(",5,", ",5,0.9,")
    read = read_register(write(tmp_path, "meters", with_factor), METERS).to_pandas()
    assert read["power_factor"].tolist()[2] == 0.9
    with pytest.raises(RegisterError, match=r"line 5: power_factor = 9\.0: expected more than 0 and at most 1"):
        read_register(write(tmp_path, "meters", with_factor.replace("0.9", "9")), METERS)


def test_comments_are_whole_lines_and_a_byte_order_mark_is_no_column_name(tmp_path: Path):
    (tmp_path / "nodes.csv").write_bytes(b"\xef\xbb\xbf" + NODE_ROWS.replace("\n", "\r\n").encode())
    assert read_register(tmp_path, NODES).to_pandas()["title"].tolist() == ["Feeder #1", "All"]


def test_a_move_without_a_gap_and_a_meter_that_comes_back_are_sound(tmp_path: Path):
    gap = METER_ROWS.replace("f2,household,10,false,2016-05-24", "f2,household,10,false,2016-07-01")
    assert read_register(write(tmp_path, "meters", gap), METERS).num_rows == 3
    assert read_register(write(tmp_path, "meters", METER_ROWS), METERS).num_rows == 3


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


def test_a_day_counts_where_the_meter_was_at_its_start(tmp_path: Path):
    at_noon = METER_ROWS.replace("2016-05-24T00:00:00Z", "2016-05-24T12:00:00Z")
    meters = read_register(write(tmp_path, "meters", at_noon), METERS).to_pandas()
    for day, node in (("2016-05-24", "f1"), ("2016-05-25", "f2")):
        start = pd.Timestamp(day, tz="UTC")
        here = in_force(meters, start, start + pd.Timedelta(days=1))
        assert here.set_index("meter_id")["node_id"].to_dict() == {"a": node, "b": "f1"}


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


def test_an_id_that_is_meter_and_device_is_named():
    meters, devices = pd.DataFrame({"meter_id": ["a", "c", "c", "b"]}), pd.DataFrame({"device_id": ["c", "d", "b"]})
    assert ids_in_both(meters, devices) == ["b", "c"]
    assert ids_in_both(meters, devices[:0]) == []
