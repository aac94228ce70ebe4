"""Hosting capacity from the loads that were seen: which intervals count, what is taken over, and that the sizes hold."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from grid_assets.metering.tables import NODE_LOADS
from grid_assets.network import assets, hosting
from grid_assets.network.study_day import study_day_of
from grid_assets.network.study_frames import StudyFrames
from grid_assets.network.tables import HOSTING_CAPACITY
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_doors import DAY, proof_of
from grid_assets_tests.network.test_switching_events import HEAD, MIDDAY, days, fill, site_with

NODES = frames.nodes_frame({"system": None, "primary": "system"})
SEEN = date(2016, 5, 20)


def node_loads(clock, day: date = SEEN, level: float = 15_000.0, generation: float = 2_000.0) -> pd.DataFrame:
    """Least net load at 13:00 local, most at 19:00; a deep trough at night that is no hour of sun."""
    times = clock.intervals(day)
    hour = clock.local(times).hour.to_numpy()
    kw = np.select([hour == 13, hour == 19, hour == 3], [0.4, 1.0, 0.1], 0.7) * level
    sun = np.where((hour >= 10) & (hour < 16), generation, 0.0)
    rows = [
        pd.DataFrame({"node_id": node, "level": "x", "start_utc": times, "energy_kwh": kw, "generation_kwh": sun})
        for node in ("system", "primary")
    ]
    return pd.concat(rows, ignore_index=True).assign(meters=1, valid_pct=100.0, published_pct=100.0, readings_version="trial")


def study_frames() -> StudyFrames:
    meters = frames.meters_frame([("demand", "primary", None, 40000.0)])
    plants = frames.plants_frame([("solar", "Bus 7")]).assign(node_id="primary")
    empty = pd.DataFrame()
    return StudyFrames(meters, NODES, plants, empty, empty, frames.meter_days_frame({"demand": 9.0e4}, DAY))


def test_the_least_load_is_looked_for_in_the_hours_of_sun(tmp_path: Path):
    clock = frames.trial_site(tmp_path, minutes=60)[1].clock
    loads = node_loads(clock)
    found = hosting.extremes(loads, NODES, clock)
    assert found is not None
    assert clock.local(found).hour.tolist() == [13, 19]
    thin = loads.assign(published_pct=loads["published_pct"].where(clock.local(pd.DatetimeIndex(loads["start_utc"])).hour != 13, 50.0))
    again = hosting.extremes(thin, NODES, clock)
    assert again is not None
    assert clock.local(again).hour[0] != 13
    assert hosting.extremes(loads.assign(published_pct=10.0), NODES, clock) is None


def test_loads_and_generation_are_where_the_registers_say(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    studied = study_day_of(site.network, site.clock, DAY, study_frames().meters)
    loads = node_loads(site.clock)
    seen = hosting.extremes(loads, NODES, site.clock)
    assert seen is not None
    drawn = hosting.loads_at(seen, loads, study_frames(), studied, 0.97, 1.0)
    np.testing.assert_allclose(drawn.load_mw.sum(axis=1), [6.0 - 2.0, 15.0])
    bus = studied.versions[0].admitted.net.bus["name"].tolist().index("Bus 7")
    alone = hosting.loads_at(seen, loads.assign(generation_kwh=0.0), study_frames(), studied, 0.97, 1.0)
    np.testing.assert_allclose(drawn.load_mw[:, bus] - alone.load_mw[:, bus], [-2.0, 0.0])


@pytest.mark.slow
def test_every_size_fits_and_a_little_more_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By runpp, at a few buses: within all limits with the size, beyond the one that is named with a hundredth more."""
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    loads, given = node_loads(site.clock), study_frames()
    none = HOSTING_CAPACITY.empty().to_pandas()
    again: list[float] = []
    real = ReferenceSolver.solve
    monkeypatch.setattr(ReferenceSolver, "solve", lambda self, mw, mvar: again.append(mw.sum()) or real(self, mw, mvar))
    rows = hosting.hosting_of_day(site.network, site.clock, DAY, given, loads, none)
    HOSTING_CAPACITY.conform(rows)
    sampled = rows[rows["sample_difference_pu"].notna()]  # with either size of theirs on top of the least and of the most load
    expected = [4.0 - sampled["pv_kw"] / 1000, 15.0 + sampled["ev_kw"] / 1000]
    assert sorted(again) == pytest.approx(sorted(np.concatenate(expected)))
    monkeypatch.undo()
    assert len(rows) == 14  # all but the supply's
    assert rows["residual_max_mva"].max() < 1e-7
    assert rows["sample_difference_pu"].notna().sum() == 2
    assert rows["sample_difference_pu"].max() < 1e-7
    studied = study_day_of(site.network, site.clock, DAY, given.meters)
    admitted = studied.versions[0].admitted
    drawn = hosting.loads_at(
        pd.DatetimeIndex([rows["least_utc"][0], rows["most_utc"][0]]), loads, given, studied, site.network.power_factor, 1.0
    )
    names = admitted.net.bus["name"].tolist()
    for row in rows.iloc[::4].itertuples():
        for step, (kind, sign) in enumerate((("pv", -1), ("ev", 1))):
            kw, binding = getattr(row, f"{kind}_kw"), getattr(row, f"{kind}_binding")
            assert binding in ("overload", "overvoltage" if kind == "pv" else "undervoltage") or kw == 20_000.0
            for factor, within in ((1.0, True), (1.01, binding == "none")):
                load = drawn.load_mw[step].copy()
                load[names.index(row.bus_id)] += sign * factor * kw / 1000
                net = ReferenceSolver(admitted).solve(load, drawn.load_mvar[step])
                limits = studied.limits
                worst = max(net.res_line["loading_percent"].max(), net.res_trafo["loading_percent"].max())
                volts = net.res_bus["vm_pu"]
                fits = worst <= limits.maximum_loading_pct + 1e-3 and limits.minimum_vm_pu - 1e-6 <= volts.min() and volts.max() <= limits.maximum_vm_pu + 1e-6  # fmt: skip
                assert fits == within, (row.bus_id, kind, factor)


def test_only_a_changed_state_is_worked_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    platform = site_with(tmp_path, "")
    fill(platform, 20_000.0)
    platform.lake.write(NODE_LOADS, node_loads(platform.site.clock)[NODE_LOADS.columns], SEEN)
    worked_out: list[str] = []
    real = hosting._capacities
    monkeypatch.setattr(hosting, "_capacities", lambda version, *rest: worked_out.append(version.topology_hash) or real(version, *rest))

    def made(day: date) -> pd.DataFrame:
        given = [days(assets.hosting_capacity), proof_of("hosting_capacity")]
        done = dg.materialize(given, partition_key=day.isoformat(), resources={"platform": platform})
        assert [one.passed for one in done.get_asset_check_evaluations()] == [True]
        metadata = done.get_asset_materialization_events()[0].materialization.metadata
        assert "at the bus in the middle" in str(metadata["in_words"].value)
        assert "data:image/png" in str(metadata["picture"].value)
        return platform.lake.read(HOSTING_CAPACITY, day)

    before = DAY - (date(2016, 5, 2) - date(2016, 5, 1))
    first, second = made(before), made(DAY)
    assert len(worked_out) == 1
    pd.testing.assert_frame_equal(first, second)
    # rows that an earlier release made, without their proof, are not carried on
    bare = first.assign(residual_max_mva=1.0)
    platform.lake.write(HOSTING_CAPACITY, bare, before)
    again = made(DAY)
    assert len(worked_out) == 2
    drawn_by_day = ["sample_difference_pu", "residual_max_mva"]
    pd.testing.assert_frame_equal(again.drop(columns=drawn_by_day), first.drop(columns=drawn_by_day))
    worked_out.clear()
    (tmp_path / "events.csv").write_text(HEAD + MIDDAY)
    both = made(DAY)
    assert len(worked_out) == 2  # the rows of the day before are spoilt
    assert sorted(both.groupby("topology_hash").size()) == [12, 14]  # Bus 10 and Bus 11 are dark in the second
    tight = dataclasses.replace(Limits(0.95, 1.05, 100.0), maximum_loading_pct=50.0)
    version = study_day_of(platform.site.network, platform.site.clock, DAY, study_frames().meters).versions[0]  # type: ignore[arg-type]
    drawn = hosting.Injections(pd.DatetimeIndex(["2016-05-20"], tz="UTC"), np.zeros((1, 15)), np.zeros((1, 15)))
    assert hosting._inputs_hash(version, drawn, tight, 20.0) != hosting._inputs_hash(version, drawn, Limits(0.95, 1.05, 100.0), 20.0)
    assert hosting.hosting_in_words(first.iloc[:0]) == ""
