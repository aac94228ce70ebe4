"""The pictures of `bench metering_real`, in the colours of the house."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._real_gaps import METHODS
from benchmarks._real_runs import Outcome, RealRun
from grid_assets.figures import style
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import Lake
from grid_assets.metering import tables as metering

FILLED_METER, FILLED_WEEK = "zonnedael-013", (date(2013, 1, 31), date(2013, 2, 6))
FILLED_HOURS = ("2013-02-02 19:00", "2013-02-03 06:00")
DEAD_DAYS = (date(2018, 5, 7), date(2018, 5, 10))
TITLES = {"zonnedael": "Zonnedael, 15 min", "edrp": "EDRP, 30 min", "london": "Low Carbon London", "plymouth": "Plymouth substation"}
LOOKS = {
    "published": (style.BLUE, "-", "published"), "linear": (style.ORANGE, "--", "straight line"), "class_profile": (style.GREEN, "--", "class profile"),
    "plain_mean": (style.RED, ":", "mean of like days (peer)"),
    "day_before": (style.MUTED, ":", "day before (peer)"), "scaled_class": (style.VIOLET, ":", "scaled class (peer)"),
}  # fmt: skip


def draw(path: Path, picture: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)


def draw_set(name: str, made: RealRun, folder: Path) -> None:
    """The pictures of one set, where it has any."""
    if name == "zonnedael":
        draw(folder / "metering_zonnedael_filled.png", filled_picture(made))
    if name == "edrp":
        draw(folder / "metering_edrp_quality.png", quality_picture(made))
    if name == "plymouth":
        draw(folder / "metering_plymouth_dead.png", dead_picture(made))


def _readings(lake: Lake, days: tuple[date, date], meter: str) -> pd.DataFrame:
    rows = lake.read(metering.READINGS, days_between(*days))
    return rows[rows["meter_id"] == meter].sort_values("start_utc").set_index("start_utc")


def filled_picture(made: RealRun) -> bytes:
    """The week of the filled meter, and the hours in which its readings stop being readings."""
    zone, width = made.site.time_zone, pd.Timedelta(minutes=made.site.interval_minutes)
    kwh = _readings(made.lake, FILLED_WEEK, FILLED_METER)["energy_kwh"].astype(float)
    wh = (1000 * kwh).round().astype(int)
    same = wh == wh.shift(4)
    begin, end = same[same].index[0], same[same].index[-1] + width
    runs = (same != same.shift()).cumsum()[same]
    longest = runs[runs == runs.value_counts().idxmax()].index
    begin, end = longest[0] - 4 * width, longest[-1] + width
    drawn, (week, hours) = style.figure(8.6, 4.8, rows=2)
    week.axvspan(begin, end, color=style.ORANGE, alpha=0.18, linewidth=0, label=f"{len(longest) + 4} readings that no meter took")
    week.step(wh.index, wh, where="post", color=style.DEMAND, linewidth=0.9, label="readings, all of them valid by every rule")
    week.set_ylim(0, wh.max() * 1.28)
    week.set_xlim(wh.index[0], wh.index[-1])
    style.heading(week, f"{FILLED_METER}: two days of a mean", "Wh per 15 min")
    style.legend(week, 2)
    shown = wh[pd.Timestamp(FILLED_HOURS[0], tz=zone) : pd.Timestamp(FILLED_HOURS[1], tz=zone)]
    hours.axvspan(begin, shown.index[-1], color=style.ORANGE, alpha=0.18, linewidth=0)
    hours.step(shown.index, shown, where="post", color=style.DEMAND, linewidth=1.2)
    hours.plot(shown.index[shown.index >= begin] + width / 2, shown[shown.index >= begin], ".", color=style.ORANGE, markersize=5)
    hours.annotate(" 81, 83, 81, 84 Wh, over and over", (begin + 11 * width, 84), (begin + 5 * width, 102), color=style.INK, fontsize=8,
                   arrowprops={"arrowstyle": "-", "color": style.MUTED, "linewidth": 0.8})  # fmt: skip
    hours.set_xlim(shown.index[0], shown.index[-1])
    hours.set_ylim(0, max(115, shown.max() * 1.1))
    style.heading(hours, "Where it begins", "Wh per 15 min")
    for axis in (week, hours):
        style.clock_axis(axis, zone)
    return style.png(drawn)


def dead_picture(made: RealRun) -> bytes:
    """The substation's dead measurement: what arrived, what was published instead, and the error told with it."""
    zone, to_mw = made.site.time_zone, 1.0 / (1000.0 * made.site.clock.interval_hours)
    rows = _readings(made.lake, DEAD_DAYS, "plymouth-demand")
    published, error = rows["energy_kwh"].astype(float) * to_mw, rows["error_kwh"].astype(float) * to_mw
    estimated = (rows["quality"] == "estimated").to_numpy()
    arrived = made.source[made.source["meter_id"] == "plymouth-demand"].set_index("start_utc")["kwh"].reindex(rows.index) * to_mw
    drawn, (axis,) = style.figure(8.6, 3.6)
    low, high = published - 2 * error, published + 2 * error
    axis.fill_between(
        rows.index, low, high, where=estimated, step="post", color=style.YELLOW, alpha=0.35, linewidth=0, label="two standard errors"
    )
    measured = published.where(~estimated)
    axis.step(rows.index, measured, where="post", color=style.DEMAND, linewidth=1.3, label="measured")
    axis.step(
        rows.index, published.where(estimated), where="post", color=style.YELLOW, linewidth=1.8, label="published: mean of three like days"
    )
    axis.step(rows.index, arrived.where(estimated), where="post", color=style.RED, linewidth=1.6, label="arrived and refused (near_zero)")
    axis.set_ylim(-0.15, np.nanmax(np.append(published, high)) * 1.3)
    axis.set_xlim(rows.index[0], rows.index[-1])
    style.heading(axis, f"Plymouth's demand, {int(estimated.sum())} half-hours of a dead measurement", "MW")
    style.legend(axis, 2)
    style.clock_axis(axis, zone)
    return style.png(drawn)


def quality_picture(made: RealRun) -> bytes:
    """Households of EDRP with a reading that failed a rule: the share of each day that is valid."""
    days = made.lake.read(metering.METER_DAYS, columns=["meter_id", "day", "valid_pct", "flags"])
    days = days.drop_duplicates(["meter_id", "day"])
    valid = days.pivot_table(index="meter_id", columns="day", values="valid_pct", observed=True)
    faulty = valid[(valid < 100).any(axis=1)]
    faulty = faulty.loc[faulty.mean(axis=1).sort_values().index]
    drawn, (axis,) = style.figure(8.6, 4.6)
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("valid", [style.RED, style.YELLOW, "#e9f2ec"])
    image = axis.imshow(faulty.to_numpy(), aspect="auto", cmap=shades, vmin=0, vmax=100, interpolation="nearest")
    axis.grid(False)
    axis.set_yticks(range(len(faulty)), [str(one).removeprefix("edrp-") for one in faulty.index], fontsize=6)
    step = 14
    axis.set_xticks(range(0, faulty.shape[1], step), [f"{one:%d %b}" for one in list(faulty.columns)[::step]])
    bar = drawn.colorbar(image, ax=axis, fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=7, colors=style.MUTED)
    bar.outline.set_visible(False)
    bar.set_label("% of the day valid", fontsize=8, color=style.MUTED)
    style.heading(axis, f"EDRP: the {len(faulty)} of {len(valid)} households with a reading that failed a rule", "household")
    return style.png(drawn)


def gaps_picture(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """WAPE of hidden readings by the length of the gap, per method; a method is drawn where it gave nearly all values."""
    drawn, axes = style.figure(8.6, 5.4, rows=len(tables))
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        hours = sorted(table["hours"].unique())
        for method in METHODS:
            if method not in LOOKS:
                continue
            colour, line, label = LOOKS[method]
            own = table[(table["method"] == method) & (table["given_pct"] >= 75)].set_index("hours")["wape"]
            at = [hours.index(one) for one in own.index]
            axis.plot(
                at,
                own,
                color=colour,
                linestyle=line,
                linewidth=2.2 if method == "published" else 1.5,
                marker="o",
                markersize=4,
                label=label,
            )
        axis.set_xticks(range(len(hours)), [f"{one} h" for one in hours])
        axis.set_ylim(0.35, 0.85)
        style.heading(axis, f"{TITLES[name]}: error of the estimates of hidden readings", "WAPE")
        style.legend(axis, 3)
    axes[-1].set_xlabel("length of the gap", fontsize=8, color=style.MUTED)
    return style.png(drawn)


def rows_picture(outcomes: Mapping[str, Outcome]) -> bytes:
    """What became of the rows of each set, on a scale of powers of ten: nothing is left over."""
    kinds = (
        ("published", style.GREEN, lambda one: one.published), ("superseded", style.MUTED, lambda one: one.superseded),
        ("refused on arrival", style.ORANGE, lambda one: int(one.refused.sum())), ("failed validation", style.RED, lambda one: int(one.failed.sum())),
    )  # fmt: skip
    drawn, (axis,) = style.figure(8.6, 3.4)
    names = list(outcomes)
    height = 0.19
    for n, (label, colour, count) in enumerate(kinds):
        values = [count(outcomes[name]) for name in names]
        at = np.arange(len(names)) + (n - 1.5) * height
        axis.barh(at, values, height * 0.9, color=colour, label=label)
        for y, value in zip(at, values, strict=True):
            axis.text(max(value, 1) * 1.15, y, f"{value:,}", va="center", fontsize=7, color=style.INK if value else style.MUTED)
    axis.set_xscale("log")
    axis.set_xlim(1, 2e8)
    axis.minorticks_off()
    axis.set_yticks(range(len(names)), [f"{TITLES[name]}\n{outcomes[name].rows:,} rows in" for name in names], fontsize=8, color=style.INK)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    style.heading(axis, "What became of every row of four real sets")
    axis.legend(fontsize=8, frameon=False, ncols=1, loc="lower right", labelcolor=style.INK)
    return style.png(drawn)
