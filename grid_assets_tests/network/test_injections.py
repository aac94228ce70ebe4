"""Forecasts placed on buses: shares, what is above leaves, reactive power, what cannot be placed."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.network.injections import InjectionError, Injections, injections, meter_weights
from grid_assets.powerflow.networks import load_network
from grid_assets_tests.network import frames

DAY = date(2016, 5, 24)
TAN = math.tan(math.acos(0.97))


@pytest.fixture(scope="module")
def benchmark_net() -> Any:
    return load_network("cigre_mv")


def placed(
    net: Any, tmp_path: Path, *, meters, parents, demand, plants=(), generation=None, energy=None, day=DAY, minutes=30
) -> Injections:
    _, site = frames.trial_site(tmp_path, minutes=minutes)
    clock = site.clock
    return injections(
        net,
        clock.intervals(clock.study_day(day)),
        frames.forecast_frame("node_id", demand, clock, day),
        frames.forecast_frame("plant_id", generation or {}, clock, day),
        meters if isinstance(meters, pd.DataFrame) else frames.meters_frame(meters),
        frames.nodes_frame(parents),
        frames.plants_frame(list(plants)),
        frames.meter_days_frame(energy or {}, day),
        0.97,
    )


def at(net: Any, values: np.ndarray) -> dict[str, float]:
    """The first interval's values that are not 0, by bus."""
    return {name: value for name, value in zip(net.net.bus["name"], values[0], strict=True) if value}


TREE = {"system": None, "primary": "system", "north": "primary", "south": "primary"}


def test_a_leafs_load_is_split_by_recent_energy_and_drawn_at_the_meters_bus(benchmark_net, tmp_path: Path):
    drawn = placed(
        benchmark_net, tmp_path,
        meters=[("a", "north", "Bus 3", 10.0), ("b", "north", "Bus 4", 99.0), ("c", "south", "Bus 13", 5.0)],
        parents=TREE, demand={"system": 999.0, "primary": 999.0, "north": 400.0, "south": 50.0}, energy={"a": 30.0, "b": 10.0, "c": 1.0},
    )  # fmt: skip
    assert at(benchmark_net, drawn.load_mw) == pytest.approx({"Bus 3": 0.3, "Bus 4": 0.1, "Bus 13": 0.05})
    assert at(benchmark_net, drawn.load_mvar) == pytest.approx({"Bus 3": 0.3 * TAN, "Bus 4": 0.1 * TAN, "Bus 13": 0.05 * TAN})
    assert drawn.load_mw.shape == (48, 15)


def test_generation_is_taken_off_at_the_plants_bus_and_has_no_reactive_power(benchmark_net, tmp_path: Path):
    drawn = placed(
        benchmark_net, tmp_path, meters=[("a", "north", "Bus 3", 10.0)], parents={"system": None, "north": "system"},
        demand={"north": 400.0}, plants=[("sun", "Bus 3"), ("wind", "Bus 7")], generation={"sun": 150.0, "wind": 2000.0},
    )  # fmt: skip
    assert at(benchmark_net, drawn.load_mw) == pytest.approx({"Bus 3": 0.25, "Bus 7": -2.0})
    assert at(benchmark_net, drawn.load_mvar) == pytest.approx({"Bus 3": 0.4 * TAN})


def test_meters_without_a_bus_are_spread_by_the_networks_nominal_loads(benchmark_net, tmp_path: Path):
    drawn = placed(
        benchmark_net, tmp_path, meters=[("all", "primary", None, 10.0)], parents={"system": None, "primary": "system"},
        demand={"primary": 5000.0}, plants=[("sun", None)], generation={"sun": 1000.0},
    )  # fmt: skip
    loads = benchmark_net.net.load.groupby("bus")["p_mw"].sum()
    expected = {f"Bus {bus}": 4.0 * value / loads.sum() for bus, value in loads.items()}
    assert at(benchmark_net, drawn.load_mw) == pytest.approx(expected)
    assert drawn.load_mw.sum(axis=1) == pytest.approx(np.full(48, 4.0))


def test_a_meters_own_power_factor_goes_before_the_networks(benchmark_net, tmp_path: Path):
    meters = frames.meters_frame([("a", "north", "Bus 3", 10.0), ("b", "north", "Bus 4", 10.0)])
    meters.loc[0, "power_factor"] = 0.8
    given_meters = {"meters": meters, "parents": {"system": None, "north": "system"}}
    drawn = placed(benchmark_net, tmp_path, **given_meters, demand={"north": 200.0})
    assert at(benchmark_net, drawn.load_mvar) == pytest.approx({"Bus 3": 0.075, "Bus 4": 0.1 * TAN})
    exporting = placed(benchmark_net, tmp_path, **given_meters, demand={"north": -200.0})
    assert not exporting.load_mvar.any()
    assert at(benchmark_net, exporting.load_mw) == pytest.approx({"Bus 3": -0.1, "Bus 4": -0.1})
    meters.loc[0, "power_factor"] = 1.7
    with pytest.raises(InjectionError, match=r"meter 'a': power_factor = 1\.7"):
        placed(benchmark_net, tmp_path, **given_meters, demand={"north": 200.0})


def test_meters_above_leaves_carry_what_the_leaves_do_not(benchmark_net, tmp_path: Path):
    given_meters = {
        "meters": [("station", "primary", "Bus 1", 10.0), ("a", "north", "Bus 3", 10.0), ("b", "south", "Bus 4", 10.0)],
        "parents": TREE,
    }
    drawn = placed(benchmark_net, tmp_path, **given_meters, demand={"primary": 1000.0, "north": 500.0, "south": 200.0})
    assert at(benchmark_net, drawn.load_mw) == pytest.approx({"Bus 1": 0.3, "Bus 3": 0.5, "Bus 4": 0.2})
    drawn = placed(benchmark_net, tmp_path, **given_meters, demand={"primary": 600.0, "north": 500.0, "south": 200.0})
    assert at(benchmark_net, drawn.load_mw) == pytest.approx({"Bus 3": 0.5, "Bus 4": 0.2})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"meters": [("a", "north", "Bus 77", 1.0)]}, "meter 'a': bus 'Bus 77' is not in the network"),
        ({"plants": [("sun", "Roof")], "generation": {"sun": 1.0}}, "plant 'sun': bus 'Roof'"),
        ({"plants": [("sun", "Bus 3")]}, "plant 'sun' has no forecast"),
        ({"generation": {"moon": 1.0}}, "plant 'moon' has a forecast but is not in the register"),
        ({"demand": {}}, "node 'north' has load meters but no demand forecast"),
        ({"demand": {"north": 1.0, "nowhere": 1.0}}, "node 'nowhere' has a demand forecast but is not in the register"),
        ({"demand": {"north": 1.0, "south": 1.0}}, "node 'south' has a demand forecast but no load meter"),
    ],
)
def test_what_cannot_be_placed_is_named(benchmark_net, tmp_path: Path, changed: dict, expected: str):
    sound = {"meters": [("a", "north", "Bus 3", 1.0)], "parents": TREE, "demand": {"north": 1.0}}
    placed(benchmark_net, tmp_path, **sound)
    with pytest.raises(InjectionError, match=expected):
        placed(benchmark_net, tmp_path, **{**sound, **changed})


def test_what_rounding_leaves_at_a_node_without_meters_is_nothing(benchmark_net, tmp_path: Path):
    drawn = placed(benchmark_net, tmp_path, meters=[("a", "north", "Bus 3", 1.0)], parents=TREE, demand={"north": 100.0, "south": 1e-21})
    assert at(benchmark_net, drawn.load_mw) == pytest.approx({"Bus 3": 0.1})


def test_a_forecast_with_a_gap_is_refused_with_the_time(benchmark_net, tmp_path: Path):
    hole = np.full(48, 5.0)
    hole[6] = np.nan
    with pytest.raises(InjectionError, match="node_id 'north': the forecast has no value for 2016-05-26 02:00 UTC"):
        placed(benchmark_net, tmp_path, meters=[("a", "north", "Bus 3", 1.0)], parents=TREE, demand={"north": hole})


def test_a_network_without_loads_cannot_spread(tmp_path: Path):
    net = load_network("cigre_mv")
    net.net.load["in_service"] = False
    with pytest.raises(InjectionError, match="give bus_id in the registers"):
        placed(net, tmp_path, meters=[("a", "north", None, 1.0)], parents=TREE, demand={"north": 1.0})


@pytest.mark.parametrize(("day", "minutes", "steps"), [
    (date(2016, 3, 25), 15, 92), (date(2016, 3, 25), 30, 46), (date(2016, 10, 28), 15, 100), (date(2016, 10, 28), 30, 50),
    (date(2016, 5, 24), 60, 24),
])  # fmt: skip
def test_clock_changes_and_other_intervals(benchmark_net, tmp_path: Path, day: date, minutes: int, steps: int):
    """In 2016 British clocks changed on 27 March and 30 October."""
    drawn = placed(
        benchmark_net, tmp_path, meters=[("a", "north", "Bus 3", 1.0)], parents=TREE, demand={"north": 700.0}, day=day, minutes=minutes
    )
    assert drawn.load_mw.shape == (steps, 15)
    assert len(drawn.start_utc) == steps
    assert drawn.load_mw.sum() == pytest.approx(0.7 * steps)


def test_meters_without_readings_count_by_rating():
    loads = frames.meters_frame(
        [("a", "n", "x", 10.0), ("b", "n", "x", 20.0), ("c", "n", "x", 30.0), ("d", "m", "x", 4.0), ("e", "m", "x", 6.0)]
    )
    weights = meter_weights(loads, frames.meter_days_frame({"a": 50.0, "b": 40.0}, DAY))
    assert list(weights) == pytest.approx([50.0, 40.0, 90.0, 4.0, 6.0])
    dead = meter_weights(loads, frames.meter_days_frame({"a": 0.0, "b": 0.0, "c": -3.0}, DAY))
    assert list(dead) == pytest.approx([10.0, 20.0, 30.0, 4.0, 6.0])


@given(st.lists(st.one_of(st.none(), st.floats(-5, 1e5)), min_size=1, max_size=8))
def test_weights_are_never_negative_and_never_all_nothing(energy: list[float | None]):
    loads = frames.meters_frame([(f"m{n}", "n", "x", 5.0) for n in range(len(energy))])
    weights = meter_weights(loads, frames.meter_days_frame({f"m{n}": value for n, value in enumerate(energy) if value is not None}, DAY))
    assert (weights >= 0).all()
    assert weights.sum() > 0
