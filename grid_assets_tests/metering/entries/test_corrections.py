"""What people enter by hand: corrections and outages, read row by row and added to safely."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.metering.entries.corrections import COLUMNS, OWN_FILE, Correction, CorrectionError, enter_correction, read_corrections
from grid_assets.metering.entries.outages import read_outages
from grid_assets.metering.tables import CORRECTIONS, OUTAGE_EVENTS

CLOCK = SiteCalendar(ZoneInfo("Europe/London"), 30, date(2021, 3, 1), date(2021, 4, 30), 9, 2)
HEADER = ",".join(COLUMNS) + "\n"
GOOD = "c1,m1,2021-03-27T10:00:00Z,2021-03-27T11:00:00Z,replace,0.25,ann,2021-03-28T08:00:00Z,read on site\n"
NOW = datetime(2021, 3, 29, 8, tzinfo=UTC)


def correction(**changes) -> Correction:
    made = Correction(
        "m1", datetime(2021, 3, 27, 10, tzinfo=UTC), datetime(2021, 3, 27, 11, tzinfo=UTC), "replace", "ann", "read on site", NOW, 0.25
    )
    return replace(made, **changes)


def test_a_correction_over_midnight_is_in_both_days_and_the_columns_are_the_tables(tmp_path: Path):
    row = "c1,m1,2021-03-27T23:30:00Z,2021-03-28T00:30:00Z,reject,,ann,2021-03-29T08:00:00+01:00,meter was on the bench\n"
    (tmp_path / "a.csv").write_text("# by the back office\n" + HEADER + row)
    made = read_corrections(tmp_path, CLOCK)
    assert made.refused == []
    assert [len(made.of_day(CLOCK, date(2021, 3, day))) for day in (26, 27, 28, 29)] == [0, 1, 1, 0]
    (stored,) = CORRECTIONS.conform(made.rows).to_pylist()
    assert (stored["source_file"], stored["source_row"], stored["energy_kwh"]) == ("a.csv", 1, None)
    assert stored["entered_utc"] == datetime(2021, 3, 29, 7, tzinfo=UTC)
    assert CORRECTIONS.conform(read_corrections(None, CLOCK).rows).num_rows == 0


BAD = {
    "too,few\n": "2 values where the header names 9",
    'c2,m1,2021-03-27T10:00:00Z,2021-03-27T11:00:00Z,reject,,ann,2021-03-28T08:00:00Z,"open\n': "quotation mark",
    GOOD: "is already in a.csv, line 2",
    GOOD.replace("c1", "c3").replace("m1", "m9"): "not in the register",
    GOOD.replace("c1", "c4").replace("10:00:00Z", "10:00:00"): "with its offset",
    GOOD.replace("c1", "c5").replace("T11", "T09"): "after start_utc",
    GOOD.replace("c1", "c6").replace("T11:00", "T11:10"): "edge of an interval of 30 minutes",
    GOOD.replace("c1", "c7").replace("replace", "improve"): "expected one of replace, reject, accept",
    GOOD.replace("c1", "c8").replace("0.25", ""): "energy of each interval",
    GOOD.replace("c1", "c9").replace("0.25", "nan"): "finite",
    GOOD.replace("c1", "c10").replace("replace", "accept"): "only replace takes an energy",
    GOOD.replace("c1", "c11").replace("ann", ""): "author is empty",
    GOOD.replace("c1", "c12").replace("2021-03-28", "9999-03-28"): "entered_utc",
}


@pytest.mark.parametrize(("bad", "said"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_row_is_refused_with_line_and_reason_and_costs_no_good_one(tmp_path: Path, bad: str, said: str):
    (tmp_path / "a.csv").write_text(HEADER + GOOD + "# a remark\n" + bad + GOOD.replace("c1", "last"))
    made = read_corrections(tmp_path, CLOCK, {"m1"})
    assert sorted(made.rows["correction_id"]) == ["c1", "last"]
    (refused,) = made.refused
    assert (refused.file, refused.line) == ("a.csv", 4)
    assert said in refused.reason
    assert refused.text == bad.strip()[:120]


def test_bytes_that_are_no_text_cost_one_row_and_a_wrong_header_one_file(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes((HEADER + GOOD).encode() + GOOD.replace("read on site", "Zähler").encode("latin-1"))
    (tmp_path / "b.csv").write_text(HEADER.replace("author", "autor") + GOOD.replace("c1", "c2"))
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + GOOD.replace("c1", "c3")).replace("\n", "\r\n").encode())
    made = read_corrections(tmp_path, CLOCK)
    assert sorted(made.rows["correction_id"]) == ["c1", "c3"]
    assert [(one.file, one.line) for one in made.refused] == [("a.csv", 3), ("b.csv", 1)]
    assert "not UTF-8" in made.refused[0].reason
    assert "autor" in made.refused[1].reason


def test_files_that_are_no_csv_are_told(tmp_path: Path):
    (tmp_path / "a.CSV").write_text(HEADER + GOOD)
    (tmp_path / "b.xlsx").write_bytes(b"PK")
    (tmp_path / ".lock").write_text("")
    made = read_corrections(tmp_path, CLOCK)
    assert made.rows["correction_id"].tolist() == ["c1"]
    assert [str(one) for one in made.refused] == ["b.xlsx: is not named .csv; no row of this file counts"]


def test_a_folder_that_is_not_there_is_told_but_the_first_correction_makes_its_own(tmp_path: Path):
    (refused,) = read_outages(tmp_path / "outtages").refused
    assert str(refused).startswith("outtages: the folder that the site file names does not exist")
    none_yet = read_corrections(tmp_path / "corrections", CLOCK)
    assert (len(none_yet.rows), none_yet.refused) == (0, [])


def test_entering_adds_a_row_and_says_which_days_it_touches(tmp_path: Path):
    folder = tmp_path / "corrections"
    assert enter_correction(folder, correction(), CLOCK, {"m1"}) == [date(2021, 3, 27)]
    longer = correction(action="reject", energy_kwh=None, end_utc=datetime(2021, 3, 28, 23, tzinfo=UTC), reason='swapped, says "Bob"')
    assert enter_correction(folder, longer, CLOCK) == [date(2021, 3, 27), date(2021, 3, 28)]
    made = read_corrections(folder, CLOCK, {"m1"})
    assert made.refused == []
    assert set(made.rows["reason"]) == {"read on site", 'swapped, says "Bob"'}
    with pytest.raises(CorrectionError, match="entered already"):
        enter_correction(folder, correction(), CLOCK)
    with pytest.raises(CorrectionError, match=r"m7.*register.*only replace takes"):
        enter_correction(folder, correction(meter_id="m7", action="accept"), CLOCK, {"m1"})
    with pytest.raises(CorrectionError, match="line break"):
        enter_correction(folder, correction(reason="two\nlines"), CLOCK)
    assert len(read_corrections(folder, CLOCK).rows) == 2


def test_a_file_of_ones_own_is_not_written_into(tmp_path: Path):
    (tmp_path / OWN_FILE).write_text("meter,energy\n")
    with pytest.raises(CorrectionError, match="header"):
        enter_correction(tmp_path, correction(), CLOCK)
    assert (tmp_path / OWN_FILE).read_text() == "meter,energy\n"


def test_several_writers_at_once_lose_no_correction(tmp_path: Path):
    moments = [NOW + timedelta(seconds=n) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda moment: enter_correction(tmp_path, correction(entered_utc=moment), CLOCK), moments))
    made = read_corrections(tmp_path, CLOCK)
    assert made.rows["entered_utc"].tolist() == [pd.Timestamp(moment) for moment in moments]
    assert [one.name for one in tmp_path.iterdir() if one.name not in (OWN_FILE, ".lock")] == []


LINES = st.one_of(
    st.sampled_from([GOOD.strip(), GOOD.replace("c1", "c2").strip(), "# remark", "", "a,b", GOOD.strip()[:40]]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=60),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_every_line_counts_or_is_refused(tmp_path_factory, lines: list[str]):
    folder = tmp_path_factory.mktemp("entries")
    (folder / "a.csv").write_bytes((HEADER + "\n".join(lines)).encode())
    made = read_corrections(folder, CLOCK)
    told = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(made.rows) + len(made.refused) == len(told)
    assert CORRECTIONS.conform(made.rows).num_rows == len(made.rows)


def test_outages_of_meters_and_nodes_and_their_ends(tmp_path: Path):
    (tmp_path / "oms.csv").write_text(
        "outage_id,meter_id,node_id,start_utc,end_utc,cause\n"
        "o1,,f1,2021-03-27T10:05:00Z,,storm\n"
        "o2,m1,,2021-03-26T23:00:00Z,2021-03-27T00:00:00Z,fuse\n"
        "o3,m1,f1,2021-03-26T23:00:00Z,,\n"
        "o4,,f9,2021-03-26T23:00:00Z,,\n"
        "o1,,f1,2021-03-27T10:05:00Z,2021-03-28T10:00:00Z,storm\n"
        "o5,m1,,2021-03-28T12:00:00Z,2021-03-28T11:00:00Z,\n"
    )
    made = read_outages(tmp_path, {"m1"}, {"f1"})
    assert [one.line for one in made.refused] == [4, 5, 7]
    assert made.replaced == 1
    days = [made.of_day(CLOCK, date(2021, 3, day))["outage_id"].tolist() for day in (26, 27, 28, 29)]
    assert days == [["o2"], ["o1"], ["o1"], []]
    stored = OUTAGE_EVENTS.conform(made.rows).to_pylist()
    assert [(one["meter_id"], one["node_id"], one["source_row"]) for one in stored] == [(None, "f1", 5), ("m1", None, 2)]


def test_an_outage_without_an_end_touches_every_day_after_its_start(tmp_path: Path):
    (tmp_path / "oms.csv").write_text("outage_id,node_id,start_utc\no1,f1,2021-03-27T10:05:00Z\n")
    made = read_outages(tmp_path)
    assert [len(made.of_day(CLOCK, date(2021, 3, day))) for day in (26, 27, 28)] == [0, 1, 1]
    assert OUTAGE_EVENTS.conform(made.of_day(CLOCK, date(2021, 4, 30))).num_rows == 1


def test_an_outage_that_somebody_forgot_to_end_is_named(tmp_path: Path):
    (tmp_path / "oms.csv").write_text(
        "outage_id,meter_id,node_id,start_utc,end_utc\no1,,f1,2021-03-20T10:05:00Z,\no2,m1,,2021-03-27T10:05:00Z,\n"
        "o3,m1,,2021-03-01T00:00:00Z,2021-03-02T00:00:00Z\n"
    )
    made = read_outages(tmp_path)
    assert made.open_for_long(CLOCK, date(2021, 3, 27), 7) == [
        "oms.csv, row 1: o1 of f1 has no end, open for 7 days; add a row of this outage with its end_utc"
    ]
    assert made.open_for_long(CLOCK, date(2021, 3, 26), 7) == []
    assert len(made.open_for_long(CLOCK, date(2021, 4, 26), 7)) == 2
