"""The sections of a site file, one small model each. Unknown keys are errors: a typo never passes in silence."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from grid_assets.foundation.units import READING_UNITS


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; expected an IANA name such as Europe/Berlin or UTC") from error
    return name


def _known_unit(unit: str) -> str:
    if unit not in READING_UNITS:
        raise ValueError(f"unknown unit {unit!r}; known are {', '.join(READING_UNITS)}")
    return unit


ZoneName = Annotated[str, AfterValidator(_known_zone)]
ReadingUnit = Annotated[str, AfterValidator(_known_unit)]


class CalendarSection(Section):
    """Which days the site has. Replay: fixed first and last day. Live: up to yesterday, first_day is where it begins."""

    mode: Literal["live", "replay"]
    first_day: date
    last_day: date | None = None
    default_day: date | None = None
    history_days: int = Field(60, ge=0, le=3660)
    issue_hour: int = Field(9, ge=0, le=23)
    study_day_offset: int = Field(2, ge=1, le=7)

    @model_validator(mode="after")
    def _replay_is_bounded(self) -> CalendarSection:
        if self.mode == "replay":
            if self.last_day is None or self.default_day is None:
                raise ValueError("a replay calendar needs last_day and default_day")
            if not self.first_day <= self.default_day <= self.last_day:
                raise ValueError(
                    f"expected first_day <= default_day <= last_day, got {self.first_day}, {self.default_day}, {self.last_day}"
                )
        elif self.last_day is not None or self.default_day is not None:
            raise ValueError("a live calendar follows the clock: leave out last_day and default_day")
        return self


class RegistersSection(Section):
    """Where meters.csv, nodes.csv, plants.csv and units.csv lie (the last two may be absent)."""

    folder: Path


class ReadingColumns(Section):
    """How a long file names its columns."""

    meter_id: str
    read_utc: str
    value: str
    unit: str | None = None
    kind: str | None = None


class ReadingsInput(Section):
    """One source of meter files: where they land and how to read them."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    folder: Path
    pattern: str
    """File name; ``{received}`` stands for the time of arrival as 20160525T020000Z or 2016-05-25."""
    format: Literal["csv", "parquet"] = "csv"
    arrival: Literal["file_name", "archive"] = "file_name"
    """archive: the file holds a past period and each row counts as received arrival_delay_minutes after its interval."""
    arrival_delay_minutes: int = Field(30, ge=0)
    clock: ZoneName = "UTC"
    """The time zone of stamps that carry none."""
    stamp: Literal["start", "end"] = "start"
    unit: ReadingUnit | None = None
    columns: ReadingColumns | None = None
    """For a long file: one row per meter and time."""
    time_column: str | None = None
    wide: dict[str, str] | None = None
    """For a wide file: column -> meter_id."""

    @model_validator(mode="after")
    def _one_layout(self) -> ReadingsInput:
        if (self.columns is None) == (self.wide is None):
            raise ValueError("give either columns (a long file) or wide and time_column (a column per meter)")
        if self.wide is not None and self.time_column is None:
            raise ValueError("a wide file needs time_column")
        if self.unit is None and (self.columns is None or self.columns.unit is None):
            raise ValueError("the unit is not declared: give unit, or columns.unit where each row names its own")
        if self.arrival == "file_name" and "{received}" not in self.pattern:
            raise ValueError(
                "pattern has no {received}: the time of arrival comes from the file's name, never from the disk's clock; or set arrival = 'archive'"
            )
        return self


class ValidationSection(Section):
    """Parameters of the validation and estimation rules."""

    spike_ratio: float = Field(1.8, gt=1)
    stuck_intervals: int = Field(8, ge=3)
    linear_gap_minutes: int = Field(120, ge=0)
    like_day_weeks: int = Field(3, ge=1, le=12)
    near_zero_share: float = Field(0.0, ge=0, lt=1)
    """A load meter's run of readings under this share of its recent mean counts as a switched or dead measurement; 0 = off."""
    near_zero_intervals: int = Field(4, ge=1)
    minimum_valid_pct: float = Field(95.0, ge=0, le=100)


class WeatherInput(Section):
    """Weather files (Parquet or CSV). ``columns`` maps our names to theirs; a list of theirs is averaged."""

    folder: Path
    pattern: str
    format: Literal["csv", "parquet"] = "parquet"
    columns: dict[str, str | list[str]]


class WeatherSection(Section):
    station_id: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude_m: float = 0.0
    label: str = "observed"
    """What the data are, shown wherever they are: observed, or synthetic and how."""
    observations: WeatherInput
    forecasts: WeatherInput | None = None
    """None: persistence of the last observed days stands in, and says so."""


class NetworkSection(Section):
    source: Literal["file", "cigre_mv"]
    file: Path | None = None
    minimum_vm_pu: float = 0.95
    maximum_vm_pu: float = 1.05
    maximum_loading_pct: float = 100.0
    power_factor: float = Field(0.97, gt=0, le=1)
    """Of loads whose register gives none."""

    @model_validator(mode="after")
    def _file_named(self) -> NetworkSection:
        if self.source == "file" and self.file is None:
            raise ValueError("source = 'file' needs file, a pandapower JSON")
        return self


class StorageSection(Section):
    peak_price_per_kw: float = Field(0.2, ge=0)
    curtailment_price_per_mwh: float = Field(20.0, ge=0)
    feeder_limit_penalty_per_kwh: float = Field(5.0, ge=0)
    import_price_per_mwh: float = Field(90.0, ge=0)
    export_price_per_mwh: float = Field(40.0, ge=0)


class TariffPeriod(Section):
    start: time
    end: time
    days: Literal["all", "weekdays", "weekends"] = "all"
    price_per_kwh: float


class Tariff(Section):
    name: str
    price_per_kwh: float
    """Outside all periods."""
    periods: tuple[TariffPeriod, ...] = ()


class MarketSection(Section):
    base_tariff: str
    candidate_tariff: str
    own_price_elasticity: float = Field(-0.05, le=0, ge=-2)
    substitution_elasticity: float = Field(0.05, ge=0, le=2)
    elasticity_source: str = "assumed"
    procurement: str | None = None
    """The tariff whose prices stand for what energy costs the supplier; None: the base tariff."""


class PerformanceTier(Section):
    minimum_ratio: float = Field(ge=0)
    rate_multiplier: float = Field(ge=0)


class Programme(Section):
    """A demand-response programme as it is in force from effective_from on."""

    name: str
    effective_from: date
    baseline: Literal["caiso_10_in_10"] = "caiso_10_in_10"
    rate_per_kwh: str
    """A decimal number as text, so that no cent is lost."""
    tiers: tuple[PerformanceTier, ...] = (
        PerformanceTier(minimum_ratio=0.85, rate_multiplier=1.0),
        PerformanceTier(minimum_ratio=0.5, rate_multiplier=0.75),
    )
    payment_cap_ratio: float = 1.2
    lookback_days: int = 45
    minimum_baseline_days: int = 5
    adjustment_cap: float = Field(0.2, ge=0, lt=1)
    minimum_notice_minutes: int = 60


class DemandResponseSection(Section):
    folder: Path
    """Where participants.csv and events.csv lie."""
    draft_programme: str
    """The programme under which an expected constraint violation drafts an event."""


class SimulationSection(Section):
    """The demo's head-end: writes registers, network, weather and faulty meter files as a utility would deliver them."""

    simbench_code: str
    folder: Path
    storage_minimum_mwh: float = 1.0
