"""A picture of how a fleet of storage units ages."""

from __future__ import annotations

from datetime import date

import pandas as pd

from grid_assets.figures.style import INK, LIMIT, MUTED, ORANGE, STORAGE, figure, heading, legend, png

MOST_UNITS = 30
NAMED, APART = 4, 0.09
"""Units named in the upper panel, those with the least health, and how far their names stay apart, of the height."""


def fleet_picture(rows: pd.DataFrame, limit_degc: float, end_of_life_pct: float, day: date, title: str) -> bytes:
    """PNG: above, each unit's state of health against its full cycles; below, the day's temperatures of the warmest units.

    ``rows``: storage/unit_health of a day, at least one.
    """
    told = rows.dropna(subset="highest_temperature_degc").sort_values(["highest_temperature_degc", "unit_id"], ascending=[False, True])
    made, axes = figure(8.6, 5.8 if len(told) else 3.2, rows=2 if len(told) else 1)
    _health(axes[0], rows, end_of_life_pct, f"{title}, {day}")
    if len(told):
        _warmth(axes[1], told, len(rows) - len(told), limit_degc)
    else:
        axes[0].set_xlabel(axes[0].get_xlabel() + "; no unit's temperature was measured", color=MUTED, fontsize=8)
    return png(made)


def _health(axis, rows: pd.DataFrame, end_of_life_pct: float, said: str) -> None:
    seen = rows["readings"] > 0
    for part, colour, label in ((rows[~seen], MUTED, "not measured, by time alone"), (rows[seen], STORAGE, "measured")):
        if len(part):
            axis.scatter(part["total_equivalent_full_cycles"], part["soh_pct"], s=34, color=colour, alpha=0.85, linewidths=0, label=f"{label} ({len(part)})")  # fmt: skip
    low, high = rows["soh_pct"].min(), rows["soh_pct"].max()
    span = max(high - low, 0.02)
    if low - 2 * span < end_of_life_pct:
        axis.axhline(end_of_life_pct, color=LIMIT, linewidth=1.0, linestyle=(0, (4, 3)), label=f"end of life, {end_of_life_pct:g} %")
        low = min(low, end_of_life_pct)
        span = max(high - low, 0.02)
    axis.set_ylim(low - 0.25 * span, high + 0.45 * span)
    axis.set_yticks([one for one in axis.get_yticks() if low - 0.25 * span <= one <= min(high + 0.45 * span, 100.0)])
    axis.ticklabel_format(axis="y", useOffset=False)
    most = max(float(rows["total_equivalent_full_cycles"].max()), 0.1)
    axis.set_xlim(-0.04 * most, 1.06 * most)
    _names(axis, rows[seen].sort_values(["soh_pct", "unit_id"]).head(NAMED), APART * 1.6 * span, most / 2)
    worst = rows.loc[rows["soh_pct"].idxmin()]
    heading(axis, f"State of health, {said}: least {worst['soh_pct']:.2f} %, {worst['unit_id']}", "% of capacity")
    axis.set_xlabel("equivalent full cycles since the first day followed", color=MUTED, fontsize=8)
    legend(axis, 3)


def _names(axis, named: pd.DataFrame, apart_pct: float, middle: float) -> None:
    """Each unit's name and years beside its point, towards the middle; of those that would lie on each other the first."""
    taken: list[float] = []
    for one in named.itertuples():
        if all(abs(one.soh_pct - other) >= apart_pct for other in taken):
            left = one.total_equivalent_full_cycles > middle
            axis.annotate(f"{one.unit_id}, {one.remaining_years:.0f} years left", (one.total_equivalent_full_cycles, one.soh_pct), xytext=(-5 if left else 7, -8 if left else 0),
                          textcoords="offset points", fontsize=7, color=INK, va="center", ha="right" if left else "left")  # fmt: skip
            taken.append(one.soh_pct)


def _warmth(axis, told: pd.DataFrame, without: int, limit_degc: float) -> None:
    shown = told.head(MOST_UNITS).reset_index(drop=True)
    hot = shown["highest_temperature_degc"] > limit_degc
    axis.bar(shown.index, shown["highest_temperature_degc"], width=0.55, color=[LIMIT if one else ORANGE for one in hot], alpha=0.85, label="highest")  # fmt: skip
    axis.scatter(shown.index, shown["mean_temperature_degc"], color=INK, s=22, zorder=3, label="mean")
    axis.axhline(
        limit_degc,
        color=LIMIT,
        linewidth=1.0,
        linestyle=(0, (4, 3)),
        label=f"limit, {limit_degc:g} degC" + (", and hours above it" if hot.any() else ""),
    )
    for n, one in shown[hot].iterrows():
        axis.annotate(f"{one['hot_minutes'] / 60:.1f} h", (n, one["highest_temperature_degc"]), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7, color=LIMIT)  # fmt: skip
    low, high = min(float(shown["mean_temperature_degc"].min()), 0.0), max(limit_degc, float(shown["highest_temperature_degc"].max()))
    axis.set_ylim(1.15 * low, high + 0.35 * (high - low))
    axis.set_xlim(-0.7, max(len(shown), 6) - 0.3)
    crowded = len(shown) > 8
    axis.set_xticks(range(len(shown)), shown["unit_id"], fontsize=7, rotation=45 if crowded else 0, ha="right" if crowded else "center")
    axis.grid(False, axis="x")
    parts = [f"the warmest {len(shown)} of {len(told)}"] if len(told) > len(shown) else []
    parts += [f"{without} units not measured"] if without else []
    heading(axis, "Cell temperatures of the day" + (f", {', '.join(parts)}" if parts else ""), "degC")
    legend(axis, 3)
