-- The latest issue that speaks of an interval stands; earlier ones stay in the lake.
select node_id, start_utc, issued_utc, mean_kw, p05_kw, p10_kw, p25_kw, p50_kw, p75_kw, p90_kw, p95_kw, model
from {{ source('lake', 'forecasting__demand_forecasts') }}
qualify row_number() over (partition by node_id, start_utc order by issued_utc desc) = 1
order by node_id, start_utc
