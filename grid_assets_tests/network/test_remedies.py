"""Remedies: each kind by hand on a small network, proved again by runpp; what cannot help is not said to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from grid_assets.foundation.registers import UNITS
from grid_assets.foundation.site_sections import RemediesSection
from grid_assets.network import assets
from grid_assets.network.injections import Injections
from grid_assets.network.remedies import ranked, remedies_in_words, situation_of
from grid_assets.network.remedy_trials import beyond_of, trials_of
from grid_assets.network.study_day import Part, StudyDay
from grid_assets.network.tables import REMEDIES
from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets.powerflow.switching import versions
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_doors import DAY
from grid_assets_tests.network.test_switching_events import days, fill, site_with
from grid_assets_tests.powerflow.made import feeder

TIMES = pd.date_range("2016-05-26", periods=8, freq="30min", tz="UTC")
PEAK = np.array([0.2, 0.2, 0.3, 1.0, 0.9, 0.3, 0.2, 0.2])
COSTS = RemediesSection()
NO_UNITS = UNITS.empty().to_pandas()
NO_PLANTS = frames.plants_frame([])
METERS = frames.meters_frame([(f"m{n}", "west", f"bus {n}", 5.0) for n in (1, 2, 3, 4)])


def two_feeders(rating_ka: float = 0.2, tap: bool = False) -> Any:
    """Two rows of two buses on one busbar behind a transformer, and a tie between their ends that stands open."""
    net = pp.create_empty_network()
    upper, bar = pp.create_bus(net, 110.0, name="upper"), pp.create_bus(net, 10.0, name="bar")
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(net, upper, bar, 25.0, 110.0, 10.0, 0.3, 10.0, 10.0, 0.05, name="trafo")
    if tap:
        net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_pos"] = "hv", 0, 0
        net.trafo["tap_min"], net.trafo["tap_max"], net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = -9, 9, 1.25, 0.0
    for first in (1, 3):
        last = bar
        for n in (first, first + 1):
            bus = pp.create_bus(net, 10.0, name=f"bus {n}")
            line = pp.create_line_from_parameters(net, last, bus, 2.0, 0.4, 0.3, 0.0, rating_ka, name=f"line {n}")
            pp.create_switch(net, last, line, "l", name=f"switch {n}")
            last = bus
    tie = pp.create_line_from_parameters(net, 3, 5, 1.0, 0.4, 0.3, 0.0, rating_ka, name="tie")
    pp.create_switch(net, 3, tie, "l", closed=False, name="switch tie")
    return net


def situation(net: Any, load_mw: dict[str, float], feeding: dict[str, float] | None = None, plants=NO_PLANTS, units=NO_UNITS):
    """Everybody draws by the shape PEAK; who feeds in does so by the same shape."""
    (version,) = versions(admit(net, "made"), [], TIMES[0])
    names = version.admitted.net.bus["name"].tolist()
    load, fed = np.zeros((2, len(TIMES), len(names)))
    for bus, mw in load_mw.items():
        load[:, names.index(bus)] = mw * PEAK
    for bus, mw in (feeding or {}).items():
        fed[:, names.index(bus)] = mw * PEAK
    drawn = Injections(TIMES, load - fed, 0.2 * load)
    studied = StudyDay(DAY, TIMES, METERS, (version,), Limits(0.95, 1.05, 100.0))
    return situation_of(Part(version, drawn, np.arange(len(TIMES))), studied, fed, plants, units, 0.5)


def tried(*given, **named) -> pd.DataFrame:
    here, troubles = situation(*given, **named)
    assert troubles
    found = ranked(here, troubles[0], trials_of(here, troubles[0], COSTS))
    REMEDIES.conform(found)
    return found


def test_an_overloaded_line_hands_over_to_the_other_feeder():
    """West: 2.5 MW on bus 1 and 1 on bus 2 with their reactive power are 3.6 MVA on line 1, of which 0.2 kA carry 3.4."""
    found = tried(two_feeders(), {"bus 1": 2.5, "bus 2": 1.0, "bus 3": 0.5, "bus 4": 0.5})
    best = found[found["remedy"] == "switching"].iloc[0]
    assert (best["remedy"], best["action"], best["clears"]) == ("switching", "close tie, open line 2", True)
    assert best["cost"] == 100.0
    assert found[found["clears"]]["cost"].is_monotonic_increasing
    assert (best["element_id"], best["kind"], best["violated_intervals"]) == ("line 1", "overload", 1)
    assert best["remaining_violations"] == 0
    assert "demand_response" in set(found["remedy"])
    assert not {"tap", "reactive_power"} & set(found["remedy"])
    assert found["residual_max_mva"].between(0, 1e-7, inclusive="neither").all()
    assert 0 < found["sample_difference_pu"].max() < 1e-8  # of another solver: the same to the last digits is no other


def test_what_is_said_to_clear_does_so_by_runpp_and_stays_radial():
    net = two_feeders()
    found = tried(net, {"bus 1": 2.5, "bus 2": 1.0, "bus 3": 0.5, "bus 4": 0.5})
    best = found[found["remedy"] == "switching"].iloc[0]
    assert best["clears"]
    switched = copy.deepcopy(net)
    switched.switch["closed"] = ~switched.switch["name"].isin(["switch 2"])
    here, _ = situation(net, {"bus 1": 2.5, "bus 2": 1.0, "bus 3": 0.5, "bus 4": 0.5})
    solver = ReferenceSolver(admit(switched, "switched"))
    worst = max(
        solver.solve(*step).res_line["loading_percent"].max() for step in zip(here.drawn.load_mw, here.drawn.load_mvar, strict=True)
    )
    assert worst == pytest.approx(best["maximum_loading_pct"], abs=1e-3)
    assert worst < 100.0


def test_a_low_voltage_is_lifted_by_tap_plants_storage_or_less_load():
    units = pd.DataFrame(
        {"unit_id": ["b"], "node_id": ["west"], "bus_id": ["bus 2"], "power_kw": [1500.0], "energy_kwh": [3000.0], "charge_efficiency": [0.95],
         "discharge_efficiency": [0.95], "self_discharge_pct_per_day": [0.0], "minimum_energy_kwh": [300.0], "initial_energy_kwh": [1500.0],
         "wear_cost_per_kwh": [0.02], "cycles_per_day": [1.0]}
    )  # fmt: skip
    plants = frames.plants_frame([("solar", "bus 2")]).assign(rating_kw=4000.0)
    net = two_feeders(rating_ka=0.5, tap=True)
    net.switch.drop(net.switch.index[net.switch["name"] == "switch tie"], inplace=True)
    net.line.drop(net.line.index[net.line["name"] == "tie"], inplace=True)
    found = tried(net, {"bus 1": 0.8, "bus 2": 2.6}, plants=plants, units=units).set_index("remedy")
    assert set(found.index) == {"tap", "reactive_power", "storage", "demand_response"}
    assert found["clears"].all()
    assert found["rank"].tolist() == [1, 2, 3, 4]
    assert found["cost"].is_monotonic_increasing
    steps = found.loc["tap", "amount"]
    assert found.loc["tap", "action"] == f"tap of trafo from 0 to {-int(steps)}"
    storage = found.loc["storage"]
    hours = storage["violated_intervals"] * 0.5
    given = storage["amount"] * hours
    assert storage["cost"] == pytest.approx(given * 0.02 + given * (1 / 0.95**2 - 1) * COSTS.energy_price_per_kwh)
    assert given <= 2700 * 0.95 + 1e-6
    assert found.loc["demand_response", "cost"] == pytest.approx(found.loc["demand_response", "amount"] * hours * 0.30)
    assert found.loc["reactive_power", "amount"] <= 4000 * np.tan(np.arccos(0.9)) + 1e-6


def test_the_size_is_the_smallest_step_that_clears():
    net = two_feeders(rating_ka=0.5)
    net.line.drop(net.line.index[net.line["name"] == "tie"], inplace=True)
    net.switch.drop(net.switch.index[net.switch["name"] == "switch tie"], inplace=True)
    found = tried(net, {"bus 1": 0.8, "bus 2": 2.6})
    only = found.iloc[0]
    assert (only["remedy"], only["clears"]) == ("demand_response", True)
    here, (trouble, *_) = situation(net, {"bus 1": 0.8, "bus 2": 2.6})
    whole = sum(0.2 * 3.4 * PEAK[step] for step in trouble.steps) / len(trouble.steps) * 1000
    level = only["amount"] / whole
    assert level == pytest.approx(round(level * 20) / 20)
    solver = ReferenceSolver(here.admitted)
    for share, fits in ((level, True), (level - 0.05, False)):
        load, mvar = here.drawn.load_mw.copy(), here.drawn.load_mvar.copy()
        load[trouble.steps] *= 1 - 0.2 * share
        mvar[trouble.steps] *= 1 - 0.2 * share
        lowest = min(solver.solve(*step).res_bus["vm_pu"].min() for step in zip(load, mvar, strict=True))
        assert (lowest >= 0.95) == fits


def test_too_much_sun_is_curtailed_or_stored_and_no_load_is_asked():
    plants = frames.plants_frame([("solar", "bus 2")]).assign(rating_kw=6000.0)
    net = two_feeders(rating_ka=0.5)
    net.line.drop(net.line.index[net.line["name"] == "tie"], inplace=True)
    net.switch.drop(net.switch.index[net.switch["name"] == "switch tie"], inplace=True)
    found = tried(net, {"bus 1": 0.2}, {"bus 2": 5.0}, plants=plants)
    assert set(found["kind"]) == {"overvoltage"}
    assert set(found["remedy"]) == {"reactive_power", "curtailment"}
    assert found["clears"].all()
    less = found.set_index("remedy").loc["curtailment"]
    assert less["cost"] == pytest.approx(less["amount"] * less["violated_intervals"] * 0.5 * COSTS.curtailment_cost_per_kwh)
    assert found["maximum_vm_pu"].max() <= 1.05


def test_where_nothing_can_act_it_is_said():
    """A transformer overloaded by a load of the neighbour that is no trouble of its own: nothing but less load helps, and none is left."""
    net = feeder(1)
    net.line["max_i_ka"] = 0.02
    here, troubles = situation(net, {"bus 1": 0.0}, {"bus 1": 0.0})
    assert not here.beyond.any()
    assert not troubles
    crowded, troubles = situation(net, {"bus 1": 5.0})
    partial = ranked(crowded, troubles[0], trials_of(crowded, troubles[0], COSTS))
    assert not partial["clears"].any()  # a fifth less is not enough
    assert partial["remedy"].tolist() == ["demand_response"]
    nothing = ranked(crowded, troubles[0], [])
    REMEDIES.conform(nothing)
    assert nothing["remedy"].tolist() == ["none"]
    assert nothing["remaining_violations"].iloc[0] == crowded.beyond.sum()


def test_the_day_has_its_remedies_and_says_so(tmp_path: Path):
    platform = site_with(tmp_path, "")
    fill(platform, 60_000.0)
    platform.lake.write(UNITS, NO_UNITS, None)

    def made() -> tuple[pd.DataFrame, str]:
        done = dg.materialize([days(assets.remedies)], partition_key=DAY.isoformat(), resources={"platform": platform})
        metadata = done.get_asset_materialization_events()[0].materialization.metadata
        return platform.lake.read(REMEDIES, DAY), str(metadata["in_words"].value)

    found, said = made()
    assert "troubles can be cleared" in said
    assert set(found["kind"]) == {"overload", "undervoltage"}
    assert (found[found["rank"] == 1].groupby(["kind", "place"]).size() == 1).all()
    again, _ = made()
    pd.testing.assert_frame_equal(found, again)
    fill(platform, 5_000.0)
    calm, said = made()
    assert calm.empty
    assert said == "nothing is expected beyond its limits"
    assert remedies_in_words(calm, "GBP") == ""


def test_an_interval_without_a_solution_counts_as_everything_beyond():
    admitted = admit(feeder(2), "row")
    load = np.array([[0.0, 0.1, 0.1], [0.0, 60.0, 60.0]])
    beyond = beyond_of(solve_series(admitted, load, 0.0 * load), Limits(0.9, 1.1, 100.0))
    assert not beyond[0].any()
    assert beyond[1].all()
