"""Files and archives that were overwritten: no row that landed is lost, and where versions disagree the later counts."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from grid_assets.metering.accounting import landing_faults
from grid_assets.metering.tables import LANDED_FILES, REJECTED_READINGS
from grid_assets_tests.metering.arrival.test_landing import ARCHIVE, NAME, archive_frame, parquet
from grid_assets_tests.metering.conftest import FIRST, as_csv, day_rows


def qualities(made, day=FIRST) -> dict[str, int]:
    return made.make(day).readings["quality"].value_counts().to_dict()


@pytest.mark.parametrize(
    ("damage", "status"),
    [(lambda whole: b"", "empty"), (lambda whole: b"a,b\n1,2\n", "refused"), (lambda whole: b"\x1f\x8b" + whole[:50], "unreadable")],
)
def test_a_file_overwritten_by_a_damaged_version_keeps_its_published_rows(made, damage, status):
    whole = as_csv(day_rows(made.site, FIRST)) + b"m1,x,1,kWh\n"
    name = NAME + ".gz"
    made.drop(name, gzip.compress(whole, mtime=0))
    made.land(FIRST)
    assert qualities(made) == {"measured": 240}
    made.drop(name, damage(whole) if status == "unreadable" else gzip.compress(damage(whole)))
    for _ in range(2):
        made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        files = made.lake.read(LANDED_FILES, FIRST).set_index("status")
        assert sorted(files.index) == sorted(["landed", status])
        assert f"the 240 rows of the version that landed before ({files.loc['landed', 'file_id']}) stay" in files.loc[status, "reason"]
        assert f"overwritten since by a version that is {status}" in files.loc["landed", "reason"]
        assert "parse" in set(made.lake.read(REJECTED_READINGS, FIRST)["rule"])
        assert qualities(made) == {"measured": 240}
    made.drop(name, gzip.compress(whole, mtime=0))
    made.land(FIRST)
    (row,) = made.lake.read(LANDED_FILES, FIRST).itertuples()
    assert (row.status, row.reason) == ("landed", None)


def test_of_two_good_versions_of_a_file_both_count_and_the_later_wins(made):
    rows = day_rows(made.site, FIRST)
    only_some = rows.iloc[:96].assign(value=rows["value"] * 1.5)
    for first, second in ((rows, only_some), (only_some, rows)):
        for content in (first, second, second):
            made.drop(NAME, as_csv(content))
            made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        files = made.lake.read(LANDED_FILES, FIRST)
        assert files["status"].tolist() == ["landed", "landed"]
        day = made.make(FIRST)
        assert (day.readings["quality"] == "measured").all()
        expected = rows["value"].sum() if second is rows else rows["value"].sum() + 0.5 * rows["value"].iloc[:96].sum()
        assert day.readings["energy_kwh"].sum() == pytest.approx(expected)


def archive_qualities(made) -> dict[tuple[str, str], int]:
    readings = made.make(FIRST).readings
    readings = readings[readings["meter_id"].isin(["m4", "g1"])]
    return readings.groupby(["meter_id", "quality"]).size().to_dict()


def test_a_damaged_version_of_an_archive_keeps_its_published_rows(make_site):
    made = make_site(ARCHIVE)
    whole = parquet(archive_frame())
    damaged = {
        "unreadable": whole[:-100], "refused": parquet(archive_frame().rename(columns={"sun": "sol"})),
        "empty": parquet(archive_frame("2021-03-28T12:00", "2021-03-30")),
    }  # fmt: skip
    made.drop("past.parquet", whole)
    made.land(FIRST)
    published = archive_qualities(made)
    assert published["m4", "measured"] == 48
    for status, content in damaged.items():
        made.drop("past.parquet", content)
        made.land(FIRST)
        files = made.lake.read(LANDED_FILES, FIRST)
        assert sorted(files["status"]) == sorted(["landed", status])
        assert "of the version that landed before" in files.set_index("status").loc[status, "reason"]
        assert archive_qualities(made) == published


def test_a_later_good_version_of_an_archive_counts_first(make_site):
    made = make_site(ARCHIVE)
    for factor in (1, 2, 1):
        made.drop("past.parquet", parquet(archive_frame().assign(demand=np.arange(192) * factor / 4)))
        for _ in range(2):
            made.land(FIRST)
            assert landing_faults(made.lake, FIRST) == ""
            found = made.make(FIRST).readings.set_index("meter_id").loc["m4", "energy_kwh"]
            assert found.tolist() == (np.arange(48, 96) * factor / 8).tolist()
