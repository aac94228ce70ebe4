"""A published plan replayed against the register, from its rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.storage.tables import NO_STORAGE, OPTIMISED

RELATIVE_TOLERANCE = 1e-5
"""Of a unit's power or energy; the solver's own is 1e-7 per row."""


def faults_of_schedules(site: Site, day: str, units: pd.DataFrame, schedules: pd.DataFrame, curtailments: pd.DataFrame) -> list[str]:
    """What is impossible in the plan of a day run: a line per fault, empty when every unit can do what it is told.

    Energy is followed interval by interval from the register's initial energy and the published powers; nothing of the
    planner's arithmetic is used.
    """
    starts = site.clock.intervals(site.clock.study_day(site.clock.day(day)))
    found = [f"unit {unit}: is scheduled and not in the register" for unit in sorted(set(schedules["unit_id"]) - set(units["unit_id"]))]
    for unit in units.to_dict("records"):
        rows = schedules[schedules["unit_id"] == unit["unit_id"]].sort_values("start_utc")
        if list(rows["start_utc"]) != list(starts):
            found.append(
                f"unit {unit['unit_id']}: has {len(rows)} rows, expected one for each of the {len(starts)} intervals of the study day"
            )
            continue
        found += [f"unit {unit['unit_id']}: {fault}" for fault in _faults_of_unit(unit, rows, site.clock.interval_hours)]
    over = curtailments[(curtailments["curtailed_kw"] > curtailments["available_kw"] + 1e-6) | (curtailments["curtailed_kw"] < 0)]
    found += [
        f"node {row.node_id} at {row.start_utc}: curtails {row.curtailed_kw} of {row.available_kw} kW" for row in over.head(3).itertuples()
    ]
    return found


def _faults_of_unit(unit: dict, rows: pd.DataFrame, hours: float) -> list[str]:
    slack_kwh = RELATIVE_TOLERANCE * max(1.0, unit["energy_kwh"])
    slack_kw = RELATIVE_TOLERANCE * max(1.0, unit["power_kw"])
    kept = (1.0 - unit["self_discharge_pct_per_day"] / 100.0) ** (hours / 24.0)
    energy, taken, found = unit["initial_energy_kwh"], 0.0, []
    for row in rows.itertuples():
        out = row.discharge_kw * hours / unit["discharge_efficiency"]
        energy = kept * energy + row.charge_kw * hours * unit["charge_efficiency"] - out
        taken += out
        tests = {
            "power outside its rating": not (
                -slack_kw <= row.charge_kw <= unit["power_kw"] + slack_kw and -slack_kw <= row.discharge_kw <= unit["power_kw"] + slack_kw
            ),
            "charges and discharges at once": min(row.charge_kw, row.discharge_kw) > slack_kw,
            f"energy {energy:.6g} kWh outside its window": not unit["minimum_energy_kwh"] - slack_kwh
            <= energy
            <= unit["energy_kwh"] + slack_kwh,
            f"energy is published as {row.energy_kwh:.6g}, replayed as {energy:.6g} kWh": abs(row.energy_kwh - energy) > slack_kwh,
        }
        found += [f"at {row.start_utc}: {said}" for said, wrong in tests.items() if wrong]
        if found:
            return found
        energy = row.energy_kwh
    if abs(energy - unit["initial_energy_kwh"]) > slack_kwh:
        found.append(f"ends the day with {energy:.6g} kWh, expected {unit['initial_energy_kwh']:.6g}")
    if taken > unit["cycles_per_day"] * unit["energy_kwh"] + slack_kwh:
        found.append(f"takes {taken:.6g} kWh out, allowed are {unit['cycles_per_day']} cycles of {unit['energy_kwh']} kWh")
    return found


def limits_exceeded(kpis: pd.DataFrame) -> str:
    """The limits that the optimised plan exceeds, in words; empty when it keeps to all."""
    said = kpis.loc[kpis["strategy"] == OPTIMISED, "violations"].dropna().tolist()
    return "; ".join(said)


def not_worth_it(kpis: pd.DataFrame) -> str:
    """Why the storage brings nothing on this day by the objective; empty when the plan is cheaper than none."""
    by_strategy = kpis.set_index("strategy")
    cost = by_strategy["expected_cost"].fillna(by_strategy["objective"])
    with_storage, without = cost[OPTIMISED], cost[NO_STORAGE]
    if with_storage < without - 1e-6 * max(1.0, abs(without)):
        return ""
    return f"costs {with_storage:.2f} with storage and {without:.2f} without"


def costs_do_not_add_up(kpis: pd.DataFrame) -> str:
    """Where the parts of a strategy's cost are not its objective, or the objective is below its bound; empty when fine."""
    parts = kpis[["energy_cost", "wear_cost", "peak_cost", "curtailment_cost", "violation_cost"]].sum(axis=1)
    slack = 1e-6 * np.maximum(1.0, kpis["objective"].abs())
    wrong = kpis[((parts - kpis["objective"]).abs() > slack) | (kpis["objective"] < kpis["bound"] - slack)]
    return "; ".join(f"{row.strategy}: objective {row.objective}, bound {row.bound}" for row in wrong.itertuples())
