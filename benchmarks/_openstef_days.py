"""Runs in OpenSTEF's own environment: forecasts some days. Usage: python _openstef_days.py ASKED.parquet DAYS.json TOLD.parquet"""

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import structlog
from openstef.data_classes.model_specifications import ModelSpecificationDataClass
from openstef.data_classes.prediction_job import PredictionJobDataClass
from openstef.pipeline.create_forecast import create_forecast_pipeline_core
from openstef.pipeline.train_model import train_model_pipeline_core

TRAINING_DAYS, INPUT_DAYS, ISSUE_HOUR, HORIZON_HOURS = 730, 35, 9, 39


def main(asked: str, days_file: str, told: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    data = pd.read_parquet(asked)
    data.index.freq = None
    request = json.loads(Path(days_file).read_text())
    zone, models, rows = request["zone"], {}, []
    job = PredictionJobDataClass(
        id=1, name="bench", model="lgb", forecast_type="demand", horizon_minutes=HORIZON_HOURS * 60, resolution_minutes=60,
        lat=52.0, lon=5.0, train_components=False, quantiles=[0.05, 0.5, 0.95],
    )  # fmt: skip
    for text in request["days"]:
        day = pd.Timestamp(text, tz=zone)
        issued = (day - pd.Timedelta(days=1)).normalize() + pd.Timedelta(hours=ISSUE_HOUR)
        quarter = pd.Timestamp(year=day.year, month=(day.month - 1) // 3 * 3 + 1, day=1, tz=zone) - pd.Timedelta(days=1)
        if quarter not in models:
            past = data[(data.index < quarter) & (data.index >= quarter - pd.Timedelta(days=TRAINING_DAYS))].dropna()
            specs = ModelSpecificationDataClass(id=1)
            model, _, specs, _ = train_model_pipeline_core(job, specs, past, horizons=[24.0, 39.0])
            model.path = "in memory"
            models[quarter] = (model, specs)
        model, specs = models[quarter]
        end = issued + pd.Timedelta(hours=HORIZON_HOURS)
        known = data[(data.index >= issued - pd.Timedelta(days=INPUT_DAYS)) & (data.index < end)].copy()
        known.loc[known.index >= issued, "load"] = np.nan
        began = time.perf_counter()
        made = create_forecast_pipeline_core(job, known, model, specs)
        seconds = time.perf_counter() - began
        hours = day.tz_localize(None) + pd.to_timedelta(np.arange(24), "h")
        wanted = hours.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")
        rows.append([*made["forecast"].reindex(wanted).to_numpy(float), seconds])
    pd.DataFrame(rows, columns=[*map(str, range(24)), "seconds"]).to_parquet(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
