"""The made-up site: its registers and files are what the project's readers expect, and its days are not all alike."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.registers import METERS, NODES, faults_of_tree, read_register
from grid_assets.foundation.site import load_site
from grid_assets.metering.entries.outages import read_outages
from grid_assets.simulation import fault_rates as rates
from grid_assets.simulation.synthetic_meters import CLASSES, clean_day, population
from grid_assets.simulation.synthetic_site import read_truth, write_site

AUTUMN, LATER, COUNT = date(2016, 10, 30), date(2016, 11, 6), 450


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("synthetic")
    write_site(made, COUNT, [AUTUMN, LATER], seed=5)
    return made


def test_registers_outages_and_site_file_pass_their_readers(folder: Path):
    site = load_site(folder / "synthetic.toml", {})
    meters = read_register(site.registers.folder, METERS).to_pandas()
    nodes = read_register(site.registers.folder, NODES).to_pandas()
    assert faults_of_tree(nodes.where(nodes.notna(), None), meters) == []
    assert len(meters) == COUNT
    assert meters["net_metered"].mean() == pytest.approx(rates.PROSUMERS, abs=0.01)
    assert meters["register_modulus_kwh"].notna().mean() == pytest.approx(rates.REGISTERS, abs=0.01)
    outages = read_outages(site.metering.outages, set(meters["meter_id"]), set(nodes["node_id"]))
    assert not outages.refused
    assert outages.rows["node_id"].notna().sum() == 2


def test_files_hold_text_and_the_truth_tells_how_many_rows_they_have(folder: Path):
    truth = read_truth(folder, AUTUMN)
    assert truth.clean_kwh.shape == (COUNT, 100)
    assert list(truth.meter_id) == sorted(truth.meter_id)
    rows = pd.concat([pd.read_parquet(one) for one in sorted((folder / "landing").glob("reads_20161031*"))])
    assert set(rows.dtypes) == {np.dtype(object)}
    openings = int(truth.is_register.sum())
    unknown = rows["meter"].str.startswith("X").sum()
    assert len(rows) - unknown == truth.arrived.sum() + (truth.resent > 0).sum() + openings
    assert (rows["value"] == "#ERR").sum() >= truth.corrupt.sum()
    assert rows["kind"].value_counts()["register"] >= openings


def test_days_of_a_meter_differ_and_hold_to_rating_and_sign():
    made = population(2000, 3)
    days = [pd.date_range(f"2016-11-{n}", periods=96, freq="15min", tz="UTC") for n in ("13", "20")]
    first, second = (clean_day(made, starts[0].date(), starts, "Europe/Berlin", 3) for starts in days)
    homes = made.customer_class == CLASSES.index("residential")
    apart = np.abs(first - second)[:, homes].sum() / first[:, homes].sum()
    assert 0.2 < apart < 1.5  # a like day alone is a middling estimate
    assert (np.abs(first) <= 0.95 * made.rating_kw * 0.25 + 1e-6).all()
    prosumers = made.customer_class == CLASSES.index("prosumer")
    noon = days[0].hour == 11
    assert (first[np.ix_(noon, prosumers)] < 0).mean() > 0.3
    assert (first[:, ~prosumers] >= 0).all()
    night = days[0].hour < 3
    assert (first[np.ix_(night, made.customer_class == CLASSES.index("generation"))] == 0).all()
    assert np.array_equal(first, clean_day(made, date(2016, 11, 13), days[0], "Europe/Berlin", 3))
