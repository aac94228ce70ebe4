"""Every format in which readings arrive, what the site file declares of it, and what is told from the file."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.registers import DEVICES, read_register
from grid_assets.foundation.site import SiteError, load_site
from grid_assets.metering.accounting import landing_faults
from grid_assets.metering.arrival.arrival_rules import Rules, SiteDays, judge
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.tables import LANDED_FILES, LANDED_MEASUREMENTS, LANDED_ROWS, REJECTED_READINGS
from grid_assets_tests.metering.conftest import FIRST, MadeSite, as_csv, day_rows

RECEIVED = "20210328T050000Z"
DEVICES_CSV = """device_id,kind,node_id,unit_id,reporting_s,valid_from_utc,valid_to_utc
bms1,battery_monitor,f1,,60,2020-01-01T00:00:00Z,
sensor1,grid_sensor,f1,,60,2020-01-01T00:00:00Z,2021-03-27T12:00:00Z
"""


def feed(pattern: str, *keys: str) -> str:
    return "\n".join(['[[readings]]\nname = "feed"\nfolder = "landing"', f'pattern = "{pattern}"', *keys]) + "\n"


@pytest.fixture
def land(make_site):
    """Lands one file by an input's keys: its row, the refused rows, the staged energy and the staged measurements."""

    def landing(content: str | bytes, *keys: str, name: str = "in_{received}.txt", **site: object):
        made: MadeSite = make_site(feed(name, *keys), **site)
        (made.site.registers.folder / "devices.csv").write_text(DEVICES_CSV)
        made.lake.write(DEVICES, read_register(made.site.registers.folder, DEVICES))
        made.drop(name.replace("{received}", RECEIVED), content)
        made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        (file,) = made.lake.read(LANDED_FILES, FIRST).to_dict("records")
        tables = (made.lake.read(table, [file["file_id"]]) for table in (LANDED_ROWS, LANDED_MEASUREMENTS))
        return file, made.lake.read(REJECTED_READINGS, FIRST), *tables

    return landing


LONG = 'columns = { meter_id = "meter", read_utc = "read_at", value = "value", unit = "unit" }'
HEADER = "meter,read_at,value,unit\n"


# -- text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("encode", "told"),
    [
        (lambda text: text.encode(), ""),
        (lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(), "byte order mark"),
        (lambda text: text.encode("utf-16"), "utf-16"),
        (lambda text: text.replace("\n", "\r").encode(), ""),
        (lambda text: text.replace(",", ";").encode(), "delimiter ';'"),
        (lambda text: text.replace(",", "\t").replace(".", ",").encode(), "decimal comma"),
        (lambda text: "\n".join(f"{line},Zähler" for line in text.splitlines()).encode("cp1252"), "cp1252"),
        (lambda text: "\n\n" + text.replace("\n", "\n\n"), ""),
    ],
)
def test_text_is_read_however_it_is_written(land, encode, told, packed):
    content = encode(HEADER + "m1,2021-03-27T10:00:00Z,1.25,kWh\nm2,2021-03-27T10:30:00Z,2.5,kWh\n")
    content = content.encode() if isinstance(content, str) else content
    file, rejected, rows, _ = land(gzip.compress(content) if packed else content, LONG)
    assert rejected.empty
    assert rows[["meter_id", "value", "source_row", "unit"]].to_numpy().tolist() == [["m1", 1.25, 1, "kWh"], ["m2", 2.5, 2, "kWh"]]
    assert told in file["detected"]
    assert "format csv" in file["detected"]


@pytest.mark.parametrize("first", [["n.a."], ["0"] * 2000, ["v1.2", "1.2.3"]])
def test_a_decimal_comma_is_told_by_the_cells_that_are_numbers(land, first):
    odd = [f"m2;2021-03-27T{n % 10:02}:00:00Z;{one};kWh" for n, one in enumerate(first)]
    file, rejected, rows, _ = land("\n".join(["meter;read_at;value;unit", *odd, "m1;2021-03-27T10:00:00Z;1,5;kWh"]))
    assert "decimal comma" in file["detected"]
    assert rows.loc[rows["meter_id"] == "m1", "value"].tolist() == [1.5]
    assert len(rejected) == (0 if first[0] == "0" else len(first))


@pytest.mark.parametrize(("keys", "taken", "said"), [([], 1.5, "decimal = ','"), (['decimal = ","'], 1.5, "see the key decimal")])
def test_where_points_and_commas_stand_the_reason_names_the_key(land, keys, taken, said):
    lines = ["meter;read_at;value;unit", "m1;2021-03-27T10:00:00Z;1,5;kWh", "m1;2021-03-27T10:30:00Z;1.5;kWh"]
    _, rejected, rows, _ = land("\n".join(lines), *keys)
    assert (rows["value"].tolist(), len(rejected)) == ([taken], 1)
    assert said in rejected["reason"].iloc[0]


def test_what_is_declared_is_not_detected(land):
    keys = ('format = "csv"', 'delimiter = ";"', 'decimal = ","', 'encoding = "latin-1"', 'clock = "UTC"', 'stamp = "start"')
    file, _, rows, _ = land("meter;read_at;value;unit;Straße\nm1;2021-03-27T10:00:00Z;1,5;kWh;ß\n".encode("latin-1"), LONG, *keys)
    assert (rows["value"].tolist(), file["detected"]) == ([1.5], None)


def test_a_declared_time_format_is_read(land):
    file, rejected, rows, _ = land(
        HEADER + "m1,27.03.2021 10:30,1,kWh\nm1,2021-03-27T11:00:00Z,1,kWh\n", LONG, 'time_format = "%d.%m.%Y %H:%M"'
    )
    assert rows["read_utc"].tolist() == [pd.Timestamp("2021-03-27T10:30Z")]
    assert "expected a time as %d.%m.%Y %H:%M" in rejected["reason"].item()
    assert "times carry no zone and were read on the clock of UTC" in file["detected"]


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("Meter,Timestamp,energy_wh", "m1,2021-03-27T10:00:00Z,1500", "unit Wh from the column 'energy_wh'"),
        ("device_id;time;Consumption (kWh)", "m1;2021-03-27T10:00:00Z;1,5", "unit kWh from the column 'Consumption (kWh)'"),
        ("mpan,read_at,value,uom", "m1,2021-03-27T10:00:00Z,3,KW", "unit = 'uom'"),
    ],
)
def test_a_long_file_is_known_by_the_names_of_its_columns(land, header, row, told):
    file, rejected, rows, _ = land(f"{header}\n{row}\n")
    assert rejected.empty
    assert told in file["detected"]
    hours = {"Wh": 1e-3, "kWh": 1, "kW": 0.5}
    assert rows["value"].item() * hours[rows["unit"].item()] == 1.5


def test_a_wide_file_is_known_by_its_time_and_takes_each_column_for_a_meter(land):
    file, rejected, rows, _ = land("time,m1,m2,note\n2021-03-27T10:00:00Z,1,2,\n2021-03-27T10:30:00Z,3,,x\n", 'unit = "kWh"')
    assert rows[["meter_id", "value"]].to_numpy().tolist() == [["m1", 1.0], ["m1", 3.0], ["m2", 2.0]]
    assert "wide layout: 3 columns" in file["detected"]
    assert (rejected["rule"].tolist(), file["rows"]) == (["parse"], 4)


def test_columns_that_cannot_be_told_are_refused(land):
    file, rejected, _, _ = land("a,b,c\n1,2,3\n")
    assert file["status"] == "refused"
    assert "found are 'a', 'b', 'c'; name them in the site file: [[readings]] feed" in file["reason"]
    assert rejected["rule"].tolist() == ["columns"]


def test_a_wide_file_holds_meters_and_measurements(land):
    wide = 'wide = { load_kw = "m4", u = { id = "sensor1", quantity = "voltage", unit = "V" }, air = { id = "bms1", quantity = "temp", unit = "degF" } }'
    _, rejected, rows, measured = land(
        "at,load_kw,u,air\n2021-03-27T10:00:00Z,5,230.1,68\n2021-03-27T10:07:00Z,,231,\n", wide, 'time_column = "at"'
    )
    assert rejected.empty
    assert rows[["meter_id", "unit", "value"]].to_numpy().tolist() == [["m4", "kW", 5.0]]
    assert measured[["device_id", "quantity", "unit", "value"]].to_numpy().tolist() == [
        ["bms1", "temperature", "degF", 68.0], ["sensor1", "voltage", "V", 230.1], ["sensor1", "voltage", "V", 231.0]
    ]  # fmt: skip


# -- Parquet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_parquet_of_text_and_of_types_lands_alike(land, typed, dictionary):
    frame = day_rows_like("2021-03-27T00:00Z", 20)
    table = pa.table({
        "meter": pa.array(frame["meter"]).dictionary_encode() if dictionary else pa.array(frame["meter"]),
        "read_at": pa.array(pd.to_datetime(frame["read_at"], utc=True)) if typed else pa.array(frame["read_at"]),
        "value": pa.array(frame["value"], pa.float32()) if typed else pa.array(frame["value"].astype(str)),
        "unit": pa.array(frame["unit"]),
    })  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(table, sink)
    file, rejected, rows, _ = land(sink.getvalue(), LONG, name="in_{received}.parquet")
    assert rejected.empty
    assert "format parquet" in file["detected"]
    expected = frame.sort_values(["meter", "read_at"])
    assert rows["value"].tolist() == expected["value"].tolist()
    assert rows["source_row"].tolist() == (expected.index + 1).tolist()


def day_rows_like(first: str, rows: int) -> pd.DataFrame:
    stamps = pd.date_range(first, periods=rows // 2, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.DataFrame({"meter": ["m2", "m1"] * (rows // 2), "read_at": np.repeat(stamps, 2), "value": np.arange(rows) / 4, "unit": "kWh"})


# -- kinds and quantities ---------------------------------------------------------------------------------------


def test_registers_are_of_the_day_that_they_close_and_lie_on_the_grid(land):
    lines = ["m1,2021-03-27T00:00:00Z,100,kWh,register", "m1,2021-03-27T00:30:00Z,101,kWh,cumulative", "m1,2021-03-28T00:00:00Z,148,kWh,register",
             "m1,2021-03-27T10:10:00Z,120,kWh,register", "m1,2021-03-27T11:00:00Z,5,kW,register", "m1,2021-03-27T12:00:00Z,1,kWh,interval",
             "m1,2021-03-27T12:30:00Z,1,kWh,", "m1,2021-03-27T13:00:00Z,1,kWh,guess"]  # fmt: skip
    columns = LONG.replace(" }", ', kind = "kind" }')
    _, rejected, rows, _ = land("meter,read_at,value,unit,kind\n" + "\n".join(lines), columns, 'stamp = "end"')
    kinds = rows.set_index("source_row")[["kind", "read_utc", "day"]]
    assert kinds["kind"].to_dict() == {2: "register", 3: "register", 6: "interval", 7: "interval"}
    assert set(kinds["day"]) == {FIRST}  # the read at the end of the day is of the day
    assert kinds.loc[3, "read_utc"] == pd.Timestamp("2021-03-28T00:00Z")
    assert kinds.loc[6, "read_utc"] == pd.Timestamp("2021-03-27T11:30Z")
    told = rejected.set_index("source_row")
    assert told["rule"].to_dict() == {1: "calendar", 4: "clock", 5: "unit", 8: "parse"}
    assert "grid of 30 minutes" in told.loc[4, "reason"]
    assert "a register in kW: expected Wh, kWh, MWh" in told.loc[5, "reason"]


def test_a_declared_kind_holds_for_all_rows(land):
    _, rejected, rows, _ = land(HEADER + "m1,2021-03-27T10:00:00Z,1,kWh\n", LONG, 'kind = "register"')
    assert rejected.empty
    assert rows["kind"].tolist() == ["register"]


def test_other_quantities_become_measurements(land):
    lines = ["sensor1,2021-03-27T10:03:11Z,10.1,kV,voltage", "m1,2021-03-27T10:00:00Z,1,kWh,", "m1,2021-03-27T10:00:00Z,2,kvar,",
             "m1,2021-03-27T10:00:00Z,0.98,-,power_factor", "sensor1,2021-03-27T10:00:00Z,3,kW,", "m1,2021-03-27T10:00:00Z,4,kW,active_power",
             "sensor1,2021-03-27T12:00:00Z,1,V,", "nobody,2021-03-27T10:00:00Z,1,V,", "sensor1,2021-03-27T10:00:00Z,1,pct,",
             "sensor1,2021-03-27T10:00:00Z,1,V,mood", "sensor1,2021-03-27T10:00:00Z,1,kW,voltage"]  # fmt: skip
    columns = LONG.replace(" }", ', quantity = "what" }')
    file, rejected, rows, measured = land("meter,read_at,value,unit,what\n" + "\n".join(lines), columns)
    assert rows[["meter_id", "value", "source_row"]].to_numpy().tolist() == [["m1", 1.0, 2]]
    assert measured.set_index("source_row")["quantity"].to_dict() == {
        1: "voltage", 3: "reactive_power", 4: "power_factor", 5: "active_power", 6: "active_power"
    }  # fmt: skip
    assert measured.set_index("source_row").loc[1, ["value", "unit"]].tolist() == [10.1, "kV"]
    told = rejected.set_index("source_row")
    assert told["rule"].to_dict() == {7: "not_in_force", 8: "unknown_meter", 9: "quantity", 10: "quantity", 11: "unit"}
    assert "device 'sensor1' is not in force at 2021-03-27T12:00:00Z" in told.loc[7, "reason"]
    assert "does not tell what was measured" in told.loc[9, "reason"]
    assert "'kW' is no unit of voltage" in told.loc[11, "reason"]
    assert (file["measurement_days"], file["rows_of_measurement_days"], file["rows_of_days"]) == ("2021-03-27", "5", "1")


def test_power_of_a_meter_is_energy_only_when_the_site_says_so(land, make_site):
    line = json.dumps({"device_id": "m1", "timestamp": "2021-03-27T10:00:00Z", "measurements": {"power": 3.0, "voltage": 230}})
    _, _, rows, measured = land(line, 'measurement_units = { power = "kW" }', 'power_is = "interval_mean"')
    assert rows[["value", "unit", "kind"]].to_numpy().tolist() == [[3.0, "kW", "interval"]]
    assert measured["quantity"].tolist() == ["voltage"]


# -- intervals of another length --------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "said"), [(60, "60 minutes apart"), (15, "15 minutes apart"), (10, "10 minutes apart"), (30, "")])
def test_readings_of_another_interval_are_refused(land, minutes, said):
    stamps = pd.date_range("2021-03-27", periods=23 * 60 // minutes, freq=f"{minutes}min").strftime("%Y-%m-%dT%H:%M:%SZ")
    content = HEADER + "".join(f"m1,{one},{n % 7},kWh\n" for n, one in enumerate(stamps)) + "m2,2021-03-27T10:00:00Z,1,kWh\n"
    file, rejected, rows, _ = land(content, LONG)
    if not said:
        assert (len(rejected), len(rows)) == (0, file["rows"])
        return
    assert rows["meter_id"].tolist() == ["m2"]
    assert set(rejected["rule"]) == {"interval"}
    assert said in rejected["reason"].iloc[0]
    assert "the site's interval is 30 minutes" in rejected["reason"].iloc[0]


def test_a_clock_that_is_minutes_off_is_a_fault_of_the_clock(land):
    stamps = pd.date_range("2021-03-27T00:07", periods=40, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")
    _, rejected, _, _ = land(HEADER + "".join(f"m1,{one},1,kWh\n" for one in stamps), LONG)
    assert set(rejected["rule"]) == {"clock"}


def test_a_declared_interval_that_is_not_the_sites_is_refused(land):
    _, rejected, _, _ = land(HEADER + "m1,2021-03-27T10:00:00Z,1,kWh\n", LONG, "interval_minutes = 15")
    assert rejected["rule"].tolist() == ["interval"]
    assert "readings of 15 minutes, as [[readings]] feed declares" in rejected["reason"].item()


# -- JSON lines -------------------------------------------------------------------------------------------------


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


# -- Green Button -----------------------------------------------------------------------------------------------

ESPI = """<?xml version="1.0"?>{doctype}
<feed xmlns="http://www.w3.org/2005/Atom">
<entry><link rel="self" href="/x/UsagePoint/P1"/><content><UsagePoint xmlns="http://naesb.org/espi"/></content></entry>
<entry><link rel="self" href="/x/UsagePoint/P1/MeterReading/01"/><link rel="related" href="/x/ReadingType/07"/>
<content><MeterReading xmlns="http://naesb.org/espi"/></content></entry>
<entry><link rel="self" href="/x/ReadingType/07"/><content><ReadingType xmlns="http://naesb.org/espi">
<accumulationBehaviour>{accumulation}</accumulationBehaviour><flowDirection>{flow}</flowDirection><intervalLength>{length}</intervalLength>
<powerOfTenMultiplier>{power}</powerOfTenMultiplier><uom>{uom}</uom></ReadingType></content></entry>
<entry><link rel="self" href="/x/UsagePoint/P1/MeterReading/01/IntervalBlock/1"/><content><IntervalBlock xmlns="http://naesb.org/espi">
<interval><duration>3600</duration><start>1616839200</start></interval>
<IntervalReading><timePeriod><duration>{length}</duration><start>1616839200</start></timePeriod><value>250</value></IntervalReading>
<IntervalReading><value>{second}</value></IntervalReading>
</IntervalBlock></content></entry></feed>"""
USUAL = {"doctype": "", "accumulation": 4, "flow": 1, "length": 1800, "power": 0, "uom": 72, "second": 300}
AT = pd.Timestamp(1616839200, unit="s", tz="UTC")


def espi(**changes: object) -> str:
    return ESPI.format(**(USUAL | changes))


def test_green_button_is_read_with_its_reading_type(land):
    file, rejected, rows, _ = land(espi(), 'espi_meters = { P1 = "m1" }', 'stamp = "end"')
    assert rejected.empty
    assert rows[["meter_id", "value", "unit", "kind"]].to_numpy().tolist() == [
        ["m1", 250.0, "Wh", "interval"],
        ["m1", 300.0, "Wh", "interval"],
    ]
    assert rows["read_utc"].tolist() == [AT, AT + pd.Timedelta("30min")]  # the format itself stamps starts
    assert "P1 is m1: Wh, interval, 1800 s" in file["detected"]


@pytest.mark.parametrize(
    ("changes", "value", "unit", "kind"),
    [
        ({"power": 3}, 250.0, "kWh", "interval"),
        ({"power": -1}, 25.0, "Wh", "interval"),
        ({"uom": 38, "power": 6}, 250.0, "MW", "interval"),
        ({"accumulation": 3, "power": 3}, 250.0, "kWh", "register"),
    ],
)
def test_green_button_units_and_kinds(land, changes, value, unit, kind):
    _, rejected, rows, _ = land(espi(**changes), 'espi_meters = { P1 = "m1" }')
    assert rejected.empty
    assert rows.loc[rows["source_row"] == 1, ["value", "unit", "kind"]].to_numpy().tolist() == [[value, unit, kind]]
    assert rows["read_utc"].min() == (AT + pd.Timedelta("30min") if kind == "register" else AT)


def test_green_button_reverse_flow_needs_a_meter_of_its_own(land):
    _, rejected, rows, _ = land(espi(flow=19), 'espi_meters = { P1 = "m1", "P1/reverse" = "g1" }')
    assert (len(rejected), rows["meter_id"].unique().tolist()) == (0, ["g1"])


def test_green_button_faults_are_told(land):
    _, rejected, _, _ = land(espi(flow=19, second="x"), 'espi_meters = { P1 = "m1" }')
    assert rejected["rule"].tolist() == ["unknown_meter", "parse"]
    assert "meter 'P1/reverse' is not in the register" in rejected["reason"].iloc[0]
    assert rejected["raw_text"].iloc[0] == "UsagePoint P1/reverse, start 1616839200, duration 1800, value 250"


def test_green_button_of_another_interval_or_commodity_is_refused(land):
    _, rejected, _, _ = land(espi(length=900), 'espi_meters = { P1 = "m1" }')
    assert rejected["rule"].tolist() == ["interval"] * 2
    assert "a reading of 15 minutes; the site's interval is 30 minutes" in rejected["reason"].iloc[0]


def test_green_button_of_gas_is_refused(land):
    _, rejected, _, _ = land(espi(uom=119), 'espi_meters = { P1 = "m1" }')
    assert rejected["rule"].tolist() == ["unit"] * 2
    assert "unknown unit 'uom 119'" in rejected["reason"].iloc[0]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE feed [<!ENTITY x "y">]>', '<!DOCTYPE feed SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/hostname">]>', '<!DOCTYPE z [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]>',
    ],
)  # fmt: skip
def test_green_button_with_a_document_type_is_refused(land, doctype):
    file, rejected, _, _ = land(espi(doctype=doctype, second="&x;"), 'format = "espi"')
    assert (file["status"], rejected["rule"].tolist()) == ("refused", ["columns"])
    assert "declares a document type" in file["reason"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (espi()[:-40], "unreadable"),
        ("<a>" * 50, "refused"),
        ("<feed/>", "empty"),
        (espi().replace("ReadingType xmlns", "Reading xmlns"), "unreadable"),
    ],
)
def test_green_button_that_is_damaged_is_told(land, content, status):
    assert land(content, 'format = "espi"')[0]["status"] == status


@pytest.mark.parametrize(("name", "days"), [("test_usage_data_01.xml", 1), ("test_usage_data_1.xml", 5)])
def test_green_button_samples_land_whole(shared_data: Path, make_site, name, days):
    """Against the values and times that a plain XML reader finds."""
    made: MadeSite = make_site(
        feed("{received}.xml", 'format = "espi"', 'espi_meters = { 5446AF3F = "m1" }'),
        first="2012-02-28",
        last="2012-03-10",
        zone="America/New_York",
    )
    made.site_file.write_text(made.site_file.read_text().replace("interval_minutes = 30", "interval_minutes = 15"))
    registers = made.site.registers.folder / "meters.csv"
    registers.write_text(registers.read_text().replace("2020-01-01", "2010-01-01"))
    made.site = load_site(made.site_file, {})
    content = (shared_data / "greenbutton_samples" / name).read_bytes()
    made.drop("20120307T120000Z.xml", content)
    made.land(date(2012, 3, 6))
    (file,) = made.lake.read(LANDED_FILES, date(2012, 3, 6)).to_dict("records")
    assert (file["rows"], file["rows_staged"], file["rows_rejected"]) == (96 * days, 96 * days, 0)
    assert len(file["days_touched"].split()) == days
    rows = made.lake.read(LANDED_ROWS, [file["file_id"]])
    found = list(ElementTree.fromstring(content).iter("{http://naesb.org/espi}IntervalReading"))
    expected = {
        pd.Timestamp(int(one.findtext("{*}timePeriod/{*}start")), unit="s", tz="UTC"): float(one.findtext("{*}value")) for one in found
    }  # fmt: skip
    assert dict(zip(rows["read_utc"], rows["value"], strict=True)) == expected
    assert set(rows["unit"]) == {"Wh"}


# -- what a site file may say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((LONG, 'quantity = "voltage"', 'unit = "kW"'), "'kW': no unit of voltage; known are V, mV, kV"),
        ((LONG, 'quantity = "mood"'), "unknown quantity 'mood'"),
        ((LONG, 'unit = "BTU"'), "unknown unit 'BTU'"),
        ((LONG, 'kind = "register"', 'unit = "kW"'), "a register counts energy"),
        ((LONG, 'encoding = "klingon"'), "unknown encoding 'klingon'"),
        ((LONG, 'delimiter = ","', 'decimal = ","'), "is the delimiter already"),
        ((LONG, 'time_format = "dd.mm.yyyy"'), "expected codes such as %d.%m.%Y"),
        (('time_column = "t"', 'wide = { a = "m1", b = "m1" }', 'unit = "kW"'), "the column 'a' stands for it already"),
        (('time_column = "t"', 'wide = { a = "m1" }'), "the unit is not declared"),
        (('format = "parquet"',), "a Parquet file needs columns"),
        ((LONG, 'time_column = "t"', 'wide = { a = "m1" }'), "give either columns"),
    ],
)
def test_a_declaration_that_cannot_be_is_told(make_site, keys, said):
    with pytest.raises(SiteError) as raised:
        make_site(feed("in_{received}.csv", *keys))
    assert said in str(raised.value)


def test_the_same_day_lands_alike_in_every_format(make_site):
    """One day of five meters as long CSV, wide CSV, Parquet and JSON lines: the same energy in the lake."""
    found = {}
    made = make_site(feed("{received}.csv", LONG) + WIDE_FEED + PARQUET_FEED + JSON_FEED)
    rows = day_rows(made.site, FIRST)
    for folder in ("wide", "parquet", "json"):
        (made.site_file.parent / folder).mkdir()
    made.drop(f"{RECEIVED}.csv", as_csv(rows))
    wide = rows.pivot(index="read_at", columns="meter", values="value").reset_index()
    (made.site_file.parent / "wide" / f"{RECEIVED}.csv").write_text(wide.to_csv(index=False))
    rows.to_parquet(made.site_file.parent / "parquet" / f"{RECEIVED}.parquet")
    lines = [
        json.dumps({"device_id": row.meter, "timestamp": row.read_at, "measurements": {"energy": row.value}}) for row in rows.itertuples()
    ]
    (made.site_file.parent / "json" / f"{RECEIVED}.jsonl").write_text("\n".join(lines))
    made.land(FIRST)
    for file in made.lake.read(LANDED_FILES, FIRST).itertuples():
        assert (file.status, file.rows_staged) == ("landed", len(rows))
        staged = made.lake.read(LANDED_ROWS, [file.file_id])
        found[file.input_name] = staged[["meter_id", "read_utc", "value", "unit", "kind"]].to_numpy().tolist()
    assert len(found) == 4
    assert all(one == found["feed"] for one in found.values())


WIDE_FEED = '[[readings]]\nname = "wide"\nfolder = "wide"\npattern = "{received}.csv"\nunit = "kWh"\n'
PARQUET_FEED = f'[[readings]]\nname = "table"\nfolder = "parquet"\npattern = "{{received}}.parquet"\n{LONG}\n'
JSON_FEED = '[[readings]]\nname = "devices"\nfolder = "json"\npattern = "{received}.jsonl"\nmeasurement_units = { energy = "kWh" }\n'


def test_the_examples_of_the_page_of_sites_can_be_loaded(make_site):
    page = (Path(__file__).parents[3] / "docs" / "sites.md").read_text()
    examples = [one for one in re.findall(r"```toml\n(.*?)```", page, re.S) if one.startswith("[[readings]]")]
    assert len(examples) == 4
    assert [one.format for one in make_site("\n".join(examples)).site.readings] == ["csv", None, "json_lines", "espi"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data_set", "name", "column", "unit", "first"),
    [
        ("zonnedael_meters", "interval_15min", "energy_wh", "Wh", "2013-04-01"),
        ("edrp_meters", "interval_30min", "energy_kwh", "kWh", "2009-03-29"),
        ("lcl_dtou", "two_households_30min", "energy_kwh", "kWh", "2013-03-31"),
    ],
)
def test_real_archives_are_declared_by_their_columns_alone(shared_data: Path, data_set, name, column, unit, first):
    source = ReadingsInput(  # type: ignore[call-arg]
        name="real", folder=Path("."), pattern="x", arrival="archive",
        columns={"meter_id": "meter_id", "read_utc": "timestamp_utc", "value": column},  # type: ignore[arg-type]
    )  # fmt: skip
    path = shared_data / data_set / f"{name}.parquet"
    cells = read_cells(path.read_bytes(), source, name)
    frame = pd.read_parquet(path)
    assert cells.unit_detected == unit
    zone = ZoneInfo("Europe/Amsterdam" if unit == "Wh" else "Europe/London")
    day = date.fromisoformat(first)
    clock = SiteCalendar(zone, 15 if unit == "Wh" else 30, day, day, 9, 2)
    register = pd.DataFrame(
        {"meter_id": sorted(set(frame["meter_id"].astype(str))), "valid_from_utc": pd.Timestamp("2000-01-01", tz="UTC")}
    )
    known = KnownSubjects.of(register.assign(valid_to_utc=pd.to_datetime([None] * len(register), utc=True)), "meter_id")
    judged = judge(
        cells, source, Rules(clock, SiteDays.of(clock, day), known, KnownSubjects.of(DEVICES.empty().to_pandas(), "device_id")), None
    )
    wanted = frame["timestamp_utc"].dt.tz_convert(zone.key).dt.date == day
    kept = (judged.day_index == 0) & ~judged.refusals.failed
    assert kept.sum() == (wanted & frame[column].notna()).sum() > 90
    assert judged.value[kept].sum() == pytest.approx(frame.loc[wanted, column].astype(float).sum())
