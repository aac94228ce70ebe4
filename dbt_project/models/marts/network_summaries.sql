with violations as (
    select
        partition_key,
        scenario,
        count(*) as violations,
        count(*) filter (where severity = 'critical') as critical_violations
    from {{ source('lake', 'network__constraint_violations') }}
    group by partition_key, scenario
),

-- a day on which something is switched has a certificate per switching state
studies as (
    select
        partition_key,
        scenario,
        cast(sum(steps) as bigint) as steps,
        cast(sum(failed_steps) as bigint) as failed_steps,
        min(minimum_vm_pu) as minimum_vm_pu,
        max(maximum_vm_pu) as maximum_vm_pu,
        max(maximum_loading_pct) as maximum_loading_pct,
        sum(losses_mwh) as losses_mwh,
        max(residual_max_mva) as residual_max_mva
    from {{ source('lake', 'network__flow_certificates') }}
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
from studies
left join violations on violations.partition_key = studies.partition_key and violations.scenario = studies.scenario
order by day_run, studies.scenario
