"""Health of units: rows from measurements, by hand where the day is simple; the door, its checks, alerts and repetition."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.figures.battery_health import fleet_picture
from grid_assets.foundation.registers import DEVICES
from grid_assets.foundation.site_sections import StorageSection
from grid_assets.metering.tables import MEASUREMENTS
from grid_assets.storage.health import days_before, found_alerts, health_in_words, health_of_day, too_hot, worn_out
from grid_assets.storage.tables import UNIT_HEALTH
from grid_assets_tests.storage.graph import passed, run, small_platform
from grid_assets_tests.storage.small_site import DAY, registers, seed, small_site

SECTION = StorageSection()
QUARTER = pd.Timedelta(minutes=15)
UNITS = registers()["units"]
FADE_OF_A_DAY_PCT = 100 * 1.2571e-5 * np.sqrt(86400)
"""By time at 25 degC, times what the state of charge does."""


@pytest.fixture
def clock(tmp_path):
    return small_site(tmp_path)[0].clock


def devices() -> pd.DataFrame:
    begin = pd.Timestamp("2015-01-01", tz="UTC")
    rows = [(f"BM-{n}", "battery_monitor", "north", f"battery-{n}", 900.0, begin, pd.NaT, None, None) for n in (1, 2)]
    frame = pd.DataFrame(rows, columns=DEVICES.columns)
    return frame.assign(valid_to_utc=pd.to_datetime(frame["valid_to_utc"], utc=True))


def told(clock, quantity: str, values, day: date = DAY, device: str = "BM-1") -> pd.DataFrame:
    """Rows of metering/measurements: a value each quarter of an hour from the day's begin on; NaN are rejected ones."""
    values = np.asarray(values, float)
    times = pd.Timestamp(clock.midnight(day)) + QUARTER * np.arange(len(values))
    unit = {"soc": "pct", "temperature": "degC", "active_power": "kW"}[quantity]
    frame = pd.DataFrame({"device_id": device, "quantity": quantity, "read_utc": times, "value": values, "unit": unit})
    return frame.assign(
        quality=np.where(np.isnan(values), "rejected", "measured"), quality_code="3.0.0", rule_failures=None, arrived_value=255.0
    )


def made(
    clock, rows: list[pd.DataFrame], day: date = DAY, earlier: pd.DataFrame | None = None, units: pd.DataFrame = UNITS
) -> pd.DataFrame:
    nothing = MEASUREMENTS.empty().to_pandas()
    measured = pd.concat(rows, ignore_index=True) if rows else nothing
    before = UNIT_HEALTH.empty().to_pandas() if earlier is None else earlier
    found = health_of_day(clock, SECTION, day, units, devices(), measured, before)
    return UNIT_HEALTH.conform(found).to_pandas()


def first(frame: pd.DataFrame) -> pd.Series:
    return frame.set_index("unit_id").loc["battery-1"]


def day_of_use(low: float = 20.0, high: float = 80.0) -> np.ndarray:
    """Charging from low to high in 4 hours in the morning and back in the evening, else at rest (96 values)."""
    return np.interp(np.arange(96), [32, 48, 72, 88], [low, high, high, low])


def test_a_day_by_hand(clock):
    row = first(made(clock, [told(clock, "soc", day_of_use()), told(clock, "temperature", np.full(96, 25.0))]))
    # up 60 %, less half a per cent of play, and down 59 %: 118.5 % of 1000 kWh
    assert row["throughput_kwh"] == pytest.approx(595.0 + 590.0)
    assert row["equivalent_full_cycles"] == pytest.approx(0.5925)
    assert (row["cycles"], row["readings"], row["coverage_pct"]) == (1.0, 96, 100.0)
    assert (row["mean_depth_pct"], row["largest_depth_pct"]) == pytest.approx((59.25, 59.5))
    assert (row["mean_temperature_degc"], row["highest_temperature_degc"], row["hot_minutes"]) == (25.0, 25.0, 0.0)
    # two half cycles at 59.5 % or 59 % in 4 hours each
    squares = [((0.0630 * depth / 4 + 0.0971) * (4.0253 * (depth - 0.6) ** 3 + 1.0923) / 100) ** 2 * depth / 2 for depth in (0.595, 0.590)]
    assert row["cycle_fade_pct"] == pytest.approx(100 * np.sqrt(sum(squares)), rel=1e-3)
    assert row["capacity_fade_pct"] == pytest.approx(row["calendar_fade_pct"] + row["cycle_fade_pct"])
    assert row["soh_pct"] == pytest.approx(100 - row["capacity_fade_pct"])
    assert row["note"] is None
    assert row["first_day"] == DAY


def test_a_battery_at_rest_loses_by_time_alone(clock):
    row = first(made(clock, [told(clock, "soc", np.full(96, 50.0)), told(clock, "temperature", np.full(96, 25.0))]))
    assert row["calendar_fade_pct"] == pytest.approx(FADE_OF_A_DAY_PCT * 0.60225, rel=1e-6)
    assert row["resistance_growth_pct"] == pytest.approx(100 * 3.4194e-10 * 1.5604 * 86400, rel=1e-6)
    assert (row["cycle_fade_pct"], row["throughput_kwh"], row["cycles"]) == (0, 0, 0)
    assert np.isnan(row["mean_depth_pct"])
    assert row["remaining_years"] == pytest.approx((20 / (100 * 1.2571e-5 * 0.60225)) ** 2 / 86400 / 365.25 - 1 / 365.25, rel=1e-4)


def test_without_measurements_it_says_so_and_ages_by_time(clock):
    row = first(made(clock, []))
    assert (row["readings"], row["coverage_pct"], row["throughput_kwh"], row["cycles"]) == (0, 0, 0, 0)
    assert row["note"] == "no state of charge: no cycles counted, aged by time alone at 30 %; no temperature, 25.0 degC assumed"
    assert row["calendar_fade_pct"] == pytest.approx(FADE_OF_A_DAY_PCT * (2.8575 * (0.3 - 0.5) ** 3 + 0.60225), rel=1e-6)
    assert np.isnan(row["highest_temperature_degc"])
    assert pd.isna(row["last_read_utc"])


def test_days_go_on_from_the_day_before(clock):
    """Two days of the same use: the squares of what is lost add up; the step over midnight counts on the second day."""
    one = made(clock, [told(clock, "soc", day_of_use()), told(clock, "temperature", np.full(96, 25.0))])
    following = DAY + timedelta(days=1)
    soc = day_of_use(30.0)
    two = first(made(clock, [told(clock, "soc", soc, following), told(clock, "temperature", np.full(96, 25.0), following)], following, one))
    row = first(one)
    assert two["total_throughput_kwh"] == pytest.approx(row["throughput_kwh"] + two["throughput_kwh"])
    # the day before ended at 20.5 %; 29.5 % is reached at once, then 79.5 % and back to 30.5 %
    assert two["throughput_kwh"] == pytest.approx(90 + 500 + 490)
    assert two["cycles"] == 1.0
    assert two["largest_depth_pct"] == pytest.approx(59.0)  # from 20.5, across midnight
    alone = made(clock, [told(clock, "soc", soc, following), told(clock, "temperature", np.full(96, 25.0), following)], following)
    assert two["calendar_fade_pct"] ** 2 == pytest.approx(row["calendar_fade_pct"] ** 2 + first(alone)["calendar_fade_pct"] ** 2, rel=2e-3)
    assert two["first_day"] == DAY


def test_days_without_rows_are_aged_by_time(clock):
    one = made(clock, [told(clock, "soc", np.full(96, 50.0)), told(clock, "temperature", np.full(96, 25.0))])
    later = DAY + timedelta(days=10)
    row = first(made(clock, [], later, one))
    assert row["calendar_fade_pct"] == pytest.approx(FADE_OF_A_DAY_PCT * 0.60225 * np.sqrt(11), rel=1e-6)
    assert "aged by time alone from 2016-05-25 to 2016-06-02" in row["note"]
    # eleven days of the same rest: of the life of a cell at rest they are over
    assert row["remaining_years"] == pytest.approx((20 / (FADE_OF_A_DAY_PCT * 0.60225)) ** 2 / 365.25 - 11 / 365.25, rel=1e-6)
    assert "at 50 %" in row["note"]


def test_a_day_that_summer_time_shortens_is_aged_by_its_own_hours(clock):
    short = date(2016, 3, 27)
    row = first(made(clock, [], short))
    assert row["calendar_fade_pct"] == pytest.approx(FADE_OF_A_DAY_PCT * np.sqrt(23 / 24) * (0.60225 - 2.8575 * 0.008), rel=1e-6)
    full = first(made(clock, [told(clock, "soc", np.full(92, 50.0), short)], short))
    assert full["coverage_pct"] == 100.0


def test_power_stands_in_for_the_state_of_charge(clock):
    """100 kW for 2 hours in (95 % of it), then 100 kW for an hour out (1/0.95 of it), of 1000 kWh from 30 % on."""
    power = np.zeros(96)
    power[8:16], power[40:44] = 100.0, -100.0
    row = first(made(clock, [told(clock, "active_power", power)]))
    assert row["throughput_kwh"] == pytest.approx(190 - 5 + 100 / 0.95 - 10, rel=1e-9)
    assert "state of charge followed from power" in row["note"]
    assert row["last_soc_pct"] == pytest.approx(30 + 19 - 100 / 0.95 / 10 + 0.5)


def test_values_that_failed_a_rule_and_foreign_devices_do_not_count(clock):
    soc = day_of_use()
    faulty = soc.copy()
    faulty[5] = np.nan
    row = first(made(clock, [told(clock, "soc", faulty), told(clock, "soc", 100 - soc, device="XX-9")]))
    assert row["readings"] == 95
    assert row["throughput_kwh"] == pytest.approx(1185.0)
    ended = devices().assign(valid_to_utc=pd.Timestamp(clock.midnight(DAY)) + 10 * QUARTER)
    found = health_of_day(clock, SECTION, DAY, UNITS, ended, told(clock, "soc", soc), UNIT_HEALTH.empty().to_pandas())
    assert first(found)["readings"] == 10


def test_of_two_monitors_one_counts_and_the_warmer_cell(clock):
    second = devices().iloc[:1].assign(device_id="BM-1b")
    rows = pd.concat([told(clock, "soc", day_of_use()), told(clock, "soc", day_of_use() + 3, device="BM-1b")[:50],
                      told(clock, "temperature", np.full(96, 20.0)), told(clock, "temperature", np.full(96, 22.0), device="BM-1b")])  # fmt: skip
    both = pd.concat([devices(), second], ignore_index=True)
    row = first(health_of_day(clock, SECTION, DAY, UNITS, both, rows, UNIT_HEALTH.empty().to_pandas()))
    assert (row["readings"], row["throughput_kwh"], row["highest_temperature_degc"]) == (96, pytest.approx(1185.0), 22.0)


@pytest.mark.parametrize("worse", [{"degc": 35.0}, {"low": 10.0, "high": 90.0}, {"times": 2}])
def test_warmth_depth_and_use_never_leave_more(clock, worse):
    def health(degc=25.0, low=20.0, high=80.0, times=1) -> float:
        # the mean state of charge is the same in all
        soc = np.tile(np.interp(np.arange(96 // times), np.array([32, 48, 72, 88]) / times, [low, high, high, low]), times)
        return first(made(clock, [told(clock, "soc", soc), told(clock, "temperature", np.full(96, degc))]))["soh_pct"]

    assert health(**worse) < health() - 1e-4


def test_the_remaining_life_goes_by_the_last_weeks(clock):
    """A year of rest, then use: the life left is shorter than at rest, and longer than if the year had been used."""
    old = first(made(clock, [told(clock, "soc", np.full(96, 50.0))])).to_dict() | {
        "unit_id": "battery-1", "calendar_fade_pct": 4.0, "cycle_fade_pct": 0.0, "first_day": DAY - timedelta(days=365)
    }  # fmt: skip
    history = pd.DataFrame([old | {"day": DAY - timedelta(days=n)} for n in range(28, 0, -1)])
    rest = first(made(clock, [told(clock, "soc", np.full(96, 50.0))], DAY, history))
    used = first(made(clock, [told(clock, "soc", day_of_use())], DAY, history))
    assert used["remaining_years"] < rest["remaining_years"]
    by_hand = (rest["calendar_fade_pct"] / 100) ** 2
    per_day = (by_hand - 0.04**2) / 28
    assert rest["remaining_years"] == pytest.approx((0.2**2 - by_hand) / per_day / 365.25, rel=1e-6)


def hot_day() -> np.ndarray:
    degc = np.full(96, 30.0)
    degc[40:52] = 46.0
    degc[45] = 48.25
    return degc


def test_a_hot_unit_is_named_with_minutes_and_highest(clock):
    rows = made(clock, [told(clock, "temperature", hot_day())])
    assert too_hot(rows, 45.0) == "battery-1: 180 minutes above 45 degC, highest 48.2 degC"
    (alert,) = found_alerts(rows, 45.0)
    begin = pd.Timestamp(clock.midnight(DAY))
    assert (alert.kind, alert.subject, alert.severity) == ("battery_hot", "battery-1", "warning")
    assert (alert.opened_utc, alert.closed_utc) == (begin + 40 * QUARTER, begin + 52 * QUARTER)
    assert too_hot(made(clock, [told(clock, "temperature", np.full(96, 45.0))]), 45.0) == ""


def test_heat_goes_on_over_midnight_as_one_alert(clock):
    """Hot from 22:00, unmeasured on the next day, cool from the third day's first value on."""
    degc = np.full(96, 30.0)
    degc[88:] = 50.0
    one = made(clock, [told(clock, "temperature", degc)])
    two = made(clock, [], DAY + timedelta(days=1), one)
    third = DAY + timedelta(days=2)
    three = made(clock, [told(clock, "temperature", np.full(96, 30.0), third)], third, pd.concat([one, two]))
    alerts = [found_alerts(rows, 45.0) for rows in (one, two, three)]
    assert [len(found) for found in alerts] == [1, 1, 1]
    assert len({found[0].alert_id for found in alerts}) == 1
    assert [found[0].closed_utc for found in alerts] == [None, None, pd.Timestamp(clock.midnight(third))]
    assert alerts[1][0].evidence == "was above 45 degC when last measured"
    fourth = third + timedelta(days=1)
    assert found_alerts(made(clock, [], fourth, pd.concat([one, two, three])), 45.0) == []


def test_words_and_days_before(clock):
    rows = made(clock, [told(clock, "soc", day_of_use())])
    assert worn_out(rows, 80.0) == ""
    assert worn_out(rows.assign(soh_pct=[79.94, 85.0]), 80.0) == "battery-1: 79.9 % of its capacity is left"
    assert health_in_words(rows).startswith("2 units, 1 measured: 0.59 full cycles on the day; the least health is 99.")
    assert health_in_words(rows.iloc[:0]) == "no unit is in the register"
    assert days_before(["2016-05-22", "2016-05-24", "2016-05-25"], DAY) == ["2016-05-22"]
    assert made(clock, [], units=UNITS.iloc[:0]).empty


@pytest.mark.parametrize("measured", [True, False])
def test_the_fleet_is_drawn(clock, measured):
    rows = made(clock, [told(clock, "soc", day_of_use()), told(clock, "temperature", hot_day())] if measured else [])
    assert fleet_picture(rows, 45.0, 80.0, DAY, "small").startswith(b"\x89PNG")


@pytest.fixture
def platform(tmp_path, monkeypatch):
    platform = small_platform(tmp_path, monkeypatch)
    seed(platform.lake, platform.site)
    platform.lake.write(DEVICES, devices())
    return platform


def test_the_door_keeps_a_day_its_checks_and_its_alert(platform):
    lake, clock = platform.lake, platform.site.clock
    following = DAY + timedelta(days=1)
    lake.write(MEASUREMENTS, pd.concat([told(clock, "soc", day_of_use()), told(clock, "temperature", hot_day())]), DAY)
    lake.write(MEASUREMENTS, told(clock, "soc", day_of_use(), following), following)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), [UNIT_HEALTH.key], instance)
        assert result.success
        assert passed(result) == {"unit_health:schema": True, "unit_health:cells_cool": False, "unit_health:not_worn_out": True}
        assert "data:image/png" in result.asset_materializations_for_node("storage__unit_health")[0].metadata["picture"].value
        assert run("storage", platform, following.isoformat(), [UNIT_HEALTH.key], instance).success
        hashes = [lake.content_hash(UNIT_HEALTH, day) for day in (DAY, following)]
        for day in (DAY, following):  # again, the first one with a later day in the lake
            assert run("storage", platform, day.isoformat(), [UNIT_HEALTH.key], instance).success
    assert [lake.content_hash(UNIT_HEALTH, day) for day in (DAY, following)] == hashes
    two = first(lake.read(UNIT_HEALTH, following))
    assert two["total_throughput_kwh"] == pytest.approx(first(lake.read(UNIT_HEALTH, DAY))["throughput_kwh"] + two["throughput_kwh"])
    said = platform.check_results.read([DAY.isoformat()]).set_index("check_name").loc["cells_cool"]
    assert said["observed"] == "battery-1: 180 minutes above 45 degC, highest 48.2 degC"
    (alert,) = platform.alerts.read("storage").itertuples()
    assert (alert.subject, alert.severity, pd.isna(alert.withdrawn_utc)) == ("battery-1", "warning", True)


def test_the_door_works_without_any_measurement(platform):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run("storage", platform, DAY.isoformat(), [UNIT_HEALTH.key], instance)
    assert result.success
    assert all(passed(result).values())
    assert platform.lake.read(UNIT_HEALTH, DAY)["note"].str.contains("no state of charge").all()
