"""Pictures of prices and the loads expected under them."""

from __future__ import annotations

import pandas as pd

from grid_assets.figures.style import DEMAND, MUTED, ORANGE, PRICE, clock_axis, figure, heading, legend, png

LOOKS = ((DEMAND, (0, (4, 2))), (PRICE, "-"), (ORANGE, (0, (1, 1))))


def load_under_tariffs(signals: pd.DataFrame, zone: str, currency: str, notice: str = "") -> bytes:
    """System load expected under each tariff, above the steps of their prices. PNG bytes.

    ``signals``: signal_id, start_utc, price_per_kwh, expected_load_kw, the base tariff's rows first.
    """
    made, (above, below) = figure(height=5.0, rows=2)
    largest = signals["expected_load_kw"].abs().max()
    unit, scale = ("MW", 1000.0) if largest >= 5000 else ("kW", 1.0)
    names = list(dict.fromkeys(signals["signal_id"]))
    peaks = []
    for name, (color, line) in zip(names, LOOKS, strict=False):
        rows = signals[signals["signal_id"] == name].sort_values("start_utc")
        starts = pd.DatetimeIndex(rows["start_utc"])
        times = [*starts.to_pydatetime(), (starts[-1] + (starts[1] - starts[0])).to_pydatetime()]
        load, price = rows["expected_load_kw"] / scale, rows["price_per_kwh"]
        peaks.append(load.max())
        label = name.replace("_", " ")
        above.step(times, [*load, load.iloc[-1]], where="post", color=color, linewidth=1.7, linestyle=line, label=label)
        below.step(times, [*price, price.iloc[-1]], where="post", color=color, linewidth=1.7, linestyle=line, label=label)
        for axis in (above, below):
            axis.set_xlim(times[0], times[-1])
    change = f": peak {100 * (peaks[1] / peaks[0] - 1):+.2f} %" if len(peaks) > 1 and peaks[0] else ""
    heading(above, f"System load expected under each tariff, {_day(signals, zone)}{change}", unit)
    heading(below, "Price that customers pay", f"{currency}/kWh")
    below.set_ylim(min(0.0, below.get_ylim()[0]), below.get_ylim()[1])
    for axis in (above, below):
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.2 * (high - low))
        legend(axis, 3)
        clock_axis(axis, zone)
        axis.xaxis.get_offset_text().set_visible(False)  # it names the day after; the heading says the day
    if notice:
        below.set_xlabel(notice[:130], fontsize=7, color=MUTED, loc="left")
    return png(made)


def _day(frame: pd.DataFrame, zone: str) -> str:
    return f"{frame['start_utc'].min().tz_convert(zone):%-d %B %Y}"
