"""A run's study day on the network: what every study of it begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections, injections, sampled_injections
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.switching_events import network_versions
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.switching import Version, version_of


@dataclass(frozen=True)
class Part:
    """Intervals of a study day that have the same switching state."""

    version: Version
    drawn: Injections
    steps: np.ndarray
    """Which intervals of the study day."""


@dataclass(frozen=True)
class StudyDay:
    day: date
    """The run's day; not the one that is studied."""
    start_utc: pd.DatetimeIndex
    meters: pd.DataFrame
    """Those in force on the study day."""
    versions: tuple[Version, ...]
    limits: Limits

    def states(self) -> list[Version]:
        """The switching states of the day, each once."""
        return list({one.topology_hash: one for one in (self.versions[n] for n in version_of(self.versions, self.start_utc))}.values())

    def parts(self, drawn: Injections) -> Iterator[Part]:
        """The day's intervals by switching state. The same state twice, with another in between, is one part."""
        hashes = np.array([self.versions[n].topology_hash for n in version_of(self.versions, self.start_utc)])
        for version in self.states():
            steps = np.flatnonzero(hashes == version.topology_hash)
            yield Part(version, drawn.at(steps), steps)

    def only(self, version: Version) -> StudyDay:
        """The same day, as if this switching state were in force throughout."""
        return replace(self, versions=(version,))


def study_day_of(section: NetworkSection, clock: SiteCalendar, day: date, meters: pd.DataFrame) -> StudyDay:
    """The study day of run ``day`` on the network that ``section`` names. Raises NetworkError."""
    studied = clock.study_day(day)
    start, end = (pd.Timestamp(bound) for bound in clock.bounds(studied))
    known = network_versions(section, clock)
    limits = Limits(section.minimum_vm_pu, section.maximum_vm_pu, section.maximum_loading_pct)
    return StudyDay(day, clock.intervals(studied), in_force(meters, start, end), tuple(known), limits)


def expected_injections(section: NetworkSection, studied: StudyDay, frames: StudyFrames) -> Injections:
    """What the buses draw at the forecasts' means. Raises InjectionError naming what cannot be placed."""
    return injections(
        studied.versions[0].admitted, studied.start_utc, frames.demand, frames.renewable_forecasts, studied.meters, frames.nodes,
        frames.plants, frames.meter_days, section.power_factor,
    )  # fmt: skip


def each_sample(section: NetworkSection, studied: StudyDay, frames: StudyFrames) -> Iterator[Injections]:
    """The same for each joint sample of the demand."""
    return sampled_injections(
        studied.versions[0].admitted, studied.start_utc, frames.demand, frames.renewable_forecasts, studied.meters, frames.nodes,
        frames.plants, frames.meter_days, section.power_factor,
    )  # fmt: skip
