"""Runs in mlforecast's own environment: a week of many meters. Usage: python _mlforecast_week.py ASKED.parquet TOLD.parquet

ASKED: unique_id, ds, y (hours up to the issue). LightGBM as it comes (100 trees), recursive as is its way, each meter scaled, with lags of a day and of weeks.
"""

import sys
import time

import lightgbm
import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import LocalStandardScaler

HORIZON = 168


def main(asked: str, told: str) -> None:
    rows = pd.read_parquet(asked)
    model = lightgbm.LGBMRegressor(num_threads=1, deterministic=True, verbose=-1, random_state=1)
    forecaster = MLForecast(
        models={"mean": model}, freq="h", lags=[1, 24, 168, 336, 504, 672],
        lag_transforms={1: [RollingMean(24)], 168: [RollingMean(24)]}, date_features=["hour", "dayofweek"], num_threads=1,
        target_transforms=[LocalStandardScaler()],
    )  # fmt: skip
    began = time.process_time()
    forecaster.fit(rows, static_features=[])
    fitted = time.process_time()
    made = forecaster.predict(HORIZON)
    ended = time.process_time()
    made["mean"] = np.asarray(made["mean"], float)
    made.assign(fit_seconds=fitted - began, predict_seconds=ended - fitted).to_parquet(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
