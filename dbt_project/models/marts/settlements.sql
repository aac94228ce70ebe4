-- The newest revision of each event; every revision stays in the lake's ledger.
select
    event_id,
    programme,
    day,
    revision,
    outcome,
    target_kwh,
    delivered_kwh,
    achievement_pct,
    participants,
    participants_paid,
    participants_unverified,
    total_amount,
    currency
from {{ source('lake', 'demand_response__settlements') }}
qualify row_number() over (partition by event_id order by revision desc) = 1
order by event_id
