"""JSON lines as devices send them."""

from __future__ import annotations

import json

import pandas as pd
import pytest


def sent(**changes: object) -> str:
    line = {"device_id": "bms1", "timestamp": "2021-03-27T10:00:30Z", "measurements": {"voltage": 400.5, "soc": 55}, "data_format": "v1"}
    return json.dumps(line | changes)


def test_a_json_line_gives_several_measurements(land):
    everything = {
        "power": {"value": 1500, "unit": "W"},
        "voltage": {"l1": 230, "l2": 231.5},
        "current": 4,
        "frequency": 50.01,
        "temp": "21.5",
        "soc": None,
    }
    lines = [
        sent(),
        sent(measurements=everything, location={"lat": 1}, units={"temp": "°C"}, firmware=3),
        sent(timestamp=1616839200, measurements={"soc": 1}),
    ]
    file, rejected, rows, measured = land("\n".join(lines), name="in_{received}.jsonl")
    assert rejected.empty
    assert rows.empty
    found = measured[measured["source_row"] == 2].set_index("quantity")
    assert found["value"].to_dict() == {
        "active_power": 1500.0, "voltage_l1": 230.0, "voltage_l2": 231.5, "current": 4.0, "frequency": 50.01, "temperature": 21.5
    }  # fmt: skip
    assert found["unit"].to_dict() == {
        "active_power": "W", "voltage_l1": "V", "voltage_l2": "V", "current": "A", "frequency": "Hz", "temperature": "degC"
    }  # fmt: skip
    assert measured.loc[measured["source_row"] == 3, "read_utc"].item() == pd.Timestamp(1616839200, unit="s", tz="UTC")
    assert file["rows"] == len(measured) == 9
    for said in ("format json_lines", "soc pct", "data_format v1", "keys not used: location, firmware", "since 1970"):
        assert said in file["detected"]


@pytest.mark.parametrize(
    ("line", "rule", "said"),
    [
        (sent(measurements={"mood": 1}), "quantity", "unknown quantity 'mood'"),
        (sent(measurements={"power": 1}), "unit", "unknown unit ''; known are kW, W, MW"),
        (sent(measurements={"voltage": "high"}), "parse", "'high' is no finite number"),
        (sent(measurements={"voltage": True}), "parse", "'true' is no finite number"),
        (sent(measurements={"voltage": [1]}), "parse", "no finite number"),
        (sent(measurements={"voltage": float("nan")}), "parse", "'NaN' is no finite number"),
        (sent(measurements={}), "parse", "no measurements"),
        (sent(measurements=7), "parse", "no measurements"),
        (sent(device_id=""), "parse", "names no device"),
        (sent(device_id='bms1"\n../../x'), "unknown_meter", "is not in the register meters.csv, nor in devices.csv"),
        (sent(timestamp=None), "parse", "has no time"),
        (sent(timestamp=1e300), "parse", "beyond the calendar"),
        (sent(timestamp="2021-03-28T06:00:00Z", measurements={"soc": 1}), "clock", "2021-03-28T06:00:00Z is after the arrival"),
        (sent()[:-5], "parse", "is no JSON"),
        ("[1, 2]", "parse", "no JSON object"),
        ("[" * 100_000, "parse", "nests deeper"),
        ('{"device_id": "a", "device_id": "b"}', "parse", "'device_id' is there twice"),
        ("9" * 5000, "parse", "is no JSON"),
    ],
)
def test_a_bad_json_line_is_quarantined_and_the_rest_goes_on(land, line, rule, said):
    file, rejected, _, measured = land("\n".join([sent(), line, sent(timestamp="2021-03-27T10:01:30Z")]), 'format = "json_lines"')
    assert set(rejected["rule"]) == {rule}
    assert rejected["source_row"].unique().tolist() == [2]
    assert rejected["raw_text"].iloc[0] == line[:500]
    assert said in rejected["reason"].iloc[0]
    assert (len(measured), file["rows"]) == (4, 4 + len(rejected))


@pytest.mark.parametrize(
    "line",
    [
        '{"device_id": "\\ud800", "timestamp": "2021-03-27T10:00:30Z", "measurements": {"voltage": 230}}',
        '{"device_id": "m1", "timestamp": "\\uDC00", "measurements": {"voltage": 230}}',
        '{"device_id": "m1", "timestamp": "2021-03-27T10:00:30Z", "measurements": {"vol\\udc80": 230}}',
        '{"device_id": "m1", "timestamp": "2021-03-27T10:00:30Z", "measurements": {"voltage": "\\ud800"}}',
    ],
)
def test_half_a_character_spoils_its_line_only(land, line):
    _, rejected, _, measured = land("\n".join([sent(), line, sent(timestamp="2021-03-27T10:01:30Z")]), 'format = "json_lines"')
    assert rejected[["source_row", "rule", "raw_text"]].to_numpy().tolist() == [[2, "parse", line]]
    assert "half of a character" in rejected["reason"].iloc[0]
    assert set(measured["source_row"]) == {1, 3}


def test_a_whole_character_in_two_escapes_and_a_unit_of_null_are_read(land):
    line = {"voltage": {"value": 230, "unit": None}}
    file, rejected, _, _ = land("\n".join([sent(measurements=line), sent(note="\U0001f50c")]), 'format = "json_lines"')
    assert len(rejected) == 0
    assert "keys not used: note" in file["detected"]


def test_one_unknown_key_spoils_its_cell_only_and_can_be_ignored(land):
    file, rejected, _, measured = land(sent(measurements={"soc": 5, "rssi": -70, "x": 1}), 'ignore = ["rssi"]')
    assert (measured["quantity"].tolist(), rejected["rule"].tolist(), file["rows"]) == (["soc"], ["quantity"], 2)


def test_a_quantity_that_is_given_twice_counts_once(land):
    _, rejected, _, measured = land(sent(measurements={"temp": 5, "temperature": 6}))
    assert (measured["value"].tolist(), rejected["rule"].tolist()) == ([5.0], ["quantity"])
    assert "is given twice" in rejected["reason"].item()


def test_power_and_energy_of_one_interval_are_one_reading(land):
    line = sent(device_id="m1", timestamp="2021-03-27T10:00:00Z", measurements={"energy": 1.5, "power": 3.0})
    keys = ('power_is = "interval_mean"', 'measurement_units = { energy = "kWh", power = "kW" }')
    _, rejected, rows, _ = land(f"{line}\n{line}", *keys)
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.5], [2, 1.5]]
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[1, "quantity"], [2, "quantity"]]
    assert "tells the same twice" in rejected["reason"].iloc[0]


def test_an_energy_key_is_the_interval_and_a_register_key_the_register(land):
    line = json.dumps({"meter_id": "m1", "timestamp": "2021-03-27T10:00:00Z", "measurements": {"energy": 1.5, "energy_total": 900.0}})
    _, rejected, rows, _ = land(line, 'unit = "kWh"', 'measurement_units = { energy_total = "kWh" }')
    assert rejected.empty
    assert dict(zip(rows["kind"], rows["value"], strict=True)) == {"interval": 1.5, "register": 900.0}
