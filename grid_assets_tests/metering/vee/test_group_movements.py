"""What meters with generation did together: told by a sample, the same for all shards, and of use."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, NODES, read_register
from grid_assets.foundation.site import Site, load_site
from grid_assets.metering import raw_days, shards
from grid_assets.metering.arrival import landing
from grid_assets.metering.tables import READINGS
from grid_assets.metering.vee.group_movements import (
    GROUP_METERS,
    LEAST_MEMBERS,
    RANGE_METERS,
    WHOLE_SITE,
    DaySample,
    SamplePart,
    day_sample,
    departures,
    groups_of,
    sample_ranges,
)
from grid_assets.simulation.synthetic_site import read_truth, write_site
from grid_assets_tests.metering.made_days import grid

NAN = np.nan


def test_net_metered_loads_and_generation_have_a_group_by_class_and_others_none():
    assert groups_of(grid()) == ["", "generation plant pv", "", "", "net-metered home", "", ""]


def register_of(kinds: list[str]) -> pa.Table:
    """Meters with ids by their kind: ``home``, ``prosumer`` or ``plant``."""
    return pa.table(
        {
            "meter_id": [f"{kind[:2]}{n:05d}" for n, kind in enumerate(kinds)],
            "kind": ["generation" if kind == "plant" else "load" for kind in kinds],
            "net_metered": pa.array([kind == "prosumer" for kind in kinds], pa.bool_()),
            "customer_class": kinds,
        }
    )


def inside(ranges, ids: list[str]) -> list[str]:
    return [one for lower, upper in ranges for one in sorted(ids) if (lower is None or one >= lower) and (upper is None or one < upper)]


def test_a_small_site_is_its_own_sample_and_an_empty_one_has_none():
    assert sample_ranges(register_of([])) == []
    assert sample_ranges(register_of(["home"] * WHOLE_SITE)) == [(None, None)]
    assert len(sample_ranges(register_of(["home"] * (WHOLE_SITE + 1)))) == 2


@given(st.integers(0, 400), st.integers(0, 60), st.integers(1_300, 4_000), st.randoms(use_true_random=False))
def test_the_sample_holds_members_of_every_group_each_meter_once(prosumers, plants, homes, chance):
    kinds = ["prosumer"] * prosumers + ["plant"] * plants + ["home"] * homes
    chance.shuffle(kinds)
    register = register_of(kinds)
    ranges = sample_ranges(register)
    found = inside(ranges, register["meter_id"].to_pylist())
    assert len(found) == len(set(found)) <= 2 * 2 * RANGE_METERS
    for prefix, count in (("pr", prosumers), ("pl", plants)):
        assert sum(one.startswith(prefix) for one in found) >= min(count, GROUP_METERS) // 2 if count else True
    assert ranges == sample_ranges(register.take(list(range(len(kinds)))[::-1]))


def test_where_many_meters_lack_the_same_hours_the_sample_says_so():
    none = np.empty((0, 48))
    parts = [SamplePart([], none, [none], lacking, 100) for lacking in (2, 1)]
    assert not day_sample(parts).hours_lost  # 3 of 200
    assert day_sample([*parts, SamplePart([], none, [none], 20, 100)]).hours_lost
    assert not day_sample([SamplePart([], none, [none], 2, 3)]).hours_lost  # two meters are no system


def told(today: np.ndarray, *past: np.ndarray, name: str = "a") -> SamplePart:
    return SamplePart([name] * len(today), today, list(past))


def test_a_group_is_told_by_the_median_of_enough_members():
    today = np.tile([0.2, -0.4], (LEAST_MEMBERS, 1))
    today[0] = 90.0
    today[1, 1] = NAN  # one fewer than needed
    made = day_sample([told(today[:5], today[:5], today[:5] - 1), told(today[5:], today[5:], today[5:] - 1)])
    assert made.today["a"][0] == pytest.approx(0.2)
    assert np.isnan(made.today["a"][1])
    assert [one[0] for one in made.past["a"]] == pytest.approx([0.5, -0.5])  # a mean of zero, as each meter's own
    assert day_sample([told(today[: LEAST_MEMBERS - 1])]).today == {}
    assert day_sample([]).on(grid()) is None


def test_departures_are_in_units_of_the_meters_sizes_and_meters_of_no_size_tell_nothing():
    axes, shape = grid(), grid().shape
    past = [np.full(shape, 2.0), np.full(shape, 4.0)]
    past[0][1], past[1][1] = 0.0, 0.0
    valid = np.full(shape, 3.0 + np.sqrt(10.0))
    made = departures(axes, valid, past)
    assert made.group == ["net-metered home"]
    np.testing.assert_allclose(made.today, 1.0)
    np.testing.assert_allclose(made.past[0], -1 / np.sqrt(10.0))
    assert departures(axes, valid, []).group == []


def test_movements_come_to_the_meters_of_their_group_only():
    moved = DaySample({"net-metered home": np.full(48, 0.1)}, {"net-metered home": [np.zeros(48)]})
    made = moved.on(grid())
    assert made is not None
    assert made.member.tolist() == [-1, -1, -1, -1, 0, -1, -1]
    assert made.today.shape == made.past[0].shape == (1, 48)


DAYS = [date(2021, 6, 6) + timedelta(days=7 * week) for week in range(3)]


@pytest.fixture(scope="module")
def site_of_prosumers(tmp_path_factory) -> Site:
    """800 synthetic meters, 120 of them prosumers, three Sundays landed."""
    folder = tmp_path_factory.mktemp("synthetic")
    site = load_site(write_site(folder, 800, DAYS, seed=5), {})
    lake = Lake(site.lake_root)
    for table in (METERS, NODES):
        lake.write(table, read_register(site.registers.folder, table))
    for one in landing.land_days(site, lake, lake.read(METERS), DAYS):
        landing.write_landing(lake, one)
    files = raw_days.rows_of_files(lake)
    for day in DAYS:
        shards.make_raw_day(site, lake, day, files.loc[files["day"] == day, "file_id"].tolist())
    return site


def readings_of(site: Site, **metering) -> pd.DataFrame:
    site = site.model_copy(update={"metering": site.metering.model_copy(update=metering)})
    lake = Lake(site.lake_root)
    for day in DAYS:
        shards.make_reading_day(site, lake, day)
    return lake.read(READINGS, DAYS[-1])


def test_estimates_of_prosumers_follow_the_sun_and_do_not_depend_on_the_shards(site_of_prosumers: Site, monkeypatch):
    whole = readings_of(site_of_prosumers)
    pd.testing.assert_frame_equal(readings_of(site_of_prosumers, shard_meters=170, threads=2), whole, rtol=0, atol=1e-9)
    monkeypatch.setattr(shards, "_samples", lambda *_: [])
    alone = readings_of(site_of_prosumers)
    truth = read_truth(Path(site_of_prosumers.lake_root).parents[1], DAYS[-1])
    clean = truth.clean_kwh.ravel()
    meters = np.repeat(np.isin(truth.customer_class, ("prosumer", "generation")), truth.clean_kwh.shape[1])
    at = meters & (whole["method"] == "like_days").to_numpy() & ~truth.had("local_clock").any(axis=1).repeat(truth.clean_kwh.shape[1])
    assert at.sum() > 50
    missed, before = (np.abs(one["energy_kwh"].to_numpy() - clean)[at].sum() for one in (whole, alone))
    assert missed < 0.8 * before
    plain = ~meters
    np.testing.assert_array_equal(whole["energy_kwh"].to_numpy()[plain], alone["energy_kwh"].to_numpy()[plain])
