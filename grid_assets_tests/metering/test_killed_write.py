"""A run that is killed while it writes leaves the old day readable, and the next run repairs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grid_assets.foundation.registers import METERS, NODES
from grid_assets.foundation.site_sections import MeteringSection
from grid_assets.metering import raw_days, shards, staleness
from grid_assets.metering.tables import FILE_DAYS, METER_DAYS, READINGS
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


SHARDS_WRITER = """
import sys, time
from datetime import date
from pathlib import Path
from grid_assets.foundation import lake as lakes
from grid_assets.foundation.site import load_site
from grid_assets.foundation.site_sections import MeteringSection
from grid_assets.metering import shards
site = load_site(Path(sys.argv[1]), {}).model_copy(update={"metering": MeteringSection(shard_meters=2, threads=1)})
at = sys.argv[3]
put = lakes.put_atomically
def slow(path, data):
    of_readings = path.parent.parent.name == "readings"
    if at == "between_shards" and of_readings and path.name.endswith("-1.parquet"):
        print("ready", flush=True); time.sleep(60)
    put(path, data)
    if at == "between_pointers" and of_readings and path.name == "pointer.json":
        print("ready", flush=True); time.sleep(60)
lakes.put_atomically = slow
shards.make_reading_day(site, lakes.Lake(site.lake_root), date.fromisoformat(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["between_shards", "between_pointers"])
def test_kill_between_two_shards(made, at):
    site = made.site.model_copy(update={"metering": MeteringSection(shard_meters=2, threads=1)})
    made.lake.write(METERS, made.register)
    made.lake.write(NODES, made.nodes)
    made.drop("reads_20210328T050000Z.csv", as_csv(day_rows(made.site, FIRST)))
    made.land(FIRST)
    made.make(FIRST)
    before = {table: made.lake.read_arrow(table, FIRST) for table in (READINGS, METER_DAYS, FILE_DAYS)}
    made.drop("reads_20210328T060000Z.csv", as_csv(day_rows(made.site, FIRST, factor=1.5)))
    made.land(FIRST)
    files = raw_days.rows_of_files(made.lake, FIRST)
    shards.make_raw_day(site, made.lake, FIRST, files.loc[files["day"] == FIRST, "file_id"].tolist())
    with subprocess.Popen(
        [sys.executable, "-c", SHARDS_WRITER, str(made.site_file), FIRST.isoformat(), at], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == "ready"
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    left = {table: made.lake.read_arrow(table, FIRST) for table in before}
    assert left[METER_DAYS].equals(before[METER_DAYS])
    assert left[FILE_DAYS].equals(before[FILE_DAYS])
    folder = Path(made.lake.files(READINGS, FIRST)[0]).parent
    assert len(list(folder.glob("*-0.parquet"))) == 2  # the old day's, and the first shard's of the killed run
    if at == "between_shards":
        assert left[READINGS].equals(before[READINGS])
    else:
        assert left[READINGS].num_rows == before[READINGS].num_rows  # replaced whole; the day's other tables are still the old ones
    assert staleness.stale_days(made.lake, site=made.site) == [FIRST]
    made_from = staleness.inputs_of_day(made.lake, FIRST, made.site)
    written = shards.make_reading_day(site, made.lake, FIRST)
    assert len(written[READINGS].files) > 1
    staleness.note_inputs(made.lake, FIRST, made_from)
    m1 = made.lake.read(READINGS, FIRST).query("meter_id == 'm1'")["energy_kwh"].tolist()
    assert m1 == pytest.approx((day_rows(made.site, FIRST, ("m1",), factor=1.5)["value"]).tolist())
    raw_days.finish_day(made.lake, FIRST, staleness.inputs_of_alerts(made.lake, FIRST, made.site))
    assert staleness.stale_days(made.lake, site=made.site) == []
