"""Pictures of what a planner of storage may choose."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import BLUE, INK, MUTED, SERIES, figure, heading, legend, png

SHOWN = {"peak": ("peak_kw", "highest draw, kW"), "curtailment": ("curtailed_kwh", "turned down, kWh"), "wear": ("wear_cost", "wear"),
         "carbon": ("co2_kg", "CO2, kg"), "reserve": ("reserve_kw", "held back, kW")}  # fmt: skip


def trade_off_picture(rows: pd.DataFrame, currency: str) -> bytes:
    """PNG: for each objective what less (or of the reserve more) of it costs at the site's prices, as a share of the objective's own range."""
    made, (axis,) = figure(8.6, 3.8)
    least = rows["cost"].min()
    for (name, (column, label)), colour in zip(SHOWN.items(), SERIES, strict=False):
        part = rows[rows["objective"] == name].sort_values(column)
        span = part[column].max() - part[column].min()
        if span <= 0:
            continue
        at = (part[column] - part[column].min()) / span
        axis.plot(at, part["cost"] - least, "o-", color=colour, linewidth=1.6, markersize=4,
                  label=f"{label}: {part[column].min():,.0f} to {part[column].max():,.0f}")  # fmt: skip
    axis.set_xlabel("from the least to the most of each objective", color=MUTED, fontsize=8)
    heading(axis, "What one objective costs", f"{currency} more than the cheapest plan")
    axis.margins(y=0.25)
    legend(axis, 2)
    return png(made)


def siting_picture(rows: pd.DataFrame, currency: str) -> bytes:
    """PNG: what 1 MWh more would have saved at each node, and what other sizes would have at the best."""
    made, axes = figure(8.6, 4.8, rows=2)
    ones = rows[rows["added_kwh"] == 1000.0].sort_values("saving", ascending=False)
    best = rows[rows["node_id"] == ones["node_id"].iloc[0]].sort_values("added_kwh")
    shown = ((ones["node_id"], ones["saving"], "1 MWh more at each node"), ((best["added_kwh"] / 1000).map("{:g} MWh".format), best["saving"], f"More at {ones['node_id'].iloc[0]}"))  # fmt: skip
    for axis, (names, values, title) in zip(axes, shown, strict=True):
        bars = axis.bar(range(len(values)), values, color=BLUE, width=0.7)
        axis.set_xticks(
            range(len(values)), list(names), fontsize=8, rotation=30 if len(values) > 8 else 0, ha="right" if len(values) > 8 else "center"
        )
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], fontsize=8, color=INK)
        heading(axis, title, f"{currency} saved on the day")
        axis.margins(y=0.2)
    return png(made)
