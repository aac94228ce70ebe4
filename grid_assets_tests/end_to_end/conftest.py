"""Whole days of the shipped sites, run once a session and looked at by many tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from grid_assets.daily import SiteRuns, StepReport
from grid_assets.foundation.lake import POINTER, Lake
from grid_assets.foundation.site import Site
from grid_assets.instance import open_instance
from grid_assets.reporting.publish import ensure_manifest
from grid_assets.simulation.prepare import prepare
from grid_assets_tests.conftest import PROJECT, SHARED, SITES, site_in


@dataclass(frozen=True)
class Ran:
    """A site after its default day."""

    site: Site
    file: Path
    instance: dg.DagsterInstance
    reports: list[StepReport]
    day: date

    @property
    def lake(self) -> Lake:
        return Lake(self.site.lake_root)

    def runs(self) -> SiteRuns:
        return SiteRuns(self.file, self.site, self.instance)


def content(site: Site) -> dict[str, str]:
    """The content of everything in the lake: partition folder -> hash of its rows."""
    root = Path(site.lake_root)
    return {str(path.parent.relative_to(root)): json.loads(path.read_text())["content_hash"] for path in sorted(root.rglob(POINTER))}


def _ran(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with pytest.MonkeyPatch.context() as patch:
        state = tmp_path_factory.mktemp(name)
        patch.setenv("GRID_ASSETS_STATE", str(state))
        patch.setenv("GRID_ASSETS_SHARED", str(SHARED))
        site = site_in(state, name)
        ensure_manifest(PROJECT / "dbt_project")
        if site.simulation:
            prepare(site)
        with open_instance(site) as instance:
            file = SITES / f"{name}.toml"
            day = site.calendar.default_day
            reports = SiteRuns(file, site, instance).day(day)
            yield Ran(site, file, instance, reports, day)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    yield from _ran("demo", tmp_path_factory)


@pytest.fixture(scope="session")
def plymouth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared data sets are absent; set GRID_ASSETS_SHARED")
    yield from _ran("plymouth", tmp_path_factory)


@pytest.fixture(scope="session")
def edrp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared data sets are absent; set GRID_ASSETS_SHARED")
    yield from _ran("edrp", tmp_path_factory)
