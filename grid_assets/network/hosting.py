"""How much more generation and charging fits at each bus: on top of the least and of the most load that was seen."""

from __future__ import annotations

import hashlib
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections
from grid_assets.network.past_loads import loads_at, net_load
from grid_assets.network.study import unproved_rows
from grid_assets.network.study_day import StudyDay, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import HOSTING_CAPACITY
from grid_assets.network.topology_tables import feeder_names
from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.hosting_capacity import HostingCapacity, hosting_capacity
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.reference import ReferenceSolver, difference_pu
from grid_assets.powerflow.switching import Version
from grid_assets.powerflow.time_series import SAMPLED_STEPS
from grid_assets.powerflow.topology import topology_of

LOOKED_BACK_DAYS = 364
"""A year of whole weeks: whichever season is the tightest counts."""
SUN_HOURS = (10, 16)
"""Local hours in which much generation is possible; the least load of other hours says nothing about sun."""

METHOD = 2
"""Counted on when the same inputs would give other rows: what was made otherwise is not taken over."""
DIRECTIONS = {"pv": 1.0, "ev": -1.0}
"""Power into the bus for a size of 1; in the order of the states of least and of most load."""


def hosting_of_day(
    section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames, node_loads: pd.DataFrame, earlier: pd.DataFrame
) -> pd.DataFrame:
    """Rows of HOSTING_CAPACITY for the switching states of the study day of run ``day``.

    ``node_loads``: rows of metering/node_loads of the year up to it; none of which is complete gives no rows. ``earlier``: rows of an earlier
    run; those made from the same state, loads and limits are taken over. Raises NetworkError or InjectionError.
    """
    seen = extremes(node_loads, frames.nodes, clock)
    if seen is None:
        return HOSTING_CAPACITY.empty().to_pandas()
    studied = study_day_of(section, clock, day, frames.meters)
    drawn = loads_at(seen, node_loads, frames, studied, section.power_factor, clock.interval_hours)
    parts = []
    for version in studied.states():
        made_from = _inputs_hash(version, drawn, studied.limits, section.hosting_most_mw)
        known = earlier[(earlier["topology_hash"] == version.topology_hash) & (earlier["inputs_hash"] == made_from)]
        known = known if not unproved_rows(known) else known.iloc[:0]
        made = (
            known
            if len(known)
            else _capacities(version, drawn, studied, section.hosting_most_mw, day.toordinal()).assign(inputs_hash=made_from)
        )
        parts.append(made)
    return pd.concat(parts, ignore_index=True)[HOSTING_CAPACITY.columns]


def extremes(node_loads: pd.DataFrame, nodes: pd.DataFrame, clock: SiteCalendar) -> pd.DatetimeIndex | None:
    """The interval of the least load less generation in the hours of sun, and that of the most at any hour; None where no interval is complete."""
    whole = net_load(node_loads, nodes)
    hours = clock.local(pd.DatetimeIndex(whole.index)).hour
    sunny = whole[(hours >= SUN_HOURS[0]) & (hours < SUN_HOURS[1])]
    return pd.DatetimeIndex([sunny.idxmin(), whole.idxmax()]) if len(sunny) else None


def _capacities(version: Version, drawn: Injections, studied: StudyDay, most_mw: float, seed: int) -> pd.DataFrame:
    network = compiled(version.admitted)
    solver, states = BatchSolver(network), network.injections(drawn.load_mw, drawn.load_mvar)
    buses = np.flatnonzero(network.supplied & ~np.isin(network.place, network.reference))
    found = {
        kind: hosting_capacity(solver, states[n], buses, sign, studied.limits, most_mw) for n, (kind, sign) in enumerate(DIRECTIONS.items())
    }
    columns = {name: values for kind, one in found.items() for name, values in _columns(kind, one).items()}
    frame = pd.DataFrame({"bus_id": network.bus_ids[buses], **columns})
    residuals = [one.residual_max_mva for one in found.values()]
    frame["residual_max_mva"] = np.fmax(*residuals)
    frame["sample_difference_pu"] = _sampled(version, solver, drawn, buses, {kind: one.capacity_mw for kind, one in found.items()}, seed)
    frame["feeder_id"] = frame["bus_id"].map(feeder_names(topology_of(version.admitted), studied.meters)).astype(object)
    return frame.assign(topology_hash=version.topology_hash, least_utc=drawn.start_utc[0], most_utc=drawn.start_utc[1])


def _sampled(
    version: Version, solver: BatchSolver, drawn: Injections, buses: np.ndarray, sizes_mw: dict[str, np.ndarray], seed: int
) -> np.ndarray:
    """Of buses drawn by ``seed`` the largest difference of a voltage to runpp's with either size, p.u.; else NaN [buses]."""
    network, made = solver.network, np.full(len(buses), np.nan)
    reference = ReferenceSolver(version.admitted)
    for n in np.random.default_rng(seed).permutation(len(buses))[:SAMPLED_STEPS]:
        for state, (kind, sign) in enumerate(DIRECTIONS.items()):
            load_mw, load_mvar = drawn.load_mw[state].copy(), drawn.load_mvar[state]
            load_mw[buses[n]] -= sign * sizes_mw[kind][n]
            ours = solver.solve(network.injections(load_mw[None], load_mvar[None])).voltage[0, network.place]
            if np.isfinite(ours).all():  # the state itself may have no solution, which the binding says
                ours = np.where(network.supplied, ours, np.nan)
                made[n] = np.fmax(made[n], difference_pu(reference.solve(load_mw, load_mvar), ours))
    return made


def _columns(kind: str, found: HostingCapacity) -> dict[str, np.ndarray]:
    element = np.where(found.element == "", None, found.element)
    return {f"{kind}_kw": 1000 * found.capacity_mw, f"{kind}_binding": found.binding, f"{kind}_element": element}


def _inputs_hash(version: Version, drawn: Injections, limits: Limits, most_mw: float) -> str:
    digest = hashlib.sha256(f"{METHOD}|{version.topology_hash}|{limits}|{most_mw}|{list(drawn.start_utc)}".encode())
    for values in (drawn.load_mw, drawn.load_mvar):
        digest.update(np.round(values, 9).tobytes())
    return digest.hexdigest()[:16]


def hosting_in_words(found: pd.DataFrame) -> str:
    """How much fits at the bus in the middle, where least, and what binds most often; empty without rows."""
    said = []
    for kind, what in (("pv", "generation"), ("ev", "charging")):
        if found.empty:
            continue
        least = found.loc[found[f"{kind}_kw"].idxmin()]
        bound = found[f"{kind}_binding"].value_counts().sort_index()
        said.append(f"{what}: {found[f'{kind}_kw'].median():.0f} kW at the bus in the middle, least {least[f'{kind}_kw']:.0f} kW at "
                    f"{least['bus_id']}, bound by " + ", ".join(f"{name} at {number}" for name, number in bound.items()))  # fmt: skip
    return "; ".join(said)
