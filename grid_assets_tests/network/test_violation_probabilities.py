"""Probabilities of violations: shares of samples, by hand; each sample is the flow study of its own loads."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.network.injections import Injections, injections, sampled_injections
from grid_assets.network.study import branch_loadings, bus_voltages, violations
from grid_assets.network.tables import VIOLATION_PROBABILITIES
from grid_assets.network.violation_probabilities import likely, violation_probabilities
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
    return VIOLATION_PROBABILITIES.conform(violation_probabilities(admitted, topology_of(admitted), drawn, METERS, limits)).to_pandas()


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


def test_flows_that_another_solver_does_not_find_are_an_error(monkeypatch: pytest.MonkeyPatch):
    """Nothing beyond its limits has no row that could carry a proof."""
    monkeypatch.setattr(ReferenceSolver, "solve", lambda *_: None)
    with pytest.raises(FlowError, match="the flows of 2 samples: another solver's voltages differ by inf"):
        sampled([[0.1], [0.2]])
