"""The whole flow study of one run: what the door does, callable from a plain script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from grid_assets.figures.network import day_profile, network_map
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import injections
from grid_assets.network.study import FlowStudy, Limits, flow_study
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.topology import topology_of


@dataclass(frozen=True)
class DayStudy:
    study: FlowStudy
    map_picture: bytes
    """PNG: the network at the interval of its highest loading."""
    profile_picture: bytes
    """PNG: highest loading and the band of voltages over the day."""


def study_of_day(
    section: NetworkSection,
    clock: SiteCalendar,
    day: date,
    *,
    meters: pd.DataFrame,
    nodes: pd.DataFrame,
    plants: pd.DataFrame,
    demand_forecasts: pd.DataFrame,
    renewable_forecasts: pd.DataFrame,
    meter_days: pd.DataFrame,
) -> DayStudy:
    """Studies the study day of run ``day`` on the network that ``section`` names.

    Frames are in the columns of their tables: the registers whole, the forecasts of run ``day``, the meter days of the
    weeks up to it. Raises NetworkError, InjectionError or FlowError, each saying what is wrong where.
    """
    studied = clock.study_day(day)
    start, end = (pd.Timestamp(bound) for bound in clock.bounds(studied))
    present = in_force(meters, start, end)
    admitted = load_network(section.source, section.file)
    topology = topology_of(admitted)
    drawn = injections(admitted, clock.intervals(studied), demand_forecasts, renewable_forecasts, present, nodes, plants, meter_days,
                       section.power_factor)  # fmt: skip
    limits = Limits(section.minimum_vm_pu, section.maximum_vm_pu, section.maximum_loading_pct)
    study = flow_study(admitted, topology, drawn, present, limits, clock.interval_hours, day.toordinal())
    zone = str(clock.zone)
    return DayStudy(
        study,
        network_map(topology, study.bus_voltages, study.branch_loadings, (limits.minimum_vm_pu, limits.maximum_vm_pu), zone),
        day_profile(
            study.bus_voltages, study.branch_loadings, limits.maximum_loading_pct, (limits.minimum_vm_pu, limits.maximum_vm_pu), zone
        ),
    )
