"""Days of meters that send their register: differences, exchanges, missing reads and the sum check, in the tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from grid_assets.metering.tables import FAILED_READINGS, METER_DAYS
from grid_assets.metering.vee.reading_days import ShardInputs, reading_day
from grid_assets_tests.metering.made_days import (
    RULES,
    STARTS,
    corrections,
    grid,
    made_of,
    of,
    past,
    rows,
    standings,
    usual,
    whole_day,
    without,
)


def test_a_register_tells_the_same_energy_as_its_intervals():
    by_register = made_of(
        rows(standings("r1", slots=range(48)), kind="register"), opening=rows(standings("r1", slots=range(-1, 0)), kind="register")
    )
    by_interval = made_of(rows(whole_day("r1")))
    one, other = of(by_register, "r1"), of(by_interval, "r1")
    np.testing.assert_allclose(one["energy_kwh"], other["energy_kwh"], atol=1e-6)
    assert set(one["quality"]) == set(other["quality"]) == {"measured"}
    assert set(one["method"]) == {"register"}
    assert of(by_register, "r1", METER_DAYS)["register_kwh"].isna().all()  # it has nothing to be checked against
    assert by_register.file_days[["rows", "published"]].to_numpy().tolist() == [[48, 48]]


def test_without_yesterdays_read_the_first_interval_is_missing():
    one = of(made_of(rows(standings("r1", slots=range(48)), kind="register")), "r1")
    assert one["quality"].tolist() == ["missing", *["measured"] * 47]


def test_the_opening_is_the_newest_read_before_the_day():
    opening = pa.concat_tables(
        [
            rows([("r1", -5, 1.0)], kind="register", hour=9),
            rows([("r1", -1, 100.0)], kind="register", hour=2, file="late"),
            rows([("r1", -1, 50.0)], kind="register", hour=1, file="early"),
            rows([("r1", -1, 7.0)], kind="interval", hour=9),
        ]
    )
    one = of(made_of(rows(standings("r1", slots=range(48)), kind="register"), opening=opening), "r1")
    assert one["energy_kwh"][0] == pytest.approx(usual(0, "r1"))


def test_missing_reads_are_shared_evenly_and_sum_to_the_register():
    values = without(standings("r1"), "r1", range(10, 13))
    one = of(made_of(rows(without(values, "r1", [-1]), kind="register"), opening=rows([values[0]], kind="register")), "r1")
    assert one["quality"][10:14].tolist() == ["estimated"] * 4  # the closing read tells all four
    assert one["method"][10:14].tolist() == ["linear"] * 4
    assert len(set(one["energy_kwh"][10:14].round(9))) == 1
    assert one["energy_kwh"][10:14].sum() == pytest.approx(sum(usual(n, "r1") for n in range(10, 14)))
    assert (one["error_kwh"][10:14] > 0).all()


def test_many_missing_reads_take_the_shape_of_like_days_and_the_sum_of_the_register():
    values = without(standings("r1"), "r1", range(10, 29))
    day = made_of(
        rows(without(values, "r1", [-1]), kind="register"), opening=rows([values[0]], kind="register"), past=past("r1", factor=0.5)
    )
    one = of(day, "r1")
    assert set(one["method"][10:30]) == {"like_days"}
    np.testing.assert_allclose(one["energy_kwh"][10:30], [usual(n, "r1") for n in range(10, 30)], atol=1e-6)


def test_an_exchanged_register_is_a_gap_whose_read_is_refused_and_opens_the_next_interval():
    values = standings("r1", slots=range(20)) + [(m, n, v - 60.0) for m, n, v in standings("r1", slots=range(20, 48))]
    day = made_of(rows(values, kind="register"), opening=rows(standings("r1", slots=range(-1, 0)), kind="register"))
    one = of(day, "r1")
    assert one["quality"].tolist() == [*["measured"] * 20, "estimated", *["measured"] * 27]
    assert one["rule_failures"][20] == "meter_exchange"
    (failed,) = of(day, "r1", FAILED_READINGS).to_dict("records")
    assert (failed["rules"], failed["start_utc"], failed["source_row"]) == ("meter_exchange", STARTS[20], 21)
    assert failed["arrived_kwh"] == pytest.approx(usual(20, "r1") - 60.0)
    accepted = made_of(rows(values, kind="register"), opening=rows(standings("r1", slots=range(-1, 0)), kind="register"),
                       corrections=corrections(("c", "r1", 18, 22, "accept", None)))  # fmt: skip
    assert accepted.failed["rules"].tolist() == ["meter_exchange"]  # there is no value that could be accepted
    assert accepted.file_days[["published", "rejected"]].to_numpy().tolist() == [[47, 1]]
    told = of(day, "r1", METER_DAYS).iloc[0]
    assert (told["flags"], told["offline_longest_s"]) == ("meter_exchange", 0.0)
    assert day.file_days[["published", "rejected"]].to_numpy().tolist() == [[47, 1]]


def test_a_read_after_a_gap_that_no_service_could_have_counted_is_an_exchange():
    values = standings("r1", slots=range(20)) + [(m, n, v + 600.0) for m, n, v in standings("r1", slots=range(24, 48))]
    day = made_of(rows(values, kind="register"), opening=rows(standings("r1", slots=range(-1, 0)), kind="register"))
    assert of(day, "r1")["rule_failures"].dropna().to_dict() == {24: "meter_exchange"}
    assert day.failed["rules"].tolist() == ["meter_exchange"]
    assert of(day, "r1")["energy_kwh"][20:25].isna().all()


def test_a_register_that_counts_in_wh_for_a_day_is_brought_to_kwh_with_its_totals():
    """The opening is still in kWh; a jump stands at 40, and the reads from 10 to 12 are missing."""
    values = [(meter, slot, 1000 * (standing + (50 if slot >= 40 else 0))) for meter, slot, standing in standings("r1")]
    raw = rows(without(values[1:], "r1", range(10, 13)), kind="register")
    day = made_of(raw, opening=rows(standings("r1", slots=range(-1, 0)), kind="register"), past=past("r1"))
    one = of(day, "r1")
    np.testing.assert_allclose(one["energy_kwh"][1:10], [usual(n, "r1") for n in range(1, 10)])
    assert one["energy_kwh"][10:14].sum() == pytest.approx(sum(usual(n, "r1") for n in range(10, 14)))
    assert one["rule_failures"].dropna().to_dict() == {0: "above_rating", 40: "above_rating"}
    failed = day.failed.set_index("start_utc")["arrived_kwh"]
    assert failed[STARTS[40]] == pytest.approx(1000 * (usual(40, "r1") + 50))
    assert of(day, "r1", METER_DAYS)["flags"][0] == "above_rating scaled_wh"


def test_a_register_rolls_over_at_its_own_modulus_or_the_sites():
    values = [(meter, slot, standing % 150.0) for meter, slot, standing in standings("r1")]
    raw, opening = rows(values[1:], kind="register"), rows(values[:1], kind="register")
    one = reading_day(grid(modulus=150.0), ShardInputs(raw, opening), RULES).readings
    assert set(one[one["meter_id"] == "r1"]["quality"]) == {"measured"}
    site = RULES.model_copy(update={"register_modulus_kwh": 150.0})
    assert set(of(reading_day(grid(), ShardInputs(raw, opening), site), "r1")["quality"]) == {"measured"}
    assert "meter_exchange" in of(made_of(raw, opening=opening), "r1", METER_DAYS)["flags"][0]


@pytest.mark.parametrize(("factor", "flag"), [(1.0, None), (1.01, None), (1.03, "register_mismatch")])
def test_intervals_are_checked_against_the_register_of_the_same_meter(factor, flag):
    raw = pa.concat_tables([rows(whole_day("r1", factor=factor)), rows(standings("r1", slots=range(48)), kind="register", file="reg")])
    day = made_of(raw, opening=rows(standings("r1", slots=range(-1, 0)), kind="register"))
    one = of(day, "r1", METER_DAYS).iloc[0]
    assert one["flags"] == flag
    assert one["register_kwh"] == pytest.approx(sum(usual(n, "r1") for n in range(48)))
    assert set(of(day, "r1")["method"].dropna()) == set()
    assert day.file_days["published"].tolist() == [48, 48]  # the reads served the check


def test_a_register_fills_the_gap_of_its_meters_intervals_exactly():
    raw = pa.concat_tables(
        [rows(without(whole_day("r1"), "r1", [7, *range(20, 30)])), rows(standings("r1", slots=range(48)), kind="register", file="reg")]
    )
    one = of(made_of(raw, opening=rows(standings("r1", slots=range(-1, 0)), kind="register")), "r1")
    np.testing.assert_allclose(one["energy_kwh"], [usual(n, "r1") for n in range(48)], atol=1e-6)
    assert set(one["quality"]) == {"measured"}
    assert one["method"].dropna().index.tolist() == [7, *range(20, 30)]


def test_a_register_read_is_not_refused_with_the_interval_that_the_meter_sent_itself():
    values = whole_day("r1")
    values[5] = ("r1", 5, -1.0)
    raw = pa.concat_tables([rows(values), rows(standings("r1", slots=range(48)), kind="register", file="reg")])
    day = made_of(raw, opening=rows(standings("r1", slots=range(-1, 0)), kind="register"))
    assert day.file_days.set_index("file_id")[["published", "rejected"]].to_numpy().tolist() == [[47, 1], [48, 0]]
    one = of(day, "r1")
    assert one.loc[5, ["quality", "rule_failures"]].tolist() == ["estimated", "negative"]
    assert one["energy_kwh"][5] == pytest.approx(usual(5, "r1"))  # the register tells it


def test_a_register_that_counts_no_energy_is_refused_with_its_reason():
    day = made_of(rows([("r1", 3, 12.0)], kind="register", unit="kW"))
    assert day.failed["rules"].tolist() == ["off_interval"]
    assert day.failed["arrived_kwh"].tolist() == [12.0]


def test_a_refused_register_read_and_the_refused_interval_after_it_are_two_failures():
    day = made_of(pa.concat_tables([rows([("r1", 3, 12.0)], kind="register", unit="kW"), rows([("r1", 4, -1.0)], file="g")]))
    assert day.failed["rules"].tolist() == ["off_interval", "negative"]
    assert day.failed["start_utc"][0] < day.failed["start_utc"][1] == STARTS[4]


def by_register(values: list[tuple[str, int, float]], **inputs):
    return made_of(rows(values[1:], kind="register"), opening=rows(values[:1], kind="register"), **inputs)


@pytest.mark.parametrize("size", [500.0, 3.9, 2.8])
@pytest.mark.parametrize("meters_past", [(), ("r1",)])
def test_a_refused_difference_does_not_come_back_as_an_estimate(size, meters_past):
    """A jump of the register over the rating, and below it one that stands out."""
    values = [(m, n, v / 3 + (size if n >= 20 else 0)) for m, n, v in standings("r1")]
    one = of(by_register(values, past=past(*meters_past, factor=1 / 3)), "r1")
    assert one["rule_failures"][20] in ("above_rating", "spike")
    assert one["quality"][20] == "estimated"
    assert one["energy_kwh"][20] == pytest.approx(usual(20, "r1") / 3, abs=0.2)
    assert one["error_kwh"][20] > 0
    assert one["quality"].tolist().count("measured") == 47


def test_stuck_differences_do_not_come_back_as_estimates():
    change = [0.3 if 20 <= n < 30 else 0.75 + n % 7 / 64 for n in range(48)]
    values = [("r1", n, 100 + sum(change[: n + 1])) for n in range(-1, 48)]
    one = of(by_register(values), "r1")
    refused = one["rule_failures"] == "stuck"
    assert refused[20:30].all()
    assert not np.isclose(one["energy_kwh"][20:30], 0.3, atol=1e-6).any()


def test_what_an_analyst_refuses_does_not_come_back_as_an_estimate():
    """Two differences of reads in a row; and an even share of a total over all of its intervals, or over some."""
    change = {10: 1.5, 11: -1.0}
    values = [(m, n, round(v + sum(change.get(k, 0) for k in range(n + 1)), 6)) for m, n, v in standings("r1")]
    plain, edited = by_register(values), by_register(values, corrections=corrections(("c", "r1", 10, 12, "reject", None)))
    before, after = of(plain, "r1")["energy_kwh"], of(edited, "r1")
    assert after["quality"][10:12].tolist() == ["estimated"] * 2
    assert (np.abs(after["energy_kwh"][10:12] - before[10:12]) > 0.3).all()
    gap = without(standings("r1"), "r1", range(20, 23))
    before = of(by_register(gap), "r1")["energy_kwh"]
    whole = of(by_register(gap, corrections=corrections(("c", "r1", 20, 24, "reject", None))), "r1")["energy_kwh"]
    assert whole[20:24].sum() != pytest.approx(before[20:24].sum())
    part = of(by_register(gap, corrections=corrections(("c", "r1", 20, 22, "reject", None))), "r1")["energy_kwh"]
    assert part[20:24].sum() == pytest.approx(before[20:24].sum())


def test_the_register_tells_what_an_analyst_refused_of_the_intervals():
    sent = whole_day("r1")
    sent[5] = ("r1", 5, 3.9)
    raw = pa.concat_tables([rows(sent), rows(standings("r1", slots=range(48)), kind="register", file="reg")])
    opening = rows(standings("r1", slots=range(-1, 0)), kind="register")
    one = of(made_of(raw, opening=opening, corrections=corrections(("c", "r1", 5, 6, "reject", None))), "r1")
    assert one["energy_kwh"][5] == pytest.approx(usual(5, "r1"))


def test_one_read_a_day_shared_evenly_is_no_straight_line():
    ends = [standings("r1")[0], standings("r1")[-1]]
    one = of(by_register(ends), "r1")
    assert set(one["method"]) == {"register_even"}
    assert set(one["quality_code"]) == {"3.8.5"}
    assert one["energy_kwh"].sum() == pytest.approx(sum(usual(n, "r1") for n in range(48)))
    shaped = of(by_register(ends, past=past("r1", factor=0.5)), "r1")
    assert set(shaped["method"]) == {"like_days"}
