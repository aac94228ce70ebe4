"""What the daily job makes of real feeders beside its day-ahead forecast: issues in the course of the day, and joint samples.

Needs the shared data sets; two minutes.
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import _load_sets as sets
from benchmarks._scenarios import scenario_rows
from benchmarks.platform import Row, row
from grid_assets.forecasting.day_cubes import load_kw
from grid_assets.forecasting.demand import published, roll_demand
from grid_assets.forecasting.intraday import reissue
from grid_assets.foundation.calendar import SiteCalendar

ISSUES = (9, 12, 15, 18, 21)
HISTORY_DAYS = 60
AHEAD = ((0, 1), (1, 3), (3, 6))


def run(console: Console) -> list[Row]:
    if not sets.SHARED.is_dir():
        return [row("the shared data sets are absent", "-", "", "set GRID_ASSETS_SHARED")]
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    with console.status("") as status:
        status.update("issues in the course of the day ...")
        series = sets.wpd_pod().load_kw
        station = pd.DataFrame(
            {"node_id": "substation", "start_utc": series.index, "energy_kwh": series.to_numpy() / 2, "published_pct": 100.0}
        )
        rows += intraday_rows("substation 2019", station, [date(2019, 4, 1) + timedelta(days=11 * n) for n in range(22)])
        rows += intraday_rows("EDRP system and feeders", sets.edrp_feeders(), [date(2009, 5, 1) + timedelta(days=n) for n in range(27)])
        status.update("joint samples ...")
        rows += scenario_rows()
    return rows


def intraday_rows(name: str, loads: pd.DataFrame, days: list[date]) -> list[Row]:
    """Errors of the forecasts issued again on these days, against the morning's forecast of the same intervals."""
    clock = SiteCalendar(ZoneInfo(sets.LONDON), 30, days[0] - timedelta(days=HISTORY_DAYS), days[-1], sets.ISSUE_HOUR, 2)
    nodes, parts = sorted(loads["node_id"].unique()), []
    truth = loads.assign(kw=load_kw(loads, clock.interval_hours))[["node_id", "start_utc", "kw"]]
    for day in days:
        begin, end = (pd.Timestamp(clock.midnight(one)) for one in (day - timedelta(days=HISTORY_DAYS), day + timedelta(days=1)))
        rolled = roll_demand(loads[(loads["start_utc"] >= begin) & (loads["start_utc"] < end)], None, nodes, clock, day, country="GB")
        morning = published(rolled).forecasts
        for hour in ISSUES:
            until = clock.midnight(day + timedelta(days=1)) + timedelta(hours=hour)
            again = reissue(rolled, truth, until).forecasts
            both = again.merge(morning, on=["node_id", "start_utc"], suffixes=("", "_morning")).merge(truth, on=["node_id", "start_utc"])
            parts.append(both.assign(ahead=(both["start_utc"] - pd.Timestamp(until)) / pd.Timedelta(hours=1)))
    found = pd.concat(parts, ignore_index=True)
    rows = []
    for first, last in AHEAD:
        here = found[(found["ahead"] >= first) & (found["ahead"] < last)]
        now, then = (float(np.nanmean(np.abs(here[column] - here["kw"]))) for column in ("mean_kw", "mean_kw_morning"))
        inside = 100 * float(((here["kw"] >= here["p05_kw"]) & (here["kw"] <= here["p95_kw"])).mean())
        beside = f"the morning's {then:.4g} ({100 * (now / then - 1):+.0f} %); {inside:.0f} % inside the 90 % band"
        rows.append(row(f"{name}: MAE {first} to {last} h ahead", now, "kW", beside, "< the morning's", now < then))
    return rows
