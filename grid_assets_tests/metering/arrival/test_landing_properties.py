"""What holds of any file: no row is lost, order and unit do not matter, doing it again changes nothing, any day of the clock."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.content_hashes import content_hash
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.registers import DEVICES
from grid_assets.foundation.units import READING_UNITS, kwh_per_unit
from grid_assets.metering.accounting import landing_faults
from grid_assets.metering.arrival.arrival_rules import MEASUREMENT, Rules, SiteDays, judge
from grid_assets.metering.arrival.cells import FileEmpty
from grid_assets.metering.arrival.file_formats import read_cells
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.arrival.staging import energy_rows, measurement_rows, rejected_rows
from grid_assets.metering.arrival.stamps import microseconds
from grid_assets.metering.tables import LANDED_FILES, LANDED_MEASUREMENTS, LANDED_ROWS, REJECTED_READINGS
from grid_assets_tests.metering.conftest import FIRST, as_csv, day_rows

LONDON = ZoneInfo("Europe/London")
SOURCE = ReadingsInput(  # type: ignore[call-arg]
    name="feed", folder=Path("."), pattern="{received}",
    columns={"meter_id": "meter", "read_utc": "at", "value": "value", "unit": "unit", "kind": "kind", "quantity": "what"},  # type: ignore[arg-type]
)  # fmt: skip
RECEIVED = datetime(2021, 11, 2, tzinfo=UTC)
SPRING, AUTUMN = date(2021, 3, 28), date(2021, 10, 31)


def rules(interval: int = 30, zone: ZoneInfo = LONDON) -> Rules:
    clock = SiteCalendar(zone, interval, date(2021, 3, 1), date(2021, 11, 1), 9, 2)
    since = pd.Timestamp("2020-01-01", tz="UTC")
    meters = pd.DataFrame({"meter_id": ["m1", "m2", "m3"], "valid_from_utc": since, "valid_to_utc": pd.to_datetime([None] * 3, utc=True)})
    return Rules(
        clock,
        SiteDays.of(clock, clock.last_day or FIRST),
        KnownSubjects.of(meters, "meter_id"),
        KnownSubjects.of(DEVICES.empty().to_pandas(), "device_id"),
    )


RULES = rules()


def landed(content: bytes, source: ReadingsInput = SOURCE, by: Rules = RULES):
    """Staged energy, staged measurements and refused rows of a file."""
    cells = read_cells(content, source, "file")
    judged = judge(cells, source, by, microseconds(RECEIVED))
    every = np.arange(len(cells))
    refused = judged.refusals.among(every)
    good = np.setdiff1d(every, refused)
    measured = judged.route[good] == MEASUREMENT
    energy = LANDED_ROWS.conform(made := energy_rows("id", "file", judged, good[~measured], by))
    other = LANDED_MEASUREMENTS.conform(made_of_others := measurement_rows("id", "file", judged, good[measured], by))
    for one, rows in ((energy, made), (other, made_of_others)):  # they come sorted: a lake of millions of rows need not sort them
        assert one["source_row"].to_pylist() == rows["source_row"].to_pylist()
    return energy, other, rejected_rows("id", "file", judged, refused, cells.broken, RECEIVED).to_pylist()


def words(*usual: str) -> st.SearchStrategy[str]:
    odd = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=6)
    return st.one_of(st.sampled_from(usual), st.sampled_from(usual), st.sampled_from(usual), odd)


CELLS = st.tuples(
    words("m1", "m2", "m3", "x"), words("2021-03-28T00:30:00Z", "2021-10-31T01:30", "2021-05-01T12:00:00+02:00", "2021-05-01T10:00:00Z", "2021-05-01T12:10Z", "2019-01-01T00:00Z"),
    words("1", "-2.5", "1e3", "+4", "", "#ERR", "1,5"), words("kWh", "W", "", "V", "BTU"), words("", "interval", "register"),
    words("", "", "energy", "voltage", "power"),
)  # fmt: skip


@given(st.lists(CELLS, min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_line_is_staged_or_quarantined(rows):
    lines = [",".join(cells) for cells in rows]
    content = "\n".join(["meter,at,value,unit,kind,what", *lines]).encode()
    try:
        energy, other, refused = landed(content)
    except FileEmpty:
        assert not any(line for line in lines)
        return
    numbers = [*energy["source_row"].to_pylist(), *other["source_row"].to_pylist(), *(one["source_row"] for one in refused)]
    written = [line for line in content.decode().replace("\r", "\n").split("\n")[1:] if line]
    assert sorted(numbers) == list(range(1, len(written) + 1))
    assert all(one["reason"] and one["rule"] for one in refused)
    REJECTED_READINGS.conform(pa.Table.from_pylist(refused, schema=REJECTED_READINGS.schema))


@given(st.permutations(range(40)), st.sampled_from(READING_UNITS))
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_unit_matters(order, unit):
    stamps = pd.date_range("2021-05-01", periods=20, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")
    kwh = np.arange(1, 41) / 16
    lines = [f"m{1 + n % 2},{stamps[n // 2]},{kwh[n] / kwh_per_unit(unit, 0.5)!r},{unit},," for n in range(40)]
    lines = [line.replace("np.float64(", "").replace(")", "") for line in lines]
    energy, _, refused = landed("\n".join(["meter,at,value,unit,kind,what", *(lines[n] for n in order)]).encode())
    assert not refused
    found = {
        (row["meter_id"], row["read_utc"].strftime("%Y-%m-%dT%H:%M:%SZ")): row["value"] * kwh_per_unit(row["unit"], 0.5)
        for row in energy.to_pylist()
    }
    assert found == pytest.approx({(f"m{1 + n % 2}", stamps[n // 2]): kwh[n] for n in range(40)}, rel=1e-12)
    assert [order[row - 1] for row in energy["source_row"].to_pylist()] == [*range(0, 40, 2), *range(1, 40, 2)]


@given(
    st.sampled_from(["Europe/London", "Europe/Berlin", "America/New_York", "UTC", "Australia/Sydney"]),
    st.sampled_from([15, 30, 60]), st.dates(date(2021, 3, 2), date(2021, 10, 30)), st.booleans(), st.booleans(),
    st.booleans(), st.integers(0, 20),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_every_interval_of_any_day_lands_once_on_any_clock(zone, interval, day, ends, naive, descending, cut):
    by = rules(interval, ZoneInfo(zone))
    for one in (day, SPRING, AUTUMN):
        starts = by.clock.intervals(one)
        shown = [start + (interval * pd.Timedelta("1min") if ends else pd.Timedelta(0)) for start in starts]
        local = [when.tz_convert(zone).strftime("%Y-%m-%d %H:%M" if naive else "%Y-%m-%dT%H:%M:%S%z") for when in shown]
        source = SOURCE.model_copy(update={"clock": zone, "stamp": "end" if ends else "start"})
        lines = [f"m1,{text},{n},kWh,interval," for n, text in enumerate(local)]
        if descending:
            lines.reverse()
        lines[cut:cut] = lines[cut : cut + 1]  # a row sent twice is the same reading
        energy, _, refused = landed("\n".join(["meter,at,value,unit,kind,what", *lines]).encode(), source, by)
        assert not refused
        assert energy.num_rows == len(lines)
        energy = pa.Table.from_pandas(energy.to_pandas().drop_duplicates(["read_utc", "value"]), energy.schema)
        assert energy["read_utc"].to_pylist() == list(starts)
        assert energy["value"].to_pylist() == list(range(len(starts)))
        assert set(energy["day"].to_pylist()) == {one}


@given(st.lists(st.integers(0, 239), max_size=30))
@settings(max_examples=25, deadline=None)
def test_a_row_that_comes_again_is_kept_beside_the_first(again):
    stamps = pd.date_range("2021-05-01", periods=48, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [f"m{1 + n % 3},{stamps[n // 5]},{n},kWh,," for n in range(240)]
    energy, _, refused = landed("\n".join(["meter,at,value,unit,kind,what", *lines, *(lines[n] for n in again)]).encode())
    assert not refused
    assert Counter(energy["value"].to_pylist()) == Counter([*range(240), *again])
    assert content_hash(energy) == content_hash(energy.sort_by([(key, "ascending") for key in LANDED_ROWS.keys]))


def test_landing_the_same_files_again_changes_no_byte(made):
    for hour in range(3):
        rows = day_rows(made.site, FIRST).sample(frac=1, random_state=hour)
        made.drop(f"reads_20210328T0{hour}0000Z.csv", as_csv(rows.assign(value=rows["value"] + hour)))
    names = []
    for _ in range(2):
        made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        files = made.lake.read(LANDED_FILES, FIRST)["file_id"].tolist()
        names.append([made.lake.pointer(table, one) for table in (LANDED_ROWS,) for one in files])
        names[-1] += [made.lake.content_hash(table, FIRST) for table in (LANDED_FILES, REJECTED_READINGS)]
    assert names[0] == names[1]
    assert len(names[0]) == 5
