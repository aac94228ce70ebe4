"""A day of measurements: newest arrivals, units, limits, steps, stuck values, gaps; every row accounted for."""

from __future__ import annotations

from datetime import date
from time import process_time
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import QuantityLimits
from grid_assets.metering import measurement_rules
from grid_assets.metering.measurements import SILENT, MeasurementDay, devices_in_force, measurement_day
from grid_assets.metering.tables import DEVICE_DAYS, LANDED_MEASUREMENTS, MEASUREMENT_FILE_DAYS, MEASUREMENTS

DAY = date(2021, 3, 28)  # 23 hours
CLOCK = SiteCalendar(ZoneInfo("Europe/London"), 30, date(2021, 3, 1), date(2021, 4, 30), 9, 2)
START = pd.Timestamp(CLOCK.midnight(DAY))
BEGIN = pd.Timestamp("2020-01-01", tz="UTC")
DEVICES = pd.DataFrame(
    [("b1", "battery_monitor", "f1", 600.0), ("g1", "grid_sensor", "s1", 1800.0), ("w1", "weather_station", None, np.nan)],
    columns=["device_id", "kind", "node_id", "reporting_s"],
).assign(unit_id=None, valid_from_utc=BEGIN)
DEVICES["valid_to_utc"] = pd.to_datetime(pd.Series([None] * len(DEVICES)), utc=True)
METERS = pd.DataFrame([("m1", "load", "f1")], columns=["meter_id", "kind", "node_id"]).assign(valid_from_utc=BEGIN)
METERS["valid_to_utc"] = pd.to_datetime(pd.Series([None]), utc=True)


def rows(*told, file="a", received="2021-03-29T05:00:00Z") -> pd.DataFrame:
    """Landed rows from (device, quantity, minute of the day, value, unit)."""
    frame = pd.DataFrame(told, columns=["device_id", "quantity", "minute", "value", "unit"])
    frame["read_utc"] = START + pd.to_timedelta(frame.pop("minute"), unit="min")
    return frame.assign(
        file_id=file, source_file=f"{file}.jsonl", source_row=np.arange(1, len(frame) + 1), day=DAY, received_utc=pd.Timestamp(received)
    )


def made(*parts: pd.DataFrame, of_site=None) -> MeasurementDay:
    landed = LANDED_MEASUREMENTS.conform(pd.concat(parts, ignore_index=True)) if parts else LANDED_MEASUREMENTS.empty()
    day = measurement_day(landed, devices_in_force(DEVICES, METERS, CLOCK, DAY), CLOCK, DAY, of_site or {})
    for table, frame in day.tables().items():
        table.conform(frame)
    return day


def values_of(day: MeasurementDay) -> list[tuple]:
    frame = MEASUREMENTS.conform(day.measurements).to_pandas()
    return list(
        frame[["device_id", "quantity", "value", "unit", "quality", "rule_failures", "arrived_value"]].itertuples(index=False, name=None)
    )


def counts_of(day: MeasurementDay) -> dict[str, tuple[int, ...]]:
    frame = day.file_days.set_index("file_id")[["rows", "published", "rejected", "superseded"]]
    return {str(key): tuple(row) for key, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)}


def test_units_are_brought_to_the_quantity_and_the_newest_arrival_counts():
    early = rows(("g1", "voltage", 0, 0.4, "kV"), ("g1", "temperature", 0, 300.15, "K"), ("m1", "voltage", 0, 230, "V"))
    late = rows(("g1", "voltage", 0, 231.0, "V"), file="0", received="2021-03-29T06:00:00Z")
    day = made(late, early)
    assert [one[:4] for one in values_of(day)] == [
        ("g1", "temperature", pytest.approx(27.0), "degC"), ("g1", "voltage", 231.0, "V"), ("m1", "voltage", 230.0, "V"),
    ]  # fmt: skip
    assert counts_of(day) == {"0": (1, 1, 0, 0), "a": (3, 2, 0, 1)}


def test_a_failed_value_stays_visible_and_is_coded():
    day = made(rows(("b1", "soc", 0, 50, "pct"), ("b1", "soc", 10, 101, "pct"), ("b1", "soc", 20, 51, "pct"), ("x9", "soc", 0, 5, "pct"),
                    ("g1", "voltage", 0, 7, "degC")), of_site={"voltage": QuantityLimits(maximum=300)})  # fmt: skip
    frame = MEASUREMENTS.conform(day.measurements).to_pandas()
    told = frame.set_index(["device_id", "arrived_value"])[["quality", "quality_code", "rule_failures", "unit"]]
    assert tuple(told.loc[("b1", 101.0)]) == ("rejected", "3.5.259", "limits", "pct")
    assert tuple(told.loc[("x9", 5.0)]) == ("rejected", "3.6.0", "not_in_force", "pct")
    assert tuple(told.loc[("g1", 7.0)]) == ("rejected", "3.6.0", "unit", "degC")
    assert tuple(told.loc[("b1", 51.0)]) == ("measured", "3.0.0", None, "pct")
    assert frame["value"].isna().sum() == 3
    assert counts_of(day) == {"a": (5, 2, 3, 0)}
    figures = day.figures()
    assert {name: figures[name] for name in ("rejected_limits", "rejected_not_in_force", "rejected_unit")} == {
        "rejected_limits": 1, "rejected_not_in_force": 1, "rejected_unit": 1,
    }  # fmt: skip


def test_a_site_overrides_single_keys_of_a_quantity_and_of_its_phases():
    site = {"voltage": QuantityLimits(minimum=200), "voltage_l1": QuantityLimits(maximum=260)}
    assert measurement_rules.limits_of("voltage_l1", site) == QuantityLimits(minimum=200, maximum=260)
    assert measurement_rules.limits_of("voltage_l2", site) == QuantityLimits(minimum=200, maximum=1_200_000)
    assert measurement_rules.limits_of("active_power", site) == QuantityLimits()


def failed(quantity: str, told: list[float], minutes=None, **limits) -> list[str | None]:
    minutes = minutes or [10 * n for n in range(len(told))]
    unit = {"temperature": "degC", "soc": "pct", "wind_speed": "m/s"}[quantity]
    day = made(
        rows(*[("w1", quantity, m, v, unit) for m, v in zip(minutes, told, strict=True)]), of_site={quantity: QuantityLimits(**limits)}
    )
    return MEASUREMENTS.conform(day.measurements)["rule_failures"].to_pylist()


def test_a_step_is_a_value_away_from_both_neighbours_and_a_level_that_stays_is_none():
    assert failed("temperature", [10, 11, 30, 12, 12], largest_step=5) == [None, None, "step", None, None]
    assert failed("temperature", [10, 11, 30, 31, 31], largest_step=5) == [None] * 5
    assert failed("temperature", [10, 11, 12, 30], largest_step=5) == [None, None, None, "step"]
    assert failed("temperature", [10, 500, 11, 12], largest_step=5) == [None, "limits", None, None]
    assert failed("temperature", [10, 30, 31], [0, 300, 310], largest_step=5) == [None] * 3  # five hours of silence say nothing


def test_stuck_values_are_runs_of_equal_ones_that_are_not_zero():
    assert failed("temperature", [5, 7, 7, 7, 8], stuck_values=3) == [None, "stuck", "stuck", "stuck", None]
    assert failed("temperature", [5, 7, 7, 8], stuck_values=3) == [None] * 4
    assert failed("wind_speed", [0, 0, 0, 0], stuck_values=3) == [None] * 4


def test_device_days_tell_gaps_counts_and_silent_devices():
    every_ten = [("b1", "soc", 10 * n, 40 + n % 3, "pct") for n in range(138) if not 30 <= n < 36]
    day = made(rows(*every_ten, ("w1", "temperature", 60, 9, "degC"), ("b1", "soc", 300, 150, "pct")))
    table = DEVICE_DAYS.conform(day.device_days).to_pandas().set_index(["device_id", "quantity"])
    battery = table.loc[("b1", "soc")]
    assert (battery["values"], battery["expected_values"], battery["kind"], battery["node_id"]) == (133, 138, "battery_monitor", "f1")
    assert battery["offline_longest_s"] == 50 * 60  # the value at minute 300 was rejected, but the device spoke
    assert battery["valid_pct"] == pytest.approx(100 * 132 / 133)
    assert (battery["minimum"], battery["maximum"], battery["flags"]) == (40, 42, "limits")
    assert table.loc[("w1", "temperature"), "offline_longest_s"] == 22 * 3600
    assert np.isnan(table.loc[("w1", "temperature"), "expected_values"])
    silent = table.loc[("g1", SILENT)]
    assert (silent["values"], silent["expected_values"], silent["offline_longest_s"], silent["flags"]) == (0, 46, 23 * 3600, SILENT)
    assert len(table) == 3


def test_a_device_that_begins_and_ends_within_the_day_is_judged_by_its_own_time():
    begin, end = START + pd.Timedelta(hours=6), START + pd.Timedelta(hours=9)
    devices = pd.concat([DEVICES.assign(device_id="n1", valid_from_utc=begin, valid_to_utc=end).head(1), DEVICES.head(0)])
    known = devices_in_force(devices, METERS.head(0), CLOCK, DAY)
    told = [("n1", "soc", minute, 50 + minute / 100, "pct") for minute in (350, 360, 530, 540)]
    landed = LANDED_MEASUREMENTS.conform(rows(*told))
    day = measurement_day(landed, known, CLOCK, DAY, {})
    assert MEASUREMENTS.conform(day.measurements)["rule_failures"].to_pylist() == ["not_in_force", None, None, "not_in_force"]
    (row,) = DEVICE_DAYS.conform(day.device_days).to_pylist()
    assert (row["expected_values"], row["offline_longest_s"]) == (18, 160 * 60)
    silent = measurement_day(LANDED_MEASUREMENTS.empty(), known, CLOCK, DAY, {}).device_days
    assert silent["offline_longest_s"].tolist() == [3 * 3600]


def test_a_punctual_device_was_never_offline():
    day = made(rows(*[("g1", "frequency", 30 * n, 50, "Hz") for n in range(46)]))
    assert day.device_days.set_index("device_id").loc["g1", "offline_longest_s"] == 0


def test_a_day_without_measurements_has_no_rows_but_names_silent_devices():
    day = made()
    assert MEASUREMENTS.conform(day.measurements).num_rows == 0
    assert MEASUREMENT_FILE_DAYS.conform(day.file_days).num_rows == 0
    assert sorted(day.device_days["device_id"]) == ["b1", "g1"]


ROW = st.tuples(
    st.sampled_from(["b1", "g1", "m1", "x9"]), st.sampled_from([("soc", "pct"), ("soc", "-"), ("voltage", "kV"), ("voltage", "pct")]),
    st.sampled_from([0, 10, 20, 500]), st.sampled_from([0.0, 1.0, 40.0, 99.5, 101.0, -3.0]), st.sampled_from("abc"), st.integers(0, 3),
)  # fmt: skip


def landed_from(drawn: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(drawn, columns=["device_id", "what", "minute", "value", "file_id", "hour"])
    what = pd.DataFrame(frame["what"].tolist(), columns=["quantity", "unit"])
    return frame[["device_id", "value", "file_id"]].assign(
        quantity=what["quantity"], unit=what["unit"], day=DAY, source_row=np.arange(1, len(frame) + 1), source_file=frame["file_id"] + ".jsonl",
        read_utc=START + pd.to_timedelta(frame["minute"], unit="min"),
        received_utc=pd.Timestamp("2021-03-29T05:00:00Z") + pd.to_timedelta(frame["hour"], unit="h"),
    )[LANDED_MEASUREMENTS.columns]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_row_is_accounted_for_and_the_newest_is_chosen_whatever_the_order(drawn, shuffler):
    frame = landed_from(drawn)
    day = made(frame)
    counts = day.file_days.set_index("file_id")
    assert (counts["rows"] == counts[["published", "rejected", "superseded"]].sum(axis=1)).all()
    assert counts["rows"].to_dict() == frame.groupby("file_id").size().to_dict()
    newest = frame.sort_values(["received_utc", "source_file", "file_id", "source_row"]).drop_duplicates(
        ["device_id", "quantity", "read_utc"], keep="last"
    )
    told = (
        MEASUREMENTS.conform(day.measurements).to_pandas().merge(newest, on=["device_id", "quantity", "read_utc"], suffixes=("", "_came"))
    )
    assert len(told) == len(newest) == day.measurements.num_rows
    scale = (
        told["unit_came"]
        .map({"kV": 1000.0, "-": 100.0, "pct": 1.0})
        .where(~((told["quantity"] == "voltage") & (told["unit_came"] == "pct")), 1.0)
    )
    assert told["arrived_value"].tolist() == pytest.approx((told["value_came"] * scale).tolist())
    assert (told["value"].isna() == (told["quality"] == "rejected")).all()
    assert (told["rule_failures"].notna() == (told["quality"] == "rejected")).all()
    published = told[told["quality"] == "measured"]
    assert (
        counts["published"].to_dict()
        == (counts["published"] * 0).add(published.groupby("file_id").size(), fill_value=0).astype(int).to_dict()
    )
    order = list(range(len(frame)))
    shuffler.shuffle(order)
    landed = pa.Table.from_pandas(frame.iloc[order], schema=LANDED_MEASUREMENTS.schema, preserve_index=False)
    again = measurement_day(landed, devices_in_force(DEVICES, METERS, CLOCK, DAY), CLOCK, DAY, {})
    assert MEASUREMENTS.conform(again.measurements).equals(MEASUREMENTS.conform(day.measurements))
    pd.testing.assert_frame_equal(again.file_days, day.file_days)


def many(size: int, devices: int) -> pa.Table:
    """A day's landed measurements of many devices, one in a hundred sent twice."""
    rng = np.random.default_rng(5)
    device, per_device = np.repeat(np.arange(devices), size // devices), size // devices
    moment = START.value // 1000 + np.tile(np.arange(per_device) * (82_800_000_000 // per_device), devices)
    again = rng.choice(len(device), len(device) // 100, replace=False)
    device, moment = np.concatenate([device, device[again]]), np.concatenate([moment, moment[again]])
    file = np.repeat([0, 1], [len(device) - len(again), len(again)]).astype(np.int32)
    known = pa.array([f"d{n:06d}" for n in range(devices)])

    def coded(codes, names) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names))

    columns = {
        "file_id": coded(file, ["f0", "f1"]), "source_file": coded(file, ["f0.jsonl", "f1.jsonl"]), "source_row": pa.array(np.arange(len(device))),
        "day": pa.repeat(pa.scalar(DAY, pa.date32()), len(device)), "device_id": pa.DictionaryArray.from_arrays(pa.array(device.astype(np.int32)), known),
        "quantity": coded(device % 4, ["voltage", "current", "temperature", "frequency"]), "read_utc": pa.array(moment).cast(pa.timestamp("us", tz="UTC")),
        "value": pa.array(rng.normal(50, 1, len(device))), "unit": coded(device % 4, ["V", "A", "degC", "Hz"]),
        "received_utc": pa.array(moment + 1).cast(pa.timestamp("us", tz="UTC")),
    }  # fmt: skip
    return pa.table(columns)


def test_a_million_measurements_take_moments():
    landed = many(1_000_000, 2_000)
    known = pd.DataFrame(
        {"device_id": [f"d{n:06d}" for n in range(2_000)], "kind": "grid_sensor", "node_id": None, "reporting_s": 165.6, "device": True}
    )
    known = known.assign(begin=START.value // 1000, end=START.value // 1000 + 82_800_000_000)
    began = process_time()
    day = measurement_day(landed, known, CLOCK, DAY, {})
    assert process_time() - began < 5
    assert counts_of(day)["f0"][0] == 1_000_000
    assert day.measurements.num_rows == 1_000_000
    assert len(day.device_days) == 2_000
