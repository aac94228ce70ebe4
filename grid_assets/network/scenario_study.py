"""The flow study of a scenario: another load, other generation, branches out, beside what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.day_study import DayStudy, flow_study_of_day, pictured
from grid_assets.network.injections import Injections, by_interval, drawn_from, fed_in, own_demand, place_loads
from grid_assets.network.scenario_files import Outage, Scenario, ScenarioError, generation_factors, load_factors
from grid_assets.network.study import FlowStudy
from grid_assets.network.study_day import StudyDay, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.powerflow.switching import CLOSE, OPEN, SwitchingEvent, Version, versions, with_branch
from grid_assets.powerflow.topology import Topology, reached, topology_of


@dataclass(frozen=True)
class ScenarioStudy:
    results: pd.DataFrame
    """One row of SCENARIO_RESULTS."""
    violations: pd.DataFrame
    """Rows of SCENARIO_VIOLATIONS."""
    study: DayStudy


def scenario_of_day(
    section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames, name: str, scenario: Scenario
) -> ScenarioStudy:
    """Studies the study day of run ``day`` as the scenario changes it, and as expected.

    Raises ScenarioError for what the network or the registers do not have, and the errors of ``study_of_day``.
    """
    if frames.demand.empty:
        raise ScenarioError(
            f"{day} has no demand forecasts; run grid-assets daily --day {day} first, a scenario changes what that run expects"
        )
    studied = study_day_of(section, clock, day, frames.meters)
    expected, drawn = injections_of(section, clock, studied, frames, scenario)
    base = flow_study_of_day(studied, expected, clock.interval_hours)
    events = events_of(scenario, clock, clock.study_day(day), studied, base, frames)
    changed = with_events(studied, events)
    study = flow_study_of_day(changed, drawn, clock.interval_hours, name)
    row = _row(name, scenario, clock, studied, changed, expected, drawn, base, study, events)
    return ScenarioStudy(pd.DataFrame([row]), study.constraint_violations, pictured(changed, study, clock))


def injections_of(
    section: NetworkSection, clock: SiteCalendar, studied: StudyDay, frames: StudyFrames, scenario: Scenario
) -> tuple[Injections, Injections]:
    """What the buses draw as expected, and in the scenario."""
    admitted, starts = studied.versions[0].admitted, studied.start_utc
    placement = place_loads(admitted, studied.meters, frames.meter_days, section.power_factor)
    demand = own_demand(by_interval(frames.demand, "node_id", starts), frames.nodes, placement)
    made = by_interval(frames.renewable_forecasts, "plant_id", starts)
    factors = generation_factors(scenario, clock, starts, frames.plants)
    changed = pd.concat(
        [pd.DataFrame({"plant_id": plant, "start_utc": starts, "mean_kw": kw * factors[plant]}) for plant, kw in made.items()]
        or [frames.renewable_forecasts.iloc[:0]]
    ).assign(issued_utc=starts[0])
    by_node = load_factors(scenario, clock, starts, sorted(demand))
    leaves = frames.nodes[frames.nodes["node_id"].isin(demand)].assign(parent_id=None)  # each with its own load only
    pair = []
    for loads, generation in ((demand, frames.renewable_forecasts), ({node: kw * by_node[node] for node, kw in demand.items()}, changed)):
        pair.append(drawn_from(starts, loads, leaves, placement, fed_in(admitted, starts, generation, frames.plants)))
    return pair[0], pair[1]


def events_of(
    scenario: Scenario, clock: SiteCalendar, studied_day: date, studied: StudyDay, base: FlowStudy, frames: StudyFrames
) -> list[SwitchingEvent]:
    """The scenario's outages and switchings as events, in the order of their times."""
    made, random = [], np.random.default_rng([scenario.seed, len(scenario.generation)])
    topology = topology_of(studied.states()[0].admitted)
    out: dict[str, list[Window]] = {}
    ties: dict[str, list[Window]] = {}
    for outage in scenario.outage:
        begin, end = outage.bounds(clock, studied_day)
        for branch in _picked(outage, topology, studied, base, random):
            out.setdefault(branch, []).append((begin, end, f"outage: {outage.pick or 'named'}"))
            for tie in ties_for(studied.states()[0], branch) if outage.resupply else ():
                ties.setdefault(tie, []).append((begin, end, "supplies another way"))
    for windows, first, then, after in ((out, OPEN, CLOSE, "back in service"), (ties, CLOSE, OPEN, "as before")):
        for name, several in windows.items():
            for begin, end, why in joined(several):
                made += [SwitchingEvent(begin, name, first, reason=why), SwitchingEvent(end, name, then, reason=after)]
    for one in scenario.switching:
        at = pd.Timestamp(datetime.combine(studied_day, one.at, tzinfo=clock.zone)).tz_convert("UTC")
        made.append(SwitchingEvent(at, one.element, one.action, one.position, "scenario"))
    return sorted(made, key=lambda event: event.valid_from)


Window = tuple[pd.Timestamp, pd.Timestamp, str]
"""From, to, and why."""


def joined(windows: Sequence[Window]) -> list[Window]:
    """Windows that overlap or touch as one, with the reason of the first."""
    made: list[Window] = []
    for begin, end, why in sorted(windows, key=lambda window: window[:2]):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end), made[-1][2])
        else:
            made.append((begin, end, why))
    return made


def ties_for(version: Version, branch: str) -> list[str]:
    """Open branches that, closed one after the other, give buses their supply back that lose it with ``branch``; none that brings nothing."""
    state, chosen = with_branch(version.admitted, branch, OPEN), []
    while True:
        topology = topology_of(state)
        lit = set(topology.buses.loc[topology.buses["supplied"], "bus_id"])
        open_ones = topology.branches[~topology.branches["connected"] & (topology.branches["branch_id"] != branch)]
        gains = [
            (len(reached(topology.edges(), [other]) - lit), one.branch_id)
            for one in open_ones.itertuples()
            for here, other in ((one.from_bus, one.to_bus), (one.to_bus, one.from_bus))
            if here in lit and other not in lit
        ]
        gains = [gain for gain in gains if gain[0] > 0]
        if not gains:
            return chosen
        _, tie = max(gains, key=lambda gain: (gain[0], gain[1]))
        chosen.append(tie)
        state = with_branch(state, tie, CLOSE)


def _picked(outage: Outage, topology: Topology, studied: StudyDay, base: FlowStudy, random: np.random.Generator) -> Sequence[str]:
    live = topology.branches[topology.branches["connected"]]
    if outage.branches:
        for name in outage.branches:
            if name not in set(live["branch_id"]):
                raise ScenarioError(f"outage: {name!r} is no branch in service of the network")
        return outage.branches
    kind = live[live["kind"] == outage.kind]
    if len(kind) < outage.count:
        raise ScenarioError(f"outage: {outage.count} of kind {outage.kind} asked for, the network has {len(kind)} in service")
    names = kind["branch_id"].sort_values().to_numpy(object)
    if outage.pick == "random":
        return list(random.choice(names, outage.count, replace=False))
    if outage.pick == "most_loaded":
        value = base.branch_loadings.groupby("branch_id")["loading_pct"].max()
    else:
        if outage.kind != "line":
            raise ScenarioError('outage: the longest is asked of transformers; expected kind = "line"')
        line = studied.states()[0].admitted.net.line
        value = pd.Series(line["length_km"].to_numpy(float), line["name"])
    return list(value.reindex(names).sort_values(ascending=False, kind="stable").index[: outage.count])


def with_events(studied: StudyDay, events: Sequence[SwitchingEvent]) -> StudyDay:
    """The day with the scenario's events on top of the state in which it begins; switchings that are planned on the day itself are kept."""
    if not events:
        return studied
    first = studied.versions[0]
    start = studied.start_utc[0]
    before = [one for one in studied.versions if one.valid_from <= start]
    begun = before[-1] if before else first
    later = [one for one in studied.versions if start < one.valid_from <= studied.start_utc[-1]]
    if later:
        raise ScenarioError(f"the network is switched on the study day itself (at {later[0].valid_from:%Y-%m-%d %H:%M} UTC: {later[0].because}); "
                            "a scenario with outages needs a day without")  # fmt: skip
    return replace(studied, versions=tuple(versions(begun.admitted, events, begun.valid_from)))


def _row(
    name: str, scenario: Scenario, clock: SiteCalendar, studied: StudyDay, changed: StudyDay, expected: Injections, drawn: Injections,
    base: FlowStudy, study: FlowStudy, events: Sequence[SwitchingEvent],
) -> dict[str, object]:  # fmt: skip
    told, before = study.figures(), base.figures()
    heaviest = study.branch_loadings.loc[study.branch_loadings["loading_pct"].idxmax()]
    lowest = study.bus_voltages.loc[study.bus_voltages["vm_pu"].idxmin()]
    certificates = study.flow_certificates
    return {
        "scenario": name, "title": scenario.title, "steps": len(studied.start_utc), "failed_steps": int(certificates["failed_steps"].sum()),
        "failures": "; ".join(certificates["failures"].dropna()) or None,
        "peak_kw": float(drawn.load_mw.sum(axis=1).max() * 1000), "expected_peak_kw": float(expected.load_mw.sum(axis=1).max() * 1000),
        "minimum_vm_pu": told["minimum_vm_pu"], "minimum_vm_bus": lowest["bus_id"], "minimum_vm_utc": lowest["start_utc"],
        "maximum_vm_pu": told["maximum_vm_pu"], "maximum_loading_pct": told["maximum_loading_pct"],
        "maximum_loading_branch": heaviest["branch_id"], "maximum_loading_utc": heaviest["start_utc"],
        "expected_minimum_vm_pu": before["minimum_vm_pu"], "expected_maximum_loading_pct": before["maximum_loading_pct"],
        "violations": int(told["violations"]), "critical_violations": int(told["critical_violations"]),
        "expected_violations": int(before["violations"]), "losses_mwh": told["losses_mwh"], "unserved_mwh": told["unserved_mwh"],
        "customers_dark": _dark(changed), "events": "; ".join(_when(one, clock) for one in events) or None,
        **{name: float(certificates[name].max()) for name in ("residual_max_mva", "sample_difference_pu")},
    }  # fmt: skip


def _dark(changed: StudyDay) -> int:
    """Load meters without a supply at the worst of times."""
    loads = changed.meters[(changed.meters["kind"] == "load") & changed.meters["bus_id"].notna()]
    found = [0]
    for version in changed.states():
        topology = topology_of(version.admitted)
        dark = topology.buses.loc[~topology.buses["supplied"], "bus_id"]
        found.append(int(loads.loc[loads["bus_id"].isin(dark), "meter_id"].nunique()))
    return max(found)


def _when(event: SwitchingEvent, clock: SiteCalendar) -> str:
    return f"{event.valid_from.tz_convert(clock.zone):%H:%M} {event.told()}"


def collapse_in_words(results: pd.DataFrame) -> str:
    """In how many intervals a scenario has no solution, and why; empty where all have one."""
    found = results[results["failed_steps"] > 0]
    return "; ".join(f"{one.failed_steps} of {one.steps} intervals without a solution: {one.failures}" for one in found.itertuples())
