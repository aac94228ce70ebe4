"""A whole site of made-up meters in a folder: site file, registers, landing files of some days, outage events, and the truth.

Landing files are Parquet with text columns, as a head-end's export of rows that nobody has typed yet: several for each
arrival, in the order of time within a file. All of a day's arrivals, the late ones too, come on the morning after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site import load_site
from grid_assets.simulation import fault_rates as rates
from grid_assets.simulation.meter_feed import CODE, FAULTS, FeedDay, FeedMeters, feed_day, opening_rows, sent_rows, unknown_rows
from grid_assets.simulation.outage_events import Outage, outages_file
from grid_assets.simulation.register_standings import first_standings
from grid_assets.simulation.synthetic_meters import METERS_PER_FEEDER, Population, clean_day, population

METERS_PER_FILE = 20_000
SITE_FILE, TRUTH = "synthetic.toml", "truth"
STORM_BEGINS, STORM_LASTS = pd.Timedelta(hours=4, minutes=25), pd.Timedelta(hours=1, minutes=50)

SITE_TOML = """# written by the simulation: {meters} made-up meters
name = "synthetic"
title = "{meters} synthetic meters"
time_zone = "{time_zone}"
country = "DE"
currency = "EUR"
interval_minutes = 15
seed = {seed}
state = "state"

[calendar]
mode = "replay"
first_day = {first}
last_day = {last}
default_day = {last}
history_days = 0

[registers]
folder = "registers"

[[readings]]
name = "head_end"
folder = "landing"
pattern = "reads_{{received}}.parquet"
format = "parquet"
columns = {{ meter_id = "meter", read_utc = "read_at", value = "value", unit = "unit", kind = "kind" }}

[metering]
outages = "outages"
{metering}
"""


@dataclass(frozen=True)
class DayTruth:
    """What really happened on a day: matrices of meters x intervals, the meters in the order of their ids."""

    meter_id: np.ndarray
    start_utc: pd.DatetimeIndex
    clean_kwh: np.ndarray
    sent_kwh: np.ndarray
    fault: np.ndarray
    """Codes of FAULTS."""
    arrived: np.ndarray
    resent: np.ndarray
    corrupt: np.ndarray
    customer_class: np.ndarray
    """(meters,) words."""
    is_register: np.ndarray
    rolled_over: np.ndarray
    """Whether the register passed its highest standing in the interval."""

    def had(self, fault: str) -> np.ndarray:
        return self.fault == FAULTS.index(fault)


def write_site(folder: Path, meters: int, days: Sequence[date], seed: int, metering: str = "", time_zone: str = "Europe/Berlin") -> Path:
    """Writes everything below ``folder`` and returns the site file. ``metering``: further lines of [metering].

    The first day's predecessor gets the registers' opening standings. Days need not follow one another.
    """
    made = population(meters, seed)
    first, last = min(days) - timedelta(days=1), max(days)
    text = SITE_TOML.format(meters=meters, time_zone=time_zone, seed=seed, first=first, last=last, metering=metering)
    site_file = folder / SITE_FILE
    put_atomically(site_file, text.encode())
    clock = load_site(site_file, {}).clock
    for name, register in (("meters", made.meters), ("nodes", made.nodes)):
        put_atomically(folder / "registers" / f"{name}.csv", register.to_csv(index=False, lineterminator="\n").encode())
    outages: list[Outage] = []
    for day in days:
        one = synthetic_day(made, day, clock, seed)
        outages += one.outages
        _write_landing(folder / "landing", clock, day, one, FeedMeters.of(made.meters, seed), seed)
        _write_truth(folder / TRUTH, day, one, made)
    put_atomically(folder / "outages" / "outages.csv", outages_file(outages))
    return site_file


def synthetic_day(made: Population, day: date, clock: SiteCalendar, seed: int) -> FeedDay:
    """The day's feed, with an outage of a whole feeder in it."""
    start_utc, zone = clock.intervals(day), str(clock.zone)
    meters = FeedMeters.of(made.meters, seed)
    clean = clean_day(made, day, start_utc, zone, seed)
    struck = np.random.default_rng([seed, day.toordinal(), rates.STREAM_OUTAGES, 1]).integers(0, made.nodes["level"].eq("feeder").sum())
    begin = start_utc[0] + STORM_BEGINS
    storms = [Outage(f"N{day:%Y%m%d}", "", f"feeder-{struck:05d}", begin, begin + STORM_LASTS, "storm")][: rates.NODE_OUTAGES_PER_DAY]
    at = meters.registers
    opening = first_standings(meters.modulus_kwh[at], clean[:, at].sum(axis=0), seed + day.toordinal())
    return feed_day(day, start_utc, clean, meters, seed, zone, opening, storms if len(meters) > METERS_PER_FEEDER else ())


def _write_landing(folder: Path, clock: SiteCalendar, day: date, one: FeedDay, meters: FeedMeters, seed: int) -> None:
    """Several files of the readings in time, the first with the openings, and one for each later arrival."""
    arrival = pd.Timestamp(clock.midnight(day + timedelta(days=1))) + pd.Timedelta(hours=2)
    for delay in range(rates.LATEST_DAYS + 1):
        step = METERS_PER_FILE if delay == 0 else len(meters)
        for number, begin in enumerate(range(0, len(meters), step)):
            rows = sent_rows(one, meters, delay, slice(begin, begin + step))
            rows = pa.concat_tables([rows, unknown_rows(day, rows, seed + 10 * delay + number)])
            if delay == 0 and number == 0:
                rows = pa.concat_tables([opening_rows(one, meters), rows])
            received = arrival + pd.Timedelta(hours=delay, seconds=number)
            _put(folder / f"reads_{received:%Y%m%dT%H%M%SZ}.parquet", rows)


def _put(file: Path, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    put_atomically(file, sink.getvalue())


def _write_truth(folder: Path, day: date, one: FeedDay, made: Population) -> None:
    order = np.argsort(made.meters["meter_id"].to_numpy(str))
    folder.mkdir(parents=True, exist_ok=True)
    registers = made.meters["register_modulus_kwh"].notna().to_numpy()
    rolled = np.zeros(one.clean_kwh.shape, bool)
    rolled[:, registers] = (np.diff(one.standing_kwh, axis=0) < 0) & (one.fault[:, registers] != CODE["exchange"])
    matrices = {"rolled_over": rolled, "clean_kwh": one.clean_kwh, "sent_kwh": one.sent_kwh, "fault": one.fault, "arrived": one.delay >= 0, "resent": one.extra,
                "corrupt": one.corrupt}  # fmt: skip
    np.savez(
        folder / f"{day}.npz", meter_id=made.meters["meter_id"].to_numpy(str)[order], start=one.start_utc.asi8,
        customer_class=made.meters["customer_class"].to_numpy(str)[order],
        is_register=registers[order],
        **{name: np.ascontiguousarray(matrix.T[order]) for name, matrix in matrices.items()},
    )  # fmt: skip


def read_truth(folder: Path, day: date) -> DayTruth:
    """The truth of a day that ``write_site`` wrote below ``folder``."""
    with np.load(folder / TRUTH / f"{day}.npz") as found:
        kept = {name: found[name] for name in found.files if name != "start"}
        return DayTruth(start_utc=pd.DatetimeIndex(found["start"].view("datetime64[us]"), tz="UTC"), **kept)
