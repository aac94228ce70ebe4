select
    cast(partition_key as date) as day_run,
    start_utc,
    kind,
    element_id,
    element_kind,
    feeder_id,
    severity,
    probability,
    p05_value,
    p50_value,
    p95_value,
    "limit" as limit_value,
    customers_affected,
    samples
from {{ source('lake', 'network__violation_probabilities') }}
order by kind, element_id, start_utc
