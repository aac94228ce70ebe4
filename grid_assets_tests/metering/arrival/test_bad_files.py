"""Files that no head-end should send and every head-end does: what is wrong is told with its place, the rest proceeds."""

from __future__ import annotations

import gzip
import io
import resource
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.registers import METERS, RegisterError, read_register
from grid_assets.metering.accounting import landing_faults
from grid_assets.metering.arrival import csv_files, file_formats
from grid_assets.metering.arrival.cells import FileEmpty, FileRefused, FileUnreadable
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.landing import faults_of_files, files_of_no_day, summary
from grid_assets.metering.tables import LANDED_FILES, LANDED_ROWS, REJECTED_READINGS
from grid_assets_tests.metering.conftest import FIRST, METERS_CSV, as_csv, day_rows

NAME = "reads_20210328T050000Z.csv"
HEADER = "meter,read_at,value,unit\n"


def row(meter: str = "m1", hour: int = 10, value: object = 1.5, minute: int = 0) -> str:
    return f"{meter},2021-03-27T{hour:02}:{minute:02}:00Z,{value},kWh\n"


@pytest.fixture
def land(made):
    """Lands one file: its row, its refused rows and its staged rows."""

    def landing(content: str | bytes, name: str = NAME):
        made.drop(name, content)
        made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        (file,) = made.lake.read(LANDED_FILES, FIRST).to_dict("records")
        rows = made.lake.read(LANDED_ROWS, [file["file_id"]]).sort_values("source_row")
        return file, made.lake.read(REJECTED_READINGS, FIRST), rows

    return landing


# -- a header in the middle -------------------------------------------------------------------------------------


def test_a_new_header_is_followed(land):
    content = HEADER + row(value=1) + "unit,value,read_at,meter\n" + "kWh,2,2021-03-27T10:30:00Z,m1\n" + "kWh,x,2021-03-27T11:00:00Z,m1\n"
    file, rejected, rows = land(content)
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.0], [3, 2.0]]
    assert rejected[["source_row", "rule", "raw_text"]].to_numpy().tolist() == [[4, "parse", "kWh,x,2021-03-27T11:00:00Z,m1"]]
    assert "from row 3 on another header: unit, value, read_at, meter" in file["detected"]
    assert file["rows"] == 3


def test_a_new_header_with_more_columns_is_followed(land):
    content = HEADER + row(value=1) + "id,meter,read_at,note,value,unit\n" + "7,m1,2021-03-27T10:30:00Z,ok,2,kWh\n"
    file, rejected, rows = land(content)
    assert (rows["value"].tolist(), len(rejected)) == ([1.0, 2.0], 0)
    assert "from row 3 on another header" in file["detected"]


def test_the_same_header_again_is_no_row(land):
    file, rejected, rows = land((HEADER + row(value=1)) + (HEADER + row(hour=11, value=2)) * 2)
    assert (rows["value"].tolist(), len(rejected), file["rows"]) == ([1.0, 2.0, 2.0], 0, 3)
    assert "row 2 repeats the header" in file["detected"]


def test_the_same_header_between_rows_of_other_headers_ends_their_rule(land):
    turned = "unit,value,read_at,meter\n"
    parts = [HEADER, row(value=1), HEADER, row(hour=11, value=2), turned, "kWh,3,2021-03-27T12:00:00Z,m1\n", turned,
             "kWh,4,2021-03-27T13:00:00Z,m1\n", HEADER, row(hour=14, value=5), HEADER, row(hour=15, value=6)]  # fmt: skip
    file, rejected, rows = land("".join(parts))
    assert (rows["value"].tolist(), len(rejected)) == ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0)
    assert rows["source_row"].tolist() == [1, 3, 5, 7, 9, 11]
    for said in ("from row 5 on another header: unit", "from row 9 on another header: meter", "row 2 repeats the header, and 2 "):
        assert said in file["detected"]


@pytest.mark.parametrize("headers", [[HEADER], [HEADER, "unit,value,read_at,meter\n"]])
def test_many_headers_cost_no_parse_of_the_rest_each(made, headers, monkeypatch):
    parsed, bytes_parsed = csv_files._parsed, []

    def counting(block, *others):
        bytes_parsed.append(block.size)
        return parsed(block, *others)

    monkeypatch.setattr(csv_files, "_parsed", counting)
    lines = {HEADER: row(), "unit,value,read_at,meter\n": "kWh,1.5,2021-03-27T10:00:00Z,m1\n"}
    content = "".join(one + lines[one] * 5 for n in range(200) for one in headers) + HEADER + row("m2") * 10_000
    cells = read_cells(content.encode(), made.site.readings[0], "x.csv")
    assert len(cells) == 1000 * len(headers) + 10_000
    assert sum(bytes_parsed) < 4 * len(content)


def test_a_second_file_with_its_byte_order_mark_joined_to_the_first_is_read(land):
    content = "\ufeff" + HEADER + row(value=1) + "\ufeff" + HEADER + row("m2", value=2) + "\ufeff" + row("m3", value=3)
    file, rejected, rows = land(content)
    assert (rows[["meter_id", "value"]].to_numpy().tolist(), len(rejected)) == ([["m1", 1.0], ["m2", 2.0], ["m3", 3.0]], 0)
    assert "row 2 repeats the header" in file["detected"]


def test_an_id_is_known_without_the_blanks_around_it_whatever_stands_elsewhere(land):
    _, rejected, rows = land(HEADER + row(" m1 ") + row("m2 "))
    assert (rows["meter_id"].tolist(), len(rejected)) == (["m1", "m2"], 0)


@pytest.mark.parametrize("header", ["meter,read_at,volts,unit\n", "meter,when,volts,value\n", "meter,unit\n"])
def test_rows_under_a_header_that_lacks_a_column_are_quarantined_up_to_one_that_has_it(land, header):
    under = "m1,2021-03-27T10:30:00Z,230,kWh\n" * 2
    file, rejected, rows = land(HEADER + row(value=1) + header + under + HEADER + row(hour=12, value=3))
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.0], [6, 3.0]]
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[3, "columns"], [4, "columns"]]
    assert "the header changes at row 2 and names no column" in rejected["reason"].iloc[0]
    assert rejected["raw_text"].tolist() == ["m1,2021-03-27T10:30:00Z,230,kWh"] * 2
    assert "row 2 is a header without" in file["detected"]


def test_words_that_name_no_columns_are_a_bad_row_and_no_header(land):
    _, rejected, rows = land(HEADER + row(value=1) + "total,of,the,day\nn/a,n/a,n/a,n/a\n" + row(hour=11, value=2))
    assert rows["value"].tolist() == [1.0, 2.0]
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[2, "parse"], [3, "parse"]]


# -- bytes ------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_text_spoil_their_rows_only(land):
    content = (HEADER + row(value=1)).encode() + b"m\xe41,2021-03-27T10:30:00Z,2,kWh\n\n" + row(hour=11, value=3).encode()
    content += b"m2,2021-03-27T10:30:00Z,\x004,kWh\r\n" + row(hour=12, value=5).encode() + "m\ufffd,2021-03-27T10:30:00Z,6,kWh\n".encode()
    file, rejected, rows = land(content)
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.0], [3, 3.0], [5, 5.0]]
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[2, "encoding"], [4, "encoding"], [6, "encoding"]]
    assert rejected["raw_text"].tolist()[:2] == ["m\\xe41,2021-03-27T10:30:00Z,2,kWh", "m2,2021-03-27T10:30:00Z,\\x004,kWh"]
    assert "a byte of zero" in rejected["reason"].iloc[1]
    assert file["rows"] == 6


def test_a_carriage_return_within_a_row_ends_it_and_no_other(land):
    content = (
        HEADER + row(value=1) + "m1,2021-03-27T10:30\r:00Z,2,kWh\r\n" + "unit,value,read_at,meter\r\n" + "kWh,3,2021-03-27T11:00:00Z,m1\r\n"
    )
    file, rejected, rows = land(content)
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.0], [5, 3.0]]
    assert rejected[["source_row", "raw_text"]].to_numpy().tolist() == [[2, "m1,2021-03-27T10:30"], [3, ":00Z,2,kWh"]]
    assert file["rows"] == 4


def test_a_tail_of_zeros_is_one_bad_row(land):
    file, rejected, rows = land((HEADER + row(value=1)).encode() + b"\0" * 5_000)
    assert (file["rows"], len(rows), rejected["rule"].tolist()) == (2, 1, ["encoding"])
    assert len(rejected["raw_text"].item()) == 500


def test_a_truncated_gzip_is_refused_whole(land):
    whole = as_csv(
        pd.DataFrame({"meter": "m1", "read_at": "2021-03-27T10:00:00Z", "value": np.random.default_rng(1).random(5000), "unit": "kWh"})
    )
    packed = gzip.compress(whole, mtime=0)
    file, rejected, rows = land(packed[: len(packed) // 2], NAME + ".gz")
    assert (file["status"], file["rows"], len(rows)) == ("unreadable", 0, 0)
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[0, "unreadable"]]
    assert "the gzip file is damaged or cut off" in file["reason"]
    file, _, _ = land(packed[:-8] + b"\0" * 8, NAME + ".gz")  # whole, but its check sum is not its own
    assert file["status"] == "unreadable"


def test_a_gzip_of_several_members_is_read_whole_and_one_that_unpacks_beyond_all_memory_is_not(land, monkeypatch):
    parts = [HEADER + row(value=1), row(hour=11, value=2)]
    _, _, rows = land(b"".join(gzip.compress(one.encode(), mtime=0) for one in parts) + b"\0" * 20, NAME + ".gz")
    assert rows["value"].tolist() == [1.0, 2.0]
    monkeypatch.setattr(file_formats, "LARGEST", 1000)
    with pytest.raises(FileUnreadable, match="unpacks to more than"):
        read_cells(gzip.compress(b"x" * 10_000), ReadingsInput(name="a", folder=Path("."), pattern="{received}"), "x")  # type: ignore[call-arg]


@pytest.mark.parametrize("content", ["", "\ufeff", HEADER, HEADER.strip(), "\ufeff" + HEADER, " \n\n", "\0" * 5000])
def test_a_file_without_rows_is_empty(land, content):
    file, rejected, _ = land(content)
    assert (file["status"], file["rows"], len(rejected)) == ("empty", 0, 0)


# -- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meter", ["../../etc/x", '"a""b"', "'; drop table", "a" * 5000, "m 1", "\u202em1", "M1", "<b>"])
def test_an_odd_id_is_of_an_unknown_meter_and_harms_nothing(land, meter):
    _, rejected, rows = land(HEADER + row(value=1) + row(meter, 11) + row(hour=12, value=2))
    assert rows["value"].tolist() == [1.0, 2.0]
    assert rejected["rule"].tolist() == ["unknown_meter"]
    assert len(rejected["reason"].item()) < 300


def test_an_id_with_a_line_end_in_quotes_spoils_its_lines_only(land):
    file, rejected, rows = land(HEADER + row(value=1) + '"m\n1",2021-03-27T11:00:00Z,1,kWh\n' + row(hour=12, value=2))
    assert rows["value"].tolist() == [1.0, 2.0]
    assert (rejected["rule"].tolist(), file["rows"]) == (["parse", "unknown_meter"], 4)


def test_an_enormous_line_hides_nothing_and_takes_little_memory(land):
    size = 100_000_000
    content = (HEADER + row(value=1) + "m1,2021-03-27T10:30:00Z,").encode() + b"9" * size + b",kWh\n" + row(hour=12, value=2).encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file, rejected, rows = land(content)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert rows[["source_row", "value"]].to_numpy().tolist() == [[1, 1.0], [3, 2.0]]
    assert rejected[["source_row", "rule"]].to_numpy().tolist() == [[2, "parse"]]
    assert f"the row has {size + 29} bytes" in rejected["reason"].item()
    assert (rejected["raw_text"].str.len().item(), file["rows"]) == (500, 3)
    assert taken < 3 * size


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_enormous_last_line_is_told(land, end):
    file, rejected, rows = land((HEADER + row(value=1)).encode() + b"9" * 2_000_000 + end)
    assert (len(rows), file["rows"], rejected["source_row"].tolist()) == (1, 2, [2])


def test_blocks_meet_without_a_seam(made, monkeypatch):
    """A file read in blocks of a few rows is read like one that is read at once, broken rows and new headers included."""
    lines = [row("m1", n % 24, n, 30 * (n % 2)) for n in range(60)]
    lines[7] = "m1,half\n"
    lines[20] = "\n"
    lines[31] = '"m1",2021-03-27T10:30:00Z,"1","kWh"\n'
    lines[40:40] = ["unit,value,read_at,meter\n", "kWh,3,2021-03-27T10:30:00Z,m1\n", HEADER, "m\xff,2021-03-27T10:30:00Z,1,kWh\n", "\r\n"]
    content = (HEADER + "".join(lines)).encode("latin-1")
    source = made.site.readings[0]

    def read() -> tuple:
        cells = read_cells(content, source, "x")
        values = [cells.value[i].as_py() for i in range(len(cells))]
        texts = [cells.raw_text(int(one)) for one in cells.source_row]
        return cells.source_row.tolist(), values, [cells.subject.text(i) for i in range(len(cells))], texts, cells.broken, cells.detected

    whole = read()
    assert len(whole[0]) == 59
    assert all(text.split(",")[2].strip('"') == value or text.startswith("kWh,3") for text, value in zip(whole[3], whole[1], strict=True))
    for size in (1, 40, 100, 333, 1000):
        monkeypatch.setattr(csv_files, "BLOCK", size)
        assert read() == whole


# -- days -------------------------------------------------------------------------------------------------------


def test_a_file_of_the_wrong_year_is_quarantined_and_a_day_without_a_file_lands_nothing(made):
    rows = day_rows(made.site, FIRST).assign(read_at=lambda one: one["read_at"].str.replace("2021", "2019"))
    made.drop(NAME, as_csv(rows))
    landings = made.land(FIRST, date(2021, 3, 28))
    assert [len(one.files) for one in landings.values()] == [1, 0]
    figures = summary(landings[FIRST].files, landings[FIRST].rejected)
    assert (figures["rejected_calendar"], figures["rows_staged"], figures["files_landed"]) == (240, 0, 1)
    assert (
        faults_of_files(made.lake.read(LANDED_FILES, FIRST)) == f"{NAME}: none of its 240 rows could be taken over; see rejected_readings"
    )
    assert made.lake.read(LANDED_FILES, date(2021, 3, 28)).empty
    assert landing_faults(made.lake, date(2021, 3, 28)) == ""
    assert files_of_no_day(made.site, made.lake) == []


def test_every_reason_is_counted(made):
    made.drop(NAME, HEADER + row(value="x") + row("m9") + row("m9", 11) + row(minute=7) + row(value=2))
    landing = made.land(FIRST)[FIRST]
    figures = summary(landing.files, landing.rejected)
    assert {key: value for key, value in figures.items() if key.startswith("rejected_")} == {
        "rejected_clock": 1, "rejected_parse": 1, "rejected_unknown_meter": 2
    }  # fmt: skip
    assert (figures["rows"], figures["rows_staged"], figures["rows_rejected"]) == (5, 1, 4)


def test_a_meter_that_is_registered_at_two_places_at_once_is_an_error_that_names_both_lines(tmp_path):
    again = "m2,load,f2,,residential,10,,false,2020-06-01T00:00:00Z,\n"
    (tmp_path / "meters.csv").write_text(METERS_CSV + again)
    with pytest.raises(RegisterError, match=r"meters.csv, line 8: .*meter 'm2' is still in force on line 3"):
        read_register(tmp_path, METERS)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_of_any_format_are_told_or_taken_and_nothing_else(made, seed):
    """Bytes changed, cut and doubled at random: a file is read, or told to be empty, refused or unreadable; nothing else is raised."""
    rng = np.random.default_rng(seed)
    sink = io.BytesIO()
    day_rows(made.site, FIRST).to_parquet(sink)
    line = '{"device_id":"m1","timestamp":"2021-03-27T10:00:00Z","measurements":{"energy":{"value":1,"unit":"kWh"},"voltage":{"l1":230}}}\n'
    feed = '<feed><entry><link rel="self" href="/UsagePoint/1/MeterReading/1/IntervalBlock/1"/><content><IntervalBlock>' \
        "<IntervalReading><timePeriod><start>1616839200</start></timePeriod><value>5</value></IntervalReading></IntervalBlock></content></entry></feed>"  # fmt: skip
    whole = [
        as_csv(day_rows(made.site, FIRST))[:2000],
        (line * 9).encode(),
        sink.getvalue(),
        feed.encode(),
        gzip.compress(line.encode() * 50),
    ]
    source = made.site.readings[0]
    for _ in range(60):
        data = bytearray(whole[rng.integers(len(whole))])
        for at in rng.integers(0, len(data), rng.integers(0, 6)).tolist():
            data[at : at + int(rng.integers(0, 3))] = [b"\r", b"\n", b"\0", b"\xff", b'"', b"unit,value,read_at,meter\n", data[:40]][
                rng.integers(7)
            ]
        try:
            cells = read_cells(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]), source, "x")
        except (FileEmpty, FileRefused, FileUnreadable) as told:
            assert str(told).startswith("x: ")  # noqa: PT017
        else:
            texts = [cells.raw_text(int(one)) for one in cells.source_row]
            assert len(texts) == len(cells) == len(cells.value)
            assert max(map(len, texts), default=0) <= 500
