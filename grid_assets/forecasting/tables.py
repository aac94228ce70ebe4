"""The tables that forecasting publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, flag, instant, number, text

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_COLUMNS = tuple(f"p{round(100 * q):02d}_kw" for q in QUANTILES)

_FORECAST = (
    instant("issued_utc", "when the forecast was issued; nothing that arrived later went into it"),
    instant("start_utc", "start of the interval that it speaks of"),
    number("mean_kw", "expected mean power of the interval"),
    *(
        number(name, f"the mean power stays below this with {round(100 * q)} % probability")
        for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    ),
    text(
        "model",
        "ensemble, calendar_weather, parents_share, weekly_naive or (plants) persistence: the one that did best on the days before the issue time",
    ),
    text("model_version", "hash of the configuration, the training data and the library versions"),
    text("readings_version", "hash of the loads or generation, as they were known then, that it was made from"),
)

DEMAND_FORECASTS = Table(
    "forecasting", "demand_forecasts", "a node and interval, from the issue time to the end of the horizon", "site_day", ("node_id", "issued_utc", "start_utc"),
    (text("node_id", "feeder, substation or the system"), *_FORECAST),
)  # fmt: skip

SCENARIOS = Table(
    "forecasting", "scenarios", "a member, node and interval up to the end of the study day: samples that are likely together and add up", "site_day",
    ("member", "node_id", "start_utc"),
    (
        count("member", "number of the sample; all are as likely"),
        text("node_id", "feeder, substation or the system"),
        instant("issued_utc", "issue time of the forecast that it is drawn from"),
        instant("start_utc", "start of the interval"),
        number("value_kw", "mean power of the interval in this sample"),
    ),
)  # fmt: skip

METER_FORECASTS = Table(
    "forecasting", "meter_forecasts", "a load meter and hour of the week after the issue; the meters add up to coherent_forecasts", "site_day", ("meter_id", "start_utc"),
    (
        text("meter_id", "the meter"),
        instant("issued_utc", "when the forecast was issued"),
        instant("start_utc", "start of the hour"),
        number("mean_kw", "expected mean power, made to add up with the nodes'"),
        number("p05_kw", "the mean power stays below this with 5 % probability"),
        number("p50_kw", "the same with 50 %"),
        number("p95_kw", "the same with 95 %"),
        text("model", "global_trees: one model over all meters"),
    ),
)  # fmt: skip

COHERENT_FORECASTS = Table(
    "forecasting", "coherent_forecasts", "a node and hour of the week after the issue: the sum of what is expected of its meters", "site_day",
    ("node_id", "start_utc"),
    (
        text("node_id", "feeder, substation or the system"),
        instant("issued_utc", "when the forecast was issued"),
        instant("start_utc", "start of the hour"),
        number("mean_kw", "expected mean power: the sum of meter_forecasts below the node"),
        number("p05_kw", "the mean power stays below this with 5 % probability, about the sum as the node's own forecast has it"),
        number("p50_kw", "the same with 50 %"),
        number("p95_kw", "the same with 95 %"),
        number("forecast_kw", "the node's own forecast (demand_forecasts), before all were made to add up; empty where it has none", nullable=True),
    ),
)  # fmt: skip

INTRADAY_FORECASTS = Table(
    "forecasting", "intraday_forecasts", "a node and interval, as forecast again in the course of the day after the partition's", "intraday",
    ("node_id", "issued_utc", "start_utc"),
    (
        text("node_id", "feeder, substation or the system"),
        *_FORECAST,
        text("reason", "asked: an issue that was asked for or scheduled; missed: the node's last hour lay outside the morning's 90 % band"),
    ),
)  # fmt: skip

RENEWABLE_FORECASTS = Table(
    "forecasting", "renewable_forecasts", "a plant and interval, from the issue time to the end of the study day", "site_day", ("plant_id", "issued_utc", "start_utc"),
    (text("plant_id", "the plant"), *_FORECAST),
)  # fmt: skip

FORECAST_ACCURACY = Table(
    "forecasting", "forecast_accuracy", "a node, a kind of plants or all meters, and a class of horizon: how the forecasts of this day did", "site_day", ("subject_id", "horizon_class"),
    (
        text("subject_id", "node_id, the kind of plants, or meters: each hour of each load meter counts once, quantiles are 5, 50 and 95 %"),
        text("horizon_class", "day_ahead: issued on the morning before the day; days_2_3 and days_4_7: so many mornings before; same_day: on its own morning, where the site studies the day of issue; intraday: in its course"),
        calendar_day("day", "the day that was forecast"),
        text("model", "the model that was in use"),
        count("intervals", "intervals compared"),
        number("mape_pct", "mean absolute error of the mean against the actual; empty where an actual is zero", nullable=True),
        number("rmse_kw", "root mean squared error of the mean"),
        number("mae_kw", "mean absolute error of the mean"),
        number("pinball_kw", "mean pinball loss over the quantiles"),
        number("coverage_90_pct", "actuals between the 5 % and the 95 % quantile"),
        number("bias_pct", "mean error of the mean against the mean actual", nullable=True),
        number("naive_mape_pct", "the same of the weekly naive", nullable=True),
        number("naive_mae_kw", "mean absolute error of the weekly naive"),
        text("readings_version", "hash of the contents of the days of node loads and readings that it was judged by"),
    ),
)  # fmt: skip

PROMOTIONS = Table(
    "forecasting", "promotions", "a node whose model is another than in the run before, and why", "site_day", ("subject_id",),
    (
        text("subject_id", "the node"),
        instant("decided_utc", "issue time of the run"),
        text("from_model", "the model before; empty: there was none", nullable=True),
        text("to_model", "the model now"),
        number("from_mae_kw", "mean absolute error of the model before on the days forecast again", nullable=True),
        number("to_mae_kw", "the same of the model now", nullable=True),
        number("improvement_pct", "how much less that is", nullable=True),
        text("why", "the same in words"),
    ),
)  # fmt: skip

DRIFT = Table(
    "forecasting", "drift", "a node, a kind of plants or all meters: whether its day-ahead forecasts do as they used to", "site_day", ("subject_id",),
    (
        text("subject_id", "node_id, the kind of plants, or meters"),
        calendar_day("day", "the last day that was looked at"),
        count("reference_days", "days that the last fortnight is compared with"),
        number("cusum_up", "cumulative sum of days on which the load was higher against its forecast than usual, in standard deviations; an alarm above 5", unit="-", nullable=True),
        number("cusum_down", "the same of days on which it was lower", unit="-", nullable=True),
        number("deviation_pct", "standard deviation of a usual day's mean miss", nullable=True),
        number("coverage_pct", "the fortnight inside the 90 % band", nullable=True),
        number("coverage_bound_pct", "an alarm below this", nullable=True),
        text("alarm", "none, level_up, level_down, coverage; learning: too few days to compare with"),
        calendar_day("since", "the day on which the run of misses began; empty without an alarm", nullable=True),
        text("evidence", "what was seen"),
        flag("retrain", "whether the node's models are fitted anew from the next day of issue on"),
    ),
)  # fmt: skip

_CHOICE = (
    text("model", "the model chosen: ensemble, calendar_weather, parents_share, weekly_naive or (plants) persistence"),
    text("model_version", "hash of the configuration, the training data and the library versions"),
    instant("trained_from_utc", "first instant of the training data"),
    instant("trained_to_utc", "end of the training data"),
    number("backtest_mae_kw", "mean absolute error of the model on the last days, each forecast from what was known before; empty: none could be made", nullable=True),
    number("naive_mae_kw", "the same of the naive", nullable=True),
    number("ensemble_mae_kw", "the same of the ensemble; empty: too short a history, about 14 months", nullable=True),
    number("calendar_weather_mae_kw", "the same of the like-day model", nullable=True),
    number("parents_share_mae_kw", "the same of the node's share of its parent's forecast; empty: it has no parent", nullable=True),
    flag("beats_naive", "whether the model was kept"),
    text("readings_version", "hash of the loads or generation, as they were known then, that it was trained on"),
)  # fmt: skip

MODELS = Table(
    "forecasting", "models", "a node whose model was chosen for this day's forecast, and why", "site_day", ("subject_id",),
    (text("subject_id", "node_id"), *_CHOICE),
)  # fmt: skip

RENEWABLE_MODELS = Table(
    "forecasting", "renewable_models", "a kind of plants whose model was chosen for this day's forecast, and why", "site_day", ("subject_id",),
    (text("subject_id", "pv, wind, biomass or hydro; errors are summed over its plants"), *_CHOICE),
)  # fmt: skip
