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


def readings_picture(curve: pd.DataFrame, zone: str, interval_minutes: int, title: str) -> bytes:
    """A day's load of all load meters, and below it the share of readings by quality.

    ``curve``: start_utc, quality, readings (how many) and energy_kwh (of load meters), a row per interval and quality.
    """
    made, (load, share) = style.figure(height=4.6, rows=2)
    width = pd.Timedelta(minutes=interval_minutes)
    kw = curve.pivot(index="start_utc", columns="quality", values="energy_kwh").fillna(0.0) * 60 / interval_minutes
    counts = curve.pivot(index="start_utc", columns="quality", values="readings").fillna(0.0)
    any_known = any(counts[name].any() for name in ("measured", "edited", "estimated") if name in counts)
    if any_known:
        named = [name for name in ("measured", "edited", "estimated") if name in kw and counts[name].any()]
        low, high = _stacked(load, kw, named, width)
        load.set_ylim(min(0, low), max(high, 1e-9) * 1.22)
        style.legend(load)
    style.heading(load, title, "kW, all load meters")
    shares = 100.0 * counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    named = [name for name in ("edited", "estimated", "missing") if name in shares and shares[name].any()]
    _, high = _stacked(share, shares, named, width)
    style.heading(share, "Readings not measured", "% of meters")
    share.set_ylim(0, max(1.0, high * 1.35))
    if named:
        style.legend(share)
    for axis in (load, share):
        style.clock_axis(axis, zone)
    return style.png(made)


def _stacked(axis, values: pd.DataFrame, names: list[str], width: pd.Timedelta) -> tuple[float, float]:
    """Columns stacked over the day as steps, in the colours of their quality; gives the lowest and highest level."""
    if not len(values):
        return 0.0, 0.0
    edges = [*values.index, values.index[-1] + width]
    below, low, high = np.zeros(len(values)), 0.0, 0.0
    for name in names:
        top = below + values[name].to_numpy()
        lower, upper = (np.append(one, one[-1]) for one in (below, top))
        axis.fill_between(edges, lower, upper, step="post", color=style.QUALITY[name], alpha=0.85, linewidth=0, label=name)
        below, low, high = top, min(low, float(top.min())), max(high, float(top.max()))
    axis.set_xlim(edges[0], edges[-1] - JUST_BEFORE)
    return low, high


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
