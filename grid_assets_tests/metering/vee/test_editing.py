"""Corrections and outages on a day's matrix."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from grid_assets.metering.tables import CORRECTIONS, OUTAGE_EVENTS
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.editing import ACCEPT, REJECT, REPLACE, CorrectionError, corrections_on, without_supply

STARTS = pd.date_range("2021-03-27", periods=8, freq="30min", tz="UTC", name="start_utc").as_unit("us")
METERS = pd.DataFrame({"meter_id": ["a", "b", "c"], "kind": "load", "node_id": ["f1", "f1", "f2"], "rating_kw": 8.0, "net_metered": False})
PARENTS = {"f1": "s", "f2": "s", "s": "system", "system": None}


def grid() -> DayGrid:
    return DayGrid(date(2021, 3, 27), METERS, STARTS, 0.5, parents=PARENTS)


def corrections(*rows: tuple[str, str, str, str, str, float | None, str]) -> pd.DataFrame:
    """From (id, meter, start, end, action, kWh, entered), times of the day."""
    frame = pd.DataFrame(rows, columns=["correction_id", "meter_id", "start_utc", "end_utc", "action", "energy_kwh", "entered_utc"])
    for name in ("start_utc", "end_utc", "entered_utc"):
        frame[name] = pd.to_datetime("2021-03-27T" + frame[name] + "Z").dt.as_unit("us")
    frame = frame.assign(author="ann", reason="seen", source_file="c.csv", source_row=np.arange(1, len(frame) + 1))
    return CORRECTIONS.conform(frame).to_pandas()


def test_a_correction_takes_the_intervals_that_begin_within_it():
    made = corrections_on(grid(), corrections(("1", "b", "00:30", "01:45", "replace", 2.5, "09:00")))
    assert made.cell.tolist() == [8 + 1, 8 + 2, 8 + 3]
    assert made.kwh.tolist() == [2.5] * 3
    assert set(made.action) == {REPLACE}


def test_the_correction_that_was_entered_later_counts_whatever_the_order_of_rows():
    rows = [
        ("2", "a", "00:00", "02:00", "reject", None, "10:00"),
        ("1", "a", "01:00", "01:30", "replace", 7.0, "11:00"),
        ("3", "a", "00:00", "00:30", "accept", None, "09:00"),
        ("4", "gone", "00:00", "02:00", "reject", None, "12:00"),
    ]
    for order in (rows, rows[::-1]):
        made = corrections_on(grid(), corrections(*order))
        assert made.cell.tolist() == [0, 1, 2, 3]
        assert made.action.tolist() == [REJECT, REJECT, REPLACE, REJECT]
        assert made.rows["correction_id"].iloc[made.source[2]] == "1"
        assert len(made.of(ACCEPT)) == 0


@pytest.mark.parametrize(("action", "kwh", "said"), [("delete", 1.0, "delete"), ("replace", None, "energy_kwh")])
def test_a_correction_that_cannot_be_followed_names_itself(action, kwh, said):
    with pytest.raises(CorrectionError, match="correction 17") as raised:
        corrections_on(grid(), corrections(("17", "a", "00:00", "02:00", action, kwh, "09:00")))
    assert said in str(raised.value)


SILENT = np.full((3, 8), np.nan)


def outages(*rows: tuple[str | None, str | None, str, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["meter_id", "node_id", "start_utc", "end_utc"])
    for name in ("start_utc", "end_utc"):
        frame[name] = pd.to_datetime(("2021-03-27T" + frame[name] + "Z").where(frame[name].notna()), utc=True).dt.as_unit("us")
    frame = frame.assign(outage_id=[str(n) for n in range(len(frame))], cause=None, source_file="o.csv", source_row=1)
    return OUTAGE_EVENTS.conform(frame).to_pandas()


def test_an_outage_of_a_meter_touches_more_than_it_covers():
    found = without_supply(grid(), outages(("b", None, "00:40", "02:00")), SILENT)
    assert found is not None
    touched, covered = found.touched, found.covered
    assert np.flatnonzero(touched[1]).tolist() == [1, 2, 3]
    assert np.flatnonzero(covered[1]).tolist() == [2, 3]
    assert not touched[[0, 2]].any()


@pytest.mark.parametrize(("node", "rows"), [("f1", [0, 1]), ("f2", [2]), ("s", [0, 1, 2]), ("system", [0, 1, 2]), ("unknown", [])])
def test_an_outage_of_a_node_is_one_of_all_meters_below(node, rows):
    found = without_supply(grid(), outages((None, node, "00:00", "00:30")), SILENT)
    assert found is not None
    touched, covered = found.touched, found.covered
    assert np.flatnonzero(touched.any(axis=1)).tolist() == rows
    assert np.flatnonzero(covered.any(axis=1)).tolist() == rows


def test_an_outage_without_an_end_lasts_and_none_is_none():
    found = without_supply(grid(), outages(("a", None, "03:00", None), ("a", None, "00:00", "00:30")), SILENT)
    assert found is not None
    touched, covered = found.touched, found.covered
    assert np.flatnonzero(covered[0]).tolist() == [0, 6, 7]
    assert (touched == covered).all()
    assert without_supply(grid(), outages(), SILENT) is None


def test_an_outage_that_nobody_closed_ends_with_each_meters_first_energy():
    arrived = SILENT.copy()
    arrived[0, [1, 4, 6]] = 0.0, 0.7, 0.0
    arrived[1, 0] = 0.5  # before the outage
    found = without_supply(grid(), outages((None, "f1", "00:45", None)), arrived)
    assert found is not None
    assert np.flatnonzero(found.touched[0]).tolist() == [1, 2, 3]
    assert np.flatnonzero(found.covered[0]).tolist() == np.flatnonzero(found.unended[0]).tolist() == [2, 3]
    assert np.flatnonzero(found.covered[1]).tolist() == [2, 3, 4, 5, 6, 7]
    closed = without_supply(grid(), outages((None, "f1", "00:45", "04:00")), arrived)
    assert closed is not None
    assert closed.covered[:2, 2:].all()
    assert not closed.unended.any()
