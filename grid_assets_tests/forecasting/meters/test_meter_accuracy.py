"""The meters' forecasts are scored over all of them, hour by hour, beside the week before; and watched like any other."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.forecasting import faults, inputs
from grid_assets.forecasting.drift import drift
from grid_assets.forecasting.meters.accuracy import METERS, meter_accuracy
from grid_assets.forecasting.tables import FORECAST_ACCURACY, METER_FORECASTS
from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import READINGS
from grid_assets_tests.forecasting.meters.test_coherent_week import CLOCK, readings
from grid_assets_tests.forecasting.meters.test_coherent_week import METERS as REGISTER

DAY, ISSUED = date(2016, 3, 24), date(2016, 3, 22)
CAME = {DAY: readings(DAY), DAY - timedelta(days=7): readings(DAY - timedelta(days=7))}


def told(factor: float = 1.0, width: float = 0.1, day: date = DAY) -> pd.DataFrame:
    """Forecasts that are what came times a factor, with a band around them."""
    rows = readings(day).to_pandas()
    hourly = rows.assign(start_utc=rows["start_utc"].dt.floor("h")).groupby(["meter_id", "start_utc"], as_index=False)["energy_kwh"].sum()
    mean = factor * hourly["energy_kwh"]
    bands = {name: mean + shift for name, shift in (("p05_kw", -width), ("p50_kw", 0.0), ("p95_kw", width))}
    issued = pd.Timestamp(CLOCK.issue_time(ISSUED))
    return hourly[["meter_id", "start_utc"]].assign(issued_utc=issued, mean_kw=mean, model="global_trees", **bands)


def test_each_hour_of_each_meter_counts_once_beside_the_week_before():
    row = FORECAST_ACCURACY.conform(meter_accuracy(told(), CAME, CLOCK, DAY).assign(readings_version="r")).to_pandas().iloc[0]
    assert row["subject_id"] == METERS
    assert row["intervals"] == 30 * 24
    assert row["mae_kw"] == pytest.approx(0.0, abs=1e-6)
    assert row["coverage_90_pct"] == 100.0
    hourly = [
        one.to_pandas().assign(hour=lambda rows: rows["start_utc"].dt.hour).groupby(["meter_id", "hour"])["energy_kwh"].sum()
        for one in (CAME[DAY], CAME[DAY - timedelta(days=7)])
    ]
    assert row["naive_mae_kw"] == pytest.approx((hourly[0] - hourly[1]).abs().mean(), rel=1e-5)
    assert np.isnan(row["mape_pct"])


def test_a_forecast_too_high_with_narrow_bands_is_told_as_such():
    row = meter_accuracy(told(1.2, 1e-4), CAME, CLOCK, DAY).iloc[0]
    assert row["bias_pct"] == pytest.approx(20.0, rel=1e-4)
    assert row["coverage_90_pct"] < 5.0
    assert "meters: " in faults.low_coverage(pd.DataFrame([row]))
    level = row["mae_kw"]
    assert row["pinball_kw"] == pytest.approx(level * (0.95 + 0.5 + 0.05) / 3, rel=0.15)  # nearly all lies below, one meter feeds back


def test_hours_nobody_measured_are_not_judged():
    rows = CAME[DAY].to_pandas()
    rows.loc[rows["meter_id"] == "m03", "quality"] = "estimated"
    row = meter_accuracy(told(), {**CAME, DAY: pa.Table.from_pandas(rows, preserve_index=False)}, CLOCK, DAY).iloc[0]
    assert row["intervals"] == 29 * 24
    assert meter_accuracy(told(), {DAY: CAME[DAY]}, CLOCK, DAY).empty
    assert meter_accuracy(told().iloc[:0], CAME, CLOCK, DAY).empty
    assert meter_accuracy(told(day=DAY - timedelta(days=2)), CAME, CLOCK, DAY).empty


def test_the_day_that_the_clock_goes_forward_has_twenty_three_hours():
    sunday = date(2016, 3, 27)
    came = {one: readings(one) for one in (sunday, sunday - timedelta(days=7))}
    assert meter_accuracy(told(day=sunday), came, CLOCK, sunday).iloc[0]["intervals"] == 30 * 23


def test_the_lake_gives_them_and_drift_watches_them(tmp_path):
    lake = Lake(tmp_path)
    for day, rows in CAME.items():
        whole = rows.to_pandas().assign(method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None)
        lake.write(READINGS, whole, day)
    assert inputs.meter_scores(lake, CLOCK, DAY, (METER_FORECASTS, READINGS)).empty
    lake.write(METER_FORECASTS, told(1.1), ISSUED)
    row = inputs.meter_scores(lake, CLOCK, DAY, (METER_FORECASTS, READINGS))
    assert row["bias_pct"].iloc[0] == pytest.approx(10.0, rel=1e-3)
    assert len(REGISTER) * 24 == row["intervals"].iloc[0]
    days = [DAY - timedelta(days=n) for n in range(60)]
    noise = np.random.default_rng(3).normal(0, 1, 60)
    past = pd.concat([row.assign(day=day, bias_pct=9.0 * (n < 5) + noise[n], coverage_90_pct=90.0) for n, day in enumerate(days)])
    found = drift(past, DAY, {}).iloc[0]
    assert (found["subject_id"], found["alarm"]) == (METERS, "level_down")
