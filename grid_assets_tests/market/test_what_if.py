"""Studies: ids, figures by hand, identities, variants, what the checks would find."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from grid_assets.market.evidence import faults_of_signals, faults_of_what_if, outside_evidence
from grid_assets.market.loads import MarketInputError, StudyLoads, study_loads
from grid_assets.market.price_response import Elasticities
from grid_assets.market.tariffs import price_series, tariff_named
from grid_assets.market.what_if import StudyError, default_study, elasticities_of, parse_study, price_signals, price_what_if, study_id
from grid_assets_tests.storage.small_site import DAY, forecasts, registers, small_site


@pytest.fixture
def site(tmp_path):
    return small_site(tmp_path)[0]


@pytest.fixture
def loads(site):
    tables = registers()
    return study_loads(site, DAY, *forecasts(site), tables["nodes"], tables["meters"], tables["plants"])


def prices_of(site, **roles: str) -> dict[str, pd.Series]:
    return {
        role: price_series(tariff_named(site, name), site.clock, site.clock.study_day(DAY))["price_per_kwh"] for role, name in roles.items()
    }


def test_study_ids_go_there_and_back(site):
    assert default_study(site, DAY) == "2016-05-24.time_of_use.vs.flat"
    assert parse_study("2016-05-24.a_vs_b.vs.vs_c") == (date(2016, 5, 24), "a_vs_b", "vs_c")
    for wrong in ("2016-05-24", "2016-05-24_time_of_use_vs_flat", "24.05.2016.a.vs.b", "2016-05-24.a.vs.b.vs.c", ""):
        with pytest.raises(StudyError, match=r"expected DAY\.CANDIDATE\.vs\.BASE"):
            parse_study(wrong)
    with pytest.raises(StudyError, match="not a day of the calendar"):
        parse_study("2016-02-31.a.vs.b")
    with pytest.raises(StudyError, match="cannot stand in a study id"):
        study_id(DAY, "time.of.use", "flat")
    with pytest.raises(StudyError, match=r"no \[market\] section"):
        default_study(site.model_copy(update={"market": None}), DAY)


def test_the_loads_of_a_study(loads):
    assert list(loads.leaves) == ["north", "south"]
    assert len(loads.starts) == 96
    assert loads.starts[0] == pd.Timestamp("2016-05-25T22:00Z")
    assert loads.generation_kw.max() == pytest.approx(1100.0)


def test_meters_on_a_parent_have_what_is_not_metered_below(site):
    tables = registers()
    more = tables["meters"].iloc[[0]].assign(meter_id="m-grid", node_id="grid")
    demand, renewable = forecasts(site)
    demand.loc[demand["node_id"] == "grid", "mean_kw"] += 40.0
    made = study_loads(site, DAY, demand, renewable, tables["nodes"], pd.concat([tables["meters"], more]), tables["plants"])
    assert made.leaves["grid"].round(6).unique().tolist() == [40.0]


def test_flat_to_two_prices_by_hand(site):
    """Half the day at 0.16 is not needed here: two leaves, the first without load in dear hours, no elasticity."""
    starts = site.clock.intervals(site.clock.study_day(DAY))
    prices = prices_of(site, new="time_of_use")["new"].to_numpy()
    leaves = pd.DataFrame({"a": np.where(prices < 0.4, 10.0, 0.0), "b": np.full(96, 10.0)}, index=starts)
    loads = StudyLoads(starts, leaves, np.full(96, 30.0), 0.25)
    row = price_what_if(site, default_study(site, DAY), loads, Elasticities(0.0, 0.0, "none")).iloc[0]
    # 8 h at 0.16, 12 h at 0.22, 4 h at 0.40; a uses 20 h, b 24 h, of 10 kW
    old, a, b = 0.25 * 440, 10 * (8 * 0.16 + 12 * 0.22), 10 * (8 * 0.16 + 12 * 0.22 + 4 * 0.4)
    assert row["base_revenue"] == pytest.approx(old)
    assert row["revenue_change"] == pytest.approx(a + b - old)
    assert row["bill_change_p05_pct"] == pytest.approx(np.quantile([100 * (a / 50 - 1), 100 * (b / 60 - 1)], 0.05))
    assert row["bill_change_p95_pct"] == pytest.approx(np.quantile([100 * (a / 50 - 1), 100 * (b / 60 - 1)], 0.95))
    assert row["base_peak_kw"] == 20.0
    assert row["renewable_utilisation_pct"] == pytest.approx(100 * 440 / 720)
    for name in ("peak_change_pct", "shifted_kwh", "energy_change_pct", "procurement_cost_change", "peak_change_high_elasticity_pct"):
        assert row[name] == pytest.approx(0.0, abs=1e-9)


def test_shifted_energy_by_hand(site):
    """Substitution 0.1 on 10 kW all day: what cheap hours gain is what dear hours lose."""
    starts = site.clock.intervals(site.clock.study_day(DAY))
    loads = StudyLoads(starts, pd.DataFrame({"a": np.full(96, 10.0)}, index=starts), None, 0.25)
    row = price_what_if(site, default_study(site, DAY), loads, Elasticities(0.0, 0.1, "hand")).iloc[0]
    weight = np.array([0.16, 0.22, 0.40]) ** -0.1
    after = 240 * weight / (weight @ [8, 12, 4])
    assert row["shifted_kwh"] == pytest.approx((np.maximum(after - 10, 0) * [8, 12, 4]).sum())
    assert row["procurement_cost_change"] == pytest.approx(0.0, abs=1e-9)  # the flat base stands for procurement
    assert np.isnan(row["renewable_utilisation_pct"])


def test_a_study_passes_its_own_recomputation_and_a_changed_figure_does_not(site, loads):
    row = price_what_if(site, default_study(site, DAY), loads).iloc[0]
    prices = prices_of(site, base="flat", candidate="time_of_use", supply="flat")
    assert faults_of_what_if(row, loads, prices) == []
    assert row["revenue_change"] == pytest.approx(row["candidate_revenue"] - row["base_revenue"])
    for name in (
        "revenue_change",
        "procurement_cost_change",
        "base_energy_kwh",
        "peak_change_pct",
        "energy_change_pct",
        "candidate_revenue",
    ):
        wrong = row.copy()
        wrong[name] += max(0.1, abs(wrong[name])) * 0.01
        assert any(fault.startswith(name) for fault in faults_of_what_if(wrong, loads, prices)), name


def test_signals_pass_their_own_recomputation_and_changed_ones_do_not(site, loads):
    signals = price_signals(site, DAY, loads)
    prices = prices_of(site, flat="flat", time_of_use="time_of_use")
    assert faults_of_signals(signals, loads, prices, "flat") == []
    louder = signals.assign(expected_load_kw=signals["expected_load_kw"] * 1.001)
    assert len(faults_of_signals(louder, loads, prices, "flat")) == 2
    dearer = signals.assign(price_per_kwh=signals["price_per_kwh"] + 0.01)
    assert "flat: its prices are not the tariff's" in faults_of_signals(dearer, loads, prices, "flat")
    assert "time_of_use: is not published" in faults_of_signals(signals[signals["signal_id"] == "flat"], loads, prices, "flat")
    assert "found 95" in faults_of_signals(signals.iloc[1:], loads, prices, "flat")[0]


def test_clock_change_days_have_all_their_intervals(site):
    tables = registers()
    for day, intervals in ((date(2016, 3, 25), 92), (date(2016, 10, 28), 100)):
        loads = study_loads(site, day, *forecasts(site, day), tables["nodes"], tables["meters"], tables["plants"])
        row = price_what_if(site, default_study(site, day), loads).iloc[0]
        assert len(price_signals(site, day, loads)) == 2 * intervals
        assert (row["end_utc"] - row["start_utc"]) / pd.Timedelta(hours=1) == intervals / 4
        assert row["base_energy_kwh"] == pytest.approx(loads.leaves.to_numpy().sum() / 4)


def test_missing_inputs_are_named(site, loads):
    tables = registers()
    demand, renewable = forecasts(site)
    rest = (tables["nodes"], tables["meters"], tables["plants"])
    with pytest.raises(MarketInputError, match="node south: has no forecast"):
        study_loads(site, DAY, demand[demand["node_id"] != "south"], renewable, *rest)
    with pytest.raises(MarketInputError, match="plant pv: 1 intervals have no forecast, the first at 2016-05-26 12:00"):
        study_loads(site, DAY, demand, renewable[renewable["start_utc"] != pd.Timestamp("2016-05-26T12:00Z")], *rest)
    with pytest.raises(MarketInputError, match="no load meter"):
        study_loads(site, DAY, demand, renewable, tables["nodes"], tables["meters"].iloc[2:], tables["plants"])
    with pytest.raises(MarketInputError, match="expected those of 2016-05-27"):
        price_what_if(site, default_study(site, date(2016, 5, 25)), loads)


def test_assumptions_outside_the_evidence_are_named():
    assert outside_evidence(-0.05, 0.05, pd.Series([0.1, 0.4])) == ""
    assert "own-price elasticity -0.9" in outside_evidence(-0.9, 0.05)
    assert "substitution elasticity 0.5" in outside_evidence(-0.05, 0.5)
    assert "20 times the lowest" in outside_evidence(-0.05, 0.05, pd.Series([0.1, 2.0]))


def test_elasticities_of_a_run_say_where_they_come_from(site):
    assert elasticities_of(site) == Elasticities(-0.05, 0.1, "assumed")
    assert elasticities_of(site, substitution=0.0) == Elasticities(-0.05, 0.0, "given for this run; otherwise assumed")
