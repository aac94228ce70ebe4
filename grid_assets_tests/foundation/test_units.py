"""Units: what files write is understood where it can only mean one thing, and nowhere else."""

from __future__ import annotations

import pytest

from grid_assets.foundation import units


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("kwh", "kWh"), ("KWH", "kWh"), (" Wh ", "Wh"), ("MW", "MW"), ("mw", None), ("MV", None), ("mV", "mV"), ("%", "pct"), ("°C", "degC"),
        ("kVAr", "kvar"), ("BTU", None), ("", None),
    ],
)  # fmt: skip
def test_a_unit_is_known_by_its_usual_spellings_only(written, unit):
    assert units.spelled_unit(written) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("energy_kwh", "kWh"), ("energy_wh", "Wh"), ("demand_mw", "MW"), ("Value (kWh)", "kWh"), ("Wirkarbeit [kWh]", "kWh"), ("value", None),
        ("irradiance_w_m2", "W/m2"), ("panel_temperature_c", "degC"), ("wind_speed_m_s", "m/s"), ("meter_id", None), ("a_b", None), ("U (V)", "V"),
    ],
)  # fmt: skip
def test_a_column_name_tells_its_unit(name, unit):
    assert units.unit_in_name(name) == unit


@pytest.mark.parametrize(
    ("written", "quantity"),
    [("power", "active_power"), ("Voltage L1", "voltage_l1"), ("SOC", "soc"), ("battery.temperature", "temperature"), ("i_l2", "current_l2"), ("x", None)],
)  # fmt: skip
def test_quantities_are_known_by_the_names_that_devices_give_them(written, quantity):
    assert units.spelled_quantity(written) == quantity


@pytest.mark.parametrize(("quantity", "unit"), [(quantity, unit) for quantity, known in units.QUANTITY_UNITS.items() for unit in known])
def test_a_quantity_is_kept_in_its_own_unit(quantity, unit):
    assert units.to_quantity_unit(quantity, unit)[0] > 0
    assert units.to_quantity_unit(quantity, units.quantity_unit(quantity)) == (1.0, 0.0)
    assert units.quantity_of_unit(unit) in (None, quantity)
    assert units.spelled_unit(unit) == unit


def test_temperatures_have_their_offsets():
    for unit, value in (("degC", 100.0), ("K", 373.15), ("degF", 212.0)):
        factor, offset = units.to_quantity_unit("temperature", unit)
        assert value * factor + offset == pytest.approx(100.0)


def test_what_is_no_unit_of_a_quantity_is_told():
    with pytest.raises(units.UnitError, match="'kW' is no unit of voltage_l1; known are V, mV, kV"):
        units.to_quantity_unit("voltage_l1", "kW")
    with pytest.raises(units.UnitError, match="unknown quantity 'mood'"):
        units.quantity_unit("mood")
