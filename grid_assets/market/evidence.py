"""Recomputations that the checks hold published prices and studies against, and the range that pilots have published."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.market.loads import StudyLoads

OWN_RANGE = (-0.37, 0.0)
"""Own-price elasticity: the long-run end that meta-analyses give for electricity; a day's answer is far weaker."""
SUBSTITUTION_RANGE = (0.0, 0.21)
"""Below 0.07 in BC Hydro's winter pilot (Applied Energy 108, 2013), more than three times that with load control."""
RATIO_RANGE = (1.0, 12.0)
"""Peak to off-peak price ratios that the same pilot tried."""
RELATIVE = 1e-6


def outside_evidence(own_price: float, substitution: float, prices: pd.Series | None = None) -> str:
    """What of the assumptions no pilot that we know of supports, in words; empty when all is within the ranges."""
    found = []
    if not OWN_RANGE[0] <= own_price <= OWN_RANGE[1]:
        found.append(f"own-price elasticity {own_price:g} is outside {OWN_RANGE[0]} to {OWN_RANGE[1]}")
    if not SUBSTITUTION_RANGE[0] <= substitution <= SUBSTITUTION_RANGE[1]:
        found.append(f"substitution elasticity {substitution:g} is outside {SUBSTITUTION_RANGE[0]} to {SUBSTITUTION_RANGE[1]}")
    if prices is not None and len(prices) and prices.max() / prices.min() > RATIO_RANGE[1]:
        found.append(f"the highest price is {prices.max() / prices.min():.3g} times the lowest; pilots went up to {RATIO_RANGE[1]:g}")
    return "; ".join(found)


def faults_of_signals(signals: pd.DataFrame, loads: StudyLoads, prices: dict[str, pd.Series], base: str) -> list[str]:
    """Where published signals contradict forecast and tariffs: a price, an interval, or a load recomputed leaf by leaf.

    ``prices`` has each signal's series; under ``base`` the load is the forecast.
    """
    found = [f"{name}: is not published" for name in sorted(prices.keys() - set(signals["signal_id"]))]
    for signal, rows in signals.groupby("signal_id"):
        rows = rows.set_index("start_utc").sort_index()
        if signal not in prices or list(rows.index) != list(loads.starts):
            found.append(
                f"{signal}: expected a tariff of the site with the {len(loads.starts)} intervals of the study day, found {len(rows)}"
            )
            continue
        if not np.array_equal(rows["price_per_kwh"], prices[signal]):
            found.append(f"{signal}: its prices are not the tariff's")
        assumed = rows["own_price_elasticity"].iloc[0], rows["substitution_elasticity"].iloc[0]
        old, new = prices[base].to_numpy(), prices[signal].to_numpy()
        answered = (_answered(loads.leaves[leaf].to_numpy(), old, new, *assumed) for leaf in loads.leaves)
        off = np.abs(rows["expected_load_kw"] - sum(answered))
        if not off.max() <= RELATIVE * max(1.0, rows["expected_load_kw"].abs().max()):
            found.append(f"{signal}: at {off.idxmax()} the load is {rows['expected_load_kw'][off.idxmax()]:.8g} kW, off by {off.max():.6g}")
    return found


def faults_of_what_if(row: pd.Series, loads: StudyLoads, prices: dict[str, pd.Series]) -> list[str]:
    """Where a published study contradicts its own definition, recomputed leaf by leaf from forecasts and prices.

    ``prices`` has the series of base, candidate and supply. The candidate's load is rebuilt from ratios to the first
    interval in logarithms, another way than the model's own.
    """
    hours, base, candidate, supply = (
        loads.interval_hours,
        prices["base"].to_numpy(),
        prices["candidate"].to_numpy(),
        prices["supply"].to_numpy(),
    )
    energy, revenue, cost, after_total = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], np.zeros(len(loads.starts))
    for leaf in loads.leaves:
        load = loads.leaves[leaf].to_numpy()
        after = _answered(load, base, candidate, row["own_price_elasticity"], row["substitution_elasticity"])
        after_total += after
        for n, (series, price) in enumerate(((load, base), (after, candidate))):
            energy[n] += series.sum() * hours
            revenue[n] += (series * price).sum() * hours
            cost[n] += (series * supply).sum() * hours
    peak = loads.leaves.sum(axis=1).max()
    expected = {
        "base_energy_kwh": energy[0],
        "energy_change_pct": 100.0 * (energy[1] - energy[0]) / energy[0] if energy[0] else 0.0,
        "base_revenue": revenue[0],
        "candidate_revenue": revenue[1],
        "revenue_change": revenue[1] - revenue[0],
        "procurement_cost_change": cost[1] - cost[0],
        "base_peak_kw": peak,
        "peak_change_pct": 100.0 * (after_total.max() - peak) / peak if peak else 0.0,
    }
    scale = {"revenue_change": abs(revenue[0]), "procurement_cost_change": abs(cost[0])}
    found = []
    for name, value in expected.items():
        slack = RELATIVE * max(1.0, abs(value), scale.get(name, 0.0))
        if not abs(row[name] - value) <= slack:
            found.append(f"{name} is {row[name]:.8g}, recomputed {value:.8g}")
    return found


def _answered(load: np.ndarray, base: np.ndarray, candidate: np.ndarray, own: float, substitution: float) -> np.ndarray:
    consumed = np.where(load > 0, load, 0.0)
    if not consumed.any():
        return load
    step = np.log(candidate) - np.log(base)
    shares = consumed * np.exp(-substitution * (step - step[0]))
    growth = np.exp(own * np.log(np.average(candidate, weights=consumed) / np.average(base, weights=consumed)))
    return consumed.sum() * growth * shares / shares.sum() + np.where(load > 0, 0.0, load)
