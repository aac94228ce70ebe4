-- Only intervals in which the node's own meters all have a value: the others say nothing of a residual.
select
    cast(partition_key as date) as day,
    node_id,
    cast(count(*) as bigint) as intervals,
    sum(measured_kwh) as measured_kwh,
    sum(load_kwh) as load_kwh,
    sum(generation_kwh) as generation_kwh,
    sum(residual_kwh) as residual_kwh,
    100.0::double * sum(residual_kwh) / nullif(sum(abs(measured_kwh)), 0) as residual_pct
from (select * from {{ source('lake', 'metering__node_balances') }} where measured_kwh is not null order by node_id, start_utc)
group by partition_key, node_id
order by day, node_id
