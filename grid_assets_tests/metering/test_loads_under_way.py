"""Node loads of a day that is under way: what had arrived by an instant, before anybody has validated it."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from grid_assets.foundation.registers import METERS
from grid_assets.metering import checks
from grid_assets.metering.tables import LANDED_FILES, LOADS_UNDER_WAY, NODE_LOAD_VERSIONS, READINGS
from grid_assets_tests.metering.conftest import CHANGE, FIRST, MadeSite, as_csv, day_rows
from grid_assets_tests.metering.doors import checks_of, executed, repository, without_docs

NEWS = "reads_20210328T100000Z.csv"


def look(made: MadeSite, until: str | None):
    config = {"ops": {"metering__loads_under_way": {"config": {"until": until}}}} if until else None
    job = repository(made).get_job("under_way")
    return job.execute_in_process(tags={"dagster/partition": FIRST.isoformat()}, run_config=config, raise_on_error=False)


@pytest.fixture
def news(fed: MadeSite, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The first day is made; a file of the next day's morning has come in its course."""
    monkeypatch.setattr(checks, "judge_profiles", lambda *_: without_docs(fed))
    assert executed(fed, FIRST, FIRST).success
    rows = day_rows(fed.site, CHANGE)
    morning = rows[rows["read_at"] < "2021-03-28T09:30:00Z"]
    fed.drop(NEWS, as_csv(morning))
    return morning


def test_what_has_arrived_is_known_and_the_next_morning_makes_the_day_as_ever(fed: MadeSite, news: pd.DataFrame):
    assert look(fed, "2021-03-28T10:30:00+01:00").success  # half an hour before the file came
    assert fed.lake.read(LOADS_UNDER_WAY, FIRST).empty
    assert look(fed, "2021-03-28T12:00:00+01:00").success
    known = fed.lake.read(LOADS_UNDER_WAY, FIRST)
    loads = fed.register.loc[fed.register["kind"] == "load", "meter_id"]
    ours = news[news["meter"].isin(loads)]
    expected = ours.groupby("read_at")["value"].sum()
    system = known[known["node_id"] == "system"].set_index("start_utc")
    assert set(system["known_utc"]) == {pd.Timestamp("2021-03-28T10:00Z")}
    assert len(system) == len(expected)
    assert system["energy_kwh"].to_numpy() == pytest.approx(expected.to_numpy())
    assert not fed.lake.read(READINGS, CHANGE, ["meter_id"]).shape[0]  # nothing of the day is published yet
    result = executed(fed, CHANGE, CHANGE)
    assert result.success
    assert [name for name, passed in checks_of(result).items() if not passed] == ["quality_profiles.quality_suite"]  # not judged here
    landed = fed.lake.read(LANDED_FILES, CHANGE)
    assert (landed["file_name"] == NEWS).sum() == 1
    versions = fed.lake.read(NODE_LOAD_VERSIONS, CHANGE)
    first = versions[versions["node_id"] == "system"].drop_duplicates("start_utc")
    early = first["start_utc"] < pd.Timestamp("2021-03-28T09:30Z")
    assert set(first.loc[early, "known_utc"]) == {pd.Timestamp("2021-03-28T10:00Z")}
    assert set(first.loc[~early, "known_utc"]) == {pd.Timestamp("2021-03-29T05:00Z")}


def test_the_next_night_belongs_to_the_same_run(fed: MadeSite, news: pd.DataFrame):
    after = CHANGE + timedelta(days=1)
    night = day_rows(fed.site, after)
    fed.drop("reads_20210329T010000Z.csv", as_csv(night[night["read_at"] < "2021-03-29T00:30:00Z"]))
    assert look(fed, "2021-03-29T02:30:00+01:00").success
    starts = set(fed.lake.read(LOADS_UNDER_WAY, FIRST)["start_utc"])
    assert {fed.site.clock.day_of(one) for one in starts} == {CHANGE, after}


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("2021-03-28T12:00:00", "has no time zone"),
        ("2021-03-28T08:30:00+01:00", "or later and before"),
        ("2021-03-29T09:00:00+01:00", "before"),
    ],
)
def test_an_instant_that_is_none_of_the_runs_is_refused(fed: MadeSite, until: str, said: str):
    fed.lake.write(METERS, fed.register)
    result = look(fed, until)
    assert not result.success
    (failure,) = [one for one in result.all_events if one.is_step_failure]
    assert said in str(failure.event_specific_data.error)
