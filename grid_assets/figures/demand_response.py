"""Pictures of demand-response events."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_assets.figures.style import BLUE, DEMAND, GREEN, INK, MUTED, ORANGE, clock_axis, figure, heading, legend, png


def event_picture(baselines: pd.DataFrame, title: str, zone: str, interval_hours: float, target_kw: float) -> bytes:
    """Demand of all participants with a baseline around an event, and the reduction against its target, as PNG.

    ``baselines``: rows of demand_response/baselines (kWh per interval); drawn as mean power in kW.
    """
    verified = baselines[baselines["fault"].isna()]
    total = (
        verified.groupby("start_utc")[["unadjusted_kwh", "baseline_kwh", "actual_kwh", "reduction_kwh"]].sum(min_count=1) / interval_hours
    )
    period = baselines.groupby("start_utc")["period"].first()
    made, (upper, lower) = figure(8.0, 4.6, rows=2)
    if total.empty:
        heading(upper, f"{title}: no participant has a baseline")
        return png(made)
    times, hours = total.index, pd.Timedelta(hours=interval_hours)
    ends = times.append(pd.DatetimeIndex([times[-1] + hours]))
    event = period.index[period == "event"]
    for axis in (upper, lower):
        axis.axvspan(event[0], event[-1] + hours, color=ORANGE, alpha=0.10, linewidth=0)
        axis.set_xlim(ends[0], ends[-1])
    window = period.index[period == "adjustment"]
    upper.axvspan(window[0], window[-1] + hours, color=BLUE, alpha=0.07, linewidth=0)
    baseline, actual = total["baseline_kwh"].to_numpy(), total["actual_kwh"].to_numpy()
    upper.step(ends, _closed(total["unadjusted_kwh"]), where="post", color=MUTED, linewidth=1.2, linestyle=":", label="mean of like days")
    upper.step(ends, _closed(total["baseline_kwh"]), where="post", color=BLUE, linewidth=1.8, label="baseline, adjusted")
    upper.step(ends, _closed(total["actual_kwh"]), where="post", color=DEMAND, linewidth=1.8, label="actual")
    inside = np.isin(times, event)
    upper.fill_between(
        ends,
        np.append(actual, actual[-1]),
        np.append(baseline, baseline[-1]),
        where=np.append(inside, False) | np.append(False, inside),
        step="post",
        color=GREEN,
        alpha=0.3,
        label="reduction",
    )
    low, high = np.nanmin(total[["baseline_kwh", "actual_kwh"]]), np.nanmax(total[["baseline_kwh", "actual_kwh", "unadjusted_kwh"]])
    upper.set_ylim(min(0.0, low) if low < 0.5 * high else 0.9 * low, high + 0.35 * (high - min(low, 0.9 * high)))
    upper.text(
        window[0] + (window[-1] + hours - window[0]) / 2,
        0.03,
        "adjustment window",
        color=BLUE,
        fontsize=8,
        transform=upper.get_xaxis_transform(),
        ha="center",
    )
    heading(upper, title, "kW")
    legend(upper)
    reduction = total["reduction_kwh"].where(inside)
    lower.bar(times, reduction, width=hours, align="edge", color=GREEN, edgecolor="white", linewidth=0.5, label="reduction")
    lower.hlines(target_kw, event[0], event[-1] + hours, color=INK, linewidth=1.2, linestyle="--", label="target")
    lower.set_ylim(min(0.0, 1.1 * np.nanmin(reduction.fillna(0))), 1.35 * max(target_kw, np.nanmax(reduction.fillna(0))))
    heading(lower, "Reduction against the baseline", "kW")
    legend(lower)
    for axis in (upper, lower):
        clock_axis(axis, zone)
    return png(made)


def _closed(values: pd.Series) -> np.ndarray:
    """Values of intervals with the last repeated at its end, for a step line."""
    return np.append(values.to_numpy(), values.iloc[-1])
