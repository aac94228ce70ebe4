"""The real data sets through landing, validation and aggregation, against figures computed from the files alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import _real_sets as real_sets
from benchmarks._real_runs import outcome_of, run_set
from grid_assets.foundation.calendar import days_between
from grid_assets.foundation.lake import Lake
from grid_assets.metering.accounting import day_faults, landing_faults
from grid_assets.metering.arrival.landing import land_days, write_landing
from grid_assets.metering.quality import unmeasured_days
from grid_assets.metering.quality.aggregation import node_loads
from grid_assets.metering.tables import FAILED_READINGS, FILE_DAYS, LANDED_FILES, READINGS, REJECTED_READINGS
from grid_assets_tests.conftest import site_in
from grid_assets_tests.metering.conftest import MadeSite

pytestmark = pytest.mark.slow


def real(tmp_path: Path, name: str, first: date, last: date) -> MadeSite:
    site = site_in(tmp_path, name)
    made = MadeSite(Path(name), site, Lake(site.lake_root))
    for one in land_days(site, made.lake, made.register, days_between(first, last)):
        write_landing(made.lake, one)
        assert landing_faults(made.lake, one.day) == ""
    return made


def test_edrp_around_the_clock_change(shared_data, tmp_path):
    first, change, last = date(2009, 3, 22), date(2009, 3, 29), date(2009, 3, 30)
    made = real(tmp_path, "edrp", first, last)
    source = pd.read_parquet(shared_data / "edrp_meters" / "interval_30min.parquet").astype({"meter_id": str})
    source["day"] = source["timestamp_utc"].dt.tz_convert("Europe/London").dt.date
    assert made.lake.read(REJECTED_READINGS).empty
    assert made.lake.read(LANDED_FILES)["rows_staged"].sum() == ((source["day"] >= first) & (source["day"] <= last)).sum()
    for day in (first, change, last):
        own = source[source["day"] == day]
        result = made.make(day)
        assert day_faults(made.lake, day) == ""
        assert len(result.readings) == 560 * (46 if day == change else 48) == len(own)
        failed = made.lake.read(FAILED_READINGS, day)["arrived_kwh"].sum()
        measured = result.readings.loc[result.readings["quality"] == "measured", "energy_kwh"].sum()
        assert measured + failed == pytest.approx(own["energy_kwh"].astype(float).sum(), rel=1e-9)
        assert result.figures()["measured_pct"] > 99.5
        starts = made.site.clock.intervals(day)
        loads = node_loads(result.readings, made.register, made.nodes, starts, "v")
        by_level = loads.groupby("level")["energy_kwh"].sum()
        assert by_level["system"] == pytest.approx(by_level["feeder"]) == pytest.approx(result.readings["energy_kwh"].sum())
    assert made.lake.read(FILE_DAYS, change)["rows"].sum() == 560 * 46


def test_plymouth_dead_measurement_is_refused_and_estimated(shared_data, tmp_path):
    first, last = date(2018, 4, 10), date(2018, 5, 9)
    made = real(tmp_path, "plymouth", first, last)
    source = pd.read_parquet(shared_data / "wpd_pod" / "demand_pv.parquet").set_index("timestamp_utc").astype(float)
    for day in days_between(first, last):
        result = made.make(day)
        assert day_faults(made.lake, day) == ""
        own = source.loc[str(made.site.clock.bounds(day)[0]) : str(made.site.clock.bounds(day)[1] - pd.Timedelta("1us"))]
        for meter, column in (("plymouth-demand", "demand_mw"), ("plymouth-pv", "pv_power_mw")):
            readings = result.readings[result.readings["meter_id"] == meter]
            measured = readings[readings["quality"] == "measured"]
            arrived = measured["energy_kwh"].sum() + result.failed.loc[result.failed["meter_id"] == meter, "arrived_kwh"].sum()
            assert arrived == pytest.approx(own[column].sum() * 1000 * 0.5, abs=1e-6)
    for day in (date(2018, 5, 8), date(2018, 5, 9)):
        result = made.make(day)
        demand = result.readings[result.readings["meter_id"] == "plymouth-demand"].set_index("start_utc")
        dead = source["demand_mw"].reindex(demand.index) == 0
        assert dead.sum() > 20
        assert set(demand.loc[dead.to_numpy(), "rule_failures"]) == {"zero_run near_zero"}
        assert set(demand.loc[dead.to_numpy(), "quality"]) == {"estimated"}
        weeks = [source["demand_mw"].reindex(demand.index - pd.Timedelta(f"{7 * back}D")).to_numpy() * 500 for back in (1, 2, 3)]
        at = dead.to_numpy() & (demand["method"] == "like_days").to_numpy()
        assert at.sum() > 20
        energy, mean = demand["energy_kwh"].to_numpy(dtype=float), np.mean(weeks, axis=0)
        assert (np.abs(energy - mean)[at] < 3 * np.std(weeks, axis=0, ddof=1).max()).all()  # near the like days
        first, last = np.flatnonzero(at)[[0, -1]]
        beside = (first, first - 1) if first else (last, last + 1)  # the day's own readings are joined more closely than by their mean
        estimate, reading = energy[list(beside)]
        assert abs(estimate - reading) < 0.6 * abs(mean[beside[0]] - reading)


def test_plymouth_generation_is_not_called_stuck_at_night(shared_data, tmp_path):
    made = real(tmp_path, "plymouth", date(2019, 6, 26), date(2019, 6, 26))
    sun = made.make(date(2019, 6, 26)).readings.query("meter_id == 'plymouth-pv'")
    assert set(sun["quality"]) == {"measured"}
    assert (sun["energy_kwh"] == 0).sum() > 8


ZONNEDAEL, _, LONDON, _ = real_sets.SETS


def test_london_resends_are_superseded_and_the_missing_value_is_refused(shared_data, tmp_path):
    source = LONDON.source()
    repeated = source[source.duplicated(["meter_id", "start_utc"])]
    assert len(repeated) == 24
    assert source["kwh"].isna().sum() == 1
    days = {*repeated["start_utc"].dt.tz_convert("Europe/London").dt.date, date(2012, 12, 18)}
    absent = pd.to_datetime(["2012-12-09 06:30Z", "2013-02-19 19:00Z", "2013-03-23 04:00Z"])  # no row speaks of these half-hours
    made = run_set(LONDON, tmp_path, days=sorted(days | set(absent.date)))
    found = outcome_of(made)
    assert found.superseded == 24
    assert found.refused.to_dict() == {"parse": 1}
    assert found.accounted == found.rows
    assert found.as_landed
    (refused,) = made.lake.read(REJECTED_READINGS).itertuples()
    assert "2012-12-18 14:54:01" in refused.raw_text.replace("T", " ")
    readings = made.lake.read(READINGS)
    filled = readings[readings["start_utc"].isin(absent) & (readings["quality"] == "estimated")]
    assert set(filled["start_utc"]) == set(absent)
    assert set(filled["method"]) == {"linear"}
    assert (filled["error_kwh"] > 0).all()
    published = readings[readings["quality"] == "measured"].set_index(["meter_id", "start_utc"])["energy_kwh"].astype(float)
    truth = source.drop_duplicates(["meter_id", "start_utc"]).set_index(["meter_id", "start_utc"])["kwh"]
    pd.testing.assert_series_equal(published, truth.reindex(published.index), check_names=False, check_dtype=False)


def test_zonnedael_shows_its_filled_stretch_and_no_other(shared_data, tmp_path):
    days = days_between(date(2013, 2, 2), date(2013, 2, 5))
    made = run_set(ZONNEDAEL, tmp_path, days=days)
    found = outcome_of(made)
    assert found.accounted == found.rows == 47 * 4 * 96
    evidence = {day: unmeasured_days.evidence_of_day(made.site, made.lake, day) for day in days}
    assert {day: one["meter_id"].tolist() for day, one in evidence.items() if len(one)} == {
        date(2013, 2, 3): ["zonnedael-013"], date(2013, 2, 4): ["zonnedael-013"],
    }  # fmt: skip
    assert evidence[days[1]]["explanation"].item().startswith("93 readings from 00:45 are 4 values over and over, 0.08224 kWh")
    source = made.source[made.source["meter_id"] == "zonnedael-013"].set_index("start_utc")["kwh"]
    stretch = (1000 * source["2013-02-02 23:45":"2013-02-04 23:45"]).round().astype(int)
    assert stretch.tolist() == np.resize([81, 83, 81, 84], 193).tolist()  # what the file holds, read by itself


def test_a_published_wall_clock_with_96_rows_a_day_is_utc_in_the_file(shared_data):
    source = ZONNEDAEL.source()
    local = source["start_utc"].dt.tz_convert("Europe/Amsterdam")
    rows = source.groupby([source["meter_id"], local.dt.date]).size()
    assert rows.xs(date(2013, 3, 31), level=1).eq(92).all()  # the hour that spring leaves out is in no row
    assert rows.drop(date(2013, 3, 31), level=1).eq(96).all()
    shape = source.groupby([local.dt.date >= date(2013, 3, 31), source["start_utc"].dt.hour])["kwh"].mean().unstack(0)
    rise = shape.loc[3:9].diff().idxmax()
    assert rise[True] == rise[False] - 1  # people rise by the wall clock
