"""Green Button (ESPI) XML."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from grid_assets.foundation.site import load_site
from grid_assets.metering.tables import LANDED_FILES, LANDED_ROWS
from grid_assets_tests.metering.arrival.conftest import feed
from grid_assets_tests.metering.conftest import MadeSite

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
