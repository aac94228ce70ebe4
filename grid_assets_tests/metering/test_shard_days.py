"""A shard's day as a whole: registers, edits, outages and units together; shards add up; every row has one outcome."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.foundation.tables import Table
from grid_assets.metering.day_axes import DayGrid
from grid_assets.metering.reading_days import ReadingDay, ShardInputs, merge_days, reading_day
from grid_assets.metering.tables import (
    CLASS_PROFILES,
    CORRECTIONS,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    METER_DAYS,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READINGS,
)

DAY = date(2021, 6, 1)
STARTS = pd.date_range("2021-06-01", periods=48, freq="30min", tz="UTC", name="start_utc").as_unit("us")
RULES = ValidationSection()  # type: ignore[call-arg]
IDS = ("b1", "g1", "h1", "h2", "n1", "r1", "r2")
"""A boundary meter, a PV plant, homes, a net-metered home, two meters with registers."""


def grid(*, modulus: float | None = None) -> DayGrid:
    meters = pd.DataFrame(
        {
            "meter_id": IDS, "kind": ["boundary", "generation", *["load"] * 5], "node_id": ["f1", "f1", "f1", "f2", "f2", "f1", "f2"],
            "customer_class": ["grid", "plant", "home", "home", "home", "home", "shop"], "rating_kw": 8.0,
            "net_metered": [False, False, False, False, True, False, False], "photovoltaic": [False, True, *[False] * 5],
            "register_modulus_kwh": modulus,
        }
    )  # fmt: skip
    return DayGrid(DAY, meters, STARTS, 0.5, ZoneInfo("UTC"), {"f1": "s", "f2": "s", "s": None})


def usual(slot: int, meter: str = "h1") -> float:
    return round(1 + 0.02 * slot + 0.3 * (slot % 3) + 0.1 * IDS.index(meter), 6)


def rows(values: list[tuple[str, int, float]], *, file: str = "f", hour: int = 0, kind: str = "interval", unit: str = "kWh") -> pa.Table:
    """From (meter, slot, value); a register read stands at the end of its slot, slot -1 is midnight before the day."""
    frame = pd.DataFrame(values, columns=["meter_id", "slot", "value"])
    at = STARTS[0] + (frame.pop("slot") + (kind == "register")) * pd.Timedelta("30min")
    received = pd.Timestamp("2021-06-02", tz="UTC") + pd.Timedelta(hours=hour)
    frame = frame.assign(
        read_utc=at, unit=unit, kind=kind, file_id=file, source_file=f"{file}.csv", source_row=np.arange(1, len(frame) + 1)
    )
    return RAW_READINGS.conform(frame.assign(received_utc=received))


def whole_day(*meters: str, factor: float = 1.0) -> list[tuple[str, int, float]]:
    return [(meter, slot, factor * usual(slot, meter)) for meter in meters for slot in range(48)]


def standings(meter: str, first: float = 100.0, slots: range = range(-1, 48)) -> list[tuple[str, int, float]]:
    return [(meter, slot, round(first + sum(usual(n, meter) for n in range(slot + 1)), 6)) for slot in slots]


def without(values: list[tuple[str, int, float]], meter: str, slots) -> list[tuple[str, int, float]]:
    return [one for one in values if one[0] != meter or one[1] not in slots]


def corrections(*given_rows: tuple[str, str, int, int, str, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(given_rows, columns=["correction_id", "meter_id", "first", "stop", "action", "energy_kwh"])
    frame["start_utc"], frame["end_utc"] = (
        STARTS[0] + pd.to_timedelta(frame.pop(name).astype(int) * 30, unit="min") for name in ("first", "stop")
    )
    frame = frame.assign(author="ann", entered_utc=STARTS[0], reason="seen", source_file="c.csv", source_row=1)
    return CORRECTIONS.conform(frame).to_pandas()


def outage(first: int, stop: int, meter: str | None = None, node: str | None = None) -> pd.DataFrame:
    at = {"start_utc": STARTS[0] + first * pd.Timedelta("30min"), "end_utc": STARTS[0] + stop * pd.Timedelta("30min")}
    frame = pd.DataFrame(
        [{"outage_id": "o", "meter_id": meter, "node_id": node, "cause": None, "source_file": "o.csv", "source_row": 1, **at}]
    )
    return OUTAGE_EVENTS.conform(frame).to_pandas()


def made_of(raw: pa.Table, **inputs) -> ReadingDay:
    return reading_day(grid(), ShardInputs(raw, **inputs), RULES)


def of(day: ReadingDay, meter: str, table: Table = READINGS) -> pd.DataFrame:
    frame = day.frame(table)
    return frame[frame["meter_id"] == meter].reset_index(drop=True)


def past(*meters: str, factor: float = 1.0) -> list[np.ndarray]:
    one = np.full((len(IDS), 48), np.nan)
    for meter in meters:
        one[IDS.index(meter)] = [factor * usual(slot, meter) for slot in range(48)]
    return [one] * 3


# -- registers ----------------------------------------------------------------------------------------------------


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


def test_a_reading_between_the_edges_of_intervals_is_refused_with_its_reason():
    raw = raw_of([("h1", 5, 1.0, "kWh", "interval", "f1", 0, 7), ("h1", 5, 2.0, "kWh", "interval", "f1", 0, 0)])
    day = made_of(raw)
    assert day.failed[["rules", "arrived_kwh"]].to_numpy().tolist() == [["off_interval", 1.0]]
    assert of(day, "h1")["energy_kwh"][5] == 2.0


def test_a_register_that_counts_no_energy_is_refused_with_its_reason():
    day = made_of(rows([("r1", 3, 12.0)], kind="register", unit="kW"))
    assert day.failed["rules"].tolist() == ["off_interval"]
    assert day.failed["arrived_kwh"].tolist() == [12.0]


def test_a_refused_register_read_and_the_refused_interval_after_it_are_two_failures():
    day = made_of(pa.concat_tables([rows([("r1", 3, 12.0)], kind="register", unit="kW"), rows([("r1", 4, -1.0)], file="g")]))
    assert day.failed["rules"].tolist() == ["off_interval", "negative"]
    assert day.failed["start_utc"][0] < day.failed["start_utc"][1] == STARTS[4]


# -- edits and units ----------------------------------------------------------------------------------------------


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


# -- outages, zeros and nights ------------------------------------------------------------------------------------


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


# -- accounts, shards and forms -----------------------------------------------------------------------------------

VALUES = st.floats(-3, 12, allow_nan=False).map(lambda value: round(value, 2)) | st.sampled_from([0.0, 1.5])
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*IDS, "gone"]), st.integers(0, 47), VALUES, st.sampled_from(["kWh", "kW"]), st.sampled_from(["interval", "register"]),
        st.sampled_from(["f1", "f2"]), st.integers(0, 3), st.sampled_from([0, 0, 0, 7]),
    ),
    max_size=80,
)  # fmt: skip
ACTIONS = st.sampled_from([("replace", 1.25), ("reject", None), ("accept", None)])
CORRECTED = st.lists(st.tuples(st.sampled_from([*IDS, "gone"]), st.integers(0, 40), st.integers(1, 8), ACTIONS), max_size=4)


def raw_of(given_rows) -> pa.Table:
    frame = pd.DataFrame(given_rows, columns=["meter_id", "slot", "value", "unit", "kind", "file_id", "hour", "minute"])
    offset = frame.pop("slot") * 30 + frame.pop("minute") + 30 * (frame["kind"] == "register")
    frame["read_utc"] = STARTS[0] + pd.to_timedelta(offset, unit="min")
    frame["received_utc"] = pd.Timestamp("2021-06-02", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    frame = frame.assign(source_file=frame["file_id"] + ".csv", source_row=np.arange(1, len(frame) + 1))
    return pa.Table.from_pandas(frame[RAW_READINGS.columns], RAW_READINGS.schema, preserve_index=False)


def corrections_of(given_corrections) -> pd.DataFrame:
    return corrections(
        *((f"c{n}", meter, first, first + size, *action) for n, (meter, first, size, action) in enumerate(given_corrections))
    )


@given(ROWS, CORRECTED, st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_row_has_one_outcome_whatever_arrives_and_is_corrected(given_rows, given_corrections, historic):
    raw = raw_of(given_rows)
    day = made_of(raw, corrections=corrections_of(given_corrections), past=past(*IDS) if historic else [], outages=outage(3, 9, node="f1"))
    files = day.file_days
    assert (files["rows"] == files[["published", "rejected", "superseded"]].sum(axis=1)).all()
    counted = {file: sum(row[5] == file for row in given_rows) for file in ("f1", "f2")}
    assert dict(zip(files["file_id"], files["rows"], strict=True)) == {file: count for file, count in counted.items() if count}
    assert files["rejected"].sum() == len(day.failed)
    for table, frame in day.tables().items():
        table.conform(frame)
    readings = day.readings
    assert len(readings) == len(IDS) * 48
    assert (readings["energy_kwh"].isna() == (readings["quality"] == "missing")).all()
    assert (readings["error_kwh"].notna() == (readings["quality"] == "estimated")).all()
    assert (readings["method"].notna() | readings["quality"].isin(["measured", "missing"])).all()
    per_meter = day.meter_days[["valid_intervals", "estimated_intervals", "missing_intervals"]].sum(axis=1)
    assert (per_meter == 48).all()
    own = rows_of_intervals(given_rows)
    published = readings[(readings["quality"] == "measured") & readings["method"].isna()]
    for row in published.itertuples():
        assert row.energy_kwh in own[row.meter_id, row.start_utc]


def rows_of_intervals(given_rows) -> dict[tuple[str, pd.Timestamp], set[float]]:
    found: dict[tuple[str, pd.Timestamp], set[float]] = {}
    for meter, slot, value, unit, *_ in given_rows:
        found.setdefault((meter, STARTS[slot]), set()).add(value * (0.5 if unit == "kW" else 1.0))
    return found


@given(ROWS, CORRECTED, st.integers(1, 6))
@settings(max_examples=16, deadline=None)
def test_two_shards_make_the_day_that_one_makes(given_rows, given_corrections, cut):
    raw, corrected, whole = raw_of(given_rows), corrections_of(given_corrections), grid()
    one = reading_day(whole, ShardInputs(raw, corrections=corrected, past=past(*IDS)), RULES)
    shards = []
    for first, stop in ((0, cut), (cut, len(IDS))):
        lower, upper = (IDS[first] if first else ""), (IDS[stop] if stop < len(IDS) else "~")
        mine = pc.and_(pc.greater_equal(raw["meter_id"], lower), pc.less(raw["meter_id"], upper))
        inputs = ShardInputs(raw.filter(mine), corrections=corrected, past=[day[first:stop] for day in past(*IDS)])
        shards.append(reading_day(whole.part(first, stop), inputs, RULES))
    for table in (READINGS, FAILED_READINGS, EDITED_READINGS, METER_DAYS):
        parts = pa.concat_tables([table.conform(shard.shard_tables[table]) for shard in shards])
        assert parts.equals(table.conform(one.shard_tables[table]))
    merged, alone = merge_days([shard.parts for shard in shards], whole), merge_days([one.parts], whole)
    assert merged[FILE_DAYS].equals(alone[FILE_DAYS])
    for table in (QUALITY_PROFILES, CLASS_PROFILES):
        pd.testing.assert_frame_equal(merged[table].to_pandas(), alone[table].to_pandas(), rtol=1e-12, atol=1e-9)


def test_a_class_and_a_node_whose_meters_lie_in_two_shards_merge_exactly():
    raw, whole = rows(whole_day("h1", "h2", "r1")), grid()
    one = reading_day(whole, ShardInputs(raw), RULES)
    shards = []
    for first, stop in ((0, 3), (3, 5), (5, 7)):  # the homes h1, h2 and r1 apart, and the meters of f1
        mine = raw.filter(pc.is_in(raw["meter_id"], pa.array(IDS[first:stop])))
        shards.append(reading_day(whole.part(first, stop), ShardInputs(mine), RULES))
    merged = merge_days([shard.parts for shard in shards], whole)
    for table, alone in ((CLASS_PROFILES, one.class_profiles), (QUALITY_PROFILES, one.quality_profiles)):
        pd.testing.assert_frame_equal(merged[table].to_pandas(), alone, rtol=1e-12)
    assert (one.class_profiles["deviation_kwh"].dropna() > 0).all()


@given(ROWS)
@settings(max_examples=12, deadline=None)
def test_dictionary_columns_chunks_and_order_change_nothing(given_rows):
    raw = raw_of(given_rows)
    coded = raw
    for name in ("meter_id", "unit", "kind", "file_id", "source_file"):
        coded = coded.set_column(coded.column_names.index(name), name, coded[name].dictionary_encode())
    half = raw.num_rows // 2
    chunks = pa.concat_tables([coded.slice(half), coded.slice(0, half)])
    turned = raw.take(pa.array(np.arange(raw.num_rows)[::-1]))
    expected = made_of(raw).tables()
    for other in (coded, chunks, turned):
        made = made_of(other).tables()
        for table, frame in expected.items():
            assert table.conform(made[table]).equals(table.conform(frame))


def test_the_tables_come_sorted_by_their_keys():
    raw = pa.concat_tables([rows(whole_day(*IDS, factor=3.0)), rows([("gone", 3, 1.0), ("a", 4, 1.0)], file="x")])
    day = made_of(raw, corrections=corrections(("c", "h2", 3, 9, "replace", 1.0), ("d", "b1", 3, 9, "replace", 1.0)))
    for table, made in day.tables().items():
        assert made.num_rows
        assert table.conform(made).equals(pa.Table.from_batches(pa.table(made).to_batches(), made.schema).cast(table.schema))


def test_class_profiles_and_quality_profiles_are_what_plain_sums_say():
    day = made_of(rows([*whole_day("h1", "h2", "n1", "g1"), *without(whole_day("b1"), "b1", [0])]))
    homes = np.array([[usual(n, meter) for n in range(48)] for meter in ("h1", "h2")])
    profile = day.class_profiles[day.class_profiles["customer_class"] == "home"]
    np.testing.assert_allclose(profile["mean_kwh"], homes.mean(axis=0))
    np.testing.assert_allclose(profile["deviation_kwh"], homes.std(axis=0), atol=1e-9)
    quality = day.quality_profiles.set_index(["node_id", "kind"])
    assert quality.index.tolist() == [("f1", "generation"), ("f1", "load"), ("f2", "load")]  # the boundary meter is in none
    f1 = quality.loc[("f1", "load")]
    assert (f1["meters"], f1["valid_pct"], f1["missing_pct"]) == (2, 50.0, 50.0)  # r1 is silent
    assert f1["mean_kwh"] == pytest.approx(homes[0].mean())
    assert f1["maximum_of_rating_pct"] == pytest.approx(100 * homes[0].max() / 4.0)
