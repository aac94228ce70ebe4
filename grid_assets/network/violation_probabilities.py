"""How probable it is that something is beyond its limits: the flow study over the joint samples of the demand forecast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.network.injections import Injections
from grid_assets.network.study import CRITICAL_DEVIATION, CRITICAL_OVERLOAD, ROUNDING, with_customers
from grid_assets.network.study_day import each_sample, study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import FLOW_QUANTILES, VIOLATION_PROBABILITIES
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import AdmittedNetwork
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.time_series import proved_by_sample, solve_each
from grid_assets.powerflow.topology import Topology, topology_of

LEVELS = (0.05, 0.50, 0.95)


@dataclass(frozen=True)
class SampledFlows:
    """What the samples of a study day leave beyond a limit, and between which values all voltages and loadings lie."""

    violations: pd.DataFrame
    """Rows of VIOLATION_PROBABILITIES."""
    quantiles: pd.DataFrame
    """Rows of FLOW_QUANTILES."""


def probabilities_of_day(section: NetworkSection, clock: SiteCalendar, day: date, frames: StudyFrames) -> SampledFlows:
    """Of the study day of run ``day``; ``frames.demand``: rows of forecasting/scenarios, none of which give no rows.

    Raises NetworkError, InjectionError or FlowError.
    """
    if frames.demand.empty:
        return SampledFlows(VIOLATION_PROBABILITIES.empty().to_pandas(), FLOW_QUANTILES.empty().to_pandas())
    studied = study_day_of(section, clock, day, frames.meters)
    samples = list(each_sample(section, studied, frames))
    parts = [
        sampled_flows(part.version.admitted, topology_of(part.version.admitted), [one.at(part.steps) for one in samples],
                      studied.meters, studied.limits, day.toordinal())
        for part in studied.parts(samples[0])
    ]  # fmt: skip
    return SampledFlows(*(pd.concat([getattr(one, name) for one in parts], ignore_index=True) for name in ("violations", "quantiles")))


def sampled_flows(
    admitted: AdmittedNetwork, topology: Topology, samples: Iterable[Injections], meters: pd.DataFrame, limits: Limits, seed: int = 0
) -> SampledFlows:
    """Each element and interval that any of the samples leaves beyond a limit, and the quantiles of all; all samples have the same intervals.

    A sample without a solution counts as 0 p.u. at every bus with a supply; of loadings it says nothing. ``seed`` draws the sample that is
    solved again. Raises FlowError when no sample has a solution in some interval: then nothing is known of it.
    """
    drawn = list(samples)
    starts = drawn[0].start_utc
    flows = list(solve_each(admitted, ((one.load_mw, one.load_mvar) for one in drawn)))
    solved = np.stack([one.converged for one in flows])
    if not solved.any(axis=0).all():
        first = starts[int((~solved.any(axis=0)).argmax())]
        raise FlowError(f"none of {len(flows)} samples has a solution at {first:%Y-%m-%d %H:%M} UTC; the first: {flows[0].faults[0]}")
    shown = int(np.random.default_rng(seed).choice([n for n, one in enumerate(flows) if one.converged.any()]))
    proof = {
        "residual_max_mva": max(float(np.nanmax(one.residual_max_mva)) for one in flows if one.converged.any()),
        "sample_difference_pu": proved_by_sample(
            admitted, flows[shown], drawn[shown].load_mw, drawn[shown].load_mvar, seed
        ).largest_difference_pu,
    }
    volts, loads = (np.stack([getattr(one, name).astype(np.float32) for one in flows]) for name in ("vm_pu", "loading_pct"))
    low, high, most = limits.minimum_vm_pu, limits.maximum_vm_pu, limits.maximum_loading_pct
    buses, branches, kinds = flows[0].bus_ids, flows[0].branch_ids, flows[0].kinds
    # a sample without a solution is one in which the voltage collapses, wherever there is a supply
    collapsed = np.where(~solved[:, :, None] & np.isfinite(volts).any(axis=0), np.float32(0.0), volts)
    parts = [
        _kind("undervoltage", collapsed, low, -1, CRITICAL_DEVIATION * (1 - low), np.ones_like(solved), starts, buses, None),
        _kind("overvoltage", volts, high, 1, CRITICAL_DEVIATION * (high - 1), solved, starts, buses, None),
        _kind("overload", loads, most, 1, None, solved, starts, branches, kinds),
    ]
    found = pd.concat(parts, ignore_index=True)
    found = with_customers(found, topology, meters).drop(columns=["scenario"]).assign(probability=found["probability"], **proof)
    bands = [
        _bands("vm_pu", collapsed, np.ones_like(solved), starts, buses, "bus"),
        _bands("loading_pct", loads, solved, starts, branches, kinds),
    ]
    return SampledFlows(found, pd.concat(bands, ignore_index=True).assign(**proof))


def _bands(quantity: str, values: np.ndarray, counts: np.ndarray, starts: pd.DatetimeIndex, ids: np.ndarray, kinds) -> pd.DataFrame:
    """Quantiles over the samples of each element that has a supply, interval by interval; ``values`` [samples, intervals, elements]."""
    lit = np.isfinite(values).any(axis=(0, 1))
    values = values[:, :, lit]
    # nanquantile takes many times as long, and nearly always every sample has a solution
    quantile = np.quantile if counts.all() else np.nanquantile
    told = quantile(values, LEVELS, axis=0).reshape(len(LEVELS), -1)
    elements = int(lit.sum())
    return pd.DataFrame(
        {
            "quantity": quantity, "element_id": np.tile(ids[lit], len(starts)), "element_kind": kinds if isinstance(kinds, str) else np.tile(kinds[lit], len(starts)),
            "start_utc": starts.repeat(elements), "p05_value": told[0], "p50_value": told[1], "p95_value": told[2],
            "samples": counts.sum(axis=0).repeat(elements),
        }
    )  # fmt: skip


def _kind(
    kind: str, values: np.ndarray, limit: float, side: int, critical: float | None, solved: np.ndarray, starts: pd.DatetimeIndex,
    ids: np.ndarray, kinds: np.ndarray | None,
) -> pd.DataFrame:  # fmt: skip
    """Rows of one kind of violation; ``values`` [samples, intervals, elements], ``side`` 1 where more than the limit is too much.

    ``critical``: from which distance to 1 p.u. on a voltage is; None: of a loading, from 120 % of the limit on.
    """
    with np.errstate(invalid="ignore"):
        beyond = side * (values - np.float32(limit)) > 1e-6 * limit
    step, element = np.nonzero(beyond.any(axis=0))
    here = values[:, step, element]
    known = solved[:, step]
    told = np.nanquantile(np.where(known, here, np.nan), LEVELS, axis=0) if len(step) else np.empty((3, 0))
    worst = np.nanmax(side * here, axis=0) * side if len(step) else np.empty(0)
    far = np.abs(worst - 1) >= critical - ROUNDING if critical is not None else worst >= CRITICAL_OVERLOAD * limit - ROUNDING
    return pd.DataFrame(
        {
            "element_id": ids[element], "element_kind": "bus" if kinds is None else kinds[element], "kind": kind, "start_utc": starts[step],
            "probability": beyond[:, step, element].sum(axis=0) / np.maximum(known.sum(axis=0), 1),
            "p05_value": told[0], "p50_value": told[1], "p95_value": told[2], "limit": limit,
            "severity": np.where(far, "critical", "warning"), "samples": known.sum(axis=0),
        }
    )  # fmt: skip


def likely(found: pd.DataFrame, least: float) -> str:
    """What is beyond a limit with at least this probability, in words; empty where nothing is."""
    rows = found[found["probability"] >= least]
    if rows.empty:
        return ""
    worst = rows.sort_values(["probability", "customers_affected"], ascending=False).iloc[0]
    return (
        f"{len(rows)} elements and intervals with a probability of {least:.0%} or more; the most probable: {worst['element_kind']} "
        f"{worst['element_id']} {worst['kind']} at {worst['start_utc']:%Y-%m-%d %H:%M} UTC with {worst['probability']:.0%}"
    )
