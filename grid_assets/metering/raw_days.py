"""What a day is gathered from: the staged rows of every landed file that speaks of it; and which days are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake, Written
from grid_assets.foundation.tables import Table
from grid_assets.metering.tables import (
    FINISHED_DAYS,
    LANDED_FILES,
    LANDED_ROWS,
    MEASUREMENT_INPUTS,
    MEASUREMENTS,
    NODE_LOADS,
    RAW_INPUTS,
    RAW_READINGS,
    READINGS,
)

GATHERED = {RAW_INPUTS: RAW_READINGS, MEASUREMENT_INPUTS: MEASUREMENTS}
"""Each note of what was gathered, and the table that was made from it."""


def rows_of_files(lake: Lake, since: date | None = None) -> pd.DataFrame:
    """Staged energy rows per file and site day: file_id, file_name, list (its arrival day), day (date), rows; from the lists of landed files.

    A file never speaks of a day after its arrival's run, so for days from ``since`` on the lists of earlier arrival days
    than the day before need not be read.
    """
    return _listed(lake, since, "days_touched", "rows_of_days")


def measurement_rows_of_files(lake: Lake, since: date | None = None) -> pd.DataFrame:
    """The same of staged rows of other quantities."""
    return _listed(lake, since, "measurement_days", "rows_of_measurement_days")


def _listed(lake: Lake, since: date | None, days: str, rows: str) -> pd.DataFrame:
    parts = [lake.read(LANDED_FILES, one, ["file_id", "file_name", days, rows]).assign(list=one) for one in _lists(lake, since)]
    files = pd.concat(parts, ignore_index=True).drop_duplicates("file_id", keep="last") if parts else pd.DataFrame()
    found = [
        (file_id, name, listed, date.fromisoformat(day), int(count))
        for file_id, name, touched, counts, listed in files.itertuples(index=False)
        for day, count in zip(touched.split(), counts.split(), strict=True)
    ]
    return pd.DataFrame(found, columns=["file_id", "file_name", "list", "day", "rows"])


def _lists(lake: Lake, since: date | None) -> list[str]:
    earliest = (since - timedelta(days=1)).isoformat() if since else ""
    return [one for one in lake.partitions(LANDED_FILES) if one >= earliest]


# -- what was gathered ------------------------------------------------------------------------------------------


def lists_now(lake: Lake, since: date) -> dict[str, str]:
    """The lists of landed files that ``rows_of_files`` reads, each with the hash of its content. Ask before reading any of them."""
    return {one: lake.content_hash(LANDED_FILES, one) or "" for one in _lists(lake, since)}


def note_gathered(
    lake: Lake, note: Table, made: Written, lists: Mapping[str, str], files: Sequence[str], known_until: datetime | None, **more: str
) -> None:
    """Notes (RAW_INPUTS, MEASUREMENT_INPUTS) from which lists and files a day's table was made, when it is written."""
    told = {"lists": " ".join(f"{one}:{digest}" for one, digest in lists.items()), "files": " ".join(files)}
    row = {"day": date.fromisoformat(made.partition), "content_hash": made.content_hash, **told, "known_until": known_until, **more}
    lake.write(note, pd.DataFrame([row]).astype({"known_until": "datetime64[us, UTC]"}), made.partition)


def to_be_accounted(lake: Lake, note: Table, day: date, landed: pd.DataFrame) -> tuple[list[str], datetime | None]:
    """The files whose rows must be in a day as it was gathered, and until when a row must have arrived to be in it.

    ``landed``: rows_of_files, or measurement_rows_of_files. A file must be in it where the note names it, or where its list
    is as it was when the day was gathered: so a file that was left out is seen, and one that landed since makes the day stale
    instead. Where it is not noted what was gathered, every listed file must be.
    """
    listed = landed[landed["day"] == day]
    (noted,) = lake.read_arrow(note, day).to_pylist() or [None]
    if noted is None or noted["content_hash"] != lake.content_hash(GATHERED[note], day):
        return sorted(listed["file_id"]), None
    lists = dict(one.rsplit(":", 1) for one in noted["lists"].split())
    same = [one for one, digest in lists.items() if lake.content_hash(LANDED_FILES, one) == digest]
    return sorted({*noted["files"].split(), *listed.loc[listed["list"].isin(same), "file_id"]}), noted["known_until"]


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
