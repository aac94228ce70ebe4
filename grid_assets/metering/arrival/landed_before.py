"""What landed on a day before: rows that were taken over once are never lost because their file went or was overwritten."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.readings_input import ReadingsInput
from grid_assets.metering.arrival.staging import coded_rejections
from grid_assets.metering.tables import LANDED_FILES, REJECTED_READINGS

FAULTY = ("empty", "refused", "unreadable")


class Landing(Protocol):
    """What lands on a day."""

    files: list[dict]
    rejected: list[pa.Table]


class EarlierLanding:
    """What landed on a day before. Rows that were taken over once are never lost because their file went or was overwritten.

    A file that was moved away stays listed. Of a file that was overwritten, every version that landed stays listed: rows
    that only an earlier version holds still count, and where versions disagree the later one counts, because each version
    is received a microsecond after the one before (names and archives tell whole seconds). A version that is unreadable,
    refused or empty takes nothing away.
    """

    def __init__(self, lake: Lake, day: date, inputs: set[str]):
        self._lake, self._day = lake, day
        files = lake.read(LANDED_FILES, day)
        self._files = files[files["input_name"].isin(inputs)].reindex(columns=LANDED_FILES.columns)  # older lakes lack newer columns

    def delay(self, source: ReadingsInput, name: str, file_id: str) -> timedelta:
        """How much later than its name tells this version of a file counts as received; the last version stays what it was."""
        known = self._versions(source.name, name)
        delays = dict(zip(known["file_id"], known["received_utc"].dt.microsecond, strict=True))
        if not delays:
            return timedelta()
        newest = max(delays.values())
        return timedelta(microseconds=int(newest if delays.get(file_id) == newest else newest + 1))

    def keep(self, landing: Landing, in_place: set[tuple[str, str]]) -> None:
        """Adds to a day's landing what landed before and is not in it now. ``in_place``: input and name of the files still there."""
        made = {row["file_id"] for row in landing.files} | {row["duplicate_of"] for row in landing.files}
        now = {(row["input_name"], row["file_name"]): row for row in landing.files}
        kept = []
        for row in self._files[~self._files["file_id"].isin(made)].to_dict("records"):
            row |= {key: "" for key in ("measurement_days", "rows_of_measurement_days") if not isinstance(row[key], str)}
            place = row["input_name"], row["file_name"]
            if place not in in_place:
                kept.append(row)
            elif row["status"] == "landed":
                kept.append(row | {"reason": _told_of_versions(row, now.get(place))})
        if kept:
            landing.files += kept
            refused = self._lake.read_arrow(REJECTED_READINGS, self._day)
            landing.rejected.append(
                coded_rejections(refused.filter(pc.is_in(refused["file_id"], pa.array([row["file_id"] for row in kept]))))
            )

    def _versions(self, input_name: str, file_name: str) -> pd.DataFrame:
        same = (self._files["input_name"] == input_name) & (self._files["file_name"] == file_name)
        return self._files[same & (self._files["status"] == "landed")]


def _told_of_versions(earlier: dict, now: dict | None) -> str:
    """The reason of a version that was overwritten; what came in its place is told as well when it could not be taken."""
    if now is None:
        return "its file is there under the same name, but its arrival belongs to another day now; its rows stay"
    if now["status"] in FAULTY:
        said = f"the {earlier['rows_staged']} rows of the version that landed before ({earlier['file_id']}) stay"
        now["reason"] = f"{now['reason']}; {said}"
    return (
        f"overwritten since by a version that is {now['status']}; its rows stay, and where both hold a reading the later version's counts"
    )
