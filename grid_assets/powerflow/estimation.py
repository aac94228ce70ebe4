"""State estimation: the most likely voltages by weighted least squares, which measurements are bad, and what cannot be known.

Every bus has an injection: metered, a guess with a large deviation, exactly zero, or unknown. With the supply's voltage these give a state of
their own; the sensors beside them are its only redundancy, so the least squares are solved in the sensors' space (few) instead of the
state's (many): eta = R C' P d with C the sensors' derivatives by the injections and P the inverse covariance of their innovations d, in
which unknown injections are projected out. Exact (zero) injections are constraints and need no weights. It is the Gauss-Newton iteration of
the usual gain-matrix form: same optimum, same normalised residuals (Abur, Exposito, Power System State Estimation, 2004, ch. 2, 3 and 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import CompiledNetwork, FlowError
from grid_assets.powerflow.estimation_step import StepInput, StepState, solved_step, state_at, voltage_deviations
from grid_assets.powerflow.measurement_model import BaseModel, SensorModel, sensor_model

WLS, OTHER, NONE = 0, 1, -1
SUPPLY_SIGMA_PU = 0.01

OtherEstimator = Callable[["Injected", "Sensors", int], np.ndarray | None]
"""Voltages [solved] of one step by another solver, or None."""


class EstimationError(FlowError):
    """Measurements that cannot be used: which, what is wrong, what was expected."""


@dataclass(frozen=True)
class Injected:
    """What is known of each bus's consumption: [steps, buses] in the order of ``net.bus``, MW and Mvar, consumption positive.

    A deviation of 0 means exactly; a value of NaN means unknown.
    """

    load_mw: np.ndarray
    load_mvar: np.ndarray
    sigma_mw: np.ndarray
    sigma_mvar: np.ndarray


@dataclass(frozen=True)
class Sensors:
    """Measurements beside the injections, [sensors] and [steps, sensors]; units as in SENSOR_KINDS; NaN: nothing was measured."""

    kind: np.ndarray
    element: np.ndarray
    """Name of the bus or branch."""
    value: np.ndarray
    sigma: np.ndarray

    @classmethod
    def none(cls, steps: int) -> Sensors:
        return cls(np.empty(0, object), np.empty(0, object), np.empty((steps, 0)), np.empty((steps, 0)))


@dataclass(frozen=True)
class BadDataTest:
    """Bad data are suspected where the objective fails its chi-square test, or a normalised residual is above ``suspicious``;
    then the measurement with the largest one is taken out, as long as that is above ``identified``, and all is estimated again.
    """

    confidence: float = 0.99
    suspicious: float = 4.0
    identified: float = 3.0
    most_removed: int = 10
    """Of one step."""


@dataclass
class Estimation:
    """Arrays are [steps, buses] in the order of ``net.bus``, [steps, sensors], or [steps]. What has no value is NaN."""

    voltage: np.ndarray
    """[steps, solved], complex per unit."""
    vm_pu: np.ndarray
    va_degree: np.ndarray
    vm_sigma_pu: np.ndarray
    load_mw: np.ndarray
    load_mvar: np.ndarray
    load_normalised: np.ndarray
    """Normalised residual of the active injection; NaN where it has no redundancy (critical) or is exact."""
    load_mvar_normalised: np.ndarray
    load_bad: np.ndarray
    load_mvar_bad: np.ndarray
    sensor_estimate: np.ndarray
    sensor_residual: np.ndarray
    """Measurement less estimate; of a bad one, less the estimate without it."""
    sensor_normalised: np.ndarray
    """Of a bad one: when it was taken out. NaN where critical: an error there cannot be seen."""
    sensor_critical: np.ndarray
    sensor_bad: np.ndarray
    sensor_rivals: np.ndarray
    """How many other measurements explained the mismatch as well when a bad one was taken out."""
    objective: np.ndarray
    degrees_of_freedom: np.ndarray
    threshold: np.ndarray
    """Of the objective, at the test's confidence; NaN without redundancy."""
    unobservable: np.ndarray
    """Whether a bus's voltage does not follow from what was measured."""
    method: np.ndarray
    """WLS, OTHER, or NONE for a step without an estimate."""
    solver: list[str] = field(default_factory=list)
    """Who solved each step, in words; "" where nobody did."""

    @property
    def converged(self) -> np.ndarray:
        return self.method != NONE

    @property
    def consistent(self) -> np.ndarray:
        """Whether the objective of what was kept passes its test [steps]; true without redundancy, where nothing can be said."""
        return self.converged & ~(self.objective > self.threshold)


def estimate(
    network: CompiledNetwork,
    injected: Injected,
    sensors: Sensors,
    test: BadDataTest | None = None,
    *,
    supply_sigma_pu: float = SUPPLY_SIGMA_PU,
    others: dict[str, OtherEstimator] | None = None,
    deviations: bool = True,
) -> Estimation:
    """Estimates every step on its own.

    The supply's voltage is known by its set point up to ``supply_sigma_pu``; of generators that hold their voltage the active power
    is exact and the reactive unknown. ``others`` are asked in turn for steps that do not converge; they find no bad data.
    ``deviations``: also the standard deviations of the voltages, linearised at the first step that converged.
    Raises EstimationError for arrays that do not fit, infinite values, deviations that are negative or missing, sensors at unknown elements.
    """
    test = test or BadDataTest()
    refuse_misfits(network, injected, sensors)
    base = BaseModel(network)
    try:
        model = sensor_model(base, sensors.kind, sensors.element)
    except FlowError as error:
        raise EstimationError(str(error)) from error
    value, variance = base_measurements(base, injected, supply_sigma_pu)
    starts = _starts(network, injected)
    states: list[StepState | None] = []
    solver: list[str] = []
    for step in range(len(value)):
        given = StepInput(value[step], variance[step], sensors.value[step], sensors.sigma[step] ** 2)
        found, by = solved_step(base, model, given, starts[step], test), "weighted least squares"
        if found is None:
            found, by = _by_others(base, model, given, others or {}, injected, sensors, step)
        states.append(found)
        solver.append(by)
    made = _collected(base, model, injected, sensors, states, solver, test)
    if deviations:
        made.vm_sigma_pu[:, network.supplied] = voltage_deviations(base, states)[:, network.place[network.supplied]]
        made.vm_sigma_pu[made.unobservable] = np.nan
    return made


def refuse_misfits(network: CompiledNetwork, injected: Injected, sensors: Sensors) -> None:
    """Raises EstimationError naming the first array, step and element that cannot be used."""
    steps, buses = np.shape(injected.load_mw)[0] if np.ndim(injected.load_mw) == 2 else -1, len(network.bus_ids)
    for name in ("load_mw", "load_mvar", "sigma_mw", "sigma_mvar"):
        array = np.asarray(getattr(injected, name), float)
        if array.shape != (steps, buses):
            raise EstimationError(f"{name} has shape {array.shape}; expected steps x {buses} buses")
        bad = np.isinf(array) | ((np.isnan(array) | (array < 0)) if name.startswith("sigma") else False)
        if bad.any():
            step, bus = np.argwhere(bad)[0]
            raise EstimationError(f"{name}, step {step}, bus {network.bus_ids[bus]!r}: {array[step, bus]}; expected a finite number"
                                  f"{' of 0 or more' if name.startswith('sigma') else ', or NaN where unknown'}")  # fmt: skip
    count = len(sensors.kind)
    for name in ("value", "sigma"):
        array = np.asarray(getattr(sensors, name), float)
        if array.shape != (steps, count) or len(sensors.element) != count:
            raise EstimationError(f"sensors.{name} has shape {array.shape}; expected {steps} steps x {count} sensors, an element each")
        measured = ~np.isnan(sensors.value)
        bad = measured & (~np.isfinite(array) | ((array <= 0) if name == "sigma" else False))
        if bad.any():
            step, at = np.argwhere(bad)[0]
            raise EstimationError(f"sensors.{name}, step {step}, {sensors.kind[at]} at {sensors.element[at]!r}: {array[step, at]}; expected a "
                                  f"finite number{' above 0' if name == 'sigma' else ''}")  # fmt: skip


def base_measurements(base: BaseModel, injected: Injected, supply_sigma_pu: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and variances of the base quantities [steps, size], per unit; an unknown one has an infinite variance."""
    network, count = base.network, len(base.free)
    steps = len(injected.load_mw)
    value, variance = np.zeros((steps, base.size)), np.zeros((steps, base.size))
    seat = np.full(len(network.start), -1)
    seat[base.free] = np.arange(count)
    seats = np.where(network.supplied, seat[np.maximum(network.place, 0)], -1)
    there = seats >= 0
    for first, load, sigma in ((0, injected.load_mw, injected.sigma_mw), (count, injected.load_mvar, injected.sigma_mvar)):
        known = np.where(np.isnan(load), 0.0, load)[:, there]
        spread = np.where(np.isnan(load), np.inf, np.asarray(sigma, float) ** 2)[:, there]
        np.subtract.at(value.T, first + seats[there], known.T / network.base_mva)
        np.add.at(variance.T, first + seats[there], spread.T / network.base_mva**2)
    value[:, :count] += network.generation[base.free].real
    held = seat[network.controlled]
    variance[:, count + held] = np.inf
    value[:, 2 * count :] = np.abs(network.start[base.reference])
    variance[:, 2 * count :] = supply_sigma_pu**2
    return value, variance


def _starts(network: CompiledNetwork, injected: Injected) -> np.ndarray:
    """Voltages [steps, solved] to begin with: the flow of what is known, else the network without load."""
    if len(network.controlled):
        return np.repeat(network.start[None], len(injected.load_mw), axis=0)
    loads = [np.nan_to_num(one, nan=0.0) for one in (injected.load_mw, injected.load_mvar)]
    found = BatchSolver(network).solve(network.injections(*loads), persistent=False).voltage
    return np.where(np.isfinite(found), found, network.start)


def _by_others(
    base: BaseModel,
    model: SensorModel,
    given: StepInput,
    others: dict[str, OtherEstimator],
    injected: Injected,
    sensors: Sensors,
    step: int,
) -> tuple[StepState | None, str]:
    for name, estimator in others.items():
        voltage = estimator(injected, sensors, step)
        if voltage is not None and np.isfinite(voltage).all():
            return state_at(base, model, given, voltage), name
    return None, ""


def _collected(
    base: BaseModel, model: SensorModel, injected: Injected, sensors: Sensors, states: list[StepState | None], solver: list[str], test: BadDataTest
) -> Estimation:  # fmt: skip
    network, steps, count = base.network, len(states), len(sensors.kind)
    buses, free = len(network.bus_ids), len(base.free)
    floats = {name: np.full((steps, buses), np.nan) for name in (
        "vm_pu", "va_degree", "vm_sigma_pu", "load_mw", "load_mvar", "load_normalised", "load_mvar_normalised")}  # fmt: skip
    shown = {name: np.full((steps, count), np.nan) for name in ("sensor_estimate", "sensor_residual", "sensor_normalised")}
    marks = {name: np.zeros((steps, count), bool) for name in ("sensor_critical", "sensor_bad")}
    bus_marks = {name: np.zeros((steps, buses), bool) for name in ("load_bad", "load_mvar_bad", "unobservable")}
    made = Estimation(
        voltage=np.full((steps, len(network.start)), np.nan, complex), **floats, **shown, **marks, **bus_marks,
        sensor_rivals=np.zeros((steps, count), int), objective=np.full(steps, np.nan), degrees_of_freedom=np.zeros(steps, int),
        threshold=np.full(steps, np.nan), method=np.full(steps, NONE), solver=solver,
    )  # fmt: skip
    seat = np.full(len(network.start), -1)
    seat[base.free] = np.arange(free)
    place = np.maximum(network.place, 0)
    seats = np.where(network.supplied, seat[place], -1)
    free_bus = seats >= 0
    for step, state in enumerate(states):
        if state is None:
            continue
        made.method[step] = WLS if solver[step] == "weighted least squares" else OTHER
        made.voltage[step] = state.voltage
        at_bus = np.where(network.supplied, state.voltage[place], np.nan)
        made.vm_pu[step], made.va_degree[step] = np.abs(at_bus), np.degrees(np.angle(at_bus))
        made.unobservable[step] = network.supplied & state.unobservable[place]
        for first, load, sigma, name in ((0, injected.load_mw, injected.sigma_mw, "load_mw"), (free, injected.load_mvar, injected.sigma_mvar, "load_mvar")):  # fmt: skip
            prefix = "load" if first == 0 else "load_mvar"
            getattr(made, name)[step] = _shared(load[step], sigma[step], seats, -state.change[first : first + free] * network.base_mva)
            getattr(made, f"{prefix}_normalised")[step, free_bus] = state.base_normalised[first + seats[free_bus]]
            getattr(made, f"{prefix}_bad")[step, free_bus] = state.base_bad[first + seats[free_bus]]
        made.sensor_estimate[step] = model.values(state.voltage)
        made.sensor_residual[step] = sensors.value[step] - made.sensor_estimate[step]
        made.sensor_normalised[step], made.sensor_critical[step] = state.sensor_normalised, state.sensor_critical
        made.sensor_bad[step], made.sensor_rivals[step] = state.sensor_bad, state.sensor_rivals
        made.objective[step], made.degrees_of_freedom[step] = state.objective, state.freedom
        made.threshold[step] = state.threshold(test.confidence)
    return made


def _shared(load: np.ndarray, sigma: np.ndarray, seats: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Estimated loads [buses]: those given and, by variance, what the estimate adds at the solved bus that some of them share."""
    known, there = np.nan_to_num(load, nan=0.0), seats >= 0
    weight = np.where(np.isnan(load), 1e6, sigma**2)
    total = np.bincount(seats[there], weight[there], minlength=len(more))
    number = np.bincount(seats[there], minlength=len(more))
    made = known.copy()
    at = seats[there]
    share = np.where(total[at] > 0, weight[there] / np.where(total[at] > 0, total[at], 1), 1 / np.maximum(number[at], 1))
    made[there] += share * more[at]
    return made
