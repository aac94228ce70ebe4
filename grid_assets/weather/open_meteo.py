"""What Open-Meteo is asked and how its answer reads: https://open-meteo.com/en/docs and /en/docs/ensemble-api."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from grid_assets.foundation.weather_section import MEMBER, OpenMeteoInput, WeatherSection
from grid_assets.weather.answers import NoAnswer
from grid_assets.weather.observations import LIMITS, VARIABLES

ASKED: Mapping[str, tuple[str, str]] = {
    "temperature_degc": ("temperature_2m", "°C"),
    "humidity_pct": ("relative_humidity_2m", "%"),
    "wind_speed_m_s": ("wind_speed_10m", "m/s"),
    "ghi_w_m2": ("shortwave_radiation", "W/m²"),
    "cloud_cover_pct": ("cloud_cover", "%"),
}
"""Our name -> theirs and the unit that is asked for."""
PRECEDING = ("ghi_w_m2",)
"""Stamped at the end of the hour whose mean they are; the others are values at the instant of their stamp."""
HOUR_S = 3600
MOST_PAST_DAYS = 92
MOST_COMING_DAYS = 16


def fields_of(place: WeatherSection, source: OpenMeteoInput, *, coming_days: int, past_days: int = 0) -> dict[str, str]:
    """The query: hours of UTC as seconds since 1970, so that no clock change can move them, and units that we use.

    ``coming_days``, ``past_days``: days of UTC from today on and before it; more than the service has are not asked for.
    """
    made = {
        "latitude": f"{place.latitude:.4f}", "longitude": f"{place.longitude:.4f}", "elevation": f"{place.altitude_m:g}",
        "hourly": ",".join(theirs for theirs, _ in ASKED.values()), "timezone": "GMT", "timeformat": "unixtime",
        "temperature_unit": "celsius", "wind_speed_unit": "ms",
        "forecast_days": str(min(coming_days, MOST_COMING_DAYS)), "past_days": str(min(past_days, MOST_PAST_DAYS)),
    }  # fmt: skip
    return made | ({"models": source.model} if source.model else {})


def path_of(source: OpenMeteoInput) -> str:
    return f"{source.address}/v1/{'ensemble' if source.members else 'forecast'}"


def rows_of(answer: bytes, *, members: bool = False) -> pd.DataFrame:
    """An answer as means of hours: start_utc, the VARIABLES, and with ``members`` the number of each, 0 the control run.

    A value at an instant stands at the edge of two hours: an hour's mean is the mean of its two edges, or the one that is
    there. Null stays null, and what cannot be (80 degC) is kept as it came: the reader of kept files takes it out and counts it.
    Raises NoAnswer where the answer is not what was asked for: not JSON, another shape, another unit, another clock.
    """
    try:
        whole = json.loads(answer)
    except ValueError as error:
        raise NoAnswer(f"the answer is no JSON ({str(error)[:120]}); was it cut off?") from None
    hourly, units = _section(whole, "hourly"), _section(whole, "hourly_units")
    if whole.get("utc_offset_seconds") != 0 or units.get("time") != "unixtime":
        raise NoAnswer(f"the answer's clock is {whole.get('timezone')!r}, {units.get('time')!r}; expected unixtime of GMT")
    stamps = _stamps(hourly)
    found = [_member_rows(hourly, units, stamps, number) for number in (_members(hourly) if members else [None])]
    return pd.concat(found, ignore_index=True)


def _section(whole: object, name: str) -> dict:
    section = whole.get(name) if isinstance(whole, dict) else None
    if not isinstance(section, dict):
        raise NoAnswer(f"the answer has no {name}; expected the schema of open-meteo.com/en/docs")
    return section


def _stamps(hourly: dict) -> np.ndarray:
    stamps = hourly.get("time")
    whole = isinstance(stamps, list) and len(stamps) > 1 and all(type(one) is int for one in stamps)
    if not whole or (np.diff(stamps) != HOUR_S).any():
        raise NoAnswer("the answer's hourly.time is no list of hours that follow each other; expected seconds since 1970")
    return np.asarray(stamps, dtype=np.int64)


def _members(hourly: dict) -> list[int]:
    theirs = ASKED["temperature_degc"][0]
    numbers = [re.fullmatch(rf"{theirs}(?:_member(\d+))?", name) for name in hourly]
    found = sorted(int(one.group(1) or 0) for one in numbers if one)
    if len(found) < 2:
        raise NoAnswer(f"the answer has no members of {theirs}; expected {theirs}_member01 and so on: is the model an ensemble?")
    return found


def _member_rows(hourly: dict, units: dict, stamps: np.ndarray, member: int | None) -> pd.DataFrame:
    made: dict[str, object] = {"start_utc": pd.to_datetime(stamps[:-1], unit="s", utc=True).as_unit("us")}
    if member is not None:
        made[MEMBER] = member
    for ours in VARIABLES:
        theirs, unit = ASKED[ours]
        name = f"{theirs}_member{member:02d}" if member else theirs
        if units.get(name) != unit or not isinstance(hourly.get(name), list) or len(hourly[name]) != len(stamps):
            raise NoAnswer(
                f"the answer's {name} is in {units.get(name)!r} with {len(hourly.get(name) or [])} values; "
                f"expected {unit} and {len(stamps)}"
            )
        values = pd.to_numeric(pd.Series(hourly[name], dtype=object), errors="coerce").to_numpy(float)
        made[ours] = values[1:] if ours in PRECEDING else _between(values, *LIMITS[ours])
    return pd.DataFrame(made).dropna(subset=list(VARIABLES), how="all")


def _between(values: np.ndarray, least: float, most: float) -> np.ndarray:
    """The mean of each hour from the values at its edges; an edge that cannot be stands for the hour, lest a mean hide it."""
    begin, end = values[:-1], values[1:]
    mean = np.where(np.isnan(begin), end, np.where(np.isnan(end), begin, (begin + end) / 2))
    mean = np.where((end < least) | (end > most), end, mean)
    return np.where((begin < least) | (begin > most), begin, mean)
