select
    cast(partition_key as date) as day_run,
    topology_hash,
    bus_id,
    feeder_id,
    pv_kw,
    pv_binding,
    pv_element,
    ev_kw,
    ev_binding,
    ev_element
from {{ source('lake', 'network__hosting_capacity') }}
order by day_run, topology_hash, bus_id
