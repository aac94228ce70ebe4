"""OpenDSS feeders: what a balanced network stands for is admitted and proved, everything else refused with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.powerflow import file_formats
from grid_assets.powerflow.gate import NetworkError
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.powerflow.made import nominal
from grid_assets_tests.powerflow.opendss_text import script, small_feeder

CASES = SHARED / "testcases" / "powerflow"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared power-flow cases are absent; set GRID_ASSETS_SHARED")


def written(folder: Path, text: str) -> Path:
    file = folder / "feeder.dss"
    file.write_text(text)
    return file


def shared_case(name: str) -> str:
    return script(json.loads((CASES / "inputs" / "opendss" / f"{name}.json").read_text()))


def test_a_balanced_feeder_is_admitted_and_says_how_near_it_comes(tmp_path: Path):
    before = os.getcwd()
    admitted = load_network("file", written(tmp_path, small_feeder()))
    assert os.getcwd() == before
    assert "compared with OpenDSS' own solution" in admitted.repairs[-2]
    assert sorted(admitted.net.bus["name"]) == ["a", "b", "c", "src"]
    assert admitted.net.load["p_mw"].sum() == pytest.approx(1.05)
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    assert solved.converged.all()
    assert 0.9 < solved.vm_pu.min() < 0.99


@needs_cases
def test_the_balanced_four_bus_feeder_has_the_voltages_of_opendss(tmp_path: Path):
    admitted = load_network("file", written(tmp_path, shared_case("ieee4_yy_bal")))
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    expected = pd.read_parquet(CASES / "expected" / "ieee4_yy_bal__node.parquet")
    for bus, found in zip(admitted.net.bus["name"], solved.vm_pu[0], strict=True):
        phases = expected[expected["node"].str.lower().str.split(".").str[0] == bus]["vm_pu"]
        assert len(phases) == 3
        # the case's lines are not transposed: the phases differ from their mean by up to 0.01
        assert found == pytest.approx(phases.mean(), abs=1e-3)


@needs_cases
@pytest.mark.parametrize(("case", "reason"), [("ieee13", "phase"), ("ieee37", "1 phase; expected three")])
def test_feeders_with_single_phase_elements_are_refused(tmp_path: Path, case: str, reason: str):
    with pytest.raises(NetworkError, match=rf"balanced network cannot stand for this feeder: .*{reason}"):
        load_network("file", written(tmp_path, shared_case(case)))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("new line.lateral bus1=a.2 bus2=d.2 phases=1 length=1 units=km r1=0.3 x1=0.3 r0=0.9 x0=0.9", "Line.lateral: 1 phase"),
        ("new load.house bus1=c.1 phases=1 kv=0.23 kw=4 kvar=1", "Load.house: 1 phase"),
        ("new load.oven bus1=b phases=3 kv=10 kw=50 kvar=5 model=2", "Load.oven: model 2"),
        ("new generator.plant bus1=b phases=3 kv=10 kw=100", "Generator.plant: the converter passes over"),
        ("new reactor.neutral bus1=b phases=3 kv=10 kvar=10", "Reactor.neutral: the converter passes over"),
        ("new capacitor.series bus1=a bus2=d phases=3 kv=10 kvar=900", "in series between a and d"),
        ("new line.turned bus1=b.1.2.3 bus2=d.2.3.1 phases=3 length=1 units=km r1=0.3 x1=0.3 r0=0.9 x0=0.9", "transposed"),
        ("new vsource.second bus1=b basekv=10 pu=1.0", "2 voltage sources"),
    ],
)  # fmt: skip
def test_what_a_balanced_network_cannot_stand_for_is_named(tmp_path: Path, extra: str, reason: str):
    with pytest.raises(NetworkError, match=reason):
        load_network("file", written(tmp_path, small_feeder([extra])))


def test_a_conversion_that_is_not_the_same_is_refused_with_its_figure(tmp_path: Path):
    """Loads below vminpu turn into impedances in OpenDSS, which the converted network does not know."""
    with pytest.raises(NetworkError, match=r"the converted feeder has 0\.\d+ p\.u\., OpenDSS 0\.\d+"):
        load_network("file", written(tmp_path, small_feeder(load="phases=3 kv=10 kw=9000 kvar=4500 vminpu=0.95")))


def test_scripts_that_opendss_cannot_read_or_solve_are_refused(tmp_path: Path):
    before = os.getcwd()
    for text in ("new nonsense.x", "clear\n"):
        with pytest.raises(NetworkError, match="OpenDSS"):
            load_network("file", written(tmp_path, text))
    assert os.getcwd() == before


def test_without_the_extra_it_is_said_what_to_install():
    with pytest.raises(NetworkError, match=r"no_such_engine; install grid_assets with its extra 'formats'"):
        file_formats.needs("no_such_engine", "formats", "feeder.dss: OpenDSS")
