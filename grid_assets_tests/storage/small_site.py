"""A small site with two feeders, a plant and two storage units; its registers and forecasts, seeded."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.forecasting.tables import DEMAND_FORECASTS, QUANTILE_COLUMNS, RENEWABLE_FORECASTS
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS, NODES, PLANTS, UNITS
from grid_assets.foundation.site import Site, load_site

DAY = date(2016, 5, 24)

SITE = """
name = "small"
title = "Two feeders"
notice = "synthetic"
time_zone = "Europe/Berlin"
country = "DE"
currency = "EUR"
interval_minutes = 15
state = "${GRID_ASSETS_STATE}"
calendar = { mode = "replay", first_day = 2016-01-01, last_day = 2016-12-20, default_day = 2016-05-24 }
registers = { folder = "registers" }
network = { source = "cigre_mv" }
storage = { import_price_per_mwh = 90, export_price_per_mwh = 40, peak_price_per_kw = 0.2, curtailment_price_per_mwh = 20 }
market = { base_tariff = "flat", candidate_tariff = "time_of_use", own_price_elasticity = -0.05, substitution_elasticity = 0.1, elasticity_source = "assumed" }

[[readings]]
name = "meters"
folder = "landing"
pattern = "{received}.csv"
unit = "kWh"
columns = { meter_id = "meter_id", read_utc = "read_utc", value = "value" }

[[tariffs]]
name = "flat"
price_per_kwh = 0.25

[[tariffs]]
name = "time_of_use"
price_per_kwh = 0.22
periods = [
    { start = 17:00:00, end = 21:00:00, days = "weekdays", price_per_kwh = 0.40 },
    { start = 22:00:00, end = 06:00:00, price_per_kwh = 0.16 },
]
"""


def small_site(folder: Path) -> tuple[Site, Path]:
    """The site, and its file under ``folder``."""
    path = folder / "small.toml"
    path.write_text(SITE)
    return load_site(path, {"GRID_ASSETS_STATE": str(folder / "state")}), path


def registers() -> dict[str, pd.DataFrame]:
    """Frames in the columns of the register tables."""
    nodes = pd.DataFrame(
        [
            ("grid", "system", None, "Grid", None, None),
            ("station", "substation", "grid", "Station", None, None),
            ("north", "feeder", "station", "North", 900.0, 500.0),
            ("south", "feeder", "station", "South", 900.0, 500.0),
        ],
        columns=NODES.columns,
    ).astype({"import_limit_kw": float, "export_limit_kw": float})
    begin = pd.Timestamp("2015-01-01", tz="UTC")
    meters = pd.DataFrame(
        [(f"m-{node}", "load", node, None, "household", 500.0, None, False, begin, pd.NaT, None) for node in ("north", "south")]
        + [("m-pv", "generation", "north", None, "plant", 900.0, None, False, begin, pd.NaT, None)],
        columns=METERS.columns,
    )
    meters["valid_to_utc"] = pd.to_datetime(meters["valid_to_utc"], utc=True)
    plants = pd.DataFrame([("pv", "pv", "m-pv", "north", None, 900.0)], columns=PLANTS.columns)
    units = pd.DataFrame(
        [
            ("battery-1", "north", None, 250.0, 1000.0, 0.95, 0.95, 0.2, 100.0, 300.0, 0.01, 1.5),
            ("battery-2", "south", None, 100.0, 200.0, 0.93, 0.94, 0.1, 20.0, 100.0, 0.02, 1.0),
        ],
        columns=UNITS.columns,
    )
    return {"nodes": nodes, "meters": meters, "plants": plants, "units": units}


def forecasts(site: Site, day: date = DAY) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Demand of the four nodes and generation of the plant, from the issue time to the end of the study day."""
    clock = site.clock
    issued = clock.issue_time(day)
    starts = clock.intervals(clock.day_of(issued), clock.study_day(day))
    starts = starts[starts >= issued]
    local = clock.local(starts)
    hour = (local.hour + local.minute / 60.0).to_numpy()
    north = 250 + 120 * np.exp(-(((hour - 19) / 2.5) ** 2)) + 60 * np.exp(-(((hour - 8) / 2) ** 2))
    south = 300 + 200 * np.exp(-(((hour - 18.5) / 2.0) ** 2))
    pv = 1100 * np.maximum(0.0, np.cos((hour - 13) / 12 * np.pi)) ** 2
    demand = {"grid": north + south, "station": north + south, "north": north, "south": south}
    return _frame(DEMAND_FORECASTS.columns, "node_id", demand, issued, starts), _frame(
        RENEWABLE_FORECASTS.columns, "plant_id", {"pv": pv}, issued, starts
    )


def seed(lake: Lake, site: Site, day: date = DAY) -> None:
    """Writes registers and forecasts as the areas before would."""
    for table, frame in zip((NODES, METERS, PLANTS, UNITS), registers().values(), strict=True):
        lake.write(table, frame)
    demand, renewable = forecasts(site, day)
    lake.write(DEMAND_FORECASTS, demand, day)
    lake.write(RENEWABLE_FORECASTS, renewable, day)


def _frame(columns: list[str], name: str, series: dict[str, np.ndarray], issued: datetime, starts: pd.DatetimeIndex) -> pd.DataFrame:
    made = [
        pd.DataFrame({name: one, "issued_utc": pd.Timestamp(issued), "start_utc": starts, "mean_kw": values})
        for one, values in series.items()
    ]
    frame = pd.concat(made, ignore_index=True)
    spread = {quantile: frame["mean_kw"] * (0.8 + 0.4 * n / 6) for n, quantile in enumerate(QUANTILE_COLUMNS)}
    return frame.assign(**spread, model="calendar_weather", model_version="test", readings_version="test")[columns]
