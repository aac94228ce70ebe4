"""Scenario files: what they may say, what they do to load, generation and branches, and the study that comes of it."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.definitions import PROJECT
from grid_assets.foundation.dagster.partitions import SCENARIOS
from grid_assets.network import assets, checks
from grid_assets.network.scenario_files import (
    Scenario,
    ScenarioError,
    generation_factors,
    load_factors,
    parse_key,
    read_scenario,
    scenario_key,
    scenarios_in,
)
from grid_assets.network.scenario_study import ScenarioStudy, collapse_in_words, joined, scenario_of_day
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import SCENARIO_RESULTS, SCENARIO_VIOLATIONS
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_doors import DAY, fill, proof_of
from grid_assets_tests.network.test_switching_events import site_with

SHIPPED = PROJECT / "data" / "scenarios"
NODES = frames.nodes_frame({"system": None, "primary": "system"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    return frames.trial_site(tmp_path_factory.mktemp("site"), minutes=60)[1]


def studied(site, **said) -> ScenarioStudy:
    clock, shape = site.clock, 12_000.0 * (1 + 0.5 * np.sin(2 * math.pi * (np.arange(24) - 12) / 24))
    given = StudyFrames(
        frames.meters_frame([("demand", "primary", None, 40000.0), ("at5", "primary", "Bus 5", 1.0), ("at11", "primary", "Bus 11", 1.0)]),
        NODES, frames.plants_frame([("solar", "Bus 7")]),
        frames.forecast_frame("node_id", {"primary": shape, "system": shape}, clock, DAY),
        frames.forecast_frame("plant_id", {"solar": 900.0}, clock, DAY), frames.meter_days_frame({"demand": 9.0e4}, DAY),
    )  # fmt: skip
    done = scenario_of_day(site.network, clock, DAY, given, "trial", Scenario.model_validate({"title": "trial", **said}))
    SCENARIO_RESULTS.conform(done.results)
    SCENARIO_VIOLATIONS.conform(done.violations)
    return done


@pytest.mark.parametrize("name", scenarios_in(SHIPPED))
def test_each_shipped_scenario_has_a_study(site, name: str):
    scenario = read_scenario(SHIPPED, name)
    done = studied(site, **scenario.model_dump(by_alias=True))
    row, states = done.results.iloc[0], len(done.study.study.flow_certificates)
    assert row["failed_steps"] == 0
    changed = ("peak_kw", "maximum_loading_pct", "minimum_vm_pu", "violations")
    same = {
        "peak_kw": "expected_peak_kw",
        "maximum_loading_pct": "expected_maximum_loading_pct",
        "minimum_vm_pu": "expected_minimum_vm_pu",
        "violations": "expected_violations",
    }
    # works at noon leave the day's extremes in the evening as they were: then it is another switching state that was studied
    assert any(row[one] != row[same[one]] for one in changed) or row["unserved_mwh"] > 0 or states > 1
    assert bool(row["events"]) == bool(scenario.outage or scenario.switching)


def test_six_scenarios_are_shipped():
    assert set(scenarios_in(SHIPPED)) == {"heat_wave", "partly_cloudy", "line_outage", "maintenance", "evening_ramp", "storm"}


def test_nothing_changed_is_what_is_expected(site):
    row = studied(site).results.iloc[0]
    for name in ("peak_kw", "minimum_vm_pu", "maximum_loading_pct", "violations"):
        assert row[name] == row[f"expected_{name}"]
    assert row["customers_dark"] == 0


def test_more_load_in_a_window(site):
    row = studied(site, load=[{"factor": 1.5, "from": "16:00", "to": "20:00"}]).results.iloc[0]
    # the load is highest at 18:00, 18 MW less 0.9 of sun
    assert row["expected_peak_kw"] == pytest.approx(12_000 * 1.5 - 900, rel=0.01)
    assert row["peak_kw"] == pytest.approx(12_000 * 1.5 * 1.5 - 900, rel=0.01)
    assert row["maximum_loading_pct"] > row["expected_maximum_loading_pct"]


def test_a_plant_that_is_out_feeds_in_nothing(site):
    row = studied(site, generation=[{"plants": ["solar"], "factor": 0.0}]).results.iloc[0]
    assert row["peak_kw"] == pytest.approx(row["expected_peak_kw"] + 900)


def test_an_outage_leaves_dark_who_hangs_behind_it_and_resupply_lights_them_again(site):
    out = {"branches": ["Line 9-10"], "from": "08:00", "to": "16:00"}
    dark = studied(site, outage=[out]).results.iloc[0]
    assert dark["customers_dark"] == 1  # at11
    assert dark["unserved_mwh"] > 0
    assert dark["events"] == "08:00 open Line 9-10 (outage: named); 16:00 close Line 9-10 (back in service)"
    lit = studied(site, outage=[{**out, "branches": ["Line 8-9"], "resupply": True}]).results.iloc[0]
    assert lit["customers_dark"] == 0  # a tie at bus 11 reaches them
    fed = studied(site, outage=[{**out, "branches": ["Line 3-4"], "resupply": True}]).results.iloc[0]
    assert fed["customers_dark"] == 0
    assert "close Line" in fed["events"]
    assert fed["unserved_mwh"] == 0


def test_a_scenario_that_leaves_everybody_dark_is_told(site):
    out = {"branches": ["Trafo 0-1", "Trafo 0-12"], "from": "08:00", "to": "16:00"}
    done = studied(site, outage=[out])
    row = done.results.iloc[0]
    assert row["customers_dark"] == 2
    assert row["unserved_mwh"] > 50
    certificates = done.study.study.flow_certificates
    assert sorted(certificates["steps"]) == [8, 16]
    assert certificates["failed_steps"].sum() == 0
    # of the supply's bus alone nothing can be off
    assert 0 < row["sample_difference_pu"] < 1e-8
    assert 0 < row["residual_max_mva"] < 1e-7
    dark = done.study.study.bus_voltages.groupby("start_utc").size()
    assert (dark == 1).sum() == 8
    assert len(done.study.map_picture) > 10_000


def test_a_scenario_that_collapses_says_so_and_why(site):
    done = studied(site, load=[{"factor": 30.0, "from": "16:00", "to": "20:00"}])
    row = done.results.iloc[0]
    assert row["failed_steps"] == 4
    assert row["failures"].count("did not converge") == 4
    assert "with the lowest voltage at bus 'Bus 11'" in row["failures"]
    assert collapse_in_words(done.results).startswith("4 of 24 intervals without a solution: 2016-05-26 15:00 UTC: ")
    assert collapse_in_words(studied(site).results) == ""


def test_switchings_of_a_scenario_come_in_the_order_of_their_times(site):
    row = studied(
        site, switching=[{"at": "12:00", "element": "S1", "action": "open"}, {"at": "06:00", "element": "S1", "action": "close"}]
    ).results.iloc[0]
    assert row["events"] == "06:00 close S1 (scenario); 12:00 open S1 (scenario)"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"outage": [{"branches": ["Line 99"]}]}, "'Line 99' is no branch in service"),
        ({"outage": [{"pick": "random", "count": 99}]}, "99 of kind line asked for, the network has"),
        ({"outage": [{"pick": "longest", "kind": "transformer"}]}, "the longest is asked of transformers"),
        ({"load": [{"factor": 1.1, "nodes": ["moon"]}]}, "node 'moon' has no load of its own; expected one of primary"),
        ({"generation": [{"plants": ["moon"]}]}, "plant 'moon' is not in the register"),
    ],
)
def test_what_the_network_does_not_have_is_named(site, said: dict, expected: str):
    with pytest.raises(ScenarioError, match=expected):
        studied(site, **said)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title = 'x'\n[[load]]\nfaktor = 1.2\n", r"bad\.toml: load\.0\.(factor|faktor)"),
        ("title = 'x'\n[[outage]]\nfrom = '10:00'\nto = '09:00'\npick = 'random'\n", "to = 09:00:00 is not after from"),
        ("title = 'x'\n[[outage]]\nfrom = '10:00'\n", "expected either branches or pick"),
        ("title = \n", r"bad\.toml: Invalid value"),
        ("[[load]]\nfactor = -1\n", "title: Field required"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, text: str, expected: str):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ScenarioError, match=expected):
        read_scenario(tmp_path, "bad")


def test_keys_and_names():
    assert parse_key(scenario_key(date(2016, 5, 21), "heat_wave")) == (date(2016, 5, 21), "heat_wave")
    for bad in ("heat_wave", "2016-13-21.x", "2016-05-21.", "2016-05-21.a b"):
        with pytest.raises(ScenarioError, match="names no scenario"):
            parse_key(bad)
    with pytest.raises(ScenarioError, match="expected letters"):
        scenario_key(date(2016, 5, 21), "a.b")
    with pytest.raises(ScenarioError, match=r"no scenario 'none' in .*scenarios; expected one of evening_ramp"):
        read_scenario(SHIPPED, "none")
    assert scenarios_in(None) == []


def test_clouds_take_their_share_and_pass_in_their_time(tmp_path: Path):
    fine = frames.trial_site(tmp_path, minutes=5)[1].clock
    starts = pd.date_range("2016-05-26", periods=20_000, freq="5min", tz="UTC")
    plants = frames.plants_frame([("solar", None)])
    said = Scenario.model_validate({"title": "x", "seed": 3, "generation": [{"clouds": 0.7, "cloud_share": 0.4, "cloud_minutes": 30}]})
    factor = generation_factors(said, fine, starts, plants)["solar"]
    assert set(np.round(factor, 9)) == {0.3, 1.0}
    covered = factor < 1
    assert covered.mean() == pytest.approx(0.4, abs=0.03)
    passages = int((np.diff(covered.astype(int)) == 1).sum())
    assert covered.sum() / passages * fine.interval_hours * 60 == pytest.approx(30, rel=0.1)
    again = generation_factors(said, fine, starts, plants)["solar"]
    np.testing.assert_array_equal(factor, again)


def test_changes_that_overlap_multiply(site):
    starts = site.clock.intervals(date(2016, 5, 26))
    said = Scenario.model_validate(
        {"title": "x", "load": [{"factor": 2.0, "from": "06:00"}, {"factor": 1.5, "to": "08:00", "nodes": ["a"]}]}
    )
    made = load_factors(said, site.clock, starts, ["a", "b"])
    local = site.clock.local(starts).hour
    assert made["a"][local == 7].tolist() == [3.0]
    assert made["a"][local == 5].tolist() == [1.5]
    assert made["b"][local == 5].tolist() == [1.0]
    assert made["b"][local == 23].tolist() == [2.0]


def test_an_analyst_launches_a_scenario(tmp_path: Path):
    folder = tmp_path / "what_if"
    folder.mkdir()
    (folder / "hot.toml").write_text("title = 'hot'\n[[load]]\nfactor = 1.4\n")
    site_with(tmp_path, "")
    path = frames.trial_site(tmp_path, 'source = "cigre_mv"\nscenarios = "what_if"', minutes=60)[0]
    from grid_assets.foundation.dagster.platform import Platform

    platform = Platform(site_file=str(path))
    fill(platform, 30_000.0)
    key, other = scenario_key(DAY, "hot"), scenario_key(date(2016, 5, 20), "hot")
    asset = assets.scenario_study.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=SCENARIOS))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scenarios", [key, other])
        with pytest.raises(ScenarioError, match="2016-05-20 has no demand forecasts; run grid-assets daily --day 2016-05-20 first"):
            dg.materialize([asset], partition_key=other, resources={"platform": platform}, instance=instance)
        given = [asset, proof_of("scenario_results"), checks.has_a_solution]
        done = dg.materialize(given, partition_key=key, resources={"platform": platform}, instance=instance)
    assert done.success
    assert {one.check_name: one.passed for one in done.get_asset_check_evaluations()} == {"proved": True, "has_a_solution": True}
    row = platform.lake.read(SCENARIO_RESULTS, key).iloc[0]
    assert row["scenario"] == "hot"
    assert row["violations"] == len(platform.lake.read(SCENARIO_VIOLATIONS, key)) > row["expected_violations"]
    events = done.asset_materializations_for_node("scenario_study")
    assert "data:image/png" in str(events[0].metadata["picture"].value)


def test_windows_that_overlap_are_one():
    def at(hour: int) -> pd.Timestamp:
        return pd.Timestamp(f"2016-05-25T{hour:02}:00Z")

    windows = [(at(10), at(16), "second"), (at(8), at(12), "first"), (at(18), at(20), "third"), (at(20), at(21), "touching")]
    assert joined(windows) == [(at(8), at(16), "first"), (at(18), at(21), "third")]
    assert joined([(at(8), at(16), "long"), (at(9), at(10), "inside")]) == [(at(8), at(16), "long")]
