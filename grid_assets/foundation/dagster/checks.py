"""Checks that every public table has, and the way any check records its result per day."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from grid_assets.foundation.check_results import CheckResult
from grid_assets.foundation.dagster.doors import partition_keys
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.tables import Table

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def schema_check(table: Table) -> dg.AssetChecksDefinition:
    """The blocking check that what is stored is what the declaration says: columns, types, nulls, keys, finite numbers."""

    @dg.asset_check(asset=table.key, name="schema", blocking=True, description=f"Stored rows fit the declaration of {table}.")
    def schema(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        faults: dict[str, str] = {}
        for key in partition_keys(context) if table.partition not in ("none", "topology") else [None]:
            if platform.lake.pointer(table, key) is not None:
                faults[key or "all"] = "; ".join(platform.lake.faults(table, key))
        return recorded(context, platform, table, "schema", faults, expected="the declared columns, types, nulls and keys")

    return schema


def recorded(
    context: dg.AssetCheckExecutionContext,
    platform: Platform,
    table: Table,
    name: str,
    faults: Mapping[str, str],
    *,
    expected: str,
    severity: dg.AssetCheckSeverity = ERROR,
    metadata: Mapping[str, Any] | None = None,
    observed: Mapping[str, str] | None = None,
) -> dg.AssetCheckResult:
    """A check's result for Dagster, after it was recorded per partition.

    ``faults`` has an entry for every partition checked: what is wrong there, or "" where it holds. ``observed`` may say
    what was found where nothing is wrong.
    """
    found = observed or {}
    results = [
        CheckResult(key, str(table), name, not fault, severity.value.lower(), fault or found.get(key, "as expected"), expected)
        for key, fault in faults.items()
    ]
    platform.check_results.record(results, datetime.now(UTC))
    wrong = {key: fault for key, fault in faults.items() if fault}
    said = "; ".join(f"{key}: {fault}" for key, fault in list(wrong.items())[:5]) or "; ".join(list(found.values())[:3]) or "as expected"
    return dg.AssetCheckResult(
        asset_key=table.key,
        check_name=name,
        passed=not wrong,
        severity=severity,
        description=said,
        metadata={"partitions_checked": len(faults), "expected": expected, **(metadata or {})},
    )
