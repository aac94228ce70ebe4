"""The feed: deterministic files, every fault at about its rate, and a truth that explains every row sent."""

from __future__ import annotations

import gzip
import io
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.simulation import meter_feed
from grid_assets.simulation.meter_feed import FeedDay, FeedMeters, feed_day, feed_file, truth

SEED, METERS = 7, 400
REGISTER = pd.DataFrame({"meter_id": [f"L{n:04d}" for n in range(METERS)], "rating_kw": 10.0})
FIRST = date(2016, 5, 10)


def days_of(count: int, seed: int = SEED) -> tuple[FeedMeters, list[FeedDay]]:
    meters = FeedMeters.of(REGISTER, seed)
    made = []
    for n in range(count):
        day = FIRST + timedelta(days=n)
        clean = np.round(1 + np.random.default_rng(n).random((96, METERS)), 6)
        made.append(feed_day(day, pd.date_range(str(day), periods=96, freq="15min", tz="UTC"), clean, meters, seed))
    return meters, made


def rows_of(data: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(data)), dtype=str)


def test_a_file_depends_on_its_seed_and_day_alone():
    meters, days = days_of(4)
    data = feed_file(FIRST + timedelta(days=3), days[::-1], meters, SEED)
    assert data == feed_file(FIRST + timedelta(days=3), days_of(4)[1][::-1], meters, SEED)
    assert data != feed_file(FIRST + timedelta(days=3), days_of(4, SEED + 1)[1][::-1], meters, SEED + 1)


def test_faults_occur_at_about_their_rates():
    _, days = days_of(20)
    fault, delay, extra = (np.stack([getattr(one, name) for one in days]) for name in ("fault", "delay_days", "extra"))
    assert np.mean(fault == "gap") == pytest.approx(meter_feed.SHORT_GAPS + meter_feed.LONG_GAPS, rel=0.2)
    assert np.mean(delay > 0) == pytest.approx(meter_feed.LATE, rel=0.1)
    assert np.mean(extra == 1) == pytest.approx(meter_feed.DUPLICATES, rel=0.1)
    assert np.mean(extra == 2) == pytest.approx(meter_feed.CONFLICTS, rel=0.2)
    assert np.mean(fault == "spike") == pytest.approx(meter_feed.SPIKES, rel=0.3)
    assert np.mean(fault == "negative") == pytest.approx(meter_feed.NEGATIVES, rel=0.3)
    assert np.mean((fault == "stuck").any(axis=1)) == pytest.approx(meter_feed.STUCK_METER_DAYS, rel=0.6)
    assert all((one.sent_kwh[one.fault == "negative"] < 0).all() for one in days)
    assert all((one.sent_kwh[one.fault == "spike"] > 10 * 0.25 * 1.8).all() for one in days)


def test_every_reading_that_is_not_lost_arrives_once_and_the_truth_says_which():
    meters, days = days_of(4)
    files = [rows_of(feed_file(FIRST + timedelta(days=n), days[n::-1], meters, SEED)) for n in range(4)]
    sent = pd.concat(files)
    sent = sent[sent["read_at"].str.startswith(str(FIRST)) & ~sent["meter"].str.startswith("X")]
    told = truth(days[0], meters).to_pandas()
    assert len(sent.drop_duplicates(["meter", "read_at"])) == int((told["delay_days"] >= 0).sum())
    assert len(sent) == int((told["delay_days"] >= 0).sum() + ((told["delay_days"] >= 0) & (told["resent"] > 0)).sum())
    first = sent.drop_duplicates(["meter", "read_at"])
    good = first[first["value"] != "#ERR"]
    kwh = pd.to_numeric(good["value"]) / np.where(good["unit"] == "Wh", 1000, 1)
    stamps = pd.to_datetime(good["read_at"])
    found = pd.Series(kwh.to_numpy(), pd.MultiIndex.from_arrays([good["meter"], stamps]))
    wanted = told.astype({"meter_id": str}).set_index(["meter_id", "start_utc"])["sent_kwh"]
    assert np.allclose(found, wanted.reindex(found.index), atol=1e-6)
    assert int((first["value"] == "#ERR").sum()) == int((told["corrupt"] & (told["delay_days"] >= 0)).sum())


def test_clean_readings_are_sent_as_they_are():
    _, (one,) = days_of(1)
    clean = one.fault == ""
    assert clean.mean() > 0.95
    assert (one.sent_kwh[clean] == one.clean_kwh[clean]).all()
