"""A battery against the evening peak: charged earlier in the day, from generation where it can, for the best expected score over scenarios.

A day's score is the reduction of the evening's highest load in per cent, times ``SOLAR_WORTH`` for the share of the charged energy
that comes from the generation beside the battery and ``GRID_WORTH`` for the rest (rules of the Presumed Open Data storage challenge,
Western Power Distribution and Energy Systems Catapult, 2021). The battery is lossless, empty when the day begins and when the evening ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SOLAR_WORTH, GRID_WORTH = 3.0, 1.0
TOLERANCE = 1e-6
"""MW and MWh: a plan may miss a limit by so much, and an evening whose load is nowhere above it has no peak."""
GAP = 1e-9
"""The search for the energy ends when no other can be better by more than this part of a day's whole peak."""


class EveningPeakError(ValueError):
    """Scenarios or a battery that no plan can be made for. The message says what was expected."""


class SolverError(RuntimeError):
    """The linear programme of the discharge did not come back with an optimum."""


@dataclass(frozen=True)
class Battery:
    """A lossless battery."""

    energy_mwh: float
    power_mw: float
    interval_hours: float = 0.5


@dataclass(frozen=True)
class EveningPlan:
    """Charging before the evening [charging intervals] and discharging in it [evening intervals], MW, each at least 0."""

    charge_mw: np.ndarray
    discharge_mw: np.ndarray

    def energy_mwh(self, battery: Battery) -> float:
        return float(self.charge_mw.sum() * battery.interval_hours)


def best_plan(load_mw: np.ndarray, generation_mw: np.ndarray, battery: Battery) -> EveningPlan:
    """The plan with the best expected score, as exact as HiGHS solves.

    ``load_mw`` [scenarios, evening intervals], ``generation_mw`` [scenarios, charging intervals]: equally likely courses, MW, as
    many of either as there are. Load and generation are taken as independent: the expected score is the product of the expected
    reduction and the expected worth of the energy. A scenario without load has no peak to reduce. Raises EveningPeakError
    for input that is not finite or has no scenario, and SolverError.

    For a given energy E both expectations have an exact optimum, concave and piecewise linear in E: R(E) by a linear programme
    over the scenarios; S(E), the expected solar energy, by taking the likeliest megawatts first. Where R = a + bE and S = c + dE
    with a, c >= 0, R (1 + 2 S/E) is convex in E, so the best energy is at a bend of R or S. R's duals give tangents above it, as
    cutting planes (Kelley 1960); the search asks for R where these tangents promise most, until they promise no more than was found.
    """
    load, generation = _checked(load_mw, "load_mw"), _checked(generation_mw, "generation_mw")
    if not (battery.energy_mwh >= 0 and battery.power_mw >= 0 and battery.interval_hours > 0):
        raise EveningPeakError(f"{battery} has a negative size or an interval without length; expected at least 0")
    hours, intervals = battery.interval_hours, min(load.shape[1], generation.shape[1])
    most = min(battery.energy_mwh, intervals * battery.power_mw * hours)
    nothing = EveningPlan(np.zeros(generation.shape[1]), np.zeros(load.shape[1]))
    if most <= TOLERANCE or not (load.max(1) > TOLERANCE).any():
        return nothing
    slices, likelihood = _likeliest_first(generation, battery.power_mw)
    width = slices.sum(1) * hours
    bends, solar = (np.concatenate([[0.0], np.cumsum(one)]) for one in (width, width * likelihood))
    programme = _DischargeProgramme(load, battery)
    tangents: dict[float, tuple[float, float]] = {}  # of energies: value at no energy, slope
    best, made, energy, promised = 0.0, nothing, most, np.inf
    while promised > best + GAP and energy not in tangents:
        discharge, slope = programme.at(energy)
        reduction = float(relative_reduction(load, discharge).mean())
        reached = reduction * float(_worth(np.interp(energy, bends, solar), energy))
        if reached > best:
            best, made = reached, EveningPlan(_charge(slices, energy, battery), discharge)
        tangents[energy] = (reduction - slope * energy, slope)
        energy, promised = _most_promising(np.array(list(tangents.values())), bends, solar, most)
    return made


def relative_reduction(load_mw: np.ndarray, discharge_mw: np.ndarray) -> np.ndarray:
    """By which part of it discharging reduces the highest load [...] of ``load_mw`` [..., intervals]; 0 where there is no load."""
    peak, rest = load_mw.max(-1), (load_mw - discharge_mw).max(-1)
    return np.where(peak > TOLERANCE, 1 - rest / np.where(peak > TOLERANCE, peak, 1.0), 0.0)


def solar_share(generation_mw: np.ndarray, charge_mw: np.ndarray) -> np.ndarray:
    """Share of the charged energy that generation [..., intervals] covers in the same interval [...]; 0 where nothing is charged."""
    charged = charge_mw.sum()
    return np.minimum(charge_mw, np.maximum(generation_mw, 0.0)).sum(-1) / (charged if charged > 0 else 1.0)


def score(plan: EveningPlan, load_mw: np.ndarray, generation_mw: np.ndarray) -> np.ndarray:
    """Scores [...] of a plan on days as they came: loads [..., evening intervals] and generation [..., charging intervals], MW."""
    share = solar_share(generation_mw, plan.charge_mw)
    return 100 * relative_reduction(load_mw, plan.discharge_mw) * (SOLAR_WORTH * share + GRID_WORTH * (1 - share))


def expected_score(plan: EveningPlan, load_mw: np.ndarray, generation_mw: np.ndarray) -> float:
    """What ``best_plan`` maximises: the mean score over scenarios of load and generation that are independent of each other."""
    share = float(solar_share(generation_mw, plan.charge_mw).mean())
    return 100 * float(relative_reduction(load_mw, plan.discharge_mw).mean()) * (SOLAR_WORTH * share + GRID_WORTH * (1 - share))


def faults_of_evening_plan(plan: EveningPlan, battery: Battery) -> list[str]:
    """What the battery cannot do of a plan; empty where it can do all."""
    faults = []
    for name, power in (("charge", plan.charge_mw), ("discharge", plan.discharge_mw)):
        if not np.isfinite(power).all():
            faults.append(f"{name} is not a number at {int((~np.isfinite(power)).sum())} intervals")
            continue
        if power.min(initial=0.0) < -TOLERANCE:
            faults.append(f"{name} of {power.min():.6g} MW; expected at least 0")
        if power.max(initial=0.0) > battery.power_mw + TOLERANCE:
            faults.append(f"{name} of {power.max():.6g} MW; expected at most {battery.power_mw:.6g}")
    charged, discharged = (float(power.sum() * battery.interval_hours) for power in (plan.charge_mw, plan.discharge_mw))
    if charged > battery.energy_mwh + TOLERANCE:
        faults.append(f"charges {charged:.6g} MWh; expected at most {battery.energy_mwh:.6g}")
    if abs(charged - discharged) > TOLERANCE:
        faults.append(f"charges {charged:.6g} MWh and discharges {discharged:.6g}; expected the same")
    return faults


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    made = np.asarray(values, float)
    if made.ndim != 2 or 0 in made.shape or not np.isfinite(made).all():
        raise EveningPeakError(f"{name} has shape {made.shape} or values that are not finite; expected [scenarios, intervals] of finite MW")
    return made


# -- the energy ---------------------------------------------------------------------------------------------------


def _worth(solar_mwh: np.ndarray, energy_mwh: np.ndarray) -> np.ndarray:
    return GRID_WORTH + (SOLAR_WORTH - GRID_WORTH) * solar_mwh / energy_mwh


def _most_promising(tangents: np.ndarray, bends: np.ndarray, solar: np.ndarray, most: float) -> tuple[float, float]:
    """The energy where the lowest of the tangents [tangents, 2] times the worth is highest, MWh, and this promise."""
    start, slope = tangents.T
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = ((start[None] - start[:, None]) / (slope[:, None] - slope[None])).ravel()
    energies = np.concatenate([bends, crossings[np.isfinite(crossings)], [most]])
    energies = np.unique(energies[(energies > TOLERANCE) & (energies <= most)])
    promises = (start[:, None] + slope[:, None] * energies).min(0) * _worth(np.interp(energies, bends, solar), energies)
    place = int(promises.argmax())
    return float(energies[place]), float(promises[place])


# -- charging -----------------------------------------------------------------------------------------------------


def _likeliest_first(generation: np.ndarray, power_mw: float) -> tuple[np.ndarray, np.ndarray]:
    """Slices of charging power [scenarios + 1, intervals], MW, the likeliest first, and how likely generation covers each of a row.

    Between the sorted scenarios of each interval: E[min(c, G)] grows by P(G >= slice), which falls with c.
    """
    edges = np.sort(np.clip(generation, 0.0, power_mw), axis=0)
    return np.diff(edges, axis=0, prepend=0.0, append=power_mw), 1 - np.arange(len(edges) + 1) / len(edges)


def _charge(slices: np.ndarray, energy_mwh: float, battery: Battery) -> np.ndarray:
    """Charging [intervals], MW, that takes the slices in order until the energy is reached.

    Of the last row, all that are equally likely, each interval gives the same part: to the model any choice is as good, but
    what no scenario has happens all at once in neighbouring intervals, so that it is better spread.
    """
    row = slices.sum(1)
    before = np.cumsum(row) - row
    wanted = np.clip(energy_mwh / battery.interval_hours - before, 0.0, row)
    return (np.divide(wanted, row, out=np.zeros(len(row)), where=row > 0)[:, None] * slices).sum(0)


# -- discharging --------------------------------------------------------------------------------------------------


class _DischargeProgramme:
    """Maximises the mean relative reduction over scenarios with a given energy; HiGHS starts each energy from the one before.

    Columns: discharge of each interval and what is left of each scenario's peak, MW. Rows: what is left is no less than in any
    interval; the energy.
    """

    def __init__(self, load: np.ndarray, battery: Battery):
        import highspy

        self._battery, self._intervals, all_scenarios = battery, load.shape[1], len(load)
        load = load[load.max(1) > TOLERANCE]
        peak = load.max(1, keepdims=True)
        scenario, interval = np.nonzero(load > peak - battery.power_mw)  # other intervals are below what is left of the peak anyway
        rows, columns = len(scenario), self._intervals + len(load)
        free = highspy.kHighsInf
        programme = highspy.HighsLp()
        programme.num_col_, programme.num_row_ = columns, rows + 1
        programme.col_cost_ = np.concatenate([np.zeros(self._intervals), 1 / peak[:, 0] / all_scenarios])
        programme.col_lower_ = np.concatenate([np.zeros(self._intervals), np.full(len(load), -free)])
        programme.col_upper_ = np.concatenate([np.full(self._intervals, battery.power_mw), np.full(len(load), free)])
        programme.row_lower_ = np.concatenate([load[scenario, interval], [0.0]])
        programme.row_upper_ = np.concatenate([np.full(rows, free), [0.0]])
        matrix = programme.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.concatenate([np.arange(0, 2 * rows + 1, 2), [2 * rows + self._intervals]])
        matrix.index_ = np.concatenate([np.stack([interval, self._intervals + scenario], 1).ravel(), np.arange(self._intervals)])
        matrix.value_ = np.concatenate([np.ones(2 * rows), np.full(self._intervals, battery.interval_hours)])
        highspy.Highs.resetGlobalScheduler(True)  # another thread count in this process would make HiGHS refuse ours
        self._solver: Any = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 0), ("presolve", "off")):
            self._solver.setOptionValue(name, value)
        self._solver.passModel(programme)
        self._energy_row, self._highspy = rows, highspy

    def at(self, energy_mwh: float) -> tuple[np.ndarray, float]:
        """The discharge [intervals], MW, and by how much the mean relative reduction grows with the energy, per MWh."""
        self._solver.changeRowBounds(self._energy_row, energy_mwh, energy_mwh)
        self._solver.run()
        status = self._solver.getModelStatus()
        if status != self._highspy.HighsModelStatus.kOptimal:
            raise SolverError(
                f"HiGHS ended with {self._solver.modelStatusToString(status)!r} for {energy_mwh:.6g} MWh; expected an optimum"
            )
        found = self._solver.getSolution()
        discharge = np.clip(np.array(found.col_value[: self._intervals]), 0.0, self._battery.power_mw)
        return discharge, max(-found.row_dual[self._energy_row], 0.0)
