"""The file of switching events, the days that it cuts into states, and the studies that it makes stale."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.dagster.platform import Platform
from grid_assets.network import assets, sensors
from grid_assets.network.staleness import fingerprint, studies_to_make_again
from grid_assets.network.switching_events import network_versions, read_events
from grid_assets.network.tables import (
    BRANCH_LOADINGS,
    BRANCHES,
    BUSES,
    CONTINGENCY_RESULTS,
    FLOW_CERTIFICATES,
    TOPOLOGIES,
    VIOLATION_PROBABILITIES,
)
from grid_assets.powerflow.switching import SwitchingError
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_doors import DAY, fill

HEAD = "valid_from,element,action,position,reason\n"


def site_with(tmp_path: Path, rows: str) -> Platform:
    (tmp_path / "events.csv").write_text(HEAD + rows)
    path, _ = frames.trial_site(tmp_path, 'source = "cigre_mv"\nswitching_events = "events.csv"', minutes=60)
    return Platform(site_file=str(path))


def test_rows_are_read_on_the_sites_clock_and_comments_are_passed_over(tmp_path: Path):
    file = tmp_path / "events.csv"
    file.write_text(HEAD + "# works of May\n2016-05-26T06:00,Line 4-5,Open,,pole 12\n\n2016-05-26T08:00+00:00,S1,close\n")
    events = read_events(file, frames.trial_site(tmp_path)[1].clock.zone)
    assert [one.valid_from for one in events] == [pd.Timestamp("2016-05-26T05:00Z"), pd.Timestamp("2016-05-26T08:00Z")]
    assert (events[0].action, events[0].reason, events[1].reason) == ("open", "pole 12", "")
    assert events[1].where == "events.csv, line 5: "


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2016-13-26,S1,open\n", "line 2: valid_from = '2016-13-26' is no instant"),
        ("2016-03-27T01:30,S1,open\n", "is no instant"),  # the clock jumps over it
        ("2016-05-26,,open\n", "line 2: element is empty"),
        ("2016-05-26,S1,tap,high\n", "line 2: position = 'high'; expected a whole number"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: str, said: str):
    with pytest.raises(SwitchingError, match=said):
        network_versions(site_with(tmp_path, rows).site.network, frames.trial_site(tmp_path)[1].clock)


def test_a_missing_file_or_column_is_named(tmp_path: Path):
    zone = frames.trial_site(tmp_path)[1].clock.zone
    with pytest.raises(SwitchingError, match="does not exist"):
        read_events(tmp_path / "none.csv", zone)
    (tmp_path / "events.csv").write_text("when,element,action\n2016-05-26,S1,open\n")
    with pytest.raises(SwitchingError, match="column 'valid_from' is missing"):
        read_events(tmp_path / "events.csv", zone)
    (tmp_path / "events.csv").write_text("")
    assert read_events(tmp_path / "events.csv", zone) == []


MIDDAY = "2016-05-26T12:00+01:00,Line 9-10,open,,works\n2016-05-26T12:00+01:00,S1,close,,supplied from the other side\n"


def days(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    made = dg.DailyPartitionsDefinition(start_date="2016-03-01", end_date="2016-11-21", timezone="Europe/London")
    return asset.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=made))


def study(platform: Platform) -> None:
    dg.materialize([assets.network_topology], resources={"platform": platform})
    dg.materialize([days(assets.flow_study), days(assets.contingency_results)], partition_key=DAY.isoformat(), resources={"platform": platform})  # fmt: skip


def test_each_interval_is_studied_in_the_state_then_in_force(tmp_path: Path):
    platform = site_with(tmp_path, MIDDAY)
    fill(platform, 30_000.0)
    study(platform)
    lake = platform.lake
    known = lake.read(TOPOLOGIES)
    assert len(known) == 2
    assert known["because"].isna().tolist() == [True, False]
    assert known["valid_to_utc"].iloc[0] == pd.Timestamp("2016-05-26T11:00Z")
    assert len(lake.read(BUSES)) == 30
    assert len(lake.read(BRANCHES)) == 34
    loadings = lake.read(BRANCH_LOADINGS, DAY).pivot(index="start_utc", columns="branch_id", values="loading_pct")
    later = loadings.index >= pd.Timestamp("2016-05-26T11:00Z")
    assert len(loadings) == 24
    assert (loadings.loc[later, "Line 9-10"] == 0).all()
    assert (loadings.loc[~later, "Line 9-10"] > 0).all()
    assert (loadings.loc[later, "Line 14-8"] > loadings["Line 14-8"][~later].max()).all()
    certificates = lake.read(FLOW_CERTIFICATES, DAY).set_index("topology_hash")
    assert certificates.loc[known["topology_hash"], "steps"].tolist() == [12, 12]
    outages = lake.read(CONTINGENCY_RESULTS, DAY)
    assert outages["outage_id"].is_unique
    assert {"Line 9-10", "Line 14-8"} <= set(outages["outage_id"])


def test_only_the_days_that_an_event_concerns_are_made_again(tmp_path: Path):
    platform = site_with(tmp_path, "")
    fill(platform, 30_000.0)
    study(platform)
    first = platform.lake.read(FLOW_CERTIFICATES, DAY)
    other = date(2016, 5, 20)
    platform.lake.write(FLOW_CERTIFICATES, first, other)
    assert studies_to_make_again(platform.site, platform.lake) == []
    sensor = sensors.switching_sensor_of(dg.DefaultSensorStatus.STOPPED)

    def tick(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(cursor=cursor, resources={"platform": platform}) as context:
            return sensor(context)  # type: ignore[return-value]

    calm = tick(None)
    assert not calm.run_requests
    assert tick(calm.cursor).cursor is None  # nothing changed: nothing is looked at
    (tmp_path / "events.csv").write_text(HEAD + MIDDAY)
    asked = tick(calm.cursor)
    assert [one.partition_key for one in asked.run_requests or ()] == [DAY.isoformat()]
    assert studies_to_make_again(platform.site, platform.lake, before=DAY) == []
    study(platform)
    assert studies_to_make_again(platform.site, platform.lake) == []
    states = sensors.topology_sensor_of(dg.DefaultSensorStatus.STOPPED)
    with dg.build_sensor_context(cursor=calm.cursor, resources={"platform": platform}) as context:
        assert len(states(context).run_requests) == 1  # type: ignore[union-attr]


def test_probabilities_are_those_of_each_state(tmp_path: Path):
    from grid_assets.forecasting.tables import SCENARIOS

    platform = site_with(tmp_path, MIDDAY)
    fill(platform, 30_000.0)
    clock = platform.site.clock
    times = clock.intervals(clock.study_day(DAY))
    rows = [
        pd.DataFrame({"member": n, "node_id": node, "start_utc": times, "value_kw": 60_000.0 * (1 + 0.05 * n)})
        for n in range(3)
        for node in ("primary", "system")
    ]
    scenarios = pd.concat(rows).assign(issued_utc=pd.Timestamp(clock.issue_time(DAY)))
    for name in SCENARIOS.columns:
        if name not in scenarios:
            scenarios[name] = "trial"
    platform.lake.write(SCENARIOS, scenarios[SCENARIOS.columns], DAY)
    dg.materialize([days(assets.sampled_flows)], partition_key=DAY.isoformat(), resources={"platform": platform})
    found = platform.lake.read(VIOLATION_PROBABILITIES, DAY)
    dark = found[(found["element_id"] == "Line 9-10") & (found["start_utc"] >= pd.Timestamp("2016-05-26T11:00Z"))]
    assert dark.empty
    loaded = found[found["element_id"] == "Line 1-2"]
    assert len(loaded) == 12  # afterwards the other side helps
    assert (loaded["start_utc"] < pd.Timestamp("2016-05-26T11:00Z")).all()
    assert np.isclose(loaded["probability"], 1.0).all()


def test_another_code_or_a_changed_file_of_a_folder_is_seen(tmp_path: Path):
    site = frames.trial_site(tmp_path)[1]
    assert site.network

    def of(**changed) -> str:
        assert site.network
        return fingerprint(site.model_copy(update={"network": site.network.model_copy(update=changed)}))

    coded = [of(source="simbench", code=one) for one in ("1-MV-rural--0-sw", "1-MV-rural--1-sw")]
    assert coded[0] != coded[1]
    (tmp_path / "cim" / "deeper").mkdir(parents=True)
    (tmp_path / "cim" / "deeper" / "eq.xml").write_text("one")
    before = of(source="file", file=tmp_path / "cim")
    assert before == of(source="file", file=tmp_path / "cim")
    (tmp_path / "cim" / "deeper" / "eq.xml").write_text("two")
    assert of(source="file", file=tmp_path / "cim") != before
    assert of(source="file", file=tmp_path / "absent.json") == of(source="file", file=tmp_path / "absent too.json")
