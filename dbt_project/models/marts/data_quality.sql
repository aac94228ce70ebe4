select day, node_id, kind, meters, valid_pct, estimated_pct, missing_pct
from {{ source('lake', 'metering__quality_profiles') }}
order by day, node_id, kind
