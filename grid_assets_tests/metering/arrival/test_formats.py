"""Every format in which readings arrive, what the site file declares of it, and what is told from the file."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.registers import DEVICES
from grid_assets.foundation.site import SiteError
from grid_assets.metering.arrival.arrival_rules import Rules, SiteDays, judge
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.tables import LANDED_FILES, LANDED_ROWS
from grid_assets_tests.metering.arrival.conftest import HEADER, LONG, RECEIVED, feed
from grid_assets_tests.metering.conftest import FIRST, as_csv, day_rows

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
