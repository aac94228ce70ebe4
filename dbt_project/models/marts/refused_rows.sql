select
    cast(partition_key as date) as arrival_day,
    file_id,
    min(source_file) as source_file,
    rule,
    cast(count(*) as bigint) as "rows",
    arg_min(reason, source_row) as example
from {{ source('lake', 'metering__rejected_readings') }}
group by partition_key, file_id, rule
order by partition_key, file_id, rule
