"""Random fleets in random trees, by a seed."""

from __future__ import annotations

import numpy as np

from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices, StorageUnits


def random_units(random: np.random.Generator, count: int, nodes: list[str], cycles: tuple[float, float] = (0.3, 2.5)) -> StorageUnits:
    """Of all sizes, each with its own losses, wear and budget; able to reach their terminal energies."""
    capacity = np.exp(random.uniform(np.log(5.0), np.log(500.0), count))
    charge, discharge = (capacity * random.uniform(0.2, 1.0, count) for _ in range(2))
    lowest, highest = capacity * random.uniform(0.0, 0.2, count), capacity * random.uniform(0.8, 1.0, count)
    initial = random.uniform(lowest, highest)
    return StorageUnits(
        [f"u{n}" for n in range(count)], [nodes[n % len(nodes)] for n in range(count)], charge_kw=charge, discharge_kw=discharge,
        capacity_kwh=capacity, minimum_kwh=lowest, maximum_kwh=highest, initial_kwh=initial,
        terminal_kwh=np.where(random.random(count) < 0.5, lowest + 0.5 * (initial - lowest), initial),
        charge_efficiency=random.uniform(0.85, 1.0, count), discharge_efficiency=random.uniform(0.85, 1.0, count),
        self_discharge_per_interval=random.choice([0.0, 1e-4, 3e-3], count), wear_cost_per_kwh=random.choice([0.0, 0.01, 0.04], count),
        cycles_per_day=random.uniform(*cycles, count),
    )  # fmt: skip


def alone(seed: int, count: int = 3, intervals: int = 12, per_day: int = 12, lowest_price: float = 0.02, exact: bool = False) -> Instance:
    """Units against one price, which share nothing; budgets of ``per_day`` intervals."""
    random = np.random.default_rng(seed)
    price = np.round(random.uniform(lowest_price, 0.4, intervals), random.integers(1, 4))  # equal prices too
    demand, generation = (
        random.uniform(0, 50, (1, intervals)),
        random.uniform(0, 50, (1, intervals)) * (random.random((1, intervals)) < 0.4),
    )
    nodes = Nodes(["top"], [None], demand, generation, np.array([np.inf]), np.array([np.inf]))
    units = random_units(random, count, ["top"])
    return Instance(units, nodes, Prices(price, price), 1.0, per_day, terminal_exact=exact, exclusive=False)


def together(seed: int, count: int = 12, intervals: int = 12, peak: float = 0.0) -> Instance:
    """Units in a tree of three levels with limits that bind."""
    random = np.random.default_rng(seed)
    units = random_units(random, count, ["a1", "a2", "b"])
    size = float(units.charge_kw.sum()) / 3
    hour = np.arange(intervals) * 24 / intervals
    demand = (
        size * (0.6 + 0.5 * np.exp(-(((hour - 18) / 4) ** 2))) * random.uniform(0.5, 1.2, (5, 1)) * random.normal(1, 0.05, (5, intervals))
    )
    sun = size * np.maximum(0, np.cos((hour - 12) / 12 * np.pi)) * random.uniform(0.5, 2.0, (5, 1))
    demand[:2], sun[:2] = 0.0, 0.0  # nothing hangs on the top and on the middle
    net = demand - sun
    at = np.array([net[2:].sum(axis=0), net[2:4].sum(axis=0), net[2], net[3], net[4]])
    price = random.uniform(0.05, 0.3, intervals)
    return Instance(
        units,
        Nodes(
            ["top", "a", "a1", "a2", "b"], [None, "top", "a", "a", "top"], demand, sun, 0.85 * np.maximum(at.max(axis=1), 1.0),
            np.array([0.5, 0.6, 0.5, np.inf, 0.4]) * np.maximum(-at.min(axis=1), 1.0), random.choice([1.0, 5.0]),
        ),
        Prices(price, 0.4 * price, curtailment_per_kwh=random.choice([0.0, 0.02]), peak_per_kw=peak), 24 / intervals, intervals, exclusive=False,
    )  # fmt: skip
