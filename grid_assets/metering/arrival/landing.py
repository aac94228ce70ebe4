"""Landing: which files came on a day, what each holds, which rows are taken over and which are refused, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.lake import Lake, Written
from grid_assets.foundation.registers import DEVICES
from grid_assets.foundation.site import Site
from grid_assets.metering.arrival.archives import Archive
from grid_assets.metering.arrival.arrival_rules import Rules, SiteDays
from grid_assets.metering.arrival.arrivals import archive_files, arrived_files, name_pattern, outside_calendar
from grid_assets.metering.arrival.day_landings import DayLanding, stage_rows
from grid_assets.metering.arrival.known_subjects import KnownSubjects
from grid_assets.metering.arrival.landed_before import EarlierLanding
from grid_assets.metering.arrival.landing_folders import LandingFolder
from grid_assets.metering.tables import LANDED_FILES, REJECTED_READINGS


class EmptyRegister(RuntimeError):
    """The meters register holds no meter: every row would be refused as one of an unknown meter."""


def files_frame(files: list[dict]) -> pd.DataFrame:
    """Rows of LANDED_FILES as a frame."""
    return pd.DataFrame(files, columns=LANDED_FILES.columns)


def rejected_table(rejected: Sequence[pa.Table]) -> pa.Table:
    """Rows of REJECTED_READINGS as one table."""
    return pa.concat_tables(rejected).unify_dictionaries() if rejected else REJECTED_READINGS.empty()


def rejected_frame(rejected: Sequence[pa.Table], most: int | None = None) -> pd.DataFrame:
    """Rows of REJECTED_READINGS as a frame, the first ``most`` of them."""
    return rejected_table(rejected).slice(0, most).cast(REJECTED_READINGS.schema).to_pandas()


def summary(files: list[dict], rejected: Sequence[pa.Table]) -> dict[str, int]:
    """Key figures of a landing: files by status, rows by what became of them, refusals by rule."""
    frame, rules = files_frame(files), pc.value_counts(rejected_table(rejected)["rule"].cast(pa.string())).to_pylist()
    made = {f"files_{status}": int(count) for status, count in frame["status"].value_counts().sort_index().items()}
    made |= {name: int(frame[name].sum()) for name in ("rows", "rows_staged", "rows_rejected", "rows_superseded")}
    return made | {f"rejected_{one['values']}": int(one["counts"]) for one in sorted(rules, key=lambda one: one["values"])}


def faults_of_files(files: pd.DataFrame) -> str:
    """The files (LANDED_FILES) that could not be read, and those of which no row could be taken over, as ones of another year."""
    wrong = files[files["status"].isin(["unreadable", "refused"])]
    none = files[(files["status"] == "landed") & (files["rows"] > 0) & (files["rows_staged"] == 0)]
    told = [f"{row.status}: {row.reason}" for row in wrong.itertuples()]
    return "; ".join(
        [*told, *(f"{row.file_name}: none of its {row.rows} rows could be taken over; see rejected_readings" for row in none.itertuples())]
    )


def rows_by_day_and_outcome(files: list[dict]) -> pd.DataFrame:
    """Rows landed, by day of arrival on the clock of UTC, and by what became of them."""
    frame = files_frame(files)
    day = pd.to_datetime(frame["received_utc"], utc=True).dt.date
    return frame.groupby(day)[["rows_staged", "rows_rejected", "rows_superseded"]].sum()


def land_days(
    site: Site, lake: Lake, meters: pd.DataFrame, days: Sequence[date], devices: pd.DataFrame | None = None, stage: bool = False
) -> Iterator[DayLanding]:
    """Lands the arrivals of some days, each day's when it is asked for; every file is read once. With ``stage`` the rows of each file
    are written at once and not kept, else ``write_landing`` does; either way it lists the files.

    ``meters`` and ``devices`` are the registers; devices that are not given are those of the lake. ``lake`` is asked which contents landed before, when a file is no longer in its folder.
    What landed before stays landed when its file was moved away or overwritten since; see EarlierLanding.
    Raises ArrivalError where a landing folder or an archive is not there, EmptyRegister where no meter is known.
    """
    if meters.empty:
        raise EmptyRegister("the meters register is empty: materialise the registers job first")
    devices = lake.read(DEVICES) if devices is None else devices
    calendar = SiteDays.of(site.clock, max(days) + timedelta(days=1))
    rules = Rules(site.clock, calendar, KnownSubjects.of(meters, "meter_id"), KnownSubjects.of(devices, "device_id"))
    archives = []
    for source in site.readings:
        if source.arrival == "archive":
            archives += [Archive(path, source, rules) for path in archive_files(source)]
    folders = [LandingFolder(source, site, lake) for source in site.readings if source.arrival == "file_name"]
    in_place = {(one.source.name, one.name) for one in archives}
    in_place |= {(folder.source.name, arrival.name) for folder in folders for arrival in folder.arrivals}
    for day in days:
        landing = DayLanding(day, lake=lake if stage else None)  # let go once it is landed: a range of days must not stay in memory
        earlier = EarlierLanding(lake, day, {source.name for source in site.readings})
        for archive in archives:
            archive.land(landing, earlier)
        for folder in folders:
            folder.land(landing, rules, earlier)
        earlier.keep(landing, in_place)
        yield landing


def files_of_no_day(site: Site, lake: Lake) -> list[str]:
    """The files in the landing folders that no landed day lists because they arrived outside the site's calendar."""
    first = lake.read(LANDED_FILES, site.clock.first_day, ["input_name", "file_name"])
    return outside_calendar(site, set(first.itertuples(index=False, name=None)))


def files_without_arrival(site: Site) -> list[str]:
    """The files in the landing folders whose names tell no time of arrival, so that no run lands them, and the names expected."""
    found = []
    for source in site.readings:
        sharing = [name_pattern(one) for one in site.readings if one is not source and one.folder == source.folder]
        for name in arrived_files(source, site.clock)[1] if source.arrival == "file_name" else ():
            if not any(one.fullmatch(name) for one in sharing):
                expected = f"expected {source.pattern!r} with {{received}} as 20160526T070000Z or 2016-05-26; rename the file"
                found.append(f"{source.name}: {name} ({expected})")
    return found


def write_landing(lake: Lake, landing: DayLanding) -> tuple[Written, Written]:
    """Stages the rows first and names the files last, so that no file is listed whose rows are not there."""
    stage_rows(lake, landing)
    rejected = lake.write(REJECTED_READINGS, rejected_table(landing.rejected), landing.day)
    return lake.write(LANDED_FILES, files_frame(landing.files), landing.day), rejected
