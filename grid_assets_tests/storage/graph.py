"""Runs the doors of one area on the small site, placed in partitions as the definitions place them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from grid_assets.foundation.dagster.checks import schema_check
from grid_assets.foundation.dagster.partitions import partitions_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site
from grid_assets.foundation.tables import tables_of
from grid_assets_tests.storage.small_site import small_site


def small_platform(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The resource of the small site, its state under ``folder``."""
    monkeypatch.setenv("GRID_ASSETS_STATE", str(folder / "state"))
    return Platform(site_file=str(small_site(folder)[1]))


def definitions_of(area: str, platform: Platform) -> dg.Definitions:
    doors = [importlib.import_module(f"grid_assets.{area}.{door}") for door in ("assets", "checks")]
    loaded = dg.Definitions.merge(*(dg.load_definitions_from_modules([door]) for door in doors))
    placed = loaded.map_asset_specs(func=lambda spec: _placed(spec, platform.site))
    tables = tables_of(_tables(area))
    return dg.Definitions.merge(
        placed, dg.Definitions(asset_checks=[schema_check(one) for one in tables], resources={"platform": platform})
    )


def run(
    area: str, platform: Platform, partition_key: str, tables: list[list[str]], instance: dg.DagsterInstance, config: dict | None = None
) -> dg.ExecuteInProcessResult:
    """Materialises the assets of ``tables`` for one partition, with all their checks."""
    job = dg.define_asset_job("one", selection=dg.AssetSelection.assets(*(dg.AssetKey(key) for key in tables)))
    definitions = dg.Definitions.merge(definitions_of(area, platform), dg.Definitions(jobs=[job], executor=dg.in_process_executor))
    found = definitions.resolve_job_def("one")
    return found.execute_in_process(partition_key=partition_key, instance=instance, run_config=config, raise_on_error=False)


def passed(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {f"{one.asset_key.path[-1]}:{one.check_name}": one.passed for one in result.get_asset_check_evaluations()}


def _tables(area: str) -> ModuleType:
    return importlib.import_module(f"grid_assets.{area}.tables")


def _placed(spec: dg.AssetSpec, site: Site) -> dg.AssetSpec:
    partitions = partitions_of(spec.metadata.get("partition", "none"), site)
    return spec.replace_attributes(partitions_def=partitions) if partitions else spec
