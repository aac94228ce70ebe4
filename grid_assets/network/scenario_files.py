"""Scenario files: what analysts write down to ask "what if", and what that does to a study day."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from grid_assets.foundation.calendar import SiteCalendar

NAME = re.compile(r"^[A-Za-z0-9_-]+$")
KEY = re.compile(r"^(?P<day>\d{4}-\d{2}-\d{2})\.(?P<name>[A-Za-z0-9_-]+)$")


class ScenarioError(ValueError):
    """A scenario that cannot be read or does not fit the network: which file, which key, what was expected."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class _Window(_Strict):
    begin: time = Field(time(0), alias="from")
    end: time | None = Field(None, alias="to")
    """None: to the end of the day. Before the beginning: over midnight is not meant, and refused."""

    @model_validator(mode="after")
    def _in_order(self) -> _Window:
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"to = {self.end} is not after from = {self.begin}")
        return self

    def steps(self, clock: SiteCalendar, start_utc: pd.DatetimeIndex) -> np.ndarray:
        """Which intervals lie in the window [intervals]."""
        local = clock.local(start_utc)
        minutes = local.hour.to_numpy() * 60 + local.minute.to_numpy()
        end = 24 * 60 if self.end is None else self.end.hour * 60 + self.end.minute
        return (minutes >= self.begin.hour * 60 + self.begin.minute) & (minutes < end)

    def bounds(self, clock: SiteCalendar, day: date) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First instant, and first instant after it, UTC."""
        end = datetime.combine(day + timedelta(days=1), time()) if self.end is None else datetime.combine(day, self.end)
        ends = (datetime.combine(day, self.begin), end)
        return tuple(pd.Timestamp(one.replace(tzinfo=clock.zone)).tz_convert("UTC") for one in ends)  # type: ignore[return-value]


class LoadChange(_Window):
    factor: float = Field(ge=0)
    nodes: tuple[str, ...] | None = None
    """Of which the own load changes; None: of all."""


class GenerationChange(_Window):
    factor: float = Field(1.0, ge=0)
    kinds: tuple[Literal["pv", "wind", "biomass", "hydro"], ...] | None = None
    plants: tuple[str, ...] | None = None
    """Generation outage: their ids with factor = 0."""
    clouds: float = Field(0.0, ge=0, le=1)
    cloud_share: float = Field(0.4, gt=0, lt=1)
    cloud_minutes: float = Field(30.0, gt=0)


class Outage(_Window):
    branches: tuple[str, ...] = ()
    pick: Literal["most_loaded", "longest", "random"] | None = None
    kind: Literal["line", "transformer"] = "line"
    count: int = Field(1, ge=1)
    resupply: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Outage:
        if bool(self.branches) == bool(self.pick):
            raise ValueError("expected either branches or pick")
        return self


class Switching(_Strict):
    at: time
    element: str
    action: Literal["open", "close", "tap"]
    position: int | None = None


class Scenario(_Strict):
    title: str
    seed: int = 0
    load: tuple[LoadChange, ...] = ()
    generation: tuple[GenerationChange, ...] = ()
    outage: tuple[Outage, ...] = ()
    switching: tuple[Switching, ...] = ()


def scenarios_in(folder: Path | None) -> list[str]:
    """Names of the scenario files of a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml")) if folder is not None and folder.is_dir() else []


def read_scenario(folder: Path | None, name: str) -> Scenario:
    """Reads ``<folder>/<name>.toml``. Raises ScenarioError naming the file, the key and what was expected."""
    known = scenarios_in(folder)
    if name not in known or folder is None:
        raise ScenarioError(f"no scenario {name!r} in {folder}; expected one of {', '.join(known) or 'none: the folder is empty'}")
    path = folder / f"{name}.toml"
    try:
        return Scenario.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: {error}") from error
    except ValidationError as error:
        told = [f"{path}: {'.'.join(str(part) for part in one['loc']) or 'the file'}: {one['msg']}" for one in error.errors()]
        raise ScenarioError("\n".join(told)) from error


def scenario_key(day: date, name: str) -> str:
    """``2016-05-21.heat_wave``: the partition of a scenario of a day's run. Raises ScenarioError for a name that cannot stand in it."""
    if not NAME.match(name):
        raise ScenarioError(f"scenario name {name!r}: expected letters, digits, _ and - only")
    return f"{day.isoformat()}.{name}"


def parse_key(key: str) -> tuple[date, str]:
    """Day and name of a key. Raises ScenarioError."""
    found = KEY.match(key)
    try:
        return date.fromisoformat(found["day"]), found["name"]  # type: ignore[index]
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{key!r} names no scenario; expected DAY.NAME, such as 2016-05-21.heat_wave") from error


def load_factors(scenario: Scenario, clock: SiteCalendar, start_utc: pd.DatetimeIndex, nodes: list[str]) -> dict[str, np.ndarray]:
    """node -> factor per interval; changes that overlap multiply. Raises ScenarioError for an unknown node."""
    made = {node: np.ones(len(start_utc)) for node in nodes}
    for change in scenario.load:
        for node in change.nodes or nodes:
            if node not in made:
                raise ScenarioError(f"load: node {node!r} has no load of its own; expected one of {', '.join(nodes)}")
            made[node] *= np.where(change.steps(clock, start_utc), change.factor, 1.0)
    return made


def generation_factors(scenario: Scenario, clock: SiteCalendar, start_utc: pd.DatetimeIndex, plants: pd.DataFrame) -> dict[str, np.ndarray]:
    """plant -> factor per interval. Clouds are drawn once for each change, the same for all its plants. Raises ScenarioError for an unknown plant."""
    made = {plant: np.ones(len(start_utc)) for plant in plants["plant_id"]}
    for number, change in enumerate(scenario.generation):
        chosen = plants if change.kinds is None else plants[plants["kind"].isin(change.kinds)]
        named = change.plants if change.plants is not None else tuple(chosen["plant_id"])
        factor = change.factor * _sky(change, np.random.default_rng([scenario.seed, number]), len(start_utc), clock.interval_hours * 60)
        for plant in named:
            if plant not in made:
                raise ScenarioError(f"generation: plant {plant!r} is not in the register plants.csv")
            made[plant] *= np.where(change.steps(clock, start_utc), factor, 1.0)
    return made


def _sky(change: GenerationChange, random: np.random.Generator, steps: int, minutes: float) -> np.ndarray:
    """1 under a clear sky, 1 - clouds under one: a chain of two states with the given share and mean length of clouds."""
    leave = min(minutes / change.cloud_minutes, 1.0)
    come = min(leave * change.cloud_share / (1 - change.cloud_share), 1.0)
    covered, made = random.random() < change.cloud_share, np.ones(steps)
    for step, chance in enumerate(random.random(steps)):
        made[step] = 1 - change.clouds * covered
        covered = chance >= leave if covered else chance < come
    return made
