"""Small made frames of the tables that the flow study reads, and a site to study."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site import Site, load_site

SITE = """
name = "trial"
title = "A site for tests"
time_zone = "{zone}"
country = "GB"
currency = "GBP"
interval_minutes = {minutes}
state = "state"

[calendar]
mode = "replay"
first_day = 2016-03-01
last_day = 2016-11-20
default_day = 2016-05-24

[registers]
folder = "registers"

[[readings]]
name = "meters"
folder = "landing"
pattern = "readings_{{received}}.csv"
unit = "kWh"
columns = {{ meter_id = "meter_id", read_utc = "read_utc", value = "value" }}

[network]
{network}
"""


def trial_site(folder: Path, network: str = 'source = "cigre_mv"', minutes: int = 30, zone: str = "Europe/London") -> tuple[Path, Site]:
    """A site file in ``folder`` and the site it describes."""
    path = folder / "trial.toml"
    path.write_text(SITE.format(zone=zone, minutes=minutes, network=network))
    return path, load_site(path, {})


def meters_frame(rows: list[tuple[str, str, str | None, float]], power_factor: float | None = None) -> pd.DataFrame:
    """Load meters from (meter_id, node_id, bus_id, rating_kw)."""
    frame = pd.DataFrame(rows, columns=["meter_id", "node_id", "bus_id", "rating_kw"])
    return frame.assign(
        kind="load", customer_class="household", power_factor=power_factor, net_metered=False,
        valid_from_utc=pd.Timestamp("2016-01-01", tz="UTC"), valid_to_utc=pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]"), register_modulus_kwh=None,
    ).astype({"power_factor": float})  # fmt: skip


def nodes_frame(parents: dict[str, str | None]) -> pd.DataFrame:
    """Nodes from node -> parent; no parent: the system, a parent below the system: a feeder, else the substation."""
    levels = ["system" if above is None else "substation" if parents[above] is None else "feeder" for above in parents.values()]
    frame = pd.DataFrame({"node_id": list(parents), "level": levels, "parent_id": list(parents.values()), "title": list(parents)})
    return frame.assign(import_limit_kw=np.nan, export_limit_kw=np.nan)


def plants_frame(rows: list[tuple[str, str | None]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["plant_id", "bus_id"])
    return frame.assign(kind="pv", meter_id=frame["plant_id"] + "_meter", node_id="feeder_a", rating_kw=1000.0)


def forecast_frame(key: str, mean_kw: dict[str, np.ndarray | float], clock: SiteCalendar, day: date) -> pd.DataFrame:
    """Forecasts of run ``day`` over its study day; the intervals before it are left out."""
    times = clock.intervals(clock.study_day(day))
    parts = [
        pd.DataFrame({key: name, "start_utc": times, "mean_kw": np.broadcast_to(values, len(times))}) for name, values in mean_kw.items()
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({key: [], "start_utc": times[:0], "mean_kw": []})
    quantiles = {f"p{q:02d}_kw": frame["mean_kw"] for q in (5, 10, 25, 50, 75, 90, 95)}
    return frame.assign(
        issued_utc=pd.Timestamp(clock.issue_time(day)), model="weekly_naive", model_version="trial", readings_version="trial", **quantiles
    )


def meter_days_frame(energy_kwh: dict[str, float], day: date) -> pd.DataFrame:
    frame = pd.DataFrame({"meter_id": list(energy_kwh), "energy_kwh": list(energy_kwh.values())})
    return frame.assign(
        day=day, kind="load", node_id="any", expected_intervals=48, valid_intervals=48, valid_pct=100.0, estimated_intervals=0,
        missing_intervals=0, offline_longest_s=0.0, flags=None, edited_intervals=0, usual_kwh=None, register_kwh=None,
    )  # fmt: skip
