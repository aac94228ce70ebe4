-- An alert stands in every day on which it was open; the latest one knows most of it.
select
    alert_id, kind, subject, opened_utc, closed_utc, severity, evidence, cast(partition_key as date) as latest_day
from {{ source('lake', 'metering__alerts') }}
qualify row_number() over (partition by alert_id order by partition_key desc) = 1
order by alert_id
