"""How accurate and how sure the forecasts are, on published loads, beside peers that see the same days with the same knowledge.

One forecast per local day, issued at 09:00 of the day before for its 24 hours; load is known until then. "Observed temperature"
stands for the weather forecast where a set has none, which is optimistic for all alike. Needs the shared data sets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import _forecast_peers as peers
from benchmarks import _load_sets as sets
from benchmarks._forecast_pictures import draw_error_map, draw_heat_wave
from benchmarks._neural import neural_rows
from benchmarks._openstef import openstef_forecasts
from benchmarks.platform import Row, row
from grid_assets.forecasting.accuracy import pinball
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.ensemble.forecasts import EnsembleForecast, forecast
from grid_assets.forecasting.ensemble.histories import node_history
from grid_assets.forecasting.ensemble.node_models import NodeHistory
from grid_assets.forecasting.tables import QUANTILES
from grid_assets.foundation.calendar import SiteCalendar, days_between

HEAT_WAVE = (date(2014, 1, 14), date(2014, 1, 17))
EDRP_DAYS = (date(2009, 4, 20), date(2009, 5, 30))
EVERY_DAYS = 4
"""OpenSTEF takes its time: it forecasts every fourth day."""
LIVE_REPETITIONS = 20


@dataclass(frozen=True)
class Scored:
    """A set's forecasts and what came, on the forecast days."""

    name: str
    zone: str
    history: NodeHistory
    positions: np.ndarray
    made: EnsembleForecast
    seconds: float

    @property
    def actual(self) -> np.ndarray:
        return self.history.load[self.positions]

    def mape(self, forecasts: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
        """Of forecasts [all days, hours] on the forecast days, or on some of them (positions within them)."""
        return mape(forecasts[self.positions][chosen], self.actual[chosen])

    def days(self) -> list[date]:
        return [self.history.days[position] for position in self.positions]


def mape(forecasts: np.ndarray, actual: np.ndarray) -> float:
    good = np.isfinite(forecasts) & (np.abs(actual) > 1e-9)
    return float(100 * np.mean(np.abs(forecasts[good] / actual[good] - 1)))


def rmse_mw(forecasts: np.ndarray, actual: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean((forecasts - actual) ** 2)) / 1000)


def scored(one: sets.LoadSet) -> Scored:
    """The ensemble's back-test of a set."""
    history = one.history()
    positions = one.positions(history)
    began = time.perf_counter()
    made = forecast(history, positions - 1, (1,), QUANTILES)[1]
    return Scored(one.name, one.zone, history, positions, made, time.perf_counter() - began)


def run(console: Console) -> list[Row]:
    """Measures everything; half an hour or so."""
    if not sets.SHARED.is_dir():
        return [row("the shared data sets are absent", "-", "", "set GRID_ASSETS_SHARED")]
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    with console.status("") as status:
        status.update("gefcom2014e 2013 ...")
        gefcom = scored(sets.gefcom2014e())
        rows += gefcom_rows(gefcom)
        status.update("vic_elec 2014 ...")
        victoria = scored(sets.vic_elec())
        rows += victoria_rows(victoria)
        status.update("vic_elec: the recurrent network is trained ...")
        rows += neural_rows(sets.vic_elec(), victoria.made.mean[victoria.positions], victoria.days())
        status.update("gefcom2014e: the recurrent network is trained ...")
        rows += neural_rows(sets.gefcom2014e(), gefcom.made.mean[gefcom.positions], gefcom.days())
        draw_error_map(gefcom, peers.weekly_naive(gefcom.history))
        for one in (gefcom, victoria):
            status.update(f"{one.name}: intervals, raw quantile trees ...")
            rows += interval_rows(one)
        for utility, target in ((1, 5.2), (3, 5.65)):
            status.update(f"bigdeal2022 LDC{utility} ...")
            rows += bigdeal_rows(utility, target)
        rows += openstef_rows((gefcom, victoria), status.update)
        status.update("zones and feeders ...")
        rows += floor_rows()
    return rows


def gefcom_rows(one: Scored) -> list[Row]:
    value, plain = one.mape(one.made.mean), peers.plain_lightgbm(one.history, one.positions)
    free = one.history.holidays.on(one.days())
    on_holidays, otherwise = (one.mape(one.made.mean, np.flatnonzero(chosen)) for chosen in (free, ~free))
    return [
        row("gefcom2014e 2013: MAPE", value, "%", f"stretch 1.45: {_met(value <= 1.45)}; {_peers(one, plain)}", "<= 1.60", value <= 1.6),
        row("gefcom2014e 2013: a year's back-test", one.seconds, "s", "the seven months before it, for weights and bands, included", "< 180", one.seconds < 180),
        row("gefcom2014e 2013: holidays against other days", on_holidays / otherwise, "x", f"MAPE {on_holidays:.2f} and {otherwise:.2f} %", "<= 2", on_holidays <= 2 * otherwise),
    ]  # fmt: skip


def victoria_rows(one: Scored) -> list[Row]:
    value, error = one.mape(one.made.mean), rmse_mw(one.made.mean[one.positions], one.actual)
    plain = peers.plain_lightgbm(one.history, one.positions)
    draw_heat_wave(one, plain)
    heat = np.array([HEAT_WAVE[0] <= day <= HEAT_WAVE[1] for day in one.days()])
    hot = one.mape(one.made.mean, np.flatnonzero(heat))
    said = f"plain LightGBM {one.mape(plain, np.flatnonzero(heat)):.1f}, naive {one.mape(peers.weekly_naive(one.history), np.flatnonzero(heat)):.1f}"
    return [
        row("vic_elec 2014: MAPE", value, "%", _peers(one, plain), "<= 2.40", value <= 2.4),
        row("vic_elec 2014: RMSE", error, "MW", f"plain LightGBM {rmse_mw(plain[one.positions], one.actual):.0f}", "<= 195", error <= 195),
        row("vic_elec 14-17 January 2014: MAPE", hot, "%", said, "<= 10", hot <= 10),
    ]


def bigdeal_rows(utility: int, target: float) -> list[Row]:
    one = scored(sets.bigdeal2022(utility))
    value = one.mape(one.made.mean)
    said = _peers(one, peers.plain_lightgbm(one.history, one.positions))
    return [row(f"bigdeal2022 LDC{utility} 2018, real weather forecasts: MAPE", value, "%", said, f"<= {target}", value <= target)]


def _peers(one: Scored, plain: np.ndarray) -> str:
    parts = {"regression alone": one.made.rolled.regression, "trees alone": one.made.rolled.trees, "plain LightGBM": plain}
    parts["naive"] = peers.weekly_naive(one.history)
    return ", ".join(f"{name} {one.mape(forecasts):.2f}" for name, forecasts in parts.items())


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


def interval_rows(one: Scored) -> list[Row]:
    """Coverage of the 90 % band, and pinball loss against raw quantile trees."""
    bands = one.made.quantiles[:, one.positions]
    known = np.isfinite(one.actual)
    inside = np.where(known, (one.actual >= bands[0]) & (one.actual <= bands[-1]), np.nan)
    months = np.array([day.month for day in one.days()])
    by_month = {month: float(np.nanmean(inside[months == month])) for month in range(1, 13)}
    by_hour = np.nanmean(inside, axis=0)
    year, month, hour = float(np.nanmean(inside)), min(by_month, key=by_month.__getitem__), int(by_hour.argmin())
    raw = peers.quantile_trees(one.history, one.positions, QUANTILES)[:, one.positions]
    ours, theirs = (mean_pinball(levels, one.actual) for levels in (bands, raw))
    raw_coverage = float(np.mean(((one.actual >= raw[0]) & (one.actual <= raw[-1]))[known]))
    return [
        row(f"{one.name}: 90 % band held, year", 100 * year, "%", f"raw quantile trees {100 * raw_coverage:.1f}", "88 to 92", 0.88 <= year <= 0.92),
        row(f"{one.name}: 90 % band held, worst month", 100 * by_month[month], "%", f"month {month}", ">= 83", by_month[month] >= 0.83),
        row(f"{one.name}: 90 % band held, worst hour", 100 * by_hour[hour], "%", f"hour {hour}", ">= 85", by_hour[hour] >= 0.85),
        row(f"{one.name}: pinball loss below the raw quantile trees'", 100 * (1 - ours / theirs), "%", f"{ours / 1000:.1f} and {theirs / 1000:.1f} MW", ">= 15", ours <= 0.85 * theirs),
    ]  # fmt: skip


def mean_pinball(bands: np.ndarray, actual: np.ndarray) -> float:
    """Over all levels, days and known hours; ``bands`` [levels, days, hours]."""
    return float(np.mean([np.nanmean(pinball(actual, band, level)) for band, level in zip(bands, QUANTILES, strict=True)]))


def openstef_rows(measured: Sequence[Scored], say: Callable[[str], None]) -> list[Row]:
    """OpenSTEF 3.4 (lgb) out of the box with two years of data, on every fourth day; and what a day costs, models loaded."""
    rows = []
    for one in measured:
        chosen = np.arange(0, len(one.positions), EVERY_DAYS)
        say(f"{one.name}: OpenSTEF forecasts {len(chosen)} days ...")
        found = openstef_forecasts(one.history, one.zone, one.positions[chosen])
        if isinstance(found, str):
            return [*rows, row("OpenSTEF", "-", "", found)]
        ours, theirs = one.mape(one.made.mean, chosen), mape(found.mean, one.actual[chosen])
        rows.append(row(f"{one.name}: MAPE below OpenSTEF's, {len(chosen)} days", 100 * (1 - ours / theirs), "%", f"{ours:.2f} and {theirs:.2f} %", ">= 35", ours <= 0.65 * theirs))  # fmt: skip
        without, seconds = live_seconds(one)
        ratio, said = found.seconds_per_forecast / seconds, f"{1000 * seconds:.0f} and {1000 * found.seconds_per_forecast:.0f} ms"
        said += f"; {1000 * without:.0f} ms when the seven months of past errors, which OpenSTEF's stored model holds as a table, are made again"
        rows.append(row(f"{one.name}: a day's forecast, models and past errors loaded, against OpenSTEF", ratio, "x faster", said, ">= 2.5", ratio >= 2.5))  # fmt: skip
    return rows


def live_seconds(one: Scored) -> tuple[float, float]:
    """The last forecast day again with the models at hand: seven months forecast again for weights and bands, features, both models,
    combination, quantiles; and the same with those months' forecasts at hand too.
    """
    fitted: dict = {}
    issued = int(one.positions[-1]) - 1
    past = forecast(one.history, [issued - 1], (1,), QUANTILES, fitted)[1].rolled
    seconds = []
    for known in (None, {1: past}):
        began = time.perf_counter()
        for _ in range(LIVE_REPETITIONS):
            forecast(one.history, [issued], (1,), QUANTILES, fitted, known)
        seconds.append((time.perf_counter() - began) / LIVE_REPETITIONS)
    return seconds[0], seconds[1]


def floor_rows() -> list[Row]:
    """The sets on which nothing is published: against the weekly naive and plain LightGBM, each better or not."""
    rows = []
    with ProcessPoolExecutor(max_workers=2) as pool:
        for name, ours, naive, plain in pool.map(_floor, [*sets.gefcom2012(), sets.wpd_pod()]):
            best = min(naive, plain)
            rows.append(
                row(f"{name}: MAE", ours, "kW", f"weekly naive {naive:.4g}, plain LightGBM {plain:.4g}", f"< {best:.4g}", ours < best)
            )
    return rows + feeder_rows()


def feeder_rows() -> list[Row]:
    """Three months of households are too few for the ensemble: the daily job's models for short histories, which know nothing of the issue day."""
    loads, clock = sets.edrp_feeders(), SiteCalendar(ZoneInfo(sets.LONDON), 30, EDRP_DAYS[0], EDRP_DAYS[1], sets.ISSUE_HOUR, 2)
    nodes = sorted(loads["node_id"].unique())
    parents = {node: None if node == "system" else "system" for node in nodes}
    parts = []
    for day in days_between(*EDRP_DAYS):
        issued = day - timedelta(days=clock.study_day_offset)
        known = loads[loads["start_utc"] < pd.Timestamp(clock.bounds(issued)[1])]
        made = forecast_demand(known, None, nodes, clock, issued, country="GB", parents=parents).forecasts
        parts.append(made[made["start_utc"] >= pd.Timestamp(clock.midnight(day))])
    compared = pd.concat(parts).merge(loads, on=["node_id", "start_utc"])
    hour = compared.groupby(["node_id", compared["start_utc"].dt.floor("h")])[["mean_kw", "energy_kwh"]].mean()
    missed = (hour["mean_kw"] - hour["energy_kwh"] / clock.interval_hours).abs().groupby("node_id").mean()
    rows = []
    for node in nodes:
        series = loads[loads["node_id"] == node].set_index("start_utc")["energy_kwh"] / clock.interval_hours
        history = node_history(series, None, clock, EDRP_DAYS[1], country="GB")
        positions = np.arange(history.days.index(EDRP_DAYS[0]), history.days.index(EDRP_DAYS[1]) + 1)
        said = (peers.weekly_naive(history), peers.plain_lightgbm(history, positions))
        naive, plain = (float(np.nanmean(np.abs(made[positions] - history.load[positions]))) for made in said)
        beside = f"weekly naive {naive:.3g}, plain LightGBM {plain:.3g}, which know the issue day's morning"
        rows.append(
            row(f"edrp {node}: MAE", float(missed[node]), "kW", beside, f"< {min(naive, plain):.3g}", missed[node] < min(naive, plain))
        )
    return rows


def _floor(one: sets.LoadSet) -> tuple[str, float, float, float]:
    found = scored(one)
    made = (found.made.mean, peers.weekly_naive(found.history), peers.plain_lightgbm(found.history, found.positions))
    ours, naive, plain = (float(np.nanmean(np.abs(forecasts[found.positions] - found.actual))) for forecasts in made)
    return one.name, ours, naive, plain
