"""A day's raw readings: the staged rows of every landed file that speaks of it; and which days are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import FINISHED_DAYS, LANDED_FILES, LANDED_ROWS, NODE_LOADS, RAW_READINGS, READINGS


def rows_of_files(lake: Lake, since: date | None = None) -> pd.DataFrame:
    """Staged energy rows per file and site day: file_id, file_name, day (date), rows; from the lists of landed files.

    A file never speaks of a day after its arrival's run, so for days from ``since`` on the lists of earlier arrival days
    than the day before need not be read.
    """
    return _listed(lake, since, "days_touched", "rows_of_days")


def measurement_rows_of_files(lake: Lake, since: date | None = None) -> pd.DataFrame:
    """The same of staged rows of other quantities."""
    return _listed(lake, since, "measurement_days", "rows_of_measurement_days")


def _listed(lake: Lake, since: date | None, days: str, rows: str) -> pd.DataFrame:
    earliest = (since - timedelta(days=1)).isoformat() if since else ""
    partitions = [one for one in lake.partitions(LANDED_FILES) if one >= earliest]
    files = lake.read(LANDED_FILES, partitions, ["file_id", "file_name", days, rows]).drop_duplicates("file_id", keep="last")
    found = [
        (file_id, name, date.fromisoformat(day), int(count))
        for file_id, name, touched, counts in files.itertuples(index=False)
        for day, count in zip(touched.split(), counts.split(), strict=True)
    ]
    return pd.DataFrame(found, columns=["file_id", "file_name", "day", "rows"])


def raw_readings(lake: Lake, files: Sequence[str], day: date, known_until: datetime | None = None) -> pa.Table:
    """The rows of one day in the named landed files, as RAW_READINGS; only those that had arrived by ``known_until``."""
    staged = lake.read_arrow(LANDED_ROWS, sorted(files)) if len(files) else LANDED_ROWS.empty()
    wanted = pc.equal(staged["day"], pa.scalar(day, pa.date32()))
    if known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(staged["received_utc"], pa.scalar(known_until, pa.timestamp("us", tz="UTC"))))
    return staged.filter(wanted).select(RAW_READINGS.columns)


def finish_day(lake: Lake, day: date, made_from: Mapping[str, str]) -> None:
    """Notes what the day's tables were made from (``staleness.inputs_of_alerts``). Call it when everything else of the day is written."""
    lake.write(FINISHED_DAYS, pd.DataFrame([{"day": day, "readings_hash": lake.content_hash(READINGS, day), **made_from}]), day)


def is_finished(lake: Lake, day: date) -> bool:
    """Whether all of the day was made from the readings that it has: not so when a run died on the way from them to its alerts."""
    noted = lake.read_arrow(FINISHED_DAYS, day, ["readings_hash"])["readings_hash"].to_pylist()
    return lake.pointer(NODE_LOADS, day) is not None and noted == [lake.content_hash(READINGS, day)]
