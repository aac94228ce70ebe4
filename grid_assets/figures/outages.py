"""A picture of what outages would do."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import BLUE, INK, ORANGE, RED, figure, heading, png

SHOWN = 14


def outage_picture(results: pd.DataFrame) -> bytes:
    """PNG: the outages that leave most load dark, and where there are any those after which most is newly beyond a limit.

    ``results``: rows of CONTINGENCY_RESULTS.
    """
    dark = results[results["lost_load_kw"] > 0].nlargest(SHOWN, ["lost_load_kw", "customers_dark"])
    bad = results[~results["converged"] | (results["new_violations"] > 0)].sort_values(
        ["converged", "new_violations"], ascending=[True, False]
    )
    rows = 2 if len(bad) else 1
    made, axes = figure(8.6, 2.9 * rows, rows=rows)
    _bars(axes[0], dark, dark["lost_load_kw"], [str(n) for n in dark["customers_dark"]], BLUE)
    heading(axes[0], f"Load, and customers, that go dark: the {len(dark)} worst of {len(results)} outages", "kW")
    if len(bad):
        worst = bad.head(SHOWN)
        told = [str(n) if ok else "no solution" for n, ok in zip(worst["new_violations"], worst["converged"], strict=True)]
        _bars(axes[1], worst, worst["new_violations"], told, ORANGE)
        heading(axes[1], f"What the rest cannot carry after {len(bad)} outages", "new violations")
    return png(made)


def _bars(axis, rows: pd.DataFrame, values: pd.Series, told: list[str], colour: str) -> None:
    bars = axis.bar(range(len(rows)), values, color=[colour if ok else RED for ok in rows["converged"]], width=0.7)
    axis.bar_label(bars, told, fontsize=8, color=INK, padding=2)
    axis.set_xticks(
        range(len(rows)), [name if len(name) <= 24 else name[:23] + "…" for name in rows["outage_id"]], fontsize=7, rotation=30, ha="right"
    )
    axis.margins(y=0.15)
