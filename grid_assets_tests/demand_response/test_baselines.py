from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.demand_response.baselines import (
    INSUFFICIENT,
    DayChoice,
    baselines,
    days_needed,
    holidays_of,
    like_days,
    mean_of_days,
    same_day_ratio,
)
from grid_assets.demand_response.events import Event
from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.site_sections import Programme
from grid_assets_tests.conftest import SHARED

VECTORS = SHARED / "testcases" / "demand_response" / "baselines"
TERMS = Programme(name="peak", effective_from=date(2015, 1, 1), rate_per_kwh="0.15")
BERLIN = SiteCalendar(ZoneInfo("Europe/Berlin"), 60, date(2016, 1, 1), None, 9, 2)


def event_of(start: str, end: str) -> Event:
    begin = datetime.fromisoformat(start)
    return Event("EV", "peak", begin, datetime.fromisoformat(end), 100.0, begin - timedelta(hours=6), "")


def calculated(case: str) -> tuple[dict, dict, pd.DataFrame]:
    folder = next(VECTORS.glob(f"{case}_*"))
    given_, expected = json.loads((folder / "case.json").read_text()), json.loads((folder / "expected.json").read_text())
    meter = pd.read_csv(folder / "meter.csv")
    readings = pd.DataFrame(
        {"meter_id": meter["meter_id"], "start_utc": pd.to_datetime(meter["interval_start_utc"], utc=True).astype("datetime64[us, UTC]"),
         "energy_kwh": meter["kwh"], "quality": "measured"}
    )  # fmt: skip
    clock = SiteCalendar(ZoneInfo(given_["timezone"]), given_["interval_minutes"], date(2026, 1, 1), None, 9, 2)
    params = given_["params"]
    terms = TERMS.model_copy(update={"lookback_days": params["lookback_days"]})
    holidays, events = ({date.fromisoformat(day) for day in given_[name]} for name in ("holidays", "prior_event_days"))
    event = event_of(given_["event_start_utc"], given_["event_end_utc"])
    people = pd.DataFrame({"participant_id": ["P"], "meter_id": [readings["meter_id"].iloc[0]]})
    return given_, expected, baselines(event, people, readings, clock, terms, holidays, events)


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the shared test cases are absent; set GRID_ASSETS_SHARED")
@pytest.mark.parametrize("case", ["b01", "b02", "b03", "b05", "b16", "b17", "b18"])
def test_reference_vectors(case):
    _, expected, rows = calculated(case)
    if "error" in expected:
        assert set(rows["fault"]) == {expected["error"]}
        assert rows["baseline_kwh"].isna().all()
        return
    inside = rows[rows["period"] == "event"].sort_values("start_utc")
    assert rows["baseline_days"].iloc[0].split() == expected["selected_days"]
    assert rows["adjustment_ratio"].iloc[0] == pytest.approx(expected["adjustment_ratio"], abs=1e-6)
    assert rows["raw_ratio"].iloc[0] == pytest.approx(expected["raw_ratio"], abs=1e-6)
    wanted = pd.DataFrame(expected["intervals"])
    assert list(inside["start_utc"]) == list(pd.to_datetime(wanted["interval_start_utc"], utc=True))
    for ours, theirs in {
        "unadjusted_kwh": "unadjusted_kwh",
        "baseline_kwh": "adjusted_kwh",
        "actual_kwh": "actual_kwh",
        "reduction_kwh": "reduction_kwh",
    }.items():
        assert inside[ours].to_numpy() == pytest.approx(wanted[theirs].to_numpy(), abs=1e-6)
    assert inside["reduction_kwh"].sum() == pytest.approx(expected["total_reduction_kwh"], abs=1e-6)


def history(clock: SiteCalendar, first: date, last: date, meters: dict[str, float], seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    starts = clock.intervals(first, last)
    return pd.concat(
        [pd.DataFrame({"meter_id": m, "start_utc": starts, "energy_kwh": level * rng.uniform(0.5, 1.5, len(starts)), "quality": "measured"}) for m, level in meters.items()],
        ignore_index=True,
    )  # fmt: skip


EVENT = event_of("2016-05-24T15:00:00+00:00", "2016-05-24T17:00:00+00:00")
PEOPLE = pd.DataFrame({"participant_id": ["A", "B"], "meter_id": ["MA", "MB"]})
READINGS = history(BERLIN, date(2016, 4, 1), date(2016, 5, 24), {"MA": 10.0, "MB": 3.0})


def run(readings=READINGS, event=EVENT, people=PEOPLE, clock=BERLIN, holidays=frozenset(), events=frozenset(), terms=TERMS):
    return baselines(event, people, readings, clock, terms, holidays, events)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 100), order=st.integers(0, 1000))
def test_reduction_is_linear_in_the_meters_scale_and_blind_to_row_order(scale, order):
    mixed = READINGS.sample(frac=1, random_state=order)
    mixed = mixed.assign(energy_kwh=mixed["energy_kwh"] * scale)
    np.testing.assert_allclose(run(mixed)["reduction_kwh"], run()["reduction_kwh"] * scale, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(day=st.dates(date(2016, 4, 9), date(2016, 5, 23)), factor=st.floats(0.1, 50))
def test_a_day_that_is_an_event_or_a_holiday_never_matters(day, factor):
    here = READINGS["start_utc"].dt.tz_convert("Europe/Berlin").dt.date == day
    changed = READINGS.assign(energy_kwh=READINGS["energy_kwh"].where(~here, READINGS["energy_kwh"] * factor))
    for excluded in ({"events": {day}}, {"holidays": {day}}):
        np.testing.assert_array_equal(run(changed, **excluded)["baseline_kwh"], run(**excluded)["baseline_kwh"])


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0, 50))
def test_the_baseline_never_uses_the_events_own_readings(factor):
    inside = (READINGS["start_utc"] >= EVENT.start_utc) & (READINGS["start_utc"] < EVENT.end_utc)
    changed = READINGS.assign(energy_kwh=READINGS["energy_kwh"].where(~inside, READINGS["energy_kwh"] * factor))
    np.testing.assert_array_equal(run(changed)["baseline_kwh"], run()["baseline_kwh"])


@settings(max_examples=25, deadline=None)
@given(level=st.floats(0, 1000), cap=st.floats(0, 0.9))
def test_the_ratio_stays_within_its_cap(level, cap):
    raw, ratio = same_day_ratio(np.full((4, 1), level), np.full((4, 1), 7.0), np.array([True, True, True, False]), cap)
    assert raw[0] == pytest.approx(level / 7)
    assert 1 - cap <= ratio[0] <= 1 + cap


def test_ratio_where_nothing_was_used_or_read_is_one():
    window = np.array([True])
    for actual, unadjusted in ((5.0, 0.0), (np.nan, 5.0)):
        raw, ratio = same_day_ratio(np.array([[actual]]), np.array([[unadjusted]]), window, 0.2)
        assert np.isnan(raw[0])
        assert ratio[0] == 1


def test_an_incomplete_day_is_skipped_whole_for_its_meter_only():
    hole = (READINGS["meter_id"] == "MA") & (READINGS["start_utc"] == pd.Timestamp("2016-05-23T01:00Z"))
    rows = run(READINGS.assign(energy_kwh=READINGS["energy_kwh"].mask(hole)))
    days = rows.groupby("participant_id")["baseline_days"].first()
    assert "2016-05-23" not in days["A"]
    assert days["B"].startswith("2016-05-23")
    assert len(days["A"].split()) == len(days["B"].split()) == 10


def test_too_few_days_do_not_hold_up_the_others():
    local = READINGS["start_utc"].dt.tz_convert("Europe/Berlin").dt.date
    short = READINGS[(READINGS["meter_id"] == "MB") | (local >= date(2016, 5, 19))]
    rows = run(short).set_index("participant_id")
    assert set(rows.loc["A", "fault"]) == {INSUFFICIENT}
    assert rows.loc["A", "baseline_kwh"].isna().all()
    assert rows.loc["A", "actual_kwh"].notna().sum() == rows.loc["B", "actual_kwh"].notna().sum()
    assert rows.loc["B", "baseline_kwh"].notna().any()


def test_a_clock_change_leaves_local_slots_alone():
    """Load that follows the local clock: an event after the change is measured by like days before it without any error."""
    clock = BERLIN
    starts = clock.intervals(date(2016, 2, 10), date(2016, 3, 29))
    hour = starts.tz_convert("Europe/Berlin").hour.to_numpy()
    readings = pd.DataFrame({"meter_id": "MA", "start_utc": starts, "energy_kwh": 1.0 + hour, "quality": "measured"})
    event = event_of("2016-03-29T15:00:00+00:00", "2016-03-29T18:00:00+00:00")
    rows = run(readings, event=event, people=PEOPLE.head(1))
    np.testing.assert_allclose(rows.loc[rows["period"] == "event", "reduction_kwh"], 0, atol=1e-12)


def test_an_event_across_midnight_and_one_on_the_repeated_hour():
    clock = BERLIN
    readings = history(clock, date(2016, 9, 1), date(2016, 10, 30), {"MA": 5.0})
    night = run(readings, event=event_of("2016-10-25T21:00:00+00:00", "2016-10-25T23:00:00+00:00"), people=PEOPLE.head(1))
    assert (night["period"] == "event").sum() == 2
    assert night["baseline_kwh"].notna().all()
    change = run(readings, event=event_of("2016-10-30T00:00:00+00:00", "2016-10-30T02:00:00+00:00"), people=PEOPLE.head(1))
    inside = change[change["period"] == "event"]["baseline_kwh"].to_numpy()
    assert inside[0] == inside[1]  # 02:00 comes twice on that day's clock; both are held against the like days' one 02:00


def test_an_event_from_before_all_readings_has_rows_without_a_baseline():
    for readings in (READINGS.iloc[:0], READINGS[READINGS["start_utc"] >= EVENT.end_utc + timedelta(hours=9)]):
        rows = run(readings)
        assert set(rows["participant_id"]) == {"A", "B"}
        assert set(rows["fault"]) == {INSUFFICIENT}
        assert set(rows["quality"]) == {"missing"}
        assert rows[["baseline_kwh", "actual_kwh", "reduction_kwh"]].isna().all().all()


def test_an_event_without_readings_keeps_the_baseline_of_its_like_days():
    rows = run(READINGS[READINGS["start_utc"] < BERLIN.midnight(date(2016, 5, 24))])
    assert rows["unadjusted_kwh"].notna().all()
    assert set(rows["adjustment_ratio"]) == {1.0}
    assert rows[["actual_kwh", "reduction_kwh"]].isna().all().all()


def test_days_and_classes():
    holidays = holidays_of("DE", {2016})
    assert date(2016, 5, 16) in holidays
    chosen = like_days(date(2016, 5, 24), 14, holidays, {date(2016, 5, 19)})
    assert chosen == [
        d
        for d in reversed(days_between(date(2016, 5, 10), date(2016, 5, 23)))
        if d.weekday() < 5 and d not in (date(2016, 5, 16), date(2016, 5, 19))
    ]
    assert like_days(date(2016, 5, 22), 9, holidays, set()) == [date(2016, 5, d) for d in (21, 16, 15, 14)]
    needed = days_needed(EVENT, BERLIN, TERMS)
    assert (needed[0], needed[-1]) == (date(2016, 4, 8), date(2016, 5, 24))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_mean_of_days_against_a_loop(days, meters, seed):
    rng = np.random.default_rng(seed)
    cube, usable = rng.uniform(0, 9, (days, 3, meters)), rng.random((days, meters)) < 0.7
    mean, chosen, enough = mean_of_days(cube, usable, DayChoice(4, 2, 45))
    for meter in range(meters):
        mine = [d for d in range(days) if usable[d, meter]][:4]
        assert list(np.flatnonzero(chosen[:, meter])) == mine
        assert enough[meter] == (len(mine) >= 2)
        if enough[meter]:
            np.testing.assert_allclose(mean[:, meter], cube[mine, :, meter].mean(axis=0))


def test_times_are_aware():
    assert str(run()["start_utc"].dt.tz) == "UTC"
    assert EVENT.start_utc.tzinfo == UTC or EVENT.start_utc.utcoffset() == timedelta(0)
