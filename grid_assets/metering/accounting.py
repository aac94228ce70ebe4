"""Whether every row is accounted for: nothing dropped on arrival, nothing dropped in validation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table
from grid_assets.metering.raw_days import measurement_rows_of_files, rows_of_files, to_be_accounted
from grid_assets.metering.tables import (
    FILE_DAYS,
    LANDED_FILES,
    LANDED_MEASUREMENTS,
    LANDED_ROWS,
    MEASUREMENT_FILE_DAYS,
    MEASUREMENT_INPUTS,
    RAW_INPUTS,
    RAW_READINGS,
    REJECTED_READINGS,
)


def faults_of_landing(files: pd.DataFrame, rejected: pd.DataFrame) -> str:
    """Files (LANDED_FILES) whose rows are not staged + rejected + superseded, whose staged rows no day speaks of, or whose
    refusals are not in the quarantine. Energy and measurements are counted together here and apart per day.
    """
    total = files["rows_staged"] + files["rows_rejected"] + files["rows_superseded"]
    faults = [
        f"{row.file_name} ({row.file_id}): {row.rows} rows, but {row.rows_staged} staged, {row.rows_rejected} rejected, {row.rows_superseded} superseded"
        for row in files[total != files["rows"]].itertuples()
    ]
    spoken = files["rows_of_days"].map(_sum_of) + files["rows_of_measurement_days"].map(_sum_of)
    faults += [
        f"{row.file_name} ({row.file_id}): {row.rows_staged} rows staged, but its days hold {spoken[row.Index]} of energy and measurements"
        for row in files[spoken != files["rows_staged"]].itertuples()
    ]
    quarantined = rejected[rejected["source_row"] > 0].groupby("file_id").size()
    listed = files["file_id"].map(quarantined).fillna(0).astype(int)
    faults += [
        f"{row.file_name} ({row.file_id}): {row.rows_rejected} rows rejected, but {listed[row.Index]} in the quarantine"
        for row in files[listed != files["rows_rejected"]].itertuples()
    ]
    return "; ".join(faults[:5])


def _sum_of(counts: str) -> int:
    return sum(int(one) for one in counts.split())


def faults_of_day(file_days: pd.DataFrame, raw: pd.DataFrame, staged: pd.DataFrame) -> str:
    """Files of a day whose rows are not published + rejected + superseded, or not the rows that were staged.

    ``raw``: the file_id of the day's raw readings; ``staged``: that of the rows of LANDED_ROWS that should be among them,
    from the lists of landed files, so that a file that was left out whole is seen.
    """
    return _faults_of_counts(file_days, raw["file_id"].value_counts().to_dict(), staged["file_id"].value_counts().to_dict())


def _faults_of_counts(file_days: pd.DataFrame, raw: Mapping[str, int], staged: Mapping[str, int]) -> str:
    """The same from the counts of rows per file."""
    counted = {"staged": pd.Series(dict(staged), dtype="int64"), "raw": pd.Series(dict(raw), dtype="int64")}
    table = pd.DataFrame(counted)
    outcomes = file_days.set_index("file_id")[["rows", "published", "rejected", "superseded"]]
    table = table.join(outcomes, how="outer").fillna(0).astype(int)
    wrong = (table["staged"] != table["rows"]) | (table["raw"] != table["rows"])
    wrong |= table["rows"] != table[["published", "rejected", "superseded"]].sum(axis=1)
    wrong |= (table < 0).any(axis=1)
    return "; ".join(f"{file_id}: {row.to_dict()}" for file_id, row in table[wrong].head(5).iterrows())


def landing_faults(lake: Lake, day: date | str) -> str:
    return faults_of_landing(lake.read(LANDED_FILES, day), lake.read(REJECTED_READINGS, day))


def day_faults(lake: Lake, day: date, landed: pd.DataFrame | None = None) -> str:
    """What is wrong with the accounts of one day; "" where every row that had landed when it was gathered is accounted for.

    ``landed``: rows_of_files of this day and others, where the caller has it already.
    """
    landed = rows_of_files(lake, day) if landed is None else landed
    staged = _staged(lake, RAW_INPUTS, LANDED_ROWS, day, landed)
    raw = lake.read_between(RAW_READINGS, day, None, None, ["file_id"], ["file_id"])["file_id"]
    counted = {one["values"]: one["counts"] for one in raw.value_counts().to_pylist()} if len(raw) else {}
    said = _faults_of_counts(lake.read(FILE_DAYS, day), counted, staged)
    return f"{said}; materialise the day from raw_readings on" if said else ""


def measurement_faults(lake: Lake, day: date, landed: pd.DataFrame | None = None) -> str:
    """The same of the measurements of one day. ``landed``: measurement_rows_of_files."""
    landed = measurement_rows_of_files(lake, day) if landed is None else landed
    staged = _staged(lake, MEASUREMENT_INPUTS, LANDED_MEASUREMENTS, day, landed)
    said = _faults_of_counts(lake.read(MEASUREMENT_FILE_DAYS, day), staged, staged)
    return f"{said}; materialise the day's measurements" if said else ""


def _staged(lake: Lake, note: Table, table: Table, day: date, landed: pd.DataFrame) -> dict[str, int]:
    """How many rows of each file must be in a day."""
    files, known_until = to_be_accounted(lake, note, day, landed)
    return {file: count for file in files if (count := _staged_rows(lake, table, file, day, known_until))}


def _staged_rows(lake: Lake, table: Table, file: str, day: date, known_until: datetime | None) -> int:
    """How many staged rows of a file belong to a day, and had arrived by ``known_until``; reads dates and times only."""
    columns = ["day", "received_utc"] if known_until else ["day"]
    rows = lake.read_arrow(table, file, columns)
    wanted = pc.equal(rows["day"], pa.scalar(day, pa.date32()))
    if known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(rows["received_utc"], pa.scalar(known_until, pa.timestamp("us", tz="UTC"))))
    return pc.sum(wanted).as_py() or 0


def refused_by_rule(rules: pd.Series) -> dict[str, int]:
    """How many refused values failed each rule; ``rules`` are names separated by spaces, a value may have failed several."""
    several = rules.dropna().value_counts()
    names = sorted({name for told in several.index for name in told.split()})
    return {f"rejected_{name}": int(sum(count for told, count in several.items() if name in told.split())) for name in names}
