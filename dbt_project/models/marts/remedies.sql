select
    cast(partition_key as date) as day_run,
    topology_hash,
    kind,
    place,
    "rank",
    feeder_id,
    element_id,
    start_utc,
    "value",
    "limit" as limit_value,
    remedy,
    "action",
    cost,
    clears,
    new_violations,
    remaining_violations,
    customers_affected
from {{ source('lake', 'network__remedies') }}
order by day_run, topology_hash, kind, place, "rank"
