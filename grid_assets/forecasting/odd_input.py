"""What is odd about what a demand forecast was made from, in plain messages. The forecast is made all the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.forecasting.day_cubes import PLAUSIBLE, WEATHER_COLUMNS, DayGrid, load_kw
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays

NAMED = 5
MISSING_PCT = 10.0
"""Gaps up to this share are what every feed has."""
FLAT_SHARE = 1e-6
"""A load that varies by less than this share of its mean stands still."""


def remarks(
    node_loads: pd.DataFrame,
    features: pd.DataFrame | None,
    grid: DayGrid,
    nodes: Sequence[str],
    power: np.ndarray,
    until: datetime,
    *,
    country: str,
    region: str | None,
) -> list[str]:
    """Messages on loads, weather and calendar; none where all is well.

    ``node_loads``, ``features``: as ``demand.forecast_demand`` takes them; ``power`` [nodes, days, slots]: what is known of ``nodes`` on
    ``grid``, kW; ``until``: the instant up to which things are known.
    """
    return [
        *unknown_country(grid.days, country, region),
        *_after(node_loads, grid, until),
        *_loads(node_loads, grid, nodes, power),
        *_weather(features, grid, until),
    ]


def _after(node_loads: pd.DataFrame, grid: DayGrid, until: datetime) -> list[str]:
    """Rows of which no meter could know yet: intervals that end after the issue time."""
    late = node_loads[node_loads["start_utc"] + grid.clock.interval > pd.Timestamp(until)]
    if late.empty:
        return []
    names = _named(sorted(late["node_id"].astype(str).unique()))
    return [
        f"{names}: {len(late)} rows of load lie after {pd.Timestamp(until).isoformat()}, up to {late['start_utc'].max().isoformat()}: "
        "left out, for nobody could know them then"
    ]


def _loads(node_loads: pd.DataFrame, grid: DayGrid, nodes: Sequence[str], power: np.ndarray) -> list[str]:
    said, past = [], power[:, : grid.known].reshape(len(power), -1)
    kw = load_kw(node_loads, grid.clock.interval_hours).to_numpy(float)
    infinite = sorted(node_loads.loc[np.isinf(kw), "node_id"].astype(str).unique())
    if infinite:
        said.append(f"{_named(infinite)}: {int(np.isinf(kw).sum())} loads are no finite numbers: they count as missing")
    known = np.isfinite(past)
    flat, gaps, negative = [], [], []
    for name, row, has in zip(nodes, past, known, strict=True):
        values = row[has]
        begun = int(has.argmax())
        missing = 100.0 * float((~has[begun:]).mean())
        if len(values) > grid.slots and np.ptp(values) <= FLAT_SHARE * max(float(np.abs(values).mean()), 1e-9):
            flat.append(f"{name} ({values[0]:.4g} kW)")
        if (values < 0).any():
            negative.append(f"{name} ({100.0 * float((values < 0).mean()):.0f} %)")
        if missing > MISSING_PCT:
            gaps.append(f"{name} ({missing:.0f} %)")
    if flat:
        said.append(f"{_named(flat)}: the load never changes: forecast as it is; a meter that stands still looks the same")
    if negative:
        said.append(f"{_named(negative)} of the known intervals feed in: forecast with their sign; MAPE has no meaning near zero")
    if gaps:
        said.append(f"{_named(gaps)} of the load since its first day is missing: the days that are known stand in")
    return said


def _weather(features: pd.DataFrame | None, grid: DayGrid, until: datetime) -> list[str]:
    if features is None:
        return []
    used = features[(features["day"] >= grid.days[0]) & (features["day"] <= grid.day)] if len(features) else features
    if used.empty:
        return [f"no weather is known of {grid.days[0]}..{grid.day}: forecast by calendar and past loads alone"]
    said = absurd_weather(used)
    coming = used[(used["basis"] == "forecast") & (used["day"] == grid.day)]
    degrees = pd.to_numeric(coming["temperature_degc"], errors="coerce") if "temperature_degc" in coming else pd.Series(dtype=float)
    low, high = PLAUSIBLE["temperature_degc"]
    if not ((degrees >= low) & (degrees <= high)).any():
        said.append(f"no temperature was forecast on {grid.day} for the days to come: the last days' weather stands in")
    return said


def absurd_weather(frame: pd.DataFrame) -> list[str]:
    """A message for each weather column of ``frame`` with values that no weather can have."""
    said = []
    for name in (name for name in WEATHER_COLUMNS if name in frame):
        column, (low, high) = pd.to_numeric(frame[name], errors="coerce").to_numpy(float), PLAUSIBLE[name]
        absurd = ~np.isnan(column) & ~((column >= low) & (column <= high))
        if absurd.any():
            said.append(
                f"weather: {int(absurd.sum())} of {len(column)} values of {name} are infinite or lie outside {low:g} .. {high:g}: "
                "they count as missing"
            )
    return said


def unknown_country(days: Sequence[date], country: str, region: str | None) -> list[str]:
    """A message where the country's or region's public holidays are not known."""
    found = PublicHolidays.of(country, region, days[0], days[-1])
    if found.known and not found.region_known:
        return [
            f"region {region!r} of country {country!r} is not known: the country's public holidays stand in; expected an ISO 3166-2 code "
            "without the country, such as ENG of GB"
        ]
    if found.known:
        return []
    place = f"country {country!r}" + (f", region {region!r}" if region else "")
    return [
        f"no public holidays are known of {place}: every day counts by its weekday; expected an ISO 3166 code, such as GB "
        "(and a region of it, such as ENG)"
    ]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
