"""Outages in words that an operator uses: who is dark, what is lost, what the rest cannot carry; by hand on small networks."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from grid_assets.figures.outages import outage_picture
from grid_assets.network.contingencies import contingencies_in_words, contingency_results, overburdened
from grid_assets.network.injections import Injections
from grid_assets.network.study import unproved_rows
from grid_assets.network.tables import CONTINGENCY_RESULTS
from grid_assets.powerflow.compiled import FlowError
from grid_assets.powerflow.gate import AdmittedNetwork, NetworkError, admit
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.reference import ReferenceSolver
from grid_assets_tests.network.frames import meters_frame
from grid_assets_tests.powerflow.made import feeder

TIMES = pd.date_range("2016-05-26", periods=3, freq="30min", tz="UTC")
LIMITS = Limits(0.95, 1.05, 100.0)
METERS = meters_frame([("m1", "f", "bus 1", 5.0), ("m2", "f", "bus 2", 5.0), ("m3", "f", "bus 3", 5.0), ("m4", "f", "bus 3", 5.0)])


def results(net: Any, factors=(0.1, 0.2, 0.05), limits: Limits = LIMITS, meters: pd.DataFrame = METERS) -> pd.DataFrame:
    admitted = admit(net, "made")
    load = np.outer(factors, np.arange(len(net.bus)) > 0)
    return contingency_results(admitted, Injections(TIMES[: len(factors)], load, 0.2 * load), meters, limits).set_index("outage_id")


def test_behind_each_line_of_a_row_everybody_is_dark_at_the_highest_load():
    found = results(feeder(3))
    CONTINGENCY_RESULTS.conform(found.reset_index())
    assert found["dark_buses"].to_dict() == {"line 1": 3, "line 2": 2, "line 3": 1}
    assert found["customers_dark"].to_dict() == {"line 1": 4, "line 2": 3, "line 3": 2}
    np.testing.assert_allclose(found["lost_load_kw"], [600.0, 400.0, 200.0])
    assert set(found["start_utc"]) == {TIMES[1]}
    assert set(found["severity"]) == {"critical"}
    assert found["new_violations"].sum() == 0
    assert overburdened(found.reset_index()) == ""
    assert len(outage_picture(found.reset_index())) > 10_000  # nothing is newly beyond a limit: one half says so
    told = contingencies_in_words(found.reset_index())
    assert told.startswith("of 3 outages 3 leave buses dark, 0 push others")
    assert "line 1: 4 customers and 600 kW dark" in told


def ring(rating_ka: float = 0.2) -> Any:
    net = feeder(3)
    pp.create_line_from_parameters(net, 0, 3, 1.0, 0.4, 0.3, 0.0, rating_ka, name="back")
    net.line["max_i_ka"] = rating_ka
    return net


def test_a_ring_leaves_nobody_dark_and_carries_the_load_the_other_way_round():
    found = results(ring())
    assert found["dark_buses"].sum() == 0
    assert set(found["severity"]) == {"none"}
    assert contingencies_in_words(found.reset_index()) == ""
    weak = results(ring(0.03), factors=(0.2, 0.2, 0.2))  # 600 kW need 0.035 kA
    assert weak.loc[["line 1", "back"], "new_violations"].tolist() == [1, 1]
    assert weak.loc["line 1", "maximum_loading_branch"] == "back"
    assert weak.loc["line 1", "maximum_loading_pct"] == pytest.approx(100 * 0.0355 / 0.03, rel=0.05)
    assert weak.loc["line 2", "severity"] == "none"
    assert "line line 1: 1 new violations" in overburdened(weak.reset_index())


def test_what_was_beyond_its_limit_before_is_no_new_violation():
    found = results(feeder(3), factors=(2.0,), limits=Limits(0.999, 1.05, 100.0))
    assert found["new_violations"].sum() == 0
    assert found.loc["line 3", "minimum_vm_pu"] < 0.999


def test_feeding_in_at_the_lowest_load_may_be_the_worse_of_both():
    high = results(ring(), factors=(0.1, -2.0), limits=Limits(0.9, 1.05, 1000.0))
    assert (high["start_utc"] == TIMES[1]).all()
    assert high["maximum_vm_pu"].max() > 1.05
    assert high.loc[high["new_violations"] > 0, "severity"].eq("warning").all()


def test_an_outage_without_a_solution_is_critical_and_has_no_figures():
    net = ring(5.0)
    net.line.loc[3, ["r_ohm_per_km", "x_ohm_per_km", "max_i_ka"]] = 20.0, 20.0, 99.0  # unrated: the gate refuses it else
    found = results(net, factors=(4.0,), limits=Limits(0.2, 1.5, 1000.0))
    assert not found.loc["line 1", "converged"]
    assert found.loc["line 1", "severity"] == "critical"
    assert np.isnan(found.loc["line 1", "minimum_vm_pu"])
    assert "no solution" in overburdened(found.reset_index())
    assert np.isnan(found.loc["line 1", "residual_max_mva"])
    # at 4 MW a bus: the way back is weakest for the bus that is then last
    assert re.search(
        r"\d+% of it has a solution, with the lowest voltage at bus 'bus 1': 0\.\d+ p\.u\.; what is left cannot carry",
        found.loc["line 1", "note"],
    )
    assert found.loc[found["converged"], "note"].isna().all()
    CONTINGENCY_RESULTS.conform(found.reset_index())


def test_a_day_without_a_solution_is_an_error():
    with pytest.raises(
        FlowError, match=r"without any outage; [0-9]+% of it has a solution, with the lowest voltage at bus 'bus 3'.*look for"
    ):
        results(feeder(3), factors=(90.0,))


def test_two_circuits_lost_at_once_leave_dark_what_either_alone_would_not():
    admitted = admit(ring(), "ring")
    load = np.outer([0.2], np.arange(len(admitted.net.bus)) > 0)
    drawn = Injections(TIMES[:1], load, 0.2 * load)
    found = contingency_results(admitted, drawn, METERS, LIMITS, [("line 1", "back")]).set_index("outage_id")
    CONTINGENCY_RESULTS.conform(found.reset_index())
    both = found.loc["line 1 + back"]
    assert (both["kind"], both["dark_buses"], both["customers_dark"]) == ("two branches", 3, 4)
    assert found["dark_buses"].sum() == 3
    with pytest.raises(NetworkError, match="double_outages: 'line 9' is no branch"):
        contingency_results(admitted, drawn, METERS, LIMITS, [("line 1", "line 9")])


def test_the_loss_of_a_plant_is_the_flow_without_it():
    net = feeder(3)
    admitted = admit(net, "row")
    load, fed = np.zeros((2, 1, 4))
    load[:, 1:], fed[:, 3] = 0.4, 1.4
    both = Injections(TIMES[:1], load - fed, 0.2 * load)
    found = contingency_results(admitted, both, METERS, LIMITS, (), {"solar": fed, "idle": np.zeros_like(fed)}).set_index("outage_id")
    CONTINGENCY_RESULTS.conform(found.reset_index())
    lost = found.loc["solar"]
    reference = ReferenceSolver(admitted).solve(load[0], 0.2 * load[0])
    assert lost["kind"] == "plant"
    assert lost["minimum_vm_pu"] == pytest.approx(reference.res_bus["vm_pu"].min(), abs=1e-9)
    assert lost["maximum_loading_pct"] == pytest.approx(reference.res_line["loading_percent"].max(), abs=1e-6)
    assert lost["dark_buses"] == 0
    assert "idle" not in found.index


def test_load_that_goes_dark_counts_without_the_generation_beside_it():
    net = feeder(3)
    admitted = admit(net, "made")
    load = np.array([[0.0, 0.1, 0.1, -0.2]])  # 0.4 MW less 0.6 MW of a plant
    fed = {"sun": np.array([[0.0, 0.0, 0.0, 0.6]])}
    nobody = METERS.iloc[:0]
    found = contingency_results(admitted, Injections(TIMES[:1], load, 0.0 * load), nobody, LIMITS, feeding_mw=fed).set_index("outage_id")
    assert found.loc["line 3", "lost_load_kw"] == pytest.approx(400.0)
    assert found.loc["line 3", "severity"] == "critical"
    assert found.loc["sun", "lost_load_kw"] == 0.0


def test_the_same_branch_twice_is_no_pair():
    load = np.zeros((1, 4))
    with pytest.raises(NetworkError, match="'line 3' twice"):
        contingency_results(admit(feeder(3), "made"), Injections(TIMES[:1], load, load), METERS, LIMITS, [("line 3", "line 3")])


def test_a_sample_of_the_outages_is_solved_again_and_every_mismatch_is_told():
    found = results(ring())
    sampled = found["sample_difference_pu"].dropna()
    assert len(sampled) == 2
    assert sampled.max() < 1e-8
    assert found["residual_max_mva"].max() < 1e-7
    assert unproved_rows(found) == ""
    broken = found.assign(residual_max_mva=found["residual_max_mva"].where(found.index != "line 2", 0.2))
    assert unproved_rows(broken) == "a nodal mismatch of 0.2 MVA is above 0.0001 MVA"
    apart = found.assign(sample_difference_pu=[np.nan, 0.01, 0.0, np.nan])
    assert "another solver's voltages differ by 0.01 p.u." in unproved_rows(apart)


def test_loads_of_other_buses_are_refused():
    short = np.zeros((1, 3))
    with pytest.raises(FlowError, match=r"load_mw has shape \(1, 3\); expected steps x 4 buses"):
        contingency_results(admit(feeder(3), "made"), Injections(TIMES[:1], short, short), METERS, LIMITS)


def test_where_no_branch_is_in_service_there_is_no_outage(tmp_path):
    net = feeder(3)
    net.line["in_service"] = False
    found = results(net)
    assert found.empty
    CONTINGENCY_RESULTS.conform(found.reset_index())


def test_that_another_solver_disagrees_in_the_better_of_both_states_is_not_lost(monkeypatch: pytest.MonkeyPatch):
    real = ReferenceSolver.solve
    monkeypatch.setattr(ReferenceSolver, "solve", lambda self, mw, mvar: None if mw.sum() < 0.5 else real(self, mw, mvar))
    found = results(ring())  # the lowest load is 0.15 MW; the worse state is that of the highest
    assert np.isinf(found["sample_difference_pu"]).sum() == 2
    assert unproved_rows(found) == "another solver found no solution, or voltages at other buses"


def test_what_leaves_nothing_lit_is_not_sampled_while_something_else_can_be():
    found = results(feeder(3))
    assert found["sample_difference_pu"].notna().to_dict() == {"line 1": False, "line 2": True, "line 3": True}
    only = results(feeder(1), meters=METERS.iloc[:1])
    assert only["sample_difference_pu"].tolist() == [0.0]
    assert unproved_rows(found.assign(sample_difference_pu=np.nan)) == "nothing was solved again by another solver"
    assert unproved_rows(found.drop(columns="sample_difference_pu")) == "made before proofs were kept; materialise it again"


def test_a_highest_load_without_a_solution_is_told_with_every_outage():
    found = results(feeder(3), factors=(0.1, 50.0))
    assert set(found["start_utc"]) == {TIMES[0]}
    assert found["note"].str.startswith("at 2016-05-26 00:30 UTC, the highest load, there is no solution without any outage; ").all()


def test_the_loss_of_a_plant_without_a_solution_says_so():
    admitted = admit(feeder(2, r_ohm=10.0, x_ohm=5.0), "weak")
    load, fed = np.zeros((2, 1, 3))
    load[:, 2], fed[:, 2] = 6.0, 6.0
    found = contingency_results(admitted, Injections(TIMES[:1], load - fed, 0.0 * load), METERS, LIMITS, (), {"pv": fed}).set_index(
        "outage_id"
    )
    CONTINGENCY_RESULTS.conform(found.reset_index())
    lost = found.loc["pv"]
    assert (lost["converged"], lost["severity"]) == (False, "critical")
    assert "what is left cannot carry the load" in lost["note"]


def test_the_loss_of_a_generator_that_holds_a_voltage_frees_what_it_held():
    net = ring()
    pp.create_gen(net, 3, p_mw=0.4, vm_pu=1.0, name="mill")
    admitted = admit(net, "held")
    load = np.outer([0.3], np.arange(4) > 0)
    found = contingency_results(admitted, Injections(TIMES[:1], load, 0.2 * load), METERS, LIMITS).set_index("outage_id")
    CONTINGENCY_RESULTS.conform(found.reset_index())
    lost = found.loc["gen 'mill'"]
    free = copy.deepcopy(admitted.net)
    free.gen["in_service"] = False
    reference = ReferenceSolver(AdmittedNetwork(free, "free", ())).solve(load[0], 0.2 * load[0])
    assert (lost["kind"], lost["severity"], lost["dark_buses"]) == ("generator", "none", 0)
    assert lost["minimum_vm_pu"] == pytest.approx(reference.res_bus["vm_pu"].min(), abs=1e-8)
    assert lost["maximum_loading_pct"] == pytest.approx(reference.res_line["loading_percent"].max(), abs=1e-5)
    assert lost["sample_difference_pu"] < 1e-8
    assert lost["minimum_vm_pu"] < 0.9999 < found.loc["line 3", "maximum_vm_pu"]


def test_a_generator_without_which_nothing_holds_up_is_critical_and_says_where():
    net = feeder(2, r_ohm=10.0, x_ohm=5.0)
    net.line["max_i_ka"] = 99.0
    pp.create_gen(net, 2, p_mw=6.0, vm_pu=1.0)
    admitted = admit(net, "held")
    load = np.array([[0.0, 0.0, 6.0]])
    found = contingency_results(admitted, Injections(TIMES[:1], load, 0.0 * load), METERS, Limits(0.5, 1.5, 1e4)).set_index("outage_id")
    lost = found.loc["gen number 0"]
    assert (lost["converged"], lost["severity"]) == (False, "critical")
    assert "lowest voltage at bus 'bus 2'" in lost["note"]
