select
    cast(partition_key as date) as day,
    source_id,
    quantity,
    element_id,
    start_utc,
    unit,
    measurement,
    estimate,
    residual,
    normalised_residual,
    bad_data,
    likely_cause
from {{ source('lake', 'network__anomalies') }}
order by source_id, quantity, element_id, start_utc
