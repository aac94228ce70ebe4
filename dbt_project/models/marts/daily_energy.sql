select
    day,
    node_id,
    kind,
    cast(count(*) as bigint) as meters,
    sum(energy_kwh) as energy_kwh,
    cast(sum(expected_intervals) as bigint) as expected_intervals,
    cast(sum(estimated_intervals) as bigint) as estimated_intervals,
    cast(sum(missing_intervals) as bigint) as missing_intervals,
    coalesce(100.0::double * sum(valid_intervals) / nullif(sum(expected_intervals), 0), 0.0::double) as valid_pct
from (select * from {{ source('lake', 'metering__meter_days') }} where kind in ('load', 'generation') order by day, meter_id)
group by day, node_id, kind
order by day, node_id, kind
