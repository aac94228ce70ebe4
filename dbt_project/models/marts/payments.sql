select event_id, revision, participant_id, account, tier, amount, currency, payment_key
from {{ source('lake', 'demand_response__payments') }}
order by event_id, revision, participant_id
