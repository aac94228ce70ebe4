"""Copied days and filled stretches from landed files to the list of unusual meters."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from grid_assets.foundation.registers import METERS
from grid_assets.metering.quality import alert_inputs, unmeasured_days
from grid_assets.metering.tables import USAGE_ANOMALIES, USAGE_SHAPES
from grid_assets_tests.metering.conftest import FEED, as_csv, day_rows

DAYS = [date(2021, 3, 15) + timedelta(days=n) for n in range(3)]


@pytest.fixture
def made(make_site):
    """Three days of five meters; on the last m1 repeats the first day and m2 has a mean that somebody spread."""
    made = make_site(FEED, first=DAYS[0], last=DAYS[-1])
    made.lake.write(METERS, made.register)
    drawn = np.random.default_rng(3)
    copied = np.round(drawn.uniform(0.2, 2.0, 48), 3)
    for day in DAYS:
        rows = day_rows(made.site, day)
        rows["value"] = np.round(drawn.uniform(0.2, 2.0, len(rows)), 3)
        if day != DAYS[1]:
            rows.loc[rows["meter"] == "m1", "value"] = copied
        if day == DAYS[2]:
            rows.loc[rows["meter"] == "m2", "value"] = np.resize([0.811, 0.831, 0.811, 0.842], 48)
        made.drop(f"reads_{day + timedelta(days=1)}.csv", as_csv(rows))
    made.land(*DAYS)
    for day in DAYS:
        made.make(day)
    return made


def test_evidence_is_told_from_the_lake(made):
    found = unmeasured_days.evidence_of_day(made.site, made.lake, DAYS[2]).set_index("meter_id")
    assert found["pattern"].to_dict() == {"m1": "copied_day", "m2": "filled"}
    assert "2021-03-15" in found.loc["m1", "explanation"]
    assert "4 values over and over" in found.loc["m2", "explanation"]
    for day in DAYS[:2]:
        assert unmeasured_days.evidence_of_day(made.site, made.lake, day).empty


def test_many_meters_are_read_at_once_with_the_same_result(made, monkeypatch):
    plain = unmeasured_days.copies_of_day(made.site, made.lake, DAYS[2])
    monkeypatch.setattr(unmeasured_days, "READ_ALL_ABOVE", 0)
    assert unmeasured_days.copies_of_day(made.site, made.lake, DAYS[2]).equals(plain)


def test_they_are_listed_among_the_unusual_meters(made):
    for day in DAYS:
        made.lake.write(USAGE_SHAPES, alert_inputs.shapes_of_day(made.site, made.lake, day), day)
    found = alert_inputs.anomalies_of_day(made.site, made.lake, DAYS[2])
    USAGE_ANOMALIES.conform(found)
    assert found.set_index("meter_id")["pattern"].to_dict() == {"m1": "copied_day", "m2": "filled"}
    assert found["rank"].tolist() == [1, 2]
    assert (found["evidence"] > made.site.alerts.anomaly_deviations).all()
    assert "chance does so once in" in found["explanation"].iloc[0]
