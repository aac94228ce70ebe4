select
    day,
    subject_id,
    horizon_class,
    model,
    mape_pct,
    mae_kw,
    pinball_kw,
    coverage_90_pct,
    bias_pct,
    naive_mae_kw,
    100.0::double * (naive_mae_kw - mae_kw) / nullif(naive_mae_kw, 0.0) as improvement_pct
from {{ source('lake', 'forecasting__forecast_accuracy') }}
order by day, subject_id, horizon_class
