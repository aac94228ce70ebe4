"""Networks from files of several formats: the same study as from elsewhere, or a reason why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid_assets.powerflow.gate import NetworkError, admit
from grid_assets.powerflow.networks import load_network
from grid_assets.powerflow.time_series import solve_series
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.powerflow import cim_text
from grid_assets_tests.powerflow.made import nominal

CASES = SHARED / "testcases" / "powerflow"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared power-flow cases are absent; set GRID_ASSETS_SHARED")
SMALL = {
    "baseMVA": 10.0,
    "bus": [[1, 3, 0, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9], [7, 1, 2, 0.5, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9],
            [9, 1, 1, 0.2, 0, 0.1, 1, 1, 0, 0.4, 1, 1.1, 0.9]],
    "gen": [[1, 0, 0, 10, -10, 1.02, 10, 1, 10, -10]],
    "branch": [[1, 7, 0.02, 0.03, 0.001, 8, 0, 0, 0, 0, 1, -360, 360], [7, 9, 0.005, 0.06, 0, 4, 0, 0, 0.975, 0, 1, -360, 360]],
}  # fmt: skip


def matpower_text(case: dict[str, Any]) -> str:
    """A .m file of format version 2."""
    made = ["function mpc = made", "% written by a test", "mpc.version = '2';", f"mpc.baseMVA = {case['baseMVA']};"]
    for name in ("bus", "gen", "branch"):
        made += [f"mpc.{name} = [", *("\t" + "\t".join(f"{value:.12g}" for value in row) + ";" for row in case[name]), "];"]
    return "\n".join([*made, ""])


def written(folder: Path, case: dict[str, Any], more: str = "") -> Path:
    file = folder / "made.m"
    file.write_text(matpower_text(case) + more)
    return file


def changed(table: str, row: int, column: int, value: float) -> dict[str, Any]:
    case = json.loads(json.dumps(SMALL))
    case[table][row][column] = value
    return case


@needs_cases
@pytest.mark.parametrize("name", ["case9", "case14", "case33bw", "case118"])
def test_matpower_text_gives_the_voltages_of_another_engine(tmp_path: Path, name: str):
    case = json.loads((CASES / "inputs" / "matpower" / f"{name}.json").read_text())
    admitted = load_network("file", written(tmp_path, case))
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    expected = pd.read_parquet(CASES / "expected" / f"{name}__bus.parquet")
    np.testing.assert_allclose(solved.vm_pu[0], expected["vm_pu"], atol=1e-6)
    np.testing.assert_allclose(solved.va_degree[0], expected["va_degree"], atol=1e-4)


def test_a_matpower_binary_is_the_same_as_its_text(tmp_path: Path):
    import scipy.io

    file = tmp_path / "made.mat"
    scipy.io.savemat(file, {"mpc": {"version": "2", **{name: np.array(value, float) for name, value in SMALL.items()}}})
    one, other = load_network("file", file), load_network("file", written(tmp_path, SMALL))
    voltages = [solve_series(each, *nominal(each, np.ones(1))).vm_pu for each in (one, other)]
    np.testing.assert_allclose(voltages[0], voltages[1], atol=1e-12)
    scipy.io.savemat(file, {"other": 1.0})
    with pytest.raises(NetworkError, match="no struct named mpc"):
        load_network("file", file)


def test_base_voltages_that_are_missing_are_assumed_and_said(tmp_path: Path):
    case = json.loads(json.dumps(SMALL))
    for row in case["bus"]:
        row[9] = 0.0
    admitted = load_network("file", written(tmp_path, case))
    assert admitted.repairs[0].startswith("3 buses had no base voltage and were given 100 kV")


@pytest.mark.parametrize(
    "code",
    ["mpc.bus(:, 3) = mpc.bus(:, 3) / 1e3;", "[PQ, PV] = idx_bus;", "for k = 1:3, end", "mpc.branch = scale * mpc.branch;"],
)
def test_a_matpower_case_that_computes_its_tables_is_refused(tmp_path: Path, code: str):
    file = written(tmp_path, SMALL, f"{code}  % to MW\n")
    number = file.read_text().count("\n")
    with pytest.raises(NetworkError, match=rf"made.m, line {number}: the case computes its tables by code .*savecase"):
        load_network("file", file)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (changed("branch", 1, 4, 0.02), "bus 9: the converted network's admittances differ"),
        ({**SMALL, "branch": [row[:9] for row in SMALL["branch"]]}, "table branch has 9 columns"),
        (changed("branch", 0, 1, 55), "cannot convert this MATPOWER case|not a readable MATPOWER case"),
        (changed("branch", 0, 2, float("nan")), "table branch has values that are no numbers"),
    ],
)
def test_matpower_cases_that_do_not_come_through_are_refused(tmp_path: Path, case: dict[str, Any], reason: str):
    with pytest.raises(NetworkError, match=reason):
        load_network("file", written(tmp_path, case))


def test_a_pandapower_excel_file_is_the_same_network(tmp_path: Path):
    import pandapower as pp

    net = load_network("cigre_mv").net
    file = tmp_path / "network.xlsx"
    pp.to_excel(net, str(file))
    one, other = load_network("file", file), admit(net, "here")
    load = nominal(other, np.linspace(0.3, 1, 3))
    np.testing.assert_allclose(solve_series(one, *load).vm_pu, solve_series(other, *load).vm_pu, atol=1e-9)
    assert list(one.net.bus["name"]) == list(other.net.bus["name"])
    file.write_bytes(b"PK nothing")
    with pytest.raises(NetworkError, match="not a readable pandapower Excel file"):
        load_network("file", file)


@pytest.mark.parametrize("packed", [False, True])
def test_a_cim_model_from_its_folder_or_archive(tmp_path: Path, packed: bool):
    place = cim_text.written(tmp_path / "model")
    if packed:
        place = Path(shutil.make_archive(str(tmp_path / "model"), "zip", place))
    admitted = load_network("file", place)
    assert sorted(admitted.net.bus["name"]) == ["end", "middle", "source"]
    assert sorted(admitted.net.line["name"]) == ["line-1", "line-2"]
    assert list(admitted.net.line["max_i_ka"]) == [0.3, 0.3]
    solved = solve_series(admitted, *nominal(admitted, np.ones(1)))
    found = dict(zip(solved.bus_ids, solved.vm_pu[0], strict=True))
    assert found["source"] == pytest.approx(1.02)
    # 1.5 MW and 0.5 Mvar over 1.6 + 1.2j ohm at 10 kV: about (1.6 * 1.5 + 1.2 * 0.5) / 10.2 = 0.294 kV
    assert found["end"] == pytest.approx(1.02 - 0.0294, abs=1.5e-3)
    assert solved.loading_pct[0] == pytest.approx(100 * np.hypot(1.5, 0.5) / (np.sqrt(3) * 10 * found["end"] * 0.3), rel=1e-2)


def test_cim_equipment_that_the_converter_loses_is_named(tmp_path: Path):
    plant = '<cim:FrequencyConverter rdf:ID="drive"><cim:IdentifiedObject.name>drive</cim:IdentifiedObject.name></cim:FrequencyConverter>'
    place = cim_text.written(tmp_path / "model", plant, ("t-drive", "drive", "end"))
    with pytest.raises(NetworkError, match="FrequencyConverter 'drive' is not in the converted network"):
        load_network("file", place)


def test_cim_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(NetworkError, match=r"no .xml or .zip file in this folder"):
        load_network("file", tmp_path)
    (tmp_path / "a.xml").write_text("<nothing/>")
    with pytest.raises(NetworkError, match=r"not a readable CIM CGMES 2\.4\.15 model"):
        load_network("file", tmp_path / "a.xml")
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(NetworkError, match="not a readable CIM CGMES"):
        load_network("file", tmp_path / "a.zip")


def test_simbench_by_code_counts_its_taps():
    admitted = load_network("simbench", code="1-MV-rural--0-sw")
    assert admitted.source == "SimBench 1-MV-rural--0-sw"
    assert any("tap changer type" in one for one in admitted.repairs)
    assert len(admitted.net.bus) == 97
    with pytest.raises(NetworkError, match="SimBench knows no network '1-XX'"):
        load_network("simbench", code="1-XX")
    with pytest.raises(NetworkError, match="unknown network source 'simbench'; expected"):
        load_network("simbench")


def test_a_name_that_tells_no_format_is_refused(tmp_path: Path):
    (tmp_path / "network.raw").write_text("")
    with pytest.raises(NetworkError, match=r"does not tell the format; expected \.json \(pandapower JSON\)"):
        load_network("file", tmp_path / "network.raw")
