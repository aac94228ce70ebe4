"""Switching states: what events make of a network, in which order, and what cannot be."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from grid_assets.powerflow.gate import admit
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.switching import CLOSE, OPEN, TAP, SwitchingError, SwitchingEvent, version_of, versions, with_branch
from grid_assets.powerflow.time_series import solve_series
from grid_assets.powerflow.topology import hash_of, topology_of
from grid_assets_tests.powerflow.made import feeder, nominal

FIRST = pd.Timestamp("2016-05-01", tz="UTC")


def at(hours: float, element: str, action: str, position: int | None = None) -> SwitchingEvent:
    return SwitchingEvent(FIRST + pd.Timedelta(hours=hours), element, action, position, where="events.csv, line 2: ")


def test_states_follow_each_other_and_coming_back_is_the_first_state_again():
    base = load_network("cigre_mv")
    known = versions(
        base,
        [at(0, "S1", CLOSE), at(5, "Line 4-5", OPEN), at(5, "S2", CLOSE), at(9, "S2", OPEN), at(9, "Line 4-5", CLOSE), at(12, "S1", OPEN)],
        FIRST,
    )
    hashes = [one.topology_hash for one in known]
    assert [one.valid_from for one in known] == [FIRST + pd.Timedelta(hours=n) for n in (0, 5, 9, 12)]
    assert [one.valid_to for one in known[:-1]] == [one.valid_from for one in known[1:]]
    assert known[-1].valid_to is None
    assert hashes[0] == hashes[2]
    assert hashes[3] == hash_of(base.net)
    assert len(set(hashes)) == 3
    assert known[1].because == "open Line 4-5; close S2"
    assert "Line 4-5" not in set(topology_of(known[1].admitted).branches.query("connected")["branch_id"])
    times = FIRST + pd.to_timedelta([-3, 0, 4.9, 5, 100], unit="h")
    assert version_of(known, pd.DatetimeIndex(times)).tolist() == [0, 0, 0, 1, 3]


def test_a_tap_changes_the_voltages_as_pandapower_says():
    base = load_network("cigre_mv")
    net = copy.deepcopy(base.net)
    net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_pos"] = "hv", 0, 0
    net.trafo["tap_min"], net.trafo["tap_max"], net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = -9, 9, 1.5, 0.0
    base = admit(net, "with taps")
    (moved,) = versions(base, [at(0, "Trafo 0-1", TAP, -3)], FIRST)
    load = nominal(base, np.array([0.5]))
    series = solve_series(moved.admitted, *load)
    reference = copy.deepcopy(base.net)
    reference.trafo.loc[reference.trafo["name"] == "Trafo 0-1", "tap_pos"] = -3
    reference.load["scaling"] = 0.5
    pp.runpp(reference, numba=False)
    np.testing.assert_allclose(series.vm_pu[0], reference.res_bus["vm_pu"], atol=1e-7)


def test_what_was_done_already_is_said_and_changes_nothing():
    base = load_network("cigre_mv")
    (state,) = versions(base, [at(0, "S1", OPEN)], FIRST)
    assert state.because == "open S1, which it was already"
    assert state.topology_hash == hash_of(base.net)


def test_loads_come_back_with_their_supply():
    net = feeder(3)
    net.line.loc[1, "in_service"] = False
    base = admit(net, "cut")
    assert base.net.load["in_service"].tolist() == [True, False, False]
    joined = with_branch(base, "line 2", CLOSE)
    assert joined.net.load["in_service"].tolist() == [True, True, True]
    assert with_branch(joined, "line 3", OPEN).net.load["in_service"].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (
            [at(5, "S1", CLOSE), at(4, "S2", CLOSE)],
            r"events\.csv, line 2: close S2 at 2016-05-01 04:00 UTC comes after an event of 2016-05-01 05:00",
        ),
        ([at(1, "S9", CLOSE)], r"line 2: 'S9' is no switch, line, transformer or impedance"),
        ([at(1, "S1", "toggle")], "action 'toggle' of 'S1'; expected open, close, tap"),
        ([at(1, "S1", TAP, 2)], "expected a transformer and a whole position"),
        ([at(1, "Trafo 0-1", TAP)], "expected a transformer and a whole position"),
        ([at(1, "Trafo 0-1", TAP, 40)], "it has no taps"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(events: list[SwitchingEvent], said: str):
    with pytest.raises(SwitchingError, match=said):
        versions(load_network("cigre_mv"), events, FIRST)


def test_a_name_of_two_things_is_refused():
    net = feeder(2)
    pp.create_switch(net, 1, 1, "l", name="line 2")
    with pytest.raises(SwitchingError, match="names a switch and a line"):
        versions(admit(net, "twice"), [at(0, "line 2", OPEN)], FIRST)


def test_a_branch_with_switches_is_opened_by_them():
    net = feeder(2)
    pp.create_switch(net, 1, 1, "l", name="breaker")
    opened = with_branch(admit(net, "breaker"), "line 2", OPEN)
    assert not opened.net.switch["closed"].any()
    assert opened.net.line["in_service"].all()
    assert hash_of(with_branch(opened, "line 2", CLOSE).net) == hash_of(admit(net, "breaker").net)
