"""Past days forecast again: each from what was known, scored as the day's own accuracy, told and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from grid_assets.figures.backtests import error_map
from grid_assets.forecasting.backtest import Backtest, NothingToTest, backtest, drift_alarms, largest_node, summary, worst_days
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.drift import drift
from grid_assets.forecasting.ensemble.kept_models import kept_models_in
from grid_assets.forecasting.known_loads import with_ends
from grid_assets_tests.forecasting import worlds

CLOCK = worlds.clock_of(60)
FIRST, LAST = date(2016, 5, 20), date(2016, 5, 24)
BEGIN = FIRST - timedelta(days=50)


@dataclass(frozen=True)
class Settings:
    """What a back-test reads of a site."""

    clock = CLOCK
    country = "DE"
    calendar = SimpleNamespace(history_days=45)
    forecasting = SimpleNamespace(history_days=1000, holiday_region=None)


SETTINGS = {"country": "DE", "recent_days": 45}


def versions(loads: pd.DataFrame) -> pd.DataFrame:
    """All known at the end of their intervals."""
    known = loads["start_utc"] + CLOCK.interval
    named = loads[["node_id", "start_utc", "energy_kwh"]]
    return with_ends(named.assign(known_utc=known, known_pct=loads["published_pct"]))


def run_of(loads: pd.DataFrame, features: pd.DataFrame, *asked, **more):
    return backtest(Settings(), versions(loads), loads, features, *asked, **({"settings": SETTINGS} | more))


@pytest.fixture(scope="module")
def world():
    return worlds.node_loads(CLOCK, BEGIN, LAST, ("system", "a")), worlds.features(CLOCK, BEGIN, LAST)


@pytest.fixture(scope="module")
def found(world):
    return run_of(*world, ["system", "a"], FIRST, LAST)


def test_a_day_is_forecast_as_its_run_did(world, found):
    loads, features = world
    day = FIRST + timedelta(days=2)
    issued = day - timedelta(days=CLOCK.study_day_offset)
    known = loads[loads["start_utc"] < pd.Timestamp(CLOCK.bounds(issued)[1])]
    made = forecast_demand(
        known, features[features["day"] <= issued], ["system", "a"], CLOCK, issued, country="DE", recent_days=45
    ).forecasts
    both = found.compared.merge(made, on=["node_id", "start_utc"], suffixes=("", "_then"))
    both = both[both["issued_utc"] == both["issued_utc_then"]]
    assert len(both) == 48
    np.testing.assert_array_equal(both["mean_kw"], both["mean_kw_then"])


def test_scores_per_day_and_over_all_days_agree(found):
    assert len(found.scores) == 2 * 5
    assert not found.left_out
    told = summary(found).set_index("node_id")
    daily = found.scores[found.scores["subject_id"] == "system"]
    assert told.loc["system", "mae_kw"] == pytest.approx(daily["mae_kw"].mean())
    assert told.loc["system", "mae_kw"] < told.loc["system", "naive_mae_kw"]
    assert told.loc["system", "days"] == 5
    assert "calendar_weather 5" in told.loc["system", "models"]
    worst = worst_days(found, "system", 2)
    assert worst["mae_kw"].tolist() == sorted(daily["mae_kw"], reverse=True)[:2]
    assert largest_node(found) == "a"  # the made node is twice the size


def test_days_without_load_are_left_out_and_said(world):
    loads, features = world
    gone = loads[loads["start_utc"] < pd.Timestamp(CLOCK.midnight(LAST))]
    found = run_of(gone, features, ["system", "a"], FIRST, LAST)
    assert set(found.left_out) == {LAST}
    assert found.scores["day"].max() == LAST - timedelta(days=1)


def test_nothing_to_test_says_what_there_is(world):
    loads, features = world
    with pytest.raises(NothingToTest, match=f"{BEGIN} to {LAST}"):
        run_of(loads, features, ["system"], LAST + timedelta(days=40), LAST + timedelta(days=41))


def test_every_day_is_told_before_it_is_forecast(world):
    seen = []
    run_of(*world, ["system"], FIRST, FIRST + timedelta(days=1), begins=seen.append)
    assert seen == [FIRST, FIRST + timedelta(days=1)]


def test_the_map_of_errors_is_a_picture(found, tmp_path: Path):
    png = error_map(found.compared, "system", "Europe/Berlin", "A made system")
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000


def test_a_change_of_the_load_raises_an_alarm_and_has_the_models_fitted_anew_as_live(tmp_path: Path):
    """More than a year of one node, whose days take another shape on the first of May: the ensemble is fitted on the first of a month only."""
    begin, change, last = date(2015, 3, 1), date(2016, 5, 2), date(2016, 5, 9)
    first = change - timedelta(days=37)
    loads, features = worlds.node_loads(CLOCK, begin, last, ("system",)), worlds.features(CLOCK, begin, last)
    changed = (loads["start_utc"] >= pd.Timestamp(CLOCK.midnight(change))) & CLOCK.local(pd.DatetimeIndex(loads["start_utc"])).hour.isin(
        range(8, 20)
    )
    loads["energy_kwh"] *= np.where(changed, 0.8, 1.0)
    found = run_of(loads, features, ["system"], first, last, settings={**SETTINGS, "fitted_of": kept_models_in(tmp_path)})
    assert set(found.scores["model"]) == {"ensemble"}
    asked = found.drift[found.drift["retrain"]]
    assert len(asked) == 1  # the next fortnight rests
    day = asked["day"].iloc[0]
    assert change <= day <= change + timedelta(days=3)
    assert asked["alarm"].iloc[0] == "level_down"
    assert drift_alarms(found) == [f"{day} system: {asked['evidence'].iloc[0]}; its models were fitted anew"]
    # what live drift would have said of these scores
    live = drift(found.scores, day, {})
    assert live["evidence"].iloc[0] == asked["evidence"].iloc[0]
    fitted = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert any((day + timedelta(days=1)).isoformat() in name for name in fitted), sorted(fitted)


def test_rows_that_arrived_after_a_days_issue_change_nothing_of_its_back_test(world):
    """Late rows, and resends with other values: of every day, an hour after the issue time of its run."""
    loads, features = world
    on_time = versions(loads).drop(columns="replaced_utc")
    days = CLOCK.days_of(on_time["start_utc"])
    late = np.random.default_rng(5).random(len(on_time)) < 0.3
    after = pd.to_datetime([CLOCK.issue_time(day) + timedelta(hours=1) for day in days[late]], utc=True).as_unit("us")
    resent = on_time[late].assign(energy_kwh=lambda rows: 1.3 * rows["energy_kwh"], known_utc=after)
    both = pd.concat([on_time, resent]).sort_values(["node_id", "start_utc", "known_utc"], ignore_index=True)
    missing = pd.concat([on_time[~late], on_time[late].assign(known_utc=after)]).sort_values(
        ["node_id", "start_utc", "known_utc"], ignore_index=True
    )

    def told(known: pd.DataFrame, last: date) -> pd.DataFrame:
        return backtest(Settings(), with_ends(known), loads, features, ["system", "a"], FIRST, last, settings=SETTINGS).compared

    # the newest day of history of each run is known as it stood at the issue; of older days the resends had come by then
    for known, first_known in ((both, on_time), (missing, on_time[~late])):
        issued = FIRST - timedelta(days=CLOCK.study_day_offset)
        before = pd.Timestamp(CLOCK.issue_time(issued))
        as_it_stood = known[known["known_utc"] <= before]
        pd.testing.assert_frame_equal(told(known, FIRST), told(as_it_stood, FIRST))
        assert len(as_it_stood) < len(known)
        other = told(first_known.assign(known_utc=first_known["start_utc"] + CLOCK.interval), FIRST)
        assert not np.allclose(told(known, FIRST)["mean_kw"], other["mean_kw"])  # so that the test could fail


def test_an_alarm_that_lasts_is_told_once():
    days = [date(2019, 8, 15) + timedelta(days=n) for n in range(4)]
    rows = [
        {"subject_id": "system", "day": day, "alarm": "coverage", "since": day, "evidence": f"on {day}", "retrain": n == 1}
        for n, day in enumerate(days)
    ]
    rows += [{**rows[0], "day": days[3] + timedelta(days=5), "evidence": "again", "retrain": False}]
    rows += [{**rows[0], "subject_id": "a", "day": days[2], "alarm": "level_up", "evidence": "moved", "retrain": False}]
    rows += [{**rows[0], "subject_id": "a", "day": days[3], "alarm": "none"}]
    found = Backtest(pd.DataFrame(), pd.DataFrame(), {}, pd.DataFrame(rows))
    assert drift_alarms(found) == [
        "2019-08-15 system: on 2019-08-15; its models were fitted anew", "2019-08-17 a: moved", "2019-08-23 system: again",
    ]  # fmt: skip
    assert drift_alarms(Backtest(pd.DataFrame(), pd.DataFrame(), {}, found.drift.iloc[:0])) == []
