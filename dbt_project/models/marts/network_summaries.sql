with violations as (
    select
        partition_key,
        scenario,
        count(*) as violations,
        count(*) filter (where severity = 'critical') as critical_violations
    from {{ source('lake', 'network__constraint_violations') }}
    group by partition_key, scenario
)

select
    cast(studies.partition_key as date) as day_run,
    studies.scenario,
    studies.steps,
    studies.failed_steps,
    studies.minimum_vm_pu,
    studies.maximum_vm_pu,
    studies.maximum_loading_pct,
    studies.losses_mwh,
    studies.residual_max_mva,
    cast(coalesce(violations.violations, 0) as bigint) as violations,
    cast(coalesce(violations.critical_violations, 0) as bigint) as critical_violations
from {{ source('lake', 'network__flow_certificates') }} as studies
left join violations on violations.partition_key = studies.partition_key and violations.scenario = studies.scenario
order by day_run, studies.scenario
