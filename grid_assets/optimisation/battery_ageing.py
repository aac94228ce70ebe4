"""How lithium-ion cells age: cycles of the state of charge counted by rainflow, lost capacity, grown resistance, years left.

The model is that of a LiFePO4/graphite cell (Sony US26650FTC1, 3 Ah), the chemistry of most stationary storage:

    M. Naumann, M. Schimpe, P. Keil, H. C. Hesse, A. Jossen: Analysis and modeling of calendar aging of a commercial LiFePO4/graphite cell.
    Journal of Energy Storage 17 (2018) 153-169, doi 10.1016/j.est.2018.01.019
    M. Naumann, F. B. Spingler, A. Jossen: Analysis and modeling of cycle aging of a commercial LiFePO4/graphite cell.
    Journal of Power Sources 451 (2020) 227666, doi 10.1016/j.jpowsour.2019.227666

    capacity lost by time     k_T(T) k_S(S) sqrt(t)             k_T = 1.2571e-5 exp(-17126/R (1/T - 1/298.15)), k_S = 2.8575 (S - 0.5)^3 + 0.60225
    capacity lost by cycling  k_C(C) k_D(D) sqrt(N) / 100       k_C = 0.0630 C + 0.0971, k_D = 4.0253 (D - 0.6)^3 + 1.0923
    resistance by time        k_T(T) k_S(S) t                   k_T = 3.4194e-10 exp(-71827/R (1/T - 1/298.15)), k_S = -3.3903 (S - 0.5)^3 + 1.5604
    resistance by cycling     k_C(C) k_D(D) N / 100             k_C = 0.0021 - 0.0020 C, k_D = 6.8477 (D - 0.5)^3 + 0.9182

with t in s, T in K, S state of charge and D depth as shares, C the rate in 1/h, N equivalent full cycles, R = 8.3145 J/(mol K).
The papers were not read: formulas and numbers were compared with two open implementations that cite them, SimSES (all four) and NREL's
BLAST-Lite (both resistances); authors, volumes and pages are recalled. Tested were 0 to 60 degC at rest, up to 1C, and cycling at 25 and
40 degC, whose loss the model takes as the same at all temperatures (the ranges are recalled too).

Conditions that change are followed as in SimSES: a cell goes on from the time or the cycles at which it would have lost as much under the
present conditions. For a law q = k sqrt(x) that means that k^2 x adds up: the order of days, and where a day is cut, play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

GAS_CONSTANT = 8.3145
ZERO_DEGC, REFERENCE_K = 273.15, 298.15
DAYS_PER_YEAR = 365.25
DECIMALS = 12
"""Of a series whose cycles are counted."""
HALVINGS = 80
"""Of the search for the remaining life: more than the digits of a float."""


@dataclass(frozen=True)
class Cycles:
    """What rainflow counted in a series: one entry a full or half cycle, in the order in which they close."""

    depth: np.ndarray
    """Range, in the unit of the series."""
    count: np.ndarray
    """1 for a full cycle, 0.5 for a half one."""
    begin: np.ndarray
    end: np.ndarray
    """Positions of the two turning points in the series; of a full cycle those of its first half."""


def held(values: np.ndarray, play: float, start: float | None = None) -> np.ndarray:
    """A series with its noise held back: the result follows ``values`` only where they leave it by more than ``play`` [same unit].

    It begins at ``start``, or at the first value. Given the last result as the next part's start, a series gives the same in one part and
    in many. Every swing becomes smaller by twice the play. Source: the play operator, M. Brokate and J. Sprekels, Hysteresis and Phase
    Transitions, 1996 (recalled).
    """
    made, at = np.empty(len(values)), float(values[0]) if start is None and len(values) else start
    for n, value in enumerate(np.asarray(values, dtype=float)):
        at = min(max(at, value - play), value + play)
        made[n] = at
    return made


def rainflow_cycles(values: np.ndarray) -> Cycles:
    """Full and half cycles of a series of any length, after ASTM E1049-85 (2017) 5.4.4; where nothing turns there is none.

    Depths times counts add up to half of the way that the series goes up and down.
    """
    from rainflow import extract_cycles

    series = np.round(np.asarray(values, dtype=float), DECIMALS).tolist()  # the package multiplies steps: those of 1e-200 would be lost
    if len(series) == 2:  # rainflow 3.2 finds no reversal in two points
        series, shift = [series[0], *series], 1
    else:
        shift = 0
    found = np.array([(depth, count, begin, end) for depth, _, count, begin, end in extract_cycles(series) if depth > 0])
    found = found.reshape(-1, 4)
    places = np.maximum(found[:, 2:].astype(int) - shift, 0)
    return Cycles(found[:, 0], found[:, 1], places[:, 0], places[:, 1])


def throughput_kwh(state_of_charge: np.ndarray, energy_kwh: float) -> float:
    """Energy into the store plus energy out of it, of a state of charge as a share of ``energy_kwh``."""
    return float(np.abs(np.diff(state_of_charge)).sum()) * energy_kwh


def calendar_square(temperature_degc: np.ndarray, state_of_charge: np.ndarray, seconds: np.ndarray | float) -> np.ndarray:
    """k^2 t of the capacity lost by time, element by element; the root of a sum of these is the lost share."""
    k = 1.2571e-5 * _arrhenius(temperature_degc, 17126.0) * (2.8575 * (_share(state_of_charge) - 0.5) ** 3 + 0.60225)
    return k**2 * seconds


def cycle_square(depth: np.ndarray, rate_per_hour: np.ndarray, full_cycles: np.ndarray) -> np.ndarray:
    """k^2 N of the capacity lost by cycling, element by element; ``depth`` as a share, ``full_cycles`` equivalent ones."""
    k = (0.0630 * np.asarray(rate_per_hour) + 0.0971) * (4.0253 * (_share(depth) - 0.6) ** 3 + 1.0923) / 100.0
    return k**2 * full_cycles


def calendar_resistance(temperature_degc: np.ndarray, state_of_charge: np.ndarray, seconds: np.ndarray | float) -> np.ndarray:
    """Growth of the resistance by time as a share of the new cell's, element by element."""
    k = 3.4194e-10 * _arrhenius(temperature_degc, 71827.0) * (-3.3903 * (_share(state_of_charge) - 0.5) ** 3 + 1.5604)
    return k * seconds


def cycle_resistance(depth: np.ndarray, rate_per_hour: np.ndarray, full_cycles: np.ndarray) -> np.ndarray:
    """Growth of the resistance by cycling likewise. Beyond the tested 1C the fitted line falls below 0, which is read as no growth."""
    k_rate = np.maximum(0.0021 - 0.0020 * np.asarray(rate_per_hour), 0.0)
    return k_rate * (6.8477 * (_share(depth) - 0.5) ** 3 + 0.9182) / 100.0 * full_cycles


def remaining_years(calendar: np.ndarray, cycle: np.ndarray, calendar_per_day: np.ndarray, cycle_per_day: np.ndarray,
                    most_lost: float) -> np.ndarray:  # fmt: skip
    """Years until the lost capacity is ``most_lost`` [share], (units,), if the conditions stay as they are.

    ``calendar``, ``cycle``: squares lost so far (sums of ``calendar_square`` and ``cycle_square``); ``.._per_day``: what a day adds to
    them. 0 where the end is reached, infinite where nothing is added. By bisection: the loss only grows.
    """
    calendar, cycle, by_time, by_use = np.broadcast_arrays(
        *(np.asarray(one, float) for one in (calendar, cycle, calendar_per_day, cycle_per_day))
    )

    def lost(days: np.ndarray) -> np.ndarray:
        return np.sqrt(calendar + by_time * days) + np.sqrt(cycle + by_use * days)

    with np.errstate(divide="ignore"):  # by then one of the two parts alone has lost it all
        high = np.where(np.maximum(by_time, by_use) > 0, most_lost**2 / np.maximum(by_time, by_use), 0.0)
    low = np.zeros_like(high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        over = lost(middle) >= most_lost
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    years = np.where(np.maximum(by_time, by_use) > 0, high / DAYS_PER_YEAR, np.inf)
    return np.where(lost(np.zeros_like(high)) >= most_lost, 0.0, years)


def speaking_hours(times: np.ndarray, end: np.datetime64, longest: timedelta) -> np.ndarray:
    """How long each reading speaks [h]: until the next one or ``end``, and never longer than ``longest``. ``times`` ascend."""
    steps = np.diff(np.append(times, end)) / np.timedelta64(1, "s") / 3600.0
    return np.clip(steps, 0.0, longest.total_seconds() / 3600.0)


def _arrhenius(temperature_degc: np.ndarray, activation_j_per_mol: float) -> np.ndarray:
    return np.exp(-activation_j_per_mol / GAS_CONSTANT * (1.0 / (np.asarray(temperature_degc) + ZERO_DEGC) - 1.0 / REFERENCE_K))


def _share(values: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(values, dtype=float), 0.0, 1.0)
