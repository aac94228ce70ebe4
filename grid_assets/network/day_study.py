"""The whole flow study of one run: what the door does, callable from a plain script."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import pandas as pd

from grid_assets.figures.network import day_profile, network_map
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections
from grid_assets.network.study import FlowStudy, flow_study
from grid_assets.network.study_day import StudyDay, expected_injections, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.powerflow.switching import version_of
from grid_assets.powerflow.topology import Topology, topology_of


@dataclass(frozen=True)
class DayStudy:
    study: FlowStudy
    topology: Topology
    """The switching state of the highest loading."""
    map_picture: bytes
    """PNG: the network at the interval of its highest loading."""
    profile_picture: bytes
    """PNG: highest loading and the band of voltages over the day."""


def study_of_day(section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames) -> DayStudy:
    """Studies the study day of run ``day`` on the network that ``section`` names, each interval in the switching state then in force.

    Raises NetworkError, InjectionError or FlowError, each saying what is wrong where.
    """
    studied = study_day_of(section, clock, day, frames.meters)
    study = flow_study_of_day(studied, expected_injections(section, studied, frames), clock.interval_hours)
    return pictured(studied, study, clock)


def pictured(studied: StudyDay, study: FlowStudy, clock: SiteCalendar) -> DayStudy:
    """The study with its map, in the switching state of the highest loading, and the profile of the day."""
    limits, zone = studied.limits, str(clock.zone)
    voltages, loadings = study.bus_voltages, study.branch_loadings
    worst = loadings["start_utc"][loadings["loading_pct"].idxmax()]
    at_worst = studied.versions[version_of(studied.versions, pd.DatetimeIndex([worst]))[0]]
    topology = topology_of(at_worst.admitted)
    return DayStudy(
        study,
        topology,
        network_map(topology, voltages, loadings, (limits.minimum_vm_pu, limits.maximum_vm_pu), zone),
        day_profile(voltages, loadings, limits.maximum_loading_pct, (limits.minimum_vm_pu, limits.maximum_vm_pu), zone),
    )


def flow_study_of_day(studied: StudyDay, drawn: Injections, interval_hours: float, scenario: str | None = None) -> FlowStudy:
    """The study of all switching states of the day, with a certificate each. Raises FlowError when no interval of a state converges."""
    made = [
        flow_study(part.version.admitted, topology_of(part.version.admitted), part.drawn, studied.meters, studied.limits, interval_hours,
                   studied.day.toordinal())
        for part in studied.parts(drawn)
    ]  # fmt: skip
    frames = {one.name: pd.concat([getattr(study, one.name) for study in made], ignore_index=True) for one in fields(FlowStudy)}
    if scenario:
        frames = {name: frame.assign(scenario=scenario) for name, frame in frames.items()}
    return FlowStudy(**frames)
