"""Pictures of landed files, a day's readings and the loads of nodes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures import style

OUTCOMES = {
    "rows_staged": ("taken over", style.GREEN),
    "rows_superseded": ("repeated", style.MUTED),
    "rows_rejected": ("rejected", style.RED),
}

JUST_BEFORE = pd.Timedelta("1s")
"""A day's axis ends before midnight, so that it is labelled with its own date."""


def landing_picture(rows: pd.DataFrame, title: str) -> bytes:
    """Rows landed per day (index: dates) by outcome, stacked; a column per outcome."""
    made, (axis,) = style.figure(height=2.8)
    below = np.zeros(len(rows))
    for name, (label, colour) in OUTCOMES.items():
        heights = rows[name].to_numpy(dtype=float)
        axis.bar(range(len(rows)), heights, bottom=below, color=colour, width=0.8, label=f"{label} ({int(heights.sum()):,})")
        below += heights
    step = max(1, len(rows) // 8)
    axis.set_xticks(range(0, len(rows), step), [f"{day:%d %b}" for day in list(rows.index)[::step]])
    if len(rows) < 4:
        axis.set_xlim(-2, len(rows) + 1)
    axis.set_ylim(0, max(below.max(initial=0.0), 1) * 1.25)
    axis.grid(False, axis="x")
    style.heading(axis, f"Rows that arrived, {title}", "rows")
    style.legend(axis, 3)
    return style.png(made)


def readings_picture(readings: pd.DataFrame, meter_days: pd.DataFrame, zone: str, interval_minutes: int, title: str) -> bytes:
    """A day's load of all load meters, and below it the share of readings by quality."""
    made, (load, share) = style.figure(height=4.6, rows=2)
    loads = readings[readings["meter_id"].isin(meter_days.loc[meter_days["kind"] == "load", "meter_id"])]
    sums = loads.pivot_table(index="start_utc", columns="quality", values="energy_kwh", aggfunc="sum", fill_value=0.0, observed=True)
    kw = {name: sums[name] * 60 / interval_minutes for name in ("measured", "estimated") if name in sums}
    width = pd.Timedelta(minutes=interval_minutes)
    if kw:
        edges = [*sums.index, sums.index[-1] + width]
        below = np.zeros(len(sums))
        for name, values in kw.items():
            top = below + values.to_numpy()
            load.fill_between(
                edges,
                np.append(below, below[-1]),
                np.append(top, top[-1]),
                step="post",
                color=style.QUALITY[name],
                alpha=0.85,
                linewidth=0,
                label=name,
            )
            below = top
        load.set_ylim(min(0, below.min()), max(below.max(), 1e-9) * 1.22)
        load.set_xlim(edges[0], edges[-1] - JUST_BEFORE)
        style.legend(load)
    style.heading(load, title, "kW, all load meters")
    counts = readings.groupby(["start_utc", "quality"], observed=True).size().unstack(fill_value=0)
    _stack_shares(share, counts, width)
    for axis in (load, share):
        style.clock_axis(axis, zone)
    return style.png(made)


def _stack_shares(axis, counts: pd.DataFrame, width: pd.Timedelta) -> None:
    """The share of readings that were not simply measured, in %, per interval and quality."""
    total = counts.sum(axis=1).to_numpy()
    edges = [*counts.index, counts.index[-1] + width] if len(counts) else []
    below = np.zeros(len(counts))
    for name in ("estimated", "missing"):
        if name in counts and counts[name].any():
            top = below + 100.0 * counts[name].to_numpy() / total
            axis.fill_between(
                edges, np.append(below, below[-1]), np.append(top, top[-1]), step="post", color=style.QUALITY[name], linewidth=0, label=name
            )
            below = top
    style.heading(axis, "Readings not measured", "% of meters")
    axis.set_ylim(0, max(1.0, float(below.max(initial=0.0)) * 1.35))
    if edges:
        axis.set_xlim(edges[0], edges[-1] - JUST_BEFORE)
    if below.any():
        style.legend(axis)


def node_loads_picture(loads: pd.DataFrame, zone: str, interval_minutes: int, title: str) -> bytes:
    """The day's load of the system (line) and of the nodes directly measured below it (stacked), with generation where there is any."""
    made, (axis,) = style.figure(height=3.4)
    factor = 60 / interval_minutes
    system = loads[loads["level"] == "system"].set_index("start_utc")
    feeders = loads[loads["level"] == "feeder"]
    wide = feeders.pivot_table(index="start_utc", columns="node_id", values="energy_kwh", aggfunc="sum") * factor
    if 0 < wide.shape[1] <= 12:
        colours = [style.SERIES[n % len(style.SERIES)] for n in range(wide.shape[1])]
        axis.stackplot(wide.index, wide.to_numpy().T, labels=list(wide.columns), colors=colours, alpha=0.45, linewidth=0)
    axis.plot(system.index, system["energy_kwh"] * factor, color=style.DEMAND, linewidth=1.8, label="load of the system")
    if system["generation_kwh"].any():
        axis.plot(system.index, system["generation_kwh"] * factor, color=style.SOLAR, linewidth=1.8, label="generation")
    style.heading(axis, title, "kW")
    style.clock_axis(axis, zone)
    drawn = system[["energy_kwh", "generation_kwh"]].to_numpy(dtype=float) * factor
    top = max(float(np.nan_to_num(drawn).max(initial=0.0)), 1e-9)
    axis.set_ylim(0, top * 1.35)
    if len(system):
        axis.set_xlim(system.index[0], system.index[-1])
    style.legend(axis)
    return style.png(made)
