"""From files to forecast: what arrives after the issue time changes published loads, and nothing of the forecast or its back-test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.known_loads import load_versions, loads_as_of, readings_as_of
from grid_assets.metering import checks
from grid_assets.metering.tables import NODE_LOAD_VERSIONS, NODE_LOADS, READING_VERSIONS, READINGS
from grid_assets_tests.metering.conftest import CHANGE, FIRST, LAST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.doors import executed, without_docs

LATE = "reads_20210329T120000Z.csv"
DAYS = [FIRST, CHANGE]


def late_rows(made: MadeSite, factor: float) -> pd.DataFrame:
    """Other values of intervals that had come, and intervals that had not: of both days before the issue."""
    rows = pd.concat([day_rows(made.site, day) for day in DAYS])
    chosen = np.random.default_rng(7).random(len(rows)) < 0.2
    return rows[chosen].assign(value=(rows["value"][chosen] * factor).round(6))


def forecast(made: MadeSite) -> tuple[pd.DataFrame, pd.DataFrame]:
    clock, lake = made.site.clock, made.lake
    versions = load_versions(lake, NODE_LOAD_VERSIONS, NODE_LOADS, DAYS, clock.interval)
    known = loads_as_of(versions, clock.issue_time(CHANGE))
    nodes = sorted(made.nodes["node_id"])
    return forecast_demand(known, None, nodes, clock, CHANGE, country="GB").forecasts, lake.read(NODE_LOADS, DAYS)


def known_readings(made: MadeSite) -> pd.DataFrame:
    """Measured readings of both days, loads and generation, as they were known at the issue time."""
    parts = []
    for day in DAYS:
        rows = made.lake.read_arrow(READINGS, day, ["meter_id", "start_utc", "energy_kwh", "quality"])
        parts.append(readings_as_of(rows, made.lake.read(READING_VERSIONS, day), made.site.clock.issue_time(CHANGE)).to_pandas())
    whole = pd.concat(parts, ignore_index=True)
    return whole[whole["quality"] == "measured"].drop(columns="quality").reset_index(drop=True)


@pytest.fixture
def on_time(made: MadeSite, monkeypatch: pytest.MonkeyPatch) -> MadeSite:
    """Most of both days' rows arrived before the issue time, 2021-03-29 at nine."""
    for day, received in ((FIRST, "20210328"), (CHANGE, "20210329")):
        rows = day_rows(made.site, day)
        kept = np.random.default_rng(day.toordinal()).random(len(rows)) < 0.95
        made.drop(f"reads_{received}T050000Z.csv", as_csv(rows[kept]))
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(made))
    assert executed(made, FIRST, CHANGE).success
    return made


def test_rows_that_come_after_the_issue_change_the_loads_and_not_the_forecast(on_time: MadeSite):
    issued, before = forecast(on_time)
    known = known_readings(on_time)
    assert all(on_time.lake.read(READING_VERSIONS, day).empty for day in DAYS[1:])
    assert issued["start_utc"].min() == pd.Timestamp(on_time.site.clock.issue_time(CHANGE))
    on_time.drop(LATE, as_csv(late_rows(on_time, 0.4)))
    assert executed(on_time, FIRST, LAST).success
    again, after = forecast(on_time)
    assert not np.array_equal(before["energy_kwh"], after["energy_kwh"])
    pd.testing.assert_frame_equal(again, issued)
    pd.testing.assert_frame_equal(known_readings(on_time), known)
    assert len(on_time.lake.read(READING_VERSIONS, CHANGE))
