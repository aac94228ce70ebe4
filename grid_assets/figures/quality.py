"""Pictures of how good a day's readings are: nodes and worst meters over the day, balances, alerts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures import style
from grid_assets.figures.readings import JUST_BEFORE

MOST_NODES = 30
MOST_BALANCES = 20
MOST_ALERTS = 30
WELL = "#e6f1ea"
"""What is as it should be stays in the background."""
SIGNS_A_DAY = 125
"""Letters of the smallest text over the width of a day."""
QUALITY_ORDER = ("measured", "edited", "estimated", "missing")
KINDS = {
    "area_outage": ("area outage", style.RED),
    "low_valid_share": ("few valid readings", style.ORANGE),
    "device_offline": ("offline", style.BLUE),
    "unusual_consumption": ("unusual consumption", style.VIOLET),
}


def node_quality_picture(loads: pd.DataFrame, minimum_valid_pct: float, zone: str, title: str) -> bytes:
    """Heat map of NODE_LOADS: the share of valid readings of nodes over the day, the worst nodes where there are many."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    own = loads[loads["meters"] > 0]
    wide = own.pivot(index="node_id", columns="start_utc", values="valid_pct")
    worst = wide.mean(axis=1).sort_values(kind="stable").index[:MOST_NODES]
    shown = wide.loc[[one for one in own["node_id"].unique() if one in set(worst)]]
    made, (axis,) = style.figure(height=1.7 + 0.19 * max(len(shown), 2))
    axis.grid(False)
    of = f", the worst {len(shown)} of {len(wide)} nodes" if len(wide) > len(shown) else ""
    style.heading(axis, f"Valid readings, {title}{of}")
    if not len(shown):
        return _nothing(made, axis, "no load meters")
    floor = min(float(np.nanmin(shown.to_numpy())), minimum_valid_pct - 10.0)
    at = min((minimum_valid_pct - floor) / (100.0 - floor), 0.99)
    steps = [(0.0, style.RED), (0.6 * at, style.ORANGE), (at, "#ecd58a"), (at, "#cfe4d6"), (1.0, WELL)]
    colours = LinearSegmentedColormap.from_list("valid", steps, N=512)
    drawn = axis.pcolormesh(_edges(shown.columns), np.arange(len(shown) + 1), shown.to_numpy(), cmap=colours, norm=Normalize(floor, 100.0))
    axis.set_yticks(np.arange(len(shown)) + 0.5, [f"{node}  {mean:.1f} %" for node, mean in shown.mean(axis=1).items()], fontsize=7)
    _clock(axis, shown.columns, zone)
    _downwards(axis)
    bar = made.colorbar(drawn, ax=axis, pad=0.01, aspect=30)
    bar.set_label(f"% valid, expected {minimum_valid_pct:g}", color=style.MUTED, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=style.MUTED)
    bar.outline.set_visible(False)
    return style.png(made)


def worst_meters_picture(worst: pd.DataFrame, qualities: np.ndarray, starts: pd.DatetimeIndex, meters: int, zone: str, title: str) -> bytes:
    """Heat map of the worst meters' readings by quality; ``worst``: rows of METER_DAYS, ``qualities``: (worst meters, intervals)
    as text; ``meters``: how many there are in all.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    made, (axis,) = style.figure(height=1.7 + 0.19 * max(len(worst), 2))
    axis.grid(False)
    style.heading(axis, f"Meters with the fewest valid readings, {title} ({meters:,} meters)")
    if not len(worst):
        return _nothing(made, axis, "every reading of every meter is valid")
    codes = np.select([qualities == name for name in QUALITY_ORDER[:-1]], range(len(QUALITY_ORDER) - 1), len(QUALITY_ORDER) - 1)
    colours = [WELL, style.BLUE, style.YELLOW, style.RED]
    axis.pcolormesh(_edges(starts), np.arange(len(worst) + 1), codes, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5)
    labels = [f"{one.meter_id}  {one.valid_pct:.0f} %" for one in worst.itertuples()]
    axis.set_yticks(np.arange(len(worst)) + 0.5, labels, fontsize=7)
    for n, flags in enumerate(worst["flags"]):
        if isinstance(flags, str):
            axis.annotate(", ".join(flags.split()).replace("_", " "), (1.005, n + 0.5), xycoords=("axes fraction", "data"), va="center", fontsize=6.5, color=style.MUTED)  # fmt: skip
    _clock(axis, starts, zone)
    _downwards(axis)
    counts = [int((codes == code).sum()) for code in range(len(colours))]
    patches = [Patch(color=colour, label=name) for name, colour, count in zip(QUALITY_ORDER, colours, counts, strict=True) if count]
    _legend_below(axis, patches)
    return style.png(made)


def balances_picture(
    balances: pd.DataFrame, days: pd.DataFrame, tolerance_pct: float, zone: str, interval_minutes: int, title: str
) -> bytes:
    """The worst node's measured flow against what its meters say, and all nodes' residuals of the day.

    ``balances``: NODE_BALANCES; ``days``: each node's day, the largest residual first.
    """
    made, (curve, bars) = style.figure(height=5.2, rows=2)
    judged = days.dropna(subset=["residual_pct"])
    if not len(judged):
        for axis, said in ((curve, f"Balance, {title}"), (bars, "Residual of the day")):
            style.heading(axis, said)
            axis.set_axis_off()
        curve.text(0, 0.5, "no node has a boundary meter with values on this day", color=style.MUTED, fontsize=9)
        return style.png(made)
    worst, factor = judged.iloc[0], 60 / interval_minutes
    rows = balances[balances["node_id"] == worst["node_id"]].sort_values("start_utc")
    net = (rows["load_kwh"] - rows["generation_kwh"]).to_numpy(dtype=float) * factor
    measured = rows["measured_kwh"].to_numpy(dtype=float) * factor
    times = pd.DatetimeIndex(rows["start_utc"])
    over, under = np.fmax(measured, net), np.fmin(measured, net)
    curve.fill_between(times, under, over, color=style.RED, alpha=0.22, linewidth=0, label="not accounted for")
    curve.plot(times, net, color=style.BLUE, linewidth=1.6, label="load less generation of the meters below")
    curve.plot(times, measured, color=style.INK, linewidth=1.6, label="measured by the node's own meters")
    drawn = np.concatenate([over[~np.isnan(over)], under[~np.isnan(under)]])
    low, high = float(drawn.min()), float(drawn.max())
    curve.set_ylim(low - 0.05 * max(high - low, 1e-9), high + 0.28 * max(high - low, 1e-9))
    curve.set_xlim(times[0], times[-1])
    style.clock_axis(curve, zone)
    style.legend(curve, 3)
    style.heading(curve, f"{worst['node_id']}, {title}: {worst['residual_kwh']:+,.0f} kWh not accounted for", "kW")
    if len(judged) > 1:
        _residual_bars(bars, judged.head(MOST_BALANCES), tolerance_pct, len(judged))
    else:
        _residual_curve(bars, times, measured - net, f"{worst['residual_pct']:+.1f} % of the day, tolerated ± {tolerance_pct:g} %", zone)
    return style.png(made)


def _residual_curve(axis, times: pd.DatetimeIndex, residual_kw: np.ndarray, said: str, zone: str) -> None:
    axis.fill_between(times, 0, residual_kw, color=style.RED, alpha=0.35, linewidth=0, step="post")
    axis.axhline(0, color=style.MUTED, linewidth=0.8)
    axis.set_xlim(times[0], times[-1])
    style.clock_axis(axis, zone)
    style.heading(axis, f"Residual: {said}", "kW")


def _residual_bars(axis, days: pd.DataFrame, tolerance_pct: float, nodes: int) -> None:
    values = days["residual_pct"].to_numpy(dtype=float)
    colours = [style.RED if abs(value) > tolerance_pct else style.GREEN for value in values]
    axis.bar(range(len(days)), values, color=colours, width=0.7)
    axis.axhspan(-tolerance_pct, tolerance_pct, color=style.GREEN, alpha=0.08, linewidth=0)
    for edge in (-tolerance_pct, tolerance_pct):
        axis.axhline(edge, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    reach = 1.3 * max(float(np.abs(values).max()), tolerance_pct)
    axis.set_ylim(-reach, reach)
    axis.set_xlim(-0.8, max(len(days), 6) - 0.2)
    axis.set_xticks(
        range(len(days)), days["node_id"], fontsize=7, rotation=45 if len(days) > 8 else 0, ha="right" if len(days) > 8 else "center"
    )
    axis.grid(False, axis="x")
    for n, value in enumerate(values):
        axis.annotate(f"{value:+.1f}", (n, value), xytext=(0, 3 if value >= 0 else -3), textcoords="offset points", ha="center",
                      va="bottom" if value >= 0 else "top", fontsize=7, color=style.INK)  # fmt: skip
    of = f", the largest {len(days)} of {nodes}" if nodes > len(days) else ""
    style.heading(axis, f"Residual of the day, tolerated ± {tolerance_pct:g} %{of}", "% of measured")


def alerts_picture(alerts: pd.DataFrame, bounds: tuple[pd.Timestamp, pd.Timestamp], zone: str, title: str) -> bytes:
    """When the day's alerts were open: a bar each, the gravest first; an arrow where one goes on beyond the day."""
    from matplotlib.patches import Patch

    begin, end = bounds
    rank = alerts["severity"].map({"critical": 0, "warning": 1, "information": 2})
    kind = alerts["kind"].map({name: n for n, name in enumerate(KINDS)})
    ordered = alerts.assign(rank=rank, place=kind).sort_values(["rank", "place", "opened_utc", "subject"], kind="stable")
    shown = ordered.head(MOST_ALERTS)
    made, (axis,) = style.figure(height=1.7 + 0.24 * max(len(shown), 2))
    of = f", the gravest {len(shown)} of {len(alerts):,}" if len(alerts) > len(shown) else ""
    style.heading(axis, f"Alerts, {title}{of}")
    if not len(shown):
        return _nothing(made, axis, "no alert was open on this day")
    axis.grid(False, axis="y")
    for n, one in enumerate(shown.itertuples()):
        first, last = max(one.opened_utc, begin), end if pd.isna(one.closed_utc) else min(one.closed_utc, end)
        colour = KINDS[one.kind][1]
        axis.barh(n + 0.5, max(last - first, (end - begin) / 200), left=first, height=0.55, color=colour, alpha=0.9, linewidth=0)
        if pd.isna(one.closed_utc) or one.closed_utc > end:
            axis.annotate("›", (1.004, n + 0.5), xycoords=("axes fraction", "data"), va="center", fontsize=10, color=colour)
        if one.opened_utc < begin:
            axis.annotate("‹", (0.0, n + 0.5), xycoords=("axes fraction", "data"), va="center", ha="right", fontsize=10, color=colour)
        _beside(axis, one.evidence, n + 0.5, first, last, (begin, end))
    axis.set_yticks(np.arange(len(shown)) + 0.5, shown["subject"], fontsize=7)
    axis.tick_params(axis="y", pad=9)
    axis.set_ylim(0, len(shown))
    axis.set_xlim(begin, end - JUST_BEFORE)
    style.clock_axis(axis, zone)
    _downwards(axis)
    counts = alerts["kind"].value_counts()
    _legend_below(
        axis, [Patch(color=colour, label=f"{name} ({counts[kind]:,})") for kind, (name, colour) in KINDS.items() if kind in counts]
    )
    return style.png(made)


def _beside(axis, said: str, height: float, first, last, bounds) -> None:
    """The evidence on the side of the bar where there is more room, or inside where the bar fills the day."""
    begin, end = bounds
    before, bar, after = (first - begin) / (end - begin), (last - first) / (end - begin), (end - last) / (end - begin)
    gap = 0.008 * (end - begin)
    if bar >= 0.45:
        at, side, colour, room = first + gap, "left", style.PAPER, bar
    elif after >= before:
        at, side, colour, room = last + gap, "left", style.MUTED, after
    else:
        at, side, colour, room = first - gap, "right", style.MUTED, before
    letters = max(int(room * SIGNS_A_DAY), 12)
    text = said if len(said) <= letters else said[: letters - 2].rsplit(" ", 1)[0] + " …"
    axis.text(at, height, text, va="center", ha=side, fontsize=6.5, color=colour, clip_on=True)


def _legend_below(axis, patches: list) -> None:
    axis.legend(handles=patches, fontsize=8, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(-0.01, -0.02 - 0.9 / max(axis.get_ylim())), labelcolor=style.INK)  # fmt: skip


def _edges(starts: pd.DatetimeIndex) -> np.ndarray:
    """The borders of the intervals, one more than there are."""
    starts = pd.DatetimeIndex(starts)
    width = starts[1] - starts[0] if len(starts) > 1 else pd.Timedelta("1h")
    return starts.append(starts[-1:] + width).tz_convert("UTC").tz_localize(None).to_numpy()


def _clock(axis, starts: pd.DatetimeIndex, zone: str) -> None:
    edges = _edges(starts)
    axis.set_xlim(edges[0], edges[-1] - np.timedelta64(1, "s"))
    style.clock_axis(axis, zone)


def _downwards(axis) -> None:
    axis.invert_yaxis()
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _nothing(made, axis, said: str) -> bytes:
    axis.set_axis_off()
    axis.text(0, 0.5, said, color=style.MUTED, fontsize=9)
    return style.png(made)
