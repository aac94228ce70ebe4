"""Validation rules of measurements: each a function over a day's values in the order of device, quantity and time.

All arrays have one entry per value. A series is one device and quantity; ``begins`` marks its first value. What a
quantity can be is shipped here and overridden by the site file, [quantities.<name>].
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grid_assets.foundation.site_sections import QuantityLimits
from grid_assets.foundation.units import base_quantity

RULES = ("not_in_force", "unit", "limits", "step", "stuck")
"""The order in which failures are told."""
STEP_WITHIN_S = 3600.0
"""Values further apart than this say nothing about a step: a device that was silent may find another world."""


def _limits(minimum=None, maximum=None, largest_step=None, stuck_values=None) -> QuantityLimits:
    return QuantityLimits(minimum=minimum, maximum=maximum, largest_step=largest_step, stuck_values=stuck_values)


LIMITS: dict[str, QuantityLimits] = {
    "voltage": _limits(0, 1_200_000),  # IEC 60038: the highest voltage for equipment is 1200 kV
    "frequency": _limits(47.0, 62.4, 1.0),  # EN 50160: -6 % to +4 % at any time, of 50 and of 60 Hz
    "power_factor": _limits(-1, 1),
    "voltage_angle": _limits(-360, 360),
    "voltage_thd": _limits(0, 100),
    "soc": _limits(0, 100, 50),  # a 1C battery moves by 25 % in a quarter of an hour
    "soh": _limits(0, 120),  # new cells have more than they are rated for
    "temperature": _limits(-80, 200, 60),  # air: -80 to 60 degC (WMO); windings and cells in a fault up to 200
    "humidity": _limits(0, 100),  # this and the next: ranges of WMO's quality control of automatic weather stations
    "wind_speed": _limits(0, 75, 40, 60),
    "wind_direction": _limits(0, 360),
    "pressure": _limits(500, 1100, 10),
    "irradiance": _limits(-4, 1600, None, 30),  # -4: a pyranometer's offset at night, physically possible limits of the BSRN
    "cloud_cover": _limits(0, 100),
    "rainfall": _limits(0, None),
    "carbon_dioxide": _limits(200, 20_000),  # below the air outside, above the range of indoor sensors
    "illuminance": _limits(0, 200_000),  # direct sun is about 120,000 lx
    "occupancy": _limits(0, None),
}  # fmt: skip
"""Of quantities that are not here (power, current, energy) the size depends on the device: a site names them."""


def limits_of(quantity: str, of_site: Mapping[str, QuantityLimits]) -> QuantityLimits:
    """What a quantity can be: each key of the site's section of this name, else of the quantity without its phase, else the shipped one."""
    base = base_quantity(quantity)
    layers = [of_site.get(quantity), of_site.get(base), LIMITS.get(base)]
    given = [layer.model_dump(exclude_none=True) for layer in layers if layer is not None]
    return QuantityLimits(**{key: value for layer in reversed(given) for key, value in layer.items()})


def outside_limits(value: np.ndarray, minimum: np.ndarray, maximum: np.ndarray) -> np.ndarray:
    """Values below the minimum or above the maximum of their quantity; NaN: no such limit. Source: the range check of WMO-No. 8."""
    with np.errstate(invalid="ignore"):
        return (value < minimum) | (value > maximum)


def step(value: np.ndarray, seconds: np.ndarray, begins: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Values that lie more than ``largest`` away from the value before and from the one after; at an end of the series one decides.

    ``seconds``: when each was measured; ``largest``: NaN for no such limit. A level that stays is no fault. Source: the
    step test of WMO-No. 8, of which the return to the old level is not told again.
    """
    found = np.zeros(len(value), dtype=bool)
    if not np.isfinite(largest).any() or len(value) < 2:
        return found
    near = ~begins[1:] & (np.diff(seconds) <= STEP_WITHIN_S)
    with np.errstate(invalid="ignore"):
        jump = near & (np.abs(np.diff(value)) > largest[1:])
    before = np.concatenate([[False], near])
    after = np.concatenate([near, [False]])
    from_before, to_after = np.concatenate([[False], jump]), np.concatenate([jump, [False]])
    return (before | after) & (from_before | ~before) & (to_after | ~after)


def stuck(value: np.ndarray, begins: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Runs of at least ``values`` equal values that are not zero; NaN for no such rule. Source: the persistence test of WMO-No. 8."""
    if not np.isfinite(values).any() or not len(value):
        return np.zeros(len(value), dtype=bool)
    starts = begins | np.concatenate([[True], value[1:] != value[:-1]])
    run = np.cumsum(starts) - 1
    length = np.bincount(run)[run]
    with np.errstate(invalid="ignore"):
        return (length >= values) & (value != 0)
