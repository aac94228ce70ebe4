"""Three-winding transformers through a star bus against pandapower's own solution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grid_assets.powerflow.gate import NetworkError, admit
from grid_assets.powerflow.three_winding import with_star_buses
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.powerflow.made import nominal


def station(**changed: Any) -> Any:
    """A pandapower net: a 110 kV supply, a three-winding transformer, a load at 20 kV and one at 10 kV."""
    import pandapower as pp

    net = pp.create_empty_network()
    buses = [pp.create_bus(net, kv, name=f"{kv:g} kV") for kv in (110.0, 20.0, 10.0)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.01)
    given = {
        "vn_hv_kv": 110.0, "vn_mv_kv": 21.0, "vn_lv_kv": 10.5, "sn_hv_mva": 63.0, "sn_mv_mva": 40.0, "sn_lv_mva": 25.0, "vk_hv_percent": 10.4,
        "vk_mv_percent": 6.0, "vk_lv_percent": 17.0, "vkr_hv_percent": 0.28, "vkr_mv_percent": 0.32, "vkr_lv_percent": 0.35, "pfe_kw": 35.0,
        "i0_percent": 0.09, "shift_mv_degree": 0.0, "shift_lv_degree": 150.0, "tap_side": "hv", "tap_neutral": 0, "tap_pos": -3,
        "tap_step_percent": 1.2, "tap_changer_type": "Ratio", "name": "station",
    }  # fmt: skip
    pp.create_transformer3w_from_parameters(net, *buses, **{**given, **changed})
    pp.create_load(net, buses[1], 18.0, 6.0)
    pp.create_load(net, buses[2], 9.0, 2.0)
    return net


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tap_side": "mv", "tap_pos": 2},
        {"tap_side": "lv", "tap_pos": 4},
        {"tap_pos": 0},
        {"vk_lv_percent": 10.5, "vk_mv_percent": 0.6},
        {"vk_lv_percent": 30.0},
    ],
)
def test_a_star_bus_gives_the_voltages_of_the_three_winding_transformer(changed: dict[str, Any]):
    import pandapower as pp

    net = station(**changed)
    admitted = admit(with_star_buses(net), "station")
    assert len(net.trafo3w) == 1
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    pp.runpp(net, numba=False, calculate_voltage_angles=True, tolerance_mva=1e-9)
    np.testing.assert_allclose(solved.vm_pu[0, :3], net.res_bus["vm_pu"], atol=1e-8)
    np.testing.assert_allclose(solved.va_degree[0, :3], net.res_bus["va_degree"], atol=1e-6)
    assert solved.losses_mw[0] == pytest.approx(net.res_trafo3w["pl_mw"].sum(), abs=1e-7)
    assert list(admitted.net.trafo["name"]) == ["station (hv)", "station (mv)", "station (lv)"]
    assert admitted.net.bus["name"].iloc[3] == "station (star)"


def test_an_open_winding_stays_open():
    import pandapower as pp

    net = station()
    pp.create_switch(net, 2, 0, et="t3", closed=False)
    admitted = admit(with_star_buses(net), "station")
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    pp.runpp(net, numba=False, calculate_voltage_angles=True, tolerance_mva=1e-9)
    np.testing.assert_allclose(solved.vm_pu[0, :3], net.res_bus["vm_pu"], atol=1e-8)
    assert np.isnan(solved.vm_pu[0, 2])


def test_what_is_not_the_same_is_refused_and_the_gate_says_what_to_do():
    with pytest.raises(NetworkError, match=r"1 elements in table 'trafo3w'.*star bus.*three_winding.with_star_buses"):
        admit(station(), "station")
    with pytest.raises(NetworkError, match="trafo3w 'station': its tap changer stands off neutral at the star point"):
        with_star_buses(station(tap_at_star_point=True))
    with pytest.raises(NetworkError, match=r"vk_mv_percent = 0\.0; expected"):
        with_star_buses(station(vk_mv_percent=0.0))
    assert len(with_star_buses(station(tap_at_star_point=True, tap_pos=0)).trafo) == 3
