"""Fan charts of demand and generation forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import pandas as pd

from grid_assets.figures import style
from grid_assets.foundation.calendar import SiteCalendar

HISTORY_DAYS = 3
KIND_COLOURS = {"pv": style.SOLAR, "wind": style.WIND, "biomass": style.ORANGE, "hydro": style.BLUE}
KIND_TITLES = {"pv": "Solar", "wind": "Wind", "biomass": "Biomass", "hydro": "Hydro"}


def demand_fan(forecasts: pd.DataFrame, node_loads: pd.DataFrame, clock: SiteCalendar, day: date, title: str) -> bytes:
    """The system's (else the largest node's) demand of the last three days and its forecast with 50 % and 90 % bands, as PNG."""
    node = _largest(forecasts, node_loads)
    start = clock.midnight(day - timedelta(days=HISTORY_DAYS - 1))
    past = node_loads[(node_loads["node_id"] == node) & (node_loads["start_utc"] >= start)].sort_values("start_utc")
    coming = forecasts[forecasts["node_id"] == node].sort_values("start_utc")
    factor, unit = _unit(coming["p95_kw"].max())
    made, axes = style.figure(9.0, 3.6)
    axes[0].plot(past["start_utc"], past["energy_kwh"] / clock.interval_hours / factor, color=style.DEMAND, linewidth=1.4, label="metered")
    _fan(axes[0], coming, style.BLUE, factor)
    _issue_line(axes[0], clock, day)
    style.heading(axes[0], f"Demand forecast of {node}: {title}", unit)
    style.clock_axis(axes[0], clock.zone.key)
    _room_for_legend(axes[0])
    return style.png(made)


def scenario_picture(
    forecasts: pd.DataFrame, scenarios: pd.DataFrame, parents: Mapping[str, str | None], clock: SiteCalendar, day: date, title: str
) -> bytes:
    """The samples of the topmost node and of the largest at the bottom, over the forecast's 90 % band, as PNG."""
    known = sorted(set(scenarios["node_id"]))
    tops = [node for node in known if parents.get(node) not in known] or known
    means = scenarios.groupby("node_id")["value_kw"].mean()
    bottom = [node for node in known if node not in {parents.get(one) for one in known} and node != tops[0]]
    nodes = [tops[0], *([str(means[bottom].idxmax())] if bottom else [])]
    made, axes = style.figure(9.0, 0.9 + 2.2 * len(nodes), rows=len(nodes))
    for axis, node in zip(axes, nodes, strict=True):
        rows, band = scenarios[scenarios["node_id"] == node], forecasts[forecasts["node_id"] == node].sort_values("start_utc")
        band = band[band["start_utc"] <= rows["start_utc"].max()]
        factor, unit = _unit(rows["value_kw"].max())
        axis.fill_between(
            band["start_utc"],
            band["p05_kw"] / factor,
            band["p95_kw"] / factor,
            color=style.BLUE,
            alpha=0.18,
            linewidth=0,
            label="90 % band",
        )
        for number, one in rows.groupby("member"):
            label = f"{rows['member'].nunique()} samples" if number == rows["member"].min() else None
            one = one.sort_values("start_utc")
            axis.plot(one["start_utc"], one["value_kw"] / factor, color=style.BLUE, linewidth=0.7, alpha=0.55, label=label)
        axis.plot(band["start_utc"], band["mean_kw"] / factor, color=style.INK, linewidth=1.4, label="forecast")
        style.heading(axis, f"What {node} may draw: {title}" if node == nodes[0] else f"Its part {node}", unit)
        style.clock_axis(axis, clock.zone.key)
        _room_for_legend(axis)
    return style.png(made)


def coherent_picture(coherent: pd.DataFrame, clock: SiteCalendar, title: str) -> bytes:
    """The largest node's week as its meters add up to it, and as it was forecast by itself, as PNG."""
    node = coherent.groupby("node_id")["mean_kw"].mean().idxmax()
    rows = coherent[coherent["node_id"] == node].sort_values("start_utc")
    factor, unit = _unit(rows["mean_kw"].max())
    made, axes = style.figure(9.0, 3.2)
    axes[0].plot(
        rows["start_utc"], rows["forecast_kw"] / factor, color=style.MUTED, linewidth=1.2, linestyle="--", label="its own forecast"
    )
    axes[0].plot(rows["start_utc"], rows["mean_kw"] / factor, color=style.BLUE, linewidth=1.5, label="the sum of its meters")
    style.heading(axes[0], f"{node} and all meters below it, made to add up: {title}", unit)
    style.clock_axis(axes[0], clock.zone.key)
    _room_for_legend(axes[0])
    return style.png(made)


def intraday_fan(
    morning: pd.DataFrame, again: pd.DataFrame, node_loads: pd.DataFrame, clock: SiteCalendar, until: datetime, title: str
) -> bytes:
    """The system's (else the largest node's) day under way: what was metered, what the morning said, and what is said now, as PNG."""
    node = _largest(again, node_loads)
    start, end = pd.Timestamp(until) - pd.Timedelta(hours=15), pd.Timestamp(until) + pd.Timedelta(hours=33)
    parts = [
        frame[(frame["node_id"] == node) & (frame["start_utc"] >= start) & (frame["start_utc"] < end)]
        for frame in (node_loads, morning, again)
    ]
    past, before, now = (part.sort_values("start_utc") for part in parts)
    factor, unit = _unit(now["p95_kw"].max())
    made, axes = style.figure(9.0, 3.6)
    _fan(axes[0], now, style.BLUE, factor)
    if len(before):
        axes[0].plot(
            before["start_utc"], before["mean_kw"] / factor, color=style.MUTED, linewidth=1.2, linestyle="--", label="this morning"
        )
    known = past["energy_kwh"] / clock.interval_hours / factor * 100.0 / past["published_pct"].where(past["published_pct"] >= 50)
    axes[0].plot(past["start_utc"], known, color=style.DEMAND, linewidth=1.4, label="arrived")
    axes[0].axvline(until, color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    style.heading(axes[0], f"Demand of {node}, forecast again at {until.astimezone(clock.zone):%H:%M}: {title}", unit)
    style.clock_axis(axes[0], clock.zone.key)
    _room_for_legend(axes[0])
    return style.png(made)


def renewable_fan(totals: pd.DataFrame, clock: SiteCalendar, day: date, title: str) -> bytes:
    """The forecast of each kind of plants as a whole, one panel a kind, as PNG.

    ``totals``: kind, start_utc, mean_kw and the quantiles, summed over the kind's plants.
    """
    kinds = [kind for kind in (*KIND_COLOURS, *sorted(set(totals["kind"]) - set(KIND_COLOURS))) if kind in set(totals["kind"])]
    made, axes = style.figure(9.0, 0.9 + 2.1 * len(kinds), rows=len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        rows = totals[totals["kind"] == kind].sort_values("start_utc")
        factor, unit = _unit(rows["p95_kw"].max())
        _fan(axis, rows, KIND_COLOURS.get(kind, style.VIOLET), factor)
        style.heading(axis, f"{KIND_TITLES.get(kind, kind)}: {title}" if kind == kinds[0] else KIND_TITLES.get(kind, kind), unit)
        axis.set_ylim(bottom=0)
        style.clock_axis(axis, clock.zone.key)
        _room_for_legend(axis)
    return style.png(made)


def _fan(axis, rows: pd.DataFrame, colour: str, factor: float) -> None:
    times = rows["start_utc"]
    axis.fill_between(times, rows["p05_kw"] / factor, rows["p95_kw"] / factor, color=colour, alpha=0.18, linewidth=0, label="90 % band")
    axis.fill_between(times, rows["p25_kw"] / factor, rows["p75_kw"] / factor, color=colour, alpha=0.35, linewidth=0, label="50 % band")
    axis.plot(times, rows["mean_kw"] / factor, color=colour, linewidth=1.6, label="forecast")


def _issue_line(axis, clock: SiteCalendar, day: date) -> None:
    issued = clock.issue_time(day)
    axis.axvline(issued, color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.annotate("issued", (issued, 0.02), xycoords=("data", "axes fraction"), xytext=(-4, 0), textcoords="offset points", ha="right",
                  fontsize=8, color=style.MUTED)  # fmt: skip


def _room_for_legend(axis) -> None:
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.2 * (high - low))
    style.legend(axis)


def _unit(largest_kw: float) -> tuple[float, str]:
    return (1000.0, "MW") if largest_kw >= 2000 else (1.0, "kW")


def _largest(forecasts: pd.DataFrame, node_loads: pd.DataFrame) -> str:
    """The system where it was forecast; else the node with the highest forecast."""
    known = set(forecasts["node_id"])
    systems = sorted(set(node_loads.loc[node_loads["level"] == "system", "node_id"]) & known) if "level" in node_loads else []
    return systems[0] if systems else str(forecasts.groupby("node_id")["mean_kw"].mean().idxmax())
