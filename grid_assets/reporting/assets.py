"""The door of reporting: dbt's models as assets of the same graph, built and published in one step."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets
from packaging.version import Version

from grid_assets.foundation.dagster.doors import described, report
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.reporting import publish
from grid_assets.reporting.contracts import DBT_PROJECT, marts

MANIFEST = publish.manifest_of()
if not MANIFEST.exists():
    raise publish.PublishError(
        f"{MANIFEST} is missing. `grid-assets daily` and `grid-assets ui` make it; where Dagster is started by hand, run "
        "`python -c 'from grid_assets.reporting.publish import ensure_manifest; ensure_manifest()'` first"
    )
LOGGED = 20_000
MARTS = {table.name: table for table in marts()}


class InstalledDbt(DbtCliResource):
    """dbt as it is installed here, started once. Its version comes from the package's metadata, because asking the program takes
    seconds; and no second adapter is set up in this process, which only dagster-dbt's own row counts would need."""

    @property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args):
        return None


class MartTranslator(DagsterDbtTranslator):
    """A model is the asset of the mart it is declared as; a source is the lake table's own asset (its ``meta`` names the key)."""

    def get_asset_spec(self, manifest, unique_id, project) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        if props["resource_type"] != "model":
            return spec
        about = described(MARTS[props["name"]])
        return spec.replace_attributes(
            group_name=about["group_name"], description=about["description"], metadata={**spec.metadata, **about["metadata"]},
            kinds={"dbt", "duckdb", "parquet"},
        )  # fmt: skip

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "model":
            return dg.AssetKey(MARTS[dbt_resource_props["name"]].key)
        return super().get_asset_key(dbt_resource_props)


@dbt_assets(manifest=MANIFEST, dagster_dbt_translator=MartTranslator(), name="publish_marts", pool="publish")
def published_marts(context: dg.AssetExecutionContext, platform: Platform):
    """Builds the selected marts in a new file; when all their tests passed, it becomes the published one."""
    site, lake = platform.site, platform.lake
    wanted = publish.built_marts([key.path[-1] for key in context.selected_asset_keys])
    kept = len(wanted) < len(MARTS)
    with publish.draft_warehouse(lake, site.warehouse_file, platform.check_results.read(), keep_published=kept) as draft:
        tested = yield from _built_and_tested(context, draft)
        written = publish.put_in_place(draft, site.warehouse_file, lake, wanted)
    yield from tested
    for table in wanted:
        figures = {"warehouse": dg.MetadataValue.path(str(site.warehouse_file)), "relation": f"grid.{table.name}"}
        yield report(platform, table, written[table.name], lake.read(table), figures=figures)


def _built_and_tested(context: dg.AssetExecutionContext, draft) -> Iterator[Any]:
    """Runs dbt once; returns its test results. When it fails they are yielded before the error, so that the page shows which."""
    dbt = InstalledDbt(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=publish.dbt_executable())
    tested, said, error = [], io.StringIO(), None
    try:
        with contextlib.redirect_stdout(said):  # dbt's lines belong in the run's log, not between those of the command line
            for event in dbt.cli(publish.build_arguments(draft), context=context, target_path=draft.parent / "target").stream():
                if isinstance(event, dg.AssetCheckResult | dg.AssetCheckEvaluation):
                    tested.append(event)
    except Exception as raised:
        error = raised
    context.log.log("ERROR" if error else "DEBUG", said.getvalue()[-LOGGED:])
    if error:
        yield from tested
        raise error
    return tested
