"""The network's engines against pandapower on the same machine in the same run: series of injections, outages, state estimation, hosting capacity."""

from __future__ import annotations

import copy
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks._estimation import estimation_rows, phase_rows
from benchmarks.platform import Row, row
from grid_assets.powerflow.batches import BatchSolver
from grid_assets.powerflow.compiled import compiled
from grid_assets.powerflow.gate import AdmittedNetwork, admit
from grid_assets.powerflow.hosting_capacity import hosting_capacity
from grid_assets.powerflow.limits import Limits
from grid_assets.powerflow.outages import solve_outages
from grid_assets.powerflow.time_series import solve_chunks, solve_series
from grid_assets.powerflow.topology import topology_of

SMALL, MIDDLE, LARGE, RURAL = "1-MVLV-semiurb-5.220-0-sw", "1-HVMV-urban-all-0-sw", "1-MVLV-semiurb-all-0-sw", "1-MV-rural--0-sw"
YEAR_STEPS = 35_136
COMPARED_OUTAGES = 12


def run(console: Console) -> list[Row]:
    """Measures everything; two minutes or so."""
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    with console.status("") as status:
        for code, steps, peer_steps, target, stretch in ((SMALL, 672, 48, 300, 1000), (LARGE, 96, 8, 30, 60)):
            status.update(f"{code}: {steps} intervals ...")
            rows += series_rows(code, steps, peer_steps, target, stretch)
        status.update("a year of quarter-hours ...")
        rows += year_rows()
        for code, target in ((RURAL, 200), (MIDDLE, None), (LARGE, 25)):
            status.update(f"{code}: every outage ...")
            rows += outage_rows(code, target)
        for code, steps, peer_steps in ((SMALL, 24, 4), (MIDDLE, 4, 1)):
            status.update(f"{code}: state estimation ...")
            admitted = network(code)
            load = loads(admitted, 0.3 + 0.4 * np.random.default_rng(1).random(steps))
            rows += estimation_rows(f"{len(admitted.net.bus):,} buses", admitted, load, peer_steps)
        status.update("by phase ...")
        rows += phase_rows()
        status.update("all of a network of 1,791 buses ...")
        rows += whole_rows()
    return rows


def network(code: str) -> AdmittedNetwork:
    import simbench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return admit(simbench.get_simbench_net(code), code)


def loads(admitted: AdmittedNetwork, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The network's own loads less its own generation, MW and Mvar [steps, buses]: each element by a factor of its own about the step's."""
    net, random = admitted.net, np.random.default_rng(7)
    at = {bus: place for place, bus in enumerate(net.bus.index)}
    made = np.zeros((2, len(factors), len(net.bus)))
    for table, sign in (("load", 1.0), ("sgen", -1.0)):
        rows = net[table][net[table]["in_service"].astype(bool)]
        each = factors[:, None] * random.uniform(0.8, 1.2, (len(factors), len(rows)))
        for n, name in enumerate(("p_mw", "q_mvar")):
            np.add.at(made[n].T, rows["bus"].map(at).to_numpy(), (sign * each * (rows[name] * rows["scaling"]).to_numpy()).T)
    return made[0], made[1]


def series_rows(code: str, steps: int, peer_steps: int, target: float, stretch: float) -> list[Row]:
    """Voltages, currents and loadings of every interval, ours with its residuals, against run_timeseries with recycling, and numba where it is installed."""
    admitted = network(code)
    load_mw, load_mvar = loads(admitted, 0.3 + 0.4 * np.random.default_rng(1).random(steps))
    solve_series(admitted, load_mw[:4], load_mvar[:4])
    ours = _best(lambda: solve_series(admitted, load_mw, load_mvar), 5) / steps
    series = solve_series(admitted, load_mw[:peer_steps], load_mvar[:peer_steps])
    theirs, voltages = run_timeseries(admitted.net, load_mw[:peer_steps], load_mvar[:peer_steps])
    fast, _ = run_timeseries(admitted.net, load_mw, load_mvar, few=True)
    apart, ratio, buses = float(np.nanmax(np.abs(series.vm_pu - voltages))), theirs / ours, len(admitted.net.bus)
    said = f"{1000 * ours:.3g} ms an interval, run_timeseries {1000 * theirs:.3g}; compiled before; stretch {stretch:g}x: {'met' if ratio >= stretch else 'missed'}"
    return [
        row(f"{buses:,} buses, {steps} intervals", ratio, "x faster", said, f">= {target:g}", ratio >= target),
        row(f"{buses:,} buses: against its fast mode", fast / ours, "x faster", f"{1000 * fast:.3g} ms: voltages and loadings only, read at the end"),
        row(f"{buses:,} buses: largest difference of a voltage", apart, "p.u.", f"to run_timeseries, {peer_steps} intervals", "<= 1e-8", apart <= 1e-8),
        row(f"{buses:,} buses: largest residual", float(np.nanmax(series.residual_max_mva)), "MVA", "all intervals"),
    ]  # fmt: skip


def run_timeseries(net: Any, load_mw: np.ndarray, load_mvar: np.ndarray, *, few: bool = False) -> tuple[float, np.ndarray]:
    """pandapower's own: recycled, with numba, and with what ours gives as its outputs, or ``few`` of them. Seconds an interval, voltages."""
    import pandapower as pp
    from pandapower.control import ConstControl
    from pandapower.timeseries import DFData, OutputWriter
    from pandapower.timeseries import run_timeseries as pandapower_run

    net = copy.deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table].drop(net[table].index, inplace=True)
    pp.create_loads(net, buses=net.bus.index, p_mw=0.0, q_mvar=0.0)
    for name, values in (("p_mw", load_mw), ("q_mvar", load_mvar)):
        ConstControl(
            net, "load", name, net.load.index, profile_name=net.load.index, data_source=DFData(pd.DataFrame(values, columns=net.load.index))
        )
    # the supply's power is read step by step, as all others are then: its fast mode refuses a second result of the buses
    wanted = [("res_bus", "vm_pu"), ("res_bus", "va_degree"), ("res_line", "loading_percent"), ("res_line", "i_ka"), ("res_line", "p_from_mw"),
              ("res_trafo", "loading_percent"), ("res_trafo", "p_hv_mw"), ("res_ext_grid", "p_mw")]  # fmt: skip
    if few:  # its fast mode: read at the end, from three outputs
        wanted = [("res_bus", "vm_pu"), ("res_line", "loading_percent"), ("res_trafo", "loading_percent")]

    def once(steps: int) -> tuple[float, np.ndarray]:
        net["output_writer"].drop(net["output_writer"].index, inplace=True)
        writer = OutputWriter(net, range(steps), output_path=None, log_variables=wanted)
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pandapower_run(net, range(steps), verbose=False, calculate_voltage_angles=True, tolerance_mva=1e-8)
        return time.perf_counter() - began, writer.output["res_bus.vm_pu"].to_numpy()

    net["output_writer"] = pd.DataFrame({"object": []}, dtype=object)
    once(2)  # loads what it needs, and compiles
    (seconds, voltages), (again, _) = once(len(load_mw)), once(len(load_mw))
    return min(seconds, again) / len(load_mw), voltages


def year_rows() -> list[Row]:
    """In a process of its own, so that its memory is its own."""
    done = subprocess.run([sys.executable, "-c", "from benchmarks.network import year; year()"], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[1])  # fmt: skip
    seconds, mebibytes = (float(one) for one in done.stdout.split()[-2:])
    return [
        row("a year of quarter-hours, 227 buses", seconds, "s", "voltages, currents, residuals of 35,136 intervals, a week at a time", "< 30", seconds < 30),
        row("the same: memory above that after import", mebibytes, "MiB", "the year's injections, 120 MiB, in it", "< 300", mebibytes < 300),
    ]  # fmt: skip


def year() -> None:
    """Seconds, and by how much the memory at its highest was above that after import and a first flow."""
    admitted = network(SMALL)
    solve_series(admitted, *loads(admitted, np.full(4, 0.5)))
    before = _memory("VmRSS")
    load_mw, load_mvar = loads(admitted, 0.3 + 0.4 * np.random.default_rng(1).random(YEAR_STEPS))
    Path("/proc/self/clear_refs").write_text("5")  # forgets how high it was while the injections were made up
    began = time.perf_counter()
    highest = max(float(np.nanmax(series.loading_pct)) for _, series in solve_chunks(admitted, load_mw, load_mvar))
    assert highest > 0
    print(time.perf_counter() - began, (_memory("VmHWM") - before) / 1024)


def _memory(name: str) -> int:
    """Of this process, KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))


def outage_rows(code: str, target: float | None) -> list[Row]:
    """Every branch in service out once: voltages and loadings, against runpp with it switched off."""
    admitted = network(code)
    compiled_net = compiled(admitted)
    solver, load = BatchSolver(compiled_net), loads(admitted, np.array([0.6]))
    injections = compiled_net.injections(*load)[0]
    outages = [(int(one),) for one in np.flatnonzero(compiled_net.ends[:, 0] >= 0)]

    def all_of_them() -> list:
        return [(part, part.loading_pct(compiled_net).max(axis=1)) for part in solve_outages(solver, injections, outages)]

    done = all_of_them()
    seconds = _best(all_of_them, 1 if code == LARGE else 5)
    theirs, apart = _by_runpp(admitted, load, done, compiled_net.place)
    ours, buses = seconds / len(outages), len(admitted.net.bus)
    ratio, solved = theirs / ours, sum(int((part.method >= 0).sum()) for part, _ in done)
    said = f"{1000 * ours:.3g} ms an outage, runpp {1000 * theirs:.3g}; {solved} of {len(outages)} solved"
    rows = [
        row(
            f"{buses:,} buses, every outage",
            ratio,
            "x faster",
            said,
            f">= {target:g}" if target else "",
            ratio >= target if target else None,
        )
    ]
    rows.append(row(f"{buses:,} buses, every outage: largest difference of a voltage", apart, "p.u.", f"to runpp, {COMPARED_OUTAGES} outages", "<= 1e-8", apart <= 1e-8))  # fmt: skip
    if code == MIDDLE:
        rows.append(row(f"all {len(outages):,} outages of {buses:,} buses", seconds, "s", "", "< 2", seconds < 2))
    return rows


def _by_runpp(admitted: AdmittedNetwork, load: tuple[np.ndarray, np.ndarray], done: list, place: np.ndarray) -> tuple[float, float]:
    """Seconds an outage, and the largest difference of a voltage."""
    import pandapower as pp

    net = copy.deepcopy(admitted.net)
    for table in ("load", "sgen", "storage"):
        net[table].drop(net[table].index, inplace=True)
    pp.create_loads(net, buses=net.bus.index, p_mw=load[0][0], q_mvar=load[1][0])
    parts = [(branches, part, n) for part, _ in done for n, branches in enumerate(part.outages)]
    chosen, seconds, apart = np.random.default_rng(0).permutation(len(parts))[:COMPARED_OUTAGES], [], 0.0
    for one in chosen:
        (branch,), part, n = parts[one]
        table, at = (net.line, branch) if branch < len(net.line) else (net.trafo, branch - len(net.line))
        table.loc[table.index[at], "in_service"] = False
        began = time.perf_counter()
        pp.runpp(net, init="dc", calculate_voltage_angles=True, tolerance_mva=1e-9)
        seconds.append(time.perf_counter() - began)
        table.loc[table.index[at], "in_service"] = True
        found = np.where(part.dark[n], np.nan, np.abs(part.voltage[n]))[np.maximum(place, 0)]
        expected = net.res_bus["vm_pu"].to_numpy()
        if (np.isnan(found) != np.isnan(expected)).any():
            return float(statistics.median(seconds)), float("inf")
        apart = max(apart, float(np.nanmax(np.abs(found - expected))))
    return float(statistics.median(seconds)), apart


def whole_rows() -> list[Row]:
    """Import, graph, base flow, every outage and the hosting capacity of every bus for PV and for charging."""
    import pandapower as pp

    given = network(MIDDLE).net
    text = pp.to_json(given)
    began = time.perf_counter()
    admitted = admit(pp.from_json_string(text), MIDDLE)
    topology = topology_of(admitted)
    imported = time.perf_counter() - began
    compiled_net = compiled(admitted)
    solver = BatchSolver(compiled_net)
    load = loads(admitted, np.array([0.3]))
    injections = compiled_net.injections(*load)[0]
    base = solver.solve(injections[None]).voltage[0]
    outages = [(int(one),) for one in np.flatnonzero(compiled_net.ends[:, 0] >= 0)]
    solved = sum(len(part.outages) for part in solve_outages(solver, injections, outages, base))
    flows = time.perf_counter() - began - imported
    limits, buses = Limits(0.95, 1.05, 100.0), np.flatnonzero(compiled_net.supplied)
    for direction in (1.0, -1.0):
        hosting_capacity(solver, injections, buses, direction, limits, 30.0)
    seconds = time.perf_counter() - began
    said = f"import and graph {imported:.1f}, base flow and {solved:,} outages {flows:.1f}, hosting capacity twice {seconds - imported - flows:.1f} s"
    return [row(f"{len(topology.buses):,} buses: all together", seconds, "s", said, "< 10", seconds < 10)]


def _best(work: Callable[[], Any], repetitions: int) -> float:
    """Seconds of the quickest: what disturbs a measurement only adds to it."""
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
