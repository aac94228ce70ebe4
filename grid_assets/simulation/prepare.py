"""Writes the demo's source files once, as a utility would deliver them; a second call finds them and does nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import SimulationSection
from grid_assets.simulation import device_feed, fault_rates, flexible_customers, meter_feed, weather_model
from grid_assets.simulation.grid_truth import SUPPLY, GridTruth, SeenValues
from grid_assets.simulation.outage_events import Outage, day_outages, outages_file
from grid_assets.simulation.register_standings import first_standings, with_registers
from grid_assets.simulation.simbench_network import (
    IN_FORCE,
    SUBSTATION,
    SimulatedGrid,
    SimulationError,
    sensor_places,
    simulated_grid,
    write_network,
    write_registers,
)

VERSION = 5
"""Goes up when the same seed gives other files, so that they are made again."""
MANIFEST = "manifest.json"
FOLDERS = ("registers", "landing", "devices", "outages", "weather", "demand_response", "truth")
BOUNDARY_METER = "B0001"
"""The meter at the substation: it counts what the supply gives in the power flow of all other meters' energy."""
STORM = (date(2016, 5, 21), "03:50", "05:20")
"""An outage of the feeder with the fewest meters, on the site's clock: on the demo's default day, so that its alert is seen."""
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
    if site.metering.corrections is not None:  # people's own: made when it is not there, and never emptied
        site.metering.corrections.mkdir(parents=True, exist_ok=True)
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
    members = flexible_customers.participants(grid)
    called = flexible_customers.events(members, site.time_zone)
    flexible_customers.write_demand_response(members, called, folder / "demand_response")
    delivered = flexible_customers.deliveries(members, called, site.seed)
    metered = _with_boundary(with_registers(grid.meters, site.seed, members["meter_id"]))
    listed = device_feed.devices(grid.nodes, grid.units, sensor_places(grid))
    write_registers(replace(grid, meters=metered), folder / "registers")
    put_atomically(folder / "registers" / "devices.csv", _csv(device_feed.devices_register(listed, IN_FORCE)))
    put_atomically(folder / "truth" / "deliveries.csv", delivered.to_csv(index=False, lineterminator="\n").encode())
    progress("weather")
    _write_weather(site, grid, last, folder / "weather")
    feed = _Feed(site, grid, metered, delivered, last, listed)
    progress("devices")
    _write_devices(site, listed, last, folder, feed)
    put_atomically(folder / "outages" / "outages.csv", outages_file(feed.outages()))
    feed.write(folder, progress)


def _with_boundary(meters: pd.DataFrame) -> pd.DataFrame:
    """The register of meters with the meter at the substation as its last row."""
    rating = float(np.ceil(meters["rating_kw"].sum()))
    row = {"meter_id": BOUNDARY_METER, "kind": "boundary", "node_id": SUBSTATION, "bus_id": "", "customer_class": "boundary", "rating_kw": rating,
           "power_factor": np.nan, "net_metered": "true", "valid_from_utc": IN_FORCE, "valid_to_utc": "", "register_modulus_kwh": np.nan}  # fmt: skip
    return pd.concat([meters, pd.DataFrame([row])], ignore_index=True)


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _write_devices(site: Site, listed: list[device_feed.Device], last: date, folder: Path, feed: _Feed) -> None:
    for day in days_between(site.calendar.first_day, last):
        file = folder / "devices" / f"devices_{_received(site, day)}.jsonl.gz"
        if not file.exists():
            begin, end = (pd.Timestamp(one) for one in site.clock.bounds(day))
            sent = device_feed.device_day(day, begin, end, listed, site.seed, feed.seen(day))
            _put_parquet(folder / "truth" / "devices" / f"{day}.parquet", pa.Table.from_pandas(sent, preserve_index=False))
            put_atomically(file, device_feed.device_lines(sent, listed))


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


class _Feed:
    """The demo's meter files: each day's clean energy, its faults, and the standings that registers have when it begins."""

    def __init__(
        self,
        site: Site,
        grid: SimulatedGrid,
        metered: pd.DataFrame,
        delivered: pd.DataFrame,
        last: date,
        listed: Sequence[device_feed.Device] = (),
    ):
        self._site, self._grid, self._delivered, self._listed = site, grid, delivered, listed
        self._truth, self.seen = GridTruth(grid, site.seed), cache(self._seen)
        self._meters = meter_feed.FeedMeters.of(metered, site.seed)
        self._days = days_between(site.calendar.first_day, last)
        self._openings = self._standings()
        self._day = lru_cache(maxsize=meter_feed.LATEST_DAYS + 2)(self._made_day)

    def outages(self) -> list[Outage]:
        """All outages of the period, in the order of days."""
        able = np.isnan(self._meters.modulus_kwh)
        found = []
        for day in self._days:
            found += day_outages(day, self._site.clock.intervals(day), self._meters.meter_id, able, self._site.seed)
            found += self._of_nodes(day)
        return found

    def write(self, folder: Path, progress: Callable[[str], None]) -> None:
        for number, day in enumerate(self._days, 1):
            file = folder / "landing" / f"reads_{_received(self._site, day)}.csv.gz"
            truth_file = folder / "truth" / f"{day}.parquet"
            if file.exists() and truth_file.exists():
                continue
            progress(f"meter files, day {number} of {len(self._days)}")
            arriving = [self._day(day - timedelta(days=delay)) for delay in range(min(meter_feed.LATEST_DAYS, number - 1) + 1)]
            _put_parquet(truth_file, meter_feed.truth(arriving[0], self._meters))
            put_atomically(file, meter_feed.feed_file(day, arriving, self._meters, self._site.seed))

    def _made_day(self, day: date) -> meter_feed.FeedDay:
        return meter_feed.feed_day(
            day, self._site.clock.intervals(day), self._clean(day), self._meters, self._site.seed, self._site.time_zone,
            self._openings[day], self._of_nodes(day),
        )  # fmt: skip

    def _clean(self, day: date) -> np.ndarray:
        """kWh per interval and meter, the substation's own meter last: what the supply gives."""
        drawn = self.seen(day)[SUPPLY] * meter_feed.INTERVAL_HOURS
        return np.hstack([self._energy(day), np.round(drawn, 6)[:, None]])

    def _energy(self, day: date) -> np.ndarray:
        """kWh per interval and meter, the substation's own left out; nothing flows where a node has no supply."""
        energy = clean_energy(self._grid, self._delivered, self._site.clock.intervals(day))
        return self._without(energy, day, self._of_nodes(day))

    def _without(self, energy: np.ndarray, day: date, outages: Sequence[Outage]) -> np.ndarray:
        start_utc = self._site.clock.intervals(day)
        for one in outages:
            dark = (start_utc >= one.start_utc) & (start_utc + self._site.clock.interval <= one.end_utc)
            struck = self._meters.node_id[:-1] == one.node_id if one.node_id else self._meters.meter_id[:-1] == one.meter_id
            energy[np.ix_(np.asarray(dark), struck)] = 0
        return energy

    def _seen(self, day: date) -> SeenValues:
        """What flows at the supply and at the sensors, while single meters are without supply too."""
        able = np.isnan(self._meters.modulus_kwh)
        single = day_outages(day, self._site.clock.intervals(day), self._meters.meter_id, able, self._site.seed)
        energy = self._without(self._energy(day), day, single)
        return self._truth.seen(day, energy, meter_feed.INTERVAL_HOURS, self._listed)

    def _of_nodes(self, day: date) -> list[Outage]:
        struck, begin, end = STORM
        if day != struck:
            return []
        counts = self._grid.meters["node_id"].value_counts()
        node = str(counts[counts >= fault_rates.STORM_METERS].idxmin())
        times = [pd.Timestamp(f"{day} {one}", tz=self._site.time_zone).tz_convert("UTC") for one in (begin, end)]
        return [Outage(f"N{day:%Y%m%d}", "", node, *times, "storm")]

    def _standings(self) -> dict[date, np.ndarray]:
        """Day -> standing of each register when it begins; told without the feed, so that an interrupted call can go on."""
        clean = [self._clean(day)[:, self._meters.registers] for day in self._days]
        modulus = self._meters.modulus_kwh[self._meters.registers]
        opening = first_standings(modulus, np.sum([one.sum(axis=0) for one in clean], axis=0), self._site.seed)
        found = {}
        for day, energy in zip(self._days, clean, strict=True):
            found[day] = opening
            opening = meter_feed.closing_kwh(day, energy, opening, self._meters, self._site.seed)
        return found


def clean_energy(grid: SimulatedGrid, delivered: pd.DataFrame, start_utc: pd.DatetimeIndex) -> np.ndarray:
    """kWh per interval and meter as really used: the profile, less what the participants left out in events, never below 0."""
    power = grid.power_kw[grid.rows(start_utc)].copy()
    place = {meter: number for number, meter in enumerate(grid.meters["meter_id"])}
    for one in delivered.itertuples():
        during = np.asarray((start_utc >= one.start_utc) & (start_utc < one.end_utc))
        power[during, place[one.meter_id]] -= one.delivered_kw
    return np.round(np.maximum(power, 0) * meter_feed.INTERVAL_HOURS, 6)


def _received(site: Site, day: date) -> str:
    """When a day's files arrive, as file names tell it."""
    received = site.clock.midnight(day + timedelta(days=1)) + timedelta(hours=RECEIVED_HOURS)
    return f"{received:%Y%m%dT%H%M%SZ}"


def _put_parquet(file: Path, rows: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    put_atomically(file, sink.getvalue())
