"""One set of colours and one look for all pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b2733", "#6b7a89", "#e3e8ed", "#ffffff"
BLUE, ORANGE, GREEN, RED, YELLOW, VIOLET = "#2f6fb0", "#d9822b", "#3d8b57", "#b8343b", "#c99700", "#7b5ea7"
SERIES = (BLUE, ORANGE, GREEN, VIOLET, RED, YELLOW)
DEMAND, SOLAR, WIND, STORAGE, PRICE, LIMIT = INK, YELLOW, GREEN, BLUE, VIOLET, RED
QUALITY = {"measured": GREEN, "edited": BLUE, "estimated": YELLOW, "missing": RED}


def figure(width: float = 8.0, height: float = 3.4, rows: int = 1) -> tuple[Figure, list]:
    """A figure and its axes, one below the other, in the house style. No display is needed."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=110, facecolor=PAPER, layout="constrained")
    axes = [made.add_subplot(rows, 1, n + 1) for n in range(rows)]
    for axis in axes:
        axis.set_facecolor(PAPER)
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(MUTED)
        axis.tick_params(colors=MUTED, labelsize=8)
    return made, axes


def heading(axis, title: str, unit: str = "") -> None:
    """A left-aligned title, and the unit above the value axis."""
    axis.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    if unit:
        axis.set_ylabel(unit, color=MUTED, fontsize=8)


def clock_axis(axis, zone: str) -> None:
    """Times of day on the site's clock."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=zone, maxticks=11)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axis.xaxis.get_offset_text().set(size=8, color=MUTED)


def legend(axis, columns: int = 4) -> None:
    axis.legend(fontsize=8, frameon=False, ncols=columns, loc="upper left", labelcolor=INK)


def png(made: Figure) -> bytes:
    """The figure as PNG bytes, without anything in them that changes from run to run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(made)
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
