"""A run that is killed while it writes leaves the old day readable, and the next run repairs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from grid_assets.metering.tables import READINGS
from grid_assets_tests.metering.conftest import FIRST, as_csv, day_rows

WRITER = """
import sys, time
from pathlib import Path
import pyarrow.parquet as pq
from grid_assets.foundation import lake as lakes
from grid_assets.metering.tables import READINGS
at = sys.argv[2]
put = lakes.put_atomically
def slow(path, data):
    if at == "before_pointer" and path.name == "pointer.json":
        print("ready", flush=True); time.sleep(60)
    if at == "half_a_file" and path.suffix == ".parquet":
        (path.parent / f".{path.name}.x.tmp").write_bytes(bytes(data)[: len(data) // 2])
        print("ready", flush=True); time.sleep(60)
    put(path, data)
lakes.put_atomically = slow
lake = lakes.Lake(sys.argv[1])
rows = lake.read(READINGS, sys.argv[3])
lake.write(READINGS, rows.assign(energy_kwh=rows["energy_kwh"] * 2), sys.argv[3])
"""


@pytest.mark.parametrize("at", ["half_a_file", "before_pointer"])
def test_kill_during_a_write(made, at):
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    before = made.lake.read_arrow(READINGS, FIRST)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, made.site.lake_root, at, FIRST.isoformat()], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == "ready"
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert made.lake.read_arrow(READINGS, FIRST).equals(before)
    doubled = before.to_pandas()
    doubled["energy_kwh"] *= 2
    assert made.lake.write(READINGS, doubled, FIRST).changed
    assert made.lake.read(READINGS, FIRST)["energy_kwh"].sum() == pytest.approx(2 * before.to_pandas()["energy_kwh"].sum())
    made.make(FIRST)
    assert made.lake.read_arrow(READINGS, FIRST).equals(before)
