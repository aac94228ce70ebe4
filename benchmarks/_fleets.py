"""Fleets of storage units made up by a seed: of all sizes, each with its own losses, wear and budget, on feeders that its sun and its evening strain."""

from __future__ import annotations

import numpy as np

from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices, StorageUnits


def fleet(units: int, feeders: int, intervals: int = 96, hours: float = 0.25, seed: int = 0) -> Instance:
    """``feeders`` 0: units against one price, which share nothing. Sizes 8 to 2,000 kWh, 1 to 4 hours at full power, 1.5 to 2.5 cycles a day."""
    random, per_day = np.random.default_rng(seed), round(24 / hours)
    capacity = np.exp(random.uniform(np.log(8.0), np.log(2000.0), units))
    power, efficiency = capacity * random.uniform(0.25, 1.0, units), random.uniform(0.9, 0.98, units)
    lowest, highest = 0.1 * capacity, 0.95 * capacity
    initial = lowest + random.uniform(0.2, 0.8, units) * 0.8 * (highest - lowest)
    made = StorageUnits(
        [f"u{n:06d}" for n in range(units)], [f"f{n % feeders:02d}" for n in range(units)] if feeders else ["top"] * units, charge_kw=power, discharge_kw=power,
        capacity_kwh=capacity, minimum_kwh=lowest, maximum_kwh=highest, initial_kwh=initial, terminal_kwh=np.minimum(initial, 0.5 * capacity),
        charge_efficiency=efficiency, discharge_efficiency=efficiency, self_discharge_per_interval=random.uniform(3e-6, 9e-6, units) * 4 * hours,
        wear_cost_per_kwh=random.uniform(0.01, 0.05, units), cycles_per_day=random.uniform(1.5, 2.5, units),
    )  # fmt: skip
    hour = np.arange(intervals) * hours % 24
    evening, morning, noon = (np.exp(-(((hour - at) / width) ** 2)) for at, width in ((19, 2.5), (8, 2), (13, 2.5)))
    price = np.maximum(0.1 + 0.06 * evening + 0.03 * morning - 0.05 * noon + random.normal(0, 0.004, intervals), 0.01)
    if not feeders:
        nothing, endless = np.zeros((1, intervals)), np.array([np.inf])
        return Instance(
            made, Nodes(["top"], [None], nothing, nothing, endless, endless), Prices(price, price), hours, per_day, exclusive=False
        )
    size = power.sum() / feeders
    load = size * random.uniform(0.5, 1.2, (feeders, 1)) * (0.5 + 0.5 * np.exp(-(((hour - 19) / 3) ** 2)) + 0.2 * morning)
    load = load * random.normal(1, 0.03, (feeders, intervals))
    sun = size * random.uniform(0.8, 1.8, (feeders, 1)) * np.maximum(0, np.cos((hour - 13) / 12 * np.pi)) ** 1.5
    sun = sun * (0.8 + 0.2 * random.random((feeders, intervals)))
    net, nothing = load - sun, np.zeros((1, intervals))
    total = net.sum(axis=0)
    nodes = Nodes(
        ["top", *(f"f{n:02d}" for n in range(feeders))], [None, *["top"] * feeders], np.vstack([nothing, load]), np.vstack([nothing, sun]),
        np.append(0.8 * total.max(), 0.85 * net.max(axis=1)), np.append(0.3 * max(-total.min(), 1), 0.35 * np.maximum(-net.min(axis=1), 1)), 3.0,
    )  # fmt: skip
    return Instance(made, nodes, Prices(price, 0.35 * price), hours, per_day, exclusive=False)


def products(instance: Instance, types: int = 4, seed: int = 0) -> Instance:
    """The same fleet as some products in sizes of 1 to 4."""
    from dataclasses import replace

    from grid_assets.optimisation.fleet_routes import SIZES

    random, count = np.random.default_rng(seed), len(instance.units)
    kind, size = random.integers(0, types, count), random.choice([1.0, 2.0, 4.0], count)
    columns = {
        name: values[:types][kind] * (size if name in SIZES else 1.0) for name, values in instance.units.columns()
    }  # of the whole fleet's power only a part is left: the feeders are strained as before
    return replace(instance, units=replace(instance.units, **columns))
