"""Every kind of bad file and row: what is refused is told with its place, the rest goes on, every row is accounted for."""

from __future__ import annotations

import gzip
import io
import shutil
from datetime import date

import pandas as pd
import pytest

from grid_assets.metering.accounting import day_faults, faults_of_landing, landing_faults
from grid_assets.metering.arrival import landing, landing_folders
from grid_assets.metering.arrival.arrivals import ArrivalError
from grid_assets.metering.arrival.landing import EmptyRegister, files_frame, files_of_no_day, land_days, rejected_frame
from grid_assets.metering.tables import LANDED_FILES, LANDED_ROWS, REJECTED_READINGS
from grid_assets_tests.metering.conftest import FEED, FIRST, LAST, as_csv, day_rows

NAME = "reads_20210328T050000Z.csv"  # arrives on the morning after the first day
HEADER = "meter,read_at,value,unit\n"
GOOD = "m1,2021-03-27T10:00:00Z,1.5,kWh\n"


def landed_one(made, content, name=NAME):
    """Lands one file; returns its row, its refused rows and its staged rows."""
    made.drop(name, content)
    landing = made.land(FIRST)[FIRST]
    assert landing_faults(made.lake, FIRST) == ""
    files = made.lake.read(LANDED_FILES, FIRST)
    assert len(files) == 1
    return files.iloc[0], made.lake.read(REJECTED_READINGS, FIRST), made.lake.read(LANDED_ROWS, list(landing.staged))


@pytest.mark.parametrize(
    ("row", "rule", "said"),
    [
        ("m1,2021-03-27T10:30:00Z,1.5", "parse", "3 cells, the header 4"),
        ("m1,2021-03-27T10:30:00Z,1.5,kWh,x", "parse", "5 cells"),
        ("m1,2021-03-27T10:30:00Z,abc,kWh", "parse", "no finite number"),
        ("m1,2021-03-27T10:30:00Z,,kWh", "parse", "no finite number"),
        ("m1,2021-03-27T10:30:00Z,inf,kWh", "parse", "no finite number"),
        ("m1,2021-03-27T10:30:00Z,nan,kWh", "parse", "no finite number"),
        ("m1,2021-03-27T10:30:00Z,1e999,kWh", "parse", "no finite number"),
        ("m1,yesterday at noon,1.5,kWh", "parse", "no time"),
        ("m1,2021-02-30T10:30:00Z,1.5,kWh", "parse", "no time"),
        ("m1,,1.5,kWh", "parse", "no time"),
        ("m1,2021-03-27T10:30:00Z,1.5,BTU", "unit", "unknown unit 'BTU'; known are"),
        ("m1,2021-03-27T10:30:00Z,1.5,", "unit", "unknown unit ''"),
        ("m9,2021-03-27T10:30:00Z,1.5,kWh", "unknown_meter", "not in the register"),
        ("old,2021-03-27T10:30:00Z,1.5,kWh", "not_in_force", "not in force"),
        ("../../etc/passwd,2021-03-27T10:30:00Z,1.5,kWh", "unknown_meter", "not in the register"),
        ('"m""1",2021-03-27T10:30:00Z,1.5,kWh', "unknown_meter", 'm"1'),
        ("m1,2020-03-27T10:30:00Z,1.5,kWh", "calendar", "2021-03-27 to 2021-03-29"),
        ("m1,2021-03-26T23:30:00Z,1.5,kWh", "calendar", "outside the site's days"),
        ("m1,2021-03-28T05:30:00Z,1.5,kWh", "clock", "ends after the arrival"),
        ("m1,2021-03-28T05:00:00Z,1.5,kWh", "clock", "ends after the arrival"),
        ("m1,2021-03-27T10:30:01Z,1.5,kWh", "clock", "grid of 30 minutes"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_place_and_the_rest_goes_on(made, row, rule, said):
    file, rejected, staged = landed_one(made, HEADER + GOOD + row + "\n\n" + GOOD.replace("10:00", "11:00"))
    assert (file["status"], file["rows"], file["rows_staged"], file["rows_rejected"]) == ("landed", 3, 2, 1)
    (refused,) = rejected.itertuples()
    assert (refused.rule, refused.source_row, refused.source_file, refused.raw_text) == (rule, 2, NAME, row)
    assert said in refused.reason
    assert staged["source_row"].tolist() == [1, 3]
    assert staged["value"].tolist() == [1.5, 1.5]


def test_a_missing_column_is_refused_and_says_which_key_to_fix(made):
    file, rejected, _ = landed_one(made, "meter,read_at,kwh,unit\n" + GOOD)
    assert file["status"] == "refused"
    for said in ("'value'", "'kwh'", "columns.value", "[[readings]] feed"):
        assert said in file["reason"]
    assert rejected[["rule", "source_row"]].to_numpy().tolist() == [["columns", 0]]


@pytest.mark.parametrize("content", [b"", b"\n\n", HEADER.encode(), gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_listed_as_empty(made, content):
    file, rejected, _ = landed_one(made, content)
    assert (file["status"], file["rows"], len(rejected)) == ("empty", 0, 0)


def test_two_empty_files_on_one_day_are_two_files(made):
    made.drop(NAME, b"")
    made.drop("reads_20210328T060000Z.csv", b"")
    made.land(FIRST)
    assert made.lake.read(LANDED_FILES, FIRST)["status"].tolist() == ["empty", "empty"]


def test_a_truncated_gzip_is_unreadable(made):
    whole = as_csv(day_rows(made.site, FIRST), zipped=True)
    file, rejected, _ = landed_one(made, whole[: len(whole) // 2], NAME + ".gz")
    assert file["status"] == "unreadable"
    assert rejected["rule"].tolist() == ["unreadable"]


def test_a_fault_that_nobody_foresaw_is_one_of_its_file_and_the_others_land(made, monkeypatch):
    read = landing_folders.read_cells

    def failing(data, source, name):
        if "T050000Z" in name:
            raise ZeroDivisionError("half \ud800")
        return read(data, source, name)

    monkeypatch.setattr(landing_folders, "read_cells", failing)
    made.drop(NAME, HEADER + GOOD)
    made.drop("reads_20210328T060000Z.csv", HEADER + GOOD.replace("m1", "m2"))
    made.land(FIRST)
    files = made.lake.read(LANDED_FILES, FIRST).sort_values("file_name")
    assert files["status"].tolist() == ["unreadable", "landed"]
    assert files["reason"].iloc[0].startswith(f"{NAME}: its reader failed (ZeroDivisionError: half")
    assert landing_faults(made.lake, FIRST) == ""


def test_a_gzipped_file_lands_like_a_plain_one(made):
    file, _, staged = landed_one(made, as_csv(day_rows(made.site, FIRST), zipped=True), NAME + ".gz")
    assert file["rows_staged"] == len(staged) == 5 * 48


def test_odd_bytes_spoil_one_row_only(made):
    file, rejected, staged = landed_one(
        made, (HEADER + GOOD).encode() + b"m\xff1,2021-03-27T10:30:00Z,1,kWh\n" + b"m2,2021-03-27T10:30:00Z,2,kWh"
    )
    assert (file["rows_staged"], rejected["rule"].tolist(), staged["meter_id"].tolist()) == (2, ["encoding"], ["m1", "m2"])
    assert rejected["raw_text"].tolist() == ["m\\xff1,2021-03-27T10:30:00Z,1,kWh"]


def test_an_enormous_line_and_an_open_quote_spoil_one_row_only(made):
    huge = "m1,2021-03-27T10:30:00Z," + "9" * 5_000_000 + "x,kWh\n"
    file, rejected, staged = landed_one(made, HEADER + GOOD + huge + '"m1,2021-03-27T11:30:00Z,1,kWh\n' + GOOD.replace("m1", "m2"))
    assert (file["rows"], file["rows_staged"]) == (4, 2)
    assert rejected["source_row"].tolist() == [2, 3]
    assert rejected["raw_text"].str.len().max() == 500
    assert staged["source_row"].tolist() == [1, 4]


def test_quotes_byte_order_mark_and_windows_line_ends_are_read(made):
    text = '\ufeff"meter","read_at","value","unit","note"\r\n"m1","2021-03-27 10:00:00+00:00","1.5","kWh","a, b"\r\n'
    file, _, staged = landed_one(made, text)
    assert (file["rows_staged"], staged["value"].tolist()) == (1, [1.5])


def test_a_file_of_another_year_is_quarantined_row_by_row(made):
    rows = day_rows(made.site, FIRST).assign(read_at=lambda one: one["read_at"].str.replace("2021", "2019"))
    file, rejected, _ = landed_one(made, as_csv(rows))
    assert (file["rows"], file["rows_rejected"], file["days_touched"]) == (240, 240, "")
    assert set(rejected["rule"]) == {"calendar"}


def test_unfinished_and_hidden_files_are_left_alone_and_strangers_are_told(made):
    for name in (NAME + ".tmp", NAME + ".part", "." + NAME, "notes.txt", "reads_20219928T050000Z.csv"):
        made.drop(name, HEADER + GOOD)
    landing = made.land(FIRST)[FIRST]
    assert landing.files == []
    assert landing.ignored == ["feed: notes.txt", "feed: reads_20219928T050000Z.csv"]


def test_a_name_that_tells_no_arrival_is_told_unless_another_input_takes_it(make_site):
    other = FEED.replace('"feed"', '"other"').replace("reads_", "events_")
    made = make_site(FEED + other)
    for name in ("reads_20210328T050000Z.csv", "events_20210328T050000Z.csv", "reads_28-03-2021.csv"):
        made.drop(name, HEADER + GOOD)
    told = landing.files_without_arrival(made.site)
    assert [one.split(" (")[0] for one in told] == ["feed: reads_28-03-2021.csv", "other: reads_28-03-2021.csv"]


def test_an_absent_folder_says_which_key_names_it(made):
    shutil.rmtree(made.folder)
    with pytest.raises(ArrivalError, match=r"\[\[readings\]\] feed, key folder"):
        made.land(FIRST)


def test_the_same_content_again_is_a_duplicate_and_the_earliest_is_the_original(made):
    content = as_csv(day_rows(made.site, FIRST))
    made.drop("reads_20210329T050000Z.csv", content)  # arrives a day later, and is landed first
    made.land(date(2021, 3, 28))
    made.drop(NAME, content)
    zipped = "reads_20210328T040000Z.csv.gz"
    made.drop(zipped, as_csv(day_rows(made.site, FIRST), zipped=True))  # other bytes: not a duplicate
    made.land(FIRST, date(2021, 3, 28))
    first, second = made.lake.read(LANDED_FILES, FIRST), made.lake.read(LANDED_FILES, date(2021, 3, 28))
    assert first.set_index("file_name")["status"].to_dict() == {NAME: "landed", zipped: "landed"}
    (again,) = second.itertuples()
    assert (again.status, again.rows, again.rows_superseded, again.rows_staged) == ("duplicate", 240, 240, 0)
    assert again.duplicate_of == first.set_index("file_name").loc[NAME, "file_id"]


def test_a_content_that_comes_again_after_another_of_its_day_is_the_newest_and_counts(made):
    first, corrected = HEADER + GOOD, HEADER + GOOD.replace("1.5", "2.5")
    contents = {12: first, 13: corrected, 14: first, 15: first}
    for hour, content in contents.items():
        made.drop(f"reads_20210327T{hour}0000Z.csv", content)
    for _ in range(2):  # landing again tells the same
        made.land(FIRST)
        files = made.lake.read(LANDED_FILES, FIRST).sort_values("received_utc")
        assert files["status"].tolist() == ["landed"] * 4
        assert (files["file_id"].nunique(), landing_faults(made.lake, FIRST)) == (4, "")
        assert "as the newest it counts again" in files["reason"].iloc[2]
    readings = made.make(FIRST).readings
    assert readings["energy_kwh"].to_numpy()[readings["meter_id"] == "m1"][20] == 1.5
    assert day_faults(made.lake, FIRST) == ""


@pytest.mark.parametrize("landed_first", [True, False])
def test_a_content_that_comes_again_after_files_of_other_days_is_a_duplicate(made, landed_first):
    days = [FIRST, date(2021, 3, 28)]
    made.drop(NAME, HEADER + GOOD)
    made.drop("reads_20210329T040000Z.csv", HEADER + GOOD.replace("03-27", "03-28"))
    if landed_first:
        made.land(*days)
    made.drop("reads_20210329T050000Z.csv", HEADER + GOOD)
    made.land(*days)
    assert made.lake.read(LANDED_FILES, days[1]).sort_values("file_name")["status"].tolist() == ["landed", "duplicate"]


def test_the_arrival_time_comes_from_the_name(made):
    made.drop("reads_2021-03-28.csv", HEADER + GOOD)  # a mere date: the issue hour, 09:00 in London's summer
    made.land(FIRST)
    assert made.lake.read(LANDED_FILES, FIRST)["received_utc"].tolist() == [pd.Timestamp("2021-03-28T08:00Z")]


def test_landing_again_changes_nothing_and_a_file_moved_away_stays_landed(made):
    path = made.drop(NAME, HEADER + GOOD + "m1,x,1,kWh\n")
    made.land(FIRST)
    before = [made.lake.content_hash(table, FIRST) for table in (LANDED_FILES, REJECTED_READINGS)]
    made.land(FIRST)
    assert [made.lake.content_hash(table, FIRST) for table in (LANDED_FILES, REJECTED_READINGS)] == before
    path.unlink()
    made.land(FIRST)
    assert [made.lake.content_hash(table, FIRST) for table in (LANDED_FILES, REJECTED_READINGS)] == before


ARCHIVE = """[[readings]]
name = "past"
folder = "landing"
pattern = "past.parquet"
format = "parquet"
arrival = "archive"
unit = "kW"
time_column = "time"
wide = { demand = "m4", sun = "g1" }
"""


def archive_frame(first="2021-03-26", last="2021-03-30") -> pd.DataFrame:
    time = pd.date_range(first, last, freq="30min", tz="UTC", inclusive="left")
    frame = pd.DataFrame({"time": time, "demand": range(len(time)), "sun": 1.25}).astype({"demand": "float32"})
    frame.loc[60:63, "sun"] = None
    return frame


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def test_an_archive_lands_in_slices_that_hold_each_row_once(make_site):
    made = make_site(ARCHIVE)
    made.drop("past.parquet", parquet(archive_frame()))
    landings = made.land(FIRST, date(2021, 3, 28), LAST)
    files = files_frame([one for landing in landings.values() for one in landing.files])
    assert faults_of_landing(files, rejected_frame([])) == ""
    staged = made.lake.read(LANDED_ROWS)
    # the site's three days have 48 + 46 + 48 half-hours; four cells of the sun are empty
    assert len(staged) == files["rows_staged"].sum() == 2 * 142 - 4
    assert not staged.duplicated(["meter_id", "read_utc"]).any()
    frame = archive_frame()
    expected = frame.set_index("time").loc["2021-03-27T00:00Z":"2021-03-29T22:30Z", "demand"]
    found = staged[staged["meter_id"] == "m4"].set_index("read_utc")["value"].sort_index()
    assert found.tolist() == expected.tolist()
    row = staged[(staged["meter_id"] == "m4") & (staged["value"] == 100)].iloc[0]
    assert row["source_row"] == 101
    assert row["received_utc"] == row["read_utc"] + pd.Timedelta("60min")
    one_by_one = [made.land(day)[day].files for day in (LAST, FIRST)]
    assert one_by_one == [landings[LAST].files, landings[FIRST].files]


def test_an_archive_that_is_cut_off_or_of_another_year_says_so_every_day(make_site):
    made = make_site(ARCHIVE)
    whole = parquet(archive_frame())
    made.drop("past.parquet", whole[:-100])
    assert {row["status"] for landing in made.land(FIRST, LAST).values() for row in landing.files} == {"unreadable"}
    made.drop("past.parquet", parquet(archive_frame("2019-01-01", "2019-02-01")))
    (row,) = made.land(FIRST)[FIRST].files
    assert row["status"] == "refused"
    assert "see [calendar]" in row["reason"]
    made.drop("past.parquet", parquet(archive_frame().rename(columns={"sun": "sol"})))
    (row,) = made.land(FIRST)[FIRST].files
    assert row["status"] == "refused"
    assert "wide.sun" in row["reason"]


def test_naive_stamps_are_read_on_the_inputs_clock(make_site):
    wide = (
        ARCHIVE.replace("past.parquet", "w_{received}.csv")
        .replace('"parquet"', '"csv"')
        .replace('arrival = "archive"', 'clock = "Europe/London"\nstamp = "end"')
    )
    made = make_site(wide)
    lines = ["time,demand,sun", "2021-03-28 01:00,5,", "2021-03-28 01:30,6,7", "2021-03-28 02:00,7,x"]
    made.drop("w_20210328T050000Z.csv", "\n".join(lines))
    landing = made.land(FIRST)[FIRST]
    assert landing_faults(made.lake, FIRST) == ""
    (file,) = landing.files
    assert (file["rows"], file["rows_staged"], file["rows_rejected"]) == (5, 1, 4)
    rejected = made.lake.read(REJECTED_READINGS, FIRST)
    assert rejected.groupby("source_row").size().to_dict() == {1: 1, 2: 2, 3: 1}
    assert rejected["reason"].str.contains("does not exist on the clock of Europe/London").sum() == 3
    staged = made.lake.read(LANDED_ROWS)
    assert staged["read_utc"].tolist() == [pd.Timestamp("2021-03-28T00:30Z")]


def test_files_that_arrived_outside_the_calendar_are_named(made):
    made.drop(NAME, HEADER + GOOD)
    early, last, late = "reads_20210320T050000Z.csv", "reads_20210330T050000Z.csv", "reads_20210402T050000Z.csv"
    for n, name in enumerate((early, last, late)):
        made.drop(name, HEADER + GOOD.replace("10:00", f"1{n + 1}:00"))
    made.land(date(2021, 3, 28), LAST)
    told = files_of_no_day(made.site, made.lake)
    assert len(told) == 2
    assert f"feed: {early} arrived before the first day, 2021-03-27" in told[0]
    assert f"feed: {late} arrived after the last day, 2021-03-29: no run lands it" in told[1]
    made.land(FIRST)  # lists the early one
    assert [late in one for one in files_of_no_day(made.site, made.lake)] == [True]


def test_an_empty_register_fails_early_and_says_what_to_do(made):
    with pytest.raises(EmptyRegister, match="the meters register is empty: materialise the registers job first"):
        next(land_days(made.site, made.lake, made.register.iloc[:0], [FIRST]))
