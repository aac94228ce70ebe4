"""Pictures of a flow study: the network at its worst interval, and the day in two bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grid_assets.figures.style import BLUE, GREEN, INK, LIMIT, MUTED, ORANGE, RED, YELLOW, clock_axis, figure, heading, legend, png

if TYPE_CHECKING:
    from grid_assets.powerflow.topology import Topology

LOADING_CLASSES = (
    (0.0, 60.0, "#a9b8c6", 1.1, "below 60 %"),
    (60.0, 90.0, ORANGE, 2.4, "60 to 90 %"),
    (90.0, np.inf, RED, 3.6, "90 % and more"),
)
HEIGHT = 6.2


def network_map(
    topology: Topology, bus_voltages: pd.DataFrame, branch_loadings: pd.DataFrame, voltage_limits: tuple[float, float], zone: str
) -> bytes:
    """PNG of the network at the interval of the highest loading: lines by loading, buses by voltage, open switches.

    Frames in the columns of bus_voltages and branch_loadings; ``voltage_limits`` in per unit span the colours.
    """
    from matplotlib.collections import LineCollection

    worst = branch_loadings["start_utc"][branch_loadings["loading_pct"].idxmax()]
    loading = branch_loadings[branch_loadings["start_utc"] == worst].set_index("branch_id")["loading_pct"]
    voltage = bus_voltages[bus_voltages["start_utc"] == worst].set_index("bus_id")["vm_pu"]
    place = dict(zip(topology.buses["bus_id"], flat(topology.buses), strict=True))
    made, (axis,) = figure(8.6, HEIGHT)
    axis.grid(False)
    axis.set_axis_off()
    drawn = topology.branches[topology.branches["connected"]]
    segments = np.array([[place[a], place[b]] for a, b in zip(drawn["from_bus"], drawn["to_bus"], strict=True)])
    percent = drawn["branch_id"].map(loading).fillna(0.0).to_numpy()
    for low, high, colour, width, label in LOADING_CLASSES:
        chosen = (percent >= low) & (percent < high)
        axis.add_collection(LineCollection(list(segments[chosen]), colors=colour, linewidths=width, zorder=2, capstyle="round"))
        axis.plot([], [], color=colour, linewidth=width, label=f"{label} ({chosen.sum()})")
    _open_branches(axis, topology, place)
    _transformers(axis, topology, place)
    _buses(made, axis, topology, place, voltage, voltage_limits)
    local = worst.tz_convert(zone)
    heading(axis, f"Loading and voltage at {local:%a %d %b %Y, %H:%M} (highest loading: {loading.idxmax()}, {loading.max():.0f} %)")
    axis.legend(fontsize=8, frameon=False, ncols=6, loc="upper center", bbox_to_anchor=(0.5, 0.0), labelcolor=INK, columnspacing=1.2)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.03)
    return png(made)


def day_profile(
    bus_voltages: pd.DataFrame, branch_loadings: pd.DataFrame, loading_limit_pct: float, voltage_limits: tuple[float, float], zone: str
) -> bytes:
    """PNG of the day: highest loading of lines and transformers above, the band of all voltages below, with their limits."""
    made, (upper, lower) = figure(8.6, 4.8, rows=2)
    for kind, colour in (("line", BLUE), ("transformer", ORANGE)):
        highest = branch_loadings[branch_loadings["kind"] == kind].groupby("start_utc")["loading_pct"].max()
        if len(highest):
            upper.plot(highest.index, highest, color=colour, linewidth=1.8, label=f"highest {kind}")
    upper.axhline(loading_limit_pct, color=LIMIT, linewidth=1, linestyle="--", label="limit")
    upper.set_ylim(0, max(upper.get_ylim()[1], loading_limit_pct) * 1.2)
    heading(upper, "Highest loading", "% of rating")
    legend(upper)
    volts = bus_voltages.groupby("start_utc")["vm_pu"]
    lowest, middle, highest = volts.min(), volts.median(), volts.max()
    lower.fill_between(lowest.index, lowest, highest, color=GREEN, alpha=0.25, linewidth=0, label="all buses")
    lower.plot(middle.index, middle, color=GREEN, linewidth=1.8, label="median bus")
    for n, limit in enumerate(voltage_limits):
        lower.axhline(limit, color=LIMIT, linewidth=1, linestyle="--", label="limits" if n == 0 else None)
    span = max(voltage_limits[1], highest.max()) - min(voltage_limits[0], lowest.min())
    lower.set_ylim(min(voltage_limits[0], lowest.min()) - 0.06 * span, max(voltage_limits[1], highest.max()) + 0.3 * span)
    heading(lower, "Voltage", "p.u.")
    legend(lower)
    for axis in (upper, lower):
        clock_axis(axis, zone)
        axis.margins(x=0)
    return png(made)


def flat(buses: pd.DataFrame) -> np.ndarray:
    """Coordinates stretched to the picture's shape: longitude shortened by the latitude where both look like degrees."""
    points = buses[["x", "y"]].to_numpy(float)
    if np.abs(points[:, 1]).max() <= 90 and (points[:, 1].max() - points[:, 1].min()) < 5 and points[:, 1].mean() > 20:
        points[:, 0] *= np.cos(np.radians(points[:, 1].mean()))
        return points
    span = np.ptp(points, axis=0)
    return points / np.where(span > 0, span, 1.0) * (1.5, 1.0)


def _open_branches(axis: Any, topology: Topology, place: dict[str, np.ndarray]) -> None:
    opened = topology.branches[~topology.branches["connected"]]
    for one in opened.itertuples():
        axis.plot(*zip(place[one.from_bus], place[one.to_bus], strict=True), color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    marks = np.array([place[bus] for bus in topology.open_switches["bus_id"]]).reshape(-1, 2)
    if len(marks):
        axis.scatter(marks[:, 0], marks[:, 1], s=46, marker="s", facecolor="none", edgecolor=INK, linewidth=1.3, zorder=5,
                     label=f"open switch ({len(marks)})")  # fmt: skip


def _transformers(axis: Any, topology: Topology, place: dict[str, np.ndarray]) -> None:
    """Both ends of a transformer often lie at one point, so it gets a mark of its own."""
    trafos = topology.branches[topology.branches["kind"] == "transformer"]
    if len(trafos):
        middle = np.array([(place[a] + place[b]) / 2 for a, b in zip(trafos["from_bus"], trafos["to_bus"], strict=True)])
        axis.scatter(middle[:, 0], middle[:, 1], s=90, marker="D", facecolor=YELLOW, edgecolor=INK, linewidth=1, zorder=4,
                     label=f"transformer ({len(trafos)})")  # fmt: skip


def _buses(made: Any, axis: Any, topology: Topology, place: dict[str, np.ndarray], voltage: pd.Series, limits: tuple[float, float]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("voltage", [RED, YELLOW, GREEN, BLUE, "#5b3f8f"])
    points = np.array([place[bus] for bus in topology.buses["bus_id"]])
    size = float(np.clip(5200 / len(points), 12, 60))
    values = topology.buses["bus_id"].map(voltage).to_numpy(float)
    lit = np.isfinite(values)
    dots = axis.scatter(points[lit, 0], points[lit, 1], c=values[lit], cmap=colours, vmin=limits[0], vmax=limits[1], s=size,
                        edgecolor="white", linewidth=0.4, zorder=3)  # fmt: skip
    if not lit.all():
        axis.scatter(points[~lit, 0], points[~lit, 1], s=size, marker="x", color=MUTED, zorder=3, label=f"no supply ({(~lit).sum()})")
    bar = made.colorbar(dots, ax=axis, shrink=0.6, pad=0.01, extend="both")
    bar.set_label("voltage, p.u. (ends: the limits)", color=MUTED, fontsize=8)
    bar.ax.tick_params(colors=MUTED, labelsize=8)
    bar.outline.set_visible(False)
