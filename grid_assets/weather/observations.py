"""Weather files to intervals of the site: read, averaged over grid points, bounded by physics, brought to the interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.foundation.site_sections import WeatherInput

QUANTITIES = ("temperature_degc", "humidity_pct", "wind_speed_m_s", "ghi_w_m2", "cloud_cover_pct")
PHYSICAL_LIMITS = {
    "temperature_degc": (-70.0, 60.0),  # a little beyond the records of the World Meteorological Organization
    "humidity_pct": (0.0, 100.0),
    "wind_speed_m_s": (0.0, 115.0),
    "ghi_w_m2": (-10.0, 1600.0),  # pyranometers read a little below zero at night
    "cloud_cover_pct": (0.0, 100.0),
}
LONGEST_BRIDGE = pd.Timedelta(hours=3)
"""A longer hole between two values of a source stays a hole."""


class WeatherFileError(ValueError):
    """A weather file that cannot be used: which file, what is wrong, what was expected."""


def read_weather(source: WeatherInput) -> pd.DataFrame:
    """All rows of a weather input, in our names, sorted by time; for forecasts also by issue time.

    Values outside physical limits become empty: a thermometer that says 900 degrees says nothing.

    Returns: start_utc (datetime64[us, UTC]), for forecasts issued_utc, and those of temperature_degc, humidity_pct, wind_speed_m_s,
    ghi_w_m2, cloud_cover_pct that the input gives.
    Raises WeatherFileError for no file, a missing column or unreadable times.
    """
    files = sorted(source.folder.glob(source.pattern))
    if not files:
        raise WeatherFileError(f"{source.folder}: no file matches {source.pattern!r}; see [weather] in the site file")
    times = [name for name in ("issued_utc", "start_utc") if name in source.columns]
    frame = pd.concat([_read(path, source, times) for path in files], ignore_index=True)
    for name in QUANTITIES:
        if name in frame:
            low, high = PHYSICAL_LIMITS[name]
            frame[name] = frame[name].where(frame[name].between(low, high))
    if "ghi_w_m2" in frame:
        frame["ghi_w_m2"] = frame["ghi_w_m2"].clip(lower=0.0)
    return frame.drop_duplicates(times, keep="last").sort_values(times, ignore_index=True)


def to_intervals(weather: pd.DataFrame, intervals: pd.DatetimeIndex) -> pd.DataFrame:
    """Values at the middle of each interval, linear between a source's own values; those of a coarser source too.

    Parameters: ``weather`` with start_utc and quantities, one row a time; a row stands for the middle of its own interval.
    ``intervals``: UTC starts, regular.
    Returns: a frame indexed by ``intervals`` with all QUANTITIES; empty where the source has none or a hole of over three hours.
    """
    made = pd.DataFrame(index=intervals, columns=list(QUANTITIES), dtype=float)
    if weather.empty or len(intervals) == 0:
        return made
    times = weather["start_utc"].astype("datetime64[us, UTC]").to_numpy().astype("datetime64[us]").astype(np.int64)
    own_step = int(np.median(np.diff(times))) if len(times) > 1 else 0
    step = _step(intervals)
    wanted = intervals.as_unit("us").asi8 + step // 2
    for name in QUANTITIES:
        if name not in weather:
            continue
        values = weather[name].to_numpy(float)
        known = np.isfinite(values)
        at, values = times[known] + own_step // 2, values[known]
        if len(at) == 0:
            continue
        filled = np.interp(wanted, at, values)
        following = np.clip(np.searchsorted(at, wanted), 0, len(at) - 1)
        preceding = np.clip(following - 1, 0, len(at) - 1)
        bridge = int(LONGEST_BRIDGE / pd.Timedelta(microseconds=1))
        hole = (at[following] - at[preceding] > bridge) & (wanted != at[following])
        outside = (wanted < at[0] - own_step) | (wanted > at[-1] + own_step)
        made[name] = np.where(hole | outside, np.nan, filled)
    return made


def known_at(observations: pd.DataFrame, instant: pd.Timestamp) -> pd.DataFrame:
    """The observations that were made before ``instant``: nothing of a later time is in them."""
    return observations[observations["start_utc"] < instant]


def latest_issue(forecasts: pd.DataFrame, instant: pd.Timestamp) -> pd.DataFrame:
    """The rows of the last forecast issued by ``instant``; empty when there was none yet."""
    issued = forecasts.loc[forecasts["issued_utc"] <= instant, "issued_utc"]
    return forecasts[forecasts["issued_utc"] == issued.max()] if len(issued) else forecasts.iloc[:0]


def _step(intervals: pd.DatetimeIndex) -> int:
    ticks = intervals.as_unit("us").asi8
    return int(ticks[1] - ticks[0]) if len(ticks) > 1 else 0


def _read(path: Path, source: WeatherInput, times: list[str]) -> pd.DataFrame:
    try:
        raw = pd.read_parquet(path) if source.format == "parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise WeatherFileError(f"{path}: cannot be read as {source.format} ({error})") from error
    if "start_utc" not in source.columns:
        raise WeatherFileError(f"{path}: [weather] columns name no start_utc; say which column is the time")
    made = {}
    for ours, theirs in source.columns.items():
        names = [theirs] if isinstance(theirs, str) else theirs
        missing = [name for name in names if name not in raw]
        if missing:
            raise WeatherFileError(f"{path}: columns {missing} for {ours} are missing; the file has {list(raw.columns)}")
        if ours in times:
            made[ours] = _times(path, names[0], raw[names[0]])
        elif ours in QUANTITIES:
            made[ours] = raw[names].apply(pd.to_numeric, errors="coerce").mean(axis=1).astype(float)
        else:
            raise WeatherFileError(f"{path}: {ours} is no quantity of ours; known are {', '.join((*times, *QUANTITIES))}")
    return pd.DataFrame(made)


def _times(path: Path, name: str, values: pd.Series) -> pd.Series:
    parsed = pd.to_datetime(values, utc=True, errors="coerce")
    if parsed.isna().any():
        row = int(np.flatnonzero(parsed.isna())[0])
        raise WeatherFileError(f"{path}, row {row + 1}: {name} = {values.iloc[row]!r} is not a time")
    return parsed.astype("datetime64[us, UTC]")
