"""The section [weather] of a site file: the place, and where observations and forecasts come from, files or Open-Meteo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, model_validator

from grid_assets.foundation.site_sections import Section

WEATHER_TIMES = ("start_utc", "issued_utc")
MEMBER = "member"
WEATHER_VARIABLES = ("temperature_degc", "humidity_pct", "wind_speed_m_s", "ghi_w_m2", "cloud_cover_pct")
"""Our names of what a weather file may hold."""

FORECAST_ADDRESS = "https://api.open-meteo.com"
ENSEMBLE_ADDRESS = "https://ensemble-api.open-meteo.com"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class WeatherInput(Section):
    """Weather files (Parquet or CSV). ``columns`` maps our names to theirs; a list of theirs is averaged."""

    provider: Literal["files", "open_meteo"] = "files"
    folder: Path
    pattern: str
    format: Literal["csv", "parquet"] = "parquet"
    columns: dict[str, str | list[str]]

    @model_validator(mode="after")
    def _columns_are_ours(self) -> WeatherInput:
        known = (*WEATHER_TIMES, MEMBER, *WEATHER_VARIABLES)
        found = [
            f"columns.{name} = {theirs!r}: unknown name; expected {', '.join(known)}"
            for name, theirs in self.columns.items()
            if name not in known
        ]
        for name in (*WEATHER_TIMES, MEMBER):
            if not isinstance(self.columns.get(name, ""), str):
                found.append(f"columns.{name} = {self.columns[name]}: expected one column, not a list")
        found += [f"columns.{name} = []: expected a column or a list of them" for name in WEATHER_VARIABLES if self.columns.get(name) == []]
        if "start_utc" not in self.columns:
            found.append("columns = start_utc is missing: which of their columns holds the start of the interval?")
        if found:
            raise ValueError("\n".join(found))
        return self


class OpenMeteoInput(Section):
    """Weather from Open-Meteo, https://open-meteo.com, or a server of one's own that speaks as it does. Asked by live sites only."""

    provider: Literal["open_meteo"]
    base_url: str | None = None
    """None: the public address of forecasts, or of ensembles where members are asked for."""
    model: str | None = Field(None, pattern=r"^[a-z0-9_]+$")
    """A weather model as Open-Meteo names it, such as icon_seamless; None: the one it deems best for the place."""
    members: bool = False
    """Whether the members of the model's ensemble are asked for."""
    api_key_variable: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key of a customer; the key itself never stands in a file."""
    timeout_s: float = Field(10.0, gt=0, le=120)
    attempts: int = Field(4, ge=1, le=10)

    @model_validator(mode="after")
    def _can_be_asked(self) -> OpenMeteoInput:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError(f"base_url = {self.base_url!r}: expected an address such as {FORECAST_ADDRESS}, without a query or a password")
        if self.api_key_variable and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError(f"base_url = {self.base_url!r}: a key is sent over https only")
        if self.members and not self.model:
            raise ValueError("members = needs model: which model's ensemble, such as icon_seamless or ecmwf_ifs025?")
        return self

    @property
    def address(self) -> str:
        return (self.base_url or (ENSEMBLE_ADDRESS if self.members else FORECAST_ADDRESS)).rstrip("/")


def _kind(value: Any) -> str:
    provider = value.get("provider") if isinstance(value, dict) else getattr(value, "provider", None)
    return "<open_meteo>" if provider == "open_meteo" else "<files>"


WeatherSource = Annotated[Annotated[WeatherInput, Tag("<files>")] | Annotated[OpenMeteoInput, Tag("<open_meteo>")], Discriminator(_kind)]


class WeatherSection(Section):
    station_id: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude_m: float = 0.0
    label: str = "observed"
    """What the data are, shown wherever they are: observed, or synthetic and how."""
    observations: WeatherSource
    forecasts: WeatherSource | None = None
    """None: persistence of the last observed days stands in, and says so."""

    @model_validator(mode="after")
    def _issues_are_of_forecasts(self) -> WeatherSection:
        seen, expected = self.observations, self.forecasts
        if isinstance(seen, OpenMeteoInput) and seen.members:
            raise ValueError("observations.members = what has been has no members; they belong to [weather.forecasts]")
        for name in ("issued_utc", MEMBER) if isinstance(seen, WeatherInput) else ():
            if name in seen.columns:
                raise ValueError(f"observations.columns.{name} = observations have none; it belongs to [weather.forecasts]")
        if isinstance(expected, WeatherInput) and "issued_utc" not in expected.columns:
            raise ValueError("forecasts.columns = issued_utc is missing: which of their columns says when a forecast became known?")
        return self
