"""What clears an expected violation, and what it costs: each remedy solved again by AC over the whole day, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import fed_in
from grid_assets.network.remedy_trials import Situation, Trial, Trouble, beyond_of, trials_of
from grid_assets.network.study import branch_loadings as loading_rows
from grid_assets.network.study import bus_voltages as voltage_rows
from grid_assets.network.study import violations, with_customers
from grid_assets.network.study_day import Part, StudyDay, expected_injections, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import REMEDIES
from grid_assets.powerflow.time_series import FlowSeries, proved_by_sample, solve_series
from grid_assets.powerflow.topology import topology_of

MOST_TROUBLES = 12
"""Kinds of violation on a feeder that remedies are looked for, the worst first."""
NO_REMEDY = "none"


def remedies_of_day(
    section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames, units: pd.DataFrame
) -> tuple[pd.DataFrame, int]:
    """Rows of REMEDIES for the study day of run ``day``, and how many troubles were left out; errors as of ``study_of_day``.

    ``units``: the register of storage units; those without a bus can help nobody.
    """
    studied = study_day_of(section, clock, day, frames.meters)
    drawn = expected_injections(section, studied, frames)
    feeding = fed_in(studied.versions[0].admitted, studied.start_utc, frames.renewable_forecasts, frames.plants)
    found, left_out = [], 0
    for part in studied.parts(drawn):
        situation, troubles = situation_of(part, studied, feeding[part.steps], frames.plants, units, clock.interval_hours)
        left_out += max(len(troubles) - MOST_TROUBLES, 0)
        for trouble in troubles[:MOST_TROUBLES]:
            found.append(ranked(situation, trouble, trials_of(situation, trouble, section.remedies)))
    if not found:
        return REMEDIES.empty().to_pandas(), 0
    return pd.concat(found, ignore_index=True), left_out


def situation_of(
    part: Part, studied: StudyDay, feeding_mw: np.ndarray, plants: pd.DataFrame, units: pd.DataFrame, interval_hours: float
) -> tuple[Situation, list[Trouble]]:
    """The state of affairs of some intervals, and what is wrong in it, the worst first. ``feeding_mw`` [intervals, buses]."""
    admitted = part.version.admitted
    topology = topology_of(admitted)
    series = solve_series(admitted, part.drawn.load_mw, part.drawn.load_mvar)
    situation = Situation(
        admitted, topology, part.version.topology_hash, part.drawn, feeding_mw, beyond_of(series, studied.limits), studied.limits, plants,
        units, interval_hours,
    )  # fmt: skip
    return situation, troubles_of(series, part, studied)


def troubles_of(series: FlowSeries, part: Part, studied: StudyDay) -> list[Trouble]:
    """The violations of each kind on each feeder taken together; where the feeder is not known, of each element."""
    starts = part.drawn.start_utc
    rows = violations(voltage_rows(series, starts), loading_rows(series, starts), studied.limits)
    if rows.empty:
        return []
    rows = with_customers(rows, topology_of(part.version.admitted), studied.meters)
    rows["place"] = rows["feeder_id"].fillna(rows["element_id"])
    rows["excess"] = (rows["value"] / rows["limit"] - 1).abs()
    made = []
    for (kind, place), group in rows.groupby(["kind", "place"], sort=True):
        worst = group.loc[group["excess"].idxmax()]
        steps = np.flatnonzero(starts.isin(group["start_utc"]))
        made.append(
            Trouble(
                str(kind), str(place), worst["feeder_id"], worst["element_id"], worst["element_kind"], tuple(sorted(set(group["element_id"]))),
                steps, int(starts.get_loc(worst["start_utc"])), float(worst["value"]), float(worst["limit"]), float(worst["excess"]),
                int(group.groupby("element_id")["customers_affected"].first().max()),
            )
        )  # fmt: skip
    return sorted(made, key=lambda one: (-one.excess * len(one.steps), one.kind, one.place))


def ranked(situation: Situation, trouble: Trouble, tried: Sequence[Trial]) -> pd.DataFrame:
    """The trials of a trouble as rows: what clears it first, the cheapest first; a row that says so where nothing was found."""
    rows = [_row(situation, trouble, one) for one in tried] or [_row(situation, trouble, None)]
    frame = pd.DataFrame(rows)
    order = frame.sort_values(["clears", "cost", "remaining_violations", "remedy", "action"], ascending=[False, True, True, True, True])
    partial = order[~order["clears"]].sort_values(["remaining_violations", "cost", "remedy", "action"])
    frame = pd.concat([order[order["clears"]], partial], ignore_index=True)
    return frame.assign(rank=np.arange(1, len(frame) + 1))[REMEDIES.columns]


def _row(situation: Situation, trouble: Trouble, trial: Trial | None) -> dict[str, object]:
    starts = situation.drawn.start_utc
    told = {
        "topology_hash": situation.topology_hash, "kind": trouble.kind, "place": trouble.place, "feeder_id": trouble.feeder_id,
        "element_id": trouble.element_id, "element_kind": trouble.element_kind, "elements": len(trouble.elements),
        "start_utc": starts[trouble.worst_step], "value": trouble.value, "limit": trouble.limit, "violated_intervals": len(trouble.steps),
        "customers_affected": trouble.customers_affected,
    }  # fmt: skip
    if trial is None:
        before = int(situation.beyond.sum())
        nothing = {"remedy": NO_REMEDY, "action": "no remedy is at hand: no tie, tap, plant, storage unit or load could act on it",
                   "amount": 0.0, "unit": "-", "cost": 0.0, "clears": False, "new_violations": 0, "remaining_violations": before}  # fmt: skip
        return (
            told
            | nothing
            | dict.fromkeys(("minimum_vm_pu", "maximum_vm_pu", "maximum_loading_pct", "residual_max_mva", "sample_difference_pu"))
        )
    now = beyond_of(trial.series, situation.limits)
    mine = _columns(trial.series, trouble)
    new = int((now & ~situation.beyond).sum())
    solved = trial.series.converged
    known = {name: getattr(trial.series, name)[solved] for name in ("vm_pu", "loading_pct", "residual_max_mva")}
    extremes = {"minimum_vm_pu": (np.nanmin, "vm_pu"), "maximum_vm_pu": (np.nanmax, "vm_pu"), "maximum_loading_pct": (np.nanmax, "loading_pct"),
                "residual_max_mva": (np.nanmax, "residual_max_mva")}  # fmt: skip
    return told | {
        "remedy": trial.remedy, "action": trial.action, "amount": trial.amount, "unit": trial.unit, "cost": trial.cost,
        "clears": bool(solved.all()) and not now[:, mine].any() and new == 0, "new_violations": new, "remaining_violations": int(now.sum()),
        **{name: float(extreme(known[what])) if solved.any() else None for name, (extreme, what) in extremes.items()},
        "sample_difference_pu": proved_by_sample(
            trial.admitted, trial.series, trial.drawn.load_mw, trial.drawn.load_mvar, starts[0].toordinal(), 1
        ).largest_difference_pu if solved.any() else None,
    }  # fmt: skip


def _columns(series: FlowSeries, trouble: Trouble) -> np.ndarray:
    """Where the trouble's elements stand in ``beyond_of``."""
    buses = len(series.bus_ids)
    if trouble.kind == "overload":
        return 2 * buses + np.flatnonzero(np.isin(series.branch_ids, trouble.elements))
    return np.flatnonzero(np.isin(series.bus_ids, trouble.elements)) + (buses if trouble.kind == "overvoltage" else 0)


def remedies_in_words(found: pd.DataFrame, currency: str, left_out: int = 0) -> str:
    """For how many troubles something clears, and the cheapest of the worst; empty without a trouble."""
    if found.empty:
        return ""
    first = found[found["rank"] == 1]
    helped = first[first["clears"]]
    said = f"{len(helped)} of {len(first)} troubles can be cleared"
    if len(helped):
        one = helped.iloc[0]
        said += f"; {one['kind']} at {one['element_id']}: {one['action']} ({one['cost']:.2f} {currency})"
    return said + (f"; {left_out} further troubles were not looked at" if left_out else "")
