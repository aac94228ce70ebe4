"""A day's raw readings: the staged rows of every landed file that speaks of it; and days whose files came too late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import FILE_DAYS, FINISHED_DAYS, LANDED_FILES, LANDED_ROWS, NODE_LOADS, RAW_READINGS, READINGS


def rows_of_files(lake: Lake, since: date | None = None) -> pd.DataFrame:
    """Staged rows per file and site day: file_id, day (date), rows; from the lists of landed files.

    A file never speaks of a day after its arrival's run, so for days from ``since`` on the lists of earlier arrival days
    than the day before need not be read.
    """
    earliest = (since - timedelta(days=1)).isoformat() if since else ""
    partitions = [one for one in lake.partitions(LANDED_FILES) if one >= earliest]
    files = lake.read(LANDED_FILES, partitions, ["file_id", "days_touched", "rows_of_days"]).drop_duplicates("file_id", keep="last")
    found = [
        (row.file_id, date.fromisoformat(day), int(count))
        for row in files.itertuples()
        for day, count in zip(row.days_touched.split(), row.rows_of_days.split(), strict=True)
    ]
    return pd.DataFrame(found, columns=["file_id", "day", "rows"])


def raw_readings(lake: Lake, files: Sequence[str], day: date, known_until: datetime | None = None) -> pa.Table:
    """The rows of one day in the named landed files, as RAW_READINGS; only those that had arrived by ``known_until``."""
    staged = lake.read_arrow(LANDED_ROWS, sorted(files)) if len(files) else LANDED_ROWS.empty()
    wanted = pc.equal(staged["day"], pa.scalar(day, pa.date32()))
    if known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(staged["received_utc"], pa.scalar(known_until, pa.timestamp("us", tz="UTC"))))
    return staged.filter(wanted).select(RAW_READINGS.columns)


def finish_day(lake: Lake, day: date) -> None:
    """Notes which readings a day's node loads were made from. Call it when everything else of the day is written."""
    lake.write(FINISHED_DAYS, pd.DataFrame({"day": [day], "readings_hash": [lake.content_hash(READINGS, day)]}), day)


def is_finished(lake: Lake, day: date) -> bool:
    """Whether the day's node loads were made from the readings that it has: not so when a run died between the two."""
    noted = lake.read(FINISHED_DAYS, day, ["readings_hash"])["readings_hash"].tolist()
    return lake.pointer(NODE_LOADS, day) is not None and noted == [lake.content_hash(READINGS, day)]


def stale_days(lake: Lake, since: date | None = None) -> list[date]:
    """Days that should be materialised again: made from other rows than those that have landed, or half replaced.

    ``since`` leaves older days out.
    """
    landed = rows_of_files(lake, since)
    made = {date.fromisoformat(key) for key in lake.partitions(FILE_DAYS)}
    wanted = {day: dict(zip(rows["file_id"], rows["rows"], strict=True)) for day, rows in landed.groupby("day")}
    found = []
    for day in sorted(made):
        if since is None or day >= since:
            here = lake.read(FILE_DAYS, day, ["file_id", "rows"])
            if dict(zip(here["file_id"], here["rows"], strict=True)) != wanted.get(day, {}) or not is_finished(lake, day):
                found.append(day)
    return found
