"""A made day of seven meters in half-hours: rows, corrections and outages from a few words each."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.foundation.tables import Table
from grid_assets.metering.tables import CORRECTIONS, OUTAGE_EVENTS, RAW_READINGS, READINGS
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.reading_days import ReadingDay, ShardInputs, reading_day

DAY = date(2021, 6, 1)
STARTS = pd.date_range("2021-06-01", periods=48, freq="30min", tz="UTC", name="start_utc").as_unit("us")
RULES = ValidationSection()  # type: ignore[call-arg]
IDS = ("b1", "g1", "h1", "h2", "n1", "r1", "r2")
"""A boundary meter, a PV plant, homes, a net-metered home, two meters with registers."""


def grid(*, modulus: float | None = None) -> DayGrid:
    meters = pd.DataFrame(
        {
            "meter_id": IDS, "kind": ["boundary", "generation", *["load"] * 5], "node_id": ["f1", "f1", "f1", "f2", "f2", "f1", "f2"],
            "customer_class": ["grid", "plant", "home", "home", "home", "home", "shop"], "rating_kw": 8.0,
            "net_metered": [False, False, False, False, True, False, False], "photovoltaic": [False, True, *[False] * 5],
            "register_modulus_kwh": modulus,
        }
    )  # fmt: skip
    return DayGrid(DAY, meters, STARTS, 0.5, ZoneInfo("UTC"), {"f1": "s", "f2": "s", "s": None})


def usual(slot: int, meter: str = "h1") -> float:
    return round(1 + 0.02 * slot + 0.3 * (slot % 3) + 0.1 * IDS.index(meter), 6)


def rows(values: list[tuple[str, int, float]], *, file: str = "f", hour: int = 0, kind: str = "interval", unit: str = "kWh") -> pa.Table:
    """From (meter, slot, value); a register read stands at the end of its slot, slot -1 is midnight before the day."""
    frame = pd.DataFrame(values, columns=["meter_id", "slot", "value"])
    at = STARTS[0] + (frame.pop("slot") + (kind == "register")) * pd.Timedelta("30min")
    received = pd.Timestamp("2021-06-02", tz="UTC") + pd.Timedelta(hours=hour)
    frame = frame.assign(
        read_utc=at, unit=unit, kind=kind, file_id=file, source_file=f"{file}.csv", source_row=np.arange(1, len(frame) + 1)
    )
    return RAW_READINGS.conform(frame.assign(received_utc=received))


def whole_day(*meters: str, factor: float = 1.0) -> list[tuple[str, int, float]]:
    return [(meter, slot, factor * usual(slot, meter)) for meter in meters for slot in range(48)]


def standings(meter: str, first: float = 100.0, slots: range = range(-1, 48)) -> list[tuple[str, int, float]]:
    return [(meter, slot, round(first + sum(usual(n, meter) for n in range(slot + 1)), 6)) for slot in slots]


def without(values: list[tuple[str, int, float]], meter: str, slots) -> list[tuple[str, int, float]]:
    return [one for one in values if one[0] != meter or one[1] not in slots]


def corrections(*given_rows: tuple[str, str, int, int, str, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(given_rows, columns=["correction_id", "meter_id", "first", "stop", "action", "energy_kwh"])
    frame["start_utc"], frame["end_utc"] = (
        STARTS[0] + pd.to_timedelta(frame.pop(name).astype(int) * 30, unit="min") for name in ("first", "stop")
    )
    frame = frame.assign(author="ann", entered_utc=STARTS[0], reason="seen", source_file="c.csv", source_row=1)
    return CORRECTIONS.conform(frame).to_pandas()


def outage(first: int, stop: int, meter: str | None = None, node: str | None = None) -> pd.DataFrame:
    at = {"start_utc": STARTS[0] + first * pd.Timedelta("30min"), "end_utc": STARTS[0] + stop * pd.Timedelta("30min")}
    frame = pd.DataFrame(
        [{"outage_id": "o", "meter_id": meter, "node_id": node, "cause": None, "source_file": "o.csv", "source_row": 1, **at}]
    )
    return OUTAGE_EVENTS.conform(frame).to_pandas()


def made_of(raw: pa.Table, **inputs) -> ReadingDay:
    return reading_day(grid(), ShardInputs(raw, **inputs), RULES)


def of(day: ReadingDay, meter: str, table: Table = READINGS) -> pd.DataFrame:
    frame = day.frame(table)
    return frame[frame["meter_id"] == meter].reset_index(drop=True)


def past(*meters: str, factor: float = 1.0) -> list[np.ndarray]:
    one = np.full((len(IDS), 48), np.nan)
    for meter in meters:
        one[IDS.index(meter)] = [factor * usual(slot, meter) for slot in range(48)]
    return [one] * 3
