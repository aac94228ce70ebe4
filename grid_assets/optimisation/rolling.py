"""Planning anew within the day: the rest of an instance from an interval on, with the energy that is really stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grid_assets.optimisation.storage_instance import Instance


def rest_of(
    instance: Instance, step: int, energy_kwh: np.ndarray, taken_out_kwh: np.ndarray, peak_so_far_kw: float = 0.0
) -> tuple[Instance, np.ndarray]:
    """The instance from interval ``step`` on, and which of its units are in it (positions).

    ``energy_kwh`` (units,): what is stored now; NaN for a unit that does not answer, which is planned around: it is left out and nothing is expected of
    it. ``taken_out_kwh`` (units,): taken out of the store since the day's budget began; ``peak_so_far_kw``: the highest power drawn through the top since the
    peak's price began to count. A terminal energy that is out of reach by now is brought to the nearest that is not. Instances of a day, or of what is left of one, at most.
    """
    answering = np.flatnonzero(np.isfinite(energy_kwh))
    units, left = instance.units.take(answering.tolist()), instance.intervals - step
    columns = dict(units.columns())
    now = np.clip(np.asarray(energy_kwh, float)[answering], columns["minimum_kwh"], columns["maximum_kwh"])
    share = left / instance.intervals_per_day
    budget = np.maximum(columns["cycles_per_day"] * columns["capacity_kwh"] - np.asarray(taken_out_kwh, float)[answering], 0.0)
    cycles = np.divide(budget, columns["capacity_kwh"] * share, out=np.zeros(len(units)), where=columns["capacity_kwh"] > 0)
    lowest, highest = _within_reach(instance, columns, now, budget, left)
    terminal = np.clip(columns["terminal_kwh"], lowest if instance.terminal_exact else -np.inf, highest)
    nodes, prices = instance.nodes, instance.prices
    rest = slice(step, None)
    return replace(
        instance,
        units=replace(units, initial_kwh=now, terminal_kwh=terminal, cycles_per_day=cycles),
        nodes=replace(nodes, demand_kw=np.asarray(nodes.demand_kw)[:, rest], available_kw=np.asarray(nodes.available_kw)[:, rest],
                      penalty_per_kwh=instance.penalties[:, rest]),
        prices=replace(prices, import_per_kwh=np.asarray(prices.import_per_kwh)[rest], export_per_kwh=np.asarray(prices.export_per_kwh)[rest],
                       peak_so_far_kw=max(peak_so_far_kw, prices.peak_so_far_kw)),
    ), answering  # fmt: skip


def _within_reach(
    instance: Instance, columns: dict[str, np.ndarray], now: np.ndarray, budget_kwh: np.ndarray, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most energy that each unit can hold at the end, kWh."""
    hours, kept = instance.interval_hours, 1.0 - columns["self_discharge_per_interval"]
    gain, loss = (
        columns["charge_kw"] * columns["charge_efficiency"] * hours,
        columns["discharge_kw"] / columns["discharge_efficiency"] * hours,
    )
    low, high, budget = now.astype(float), now.astype(float), budget_kwh.astype(float)
    for _ in range(left):
        high = np.minimum(kept * high + gain, columns["maximum_kwh"])
        out = np.minimum(np.minimum(loss, budget), np.maximum(kept * low - columns["minimum_kwh"], 0.0))
        low, budget = np.maximum(kept * low - out, columns["minimum_kwh"]), budget - out
    return low, high
