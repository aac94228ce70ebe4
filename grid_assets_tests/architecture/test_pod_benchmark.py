"""The POD storage challenge: its forecasts look at nothing after D-2, its simple plans score what others measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import _pod
from benchmarks._pod_forecast import (
    CHARGING,
    EVENING,
    PodDays,
    load_forecasts,
    load_scenarios,
    mean_pv,
    pod_days,
    pv_scenarios,
    taught_evenings,
)
from grid_assets.optimisation.evening_peak import EveningPlan

BEGIN, FIRST = "2017-10-01", 300
"""First day; position of the first forecast day."""
TARGETS = (328, 332)
"""The first day of a week between refits, whose model is taught by all that is known, and one within."""
TARGET = TARGETS[1]


def frames(days: int = 420) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Invented readings of a year and more, and hourly weather from two years before on."""
    random = np.random.default_rng(5)
    starts = pd.date_range(BEGIN, periods=48 * days, freq="30min", tz="Europe/London").tz_convert("UTC")
    hour = starts.hour.to_numpy() + starts.minute.to_numpy() / 60
    load = 3 + np.sin((hour - 10) / 24 * 2 * np.pi) - 0.3 * (starts.dayofweek.to_numpy() > 4) + 0.1 * random.normal(size=len(starts))
    sun = 3 * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0) * np.repeat(random.random(days), 48)
    hours = pd.date_range(pd.Timestamp("2015-09-01", tz="UTC"), starts[-1].floor("h"), freq="h")
    noise = random.normal(size=len(hours))
    weather = pd.DataFrame(
        {"timestamp_utc": hours, "temperature_1_c": 10 + noise, "solar_irradiance_1_w_m2": np.maximum(200 + 100 * noise, 0)}
    )
    return pd.DataFrame({"timestamp_utc": starts, "demand_mw": load, "pv_power_mw": sun}), weather


def known(pod: PodDays, target: int) -> list[np.ndarray]:
    """All that a plan of the target day is made from."""
    forecasts = load_forecasts(pod, FIRST)
    return [forecasts[target], load_scenarios(pod, forecasts, target), pv_scenarios(pod, target), mean_pv(pod, target)]


def changed_from(begin: pd.Timestamp) -> PodDays:
    readings, weather = frames()
    for frame in (readings, weather):
        later = frame["timestamp_utc"] >= begin
        for column in frame.columns.drop("timestamp_utc"):
            frame.loc[later, column] = 0.5 + 7 * np.random.default_rng(1).random(int(later.sum()))
    return pod_days(readings, weather)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_after_the_second_day_before_is_looked_at(target: int):
    before = known(pod_days(*frames()), target)
    day = pd.Timestamp(BEGIN, tz="Europe/London") + pd.DateOffset(days=target)
    for ours, theirs in zip(before, known(changed_from(day - pd.DateOffset(days=1)), target), strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(before, known(changed_from(day - pd.DateOffset(days=2)), target), strict=True):
        assert ours.shape != theirs.shape or not np.allclose(ours, theirs)  # the last day that is known does count


def test_foreseen_weather_is_the_exception():
    readings, weather = frames()
    made = [load_forecasts(pod_days(readings, weather), FIRST, own_weather=True)[TARGET]]
    day = pd.Timestamp(BEGIN, tz="Europe/London") + pd.DateOffset(days=TARGET)
    weather.loc[weather["timestamp_utc"] >= day, "temperature_1_c"] += 9.0
    made.append(load_forecasts(pod_days(readings, weather), FIRST, own_weather=True)[TARGET])
    assert not np.allclose(*made)


def test_the_forecast_is_better_than_last_week_and_its_scenarios_are_around_it():
    pod = pod_days(*frames())
    made, actual = load_forecasts(pod, FIRST), pod.load_mw[:, EVENING]
    days = np.arange(FIRST, len(actual))
    assert np.abs(made - actual)[days].mean() < 0.9 * np.abs(actual[days] - actual[days - 7]).mean()
    scenarios = load_scenarios(pod, made, TARGET)
    assert scenarios.shape == (TARGET - 1 - FIRST, 11)
    assert scenarios.mean(0) == pytest.approx(made[TARGET], rel=0.05)


def test_a_switched_day_teaches_nothing():
    readings, weather = frames()
    switched = slice(48 * 310, 48 * 311 - 1)  # position 310, after the first forecast
    readings.loc[switched, "demand_mw"] *= 2.0
    pod = pod_days(readings, weather)
    scenarios = load_scenarios(pod, load_forecasts(pod, FIRST), TARGET)
    assert len(scenarios) == TARGET - 1 - FIRST - 1
    assert scenarios.max() < 1.3 * pod.load_mw[TARGET, EVENING].max()


def test_a_switched_day_is_told_by_the_days_before_it():
    load = np.full((60, 48), 3.0)
    load[49] = 5.0
    load[55, 3] = 0.1  # a single reading near zero
    taught = taught_evenings(load)
    assert np.flatnonzero(np.isnan(taught).any(1)).tolist() == [49, 55]
    assert np.array_equal(taught_evenings(load[:50]), taught[:50], equal_nan=True)


def test_the_day_of_the_clocks_and_days_with_gaps_are_not_whole():
    readings, weather = frames()
    readings.loc[48 * 10, "pv_power_mw"] = np.nan
    pod = pod_days(readings, weather)
    partly = [str(day) for day, whole in zip(pod.days, pod.whole, strict=True) if not whole]
    assert partly == ["2017-10-11", "2017-10-29", "2018-03-25", "2018-10-28", "2018-11-24"]  # the record ends within the last


def test_simple_plans_score_what_others_measured(shared_data: Path):
    folder = shared_data / "wpd_pod"
    pod = pod_days(pd.read_parquet(folder / "demand_pv.parquet"), pd.read_parquet(folder / "weather.parquet"))
    days = _pod.scored_days(pod)
    assert len(days) == 362

    def played(way: Callable[[int], EveningPlan]) -> float:
        made = _pod.play(pod, days, way)
        assert made.infeasible == 0
        return float(made.scores.mean())

    def load(day: int, lag: int = 0) -> np.ndarray:
        return pod.load_mw[day - lag : day - lag + 1, EVENING]

    best = played(_pod.optimised(load, lambda day: pod.pv_mw[day : day + 1, CHARGING]))
    assert played(lambda _: _pod.even_plan()) / best == pytest.approx(0.70, abs=0.005)
    assert played(_pod.optimised(lambda day: load(day, 7), lambda day: mean_pv(pod, day))) / best == pytest.approx(0.81, abs=0.005)
    assert played(_pod.optimised(load, lambda day: mean_pv(pod, day))) / best == pytest.approx(0.96, abs=0.005)


def test_the_rows_of_a_few_days(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_pod, "SHARED", shared_data.parent)
    monkeypatch.setattr(_pod, "scored_days", lambda pod, whole=_pod.scored_days: whole(pod)[::20])
    rows = {row["name"]: row for row in _pod.pod_rows()}
    assert rows["the same: infeasible plans"]["met"]
    ours = rows["the same: of perfect foresight"]
    assert ours["met"] is (ours["value"] >= 88)
    assert rows["the same: 1 MW over midday, discharged evenly"]["value"] < ours["value"] < 100


def test_absent_data_are_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(_pod, "SHARED", tmp_path)
    (row,) = _pod.pod_rows()
    assert "GRID_ASSETS_SHARED" in row["reference"]
    assert row["met"] is None
