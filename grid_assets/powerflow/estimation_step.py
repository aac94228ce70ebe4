"""One step of the state estimation: Gauss-Newton, normalised residuals, and taking out bad data one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse.linalg as linalg

from grid_assets.powerflow.measurement_model import BaseModel, SensorModel

MOST_ITERATIONS, TOLERANCE = 20, 1e-10
SEEN = 1e-6
"""A measurement whose residual shows less than this part of its variance has no redundancy: it is critical."""
AS_GOOD = 0.97
"""Measurements whose normalised residuals come so close to the largest explain the mismatch as well as that one."""
RANK = 1e-9
"""Singular values below this part of the largest count as 0."""
ROWS_AT_ONCE = 512


class Test(Protocol):
    confidence: float
    suspicious: float
    identified: float
    most_removed: int


@dataclass(frozen=True)
class StepInput:
    """Values and variances of base quantities [size] (infinite: unknown) and of sensors [sensors] (value NaN: not measured)."""

    base: np.ndarray
    base_variance: np.ndarray
    sensor: np.ndarray
    sensor_variance: np.ndarray


@dataclass(frozen=True)
class Linear:
    """The least squares around voltages: sensors that are in use by base quantities."""

    factors: linalg.SuperLU
    used: np.ndarray
    """Positions of the sensors in use."""
    unknown: np.ndarray
    """[size] bool"""
    by_base: np.ndarray
    """[used, size]: C, derivatives of the sensors by the base quantities."""
    covariance: np.ndarray
    """[used, used]: of the innovations, for known injections."""
    weight: np.ndarray
    """[used, used]: P, its inverse, unknown injections projected out."""
    unknown_solution: np.ndarray
    """[unknown, used]: unknown injections by innovations."""
    null: np.ndarray
    """[unknown, dimensions]: what no sensor sees of the unknown injections."""
    freedom: int


@dataclass
class StepState:
    """The estimate of one step."""

    voltage: np.ndarray
    change: np.ndarray
    """[size]: estimated base quantities less those given (of unknown ones: less 0)."""
    objective: float
    freedom: int
    base_normalised: np.ndarray
    sensor_normalised: np.ndarray
    sensor_critical: np.ndarray
    base_bad: np.ndarray
    sensor_bad: np.ndarray
    sensor_rivals: np.ndarray
    unobservable: np.ndarray
    """[solved]"""
    linear: Linear
    base_variance: np.ndarray
    """[size], with those taken out at infinity."""

    def threshold(self, confidence: float) -> float:
        """Of the objective; NaN without redundancy."""
        from scipy.special import chdtri

        return float(chdtri(self.freedom, 1 - confidence)) if self.freedom > 0 else np.nan


def solved_step(base: BaseModel, model: SensorModel, given: StepInput, start: np.ndarray, test: Test) -> StepState | None:
    """Estimate, test, take the worst out, estimate again. None where the iteration does not converge.

    Errors so gross that Gauss-Newton does not converge with them are judged by their innovations at ``start``, linearised there.
    """
    current, voltage, taken = given, start, []
    last: StepState | None = None
    while True:
        found = _converged(base, model, current, voltage)
        last = state_at(base, model, current, start if found is None else found)
        worst = _worst(last, test.identified) if _suspicious(last, test) else None
        if worst is None or len(taken) == test.most_removed:
            break
        taken.append((worst, last))
        current, voltage = _without(current, worst), start if found is None else found
    if found is None:
        return None
    for (of_sensor, at, rivals), before in taken:
        if of_sensor:
            last.sensor_bad[at], last.sensor_rivals[at] = True, rivals
            last.sensor_normalised[at], last.sensor_critical[at] = before.sensor_normalised[at], False
        else:
            last.base_bad[at], last.base_normalised[at] = True, before.base_normalised[at]
    return last


def state_at(base: BaseModel, model: SensorModel, given: StepInput, voltage: np.ndarray) -> StepState:
    """What the measurements say of voltages: objective, normalised residuals, what is observable.

    The normalised residuals are those of the next Gauss-Newton step: at the optimum those of the estimate.
    """
    linear = linearised(base, model, given, voltage)
    quantities, used = base.quantities(voltage), linear.used
    missed = given.sensor - model.values(voltage)
    change = quantities - given.base
    objective = float((missed[used] ** 2 / given.sensor_variance[used]).sum())
    soft = np.isfinite(given.base_variance) & (given.base_variance > 0)
    objective += float((change[soft] ** 2 / given.base_variance[soft]).sum())
    multiplier = linear.weight @ (missed[used] + linear.by_base @ np.where(linear.unknown, 0.0, change)) if len(used) else np.empty(0)
    own = np.diag(linear.weight)
    seen = own * given.sensor_variance[used] > SEEN
    sensor_normalised, critical = np.full(len(missed), np.nan), np.zeros(len(missed), bool)
    sensor_normalised[used[seen]] = np.abs(multiplier[seen]) / np.sqrt(own[seen])
    critical[used[~seen]] = True
    base_normalised = np.full(base.size, np.nan)
    if len(used):
        shown = np.einsum("ij,ik,kj->j", linear.by_base, linear.weight, linear.by_base, optimize=True)
        tested = soft & (shown * np.where(soft, given.base_variance, 0) > SEEN)
        base_normalised[tested] = np.abs(linear.by_base.T @ multiplier)[tested] / np.sqrt(shown[tested])
    return StepState(
        voltage=voltage, change=change, objective=objective, freedom=linear.freedom, base_normalised=base_normalised,
        sensor_normalised=sensor_normalised, sensor_critical=critical, base_bad=np.zeros(base.size, bool),
        sensor_bad=np.zeros(len(missed), bool), sensor_rivals=np.zeros(len(missed), int),
        unobservable=_unobservable(base, linear), linear=linear, base_variance=given.base_variance,
    )  # fmt: skip


def linearised(base: BaseModel, model: SensorModel, given: StepInput, voltage: np.ndarray) -> Linear:
    """Derivatives and weights at voltages [solved]."""
    factors = linalg.splu(base.jacobian(voltage))
    used = np.flatnonzero(~np.isnan(given.sensor))
    unknown = np.isinf(given.base_variance)
    count, hidden = len(used), int(unknown.sum())
    if not count:
        nothing = np.empty((0, 0))
        return Linear(factors, used, unknown, np.empty((0, base.size)), nothing, nothing, np.empty((hidden, 0)), np.eye(hidden), 0)
    by_base = np.ascontiguousarray(factors.solve(model.derivatives(voltage)[used].T, trans="T").T)
    variance = np.where(unknown, 0.0, given.base_variance)
    covariance = np.diag(given.sensor_variance[used]) + (by_base * variance) @ by_base.T
    lower = np.linalg.cholesky(covariance)
    whiten = np.linalg.solve(lower, np.eye(count))
    if not hidden:
        return Linear(factors, used, unknown, by_base, covariance, whiten.T @ whiten, np.empty((0, count)), np.empty((0, 0)), count)
    left, size, right = np.linalg.svd(whiten @ by_base[:, unknown], full_matrices=True)
    rank = int((size > RANK * size.max(initial=0.0)).sum()) if size.max(initial=0.0) > 0 else 0
    solution = (right[:rank].T / size[:rank]) @ left[:, :rank].T @ whiten
    kept = whiten.T @ (np.eye(count) - left[:, :rank] @ left[:, :rank].T) @ whiten
    return Linear(factors, used, unknown, by_base, covariance, kept, solution, right[rank:].T, count - rank)


def _converged(base: BaseModel, model: SensorModel, given: StepInput, start: np.ndarray) -> np.ndarray | None:
    """Gauss-Newton. None where it does not settle."""
    voltage = start
    for _ in range(MOST_ITERATIONS):
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                linear = linearised(base, model, given, voltage)
        except (RuntimeError, ValueError, np.linalg.LinAlgError):  # a singular Jacobian, or voltages that ran away
            return None
        missed = np.where(linear.unknown, 0.0, given.base - base.quantities(voltage))
        if len(linear.used):
            innovation = given.sensor[linear.used] - model.values(voltage)[linear.used] - linear.by_base @ missed
            variance = np.where(linear.unknown, 0.0, given.base_variance)
            missed = missed + variance * (linear.by_base.T @ (linear.weight @ innovation))
            missed[linear.unknown] = linear.unknown_solution @ innovation
        change = linear.factors.solve(missed)
        if not np.isfinite(change).all():
            return None
        voltage = base.moved(voltage, change)
        if np.abs(change).max(initial=0.0) < TOLERANCE:
            return voltage
        if np.abs(voltage).min() < 0.1:  # far below any voltage that a grid can have: it runs away
            return None
    return None


def _suspicious(state: StepState, test: Test) -> bool:
    largest = max(_largest(state.sensor_normalised), _largest(state.base_normalised))
    return state.freedom > 0 and (state.objective > state.threshold(test.confidence) or largest > test.suspicious)


def _largest(values: np.ndarray) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else 0.0


def _worst(state: StepState, least: float) -> tuple[bool, int, int] | None:
    """Whether it is a sensor, which one, and how many others explain as much. One instrument is suspected before a sum of many."""
    of_sensor, of_base = _largest(state.sensor_normalised), _largest(state.base_normalised)
    largest = max(of_sensor, of_base)
    if largest <= least:
        return None
    everyone = np.concatenate([state.sensor_normalised, state.base_normalised])
    rivals = int((everyone >= AS_GOOD * largest).sum()) - 1
    if of_sensor >= AS_GOOD * largest:
        return True, int(np.nanargmax(state.sensor_normalised)), rivals
    return False, int(np.nanargmax(state.base_normalised)), rivals


def _without(given: StepInput, worst: tuple[bool, int, int]) -> StepInput:
    of_sensor, at, _ = worst
    sensor, variance = given.sensor.copy(), given.base_variance.copy()
    if of_sensor:
        sensor[at] = np.nan
    else:
        variance[at] = np.inf
    return StepInput(given.base, variance, sensor, given.sensor_variance)


def _unobservable(base: BaseModel, linear: Linear) -> np.ndarray:
    """Solved buses whose voltage moves with what no sensor sees [solved]."""
    hidden = np.zeros(len(base.network.start), bool)
    if not linear.null.shape[1]:
        return hidden
    free = np.zeros((base.size, linear.null.shape[1]))
    free[linear.unknown] = linear.null
    moved = np.abs(linear.factors.solve(free)).max(axis=1)
    moving = np.append(moved > 1e-6 * moved.max(), False)
    return moving[base.angle_at] | moving[base.magnitude_at]


def voltage_deviations(base: BaseModel, states: list[StepState | None]) -> np.ndarray:
    """Standard deviations of the voltage magnitudes [steps, solved], per unit, by the derivatives at the first step that has an estimate."""
    made = np.full((len(states), len(base.network.start)), np.nan)
    first = next((one for one in states if one is not None), None)
    if first is None:
        return made
    for begin in range(0, len(base.magnitude_at), ROWS_AT_ONCE):
        rows = base.magnitude_at[begin : begin + ROWS_AT_ONCE]
        chosen = np.zeros((base.size, len(rows)))
        chosen[rows, np.arange(len(rows))] = 1
        by_base = np.ascontiguousarray(first.linear.factors.solve(chosen, trans="T").T)
        squared = by_base**2
        for step, state in enumerate(states):
            if state is not None:
                made[step, begin : begin + ROWS_AT_ONCE] = np.sqrt(np.maximum(_variance(by_base, squared, state), 0))
    return made


def _variance(by_base: np.ndarray, squared: np.ndarray, state: StepState) -> np.ndarray:
    """Of the magnitudes [rows]: what the injections leave open, less what the sensors tell."""
    linear = state.linear
    known = np.where(linear.unknown, 0.0, state.base_variance)
    made = squared @ known
    if not len(linear.used):
        return made
    shared = (by_base * known) @ linear.by_base.T
    made -= np.einsum("ij,jk,ik->i", shared, linear.weight, shared, optimize=True)
    if linear.unknown.any():
        of_unknown = by_base[:, linear.unknown] @ linear.unknown_solution
        made += np.einsum("ij,jk,ik->i", of_unknown, linear.covariance, of_unknown, optimize=True)
        made -= 2 * np.einsum("ij,ij->i", shared, of_unknown)
    return made
