select
    cast(partition_key as date) as day_run,
    outage_id,
    kind,
    severity,
    start_utc,
    converged,
    customers_dark,
    lost_load_kw,
    new_violations,
    minimum_vm_pu,
    maximum_loading_pct,
    maximum_loading_branch
from {{ source('lake', 'network__contingency_results') }}
order by day_run, outage_id
