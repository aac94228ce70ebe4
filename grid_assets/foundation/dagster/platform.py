"""The resource every asset body takes: the site, its lake, its check results."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import dagster as dg

from grid_assets.foundation.alerts import AlertStore
from grid_assets.foundation.check_results import CheckResults
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site, load_site


class Platform(dg.ConfigurableResource):
    """Opens what a site file names, when a run first needs it."""

    site_file: str

    @cached_property
    def site(self) -> Site:
        return load_site(Path(self.site_file), os.environ)

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.site.lake_root)

    @cached_property
    def check_results(self) -> CheckResults:
        self.site.state.mkdir(parents=True, exist_ok=True)
        return CheckResults(self.site.ledger_url)

    @cached_property
    def alerts(self) -> AlertStore:
        self.site.state.mkdir(parents=True, exist_ok=True)
        return AlertStore(self.site.ledger_url)

    def artefact_url(self, path: Path) -> str:
        """The address under which `grid-assets ui` shows a file of the artefact folder (browsers refuse file:// links)."""
        return f"http://127.0.0.1:{self.site.artefact_port}/{path.relative_to(self.site.artefacts).as_posix()}"
