-- Quantiles are means of the intervals' own: right where the intervals of an hour err together, and a little too wide else.
select
    node_id,
    date_trunc('hour', start_utc) as start_utc,
    max(issued_utc) as issued_utc,
    avg(mean_kw) as mean_kw,
    avg(p05_kw) as p05_kw,
    avg(p10_kw) as p10_kw,
    avg(p25_kw) as p25_kw,
    avg(p50_kw) as p50_kw,
    avg(p75_kw) as p75_kw,
    avg(p90_kw) as p90_kw,
    avg(p95_kw) as p95_kw
from {{ ref('demand_forecasts') }}
group by node_id, date_trunc('hour', start_utc)
order by node_id, start_utc
