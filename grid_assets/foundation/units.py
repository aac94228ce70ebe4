"""Units as meter and sensor files name them: energy brought to kWh, every other quantity to the one unit it is kept in."""

from __future__ import annotations

import re

POWER_TO_KW = {"W": 1e-3, "kW": 1.0, "MW": 1e3}
ENERGY_TO_KWH = {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}
READING_UNITS = (*POWER_TO_KW, *ENERGY_TO_KWH)

ACTIVE_ENERGY, ACTIVE_POWER = "active_energy", "active_power"
_PER_CENT = {"pct": 1.0, "-": 100.0}
QUANTITY_UNITS: dict[str, dict[str, float]] = {
    ACTIVE_ENERGY: {"kWh": 1.0, "Wh": 1e-3, "MWh": 1e3},
    ACTIVE_POWER: {"kW": 1.0, "W": 1e-3, "MW": 1e3},
    "reactive_power": {"kvar": 1.0, "var": 1e-3, "Mvar": 1e3},
    "reactive_energy": {"kvarh": 1.0, "varh": 1e-3, "Mvarh": 1e3},
    "apparent_power": {"kVA": 1.0, "VA": 1e-3, "MVA": 1e3},
    "voltage": {"V": 1.0, "mV": 1e-3, "kV": 1e3},
    "current": {"A": 1.0, "mA": 1e-3, "kA": 1e3},
    "frequency": {"Hz": 1.0, "mHz": 1e-3, "kHz": 1e3},
    "power_factor": {"-": 1.0, "pct": 0.01},
    "voltage_angle": {"degree": 1.0, "rad": 57.29577951308232},
    "voltage_thd": _PER_CENT,
    "temperature": {"degC": 1.0, "K": 1.0, "degF": 5 / 9},
    "soc": _PER_CENT,
    "soh": _PER_CENT,
    "humidity": _PER_CENT,
    "cloud_cover": _PER_CENT,
    "irradiance": {"W/m2": 1.0, "kW/m2": 1e3},
    "wind_speed": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600},
    "wind_direction": {"degree": 1.0, "rad": 57.29577951308232},
    "pressure": {"hPa": 1.0, "Pa": 0.01, "kPa": 10.0, "mbar": 1.0},
    "rainfall": {"mm": 1.0},
    "carbon_dioxide": {"ppm": 1.0},
    "illuminance": {"lx": 1.0},
    "occupancy": {"persons": 1.0},
}  # fmt: skip
"""Quantity -> unit -> factor to the quantity's own unit, which stands first. Of temperatures see OFFSETS as well."""
OFFSETS = {("temperature", "K"): -273.15, ("temperature", "degF"): -160 / 9}
PHASES = ("_l1", "_l2", "_l3", "_n")
"""A quantity may be of one phase: voltage_l1."""

QUANTITY_NAMES = {
    "power": ACTIVE_POWER, "p": ACTIVE_POWER, "energy": ACTIVE_ENERGY, "q": "reactive_power", "s": "apparent_power",
    "u": "voltage", "i": "current", "f": "frequency", "freq": "frequency", "cos_phi": "power_factor", "pf": "power_factor",
    "temp": "temperature", "ambient_temperature": "temperature", "battery_temperature": "temperature", "panel_temperature": "temperature",
    "state_of_charge": "soc", "battery_soc": "soc", "state_of_health": "soh", "relative_humidity": "humidity",
    "ghi": "irradiance", "solar_irradiance": "irradiance", "thd": "voltage_thd", "co2": "carbon_dioxide", "persons": "occupancy",
}  # fmt: skip
"""Other names that devices give a quantity."""
UNIT_NAMES = {
    "%": "pct", "percent": "pct", "C": "degC", "°C": "degC", "celsius": "degC", "F": "degF", "°F": "degF", "fahrenheit": "degF",
    "kelvin": "K", "volt": "V", "ampere": "A", "hertz": "Hz", "watt": "W", "W/m²": "W/m2", "w/m2": "W/m2", "°": "degree", "deg": "degree",
    "count": "persons", "p.u.": "-", "pu": "-", "1": "-", "ms-1": "m/s",
}  # fmt: skip
"""Other spellings of a unit. Where capitals alone tell units apart (mW, MW) only the right spelling is known."""

KNOWN_UNITS = tuple(dict.fromkeys(unit for units in QUANTITY_UNITS.values() for unit in units))
_ANY_CAPITALS = {one.lower(): one for one in KNOWN_UNITS if one.lower()[0] != "m" or one in ("m/s", "mbar", "mph", "mm")}
_IN_COLUMN_NAMES = _ANY_CAPITALS | {"mw": "MW", "mwh": "MWh", "mvar": "Mvar", "mvarh": "Mvarh", "mva": "MVA", "percent": "pct"}


class UnitError(ValueError):
    """A unit that this platform does not know, or cannot turn into what is asked for."""


def kwh_per_unit(unit: str, interval_hours: float) -> float:
    """What one ``unit`` over one interval is in kWh: a mean power counts times the interval's length.

    Raises UnitError for anything but W, kW, MW, Wh, kWh, MWh.
    """
    if unit in ENERGY_TO_KWH:
        return ENERGY_TO_KWH[unit]
    if unit in POWER_TO_KW:
        return POWER_TO_KW[unit] * interval_hours
    raise UnitError(f"unknown unit {unit!r}; known are {', '.join(READING_UNITS)}")


def spelled_unit(written: str) -> str | None:
    """The unit that a file's spelling means (``kwh`` -> kWh, ``%`` -> pct); None where no unit is known by it."""
    written = written.strip()
    if written in KNOWN_UNITS:
        return written
    return UNIT_NAMES.get(written) or _ANY_CAPITALS.get(written.lower())


def spelled_quantity(written: str) -> str | None:
    """The quantity that a file's name means (``power`` -> active_power, ``Voltage_L1`` -> voltage_l1); None where none is known."""
    name = re.sub(r"[\s.\-]+", "_", written.strip().lower())
    phase = next((one for one in PHASES if name.endswith(one)), "")
    base = name.removesuffix(phase) if phase else name
    for known in (name, base):
        meant = known if known in QUANTITY_UNITS else QUANTITY_NAMES.get(known)
        if meant:
            return meant if known == name else meant + phase
    return None


def base_quantity(quantity: str) -> str:
    """A quantity without its phase: voltage_l1 -> voltage."""
    if quantity in QUANTITY_UNITS:
        return quantity
    return next((quantity.removesuffix(one) for one in PHASES if quantity.endswith(one)), quantity)


def quantity_unit(quantity: str) -> str:
    """The unit that a quantity is kept in. Raises UnitError for an unknown quantity."""
    units = QUANTITY_UNITS.get(base_quantity(quantity))
    if units is None:
        raise UnitError(f"unknown quantity {quantity!r}; known are {', '.join(QUANTITY_UNITS)}")
    return next(iter(units))


def to_quantity_unit(quantity: str, unit: str) -> tuple[float, float]:
    """Factor and offset that bring a value in ``unit`` to the quantity's own unit: value * factor + offset.

    Raises UnitError where the unit is none of the quantity's.
    """
    quantity_unit(quantity)
    base = base_quantity(quantity)
    units = QUANTITY_UNITS[base]
    if unit not in units:
        raise UnitError(f"{unit!r} is no unit of {quantity}; known are {', '.join(units)}")
    return units[unit], OFFSETS.get((base, unit), 0.0)


def quantity_of_unit(unit: str) -> str | None:
    """The quantity that a unit can only mean: V -> voltage, kvarh -> reactive_energy; None for %, - and degrees."""
    found = [quantity for quantity, units in QUANTITY_UNITS.items() if unit in units]
    return found[0] if len(found) == 1 else None


_COMPOUND_ENDINGS = {"w_m2": "W/m2", "kw_m2": "kW/m2", "m_s": "m/s", "km_h": "km/h", "temperature_c": "degC"}


def unit_in_name(name: str) -> str | None:
    """The unit that a column's name ends in or shows in brackets: energy_kwh, demand_mw, ``Value (kWh)``; None where there is none."""
    lowered = name.lower()
    compound = max((one for one in _COMPOUND_ENDINGS if lowered == one or lowered.endswith("_" + one)), key=len, default=None)
    if compound:
        return _COMPOUND_ENDINGS[compound]
    for part in reversed([one for one in re.split(r"[^A-Za-z0-9/%°²]+", name) if one]):
        if part in ("A", "K", "V"):  # in small letters they are parts of names
            return part
        unit = part if part in KNOWN_UNITS else UNIT_NAMES.get(part) or _IN_COLUMN_NAMES.get(part.lower())
        if unit and unit not in ("A", "K", "V", "-", "mm", "kn", "persons"):
            return unit
    return None
