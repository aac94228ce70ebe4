"""The flow study of a day: voltages, loadings, violations, and the certificate that proves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_assets.network.injections import Injections
from grid_assets.network.topology_tables import feeder_names
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.time_series import FlowSeries, SampleProof, engine, proved_by_sample, solve_series
from grid_assets.powerflow.topology import Topology, buses_behind

EXPECTED = "expected"
CRITICAL_DEVIATION, CRITICAL_OVERLOAD = 2.0, 1.2
ALLOWED_RESIDUAL_MVA = 1e-4
ALLOWED_DIFFERENCE_PU = 1e-6
ROUNDING = 1e-9
"""So that a value at a bound counts as there, though twice 0.05 is not exactly 0.1 in floating point."""
VIOLATION_COLUMNS = ["element_id", "element_kind", "kind", "start_utc", "value", "limit", "severity"]


@dataclass(frozen=True)
class FlowStudy:
    """The study's four frames, each in the columns of its table."""

    bus_voltages: pd.DataFrame
    branch_loadings: pd.DataFrame
    constraint_violations: pd.DataFrame
    flow_certificates: pd.DataFrame

    def figures(self) -> dict[str, float]:
        """The key figures that people look at first."""
        over_states = {
            "minimum_vm_pu": "min", "maximum_vm_pu": "max", "maximum_loading_pct": "max", "losses_mwh": "sum", "residual_max_mva": "max",
            "failed_steps": "sum", "unserved_mwh": "sum",
        }  # fmt: skip
        found = self.flow_certificates.agg(over_states).to_dict()
        critical = int((self.constraint_violations["severity"] == "critical").sum())
        return found | {"violations": len(self.constraint_violations), "critical_violations": critical}


def flow_study(
    admitted: AdmittedNetwork,
    topology: Topology,
    drawn: Injections,
    meters: pd.DataFrame,
    limits: Limits,
    interval_hours: float,
    seed: int = 0,
) -> FlowStudy:
    """Solves the intervals of ``drawn`` and holds them against the limits.

    ``meters`` are those in force on the study day; they say who is affected and what the feeders are called.
    Intervals that do not converge have no rows; the certificate counts and names them. ``seed`` draws those that are solved again.
    Raises FlowError when none converges.
    """
    series = solve_series(admitted, drawn.load_mw, drawn.load_mvar)
    if not series.converged.any():
        raise FlowError(f"none of {len(series.converged)} intervals converged; the first: {series.faults[0]}")
    voltages = bus_voltages(series, drawn.start_utc)
    loadings = branch_loadings(series, drawn.start_utc)
    found = violations(voltages, loadings, limits)
    found = with_customers(found, topology, meters)
    proof = proved_by_sample(admitted, series, drawn.load_mw, drawn.load_mvar, seed)
    return FlowStudy(voltages, loadings, found, certificate(series, topology, drawn.start_utc, interval_hours, proof))


def bus_voltages(series: FlowSeries, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of bus_voltages: buses with a supply, intervals that converged."""
    columns = {"vm_pu": series.vm_pu, "va_degree": series.va_degree}
    frame = _long(start_utc, {"bus_id": series.bus_ids}, columns, series.converged)
    return frame[frame["vm_pu"].notna()].reset_index(drop=True)


def branch_loadings(series: FlowSeries, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of branch_loadings, of the intervals that converged."""
    columns = {"loading_pct": series.loading_pct, "p_mw": series.p_mw, "i_ka": series.i_ka}
    return _long(start_utc, {"branch_id": series.branch_ids, "kind": series.kinds}, columns, series.converged)


def violations(voltages: pd.DataFrame, loadings: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Every bus and branch beyond a limit, interval by interval; a value at its limit is allowed."""
    low, high, most = limits.minimum_vm_pu, limits.maximum_vm_pu, limits.maximum_loading_pct
    under, over = voltages[voltages["vm_pu"] < low], voltages[voltages["vm_pu"] > high]
    heavy = loadings[loadings["loading_pct"] > most]
    parts = [
        _violated(under, "bus_id", "bus", "undervoltage", "vm_pu", low, 1 - under["vm_pu"] >= CRITICAL_DEVIATION * (1 - low) - ROUNDING),
        _violated(over, "bus_id", "bus", "overvoltage", "vm_pu", high, over["vm_pu"] - 1 >= CRITICAL_DEVIATION * (high - 1) - ROUNDING),
        _violated(
            heavy, "branch_id", heavy["kind"], "overload", "loading_pct", most, heavy["loading_pct"] >= CRITICAL_OVERLOAD * most - ROUNDING
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def _violated(rows: pd.DataFrame, key: str, element_kind, kind: str, value: str, limit: float, critical: pd.Series) -> pd.DataFrame:
    made = pd.DataFrame({"element_id": rows[key].astype(object), "element_kind": element_kind, "kind": kind, "start_utc": rows["start_utc"],
                         "value": rows[value], "limit": limit, "severity": np.where(critical, "critical", "warning")})  # fmt: skip
    return made[VIOLATION_COLUMNS]


def with_customers(found: pd.DataFrame, topology: Topology, meters: pd.DataFrame) -> pd.DataFrame:
    """Adds scenario, customers affected (load meters at the bus, or cut off when the branch opens), feeder, probability."""
    at_bus = meters[(meters["kind"] == "load") & meters["bus_id"].notna()].groupby("bus_id")["meter_id"].nunique()
    feeders = feeder_names(topology, meters)
    ends = topology.branches.set_index("branch_id")[["from_bus", "to_bus"]]
    customers, feeder = {}, {}
    for element, kind in found[["element_id", "element_kind"]].drop_duplicates().itertuples(index=False):
        if kind == "bus":
            customers[kind, element], feeder[kind, element] = int(at_bus.get(element, 0)), feeders.get(element)
        else:
            behind = at_bus[at_bus.index.isin(buses_behind(topology, element))]
            first, second = ends.loc[element]
            customers[kind, element], feeder[kind, element] = int(behind.sum()), feeders.get(second) or feeders.get(first)
    keys = list(zip(found["element_kind"], found["element_id"], strict=True))
    return found.assign(
        scenario=EXPECTED,
        customers_affected=pd.Series([customers[key] for key in keys], found.index, dtype="int64"),
        feeder_id=pd.Series([feeder[key] for key in keys], found.index, dtype=object),
        probability=pd.Series(np.nan, found.index),
    )


def certificate(
    series: FlowSeries, topology: Topology, start_utc: pd.DatetimeIndex, interval_hours: float, proof: SampleProof
) -> pd.DataFrame:
    """The row of flow_certificates."""
    solved = series.converged
    failures = [f"{start:%Y-%m-%d %H:%M} UTC: {said}" for start, said in zip(start_utc[~solved], series.faults, strict=True)]
    row = {
        "scenario": EXPECTED, "topology_hash": topology.topology_hash, "steps": len(solved), "failed_steps": int((~solved).sum()),
        "residual_max_mva": float(np.max(series.residual_max_mva[solved])),
        "minimum_vm_pu": float(np.nanmin(series.vm_pu[solved])), "maximum_vm_pu": float(np.nanmax(series.vm_pu[solved])),
        "maximum_loading_pct": float(np.max(series.loading_pct[solved], initial=0.0)),
        "losses_mwh": float(series.losses_mw[solved].sum() * interval_hours),
        "unserved_mwh": float(series.unserved_mw[solved].sum() * interval_hours),
        "sampled_steps": len(proof.steps), "sample_difference_pu": proof.largest_difference_pu,
        "failures": "; ".join(failures) or None, "engine": engine(series),
    }  # fmt: skip
    return pd.DataFrame([row])


def certificate_fault(certificates: pd.DataFrame) -> str:
    """What is wrong with a study by its certificate; empty when every interval converged and balances."""
    said = []
    for one in certificates.itertuples():
        if one.failed_steps:
            said.append(f"scenario {one.scenario}: {one.failed_steps} of {one.steps} intervals did not converge: {one.failures}")
        if fault := proof_fault(one.residual_max_mva, one.sample_difference_pu):
            said.append(f"scenario {one.scenario}: {fault}")
    return "; ".join(said) if len(certificates) else "there is no certificate; materialise the flow study"


def proof_fault(residual_mva: float, difference_pu: float) -> str:
    """What speaks against flows with this largest mismatch and difference to another solver's voltages; empty where nothing does."""
    said = []
    if not residual_mva <= ALLOWED_RESIDUAL_MVA:
        said.append(f"a nodal mismatch of {residual_mva:.3g} MVA is above {ALLOWED_RESIDUAL_MVA:g} MVA")
    if np.isinf(difference_pu):
        said.append("another solver found no solution, or voltages at other buses")
    elif not difference_pu <= ALLOWED_DIFFERENCE_PU:
        said.append(f"another solver's voltages differ by {difference_pu:.3g} p.u., more than {ALLOWED_DIFFERENCE_PU:g}")
    return "; ".join(said)


def unproved_rows(rows: pd.DataFrame) -> str:
    """The same of the worst of a study's rows. What has no solution is empty there and says nothing; of what has one some must have been sampled."""
    if not {"residual_max_mva", "sample_difference_pu"} <= set(rows.columns):
        return "made before proofs were kept; materialise it again"
    residual, difference = rows["residual_max_mva"].dropna(), rows["sample_difference_pu"].dropna()
    if residual.empty:
        return ""
    return proof_fault(residual.max(), difference.max()) if len(difference) else "nothing was solved again by another solver"


def _long(start_utc: pd.DatetimeIndex, names: dict[str, np.ndarray], values: dict[str, np.ndarray], solved: np.ndarray) -> pd.DataFrame:
    kept = start_utc[solved]
    elements = len(next(iter(names.values())))
    frame = {name: np.tile(array, len(kept)) for name, array in names.items()}
    frame |= {"start_utc": kept.repeat(elements), "scenario": EXPECTED}
    return pd.DataFrame(frame | {name: array[solved].ravel() for name, array in values.items()})


def violations_in_words(found: pd.DataFrame) -> str:
    """How many elements are beyond their limits, and the worst; empty when none is."""
    if found.empty:
        return ""
    excess = (found["value"] / found["limit"] - 1).abs()
    worst = found.loc[excess.idxmax()]
    counted = found.drop_duplicates(["kind", "element_id"])["kind"].value_counts().sort_index()
    said = ", ".join(f"{kind} at {number} elements" for kind, number in counted.items())
    return (
        f"{said} over {found['start_utc'].nunique()} intervals; worst: {worst['element_kind']} {worst['element_id']} "
        f"{worst['kind']} {worst['value']:.4g} against {worst['limit']:.4g} at {worst['start_utc']:%Y-%m-%d %H:%M} UTC"
    )
