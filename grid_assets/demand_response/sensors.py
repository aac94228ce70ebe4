"""A constraint violation in a flow study requests the run that drafts a demand-response event."""

import dagster as dg

from grid_assets.demand_response.drafting import constraints_of
from grid_assets.foundation.dagster.partitions import CONSTRAINT_EVENTS
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.network.tables import CONSTRAINT_VIOLATIONS

STUDIES_A_TICK = 50
DRAFT_JOB = "constraint_event"


@dg.sensor(
    job_name=DRAFT_JOB,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="An overload or undervoltage in a flow study becomes a constraint event, whose run drafts a demand-response event.",
)
def constraint_violation_sensor(context: dg.SensorEvaluationContext, platform: Platform):
    """The cursor is the storage id of the last materialisation seen. A run key holds the violations' content: the same study, however
    often it is materialised, asks for one draft; a study that found something else asks again."""
    seen = int(context.cursor) if context.cursor else None
    wanted = dg.AssetRecordsFilter(dg.AssetKey(CONSTRAINT_VIOLATIONS.key), after_storage_id=seen)
    records = context.instance.fetch_materializations(wanted, limit=STUDIES_A_TICK, ascending=True).records
    if not records:
        return dg.SkipReason("no new flow study")
    days = sorted({record.partition_key for record in records if record.partition_key})
    found = {day: constraints_of(platform.lake.read(CONSTRAINT_VIOLATIONS, day), platform.site.clock.day(day)) for day in days}
    keys = [one.key for constraints in found.values() for one in constraints]
    content = {day: platform.lake.content_hash(CONSTRAINT_VIOLATIONS, day) for day in days}
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(partition_key=one.key, run_key=f"{one.key}:{content[day]}")
            for day, constraints in found.items()
            for one in constraints
        ],
        dynamic_partitions_requests=[CONSTRAINT_EVENTS.build_add_request(keys)] if keys else [],
        cursor=str(records[-1].storage_id),
        skip_reason=None if keys else f"no overload or undervoltage in the studies of {', '.join(days)}",
    )
