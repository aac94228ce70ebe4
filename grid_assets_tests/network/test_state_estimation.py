"""The operating day's estimate from frames of meters and devices: what is true is found, what is wrong is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_assets.network.likely_causes import anomalies_in_words, likely_cause
from grid_assets.network.measured_inputs import StateEstimationError
from grid_assets.network.state_estimation import DayState, not_estimated, state_of_day
from grid_assets.network.tables import ANOMALIES, STATE_ESTIMATES
from grid_assets_tests.network.measured_day import DAY, MeasuredDay


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MeasuredDay:
    return MeasuredDay(tmp_path_factory.mktemp("state"))


def estimated(made: MeasuredDay, **changed: pd.DataFrame) -> DayState:
    return state_of_day(made.section, made.site.clock, DAY, **made.given(**changed))


def error_pu(made: MeasuredDay, found: DayState) -> np.ndarray:
    wide = found.state_estimates.pivot(index="start_utc", columns="bus_id", values="vm_pu")
    return np.abs(wide[list(made.flow.bus_ids)].to_numpy() - made.flow.vm_pu)


def changed_values(made: MeasuredDay, device: str, change) -> pd.DataFrame:
    frame = made.measurements
    at = frame["device_id"] == device
    frame.loc[at, "value"] = change(frame.loc[at, "value"])
    return frame


def test_a_sound_day_is_found_and_nothing_is_suspected(made: MeasuredDay):
    found = estimated(made)
    assert STATE_ESTIMATES.faults(STATE_ESTIMATES.conform(found.state_estimates)) == []
    assert ANOMALIES.faults(ANOMALIES.conform(found.anomalies)) == []
    assert len(found.state_estimates) == 24 * 15
    assert error_pu(made, found).max() < 3e-3
    assert not found.anomalies["bad_data"].any()
    assert not_estimated(found.state_estimates, made.start_utc) == ""
    assert "V8 voltage: taken as phase to neutral" in str(found.figures["notes"])
    assert found.figures["sensors"] == 4 + 4 + 1
    sensed = found.state_estimates.groupby("bus_id")["has_voltage_sensor"].all()
    assert set(sensed.index[sensed]) == {"Bus 3", "Bus 8", "Bus 11", "Bus 14"}
    bus7 = found.state_estimates[found.state_estimates["bus_id"] == "Bus 7"]
    np.testing.assert_allclose(bus7["p_kw"], made.load_kw["Bus 7"] - made.solar_kw["Bus 7"], atol=15)
    deviation = found.state_estimates["vm_sigma_pu"]
    assert (deviation > 0).all()
    assert deviation.max() < 0.01


@pytest.mark.parametrize(
    ("device", "change", "said"),
    [
        ("V11", lambda value: value.where(np.arange(48) < 20, value * 0.97), "offset of -5"),
        ("L12", lambda value: value * 1000, "unit 1000 times too large|unit 1000 times too small"),
        ("L78", lambda value: -value, "sign turned round"),
        ("L12", lambda value: value.where(np.arange(48) < 10, value.iloc[10]), "stuck at"),
        ("V14", lambda value: value * 0, "zero while something flows"),
    ],
)
def test_a_faulty_device_is_named_with_what_it_looks_like(made: MeasuredDay, device: str, change, said: str):
    sound = estimated(made)
    found = estimated(made, measurements=changed_values(made, device, change))
    bad = found.anomalies[found.anomalies["bad_data"]]
    assert (bad["source_id"] == device).mean() > 0.8
    words = anomalies_in_words(found.anomalies, "Europe/London")
    assert words.startswith(device)
    assert pd.Series([words]).str.contains(said).all(), words
    assert error_pu(made, found).max() < error_pu(made, sound).max() + 2e-3
    assert ANOMALIES.faults(ANOMALIES.conform(found.anomalies)) == []


def test_a_meter_that_counts_in_the_wrong_unit_is_found_at_its_bus(made: MeasuredDay):
    """Bus 13 lies between two measured lines: nobody else explains what its meter says."""
    readings = made.readings
    readings.loc[readings["meter_id"] == "L Bus 13", "energy_kwh"] *= 10
    found = estimated(made, readings=readings)
    bad = found.anomalies[found.anomalies["bad_data"] & (found.anomalies["quantity"] == "active_power")]
    assert (bad["source_id"] == "meters L Bus 13").sum() == 24
    assert "meters L Bus 13 active_power at Bus 13 in 24 intervals from 00:00 to 23:00: factor 10" in anomalies_in_words(
        found.anomalies, "Europe/London"
    )
    bus = found.state_estimates[found.state_estimates["bus_id"] == "Bus 13"]
    np.testing.assert_allclose(bus["p_kw"], made.load_kw["Bus 13"], atol=40)


def test_without_measurements_the_flow_of_the_readings_is_published_untested(made: MeasuredDay):
    readings = made.readings[made.readings["meter_id"] != "B1"]
    found = estimated(made, measurements=made.measurements.head(0), readings=readings)
    assert found.figures["sensors"] == 0
    assert found.anomalies.empty
    assert ANOMALIES.faults(ANOMALIES.conform(found.anomalies)) == []
    assert error_pu(made, found).max() < 1e-6
    assert found.voltages.empty


def test_missing_and_estimated_readings_are_more_uncertain(made: MeasuredDay):
    readings = made.readings
    lost = (readings["meter_id"] == "L Bus 14") & (readings["start_utc"] >= made.start_utc[12])
    readings.loc[lost, ["energy_kwh", "quality"]] = [np.nan, "missing"]
    found = estimated(made, readings=readings)
    assert np.isfinite(found.state_estimates["p_kw"]).all()
    bus = found.state_estimates[found.state_estimates["bus_id"] == "Bus 14"].reset_index(drop=True)
    whole = estimated(made).state_estimates
    before = whole[whole["bus_id"] == "Bus 14"].reset_index(drop=True)
    assert (bus["vm_sigma_pu"][12:] > before["vm_sigma_pu"][12:]).all()
    assert np.abs(bus["p_kw"] - before["p_kw"])[12:].max() < before["p_kw"].max()


def test_places_that_the_network_does_not_have_are_named(made: MeasuredDay):
    devices = made.devices
    devices.loc[0, "bus_id"] = "Bus 99"
    with pytest.raises(StateEstimationError, match=r"device 'V3'.*bus_id = 'Bus 99'"):
        estimated(made, devices=devices)
    devices = made.devices
    devices.loc[4, "branch_id"] = "Line 9-99"
    with pytest.raises(StateEstimationError, match=r"device 'L12'.*branch_id = 'Line 9-99'"):
        estimated(made, devices=devices)
    meters = made.registers["meters"]
    meters.loc[0, "bus_id"] = "nowhere"
    with pytest.raises(StateEstimationError, match="meter 'L Bus 3': bus 'nowhere'"):
        estimated(made, meters=meters)
    with pytest.raises(StateEstimationError, match="materialise metering/readings"):
        estimated(made, readings=made.readings.head(0))


def test_meters_without_a_bus_are_spread(made: MeasuredDay):
    meters = made.registers["meters"].assign(bus_id=None)
    found = estimated(made, meters=meters, measurements=made.measurements.head(0))
    total = found.state_estimates.groupby("start_utc")["p_kw"].sum().to_numpy()
    expected = sum(made.load_kw.values()) - sum(made.solar_kw.values())
    assert np.abs(total / expected - 1).max() < 0.15


def test_a_device_whose_branch_is_open_is_left_out_and_said(made: MeasuredDay):
    devices = made.devices
    devices.loc[devices["device_id"] == "L78", "branch_id"] = "Line 6-7"
    found = estimated(made, devices=devices)
    assert "L78" in str(found.figures["notes"]) or found.figures["sensors"] == 9


@pytest.mark.parametrize(
    ("measured", "true", "said"),
    [
        ([230.0] * 6, [225.0, 228, 231, 233, 229, 226], "stuck at 230"),
        ([5.0, 6, 7, 8], [5000.0, 6000, 7000, 8000], "unit 1000 times too large"),
        ([-5.0, -6, -7, -8.1], [5.0, 6, 7, 8], "sign turned round"),
        ([11.0, 12, 13, 14.2], [9.0, 10, 11, 12.1], "offset of 2"),
        ([100.0], [1.0], "single values far off"),
        ([1.0, 90, -20, 40], [5.0, 5, 5, 5], "without a pattern"),
    ],
)
def test_shapes_of_faults(measured: list[float], true: list[float], said: str):
    assert said in likely_cause(np.array(measured), np.array(true), 0, 96)
    assert "one of 2 other measurements" in likely_cause(np.array(measured), np.array(true), 2, 96)
