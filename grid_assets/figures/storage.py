"""Pictures of storage plans."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import DEMAND, MUTED, ORANGE, SOLAR, STORAGE, clock_axis, figure, heading, legend, png


def storage_day(system: pd.DataFrame, zone: str, notice: str = "") -> bytes:
    """Power drawn from the grid above with and without storage; below, what the fleet does and holds. PNG bytes.

    ``system``: start_utc, no_storage_kw, optimised_kw, charge_kw, discharge_kw, energy_kwh, curtailed_kw, available_kw.
    """
    made, (above, below) = figure(height=5.4, rows=2)
    times = _closed(system["start_utc"])
    unit, scale = ("MW", 1000.0) if system[["no_storage_kw", "optimised_kw"]].abs().to_numpy().max(initial=0.0) >= 5000 else ("kW", 1.0)

    def steps(axis, values: pd.Series, **look) -> None:
        axis.step(times, [*(values / scale), values.iloc[-1] / scale], where="post", **look)

    steps(above, system["no_storage_kw"], color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)), label="without storage")
    steps(above, system["optimised_kw"], color=DEMAND, linewidth=1.8, label="with storage")
    if system["available_kw"].max() > 0:
        steps(above, system["available_kw"], color=SOLAR, linewidth=1.2, label="renewable generation available")
    above.axhline(0.0, color=MUTED, linewidth=0.8)
    peaks = system["no_storage_kw"].max() / scale, system["optimised_kw"].max() / scale
    heading(
        above, f"Drawn from the grid above on {_day(system, zone)}: peak {peaks[0]:,.2f} {unit} without storage, {peaks[1]:,.2f} with", unit
    )
    _room_for_legend(above)
    legend(above, 3)

    power = (system["charge_kw"] - system["discharge_kw"]) / scale
    closed = [*power, power.iloc[-1]]
    below.fill_between(times, [max(0.0, p) for p in closed], step="post", color=STORAGE, alpha=0.85, linewidth=0, label="charging")
    below.fill_between(times, [min(0.0, p) for p in closed], step="post", color=ORANGE, alpha=0.85, linewidth=0, label="discharging")
    below.axhline(0.0, color=MUTED, linewidth=0.8)
    heading(below, "Storage: power, and energy held", unit)
    energy = below.twinx()
    energy.plot(times[1:], system["energy_kwh"] / scale, color=DEMAND, linewidth=1.4, label="energy held (right)")
    energy.set_ylim(0.0, max(1e-3, 1.35 * float(system["energy_kwh"].max()) / scale))
    energy.set_ylabel(f"{unit}h", color=MUTED, fontsize=8)
    energy.tick_params(colors=MUTED, labelsize=8)
    for side in ("top", "left", "right", "bottom"):
        energy.spines[side].set_visible(False)
    _room_for_legend(below)
    handles = [one for axis in (below, energy) for one in axis.get_legend_handles_labels()[0]]
    below.legend(handles=handles, fontsize=8, frameon=False, ncols=3, loc="upper left")
    for axis in (above, below):
        axis.set_xlim(times[0], times[-1])
        clock_axis(axis, zone)
        axis.xaxis.get_offset_text().set_visible(False)  # it names the day after; the heading says the day
    if notice:
        below.set_xlabel(notice[:130], fontsize=7, color=MUTED, loc="left")
    return png(made)


def _closed(starts: pd.Series) -> list:
    """Interval starts, and the end of the last one."""
    times = pd.DatetimeIndex(starts)
    return [*times.to_pydatetime(), (times[-1] + (times[1] - times[0])).to_pydatetime()]


def _room_for_legend(axis) -> None:
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.22 * (high - low))


def _day(frame: pd.DataFrame, zone: str) -> str:
    return f"{frame['start_utc'].min().tz_convert(zone):%-d %B %Y}"
