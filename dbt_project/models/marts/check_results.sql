-- Without the marts' own results, which would make every publishing differ from the one before.
select partition_key, table_key, check_name, passed, severity, observed, expected
from {{ source('lake', 'foundation__check_results') }}
where not starts_with(table_key, 'reporting/')
order by partition_key, table_key, check_name
