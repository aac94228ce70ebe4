"""The composition point: what one site is made of, as Dagster definitions.

``build_definitions`` is pure. Only the last lines of this file read the environment.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from pathlib import Path

import dagster as dg

from grid_assets.foundation.dagster.checks import schema_check
from grid_assets.foundation.dagster.doors import TABLE
from grid_assets.foundation.dagster.partitions import partitions_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.site import Site, load_site
from grid_assets.foundation.tables import Table, tables_of
from grid_assets.jobs import backtest_demand, chain_sensors, correct_readings, jobs_of, schedules_of

# Assets of readings and weather take ranges of days, the others one: in a day job the smaller one is what is meant.
warnings.filterwarnings("ignore", message="Asset job .* materializes assets with varying BackfillPolicies")

PROJECT = Path(__file__).resolve().parents[1]
SITES = PROJECT / "data" / "sites"

# What a site must have for an area to exist there. The order is the order of the data.
AREAS = {
    "metering": (),
    "weather": ("weather",),
    "forecasting": (),
    "network": ("network",),
    "storage": ("storage",),
    "market": ("market",),
    "demand_response": ("demand_response",),
    "reporting": (),
}
DOORS = ("assets", "checks", "sensors")


def areas_of(site: Site) -> list[str]:
    """The areas that a site has: those whose sections its file gives."""
    return [area for area, needs in AREAS.items() if all(getattr(site, need) for need in needs)]


def build_definitions(site_file: Path, site: Site) -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of one site."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        doors = [importlib.import_module("grid_assets.foundation.dagster.registers")]
        doors += [door for area in areas_of(site) for door in _doors_of(area)]
        loaded = dg.Definitions.merge(*(dg.load_definitions_from_modules([door]) for door in doors))
        placed = loaded.map_asset_specs(func=lambda spec: _placed(spec, site))
        specs = [spec for asset in placed.assets or () if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs]
        keys = {spec.key for spec in specs}
        checks = [schema_check(table) for table in public_tables(site) if dg.AssetKey(table.key) in keys]
        jobs = jobs_of(specs)
        return dg.Definitions.merge(
            placed,
            dg.Definitions(
                asset_checks=checks,
                jobs=[*jobs.values(), backtest_demand, *([correct_readings] if site.metering.corrections else [])],
                schedules=schedules_of(site, jobs),
                sensors=[
                    *chain_sensors(site, jobs),
                    *(one for door in doors if hasattr(door, "sensors_of") for one in door.sensors_of(site)),
                ],
                resources={"platform": Platform(site_file=str(site_file))},
                executor=dg.in_process_executor,
            ),
        )


def public_tables(site: Site) -> list[Table]:
    """The tables that the site's areas and the foundation publish."""
    registers = importlib.import_module("grid_assets.foundation.registers")
    modules = [importlib.import_module(f"grid_assets.{area}.tables") for area in areas_of(site)]
    return [table for module in (registers, *modules) for table in tables_of(module)]


def _doors_of(area: str) -> list:
    found = []
    for door in DOORS:
        name = f"grid_assets.{area}.{door}"
        if importlib.util.find_spec(name):
            found.append(importlib.import_module(name))
    return found


def _placed(spec: dg.AssetSpec, site: Site) -> dg.AssetSpec:
    """The spec with the partitions that its table has on this site."""
    partitions = partitions_of(spec.metadata.get("partition", "none"), site) if TABLE in spec.metadata else None
    return spec.replace_attributes(partitions_def=partitions) if partitions else spec


def site_file_named(name: str) -> Path:
    """The file of a shipped site (``demo``), or the path of one's own."""
    path = Path(name)
    return path.absolute() if path.suffix == ".toml" else SITES / f"{name}.toml"


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster's own tools load; GRID_ASSETS_SITE names the site, a shipped one or a file."""
    site_file = site_file_named(os.environ.get("GRID_ASSETS_SITE", "demo"))
    return build_definitions(site_file, load_site(site_file, os.environ))
