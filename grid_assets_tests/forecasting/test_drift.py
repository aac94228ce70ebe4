"""When the world has changed: found within days, seldom without reason, and the models are fitted anew."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from grid_assets.figures.drift import drift_picture
from grid_assets.forecasting import faults
from grid_assets.forecasting.drift import (
    ALLOWANCE,
    LIMIT,
    MINIMUM_REFERENCE_DAYS,
    REST_DAYS,
    WATCHED_DAYS,
    coverage_bound,
    cumulative_sum,
    drift,
    found_alerts,
    retrainings,
)
from grid_assets.forecasting.tables import DRIFT
from grid_assets.foundation.calendar import SiteCalendar

DAY = date(2020, 4, 10)
CLOCK = SiteCalendar(ZoneInfo("Europe/London"), 30, date(2019, 1, 1), None, 9, 2)


def scores(bias_pct: np.ndarray, coverage: np.ndarray | float = 90.0, subject: str = "system") -> pd.DataFrame:
    days = [DAY - timedelta(days=len(bias_pct) - 1 - n) for n in range(len(bias_pct))]
    return pd.DataFrame(
        {
            "subject_id": subject,
            "horizon_class": "day_ahead",
            "day": days,
            "bias_pct": bias_pct,
            "coverage_90_pct": coverage,
            "model": "ensemble",
        }
    )


def usual(days: int, seed: int = 1, deviation: float = 2.0) -> np.ndarray:
    return deviation * np.random.default_rng(seed).standard_normal(days)


def told(frame: pd.DataFrame, day: date = DAY, retrained=None) -> pd.Series:
    rows = DRIFT.conform(drift(frame, day, retrained or {})).to_pandas()
    assert len(rows) == 1
    return rows.iloc[0]


def test_usual_days_are_no_alarm():
    row = told(scores(usual(80)))
    assert row["alarm"] == "none"
    assert not row["retrain"]
    assert row["reference_days"] == 80 - WATCHED_DAYS
    assert row["deviation_pct"] == pytest.approx(2.0, rel=0.4)


@pytest.mark.parametrize(("step", "alarm"), [(-8.0, "level_up"), (8.0, "level_down")])  # bias is forecast less actual
def test_a_step_of_four_deviations_is_found_on_the_second_day(step, alarm):
    bias = usual(80)
    found = []
    for days in range(1, 5):
        stepped = bias.copy()
        stepped[-days:] += step
        found.append(told(scores(stepped))["alarm"])
    assert found[0] == "none"
    assert found[2:] == [alarm, alarm]
    row = told(scores(np.concatenate([bias[:-4], bias[-4:] + step])))
    assert row["since"] >= DAY - timedelta(days=6)
    assert ("higher" if alarm == "level_up" else "lower") in row["evidence"]


STEADY = -3.0 + usual(150, seed=7, deviation=1.5)
"""Forecasts that are 3 % too low as long as anybody remembers."""


def test_a_steady_bias_is_no_change():
    for days in range(60, 150):
        assert told(scores(STEADY[: days + 1]))["alarm"] == "none"


@pytest.mark.parametrize(("step", "alarm"), [(-6.0, "level_up"), (6.0, "level_down")])
def test_a_change_on_top_of_a_steady_bias_is_found(step, alarm):
    """Also the one after which forecasts miss less than before, and to the other side."""
    bias = STEADY.copy()
    bias[-4:] += step
    row = told(scores(bias))
    assert row["alarm"] == alarm
    assert row["since"] >= DAY - timedelta(days=6)
    assert "before it was +3." in row["evidence"] or "before it was +2." in row["evidence"]


def test_one_odd_day_alone_is_no_drift():
    bias = usual(80)
    bias[-3] = 60.0
    assert told(scores(bias))["alarm"] == "none"


def test_alarms_without_reason_are_rare():
    """Two sides and a window of a fortnight: independent usual days do not alarm in eight years."""
    generator, alarms = np.random.default_rng(3), 0
    for _ in range(3000):
        sample = generator.standard_normal(WATCHED_DAYS)
        alarms += max(cumulative_sum(sample)[0], cumulative_sum(-sample)[0]) > LIMIT
    assert alarms == 0
    assert max(cumulative_sum(np.full(2, 4.0))[0], 0) > LIMIT  # and two days far off are enough


def test_the_sum_is_pages():
    assert cumulative_sum(np.array([3.0, -9.0, 2.0, 1.5])) == (pytest.approx(3.5 - 2 * ALLOWANCE), 2)
    assert cumulative_sum(np.array([])) == (0.0, 0)


def test_bands_that_hold_too_little_alarm():
    coverage = np.full(80, 90.0) + usual(80, deviation=5.0)
    assert told(scores(usual(80), np.clip(coverage, 0, 100)))["alarm"] == "none"
    coverage[-WATCHED_DAYS:] -= 25.0
    row = told(scores(usual(80), np.clip(coverage, 0, 100)))
    assert row["alarm"] == "coverage"
    assert "inside the 90 % band" in row["evidence"]
    assert coverage_bound(np.full(50, 90.0), 14) == 80.0
    assert coverage_bound(np.array([60.0, 100.0] * 20), 14) == pytest.approx(90 - 3 * 20 / np.sqrt(14))


def test_too_few_days_are_said_and_do_not_alarm():
    row = told(scores(np.full(WATCHED_DAYS + MINIMUM_REFERENCE_DAYS - 1, 50.0)))
    assert row["alarm"] == "learning"
    assert "21 are needed" in row["evidence"]
    assert faults.drifted(pd.DataFrame([row])) == ""


def test_what_comes_later_and_other_horizons_do_not_count():
    frame = scores(usual(80))
    later = frame.assign(day=[day + timedelta(days=80) for day in frame["day"]], bias_pct=90.0)
    other = frame.assign(horizon_class="days_4_7", bias_pct=-90.0)
    pd.testing.assert_series_equal(told(pd.concat([frame, later, other])), told(frame))


def test_a_subject_that_was_not_forecast_today_has_no_row():
    assert drift(scores(usual(80)).iloc[:-1], DAY, {}).empty


def test_the_next_retraining_waits():
    bias = usual(80)
    bias[-6:] += 10.0
    assert told(scores(bias))["retrain"]
    assert not told(scores(bias), retrained={"system": [DAY - timedelta(days=5)]})["retrain"]
    assert told(scores(bias), retrained={"system": [DAY - timedelta(days=20)]})["retrain"]
    # models fitted from the day after DAY on; the last time was so many days before that
    for days, due in ((REST_DAYS - 1, False), (REST_DAYS, True)):
        assert told(scores(bias), retrained={"system": [DAY + timedelta(days=1 - days)]})["retrain"] == due


def test_only_models_that_outlive_a_day_are_fitted_anew():
    bias = usual(80)
    bias[-6:] -= 12.0
    frame = scores(bias)
    assert told(frame)["retrain"]
    row = told(frame.assign(model="calendar_weather"))
    assert row["alarm"] == "level_up"
    assert not row["retrain"]


def test_alarms_are_alerts_and_retrainings_begin_with_the_next_issue():
    bias = usual(80)
    bias[-6:] += 10.0
    rows = drift(pd.concat([scores(bias), scores(usual(80, seed=2), subject="calm")]), DAY, {})
    (alert,) = found_alerts(rows, CLOCK)
    assert (alert.subject, alert.kind, alert.severity, alert.closed_utc) == ("system", "forecast_drift", "warning", None)
    assert CLOCK.day_of(alert.opened_utc) == rows.set_index("subject_id").loc["system", "since"]
    assert retrainings(rows) == {"system": [DAY + timedelta(days=1)]}
    assert retrainings(rows.iloc[:0]) == {}
    assert "system" in faults.drifted(rows)


def test_the_picture_shows_the_nearest_to_an_alarm():
    frame = pd.concat([scores(usual(80, seed=n), subject=f"f{n}") for n in range(6)])
    png = drift_picture(frame, drift(frame, DAY, {}), DAY, "A made site")
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000
