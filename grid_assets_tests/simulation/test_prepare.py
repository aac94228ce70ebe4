"""The demo's source files: what the project's own readers make of them, and that a second call or a broken one is harmless."""

from __future__ import annotations

import gzip
import json
import math
import os
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_assets.demand_response.events import read_events, read_participants
from grid_assets.foundation.registers import DEVICES, METERS, NODES, PLANTS, REGISTERS, UNITS, faults_of_tree, read_register
from grid_assets.foundation.site import Site, load_site
from grid_assets.metering.entries.outages import read_outages
from grid_assets.simulation.prepare import _Feed, _with_boundary, prepare
from grid_assets.simulation.register_standings import with_registers
from grid_assets.simulation.simbench_network import SimulationError, customer_class, plant_kind, simulated_grid
from grid_assets_tests.conftest import SITES

pytestmark = pytest.mark.slow


def short_demo(state: Path, seed: int = 20160524) -> Site:
    """The demo with a calendar of four days around the clock change."""
    text = (SITES / "demo.toml").read_text()
    for old, new in (("2016-03-20", "2016-03-25"), ("2016-06-05", "2016-03-28"), ("2016-05-21", "2016-03-27")):
        text = text.replace(f"day = {old}", f"day = {new}")
    state.mkdir(parents=True, exist_ok=True)
    file = state / "demo.toml"
    file.write_text(text.replace("seed = 20160524", f"seed = {seed}"))
    return load_site(file, {**os.environ, "GRID_ASSETS_STATE": str(state)})


def source_of(site: Site) -> Path:
    """Where the simulation writes."""
    if site.simulation is None:
        pytest.fail("the demo has no [simulation]")
    return site.simulation.folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file() and one.name != ".lock"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = short_demo(tmp_path_factory.mktemp("demo"))
    prepare(made)
    return made


def test_registers_form_a_tree_and_ratings_hold_all_clean_readings(site: Site):
    tables = {one.name: read_register(site.registers.folder, one).to_pandas() for one in REGISTERS}
    nodes = tables["nodes"].where(tables["nodes"].notna(), None)
    assert faults_of_tree(nodes, tables["meters"]) == []
    assert {name: len(rows) for name, rows in tables.items()} == {"meters": 388, "nodes": 13, "plants": 137, "units": 26, "devices": 13}
    boundary = tables["meters"]["kind"] == "boundary"
    assert set(tables["meters"].loc[~boundary, "node_id"]) <= set(nodes.loc[nodes["level"] == "feeder", "node_id"])
    assert tables["meters"].loc[boundary, "node_id"].tolist() == ["ss-mv2.101"]
    assert tables["meters"]["register_modulus_kwh"].notna().sum() == 19
    truth = pd.read_parquet(source_of(site) / "truth" / "2016-03-27.parquet")
    assert len(truth) == 388 * 92
    rating = truth["meter_id"].astype(str).map(tables["meters"].set_index("meter_id")["rating_kw"])
    assert (truth["clean_kwh"] * 4 <= rating).all()
    below = truth["meter_id"] != "B0001"
    assert (truth.loc[below, "clean_kwh"] >= 0).all()
    total = truth[below].groupby(truth["meter_id"].astype(str).str[0])["clean_kwh"].sum()
    drawn = truth.loc[~below, "clean_kwh"].sum()
    assert 0.005 < (drawn - total["L"] + total["G"]) / total["L"] < 0.04  # what an AC power flow loses


def test_registers_outages_and_devices_are_delivered_as_their_readers_expect(site: Site):
    outages = read_outages(site.metering.outages, set(read_register(site.registers.folder, METERS)["meter_id"].to_pylist()))
    assert not outages.refused
    assert list((site.metering.corrections or Path()).iterdir()) == []
    folder = source_of(site)
    lines = [json.loads(one) for file in sorted((folder / "devices").iterdir()) for one in gzip.decompress(file.read_bytes()).splitlines()]
    sent = pd.concat([pd.read_parquet(one) for one in sorted((folder / "truth" / "devices").iterdir())])
    assert sum(len(one["measurements"]) for one in lines) == sent["sent_value"].notna().sum()
    assert {one["device_id"] for one in lines} == {"WS-01", "BM-01", "BM-02", "TS-01", "OS-01"} | {
        f"GS-{number:02d}" for number in range(1, 9)
    }
    assert sent.loc[sent["fault"] == "", "sent_value"].equals(sent.loc[sent["fault"] == "", "clean_value"])
    rows = pd.read_csv(sorted((folder / "landing").iterdir())[2], dtype=str)
    assert set(rows["kind"]) == {"interval", "register"}
    registers = rows[(rows["kind"] == "register") & ~rows["meter"].str.startswith("X")]
    assert registers["meter"].nunique() <= 19
    assert (pd.to_datetime(registers["read_at"]) > pd.Timestamp(site.clock.bounds(date(2016, 3, 24))[0])).all()


def test_the_storm_of_the_default_day_takes_a_feeder(tmp_path: Path):
    grid = simulated_grid("1-MVLV-semiurb-5.220-2-sw", 0.46)
    whole = load_site(SITES / "demo.toml", {**os.environ, "GRID_ASSETS_STATE": str(tmp_path)})
    metered = _with_boundary(with_registers(grid.meters, whole.seed))
    feed = _Feed(whole, grid, metered, pd.DataFrame(columns=["meter_id", "start_utc", "end_utc", "delivered_kw"]), date(2016, 5, 21))
    (storm,) = [one for one in feed.outages() if one.node_id]
    made = feed._made_day(date(2016, 5, 21))
    below = grid.meters["node_id"] == storm.node_id
    during = (made.start_utc >= storm.start_utc) & (made.start_utc + pd.Timedelta("15min") <= storm.end_utc)
    assert below.sum() >= 6
    assert (made.clean_kwh[np.ix_(during, np.append(below, False))] == 0).all()


def test_demand_response_files_pass_the_reader(site: Site):
    members = read_participants(source_of(site) / "demand_response", site, read_register(site.registers.folder, METERS).to_pandas())
    events = read_events(source_of(site) / "demand_response", site)
    assert members.groupby("programme").size().to_dict() == {"district_evening": 7, "large_customers": 7}
    assert all(one.start_utc.weekday() < 5 for one in events.values())
    assert len(events) == 4
    delivered = pd.read_csv(source_of(site) / "truth" / "deliveries.csv")
    assert (delivered["delivered_kw"] / delivered["committed_kw"]).between(0.19, 1.26).all()


def test_a_second_call_changes_nothing_and_an_interrupted_one_goes_on(site: Site):
    folder = source_of(site)
    before = content(folder)
    stamps = {one: one.stat().st_mtime_ns for one in folder.rglob("*.gz")}
    prepare(site)
    assert {one: one.stat().st_mtime_ns for one in folder.rglob("*.gz")} == stamps
    lost = sorted((folder / "landing").iterdir())[2]
    lost.unlink()
    (folder / "manifest.json").write_text(before["manifest.json"].decode().replace("true", "false"))
    prepare(site)
    assert content(folder) == before


def test_another_seed_makes_other_readings(site: Site, tmp_path: Path):
    other = short_demo(site.state.parent, seed=1)
    before = content(source_of(site))
    prepare(other)
    after = content(source_of(site))
    names = [name for name in before if name.startswith("landing/")]
    assert names
    assert all(before[name] != after[name] for name in names)
    prepare(short_demo(site.state.parent))
    assert content(source_of(site)) == before


def test_names_of_profiles():
    assert [customer_class(one) for one in ("lv_rural1", "H0-A", "L2-M", "APLS_0.033", "Soil_Alternative_1", "G3-A")] == [
        "lv_district", "household", "agriculture", "ev_charging", "heat_pump", "commercial",
    ]  # fmt: skip
    assert [plant_kind(one) for one in ("WP7", "BM1", "Hydro1", "PV3", "lv_rural1")] == ["wind", "biomass", "hydro", "pv", "pv"]


def test_an_unknown_grid_is_named():
    with pytest.raises(SimulationError, match="no-such-grid"):
        simulated_grid("no-such-grid", 1.0)


def test_weather_follows_the_sun_and_forecasts_are_issued_before_the_run(site: Site):
    folder = source_of(site) / "weather"
    observed, issued = pd.read_parquet(folder / "observations.parquet"), pd.read_parquet(folder / "forecasts.parquet")
    hour = observed["time"].dt.hour
    assert (observed.loc[hour.isin([21, 22, 23, 0, 1, 2]), "ghi"] == 0).all()
    assert observed.loc[hour == 11, "ghi"].min() > 20
    assert observed["time"].max() < pd.Timestamp(site.clock.bounds(date(2016, 3, 28))[1])
    first = issued["issued"].min()
    assert first == pd.Timestamp("2016-03-25T05:00Z")
    assert (issued["time"] >= issued["issued"]).all()
    both = issued.merge(observed, on="time", suffixes=("", "_seen"))
    lead = (both["time"] - both["issued"]).dt.total_seconds() / 3600
    error = (both["temperature"] - both["temperature_seen"]).abs()
    assert 0 < np.mean(error[lead < 12]) < 2.5
    assert {one.name for one in (METERS, NODES, PLANTS, UNITS, DEVICES)} == {one.stem for one in site.registers.folder.glob("*.csv")}


def test_grid_sensors_show_what_the_network_of_the_demo_carries(site: Site):
    """Sound values of a day against pandapower's own flow of the meters' energy at one interval, reactive power apart."""
    import pandapower

    from grid_assets.powerflow.networks import load_network

    folder, day = source_of(site), date(2016, 3, 26)
    devices = read_register(site.registers.folder, DEVICES).to_pandas().set_index("device_id")
    meters = read_register(site.registers.folder, METERS).to_pandas().set_index("meter_id")
    truth = pd.read_parquet(folder / "truth" / f"{day}.parquet")
    at = site.clock.intervals(day)[48]
    energy = truth[truth["start_utc"] == at].set_index(truth["meter_id"].astype(str)[truth["start_utc"] == at])["clean_kwh"]
    admitted = load_network("file", folder / "network.json")
    net = admitted.net
    for table in ("load", "sgen", "storage"):
        net[table].drop(net[table].index, inplace=True)
    bus = dict(zip(net.bus["name"], net.bus.index, strict=True))
    for meter, kwh in energy.drop("B0001").items():
        one, mw = meters.loc[meter], kwh * 4 / 1000
        if one["kind"] == "load":
            pandapower.create_load(net, bus[one["bus_id"]], mw, mw * math.tan(math.acos(one["power_factor"])))
        else:
            pandapower.create_sgen(net, bus[one["bus_id"]], mw)
    pandapower.runpp(net, numba=False, init="dc")
    assert energy["B0001"] * 4 / 1000 == pytest.approx(net.res_ext_grid["p_mw"].iloc[0], rel=2e-3)
    sent = pd.read_parquet(folder / "truth" / "devices" / f"{day}.parquet")
    sound = sent[(sent["fault"] == "") & (sent["read_utc"] >= at) & (sent["read_utc"] < at + pd.Timedelta("15min"))]
    means = sound.groupby(["device_id", "quantity"])["sent_value"].mean()
    for device in ("GS-02", "GS-05", "GS-08"):
        volts = net.res_bus["vm_pu"][bus[devices.loc[device, "bus_id"]]] * 20_000
        assert means[device, "voltage"] == pytest.approx(volts, rel=0.005)
        line = net.line.index[net.line["name"] == devices.loc[device, "branch_id"]][0]
        assert means[device, "current"] == pytest.approx(1000 * net.res_line["i_from_ka"][line], rel=0.05)
    to_neutral = net.res_bus["vm_pu"][bus[devices.loc["GS-04", "bus_id"]]] * 400 / math.sqrt(3)
    assert means["GS-04", "voltage"] == pytest.approx(to_neutral, rel=0.005)
    main = net.trafo.index[net.trafo["name"] == devices.loc["GS-03", "branch_id"]][0]
    assert means["GS-03", "active_power"] == pytest.approx(1000 * net.res_trafo["p_hv_mw"][main], rel=0.03, abs=5)


def test_the_estimate_finds_the_faulty_sensors_of_the_demo_and_no_others(site: Site):
    from grid_assets.network.state_estimation import state_of_day

    assert site.network is not None
    folder, found, wrong, sent_bad = source_of(site), 0, 0, 0
    registers = {one.name: read_register(site.registers.folder, one).to_pandas() for one in REGISTERS if one.name != "units"}
    for day in (date(2016, 3, 25), date(2016, 3, 27)):
        truth = pd.read_parquet(folder / "truth" / f"{day}.parquet")
        readings = truth.rename(columns={"clean_kwh": "energy_kwh"}).assign(quality="measured", error_kwh=float("nan"))
        readings["meter_id"] = readings["meter_id"].astype(str)
        sent = pd.read_parquet(folder / "truth" / "devices" / f"{day}.parquet").rename(columns={"sent_value": "value"})
        done = state_of_day(site.network, site.clock, day, **registers, readings=readings, measurements=sent)
        bad = done.anomalies[done.anomalies["bad_data"]]
        faulty = sent[sent["fault"].isin(["stuck", "out_of_range"])]
        keys = set(zip(faulty["device_id"], faulty["quantity"], faulty["read_utc"].dt.floor("15min"), strict=True))
        told = list(zip(bad["source_id"], bad["quantity"], bad["start_utc"], strict=True))
        found += sum(one in keys for one in told)
        wrong += sum(one not in keys for one in told)
        far = sent[sent["fault"].eq("out_of_range") & sent["device_id"].str.startswith("GS") & sent["quantity"].ne("frequency")]
        sent_bad += len(far)
        assert {(one.device_id, one.quantity) for one in far.itertuples()} <= set(zip(bad["source_id"], bad["quantity"], strict=True))
    assert sent_bad > 0
    assert found > 30
    assert wrong == 0
