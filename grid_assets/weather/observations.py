"""Weather files as the site's intervals: columns mapped, impossible values taken out and counted, hours brought to intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import MEMBER, WeatherInput, WeatherSection
from grid_assets.weather.solar import Sun

LIMITS: dict[str, tuple[float, float]] = {
    "temperature_degc": (-60.0, 60.0),
    "humidity_pct": (0.0, 100.0),
    "wind_speed_m_s": (0.0, 75.0),
    "ghi_w_m2": (0.0, 1500.0),
    "cloud_cover_pct": (0.0, 100.0),
}
"""What can occur at the ground; anything else becomes null."""
VARIABLES = tuple(LIMITS)
NOT_MEASURED = " (Open-Meteo: past hours of weather models, not measured)"
IMPOSSIBLE = "impossible_values"
"""How many values of a row were taken out because they cannot be."""


class WeatherFileError(ValueError):
    """A weather file that cannot be used: file, column or row, what was expected."""


@dataclass(frozen=True)
class WeatherFile:
    """The rows of all files of an input, in time order."""

    rows: pd.DataFrame
    """start_utc, issued_utc for forecasts, member where the files have one, the VARIABLES (null where a file has none) and
    IMPOSSIBLE."""
    impossible: int
    """Values outside LIMITS and values that are no numbers, now null."""


def read_weather(source: WeatherInput, *, forecast: bool = False) -> WeatherFile:
    """Reads the files of a folder that match the pattern (``*`` stands for anything). A later file's rows replace an
    earlier one's of the same time. Raises WeatherFileError.
    """
    expression = re.compile(".*".join(re.escape(part) for part in re.split(r"\*|\{received\}", source.pattern)))
    files = sorted(one for one in source.folder.glob("*") if expression.fullmatch(one.name)) if source.folder.is_dir() else []
    if not files:
        raise WeatherFileError(f"{source.folder}: no file matches {source.pattern!r}; see [weather] in the site file")
    return read_files(files, source, forecast=forecast)


def read_files(files: Sequence[Path], source: WeatherInput, *, forecast: bool = False) -> WeatherFile:
    """The rows of these files, at least one, which have the columns of ``source``. Raises WeatherFileError."""
    times = ["issued_utc", "start_utc"] if forecast else ["start_utc"]
    absent = [name for name in times if name not in source.columns]
    if absent:
        raise WeatherFileError(f"[weather] columns: missing {absent}; expected {', '.join([*times, *VARIABLES])}")
    rows = pd.concat([_mapped(one, source, times) for one in files], ignore_index=True)
    keys = [*times[:-1], *([MEMBER] if MEMBER in source.columns else []), "start_utc"]
    rows = rows.drop_duplicates(keys, keep="last").sort_values(keys, ignore_index=True)
    return WeatherFile(rows, int(rows[IMPOSSIBLE].sum()))


def _opened(file: Path, form: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(file) if form == "parquet" else pd.read_csv(file)
    except (pa.ArrowException, OSError, ValueError) as error:  # the errors of pandas' CSV reader and of decoding are ValueErrors
        raise WeatherFileError(
            f"{file}: cannot be read as {form} ({' '.join(str(error).split())[:200]}); is it whole? Have it delivered again, or take it away"
        ) from error


def _mapped(file: Path, source: WeatherInput, times: list[str]) -> pd.DataFrame:
    """A file's rows under our names, with the number of each row's impossible values."""
    frame = _opened(file, source.format)
    named = [one for theirs in source.columns.values() for one in ([theirs] if isinstance(theirs, str) else theirs)]
    absent = [name for name in named if name not in frame]
    if absent:
        raise WeatherFileError(f"{file}: columns {absent} are not there; it has {list(frame.columns)}")
    made: dict[str, pd.Series | float] = {}
    for ours in times:
        read = pd.to_datetime(frame[_one_name(source.columns, ours)], utc=True, errors="coerce")
        if read.isna().any():
            raise WeatherFileError(
                f"{file}, row {int(read.isna().idxmax()) + 1}: {ours} cannot be read; expected an ISO time, UTC if without zone"
            )
        made[ours] = read.dt.as_unit("us")
    if MEMBER in source.columns:
        made[MEMBER] = _member_numbers(frame[_one_name(source.columns, MEMBER)], file)
    impossible = pd.Series(0, index=frame.index)
    for ours, (least, most) in LIMITS.items():
        theirs = source.columns.get(ours, [])
        given = frame[[theirs] if isinstance(theirs, str) else theirs]
        numbers = given.apply(pd.to_numeric, errors="coerce").astype(float)
        sound = numbers.where((numbers >= least) & (numbers <= most))  # before the mean: one broken sensor must not shift it
        impossible += (given.notna() & sound.isna()).sum(axis=1).astype(int)
        made[ours] = sound.mean(axis=1) if sound.shape[1] else np.nan
    return pd.DataFrame({**made, IMPOSSIBLE: impossible})


def _member_numbers(given: pd.Series, file: Path) -> pd.Series:
    numbers = pd.to_numeric(given, errors="coerce")
    wrong = ~(numbers >= 0) | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.idxmax())
        raise WeatherFileError(f"{file}, row {row + 1}: member {given[row]!r} cannot be read; expected a whole number from 0 on")
    return numbers.astype("int64")


def _one_name(columns: Mapping[str, str | list[str]], ours: str) -> str:
    theirs = columns[ours]
    if not isinstance(theirs, str):
        raise WeatherFileError(f"[weather] columns.{ours}: expected one column name, got a list")
    return theirs


def to_intervals(rows: pd.DataFrame, start_utc: pd.DatetimeIndex, interval: pd.Timedelta, sun: Sun) -> pd.DataFrame:
    """The VARIABLES per interval, from means of hours (or of whatever step the file has).

    Finer rows are averaged. Coarser ones: irradiance is spread over its hour in the shape of the cloudless sky, so that the
    hour's energy stays and night stays dark; the others run straight between the middles of the hours. An interval whose
    hour is absent is null. Returns a frame indexed by ``start_utc``, with IMPOSSIBLE of the rows that an interval is from.
    """
    if len(rows) < 2 or not len(start_utc):
        return nothing_known(start_utc)
    values = rows.set_index("start_utc")[list(VARIABLES)]
    flawed = rows[IMPOSSIBLE].to_numpy() if IMPOSSIBLE in rows else np.zeros(len(rows), dtype=int)
    step = pd.Series(values.index).diff().median()
    if step <= interval:
        origin = start_utc[0]
        binned = origin + ((values.index - origin) // interval) * interval
        counted = pd.Series(flawed, binned).groupby(level=0).sum().reindex(start_utc, fill_value=0)
        return values.groupby(binned).mean().reindex(start_utc).assign(**{IMPOSSIBLE: counted})
    own = values.index.searchsorted(start_utc, side="right") - 1
    within = (own >= 0) & (start_utc - values.index[np.maximum(own, 0)] < step)
    middles = _seconds(values.index + step / 2)
    made = {}
    for name in VARIABLES:
        known = values[name].to_numpy()
        held = np.where(within, known[np.maximum(own, 0)], np.nan)
        if name == "ghi_w_m2":
            made[name] = _spread_over_the_hour(held, np.where(within, own, -1), sun.rows(start_utc)["clear_sky_ghi_w_m2"].to_numpy())
        elif np.isfinite(known).any():
            there = np.isfinite(known)
            straight = np.interp(_seconds(start_utc + interval / 2), middles[there], known[there])
            made[name] = np.where(np.isfinite(held), straight, np.nan)
        else:
            made[name] = held
    return pd.DataFrame({**made, IMPOSSIBLE: np.where(within, flawed[np.maximum(own, 0)], 0)}, index=start_utc)


def nothing_known(start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """The frame of to_intervals where there is nothing."""
    return pd.DataFrame(np.nan, index=start_utc, columns=list(VARIABLES)).assign(**{IMPOSSIBLE: 0})


def _spread_over_the_hour(held: np.ndarray, hour: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Irradiance in the shape of the cloudless sky; an hour without any sun keeps its mean."""
    mean = pd.Series(clear).groupby(hour).transform("mean").to_numpy()
    return np.where(mean > 1, held * clear / np.maximum(mean, 1), held)


def _seconds(instants: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(instants.as_unit("us").asi8, dtype=float) / 1e6


def observed_rows(site: Site, values: pd.DataFrame, start_utc: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of OBSERVATIONS for the intervals of a day, from a frame of to_intervals over a longer time."""
    station = section_of(site)
    part = values.reindex(start_utc).rename_axis("start_utc").reset_index()
    source = station.label if isinstance(station.observations, WeatherInput) else f"{station.label}{NOT_MEASURED}"
    return part.assign(station_id=station.station_id, source=source)


def section_of(site: Site) -> WeatherSection:
    """The site's [weather]. Raises WeatherFileError where it has none."""
    if site.weather is None:
        raise WeatherFileError(f"{site.name}: the site file has no [weather]")
    return site.weather
