"""The registers as assets: read from the site's CSV files, checked as a tree."""

import dagster as dg

from grid_assets.foundation.dagster.checks import recorded
from grid_assets.foundation.dagster.doors import asset_of, report
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS, UNITS, faults_of_tree, read_register
from grid_assets.foundation.tables import Table


def _materialised(platform: Platform, table: Table) -> dg.MaterializeResult:
    rows = read_register(platform.site.registers.folder, table)
    return report(platform, table, platform.lake.write(table, rows), rows.to_pandas())


@dg.asset(**asset_of(METERS))
def meters(platform: Platform) -> dg.MaterializeResult:
    return _materialised(platform, METERS)


@dg.asset(**asset_of(NODES))
def nodes(platform: Platform) -> dg.MaterializeResult:
    return _materialised(platform, NODES)


@dg.asset(**asset_of(PLANTS))
def plants(platform: Platform) -> dg.MaterializeResult:
    return _materialised(platform, PLANTS)


@dg.asset(**asset_of(UNITS))
def units(platform: Platform) -> dg.MaterializeResult:
    return _materialised(platform, UNITS)


@dg.asset(**asset_of(DEVICES))
def devices(platform: Platform) -> dg.MaterializeResult:
    return _materialised(platform, DEVICES)


@dg.asset_check(
    asset=NODES.key,
    additional_deps=[METERS.key],
    blocking=True,
    description="One system, known parents, no loops, every meter on a known node.",
)
def tree(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    faults = faults_of_tree(platform.lake.read(NODES), platform.lake.read(METERS))
    return recorded(context, platform, NODES, "tree", {"all": "; ".join(faults[:10])}, expected="one system, known parents, no loops")
