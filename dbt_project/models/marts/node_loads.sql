select
    node_id,
    level,
    start_utc,
    energy_kwh,
    generation_kwh,
    energy_kwh - generation_kwh as net_kwh,
    valid_pct
from {{ source('lake', 'metering__node_loads') }}
order by node_id, start_utc
