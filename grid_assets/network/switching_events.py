"""The file of switching events, and the switching states that they make of a site's network."""

from __future__ import annotations

import csv
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import NetworkSection
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.switching import SwitchingError, SwitchingEvent, Version, versions

COLUMNS = ("valid_from", "element", "action", "position", "reason")
NEEDED = COLUMNS[:3]


def network_versions(section: NetworkSection, clock: SiteCalendar) -> list[Version]:
    """The site's network in all its switching states; the first holds from the calendar's first day on.

    Raises NetworkError for the network, SwitchingError for the events.
    """
    admitted = load_network(section.source, section.file, section.code)
    events = read_events(section.switching_events, clock.zone) if section.switching_events else []
    return versions(admitted, events, pd.Timestamp(clock.midnight(clock.first_day)).tz_convert("UTC"))


def read_events(path: Path, zone: ZoneInfo) -> list[SwitchingEvent]:
    """The rows of a CSV in their order; times without an offset are on the site's clock. Lines that begin with # are comments.

    Raises SwitchingError naming file and line.
    """
    if not path.is_file():
        raise SwitchingError(f"{path}: the file of switching events does not exist; expected a CSV with {', '.join(COLUMNS)}")
    kept = [(number, line) for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1) if line.strip() and not line.startswith("#")]  # fmt: skip
    if not kept:
        return []
    reader = csv.DictReader([line for _, line in kept])
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise SwitchingError(f"{path}: column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
    return [_event(row, f"{path.name}, line {number}: ", zone) for (number, _), row in zip(kept[1:], reader, strict=True)]


def _event(row: dict[str, str | None], where: str, zone: ZoneInfo) -> SwitchingEvent:
    given = {name: (row.get(name) or "").strip() for name in COLUMNS}
    for name in NEEDED:
        if not given[name]:
            raise SwitchingError(f"{where}{name} is empty")
    try:
        instant = pd.Timestamp(given["valid_from"])
        instant = instant.tz_localize(zone) if instant.tz is None else instant
    except Exception as error:  # the parser and the clock raise kinds of their own
        raise SwitchingError(f"{where}valid_from = {given['valid_from']!r} is no instant ({error}); expected e.g. 2016-05-24T06:00, with an "
                             "offset where the clock is changed") from error  # fmt: skip
    position = given["position"]
    if position and not position.lstrip("+-").isdigit():
        raise SwitchingError(f"{where}position = {position!r}; expected a whole number")
    return SwitchingEvent(
        instant.tz_convert("UTC"), given["element"], given["action"].lower(), int(position) if position else None, given["reason"], where
    )
