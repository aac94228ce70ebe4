select
    cast(partition_key as date) as day_run,
    start_utc,
    scenario,
    kind,
    element_id,
    element_kind,
    feeder_id,
    severity,
    "value",
    "limit" as limit_value,
    customers_affected
from {{ source('lake', 'network__constraint_violations') }}
order by scenario, kind, element_id, start_utc
