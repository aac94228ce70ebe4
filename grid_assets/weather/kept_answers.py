"""What a service answered, kept as Parquet in the site's state: a run can be repeated from it, and nothing is asked twice.

    <state>/weather/forecasts/20260101T074500Z.parquet    issued_utc (when it was received), start_utc, member if asked for, values
    <state>/weather/observations/20260101T074500Z.parquet start_utc, values; whole days of the site

They are files as a site's own may be: with [weather.forecasts] naming such a folder a replay reads them without this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.site import Site
from grid_assets.foundation.weather_section import MEMBER, OpenMeteoInput, WeatherInput
from grid_assets.weather.observations import IMPOSSIBLE, VARIABLES, WeatherFile, read_files

FORECASTS, OBSERVATIONS = "forecasts", "observations"
NAME = "%Y%m%dT%H%M%SZ"


def folder_of(site: Site, what: str) -> Path:
    return site.state / "weather" / what


def keep(site: Site, what: str, rows: pd.DataFrame, received: datetime, told: Mapping[str, str]) -> Path:
    """Writes an answer's rows whole or not at all. ``told``: where they are from, without any key; it stands in the file's metadata."""
    path = folder_of(site, what) / f"{received.astimezone(UTC):{NAME}}.parquet"
    kept = rows.assign(issued_utc=pd.Timestamp(received).tz_convert("UTC").floor("s")) if what == FORECASTS else rows
    table = pa.Table.from_pandas(kept, preserve_index=False)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), "weather": json.dumps(dict(told))}), sink, compression="zstd"
    )
    put_atomically(path, sink.getvalue())
    return path


def received_of(path: Path) -> datetime:
    return datetime.strptime(path.stem, NAME).replace(tzinfo=UTC)


def kept_files(site: Site, what: str, first: datetime | None = None, last: datetime | None = None) -> list[Path]:
    """The kept files received from ``first`` to ``last``, both included, oldest first."""
    found = sorted(folder_of(site, what).glob("*.parquet"))
    return [one for one in found if (first is None or received_of(one) >= first) and (last is None or received_of(one) <= last)]


def read_kept(site: Site, what: str, source: OpenMeteoInput, first: datetime | None = None, last: datetime | None = None) -> WeatherFile:
    """The rows of these files, impossible values taken out and counted as of any file. Raises WeatherFileError.

    Forecasts before and after a change of ``members`` read together: one without members counts as member 0.
    """
    files, forecast = kept_files(site, what, first, last), what == FORECASTS
    times = ["issued_utc", "start_utc"] if forecast else ["start_utc"]
    if not files:
        members = [MEMBER] if forecast and source.members else []
        empty = {name: pd.Series(dtype="datetime64[us, UTC]") for name in times} | {name: pd.Series(dtype="int64") for name in members}
        values = {name: pd.Series(dtype=float) for name in VARIABLES} | {IMPOSSIBLE: pd.Series(dtype="int64")}
        return WeatherFile(pd.DataFrame({**empty, **values}), 0)
    parts = [_read(one, times, forecast) for one in files]
    rows = pd.concat([one.rows for one in parts], ignore_index=True)
    if MEMBER in rows:
        rows[MEMBER] = rows[MEMBER].fillna(0).astype("int64")
    else:
        rows = rows.drop_duplicates(times, keep="last")
    return WeatherFile(rows.sort_values(times, ignore_index=True), sum(one.impossible for one in parts))


def _read(file: Path, times: list[str], forecast: bool) -> WeatherFile:
    names = [*times, *VARIABLES]
    if forecast and MEMBER in pq.read_schema(file).names:
        names.append(MEMBER)
    return read_files(
        [file], WeatherInput(folder=file.parent, pattern="*.parquet", columns={name: name for name in names}), forecast=forecast
    )
