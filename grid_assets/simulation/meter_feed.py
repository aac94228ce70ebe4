"""A head-end's files with the faults that real ones have, and the truth behind each reading.

Faults of a day depend on the seed and that day alone, so any file can be made again on its own. The rates are in
``fault_rates``. A meter-day has at most one of the faults that last (outage, zero run, stuck, exchange, offline, wrong unit,
wrong clock), so that each can be scored; single readings are faulty on top of that. Matrices are intervals x meters.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from grid_assets.simulation import fault_rates as rates
from grid_assets.simulation.fault_rates import LATEST_DAYS
from grid_assets.simulation.outage_events import Outage, day_outages
from grid_assets.simulation.register_standings import Exchanges, day_exchanges, standings

COLUMNS = ("meter", "read_at", "value", "unit", "kind")
INTERVAL_HOURS = 0.25
FAULTS = (
    "", "outage", "zero_run", "stuck", "spike", "negative", "undeclared_wh", "local_clock", "exchange", "gap", "offline",
)  # fmt: skip
"""What can have happened to a reading, by its code. An outage is none of the meter's faults: its zeros are true."""
CODE = {name: number for number, name in enumerate(FAULTS)}
DUPLICATE, CONFLICT = 1, 2


@dataclass(frozen=True)
class FeedMeters:
    """The meters that report: their ids and ratings, which count in Wh, which may feed in, which send register readings."""

    meter_id: np.ndarray
    node_id: np.ndarray
    rating_kw: np.ndarray
    in_wh: np.ndarray
    feeds_in: np.ndarray
    modulus_kwh: np.ndarray
    """Standing at which the register starts again from 0; NaN where the meter sends the energy of intervals."""

    @classmethod
    def of(cls, meters: pd.DataFrame, seed: int) -> FeedMeters:
        """From rows of the register of meters: a meter with a register_modulus_kwh sends register readings."""
        chosen = np.random.default_rng([seed, rates.STREAM_WH]).choice(
            len(meters), max(1, round(rates.DECLARED_WH * len(meters))), replace=False
        )
        return cls(
            meters["meter_id"].to_numpy(object), meters["node_id"].to_numpy(object), meters["rating_kw"].to_numpy(float),
            np.isin(np.arange(len(meters)), chosen), meters["net_metered"].astype(str).str.lower().eq("true").to_numpy(),
            pd.to_numeric(meters["register_modulus_kwh"]).to_numpy(float),
        )  # fmt: skip

    @property
    def registers(self) -> np.ndarray:
        """Positions of the meters that send register readings."""
        return np.flatnonzero(~np.isnan(self.modulus_kwh))

    def __len__(self) -> int:
        return len(self.meter_id)


@dataclass(frozen=True)
class FeedDay:
    """The readings of a day, before they are spread over the files that carry them. Matrices are intervals x meters."""

    start_utc: pd.DatetimeIndex
    time_zone: str
    clean_kwh: np.ndarray
    """What really flowed, true outages taken out."""
    sent_kwh: np.ndarray
    fault: np.ndarray
    """Codes of FAULTS."""
    delay: np.ndarray
    """0: in the day's own file; 1 to LATEST_DAYS: in the file of so many arrivals later; -1: never."""
    extra: np.ndarray
    """0, DUPLICATE: sent twice, CONFLICT: first with another value, then as it counts."""
    extra_delay: np.ndarray
    """The second sending's delay."""
    corrupt: np.ndarray
    standing_kwh: np.ndarray
    """(intervals + 1) x registers: standing at the day's begin and at every interval's end."""
    outages: tuple[Outage, ...]


def feed_day(
    day: date, start_utc: pd.DatetimeIndex, clean_kwh: np.ndarray, meters: FeedMeters, seed: int, time_zone: str = "UTC",
    opening_kwh: np.ndarray | None = None, without_supply: Sequence[Outage] = (),
) -> FeedDay:  # fmt: skip
    """The day's readings with their faults, from ``np.random.default_rng([seed, day.toordinal()])``.

    ``opening_kwh``: the standing of each register at the day's begin, 0 where not told. ``without_supply``: outages of
    whole nodes; the ones of single meters are drawn here.
    """
    rng = np.random.default_rng([seed, day.toordinal()])
    shape = clean_kwh.shape
    clean, fault = clean_kwh.copy(), np.zeros(shape, np.uint8)
    single = day_outages(day, start_utc, meters.meter_id, np.isnan(meters.modulus_kwh), seed)
    free = _take_supply(clean, fault, start_utc, meters, [*single, *without_supply])
    sent = clean.copy()
    changed = day_exchanges(day, len(start_utc), meters.registers, len(meters), seed)
    fault[changed.interval, meters.registers[changed.register]] = CODE["exchange"]
    free[meters.registers[changed.register]] = False
    offline = _lasting_faults(rng, sent, fault, free, np.isnan(meters.modulus_kwh))
    _point_faults(rng, sent, fault, meters)
    missing = _runs(rng, shape, rates.SHORT_GAPS, rates.SHORT_LENGTHS) | _runs(rng, shape, rates.LONG_GAPS, rates.LONG_LENGTHS)
    fault[missing & (fault != CODE["exchange"])] = CODE["gap"]
    fault[:, offline] = CODE["offline"]
    missing[:, offline] = True
    delay, extra, extra_delay, corrupt = _travel(rng, shape, missing)
    opening = np.zeros(len(meters.registers)) if opening_kwh is None else opening_kwh
    standing = standings(opening, sent[:, meters.registers], changed, meters.modulus_kwh[meters.registers])
    return FeedDay(start_utc, time_zone, clean, sent, fault, delay, extra, extra_delay, corrupt, standing, (*single, *without_supply))


def closing_kwh(day: date, register_kwh: np.ndarray, opening_kwh: np.ndarray, meters: FeedMeters, seed: int) -> np.ndarray:
    """The standing of each register at the day's end, which is the next day's opening; ``register_kwh``: intervals x registers."""
    changed: Exchanges = day_exchanges(day, len(register_kwh), meters.registers, len(meters), seed)
    return standings(opening_kwh, register_kwh, changed, meters.modulus_kwh[meters.registers])[-1]


# -- faults -----------------------------------------------------------------------------------------------------


def _take_supply(
    clean: np.ndarray, fault: np.ndarray, start_utc: pd.DatetimeIndex, meters: FeedMeters, outages: Sequence[Outage]
) -> np.ndarray:
    """No energy flows in the intervals that lie wholly in an outage. Returns which meters had none."""
    free = np.ones(len(meters), bool)
    for one in outages:
        struck = meters.node_id == one.node_id if one.node_id else meters.meter_id == one.meter_id
        during = np.asarray((start_utc >= one.start_utc) & (start_utc + pd.Timedelta(hours=INTERVAL_HOURS) <= one.end_utc))
        clean[np.ix_(during, struck)] = 0
        fault[np.ix_(during, struck)] = CODE["outage"]
        free &= ~struck
    return free


def _lasting_faults(rng: np.random.Generator, sent: np.ndarray, fault: np.ndarray, free: np.ndarray, sends_intervals: np.ndarray):
    """Gives meters at most one lasting fault each; returns the positions of those that are offline all day."""
    candidates = rng.permutation(np.flatnonzero(free & sends_intervals))
    taken = 0
    shares = {"stuck": rates.STUCK, "zero_run": rates.ZERO_RUNS, "undeclared_wh": rates.UNDECLARED_WH,
              "local_clock": rates.UNDECLARED_LOCAL_CLOCK}  # fmt: skip
    for name, share in shares.items():
        wanted = rng.binomial(len(sends_intervals), share)
        for meter in candidates[taken : taken + wanted]:
            if name == "stuck":
                _hold(rng, sent, fault, meter)
            elif name == "zero_run":
                _stay_at_zero(rng, sent, fault, meter)
            else:
                fault[:, meter] = CODE[name]
                sent[:, meter] *= 1000 if name == "undeclared_wh" else 1
        taken += wanted
    registers = np.flatnonzero(free & ~sends_intervals)
    quiet = np.concatenate([candidates[taken:], registers])
    return rng.choice(quiet, min(len(quiet), rng.binomial(len(sends_intervals), rates.OFFLINE_DAYS)), replace=False)


def _hold(rng: np.random.Generator, sent: np.ndarray, fault: np.ndarray, meter: int) -> None:
    """A stuck meter: a value other than zero that is sent again and again; none where the meter counts nothing."""
    length = int(rng.integers(*rates.STUCK_LENGTHS))
    begins = np.flatnonzero(sent[: len(sent) - length, meter] != 0)
    if len(begins):
        begin = rng.choice(begins)
        sent[begin : begin + length, meter] = sent[begin, meter]
        fault[begin + 1 : begin + length, meter] = CODE["stuck"]


def _stay_at_zero(rng: np.random.Generator, sent: np.ndarray, fault: np.ndarray, meter: int) -> None:
    """A dead input: zeros while energy flows; what would have been zero anyway is no fault."""
    length = int(rng.integers(*rates.ZERO_LENGTHS))
    begin = int(rng.integers(0, len(sent) - length))
    flows = begin + np.flatnonzero(sent[begin : begin + length, meter] != 0)
    sent[flows, meter] = 0
    fault[flows, meter] = CODE["zero_run"]


def _point_faults(rng: np.random.Generator, sent: np.ndarray, fault: np.ndarray, meters: FeedMeters) -> None:
    """Spikes far beyond the rating, and negative energy of meters that cannot feed in."""
    for name, share in (("spike", rates.SPIKES), ("negative", rates.NEGATIVES)):
        interval, meter = _cells(rng, sent.shape, share)
        able = (fault[interval, meter] == 0) & np.isnan(meters.modulus_kwh[meter])
        able &= (name == "spike") | ~meters.feeds_in[meter]
        interval, meter = interval[able], meter[able]
        if name == "spike":
            sent[interval, meter] = meters.rating_kw[meter] * INTERVAL_HOURS * rng.uniform(*rates.SPIKE_OF_RATING, len(meter))
        else:
            sent[interval, meter] = -np.maximum(sent[interval, meter], 0.05)
        fault[interval, meter] = CODE[name]


def _cells(rng: np.random.Generator, shape: tuple[int, int], share: float) -> tuple[np.ndarray, np.ndarray]:
    """Random different cells, ``share`` of all."""
    size = shape[0] * shape[1]
    return np.divmod(np.unique(rng.integers(0, size, rng.poisson(share * size))), shape[1])


def _runs(rng: np.random.Generator, shape: tuple[int, int], share: float, lengths: tuple[int, int]) -> np.ndarray:
    """Runs of intervals that cover about ``share`` of all readings."""
    found = np.zeros(shape, bool)
    count = rng.poisson(share * shape[0] * shape[1] / np.mean([lengths[0], lengths[1] - 1]))
    begins, columns, drawn = rng.integers(0, shape[0], count), rng.integers(0, shape[1], count), rng.integers(*lengths, count)
    for step in range(lengths[1] - 1):
        inside = (drawn > step) & (begins + step < shape[0])
        found[begins[inside] + step, columns[inside]] = True
    return found


def _travel(rng: np.random.Generator, shape: tuple[int, int], missing: np.ndarray):
    """When each reading is sent, which are sent again and when, and which rows are broken on the way."""
    delay, extra, extra_delay = (np.zeros(shape, np.int8) for _ in range(3))
    late = _cells(rng, shape, rates.LATE)
    delay[late] = rng.integers(1, LATEST_DAYS + 1, len(late[0]))
    delay[missing] = -1
    for kind, share in ((DUPLICATE, rates.DUPLICATES), (CONFLICT, rates.CONFLICTING_RESENDS)):
        again = _cells(rng, shape, share)
        extra[again] = kind
        extra_delay[again] = np.minimum(delay[again] + rng.integers(0, 2, len(again[0])), LATEST_DAYS)
    extra[missing] = 0
    corrupt = np.zeros(shape, bool)
    corrupt[_cells(rng, shape, rates.CORRUPT_ROWS)] = True
    return delay, extra, extra_delay, corrupt & ~missing


# -- files ------------------------------------------------------------------------------------------------------


def feed_file(day: date, arriving: Sequence[FeedDay], meters: FeedMeters, seed: int) -> bytes:
    """The file that arrives after ``day``, as gzipped CSV: its readings in time, and the late ones of three days before.

    ``arriving``: the readings of the day, of the day before and so on, as far back as there are any.
    """
    parts = [sent_rows(one, meters, delay) for delay, one in enumerate(arriving)]
    rows = pa.concat_tables([*parts, unknown_rows(day, parts[0], seed)])
    sink = io.BytesIO()
    pacsv.write_csv(rows, sink, pacsv.WriteOptions(include_header=True, quoting_style="none"))
    return gzip.compress(sink.getvalue(), compresslevel=1, mtime=0)


def sent_rows(one: FeedDay, meters: FeedMeters, delay: int, columns: slice = slice(None)) -> pa.Table:
    """The rows of a day that travel in the file of ``delay`` arrivals later, sent-again rows last; all cells are text.

    ``columns``: the meters whose rows are wanted, where several files share an arrival.
    """
    first = _positions(one.delay[:, columns] == delay, columns)
    again = _positions((one.extra[:, columns] > 0) & (one.extra_delay[:, columns] == delay), columns)
    interval, meter = (np.concatenate(both) for both in zip(first, again, strict=True))
    wrong = np.concatenate([one.extra[first] == CONFLICT, np.zeros(len(again[0]), bool)])
    broken = np.concatenate([one.corrupt[first], np.zeros(len(again[0]), bool)])
    value, is_register = _values(one, meters, interval, meter)
    value[wrong] = value[wrong] * np.where(is_register[wrong], 1, rates.CONFLICT_FACTOR) + rates.CONFLICT_KWH
    in_wh = meters.in_wh[meter]
    value = pa.array(np.round(value * np.where(in_wh, 1000, 1), 6)).cast(pa.string())
    return pa.table({
        "meter": _coded(meters.meter_id, meter),
        "read_at": _coded(*_stamps(one, interval, meter, is_register)),
        "value": pa.compute.if_else(pa.array(broken), "#ERR", value),
        "unit": _coded(("kWh", "Wh"), in_wh), "kind": _coded(("interval", "register"), is_register),
    })  # fmt: skip


def _positions(wanted: np.ndarray, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    interval, meter = np.nonzero(wanted)
    return interval, meter + (columns.start or 0)


def _values(one: FeedDay, meters: FeedMeters, interval: np.ndarray, meter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """kWh of each row: of its interval, or the register's standing at the interval's end; and which are registers."""
    place = np.full(len(meters), -1)
    place[meters.registers] = np.arange(len(meters.registers))
    register = place[meter]
    value = one.sent_kwh[interval, meter]
    value[register >= 0] = one.standing_kwh[interval[register >= 0] + 1, register[register >= 0]]
    return value, register >= 0


def _stamps(one: FeedDay, interval: np.ndarray, meter: np.ndarray, is_register: np.ndarray) -> tuple[Sequence[str], np.ndarray]:
    """Texts and each row's position in them: an interval's start, a register's instant of reading, or a local clock's time."""
    count, form = len(one.start_utc), "%Y-%m-%dT%H:%M:%SZ"
    ends = one.start_utc + pd.Timedelta(hours=INTERVAL_HOURS)
    texts = [*one.start_utc.strftime(form), *ends.strftime(form), *one.start_utc.tz_convert(one.time_zone).strftime(form)]
    local = (one.fault == CODE["local_clock"]).any(axis=0)
    return texts, interval + count * np.where(is_register, 1, np.where(local[meter], 2, 0))


def _coded(words: Sequence[str] | np.ndarray, codes: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(words), pa.string())).cast(pa.string())


def opening_rows(one: FeedDay, meters: FeedMeters) -> pa.Table:
    """The registers' standings at the day's begin: for feeds that have no day before."""
    count = len(meters.registers)
    value = np.round(one.standing_kwh[0] * np.where(meters.in_wh[meters.registers], 1000, 1), 6)
    return pa.table({
        "meter": pa.array(meters.meter_id[meters.registers], pa.string()),
        "read_at": pa.array([one.start_utc[0].strftime("%Y-%m-%dT%H:%M:%SZ")] * count, pa.string()),
        "value": pa.array(value).cast(pa.string()), "unit": _coded(("kWh", "Wh"), meters.in_wh[meters.registers]),
        "kind": pa.array(["register"] * count, pa.string()),
    })  # fmt: skip


def unknown_rows(day: date, rows: pa.Table, seed: int) -> pa.Table:
    """Readings of meters that no register has, a share of ``rows``."""
    rng = np.random.default_rng([seed, day.toordinal(), rates.STREAM_ROWS])
    if not rows.num_rows:
        return rows
    chosen = rows.take(rng.integers(0, rows.num_rows, max(1, round(rates.UNKNOWN_IDS * rows.num_rows))))
    return chosen.set_column(0, "meter", pa.array([f"X{number:04d}" for number in rng.integers(0, 10_000, chosen.num_rows)]))


def truth(one: FeedDay, meters: FeedMeters) -> pa.Table:
    """What really flowed, what was sent, and what happened in between: a row per meter and interval."""
    intervals, count = one.clean_kwh.shape
    coded = pa.DictionaryArray.from_arrays(pa.array(one.fault.T.ravel().astype(np.int8)), pa.array(FAULTS, pa.string()))
    return pa.table({
        "meter_id": pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(count, dtype=np.int32), intervals)), pa.array(meters.meter_id, pa.string())),
        "start_utc": pa.array(np.tile(one.start_utc.as_unit("us").asi8, count)).cast(pa.timestamp("us", tz="UTC")),
        "clean_kwh": one.clean_kwh.T.ravel(),
        "sent_kwh": pa.array(one.sent_kwh.T.ravel(), mask=(one.delay < 0).T.ravel()),
        "fault": coded,
        "delay": one.delay.T.ravel(),
        "resent": one.extra.T.ravel(),
        "corrupt": one.corrupt.T.ravel(),
    })  # fmt: skip
