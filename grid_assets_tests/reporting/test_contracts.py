from __future__ import annotations

import pyarrow as pa
import pytest
import yaml

from grid_assets.foundation.tables import Table, text
from grid_assets.reporting import contracts
from grid_assets_tests.reporting.test_publish import project_in


def test_the_committed_contracts_match_the_declarations():
    assert contracts.drift() == [], "run `grid-assets contracts`"


def test_a_changed_declaration_or_file_is_seen(tmp_path, monkeypatch):
    project = project_in(tmp_path)
    contracts.write(project)
    assert contracts.drift(project) == []
    extended = Table("reporting", "payments", "an amount", "none", ("event_id",), (text("event_id", "the event"), text("note", "new")))
    monkeypatch.setattr(contracts, "marts", lambda: [extended])
    assert any("note" in line for line in contracts.drift(project))
    monkeypatch.undo()
    path = project / contracts.CONTRACTS_FILE
    path.write_text(path.read_text().replace("enforced: true", "enforced: false"))
    assert any("enforced" in line for line in contracts.drift(project))
    assert contracts.write(project) == [path]
    assert contracts.drift(project) == []


def test_every_mart_has_a_model_and_an_exposure():
    names = {table.name for table in contracts.marts()}
    assert {path.stem for path in (contracts.DBT_PROJECT / "models" / "marts").glob("*.sql")} == names
    exposures = yaml.safe_load((contracts.DBT_PROJECT / "models" / "exposures.yml").read_text())["exposures"]
    assert {ref[5:-2] for one in exposures for ref in one["depends_on"]} == names


def test_units_and_types_stand_in_the_contract():
    models = {one["name"]: one for one in yaml.safe_load(contracts.generated()[contracts.CONTRACTS_FILE])["models"]}
    column = {one["name"]: one for one in models["settlements"]["columns"]}
    assert column["target_kwh"]["description"].endswith("[kWh]")
    assert column["total_amount"]["data_type"] == "decimal(18,2)"
    assert "constraints" not in column["achievement_pct"]
    assert models["payments"]["data_tests"] == [{"unique_key": {"arguments": {"columns": ["event_id", "revision", "participant_id"]}}}]


def test_a_source_that_nobody_declares_and_a_type_without_counterpart(tmp_path):
    project = project_in(tmp_path)
    (project / "models" / "marts" / "odd.sql").write_text("select * from {{ source('lake', 'metering__nonsense') }}")
    with pytest.raises(contracts.ContractError, match="metering__nonsense is not a declared table"):
        contracts.source_tables(project)
    with pytest.raises(contracts.ContractError, match="no counterpart"):
        contracts.warehouse_type(pa.list_(pa.int8()))
