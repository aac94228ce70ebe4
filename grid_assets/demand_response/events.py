"""Participants, events and answers, read from the utility's CSV files; which programme's terms hold; which events have ended."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pandas as pd

from grid_assets.demand_response.tables import PARTICIPANTS, SETTLEMENTS
from grid_assets.foundation.calendar import SiteCalendar, days_between
from grid_assets.foundation.lake import PARTITION_NAME, Lake
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import Programme
from grid_assets.foundation.tables import Table

PARTICIPANT_COLUMNS = ("participant_id", "programme", "meter_id", "title", "committed_kw", "account", "valid_from_utc")
EVENT_COLUMNS = ("event_id", "programme", "start_utc", "end_utc", "target_kw", "notified_utc", "label")
RESPONSE_COLUMNS = ("event_id", "participant_id", "response")
RESPONSES = ("optIn", "optOut")


class DemandResponseFileError(ValueError):
    """participants.csv, events.csv or responses.csv cannot be used. A line per fault: file, row, what was expected."""


class UnknownEventError(KeyError):
    """An event that events.csv does not have."""


@dataclass(frozen=True)
class Event:
    """A demand-response event. Times are aware UTC, power in kW."""

    event_id: str
    programme: str
    start_utc: datetime
    end_utc: datetime
    target_kw: float
    notified_utc: datetime
    label: str
    cancelled_utc: datetime | None = None

    @property
    def hours(self) -> Fraction:
        return Fraction((self.end_utc - self.start_utc) // timedelta(microseconds=1), 3_600_000_000)

    @property
    def cancelled(self) -> bool:
        """Cancelled before it began; one called off later is settled for what was delivered."""
        return self.cancelled_utc is not None and self.cancelled_utc <= self.start_utc


def read_participants(folder: Path, site: Site, meters: pd.DataFrame) -> pd.DataFrame:
    """The rows of participants.csv, every id, programme, meter and number checked.

    ``meters``: rows of foundation/meters. Raises DemandResponseFileError.
    """
    path = folder / "participants.csv"
    frame = _read(path, PARTICIPANT_COLUMNS)
    faults = _time_faults(path, frame, ["valid_from_utc"]) + _number_faults(path, frame, ["committed_kw"])
    loads = set(meters.loc[meters["kind"] == "load", "meter_id"])
    programmes = {one.name for one in site.programmes}
    for row, one in _rows(frame):
        faults += _id_faults(path, row, "participant_id", one["participant_id"])
        if one["programme"] not in programmes:
            faults.append(f"{path}, row {row}: programme {one['programme']!r} is not in the site file; it has {sorted(programmes)}")
        if one["meter_id"] not in loads:
            faults.append(f"{path}, row {row}: meter {one['meter_id']!r} is not a load meter of the register")
        if not one["account"]:
            faults.append(f"{path}, row {row}: account is empty; payments need a reference")
    for row in frame.index[frame.duplicated(["participant_id", "valid_from_utc"])]:
        faults.append(f"{path}, row {row + 2}: {frame.at[row, 'participant_id']} has two rows with the same valid_from_utc")
    _raise(faults)
    return frame.assign(
        committed_kw=pd.to_numeric(frame["committed_kw"]), valid_from_utc=_times(frame["valid_from_utc"])
    )[list(PARTICIPANT_COLUMNS)]  # fmt: skip


def read_events(folder: Path, site: Site) -> dict[str, Event]:
    """The events of events.csv by id, in the file's order. A column cancelled_utc may be there. Raises DemandResponseFileError."""
    path = folder / "events.csv"
    frame = _read(path, EVENT_COLUMNS)
    if "cancelled_utc" not in frame:
        frame["cancelled_utc"] = ""
    faults = _time_faults(path, frame, ["start_utc", "end_utc", "notified_utc"]) + _number_faults(path, frame, ["target_kw"])
    faults += _time_faults(path, frame, ["cancelled_utc"], may_be_empty=True)
    _raise(faults)
    events: dict[str, Event] = {}
    for row, one in _rows(frame):
        times = {name: _times(pd.Series([one[name]]))[0] for name in ("start_utc", "end_utc", "notified_utc", "cancelled_utc")}
        made = {name: None if pd.isna(value) else value.to_pydatetime() for name, value in times.items()}
        event = Event(one["event_id"], one["programme"], target_kw=float(one["target_kw"]), label=one["label"], **made)
        faults += [f"{path}, row {row}: {fault}" for fault in _event_faults(event, site, events)]
        events[event.event_id] = event
    _raise(faults)
    return events


def read_responses(folder: Path) -> dict[tuple[str, str], str]:
    """(event_id, participant_id) -> optIn or optOut from responses.csv; the last row counts. Without the file all take part."""
    path = folder / "responses.csv"
    if not path.exists():
        return {}
    frame = _read(path, RESPONSE_COLUMNS)
    _raise(
        [
            f"{path}, row {row}: response {one['response']!r}; expected optIn or optOut"
            for row, one in _rows(frame)
            if one["response"] not in RESPONSES
        ]
    )
    return {(one["event_id"], one["participant_id"]): one["response"] for _, one in _rows(frame)}


def event_named(site: Site, event_id: str) -> Event:
    """One event. Raises UnknownEventError naming those that there are."""
    folder = _folder(site)
    events = read_events(folder, site)
    if event_id not in events:
        known = ", ".join(list(events)[:20])
        raise UnknownEventError(f"event {event_id!r} is not in {folder / 'events.csv'}; it has {known or 'no events'}")
    return events[event_id]


def ended_events(site: Site, day: date) -> list[str]:
    """Ids of the events that began within the site's calendar and ended by the end of the site day ``day``, by their end.

    An event from before the calendar's first day has no readings to settle it by.
    """
    if site.demand_response is None:
        return []
    first, end = site.clock.midnight(site.calendar.first_day), site.clock.bounds(day)[1]
    found = [one for one in read_events(site.demand_response.folder, site).values() if one.start_utc >= first and one.end_utc <= end]
    return [one.event_id for one in sorted(found, key=lambda event: (event.end_utc, event.event_id))]


def days_settled_from(event: Event, clock: SiteCalendar, terms: Programme) -> list[date]:
    """The site days whose readings can move an event's payments: its own, and those that its baseline may look back to."""
    first = clock.day_of(event.start_utc) - timedelta(days=terms.lookback_days + 1)
    return days_between(first, clock.day_of(event.end_utc - timedelta(microseconds=1)))


def events_to_settle(site: Site, day: date, lake: Lake, readings: Table) -> list[str]:
    """Ids of the events that ended by ``day`` and were never settled, or whose inputs changed since they were, by their end.

    ``readings``: the table metering/readings. Reads pointers, the participants and the settlements; no readings. Raises
    DemandResponseFileError for faulty files; an event whose terms cannot be had is listed, so that its own run says why.
    """
    ended = ended_events(site, day)
    if not ended:
        return []
    participants = lake.read(PARTICIPANTS)
    return [event_id for event_id in ended if _is_due(site, event_id, lake, readings, participants)]


def _is_due(site: Site, event_id: str, lake: Lake, readings: Table, participants: pd.DataFrame) -> bool:
    settled = lake.read(SETTLEMENTS, event_id)
    if settled.empty or "inputs_hash" not in settled:
        return True
    try:
        present = hash_of_inputs(site, event_id, lake, readings, participants)
    except DemandResponseFileError:
        return True
    return settled.sort_values("revision")["inputs_hash"].iloc[-1] != present


def hash_of_inputs(site: Site, event_id: str, lake: Lake, readings: Table, participants: pd.DataFrame) -> str:
    """A hash of all that an event's payments follow from: itself and its terms, its participants with their answers, the
    days of other events, the coverage asked for, and the content hashes of the days of readings. Raises DemandResponseFileError.
    """
    folder, clock = _folder(site), site.clock
    event = event_named(site, event_id)
    terms = programme_terms(site, event.programme, clock.day_of(event.start_utc))
    days = days_settled_from(event, clock, terms)
    others = days_of_events(read_events(folder, site), clock, event_id)
    answers = {who: answer for (of, who), answer in read_responses(folder).items() if of == event_id}
    inputs = {
        "event": asdict(event), "terms": terms.model_dump(), "answers": answers, "coverage": site.validation.minimum_valid_pct,
        "participants": participants_of(event, participants).to_dict("records"), "other_events": [day for day in days if day in others],
        "readings": {day.isoformat(): lake.content_hash(readings, day) for day in days},
    }  # fmt: skip
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:20]


def programme_terms(site: Site, name: str, day: date) -> Programme:
    """The programme as it was in force on ``day``. Raises DemandResponseFileError where it was not yet."""
    versions = [one for one in site.programmes if one.name == name and one.effective_from <= day]
    if not versions:
        raise DemandResponseFileError(f"programme {name!r} has no version in force on {day}; see [[programmes]] in the site file")
    return max(versions, key=lambda one: one.effective_from)


def participants_of(event: Event, participants: pd.DataFrame) -> pd.DataFrame:
    """The participants of the event's programme with the terms in force at its start, by id; their meters are unique.

    Raises DemandResponseFileError when two of them share a meter: its reduction would be paid twice.
    """
    chosen = enrolled_at(pd.Timestamp(event.start_utc), event.programme, participants)
    shared = chosen[chosen.duplicated("meter_id", keep=False)]
    if len(shared):
        raise DemandResponseFileError(
            f"event {event.event_id}: participants {', '.join(shared['participant_id'])} of programme {event.programme} share a meter; "
            "end one of them, or its reduction is paid twice"
        )
    return chosen


def enrolled_at(moment: pd.Timestamp, programme: str, participants: pd.DataFrame) -> pd.DataFrame:
    """The participants whose newest terms at that moment are of the programme, by id."""
    begun = participants[participants["valid_from_utc"] <= moment].sort_values(["participant_id", "valid_from_utc"])
    latest = begun.drop_duplicates("participant_id", keep="last")
    return latest[latest["programme"] == programme].reset_index(drop=True)


def days_of_events(events: dict[str, Event], clock: SiteCalendar, without: str) -> set[date]:
    """Site days touched by events other than ``without`` that were not cancelled: they are no like days."""
    days: set[date] = set()
    for event in events.values():
        if event.event_id == without or event.cancelled:
            continue
        last = clock.day_of(event.end_utc - timedelta(microseconds=1))
        day = clock.day_of(event.start_utc)
        while day <= last:
            days.add(day)
            day += timedelta(days=1)
    return days


def event_row(event: Event, terms: Programme, clock: SiteCalendar, participants: pd.DataFrame, inputs_hash: str) -> pd.DataFrame:
    """The event as a row of demand_response/events. ``inputs_hash``: from ``hash_of_inputs``."""
    return pd.DataFrame(
        [
            {
                "event_id": event.event_id, "programme": event.programme, "day": clock.day_of(event.start_utc),
                "start_utc": event.start_utc, "end_utc": event.end_utc, "target_kw": event.target_kw,
                "notified_utc": event.notified_utc, "notice_minutes": (event.start_utc - event.notified_utc) / timedelta(minutes=1),
                "cancelled_utc": event.cancelled_utc, "state": "cancelled" if event.cancelled else "completed",
                "label": event.label, "rate_per_kwh": terms.rate_per_kwh, "participants": len(participants),
                "inputs_hash": inputs_hash,
            }
        ]
    ).astype({"cancelled_utc": "datetime64[us, UTC]"})  # fmt: skip


def _folder(site: Site) -> Path:
    if site.demand_response is None:
        raise DemandResponseFileError(f"site {site.name} has no [demand_response] section")
    return site.demand_response.folder


def _event_faults(event: Event, site: Site, before: dict[str, Event]) -> list[str]:
    faults = _id_faults(Path(), 0, "event_id", event.event_id, bare=True)
    interval = timedelta(minutes=site.interval_minutes)
    if event.event_id in before:
        faults.append(f"event {event.event_id} occurs twice")
    if event.programme not in {one.name for one in site.programmes}:
        faults.append(f"programme {event.programme!r} is not in the site file")
    if event.end_utc <= event.start_utc or event.end_utc - event.start_utc > timedelta(hours=24):
        faults.append(f"end_utc {event.end_utc:%Y-%m-%dT%H:%MZ} must lie after start_utc, by a day at most")
    if any(moment.timestamp() % interval.total_seconds() for moment in (event.start_utc, event.end_utc)):
        faults.append(f"start_utc and end_utc must lie on the site's {site.interval_minutes}-minute intervals")
    if event.notified_utc > event.start_utc:
        faults.append("notified_utc lies after start_utc")
    return faults


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, comment="#", skipinitialspace=True)
    except FileNotFoundError as error:
        raise DemandResponseFileError(f"{path}: is missing; expected columns {', '.join(columns)}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DemandResponseFileError(f"{path}: cannot be read as CSV: {error}") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DemandResponseFileError(f"{path}: columns {', '.join(missing)} are missing; expected {', '.join(columns)}")
    return frame


def _rows(frame: pd.DataFrame) -> list[tuple[int, dict[str, str]]]:
    """Each row with its number in the file, 2 the first after the header."""
    return [(number + 2, one) for number, one in enumerate(frame.to_dict("records"))]


def _times(values: pd.Series) -> pd.Series:
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601").astype("datetime64[us, UTC]")


def _time_faults(path: Path, frame: pd.DataFrame, names: list[str], may_be_empty: bool = False) -> list[str]:
    faults = []
    for name in names:
        made = _times(frame[name])
        naive = ~frame[name].str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
        bad = (made.isna() | naive) & ~((frame[name] == "") & may_be_empty)
        faults += [
            f"{path}, row {row + 2}: {name} = {frame.at[row, name]!r} is not a time with its offset, such as 2016-05-24T15:00:00Z"
            for row in frame.index[bad]
        ]
    return faults


def _number_faults(path: Path, frame: pd.DataFrame, names: list[str]) -> list[str]:
    faults = []
    for name in names:
        values = pd.to_numeric(frame[name], errors="coerce")
        bad = ~((values > 0) & (values < 1e9))
        faults += [f"{path}, row {row + 2}: {name} = {frame.at[row, name]!r}; expected a number above 0" for row in frame.index[bad]]
    return faults


def _id_faults(path: Path, row: int, name: str, value: str, bare: bool = False) -> list[str]:
    if PARTITION_NAME.match(value):
        return []
    said = f"{name} = {value!r}; expected letters, digits and . _ @ + : - only"
    return [said if bare else f"{path}, row {row}: {said}"]


def _raise(faults: list[str]) -> None:
    if faults:
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise DemandResponseFileError("\n".join(faults[:20]) + more)
