"""A picture of how much more fits where."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures.style import INK, MUTED, SERIES, figure, heading, png

COLOUR_OF = dict(zip(("overload", "overvoltage", "undervoltage", "no_solution", "none"), SERIES, strict=False))


def hosting_picture(found: pd.DataFrame) -> bytes:
    """PNG: the buses of the first switching state in the order of what fits there, coloured by what binds; generation above, charging below."""
    rows = found[found["topology_hash"] == found["topology_hash"].iloc[0]]
    made, axes = figure(8.6, 5.2, rows=2)
    for axis, kind, title in zip(axes, ("pv", "ev"), ("Further generation that fits at each bus", "Further charging that fits at each bus"), strict=True):  # fmt: skip
        ordered = rows.sort_values([f"{kind}_kw", "bus_id"], ascending=False, ignore_index=True)
        for binding, part in ordered.groupby(f"{kind}_binding", sort=True):
            label = f"{str(binding).replace('_', ' ')} binds ({len(part)})" if binding != "none" else f"nothing binds ({len(part)})"
            axis.bar(part.index, part[f"{kind}_kw"], width=1.0, color=COLOUR_OF[str(binding)], label=label)
        middle = float(ordered[f"{kind}_kw"].median())
        axis.axhline(middle, color=INK, linewidth=0.8, linestyle=":")
        axis.annotate(f"half of the buses take {middle:,.0f} kW or more", (len(ordered) - 1, middle), ha="right", va="bottom", fontsize=8, color=INK)  # fmt: skip
        axis.set_yscale("log" if ordered[f"{kind}_kw"].gt(0).all() and np.ptp(np.log10(ordered[f"{kind}_kw"])) > 1.5 else "linear")
        heading(axis, title, "kW")
        axis.legend(fontsize=8, frameon=False, ncols=3, loc="upper right", labelcolor=INK)
        axis.margins(x=0.01, y=0.15)
        axis.set_xticks([])
    axes[1].set_xlabel(f"{len(rows)} buses, most first; each bus by itself", color=MUTED, fontsize=8)
    return png(made)
