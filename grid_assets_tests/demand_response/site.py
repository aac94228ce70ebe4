"""A small site with two programmes, participants and events, in an empty folder; readings with a known reduction."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import METERS
from grid_assets.foundation.site import Site, load_site
from grid_assets.metering.tables import READINGS

SITE = """
name = "trial"
title = "Trial site"
time_zone = "Europe/Berlin"
country = "DE"
currency = "EUR"
interval_minutes = 15
state = "state"
[calendar]
mode = "replay"
first_day = 2016-03-01
last_day = 2016-06-30
default_day = 2016-05-24
[registers]
folder = "."
[[readings]]
name = "m"
folder = "landing"
pattern = "m_{received}.csv"
unit = "kWh"
columns = { meter_id = "meter", read_utc = "time", value = "value" }
[[programmes]]
name = "peak"
effective_from = 2015-01-01
rate_per_kwh = "0.15"
[[programmes]]
name = "peak"
effective_from = 2016-06-01
rate_per_kwh = "0.20"
[[programmes]]
name = "other"
effective_from = 2015-01-01
rate_per_kwh = "0.10"
[demand_response]
folder = "dr"
draft_programme = "peak"
[priorities]
hospital = 1
shop = 3
"""
PARTICIPANTS_CSV = """participant_id,programme,meter_id,title,committed_kw,account,valid_from_utc
P1,peak,M1,Cold store,8,ACC-1,2015-01-01T00:00:00Z
P2,peak,M2,School,8,ACC-2,2015-01-01T00:00:00Z
P3,peak,M3,Bakery,8,ACC-3,2015-01-01T00:00:00Z
P4,other,M4,Clinic,8,ACC-4,2015-01-01T00:00:00Z
"""
EVENTS_CSV = """event_id,programme,start_utc,end_utc,target_kw,notified_utc,label
EV-0,peak,2016-05-19T15:00:00Z,2016-05-19T17:00:00Z,16,2016-05-19T08:00:00Z,earlier
EV-1,peak,2016-05-24T15:00:00Z,2016-05-24T17:00:00Z,16,2016-05-24T08:00:00Z,evening peak
"""
EVENT_DAY = date(2016, 5, 24)
LOADS = {"M1": 10.0, "M2": 20.0, "M3": 40.0, "M4": 12.0}
"""kW, flat; each meter gives up REDUCTIONS kW in the event."""
REDUCTIONS = {"M1": 8.0, "M2": 4.8, "M3": 2.0, "M4": 0.0}


def site_at(folder: Path, events: str = EVENTS_CSV, participants: str = PARTICIPANTS_CSV) -> Site:
    (folder / "dr").mkdir(parents=True, exist_ok=True)
    (folder / "site.toml").write_text(SITE)
    (folder / "dr" / "events.csv").write_text(events)
    (folder / "dr" / "participants.csv").write_text(participants)
    return load_site(folder / "site.toml", {})


def meters() -> pd.DataFrame:
    classes = {"M1": "shop", "M2": "shop", "M3": "hospital", "M4": "other"}
    frame = pd.DataFrame({"meter_id": list(LOADS), "kind": "load", "customer_class": list(classes.values())})
    frame["node_id"] = ["F1", "F1", "F2", "F2"]
    return frame.assign(
        bus_id=None, rating_kw=100.0, power_factor=None, net_metered=False,
        valid_from_utc=pd.Timestamp("2015-01-01", tz="UTC"), register_modulus_kwh=None, valid_to_utc=pd.Series([pd.NaT] * 4, dtype="datetime64[us, UTC]"),
    )[METERS.columns]  # fmt: skip


def readings_of(site: Site, day: date, event: tuple[datetime, datetime] | None = None) -> pd.DataFrame:
    starts = site.clock.intervals(day)
    parts = []
    for meter, power in LOADS.items():
        drawn = np.full(len(starts), power)
        if event:
            drawn[(starts >= event[0]) & (starts < event[1])] -= REDUCTIONS[meter]
        parts.append(pd.DataFrame({"meter_id": meter, "start_utc": starts, "energy_kwh": drawn * site.clock.interval_hours}))
    return pd.concat(parts, ignore_index=True).assign(
        quality="measured", method=None, rule_failures=None, quality_code="3.0.0", error_kwh=None
    )


def seed(site: Site, lake: Lake, first: date = date(2016, 4, 8)) -> None:
    """Readings from ``first`` to the event day, and the meters."""
    lake.write(METERS, meters())
    begin = datetime.fromisoformat("2016-05-24T15:00:00+00:00")
    for day in days_between(first, EVENT_DAY):
        lake.write(READINGS, readings_of(site, day, (begin, begin + timedelta(hours=2)) if day == EVENT_DAY else None), day)
