"""The metering benchmark: its scores can fail, its peers make the platform's readings, and a small site goes through it."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks import _detection as detection
from benchmarks import _metering_rows as rows
from benchmarks import _quiet_faults as quiet
from benchmarks import _vee_pandas, metering
from benchmarks._metering_bound import copy_sorted
from benchmarks._metering_day import run_stages, write_site
from benchmarks._peer_rules import differences, peer_day
from benchmarks._processes import Usage
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import load_site
from grid_assets.metering.tables import READINGS
from grid_assets.simulation.meter_feed import CODE
from grid_assets.simulation.synthetic_site import DayTruth, read_truth

EARLIER, DAY, COUNT = date(2016, 10, 30), date(2016, 11, 6), 450


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site's two days, the second with the first as its history."""
    folder = tmp_path_factory.mktemp("bench")
    write_site(folder, COUNT, 11, [EARLIER, DAY])
    for day, stages in ((EARLIER, ["registers", "landing", "raw", "readings"]), (DAY, ["landing", "raw", "readings"])):
        figures = run_stages(folder / "synthetic.toml", stages, [day])
        assert set(figures) == set(stages)
    return folder


def readings_of(folder: Path, day: date) -> pa.Table:
    return Lake(str(folder / "state" / "lake")).read_arrow(READINGS, day, rows.READ_COLUMNS)


def test_a_small_site_is_scored_and_nothing_sure_is_missed(ran: Path):
    truth = read_truth(ran, DAY)
    found = detection.shares(truth, detection.published(readings_of(ran, DAY), truth))
    assert found["gaps"].of > 100
    assert all(found[name].caught == found[name].of for name in ("gaps", "negatives", "undeclared_wh"))
    assert found["outages_refused"].caught == 0
    assert found["clean_refused"].share < 1e-4
    told = rows.detection_rows(ran, [EARLIER, DAY])
    assert {"name", "value", "unit", "reference", "target", "met"} == set(told[0])


def test_the_peers_make_the_same_readings_of_a_day_without_history(ran: Path):
    ours, truth = readings_of(ran, EARLIER), read_truth(ran, EARLIER)
    left_out = rows._beyond_base_rules(ran, EARLIER, truth, ours)
    peers = [_vee_pandas.readings]
    try:
        from benchmarks import _vee_polars

        peers.append(_vee_polars.readings)
    except ModuleNotFoundError:  # it stands in a group of its own
        pass
    for readings in peers:
        made = readings(peer_day(load_site(ran / "synthetic.toml", os.environ), EARLIER))
        cells, other = differences(ours, made, left_out)
        assert (cells > 15_000, other) == (True, 0)
    energy = made["energy_kwh"].to_numpy().copy()
    energy[np.flatnonzero(~np.isnan(energy) & ~np.isin(made["meter_id"].to_numpy(), left_out))[0]] += 1e-6
    assert differences(ours, made.set_column(2, "energy_kwh", pa.array(energy)), left_out)[1] == 1
    assert (
        differences(ours, made.set_column(3, "quality", pc.replace_substring(made["quality"], "estimated", "measured")), left_out)[1] > 10
    )


def test_scores_fail_when_validation_does_nothing(ran: Path):
    """What arrived, published as it came: no fault is caught, and the rows say that targets are missed."""
    truth = read_truth(ran, DAY)
    made = detection.published(readings_of(ran, DAY), truth)
    kept = np.where(truth.arrived, truth.sent_kwh, 0.0)
    blind = replace(
        made, energy_kwh=kept, quality=np.full(kept.shape, "measured"), method=np.full(kept.shape, ""), failed=np.zeros(kept.shape, bool)
    )
    told = {row["name"]: row for row in rows.share_rows(detection.shares(truth, blind))}
    for name in ("gaps", "negatives", "spikes"):
        assert told[rows.TITLES[name]]["met"] is False
        assert told[rows.TITLES[name]]["value"] == 0
    assert rows.share_rows({"stuck": detection.Share("stuck", 0, 0)})[0]["met"] is None
    zealous = replace(made, failed=np.ones(kept.shape, bool))
    told = {row["name"]: row for row in rows.share_rows(detection.shares(truth, zealous))}
    assert told[rows.TITLES["clean_refused"]]["met"] is False


def test_faults_that_the_feed_does_not_have_are_put_in_and_scored(monkeypatch):
    clean = quiet.clean_days(300, DAY, [EARLIER], 5)
    untouched = clean.kwh.copy()
    spikes, steps = quiet.spike_shares(clean, 5), quiet.rounded_shares(clean, 5)
    assert (clean.kwh == untouched).all()
    assert [one.share for one, _ in spikes.values()] == sorted(one.share for one, _ in spikes.values())
    assert all(0 < one.caught < one.of for one, _ in spikes.values())
    assert {step: (refused.of, stuck.share > 0.9) for step, (refused, stuck) in steps.items()} == {
        0.001: (28_800, True),
        0.01: (28_800, True),
    }
    assert spikes == quiet.spike_shares(quiet.clean_days(300, DAY, [EARLIER], 5), 5)
    monkeypatch.setattr(quiet, "rule_failures", lambda grid, kwh, *_: np.zeros(kwh.shape, dtype=np.uint16))
    assert {told["value"] for told in quiet.quiet_rows(300, DAY, [EARLIER], 5)} == {0.0}


def small_truth() -> DayTruth:
    """Two meters and four intervals: the second meter sent Wh."""
    clean = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    fault = np.zeros((2, 4), np.uint8)
    fault[1] = CODE["undeclared_wh"]
    sent, all_came, none = clean * [[1], [1000]], np.ones((2, 4), bool), np.zeros((2, 4), bool)
    starts = pd.date_range("2016-11-06", periods=4, freq="15min", tz="UTC")
    return DayTruth(
        np.array(["a", "b"]), starts, clean, sent, fault, all_came, none.astype(int), none, np.array(["home", "home"]), none[:, 0], none
    )


def test_a_day_in_wh_is_caught_only_when_none_of_it_is_published():
    truth = small_truth()
    energy, quality = truth.clean_kwh.copy(), np.full((2, 4), "measured", dtype="U24")
    quality[1] = "edited"
    made = detection.Published(energy, np.full((2, 4), np.nan), quality, np.full((2, 4), ""), np.zeros((2, 4), bool))
    assert detection.shares(truth, made)["undeclared_wh"] == detection.Share("undeclared_wh", 1, 1)
    quality[1, 3], energy[1, 3] = "measured", 1000.0
    assert detection.shares(truth, made)["undeclared_wh"] == detection.Share("undeclared_wh", 0, 1)


def test_flags_of_a_wrong_clock_are_scored_both_ways():
    truth = small_truth()
    truth.fault[0] = CODE["local_clock"]
    right, wrong = np.array([True, False]), np.array([False, True])
    assert [one.share for one in detection.clock_shares(truth, right).values()] == [1.0, 0.0]
    told = {row["name"]: row["met"] for row in rows.share_rows(detection.clock_shares(truth, wrong))}
    assert told[rows.TITLES["clock_flagged_wrongly"]] is False


def test_errors_of_estimates_are_measured_against_the_truth():
    assert detection.wape(np.array([1.0, -3.0]), np.array([2.0, -3.0])) == 0.25
    truth = small_truth()
    quality = np.full((2, 4), "estimated", dtype="U24")
    made = detection.Published(truth.clean_kwh + 1, np.full((2, 4), 2.0), quality, np.full((2, 4), "like_days"), np.zeros((2, 4), bool))
    theirs, others, cells = detection.harm_of(np.array([False, True]), truth, made)
    assert (theirs, others, cells) == (1.0, 0.4, 4)
    assert rows.harm_rows(theirs, others, cells)[0]["value"] == 2.5


def test_a_day_in_wh_that_stays_in_the_history_is_seen():
    truth = small_truth()
    made = detection.Published(
        truth.sent_kwh, np.full((2, 4), np.nan), np.full((2, 4), "measured"), np.full((2, 4), ""), np.zeros((2, 4), bool)
    )
    assert detection.left_of_wh(truth, made) == pytest.approx([1000.0])
    assert rows.history_row(detection.left_of_wh(truth, made))["met"] is False
    right = replace(made, energy_kwh=truth.clean_kwh, quality=np.full((2, 4), "edited"))
    assert rows.history_row(detection.left_of_wh(truth, right))["met"] is True


def test_the_bound_sorts_and_writes_every_row(tmp_path: Path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"meter": ["b", "a", "a"], "read_at": ["1", "2", "1"]}), tmp_path / "in.parquet")
    told = copy_sorted([("day", [str(tmp_path / "in.parquet")], ["meter", "read_at"])], tmp_path)
    assert told["day"]["rows"] == 3
    assert pq.read_table(tmp_path / "day.parquet").to_pydict() == {"meter": ["a", "a", "b"], "read_at": ["1", "2", "1"]}


def test_a_slow_or_large_day_misses_its_targets():
    def took(seconds: float, mib: float, **stages: float) -> metering.Measured:
        return metering.Measured(Usage(seconds, seconds, mib, mib), {name: {"seconds": one, "processor_seconds": one, "rows": 1, "said": {}} for name, one in stages.items()})  # fmt: skip

    bounds = [took(9.0, 900.0, day=4.0, history=4.0), took(11.0, 1100.0, day=6.0, history=4.0)]
    told = rows.day_rows(bounds, took(26.0, 1600.0, landing=8.0, raw=8.0, readings=6.0), took(9.0, 1.0, checks=4.0))
    assert [(row["name"], row["met"]) for row in told if row["met"] is not None] == [
        ("a day against the bound: time", False), ("a day against the bound: memory", True), ("checks against the bound", False),
        ("checks that did not hold", True),
    ]  # fmt: skip
