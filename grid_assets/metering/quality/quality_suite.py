"""The Great Expectations suite over the quality profiles, with its data docs. Imported lazily: it takes seconds."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

SUITE = "quality_profiles"
FOLDER = "data_docs"


@dataclass(frozen=True)
class QualityVerdict:
    """What the suite says of some days' profiles."""

    passed: bool
    faults: dict[str, str]
    """Per day: the expectations that do not hold there, or ""."""
    expectations: int
    page: Path


def docs_page(artefacts: Path) -> Path:
    """The first page of the data docs."""
    return artefacts / FOLDER / "index.html"


def expectations(minimum_valid_pct: float) -> list:
    """The suite's expectations over rows of QUALITY_PROFILES."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["node_id", "kind", "day"]),
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["load", "generation", "boundary"]),
        gxe.ExpectColumnValuesToBeBetween(column="meters", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="valid_pct", min_value=minimum_valid_pct, max_value=100),
        gxe.ExpectColumnValuesToBeBetween(column="missing_pct", min_value=0, max_value=100 - minimum_valid_pct),
        gxe.ExpectColumnValuesToBeBetween(column="minimum_kwh", min_value=0, row_condition=Column("kind") == "load"),
        gxe.ExpectColumnValuesToBeBetween(column="maximum_of_rating_pct", min_value=0, max_value=100.0001),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="maximum_kwh", column_B="minimum_kwh", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
    ]


def judge_profiles(profiles: pd.DataFrame, minimum_valid_pct: float, artefacts: Path) -> QualityVerdict:
    """Validates the profiles of one or several days in one go and writes the HTML data docs under ``artefacts``."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # nothing is reported to anyone
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(artefacts / FOLDER)}
    site = {"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}, "store_backend": store}
    context.add_data_docs_site(site_name=FOLDER, site_config=site)
    batch = context.data_sources.add_pandas("lake").add_dataframe_asset(SUITE).add_batch_definition_whole_dataframe("days")
    suite = context.suites.add(gx.ExpectationSuite(name=SUITE, expectations=expectations(minimum_valid_pct)))
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=SUITE, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=SUITE, validation_definitions=[validation],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="data_docs", site_names=[FOLDER])],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["day", "node_id", "kind"]},
    )  # fmt: skip
    days = sorted(profiles["day"].astype(str).unique())
    run = gx.RunIdentifier(run_name=f"{days[0]} to {days[-1]}" if days else "no days")
    outcome = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": profiles.assign(day=profiles["day"].astype(str))}, run_id=run
    )
    results = [one for run_result in outcome.run_results.values() for one in run_result.results]
    return QualityVerdict(bool(outcome.success), _faults_by_day(results, days), len(results), docs_page(artefacts))


def _faults_by_day(results: list, days: list[str]) -> dict[str, str]:
    """Which expectations fail where; a failure that names no rows counts on every day."""
    found: dict[str, list[str]] = {day: [] for day in days}
    for one in results:
        if one.success:
            continue
        settings = one.expectation_config.kwargs
        column = settings.get("column") or settings.get("column_A") or ", ".join(settings.get("column_list", []))
        said = f"{column}: {one.expectation_config.type}"
        places = one.result.get("unexpected_index_list") or []
        for day in days:
            nodes = [str(place["node_id"]) for place in places if str(place["day"]) == day]
            if nodes:
                found[day].append(f"{said} fails at {', '.join(nodes[:5])}" + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""))
            elif not places:
                found[day].append(f"{said} fails {one.exception_info or ''}"[:300])
    return {day: "; ".join(faults) for day, faults in found.items()}
