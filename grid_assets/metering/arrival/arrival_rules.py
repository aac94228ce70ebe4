"""What a row must pass on arrival: readable, of a known unit, of a meter or device in force, of a day of the site, not of the future."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.arrived_numbers import numbers_of, why_no_number
from grid_assets.metering.arrival.cells import Cells, Coded
from grid_assets.metering.arrival.interval_lengths import MINUTE, other_lengths, shown_minutes, told_lengths
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.arrival.reading_kinds import Meanings, meanings_of, refuse_registers_of_power, registers_of
from grid_assets.metering.arrival.refusals import Refusals
from grid_assets.metering.arrival.stamps import NO_TIME, Stamps, microseconds, stamps_of

INTERVAL, REGISTER, MEASUREMENT = 0, 1, 2


@dataclass(frozen=True)
class SiteDays:
    """The site's days as arrays of UTC microseconds, for many rows at once."""

    days: tuple[date, ...]
    midnights: np.ndarray
    """First instant of every day, and of the day after the last: one more than days."""
    issue_times: np.ndarray
    interval: int

    @classmethod
    def of(cls, clock: SiteCalendar, last: date) -> SiteDays:
        """The days from the calendar's first to ``last``, or to the calendar's own last day."""
        last = clock.last_day or max(last, clock.first_day)
        days = tuple(clock.first_day + timedelta(days=n) for n in range((last - clock.first_day).days + 1))
        midnights = [microseconds(clock.midnight(day)) for day in (*days, last + timedelta(days=1))]
        issued = [microseconds(clock.issue_time(day)) for day in days]
        return cls(days, np.array(midnights), np.array(issued), clock.interval_minutes * MINUTE)

    def index_of(self, instants: np.ndarray) -> np.ndarray:
        """Position of each instant's day; -1 before the first day and len(days) after the last."""
        return np.searchsorted(self.midnights, instants, side="right") - 1

    def arrival_index_of(self, received: np.ndarray) -> np.ndarray:
        """Position of the day whose run first sees what was received then; len(days) after the last run."""
        return np.searchsorted(self.issue_times, received, side="left")


@dataclass(frozen=True)
class _Places:
    """Where every stamp lies as an interval, as a register read and as a measurement: three stretches behind one another."""

    read: np.ndarray
    """Interval start, or when it was read; UTC microseconds, NO_TIME where unreadable."""
    day: np.ndarray
    day_start: np.ndarray
    until: np.ndarray
    """When the reading was complete."""
    off_grid: np.ndarray

    @classmethod
    def of(cls, stamps: Stamps, days: SiteDays, ends: bool) -> _Places:
        at = stamps.instants
        none = at == NO_TIME
        start = np.where(none, NO_TIME, at - days.interval) if ends else at
        # a register read at midnight closes the day before
        of_day = [days.index_of(start), days.index_of(np.where(none, at, at - 1)), days.index_of(at)]
        begins = [days.midnights[np.clip(one, 0, len(days.days))] for one in of_day]
        off = [(start - begins[0]) % days.interval != 0, (at - begins[1]) % days.interval != 0, np.zeros(len(at), dtype=bool)]
        until = np.where(none, NO_TIME, start + days.interval)
        return cls(*(np.concatenate(one) for one in ([start, at, at], of_day, begins, [until, at, at], off)))


@dataclass
class JudgedRows:
    """A file's readings after the rules of arrival. All arrays have one entry per reading of the file."""

    cells: Cells
    meter: np.ndarray
    """Rank among the meters; -1 where it is none."""
    route: np.ndarray
    """INTERVAL, REGISTER or MEASUREMENT."""
    place: np.ndarray
    """Which of ``instants`` is the reading's."""
    instants: np.ndarray
    day_of_place: np.ndarray
    value: np.ndarray
    meanings: Meanings
    received: np.ndarray | int
    """UTC microseconds of each row's arrival, or of the file's."""
    refusals: Refusals
    detected: list[str]

    @property
    def read(self) -> np.ndarray:
        """Interval start, or when it was read; UTC microseconds, NO_TIME where unreadable."""
        return self.instants[self.place]

    @property
    def day_index(self) -> np.ndarray:
        """Position of each reading's day; -1 before the first and the number of days after the last."""
        return self.day_of_place[self.place]

    def received_at(self, row: int) -> int:
        return int(self.received if isinstance(self.received, int) else self.received[row])


@dataclass(frozen=True)
class Rules:
    """What rows are held against; made once a run."""

    clock: SiteCalendar
    days: SiteDays
    meters: KnownSubjects
    devices: KnownSubjects


def judge(cells: Cells, source: ReadingsInput, rules: Rules, received: int | None) -> JudgedRows:
    """Judges every reading of a file.

    ``received`` is the file's arrival in UTC microseconds; None for an archive, where each row arrives
    ``arrival_delay_minutes`` after its interval's end, or after it was read.
    """
    refusals, days = Refusals(len(cells)), rules.days
    decimal = source.decimal or cells.decimal
    value = numbers_of(cells.value, decimal)
    refusals.add("parse", np.isnan(value), None, lambda i: why_no_number(_text(cells, i), decimal))
    meanings, subject = meanings_of(cells, source), cells.subject
    ranks = rules.meters.ranks(subject.words)
    energy = _per_reading(ranks >= 0, subject.codes) & _per_reading(meanings.each("is_energy"), meanings.codes)
    registers = registers_of(cells, source, refusals)
    route = np.where(energy, np.where(registers, REGISTER, INTERVAL), MEASUREMENT).astype(np.int8)
    ends = source.stamp == "end" and not cells.starts
    latest = received if received is None or ends or route.any() else received - days.interval
    stamps = stamps_of(cells.time, _series(cells, meanings, route), ZoneInfo(source.clock), source.time_format, value, latest)
    places = _Places.of(stamps, days, ends)
    place = stamps.codes + route.astype(np.int32) * np.int32(len(stamps.instants)) if route.any() else stamps.codes
    no_time = np.array([bool(one) for one in stamps.reasons], dtype=bool)
    undecided = np.arange(len(no_time)) >= stamps.undecided_from
    _refuse(refusals, "parse", no_time & ~undecided, stamps.codes, lambda code: stamps.reasons[code])
    _refuse(refusals, "clock", no_time & undecided, stamps.codes, lambda code: stamps.reasons[code])
    _refuse_meanings(meanings, refusals)
    if np.any(registers):
        refuse_registers_of_power(meanings, route == REGISTER, refusals)
    _refuse_repeats(cells, meanings, route, refusals)
    _refuse_subjects(cells, ranks, route, places, place, rules, refusals)
    arrived: np.ndarray | int
    if received is None:
        delay = source.arrival_delay_minutes * MINUTE
        complete = places.until[place]
        arrived = np.where(complete == NO_TIME, days.issue_times[0], complete + delay)
    else:
        arrived = received
        late = (places.until > received) & (places.read != NO_TIME)
        _refuse(refusals, "clock", late, place, lambda code: _told_late(places, code, received))
    _refuse_days(places, place, days, refusals)
    _refuse_lengths(cells, source, ranks, route, places, place, days.interval, refusals)
    said = f"is not on the site's grid of {rules.clock.interval_minutes} minutes from midnight; see interval_minutes and the input's stamp"
    _refuse(refusals, "clock", places.off_grid, place, lambda code: f"{_shown(places.read[code])} {said}")
    told = _told(cells, source, stamps, route)
    return JudgedRows(cells, ranks[subject.codes], route, place, places.read, places.day, value, meanings, arrived, refusals, told)


def _per_reading(of_word: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What holds of words, of every reading."""
    if len(of_word) and (of_word == of_word[0]).all():
        return np.full(len(codes), bool(of_word[0]))
    return of_word[codes]


def _refuse(refusals: Refusals, rule: str, wrong: np.ndarray, codes: np.ndarray, reason) -> None:
    """Refuses the readings whose word is wrong; a look at the words spares one at every reading."""
    if wrong.any():
        refusals.add(rule, wrong[codes], codes, reason)


def _series(cells: Cells, meanings: Meanings, route: np.ndarray) -> np.ndarray:
    """Numbers the meter and quantity of each reading: within one a stamp that occurs again is the second of its hour."""
    series = cells.subject.codes.astype(np.int64)
    if len(meanings.meanings) > 1 and cells.quantity is not None:
        series = series * len(meanings.meanings) + meanings.codes
    return series * 3 + route if route.any() else series


def _refuse_meanings(meanings: Meanings, refusals: Refusals) -> None:
    for rule in ("quantity", "unit"):
        wrong = meanings.each("rule") == rule
        _refuse(refusals, rule, wrong, meanings.codes, lambda code: meanings.meanings[code].reason)


def _refuse_repeats(cells: Cells, meanings: Meanings, route: np.ndarray, refusals: Refusals) -> None:
    """Of what a row tells twice of a meter or device (power and energy of an interval, say) the first counts."""
    rows = cells.source_row
    if not (rows[1:] <= rows[:-1]).any():
        return
    quantity = np.unique(meanings.each("quantity"), return_inverse=True)[1][meanings.codes]
    told = pd.DataFrame({"row": rows, "of": cells.subject.codes, "route": route, "what": np.where(route == MEASUREMENT, quantity, -1)})
    repeated = (told[~refusals.failed].duplicated()).reindex(told.index, fill_value=False).to_numpy()
    reason = "the row tells the same twice, as power and as energy or in two columns; which one counts? See power_is and ignore"
    refusals.add("quantity", repeated, np.zeros(len(rows), dtype=np.int8), lambda _: reason)


def _refuse_subjects(
    cells: Cells, ranks: np.ndarray, route: np.ndarray, places: _Places, place: np.ndarray, rules: Rules, refusals: Refusals
) -> None:
    """Refuses readings of what no register knows, or of what is not in force: a meter when the reading's day begins, a
    device when it measured."""
    subject = cells.subject
    device_ranks = rules.devices.ranks(subject.words)
    nobody = (ranks < 0) & (device_ranks < 0)
    _refuse(refusals, "unknown_meter", nobody, subject.codes, lambda code: _told_unknown(subject, code))
    in_calendar = (places.day >= 0) & (places.day < len(rules.days.days))
    begins = places.day_start[in_calendar]
    if len(begins) and not (rules.meters.always(begins.min(), begins.max())[ranks] | (ranks < 0)).all():
        of_meter = _per_reading(ranks >= 0, subject.codes)
        rows = np.flatnonzero(of_meter & in_calendar[place] & ~refusals.failed)
        outside = rows[~rules.meters.in_force(ranks[subject.codes[rows]], places.day_start[place[rows]])]
        _refuse_rows(refusals, outside, subject, places.day_start[place], "meters.csv", "when the day begins at")
    if ((ranks < 0) & ~nobody).any():
        of_device = _per_reading((ranks < 0) & ~nobody, subject.codes)
        rows = np.flatnonzero(of_device & ~refusals.failed)
        outside = rows[~rules.devices.in_force(device_ranks[subject.codes[rows]], places.read[place[rows]])]
        _refuse_rows(refusals, outside, subject, places.read[place], "devices.csv", "at")


def _refuse_rows(refusals: Refusals, rows: np.ndarray, subject: Coded, instants: np.ndarray, register: str, when: str) -> None:
    if not len(rows):
        return
    wrong = np.zeros(len(instants), dtype=bool)
    wrong[rows] = True
    noun = "meter" if register == "meters.csv" else "device"
    refusals.add(
        "not_in_force",
        wrong,
        None,
        lambda i: (
            f"{noun} {subject.text(i)!r} is not in force {when} {_shown(instants[i])}; see valid_from_utc and valid_to_utc in {register}"
        ),
    )


def _told_unknown(subject: Coded, code: int) -> str:
    word = subject.words[code].as_py()
    return f"meter {'' if word is None else str(word)[:60]!r} is not in the register meters.csv, nor in devices.csv; add it there, or correct the file"


def _refuse_days(places: _Places, place: np.ndarray, days: SiteDays, refusals: Refusals) -> None:
    outside = (places.day < 0) | (places.day >= len(days.days))
    said = f"is outside the site's days, {days.days[0]} to {days.days[-1]}; see [calendar] in the site file"
    _refuse(refusals, "calendar", outside, place, lambda code: f"{_shown(places.read[code])} {said}")


def _refuse_lengths(
    cells: Cells, source: ReadingsInput, ranks: np.ndarray, route: np.ndarray, places: _Places, place: np.ndarray, interval: int,
    refusals: Refusals,
) -> None:  # fmt: skip
    """Refuses energy of another interval than the site's, as the file or the site file tells it, or the stamps show it."""
    site = f"the site's interval is {shown_minutes(interval)}; ask for readings of that length"
    energy = route == INTERVAL
    if cells.length_s is not None:
        lengths = cells.length_s
        wrong = energy & told_lengths(lengths, interval)
        refusals.add("interval", wrong, lengths, lambda length: f"a reading of {shown_minutes(length * 1_000_000)}; {site}")
        return
    if source.interval_minutes is not None:
        if source.interval_minutes * MINUTE != interval:
            reason = f"readings of {source.interval_minutes} minutes, as [[readings]] {source.name} declares; {site}"
            refusals.add("interval", energy, np.zeros(len(energy), dtype=np.int8), lambda _: reason)
        return
    rows = slice(None) if not refusals.found and energy.all() else np.flatnonzero(energy & ~refusals.failed)
    at = place[rows]
    slots = (places.read - places.day_start) // interval
    meter = ranks[cells.subject.codes[rows]]
    found = other_lengths(meter, at, places.read, slots, places.off_grid, interval)
    if found:
        steps = np.array([found.get(int(rank), 0) for rank in ranks])[cells.subject.codes]
        said = "the meter's readings of this file stand"
        refusals.add("interval", energy & (steps > 0), steps, lambda step: f"{said} {shown_minutes(step)} apart; {site}")


def _told_late(places: _Places, code: int, received: int) -> str:
    what = f"the interval from {_shown(places.read[code])} ends" if places.until[code] != places.read[code] else _shown(places.read[code])
    verb = "" if "interval" in what else " is"
    return f"{what}{verb} after the arrival at {_shown(received)}; is the meter's clock or the input's time zone right?"


def _told(cells: Cells, source: ReadingsInput, stamps: Stamps, route: np.ndarray) -> list[str]:
    """What was detected of a file, and what was taken for granted where the site file is silent."""
    told, declared = list(cells.detected), source.model_fields_set
    if stamps.naive and "clock" not in declared:
        told.append(f"times carry no zone and were read on the clock of {source.clock}")
    if "stamp" not in declared and not cells.starts and len(cells) and bool((route == INTERVAL).any()):
        told.append("times were taken for the starts of intervals")
    return told


def _shown(instant: int | np.integer) -> str:
    return "an unknown time" if instant == NO_TIME else f"{np.datetime64(int(instant), 'us').astype('datetime64[s]')}Z"


def _text(cells: Cells, i: int) -> str:
    value = cells.value[i].as_py()
    return "" if value is None else str(value)[:60]
