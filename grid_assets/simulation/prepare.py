"""Writes the demo's source files once, as a utility would deliver them; a second call finds them and does nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import put_atomically
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import SimulationSection
from grid_assets.simulation import flexible_customers, meter_feed, weather_model
from grid_assets.simulation.simbench_network import SimulatedGrid, SimulationError, simulated_grid, write_network, write_registers

VERSION = 3
"""Goes up when the same seed gives other files, so that they are made again."""
MANIFEST = "manifest.json"
FOLDERS = ("registers", "landing", "weather", "demand_response", "truth")
RECEIVED_HOURS = 2
"""After the next midnight on the site's clock; elapsed hours, since 02:00 does not exist on every day."""
WEATHER_BEFORE_DAYS = 5
"""Weather begins earlier than the calendar, so that rolling means of 72 hours and persistence have something to go by."""


def prepare(site: Site, progress: Callable[[str], None] = lambda said: None) -> None:
    """Makes the files that the site's sections point at, below ``[simulation] folder``.

    What exists from the same seed, version and calendar stays; an interrupted call goes on where it stopped; another
    seed makes everything anew. Needs the installed packages only. Raises SimulationError.
    """
    if site.simulation is None:
        return
    folder = site.simulation.folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder / ".lock")):
        wanted = _fingerprint(site, site.simulation)
        found = _manifest(folder)
        if found == {**wanted, "complete": True}:
            return
        if found is None or {**found, "complete": False} != {**wanted, "complete": False}:
            _clear(folder)
            _put_manifest(folder, wanted, complete=False)
        _write_all(site, site.simulation, progress)
        _put_manifest(folder, wanted, complete=True)


def _fingerprint(site: Site, chosen: SimulationSection) -> dict:
    return {
        "version": VERSION, "seed": site.seed, "simbench_code": chosen.simbench_code, "storage_minimum_mwh": chosen.storage_minimum_mwh,
        "first_day": str(site.calendar.first_day), "last_day": str(site.calendar.last_day), "time_zone": site.time_zone,
        "place": [site.weather.latitude, site.weather.longitude] if site.weather else None,
    }  # fmt: skip


def _manifest(folder: Path) -> dict | None:
    try:
        return json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        return None


def _put_manifest(folder: Path, wanted: dict, *, complete: bool) -> None:
    put_atomically(folder / MANIFEST, json.dumps({**wanted, "complete": complete}, indent=1).encode())


def _clear(folder: Path) -> None:
    """Removes what an earlier seed or version left; only the folders and files that this module writes."""
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / "network.json").unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def _write_all(site: Site, chosen: SimulationSection, progress: Callable[[str], None]) -> None:
    folder, last = chosen.folder, site.calendar.last_day
    if last is None:
        raise SimulationError("the simulation writes a past period: [calendar] needs mode = 'replay' and last_day")
    if site.interval_minutes != 15:
        raise SimulationError(f"interval_minutes = {site.interval_minutes}: SimBench profiles have 15 minutes")
    progress("loading the SimBench grid")
    grid = simulated_grid(chosen.simbench_code, chosen.storage_minimum_mwh)
    progress("network and registers")
    write_network(grid, folder / "network.json")
    write_registers(grid, folder / "registers")
    members = flexible_customers.participants(grid)
    called = flexible_customers.events(members, site.time_zone)
    flexible_customers.write_demand_response(members, called, folder / "demand_response")
    delivered = flexible_customers.deliveries(members, called, site.seed)
    put_atomically(folder / "truth" / "deliveries.csv", delivered.to_csv(index=False, lineterminator="\n").encode())
    progress("weather")
    _write_weather(site, grid, last, folder / "weather")
    _write_feed(site, grid, delivered, last, folder, progress)


def _write_weather(site: Site, grid: SimulatedGrid, last: date, folder: Path) -> None:
    if site.weather is None:
        return
    clock, first = site.clock, site.calendar.first_day
    begin = clock.midnight(first - timedelta(days=WEATHER_BEFORE_DAYS))
    end = clock.midnight(last + timedelta(days=2 + weather_model.HORIZON_DAYS))
    quarters = pd.date_range(begin, end, freq="15min", inclusive="left")
    profiles = grid.renewables.iloc[grid.rows(quarters)]
    observed = weather_model.observations(profiles, quarters[::4], site.weather.latitude, site.weather.longitude, site.seed)
    issued = weather_model.forecasts(observed, clock, first, last + timedelta(days=1), site.seed)
    known = observed[observed["time"] < pd.Timestamp(clock.midnight(last + timedelta(days=1)))]
    _put_parquet(folder / "observations.parquet", pa.Table.from_pandas(known, preserve_index=False))
    _put_parquet(folder / "forecasts.parquet", pa.Table.from_pandas(issued, preserve_index=False))


def _write_feed(
    site: Site, grid: SimulatedGrid, delivered: pd.DataFrame, last: date, folder: Path, progress: Callable[[str], None]
) -> None:
    first = site.calendar.first_day
    meters = meter_feed.FeedMeters.of(grid.meters, site.seed)

    @lru_cache(maxsize=meter_feed.LATEST_DAYS + 2)
    def feed(day: date) -> meter_feed.FeedDay:
        start_utc = site.clock.intervals(day)
        return meter_feed.feed_day(day, start_utc, clean_energy(grid, delivered, start_utc), meters, site.seed)

    days = days_between(first, last)
    for number, day in enumerate(days, 1):
        file, truth_file = folder / "landing" / _file_name(site, day), folder / "truth" / f"{day}.parquet"
        if file.exists() and truth_file.exists():
            continue
        progress(f"meter files, day {number} of {len(days)}")
        arriving = [feed(day - timedelta(days=delay)) for delay in range(min(meter_feed.LATEST_DAYS, number - 1) + 1)]
        _put_parquet(truth_file, meter_feed.truth(arriving[0], meters))
        put_atomically(file, meter_feed.feed_file(day, arriving, meters, site.seed))


def clean_energy(grid: SimulatedGrid, delivered: pd.DataFrame, start_utc: pd.DatetimeIndex) -> np.ndarray:
    """kWh per interval and meter as really used: the profile, less what the participants left out in events, never below 0."""
    power = grid.power_kw[grid.rows(start_utc)].copy()
    place = {meter: number for number, meter in enumerate(grid.meters["meter_id"])}
    for one in delivered.itertuples():
        during = np.asarray((start_utc >= one.start_utc) & (start_utc < one.end_utc))
        power[during, place[one.meter_id]] -= one.delivered_kw
    return np.round(np.maximum(power, 0) * meter_feed.INTERVAL_HOURS, 6)


def _file_name(site: Site, day: date) -> str:
    received = site.clock.midnight(day + timedelta(days=1)) + timedelta(hours=RECEIVED_HOURS)
    return f"reads_{received:%Y%m%dT%H%M%SZ}.csv.gz"


def _put_parquet(file: Path, rows: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    put_atomically(file, sink.getvalue())
