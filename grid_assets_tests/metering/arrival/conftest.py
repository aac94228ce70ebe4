"""What the tests of file formats share: a site whose one input is declared in a few words, and files that land in it."""

from __future__ import annotations

import pytest

from grid_assets.foundation.registers import DEVICES, read_register
from grid_assets.metering.accounting import landing_faults
from grid_assets.metering.tables import LANDED_FILES, LANDED_MEASUREMENTS, LANDED_ROWS, REJECTED_READINGS
from grid_assets_tests.metering.conftest import FIRST, MadeSite

RECEIVED = "20210328T050000Z"
DEVICES_CSV = """device_id,kind,node_id,unit_id,reporting_s,valid_from_utc,valid_to_utc
bms1,battery_monitor,f1,,60,2020-01-01T00:00:00Z,
sensor1,grid_sensor,f1,,60,2020-01-01T00:00:00Z,2021-03-27T12:00:00Z
"""


def feed(pattern: str, *keys: str) -> str:
    return "\n".join(['[[readings]]\nname = "feed"\nfolder = "landing"', f'pattern = "{pattern}"', *keys]) + "\n"


@pytest.fixture
def land(make_site):
    """Lands one file by an input's keys: its row, the refused rows, the staged energy and the staged measurements."""

    def landing(content: str | bytes, *keys: str, name: str = "in_{received}.txt", **site: object):
        made: MadeSite = make_site(feed(name, *keys), **site)
        (made.site.registers.folder / "devices.csv").write_text(DEVICES_CSV)
        made.lake.write(DEVICES, read_register(made.site.registers.folder, DEVICES))
        made.drop(name.replace("{received}", RECEIVED), content)
        made.land(FIRST)
        assert landing_faults(made.lake, FIRST) == ""
        (file,) = made.lake.read(LANDED_FILES, FIRST).to_dict("records")
        tables = (made.lake.read(table, [file["file_id"]]) for table in (LANDED_ROWS, LANDED_MEASUREMENTS))
        return file, made.lake.read(REJECTED_READINGS, FIRST), *tables

    return landing


LONG = 'columns = { meter_id = "meter", read_utc = "read_at", value = "value", unit = "unit" }'
HEADER = "meter,read_at,value,unit\n"
