"""Probabilities of violations: shares of samples, by hand; each sample is the flow study of its own loads."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from grid_assets.figures.flow_bands import band_picture
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.network.injections import Injections, injections, sampled_injections
from grid_assets.network.study import branch_loadings, bus_voltages, unproved_rows, violations
from grid_assets.network.tables import FLOW_QUANTILES, VIOLATION_PROBABILITIES
from grid_assets.network.violation_probabilities import likely, sampled_flows
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets.powerflow.time_series import solve_series
from grid_assets.powerflow.topology import topology_of
from grid_assets_tests.network import frames
from grid_assets_tests.network.test_contingencies import METERS, TIMES
from grid_assets_tests.powerflow.made import feeder

LIMITS = Limits(0.97, 1.05, 100.0)
DAY = date(2016, 5, 24)


def loads(factors: list[float]) -> np.ndarray:
    """MW at each of three buses behind the supply."""
    return np.outer(factors, np.arange(4) > 0).astype(float)


def sampled(factors: list[list[float]], limits: Limits = LIMITS) -> pd.DataFrame:
    """``factors`` [samples][intervals]."""
    admitted = admit(feeder(3), "row")
    drawn = [Injections(TIMES[: len(one)], loads(one), 0.2 * loads(one)) for one in factors]
    done = sampled_flows(admitted, topology_of(admitted), drawn, METERS, limits)
    FLOW_QUANTILES.conform(done.quantiles)
    return VIOLATION_PROBABILITIES.conform(done.violations).to_pandas()


def test_the_probability_is_the_share_of_samples_beyond_the_limit():
    found = sampled([[0.1, 0.1], [0.1, 1.3], [0.1, 1.4], [0.1, 0.1]])
    assert set(found["start_utc"]) == {TIMES[1]}
    far = found[(found["element_id"] == "bus 3") & (found["kind"] == "undervoltage")].iloc[0]
    assert (far["probability"], far["samples"], far["customers_affected"]) == (0.5, 4, 2)
    alone = solve_series(admit(feeder(3), "row"), loads([0.1, 1.3, 1.4, 0.1]), 0.2 * loads([0.1, 1.3, 1.4, 0.1])).vm_pu[:, 3]
    assert far["severity"] == ("critical" if 1 - alone.min() >= 0.06 else "warning")
    np.testing.assert_allclose(far[["p05_value", "p50_value", "p95_value"]].astype(float), np.quantile(alone, [0.05, 0.5, 0.95]), rtol=1e-5)
    heavy = found[(found["element_id"] == "line 1") & (found["kind"] == "overload")].iloc[0]
    assert (heavy["probability"], heavy["element_kind"], heavy["customers_affected"]) == (0.5, "line", 4)
    assert "50%" in likely(found, 0.5)
    assert likely(found, 0.6) == ""
    assert found["residual_max_mva"].max() < 1e-7
    assert found["sample_difference_pu"].max() < 1e-8


def test_one_sample_is_the_expected_case_of_its_loads():
    factors = [0.2, 0.9, 1.3]
    found = sampled([factors])
    flows = solve_series(admit(feeder(3), "row"), loads(factors), 0.2 * loads(factors))
    expected = violations(bus_voltages(flows, TIMES), branch_loadings(flows, TIMES), LIMITS)
    keys = ["kind", "element_id", "start_utc"]
    both = found.merge(expected, on=keys)
    assert len(both) == len(found) == len(expected) > 0
    assert (both["probability"] == 1.0).all()
    assert (both["severity_x"] == both["severity_y"]).all()
    np.testing.assert_allclose(both["p50_value"], both["value"], rtol=1e-5)


def test_of_loadings_samples_without_a_solution_say_nothing_and_an_interval_without_any_is_an_error():
    found = sampled([[1.3], [60.0], [0.1]])
    loadings = found[found["kind"] == "overload"]
    assert set(loadings["samples"]) == {2}
    assert set(loadings["probability"]) == {0.5}
    with pytest.raises(FlowError, match=r"none of 2 samples has a solution at 2016-05-26 00:30 UTC; the first: .*bus 'bus 3'.*look for"):
        sampled([[0.1, 60.0], [0.1, 70.0]])


def test_within_the_limits_there_are_no_rows():
    assert sampled([[0.1], [0.2]]).empty
    assert likely(sampled([[0.1]]), 0.0) == ""


def test_each_sample_is_placed_as_its_forecast_would_be():
    admitted, clock = load_network("cigre_mv"), SiteCalendar(ZoneInfo("Europe/London"), 60, date(2016, 3, 1), None, 9, 2)
    starts = clock.intervals(clock.study_day(DAY))
    nodes, plants = frames.nodes_frame({"system": None, "primary": "system"}), frames.plants_frame([("solar", "Bus 7")])
    meters, days = frames.meters_frame([("demand", "primary", None, 40000.0)]), frames.meter_days_frame({"demand": 9e4}, DAY)
    sun = frames.forecast_frame("plant_id", {"solar": 900.0}, clock, DAY)
    demands = [frames.forecast_frame("node_id", {"primary": kw, "system": kw}, clock, DAY) for kw in (9000.0, 12000.0)]
    members = [one[["node_id", "issued_utc", "start_utc"]].assign(value_kw=one["mean_kw"], member=n + 1) for n, one in enumerate(demands)]
    rest = (sun, meters, nodes, plants, days, 0.95)
    placed = list(sampled_injections(admitted, starts, pd.concat(members), *rest))
    for one, demand in zip(placed, demands, strict=True):
        alone = injections(admitted, starts, demand, *rest)
        np.testing.assert_allclose(one.load_mw, alone.load_mw)
        np.testing.assert_allclose(one.load_mvar, alone.load_mvar)


def test_a_sample_without_a_solution_is_a_collapse_and_no_silence():
    found = sampled([[0.1]] + [[60.0]] * 9)
    rows = found[found["kind"] == "undervoltage"].set_index("element_id")
    assert set(rows.index) == {"source", "bus 1", "bus 2", "bus 3"}
    assert (rows["probability"] == 0.9).all()
    assert (rows["samples"] == 10).all()
    assert set(rows["severity"]) == {"critical"}
    assert (rows["p05_value"] == 0.0).all()
    assert "90%" in likely(found, 0.5)


def test_that_another_solver_does_not_find_the_flows_is_told_where_nothing_is_beyond_its_limits_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ReferenceSolver, "solve", lambda *_: None)
    admitted = admit(feeder(3), "row")
    done = sampled_flows(admitted, topology_of(admitted), [Injections(TIMES[:1], loads([0.1]), loads([0.0]))], METERS, LIMITS)
    assert done.violations.empty
    assert unproved_rows(done.quantiles) == "another solver found no solution, or voltages at other buses"


def test_the_quantiles_are_those_of_each_elements_samples():
    admitted = admit(feeder(3), "row")
    factors = [[0.1, 0.9], [0.2, 0.5], [0.4, 0.1], [0.3, 60.0]]  # the last has no solution at the second interval
    drawn = [Injections(TIMES[:2], loads(one), 0.2 * loads(one)) for one in factors]
    found = sampled_flows(admitted, topology_of(admitted), drawn, METERS, LIMITS).quantiles
    assert len(found) == 2 * (4 + 3)
    alone = [solve_series(admitted, one.load_mw, one.load_mvar) for one in drawn]
    rows = found[found["element_id"] == "line 2"].sort_values("start_utc")
    assert rows["samples"].tolist() == [4, 3]
    for n, count in enumerate((4, 3)):
        expected = np.quantile([one.loading_pct[n, 1] for one in alone[:count]], [0.05, 0.5, 0.95])
        np.testing.assert_allclose(rows[["p05_value", "p50_value", "p95_value"]].iloc[n].astype(float), expected, rtol=1e-5)
    bus = found[found["element_id"] == "bus 3"].sort_values("start_utc")
    assert bus["samples"].tolist() == [4, 4]
    expected = np.quantile([*(one.vm_pu[1, 3] for one in alone[:3]), 0.0], [0.05, 0.5, 0.95])
    np.testing.assert_allclose(bus[["p05_value", "p50_value", "p95_value"]].iloc[1].astype(float), expected, rtol=1e-5)
    assert len(band_picture(found, (0.97, 1.05, 100.0), "Europe/London")) > 10_000


def test_buses_without_a_supply_have_no_quantiles():
    net = feeder(3)
    net.line.loc[2, "in_service"] = False
    admitted = admit(net, "island")
    drawn = [Injections(TIMES[:1], loads([one]), loads([0.0])) for one in (0.1, 0.2)]
    found = sampled_flows(admitted, topology_of(admitted), drawn, METERS, LIMITS).quantiles
    assert set(found.loc[found["quantity"] == "vm_pu", "element_id"]) == {"source", "bus 1", "bus 2"}
    assert np.isfinite(found[["p05_value", "p50_value", "p95_value"]].to_numpy()).all()


@pytest.mark.parametrize("seed", range(4))
def test_only_a_sample_with_a_solution_is_solved_again(seed: int):
    admitted = admit(feeder(3), "row")
    drawn = [Injections(TIMES[:1], loads([one]), 0.2 * loads([one])) for one in (60.0, 1.3, 70.0)]
    found = sampled_flows(admitted, topology_of(admitted), drawn, METERS, LIMITS, seed).quantiles
    assert (found["sample_difference_pu"] > 0).all()
