select
    study_id,
    base_tariff,
    candidate_tariff,
    start_utc,
    peak_change_pct,
    shifted_kwh,
    energy_change_pct,
    procurement_cost_change,
    revenue_change,
    elasticity_source
from {{ source('lake', 'market__price_what_ifs') }}
order by study_id, candidate_tariff
