"""Violations, customers, severities and the certificate, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_assets.network import study
from grid_assets.network.injections import Injections
from grid_assets.network.tables import BRANCH_LOADINGS, BUS_VOLTAGES, CONSTRAINT_VIOLATIONS, FLOW_CERTIFICATES
from grid_assets.network.topology_tables import feeder_names, topology_frames
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.switching import versions
from grid_assets.powerflow.time_series import FlowError
from grid_assets.powerflow.topology import topology_of
from grid_assets_tests.network import frames

LIMITS = Limits(0.95, 1.05, 100.0)
TIMES = pd.date_range("2016-05-26", periods=3, freq="30min", tz="UTC").as_unit("us")
METERS = frames.meters_frame(
    [("a", "west", "Bus 4", 1.0), ("b", "west", "Bus 9", 1.0), ("c", "west", "Bus 10", 1.0), ("d", "east", "Bus 14", 1.0)]
)


def voltages(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"bus_id": list(values), "start_utc": TIMES[0], "vm_pu": list(values.values())})


def loadings(values: dict[str, float], kind: str = "line") -> pd.DataFrame:
    return pd.DataFrame({"branch_id": list(values), "kind": kind, "start_utc": TIMES[0], "loading_pct": list(values.values())})


def test_violations_and_their_severity_by_hand():
    volts = voltages({"low": 0.949, "at low": 0.95, "very low": 0.9, "fine": 1.0, "at high": 1.05, "high": 1.06, "very high": 1.1001})
    found = study.violations(volts, loadings({"full": 100.0, "over": 119.9, "far over": 120.0}), LIMITS).set_index("element_id")
    assert found["kind"].to_dict() == {"low": "undervoltage", "very low": "undervoltage", "high": "overvoltage", "very high": "overvoltage",
                                       "over": "overload", "far over": "overload"}  # fmt: skip
    assert found["severity"].to_dict() == {"low": "warning", "very low": "critical", "high": "warning", "very high": "critical",
                                           "over": "warning", "far over": "critical"}  # fmt: skip
    assert found["limit"].to_dict() == {"low": 0.95, "very low": 0.95, "high": 1.05, "very high": 1.05, "over": 100.0, "far over": 100.0}
    assert found.loc["over", "element_kind"] == "line"
    said = study.violations_in_words(found.reset_index())
    assert said.startswith(
        "overload at 2 elements, overvoltage at 2 elements, undervoltage at 2 elements over 1 intervals; worst: line far over"
    )
    assert study.violations_in_words(found.iloc[:0]) == ""


def test_customers_are_those_at_the_bus_or_cut_off_behind_the_branch():
    topology = topology_of(load_network("cigre_mv"))
    found = study.violations(
        voltages({"Bus 9": 0.9, "Bus 2": 0.9}), loadings({"Line 8-9": 130.0, "Line 1-2": 130.0, "Line 6-7": 130.0}), LIMITS
    )
    whole = study.with_customers(found, topology, METERS).set_index("element_id")
    assert whole["customers_affected"].to_dict() == {"Bus 9": 1, "Bus 2": 0, "Line 8-9": 2, "Line 1-2": 3, "Line 6-7": 0}
    assert whole.loc["Line 8-9", "feeder_id"] == "west"
    assert len(CONSTRAINT_VIOLATIONS.conform(whole.reset_index())) == 5


def test_no_violation_is_an_empty_table():
    empty = study.violations(voltages({"fine": 1.0}), loadings({"fine": 1.0}), LIMITS)
    whole = study.with_customers(empty, topology_of(load_network("cigre_mv")), METERS)
    assert CONSTRAINT_VIOLATIONS.conform(whole).num_rows == 0


def test_feeders_go_by_the_registers_names_where_meters_tell():
    topology = topology_of(load_network("cigre_mv"))
    names = feeder_names(topology, METERS)
    assert names["Bus 2"] == "west"
    assert names["Bus 14"] == "east"
    assert "Bus 1" not in names
    assert feeder_names(topology, METERS.iloc[:0])["Bus 14"] == "Line 12-13"


def test_topology_frames_fit_their_tables():
    from grid_assets.network import tables

    made = topology_frames(versions(load_network("cigre_mv"), [], TIMES[0]), METERS)
    for table in (tables.TOPOLOGIES, tables.BUSES, tables.BRANCHES):
        table.conform(made[table.name])
    assert made["topologies"].iloc[0][["buses", "branches", "open_switches", "islands"]].tolist() == [15, 17, 3, 0]
    assert "vector group" in made["topologies"]["repairs"].iloc[0]
    branch = made["branches"].set_index("branch_id")
    assert branch.loc["Line 1-2", ["kind", "from_bus", "to_bus", "rating_ka", "feeder_id"]].tolist() == [
        "line",
        "Bus 1",
        "Bus 2",
        0.145,
        "west",
    ]
    assert branch.loc["Trafo 0-1", "rating_ka"] == pytest.approx(25 / 110 / 3**0.5)
    assert branch.loc["Trafo 0-1", "feeder_id"] is None or pd.isna(branch.loc["Trafo 0-1", "feeder_id"])


def studied(factors: list[float]) -> study.FlowStudy:
    admitted = load_network("cigre_mv")
    loads = admitted.net.load.groupby("bus")[["p_mw", "q_mvar"]].sum().reindex(admitted.net.bus.index, fill_value=0.0)
    drawn = Injections(TIMES[: len(factors)], np.outer(factors, loads["p_mw"]), np.outer(factors, loads["q_mvar"]))
    return study.flow_study(admitted, topology_of(admitted), drawn, METERS, LIMITS, 0.5)


def test_a_study_fits_its_tables_and_its_figures_are_those_of_its_rows():
    done = studied([0.4, 1.0, 0.1])
    for table in (BUS_VOLTAGES, BRANCH_LOADINGS, CONSTRAINT_VIOLATIONS, FLOW_CERTIFICATES):
        table.conform(getattr(done, table.name))
    said = done.figures()
    assert said["minimum_vm_pu"] == done.bus_voltages["vm_pu"].min()
    assert said["maximum_loading_pct"] == done.branch_loadings["loading_pct"].max()
    assert said["violations"] == len(done.constraint_violations) > 0
    supply = done.branch_loadings[done.branch_loadings["kind"] == "transformer"]["p_mw"].sum()
    load = 1.5 * load_network("cigre_mv").net.load["p_mw"].sum()
    assert said["losses_mwh"] == pytest.approx((supply - load) / 2, abs=1e-6)
    assert study.certificate_fault(done.flow_certificates) == ""


def test_an_interval_that_fails_has_no_rows_and_is_named():
    done = studied([0.4, 40.0, 0.1])
    for frame in (done.bus_voltages, done.branch_loadings):
        assert set(frame["start_utc"]) == set(TIMES[[0, 2]])
        assert not frame.isna().any().any()
    BUS_VOLTAGES.conform(done.bus_voltages)
    proof = done.flow_certificates.iloc[0]
    assert proof["failed_steps"] == 1
    assert "2016-05-26 00:30 UTC" in proof["failures"]
    assert "1 of 3 intervals did not converge" in study.certificate_fault(done.flow_certificates)


def test_a_day_without_any_solution_is_an_error():
    with pytest.raises(FlowError, match="none of 2 intervals converged"):
        studied([40.0, 50.0])


def test_the_certificate_holds_the_residual_against_its_bound():
    proof = studied([0.4]).flow_certificates
    assert "nodal mismatch" in study.certificate_fault(proof.assign(residual_max_mva=1.1e-4))
    assert "nodal mismatch" in study.certificate_fault(proof.assign(residual_max_mva=np.nan))
    assert study.certificate_fault(proof.assign(residual_max_mva=0.9e-4)) == ""
    assert "another solver" in study.certificate_fault(proof.assign(sample_difference_pu=1e-5))
    assert "another solver" in study.certificate_fault(proof.assign(sample_difference_pu=np.nan))
    assert proof["sampled_steps"].iloc[0] == 1
    assert "no certificate" in study.certificate_fault(proof.iloc[:0])
