"""Days in a wrong unit, corrected days, outages, zeros and nights, in the tables."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.metering.tables import EDITED_READINGS, METER_DAYS
from grid_assets.metering.vee.reading_days import ShardInputs, reading_day
from grid_assets_tests.metering.made_days import (
    IDS,
    RULES,
    STARTS,
    corrections,
    grid,
    made_of,
    of,
    outage,
    past,
    rows,
    usual,
    whole_day,
    without,
)


def test_a_day_in_wh_is_edited_before_any_rule_and_says_so():
    values = whole_day("h1", factor=1000.0)
    values[9] = ("h1", 9, 9e6)
    day = made_of(rows(values), past=past("h1"))
    one = of(day, "h1")
    assert one["quality"].tolist() == [*["edited"] * 9, "estimated", *["edited"] * 38]
    assert set(one["quality_code"]) == {"3.7.0", "3.8.1"}
    np.testing.assert_allclose(one["energy_kwh"].drop(9), [usual(n) for n in range(48) if n != 9])
    assert one["rule_failures"][9] == "above_rating"
    assert day.failed["arrived_kwh"].tolist() == [9e6]
    edits = of(day, "h1", EDITED_READINGS)
    assert len(edits) == 47
    assert set(edits["method"]) == {"scaled_wh"}
    np.testing.assert_allclose(edits["replaced_kwh"], 1000 * edits["energy_kwh"])
    told = of(day, "h1", METER_DAYS).iloc[0]
    assert (told["flags"], told["edited_intervals"], told["valid_intervals"]) == ("above_rating scaled_wh", 47, 47)
    assert day.file_days[["published", "rejected"]].to_numpy().tolist() == [[47, 1]]


def test_a_day_in_wh_does_not_shift_its_class():
    plain = made_of(rows(whole_day("h1", "h2")), past=past("h1", "h2"))
    scaled = made_of(rows([*whole_day("h1", factor=1000.0), *whole_day("h2")]), past=past("h1", "h2"))
    pd.testing.assert_frame_equal(plain.class_profiles, scaled.class_profiles)
    homes = scaled.class_profiles[scaled.class_profiles["customer_class"] == "home"]
    assert homes["meters"].tolist() == [2] * 48
    assert set(scaled.class_profiles["customer_class"]) == {"home", "shop"}  # generation and boundary meters are in none


def test_replaced_values_are_edited_and_leave_a_trace():
    day = made_of(rows([*whole_day("h1")[:10], ("h1", 10, -3.0)]), corrections=corrections(("c1", "h1", 9, 12, "replace", 2.5)))
    one = of(day, "h1")
    assert one["energy_kwh"][9:12].tolist() == [2.5] * 3
    assert one["quality"][9:12].tolist() == ["edited"] * 3
    assert one["method"][9:12].tolist() == ["correction"] * 3
    assert one["quality_code"][9:12].tolist() == ["3.7.0"] * 3
    edits = day.edited
    assert edits["replaced_kwh"].tolist()[:2] == [usual(9), -3.0]
    assert np.isnan(edits["replaced_kwh"][2])
    assert set(edits["author"]) == {"ann"}
    assert set(edits["correction_id"]) == {"c1"}
    assert set(edits["reason"]) == {"replace: seen"}
    assert day.failed["rules"].tolist() == ["negative"]
    assert day.file_days[["rows", "published", "rejected", "superseded"]].to_numpy().tolist() == [[11, 9, 1, 1]]
    assert of(day, "h1", METER_DAYS)[["valid_intervals", "edited_intervals"]].to_numpy().tolist() == [[12, 3]]


def test_a_refused_value_is_estimated_and_an_accepted_one_published():
    values = whole_day("h1")
    values[20] = ("h1", 20, 4.5)
    corrected = corrections(("c1", "h1", 5, 6, "reject", None), ("c2", "h1", 20, 22, "accept", None), ("c3", "h2", 5, 6, "reject", None))
    day = made_of(rows(values), corrections=corrected)
    one = of(day, "h1")
    assert one.loc[5, ["quality", "method", "rule_failures"]].tolist() == ["estimated", "linear", "correction"]
    assert one["energy_kwh"][5] == pytest.approx((usual(4) + usual(6)) / 2)
    assert one.loc[20, ["energy_kwh", "quality", "method", "rule_failures"]].tolist() == [4.5, "edited", "correction", "above_rating"]
    assert one["quality"][21] == "measured"  # it needed no pardon
    assert day.edited[["correction_id", "replaced_kwh"]].to_numpy().tolist() == [["c1", usual(5)], ["c2", 4.5]]
    assert day.edited["energy_kwh"].tolist() == [pytest.approx((usual(4) + usual(6)) / 2), 4.5]
    assert day.failed["rules"].tolist() == ["correction"]
    assert day.file_days[["published", "rejected"]].to_numpy().tolist() == [[47, 1]]


def test_an_accepted_value_of_a_scaled_day_is_the_arrived_one():
    day = made_of(rows(whole_day("h1", factor=1000.0)), past=past("h1"), corrections=corrections(("c", "h1", 4, 5, "accept", None)))
    one = of(day, "h1")
    assert one["energy_kwh"][4] == pytest.approx(1000 * usual(4))
    assert one["method"][4] == "correction"
    assert one["energy_kwh"][5] == pytest.approx(usual(5))
    assert day.edited.set_index("start_utc").loc[STARTS[4], "replaced_kwh"] == pytest.approx(1000 * usual(4))


def with_zeros(meter: str, first: int, stop: int) -> list[tuple[str, int, float]]:
    return [(one, slot, 0.0 if first <= slot < stop else value) for one, slot, value in whole_day(meter)]


def test_zeros_are_faults_without_an_outage_and_a_power_failure_with_one():
    raw = rows(with_zeros("h1", 10, 22))
    refused = of(made_of(raw, past=past("h1")), "h1")
    assert refused["rule_failures"][10:22].tolist() == ["zero_run"] * 12
    assert set(refused["method"][10:22]) == {"like_days"}
    for event in (outage(10, 22, meter="h1"), outage(10, 22, node="f1"), outage(10, 22, node="s")):
        known = of(made_of(raw, past=past("h1"), outages=event), "h1")
        assert known["quality_code"][10:22].tolist() == ["1.2.32"] * 12
        assert known["quality"][10:22].tolist() == ["measured"] * 12
        assert (known["energy_kwh"][10:22] == 0).all()
        assert set(known["quality_code"].drop(range(10, 22))) == {"3.0.0"}
    longer = of(made_of(raw, past=past("h1"), outages=outage(8, 22, meter="h1")), "h1")
    assert longer["quality_code"][8:11].tolist() == ["3.0.0", "3.0.0", "1.2.32"]  # energy flowed: no power failure there
    other = of(made_of(raw, past=past("h1"), outages=outage(10, 22, node="f2")), "h1")
    assert other["rule_failures"][10:22].tolist() == ["zero_run"] * 12
    assert of(made_of(raw), "h1")["quality"].tolist() == ["measured"] * 48  # nobody knows what is usual


def test_nothing_flows_while_an_outage_lasts_though_nothing_arrived():
    raw = rows(without(whole_day("h1"), "h1", range(10, 25)))
    one = of(made_of(raw, past=past("h1"), outages=outage(10, 20, meter="h1")), "h1")
    assert (one["energy_kwh"][10:20] == 0).all()
    assert set(one["method"][10:20]) == {"outage"}
    assert set(one["method"][20:25]) == {"like_days"}
    assert (one["energy_kwh"][20:25] > 0).all()
    refused = of(made_of(rows([*whole_day("h1")[:15], ("h1", 15, -1.0)]), past=past("h1"), outages=outage(10, 20, meter="h1")), "h1")
    assert refused["method"][15] == "like_days"  # something did arrive: the meter was not without supply
    assert (refused["energy_kwh"][10:15] > 0).all()


def test_a_photovoltaic_meter_does_not_generate_at_night():
    night = np.arange(48) < 8
    day = made_of(rows(whole_day("g1", "h1")), night=night)
    assert of(day, "g1")["rule_failures"][:9].tolist() == ["pv_at_night"] * 8 + [None]
    assert of(day, "h1")["rule_failures"].isna().all()
    assert of(made_of(rows(whole_day("g1"))), "g1")["rule_failures"].isna().all()


def test_negative_energy_is_for_net_meters_and_boundaries():
    day = made_of(rows([(meter, 5, -1.0) for meter in IDS]))
    assert day.failed["meter_id"].tolist() == ["g1", "h1", "h2", "r1", "r2"]


@pytest.mark.parametrize(("factor", "flag"), [(1.0, None), (3.0, "low_usage"), (5.0, "low_usage"), (0.2, "high_usage")])
def test_a_day_of_unusual_energy_is_flagged_and_stays(factor, flag):
    rules = RULES.model_copy(update={"usage_ratio": 2.9})
    day = reading_day(grid(), ShardInputs(rows(whole_day("h1", "n1")), past=past("h1", "n1", factor=factor)), rules)
    one = of(day, "h1", METER_DAYS).iloc[0]
    assert one["flags"] == flag
    assert one["usual_kwh"] == pytest.approx(factor * sum(usual(n) for n in range(48)))
    assert set(of(day, "h1")["quality"]) == {"measured"}
    assert of(day, "n1", METER_DAYS)["flags"].tolist() == [None]
    part = reading_day(grid(), ShardInputs(rows(whole_day("h1")[:38]), past=past("h1", factor=factor)), rules)
    assert of(part, "h1", METER_DAYS)["flags"].tolist() == [None]  # too little of the day is known


def test_what_was_refused_and_could_not_be_estimated_says_so_in_its_code():
    one = of(
        made_of(rows([("h1", 0, -1.0), ("h1", 1, 1.0), ("h1", 2, 1.5)]), corrections=corrections(("c", "h1", 2, 3, "reject", None))), "h1"
    )
    assert one["quality"][:4].tolist() == ["missing", "measured", "missing", "missing"]
    assert one["quality_code"][:4].tolist() == ["3.5.259", "3.0.0", "3.6.0", "2.5.259"]


def test_zeros_of_an_outage_that_nobody_closed_are_not_sure():
    event = outage(0, 48, node="f1").assign(end_utc=pd.NaT)
    raw = rows(whole_day("h1")[:24])
    one = of(made_of(raw, past=past("h1"), outages=event), "h1")
    assert set(one["method"][24:]) == {"like_days"}  # it reported meanwhile: its outage is over
    raw = rows(whole_day("r1")[:24])
    dark = of(made_of(raw, past=past("h1"), outages=event), "h1")
    assert set(dark["method"]) == {"outage"}
    np.testing.assert_allclose(dark["error_kwh"], [usual(n) for n in range(48)])
    unknown = of(made_of(raw, outages=event), "h1")
    assert (unknown["error_kwh"] == 4.0).all()  # all that its service carries
    told = of(made_of(raw, past=past("h1"), outages=outage(0, 48, node="f1")), "h1")
    assert (told["error_kwh"] == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 15), st.integers(0, 46), st.integers(1, 40), st.booleans(), st.booleans())
def test_an_outage_within_a_register_gap_leaves_the_registers_total(first, lacking, begin, length, known, flows):
    """Reads are missing from ``first`` on; an outage lies anywhere, and the register may say that energy flowed all the same."""
    stop = min(begin + length, 48)
    kwh = [0.0 if begin <= n < stop and not flows else usual(n, "r1") for n in range(48)]
    values = [("r1", n, round(100 + sum(kwh[: n + 1]), 6)) for n in range(-1, 48) if not first <= n < first + lacking]
    event = outage(begin, stop, meter="r1")
    opening = rows(values[:1], kind="register")
    one = of(made_of(rows(values[1:], kind="register"), opening=opening, outages=event, past=past("r1") if known else []), "r1")
    gap = one["energy_kwh"][first : first + lacking + 1]
    assert gap.sum() == pytest.approx(sum(kwh[first : first + lacking + 1]), abs=1e-6)
    assert (gap <= 4.0 + 1e-9).all()
    covered = [n for n in range(first, first + lacking) if begin <= n < stop]
    if not flows:
        assert (gap[covered] == 0).all()


def test_a_day_in_wh_without_a_past_says_that_nothing_confirms_it():
    raw = rows(whole_day("h1", "h2", factor=1000.0))
    day = made_of(raw, past=past("h1"))
    assert set(of(day, "h1")["quality_code"]) == {"3.7.0"}
    assert set(of(day, "h2")["quality_code"]) == {"3.7.1"}
    assert set(of(day, "h2")["method"]) == {"scaled_wh"}
    near = made_of(rows([("h1", n, 5.2 + n % 5 / 10) for n in range(48)]))  # over its rating of 4 kWh
    assert set(of(near, "h1")["rule_failures"]) == {"above_rating"}
    assert of(near, "h1")["energy_kwh"].isna().all()
    far = made_of(rows([("h1", n, 12.5 + n % 5 if n % 8 else 2.0) for n in range(48)]))
    assert set(of(far, "h1")["rule_failures"]) == {"above_rating"}  # 2 kWh, or 2 Wh: nobody knows
    known = made_of(rows([("h1", n, 12.5 + n % 5 if n % 8 else 2.0) for n in range(48)]), past=past("h1"))
    assert of(known, "h1")["rule_failures"].isna().sum() == 6


def test_a_class_without_a_known_mean_is_no_fault():
    empty = pd.DataFrame({"customer_class": "home", "start_utc": STARTS, "meters": 0, "mean_kwh": np.nan, "deviation_kwh": np.nan})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(of(made_of(rows(whole_day("h1")), class_past=empty), "h1")["quality"]) == {"measured"}


def test_hourly_energy_is_not_taken_for_half_hourly():
    hourly = [("h1", n, 1.5 * usual(n)) for n in range(0, 44, 2)]
    day = made_of(rows([*hourly, *whole_day("h2")]), past=past("h1"))
    one = of(day, "h1")
    assert set(one["rule_failures"].dropna()) == {"interval_length"}
    assert one["rule_failures"].notna().sum() == 22
    assert set(one["method"]) == {"like_days"}
    assert of(day, "h1", METER_DAYS)["flags"][0] == "interval_length"
    assert set(of(day, "h2")["quality"]) == {"measured"}
    assert day.file_days[["rows", "published", "rejected"]].to_numpy().tolist() == [[70, 48, 22]]
