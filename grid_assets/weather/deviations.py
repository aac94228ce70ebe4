"""How far a temperature forecast is likely to be off: from a site's own past errors by lead, else from a default curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.weather_section import MEMBER
from grid_assets.weather.persistence import PERSISTED_DAYS

LOOKED_BACK_DAYS = 30
MINIMUM_TIMES = 10
"""So many issues (of persistence: days) must have errors of a lead before they count."""
MINIMUM_MEMBERS = 5
EDGES = (0.0, 12.0, 24.0, 36.0, 48.0, 72.0, 96.0, 120.0, 144.0, 168.0, 192.0, 240.0)
"""Leads, h, within which errors are taken together."""
LEADS = np.arange(0.0, 24.0 * 24 + 1)
FORECAST_DEGC = (0.9, 0.015, 4.5)
"""The default of a forecast: so much at once, so much more each hour, and at most that: a month's spread about its mean."""
PERSISTENCE_DEGC = ((0.0, 24.0, 48.0, 96.0, 192.0, 240.0), (3.2, 3.5, 3.9, 4.1, 4.4, 4.6))
"""The default of persistence, by lead: between what it missed at the three places of docs/weather.md."""
ERROR_COLUMNS = ("issued", "known_utc", "lead_hours", "error_degc", "spread_degc")


@dataclass(frozen=True)
class Errors:
    """What was off in the past: rows of ERROR_COLUMNS in the order of known_utc, of forecasts and of persistence.

    ``issued``: an instant; of persistence the UTC midnight of the last day that it looked at.
    """

    forecast: pd.DataFrame
    persistence: pd.DataFrame


def default_forecast_degc(lead_hours: np.ndarray) -> np.ndarray:
    first, growth, most = FORECAST_DEGC
    return np.minimum(first + growth * np.maximum(lead_hours, 0.0), most)


def default_persistence_degc(lead_hours: np.ndarray) -> np.ndarray:
    return np.interp(lead_hours, *PERSISTENCE_DEGC)


def past_errors(issues: pd.DataFrame | None, observed: pd.DataFrame, clock: SiteCalendar) -> Errors:
    """Errors of all issues and of persistence against what was observed, hour by hour.

    ``issues``: issued_utc, start_utc, temperature_degc and member where there are members; None without a provider.
    ``observed``: rows of OBSERVATIONS.
    """
    hourly = observed["temperature_degc"].astype(float).groupby(observed["start_utc"].dt.floor("h")).mean()
    return Errors(_forecast_errors(issues, hourly), _persistence_errors(hourly.dropna(), clock))


def _forecast_errors(issues: pd.DataFrame | None, hourly: pd.Series) -> pd.DataFrame:
    if issues is None or issues.empty or hourly.empty:
        return pd.DataFrame(columns=list(ERROR_COLUMNS))
    there = issues[(issues["start_utc"] >= hourly.index[0]) & (issues["start_utc"] <= hourly.index[-1] + pd.Timedelta("1h"))]
    by = [there["issued_utc"], there["start_utc"].dt.floor("h").rename("hour_utc")]
    members = [there[MEMBER]] if MEMBER in there else []
    told = there["temperature_degc"].groupby([*by, *members]).mean()
    grouped = told.groupby(level=[0, 1])
    made = grouped.mean().to_frame("mean").assign(spread_degc=grouped.std(ddof=1) if members else np.nan).reset_index()
    seen = hourly.reindex(made["hour_utc"]).to_numpy()
    frame = pd.DataFrame({
        "issued": made["issued_utc"], "known_utc": made["hour_utc"],
        "lead_hours": (made["hour_utc"] - made["issued_utc"]) / pd.Timedelta("1h"),
        "error_degc": made["mean"].to_numpy() - seen, "spread_degc": made["spread_degc"],
    })  # fmt: skip
    return frame.dropna(subset=["error_degc"]).sort_values("known_utc", kind="stable", ignore_index=True)


def _persistence_errors(hourly: pd.Series, clock: SiteCalendar) -> pd.DataFrame:
    """Of the mean of three days in a row against each of the following, by the clock's hour; days with gaps have none."""
    local = clock.local(pd.DatetimeIndex(hourly.index))
    if hourly.empty:
        return pd.DataFrame(columns=list(ERROR_COLUMNS))
    table = pd.Series(hourly.to_numpy(), [local.tz_localize(None).normalize(), local.hour]).groupby(level=[0, 1]).mean().unstack()
    table = table.asfreq("D")
    usual, parts = table.rolling(PERSISTED_DAYS, min_periods=PERSISTED_DAYS).mean(), []
    for ahead in range(1, 1 + max(clock.horizon_days, clock.study_day_offset - 1) + 1):
        missed = (usual - table.shift(-ahead)).stack()
        missed.index.names = ["issued", "hour"]
        part = missed.rename("error_degc").reset_index()
        lead = (ahead - 1) * 24.0 + part["hour"] - clock.issue_hour
        known = (part["issued"] + pd.Timedelta(days=ahead)).dt.tz_localize(clock.zone, ambiguous=True, nonexistent="shift_forward")
        times = {"issued": part["issued"].dt.tz_localize("UTC"), "known_utc": known.dt.tz_convert("UTC")}
        parts.append(part.assign(lead_hours=lead, spread_degc=np.nan, **times))
    errors = pd.concat(parts, ignore_index=True)[list(ERROR_COLUMNS)]
    return errors[errors["lead_hours"] >= 0].sort_values("known_utc", kind="stable", ignore_index=True)


def known_errors(errors: pd.DataFrame, clock: SiteCalendar, day: date, at: datetime | pd.Timestamp) -> pd.DataFrame:
    """Those of the last 30 days that were known at ``at``: of forecasts issued by then, and of hours observed up to the end of ``day``.

    ``errors``: in the order of known_utc, as past_errors has them.
    """
    if errors.empty:
        return errors
    bounds = [clock.midnight(day - timedelta(days=LOOKED_BACK_DAYS)), clock.bounds(day)[1]]
    first, last = errors["known_utc"].searchsorted([pd.Timestamp(one) for one in bounds])
    kept = errors.iloc[first:last]
    return kept[(kept["issued"] <= pd.Timestamp(at)).to_numpy()]


def deviation_degc(lead_hours: np.ndarray, known: pd.DataFrame, default: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Standard deviation by lead, never falling: the default curve times what the site's own errors were of it.

    ``known``: rows of known_errors. Errors of leads within the EDGES are taken together (root mean square, bias included)
    where at least ten issues have some; between their middles the factor runs straight, beyond them it stays.
    """
    factor = np.ones(len(LEADS))
    if len(known):
        bucket = np.digitize(known["lead_hours"].to_numpy(float), EDGES) - 1
        own, middles = [], []
        for n, rows in known.groupby(bucket):
            if rows["issued"].nunique() >= MINIMUM_TIMES and 0 <= n < len(EDGES):
                lead = rows["lead_hours"].to_numpy(float)
                expected = np.sqrt(np.mean(default(lead) ** 2))
                own.append(float(np.sqrt(np.mean(rows["error_degc"].to_numpy(float) ** 2)) / expected))
                middles.append(float(lead.mean()))
        if own:
            factor = np.interp(LEADS, middles, own)
    return np.interp(lead_hours, LEADS, np.maximum.accumulate(default(LEADS) * factor))


def spread_factor(known: pd.DataFrame) -> float:
    """What the members' spread must be multiplied with to be as large as the errors of their mean were; 1 where too few are known.

    Ensembles at a point are too narrow as a rule, by their coarse grid and their perturbations (Gneiting and others 2005).
    """
    kept = known[known["spread_degc"] > 0]
    if kept["issued"].nunique() < MINIMUM_TIMES:
        return 1.0
    ratio = np.mean(kept["error_degc"].to_numpy(float) ** 2) / np.mean(kept["spread_degc"].to_numpy(float) ** 2)
    return float(np.clip(np.sqrt(ratio), 0.5, 5.0))
