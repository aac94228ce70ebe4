"""Registers that are not read every day: their last read is carried to the day that it opens, and no energy is made up."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from grid_assets.foundation.registers import METERS, NODES
from grid_assets.metering import raw_days, shards
from grid_assets.metering.tables import CLOSING_REGISTERS, FAILED_READINGS, READINGS
from grid_assets_tests.metering.conftest import FEED, MadeSite

DAYS = [date(2021, 2, 1) + timedelta(days=n) for n in range(6)]
KIND = FEED.replace('unit = "unit"', 'unit = "unit", kind = "kind"')


@pytest.fixture
def fed(make_site):
    """Register reads of m1, at instants on one site day each, landed and made."""

    def feed(reads: dict[str, float], days: list[date], gather_all_first: list[date] | None = None) -> MadeSite:
        made = make_site(readings=KIND, first=DAYS[0], last=DAYS[-1], validation="linear_gap_minutes = 1440\n")
        made.lake.write(METERS, made.register)
        made.lake.write(NODES, made.nodes)
        for n, (at, value) in enumerate(reads.items()):
            day = (pd.Timestamp(at) - pd.Timedelta("1us")).date()
            name = f"reads_{day + timedelta(days=1):%Y%m%d}T0600{n:02d}Z.csv"
            made.drop(name, f"meter,read_at,value,unit,kind\nm1,{at},{value},kWh,register\n")
        made.land(*days)
        files = raw_days.rows_of_files(made.lake)
        order = gather_all_first or []
        for day in order:
            shards.make_raw_day(made.site, made.lake, day, files.loc[files["day"] == day, "file_id"].tolist())
        for day in days:
            if not order:
                shards.make_raw_day(made.site, made.lake, day, files.loc[files["day"] == day, "file_id"].tolist())
            shards.make_reading_day(made.site, made.lake, day)
        return made

    return feed


def energy(made: MadeSite, day: date) -> pd.Series:
    return made.lake.read(READINGS, day).query("meter_id == 'm1'").set_index("start_utc")["energy_kwh"]


def test_a_read_is_carried_over_silent_days_until_it_is_too_old(fed, monkeypatch):
    monkeypatch.setattr(shards, "CARRIED_DAYS", 3)
    days = DAYS[:6]
    made = fed({"2021-02-01T23:30:00Z": 100.0}, days)
    kept = [day for day in days if made.lake.read(CLOSING_REGISTERS, day)["value"].tolist() == [100.0]]
    assert kept == days[: shards.CARRIED_DAYS + 1]


@pytest.mark.parametrize("gather_all_first", [[], [DAYS[2], DAYS[1], DAYS[0]]])
def test_a_register_silent_for_a_day_is_opened_by_its_last_read(fed, gather_all_first):
    made = fed({"2021-02-02T00:00:00Z": 100.0, "2021-02-03T01:00:00Z": 97.0, "2021-02-03T01:30:00Z": 98.0}, DAYS[:3], gather_all_first)
    assert made.lake.read(CLOSING_REGISTERS, DAYS[1])["value"].tolist() == [100.0]
    failed = made.lake.read(FAILED_READINGS, DAYS[2])  # a standing below the one of two days before: another register
    assert failed["rules"].tolist() == ["meter_exchange"]
    found = energy(made, DAYS[2])
    assert found["2021-02-03T01:00:00Z"] == pytest.approx(1.0)


def test_a_span_over_a_silent_day_is_attributed_to_no_day(fed):
    made = fed({"2021-02-02T00:00:00Z": 100.0, "2021-02-03T01:00:00Z": 150.0, "2021-02-03T01:30:00Z": 151.0}, DAYS[:3])
    assert not len(made.lake.read(FAILED_READINGS, DAYS[2]))
    assert energy(made, DAYS[2]).sum() == pytest.approx(1.0)  # how much of the 50 kWh was before midnight cannot be told
    assert energy(made, DAYS[1]).sum() == 0.0


def test_a_register_read_once_a_day_in_the_morning_shares_its_total_where_the_span_is_short_enough(fed):
    reads = {f"2021-02-0{n}T06:00:00Z": 100.0 + 24 * n for n in (2, 3, 4)}
    made = fed(reads, DAYS[:4])
    for day in DAYS[2:4]:
        found = energy(made, day)
        assert found.notna().sum() == 12
        assert found.dropna().tolist() == pytest.approx([0.5] * 12)


def test_a_register_read_every_other_morning_is_not_attributed(fed):
    made = fed({"2021-02-02T06:00:00Z": 100.0, "2021-02-04T06:00:00Z": 148.0}, DAYS[:4])
    assert energy(made, DAYS[3]).isna().all()
    assert made.lake.read(CLOSING_REGISTERS, DAYS[2])["value"].tolist() == [100.0]
