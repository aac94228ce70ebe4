"""Shared by all tests: where the shared data lie, a site in an empty folder, frames."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site, load_site
from grid_assets.reporting.publish import ensure_manifest

PROJECT = Path(__file__).resolve().parents[1]
SITES = PROJECT / "data" / "sites"
hypothesis.settings.register_profile("project", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("project")
SHARED = Path(os.environ.get("GRID_ASSETS_SHARED") or PROJECT.parent / "shared").absolute()

LONGEST = (
    "end_to_end/test_real_sites.py",
    "end_to_end/test_demo.py",
    "browser/test_analyst.py",
    "reporting/test_publish.py",
    "simulation/test_prepare.py",
    "forecasting/test_real_demand.py",
    "reporting/test_graph.py",
    "metering/test_doors.py",
    "network/test_doors.py",
)
"""The files that take longest come first, so that the processes of a run end at about the same time."""


def pytest_configure(config: pytest.Config) -> None:
    """dbt's manifest is made once, before any process of the run needs it."""
    if not hasattr(config, "workerinput"):
        ensure_manifest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(f"{item.path.parent.name}/{item.path.name}", len(places)))


needs_shared = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data sets are absent; set GRID_ASSETS_SHARED")


@pytest.fixture
def shared_data() -> Path:
    """The folder of the shared data sets; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared data sets are absent; set GRID_ASSETS_SHARED")
    return SHARED / "data"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def site_in(state: Path, name: str) -> Site:
    """A shipped site whose state lies under ``state``."""
    return load_site(SITES / f"{name}.toml", {**os.environ, "GRID_ASSETS_STATE": str(state), "GRID_ASSETS_SHARED": str(SHARED)})
