-- The payments posted for an event add up to what it is settled at, to the cent.
select settlements.event_id, settlements.total_amount, coalesce(sum(payments.amount), 0) as posted
from {{ ref('settlements') }} as settlements
left join {{ ref('payments') }} as payments on payments.event_id = settlements.event_id
group by settlements.event_id, settlements.total_amount
having coalesce(sum(payments.amount), 0) <> settlements.total_amount
