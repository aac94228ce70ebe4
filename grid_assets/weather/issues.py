"""What was known of coming weather at an issue time: the latest forecast, its members, and persistence behind its end."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import MEMBER
from grid_assets.weather import deviations
from grid_assets.weather.deviations import Errors
from grid_assets.weather.observations import IMPOSSIBLE, VARIABLES, nothing_known, section_of, to_intervals
from grid_assets.weather.persistence import PERSISTENCE, departure, horizon, persisted
from grid_assets.weather.solar import Sun
from grid_assets.weather.tables import FORECAST_MEMBERS

OLD_HOURS = 24
"""A forecast older than this says its age."""
FORECAST, LAST_FORECAST = "forecast (", "last forecast ("
"""How the source of a row begins that is from a forecast."""
BLENDED = f"{PERSISTENCE}, drawn to the end of the forecast"
NOTHING = "nothing known: no forecast and no observed day"


def latest_issue(site: Site, day: date, issues: pd.DataFrame | None, known_until: datetime | None = None) -> pd.DataFrame | None:
    """The rows of the latest issue known at the issue time of ``day``, or at ``known_until``; None where there is none."""
    at = pd.Timestamp(known_until or site.clock.issue_time(day))
    known = issues[issues["issued_utc"] <= at] if issues is not None else None
    return None if known is None or known.empty else known[known["issued_utc"] == known["issued_utc"].max()]


def forecast_rows(
    site: Site,
    day: date,
    issues: pd.DataFrame | None,
    observed: pd.DataFrame,
    sun: Sun,
    *,
    errors: Errors | None = None,
    known_until: datetime | None = None,
) -> pd.DataFrame:
    """Rows of FORECASTS as known at the issue time of ``day``, or at ``known_until``.

    ``issues``: rows of all issues (issued_utc, start_utc, variables, member where there are members), None where the site has
    no provider. ``observed``: rows of OBSERVATIONS. ``errors``: of past_errors, None: the default curves stand. Nothing issued
    later and nothing observed after ``day`` is used. Of members the mean counts. Where the latest issue has no value,
    persistence stands in and ``source`` says so; the temperature then runs from the end of the forecast to the usual
    course within days, and the deviation to expect from the forecast's to that of persistence.
    """
    start_utc, at = horizon(site, day), pd.Timestamp(known_until or site.clock.issue_time(day))
    latest = latest_issue(site, day, issues, known_until)
    told, spread = nothing_known(start_utc), np.full(len(start_utc), np.nan)
    if latest is not None:
        told = to_intervals(mean_of_members(latest), start_utc, pd.Timedelta(site.clock.interval), sun)
        spread = _spread(site, latest, start_utc, sun)
    usual = persisted(site, day, observed, start_utc)
    drawn, share = departure(told["temperature_degc"], usual["temperature_degc"])
    usual = usual.assign(temperature_degc=usual["temperature_degc"] + drawn)
    values = told[list(VARIABLES)].where(told[list(VARIABLES)].notna(), usual)
    label = "" if latest is None else forecast_label(site, latest["issued_utc"].iloc[0], at)
    source = _sources(told, values, share, label)
    issued = np.where(np.isfinite(told[list(VARIABLES)]).any(axis=1), at if latest is None else latest["issued_utc"].iloc[0], at)
    off = _deviation(site, day, start_utc, at, latest, share, spread, errors)
    return values.rename_axis("start_utc").reset_index().assign(
        station_id=section_of(site).station_id,
        issued_utc=pd.to_datetime(issued, utc=True),
        temperature_deviation_degc=np.where(values["temperature_degc"].notna(), off, np.nan),
        impossible_values=told[IMPOSSIBLE].to_numpy(),
        source=source,
    )  # fmt: skip


def brought_up_to_date(morning: pd.DataFrame, newest: pd.DataFrame) -> pd.DataFrame:
    """Rows of FORECASTS: those of ``newest`` as far as a forecast reaches, the morning's where only persistence stands in for one."""
    told = newest[newest["source"].str.startswith((FORECAST, LAST_FORECAST))]
    rest = morning[~morning["start_utc"].isin(told["start_utc"])]
    return pd.concat([one for one in (told, rest) if len(one)] or [newest], ignore_index=True).sort_values("start_utc", ignore_index=True)


def member_rows(site: Site, day: date, issues: pd.DataFrame | None, sun: Sun, *, known_until: datetime | None = None) -> pd.DataFrame:
    """Rows of FORECAST_MEMBERS: each member of the issue that forecast_rows uses, as far as it reaches; none without members."""
    latest = latest_issue(site, day, issues, known_until)
    if latest is None or MEMBER not in latest:
        return FORECAST_MEMBERS.empty().to_pandas()
    start_utc, interval = horizon(site, day), pd.Timedelta(site.clock.interval)
    parts = []
    for number, rows in latest.groupby(MEMBER):
        made = to_intervals(rows, start_utc, interval, sun)[list(VARIABLES)].dropna(how="all")
        parts.append(made.rename_axis("start_utc").reset_index().assign(member=number))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(station_id=section_of(site).station_id, issued_utc=latest["issued_utc"].iloc[0])


def mean_of_members(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a time: the mean of those members that have a value; rows without members as they are."""
    if MEMBER not in rows:
        return rows
    grouped = rows.groupby("start_utc")
    return grouped[list(VARIABLES)].mean().assign(**{IMPOSSIBLE: grouped[IMPOSSIBLE].sum()}).reset_index()


def forecast_label(site: Site, issued: pd.Timestamp, at: pd.Timestamp) -> str:
    """How ``source`` names a forecast: by the site's label, with its age where it is more than a day."""
    name, age = section_of(site).label, (at - issued) / pd.Timedelta("1h")
    return f"{LAST_FORECAST}{name}), {age:.0f} h old" if age > OLD_HOURS else f"{FORECAST}{name})"


def _spread(site: Site, latest: pd.DataFrame, start_utc: pd.DatetimeIndex, sun: Sun) -> np.ndarray:
    """Standard deviation of the members' temperatures by interval, degC; NaN where fewer than five have one."""
    if MEMBER not in latest:
        return np.full(len(start_utc), np.nan)
    grouped = latest.groupby("start_utc")["temperature_degc"]
    width = grouped.std(ddof=1).where(grouped.count() >= deviations.MINIMUM_MEMBERS)
    rows = pd.DataFrame(
        {"start_utc": width.index, **{name: width.to_numpy() if name == "temperature_degc" else np.nan for name in VARIABLES}}
    )
    return to_intervals(rows, start_utc, pd.Timedelta(site.clock.interval), sun)["temperature_degc"].to_numpy(float)


def _deviation(
    site: Site, day: date, start_utc: pd.DatetimeIndex, at: pd.Timestamp, latest: pd.DataFrame | None, share: np.ndarray,
    spread: np.ndarray, errors: Errors | None,
) -> np.ndarray:  # fmt: skip
    """Standard deviation of the temperature's error to expect: the forecast's where it reaches, persistence's far behind it."""
    clock = site.clock
    known = [deviations.known_errors(one, clock, day, at) if one is not None else pd.DataFrame() for one in
             ((errors.forecast, errors.persistence) if errors else (None, None))]  # fmt: skip
    middle = start_utc + pd.Timedelta(clock.interval) / 2
    lead = np.asarray((middle - pd.Timestamp(clock.issue_time(day))) / pd.Timedelta("1h"), dtype=float)
    usual = deviations.deviation_degc(lead, known[1], deviations.default_persistence_degc)
    if latest is None:
        return usual
    since = np.asarray((middle - latest["issued_utc"].iloc[0]) / pd.Timedelta("1h"), dtype=float)
    told = deviations.deviation_degc(since, known[0], deviations.default_forecast_degc)
    if np.isfinite(spread).any():
        told = np.where(np.isfinite(spread), spread * deviations.spread_factor(known[0]), told)
    return np.sqrt(share * told**2 + (1 - share) * usual**2)


def _sources(told: pd.DataFrame, values: pd.DataFrame, share: np.ndarray, label: str) -> np.ndarray:
    """What each row is from; few rows differ, so each kind is worded once."""
    there = told[list(VARIABLES)].notna().to_numpy()
    filled = ~there & values.notna().to_numpy()
    kinds = pd.Series(list(zip(map(tuple, there), map(tuple, filled), share > 0, strict=True)))
    worded = {kind: _worded(*kind, label) for kind in kinds.unique()}
    return kinds.map(worded).to_numpy()


def _worded(there: tuple[bool, ...], filled: tuple[bool, ...], drawn: bool, label: str) -> str:
    if any(there):
        names = [name for name, one in zip(VARIABLES, filled, strict=True) if one]
        return f"{label}; persistence of {', '.join(names)}" if names else label
    if any(filled):
        return BLENDED if drawn else PERSISTENCE
    return NOTHING
