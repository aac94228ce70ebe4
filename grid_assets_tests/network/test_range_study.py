"""Flows over ranges of past days: the same as solving each interval, in the state then in force, and what is left out is counted."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.figures.range_study import year_picture
from grid_assets.foundation.calendar import CalendarError, days_between
from grid_assets.foundation.dagster.partitions import NETWORK_RANGES
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.metering.tables import NODE_LOADS
from grid_assets.network import assets, range_study
from grid_assets.network.past_loads import loads_at
from grid_assets.network.range_study import CLASSES, RangeError, _Seen, parse_range, pieces, range_key, study_of_range
from grid_assets.network.study_day import study_day_of
from grid_assets.network.tables import RANGE_DAYS, RANGE_ELEMENTS
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_doors import fill
from grid_assets_tests.network.test_hosting import node_loads, study_frames
from grid_assets_tests.network.test_switching_events import MIDDAY, site_with

FIRST, LAST = date(2016, 5, 25), date(2016, 5, 27)
METERS = study_frames().meters


def reader(clock, without: date | None = None, level: float = 15_000.0):
    asked: list[list[date]] = []

    def read(days: list[date]):
        asked.append(days)
        known = [day for day in days if day != without]
        loads = pd.concat([node_loads(clock, day, level + 500.0 * (day.day - FIRST.day)) for day in known] or [node_loads(clock).iloc[:0]])
        return study_frames(), loads

    return read, asked


def test_every_interval_is_solved_in_the_state_then_in_force(tmp_path: Path):
    site = site_with(tmp_path, MIDDAY).site
    assert site.network
    read, _ = reader(site.clock, level=70_000.0)
    done = study_of_range(site.network, site.clock, FIRST, LAST, METERS, read)
    RANGE_ELEMENTS.conform(done.elements)
    RANGE_DAYS.conform(done.days)
    assert done.days["steps"].tolist() == [24, 24, 24]
    assert done.days["states"].tolist() == [1, 2, 1]  # the second begins at noon of the 26th

    studied = study_day_of(site.network, site.clock, FIRST, METERS)
    before, after = studied.versions[0].admitted, studied.versions[1].admitted
    every = site.clock.intervals(FIRST, LAST)
    drawn = loads_at(every, read(days_between(FIRST, LAST))[1], study_frames(), studied, site.network.power_factor, 1.0)
    switched = pd.Timestamp("2016-05-26T11:00Z")
    early, late = (solve_series(state, drawn.load_mw, drawn.load_mvar) for state in (before, after))
    for quantity, values in (
        ("vm_pu", np.where((every < switched)[:, None], early.vm_pu, late.vm_pu)),
        ("loading_pct", np.where((every < switched)[:, None], early.loading_pct, late.loading_pct)),
    ):
        rows = done.elements[done.elements["quantity"] == quantity]
        ids = early.bus_ids if quantity == "vm_pu" else early.branch_ids
        assert rows["element_id"].tolist() == list(ids)
        lit = np.isfinite(values)  # two buses lose their supply at noon of the 26th, and have no voltage from then on
        np.testing.assert_allclose(rows["hours"], lit.sum(axis=0))
        np.testing.assert_allclose(rows["minimum"], np.nanmin(values, axis=0), atol=1e-12)
        np.testing.assert_allclose(rows["maximum"], np.nanmax(values, axis=0), atol=1e-12)
        np.testing.assert_allclose(rows["mean"], np.nanmean(values, axis=0), atol=1e-12)
        assert (pd.DatetimeIndex(rows["maximum_utc"]) == every[np.nanargmax(values, axis=0)]).all()
        for share in (5, 50, 95):
            expected = [np.quantile(one[known], share / 100, method="inverted_cdf") for one, known in zip(values.T, lit.T, strict=True)]
            np.testing.assert_allclose(rows[f"quantile_{share}"], expected, atol=CLASSES[quantity][1] / 2 + 1e-12)
    branches = done.elements[done.elements["quantity"] == "loading_pct"]
    loading = np.where((every < switched)[:, None], early.loading_pct, late.loading_pct)
    np.testing.assert_allclose(branches["hours_above"], (loading > site.network.maximum_loading_pct).sum(axis=0))
    assert branches["hours_above"].sum() > 0
    longest = branches.loc[branches["hours_above"].idxmax()]
    beyond_either = done.elements["hours_below"] + done.elements["hours_above"]
    assert f"{(beyond_either > 0).sum()} elements were beyond a limit, most often" in range_study.range_in_words(done)
    assert longest["hours_above"] <= beyond_either.max()
    beyond = (loading > site.network.maximum_loading_pct).sum() + (
        (done.elements["hours_below"] + done.elements["hours_above"])[done.elements["quantity"] == "vm_pu"].sum()
    )
    assert done.days["hours_beyond"].sum() == pytest.approx(beyond)
    dark = drawn.load_mw[np.isnan(np.where((every < switched)[:, None], early.vm_pu, late.vm_pu))]
    assert done.days["unserved_mwh"].sum() == pytest.approx(dark.sum())
    assert len(dark) == 2 * (11 + 24 + 1)
    np.testing.assert_allclose(done.days["losses_mwh"].sum(), np.where(every < switched, early.losses_mw, late.losses_mw).sum())

    net = ReferenceSolver(after).solve(drawn.load_mw[-1], drawn.load_mvar[-1])
    assert done.intervals["minimum_vm_pu"].iloc[-1] == pytest.approx(net.res_bus["vm_pu"].min(), abs=1e-8)
    assert done.days["sample_difference_pu"].max() < 1e-8
    assert done.days["residual_max_mva"].max() < 1e-7


def test_days_without_loads_are_left_out_and_counted(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    read, _ = reader(site.clock, without=date(2016, 5, 26))
    done = study_of_range(site.network, site.clock, FIRST, LAST, METERS, read)
    RANGE_DAYS.conform(done.days)
    assert done.days["steps"].tolist() == [24, 0, 24]
    assert done.days["left_out_steps"].tolist() == [0, 24, 0]
    assert done.elements["hours"].unique().tolist() == [48.0]
    assert "24 without the loads of all nodes" in range_study.range_in_words(done)
    read, _ = reader(site.clock, without=FIRST)
    with pytest.raises(RangeError, match="no interval of these days has the loads of all nodes"):
        study_of_range(site.network, site.clock, FIRST, FIRST, METERS, read)


def test_an_interval_without_a_solution_is_counted_and_gives_no_values(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    read, _ = reader(site.clock)

    def heavy(days):
        given, loads = read(days)
        at = (loads["start_utc"] == pd.Timestamp("2016-05-25T18:00Z")) & (loads["node_id"] == "primary")
        top = (loads["start_utc"] == pd.Timestamp("2016-05-25T18:00Z")) & (loads["node_id"] == "system")
        loads.loc[at | top, "energy_kwh"] = 9.0e6
        return given, loads

    done = study_of_range(site.network, site.clock, FIRST, FIRST, METERS, heavy)
    RANGE_DAYS.conform(done.days)
    assert (done.days["steps"].tolist(), done.days["failed_steps"].tolist()) == ([23], [1])
    assert done.elements["hours"].unique().tolist() == [23.0]
    assert np.isfinite(done.elements[["minimum", "maximum", "mean", "quantile_50"]].to_numpy()).all()


def test_a_range_without_any_solution_is_refused_with_the_bus(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    read, _ = reader(site.clock, level=9.0e6)
    with pytest.raises(
        FlowError, match=r"none of 24 intervals converged; the first: 2016-05-24 23:00 UTC: .* with the lowest voltage at bus 'Bus"
    ):
        study_of_range(site.network, site.clock, FIRST, FIRST, METERS, read)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4))
def test_what_is_counted_chunk_by_chunk_is_what_all_values_give(seed: int, steps: int, chunks: int):
    random = np.random.default_rng(seed)
    values = random.uniform(0.9, 1.1, (steps, 3))
    values[random.random(values.shape) < 0.2] = np.nan
    times = pd.date_range("2016-01-01", periods=steps, freq="h", tz="UTC")
    seen = _Seen.nothing(np.array(["a", "b", "c"], object), np.full(3, "bus", object), *CLASSES["vm_pu"])
    for part in np.array_split(np.arange(steps), chunks):
        seen.add(values[part], times[part], 0.95, 1.05)
    rows = seen.rows(0.5)
    for n, name in enumerate("abc"):
        own = values[:, n][np.isfinite(values[:, n])]
        found = rows[rows["element_id"] == name]
        assert len(found) == (len(own) > 0)
        if len(own):
            one = found.iloc[0]
            assert (one["minimum"], one["maximum"], one["hours"]) == (own.min(), own.max(), len(own) * 0.5)
            assert one["mean"] == pytest.approx(own.mean())
            assert one["minimum_utc"] == times[np.nanargmin(values[:, n])]
            assert (one["hours_below"], one["hours_above"]) == ((own < 0.95).sum() * 0.5, (own > 1.05).sum() * 0.5)
            for share in (5, 50, 95):
                assert one[f"quantile_{share}"] == pytest.approx(np.quantile(own, share / 100, method="inverted_cdf"), abs=0.00025 + 1e-12)


def test_pieces_are_four_weeks_at_most_and_end_where_a_meter_moves(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    meters = METERS.copy()
    moved = meters.assign(bus_id="Bus 5", valid_from_utc=pd.Timestamp("2016-05-09T23:00Z"))
    meters["valid_to_utc"] = pd.Timestamp("2016-05-09T23:00Z")
    found = list(pieces(date(2016, 5, 1), date(2016, 6, 30), pd.concat([meters, moved], ignore_index=True), site.clock))
    assert [(one[0], one[-1]) for one in found] == [
        (date(2016, 5, 1), date(2016, 5, 9)), (date(2016, 5, 10), date(2016, 6, 6)), (date(2016, 6, 7), date(2016, 6, 30)),
    ]  # fmt: skip
    assert [day for one in found for day in one] == days_between(date(2016, 5, 1), date(2016, 6, 30))


def test_keys_name_ranges_of_the_calendar(tmp_path: Path):
    clock = frames.trial_site(tmp_path)[1].clock
    assert parse_range(range_key(FIRST, LAST), clock) == (FIRST, LAST)
    for first, last, said in ((LAST, FIRST, "is after the last"), (FIRST, FIRST + timedelta(days=366), "366 at most")):
        with pytest.raises(RangeError, match=said):
            range_key(first, last)
    with pytest.raises(RangeError, match="is no range of days"):
        parse_range("2016-05-25", clock)
    with pytest.raises(CalendarError):
        parse_range("2016-02-01..2016-05-01", clock)


def test_a_range_is_a_partition_with_pictures_and_the_same_again(tmp_path: Path):
    platform = site_with(tmp_path, MIDDAY)
    fill(platform, 20_000.0)
    for day in days_between(FIRST, LAST):
        platform.lake.write(NODE_LOADS, node_loads(platform.site.clock, day)[NODE_LOADS.columns], day)
    key = range_key(FIRST, LAST)
    placed = assets.range_study.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=NETWORK_RANGES))
    made = []
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("network_ranges", [key])
            done = dg.materialize(
                [placed], partition_key=key, resources={"platform": Platform(site_file=platform.site_file)}, instance=instance
            )
            shown = [event.materialization.metadata for event in done.get_asset_materialization_events()]
        assert all("data:image/png" in str(one["picture"].value) for one in shown)
        assert all("72 intervals solved, 0 without a solution" in str(one["in_words"].value) for one in shown)
        made.append([platform.lake.read(table, key) for table in (RANGE_ELEMENTS, RANGE_DAYS)])
    for one, other in zip(*made, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_year_has_every_hour_of_both_clock_changes_and_its_extremes_are_what_runpp_finds(tmp_path: Path):
    _, site = frames.trial_site(tmp_path, minutes=60)
    assert site.network
    read, asked = reader(site.clock)
    first, last = date(2016, 3, 1), date(2017, 2, 28)
    done = study_of_range(site.network, site.clock, first, last, METERS, read)
    RANGE_ELEMENTS.conform(done.elements)
    RANGE_DAYS.conform(done.days)
    assert done.days["steps"].value_counts().to_dict() == {24: 363, 23: 1, 25: 1}
    assert max(map(len, asked)) < 60  # some days at a time, not the year at once
    assert done.elements["hours"].unique().tolist() == [8760.0]
    assert done.days["sample_difference_pu"].max() < 1e-8
    assert done.days["residual_max_mva"].max() < 1e-7
    studied = study_day_of(site.network, site.clock, first, METERS)
    lowest = done.elements[done.elements["quantity"] == "vm_pu"].sort_values("minimum").iloc[0]
    at = pd.DatetimeIndex([lowest["minimum_utc"]])
    day = site.clock.local(at)[0].date()
    drawn = loads_at(at, read([day])[1], study_frames(), studied, site.network.power_factor, 1.0)
    net = ReferenceSolver(studied.versions[0].admitted).solve(drawn.load_mw[0], drawn.load_mvar[0])
    assert net.res_bus["vm_pu"].min() == pytest.approx(lowest["minimum"], abs=1e-8)
    assert net.bus["name"][net.res_bus["vm_pu"].idxmin()] == lowest["element_id"]
    assert done.days["minimum_vm_pu"].min() == lowest["minimum"]
    assert len(year_picture(done.intervals, str(site.clock.zone))) > 10_000
