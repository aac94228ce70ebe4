select
    cast(partition_key as date) as day_run,
    strategy,
    objective,
    gap_pct,
    peak_kw,
    renewable_available_kwh,
    curtailed_kwh,
    renewable_utilisation_pct,
    energy_cost
from {{ source('lake', 'storage__schedule_kpis') }}
order by day_run, strategy
