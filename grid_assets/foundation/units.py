"""Units of energy and power as meter files name them, brought to kWh for an interval."""

from __future__ import annotations

POWER_TO_KW = {"W": 1e-3, "kW": 1.0, "MW": 1e3}
ENERGY_TO_KWH = {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}
READING_UNITS = (*POWER_TO_KW, *ENERGY_TO_KWH)


class UnitError(ValueError):
    """A unit that this platform does not know, or cannot turn into energy."""


def kwh_per_unit(unit: str, interval_hours: float) -> float:
    """What one ``unit`` over one interval is in kWh: a mean power counts times the interval's length.

    Raises UnitError for anything but W, kW, MW, Wh, kWh, MWh.
    """
    if unit in ENERGY_TO_KWH:
        return ENERGY_TO_KWH[unit]
    if unit in POWER_TO_KW:
        return POWER_TO_KW[unit] * interval_hours
    raise UnitError(f"unknown unit {unit!r}; known are {', '.join(READING_UNITS)}")
