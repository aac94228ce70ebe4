select
    cast(split_part(partition_key, '..', 1) as date) as first_day,
    cast(split_part(partition_key, '..', 2) as date) as last_day,
    quantity,
    element_id,
    element_kind,
    hours,
    minimum,
    minimum_utc,
    quantile_5,
    quantile_50,
    quantile_95,
    maximum,
    maximum_utc,
    hours_below,
    hours_above
from {{ source('lake', 'network__range_elements') }}
order by first_day, last_day, quantity, element_id
