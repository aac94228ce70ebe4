"""Site files: what one site is, read from TOML; every error names its key and line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, ValidationError, model_validator

from grid_assets.foundation import site_sections as sections
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.foundation.weather_section import WeatherSection

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class SiteError(ValueError):
    """A site file that cannot be used. The message has a line per fault: file, line, key, what was expected."""


class Site(sections.Section):
    """One site: one Dagster instance, one lake."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    notice: str = ""
    """Said wherever the site's figures are shown, for instance that they are synthetic."""
    time_zone: sections.ZoneName
    country: sections.Country
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    interval_minutes: int
    seed: int = 0
    state: Path
    """Everything that runs write lies under this folder, unless lake or warehouse name another place."""
    lake: str | None = None
    warehouse: Path | None = None
    artefact_port: int = Field(3001, ge=1024, le=65535)
    calendar: sections.CalendarSection
    registers: sections.RegistersSection
    readings: tuple[ReadingsInput, ...] = Field(min_length=1)
    metering: sections.MeteringSection = sections.MeteringSection()  # type: ignore[call-arg]
    validation: sections.ValidationSection = sections.ValidationSection()  # type: ignore[call-arg]
    quantities: dict[str, sections.QuantityLimits] = {}
    """Limits of measured quantities, over the ones that the platform ships."""
    alerts: sections.AlertsSection = sections.AlertsSection()  # type: ignore[call-arg]
    forecasting: sections.ForecastingSection = sections.ForecastingSection()  # type: ignore[call-arg]
    weather: WeatherSection | None = None
    network: sections.NetworkSection | None = None
    storage: sections.StorageSection | None = None
    tariffs: tuple[sections.Tariff, ...] = ()
    market: sections.MarketSection | None = None
    programmes: tuple[sections.Programme, ...] = ()
    demand_response: sections.DemandResponseSection | None = None
    priorities: dict[str, int] = {}
    """Customer class -> priority, 1 the most important; a class that is not named has the lowest."""
    simulation: sections.SimulationSection | None = None

    @model_validator(mode="after")
    def _references_exist(self) -> Site:
        if not 1 <= self.interval_minutes <= 60 or 60 % self.interval_minutes:
            raise ValueError(f"interval_minutes = {self.interval_minutes}: expected a divisor of an hour, such as 15 or 30")
        found = []
        for n, tariff in enumerate(self.tariffs, 1):
            found += [f"tariffs[{n}].{fault}" for fault in sections.faults_of_tariff(tariff, self.interval_minutes)]
        known = {tariff.name for tariff in self.tariffs}
        if self.market:
            for key in ("base_tariff", "candidate_tariff", "procurement"):
                name = getattr(self.market, key)
                if name is not None and name not in known:
                    found.append(f"market.{key} = {name!r} is not among the tariffs {sorted(known)}")
        if self.demand_response and self.demand_response.draft_programme not in {one.name for one in self.programmes}:
            found.append(f"demand_response.draft_programme = {self.demand_response.draft_programme!r} is not among the programmes")
        if self.storage and not self.network:
            found.append("storage = needs [network]: schedules are planned against the studied network")
        if found:
            raise ValueError("\n".join(found))
        return self

    @property
    def lake_root(self) -> str:
        return self.lake or str(self.state / "lake")

    @property
    def warehouse_file(self) -> Path:
        """The published DuckDB file."""
        return self.warehouse or self.state / "warehouse" / f"{self.name}.duckdb"

    @property
    def artefacts(self) -> Path:
        """Pages and documents that runs write; `grid-assets ui` serves this folder, read-only, on loopback."""
        return self.state / "artefacts"

    @property
    def dagster_home(self) -> Path:
        return self.state / "dagster"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.state / 'ledger.sqlite'}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def clock(self) -> SiteCalendar:
        chosen = self.calendar
        return SiteCalendar(
            self.zone,
            self.interval_minutes,
            chosen.first_day,
            chosen.last_day,
            chosen.issue_hour,
            chosen.study_day_offset,
            chosen.horizon_days,
        )

    def default_day(self, now: datetime) -> date:
        """The day that `daily` runs when none is named."""
        return self.calendar.default_day or self.clock.last_complete_day(now)


def load_site(path: Path, environment: Mapping[str, str]) -> Site:
    """Reads a site file. Relative paths are taken from the file's folder; ``${NAME}`` and ``${NAME:-default}`` in paths
    come from ``environment``, where a relative value is taken from the working directory.

    Raises SiteError with a line per fault.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SiteError(f"{path}: cannot be read ({error.strerror}); sites lie in data/sites") from error
    try:
        content = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(f"{path}: not TOML: {error}") from error
    paths = _PathReader(path, source, environment)
    content = paths.read(content, Site, ())
    if paths.faults:
        raise SiteError("\n".join(paths.faults))
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise SiteError("\n".join(_faults(path, source, [_untagged(one) for one in error.errors()]))) from error


class _PathReader:
    """Fills in variables and makes paths absolute, before validation, where the model expects a path."""

    def __init__(self, file: Path, source: str, environment: Mapping[str, str]):
        self.file, self.source, self.environment = file, source, environment
        self.faults: list[str] = []

    def read(self, content: dict[str, Any], model: type[BaseModel], where: tuple[str | int, ...]) -> dict[str, Any]:
        made = {}
        for key, value in content.items():
            declared = model.model_fields.get(key)
            kind = str(declared.annotation) if declared else ""
            nested = _section_in(declared.annotation) if declared else None
            if isinstance(value, str) and ("Path" in kind or key == "lake"):
                value = self.path(value, (*where, key))
            elif nested and isinstance(value, dict):
                value = self.read(value, nested, (*where, key))
            elif nested and isinstance(value, list):
                value = [self.read(one, nested, (*where, key, n)) if isinstance(one, dict) else one for n, one in enumerate(value)]
            made[key] = value
        return made

    def path(self, value: str, where: tuple[str | int, ...]) -> str:
        def fill(found: re.Match[str]) -> str:
            name, default = found.groups()
            if self.environment.get(name):
                given = Path(self.environment[name])
                return str(given.absolute()) if found.start() == 0 and "://" not in str(given) else self.environment[name]
            if default is None:
                line = _line_of(self.source, where)
                self.faults.append(
                    f"{self.file}, line {line}: {_dotted(where)}: the variable {name} is not set; set it, or give a default: ${{{name}:-path}}"
                )
            return default or ""

        filled = VARIABLE.sub(fill, value)
        return filled if "://" in filled else str((self.file.parent / filled).resolve())


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section model inside ``X``, ``X | None`` or ``tuple[X, ...]``; the first of several."""
    return next(iter(_sections_in(annotation)), None)


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """All section models inside: a section that comes in kinds has several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _sections_in(inner)]


def _untagged(error: Any) -> dict[str, Any]:
    """The error at its keys as the file has them: without the tag by which a section's kind is chosen, ``<files>``."""
    return {**error, "loc": tuple(part for part in error["loc"] if not str(part).startswith("<"))}


def _faults(path: Path, source: str, errors: Sequence[Any]) -> list[str]:
    """A line per fault: unknown keys first, for they are often why others are missing, then by line."""
    unknown = {tuple(one["loc"]) for one in errors if one["type"] == "extra_forbidden"}
    told = []
    for one in errors:
        where = tuple(one["loc"])
        if one["type"] == "missing" and _of_a_misspelt_section(source, where, unknown):
            continue
        if one["type"] == "too_short" and len(errors) > 1:
            continue
        for deeper, said in _said(one):
            line = _line_of(source, (*where, *deeper))
            dotted = _dotted((*where, *deeper)) or "the file"
            told.append((where not in unknown, line, f"{path}, line {line}: {dotted}: {said}"))
    return [said for _, _, said in sorted(told)]


def _said(error: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong, and the keys that lead there from the error's own place."""
    if error["type"] == "extra_forbidden":
        return [((), f"unknown key; {_meant(tuple(error['loc']))}")]
    if error["type"] == "missing":
        return [((), "is missing")]
    made: list[tuple[tuple[str | int, ...], str]] = []
    for said in error["msg"].removeprefix("Value error, ").splitlines():
        named = re.match(r"([^\s=:]+) = ", said)
        if named:  # a fault between keys starts with the key at fault
            made.append((_undotted(named.group(1)), said.removeprefix(named.group(0))))
        else:
            shown = repr(error.get("input"))
            made.append(((), f"{said} (got {shown})" if len(shown) < 60 else said))
    return made


def _meant(where: tuple[str | int, ...]) -> str:
    """A guess at the key that was meant, among those of its section."""
    models: list[type[BaseModel]] = [Site]
    for part in where[:-1]:
        if isinstance(part, str):
            models = [found for one in models if part in one.model_fields for found in _sections_in(one.model_fields[part].annotation)]
    near = difflib.get_close_matches(str(where[-1]), [key for one in models for key in one.model_fields], 1)
    return f"did you mean {near[0]}?" if near else "is it spelled right, and in the right section?"


def _of_a_misspelt_section(source: str, where: tuple[str | int, ...], unknown: set[tuple[str | int, ...]]) -> bool:
    """Whether a missing key lies in a section that the file never opens, while an unknown one stands beside that section."""
    for depth in range(1, len(where)):
        beside = any(one[:-1] == where[: depth - 1] for one in unknown)
        if beside and isinstance(where[depth], str) and _place_of(source, where[:depth])[1] < depth:
            return True
    return False


def _undotted(dotted: str) -> tuple[str | int, ...]:
    """``tariffs[2].name`` -> ("tariffs", 1, "name")."""
    return tuple(int(part) - 1 if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", dotted))


def _dotted(where: tuple[str | int, ...]) -> str:
    return "".join(f"[{one + 1}]" if isinstance(one, int) else f".{one}" for one in where).lstrip(".")


def _line_of(source: str, where: tuple[str | int, ...]) -> int:
    """The line of the deepest part of a key path that the text shows: its key, else its section's header, else 1."""
    return _place_of(source, where)[0]


def _place_of(source: str, where: tuple[str | int, ...]) -> tuple[int, int]:
    """The line of the deepest part of a key path that the text shows, and how many of the path's parts it shows."""
    best, best_depth = 1, 0
    header: tuple[str | int, ...] = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(source.splitlines(), 1):
        stripped = line.strip()
        array = re.match(r"\[\[\s*([^\]]+?)\s*\]\]", stripped)
        table = re.match(r"\[\s*([^\[\]]+?)\s*\]", stripped)
        key = re.match(r"""["']?([A-Za-z0-9_\-.]+)["']?\s*=""", stripped)
        if array:
            name = array.group(1)
            seen[name] = seen.get(name, -1) + 1
            header = _with_indices(name, seen)
            here = header
        elif table:
            header = _with_indices(table.group(1), seen)
            here = header
        elif key:
            here = (*header, *key.group(1).split("."))
        else:
            continue
        if here == where[: len(here)] and len(here) > best_depth:
            best, best_depth = number, len(here)
    return best, best_depth


def _with_indices(dotted: str, seen: dict[str, int]) -> tuple[str | int, ...]:
    """``readings.columns`` -> ("readings", 0, "columns"), by the arrays of tables seen so far."""
    made: list[str | int] = []
    parts = [part.strip().strip("\"'") for part in dotted.split(".")]
    for n, part in enumerate(parts):
        made.append(part)
        index = seen.get(".".join(parts[: n + 1]))
        if index is not None:
            made.append(index)
    return tuple(made)
